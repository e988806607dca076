"""GOVERN: the ARK account's limits. Images per minute, calls in flight, pauses, lost workers, lost answers."""

import math
import random
import unittest

from support.script_test import ScriptTest
from support.scripts import Scripts

PREFIX = "arkrelay:{account}:"
HOUR = 3_600_000
NEAR = 3000                 # ms that a slow machine may take between two calls


class Account(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.govern = Scripts(cls.redis, PREFIX)

    def ask(self, worker="w1", held=0, want=0, images=3, calls=0, rate=0, spent=0, event="", pause=0, ttl=30_000):
        granted, wait, limit = self.govern("govern", worker, ttl, held, want, images, calls, rate, spent, event, pause)
        self.assertLessEqual(0, granted)
        self.assertLessEqual(granted, want)
        self.assertLessEqual(0, wait)
        return granted, wait, limit

    def granted(self, *args, **options):
        return self.ask(*args, **options)[0]

    def now(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def books(self):
        flat = [item.decode() for item in self.redis("HGETALL", PREFIX + "governor")]
        return {name: float(value) for name, value in zip(flat[::2], flat[1::2])}

    def holders(self):
        flat = self.redis("HGETALL", PREFIX + "holders")
        holders = {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2])}
        self.assertEqual(set(holders), {name.decode() for name in self.redis("ZRANGE", PREFIX + "seen", 0, -1)})
        return holders

    def write(self, **fields):
        for name, value in fields.items():
            self.redis("HSET", PREFIX + "governor", name, value)

    def pass_ms(self, ms):
        """Time goes on for the account, without anybody waiting for it."""
        for name in ("filled_at", "paused_until", "shrunk_at"):
            if self.redis("HEXISTS", PREFIX + "governor", name):
                self.redis("HINCRBY", PREFIX + "governor", name, -ms)
        for worker in self.redis("ZRANGE", PREFIX + "seen", 0, -1):
            self.redis("ZINCRBY", PREFIX + "seen", -ms, worker)


