"""Every raw request, directly and through proxies: the gateway must not see more requests than the proxy has sent.

Request smuggling works with bytes that one side reads as one request and the other as two. Each proxy here keeps its connections to
the gateway open and shares them among clients. After each raw file a marked request is sent, and it must get its own answer. Each
proxy runs with its default configuration and with the most lenient one.
"""

import pathlib
import re
import shutil
import socket
import tempfile
import threading
import unittest

from support.http_client import Connection, Cut, fetch
from support.processes import DEADLINE, Deadline, ProcessTest, Program, eventually
from support.redis_server import free_port
from support.world import BASE, World, request

RAW = pathlib.Path(__file__).resolve().parent.parent / "data" / "http"
SEEN = re.compile(r" http +connection .*(to=handling|from=head to=sending)")
SENT = re.compile(r"hop sent=(gateway|127\.0\.0\.1:\d+) ")

NGINX = """
    daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
    events {{ }}
    http {{
        log_format hop "hop sent=$upstream_addr request=$http_x_request_id";
        access_log /dev/stdout hop;
        client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
        uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
        client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 50ms; lingering_close off; reset_timedout_connection on;
        upstream gateway {{ server {gateway}; keepalive 2; }}
        server {{
            listen 127.0.0.1:{port};
            {more}
            location / {{
                proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_next_upstream off;
            }}
        }}
    }}"""

HAPROXY = """
global
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "hop sent=%s request=%[capture.req.hdr(0)]"
    timeout connect 10s
    timeout client 2s
    timeout server 10s
    timeout http-request 1s
    timeout http-keep-alive 50ms
    http-reuse always
    {more_defaults}
frontend front
    bind 127.0.0.1:{port}
    http-request capture req.hdr(x-request-id) len 64
    {more}
    default_backend back
backend back
    server gateway {gateway} pool-max-conn 2
"""

# Requests that the gateway accepts and the proxy refuses.
STRICTER = {
    ("nginx", "B45-dots"),                              # dots above the root
    ("nginx", "B49-white-space-behind-a-length"),       # a tab after a Content-Length
    ("haproxy", "B24-trailer-transfer-encoding"),       # refuses the trailer; RFC 9110, section 6.5.1, allows ignoring it
    ("haproxy", "B28-absolute-form"),                   # target and Host differ; in RFC 9112, section 3.2.2, the target wins
    ("haproxy", "B28-absolute-query-without-path"),     # an empty path before a query is valid in RFC 3986
    ("haproxy", "B47-one-empty-line-behind"),           # takes the empty line for the beginning of a request, and adds a 408
    ("haproxy", "B47-one-empty-line-behind-a-body"),
    ("haproxy", "B47-one-empty-line-behind-chunks"),
}
ACCEPTED = {200, 204, 404, 405}


def read_manifest():
    rows = re.findall(r"^(B\S+) (\d+)$", (RAW / "manifest.txt").read_text(encoding="utf-8"), re.M)
    return [(name, (RAW / f"{name}.http").read_bytes(), int(status)) for name, status in rows]


