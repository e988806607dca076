"""Requests that are valid HTTP but must be refused, in numbered rows B70 to B128.

Rows B01 to B67 are invalid HTTP: raw files in tests/data/http, named after their rows.
"""

import json
import os
import re
import unittest

from gateway_case import GatewayTest
from support.http_client import fetch
from support.world import BASE, URLS, World

GENERATE, STREAM = f"{BASE}/generate", f"{BASE}/generate/stream"
GOOD = {"urls": URLS, "task_id": "bad1"}
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# (name, body, expected): expected is the pointer of the invalid field, or an error code other than invalid_fields.
BODIES = [
    ("B81 nothing", b"", "invalid_json"),
    ("B81 only spaces", b" \r\n\t ", "invalid_json"),
    ("B82 a list", b"[1]", "invalid_json"),
    ("B82 a number", b"1", "invalid_json"),
    ("B82 a text", b'"x"', "invalid_json"),
    ("B82 null", b"null", "invalid_json"),
    ("B83 trailing data after the object", b'{"urls":[]}x', "invalid_json"),
    ("B84 a name twice", b'{"prompt":"a","prompt":"b"}', "invalid_json"),
    ("B84 a name twice, once escaped", b'{"prompt":"a","pr\\u006fmpt":"b"}', "invalid_json"),
    ("B85 NaN", b'{"seed":NaN}', "invalid_json"),
    ("B85 Infinity", b'{"seed":-Infinity}', "invalid_json"),
    ("B85 a leading zero", b'{"seed":01}', "invalid_json"),
    ("B85 a plus", b'{"seed":+1}', "invalid_json"),
    ("B85 hexadecimal", b'{"seed":0x1}', "invalid_json"),
    ("B85 a trailing comma", b'{"seed":1,}', "invalid_json"),
    ("B85 a comment", b'{"seed":1}//x', "invalid_json"),
    ("B85 single quotes", b"{'seed':1}", "invalid_json"),
    ("B85 a number that no integer holds", b'{"seed":99999999999999999999}', "invalid_json"),
    ("B85 a number that no double holds", b'{"seed":1e999}', "invalid_json"),
    ("B86 a line end in a text", b'{"prompt":"a\nb"}', "invalid_json"),
    ("B87 a lone high surrogate", b'{"prompt":"\\ud800"}', "invalid_json"),
    ("B87 a lone low surrogate", b'{"prompt":"\\udc00"}', "invalid_json"),
    ("B87 a surrogate in UTF-8", b'{"prompt":"\xed\xa0\x80"}', "invalid_json"),
    ("B87 an overlong form", b'{"prompt":"\xc0\xaf"}', "invalid_json"),
    ("B87 a byte of no character", b'{"prompt":"\xff"}', "invalid_json"),
    ("B87 above the last code point", b'{"prompt":"\xf4\x90\x80\x80"}', "invalid_json"),
    ("B87 UTF-16", '{"urls":[]}'.encode("utf-16"), "invalid_json"),
    ("B87 a byte order mark and no urls", b'\xef\xbb\xbf{"task_id":"bad1"}', "/urls"),
    ("B87 two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf{}", "invalid_json"),
    ("B88 an escaped NUL", b'{"prompt":"a\\u0000b"}', "invalid_json"),
    ("B88 an escaped NUL in a name", b'{"a\\u0000b":1}', "invalid_json"),
    ("B88 a raw NUL", b'{"prompt":"a\0b"}', "invalid_json"),
    ("B90 2,040 lists", b'{"urls":' + 2040 * b"[" + 2040 * b"]" + b"}", "invalid_json"),
    ("B90 17 levels", 17 * b'{"a":' + b"1" + 17 * b"}", "invalid_json"),
    ("B90 nothing but brackets", 200_000 * b"[", "invalid_json"),

    ("B92 an unknown field", {"foo": 1}, "/foo"),
    ("B92 one that is nearly known", {"Prompt": "x"}, "/Prompt"),
    ("B92 the empty name", {"": 1}, "/"),
    ("B92 a name that a pointer escapes", {"a/b~c": 1}, "/a~1b~0c"),
    ("B92 a name of 1,000 letters", {1000 * "x": 1}, "/" + 63 * "x" + "..."),
    ("B93 no prompt", {"prompt": None}, "/prompt"),
    ("B93 a number", {"prompt": 1}, "/prompt"),
    ("B93 a list", {"prompt": ["x"]}, "/prompt"),
    ("B93 an empty one", {"prompt": ""}, "/prompt"),
    ("B93 spaces", {"prompt": " \t\u3000\r\n"}, "/prompt"),
    ("B94 4,001 characters", {"prompt": 4001 * "x"}, "/prompt"),
    ("B94 4,001 characters of four bytes", {"prompt": 4001 * "😀"}, "/prompt"),
    ("B97 a path", {"task_id": "../x"}, "/task_id"),
    ("B97 empty", {"task_id": ""}, "/task_id"),
    ("B97 129 letters", {"task_id": 129 * "x"}, "/task_id"),
    ("B97 a space", {"task_id": "a b"}, "/task_id"),
    ("B97 a hash tag", {"task_id": "{ig1}"}, "/task_id"),
    ("B97 a pattern", {"task_id": "*"}, "/task_id"),
    ("B97 an accent", {"task_id": "é"}, "/task_id"),
    ("B97 letters that look like ours", {"task_id": "\uff41"}, "/task_id"),
    ("B97 a line end", {"task_id": "a\n"}, "/task_id"),
    ("B97 markup", {"task_id": "<a>"}, "/task_id"),
    ("B97 a dot first", {"task_id": ".a"}, "/task_id"),
    ("B98 a number", {"task_id": 1}, "/task_id"),
    ("B98 null", {"task_id": None}, "/task_id"),
    ("B98 an object", {"task_id": {}}, "/task_id"),
    ("B102 no text", {"model": 1}, "/model"),
    ("B102 empty", {"model": ""}, "/model"),
    ("B102 a path", {"model": "../x"}, "/model"),
    ("B102 a header", {"model": "x\r\nHost: y"}, "/model"),
    ("B103 nothing by nothing", {"size": "0x0"}, "/size"),
    ("B103 too wide", {"size": "99999x1"}, "/size"),
    ("B103 too thin", {"size": "8192x14"}, "/size"),
    ("B103 a capital", {"size": "1024X1024"}, "/size"),
    ("B103 a trailing space", {"size": "1024x1024 "}, "/size"),
    ("B103 a sign", {"size": "+1024x1024"}, "/size"),
    ("B103 a leading zero", {"size": "01024x1024"}, "/size"),
    ("B103 too much area", {"size": "8192x8192"}, "/size"),
    ("B103 a number", {"size": 1024}, "/size"),
    ("B103 an unknown word", {"size": "5K"}, "/size"),
    ("B104 none", {"max_images": 0}, "/max_images"),
    ("B104 fewer", {"max_images": -1}, "/max_images"),
    ("B104 a fraction", {"max_images": 1.0}, "/max_images"),
    ("B104 an exponent", b'{"urls":["https://example.com/"],"task_id":"bad1","max_images":1e0}', "/max_images"),
    ("B104 a thousand", {"max_images": 1000}, "/max_images"),
    ("B104 a text", {"max_images": "1"}, "/max_images"),
    ("B104 true", {"max_images": True}, "/max_images"),
    ("B104 more than fit beside the urls", {"max_images": 14}, "/max_images"),
    ("B105 2^63 - 1", {"seed": 2**63 - 1}, "/seed"),
    ("B105 2^31", {"seed": 2**31}, "/seed"),
    ("B105 less than random", {"seed": -2}, "/seed"),
    ("B105 a text", {"seed": "1"}, "/seed"),
    ("B106 loopback", {"urls": ["http://127.0.0.1/"]}, "/urls/0"),
    ("B106 loopback in IPv6", {"urls": ["http://[::1]/"]}, "/urls/0"),
    ("B106 a cloud's metadata", {"urls": ["http://169.254.169.254/"]}, "/urls/0"),
    ("B106 hexadecimal", {"urls": ["http://0x7f.1/"]}, "/urls/0"),
    ("B106 one number", {"urls": ["http://2130706433/"]}, "/urls/0"),
    ("B106 a file", {"urls": ["file:///etc/passwd"]}, "/urls/0"),
    ("B106 gopher", {"urls": ["gopher://example.com/"]}, "/urls/0"),
    ("B106 no scheme", {"urls": ["//example.com/x"]}, "/urls/0"),
    ("B106 user and password", {"urls": ["https://user:pw@example.com/"]}, "/urls/0"),
    ("B106 escaped line ends", {"urls": ["https://example.com/\r\nHost: x"]}, "/urls/0"),
    ("B106 no text", {"urls": [{}]}, "/urls/0"),
    ("B106 no list", {"urls": URLS[0]}, "/urls"),
    ("B106 an empty list", {"urls": []}, "/urls"),
    ("B107 fifteen", {"urls": 15 * URLS[:1]}, "/urls"),
    ("B107 2,049 bytes", {"urls": ["https://example.com/".ljust(2049, "x")]}, "/urls/0"),
    ("B108 a picture inside, where that is off", {"urls": ["data:image/png;base64,AAAA"]}, "/urls/0"),
    ("B110 a priority", {"priority": "high"}, "/priority"),
    ("B111 a hundred paid calls", {"max_paid_calls": 100}, "/max_paid_calls"),
    ("B111 no paid call", {"max_paid_calls": 0}, "/max_paid_calls"),
]

