"""Tests of the ARK simulator, on which the other tests rely."""

import base64
import gzip
import json
import resource
import select
import unittest

from support.http_client import Connection, Cut, fetch
from support.processes import Deadline, ProcessTest, Program, binary, eventually

GENERATIONS = "/api/v3/images/generations"
V40 = "doubao-seedream-4-0-250828"
PRO = "doubao-seedream-5-0-pro-260628"
AUTH = {"Authorization": "Bearer any-key"}
REFUSED_OUTPUT = "OutputImageSensitiveContentDetected"
MANY = 1000


def start(*flags):
    sim = Program("ark-sim", [binary("arkrelay-ark-sim"), "--listen", "127.0.0.1:0", "--image-ms", "10", *flags])
    sim.address = sim.listening()
    return sim


def body(prompt="a cat", images=None, **fields):
    """A request body; with `images`, for a group."""
    group = {} if images is None else {"sequential_image_generation": "auto",
                                       "sequential_image_generation_options": {"max_images": images}}
    return {"model": V40, "prompt": prompt, **group, **fields}


def path_of(url):
    return "/" + url.split("/", 3)[3]


class SimTest(ProcessTest):
    """One simulator per test class; it is reset before each test."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.sim = start(*cls.FLAGS)
        cls.addClassCleanup(lambda: cls.sim.stop() if cls.sim.is_running() else None)

    def setUp(self):
        self.wait_idle()            # the simulator may not have noticed yet that the last test's clients have disconnected
        self.assertEqual(self.post("/sim/reset").status, 204)

    @classmethod
    def tearDownClass(cls):
        status = cls.sim.stop()
        assert status == 0, f"{status}\n{cls.sim.log_tail()}"      # under ASan: no leaks

    def get(self, path, **headers):
        return fetch(self.sim.address, "GET", path, headers=headers)

    def post(self, path, data=b"", headers=None):
        return fetch(self.sim.address, "POST", path, data, headers)

    def ask(self, *args, headers=None, **fields):
        return self.post(GENERATIONS, body(*args, **fields), {**AUTH, **(headers or {})})

    def open(self, request, headers=None):
        """Sends a request and returns the connection."""
        connection = Connection(self.sim.address)
        self.addCleanup(connection.close)
        connection.request("POST", GENERATIONS, request, {**AUTH, **(headers or {})})
        return connection

    def read_until_cut(self, connection):
        """Head and body of a response that is cut."""
        deadline = Deadline()
        response = connection.response_head(deadline)
        reader = connection.body(response)
        pieces = []
        with self.assertRaises(Cut):
            while (piece := reader.next_piece(deadline)) is not None:
                pieces.append(piece)
        return response, b"".join(pieces)

    def stats(self):
        return self.get("/sim/stats").json()

    def calls(self):
        return self.get("/sim/calls").json()

    def wait_idle(self):
        return eventually(lambda: (stats := self.stats()) and not stats["calls_open"] and stats, "no call is open")

    def assert_error(self, response, status, code, param=""):
        error = response.json()["error"]
        self.assertEqual((response.status, error["code"], error["param"]), (status, code, param), response)
        self.assertEqual(response.headers["content-type"], "application/json; charset=utf-8")
        self.assertTrue(error["message"].endswith(f" Request id: {response.headers['x-request-id']}"), error)
        return error


def frames(raw, end="\n"):
    """(event, data) of each frame; the framing must match byte for byte."""
    text = raw.decode()
    assert text.endswith(2 * end), text[-40:]
    result = []
    for frame in text[:-2 * len(end)].split(2 * end):
        *events, data = frame.split(end)
        assert data.startswith("data: ") and len(events) <= 1, frame
        assert not events or events[0].startswith("event: "), frame
        data = data.removeprefix("data: ")
        result.append((events[0].removeprefix("event: ") if events else None,
                       data if data == "[DONE]" else json.loads(data)))
    return result


class Answers(SimTest):
    def test_one_image_as_json(self):
        response = self.ask(size="2K", headers={"X-Client-Request-Id": "mine-1"})
        headers = response.headers
        self.assertEqual((response.status, headers["content-type"]), (200, "application/json; charset=utf-8"))
        self.assertEqual((headers["server"], headers["x-client-request-id"]), ("istio-envoy", "mine-1"))
        self.assertRegex(headers["x-request-id"], r"^02\d{13}[0-9a-f]{38}$")
        self.assertGreaterEqual(int(headers["x-envoy-upstream-service-time"]), 10)
        answer = response.json()
        self.assertEqual(list(answer), ["model", "created", "data", "usage"])
        self.assertEqual(answer["usage"], {"generated_images": 1, "output_tokens": 16384, "total_tokens": 16384})
        image, = answer["data"]
        self.assertEqual((sorted(image), image["size"]), (["size", "url"], "2048x2048"))
        self.assertIn(f"/doubao-seedream-4-0/{headers['x-request-id']}_0.jpeg?X-Tos-Algorithm=TOS4-HMAC-SHA256&", image["url"])

    def test_the_clients_request_id_is_not_used(self):
        response = self.ask(headers={"X-Request-Id": "chosen-by-client"})
        self.assertRegex(response.headers["x-request-id"], r"^02\d{13}[0-9a-f]{38}$")
        self.assertNotIn("x-client-request-id", response.headers)

    def test_a_stream_is_exact_to_the_byte(self):
        response = self.ask(f"x [[sim: fail=1:{REFUSED_OUTPUT}]]", 3, stream=True, size="2496x1664")
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"))
        (first, one), (second, two), (third, three), (fourth, completed), done = frames(response.body)
        self.assertEqual([first, second, third, fourth], ["image_generation." + name for name in (
            "partial_succeeded", "partial_failed", "partial_succeeded", "completed")])
        self.assertEqual(done, (None, "[DONE]"))
        self.assertEqual(list(one), ["type", "model", "created", "image_index", "url", "size"])
        self.assertEqual(list(two), ["type", "model", "created", "image_index", "error"])
        self.assertEqual(list(completed), ["type", "model", "created", "usage"])
        self.assertEqual([one["type"], two["type"], three["type"], completed["type"]], [first, second, third, fourth])
        self.assertEqual([one["image_index"], two["image_index"], three["image_index"]], [0, 1, 2])
        self.assertEqual((list(two["error"]), two["error"]["code"]), (["code", "message"], REFUSED_OUTPUT))
        self.assertEqual(completed["usage"], {"generated_images": 2, "output_tokens": 32448, "total_tokens": 32448})

        line = "event: %s\ndata: %s\n\n"
        compact = lambda event: json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        self.assertEqual(response.body.decode(), "".join(line % (event["type"], compact(event)) for event in (
            one, two, three, completed)) + "data: [DONE]\n\n")

    def test_the_head_is_sent_with_the_first_image(self):
        for stream in (False, True):
            with self.subTest(stream=stream):
                self.post("/sim/reset")
                connection = self.open(body("x [[sim: first_latency=400]]", stream=stream))
                eventually(lambda: self.stats()["calls_open"] == 1, "the call is open")
                self.assertEqual(select.select([connection.socket], [], [], 0)[0], [])
                response = connection.response()
                self.assertEqual(response.status, 200)
                self.assertGreaterEqual(int(response.headers["x-envoy-upstream-service-time"]), 400)

    def test_images_of_a_stream_come_one_by_one(self):
        connection = self.open(body("x [[sim: hang_after_image=2]]", 3, stream=True))
        deadline = Deadline()
        reader = connection.body(connection.response_head(deadline))
        events = [frames(reader.next_piece(deadline)) for _ in range(2)]
        self.assertEqual([len(event) for event in events], [1, 1])
        self.assertEqual(self.stats()["images_delivered"], 2)
        self.assertEqual(self.stats()["calls_open"], 1)

    def test_a_group_has_15_images_by_default(self):
        auto = {"sequential_image_generation": "auto"}
        self.assertEqual(len(self.ask(**auto).json()["data"]), 15)
        self.assertEqual(len(self.ask(image=["https://a/1", "https://a/2"], **auto).json()["data"]), 13)
        self.assertEqual(len(self.ask("x", 4).json()["data"]), 4)
        self.assertEqual(len(self.ask("x [[sim: images=2]]", 4).json()["data"]), 2)
        self.assertEqual(len(self.ask("x [[sim: images=2]]").json()["data"]), 1)

    def test_inline_images(self):
        for fields, magic in (({}, b"\xff\xd8\xff"),
                              ({"model": "doubao-seedream-5-0-260128", "output_format": "png"}, b"\x89PNG\r\n\x1a\n")):
            image, = self.ask(response_format="b64_json", **fields).json()["data"]
            self.assertEqual(sorted(image), ["b64_json", "size"])
            self.assertTrue(base64.b64decode(image["b64_json"], validate=True).startswith(magic))

    def test_an_endpoint_id_as_model(self):
        answer = self.ask(model="ep-20250101000000-abcde").json()
        self.assertEqual(answer["model"], V40)

    def test_web_search_is_counted(self):
        answer = self.ask(model="doubao-seedream-5-0-260128", tools=[{"type": "web_search"}]).json()
        self.assertEqual((answer["usage"]["tool_usage"], answer["tools"]), ({"web_search": 1}, [{"type": "web_search"}]))


class Refusals(SimTest):
    def test_a_call_without_a_key_is_401_even_with_an_invalid_body(self):
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}, {"x-api-key": "k"}):
            response = self.post(GENERATIONS, b"not JSON", headers)
            self.assert_error(response, 401, "AuthenticationError")
            self.assertEqual(response.headers["x-error-code"], "AuthN_MissOrInvalidAuthorizationHeader")

    def test_validation_errors_are_http_errors_even_for_streams(self):
        self.assert_error(self.ask(model="gpt-image-1", stream=True), 404, "InvalidEndpointOrModel.NotFound")
        error = self.assert_error(self.ask(size="1x1", stream=True), 400, "InvalidParameter", "size")
        self.assertIn("image size must be at least 921600 pixels", error["message"])
        self.assertEqual(error["type"], "BadRequest")
        self.assert_error(self.ask(model=PRO, stream=True), 400, "InvalidParameter", "stream")
        self.assert_error(self.post(GENERATIONS, b"{", AUTH), 400, "InvalidParameter")
        self.assert_error(self.post(GENERATIONS, {"model": V40}, AUTH), 400, "MissingParameter", "prompt")

    def test_other_paths_of_the_api_get_404_without_a_body(self):
        for path in ("/api/v3/images/edits", "/api/v3/v1/images/generations", "/api/plan/v3/images/generations"):
            response = self.post(path, body(), AUTH)
            self.assertEqual((response.status, response.body), (404, b""))
            self.assertNotIn("content-type", response.headers)

    def test_a_mistyped_directive_is_an_error(self):
        error = self.assert_error(self.ask("x [[sim: staus=429]]"), 400, "InvalidParameter", "prompt")
        self.assertIn("staus", error["message"])
        self.assertEqual(self.post("/sim/script", [{"staus": 429}]).status, 400)
        self.assertEqual(self.post("/sim/script", b"nonsense").status, 400)


class KeyAndLimits(SimTest):
    FLAGS = ("--key", "the-key", "--images-per-minute", "3", "--calls-max", "2")

    def test_only_the_configured_key_is_accepted(self):
        self.assert_error(self.ask(), 401, "AuthenticationError")
        self.assertEqual(self.ask(headers={"Authorization": "Bearer the-key"}).status, 200)

    def test_images_per_minute_are_limited_per_model(self):
        key = {"Authorization": "Bearer the-key"}
        self.assertEqual(self.ask("x", 3, headers=key).status, 200)
        self.assert_error(self.ask(headers=key), 429, "ModelAccountIpmRateLimitExceeded")
        self.assertEqual(self.ask(model=PRO, headers=key).status, 200)
        self.post("/sim/clock", {"advance_ms": 60_000})
        self.assertEqual(self.ask(headers=key).status, 200)

    def test_calls_in_flight_are_limited(self):
        key = {"Authorization": "Bearer the-key"}
        waiting = [self.open(body("x [[sim: hang]]"), key) for _ in range(2)]
        eventually(lambda: self.stats()["calls_open"] == 2, "two calls are open")
        self.assert_error(self.ask(headers=key), 429, "InflightBatchsizeExceeded")
        for connection in waiting:
            connection.close()
        self.wait_idle()
        self.assertEqual(self.ask(headers=key).status, 200)


class Directives(SimTest):
    def test_a_status_and_its_code(self):
        response = self.ask("x [[sim: status=429 code=ServerOverloaded retry_after=2]]", stream=True)
        self.assert_error(response, 429, "ServerOverloaded")
        self.assertEqual(response.headers["retry-after"], "2")
        self.assert_error(self.ask("x [[sim: status=429]]"), 429, "ModelAccountIpmRateLimitExceeded")
        self.assert_error(self.ask("x [[sim: code=SetLimitExceeded]]"), 429, "SetLimitExceeded")
        error = self.assert_error(self.ask('x [[sim: status=500 message="two words" latency=30]]'), 500, "InternalServiceError")
        self.assertTrue(error["message"].startswith("two words Request id: "))

    def test_shapes_of_error_bodies(self):
        html = self.ask("x [[sim: html_502]]")
        self.assertEqual((html.status, html.headers["content-type"]), (502, "text/html"))
        self.assertTrue(html.body.startswith(b"<html>"))
        self.assertEqual(self.ask("x [[sim: status=504 body=html]]").status, 504)
        empty = self.ask("x [[sim: empty_404]]")
        self.assertEqual((empty.status, empty.body), (404, b""))
        unwrapped = self.ask("x [[sim: status=500 unwrapped_error]]").json()
        self.assertEqual(sorted(unwrapped), ["code", "message", "param", "request_id", "type"])
        self.assertEqual(sorted(self.ask("x [[sim: unwrapped_error]]", size="1x1").json()), sorted(unwrapped))

    def test_garbage_with_status_200(self):
        for stream in (False, True):
            response = self.ask("x [[sim: body_garbage]]", 2, stream=stream)
            self.assertEqual(response.status, 200)
            with self.assertRaises(ValueError):
                response.json()
        self.assertEqual(self.stats()["images_billed"], 4)

    def test_a_download_that_times_out(self):
        response = self.ask("x [[sim: download_timeout=1]]", image=["https://a/1", "https://a/2"])
        error = self.assert_error(response, 400, "InvalidParameter")
        self.assertTrue(error["message"].startswith("Timeout while downloading url=https://a/2. Request id: "))
        self.assertEqual(error["type"], "")

    def test_a_safety_failure_continues_and_an_internal_error_stops_the_group(self):
        answer = self.ask(f"x [[sim: fail=0:{REFUSED_OUTPUT} fail=2:InternalServiceError]]", 5).json()
        self.assertEqual([item.get("error", {}).get("code") for item in answer["data"]],
                         [REFUSED_OUTPUT, None, "InternalServiceError"])
        self.assertEqual(answer["usage"]["generated_images"], 1)
        self.assertNotIn("error", answer)

    def test_failures_before_the_first_image_are_sent_with_it(self):
        got = frames(self.ask(f"x [[sim: fail=0:{REFUSED_OUTPUT}]]", 2, stream=True).body)
        self.assertEqual([event and event.rpartition(".")[2] for event, _ in got],
                         ["partial_failed", "partial_succeeded", "completed", None])

    def test_without_any_image_the_response_is_an_error(self):
        for stream in (False, True):
            self.assert_error(self.ask(f"x [[sim: fail=0:{REFUSED_OUTPUT}]]", stream=stream), 400, REFUSED_OUTPUT)
            self.assert_error(self.ask("x [[sim: fail=0:InternalServiceError]]", 3, stream=stream), 500, "InternalServiceError")
        answer = self.ask("x [[sim: zero_images_200]]", 2).json()
        self.assertEqual([sorted(item) for item in answer["data"]], [["error"], ["error"]])
        self.assertEqual((answer["error"]["code"], answer["usage"]["generated_images"]), (REFUSED_OUTPUT, 0))
        response = self.ask("x [[sim: zero_images_200]]", 2, stream=True)
        (_, first), (_, second), (event, last) = frames(response.body)
        self.assertEqual((response.status, first["image_index"], second["image_index"], event), (200, 0, 1, None))
        self.assertEqual(last["error"]["code"], REFUSED_OUTPUT)
        self.assertEqual(self.stats()["images_billed"], 0)

    def test_error_frames(self):
        for spelling, before in (("event", b"event: error\ndata: {"), ("data", b"data: {"), ("bare", b"{")):
            response = self.ask(f"x [[sim: error_frame={spelling}]]", 2, stream=True)
            self.assertTrue(response.body.startswith(before + b'"error":{"code":"InternalServiceError"'), response.body)
            self.assertTrue(response.body.endswith(b"}}\n\n"))
        self.assertEqual(self.stats()["images_billed"], 0)
        got = frames(self.ask("x [[sim: error_frame=data error_after_image=1 code=ServerOverloaded]]", 2, stream=True).body)
        self.assertEqual([sorted(data)[0] for _, data in got], ["created", "error"])
        self.assertEqual(got[1][1]["error"]["code"], "ServerOverloaded")

    def test_missing_completed_event_or_done(self):
        names = lambda directives: [event and event.rpartition(".")[2] for event, _ in frames(
            self.ask(f"x [[sim: {directives}]]", stream=True).body)]
        self.assertEqual(names("no_completed"), ["partial_succeeded", None])
        self.assertEqual(names("no_done"), ["partial_succeeded", "completed"])
        self.assertEqual(names("no_completed no_done"), ["partial_succeeded"])

    def test_crlf_and_comments(self):
        self.assertEqual(len(frames(self.ask("x [[sim: crlf]]", 2, stream=True).body, "\r\n")), 4)
        text = self.ask("x [[sim: comments]]", stream=True).body.decode()
        self.assertEqual(text.count(": keep-alive\n\n"), 3)
        self.assertEqual(len(frames(text.replace(": keep-alive\n\n", "").encode())), 3)

    def test_a_body_in_small_chunks(self):
        for stream in (False, True):
            connection = self.open(body("x [[sim: chunk=7]]", stream=stream))
            deadline = Deadline()
            response = connection.response_head(deadline)
            self.assertEqual(response.headers["transfer-encoding"], "chunked")
            reader = connection.body(response)
            sizes = []
            while (piece := reader.next_piece(deadline)) is not None:
                sizes.append(len(piece))
            self.assertEqual(max(sizes), 7)
            self.assertGreater(len(sizes), 50)

    def test_gzip(self):
        response = self.ask("x [[sim: gzip]]")
        self.assertEqual((response.headers["content-encoding"], response.headers["vary"]), ("gzip", "Accept-Encoding"))
        self.assertEqual(len(json.loads(gzip.decompress(response.body))["data"]), 1)

    def test_big_images(self):
        response = self.ask("x [[sim: big=5000000]]", 2, stream=True, response_format="b64_json")
        images = [data["b64_json"] for event, data in frames(response.body)[:2]]
        self.assertEqual([len(image) for image in images], [5_000_000, 5_000_000])
        self.assertTrue(base64.b64decode(images[1], validate=True).startswith(b"\xff\xd8\xff"))

    def test_a_cut_at_a_byte(self):
        whole = self.ask("x", stream=True).body
        for stream in (False, True):
            for at in (0, 137):
                response, got = self.read_until_cut(self.open(body(f"x [[sim: cut_at_byte={at}]]", stream=stream)))
                self.assertEqual((response.status, len(got)), (200, at))
        self.assertEqual(got[:40], whole[:40])
        self.assertEqual(self.wait_idle()["cuts"], 4)
        self.assertEqual(self.calls()[-1]["outcome"], "cut")

    def test_a_cut_happens_after_all_earlier_bytes_are_sent(self):
        request = body("x [[sim: big=8000000 cut_at_byte=7000000]]", response_format="b64_json", stream=True)
        _, got = self.read_until_cut(self.open(request))
        self.assertEqual(len(got), 7_000_000)

    def test_a_cut_after_an_image(self):
        response, got = self.read_until_cut(self.open(body("x [[sim: cut_after_image=2]]", 4, stream=True)))
        self.assertEqual([data["image_index"] for _, data in frames(got)], [0, 1])
        stats = self.wait_idle()
        self.assertEqual((stats["images_billed"], stats["images_delivered"], stats["cuts"]), (4, 2, 1))
        _, got = self.read_until_cut(self.open(body("x [[sim: cut_after_image=1]]", stream=True)))
        self.assertEqual(len(frames(got)), 1)

    def test_a_reset_before_the_head(self):
        for stream in (False, True):
            connection = self.open(body("x [[sim: rst]]", stream=stream))
            connection.socket.settimeout(30)
            with self.assertRaises(ConnectionResetError):
                connection.socket.recv(1)
        self.assertEqual(self.wait_idle()["images_billed"], 2)
        self.assertEqual(self.stats()["calls_by_status"], {})

    def test_a_close_before_the_head(self):
        connection = self.open(body("x [[sim: cut_after_image=0]]"))
        self.assertEqual(connection.wait_closed(), b"")

    def test_a_reset_within_a_stream(self):
        connection = self.open(body("x [[sim: cut_after_image=1 rst]]", 2, stream=True))
        _, got = self.read_until_cut(connection)
        self.assertEqual(len(frames(got)), 1)

    def test_endless_silence(self):
        first = self.open(body("x [[sim: hang]]", 2))
        second = self.open(body("x [[sim: hang_after_image=1]]", 2, stream=True))
        self.assertEqual(len(frames(second.body(second.response_head(Deadline())).next_piece(Deadline()))), 1)
        eventually(lambda: self.stats()["calls_open"] == 2, "both calls are open")
        first.close()
        second.close()
        stats = self.wait_idle()
        self.assertEqual((stats["images_billed"], stats["disconnects"]), (1, 2))

    def test_silence_for_a_limited_time(self):
        response = self.ask("x [[sim: hang=200 hang_after_image=1 latency=0]]", 2)
        self.assertEqual(len(response.json()["data"]), 2)
        self.assertGreaterEqual(int(response.headers["x-envoy-upstream-service-time"]), 200)

    def test_each_call_takes_one_step_of_the_script(self):
        self.assertEqual(self.post("/sim/script", [{"status": 429, "retry_after": 1}, {"status": 429}, {}]).status, 204)
        self.assertEqual(self.stats()["script_left"], 3)
        answers = [self.ask() for _ in range(4)]
        self.assertEqual([answer.status for answer in answers], [429, 429, 200, 200])
        self.assertEqual([answer.headers.get("retry-after") for answer in answers], ["1", None, None, None])

    def test_a_prompt_refines_a_step_of_the_script(self):
        self.post("/sim/script", [{"status": 429}])
        self.assert_error(self.ask("x [[sim: code=RequestBurstTooFast]]"), 429, "RequestBurstTooFast")


class Outages(SimTest):
    def outage(self, **directives):
        return self.post("/sim/outage", directives).status

    def test_an_outage_applies_to_every_call_before_any_check(self):
        self.assertEqual(self.outage(status=502, body="html"), 204)
        for answer in (self.ask(), self.ask(size="1x1"), self.ask("x [[sim: images=1]]"), self.post(GENERATIONS, body())):
            self.assertEqual((answer.status, answer.headers["content-type"]), (502, "text/html"))
        self.assertEqual(self.outage(), 204)
        self.assertEqual((self.ask().status, self.ask(size="1x1").status), (200, 400))
        self.assertEqual(self.get("/sim/stats").json()["images_billed"], 1)

    def test_an_outage_for_accepted_requests_only(self):
        self.outage(code="InternalServiceError", accepted_only=True)
        self.assertEqual((self.ask().status, self.ask(size="1x1").status, self.post(GENERATIONS, body()).status), (500, 400, 401))

    def test_outages_with_silence_and_resets(self):
        self.outage(hang=0)
        connection = self.open(body())
        eventually(lambda: self.stats()["calls_open"] == 1, "the call is open")
        self.outage(rst=True)
        with self.assertRaises(Cut):
            self.open(body()).response_head(Deadline())
        connection.close()

    def test_an_invalid_outage_is_refused_and_a_reset_ends_an_outage(self):
        self.outage(status=502)
        for wrong in (b"[]", b"{", b'{"status":502,"oops":1}', b"7"):
            self.assertEqual(self.post("/sim/outage", wrong).status, 400, wrong)
        self.assertEqual(self.ask().status, 502)
        self.post("/sim/reset")
        self.assertEqual(self.ask().status, 200)


class Pictures(SimTest):
    def test_a_url_serves_its_image(self):
        for fields, kind, magic in (({}, "image/jpeg", b"\xff\xd8\xff"),
                                    ({"model": PRO, "output_format": "png"}, "image/png", b"\x89PNG\r\n\x1a\n")):
            url = self.ask(**fields).json()["data"][0]["url"]
            self.assertTrue(url.startswith(f"http://{self.sim.address}/"))
            response = self.get(path_of(url))
            self.assertEqual((response.status, response.headers["content-type"]), (200, kind))
            self.assertTrue(response.body.startswith(magic))

    def test_the_images_of_a_group_differ(self):
        urls = [item["url"] for item in self.ask("x", 3).json()["data"]]
        self.assertEqual(len({self.get(path_of(url)).body for url in urls}), 3)

    def test_a_url_expires_after_a_day(self):
        path = path_of(self.ask().json()["data"][0]["url"])
        self.post("/sim/clock", {"advance_ms": 86_000_000})
        self.assertEqual(self.get(path).status, 200)
        self.post("/sim/clock", {"advance_ms": 1_000_000})
        response = self.get(path)
        self.assertEqual((response.status, response.headers["content-type"]), (403, "application/xml"))
        self.assertIn(b"<Code>AccessDenied</Code>", response.body)

    def test_a_changed_query_is_denied(self):
        path = path_of(self.ask().json()["data"][0]["url"])
        for changed in (path.replace("%2F", "/"), path.replace("_0.jpeg", "_1.jpeg"), path.partition("?")[0], path + "&x=1"):
            response = self.get(changed)
            self.assertEqual(response.status, 403, changed)
            self.assertIn(b"<Code>AccessDenied</Code>", response.body)
        self.assertEqual(self.get("/doubao-seedream-4-0/nothing.jpeg").status, 404)


class Records(SimTest):
    def test_every_call_is_recorded(self):
        self.ask("first", 2, image="https://a/1", size="4K", watermark=False, stream=True, headers={"X-Client-Request-Id": "c-1"})
        self.ask("second [[sim: status=429]]")
        first, second = self.calls()
        self.assertEqual({key: first[key] for key in first if key not in ("number", "time_ms", "duration_ms", "request_id")}, {
            "client_request_id": "c-1", "model": V40, "prompt": "first", "size": "4K", "refs": 1, "max_images": 2,
            "watermark": False, "stream": True, "extras": {}, "status": 200, "images": 2, "delivered": 2, "failed": 0, "billed": 2, "charged_micros": 60_000,
            "outcome": "answered"})
        self.assertEqual((second["status"], second["billed"], second["watermark"]), (429, 0, None))
        self.assertGreater(second["number"], first["number"])

    def test_counters(self):
        self.ask("x", 2)
        self.ask("x [[sim: status=429]]")
        self.post(GENERATIONS, body())
        stats = self.stats()
        self.assertEqual((stats["calls"], stats["calls_by_status"]), (3, {"200": 1, "401": 1, "429": 1}))
        self.assertEqual((stats["images_billed"], stats["calls_open"], stats["calls_max_open"]), (2, 0, 1))

    def test_images_are_billed_after_the_client_has_disconnected(self):
        for stream in (False, True):
            with self.subTest(stream=stream):
                self.post("/sim/reset")
                connection = self.open(body("x [[sim: first_latency=600]]", 3, stream=stream))
                eventually(lambda: self.stats()["calls_open"] == 1, "the call is open")
                connection.close()
                eventually(lambda: self.stats()["disconnects"] == 1, "the client is missed")
                stats = self.wait_idle()
                self.assertEqual((stats["images_billed"], stats["images_delivered"]), (3, 0))
                self.assertEqual(self.calls()[0]["outcome"], "disconnected")

    def test_a_client_that_disconnects_before_its_request_is_read(self):
        self.sim.pause()
        self.open(body("x [[sim: hang]]")).close()
        self.sim.resume()
        eventually(lambda: self.stats()["disconnects"] == 1, "the client is missed")
        self.wait_idle()

    def test_a_client_that_disconnects_within_a_stream(self):
        connection = self.open(body("x [[sim: latency=300 first_latency=0]]", 3, stream=True))
        connection.body(connection.response_head(Deadline())).next_piece(Deadline())
        connection.close()
        stats = self.wait_idle()
        self.assertEqual((stats["images_billed"], stats["disconnects"]), (3, 1))
        self.assertLess(stats["images_delivered"], 3)

    def test_a_thousand_calls_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * MANY)), hard))
        connections = []
        for n in range(MANY):
            connections.append(Connection(self.sim.address))
            self.addCleanup(connections[-1].close)
            connections[-1].request("POST", GENERATIONS, body(f"t{n} [[sim: hang_after_image=1]]", 2, stream=True), AUTH)
        eventually(lambda: self.stats()["images_delivered"] == MANY, "every call has its first image")
        self.assertEqual(self.stats()["calls_open"], MANY)
        for connection in connections:
            response = connection.response_head(Deadline())
            self.assertEqual(len(frames(connection.body(response).next_piece(Deadline()))), 1)
            connection.close()
        self.wait_idle()
        self.assertEqual(sorted(call["prompt"].split()[0] for call in self.calls()), sorted(f"t{n}" for n in range(MANY)))
        self.assertEqual(self.stats()["calls_max_open"], MANY)


class Process(ProcessTest):
    def test_sigterm_stops_it_at_once_with_open_calls(self):
        sim = start("--image-ms", "60000")
        waiting = []
        for prompt in ("x", "x [[sim: hang]]", "x [[sim: first_latency=0 hang_after_image=1]]", "x [[sim: status=500 latency=60000]]"):
            waiting.append(Connection(sim.address))
            self.addCleanup(waiting[-1].close)
            waiting[-1].request("POST", GENERATIONS, body(prompt, 2, stream=True), AUTH)
        eventually(lambda: fetch(sim.address, "GET", "/sim/stats").json()["calls_open"] == 4, "all calls are open")
        self.assertEqual(sim.stop(seconds=10), 0)
        for connection in waiting:
            connection.wait_closed()

    def test_healthcheck(self):
        sim = start()
        check = lambda: Program("check", [binary("arkrelay-ark-sim"), "--listen", sim.address, "--healthcheck"]).wait_exit()
        self.assertEqual(check(), 0)
        self.assertEqual(fetch(sim.address, "GET", "/livez").status, 200)
        sim.stop()
        self.assertEqual(check(), 1)

    def test_public_url_is_the_prefix_of_image_urls(self):
        sim = start("--public-url", "https://pictures.example:444")
        answer = fetch(sim.address, "POST", GENERATIONS, body(), AUTH).json()
        url = answer["data"][0]["url"]
        self.assertTrue(url.startswith("https://pictures.example:444/doubao-seedream-4-0/"))
        self.assertEqual(fetch(sim.address, "GET", path_of(url)).status, 200)
        self.assertEqual(sim.stop(), 0)

    def test_first_image_ms(self):
        sim = start("--image-ms", "60000", "--first-image-ms", "5")
        self.assertEqual(fetch(sim.address, "POST", GENERATIONS, body(), AUTH).status, 200)
        self.assertEqual(sim.stop(), 0)


if __name__ == "__main__":
    unittest.main()
