"""PRESENCE: a process reports itself, and its end. PROCESSES lists it."""

import unittest

from support.processes import eventually
from support.script_test import ScriptTest
from support.scripts import Scripts

PREFIX = "arkrelay:{processes}:"
NEAR = 3000                 # ms that a slow machine may take between two calls
HOUR = 3_600_000


class Presence(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.presence = Scripts(cls.redis, PREFIX)

    def report(self, name="host:1", ttl=15_000, **fields):
        words = [word for pair in fields.items() for word in pair] or ["role", "worker"]
        self.assertEqual(self.presence("presence", name, ttl, *(words if ttl else ())), [b"OK"])

    def fields(self, name="host:1"):
        flat = [word.decode() for word in self.redis("HGETALL", f"{PREFIX}process:{name}")]
        return dict(zip(flat[::2], flat[1::2]))

    def seen(self):
        flat = self.redis("ZRANGE", f"{PREFIX}seen", 0, -1, "WITHSCORES")
        return {name.decode(): float(score) for name, score in zip(flat[::2], flat[1::2])}

    def now(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def test_a_report_is_stored_until_its_ttl(self):
        self.report(role="worker", busy=3)
        self.assertEqual(self.fields(), {"role": "worker", "busy": "3"})
        self.assertIn(self.redis("PTTL", f"{PREFIX}process:host:1"), range(15_000 - NEAR, 15_001))
        self.assertAlmostEqual(self.seen()["host:1"], self.now() + 15_000, delta=NEAR)

    def test_a_report_replaces_all_fields(self):
        self.report(role="worker", busy=3)
        self.report(role="gateway")
        self.assertEqual((self.fields(), list(self.seen())), ({"role": "gateway"}, ["host:1"]))

    def test_a_report_of_the_end_removes_the_process(self):
        self.report("a")
        self.report("b")
        for _ in range(2):
            self.report("a", ttl=0)
            self.assertEqual((self.fields("a"), list(self.seen())), ({}, ["b"]))
        self.report("b", ttl=0)
        self.assertEqual(self.redis("KEYS", PREFIX + "*"), [])

    def test_a_process_without_reports_expires(self):
        self.report(ttl=1)
        eventually(lambda: not self.fields(), "its hash has expired")
        self.assertEqual(list(self.seen()), ["host:1"])

    def test_names_are_removed_after_an_hour(self):
        for name, ago in (("old", HOUR + NEAR), ("lost", HOUR - 60_000)):
            self.redis("ZADD", f"{PREFIX}seen", self.now() - ago, name)
        self.report("new")
        self.assertEqual(set(self.seen()), {"lost", "new"})

    def test_special_characters_in_names_and_values(self):
        for name in ("%s", "中文", "a b\n", '"', "x:y"):
            self.report(name, role=name)
            self.assertEqual(self.fields(name), {"role": name})

    def test_processes_lists_the_reported(self):
        self.report("a", role="gateway")
        self.report("b", role="worker")
        kind, _, *found = self.presence("processes")
        self.assertEqual((kind, sorted(each[0] for each in found)), (b"PROCESSES", [b"a", b"b"]))

    def test_reports_are_stored_on_a_full_redis(self):
        self.report(role="worker", busy=1)
        self.redis("CONFIG", "SET", "maxmemory", 1)
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", 0)
        self.report(role="worker", busy=2)
        self.assertEqual(self.fields()["busy"], "2")


if __name__ == "__main__":
    unittest.main()
