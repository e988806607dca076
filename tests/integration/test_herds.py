"""Many clients: streams of a killed gateway, clients that do not read, idle connections.

With ARKRELAY_FULL=1 the full numbers of clients are used, otherwise as many as a few seconds allow."""

import os
import time
import unittest

from gateway_case import Job
from support.herd import Herd, get, post
from support.processes import ProcessTest, eventually
from support.world import BASE, World, request, sim

FULL = os.environ.get("ARKRELAY_FULL") == "1"
STREAMS = 5000 if FULL else 1000
SLOW = 1000 if FULL else 200
IDLE = 15_000 if FULL else 3000
EVENTS = 120                        # events of 60 kB each, for clients that do not read
OUTPUT_MAX = 256 * 1024             # GATEWAY_OUTPUT_MAX
MANY = {"GATEWAY_CLIENT_REQUESTS": 0, "GATEWAY_CLIENT_STREAMS": 0, "GATEWAY_QUEUE_LIMIT": 100_000,
        "GATEWAY_CLIENT_QUEUE_LIMIT": 100_000, "LOG_LEVEL": "info"}


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Herds(ProcessTest):
    def come_back(self, herd, gateway):
        """Every client reconnects after the stream's retry delay, and again after Retry-After if it is refused. Returns how many clients
        needed how many attempts."""
        away, counts = herd.clients, []
        while away:
            self.assertLess(len(counts), 6, "rounds")
            counts.append(len(away))
            herd.send_in_time(lambda client: gateway.address,
                              lambda client: get(f"{BASE}/tasks/t{client.n}/stream", Last_Event_ID=client.last_id),
                              lambda client: client.retry_ms / 1000, away)
            herd.wait(lambda client: client.status, "every client has a response")
            self.assertLessEqual({client.status for client in away}, {200, 503})
            away = [client for client in away if client.status == 503]
        return counts

    def test_the_streams_of_a_killed_gateway_resume_at_another(self):
        """Every client waits for the retry delay and resumes its task without missing an event."""
        with World() as world, Herd(STREAMS) as herd:
            victim, other = world.gateway(**MANY), world.gateway(**MANY)
            began = time.monotonic()
            herd.send(lambda client: victim.address, lambda client: post(
                f"{BASE}/generate/stream", request(f"t{client.n}", prompt=sim(f"t{client.n}", "images=1 latency=1"))),
                until=lambda client: client.numbers == [1] and client.retry_ms)
            opened = time.monotonic() - began
            retries = {client.retry_ms for client in herd.clients}
            self.assertTrue(retries <= set(range(2000, 4001)))
            self.assertGreater(len(retries), min(STREAMS, 2000) / 4, "not all come back at the same moment")

            victim.kill()
            herd.wait(lambda client: client.ended, "every client was disconnected")
            redis_pid = world.redis_server.program.pid
            began, busy = time.monotonic(), cpu_seconds(redis_pid)
            rounds = self.come_back(herd, other)
            eventually(lambda: len(world.redis("PUBSUB", "CHANNELS", "arkrelay:*")) == STREAMS, "every task is watched")
            back = time.monotonic() - began
            share = (cpu_seconds(redis_pid) - busy) / back
            self.assertLess(share, 0.5, "of a processor, for Redis")

            began = time.monotonic()
            world.worker(WORKER_CONCURRENCY=50, ARK_CALLS_MAX=50, ARK_IMAGES_PER_MINUTE=0, LOG_LEVEL="info", WORKER_LEASE="10s")
            herd.wait(lambda client: client.last_event == "done", "every client has the final event", 240)
            ended = time.monotonic() - began
            self.assertEqual({tuple(client.numbers) for client in herd.clients}, {(1, 2, 3, 4)})
            self.assertEqual(len(world.ark.calls()), STREAMS)
            print(f"{STREAMS} streams: open in {opened:.1f} s, back in {back:.1f} s, tries {rounds}, {share:.0%} of a processor for Redis, "
                  f"done in {ended:.1f} s", flush=True)

    def test_stalled_readers_are_cut_within_their_memory_limit(self):
        """They follow one task with large events. A client that reads gets all of them."""
        with World(ark=False) as world, Herd(SLOW, receive_buffer=4096) as herd, Herd(1) as quick:
            gateway = world.gateway(GATEWAY_OUTPUT_MAX=OUTPUT_MAX, GATEWAY_TAIL_CHECK="10m", **MANY)
            self.assertEqual(gateway.submit("t1").status, 202)
            for each in (quick, herd):
                each.send(lambda client: gateway.address, lambda client: get(f"{BASE}/tasks/t1/stream"), reads=each is quick)
            eventually(lambda: gateway.open_files() > SLOW, "all are connected")
            before = most = gateway.memory()
            job = Job(world.run_script, "t1")
            for n in range(EVENTS):
                job.talk(60_000)
                quick.wait(lambda client: len(client.numbers) == n + 2, "the quick one has seen it")
                if n % 10 == 0:
                    most = max(most, gateway.memory())
            eventually(lambda: gateway.open_files() < 50, "all are cut, and their sockets closed")
            kept_by_asan = 512 * 1024 * 1024 if gateway.is_sanitized() else 0       # ASan's quarantine
            self.assertLess(most - before, SLOW * OUTPUT_MAX * 1.5 + 64 * 1024 * 1024 + kept_by_asan)
            job.finish()
            quick.wait(lambda client: client.last_event == "done", "the quick one has seen the end")
            self.assertEqual(quick.clients[0].numbers, list(range(1, EVENTS + 3)))
            print(f"{SLOW} slow readers: {(most - before) / SLOW / 1024:.0f} KiB each at most", flush=True)

    def test_idle_connections_do_not_affect_a_healthy_client(self):
        with World() as world, Herd(IDLE) as herd:
            gateway = world.gateway(GATEWAY_CONNECTIONS_MAX=IDLE + 50, GATEWAY_HEAD_TIMEOUT="10m", GATEWAY_IDLE_TIMEOUT="10m", **MANY)
            world.worker()
            before, began = gateway.memory(), time.monotonic()
            herd.send(lambda client: gateway.address, lambda client: b"", reads=False)
            eventually(lambda: gateway.open_files() > IDLE, "all are connected")
            opened, each = time.monotonic() - began, (gateway.memory() - before) / IDLE
            self.assertLess(each, 4096 if not gateway.is_sanitized() else 65536)
            busy, began = cpu_seconds(gateway.pid), time.monotonic()
            for n in range(10):
                with gateway.generate(f"t{n}", prompt=sim(f"t{n}", "images=1")) as stream:
                    self.assertEqual(stream.to_end()[-1].event, "done")
            print(f"{IDLE} idle connections: open in {opened:.1f} s, {each:.0f} bytes each; ten tasks meanwhile took "
                  f"{time.monotonic() - began:.2f} s and {cpu_seconds(gateway.pid) - busy:.2f} s of the gateway", flush=True)


if __name__ == "__main__":
    unittest.main()
