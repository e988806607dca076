"""The proxy configurations in deploy/ in front of a gateway: events pass at once, silence does not end a stream, stored pictures can be
read, no other path is open.

The files are used unchanged except for addresses, certificate and shorter timeouts of nginx and HAProxy: 4 s instead of 60 s, so that a
stream of 9 s and an answer of 6 s exceed them.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import unittest

from support.certificates import Pair
from support.documents import ROOT
from support.http_client import Connection, EventStream, fetch
from support.nginx import Nginx, is_listening
from support.images import png
from support.processes import DEADLINE, ProcessTest, Program, eventually
from support.redis_server import free_port
from support.world import BASE, World, request, sim

NGINX = ROOT / "deploy/nginx/arkrelay.conf"
CADDY = ROOT / "deploy/caddy/Caddyfile"
HAPROXY = ROOT / "deploy/haproxy/haproxy.cfg"
ADMIN_KEY = "operators-only-0123"
HOST = {"Host": "localhost"}
PATIENCE_S = 4                  # read timeout of nginx and HAProxy
UPLOAD_BYTES = 30 << 20         # the most that ARK takes
HELD_BACK_MS = 60_000           # images arrive after the end of the test


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, f"{old!r} is not there any more"
        text = text.replace(old, new)
    return text


class ProxyTest(ProcessTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="arkrelay-tls-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.pair = Pair(self.folder)
        self.tls = self.pair.trust()
        self.world = World()
        self.addCleanup(lambda: self.world.__exit__(None, None, None))
        self.storage = {"STORAGE": os.path.join(self.folder, "pictures")}
        self.gateway = self.world.gateway(**self.storage, GATEWAY_HEARTBEAT="500ms", GATEWAY_OPENAI_HOLD="1s", GATEWAY_ADMIN_KEY=ADMIN_KEY, **self.gateway_options())
        self.worker = self.world.worker(**self.storage)
        self.address = self.start_proxy()

    def gateway_options(self):
        return {}

    def tearDown(self):
        if self.worker.is_running():
            self.worker.kill()          # its calls would delay the drain
        self.world.redis("FLUSHALL")

    def check_stream(self, silence_s):
        """Expects the first events at once, then only heartbeats, then the final event."""
        prompt = sim("t1", f"images=1 first_latency={silence_s * 1000}")
        with EventStream(self.address, "POST", f"{BASE}/generate/stream", request("t1", prompt=prompt), HOST, tls=self.tls) as stream:
            self.assertFalse(stream.refused, stream.response)
            calling = stream.until("process calling")[-1]
            events = stream.to_end()
            self.assertEqual([frame.story() for frame in events], ["process image", "done"])
            self.assertGreater(events[0].at - calling.at, silence_s / 2)

    def check_openai(self, silence_s):
        """An image that takes longer than the proxy's patience: the head comes after the hold, then white space."""
        body = {"prompt": f"slow [[sim: first_latency={silence_s * 1000}]]"}
        for stream in (False, True):
            answer = self.ask("POST", "/v1/images/generations", {**body, "stream": stream})
            self.assertEqual(answer.status, 200, answer.body)
            self.assertIn(b"data: {" if stream else b'"data":[{"url"', answer.body)

    def check_disconnect(self):
        """The gateway notices when a client disconnects."""
        body = request("t4", prompt=sim("t4", f"first_latency={HELD_BACK_MS}"))
        with EventStream(self.address, "POST", f"{BASE}/generate/stream", body, HOST, tls=self.tls) as stream:
            stream.until("process calling")
            self.assertEqual(self.count_streams(), 1)
        eventually(lambda: self.count_streams() == 0, "the gateway learns of it")

    def count_streams(self):
        text = self.gateway.get("/metrics", Authorization=f"Bearer {ADMIN_KEY}").body.decode()
        return int(re.search(r"^arkrelay_sse_streams (\d+)", text, re.M).group(1))

    def check_pictures(self):
        """A stored picture is passed on whole, in parts, and with its headers."""
        with EventStream(self.address, "POST", f"{BASE}/generate/stream", request("t5", max_images=1), HOST, tls=self.tls) as stream:
            path = json.loads(stream.to_end()[-1].data)["data"]["generated_images"][0]["stored_url"]
        direct = eventually(lambda: (answer := self.gateway.get(path)).status == 200 and answer, "the picture is stored")
        answer = self.ask("GET", path)
        self.assertEqual((answer.status, answer.body), (200, direct.body))
        for name in ("ETag", "Content-Type", "X-Content-Type-Options"):
            self.assertEqual(answer.headers[name], direct.headers[name])
        self.assertTrue(answer.headers["Cache-Control"].startswith("private, max-age="))
        part = self.ask("GET", path, headers={"Range": "bytes=10-19"})
        self.assertEqual((part.status, part.body), (206, direct.body[10:20]))
        self.assertEqual(self.ask("GET", path, headers={"If-None-Match": direct.headers["ETag"]}).status, 304)
        self.assertEqual(self.ask("GET", "/p").status, 404)

    def check_the_largest_upload(self):
        answer = self.ask("POST", f"{BASE}/uploads", png(100, 100, UPLOAD_BYTES), {"Content-Type": "image/png"})
        self.assertEqual((answer.status, answer.json()["bytes"]), (201, UPLOAD_BYTES))

    def check_other_paths(self):
        answer = self.ask("POST", f"{BASE}/generate", request("t2", prompt=sim("t2", f"first_latency={HELD_BACK_MS}")))
        self.assertEqual(answer.status, 202)
        self.assertEqual(self.ask("GET", f"{BASE}/tasks/t2").json()["task_id"], "t2")
        self.assertEqual(self.ask("GET", "/v1/models").json()["object"], "list")
        self.assertEqual(self.ask("GET", "/v10").status, 404)
        for path in ("/", "/metrics", "/admin/overview", "/readyz", "/openapi.json"):
            self.assertEqual(self.ask("GET", path).status, 404, path)

    def ask(self, method, path, body=None, headers=None):
        return fetch(self.address, method, path, body, HOST | (headers or {}), tls=self.tls)

    def curl(self, *words):
        """The output of curl for a request over HTTP/2."""
        port = self.address.rpartition(":")[2]
        done = subprocess.run(["curl", "-sS", "--http2", "--cacert", self.pair.cert, "--resolve", f"localhost:{port}:127.0.0.1",
                               "-w", "\n%{http_version} %{http_code}", *words, f"https://localhost:{port}{BASE}/generate/stream"],
                              capture_output=True, text=True, timeout=DEADLINE, check=True)
        return done.stdout

    def check_http2(self):
        body = '{"urls":["https://example.com/1.jpg"],"task_id":"t3"}'
        said = self.curl("-H", "Content-Type: application/json", "-d", body)
        self.assertIn("event: done", said)
        self.assertTrue(said.endswith("2 200"), said[-20:])


@unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
class BehindNginx(ProxyTest):
    def gateway_options(self):
        return {"GATEWAY_CONNECTIONS_PER_ADDRESS": "0"}

    def start_proxy(self):
        servers = replaced(NGINX.read_text(), ("server 127.0.0.1:8000 max_fails=0;", f"server {self.gateway.address} max_fails=0;"),
                           ("listen 443 ssl http2;", "listen 127.0.0.1:{port} ssl http2;"), ("    listen [::]:443 ssl http2;\n", ""),
                           ("/etc/letsencrypt/live/images.example.com/fullchain.pem", self.pair.cert),
                           ("/etc/letsencrypt/live/images.example.com/privkey.pem", self.pair.key),
                           ("proxy_read_timeout 60s;", f"proxy_read_timeout {PATIENCE_S}s;"),
                           ("limit_conn arkrelay_clients 100;", "limit_conn arkrelay_clients 5;"),
                           ("listen 80;", f"listen 127.0.0.1:{free_port()};"), ("    listen [::]:80;\n", ""))
        nginx = Nginx(servers)
        self.addCleanup(nginx.close)
        return nginx.address

    def test_streams_disconnects_and_other_paths(self):
        self.check_stream(2 * PATIENCE_S + 1)
        self.check_openai(PATIENCE_S + 2)
        self.check_disconnect()
        self.check_pictures()
        self.check_the_largest_upload()
        self.check_other_paths()
        self.check_http2()
        self.assertEqual(self.ask("POST", f"{BASE}/generate", b" " * 300_000, {"Content-Type": "application/json"}).status, 413)

    def test_nginx_limits_streams_per_client_and_ignores_forwarded_headers(self):
        with contextlib.ExitStack() as stack:
            def stream(n):
                tale = {"X-Forwarded-For": f"203.0.113.{n}", "X-Real-IP": f"203.0.113.{n}", "Forwarded": f"for=203.0.113.{n}"}
                body = request(f"s{n}", prompt=sim(f"s{n}", f"first_latency={HELD_BACK_MS}"))
                return stack.enter_context(EventStream(self.address, "POST", f"{BASE}/generate/stream", body, tale, tls=self.tls))
            for n in range(5):
                stream(n).until("start")
            self.assertEqual(stream(5).response.status, 429)
        self.assertFalse([line for line in self.gateway.lines if "203.0.113" in line])


