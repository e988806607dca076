"""Single faults outside of our programs: too many or slow clients, ARK, cancelling at critical moments, a proxy in front.

test_faults lists where the other faults are tested.
"""

import concurrent.futures
import os
import pathlib
import random
import shutil
import tempfile
import time
import unittest
from collections import Counter

from fault_case import PATIENT, SLOW, FaultTest
from gateway_case import Job
from support.http_client import Connection, EventStream, fetch
from support.processes import Program, eventually
from support.redis_server import free_port
from support.world import BASE, World, request, sim

SEED = os.environ.get("ARKRELAY_SEED") or str(random.randrange(10**6))


class Crowds(FaultTest):
    def test_a_hundred_streams_without_readers(self):
        """Each uses at most its memory limit, then it is cut."""
        with World(ark=False) as world:
            gateway = world.gateway(GATEWAY_OUTPUT_MAX="64k", LOG_LEVEL="info")
            with gateway.generate("t1") as quick:
                quick.until("start")
                job = Job(world.run_script, "t1")
                before = gateway.memory()
                slow = [EventStream(gateway.address, "GET", f"{BASE}/tasks/t1/stream", receive_buffer=4096) for _ in range(100)]
                for _ in range(100):
                    job.talk(60_000)
                    quick.next_event()
                if not gateway.is_sanitized():
                    self.assertLess(gateway.memory() - before, 100 * 3 * (64 << 10) + (8 << 20))
                eventually(lambda: world.redis("PUBSUB", "NUMSUB", "arkrelay:{0}:channel:public.t1")[1] == 1 and
                           gateway.open_files() < 30, "the slow ones are cut")
                job.finish()
                self.assertEqual(quick.to_end()[-1].n, 102)
            for stream in slow:
                stream.close()

    def test_idle_connections_up_to_the_limit(self):
        with World(ark=False) as world:
            gateway = world.gateway(GATEWAY_CONNECTIONS_MAX=500)
            with gateway.generate("t1") as early:
                early.until("start")
                idle = [Connection(gateway.address) for _ in range(520)]
                answer = eventually(lambda: idle[-1].wait_closed(), "a connection beyond the limit is closed")
                self.assertIn(b" 503 ", answer.partition(b"\r\n")[0])
                Job(world.run_script, "t1").finish()
                self.assertEqual(early.to_end()[-1].event, "done", "who was there is served")
            for connection in idle:
                connection.close()
            eventually(lambda: gateway.get("/livez").status == 200, "there is room again")

    def test_no_file_descriptors_left(self):
        with World(ark=False) as world:
            gateway = world.gateway()
            with gateway.generate("t1") as stream:
                stream.until("start")
                gateway.limit("nofile", gateway.open_files() + 3)
                waiting = [Connection(gateway.address) for _ in range(20)]
                busy_before, until = self.processor_time(gateway), time.monotonic() + 1
                eventually(lambda: time.monotonic() > until, "a second has passed")
                self.assertLess(self.processor_time(gateway) - busy_before, 0.5, "it does not spin")
                Job(world.run_script, "t1").finish()
                self.assertEqual(stream.to_end()[-1].event, "done")
                gateway.limit("nofile", 1000)
                for connection in waiting:
                    connection.request("GET", "/livez")
                    self.assertEqual(connection.response().status, 200)
                    connection.close()

    @staticmethod
    def processor_time(program):
        fields = pathlib.Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ArkFails(FaultTest):
    def one_task(self, world, directives="", **options):
        fields = options.pop("fields", {})
        world.worker(**options)
        with world.gateway().generate("t1", prompt=sim("t1", directives), **fields) as stream:
            return stream.to_end()

    def test_ark_with_an_unresolvable_name(self):
        with World() as world:
            name = "x" * 64                             # longer than a DNS label may be, so no server is asked
            world.worker(WORKER_MAX_ATTEMPTS=2, ARK_BASE_URL=f"http://{name}.test/api/v3")
            gateway = world.gateway()
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                retry = stream.until("process retrying")[-1].payload()
                eventually(lambda: world.find("t1").number("deferrals") == 3, "the circuit breaker is open")
                gateway.cancel("t1")
                end = stream.to_end()[-1].payload()
            self.assertEqual((retry["code"], retry["attempt"]), ("ark_unreachable", 1))
            self.assertEqual((end["code"], end["charged"], end["paid_calls"], end["attempts"]), ("cancelled", "no", 0, 0))

    def test_ark_closes_the_connection_after_the_request(self):
        """Exactly one call, with unknown outcome."""
        for directives in ("cut_after_image=0", "cut_at_byte=0", "rst", "cut_at_byte=40", "body_garbage", "html_502", "hang"):
            with self.subTest(directives), World() as world:
                frames = self.one_task(world, directives, fields={"max_paid_calls": 1}, ARK_FIRST_BYTE_TIMEOUT="500ms")
                error = frames[-1].payload()
                self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
                self.assert_calls(world, "t1", 1)

    def test_many_rate_limits(self):
        """All tasks are done in the end, and no refused call counts as paid."""
        with World() as world:
            gateway = world.gateway()
            world.ark.script(*[{"status": 429}, {"status": 503}] * 8)
            for n in range(20):
                self.assertEqual(gateway.submit(f"t{n}", prompt=sim(f"t{n}", "images=1")).status, 202)
            world.worker(WORKER_MAX_ATTEMPTS=50)
            end = world.wait_all_final()
            self.assertEqual({(task.state, task.number("paid_calls")) for task in end.tasks.values()}, {("done", 1)})
            self.assertEqual(Counter(call["status"] for call in world.ark.calls()), {200: 20, 429: 8, 503: 8})

    def test_a_response_that_is_too_large(self):
        """The image is made and charged, but the worker refuses a response above its size limit."""
        for directives in ("images=1 big=3000000", "images=1 big=3000000 gzip"):
            with self.subTest(directives), World() as world:
                worker_memory = {"ARK_STREAM": "off", "ARK_RESPONSE_FORMAT": "b64_json", "ARK_ANSWER_MAX": "1m"}
                frames = self.one_task(world, directives, fields={"max_paid_calls": 1}, **worker_memory)
                error = frames[-1].payload()
                self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))

    def test_a_response_in_single_bytes(self):
        with World() as world:
            self.assert_done_once(self.one_task(world, "chunk=1"))

    def test_ark_hangs_and_the_stream_gets_heartbeats(self):
        with World() as world:
            world.worker(ARK_FIRST_BYTE_TIMEOUT="1500ms", WORKER_CONCURRENCY=1)
            gateway = world.gateway(GATEWAY_HEARTBEAT="200ms")
            with gateway.generate("t1", prompt=sim("t1", "hang"), max_paid_calls=1) as stream:
                comments = 0
                while (frame := stream.next()).event != "error":
                    comments += frame.comment == "keep-alive"
                self.assertEqual(frame.payload()["code"], "outcome_unknown")
                self.assertGreaterEqual(comments, 4)
            with gateway.generate("t2", prompt=sim("t2")) as stream:
                self.assertEqual(stream.to_end()[-1].event, "done", "its slot is free again")