class ImagesPerMinute(Account):
    def test_the_bucket(self):
        """What it held, how long ago, and a call -> granted, what it holds then, wait. The limit is 60 a minute."""
        table = [
            ("a new one is full", None, 0, dict(want=10), 10, 30, 0),
            ("no more than it holds", 7, 0, dict(want=10), 2, 1, 0),
            ("an empty one is to be asked again within a second", 0, 0, dict(want=1), 0, 0, 1000),
            ("one that lacks half an image says when it has it", 2.5, 0, dict(want=1), 0, 2.5, 500),
            ("it fills evenly", 0, 30_000, dict(want=1), 1, 27, 0),
            ("it never holds more than a minute's", 50, HOUR, dict(want=100), 20, 0, 0),
            ("a call that may bring more than it can hold goes when it is full", None, 0, dict(want=5, images=90), 1, -30, 0),
            ("and not before", 59, 0, dict(want=5, images=90), 0, 59, 1000),
            ("a debt is paid before the next call", -30, 0, dict(want=1), 0, -30, 1000),
            ("what a call brought more is taken", 30, 0, dict(spent=10), 0, 20, 0),
            ("also from an empty one", 5, 0, dict(spent=15), 0, -10, 0),
            ("also from one that has just filled up", 55, HOUR, dict(spent=10), 0, 50, 0),
            ("what it brought less comes back", 10, 0, dict(spent=-5), 0, 15, 0),
            ("and serves at once", 0, 0, dict(spent=-3, want=1), 1, 0, 0),
            ("a full one runs over", 60, 0, dict(spent=-5), 0, 60, 0),
            ("a lowered limit holds at once", 500, 0, dict(want=100), 20, 0, 0),
            ("who asks for nothing pays nothing", 30, 0, dict(want=0), 0, 30, 0),
        ]
        for held, ago, call, granted, left, wait in self.cases(table):
            if held is not None:        # a clock that goes back fills nothing: so nothing but `ago` does
                self.write(tokens=held, filled_at=self.now() - ago if ago else self.now() + HOUR)
            answer = self.ask(rate=60, **call)
            self.assertEqual(answer[::2], (granted, 0))
            self.assertAlmostEqual(answer[1], wait, delta=1)
            self.assertAlmostEqual(self.books()["tokens"], left, delta=0.001 if ago != 30_000 else NEAR / 1000)

    def test_after_the_wait_there_is_a_permit(self):
        for rate, images, tokens in ((60, 3, 0.1), (7, 5, -20), (500, 3, 2.999), (10, 15, 3.05), (1, 1, 0.5), (13, 13, -0.001)):
            with self.subTest(f"{images} of {rate}"):
                self.fresh()
                self.write(tokens=tokens, filled_at=self.now() + HOUR)
                granted, waited, lacks = 0, 0, min(images, rate) - tokens
                while not granted:
                    granted, wait, _ = self.ask(want=1, images=images, rate=rate)
                    self.pass_ms(wait)
                    waited += wait
                self.assertIn(waited - math.ceil(lacks * 60_000 / rate), range(-NEAR, 2))

    def test_a_slow_bucket_fills_however_often_it_is_asked(self):
        self.write(tokens=0, filled_at=self.now())
        for _ in range(600):
            self.pass_ms(1)
            self.ask(rate=1)
        self.assertGreaterEqual(self.books()["tokens"], 600 / 60_000 * 0.99)

    def test_over_time_the_limit_is_reached_and_not_exceeded(self):
        chance, begin = random.Random(5), self.now()
        images = passed = 0
        for _ in range(400):
            step = chance.choice([0, 1, 7, 100, 900])
            passed += step
            self.pass_ms(step)
            each = chance.randint(1, 15)
            images += each * self.granted(f"w{chance.randrange(5)}", want=chance.randint(1, 9), images=each, rate=90)
        allowed = 90 + (passed + self.now() - begin) * 90 / 60_000
        self.assertLessEqual(images, allowed)
        self.assertGreater(images, 90 + passed * 90 / 60_000 - 15)

    def test_without_a_limit_nothing_is_counted(self):
        for spent in (5, -5, 10**6):
            self.assertEqual(self.ask(want=7, spent=spent), (7, 0, 0))
        self.assertNotIn("tokens", self.books())
        self.assertEqual(self.granted(want=30, rate=90), 30, "and a limit that is set later begins with a full bucket")

    def test_a_debt_lasts_no_longer_than_the_time_it_is_worth(self):
        self.assertEqual(self.granted(want=1, images=90, rate=60), 1)
        self.pass_ms(33_000)
        self.assertEqual(self.granted(held=1, want=1, rate=60), 1)


