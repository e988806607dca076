"""b64_json: pictures from the storage as base64, in JSON and in streams, with gateway, workers and the simulator."""

import base64
import json
import pathlib
import re
import shutil
import tempfile
import unittest

from support.http_client import Connection, fetch
from support.images import png
from support.processes import ProcessTest, eventually
from support.world import BASE, World
from test_metrics import scrape
from test_openai import Asking, chunks

PATH = "/v1/images/generations"
BODY = {"prompt": "a red bicycle", "response_format": "b64_json"}
NEVER = "10m"


class B64Test(ProcessTest):
    roles = "ark,outbox"
    options = {}

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.store = pathlib.Path(self.folder, "pictures")
        self.world = self.enterContext(World())
        self.gateway = self.world.gateway(STORAGE=self.store, **self.options)
        self.worker = self.world.worker(STORAGE=self.store, WORKER_ROLES=self.roles)

    def ask(self, **fields):
        return fetch(self.gateway.address, "POST", PATH, {**BODY, **fields})

    def asking(self, key="key", **fields):
        asking = Asking(self.gateway.address, {**BODY, **fields}, key=key)
        self.addCleanup(asking.close)
        return asking

    def stored(self, task_id):
        """The pictures of a task, as GET /p/... serves them."""
        images = self.gateway.task(task_id).json()["result"]["generated_images"]
        return [fetch(self.gateway.address, "GET", image["stored_url"]).body for image in images]


