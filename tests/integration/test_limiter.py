"""The limiter over minutes against simulated accounts: runs the limiter's real Lua code in Redis, with virtual time."""

import json
import pathlib
import unittest

from support.processes import ProcessTest
from support.redis_server import RedisServer
from support.scripts import body

SCRIPT = pathlib.Path(__file__).with_name("limiter_account.lua")
SHAPES = ((1, 16, 1000), (1, 64, 1000), (4, 64, 500), (8, 64, 1000), (1, 512, 500), (2, 32, 20_000))     # workers, slots, ms per call


def mean(values):
    return sum(values) / len(values)


class Limiter(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.server = RedisServer()
        cls.addClassCleanup(cls.server.close)
        cls.redis = cls.server.client()
        cls.text = body(SCRIPT)

    def simulate(self, shape, seconds, seed=1, **account):
        """Returns accepted calls, refused calls and the limit for each second."""
        workers, slots, call_ms = shape
        scenario = {"workers": workers, "slots": slots, "call_ms": call_ms, "refusal_ms": 30, "images": 1, "seed": seed,
                    "ms": 1000 * seconds, **account}
        found = json.loads(self.redis("EVAL", self.text, 0, json.dumps(scenario)))
        return ([second["accepted"] for second in found], [second["refused"] for second in found],
                [second["limit"] for second in found])

    def slots_rate(self, shape):
        workers, slots, call_ms = shape
        return workers * slots / call_ms * 1000

    def test_refusals_not_caused_by_load_cost_less_than_a_tenth(self):
        for chance in (0.001, 0.002, 0.01, 0.05, 0.1, 0.2):
            for shape in SHAPES:
                with self.subTest(chance=chance, shape=shape):
                    start = shape[2] // 1000 + 2        # before this time no call has ended
                    accepted, *_ = self.simulate(shape, 90, chance=chance)
                    self.assertGreaterEqual(mean(accepted[start:]), 0.9 * self.slots_rate(shape))

    def test_a_limit_of_calls_in_flight_is_found_and_used(self):
        for calls in (5, 20, 100):
            for shape in SHAPES:
                if shape[0] * shape[1] <= calls:
                    continue
                with self.subTest(calls=calls, shape=shape):
                    start = shape[2] // 1000 + 2
                    accepted, refused, limits = self.simulate(shape, 120, calls=calls)
                    self.assertGreaterEqual(mean(accepted[start:]), 0.9 * calls / shape[2] * 1000)
                    later = limits[60:]
                    self.assertLessEqual(max(later), 2 * min(later), "the limit does not oscillate")
                    self.assertGreaterEqual(min(later), 0.8 * calls)
                    self.assertLessEqual(sum(refused[60:]), 0.2 * sum(accepted[60:]) + 20)

    def test_a_limit_of_images_per_minute_is_found_and_used(self):
        for rate in (60, 300, 3000):
            for shape in ((1, 60, 1000), (4, 64, 500), (8, 64, 2000), (1, 64, 5000)):
                feasible = min(rate / 60, self.slots_rate(shape))
                with self.subTest(rate=rate, shape=shape):
                    accepted, refused, _ = self.simulate(shape, 300, images_per_minute=rate)
                    self.assertGreaterEqual(mean(accepted), 0.9 * feasible)
                    self.assertGreaterEqual(mean(accepted[120:]), 0.85 * feasible)
                    self.assertLessEqual(sum(refused[60:]), 0.25 * sum(accepted[60:]) + 150)

    def test_full_throughput_within_half_a_minute_after_a_pause(self):
        for shape in SHAPES[:5]:
            with self.subTest(shape=shape):
                accepted, refused, _ = self.simulate(shape, 90, pause_at=20_000, pause_ms=20_000)
                begun = 40 + shape[2] // 1000
                self.assertLessEqual(sum(accepted[23:40]), 2)
                self.assertGreaterEqual(mean(accepted[begun + 30:begun + 45]), 0.9 * self.slots_rate(shape))
                self.assertGreaterEqual(mean(accepted[begun + 2:begun + 30]), 0.5 * self.slots_rate(shape))

    def test_a_removed_limit_is_noticed_within_half_a_minute(self):
        for shape in SHAPES[:5]:
            with self.subTest(shape=shape):
                accepted, *_ = self.simulate(shape, 120, calls=[[0, 10], [60_000, None]])
                self.assertGreaterEqual(mean(accepted[95:]), 0.9 * self.slots_rate(shape))

    def test_a_lowered_limit_is_followed(self):
        for shape in SHAPES[:5]:
            with self.subTest(shape=shape):
                accepted, refused, _ = self.simulate(shape, 150, calls=[[0, None], [60_000, 8]])
                self.assertGreaterEqual(mean(accepted[64:]), 0.9 * 8 / shape[2] * 1000)
                self.assertLessEqual(sum(refused[90:]), 0.3 * sum(accepted[90:]) + 20)


if __name__ == "__main__":
    unittest.main()
