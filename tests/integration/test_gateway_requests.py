"""The gateway's responses to single requests, valid and invalid, and the effect of its options."""

import json
import socket
import subprocess
import threading
import unittest

from gateway_case import GatewayTest
from support.http_client import Connection, EventStream, fetch
from support.processes import Program, ProcessTest, binary, eventually
from support.scripts import PREFIX
from support.world import BASE, URLS, World, request

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GOOD = request("bad1")

BAD_FIELDS = [
    ("no urls", {"task_id": "bad1"}, ["/urls"]),
    ("no urls and no prompt", {"task_id": "bad1", "urls": [], "size": "2K"}, ["/urls"]),
    ("no task_id", {"urls": URLS}, ["/task_id"]),
    ("an unknown field", {**GOOD, "promt": "x"}, ["/promt"]),
    ("a private host", {**GOOD, "urls": ["https://example.com/", "http://169.254.169.254/"]}, ["/urls/1"]),
    ("a data URL", {**GOOD, "urls": ["data:image/png;base64,AAAA"]}, ["/urls/0"]),
    ("too many urls", {**GOOD, "urls": 15 * URLS[:1]}, ["/urls"]),
    ("a long url", {**GOOD, "urls": ["https://example.com/" + 2048 * "x"]}, ["/urls/0"]),
    ("an unknown word on leaving", {**GOOD, "on_disconnect": "stop"}, ["/on_disconnect"]),
    ("too many paid calls", {**GOOD, "max_paid_calls": 6}, ["/max_paid_calls"]),
    ("several", {"urls": 1, "task_id": "../x", "prompt": "", "<script>": 1}, ["/urls", "/task_id", "/prompt", "/<script>"]),
]

BAD_JSON = [
    ("empty", b""), ("spaces", b"  "), ("a list", b"[]"), ("a text", b'"x"'), ("null", b"null"), ("half", b'{"urls":['),
    ("twice", b'{"task_id":"a","task_id":"b"}'), ("latin-1", b'{"prompt":"\xe9"}'), ("deep", b"[" * 2000), ("NUL", b'{"a":"\\u0000"}'),
    ("two", b"{}{}"), ("utf-16", '{"urls":[]}'.encode("utf-16")),
]

BAD_HEADS = [
    ("no type", {"Content-Type": None}, 415, "content_type"),
    ("text", {"Content-Type": "text/plain"}, 415, "content_type"),
    ("a form", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "content_type"),
    ("latin-1", {"Content-Type": "application/json; charset=latin1"}, 415, "content_type"),
    ("gzip", {"Content-Encoding": "gzip"}, 415, "content_encoding"),
    ("no length", {"Content-Length": None}, 411, "length_required"),
    ("another id in the key", {"Idempotency-Key": "other"}, 422, "invalid_fields"),
]