class Answers(B64Test):
    def test_the_bytes_are_those_of_the_stored_picture(self):
        answer = self.ask()
        self.assertEqual(answer.status, 200, answer.body[:300])
        image, = answer.json()["data"]
        self.assertEqual(list(image), ["b64_json"])
        self.assertEqual([base64.b64decode(image["b64_json"], validate=True)], self.stored(answer.headers["arkrelay-tasks"]))
        self.assertEqual(answer.json()["usage"]["output_tokens"], 16384)

    def test_several_in_the_order_of_their_tasks(self):
        answer = self.ask(n=3)
        found = [base64.b64decode(image["b64_json"], validate=True) for image in answer.json()["data"]]
        self.assertEqual(found, [picture for task_id in answer.headers["arkrelay-tasks"].split(", ") for picture in self.stored(task_id)])

    def test_a_group(self):
        answer = self.ask(sequential_image_generation="auto", sequential_image_generation_options={"max_images": 3})
        found = [base64.b64decode(image["b64_json"], validate=True) for image in answer.json()["data"]]
        self.assertEqual((len(found), found), (3, self.stored(answer.headers["arkrelay-tasks"])))

    def test_what_a_gpt_image_model_gets_by_default(self):
        answer = fetch(self.gateway.address, "POST", PATH, {"prompt": "x", "model": "gpt-image-1"})
        self.assertEqual(list(answer.json()["data"][0]), ["b64_json"])

    def test_a_failed_task_beside_others(self):
        self.world.ark.script({"status": 400})
        answer = self.ask(n=3)
        self.assertEqual((len(answer.json()["data"]), len(answer.json()["errors"])), (2, 1))
        self.assertEqual(self.ask(prompt="refused [[sim: status=400]]").status, 400)

    def test_a_stream(self):
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, {**BODY, "n": 2, "stream": True})
            response = connection.response()
        events = [json.loads(line) for line in re.findall(r"^data: (.*)$", response.body.decode(), re.M)]
        self.assertEqual([event["type"] for event in events], 2 * ["image_generation.completed"])
        task_ids = response.headers["arkrelay-tasks"].split(", ")
        for event in events:
            self.assertEqual([base64.b64decode(event["b64_json"], validate=True)], self.stored(task_ids[event["task"]]))
            self.assertEqual(event["size"], "2048x2048")

    def test_a_repetition_gets_the_same_pictures(self):
        answers = [fetch(self.gateway.address, "POST", PATH, BODY, {"Idempotency-Key": "k"}).json()["data"] for _ in range(2)]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(len(self.world.ark.calls()), 1)

    def test_the_output_format_of_a_stored_link(self):
        """It has no extension. The picture is what ARK was asked for."""
        self.world.worker(STORAGE=self.store, STORAGE_REPLACE_URL="on")
        self.worker.stop()
        fields = {"model": "doubao-seedream-5-0-260128", "output_format": "png"}
        for form in ("url", "b64_json"):
            answer = self.ask(response_format=form, **fields).json()
            self.assertEqual(answer["output_format"], "png")
        self.assertEqual(base64.b64decode(answer["data"][0]["b64_json"])[:4], b"\x89PNG")
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, {**BODY, **fields, "stream": True})
            event, = re.findall(r"^data: (.*)$", connection.response().body.decode(), re.M)
        self.assertEqual(json.loads(event)["output_format"], "png")
        self.assertEqual(self.ask(response_format="url").json()["output_format"], "jpeg")

    def test_a_storage_that_fails(self):
        """The head is sent when the first picture has been opened, so that the failure has its status."""
        key = {"Idempotency-Key": "k"}
        first = fetch(self.gateway.address, "POST", PATH, BODY, key)
        image, = self.gateway.task(first.headers["arkrelay-tasks"]).json()["result"]["generated_images"]
        path, = self.store.rglob(image["id"])
        path.rename(self.store / "away")
        answer = fetch(self.gateway.address, "POST", PATH, BODY, key)
        self.assertEqual((answer.status, answer.json()["error"]["code"], answer.headers["x-should-retry"]), (503, "storage_unavailable", "true"))
        (self.store / "away").rename(path)
        answer = fetch(self.gateway.address, "POST", PATH, BODY, key)
        self.assertEqual((answer.json()["data"], len(self.world.ark.calls())), (first.json()["data"], 1))

    def test_a_picture_that_was_deleted(self):
        """No repetition gets it, so it is not asked for. Without a key, the next request is an order of its own."""
        key = {"Idempotency-Key": "k"}
        first = fetch(self.gateway.address, "POST", PATH, BODY, key)
        image, = self.gateway.task(first.headers["arkrelay-tasks"]).json()["result"]["generated_images"]
        self.assertEqual(fetch(self.gateway.address, "DELETE", image["stored_url"]).status, 204)
        answer = fetch(self.gateway.address, "POST", PATH, BODY, key)
        self.assertEqual((answer.status, answer.json()["error"]["code"], answer.headers["x-should-retry"]), (404, "picture_not_found", "false"))
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, {**BODY, "stream": True}, key)
            event, = re.findall(r"^data: (.*)$", connection.response().body.decode(), re.M)
        self.assertEqual((json.loads(event)["type"], json.loads(event)["error"]["code"]), ("error", "picture_not_found"))
        answer = fetch(self.gateway.address, "POST", PATH, {**BODY, "response_format": "url"}, key)
        self.assertEqual(answer.json()["data"][0]["url"], image["url"])
        self.assertEqual(self.world.redis("KEYS", "arkrelay:{0}:unanswered:*"), [])
        eventually(lambda: self.outcomes("done", "failed") == [2, 2], "both failures are counted")

    def outcomes(self, *names):
        counts = scrape(self.gateway)["arkrelay_openai_requests_total"]
        return [counts.value(endpoint="generations", outcome=name) for name in names]


