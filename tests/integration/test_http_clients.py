"""What ordinary HTTP clients do: chunked bodies, half-closed connections, pipelined requests, empty lines, absolute targets, large
bodies written before the answer is read. Most cases send bytes over a socket; some run the real clients."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from gateway_case import FORGETFUL_ASAN, NEVER, GatewayTest
from support.certificates import Pair
from support.http_client import Connection, EventStream, fetch
from support.processes import DEADLINE
from support.world import BASE, request

MIB = 1 << 20
STREAM = f"{BASE}/generate/stream"
PROBE = "keep-alive"


def chunks(body, *sizes):
    """The body in chunks of these sizes, and one chunk with the rest."""
    coded, at = b"", 0
    for size in (*sizes, len(body)):
        piece = body[at:at + size]
        at += len(piece)
        if piece:
            coded += b"%x\r\n%s\r\n" % (len(piece), piece)
    return coded + b"0\r\n\r\n"


def post(path, task_id, extra="", version="1.1", **fields):
    body = json.dumps(request(task_id, **fields)).encode()
    head = f"POST {path} HTTP/{version}\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


class Case(GatewayTest):
    options = {"GATEWAY_HEARTBEAT": NEVER, "GATEWAY_TAIL_CHECK": NEVER}

    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(**self.options)

    def connect(self):
        connection = Connection(self.gateway.address)
        self.addCleanup(connection.close)
        return connection

    def run_task(self, task_id):
        job = self.claim(task_id)
        job.begin()
        job.finish()

    def attach(self, connection):
        """The stream that answers a request already sent over this connection; its start event has been read."""
        stream = EventStream.over(connection)
        self.assertEqual(stream.response.status, 200)
        stream.until("start")
        return stream

    def assert_ends(self, connection):
        """A FIN must follow, with no bytes before it. A reset raises an exception."""
        connection.socket.settimeout(DEADLINE)
        self.assertEqual((connection.unread(), connection.socket.recv(65536)), (b"", b""))


class Chunks(Case):
    def test_any_cut_of_a_body_is_the_same_request(self):
        body = json.dumps(request("t1", prompt="换脸")).encode()
        head = f"POST {BASE}/generate HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        connection = self.connect()
        for number, sizes in enumerate([(), (1,) * len(body), (7,) * len(body), (len(body) - 1,)]):
            connection.send(head + chunks(body, *sizes))
            self.assertEqual(connection.response().status, 200 if number else 202)
        self.assertEqual(len(self.world.look().tasks), 1)

    def test_http_client_with_an_iterator(self):
        client = http.client.HTTPConnection(self.gateway.address, timeout=30)
        self.addCleanup(client.close)
        pieces = [piece.encode() for piece in json.dumps(request("t1")).partition("urls")]
        client.request("POST", f"{BASE}/generate", iter(pieces), {"Content-Type": "application/json"}, encode_chunked=False)
        answer = client.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["task_id"]), (202, "t1"))

    @unittest.skipUnless(shutil.which("node"), "node is not installed")
    def test_fetch_with_a_stream(self):
        script = """
            const [url, body] = process.argv.slice(1);
            const stream = new ReadableStream({start(c) { for (const b of body) c.enqueue(new TextEncoder().encode(b)); c.close(); }});
            fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: stream, duplex: 'half'})
              .then(async answer => console.log(answer.status, (await answer.json()).task_id));"""
        done = subprocess.run(["node", "-e", script, f"http://{self.gateway.address}{BASE}/generate", json.dumps(request("t1"))],
                              stdout=subprocess.PIPE, check=True, timeout=60)
        self.assertEqual(done.stdout, b"202 t1\n")

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_from_stdin_and_with_expect(self):
        for task_id, header in (("t1", "Expect:"), ("t2", "Expect: 100-continue")):
            done = subprocess.run(["curl", "-sS", "--max-time", "30", "-X", "POST", "-T", "-", "-H", "Content-Type: application/json", "-H", header,
                                   "-w", " %{http_code}", f"http://{self.gateway.address}{BASE}/generate"],
                                  input=json.dumps(request(task_id)).encode(), stdout=subprocess.PIPE, check=True)
            body, _, status = done.stdout.rpartition(b" ")
            self.assertEqual((status, json.loads(body)["task_id"]), (b"202", task_id))

    def test_a_cancel_with_an_empty_chunked_body(self):
        self.gateway.submit("t1")
        connection = self.connect()
        connection.send(f"POST {BASE}/tasks/t1/cancel HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode())
        self.assertEqual(connection.response().status, 200)

    def test_a_body_without_length_and_without_chunks_is_refused(self):
        connection = self.connect()
        connection.send(f"POST {BASE}/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n".encode())
        self.assert_problem(connection.response(), 411, "length_required")

    def test_a_refused_request_creates_no_task(self):
        body = json.dumps(request("t1")).encode()
        good = chunks(body)
        for name, lines, coded, status in [
                ("Content-Length and chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", good, 400),
                ("another coding", "Transfer-Encoding: gzip\r\n", good, 400),
                ("two codings", "Transfer-Encoding: gzip, chunked\r\n", good, 400),
                ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", good, 400),
                ("space before the colon", "Transfer-Encoding : chunked\r\n", good, 400),
                ("0x", "Transfer-Encoding: chunked\r\n", b"0x" + good, 400),
                ("a sign", "Transfer-Encoding: chunked\r\n", b"+" + good, 400),
                ("bare LF", "Transfer-Encoding: chunked\r\n", good.replace(b"\r\n", b"\n"), 400),
                ("17 digits", "Transfer-Encoding: chunked\r\n", b"%017x\r\n%s\r\n0\r\n\r\n" % (len(body), body), 400),
                ("a chunk over the limit", "Transfer-Encoding: chunked\r\n", b"40001\r\n", 413),
                ("chunks over the limit", "Transfer-Encoding: chunked\r\n", chunks(b" " * 262145, *[1000] * 262), 413)]:
            with self.subTest(name):
                connection = self.connect()
                connection.send(f"POST {BASE}/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}\r\n".encode() + coded)
                answer = connection.response()
                self.assertEqual((answer.status, answer.headers["connection"]), (status, "close"))
                self.assert_ends(connection)
        self.assertEqual(self.world.look().tasks, {})


class HalfClosed(Case):
    def test_the_stream_is_complete_whenever_the_fin_arrives(self):
        for moment in ("together", "later", "with 1.0"):
            with self.subTest(moment):
                task_id = f"t-{moment.replace(' ', '-')}"
                connection = self.connect()
                connection.send(post(STREAM, task_id, version="1.0" if moment == "with 1.0" else "1.1"))
                if moment == "later":
                    self.world.wait_state(task_id, "queued")
                connection.socket.shutdown(socket.SHUT_WR)
                stream = self.attach(connection)
                self.assertEqual(stream.next().comment, PROBE)
                self.run_task(task_id)
                self.assertEqual([frame.event for frame in stream.to_end()], ["process", "done"])
                self.assert_ends(connection)

    def test_on_disconnect_acts_on_the_reset_not_on_the_fin(self):
        connection = self.connect()
        connection.send(post(STREAM, "t1", on_disconnect="cancel"))
        connection.socket.shutdown(socket.SHUT_WR)
        stream = self.attach(connection)
        self.assertEqual(stream.next().comment, PROBE)
        with self.gateway.generate("t1", on_disconnect="finish") as other:
            other.until("start")
        self.gateway.wait_for("closing task=public.t1 reason=client-gone")      # the other one
        self.assertEqual(self.world.find("t1").state, "queued")
        connection.close()
        self.claim("t1").begin()                                                  # writing the next event causes the reset
        self.gateway.wait_for(r"last client disconnected task=public\.t1 ")
        self.assertIn("cancel", self.world.find("t1").fields)

    def test_a_close_is_a_disconnect_at_once(self):
        with self.gateway.generate("t1", on_disconnect="cancel") as stream:
            stream.until("start")
        self.gateway.wait_for(r"last client disconnected task=public\.t1 answer=CANCELLED")

    def test_every_other_answer_is_complete_too(self):
        self.gateway.submit("t1")
        for path in ("/livez", "/readyz", f"{BASE}/tasks/t1", f"{BASE}/queue", "/", "/metrics", "/openapi.json", "/nowhere"):
            with self.subTest(path), self.connect() as connection:
                connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                connection.socket.shutdown(socket.SHUT_WR)
                self.assertIn(connection.response().status, (200, 404))
                self.assert_ends(connection)

    def test_under_tls_a_close_notify_is_a_disconnect(self):
        with contextlib.ExitStack() as stack:
            pair = Pair(stack.enter_context(tempfile.TemporaryDirectory()))
            gateway = self.world.gateway(wait_ready=False, **self.options, **pair.options())
            self.wait_connected(gateway, 1)
            stream = EventStream(gateway.address, "POST", STREAM, request("t1", on_disconnect="cancel"), tls=pair.trust())
            stack.callback(stream.close)
            stream.until("start")
            stream.connection.socket.settimeout(1)
            threading.Thread(target=self.send_close_notify, args=(stream.connection.socket,), daemon=True).start()
            gateway.wait_for(r"last client disconnected task=public\.t1 answer=CANCELLED")

    @staticmethod
    def send_close_notify(tls_socket):
        with contextlib.suppress(OSError):
            tls_socket.unwrap()

    def test_a_drain_ends_a_half_closed_stream_cleanly(self):
        connection = self.connect()
        connection.send(post(STREAM, "t1"))
        connection.socket.shutdown(socket.SHUT_WR)
        stream = self.attach(connection)
        self.gateway.stop()
        self.assertEqual([frame.event for frame in stream.to_end()], [])
        self.assert_ends(connection)


class Pipelined(Case):
    """Requests and empty lines that arrive while a stream is open."""

    def test_a_request_after_a_stream_is_answered_after_it(self):
        for moment in ("together", "later", "together, then FIN"):
            with self.subTest(moment):
                task_id = f"t-{len(moment)}"
                connection = self.connect()
                livez = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
                connection.send(post(STREAM, task_id) + (livez if moment.startswith("together") else b""))
                if moment.endswith("FIN"):
                    connection.socket.shutdown(socket.SHUT_WR)
                stream = self.attach(connection)
                if moment == "later":
                    connection.send(livez)
                self.run_task(task_id)
                self.assertEqual([frame.event for frame in stream.to_end()], ["process", "done"])
                self.assertEqual(connection.response().status, 200)
                if moment.endswith("FIN"):
                    self.assert_ends(connection)

    def test_two_streams_and_a_fin(self):
        connection = self.connect()
        connection.send(post(STREAM, "t1") + post(STREAM, "t2"))
        connection.socket.shutdown(socket.SHUT_WR)
        for task_id in ("t1", "t2"):
            stream = self.attach(connection)
            self.run_task(task_id)
            self.assertEqual(stream.to_end()[-1].event, "done")
        self.assert_ends(connection)

    def test_an_empty_line_after_a_request_is_ignored(self):
        for together in (True, False):
            with self.subTest(together=together):
                task_id = f"t-{together}"
                connection = self.connect()
                connection.send(post(STREAM, task_id) + (b"\r\n" if together else b""))
                stream = self.attach(connection)
                if not together:
                    connection.send(b"\r\n")
                self.run_task(task_id)
                self.assertEqual(stream.to_end()[-1].event, "done")
                connection.request("GET", "/livez")
                self.assertEqual(connection.response().status, 200)

    def test_a_drain_ends_the_stream_and_serves_no_further_request(self):
        connection = self.connect()
        connection.send(post(STREAM, "t1") + post(STREAM, "t2"))
        stream = self.attach(connection)
        self.gateway.stop()
        stream.to_end()
        self.assert_ends(connection)
        self.assertNotIn("t2", self.world.look().tasks)

    def test_memory_of_pipelined_bytes_is_bounded(self):
        """At most 4 KiB of them are read per stream; the parser needs some memory too."""
        self.gateway = self.world.gateway(**self.options, ASAN_OPTIONS=FORGETFUL_ASAN)
        ahead = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 3000
        memory = 0
        for _ in range(2):
            for _ in range(100):
                connection = self.connect()
                connection.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    connection.socket.send(post(STREAM, "t1") + ahead)
                self.attach(connection)
            held, memory = self.gateway.memory() - memory, self.gateway.memory()
        self.assertLess(held / 100, 32 * 1024)


class TooLarge(Case):
    """The client writes its complete body before it reads, and must still get the answer."""

    def test_sockets(self):
        for size in (1, 2, 5, 20):
            for is_chunked in (False, True):
                with self.subTest(size=size, chunked=is_chunked):
                    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size * MIB}"
                    connection = self.connect()
                    connection.send(f"POST {BASE}/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{framing}\r\n\r\n".encode())
                    connection.send(chunks(b" " * size * MIB, *[65536] * 16 * size) if is_chunked else b" " * size * MIB)
                    self.assert_problem(connection.response(), 413, "body_too_large")
                    self.assert_ends(connection)

    def test_urllib_and_http_client(self):
        body = b" " * 20 * MIB
        asked = urllib.request.Request(f"http://{self.gateway.address}{BASE}/generate", body, {"Content-Type": "application/json"})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60)
        self.addCleanup(caught.exception.close)
        self.assertEqual(caught.exception.code, 413)
        client = http.client.HTTPConnection(self.gateway.address, timeout=60)
        self.addCleanup(client.close)
        client.request("POST", f"{BASE}/generate", body, {"Content-Type": "application/json"})
        self.assertEqual(client.getresponse().status, 413)

    @unittest.skipUnless(shutil.which("node"), "node is not installed")
    def test_fetch(self):
        script = """fetch(process.argv[1], {method: 'POST', headers: {'Content-Type': 'application/json'}, body: ' '.repeat(20 << 20)})
                      .then(async answer => console.log(answer.status, (await answer.json()).code));"""
        done = subprocess.run(["node", "-e", script, f"http://{self.gateway.address}{BASE}/generate"], stdout=subprocess.PIPE,
                              check=True, timeout=60)
        self.assertEqual(done.stdout, b"413 body_too_large\n")


class Targets(Case):
    def test_an_absolute_target_is_routed_by_its_path(self):
        self.gateway.submit("t1")
        for target, status in ((f"http://{self.gateway.address}/livez", 200), ("http://example.com/livez", 200), ("https://example.com:443/livez?x", 200),
                               ("HTTP://EXAMPLE.COM/livez", 200), ("http://example.com", 200), (f"http://example.com{BASE}/tasks/t1", 200),
                               ("http://example.com/nowhere", 404), ("http://u@example.com/livez", 400), ("ftp://example.com/livez", 400)):
            with self.subTest(target), self.connect() as connection:
                connection.send(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                self.assertEqual(connection.response().status, status)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_with_the_gateway_as_its_proxy(self):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}", "-x", f"http://{self.gateway.address}",
                               "http://example.com/livez"], stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout, b"200")

    def test_an_invalid_host_is_refused(self):
        for host, status in (("a:x", 400), ("[::1", 400), ("a:80:90", 400), ("a b", 400), ("", 400), ("[::1]:8000", 200), ("a.example:8000", 200)):
            with self.subTest(host=host):
                self.assertEqual(fetch(self.gateway.address, "GET", "/livez", headers={"Host": host}).status, status)

    def test_every_content_encoding_line_is_checked(self):
        body = json.dumps(request("t1")).encode()
        for lines, status in ((("identity", "gzip"), 415), (("gzip", "identity"), 415), (("identity, gzip",), 415), (("identity", "identity"), 202)):
            with self.subTest(lines=lines), self.connect() as connection:
                more = "".join(f"Content-Encoding: {value}\r\n" for value in lines)
                connection.send(f"POST {BASE}/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{more}"
                                f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                self.assertEqual(connection.response().status, status)


if __name__ == "__main__":
    unittest.main()
