"""Slow clients: heads and bodies that never end, answers that are never read, silent connections.

    cd tests/integration                    # the long form, about two minutes
    HOSTILE_CLIENTS=10000 HOSTILE_SECONDS=30 ARKRELAY_BIN=$PWD/../../build/release/bin PYTHONPATH=.. python3 -m unittest -v test_hostile_slow

Meanwhile the gateway must serve a normal client, and its deadlines must cut every slow one. Latencies are printed but not checked,
because they depend on the machine.
"""

import os
import resource
import shutil
import socket
import statistics
import time
import unittest

from gateway_case import GatewayTest
from support.http_client import Connection
from support.processes import DEADLINE, Deadline, Program, eventually
from support.world import BASE

CLIENTS = int(os.environ.get("HOSTILE_CLIENTS", "1500"))
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "3"))
QUICK = {"GATEWAY_HEAD_TIMEOUT": "2s", "GATEWAY_BODY_TIMEOUT": "2s", "GATEWAY_IDLE_TIMEOUT": "2s", "GATEWAY_WRITE_TIMEOUT": "2s"}
POST = f"POST {BASE}/generate HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n".encode()
GET_PAGE = 64 * b"GET / HTTP/1.1\r\nHost: slow\r\n\r\n"


class SlowClient:
    """A connection that sends a beginning, and then a byte at a time or nothing."""

    KINDS = [
        ("silent", b"", b""),
        ("endless head", POST, b"X-a: b\r\n"),
        ("endless body", POST + b"\r\n", b"x"),
        ("does not read", GET_PAGE, b""),
    ]

    def __init__(self, n, address):
        host, _, port = address.rpartition(":")
        self.name, self.beginning, self.rest = self.KINDS[n % len(self.KINDS)]
        self.reads = self.name != "does not read"
        self.socket = socket.socket()
        if not self.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((f"127.0.0.{2 + n % 250}", 0))
        self.socket.connect((host, int(port)))
        self.socket.setblocking(False)
        self.at = 0
        if self.beginning:
            self.socket.send(self.beginning)

    def step(self):
        """Sends one more byte. False if the gateway has closed the connection."""
        try:
            if self.rest:
                self.socket.send(self.rest[self.at % len(self.rest):][:1])
                self.at += 1
            return not self.reads or self.socket.recv(4096) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class SlowClients:
    """A number of slow clients; each step sends a byte on all of them, and replaces those that were cut."""

    def __init__(self, count, address):
        self.address = address
        self.cut = 0
        self.all = [SlowClient(n, address) for n in range(count)]

    def step(self, reconnect=True):
        left = []
        for n, client in enumerate(self.all):
            if client.step():
                left.append(client)
                continue
            client.socket.close()
            self.cut += 1
            if reconnect:
                left.append(SlowClient(n, self.address))
        self.all = left

    def close(self):
        for client in self.all:
            client.socket.close()