class CallsInFlight(Account):
    def test_workers_share_the_limit(self):
        self.assertEqual(self.ask("a", want=6, calls=10), (6, 0, 10))
        self.assertEqual(self.ask("b", want=6, calls=10), (4, 0, 10))
        granted, wait, limit = self.ask("c", want=6, calls=10)
        self.assertEqual((granted, limit), (0, 10))
        self.assertGreater(wait, 0)
        self.assertEqual(self.holders(), {"a": 6, "b": 4})
        self.assertEqual(self.ask("a", held=3, calls=10), (0, 0, 10))
        self.assertEqual(self.granted("c", want=6, calls=10), 3)
        self.assertEqual((self.holders(), self.books()["calls"]), ({"a": 3, "b": 4, "c": 3}, 10))

    def test_more_calls_than_a_lowered_limit_end_by_themselves(self):
        self.ask("a", want=6, calls=10)
        for held, granted in ((6, 0), (3, 0), (2, 1)):
            self.assertEqual(self.granted("a", held=held, want=1, calls=3), granted)

    def test_a_sync_books_what_is_held_and_gives_nothing(self):
        self.assertEqual(self.ask("a", held=4, calls=10, rate=60), (0, 0, 10))
        self.assertEqual((self.holders(), self.books()["tokens"]), ({"a": 4}, 60))
        self.assertEqual(self.ask("a", held=0, calls=10, rate=60), (0, 0, 10))
        self.assertEqual(self.holders(), {})

    def test_a_lost_worker_loses_its_permits(self):
        self.ask("a", want=10, calls=10, ttl=30_000)
        self.assertEqual(self.granted("b", want=1, calls=10), 0)
        self.pass_ms(30_000 - NEAR)
        self.assertEqual(self.granted("b", want=1, calls=10), 0)
        self.pass_ms(NEAR)
        self.assertEqual(self.granted("b", want=10, calls=10), 10)
        self.assertEqual(self.holders(), {"b": 10})
        self.assertEqual(self.granted("a", held=10, want=5, calls=10), 0, "back again, its calls count")
        self.assertEqual(self.holders(), {"a": 10, "b": 10})

    def test_a_sign_of_life_keeps_the_permits(self):
        self.ask("a", want=10, calls=10, ttl=30_000)
        for _ in range(4):
            self.pass_ms(20_000)
            self.ask("a", held=10, calls=10, ttl=30_000)
        self.assertEqual(self.granted("b", want=1, calls=10), 0)

    def test_a_repeated_call_neither_loses_nor_adds_permits(self):
        for _ in range(5):          # each answer was lost: nothing is held
            self.assertEqual(self.granted("a", want=6, calls=10), 6)
            self.assertEqual(self.holders(), {"a": 6})
            self.assertEqual(self.granted("b", want=9, calls=10), 4)
            self.ask("b", held=0, calls=10)
        self.ask("a", held=0, calls=10)
        self.assertEqual(self.granted("b", want=10, calls=10), 10)

    def test_names_of_workers_are_just_names(self):
        for name in ("host:1", "", "%s %d", "中文", "a b\n", '"'):
            self.assertEqual(self.granted(name, want=1, calls=6), 1)
        self.assertEqual(len(self.holders()), 6)

    def test_losses_of_any_kind_never_exceed_the_limit_and_end(self):
        """Against what the workers really hold: answers get lost, workers die, come late, release, sync."""
        chance = random.Random(7)
        held, limit = {}, 10
        for _ in range(1500):
            worker = f"w{chance.randrange(6)}"
            what = chance.random()
            if what < 0.5:
                granted = self.granted(worker, held=held.get(worker, 0), want=chance.randint(0, 4), calls=limit)
                if chance.random() < 0.8:
                    held[worker] = held.get(worker, 0) + granted
            elif what < 0.9 and held.get(worker):
                held[worker] -= 1
            elif what < 0.93:
                held.pop(worker, None)
            else:                   # all that live tell so, then the others count as lost
                for name, count in held.items():
                    self.ask(name, held=count, calls=limit, ttl=60_000)
                self.pass_ms(30_000)
            self.assertLessEqual(sum(held.values()), limit)
        for worker in [f"w{n}" for n in range(6)]:
            self.ask(worker, calls=limit)
        self.assertEqual(self.granted("w0", want=99, calls=limit), limit)


