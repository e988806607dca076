"""ARK's possible responses, byte for byte: no delivered image is lost, and each slot is reported once."""

import gzip
import http.server
import json
import threading
import unittest
import zlib

from support.judge import PROBE
from support.processes import Program, ProcessTest, binary
from support.world import World, sim

BAD = {"code": "BadRequest", "message": "The request failed because it is missing parameters."}
REFUSED = {"code": "OutputImageSensitiveContentDetected", "message": "may contain sensitive information"}
INTERNAL = {"code": "InternalServiceError", "message": "an unexpected internal error"}
END = object()              # [DONE]
UNKNOWN = "outcome_unknown"
BROKE = "ARK's answer broke off before this image"


def url(name):
    return f"https://ark.example.com/{name}.jpeg?X-Tos-Expires=86400"


def S(index, name, **members):
    return {"type": "image_generation.partial_succeeded", "image_index": index, "url": url(name), "size": "2048x2048", **members}


def PF(index, error=REFUSED):
    return {"type": "image_generation.partial_failed", "image_index": index, "error": error}


def C(count):
    return {"type": "image_generation.completed", "usage": {"generated_images": count}}


def E(error=BAD):
    return {"error": error}


def without_index(frame):
    return {name: value for name, value in frame.items() if name != "image_index"}


def stream(*frames):
    return "".join("data: [DONE]\n\n" if frame is END else f"data: {json.dumps(frame)}\n\n" for frame in frames)


class AnswersTest(ProcessTest):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.__exit__, None, None, None)
        cls.gateway = cls.world.gateway()
        cls.world.worker(**cls.options)

    def end_of(self, task_id, step, **fields):
        self.world.ark.script(step)
        with self.gateway.generate(task_id, prompt=sim(task_id), **{"max_paid_calls": 1, **fields}) as events:
            self.frames = events.to_end()
        return self.frames[-1].payload()

    def stream_end(self, task_id, *frames, **fields):
        return self.end_of(task_id, {"raw": stream(*frames), "type": "text/event-stream"}, **fields)

    def assert_slots(self, data, images, failures):
        self.assertEqual([(image["index"], image["url"]) for image in data["generated_images"]],
                         [(index, url(name)) for index, name in images])
        self.assertEqual([(slot["index"], slot["code"], slot["message"]) for slot in data["failed_images"]], failures)
        indexes = [frame.payload()["index"] for frame in self.frames[:-1] if frame.payload().get("stage", "").startswith("image")]
        self.assertEqual(sorted(indexes), sorted([index for index, _ in images] + [index for index, *_ in failures]))


