"""UPLOAD, INPUTS and ERASE_UPLOAD: what a client has uploaded, for how long, and how much of it in a day."""

import unittest

from support.script_test import ScriptTest
from support.scripts import Scripts

PREFIX = "arkrelay:{client:shop}:"
DAY = 86_400_000
LIFE = 60_000
FAR = 10 * DAY


class Uploads(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shop = Scripts(cls.redis, PREFIX)

    def now(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def upload(self, sha="", bytes=5, count=0, size=0, life=LIFE, name="", covers=FAR, replaces=""):
        reply = self.shop("upload", sha, bytes, count, size, life, name, self.now() + covers, "image/png", 20, 30, replaces)
        return [part if isinstance(part, int) else part.decode() for part in reply]

    def use(self, *shas, life=LIFE):
        word, *rows = self.shop("inputs", life, *shas)
        self.assertEqual(word, b"OK")
        return [tuple(part if isinstance(part, int) else part.decode() for part in row) for row in rows]

    def field(self, sha, name):
        return self.redis("HGET", PREFIX + "upload:" + sha, name).decode()

    def test_an_image_is_new_once(self):
        self.assertEqual(self.upload("a"), ["OK"])
        word, expires_at = self.upload("a", name="20261207/x")
        self.assertEqual(word, "NEW")
        self.assertAlmostEqual(int(expires_at), self.now() + LIFE, delta=5000)
        for name in ("", "20261207/other"):
            word, again, *rest = self.upload("a", name=name)
            self.assertEqual((word, rest), ("SAME", ["20261207/x", "image/png", "5", "20", "30"]))
            self.assertGreaterEqual(int(again), int(expires_at))

    def test_it_expires(self):
        self.upload("a", name="20261207/x")
        self.assertAlmostEqual(self.redis("PTTL", PREFIX + "upload:a"), LIFE, delta=5000)
        self.upload("b", name="20261207/y", covers=1000)
        self.assertLessEqual(self.redis("PTTL", PREFIX + "upload:b"), 1000)

    def test_use_prolongs_it_but_not_beyond_its_object(self):
        self.upload("a", name="20261207/x")
        self.assertEqual(self.use("a", "none", "a", life=5 * LIFE), [("20261207/x", "5", "image/png", 0), (), ("20261207/x", "5", "image/png", 0)])
        self.assertGreater(self.redis("PTTL", PREFIX + "upload:a"), 4 * LIFE)
        self.use("a", life=1)
        self.assertGreater(self.redis("PTTL", PREFIX + "upload:a"), 4 * LIFE)
        self.assertEqual(self.use("a", life=2 * FAR), [("20261207/x", "5", "image/png", 1)])
        self.assertLessEqual(self.redis("PTTL", PREFIX + "upload:a"), FAR)
        self.upload("a")
        self.assertGreater(self.redis("PTTL", PREFIX + "upload:a"), FAR - LIFE)

    def test_a_copy_takes_the_place_of_its_object(self):
        self.upload("a", name="20261207/x", covers=LIFE)
        word, expires_at = self.upload("a", name="20261208/y", replaces="20261207/x", life=2 * LIFE)
        self.assertEqual((word, self.field("a", "name")), ("NEW", "20261208/y"))
        self.assertGreater(int(expires_at), self.now() + LIFE)
        self.assertEqual(self.upload("a", name="20261209/z", replaces="20261207/x")[0], "SAME")
        self.assertEqual(self.field("a", "name"), "20261208/y")
        self.redis("DEL", PREFIX + "upload:a")
        self.assertEqual(self.upload("a", name="20261209/z", replaces="20261208/y"), ["GONE"])

    def erase(self, sha, deleted=""):
        return [part.decode() for part in self.shop("erase_upload", sha, deleted)]

    def test_it_is_erased_after_its_objects(self):
        self.assertEqual(self.erase("a"), ["NONE"])
        self.upload("a", name="20991207/x")
        self.assertEqual(self.erase("a"), ["NAMES", "20991207/x"])
        self.upload("a", name="20991208/y", replaces="20991207/x")
        self.assertEqual(self.erase("a", "20991207/x"), ["NAMES", "20991207/x 20991208/y"], "it was renewed meanwhile")
        self.assertEqual(self.erase("a", "20991207/x 20991208/y"), ["ERASED"])
        self.assertEqual(self.erase("a", "20991207/x 20991208/y"), ["NONE"])
        self.assertEqual(self.redis("EXISTS", PREFIX + "upload:a"), 0)

    def test_earlier_objects_are_known_until_they_are_swept(self):
        self.upload("a", name="20200101/x")
        for earlier, name in (("20200101/x", "20991207/y"), ("20991207/y", "20991208/z")):
            self.upload("a", name=name, replaces=earlier)
        self.assertEqual(self.erase("a"), ["NAMES", "20991207/y 20991208/z"])

    def test_count_and_bytes_of_a_day_are_limited(self):
        self.assertEqual(self.upload(count=1, size=10), ["OK"])
        self.upload("a", count=2, size=10, name="20261207/a")
        self.upload("b", count=2, size=10, name="20261207/b")
        for arguments in ({"count": 2}, {"size": 10}, {"size": 10, "sha": "c", "name": "20261207/c"}):
            word, wait = self.upload(**arguments)
            self.assertEqual(word, "LIMITED", arguments)
            self.assertLessEqual(wait, DAY)
        self.assertEqual(self.upload("a", count=2, size=10)[0], "SAME")
        self.assertEqual(self.upload("a", count=2, size=10, name="20261208/y", replaces="20261207/a")[0], "NEW")
        self.assertEqual(self.redis("EXISTS", PREFIX + "upload:c"), 0)
        days = self.redis("KEYS", PREFIX + "uploads:*")
        self.assertEqual(len(days), 1)
        self.assertEqual(self.redis("HMGET", days[0], "count", "bytes"), [b"2", b"10"])
        self.assertGreater(self.redis("PTTL", days[0]), DAY)

    def test_no_limit(self):
        for i in range(3):
            self.assertEqual(self.upload(f"n{i}", count=0, size=0, name=f"20261207/{i}")[0], "NEW")


if __name__ == "__main__":
    unittest.main()
