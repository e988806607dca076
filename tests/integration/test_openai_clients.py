"""The openai package and the AI SDK, unchanged, against gateway, worker and simulator."""

import re
import shutil
import subprocess
import tempfile
import unittest

from support import npm
from support.documents import ROOT, blocks
from support.http_client import fetch
from support.processes import ProcessTest, eventually
from support.world import World

TYPES = "node_modules/openai/resources/images.d.ts"


def of_types(pattern, item):
    """What the type declarations of the openai package list."""
    text = re.sub(r"/\*.*?\*/", "", (npm.install() / TYPES).read_text(encoding="utf-8"), flags=re.S)
    return re.findall(item, re.search(pattern, text, re.S)[1], re.M)


class Clients(ProcessTest):
    @classmethod
    def setUpClass(cls):
        npm.install()
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway(GATEWAY_OPENAI_HOLD="300ms", GATEWAY_HEARTBEAT="300ms")
        cls.world.worker()

    def setUp(self):
        self.calls = len(self.world.ark.calls())

    def run_case(self, name):
        return npm.run("openai.mjs", name, self.gateway.url)

    def value(self, name):
        said = self.run_case(name)
        self.assertNotIn("error", said)
        return said["value"]

    def error(self, name):
        said = self.run_case(name)
        self.assertNotIn("value", said)
        return said["error"]

    def assert_calls(self, count):
        self.assertEqual(len(self.world.ark.calls()) - self.calls, count)

    def test_models(self):
        names, known = self.value("models"), of_types(r"type ImageModel = (.*?);", r"'([^']+)'")
        self.assertGreaterEqual(len(known), 14)
        self.assertEqual(sorted(names[:len(known)]), sorted(known))
        self.assertIn("doubao-seedream-4-0-250828", names)
        self.assertEqual(self.value("model")["id"], "dall-e-3")

    def test_generate(self):
        answer = self.value("generate")
        self.assertEqual((len(answer["data"]), answer["size"], answer["output_format"]), (1, "1024x1024", "jpeg"))
        self.assertRegex(answer["data"][0]["url"], r"^http://")
        self.assertEqual((answer["usage"]["total_tokens"], answer["ignored"]), (4096, "quality"))
        self.assertEqual(self.gateway.task(answer["tasks"]).json()["result"]["generated_images"][0]["url"], answer["data"][0]["url"])
        self.assert_calls(1)

    def test_the_script_of_the_readme(self):
        for page in ("README.md", "README.zh-CN.md"):
            script, = (block.text for block in blocks(ROOT / page, "sh") if "OPENAI_BASE_URL" in block.text)
            installed, _, rest = script.partition("\n")
            self.assertEqual(installed, "npm install openai")
            done = subprocess.run(["bash", "-ec", rest.replace("127.0.0.1:8000", self.gateway.address)], cwd=npm.FOLDER, timeout=60, capture_output=True,
                                  text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"^http://[\w.:]+/doubao")
        self.assert_calls(2)

    def test_four_images_are_four_tasks(self):
        urls = {image["url"] for image in self.value("four")["data"]}
        self.assertEqual(len(urls), 4)
        self.assert_calls(4)

    def test_a_stream(self):
        events = self.value("stream")
        self.assertEqual([event["type"] for event in events], 2 * ["image_generation.completed"])
        self.assertEqual(sorted(event["task"] for event in events), [0, 1])
        self.assert_calls(2)

    def test_an_answer_after_white_space(self):
        self.assertEqual(len(self.value("slow")["data"]), 1)
        self.assertEqual(len(self.value("slow-stream")), 1)
        self.assert_calls(2)

    def test_errors_are_not_repeated(self):
        error = self.error("refused")
        self.assertEqual((error["name"], error["status"], error["code"]), ("BadRequestError", 400, "ark_invalid_request"))
        self.assertIn("ARK refused the request", error["message"])
        self.assertTrue(error["requestID"])
        self.assert_calls(1)

    def test_every_field_of_the_package_is_known(self):
        """The fields of an edit are read by the same table."""
        for kind in ("Generate", "Edit"):
            fields = of_types(rf"interface Image{kind}ParamsBase \{{(.*?)\n\}}", r"^    (\w+)\??:")
            self.assertGreaterEqual(len(fields), 17)
            for field in fields:
                answer = fetch(self.gateway.address, "POST", "/v1/images/generations", {"n": 0, field: [7]})
                self.assertEqual(answer.status, 422)
                self.assertNotIn("is not a field", answer.json()["error"]["message"])
        self.assert_calls(0)

    def test_invalid_fields(self):
        error = self.error("invalid")
        self.assertEqual((error["name"], error["code"], error["param"]), ("UnprocessableEntityError", "invalid_fields", "n"))
        self.assertIn("n must be an integer from 1 to 10; size doubao-seedream-4-0-250828 takes", error["message"])
        error = self.error("b64")
        self.assertIn("needs a storage on the server", error["message"])
        self.assertIn("needs a storage on the server", self.error("ai-refused")["message"])
        self.assert_calls(0)

    def test_a_conflict(self):
        error = self.error("conflict")
        self.assertEqual((error["status"], error["code"]), (422, "task_id_conflict"))
        self.assert_calls(1)

    def test_abort(self):
        self.assertEqual(self.error("abort")["name"], "APIUserAbortError")
        self.world.ark.wait_calls(self.calls + 1)
        eventually(lambda: self.world.redis("PUBSUB", "CHANNELS") == [], "the gateway has forgotten the order")
        self.assert_calls(1)


class Programs(ProcessTest):
    """The programs of docs/openai.md as printed, but for the address, with a storage."""

    @classmethod
    def setUpClass(cls):
        npm.install()
        store = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway(STORAGE=store)
        cls.world.worker(STORAGE=store)
        shutil.copy(ROOT / "tests/data/images/rgb.png", npm.FOLDER / "photo.png")

    def run_program(self, words, text):
        text = text.replace("127.0.0.1:8000", self.gateway.address)
        if words == ["node"]:
            (npm.FOLDER / "example.mjs").write_text(text)
            words, text = ["node", "example.mjs"], ""
        done = subprocess.run([*words, *([text] if text else [])], cwd=npm.FOLDER, timeout=60, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_each_program(self):
        """What it prints, and the images that ARK made for it."""
        link = r"http://[\w.:]+/doubao"
        table = {"images.generate(": (link, 1), "images.edit(": (link, 1), "createOpenAICompatible": ("^image/jpeg$", 1),
                 "createByteDance": ("^image/jpeg,image/jpeg$", 2), "/images/generations": (link, 1), "/images/edits": (link, 1)}
        page, seen = ROOT / "docs/openai.md", set()
        for kind, words in (("js", ["node"]), ("sh", ["bash", "-c"])):
            for block in blocks(page, kind):
                if block.is_illustration:
                    continue
                name, = (part for part in table if part in block.text)
                seen.add(name)
                with self.subTest(name):
                    before = self.world.ark.stats()["images_billed"]
                    printed, images = table[name]
                    self.assertRegex(self.run_program(words, block.text).strip(), printed)
                    self.assertEqual(self.world.ark.stats()["images_billed"] - before, images)
        self.assertEqual(seen, set(table))
        self.assertEqual((npm.FOLDER / "bicycle.jpeg").read_bytes()[:3], b"\xff\xd8\xff")

    def test_the_ai_sdk_splits_several_images(self):
        said = npm.run("openai.mjs", "ai-two", self.gateway.url)
        self.assertEqual(len(said["value"]["images"]), 2)


if __name__ == "__main__":
    unittest.main()
