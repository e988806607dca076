"""POST /v1/images/edits: the form, its images as uploads, and what is refused, with a worker and the simulator."""

import hashlib
import json
import pathlib
import re
import tempfile
import unittest

from support.http_client import Connection, fetch
from support.images import png
from support.processes import ProcessTest, eventually
from support.world import BASE, World
from test_gateway_keys import Key
from test_metrics import scrape
from test_uploads import IMAGES, PNG, form

PATH = "/v1/images/edits"
JPEG = (IMAGES / "baseline.jpg").read_bytes()
PROMPT = ("prompt", None, b"a blue bicycle")
URL = ("response_format", None, b"url")


def upload_of(data):
    return "upload:" + hashlib.sha256(data).hexdigest()


class EditTest(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.store = pathlib.Path(cls.folder, "pictures")
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway(STORAGE=cls.store)
        cls.worker = cls.world.worker(STORAGE=cls.store)

    def send(self, *parts, gateway=None, headers=None):
        kind, body = form(*parts)
        return fetch((gateway or self.gateway).address, "POST", PATH, body, {**kind, **(headers or {})})

    def assert_error(self, answer, status, code, param=None, words=""):
        error = answer.json()["error"]
        self.assertEqual((answer.status, error["code"], error["param"]), (status, code, param), error)
        self.assertIn(words, error["message"])

    def request_of(self, answer):
        """The stored request of the answer's only task."""
        return json.loads(self.world.redis("LINDEX", "arkrelay:{0}:events:public." + answer.headers["arkrelay-tasks"], 0))


class Edits(EditTest):
    def test_one_image(self):
        answer = self.send(PROMPT, ("image", "a.png", PNG), URL, ("size", None, b"1024x1024"), ("quality", None, b"high"), ("input_fidelity", None, b"high"))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertRegex(answer.json()["data"][0]["url"], "^http://")
        self.assertEqual(answer.headers["arkrelay-ignored"], "quality, input_fidelity")
        self.assertEqual(self.request_of(answer), {"max_images": 1, "prompt": "a blue bicycle", "size": "1024x1024", "urls": [upload_of(PNG)]})
        self.assertEqual(self.world.ark.calls()[-1]["refs"], 1)

    def test_several_images_in_their_order_and_typed_fields(self):
        answer = self.send(("image[]", "a.jpg", JPEG), ("image[]", "b.png", PNG), PROMPT, URL, ("n", None, b"2"), ("watermark", None, b"true"))
        self.assertEqual(len(answer.json()["data"]), 2)
        first = answer.headers["arkrelay-tasks"].split(", ")[0]
        stored = json.loads(self.world.redis("LINDEX", "arkrelay:{0}:events:public." + first, 0))
        self.assertEqual(stored, {"max_images": 1, "prompt": "a blue bicycle", "urls": [upload_of(JPEG), upload_of(PNG)], "watermark": True})

    def test_links_and_files_keep_their_order(self):
        link = "https://example.com/a.jpg"
        parts = {link: ("image", None, link.encode()), upload_of(PNG): ("image", "a.png", PNG), upload_of(JPEG): ("image[]", "b.jpg", JPEG)}
        for urls in ([link, upload_of(PNG)], [upload_of(PNG), link], [upload_of(JPEG), link, upload_of(PNG)]):
            answer = self.send(*(parts[url] for url in urls), PROMPT, URL)
            self.assertEqual(self.request_of(answer)["urls"], urls)

    def test_a_large_image_arrives_in_pieces(self):
        large = png(1000, 1000, size=8 << 20)
        answer = self.send(PROMPT, ("image", "large.png", large), ("image", "small.png", PNG), URL)
        self.assertEqual(self.request_of(answer)["urls"], [upload_of(large), upload_of(PNG)])

    def test_a_stream(self):
        kind, body = form(PROMPT, ("image", "a.png", PNG), URL, ("stream", None, b"true"))
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, body, kind)
            text = connection.response().body.decode()
        self.assertEqual(re.findall(r"^event: (.*)$", text, re.M), ["image_edit.completed"])
        self.assertEqual(json.loads(re.search(r"^data: (.*)$", text, re.M)[1])["type"], "image_edit.completed")

    def test_a_repeated_form_is_the_same_order(self):
        parts = (PROMPT, ("image", "a.png", PNG), URL)
        tasks = {self.send(*parts, headers={"Idempotency-Key": "same"}).headers["arkrelay-tasks"] for _ in range(2)}
        self.assertEqual(len(tasks), 1)
        self.assert_error(self.send(PROMPT, ("image", "b.png", JPEG), URL, headers={"Idempotency-Key": "same"}), 422, "task_id_conflict")

    def test_fields_that_are_refused(self):
        image = ("image", "a.png", PNG)
        table = [
            ([PROMPT, URL], "image", "is required"),
            ([image, URL], "prompt", "is required"),
            ([PROMPT, image, ("mask", "m.png", PNG)], "mask", "ARK has no masks"),
            ([("mask", "m.png", PNG), PROMPT, image], "mask", "ARK has no masks"),
            ([PROMPT, image, ("photo", "p.png", PNG)], "photo", "is not a file of this request"),
            ([PROMPT, image, ("promt", None, b"x")], "promt", "is not a field of this request"),
            ([PROMPT, image, PROMPT], "prompt", "is given twice"),
            ([PROMPT, image, ("n", None, b"two")], "n", "must be an integer from 1 to 10"),
            ([PROMPT, image, ("n", None, b"11")], "n", "must be an integer from 1 to 10"),
            ([PROMPT, image, ("stream", None, b"maybe")], "stream", "must be true or false"),
            ([image, ("prompt", None, b"\xff")], "prompt", "UTF-8"),
            ([image, ("prompt", None, b"x" * 40_000)], "prompt", "is too long"),
            ([image, PROMPT, *[(f"x{n}", None, b"x" * 30_000) for n in range(5)]], "x4", "is too long"),
            ([PROMPT, URL, *[("image[]", "a.png", PNG)] * 15], "image", "at most 14 images"),
            ([PROMPT, URL, ("image", None, b"ftp://x")], "image", "http"),
        ]
        calls = len(self.world.ark.calls())
        for parts, param, words in table:
            with self.subTest(param=param, words=words):
                self.assert_error(self.send(*parts), 422, "invalid_fields", param, words)
        self.assertEqual(len(self.world.ark.calls()), calls)

    def test_images_and_bodies_that_are_refused(self):
        self.assert_error(self.send(PROMPT, ("image", "a.txt", b"no image")), 415, "not_an_image")
        kind, body = form(PROMPT, ("image", "a.png", PNG))
        self.assert_error(fetch(self.gateway.address, "POST", PATH, body[:-10], kind), 400, "invalid_multipart")
        for name in (b"\x80" * 128, b"photo\xff", "图".encode()[:2]):
            for end in (b'"', b'"; filename="a.png"'):
                kind, body = form(PROMPT, ("photo", None, b"x"))
                body = body.replace(b'name="photo"', b'name="' + name + end)
                self.assert_error(fetch(self.gateway.address, "POST", PATH, body, kind), 400, "invalid_multipart")
        self.assert_error(fetch(self.gateway.address, "POST", PATH, {"prompt": "x"}), 415, "upload_content_type")
        self.assertEqual(fetch(self.gateway.address, "POST", PATH, b"x", {"Content-Type": kind["Content-Type"], "Content-Length": str(47 << 20)}).status, 413)

    def test_it_is_counted(self):
        counts = scrape(self.gateway)["arkrelay_openai_requests_total"]
        before = counts.value(endpoint="edits", outcome="done"), counts.value(endpoint="edits", outcome="invalid")
        self.send(PROMPT, ("image", "a.png", PNG), URL)
        self.send(PROMPT, URL)

        def after():
            counts = scrape(self.gateway)["arkrelay_openai_requests_total"]
            return counts.value(endpoint="edits", outcome="done"), counts.value(endpoint="edits", outcome="invalid")
        eventually(lambda: after() == (before[0] + 1, before[1] + 1), "one of each")