class Slow(GatewayTest):
    def setUp(self):
        super().setUp()
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def serve_once(self, gateway):
        """Posts the same task again and reads it; returns the ms."""
        began = time.monotonic()
        self.assertEqual(gateway.submit("good").status, 200)
        self.assertEqual(gateway.task("good").json()["status"], "queued")
        return (time.monotonic() - began) * 1000

    def serve(self, gateway, seconds, meanwhile=lambda: None):
        """Runs a normal client for this time; every request must be answered. Returns the latencies."""
        took, pause = [], 0.5
        deadline, next_turn = Deadline(seconds), time.monotonic()
        while not deadline.passed() or len(took) < 10:
            if time.monotonic() >= next_turn:
                meanwhile()
                next_turn = time.monotonic() + pause
            took.append(self.serve_once(gateway))
        return took

    def tell(self, name, took):
        took = sorted(took)
        print(f"{name}: {len(took)} pairs, median {statistics.median(took):.2f} ms, 99% {took[len(took) * 99 // 100]:.2f} ms, "
              f"longest {took[-1]:.2f} ms", flush=True)

    def assert_all_closed(self, gateway, files, what):
        eventually(lambda: gateway.open_files() <= files, what, DEADLINE)

    def test_slow_clients_from_many_addresses(self):
        gateway = self.world.gateway(LOG_LEVEL="info", **(QUICK if SECONDS < 30 else {}))
        self.assertEqual(gateway.submit("good").status, 202)
        files = gateway.open_files() + 1        # the connection that asks
        self.tell("alone", self.serve(gateway, SECONDS / 2))
        clients = SlowClients(CLIENTS, gateway.address)
        self.addCleanup(clients.close)
        clients.step()
        self.assertGreater(gateway.open_files() + clients.cut, files + CLIENTS / 2)     # some may have been cut already
        self.tell(f"with {CLIENTS} slow clients", self.serve(gateway, SECONDS, clients.step))
        deadline = Deadline(4 * DEADLINE)
        while gateway.open_files() > files:     # without reconnects the deadlines end them all, although they keep sending
            self.assertFalse(deadline.passed(), "slow clients outlive their deadlines")
            clients.step(reconnect=False)
            self.serve_once(gateway)
        self.assertGreater(clients.cut, CLIENTS / 2)
        self.tell("alone again", self.serve(gateway, SECONDS / 2))

    @unittest.skipUnless(shutil.which("slowhttptest"), "slowhttptest is not installed")
    def test_slowhttptest(self):
        """Slow heads, slow bodies and slow readers at once: 450 of each, 3,000 in the long form."""
        count = max(400, CLIENTS * 3 // 10)
        gateway = self.world.gateway(LOG_LEVEL="info", GATEWAY_CONNECTIONS_PER_ADDRESS=0, **QUICK)
        self.assertEqual(gateway.submit("good").status, 202)
        files = gateway.open_files() + 1
        url, seconds = gateway.url, f"{SECONDS + 3:.0f}"
        common = ["-c", str(count), "-r", "1000", "-i", "1", "-l", seconds, "-p", "5"]
        attacks = [
            Program("slow-heads", ["slowhttptest", "-H", *common, "-x", "24", "-u", f"{url}/"]),
            Program("slow-bodies", ["slowhttptest", "-B", *common, "-s", "8192", "-x", "10", "-f", "application/json", "-u", f"{url}{BASE}/generate"]),
            Program("slow-readers", ["slowhttptest", "-X", *common, "-k", "3", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-u", f"{url}/"]),
        ]
        eventually(lambda: gateway.open_files() > files + count, "the attacks have begun")
        self.tell(f"under slowhttptest, {3 * count} connections", self.serve(gateway, SECONDS))
        self.assert_all_closed(gateway, files, "every attacker is disconnected")
        for attack in attacks:
            attack.wait_exit()
            self.assertNotIn("NO", [line.split()[-1] for line in attack.lines if "service available" in line], attack.name)
        self.assertEqual(gateway.submit("after").status, 202)


class Streams(GatewayTest):
    """Open streams: clients that send, and clients that do not read."""

    def test_a_client_that_floods_its_open_stream_does_not_affect_others(self):
        """Its bytes stay in the kernel's buffers, and its stream continues."""
        gateway = self.world.gateway()
        with gateway.generate("t1") as quiet, gateway.generate("t1") as talker:
            quiet.until("start")
            talker.until("start")
            memory = gateway.memory()
            talker.connection.socket.settimeout(1)
            with self.assertRaises(TimeoutError):
                while True:
                    talker.connection.socket.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000)
            self.assertLess(gateway.memory(), memory + (1 << 20))
            job = self.claim("t1")
            job.begin()
            self.assertEqual(quiet.next_event().n, 2)
            self.assertEqual(talker.next_event().n, 2)
            job.finish()
            self.assertEqual([frame.n for frame in talker.to_end()], [3])

    def test_a_hundred_streams_without_readers(self):
        """Each is cut when it exceeds GATEWAY_OUTPUT_MAX, and its memory is freed. A client that reads misses no event."""
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="16k", GATEWAY_WRITE_TIMEOUT="5s")
        self.assertEqual(gateway.submit("t1").status, 202)
        files = gateway.open_files() + 2
        with gateway.follow("t1") as reader:
            deaf = [Connection(gateway.address, receive_buffer=2048) for _ in range(100)]
            for connection in deaf:
                self.addCleanup(connection.close)
                connection.request("GET", f"{BASE}/tasks/t1/stream")
            eventually(lambda: gateway.open_files() >= files + 100 - 2, "all streams are open")
            job = self.claim("t1")
            job.begin()
            reader.until("process calling")
            said = 0
            while gateway.open_files() > files:
                job.talk(60_000)
                self.assertEqual(reader.next_event().n, said + 3)
                said += 1
                self.assertLess(said, 200, "streams without a reader are not cut")
            job.finish()
            self.assertEqual(reader.until("done")[-1].event, "done")


if __name__ == "__main__":
    unittest.main()
