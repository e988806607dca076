"""Fields of /v1/images/generations that only some models have, with the gateway, a worker and the simulator, which checks ARK's rules."""

import json
import re
import unittest

from support.http_client import Connection, fetch
from support.processes import ProcessTest
from support.world import World

PATH = "/v1/images/generations"
PRO, FIVE, EDIT = "doubao-seedream-5-0-pro-260628", "doubao-seedream-5-0-260128", "doubao-seededit-3-0-i2i-250628"
IMAGE = "https://example.com/a.png"


class Fields(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway()
        cls.world.worker()

    def ask(self, **fields):
        return fetch(self.gateway.address, "POST", PATH, {"prompt": "x", "response_format": "url", **fields})

    def sent(self):
        """The optional fields of the last request to ARK."""
        return self.world.ark.calls()[-1].get("extras", {})

    def test_what_ark_is_asked_for(self):
        table = [
            ("png", {"model": FIVE, "output_format": "png"}, {"output_format": "png"}, 1),
            ("jpeg of a model that makes nothing else", {"output_format": "jpeg"}, {}, 1),
            ("a transparent background", {"model": PRO, "background": "transparent", "image": IMAGE}, {"background": "transparent", "output_format": "png"}, 1),
            ("an opaque one", {"model": PRO, "background": "opaque"}, {}, 1),
            ("layers", {"model": PRO, "layer_decomposition": True, "image": IMAGE}, {"layer_decomposition": True}, None),
        ]
        for name, fields, wanted, count in table:
            with self.subTest(name):
                answer = self.ask(**fields)
                self.assertEqual(answer.status, 200, answer.body)
                sent = self.sent()
                self.assertEqual({name: sent.get(name) for name in ("output_format", "background", "layer_decomposition") if sent.get(name)}, wanted)
                images = len(answer.json()["data"])
                self.assertTrue(images == count if count else images > 1, images)

    def test_what_a_model_lacks_is_refused_in_words(self):
        calls = len(self.world.ark.calls())
        table = [
            ({"output_format": "png"}, "output_format", "doubao-seedream-4-0-250828 makes jpeg only"),
            ({"output_format": "webp"}, "output_format", "ARK has no other formats"),
            ({"background": "transparent"}, "background", "makes no transparent background"),
            ({"layer_decomposition": True, "image": IMAGE}, "layer_decomposition", "makes no layers"),
            ({"model": EDIT}, "image", "needs at least 1 reference image"),
        ]
        for fields, param, words in table:
            with self.subTest(fields):
                answer = self.ask(**fields)
                error = answer.json()["error"]
                self.assertEqual((answer.status, error["param"], answer.headers["x-should-retry"]), (422, param, "false"))
                self.assertIn(words, error["message"])
        self.assertEqual(len(self.world.ark.calls()), calls)

    def test_a_stream_says_that_the_background_is_transparent(self):
        for fields, background in (({"background": "transparent"}, "transparent"), ({}, "opaque")):
            with Connection(self.gateway.address) as connection:
                connection.request("POST", PATH, {"prompt": "x", "response_format": "url", "model": PRO, "image": IMAGE, "stream": True, **fields})
                text = connection.response().body.decode()
            event, = re.findall(r"^data: (.*)$", text, re.M)
            self.assertEqual((json.loads(event)["type"], json.loads(event)["background"]), ("image_generation.completed", background))


if __name__ == "__main__":
    unittest.main()