class Slots(AnswersTest):
    def refused(self, *indexes):
        return [(index, REFUSED["code"], REFUSED["message"]) for index in indexes]

    def missing(self, error, *indexes):
        return [(index, error["code"], error["message"]) for index in indexes]

    def test_images_and_failures_are_in_slot_order(self):
        """Frames -> (slot, image) of the delivered images, and failed slots. Three images are requested."""
        unknown = {"code": UNKNOWN, "message": BROKE}
        lost = {"code": "NoImage", "message": "ARK counts this image as generated and did not deliver it."}
        blank = {"code": "NoImage", "message": "ARK sent neither an image nor an error for this slot."}
        table = [
            ("in order", [S(0, "a"), S(1, "b"), S(2, "c"), C(3), END], [(0, "a"), (1, "b"), (2, "c")], []),
            ("in another order", [S(2, "c"), S(0, "a"), S(1, "b"), C(3), END], [(0, "a"), (1, "b"), (2, "c")], []),
            ("failures in another order", [PF(2), S(1, "b"), PF(0), C(1), END], [(1, "b")], self.refused(0, 2)),
            ("one index twice", [S(0, "a"), S(0, "b"), C(2), END], [(0, "a"), (1, "b")], []),
            ("one index three times", [S(0, "a"), S(0, "b"), S(0, "c"), C(3), END], [(0, "a"), (1, "b"), (2, "c")], []),
            ("an impossible index first", [S(99, "a"), S(0, "b"), C(2), END], [(0, "a"), (1, "b")], []),
            ("no index first", [without_index(S(0, "a")), S(0, "b"), C(2), END], [(0, "a"), (1, "b")], []),
            ("a text first", [S("1", "a"), S(0, "b"), C(2), END], [(0, "a"), (1, "b")], []),
            ("a negative index first", [S(-1, "a"), S(0, "b"), S(1, "c"), C(3), END], [(0, "a"), (1, "b"), (2, "c")], []),
            ("the same picture twice", [S(0, "a"), S(0, "a"), S(1, "a"), S(1, "b"), C(2), END], [(0, "a"), (1, "b")], []),
            ("the same picture twice, and counted twice", [S(0, "a"), S(0, "a"), C(2), END], [(0, "a")], []),
            ("more than asked for", [*(S(n, f"p{n}") for n in range(5)), C(5), END], [(n, f"p{n}") for n in range(5)], []),
            ("a failure of a slot that was delivered", [S(0, "a"), PF(0), S(1, "b"), S(2, "c"), C(3), END],
             [(0, "a"), (1, "b"), (2, "c")], []),
            ("an error after one of three", [S(0, "a"), E()], [(0, "a")], self.missing(BAD, 1, 2)),
            ("an error after the last of three", [S(2, "c"), E()], [(2, "c")], self.missing(BAD, 0, 1)),
            ("an error after a refusal", [S(0, "a"), PF(1), E()], [(0, "a")], [*self.refused(1), *self.missing(BAD, 2)]),
            ("an internal error, completed", [S(0, "a"), PF(1, INTERNAL), C(1), END], [(0, "a")], self.missing(INTERNAL, 1, 2)),
            ("an internal error, and the end", [S(0, "a"), PF(1, INTERNAL)], [(0, "a")], self.missing(INTERNAL, 1, 2)),
            ("an internal error as a variety", [S(1, "b"), PF(0, {**INTERNAL, "code": "InternalServiceError.X"}), END], [(1, "b")],
             self.missing({**INTERNAL, "code": "InternalServiceError.X"}, 0, 2)),
            ("a cut after one of three", [S(1, "b")], [(1, "b")], self.missing(unknown, 0, 2)),
            ("a cut after a refusal", [S(1, "b"), PF(0)], [(1, "b")], [*self.refused(0), *self.missing(unknown, 2)]),
            ("fewer than asked for", [S(0, "a"), C(1), END], [(0, "a")], []),
            ("a picture without a link", [S(0, "a"), S(1, "b", url=None), S(2, "c"), C(3), END], [(0, "a"), (2, "c")],
             self.missing(blank, 1)),
            ("a picture that never came, and is counted", [S(0, "a"), S(2, "c"), C(3), END], [(0, "a"), (2, "c")],
             self.missing(lost, 1)),
        ]
        for n, (name, frames, images, failures) in enumerate(table):
            with self.subTest(name):
                data = self.stream_end(f"slots-{n}", *frames)
                self.assertEqual((self.frames[-1].event, data["charged"], data["paid_calls"]), ("done", "yes", 1))
                self.assert_slots(data, images, failures)

    def test_a_json_response_of_a_stopped_group(self):
        body = {"model": "m", "data": [{"url": url("a"), "size": "1x1"}, {"error": INTERNAL}], "usage": {"generated_images": 1}}
        data = self.end_of("document-stopped", {"raw": json.dumps(body)})
        self.assert_slots(data, [(0, "a")], self.missing(INTERNAL, 1, 2))

    def test_a_json_response_with_an_image_and_an_error(self):
        body = {"model": "m", "data": [{"url": url("a"), "size": "1x1"}], "error": BAD}
        data = self.end_of("document-error", {"raw": json.dumps(body)})
        self.assert_slots(data, [(0, "a")], self.missing(BAD, 1, 2))

    def test_a_long_error_message_is_cut_with_an_ellipsis(self):
        """Number of three-byte characters sent -> number kept."""
        for count, kept in ((600, 600), (682, 682), (683, 682), (1000, 682)):
            with self.subTest(count):
                body = {"error": {"code": "InvalidParameter", "message": "图" * count, "param": "", "type": "BadRequest"}}
                data = self.end_of(f"words-{count}", {"raw": json.dumps(body, ensure_ascii=False), "status": 400})
                self.assertIn("InvalidParameter: " + "图" * kept + ("" if kept == count else "…") + " (HTTP 400)", data["error"])

    def test_the_message_of_a_failed_slot_is_not_cut(self):
        data = self.stream_end("slot-words", S(0, "a"), PF(1, {"code": "C", "message": "图" * 600}), S(2, "c"), C(2), END)
        self.assertEqual(data["failed_images"], [{"index": 1, "code": "C", "message": "图" * 600}])


