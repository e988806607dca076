"""Clients whose weapon is time: heads and bodies that never end, answers that are never read, connections that say nothing.

    cd tests/integration                    # the long form, for some two minutes
    HOSTILE_STRANGERS=10000 HOSTILE_SECONDS=30 ARKRELAY_BIN=$PWD/../../build/release/bin PYTHONPATH=.. python3 -m unittest -v test_hostile_slow

While they are there a good client is served, and the deadlines cut every one of them. The latencies are printed, not judged: what they
are depends on the machine.
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

STRANGERS = int(os.environ.get("HOSTILE_STRANGERS", "1500"))
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "3"))
QUICK = {"GATEWAY_HEAD_TIMEOUT": "2s", "GATEWAY_BODY_TIMEOUT": "2s", "GATEWAY_IDLE_TIMEOUT": "2s", "GATEWAY_WRITE_TIMEOUT": "2s"}
POST = f"POST {BASE}/generate HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n".encode()
GET_PAGE = 64 * b"GET / HTTP/1.1\r\nHost: slow\r\n\r\n"


class Stranger:
    """A connection that begins, and goes on a byte at a time, or not at all."""

    KINDS = [
        ("says nothing", b"", b""),
        ("its head does not end", POST, b"X-a: b\r\n"),
        ("its body does not end", POST + b"\r\n", b"x"),
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

    def go_on(self):
        """One byte more. False: the gateway has ended it."""
        try:
            if self.rest:
                self.socket.send(self.rest[self.at % len(self.rest):][:1])
                self.at += 1
            return not self.reads or self.socket.recv(4096) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Strangers:
    """So many at once, for as long as they are asked to go on; who is cut comes again."""

    def __init__(self, count, address):
        self.address = address
        self.cut = 0
        self.all = [Stranger(n, address) for n in range(count)]

    def go_on(self, come_again=True):
        left = []
        for n, stranger in enumerate(self.all):
            if stranger.go_on():
                left.append(stranger)
                continue
            stranger.socket.close()
            self.cut += 1
            if come_again:
                left.append(Stranger(n, self.address))
        self.all = left

    def close(self):
        for stranger in self.all:
            stranger.socket.close()


class Slow(GatewayTest):
    def setUp(self):
        super().setUp()
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def serve_once(self, gateway):
        """The same task posted again, and asked for; ms."""
        began = time.monotonic()
        self.assertEqual(gateway.submit("good").status, 200)
        self.assertEqual(gateway.task("good").json()["status"], "queued")
        return (time.monotonic() - began) * 1000

    def serve(self, gateway, seconds, meanwhile=lambda: None):
        """A good client for so long: each of its requests is answered. What they took."""
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

    def assert_all_forgotten(self, gateway, files, what):
        eventually(lambda: gateway.open_files() <= files, what, DEADLINE)

    def test_strangers_from_many_addresses(self):
        gateway = self.world.gateway(LOG_LEVEL="info", **(QUICK if SECONDS < 30 else {}))
        self.assertEqual(gateway.submit("good").status, 202)
        files = gateway.open_files() + 1        # the one that is being asked
        self.tell("alone", self.serve(gateway, SECONDS / 2))
        strangers = Strangers(STRANGERS, gateway.address)
        self.addCleanup(strangers.close)
        strangers.go_on()
        self.assertGreater(gateway.open_files() + strangers.cut, files + STRANGERS / 2)     # some may have been cut already
        self.tell(f"among {STRANGERS} strangers", self.serve(gateway, SECONDS, strangers.go_on))
        deadline = Deadline(4 * DEADLINE)
        while gateway.open_files() > files:     # nobody comes again: the deadlines end them all, while they go on as before
            self.assertFalse(deadline.passed(), "strangers outlive their deadlines")
            strangers.go_on(come_again=False)
            self.serve_once(gateway)
        self.assertGreater(strangers.cut, STRANGERS / 2)
        self.tell("alone again", self.serve(gateway, SECONDS / 2))

    @unittest.skipUnless(shutil.which("slowhttptest"), "slowhttptest is not installed")
    def test_slowhttptest(self):
        """Slow heads, slow bodies and slow readers at once: 450 of each, in the long form 3,000."""
        count = max(400, STRANGERS * 3 // 10)
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
        self.assert_all_forgotten(gateway, files, "every attacker is cut")
        for attack in attacks:
            attack.wait_exit()
            self.assertNotIn("NO", [line.split()[-1] for line in attack.lines if "service available" in line], attack.name)
        self.assertEqual(gateway.submit("after").status, 202)


class Streams(GatewayTest):
    """The other direction: what an open stream hears, and who does not listen to it."""

    def test_a_client_that_floods_its_open_stream_disturbs_no_other(self):
        """Its bytes stay in the kernel, up to what that takes, and its stream goes on."""
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
            job = self.job("t1")
            job.begin()
            self.assertEqual(quiet.next_event().n, 2)
            self.assertEqual(talker.next_event().n, 2)
            job.finish()
            self.assertEqual([frame.n for frame in talker.to_end()], [3])

    def test_a_hundred_streams_that_nobody_reads(self):
        """Each is cut once it is further behind than it may be; what they held is given back, and who reads misses nothing."""
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="16k", GATEWAY_WRITE_TIMEOUT="5s")
        self.assertEqual(gateway.submit("t1").status, 202)
        files = gateway.open_files() + 2
        with gateway.follow("t1") as reader:
            deaf = [Connection(gateway.address, receive_buffer=2048) for _ in range(100)]
            for connection in deaf:
                self.addCleanup(connection.close)
                connection.request("GET", f"{BASE}/tasks/t1/stream")
            eventually(lambda: gateway.open_files() >= files + 100 - 2, "they are all there")
            job = self.job("t1")
            job.begin()
            reader.until("process calling")
            said = 0
            while gateway.open_files() > files:
                job.talk(60_000)
                self.assertEqual(reader.next_event().n, said + 3)
                said += 1
                self.assertLess(said, 200, "streams that nobody reads are not cut")
            job.finish()
            self.assertEqual(reader.until("done")[-1].event, "done")


if __name__ == "__main__":
    unittest.main()
