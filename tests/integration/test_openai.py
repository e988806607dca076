"""The OpenAI endpoints: status, white space, cut connections, events and errors. The test runs the worker's scripts itself."""

import hashlib
import json
import signal
import socket
import tempfile
import threading
import unittest

from gateway_case import NEVER, GatewayTest
from support.client_key import Key
from support.http_client import Connection, Cut, fetch
from support.processes import eventually
from support.world import BASE
from test_metrics import scrape

PATH = "/v1/images/generations"
KEY = "order-1"
BODY = {"prompt": "a red bicycle"}
IMAGE = "https://ark.example.com/1.jpg"


def task_id(index=None, key=KEY):
    name = "img-" + hashlib.sha256(key.encode()).hexdigest()[:32]
    return name if index is None else f"{name}-{index}"


class Asking:
    """A request in progress: `response` has the head once it has arrived, `rest` reads the bytes after it."""

    def __init__(self, address, body, headers=None, version="1.1", key=KEY):
        self.connection = Connection(address)
        self.raw = b""
        headers = {**({"Idempotency-Key": key} if key else {}), **(headers or {})}
        if version == "1.1":
            self.connection.request("POST", PATH, body, headers)
            return
        text = json.dumps(body).encode()
        lines = [f"POST {PATH} HTTP/{version}", "Host: x", "Content-Type: application/json", f"Content-Length: {len(text)}",
                 *(f"{name}: {value}" for name, value in headers.items())]
        self.connection.send(("\r\n".join(lines) + "\r\n\r\n").encode() + text)

    def read_until(self, part):
        """Returns all bytes so far, at least up to this part."""
        while part not in self.raw:
            piece = self.connection.socket.recv(65536)
            if not piece:
                raise Cut(f"{self.raw!r} has no {part!r}")
            self.raw += piece
        return self.raw

    def read_all(self):
        """Up to the end of the connection, or of the last chunk."""
        while not self.raw.endswith(b"\r\n0\r\n\r\n"):
            piece = self.connection.socket.recv(65536)
            if not piece:
                break
            self.raw += piece
        return self.raw

    def close(self):
        self.connection.close()


def chunks(raw):
    """(the content, whether the last chunk has arrived)"""
    rest, content = raw.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return content, True
        content, rest = content + rest[:int(size, 16)], rest[int(size, 16) + 2:]
    return content, False


class DoorTest(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_OPENAI_HOLD=NEVER)

    def ask(self, gateway=None, **fields):
        options = {name: fields.pop(name) for name in ("headers", "version", "key") if name in fields}
        asking = Asking((gateway or self.gateway).address, {**BODY, **fields}, **options)
        self.addCleanup(asking.close)
        return asking

    def wait_task(self, id):
        eventually(lambda: self.world.find(id), f"{id} is there")

    def claim_order(self, index=None, key=KEY):
        """Claims the order's task at this index, and begins its call."""
        self.wait_task(task_id(index, key))
        job = self.claim(task_id(index, key))
        job.begin()
        return job

    def fail_job(self, job, code="ark_overloaded", retryable=True, call="void"):
        failure = json.dumps({"code": code, "error": "why", "retryable": retryable})
        self.assertEqual(self.run_script("finish", job.id, job.fence, "failed", call, 0, failure)[0], b"OK")

    def done(self, job):
        job.emit(0)
        job.finish()

    def answer(self, asking):
        return asking.connection.response()

    def assert_error(self, response, status, code, retry, param=None):
        self.assertEqual((response.status, response.headers["content-type"]), (status, "application/json"))
        error = response.json()["error"]
        self.assertEqual((error["code"], error["param"]), (code, param))
        self.assertTrue(error["message"])
        self.assertEqual(error["request_id"], response.headers["x-request-id"])
        self.assertEqual(response.headers["x-should-retry"], "true" if retry else "false")
        return error