class Refusals(Account):
    def refuse(self, held, **options):
        return self.ask(held=held, event="refused", **options)

    def test_a_refusal_halves_the_calls_in_flight(self):
        table = [(f"{held} in flight", held, limit) for held, limit in ((20, 10), (7, 4), (2, 1), (1, 1), (0, 1))]
        for held, limit in self.cases(table):
            self.assertEqual(self.refuse(held)[2], limit)

    def test_calls_of_all_workers_count(self):
        self.ask("b", held=12)
        self.assertEqual(self.refuse(8)[2], 10)

    def test_a_burst_of_refusals_is_one_piece_of_news(self):
        for n in range(20):
            self.assertEqual(self.refuse(4, worker=f"w{n}")[2], 2)
        self.pass_ms(1000)
        self.assertEqual(self.refuse(4, worker="w1")[2], 1)

    def test_a_refusal_never_raises_the_limit(self):
        self.refuse(8)
        for limit in (2, 1, 1):                     # although all eight still run
            self.pass_ms(1000)
            self.assertEqual(self.refuse(8)[2], limit)

    def test_calls_that_ark_takes_let_it_grow_by_one_a_round(self):
        self.refuse(8)
        for limit in (4, 5, 6, 7):
            self.assertEqual(self.ask()[2], limit)
            for _ in range(limit + 1):
                self.ask(event="ok")

    def test_grown_to_the_accounts_own_limit_it_is_forgotten(self):
        self.refuse(8, calls=5)
        self.assertEqual(self.books()["limit"], 4)
        for _ in range(5):
            self.ask(event="ok", calls=5)
        self.assertEqual((self.ask(calls=5)[2], "limit" in self.books()), (5, False))

    def test_a_limit_is_forgotten_after_five_minutes_without_a_refusal(self):
        self.refuse(20)
        for ago_ms, limit in ((299_000, 10), (301_000, 0)):
            self.write(shrunk_at=self.now() - ago_ms, paused_until=0)
            self.assertEqual(self.ask()[2], limit)

    def test_without_a_refusal_there_is_no_limit_to_grow(self):
        self.assertEqual(self.ask(event="ok"), (0, 0, 0))
        self.assertNotIn("limit", self.books())

    def test_a_high_limit_grows_too(self):
        self.write(limit=15_000, shrunk_at=self.now())
        for _ in range(100):
            self.ask(event="ok")
        self.assertAlmostEqual(self.books()["limit"], 15_000 + 100 / 15_000, places=3)

    def test_the_shrunk_limit_holds_for_permits(self):
        self.refuse(8)
        self.pass_ms(1)
        self.assertEqual(self.granted("w1", held=2, want=9), 2)
        self.assertEqual(self.granted("w2", want=9), 0)


class Pauses(Account):
    def test_a_refusal_pauses_all_workers_for_as_long_as_ark_asks(self):
        self.ask("w1", held=5, event="refused", pause=20_000)
        for worker in ("w1", "w2"):
            granted, wait, _ = self.ask(worker, want=1)
            self.assertEqual(granted, 0)
            self.assertAlmostEqual(wait, 20_000, delta=NEAR)
        self.pass_ms(20_000)
        self.ask("w1")
        self.assertEqual(self.granted("w2", want=1), 1)

    def test_the_longest_pause_counts(self):
        for pause, left in ((10_000, 10_000), (5_000, 10_000), (40_000, 40_000), (0, 40_000)):
            self.ask(event="refused", pause=pause)
            self.assertAlmostEqual(self.ask(want=1)[1], left, delta=NEAR)

    def test_a_pause_outlasts_every_other_reason_to_wait(self):
        self.ask("w1", held=9, event="refused", pause=20_000)
        for options in (dict(calls=3), dict(rate=60), dict(calls=3, rate=60), {}):
            granted, wait, _ = self.ask("w2", want=1, **options)
            self.assertEqual(granted, 0)
            self.assertAlmostEqual(wait, 20_000, delta=NEAR)

    def test_in_a_pause_the_bucket_fills_and_costs_nothing(self):
        self.write(tokens=0, filled_at=self.now())
        self.ask(event="refused", pause=HOUR, rate=60)
        self.pass_ms(30_000)
        self.ask(want=5, rate=60)
        self.assertAlmostEqual(self.books()["tokens"], 30, delta=NEAR / 1000)

    def test_reports_are_taken_in_a_pause(self):
        self.ask("w1", held=3, event="refused", pause=HOUR)
        self.ask("w1", held=1)
        self.assertEqual(self.holders(), {"w1": 1})

    def test_numbers_are_written_so_that_they_can_be_read(self):
        self.ask(held=3, want=3, rate=500, event="refused", pause=1000)
        for name, value in zip(*[iter(self.redis("HGETALL", PREFIX + "governor"))] * 2):
            self.assertRegex(value.decode(), r"^-?\d+(\.\d+)?$", name)
        self.assertEqual({key.decode() for key in self.redis("KEYS", "*")}, {PREFIX + key for key in ("governor", "holders", "seen")})


if __name__ == "__main__":
    unittest.main()
