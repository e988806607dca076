"""The gateway without Redis, with clients that do not read, while draining, and with several threads."""

import contextlib
import re
import signal
import tempfile
import unittest

from gateway_case import NEVER, GatewayTest
from support.certificates import Pair
from support.http_client import Connection, Cut, EventStream, fetch
from support.processes import Deadline, binary, eventually
from support.scripts import PREFIX
from support.world import BASE, request


class RedisUnavailable(GatewayTest):
    redis_options = {"aof": True}

    def assert_503_soon(self, gateway, path=f"{BASE}/generate", method="POST"):
        deadline = Deadline(1.5 if "asan" not in binary("") else 5)
        body = request("away") if method == "POST" else None
        self.assert_problem(fetch(gateway.address, method, path, body), 503, "store_unavailable")
        self.assertFalse(deadline.passed(), "an answer within a second, and a busy machine's margin")

    def test_open_streams_stay_and_catch_up(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="200ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            self.world.redis_server.stop()
            while stream.next().comment != "degraded":
                pass
            for path, method in ((f"{BASE}/generate", "POST"), (f"{BASE}/generate/stream", "POST"), (f"{BASE}/tasks/t1", "GET"),
                                 (f"{BASE}/tasks/t1/stream", "GET"), (f"{BASE}/tasks/t1/cancel", "POST"), ("/readyz", "GET")):
                with self.subTest(path):
                    self.assert_503_soon(gateway, path, method)
            self.assertEqual(gateway.get("/livez").status, 200)
            self.world.redis_server.start()
            self.world.redis = self.world.redis_server.client()
            self.run_script.redis = self.world.redis
            job.begin()                                     # possibly before the gateway has reconnected
            self.assert_numbers(stream.until("process"), 2)
            while stream.next().comment != "keep-alive":
                pass
            job.finish()
            self.assert_numbers(stream.to_end(), 3)
        eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    def test_a_frozen_redis_gets_503_within_a_second(self):
        gateway = self.world.gateway()
        with gateway.generate("t1") as stream:
            stream.until("start")
            self.world.redis_server.program.pause()
            try:
                self.assert_503_soon(gateway)
                self.assert_503_soon(gateway, f"{BASE}/generate/stream")
                self.assert_503_soon(gateway, "/readyz", "GET")
            finally:
                self.world.redis_server.program.resume()
            eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")
            self.claim("t1").finish()
            self.assertEqual(stream.to_end()[-1].event, "done")

    def test_an_unconfirmed_subscription_gets_503_within_a_second(self):
        """No earlier command has timed out, so only the stream's own timeout can end the wait."""
        gateway = self.world.gateway()
        self.world.redis_server.program.pause()
        try:
            self.assert_503_soon(gateway, f"{BASE}/generate/stream")
        finally:
            self.world.redis_server.program.resume()

    def test_it_is_not_ready_without_its_subscriber_connection(self):
        gateway = self.world.gateway()
        kill = ("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:events"))
        self.redis.pipeline([("MULTI",), kill, ("CONFIG", "SET", "maxclients", "1"), ("EXEC",)])
        try:
            gateway.wait_for("name=arkrelay-gateway:events from=ready")
            self.assert_problem(gateway.get("/readyz"), 503, "store_unavailable")
            self.assertEqual(gateway.task("nobody").status, 404)        # the command connection is up
        finally:
            self.redis("CONFIG", "SET", "maxclients", "1000")
        eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    def test_a_killed_subscriber_connection_loses_nothing(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream, gateway.generate("t2") as idle:
            stream.until("start")
            idle.until("start")
            job = self.claim("t1")
            for index in range(3):
                name, *args = job.emit_args(index)
                body = self.run_script.bodies[name]
                answers = self.redis.pipeline([("MULTI",), ("CLIENT", "KILL", "TYPE", "pubsub"), ("EVAL", body, 1, PREFIX, *args),
                                               ("EXEC",)])
                self.assertEqual((answers[-1][0], answers[-1][1][0]), (1, b"OK"))
                self.assert_numbers([stream.next_event()], 2 + index)
            job.finish()
            self.assert_numbers(stream.to_end(), 5)
            self.assertEqual(self.subscribers("t2"), 1)

    def test_a_killed_command_connection_loses_nothing(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            self.silently(*job.emit_args(0))
            # The gap is detected while there is no command connection to read the missing events.
            body = self.run_script.bodies["emit"]
            kill = [("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:commands"))]
            self.redis.pipeline([("MULTI",), *kill, ("EVAL", body, 1, PREFIX, *job.emit_args(1)[1:]), ("EXEC",)])
            self.assert_numbers([stream.next_event(), stream.next_event()], 2, 3)
            job.finish()
            self.assert_numbers(stream.to_end(), 4)

    def test_scripts_are_reloaded_after_a_flush(self):
        gateway = self.world.gateway()
        self.redis("SCRIPT", "FLUSH")
        with gateway.generate("t1") as stream:
            stream.until("start")
        self.redis("SCRIPT", "FLUSH")
        self.assertEqual(gateway.task("t1").status, 200)

    def test_a_redis_that_refuses_writes_counts_as_unavailable(self):
        gateway = self.world.gateway()
        self.redis("CONFIG", "SET", "maxmemory", "1")
        try:
            self.assert_problem(gateway.submit("t1"), 503, "store_unavailable")
            self.assert_problem(gateway.get("/readyz"), 503, "store_unavailable")
        finally:
            self.redis("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(gateway.submit("t1").status, 202)

    def test_a_gateway_starts_without_redis(self):
        self.world.redis_server.stop()
        gateway = self.world.gateway()
        self.assertEqual(gateway.get("/livez").status, 200)
        self.assert_problem(gateway.get("/readyz"), 503, "store_unavailable")
        self.world.redis_server.start()
        eventually(lambda: gateway.get("/readyz").status == 200, "it is ready")


class SlowReader(GatewayTest):
    def test_a_slow_reader_is_cut_and_resumes(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="16k", GATEWAY_TAIL_CHECK=NEVER)
        slow = EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), receive_buffer=4096)
        with slow, gateway.follow("t1") as quick:
            last = slow.until("start")[0]
            job = self.claim("t1")
            for _ in range(200):
                job.talk(60_000)
                quick.next_event()
            gateway.wait_for(r"closing task=public\.t1 reason=too-slow")
            with self.assertRaises(Cut):
                while frame := slow.next():
                    last = frame
            self.assertLess(last.n, 201)
            job.finish()
            self.assertEqual(quick.to_end()[-1].n, 202)
        with gateway.follow("t1", last.id) as resumed:
            self.assert_numbers(resumed.to_end(), *range(last.n + 1, 203))