HEADS = [
    ("B76 no Content-Type", {"Content-Type": None}, 415, "content_type"),
    ("B76 an empty one", {"Content-Type": ""}, 415, "content_type"),
    ("B76 text", {"Content-Type": "text/plain"}, 415, "content_type"),
    ("B76 a form", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "content_type"),
    ("B76 a form with files", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "content_type"),
    ("B77 another charset", {"Content-Type": "application/json; charset=latin1"}, 415, "content_type"),
    ("B77 a list of types", {"Content-Type": "application/json, application/json"}, 415, "content_type"),
    ("B78 gzip", {"Content-Encoding": "gzip"}, 415, "content_encoding"),
    ("B78 an unknown encoding", {"Content-Encoding": "x"}, 415, "content_encoding"),
    ("B79 nothing that a stream is", {"Accept": "application/xml"}, 406, "not_acceptable"),
    ("B79 all but that", {"Accept": "*/*;q=0"}, 406, "not_acceptable"),
    ("B80 no Content-Length", {"Content-Length": None}, 411, "length_required"),
    ("B97 a key that is no id", {"Idempotency-Key": "../x"}, 422, "invalid_fields"),
    ("B97 a key of 300 letters", {"Idempotency-Key": 300 * "x"}, 422, "invalid_fields"),
    ("B97 another id than the body's", {"Idempotency-Key": "other"}, 422, "invalid_fields"),
    ("B124 an origin of 4 KB", {"Origin": "https://" + 4096 * "a"}, 202, None),
    ("B124 an origin of 9 KB", {"Origin": "https://" + 9000 * "a"}, 431, "headers_too_large"),
    ("B124 an origin with a bare line end", {"Origin": "https://a\nX: y"}, 400, "bad_request"),
    ("B124 an origin with a bare CR", {"Origin": "https://a\rX: y"}, 400, "bad_request"),
    ("B124 two origins", {"Origin": "https://a\r\nOrigin: https://b"}, 400, "bad_request"),
]