class Held(DoorTest):
    """Nothing is sent before the outcome is known, so that every outcome has its status."""

    def test_an_image(self):
        asking = self.ask(quality="hd", user="u")
        job = self.claim_order()
        self.done(job)
        response = self.answer(asking)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["arkrelay-tasks"], task_id())
        self.assertEqual(response.headers["arkrelay-ignored"], "quality, user")
        self.assertEqual([image["url"] for image in json.loads(response.body)["data"]], [IMAGE])
        self.assertEqual(self.gateway.task(task_id()).json()["status"], "done")

    def test_the_status_of_each_failure(self):
        rows = [("ark_overloaded", True, "void", 503, True), ("ark_rate_limited", True, "void", 429, True),
                ("ark_content_refused", False, "void", 400, False), ("ark_invalid_request", False, "void", 400, False),
                ("ark_unauthorized", False, "void", 424, False), ("outcome_unknown", False, "unknown", 424, False)]
        for n, (code, retryable, call, status, retry) in enumerate(rows):
            with self.subTest(code):
                key = f"order-{n}"
                asking = self.ask(key=key)
                job = self.claim_order(key=key)
                self.fail_job(job, code, retryable, call)
                error = self.assert_error(self.answer(asking), status, code, retry)
                self.assertEqual(error["message"], "why")
                self.assertEqual(error["charged"], "unknown" if call == "unknown" else "no")

    def test_a_cancelled_task_is_not_ordered_again(self):
        asking = self.ask()
        self.wait_task(task_id())
        self.gateway.cancel(task_id())
        self.assert_error(self.answer(asking), 424, "cancelled", False)

    def test_an_expired_task(self):
        asking = self.ask()
        job = self.claim_order()
        self.redis("FLUSHALL")
        del job
        self.assert_error(self.answer(asking), 404, "task_not_found", False)

    def test_the_first_of_two_images_opens_the_answer(self):
        asking = self.ask(n=2)
        first, second = self.claim_order(0), self.claim_order(1)
        first.emit(0)
        head = asking.read_until(b"\r\n\r\n").partition(b"\r\n\r\n")[0].decode().lower()
        self.assertTrue(head.startswith("http/1.1 200 "))
        for line in ("transfer-encoding: chunked", "content-type: application/json", "cache-control: no-store, no-transform", "x-accel-buffering: no",
                     f"arkrelay-tasks: {task_id(0)}, {task_id(1)}"):
            self.assertIn(line, head.split("\r\n"))
        first.finish()
        self.done(second)
        body, complete = chunks(asking.read_all())
        self.assertTrue(complete)
        self.assertEqual(len(json.loads(body)["data"]), 2)

    def test_one_of_two_fails(self):
        for first_fails in (True, False):
            with self.subTest(first_fails=first_fails):
                asking = self.ask(n=2)
                jobs = [self.claim_order(0), self.claim_order(1)]
                self.fail_job(jobs[0 if first_fails else 1], "ark_content_refused", False)
                self.done(jobs[1 if first_fails else 0])
                body = json.loads(chunks(asking.read_all())[0]) if b"chunked" in asking.read_until(b"\r\n\r\n") else self.answer_of(asking)
                self.assertEqual(len(body["data"]), 1)
                self.assertEqual([(error["index"], error["error"]["code"]) for error in body["errors"]],
                                 [(0 if first_fails else 1, "ark_content_refused")])
                self.redis("FLUSHALL")

    def answer_of(self, asking):
        head, _, body = asking.raw.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += asking.connection.socket.recv(65536)
        return json.loads(body)

    def test_all_fail(self):
        asking = self.ask(n=2)
        for index in (0, 1):
            self.fail_job(self.claim_order(index))
        self.assert_error(self.answer(asking), 503, "ark_overloaded", True)

    def test_all_fail_and_one_may_have_been_charged(self):
        """The answer is that failure, so that no client repeats the request."""
        asking = self.ask(n=3)
        jobs = [self.claim_order(index) for index in range(3)]
        self.fail_job(jobs[0])
        self.fail_job(jobs[1], "outcome_unknown", False, "unknown")
        self.fail_job(jobs[2], "ark_content_refused", False)
        error = self.assert_error(self.answer(asking), 424, "outcome_unknown", False)
        self.assertEqual(error["charged"], "unknown")

    def test_draining(self):
        asking = self.ask()
        self.wait_task(task_id())
        self.gateway.signal(signal.SIGTERM)
        self.assert_error(self.answer(asking), 503, "draining", True)