class Ends(AnswersTest):
    """Complete responses whose connection stays open."""
    options = {"ARK_END_TIMEOUT": "100ms"}

    def test_a_complete_stream_that_stays_open_is_done(self):
        for n, (name, frames, images) in enumerate([
                ("one picture", [S(0, "a")], 1), ("the last slot failed", [S(0, "a"), PF(1)], 2),
                ("an internal error has stopped the group", [S(0, "a"), PF(1, INTERNAL)], 3)]):
            with self.subTest(name):
                data = self.end_of(f"open-{n}", {"raw": stream(*frames), "type": "text/event-stream", "stays_open": True},
                                   max_images=images)
                self.assertEqual([image["url"] for image in data["generated_images"]], [url("a")])
                self.assertEqual([slot["code"] for slot in data["failed_images"] if slot["code"] == UNKNOWN], [])

    def test_a_complete_json_response_on_an_open_connection_is_done(self):
        body = {"data": [{"url": url("a"), "size": "]}"}], "usage": {"generated_images": 1}}
        data = self.end_of("open-document", {"raw": json.dumps(body), "stays_open": True})
        self.assertEqual([image["url"] for image in data["generated_images"]], [url("a")])

    def test_images_beyond_the_requested_number(self):
        data = self.stream_end("one-more", S(0, "a"), S(1, "b"), max_images=1)
        self.assertEqual([(image["index"], image["url"]) for image in data["generated_images"]], [(0, url("a")), (1, url("b"))])


class WithoutStream(AnswersTest):
    """ARK sends the head with the last image, so the timeout for it grows with the number of images."""
    options = {"ARK_STREAM": "off", "ARK_FIRST_BYTE_TIMEOUT": "300ms", "ARK_TIMEOUT": "400ms", "ARK_TIMEOUT_PER_IMAGE": "1s"}

    def test_the_first_byte_timeout_grows_with_the_number_of_images(self):
        data = self.end_of("group", {"latency": 250}, max_images=5)
        self.assertEqual((len(data["generated_images"]), data["paid_calls"]), (5, 1))
        self.assertEqual(len(self.world.ark.calls_of("group")), 1)

    def test_the_first_byte_timeout_of_one_image(self):
        data = self.end_of("single", {"hang": 0}, max_images=1)
        self.assertEqual(data["code"], UNKNOWN)
        self.assertIn("first byte", data["error"])


class Options(ProcessTest):
    def test_the_first_byte_timeout_must_be_below_the_call_timeout(self):
        env = {"ARK_API_KEY": "x", "REDIS_URL": "redis://127.0.0.1:1", "WORKER_LISTEN": "off"}
        program = Program("worker", [binary("arkrelay-worker")], {**env, "ARK_FIRST_BYTE_TIMEOUT": "2m", "ARK_TIMEOUT": "1m"})
        self.assertEqual(program.wait_exit(), 78)
        self.assertRegex(program.lines[-1], "ARK_FIRST_BYTE_TIMEOUT 120000ms is above ARK_TIMEOUT 60000ms")
        program = Program("worker", [binary("arkrelay-worker")], {**env, "ARK_TIMEOUT": "1m"})
        program.wait_for("starting")
        program.stop()


