"""LIMIT: the requests of a client. A bucket of a minute's requests that fills evenly."""

import random
import unittest

from support.script_test import ScriptTest
from support.scripts import Scripts

PREFIX = "arkrelay:{client:shop}:"
LIMITS = PREFIX + "limits"
HOUR = 3_600_000
NEAR = 3000                 # ms that a slow machine may take between two calls


class Limit(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shop = Scripts(cls.redis, PREFIX)

    def ask(self, most=60):
        word, left, ms = self.shop("limit", most)
        self.assertIn(word, (b"OK", b"LIMITED"))
        self.assertLess(0, ms)
        return word.decode(), left, ms

    def ask_and_look(self, most):
        """One pipeline, because the key of an almost full bucket expires soon."""
        self.shop.load()
        (word, left, ms), tokens = self.redis.pipeline([("EVALSHA", self.shop.sha1["limit"], 1, PREFIX, most),
                                                        ("HGET", LIMITS, "tokens")])
        return word.decode(), left, ms, float(tokens)

    def now(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def write(self, tokens, ago):
        """Stores `tokens` as of `ago` ms ago. If `ago` is 0, the time is in the future: nothing is refilled, and the test is exact."""
        self.redis("HSET", LIMITS, "tokens", tokens, "filled_at", self.now() - ago if ago else self.now() + HOUR)

    def tokens(self):
        return float(self.redis("HGET", LIMITS, "tokens"))

    def test_bucket_states(self):
        """Tokens, ms ago, limit -> the reply, tokens afterwards."""
        table = [
            ("a new bucket is full", None, 0, 60, ("OK", 59, 1000), 59),
            ("the last request passes", 1, 0, 60, ("OK", 0, 60_000), 0),
            ("an empty bucket returns the wait for one request", 0, 0, 60, ("LIMITED", 0, 1000), 0),
            ("half a token is not enough", 0.5, 0, 60, ("LIMITED", 0, 500), 0.5),
            ("a low limit returns a long wait", 0.25, 0, 1, ("LIMITED", 0, 45_000), 0.25),
            ("it fills evenly", 0, 30_000, 60, ("OK", 29, 31_000), 29),
            ("the bucket holds at most a minute's requests", 50, HOUR, 60, ("OK", 59, 1000), 59),
            ("a lowered limit applies at once", 500, 0, 60, ("OK", 59, 1000), 59),
            ("a raised limit refills from the stored tokens", 10, 0, 600, ("OK", 9, 59_100), 9),
            ("a limit of one a minute", None, 0, 1, ("OK", 0, 60_000), 0),
            ("rounding errors are tolerated", 0.9999999, 0, 60, ("OK", 0, 60_000), 0),
        ]
        for held, ago, most, answer, left in self.cases(table):
            if held is not None:
                self.write(held, ago)
            word, n, ms, tokens = self.ask_and_look(most)
            self.assertEqual(word, answer[0])
            late = NEAR if ago == 30_000 else 1
            self.assertAlmostEqual(n, answer[1], delta=late / 1000)
            self.assertAlmostEqual(ms, answer[2], delta=late)
            self.assertAlmostEqual(tokens, left, delta=late / 1000)

    def test_a_request_passes_after_the_returned_wait(self):
        for most in (1, 7, 60, 600, 999, 1_000_000):
            with self.subTest(most):
                self.fresh()
                self.write(0.3, 0)
                word, _, wait = self.ask(most)
                self.assertEqual(word, "LIMITED")
                self.write(self.tokens(), wait)
                self.assertEqual(self.ask(most)[0], "OK")

    def test_the_key_expires_when_the_bucket_is_full(self):
        _, _, full = self.ask(1)
        ttl = self.redis("PTTL", LIMITS)
        self.assertIn(ttl, range(full - NEAR, full + 1))
        self.assertEqual(self.redis("KEYS", PREFIX + "*"), [LIMITS.encode()])
        self.redis("PEXPIRE", LIMITS, 0)
        self.assertEqual(self.ask(1)[:2], ("OK", 0))

    def test_a_clock_that_was_set_back_changes_no_tokens(self):
        self.write(5, 0)
        self.assertEqual(self.ask(60)[:2], ("OK", 4))
        self.assertLessEqual(int(self.redis("HGET", LIMITS, "filled_at")), self.now(), "refilling starts again now")

    def test_a_long_run_reaches_the_limit_without_exceeding_it(self):
        chance, passed, served, begin = random.Random(3), 0, 0, self.now()
        self.ask(90)
        for _ in range(600):
            step = chance.choice([0, 0, 1, 30, 700])
            passed += step
            self.redis("HINCRBY", LIMITS, "filled_at", -step)
            served += sum(self.ask(90)[0] == "OK" for _ in range(chance.randint(1, 4)))
        self.assertLessEqual(served, 90 + (passed + self.now() - begin) * 90 / 60_000)
        self.assertGreater(served, 85 + passed * 90 / 60_000)

    def test_clients_have_separate_buckets(self):
        other = Scripts(self.redis, "arkrelay:{client:else}:")
        while self.ask(3)[0] == "OK":
            pass
        self.assertEqual(other("limit", 3)[:2], [b"OK", 2])

    def test_requests_are_counted_on_a_full_redis(self):
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", "0")
        self.redis("CONFIG", "SET", "maxmemory", "1")
        self.assertEqual(self.ask(60)[:2], ("OK", 59))
        self.assertEqual(self.ask(60)[:2], ("OK", 58))


if __name__ == "__main__":
    unittest.main()