class Slow(B64Test):
    """The gateway is always behind: it may not write before the client has taken what was written."""
    options = {"GATEWAY_OUTPUT_MAX": "4k"}

    def test_a_large_picture_for_a_slow_client(self):
        """The gateway reads it as the client takes it. An upload takes the place of the picture, because the simulator's are small."""
        large = png(1000, 1000, size=8 << 20)
        fetch(self.gateway.address, "POST", BASE + "/uploads", large, {"Content-Type": "image/png"})
        first = fetch(self.gateway.address, "POST", PATH, BODY, {"Idempotency-Key": "key"})
        image, = self.gateway.task(first.headers["arkrelay-tasks"]).json()["result"]["generated_images"]
        files = sorted((path for path in self.store.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        shutil.copy(files[-1], next(path for path in files if path.name.startswith(image["id"])))
        before = self.gateway.memory()
        asking = self.asking()
        asking.read_until(b'"b64_json"')
        if not self.gateway.is_sanitized():     # its quarantine keeps what is freed
            self.assertLess(self.gateway.memory() - before, 4 << 20)
        body, complete = chunks(asking.read_all())
        self.assertTrue(complete)
        self.assertEqual(base64.b64decode(json.loads(body)["data"][0]["b64_json"], validate=True), large)

    def test_several_pictures(self):
        for stream in (False, True):
            asking = self.asking(key=f"key{stream}", n=3, stream=stream)
            body, complete = chunks(asking.read_all())
            self.assertTrue(complete)
            found = re.findall(rb'"b64_json":"([^"]+)"', body)
            task_ids = re.search(r"arkrelay-tasks: ([^\r]+)", asking.raw.decode(), re.I)[1].split(", ")
            self.assertEqual(sorted(base64.b64decode(text, validate=True) for text in found),
                             sorted(picture for task_id in task_ids for picture in self.stored(task_id)))


class Late(B64Test):
    """Nobody copies pictures until a second worker does."""
    roles = "ark"
    options = {"GATEWAY_OPENAI_HOLD": "300ms", "GATEWAY_HEARTBEAT": "100ms"}

    def copy(self):
        self.world.worker(STORAGE=self.store, WORKER_ROLES="outbox")

    def picture(self):
        """The key of the only picture."""
        keys = eventually(lambda: self.world.redis("KEYS", "arkrelay:{0}:picture:*"), "a picture is owed")
        return keys[0]

    def test_white_space_until_it_is_stored(self):
        asking = self.asking()
        asking.read_until(b"\r\n\r\n1\r\n \r\n1\r\n \r\n1\r\n \r\n")
        self.copy()
        body, complete = chunks(asking.read_all())
        self.assertTrue(complete)
        self.assertEqual([base64.b64decode(json.loads(body)["data"][0]["b64_json"])], self.stored(self.task_id(asking)))

    def test_comments_until_it_is_stored(self):
        asking = self.asking(stream=True)
        asking.read_until(b": keep-alive\n\r\n")
        self.copy()
        body, complete = chunks(asking.read_all())
        self.assertTrue(complete)
        event, = re.findall(rb"^data: (.*)$", body, re.M)
        self.assertEqual([base64.b64decode(json.loads(event)["b64_json"])], self.stored(self.task_id(asking)))

    def test_a_picture_that_cannot_be_had_cuts_an_open_answer(self):
        for key, stream in (("json", False), ("stream", True)):
            asking = self.asking(key=key, stream=stream)
            asking.read_until(b": keep-alive\n\r\n" if stream else b"1\r\n \r\n")
            self.world.redis("HSET", self.picture(), "state", "failed")
            _, complete = chunks(asking.read_all())
            self.assertFalse(complete)
            self.world.redis("FLUSHALL")

    def task_id(self, asking):
        return re.search(rb"arkrelay-tasks: (\S+)", asking.raw, re.I)[1].decode()


class LateHeld(Late):
    options = {"GATEWAY_OPENAI_HOLD": NEVER}

    def test_white_space_until_it_is_stored(self):
        asking = self.asking()
        self.picture()
        self.copy()
        response = asking.connection.response()
        self.assertEqual((response.status, len(response.json()["data"])), (200, 1))

    def test_comments_until_it_is_stored(self):
        pass        # a stream is open from the first image on

    def test_a_picture_that_cannot_be_had_cuts_an_open_answer(self):
        """Held, it has a status. The repeated request gets the picture, and nothing more is paid."""
        asking = self.asking()
        key = self.picture()
        self.world.redis("HSET", key, "state", "failed")
        response = asking.connection.response()
        self.assertEqual((response.status, response.json()["error"]["code"], response.headers["x-should-retry"]), (503, "storage_unavailable", "true"))
        self.world.redis("HSET", key, "state", "owed")
        self.copy()
        response = self.asking().connection.response()
        self.assertEqual((response.status, len(response.json()["data"]), len(self.world.ark.calls())), (200, 1, 1))

    def test_a_client_that_leaves_while_it_waits(self):
        asking = self.asking()
        self.picture()
        asking.close()
        eventually(lambda: self.gateway.metric("arkrelay_openai_requests_total") and True, "the metrics answer")
        self.copy()
        self.assertEqual(self.asking().connection.response().status, 200)
        self.assertEqual(len(self.world.ark.calls()), 1)


if __name__ == "__main__":
    unittest.main()