class Opened(DoorTest):
    """After the hold the status is 200, and white space keeps the connection busy."""

    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_OPENAI_HOLD="100ms", GATEWAY_HEARTBEAT="100ms")

    def test_white_space_comes_before_the_json(self):
        asking = self.ask()
        job = self.claim_order()
        asking.read_until(b"\r\n\r\n1\r\n \r\n1\r\n \r\n")
        self.done(job)
        body, complete = chunks(asking.read_all())
        self.assertTrue(complete)
        self.assertRegex(body, rb"^  +\{")
        self.assertEqual([image["url"] for image in json.loads(body)["data"]], [IMAGE])

    def test_a_failure_ends_the_body_without_its_last_chunk(self):
        asking = self.ask()
        job = self.claim_order()
        asking.read_until(b"1\r\n \r\n")
        self.fail_job(job)
        body, complete = chunks(asking.read_all())
        self.assertFalse(complete)
        self.assertEqual(body.strip(), b"")

    def test_http_1_0_ends_with_a_reset(self):
        asking = self.ask(version="1.0")
        job = self.claim_order()
        asking.read_until(b"\r\n\r\n  ")
        self.fail_job(job)
        self.assertRaises(ConnectionResetError, asking.read_all)

    def test_http_1_0_gets_its_answer(self):
        asking = self.ask(version="1.0")
        job = self.claim_order()
        asking.read_until(b"\r\n\r\n ")
        self.done(job)
        self.assertEqual(len(json.loads(asking.read_all().partition(b"\r\n\r\n")[2])["data"]), 1)

    def test_a_client_that_half_closes_gets_json_too(self):
        asking = self.ask()
        job = self.claim_order()
        asking.read_until(b"1\r\n \r\n")
        asking.connection.socket.shutdown(socket.SHUT_WR)
        asking.read_until(b"1\r\n \r\n1\r\n \r\n1\r\n \r\n")
        self.done(job)
        self.assertEqual(len(json.loads(chunks(asking.read_all())[0])["data"]), 1)

    def test_a_disconnect_does_not_affect_the_task(self):
        asking = self.ask()
        job = self.claim_order()
        asking.read_until(b"1\r\n \r\n")
        asking.close()
        eventually(lambda: self.gateway.metric("arkrelay_http_connections") <= 1, "the client is gone")
        self.done(job)
        self.assertEqual(self.gateway.task(task_id()).json()["status"], "done")

    def test_draining(self):
        asking = self.ask()
        self.claim_order()
        asking.read_until(b"1\r\n \r\n")
        self.gateway.signal(signal.SIGTERM)
        self.assertFalse(chunks(asking.read_all())[1])