def statuses(answer):
    """Final statuses only, because a proxy may send "100 Continue" itself."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d) [A-Z]", answer)]


class Hop:
    """One path to one gateway, directly or through a proxy, with the request counts of both ends."""

    def __init__(self, name, gateway, address, proxy=None):
        self.name, self.gateway, self.address, self.proxy = name, gateway, address, proxy
        self.findings = []          # failures, which the main thread reports
        self.answers = {}           # statuses by file name
        self.seen = 0               # requests that the gateway has seen
        self._marks = 0
        self._seen_to = self._sent_to = 0

    def pass_all(self, rows):
        try:
            self._mark()
            for name, raw, _ in rows:
                self._pass(name, raw)
        except (AssertionError, OSError) as error:
            self.findings.append(f"{self.name}: {error!r}")

    def _pass(self, name, raw):
        with Connection(self.address) as connection:
            try:
                connection.send(raw)
                if not self.proxy:
                    connection.socket.shutdown(socket.SHUT_WR)
            except OSError:         # refused before everything was sent
                pass
            self.answers[name] = statuses(connection.wait_closed())
        seen, sent = self._mark()
        self.seen += seen
        if seen > sent if self.proxy else seen != len(self.answers[name]):
            self.findings.append(f"{self.name}: {name}: {sent} sent, {seen} seen, answers {self.answers[name]}")

    def _mark(self):
        """Returns (seen, sent) since the last mark. The mark is a request that must get its own answer."""
        self._marks += 1
        mark = f"{self.name}-{self._marks}"
        answer = fetch(self.address, "POST", f"{BASE}/generate", request(mark), {"X-Request-Id": mark})
        if (answer.status, answer.headers.get("x-request-id")) != (202, mark) or answer.json()["task_id"] != mark:
            self.findings.append(f"{self.name}: {mark} got the answer of another: {answer}")
        return self._count_seen(mark) - 1, self._count_sent(mark) - 1

    def _count_seen(self, mark):
        return self._count(self.gateway, "_seen_to", f"request_id={mark}", SEEN)

    def _count_sent(self, mark):
        return self._count(self.proxy, "_sent_to", f"request={mark}", SENT) if self.proxy else 1

    def _count(self, program, place, last, pattern):
        """Counts the log lines with the pattern, from the end of the last count to the line of the mark."""
        def find_mark():
            lines = list(program.lines)[getattr(self, place):]
            return next((lines[:i + 1] for i, line in enumerate(lines) if line.endswith(last)), None)
        lines = eventually(find_mark, f"{last} in the log of {program.name}")
        setattr(self, place, getattr(self, place) + len(lines))
        return sum(bool(pattern.search(line)) for line in lines)


class Smuggling(ProcessTest):
    maxDiff = None

    def setUp(self):
        self.world = World(ark=False)
        self.addCleanup(lambda: self.world.__exit__(None, None, None))
        self.folder = tempfile.mkdtemp(prefix="arkrelay-hop-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def start(self, name, argv, template, **more):
        gateway, port = self.world.gateway(), free_port()
        folder = pathlib.Path(self.folder, name)
        folder.mkdir()
        config = folder / "conf"
        config.write_text(template.format(folder=folder, port=port, gateway=gateway.address, **more), encoding="ascii")
        proxy = Program(name, [*argv, str(config)])
        address = f"127.0.0.1:{port}"

        def is_up():
            try:
                return fetch(address, "GET", "/livez", headers={"X-Request-Id": "first"}).status == 200
            except (ConnectionError, Cut):
                return False
        eventually(is_up, f"{name} listens")
        return Hop(name, gateway, address, proxy)

    def nginx(self, name, more=""):
        return self.start(name, ["nginx", "-e", "stderr", "-p", self.folder, "-c"], NGINX, more=more)

    def haproxy(self, name, more="", more_defaults=""):
        return self.start(name, ["haproxy", "-db", "-f"], HAPROXY, more=more, more_defaults=more_defaults)

    @unittest.skipUnless(shutil.which("nginx") and shutil.which("haproxy"), "nginx or haproxy is not installed")
    def test_the_gateway_sees_only_requests_that_were_sent(self):
        gateway = self.world.gateway()
        hops = [
            Hop("direct", gateway, gateway.address),
            self.nginx("nginx"),
            self.nginx("nginx-lenient", "ignore_invalid_headers off; underscores_in_headers on; merge_slashes off; "
                                        "client_max_body_size 0; proxy_request_buffering off;"),
            self.haproxy("haproxy"),
            self.haproxy("haproxy-lenient", "option accept-invalid-http-request"),
        ]
        rows = read_manifest()
        threads = [threading.Thread(target=hop.pass_all, args=(rows,), daemon=True) for hop in hops]
        for thread in threads:
            thread.start()
        deadline = Deadline(4 * DEADLINE)
        for thread in threads:
            thread.join(deadline.left())
            self.assertFalse(thread.is_alive(), "a hop hangs")
        self.assertEqual([finding for hop in hops for finding in hop.findings], [])
        self.check_answers(hops, rows)
        for hop in hops[1:]:
            hop.proxy.kill()

    def check_answers(self, hops, rows):
        """Requests that the gateway accepts must get the same answers through every proxy. Many others must reach it too."""
        direct = hops[0].answers
        accepted = [name for name, _, _ in rows if ACCEPTED.issuperset(direct[name])]
        self.assertGreater(len(accepted), 20)
        others = {f"{name} through {hop.name}": (hop.answers[name], direct[name]) for hop in hops[1:] for name in accepted
                  if hop.answers[name] != direct[name] and (hop.name.partition("-")[0], name) not in STRICTER}
        self.assertEqual(others, {})
        for hop in hops[1:]:
            self.assertGreater(hop.seen, len(accepted))


if __name__ == "__main__":
    unittest.main()