class Models(AnswersTest):
    """The simulator rejects fields that a model does not support, as the real models do."""
    options = {"ARK_SIZE": "2K"}

    def test_every_model_accepts_the_workers_request(self):
        for n, model in enumerate(["doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128", "doubao-seedream-5-0-260128",
                                   "doubao-seedream-5-0-lite-260128", "doubao-seedream-5-0-pro-260628",
                                   "doubao-seedream-5-0-flash-260915", "doubao-seedream-5-5-261028", "ep-20261101101010-abcde"]):
            with self.subTest(model):
                data = self.end_of(f"model-{n}", {}, model=model, max_images=1)
                self.assertEqual(len(data.get("generated_images", ())), 1, data)


class StubArk:
    """Answers each call with the next of `answers`, (status, headers, body bytes), and probes of the circuit breaker with PROBED."""

    PROBED = (400, {}, json.dumps({"error": {"code": "InvalidParameter", "message": "probe"}}).encode())

    def __init__(self):
        self.answers = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, body = stub.PROBED if request.get("prompt") == PROBE else stub.answers.pop(0)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v3"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Compressed(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.stub = StubArk()
        cls.addClassCleanup(cls.stub.close)
        cls.world = World(ark=False)
        cls.addClassCleanup(cls.world.__exit__, None, None, None)
        cls.gateway = cls.world.gateway()
        cls.world.worker(ARK_BASE_URL=cls.stub.url, ARK_ANSWER_MAX="64k")

    def end_of(self, task_id, body, encoding, status=200, **headers):
        self.stub.answers = [(status, {"Content-Encoding": encoding, **headers}, body)]
        with self.gateway.generate(task_id, max_images=1, max_paid_calls=1) as events:
            end = events.to_end()[-1]
        return end.event, end.payload()

    def test_a_compressed_response_is_decoded_although_not_requested(self):
        document = json.dumps({"data": [{"url": url("a"), "size": "1x1"}]}).encode()
        events = stream(S(0, "a"), C(1), END).encode()
        table = [("a document", gzip.compress(document), "gzip", {}), ("a stream", gzip.compress(events), "gzip", {"Content-Type": "text/event-stream"}),
                 ("deflate", zlib.compress(document), "deflate", {}), ("twice", gzip.compress(gzip.compress(document)), "gzip, gzip", {}),
                 ("identity", document, "identity", {})]
        for n, (name, body, encoding, headers) in enumerate(table):
            with self.subTest(name):
                event, data = self.end_of(f"packed-{n}", body, encoding, **headers)
                self.assertEqual(event, "done", data)
                self.assertEqual([image["url"] for image in data["generated_images"]], [url("a")])

    def test_a_compressed_error_is_decoded(self):
        body = gzip.compress(json.dumps({"error": {"code": "InvalidParameter", "message": "size is wrong"}}).encode())
        event, data = self.end_of("packed-refusal", body, "gzip", 400)
        self.assertEqual((event, data["code"], data["charged"]), ("error", "ark_invalid_request", "no"))
        self.assertIn("InvalidParameter: size is wrong", data["error"])

    def test_a_response_that_cannot_be_decoded_is_reported(self):
        for n, (body, encoding, words) in enumerate([(b"{}", "x-own", "encoding"), (b"no gzip at all", "gzip", "ncod"),
                                                     (gzip.compress(bytes(10_000_000)), "gzip", "larger than allowed")]):
            with self.subTest(encoding + words):
                event, data = self.end_of(f"broken-{n}", body, encoding)
                self.assertEqual((event, data["code"], data["charged"]), ("error", UNKNOWN, "unknown"))
                self.assertIn(words, data["error"])

    def test_an_error_that_cannot_be_decoded_is_still_an_error(self):
        event, data = self.end_of("broken-refusal", b"\x00\x01", "x-own", 400)
        self.assertEqual((event, data["code"], data["charged"]), ("error", "ark_invalid_request", "no"))


if __name__ == "__main__":
    unittest.main()