class Cancelled(FaultTest):
    def test_cancelled_before_it_is_claimed(self):
        with World() as world:
            gateway = world.gateway()
            gateway.submit("t1")
            self.assertEqual(gateway.cancel("t1").status, 200)
            world.worker()
            self.assert_cancelled(world, 0)

    def test_cancelled_before_begin(self):
        with World() as world:
            proxy, gateway = world.proxy(), world.gateway()
            world.worker(REDIS_URL=proxy.url, WORKER_LEASE="30s", **PATIENT)
            proxy.hold(world.run_script.sha1["begin"])
            gateway.submit("t1", prompt=sim("t1"))
            proxy.held.wait()
            self.assertEqual(gateway.cancel("t1").status, 202)
            proxy.release()
            self.assert_cancelled(world, 0)

    def test_cancelled_before_the_reply_to_begin(self):
        """The reply to BEGIN is lost, and the worker learns of the cancellation before it knows that the call is recorded."""
        with World() as world:
            proxy, gateway = world.proxy(), world.gateway()
            world.worker(REDIS_URL=proxy.url, WORKER_LEASE="30s", **PATIENT)
            proxy.hold(world.run_script.sha1["renew"])
            proxy.lose_reply_to(world.run_script.sha1["begin"])
            gateway.submit("t1", prompt=sim("t1"))
            proxy.held.wait()
            self.assertEqual(gateway.cancel("t1").status, 202)
            proxy.release()
            self.assert_cancelled(world, 0)

    def test_cancelled_during_the_call(self):
        with World() as world:
            gateway, _ = world.gateway(), world.worker()
            gateway.submit("t1", prompt=sim("t1", SLOW))
            world.ark.wait_calls(1)
            self.assertEqual(gateway.cancel("t1").status, 202)
            self.assert_cancelled(world, 1)

    def test_cancelled_after_the_end(self):
        with World() as world:
            gateway, _ = world.gateway(), world.worker()
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                self.assert_done_once(stream.to_end())
            self.assertEqual(gateway.cancel("t1").status, 409)
            self.assertEqual(world.find("t1").state, "done")

    def assert_cancelled(self, world, paid):
        task = world.wait_state("t1", "cancelled")
        self.assertEqual((task.log[-1].data["code"], task.number("paid_calls")), ("cancelled", paid))
        self.assertEqual(task.log[-1].data["charged"], "unknown" if paid else "no")
        self.assert_calls(world, "t1", paid)

    def test_cancelled_at_random_times(self):
        rng = random.Random(SEED)
        print(f"seed {SEED}")
        with World() as world:
            gateway, _ = world.gateway(), world.worker(ARK_IMAGES_PER_MINUTE=0)

            def one(n, delay):
                gateway.submit(f"t{n}", prompt=sim(f"t{n}", "images=2 latency=40"))
                time.sleep(delay)
                return gateway.cancel(f"t{n}").status
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                answers = list(pool.map(one, range(80), [rng.uniform(0, 0.15) for _ in range(80)]))
            end = world.wait_all_final()
            for n, answer in enumerate(answers):
                task = end.tasks[f"public.t{n}"]
                self.assertIn(task.state, {200: ("cancelled",), 202: ("cancelled", "done"), 409: ("done",)}[answer])
                self.assertEqual(len(world.ark.calls_of(f"t{n}")), task.number("paid_calls"))
                if task.log[-1].data["charged"] == "no":
                    self.assert_calls(world, f"t{n}", 0)


@unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
class BehindNginx(FaultTest):
    """nginx buffers responses by default, unless a response header disables it."""

    CONFIG = """
        daemon off; master_process off; pid {folder}/pid; error_log stderr;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
            uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; {more} }} }}
        }}"""

    def nginx(self, gateway, more=""):
        folder, port = tempfile.mkdtemp(prefix="arkrelay-nginx-"), free_port()
        self.addCleanup(shutil.rmtree, folder, True)
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(self.CONFIG.format(folder=folder, port=port, url=gateway.url, more=more))
        nginx = Program("nginx", [shutil.which("nginx"), "-e", "stderr", "-p", folder, "-c", str(config)])
        address = f"127.0.0.1:{port}"

        def is_up():
            try:
                return fetch(address, "GET", "/livez").status == 200
            except ConnectionRefusedError:
                return False
        eventually(is_up, "nginx listens")
        return address, nginx

    def first_event(self, address, task_id, seconds):
        with EventStream(address, "POST", f"{BASE}/generate/stream", request(task_id), seconds=seconds) as stream:
            return stream.next_event(seconds)

    def test_nginx_passes_events_at_once(self):
        with World(ark=False) as world:
            gateway = world.gateway()
            address, nginx = self.nginx(gateway)
            with EventStream(address, "POST", f"{BASE}/generate/stream", request("t1")) as stream:
                first = stream.next_event()
                self.assertEqual(first.event, "start")
                self.assertLess(first.at - stream.began, 1)
                job = Job(world.run_script, "t1")
                job.begin()
                self.assertEqual(stream.next_event().n, 2)
                job.finish()
                self.assertEqual([frame.n for frame in stream.to_end()], [3])
            nginx.stop()

    def test_without_the_header_nginx_buffers_events(self):
        with World(ark=False) as world:
            address, nginx = self.nginx(world.gateway(), "proxy_ignore_headers X-Accel-Buffering;")
            with self.assertRaises(TimeoutError):
                self.first_event(address, "t1", 1)
            nginx.stop()


if __name__ == "__main__":
    unittest.main()
