"""Every response has the CORS headers, including errors of the HTTP server itself. Without them a page only gets "Failed to fetch"."""

from gateway_case import GatewayTest
from support.http_client import Connection
from support.world import BASE

PAGE = "https://page.example"
EXPOSED = ("Arkrelay-Ignored, Arkrelay-Spending, Arkrelay-Tasks, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, "
           "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-should-retry")
POST = f"POST {BASE}/generate HTTP/1.1"
JSON = "Content-Type: application/json"

# name, status, request line, header lines; the test adds Origin before or after them
REFUSED = [
    ("a header without a name", 400, POST, [": x"]),
    ("a space before the colon", 400, POST, ["X-A : b"]),
    ("a control byte", 400, POST, ["X-A: \x01"]),
    ("a version without digits", 400, "GET / HTTP/x.y", []),
    ("two lengths", 400, POST, [JSON, "Content-Length: 1", "Content-Length: 2"]),
    ("a body without a length", 411, POST, [JSON]),
    ("a body too large", 413, POST, [JSON, "Content-Length: 999999999"]),
    ("a target too long", 414, f"GET /{'x' * 5000} HTTP/1.1", []),
    ("a target far too long", 414, f"GET /{'x' * 14000} HTTP/1.1", []),
    ("an expectation", 417, POST, [JSON, "Content-Length: 2", "Expect: magic"]),
    ("a header too long", 431, "GET / HTTP/1.1", [f"X-A: {'x' * 9000}"]),
    ("too many headers", 431, "GET / HTTP/1.1", [f"X-{n}: x" for n in range(70)]),
    ("an unknown method", 501, "BREW / HTTP/1.1", []),
    ("another version", 505, "GET / HTTP/3.0", []),
    ("no route", 404, "GET /nothing HTTP/1.1", []),
    ("a method that the path does not have", 405, "PUT /livez HTTP/1.1", ["Content-Length: 0"]),
    ("another type", 415, POST, ["Content-Type: text/plain", "Content-Length: 0"]),
]


def head(line, headers):
    return "\r\n".join([line, "Host: test", *headers, "\r\n"]).encode("latin-1")


class Cors(GatewayTest):
    def answer_to(self, gateway, raw):
        with Connection(gateway.address) as connection:
            connection.send(raw)
            return connection.response()

    def assert_readable(self, answer, status, allowed, vary=None):
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.headers.get("access-control-allow-origin"), allowed)
        self.assertEqual(answer.headers.get("access-control-expose-headers"), EXPOSED if allowed else None)
        self.assertEqual(answer.headers.get("vary"), vary)

    def test_every_origin_may_read_every_error(self):
        gateway = self.world.gateway()
        for name, status, line, headers in REFUSED:
            with self.subTest(name):
                self.assert_readable(self.answer_to(gateway, head(line, [*headers, f"Origin: {PAGE}"])), status, "*")

    def test_a_listed_origin_may_read_every_error(self):
        gateway = self.world.gateway(GATEWAY_CORS_ORIGINS=f"https://other.example, {PAGE}")
        for name, status, line, headers in REFUSED:
            for order, lines in (("Origin last", [*headers, f"origin:{PAGE} "]), ("Origin first", [f"Origin: {PAGE}", *headers])):
                with self.subTest(name, order=order):
                    self.assert_readable(self.answer_to(gateway, head(line, lines)), status, PAGE, "Origin")
            with self.subTest(name, order="another page"):
                answer = self.answer_to(gateway, head(line, [*headers, f"Origin: {PAGE}.evil.example"]))
                self.assert_readable(answer, status, None, "Origin")

    def test_headers_in_a_body_are_ignored(self):
        gateway = self.world.gateway(GATEWAY_CORS_ORIGINS=PAGE)
        raw = head(POST, [JSON, "Content-Length: 999999999"]) + f"\r\nOrigin: {PAGE}\r\n".encode()
        self.assert_readable(self.answer_to(gateway, raw), 413, None, "Origin")

    def test_a_request_timeout(self):
        gateway = self.world.gateway(GATEWAY_CORS_ORIGINS=PAGE, GATEWAY_HEAD_TIMEOUT="200ms", GATEWAY_BODY_TIMEOUT="200ms")
        origin = f"Origin: {PAGE}"
        for raw in (f"{POST}\r\nHost: test\r\n{origin}\r\nX-A: ".encode(), head(POST, [origin, JSON, "Content-Length: 9"]) + b"{"):
            self.assert_readable(self.answer_to(gateway, raw), 408, PAGE, "Origin")
        self.assert_readable(self.answer_to(gateway, f"{POST}\r\n{origin}".encode()), 408, None, "Origin")

    def test_too_many_connections(self):
        gateway = self.world.gateway(wait_ready=False, GATEWAY_CONNECTIONS_MAX=1)
        with Connection(gateway.address) as first:
            first.request("GET", "/livez")
            first.response()
            with Connection(gateway.address) as second:
                self.assert_readable(second.response(), 503, "*")