class Streams(DoorTest):
    def events(self, raw):
        """[(event, data)] of a complete stream. Raises an error where OpenAI's Python SDK would fail."""
        body, complete = chunks(raw)
        self.assertTrue(complete)
        events = []
        for block in body.decode().split("\n\n"):
            if not block:
                continue
            lines = [line for line in block.split("\n") if not line.startswith(":")]
            self.assertEqual([line.partition(":")[0] for line in lines], ["event", "data"], block)
            events.append((lines[0].partition(": ")[2], json.loads(lines[1].partition(": ")[2])))
        return events

    def test_an_event_for_each_image(self):
        asking = self.ask(stream=True, n=2)
        first, second = self.claim_order(0), self.claim_order(1)
        second.emit(0)
        raw = asking.read_until(b"image_generation.completed")
        self.assertIn(b"content-type: text/event-stream", raw.lower())
        self.assertNotIn(b"\nid:", raw)
        second.finish()
        self.done(first)
        events = self.events(asking.read_all())
        self.assertEqual([(kind, data["type"], data["task"], data["url"]) for kind, data in events],
                         [("image_generation.completed", "image_generation.completed", task, IMAGE) for task in (1, 0)])
        for _, data in events:
            self.assertEqual({"background", "created_at", "output_format", "quality", "size"} - set(data), set())

    def test_comments_are_sent_during_silence(self):
        gateway = self.world.gateway(GATEWAY_OPENAI_HOLD="100ms", GATEWAY_HEARTBEAT="100ms")
        asking = self.ask(gateway, stream=True)
        job = self.claim_order()
        asking.read_until(b": keep-alive\n\r\nd\r\n: keep-alive\n")
        self.done(job)
        self.assertEqual(len(self.events(asking.read_all())), 1)

    def test_a_failure_before_the_first_event_has_its_status(self):
        asking = self.ask(stream=True)
        self.fail_job(self.claim_order(), "ark_content_refused", False)
        self.assert_error(self.answer(asking), 400, "ark_content_refused", False)

    def test_a_failure_after_the_head_is_an_error_event(self):
        asking = self.ask(self.world.gateway(GATEWAY_OPENAI_HOLD="100ms"), stream=True)
        job = self.claim_order()
        asking.read_until(b": waiting\n")
        self.fail_job(job)
        (kind, data), = self.events(asking.read_all())
        self.assertEqual((kind, data["error"]["code"]), ("error", "ark_overloaded"))

    def test_one_of_two_fails(self):
        asking = self.ask(stream=True, n=2)
        first, second = self.claim_order(0), self.claim_order(1)
        self.fail_job(first)
        self.done(second)
        events = self.events(asking.read_all())
        self.assertEqual([kind for kind, _ in events], ["image_generation.completed", "image_generation.failed"])
        self.assertEqual((events[1][1]["task"], events[1][1]["failure"]["code"]), (0, "ark_overloaded"))
        self.assertNotIn("error", events[1][1])

    def test_a_group_of_ark(self):
        asking = self.ask(stream=True, sequential_image_generation="auto", sequential_image_generation_options={"max_images": 3})
        job = self.claim_order()
        for index in (0, 1, 2):
            job.emit(index)
        job.finish()
        self.assertEqual([data["index"] for _, data in self.events(asking.read_all())], [0, 1, 2])


class Orders(DoorTest):
    def test_the_same_key_is_the_same_order(self):
        askings = [self.ask(), self.ask()]
        job = self.claim_order()
        self.done(job)
        for asking in [*askings, self.ask()]:
            self.assertEqual([image["url"] for image in self.answer(asking).json()["data"]], [IMAGE])
        self.assertEqual(len(self.world.look().tasks), 1)
        error = self.assert_error(self.answer(self.ask(prompt="another")), 422, "task_id_conflict", False)
        self.assertIn("Idempotency-Key", error["message"])
        self.assertNotIn("task_id", error["message"])
        asking = self.ask(stream=True)
        self.assertIn(b"image_generation.completed", asking.read_all())

    def test_without_a_key_each_is_an_order(self):
        askings = [self.ask(key=None) for _ in range(3)]
        eventually(lambda: len(self.world.look().tasks) == 3, "three tasks")
        del askings

    def test_n_tasks_have_n_seeds(self):
        self.ask(n=3, seed=7)
        for index in range(3):
            self.wait_task(task_id(index))
        self.assertEqual([json.loads(self.world.find(task_id(index)).request)["seed"] for index in range(3)], [7, 8, 9])

    def test_no_room_in_the_queue(self):
        gateway = self.world.gateway(GATEWAY_QUEUE_LIMIT=1)
        gateway.submit("first")
        response = self.answer(self.ask(gateway))
        self.assert_error(response, 503, "queue_full", True)
        self.assertIn("retry-after", response.headers)

    def test_a_request_whose_submission_lost_its_reply_is_found(self):
        """The tasks exist. What becomes of the answer is recorded when Redis is there again, so that the repeated request attaches to them."""
        proxy = self.world.proxy()
        gateway = self.world.gateway(REDIS_URL=proxy.url, GATEWAY_OPENAI_HOLD=NEVER)
        proxy.lose_reply_to(self.run_script.sha1["submit_order"])
        self.assert_error(self.answer(self.ask(gateway, key=None)), 503, "store_unavailable", True)
        id, = self.world.look().tasks
        eventually(lambda: self.redis("KEYS", "arkrelay:{0}:unanswered:*"), "the answer is recorded as lost")
        asking = self.ask(gateway, key=None)
        job = self.claim(id.partition(".")[2])
        job.begin()
        self.done(job)
        self.assertEqual(len(self.answer(asking).json()["data"]), 1)
        self.assertEqual(list(self.world.look().tasks), [id])

    def test_without_redis(self):
        self.world.redis_server.stop()
        self.assert_error(self.answer(self.ask()), 503, "store_unavailable", True)