PLACES = [
    ("B112 letters", "abc"), ("B112 a negative number", "-1"), ("B112 three parts", "1-2-3"), ("B112 one part", "12"),
    ("B112 10^30", f"{10**30}-1"), ("B112 10^30 as the number", f"1-{10**30}"), ("B112 2^63", f"{2**63}-1"), ("B112 200 digits", 200 * "1"),
    ("B112 a sign", "+1-2"), ("B112 hexadecimal", "0x1-2"), ("B112 a comma", "1-2,1-3"), ("B112 a space inside", "1 -2"),
]
QUERIES = [("B112 a NUL", "1-2%00"), ("B112 a line end", "1-2%0a"), ("B112 a cut escape", "1-2%0")]

UNKNOWN = [
    ("B114 an unknown id", "nobody"), ("B114 a path", ".."), ("B114 an encoded path", "%2e%2e%2fx"),
    ("B114 a pattern", "*"), ("B114 an encoded NUL", "a%00b"), ("B114 another client's full id", "other.t1"), ("B114 129 letters", 129 * "x"),
]

# Rows that are tested in another file: the file and the test.
ELSEWHERE = {
    "B70": ("test_gateway_keys.py", "test_B70_B71_B72_every_wrong_key_gets_the_same_answer_everywhere"),
    "B71": ("test_gateway_keys.py", "test_B70_B71_B72_every_wrong_key_gets_the_same_answer_everywhere"),
    "B72": ("test_gateway_keys.py", "test_B70_B71_B72_every_wrong_key_gets_the_same_answer_everywhere"),
    "B73": ("test_gateway_keys.py", "test_B73_tasks_of_other_clients_are_not_found"),
    "B74": ("test_gateway_keys.py", "test_B74_above_the_rate"),
    "B75": ("test_gateway_keys.py", "test_B75_too_many_streams"),
    "B83": ("test_gateway_requests.py", "test_invalid_json"),
    "B99": ("test_gateway.py", "test_same_request_attaches_and_replays_the_same_bytes"),
    "B100": ("test_gateway.py", "test_same_id_with_another_request_is_a_conflict"),
    "B101": ("test_gateway.py", "test_a_final_task_is_replayed_and_ended"),
    "B113": ("test_gateway.py", "test_an_unknown_last_event_id_gets_a_reset"),
    "B115": ("test_gateway.py", "test_resuming_after_the_final_event_gets_204"),
    "B116": ("test_gateway.py", "test_the_header_wins_over_the_query"),
    "B119": ("test_gateway_requests.py", "test_a_full_queue"),
    "B121": ("test_gateway_faults.py", "test_a_draining_gateway_accepts_no_connections"),
    "B122": ("test_gateway_requests.py", "test_cors_origins_list"),
    "B127": ("test_gateway_queue.py", "test_without_an_admin_key_the_endpoints_do_not_exist"),
}