class Refused(ProcessTest):
    def test_without_a_storage(self):
        with World(ark=False) as world:
            kind, body = form(PROMPT, ("image", "a.png", PNG))
            answer = fetch(world.gateway().address, "POST", PATH, body, kind)
            self.assertEqual((answer.status, answer.json()["error"]["code"], answer.headers["x-should-retry"]), (501, "uploads_off", "false"))

    def test_a_client_whose_day_is_used_up_is_refused_before_its_body(self):
        with World(ark=False) as world, tempfile.TemporaryDirectory() as folder:
            key, keys = Key("shop"), pathlib.Path(folder, "keys")
            keys.write_text(key.line())
            gateway = world.gateway(STORAGE=pathlib.Path(folder, "pictures"), GATEWAY_KEYS_FILE=keys, GATEWAY_CLIENT_UPLOADS=1)
            kind, _ = form()
            self.assertEqual(fetch(gateway.address, "POST", BASE + "/uploads", PNG, {"Content-Type": "image/png", **key.header}).status, 201)
            for headers, status in (({**kind, **key.header}, 429), (kind, 401)):    # neither is worth a repetition within seconds
                with Connection(gateway.address) as connection:
                    lines = [f"POST {PATH} HTTP/1.1", "Host: x", "Content-Length: 1000000", *(f"{name}: {value}" for name, value in headers.items())]
                    connection.send(("\r\n".join(lines) + "\r\n\r\n").encode())
                    head = connection.socket.recv(65536)
                    self.assertTrue(head.startswith(f"HTTP/1.1 {status} ".encode()))
                    self.assertIn(b"x-should-retry: false", head)
            counts = lambda: scrape(gateway)["arkrelay_openai_requests_total"]
            eventually(lambda: [counts().value(endpoint="edits", outcome=outcome) for outcome in ("refused", "invalid")] == [1, 0], "one is counted")


if __name__ == "__main__":
    unittest.main()
