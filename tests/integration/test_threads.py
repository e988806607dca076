"""The gateway's threads under load, with everything they share: reloads of keys and certificates, metrics, the drain.

With the preset tsan, every data race changes the program's exit status. With the other presets, the results must be right.
"""

import concurrent.futures
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest

from support.http_client import EventStream, fetch
from support.processes import ProcessTest, binary, eventually
from support.world import BASE, World, request, sim

THREADS, CLIENTS, ROUNDS = 4, 12, 4
CONNECTIONS = 2         # Redis connections per thread
REPORT_LINES = 60       # lines of a race report in a failure message


def make_key(path):
    done = subprocess.run([binary("arkrelay-gateway"), "--keys-file", path, "--new-key", "shop"], capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


class Threads(ProcessTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.keys = str(pathlib.Path(folder.name, "keys"))
        self.headers = make_key(self.keys)

    def assert_ends_well(self, program):
        """Stops the program and checks its exit status. On failure the message has the first TSan report of its log."""
        status = program.stop()
        reports = [n for n, line in enumerate(program.lines) if "WARNING: ThreadSanitizer" in line]
        self.assertFalse(reports, "\n".join(line for start in reports[:1] for line in program.lines[start:start + REPORT_LINES]))
        self.assertEqual(status, 0)

    def see_tasks_through(self, gateway, client):
        """Runs tasks of a client, each with two viewers on separate connections, and other requests. Returns the types of the last events."""
        ends = []
        for n in range(ROUNDS):
            task_id = f"c{client}-{n}"
            body = request(task_id, prompt=sim(task_id, "images=2 latency=5"))
            with EventStream(gateway.address, "POST", f"{BASE}/generate/stream", body, self.headers) as first:
                first.next_event()
                with EventStream(gateway.address, "GET", f"{BASE}/tasks/{task_id}/stream", headers=self.headers) as second:
                    ends += [first.to_end()[-1].event, second.to_end()[-1].event]
            fetch(gateway.address, "GET", f"{BASE}/tasks/{task_id}", headers=self.headers)
            fetch(gateway.address, "GET", f"{BASE}/queue", headers=self.headers)
            fetch(gateway.address, "POST", f"{BASE}/tasks/{task_id}/cancel", headers=self.headers)
        return ends

    def disturb(self, gateway, over):
        """Reloads the keys and reads the metrics of all threads while the load lasts."""
        while not over.is_set():
            gateway.signal(signal.SIGHUP)
            for path in ("/metrics", "/readyz", f"{BASE}/queue"):
                fetch(gateway.address, "GET", path, headers=self.headers)

    def test_load_with_key_reloads(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_THREADS=THREADS, GATEWAY_KEYS_FILE=self.keys, GATEWAY_HINTS="100ms",
                                    GATEWAY_CLIENT_REQUESTS=0, GATEWAY_TAIL_CHECK="100ms")
            world.worker(WORKER_CONCURRENCY=8)
            over = threading.Event()
            with concurrent.futures.ThreadPoolExecutor(CLIENTS + 1) as pool:
                disturber = pool.submit(self.disturb, gateway, over)
                clients = [pool.submit(self.see_tasks_through, gateway, n) for n in range(CLIENTS)]
                try:
                    ends = [end for client in clients for end in client.result()]
                finally:
                    over.set()
                disturber.result()
            self.assertEqual(ends, ["done"] * 2 * CLIENTS * ROUNDS)
            self.assert_ends_well(gateway)

    def test_ready_means_every_thread(self):
        """A connection may be served by any thread, so one thread without Redis makes the gateway unready on all threads."""
        with World() as world:
            world.redis("CONFIG", "SET", "maxclients", CONNECTIONS * THREADS - 1 + len(world.redis("CLIENT", "LIST").splitlines()))
            gateway = world.gateway(wait_ready=False, GATEWAY_THREADS=THREADS)
            gateway.wait_for("cannot connect.*max number of clients")
            self.assertEqual({gateway.get("/readyz").status for _ in range(8 * THREADS)}, {503})
            world.redis("CONFIG", "SET", "maxclients", 1000)
            eventually(lambda: gateway.get("/readyz").status == 200, "the last thread has its connections")
            self.assertEqual({gateway.get("/readyz").status for _ in range(8 * THREADS)}, {200})
            self.assert_ends_well(gateway)

    def test_drain_with_open_streams(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_THREADS=THREADS, GATEWAY_KEYS_FILE=self.keys, GATEWAY_CLIENT_REQUESTS=0)
            streams = [EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request(f"t{n}"), self.headers) for n in range(CLIENTS)]
            for stream in streams:
                stream.next_event()
            self.assert_ends_well(gateway)
            for stream in streams:
                stream.close()

    def test_a_second_signal_stops_all_at_once(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_THREADS=THREADS, GATEWAY_KEYS_FILE=self.keys, GATEWAY_CLIENT_REQUESTS=0)
            with EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t"), self.headers) as stream:
                stream.next_event()
                gateway.signal(signal.SIGTERM)
                gateway.wait_for("draining")
                if gateway.is_running():
                    gateway.signal(signal.SIGTERM)
            self.assert_ends_well(gateway)


if __name__ == "__main__":
    unittest.main()