class LargeEvents(GatewayTest):
    """Events far larger than GATEWAY_OUTPUT_MAX, such as events with inline images."""

    SIZE = 12_000_000

    def test_a_live_viewer_gets_large_events_completely(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as first, gateway.follow("t1") as second:
            for stream in (first, second):
                stream.until("start")
            job = self.claim("t1")
            job.begin()
            for _ in range(3):                              # without waiting for the readers
                job.talk(self.SIZE)
            job.finish()
            for stream in (first, second):
                frames = stream.to_end()
                self.assert_numbers(frames, 2, 3, 4, 5, 6)
                self.assertEqual([len(frame.data) > self.SIZE for frame in frames], [False, True, True, True, False])

    def test_large_events_over_tls(self):
        with tempfile.TemporaryDirectory(prefix="arkrelay-") as folder:
            pair = Pair(folder)
            gateway = self.world.gateway(wait_ready=False, GATEWAY_TAIL_CHECK=NEVER, **pair.options())
            self.wait_connected(gateway, 1)
            with EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), tls=pair.trust()) as stream:
                stream.until("start")
                job = self.claim("t1")
                job.talk(self.SIZE)
                job.talk(self.SIZE)
                job.finish()
                self.assert_numbers(stream.to_end(), 2, 3, 4)

    def test_a_reader_that_pauses_keeps_its_stream(self):
        """Heartbeats, hints and further events must not cut a reader that has unsent data."""
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER, GATEWAY_HEARTBEAT="100ms")
        with gateway.generate("t1") as slow, gateway.follow("t1") as quick:
            slow.until("start")
            job = self.claim("t1")
            job.talk(self.SIZE)
            quick.until("process")
            for _ in range(3):
                self.assertEqual(quick.next().comment, "keep-alive")
            for _ in range(20):
                job.talk(100)
            job.finish()
            self.assertEqual(quick.to_end()[-1].n, 23)
            self.assert_numbers([frame for frame in slow.to_end() if frame.id], *range(2, 24))

    def test_a_running_replay_is_not_cut_by_further_events(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        gateway.submit("t1")
        job = self.claim("t1")
        for _ in range(3):
            job.talk(self.SIZE // 3)
        with gateway.follow("t1") as stream:
            job.talk(100)
            job.talk(100)
            job.finish()
            self.assert_numbers(stream.to_end(), *range(1, 8))

    def test_a_stalled_reader_is_cut_and_uses_memory_for_one_event(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        gateway.submit("t1")
        with contextlib.ExitStack() as stack:
            deaf = [stack.enter_context(EventStream(gateway.address, "GET", f"{BASE}/tasks/t1/stream", receive_buffer=4096))
                    for _ in range(5)]
            for stream in deaf:
                stream.until("start")
            job, before = self.claim("t1"), gateway.memory()
            for _ in range(8):
                job.talk(self.SIZE)
            eventually(lambda: gateway.get("/livez").status == 200, "it has dealt with them")
            if not gateway.is_sanitized():                  # one event per reader, and the events in transit
                self.assertLess(gateway.memory() - before, (len(deaf) + 10) * self.SIZE * 1.5)
            for _ in range(40):                             # the reader has read nothing in this time
                job.talk(100)
            for _ in deaf:
                gateway.wait_for(r"closing task=public\.t1 reason=too-slow")
            for stream in deaf:
                with self.assertRaises(Cut):
                    stream.to_end()

    def test_a_reader_that_stalls_later_is_cut_without_further_events(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), receive_buffer=4096) as stream:
            stream.until("start")
            job = self.claim("t1")
            job.talk(self.SIZE)
            job.talk(100)
            gateway.wait_for(r"closing task=public\.t1 reason=too-slow")

    def test_events_lost_by_redis_reset_a_slow_reader(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="100ms")
        with gateway.generate("t1") as slow, gateway.follow("t1") as quick:
            slow.until("start")
            job = self.claim("t1")
            job.talk(self.SIZE)
            job.talk(100)
            while quick.next_event().n != 3:
                pass
            self.redis("FLUSHALL")
            gateway.submit("t1")
            gateway.wait_for(r"closing task=public\.t1 reason=(old|task-gone)")
            last = slow.to_end()[-1]
        self.assertEqual(last.n, 2)
        with gateway.follow("t1", last.id) as stream:
            self.assertEqual([frame.event for frame in (stream.next_event(), stream.next_event())], ["reset", "start"])


class Drain(GatewayTest):
    def test_draining_streams_resume_at_another_gateway(self):
        gateway, other = self.world.gateway(), self.world.gateway()
        with gateway.generate("t1") as stream:
            start, = stream.until("start")
            gateway.signal(signal.SIGTERM)
            self.assertIn(stream.next().retry, range(500, 1501))
            self.assertIsNone(stream.next())
            self.assertEqual(gateway.wait_exit(5), 0)
            self.assertRegex(gateway.lines[-1], "stopped reason=drained")
        with other.follow("t1", start.id) as stream:
            self.claim("t1").finish()
            self.assert_numbers(stream.to_end(), 2)

    def test_a_draining_gateway_accepts_no_connections(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="4m")
        address = gateway.address
        with self.reader_that_does_not_read(gateway):
            gateway.signal(signal.SIGTERM)
            gateway.wait_for("draining")
            with self.assertRaises(ConnectionRefusedError):
                eventually(lambda: Connection(address).close(), "the listener is closed", seconds=5)
            gateway.signal(signal.SIGTERM)                  # a second signal does not wait for the reader
            self.assertEqual(gateway.wait_exit(3), 0)
            self.assertRegex(gateway.lines[-1], "stopped reason=second-signal")

    def test_a_stalled_reader_delays_a_drain_by_seconds_only(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="4m")
        with self.reader_that_does_not_read(gateway):
            self.assertEqual(gateway.stop(10), 0)

    def reader_that_does_not_read(self, gateway):
        """An open stream with more unsent data than the socket buffers hold."""
        stream = EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), receive_buffer=4096)
        stream.until("start")
        with gateway.follow("t1") as quick:
            job = self.claim("t1")
            for _ in range(100):
                job.talk(60_000)
                quick.next_event()
        return stream

    def test_an_idle_connection_does_not_delay_a_drain(self):
        gateway = self.world.gateway()
        with Connection(gateway.address) as idle:
            idle.request("GET", "/livez")
            idle.response()
            self.assertEqual(gateway.stop(3), 0)


class Threads(GatewayTest):
    def test_threads_share_only_the_port(self):
        gateway = self.world.gateway(GATEWAY_THREADS=3)
        self.wait_connected(gateway, 3)
        streams = [gateway.generate("t1") for _ in range(30)]
        for stream in streams:
            stream.until("start")
        self.assertGreater(self.subscribers("t1"), 1, "more than one thread has viewers")
        job = self.claim("t1")
        job.begin()
        job.finish()
        for stream in streams:
            self.assert_numbers(stream.to_end(), 2, 3)
            stream.close()
        eventually(lambda: self.subscribers("t1") == 0, "every thread unsubscribed")

    def test_all_threads_drain(self):
        gateway = self.world.gateway(GATEWAY_THREADS=4)
        self.wait_connected(gateway, 4)
        streams = [gateway.generate(f"t{n}") for n in range(20)]
        for stream in streams:
            stream.until("start")
        gateway.signal(signal.SIGTERM)
        for stream in streams:
            self.assertIn(stream.next().retry, range(500, 1501))
            self.assertIsNone(stream.next())
            stream.close()
        self.assertEqual(gateway.wait_exit(5), 0)


if __name__ == "__main__":
    unittest.main()