# Rows about features that this product does not have.
ABSENT = {
    "B109": "no webhooks: nothing here connects to an address that a client names",
    "B110": "no priorities: the field is unknown",
}


class Rows(GatewayTest):
    """All rows are sent to one gateway; none may create a task."""

    @classmethod
    def setUpClass(cls):
        cls.shared = World(ark=False)
        cls.addClassCleanup(lambda: cls.shared.__exit__(None, None, None))
        cls.gateway = cls.shared.gateway(GATEWAY_HEARTBEAT="100ms")

    def setUp(self):
        self.world, self.redis, self.run_script = self.shared, self.shared.redis, self.shared.run_script
        self.redis("FLUSHALL")

    def post(self, path, body, headers=None):
        return fetch(self.gateway.address, "POST", path, body, headers)

    def assert_no_task(self):
        self.assertEqual(self.world.look().tasks, {})

    def test_bodies(self):
        for row, body, expected in BODIES:
            for path in (GENERATE, STREAM):
                with self.subTest(row, path=path):
                    answer = self.post(path, body if isinstance(body, bytes) else {**GOOD, **body})
                    if not expected.startswith("/"):
                        self.assert_problem(answer, 400, expected)
                        continue
                    problem = self.assert_problem(answer, 422, "invalid_fields")
                    self.assertEqual([error["pointer"] for error in problem["errors"]], [expected])
        self.assert_no_task()

    def test_heads(self):
        for row, headers, status, code in HEADS:
            with self.subTest(row):
                answer = self.post(GENERATE, GOOD, headers)
                self.assertEqual(answer.status, status)
                if code:
                    self.assert_problem(answer, status, code)
                    self.assert_no_task()
                else:
                    self.redis("FLUSHALL")

    def test_no_response_repeats_the_clients_input(self):
        """Except for a field's name, which is truncated and escaped."""
        mark = "zq7Xq"
        for body in ({**GOOD, "prompt": 1, "size": mark, "model": f"<{mark}>"}, {**GOOD, "urls": [f"file:///{mark}"]}, f'{{"{mark}'.encode()):
            self.assertNotIn(mark.encode(), self.post(GENERATE, body).body)
        for path in (f"/{mark}", f"{BASE}/tasks/{mark}", f"{BASE}/tasks/x/stream?last_event_id={mark}"):
            answer = fetch(self.gateway.address, "GET", path, headers={"X-Request-Id": f"{mark} <", "Origin": f"https://{mark}"})
            self.assertNotIn(mark, answer.body.decode() + str(answer.headers.pairs))

    def test_b94_the_longest_prompt_is_accepted(self):
        self.assertEqual(self.post(GENERATE, {**GOOD, "prompt": 4000 * "😀"}).status, 202)

    def test_b95_a_prompt_with_control_characters_is_accepted_and_not_logged(self):
        prompt = "\x1b[31m \u202e \uffff \x7f \u2028 \x85"
        with self.gateway.generate("t1", prompt=prompt) as stream:
            stream.until("start")
        self.assertEqual(json.loads(self.world.find("t1").request)["prompt"], prompt)
        self.assertFalse([line for line in self.gateway.lines if re.search("[\x00-\x08\x0a-\x1f\x7f\u202e]", line)])

    def test_b112_malformed_last_event_ids(self):
        self.gateway.submit("t1")
        path = f"{BASE}/tasks/t1/stream"
        for row, place in PLACES:
            with self.subTest(row):
                answer = fetch(self.gateway.address, "GET", path, headers={"Last-Event-ID": place})
                self.assert_problem(answer, 400, "invalid_last_event_id")
        for row, place in [(row, place.replace(" ", "%20").replace("+", "%2b")) for row, place in PLACES] + QUERIES:
            with self.subTest(row, query=place):
                answer = fetch(self.gateway.address, "GET", f"{path}?last_event_id={place}")
                self.assert_problem(answer, 400, "invalid_last_event_id")

    def test_b114_unknown_tasks(self):
        for row, task_id in UNKNOWN:
            for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("DELETE", "")):
                with self.subTest(row, method=method, path=path):
                    body = b"" if method == "POST" else None
                    answer = fetch(self.gateway.address, method, f"{BASE}/tasks/{task_id}{path}", body)
                    self.assert_problem(answer, 404, "task_not_found")

    def test_b118_cancelling_twice(self):
        self.gateway.submit("t1")
        self.assertEqual(self.gateway.cancel("t1").status, 200)
        self.assert_problem(self.gateway.cancel("t1"), 409, "task_final")
        self.assertEqual([self.gateway.erase("t1").status, self.gateway.erase("t1").status], [204, 404])

    def test_b126_forwarded_headers_are_ignored(self):
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Original-URL"):
            with self.subTest(name):
                answer = fetch(self.gateway.address, "GET", "/livez", headers={name: "DELETE, /admin/queue/pause, 10.0.0.1"})
                self.assertEqual(answer.json(), {"status": "ok"})
        self.assertFalse([line for line in self.gateway.lines if "10.0.0.1" in line])

    def test_b127_admin_endpoints(self):
        for path in ("/admin", "/admin/", "/admin/queue/pause", "/admin/queue/resume", "/debug", "/server-status", "/.env", "/config"):
            with self.subTest(path):
                for method in ("GET", "POST"):
                    self.assertIn(fetch(self.gateway.address, method, path, b"" if method == "POST" else None).status, (404, 405))

    def test_b128_a_stream_without_accept(self):
        self.gateway.submit("t1")
        with self.gateway.follow("t1") as stream:
            self.assertEqual(stream.next_event().event, "start")