class Counted(DoorTest):
    """The metrics of the door."""

    def counts(self, gateway):
        found = scrape(gateway)
        outcomes = found["arkrelay_openai_requests_total"]
        return ({name: int(value) for name in outcomes.values_of("outcome") if (value := outcomes.value(endpoint="generations", outcome=name))},
                int(found["arkrelay_openai_repeats_total"].value()))

    def wait_counts(self, gateway, repeats=0, **outcomes):
        eventually(lambda: self.counts(gateway) == (outcomes, repeats), f"{outcomes} and {repeats} repeats")

    def test_every_outcome(self):
        gateway = self.world.gateway(GATEWAY_OPENAI_HOLD="100ms", GATEWAY_HEARTBEAT="100ms", GATEWAY_QUEUE_LIMIT=3)
        self.assertEqual(self.counts(gateway), ({}, 0))
        self.answer(self.ask(gateway, prompt=""))
        self.answer(self.ask(gateway, headers={"Content-Type": "text/plain"}))
        self.wait_counts(gateway, invalid=2)
        self.answer(self.ask(gateway, n=4, key="many"))
        self.wait_counts(gateway, invalid=2, refused=1)
        asking = self.ask(gateway, n=2)
        first, second = self.claim_order(0), self.claim_order(1)
        self.done(first)
        self.fail_job(second)
        asking.read_all()
        self.wait_counts(gateway, invalid=2, refused=1, partial=1)
        asking = self.ask(gateway, key="cut")
        asking.read_until(b"1\r\n \r\n")
        self.fail_job(self.claim_order(key="cut"))
        asking.read_all()
        self.wait_counts(gateway, invalid=2, refused=1, partial=1, cut=1)
        asking = self.ask(gateway, key="gone")
        job = self.claim_order(key="gone")
        asking.close()
        self.wait_counts(gateway, invalid=2, refused=1, partial=1, cut=1, gone=1)
        self.done(job)
        self.ask(gateway, key="gone").read_all()
        self.wait_counts(gateway, 1, invalid=2, refused=1, partial=1, cut=1, gone=1, done=1)

    def test_a_failure_with_its_status_and_one_in_a_stream(self):
        for stream in (False, True):
            asking = self.ask(stream=stream, key=f"key{stream}")
            self.fail_job(self.claim_order(key=f"key{stream}"))
            self.answer(asking) if not stream else asking.read_all()
            self.wait_counts(self.gateway, failed=1 + stream)