@unittest.skipUnless(shutil.which("caddy"), "caddy is not installed")
class BehindCaddy(ProxyTest):
    def start_proxy(self):
        port = free_port()
        config = os.path.join(self.folder, "Caddyfile")
        text = replaced(CADDY.read_text(), ("127.0.0.1:8000", self.gateway.address),
                        ("images.example.com {\n", f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {self.pair.cert} {self.pair.key}\n"))
        with open(config, "w", encoding="utf-8") as file:
            file.write("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
        caddy = Program("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", config],
                        env={"HOME": self.folder, "XDG_DATA_HOME": self.folder, "XDG_CONFIG_HOME": self.folder})
        self.addCleanup(lambda: caddy.is_running() and caddy.kill())
        eventually(lambda: is_listening(f"127.0.0.1:{port}"), "caddy listens")
        return f"127.0.0.1:{port}"

    def test_streams_disconnects_and_other_paths(self):
        self.check_stream(2)
        self.check_openai(2)
        self.check_disconnect()
        self.check_pictures()
        self.check_the_largest_upload()
        self.check_other_paths()
        self.check_http2()


@unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed")
class BehindHaproxy(ProxyTest):
    def gateway_options(self):
        return {"GATEWAY_CONNECTIONS_PER_ADDRESS": "0"}

    def start_proxy(self):
        port = free_port()
        pem, config = os.path.join(self.folder, "both.pem"), os.path.join(self.folder, "haproxy.cfg")
        with open(pem, "w", encoding="utf-8") as file:
            file.writelines(pathlib.Path(part).read_text(encoding="utf-8") for part in (self.pair.cert, self.pair.key))
        text = replaced(HAPROXY.read_text(), ("127.0.0.1:8000", self.gateway.address), ("bind :443", f"bind 127.0.0.1:{port}"),
                        ("/etc/haproxy/images.example.com.pem", pem), ("    bind :80\n", ""),
                        ("timeout client 60s ", f"timeout client {PATIENCE_S}s "), ("timeout server 60s ", f"timeout server {PATIENCE_S}s "))
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        haproxy = Program("haproxy", ["haproxy", "-db", "-f", config])
        self.addCleanup(lambda: haproxy.is_running() and haproxy.kill())
        eventually(lambda: is_listening(f"127.0.0.1:{port}"), "haproxy listens")
        self.haproxy = haproxy
        return f"127.0.0.1:{port}"

    def test_streams_disconnects_and_other_paths(self):
        self.check_stream(2 * PATIENCE_S + 1)
        self.check_openai(PATIENCE_S + 2)
        self.check_disconnect()
        self.check_pictures()
        self.check_the_largest_upload()
        self.check_other_paths()
        self.check_http2()
        said = "\n".join(self.haproxy.lines)
        self.assertIn(f"{BASE}/tasks/t2", said)
        self.assertNotIn("/p/", said)


class InFrontOfAll(ProcessTest):
    def test_https_without_a_proxy(self):
        folder = tempfile.mkdtemp(prefix="arkrelay-tls-")
        self.addCleanup(shutil.rmtree, folder, True)
        pair = Pair(folder)
        with World() as world:
            gateway = world.gateway(wait_ready=False, **pair.options())
            world.worker()
            eventually(lambda: fetch(gateway.address, "GET", "/readyz", tls=pair.trust()).status == 200, "it is ready")
            with EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), tls=pair.trust()) as stream:
                self.assertEqual(stream.to_end()[-1].event, "done")
            with self.assertRaises(ssl.SSLError), Connection(gateway.address, tls=ssl.create_default_context()):
                pass


if __name__ == "__main__":
    unittest.main()