class Away(GatewayTest):
    def test_b120_redis_is_down(self):
        gateway = self.world.gateway(wait_ready=False, REDIS_URL="unix:///nowhere/redis.sock")
        for method, path, body in (("POST", GENERATE, GOOD), ("POST", STREAM, GOOD), ("GET", f"{BASE}/tasks/t1", None),
                                   ("GET", f"{BASE}/tasks/t1/stream", None), ("POST", f"{BASE}/tasks/t1/cancel", b"")):
            with self.subTest(path):
                self.assert_problem(fetch(gateway.address, method, path, body), 503, "store_unavailable")
        self.assertEqual(gateway.get("/livez").status, 200)


class Completeness(unittest.TestCase):
    """Every row has a test in this file, an existing test in another file, or a reason why there is none."""

    GAPS = {"B89", "B91", "B96", "B117", "B123", "B125"}    # unused numbers

    def test_every_row_has_a_test_or_a_reason(self):
        with open(__file__, encoding="utf-8") as text:
            source = text.read()
        rows = set(re.findall(r'\("(B\d+) ', source)) | {name.upper() for name in re.findall(r"def test_(b\d+)_", source)}
        known = rows | set(ELSEWHERE) | set(ABSENT) | self.GAPS
        self.assertEqual([f"B{n}" for n in range(70, 129) if f"B{n}" not in known], [])

    def test_tests_in_other_files_exist(self):
        for row, (file, name) in ELSEWHERE.items():
            with self.subTest(row), open(os.path.join(TESTS, "integration", file), encoding="utf-8") as text:
                self.assertIn(f"{name}(", text.read())

    def test_every_raw_request_is_in_the_manifest_and_every_row_has_one(self):
        folder = os.path.join(TESTS, "data", "http")
        with open(os.path.join(folder, "manifest.txt"), encoding="utf-8") as text:
            manifest = text.read()
        named = set(re.findall(r"^(B[^ ]+) \d{3}$", manifest, re.M))
        self.assertEqual({f"{name}.http" for name in named}, {name for name in os.listdir(folder) if name.endswith(".http")})
        known = set(re.findall(r"\bB\d\d\b", manifest))
        self.assertEqual([f"B{n:02}" for n in range(68) if f"B{n:02}" not in known], [])