class Errors(DoorTest):
    """Every answer below /v1 that is not 2xx has OpenAI's form."""

    def fetch(self, method, path, body=None, gateway=None, **headers):
        return fetch((gateway or self.gateway).address, method, path, body, headers)

    def test_requests(self):
        rows = [("not JSON", "{", 400, "invalid_json", None), ("no prompt", {}, 422, "invalid_fields", "prompt"),
                ("a typo", {**BODY, "promt": 1}, 422, "invalid_fields", "promt"), ("n", {**BODY, "n": 11}, 422, "invalid_fields", "n"),
                ("a private image", {**BODY, "image": "http://127.0.0.1/"}, 422, "invalid_fields", "image"),
                ("b64_json", {**BODY, "response_format": "b64_json"}, 422, "invalid_fields", "response_format"),
                ("a gpt-image model", {**BODY, "model": "gpt-image-1"}, 422, "invalid_fields", "response_format")]
        for name, body, status, code, param in rows:
            with self.subTest(name):
                self.assert_error(self.fetch("POST", PATH, body), status, code, False, param)
        self.assertEqual(self.world.look().tasks, {})

    def test_addresses_and_methods(self):
        self.assert_error(self.fetch("GET", "/v1/none"), 404, "not_found", False)
        self.assert_error(self.fetch("GET", "/v1"), 404, "not_found", False)
        self.assert_error(self.fetch("GET", "/v1/models/none"), 404, "not_found", False)
        self.assertEqual(self.assert_error(self.fetch("GET", PATH), 405, "method_not_allowed", False)["type"], "invalid_request_error")
        self.assert_error(self.fetch("POST", PATH, BODY, **{"Content-Type": "text/plain"}), 415, "content_type", False)
        self.assertEqual(self.fetch("GET", "/v10").headers["content-type"], "application/problem+json")

    def test_refusals_of_the_http_server(self):
        for name, request, status in (("no host", f"GET {PATH} HTTP/1.1\r\n\r\n", 400), ("too long", f"POST {PATH}?x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n", 413),
                                      ("a method", f"BREW {PATH} HTTP/1.1\r\nHost: x\r\n\r\n", 501)):
            with self.subTest(name), socket.create_connection(self.gateway.address.split(":")) as raw:
                raw.sendall(request.encode())
                answer = b""
                while piece := raw.recv(65536):
                    answer += piece
                head, _, body = answer.decode().partition("\r\n\r\n")
                self.assertIn(f" {status} ", head.partition("\r\n")[0])
                self.assertIn("x-should-retry: false", head)
                self.assertIn("message", json.loads(body)["error"])

    def test_keys_and_limits(self):
        with tempfile.NamedTemporaryFile("w", prefix="arkrelay-keys-") as file:
            key = Key("shop")
            file.write(key.line("requests=1"))
            file.flush()
            gateway = self.world.gateway(GATEWAY_KEYS_FILE=file.name)
            error = self.assert_error(self.fetch("GET", "/v1/models", gateway=gateway), 401, "unauthorized", False)
            self.assertEqual(error["type"], "authentication_error")
            self.assertEqual(self.fetch("GET", "/v1/models", gateway=gateway, **key.header).status, 200)
            response = self.fetch("GET", "/v1/models", gateway=gateway, **key.header)
            self.assertEqual(self.assert_error(response, 429, "rate_limited", True)["type"], "rate_limit_error")
            self.assertIn("retry-after", response.headers)
            self.assertEqual(self.fetch("GET", "/v1/models", gateway=gateway, Authorization="Bearer x").status, 401)


class Models(DoorTest):
    def test_names(self):
        gateway = self.world.gateway(GATEWAY_OPENAI_MODELS="gpt-image-1,dall-e-3=doubao-x")
        names = gateway.get("/v1/models").json()
        self.assertEqual(([model["id"] for model in names["data"]][:3], names["object"]),
                         (["gpt-image-1", "dall-e-3", gateway.get(f"{BASE}/models").json()["models"][0]["id"]], "list"))
        self.assertEqual(gateway.get("/v1/models/dall-e-3").json()["object"], "model")
        thread = threading.Thread(target=fetch, args=(gateway.address, "POST", PATH, {**BODY, "model": "dall-e-3"}, {"Idempotency-Key": KEY}))
        thread.start()
        self.wait_task(task_id())
        self.assertEqual(json.loads(self.world.find(task_id()).request)["model"], "doubao-x")
        gateway.cancel(task_id())
        thread.join()

    def test_the_default_format_is_an_option(self):
        gateway = self.world.gateway(GATEWAY_OPENAI_FORMAT="url")
        asking = self.ask(gateway, model="gpt-image-1")
        self.done(self.claim_order())
        self.assertEqual(self.answer(asking).status, 200)

    def test_the_native_api_serves_the_tasks(self):
        asking = self.ask()
        self.done(self.claim_order())
        id = self.answer(asking).headers["arkrelay-tasks"]
        self.assertEqual(self.gateway.get(f"{BASE}/tasks/{id}").json()["result"]["generated_images"][0]["url"], IMAGE)


if __name__ == "__main__":
    unittest.main()