class Requests(GatewayTest):
    """One gateway serves all tests of this class."""

    @classmethod
    def setUpClass(cls):
        cls.shared = World(ark=False)
        cls.addClassCleanup(lambda: cls.shared.__exit__(None, None, None))
        cls.gateway = cls.shared.gateway(GATEWAY_HEARTBEAT="100ms", GATEWAY_BODY_MAX="8k")

    def setUp(self):
        self.world, self.redis, self.run_script = self.shared, self.shared.redis, self.shared.run_script
        self.redis("FLUSHALL")

    def post(self, path, body, headers=None):
        return fetch(self.gateway.address, "POST", BASE + path, body, headers)

    def test_bad_fields_are_listed_with_pointers(self):
        for name, body, pointers in BAD_FIELDS:
            with self.subTest(name):
                problem = self.assert_problem(self.post("/generate/stream", body), 422, "invalid_fields")
                self.assertEqual(sorted(error["pointer"] for error in problem["errors"]), sorted(pointers))
                self.assertTrue(all(error["detail"] for error in problem["errors"]))
                self.assertIn(problem["errors"][0]["detail"], problem["detail"])
        self.assertEqual(self.world.look().tasks, {})

    def test_invalid_json(self):
        for name, body in BAD_JSON:
            with self.subTest(name):
                self.assert_problem(self.post("/generate/stream", body), 400, "invalid_json")
        self.assertEqual(self.world.look().tasks, {})

    def test_invalid_headers(self):
        for path in ("/generate", "/generate/stream"):
            for name, headers, status, code in BAD_HEADS:
                with self.subTest(name, path=path):
                    self.assert_problem(self.post(path, GOOD, headers), status, code)
        self.assertEqual(self.world.look().tasks, {})

    def test_a_body_that_is_too_large_is_not_read(self):
        with Connection(self.gateway.address) as raw:
            raw.request("POST", f"{BASE}/generate", None, {"Content-Type": "application/json", "Content-Length": "8193"})
            self.assert_problem(raw.response(), 413, "body_too_large")

    def test_accept(self):
        for accept in (None, "*/*", "text/*", "text/event-stream", "application/json, text/plain, */*"):
            with self.subTest(accept), self.gateway.generate("t1", {"Accept": accept}) as stream:
                self.assertEqual(stream.response.status, 200)
        for accept in ("application/json", "text/html", "*/*;q=0", ""):
            with self.subTest(accept):
                self.assert_problem(self.post("/generate/stream", GOOD, {"Accept": accept}), 406, "not_acceptable")
                answer = fetch(self.gateway.address, "GET", f"{BASE}/tasks/t1/stream", headers={"Accept": accept})
                self.assert_problem(answer, 406, "not_acceptable")
        self.assert_problem(self.post("/generate", GOOD, {"Accept": "text/event-stream"}), 406, "not_acceptable")

    def test_unknown_paths_and_methods(self):
        for method, path in (("GET", "/nothing"), ("GET", BASE), ("POST", f"{BASE}/generate/"), ("GET", f"{BASE}/tasks/"),
                             ("GET", f"{BASE}/tasks/a/b"), ("GET", "//livez")):
            with self.subTest(path):
                self.assert_problem(fetch(self.gateway.address, method, path), 404, "not_found")
        for method, path, allow in (("GET", "/generate", {"POST", "OPTIONS"}), ("PUT", "/tasks/t1", {"GET", "HEAD", "DELETE", "OPTIONS"})):
            with self.subTest(path):
                answer = fetch(self.gateway.address, method, BASE + path)
                self.assert_problem(answer, 405, "method_not_allowed")
                self.assertEqual({word.strip() for word in answer.headers["allow"].split(",")}, allow)

    def test_generate_answers_with_links(self):
        answer = self.gateway.submit("t1")
        self.assertEqual(answer.status, 202)
        self.assertEqual(answer.json(), {"task_id": "t1", "status": "queued", "links": {
            "self": f"{BASE}/tasks/t1", "stream": f"{BASE}/tasks/t1/stream", "cancel": f"{BASE}/tasks/t1/cancel"}})
        self.assertEqual(answer.headers["location"], f"{BASE}/tasks/t1")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.claim("t1")
        again = self.gateway.submit("t1")
        self.assertEqual((again.status, again.json()["status"]), (200, "running"))
        self.assert_problem(self.gateway.submit("t1", prompt="x"), 409, "task_id_conflict")

    def test_generate_creates_an_id_if_none_is_given(self):
        ids = {self.post("/generate", {"urls": URLS}).json()["task_id"] for _ in range(3)}
        self.assertEqual(len(ids), 3)
        for task_id in ids:
            self.assertRegex(task_id, "^[0-9a-f]{32}$")
            self.assertEqual(self.gateway.task(task_id).status, 200)

    def test_idempotency_key_is_used_as_the_id(self):
        for value in ("key-1", '"key-1"'):
            self.assertEqual(self.post("/generate", {"urls": URLS}, {"Idempotency-Key": value}).json()["task_id"], "key-1")
        with EventStream(self.gateway.address, "POST", f"{BASE}/generate/stream", {"urls": URLS}, {"Idempotency-Key": "key-1"}) as stream:
            self.assertEqual(stream.until("start")[0].payload()["task_id"], "key-1")
        self.assertEqual(self.post("/generate", request("key-1"), {"Idempotency-Key": "key-1"}).status, 200)
        self.assert_problem(self.post("/generate", GOOD, {"Idempotency-Key": "a b"}), 422, "invalid_fields")

    def test_get_task_in_each_state(self):
        def task():
            answer = self.gateway.task("t1")
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            return answer.json()
        self.gateway.submit("t0")
        self.gateway.submit("t1", max_paid_calls=3)
        waiting = task()
        self.assertRegex(waiting.pop("created_at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(waiting.pop("epoch"), self.world.find("t1").number("epoch"))
        self.assertEqual(waiting, {
            "task_id": "t1", "status": "queued", "position": 2, "attempts": 0, "paid_calls": 0, "max_paid_calls": 3, "unknown_calls": 0,
            "timing": {"queued_ms": None, "total_ms": None}, "generated_images": [], "failed_images": [], "links": {
                "self": f"{BASE}/tasks/t1", "stream": f"{BASE}/tasks/t1/stream", "cancel": f"{BASE}/tasks/t1/cancel"}})
        self.claim("t0")
        job = self.claim("t1")
        job.begin()
        job.emit(0)
        running = task()
        self.assertEqual((running["status"], running["attempts"], running["max_attempts"], running["paid_calls"]), ("running", 1, 3, 1))
        self.assertEqual(running["generated_images"], [{"index": 0, "url": "https://ark.example.com/1.jpg", "size": "2K"}])
        self.assertNotIn("position", running)
        self.assertGreaterEqual(running["timing"]["queued_ms"], 0)
        job.finish()
        done = task()
        self.assertEqual((done["status"], done["result"]["generated_images"]), ("done", running["generated_images"]))
        self.assertGreaterEqual(done["timing"]["total_ms"], done["timing"]["queued_ms"])
        self.assertNotIn("error", done)
        self.assertNotIn("generated_images", done)
        for task_id in ("nobody", "..", "a%20b", "x" * 129):
            self.assert_problem(self.gateway.task(task_id), 404, "task_not_found")

    def test_a_failed_task_has_its_error(self):
        self.gateway.submit("t1")
        job = self.claim("t1")
        failure = json.dumps({"code": "ark_overloaded", "error": 'why "so"?', "retryable": True})
        self.run_script("finish", job.id, job.fence, "failed", "none", 0, failure)
        task = self.gateway.task("t1").json()
        self.assertEqual((task["status"], task["error"]["code"], task["error"]["error"]), ("failed", "ark_overloaded", 'why "so"?'))
        self.assertNotIn("result", task)

    def test_cancel(self):
        self.gateway.submit("t1")
        self.gateway.submit("t2")
        self.claim("t1")
        answer = self.gateway.cancel("t1")
        self.assertEqual((answer.status, answer.json()), (202, {"task_id": "t1", "status": "running"}))
        self.assertEqual(self.world.find("t1").fields["cancel"], "1")
        self.assertEqual(self.gateway.cancel("t2").status, 200)
        self.assert_problem(self.gateway.cancel("t2"), 409, "task_final")
        self.assert_problem(self.gateway.cancel("nobody"), 404, "task_not_found")
        self.assertEqual(self.gateway.task("t2").json()["error"]["code"], "cancelled")

    def test_a_paused_queue_refuses_new_tasks(self):
        self.gateway.submit("t1")
        self.redis("HSET", f"{PREFIX}queue", "paused", "1")
        self.assert_problem(self.gateway.submit("t2"), 503, "queue_paused")
        with self.gateway.generate("t2") as stream:
            self.assert_problem(stream.response, 503, "queue_paused")
        self.assertEqual(self.gateway.submit("t1").status, 200)
        self.assertEqual(self.gateway.get("/readyz").json(), {"status": "ready", "paused": True})

    def test_a_byte_order_mark_is_ignored(self):
        body = json.dumps(GOOD).encode()
        self.assertEqual(self.post("/generate", body).status, 202)
        hash = self.world.find("bad1").fields["hash"]
        for kind in ("application/json; charset=utf8", 'Application/JSON;charset="UTF8"', "application/json"):
            self.assertEqual(self.post("/generate", b"\xef\xbb\xbf" + body, {"Content-Type": kind}).status, 200)
        self.redis("FLUSHALL")
        self.assertEqual(self.post("/generate", b"\xef\xbb\xbf" + body).status, 202)
        self.assertEqual(self.world.find("bad1").fields["hash"], hash)

    def test_cors_allows_every_origin_by_default(self):
        preflight = fetch(self.gateway.address, "OPTIONS", f"{BASE}/generate/stream", headers={
            "Origin": "https://page.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
        self.assertEqual(preflight.status, 204)
        self.assertEqual(preflight.headers["access-control-allow-origin"], "*")
        self.assertIn("POST", preflight.headers["access-control-allow-methods"])
        allowed = preflight.headers["access-control-allow-headers"].split(", ")
        self.assertLessEqual({"*", "Authorization", "Content-Type", "Last-Event-ID"}, set(allowed))
        self.assertGreater(int(preflight.headers["access-control-max-age"]), 0)
        for answer in (self.post("/generate", GOOD), self.post("/generate", {}), self.gateway.get("/nothing"), self.gateway.get("/livez")):
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertNotIn("vary", answer.headers)
        with self.gateway.generate("bad1", {"Origin": "null"}) as stream:
            self.assertEqual(stream.response.headers["access-control-allow-origin"], "*")

    def test_options_without_cors(self):
        answer = fetch(self.gateway.address, "OPTIONS", f"{BASE}/tasks/t1")
        self.assertEqual(answer.status, 204)
        self.assertIn("GET", answer.headers["allow"])
        self.assertNotIn("access-control-allow-methods", answer.headers)

    def test_head(self):
        self.gateway.submit("t1")
        for path in ("/livez", "/readyz", f"{BASE}/tasks/t1"):
            answer = fetch(self.gateway.address, "HEAD", path)
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertGreater(int(answer.headers["content-length"]), 0)

    def test_health(self):
        live, ready = self.gateway.get("/livez"), self.gateway.get("/readyz")
        self.assertEqual((live.status, live.json()), (200, {"status": "ok"}))
        self.assertEqual((ready.status, ready.json()), (200, {"status": "ready", "paused": False}))

    def test_request_id_and_trace(self):
        self.assertEqual(self.gateway.get("/livez", **{"X-Request-Id": "my-id_1"}).headers["x-request-id"], "my-id_1")
        self.assertNotEqual(self.gateway.get("/livez").headers["x-request-id"], self.gateway.get("/livez").headers["x-request-id"])
        with self.gateway.generate("t1", {"traceparent": TRACE, "X-Request-Id": "my-id_2"}) as stream:
            self.assertEqual(stream.response.headers["x-request-id"], "my-id_2")
        self.gateway.wait_for(rf"info .*accepted task=public\.t1 request_id=my-id_2 trace={TRACE}$")
        self.assertEqual(self.world.find("t1").fields["trace"], TRACE)
        with self.gateway.generate("t2", {"traceparent": TRACE.upper()}) as stream:
            stream.until("start")
        self.assertNotIn("trace", self.world.find("t2").fields)

    def test_the_stored_request(self):
        self.gateway.submit("t1", prompt="换脸", seed=1)
        task = self.world.find("t1")
        self.assertEqual(task.request, json.dumps({"prompt": "换脸", "seed": 1, "urls": URLS}, ensure_ascii=False, separators=(",", ":")).encode())
        self.assertEqual((task.number("max_paid_calls"), task.number("ttl")), (2, 86_400_000))
        self.assertEqual(task.number("queue_until") - task.number("epoch"), 3_600_000)
        self.gateway.submit("t2", max_paid_calls=5)
        self.assertEqual(self.world.find("t2").number("max_paid_calls"), 5)


class Configured(GatewayTest):
    def test_a_full_queue(self):
        gateway = self.world.gateway(GATEWAY_QUEUE_LIMIT=1)
        self.assertEqual(gateway.submit("t1").status, 202)
        self.assert_problem(gateway.submit("t2"), 503, "queue_full")
        with gateway.generate("t2") as stream:
            self.assert_problem(stream.response, 503, "queue_full")
        with gateway.generate("t1") as stream:                  # an accepted task is not affected
            stream.until("start")

    def test_client_queue_limit(self):
        gateway = self.world.gateway(GATEWAY_CLIENT_QUEUE_LIMIT=1)
        self.assertEqual(gateway.submit("t1").status, 202)
        self.assert_problem(gateway.submit("t2"), 429, "client_queue_full")
        self.assertEqual(gateway.submit("t1").status, 200)      # an accepted task is not affected
        self.assertEqual(gateway.cancel("t1").status, 200)      # the end of a task makes room
        self.assertEqual(gateway.submit("t2").status, 202)

    def test_cors_origins_list(self):
        gateway = self.world.gateway(GATEWAY_CORS_ORIGINS="https://a.example, https://b.example:8443")
        for origin in ("https://a.example", "https://b.example:8443"):
            answer = gateway.get("/livez", Origin=origin)
            self.assertEqual((answer.headers["access-control-allow-origin"], answer.headers["vary"]), (origin, "Origin"))
        for headers in ({"Origin": "https://b.example"}, {"Origin": "null"}, {}):
            answer = gateway.get("/livez", **headers)
            self.assertEqual((answer.status, answer.headers["vary"]), (200, "Origin"))
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_data_urls(self):
        gateway = self.world.gateway(GATEWAY_DATA_URLS="on")
        picture = "data:image/png;base64," + "A" * 60_000
        self.assertEqual(gateway.submit("t1", urls=[picture]).status, 202)
        with gateway.follow("t1") as stream:
            stream.until("start")
            self.claim("t1").finish()
            self.assertEqual(stream.to_end()[-1].payload()["urls"], [picture])

    def test_defaults_of_a_task(self):
        gateway = self.world.gateway(MAX_PAID_CALLS=1, GATEWAY_MAX_PAID_CALLS_LIMIT=1, GATEWAY_RETENTION="1m", GATEWAY_QUEUE_TTL="2m")
        gateway.submit("t1")
        task = self.world.find("t1")
        self.assertEqual((task.number("max_paid_calls"), task.number("ttl")), (1, 60_000))
        self.assertEqual(task.number("queue_until") - task.number("epoch"), 120_000)
        self.assert_problem(gateway.submit("t2", max_paid_calls=2), 422, "invalid_fields")

    def test_the_first_log_line_has_the_effective_options(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="2s")
        self.assertRegex(gateway.lines[0], r"info .*starting version=\S+ listen=127.0.0.1:0 .*heartbeat_ms=2000 ")

    def test_healthcheck(self):
        gateway = self.world.gateway()
        def probe(address, program="gateway", **env):
            done = subprocess.run([binary(f"arkrelay-{program}"), "--healthcheck"], env={f"{program.upper()}_LISTEN": address, **env}, check=False,
                                  timeout=30, cwd=self.world.redis_server.folder, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr
        def failed(why, program="gateway", address=gateway.address):
            return 1, f"arkrelay-{program}: healthcheck of {address} failed: {why}\n"
        self.assertEqual(probe(gateway.address), (0, ""))
        self.assertEqual(probe("off", "worker")[1][:44], "arkrelay-worker: healthcheck of off failed: ")
        self.world.redis_server.stop()
        eventually(lambda: gateway.get("/readyz").status == 503, "it is not ready")
        self.assertEqual(probe(gateway.address), failed("/readyz answers 503, not 200; the log says why"))
        self.world.redis_server.start()
        self.assertEqual(gateway.stop(), 0)
        for program in ("gateway", "worker"):
            self.assertEqual(probe(gateway.address, program),
                             failed("cannot connect, or the connection was closed: is the program running?", program))
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            def speak():
                with other.accept()[0] as client:
                    client.recv(1000)
                    client.sendall(b"220 mail.example ESMTP\r\n")
            thread = threading.Thread(target=speak)
            thread.start()
            self.assertIn("not HTTP", probe(address)[1])
            thread.join()


class Options(ProcessTest):
    def refused(self, *words):
        program = Program("gateway", [binary("arkrelay-gateway"), *words])
        self.assertEqual(program.wait_exit(), 78)
        return program.lines

    def test_an_invalid_option_is_reported_in_one_line(self):
        for words, pattern in (
                (["--listen", "0.0.0.0:0"], "GATEWAY_LISTEN 0.0.0.0:0 .*GATEWAY_OPEN"),
                (["--listen", "[::]:0"], "GATEWAY_OPEN"),
                (["--listen", ":0"], "listen|LISTEN"),
                (["--listen", "localhost.example:0"], "GATEWAY_OPEN"),
                (["--listen", "127.evil.example:0"], "GATEWAY_OPEN"),
                (["--heartbeat", "99ms"], "heartbeat|HEARTBEAT"),
                (["--heartbeat", "11m"], "heartbeat|HEARTBEAT"),
                (["--hints", "99ms"], "GATEWAY_HINTS 99ms .*100ms to 10m"),
                (["--hints", "11m"], "hints|HINTS"),
                (["--threads", "0"], "threads|THREADS"),
                (["--threads", "65"], "threads|THREADS"),
                (["--max-paid-calls", "6"], "MAX_PAID_CALLS 6 .*LIMIT 5"),
                (["--openai-models", "a,b=c,a=d"], "GATEWAY_OPENAI_MODELS .*a=d"),
                (["--redis-url", "http://x"], "REDIS_URL")):
            with self.subTest(words):
                line, = self.refused(*words)
                self.assertRegex(line, pattern)

    def test_a_port_in_use(self):
        with World(ark=False) as world:
            taken = world.gateway().address
            program = Program("gateway", [binary("arkrelay-gateway"), "--listen", taken])
            self.assertEqual(program.wait_exit(), 1)
            program_says = "\n".join(program.lines)
            self.assertIn("cannot start", program_says)
            self.assertRegex(program.lines[-1], "stopped")


if __name__ == "__main__":
    unittest.main()
