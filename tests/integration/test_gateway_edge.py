"""TLS, certificates, connection limits, and the maximum age of a stream."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile

from gateway_case import NEVER, GatewayTest
from support.certificates import Pair
from support.http_client import Connection, EventStream, fetch
from support.processes import Program, binary, eventually
from support.world import BASE, request

REFUSED_OPTIONS = 78


class Tls(GatewayTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.pair = Pair(self.folder)

    def gateway(self, **options):
        gateway = self.world.gateway(wait_ready=False, **self.pair.options(), **options)
        self.wait_connected(gateway, int(options.get("GATEWAY_THREADS", 1)))
        return gateway

    def generate(self, gateway, task_id, trust):
        return EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request(task_id), tls=trust)

    def test_a_stream_with_its_heartbeats(self):
        gateway = self.gateway(GATEWAY_HEARTBEAT="100ms")
        with self.generate(gateway, "t1", self.pair.trust()) as stream:
            stream.until("start")
            for _ in range(3):
                self.assertEqual(stream.next().comment, "keep-alive")
            job = self.claim("t1")
            job.begin()
            job.talk(50_000)    # more than one TLS record
            job.finish()
            self.assertEqual([frame.n for frame in stream.to_end()], [2, 3, 4])
        self.assertEqual(fetch(gateway.address, "GET", "/livez", tls=self.pair.trust()).status, 200)

    def test_sighup_loads_the_new_certificate_and_keeps_streams_open(self):
        gateway = self.gateway(GATEWAY_THREADS=2)
        old = self.pair.der()
        with self.generate(gateway, "t1", self.pair.trust()) as stream:
            stream.until("start")
            with open(self.pair.cert, "w", encoding="ascii") as file:
                file.write("half written")
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("keeping the old one.*why=\"the certificate file holds no certificate")
            self.assertEqual(self.shown(gateway), {old})
            self.pair.renew()
            self.assertNotEqual(self.pair.der(), old)
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("certificate reloaded")
            self.assertEqual(self.shown(gateway), {self.pair.der()})
            self.claim("t1").finish()
            self.assertEqual(stream.to_end()[-1].event, "done")

    @staticmethod
    def shown(gateway):
        """The certificates of several connections, enough that every thread has served one."""
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        found = set()
        for _ in range(16):
            with Connection(gateway.address, tls=anyone) as connection:
                found.add(connection.socket.getpeercert(binary_form=True))
        return found

    def s_client(self, gateway, *options):
        return subprocess.run(
            ["openssl", "s_client", "-connect", gateway.address, "-quiet", "-no_ign_eof", "-servername", "localhost", *options],
            input=b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", capture_output=True, timeout=30, check=False)

    def test_openssl_as_a_client(self):
        gateway = self.gateway()
        checks = ["-CAfile", self.pair.cert, "-verify_return_error", "-verify_hostname"]
        cases = [
            ("TLS 1.3", ["-tls1_3", "-ign_eof", *checks, "localhost"], b"HTTP/1.1 200", None),
            ("TLS 1.2", ["-tls1_2", "-ign_eof", *checks, "localhost"], b"HTTP/1.1 200", None),
            ("TLS 1.1", ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], None, b"alert protocol version"),
            ("a cipher without forward secrecy", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], None, b"alert handshake failure"),
            ("HTTP/2 alone", ["-alpn", "h2"], None, b"alert no application protocol"),
            ("HTTP/2 or 1.1", ["-alpn", "h2,http/1.1", "-ign_eof"], b"HTTP/1.1 200", None),
            ("another name", [*checks, "example.com"], None, b"ostname mismatch"),
        ]
        for name, options, answer, error in cases:
            with self.subTest(name):
                done = self.s_client(gateway, *options)
                self.assertEqual(done.stdout[:12], answer or b"", done)
                self.assertIn(error or b"", done.stderr)

    def test_plain_http_on_a_tls_port_gets_an_error(self):
        gateway = self.gateway()
        answer = fetch(gateway.address, "GET", "/livez")
        self.assertEqual(answer.status, 400)
        self.assertIn("HTTPS", answer.json()["detail"])

    def test_healthcheck_over_tls(self):
        gateway = self.gateway()
        for options, status in [(self.pair.options(), 0), ({}, 1)]:
            program = Program("healthcheck", [binary("arkrelay-gateway"), "--healthcheck"],
                              {"GATEWAY_LISTEN": gateway.address, "REDIS_URL": self.world.redis_server.url, **options})
            self.assertEqual(program.wait_exit(), status)
            program.forget()

    def test_invalid_certificate_files(self):
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        other = Pair(other)
        cases = [
            ({"GATEWAY_TLS_CERT": self.pair.cert}, "set both or neither"),
            ({"GATEWAY_TLS_KEY": self.pair.key}, "set both or neither"),
            ({"GATEWAY_TLS_CERT": self.pair.cert, "GATEWAY_TLS_KEY": other.key}, "does not belong to the certificate"),
            ({"GATEWAY_TLS_CERT": self.pair.key, "GATEWAY_TLS_KEY": self.pair.key}, "no certificate in PEM"),
            ({"GATEWAY_TLS_CERT": self.pair.cert, "GATEWAY_TLS_KEY": "/nowhere"}, "No such file or directory"),
        ]
        for options, why in cases:
            with self.subTest(why):
                program = Program("gateway", [binary("arkrelay-gateway")],
                                  {"GATEWAY_LISTEN": "127.0.0.1:0", "REDIS_URL": self.world.redis_server.url, **options})
                self.assertEqual(program.wait_exit(), REFUSED_OPTIONS)
                program.forget()
                self.assertEqual(len(program.lines), 1, program.lines)
                self.assertIn(why, program.lines[0])


class Limits(GatewayTest):
    def test_connections_per_address_over_all_threads(self):
        gateway = self.world.gateway(GATEWAY_THREADS=2, GATEWAY_CONNECTIONS_PER_ADDRESS=4)
        with contextlib.ExitStack() as stack:
            # Earlier connections to /readyz may still be closing.
            mine = [stack.enter_context(eventually(lambda: self.taken(gateway), "there is room")) for _ in range(4)]
            with Connection(gateway.address) as fifth:
                fifth.request("GET", "/livez")
                problem = self.assert_problem(fifth.response(), 503, "too_many_connections")
                self.assertEqual(problem["detail"], "Too many connections are open from this address")
            gateway.wait_for(r"too many connections from this address peer=127\.0\.0\.1:")
            with socket.create_connection(self.host_and_port(gateway), source_address=("127.0.0.2", 0)) as other:
                other.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(other.recv(12), b"HTTP/1.1 200")
            mine[0].close()
            stack.enter_context(eventually(lambda: self.taken(gateway), "there is room again"))

    @staticmethod
    def host_and_port(gateway):
        host, _, port = gateway.address.rpartition(":")
        return host, int(port)

    @staticmethod
    def taken(gateway):
        """An open connection that is served, or None if it is refused."""
        connection = Connection(gateway.address)
        connection.request("GET", "/livez")
        if connection.response().status == 200:
            return connection
        connection.close()
        return None

    def test_every_limit_is_an_option(self):
        head = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
        cases = [
            ("head timeout", {"GATEWAY_HEAD_TIMEOUT": "100ms"}, head, 408),
            ("body timeout", {"GATEWAY_BODY_TIMEOUT": "100ms"},
             f"POST {BASE}/generate HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{{".encode(), 408),
            ("headers", {"GATEWAY_HEADERS_MAX": "8"}, head + b"A: b\r\n" * 7 + b"\r\n", 200),
            ("one header more", {"GATEWAY_HEADERS_MAX": "8"}, head + b"A: b\r\n" * 8 + b"\r\n", 431),
            ("bytes of the head", {"GATEWAY_HEAD_MAX": "1k"}, head + b"A: " + b"b" * 1000 + b"\r\n\r\n", 431),
        ]
        for name, options, sent, status in cases:
            with self.subTest(name):
                gateway = self.world.gateway(**options)
                with Connection(gateway.address) as connection:
                    connection.send(sent)
                    self.assertEqual(connection.response().status, status)
                self.assertEqual(gateway.stop(), 0)

    def test_idle_connections_and_stalled_readers_are_closed(self):
        gateway = self.world.gateway(GATEWAY_IDLE_TIMEOUT="100ms", GATEWAY_WRITE_TIMEOUT="200ms", GATEWAY_OUTPUT_MAX="64m")
        with Connection(gateway.address) as connection:
            connection.request("GET", "/livez")
            self.assertEqual(connection.response().status, 200)
            self.assertEqual(connection.wait_closed(), b"")
        self.assertEqual(gateway.submit("t1").status, 202)
        job = self.claim("t1")
        before = gateway.open_files()
        with EventStream(gateway.address, "GET", f"{BASE}/tasks/t1/stream", receive_buffer=4096):
            for _ in range(120):
                job.talk(60_000)
            eventually(lambda: self.subscribers("t1") == 0 and gateway.open_files() <= before, "it is cut")
        job.finish()


class Life(GatewayTest):
    def test_an_old_stream_ends_and_its_client_resumes(self):
        for name, options in [("silent", {"GATEWAY_HEARTBEAT": "100ms"}), ("busy", {"GATEWAY_HEARTBEAT": NEVER})]:
            with self.subTest(name):
                gateway = self.world.gateway(GATEWAY_STREAM_LIFE="1s", **options)
                with gateway.generate(name) as stream:
                    seen = stream.until("start")
                    job = self.claim(name)
                    job.begin()
                    frames = self.read_to_end(stream, job if name == "busy" else None)
                    self.assertEqual(frames[-1].event, None)
                    self.assertTrue(500 <= frames[-1].retry <= 1500, frames[-1])
                    self.assertEqual(stream.connection.wait_closed(), b"", "the connection has ended, too")
                    seen += [frame for frame in frames if frame.event]
                with gateway.follow(name, seen[-1].id) as stream:
                    job.finish()
                    seen += stream.to_end()
                self.assertEqual([frame.n for frame in seen], list(range(1, len(seen) + 1)))
                self.assertEqual(seen[-1].event, "done")
                self.assertEqual(gateway.stop(), 0)

    @staticmethod
    def read_to_end(stream, job):
        """Reads all frames; after each one, the job emits another event."""
        frames = []
        while True:
            if job:
                job.talk(10)
            frame = stream.next()
            if frame is None:
                return frames
            frames.append(frame)

    def test_stream_life_can_be_unlimited(self):
        gateway = self.world.gateway(GATEWAY_STREAM_LIFE="0", GATEWAY_HEARTBEAT="100ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            for _ in range(15):
                self.assertEqual(stream.next().comment, "keep-alive")
            self.claim("t1").finish()
            self.assertEqual(stream.to_end()[-1].event, "done")
