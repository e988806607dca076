"""GOVERN: images per minute, calls in flight, lost workers, lost answers, and what a report changes. The limiter's behaviour over time is in
test_limiter.py, the circuit breaker's table in test_breaker.py."""

import random
import unittest

from support.account import MODEL, PREFIX, Account, news
from support.script_test import ScriptTest

NEAR = 3000                 # ms that a slow machine may take between two calls
HOUR = 3_600_000


class GovernTest(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = Account(cls.redis)
        cls.ask = cls.account.ask


class ImagesPerMinute(GovernTest):
    def test_the_limit_per_minute(self):
        self.assertEqual(self.ask(want=100, images=3, rate=60).granted, 20)
        answer = self.ask("w2", want=1, images=3, rate=60)
        self.assertEqual(answer.granted, 0)
        self.assertLessEqual(answer.wait, 1000)
        self.account.pass_ms(59_000)
        self.assertEqual(self.ask(want=1, images=3, rate=60).granted, 0)
        self.account.pass_ms(3_000)
        self.assertEqual(self.ask(want=1, images=3, rate=60).granted, 1)

    def test_every_minute_stays_near_and_below_the_limit(self):
        """Several workers ask many times per second for five minutes, from an idle start."""
        chance, granted = random.Random(5), []
        for second in range(300):
            for worker in ("a", "b", "c"):
                count = self.ask(worker, want=chance.randint(1, 9), images=3, rate=300, **{MODEL: news(held=0)}).granted
                granted += [second] * count
            self.account.pass_ms(1000)
        windows = [3 * sum(start <= second < start + 60 for second in granted) for start in range(241)]
        self.assertLessEqual(max(windows), 300)
        self.assertGreaterEqual(min(windows[62:]), 0.9 * 300)

    def test_permits_are_granted_evenly_a_minute_after_a_burst(self):
        self.assertEqual(self.ask(want=100, images=3, rate=300).granted, 100)
        for seconds in (1, 30, 30):
            self.assertEqual(self.ask(want=1, images=3, rate=300).granted, 0)
            self.account.pass_ms(1000 * seconds)
        each = []
        for _ in range(20):
            each.append(self.ask(want=100, images=3, rate=300).granted)
            self.account.pass_ms(1000)
        self.assertLessEqual(max(each), 3)
        self.assertGreaterEqual(sum(each), 20 * 300 / 60 / 3 * 0.9)

    def test_corrections_change_the_images_booked(self):
        first = self.ask(want=20, images=3, rate=60)
        self.assertEqual(self.ask(want=1, images=3, rate=60).granted, 0)
        self.assertEqual(self.ask(corrections=[(first.second, MODEL, -7)], rate=60).granted, 0)
        self.account.pass_ms(2000)
        self.assertEqual(self.ask(want=9, images=3, rate=60, corrections=[(first.second - 2, MODEL, -1)]).granted, 1)
        self.assertEqual(self.account.minute(), {MODEL: 55})
        self.ask(corrections=[(first.second - 2, MODEL, 30)], rate=60)
        self.account.pass_ms(58_000)
        self.assertEqual(self.ask(want=9, images=3, rate=60).granted, 0)
        self.account.pass_ms(3_000)
        self.assertEqual(self.ask(want=9, images=3, rate=60).granted, 1, "evenly from now on")

    def test_a_call_with_more_images_than_the_limit_runs_alone(self):
        self.assertEqual(self.ask(want=5, images=90, rate=60).granted, 1)
        self.assertEqual(self.ask(want=5, images=90, rate=60).granted, 0)
        self.account.pass_ms(62_000)
        self.assertEqual(self.ask(want=5, images=90, rate=60).granted, 1)

    def test_images_are_moved_to_the_model_of_the_task(self):
        first = self.ask(want=1, images=3, rate=60)
        self.ask(rate=60, corrections=[(first.second, MODEL, -3), (first.second, "other", 2)],
                 **{MODEL: news(), "other": news(held=1)})
        self.assertEqual(self.account.minute(), {"other": 2})
        self.assertEqual(self.account.holders(), {("w1", "other"): 1})

    def test_without_a_limit_everything_is_granted(self):
        answer = self.ask(want=1000, images=15)
        self.assertEqual((answer.granted, answer.wait, answer.limit), (1000, 0, 0))

    def test_bookings_of_old_seconds_are_dropped(self):
        now = self.ask(want=1, rate=60).second
        self.ask(rate=60, corrections=[(now - 1000, MODEL, 5), (now - 2000, "x", -5)])
        self.account.pass_ms(2000)
        self.ask(rate=60)
        self.assertEqual(self.account.minute(), {MODEL: 1})


class CallsInFlight(GovernTest):
    def test_workers_share_the_limit(self):
        self.assertEqual(self.ask("a", want=6, calls=10)[:3], (6, 0, 10))
        self.assertEqual(self.ask("b", want=6, calls=10)[:3], (4, 0, 10))
        answer = self.ask("c", want=6, calls=10)
        self.assertEqual((answer.granted, answer.limit), (0, 10))
        self.assertGreater(answer.wait, 0)
        self.assertEqual(self.account.holders(), {("a", MODEL): 6, ("b", MODEL): 4})
        self.assertEqual(self.ask("a", calls=10, **{MODEL: news(held=3)}).granted, 0)
        self.assertEqual(self.ask("c", want=6, calls=10).granted, 3)
        self.assertEqual((self.account.holders(), self.account.books()["calls"]),
                         ({("a", MODEL): 3, ("b", MODEL): 4, ("c", MODEL): 3}, "10"))

    def test_calls_of_all_models_count(self):
        self.ask("a", want=6, calls=10)
        self.ask("a", calls=10, **{MODEL: news(held=2), "other": news(held=4)})
        self.assertEqual(self.ask("b", want=9, calls=10).granted, 4)

    def test_calls_above_a_lowered_limit_may_complete(self):
        self.ask("a", want=6, calls=10)
        for held, granted in ((6, 0), (3, 0), (2, 1)):
            self.assertEqual(self.ask("a", want=1, calls=3, **{MODEL: news(held=held)}).granted, granted)

    def test_a_lost_worker_loses_its_permits(self):
        self.ask("a", want=10, calls=10, ttl=30_000)
        self.assertEqual(self.ask("b", want=1, calls=10).granted, 0)
        self.account.pass_ms(30_000 - NEAR)
        self.assertEqual(self.ask("b", want=1, calls=10).granted, 0)
        self.account.pass_ms(NEAR)
        self.assertEqual(self.ask("b", want=10, calls=10).granted, 10)
        self.assertEqual(self.account.holders(), {("b", MODEL): 10})
        self.assertEqual(self.ask("a", want=5, calls=10, **{MODEL: news(held=10)}).granted, 0, "back again, its calls count")

    def test_a_report_keeps_the_permits(self):
        self.ask("a", want=10, calls=10, ttl=30_000)
        for _ in range(4):
            self.account.pass_ms(20_000)
            self.ask("a", calls=10, ttl=30_000)
        self.assertEqual(self.ask("b", want=1, calls=10).granted, 0)

    def test_a_repeated_call_neither_loses_nor_adds_permits(self):
        for _ in range(5):          # each reply was lost: no permit is held
            self.assertEqual(self.ask("a", want=6, calls=10, **{MODEL: news()}).granted, 6)
            self.assertEqual(self.account.holders(), {("a", MODEL): 6})
        self.ask("a", calls=10, **{MODEL: news()})
        self.assertEqual(self.ask("b", want=10, calls=10).granted, 10)

    def test_a_whole_report_drops_permits_that_it_does_not_list(self):
        """The worker was restarted under the same name, or a reply with permits was lost."""
        self.ask("a", want=4, calls=10)
        self.ask("a", calls=10, **{MODEL: news(held=1), "other": news(held=2)})
        self.ask("b", want=3, calls=10)
        self.ask("a", calls=10, whole=True, other=news(held=1))
        self.assertEqual(self.account.holders(), {("a", "other"): 1, ("b", MODEL): 3})
        self.assertEqual(self.ask("c", want=10, calls=10).granted, 6)

    def test_a_whole_report_of_a_restarted_worker_frees_its_old_permits(self):
        self.ask("a", want=10, calls=10)
        self.assertEqual(self.ask("a", want=10, calls=10, whole=True).granted, 10)
        self.assertEqual(self.account.holders(), {("a", MODEL): 10})

    def test_special_characters_in_names_of_workers(self):
        for name in ("host:1", "", "%s %d", "中文", "a b\n", '"'):
            self.assertEqual(self.ask(name, want=1, calls=6).granted, 1)
        self.assertEqual(len(self.account.holders()), 6)

    def test_the_limit_is_kept_through_random_losses(self):
        """Compared with the permits that workers hold. Replies are lost, and workers are killed or report late."""
        chance = random.Random(7)
        held, limit = {}, 10
        for _ in range(1500):
            worker = f"w{chance.randrange(6)}"
            what = chance.random()
            if what < 0.5:
                granted = self.ask(worker, want=chance.randint(0, 4), calls=limit, **{MODEL: news(held=held.get(worker, 0))}).granted
                if chance.random() < 0.8:
                    held[worker] = held.get(worker, 0) + granted
            elif what < 0.9 and held.get(worker):
                held[worker] -= 1
            elif what < 0.93:
                held.pop(worker, None)
            else:                   # all running workers report, then the others count as lost
                for name, count in held.items():
                    self.ask(name, calls=limit, ttl=60_000, **{MODEL: news(held=count)})
                self.account.pass_ms(30_000)
            self.assertLessEqual(sum(held.values()), limit)
        for worker in [f"w{n}" for n in range(6)]:
            self.ask(worker, calls=limit, **{MODEL: news()})
        self.assertEqual(self.ask("w0", want=99, calls=limit).granted, limit)


class Clock(GovernTest):
    def test_images_booked_in_the_far_future_do_not_count(self):
        self.ask(want=20, images=3, rate=60)
        self.account.pass_ms(-HOUR)
        self.assertEqual(self.ask(want=20, images=3, rate=60).granted, 20)
        self.assertEqual(self.account.minute(), {MODEL: 60})


class Refusals(GovernTest):
    def test_a_single_refusal_does_not_limit_calls(self):
        self.ask("a", want=40)
        answer = self.ask("a", want=1, **{MODEL: news(held=38, refused=1)})
        self.assertEqual((answer.granted, answer.scopes[MODEL].state, answer.scopes[MODEL].calls), (1, "limited", 1))

    def test_a_refusal_by_one_model_does_not_limit_others(self):
        self.ask("a", want=4)
        answer = self.ask("b", want=9, **{"other": news(held=0, refused=3, pause=60_000)})
        self.assertEqual(answer.granted, 9)
        self.assertEqual(set(answer.scopes), {"other"})
        self.assertEqual((answer.scopes["other"].calls, answer.scopes["other"].state), (0, "limited"))

    def test_retry_after_pauses_the_model(self):
        self.ask("a", **{MODEL: news(held=5, refused=1, pause=20_000)})
        for worker in ("a", "b"):
            scope = self.ask(worker, want=1).scopes[MODEL]
            self.assertEqual(scope.calls, 0)
            self.assertAlmostEqual(scope.wait, 20_000, delta=NEAR)
        self.account.pass_ms(20_000)
        self.assertGreater(self.ask("b", want=1).scopes[MODEL].calls, 0)

    def test_the_longest_pause_is_used(self):
        for pause, left in ((10_000, 10_000), (5_000, 10_000), (40_000, 40_000), (0, 40_000)):
            self.ask("a", **{MODEL: news(held=5, refused=1, pause=pause)})
            self.assertAlmostEqual(self.ask("a", want=1).scopes[MODEL].wait, left, delta=NEAR)

    def test_limits_are_removed_five_minutes_after_the_last_refusal(self):
        self.ask("a", **{MODEL: news(held=30, refused=9)})
        self.account.pass_ms(299_000)
        self.assertIn(MODEL, self.ask("a").scopes)
        self.account.pass_ms(3_000)
        self.ask("a", **{MODEL: news(held=0)})
        self.assertEqual(self.ask("a").scopes, {})
        self.assertEqual({name for name in self.account.books() if name.startswith(MODEL + " ")}, set())

    def test_the_number_of_stored_models_is_limited(self):
        for n in range(100):
            self.ask("a", **{f"model-{n}": news(run=1, closing=True, code="ark_model_unavailable")})
        self.assertLessEqual(len(self.ask("a").scopes), 32)

    def test_closed_models_without_tasks_are_replaced(self):
        for n in range(32):
            self.ask("a", **{f"model-{n}": news(run=1, closing=True, code="ark_model_unavailable")})
        self.account.pass_ms(HOUR)
        self.ask("a")
        self.assertEqual(self.ask("a").scopes, {})

    def test_unreadable_fields_are_ignored(self):
        for name, value in (("x y!", "1"), ("m", "z"), ("m limit", "many"), ("m ", "2"), (" ", "3"), ("", "4"), ("state!", "open")):
            self.redis("HSET", PREFIX + "governor", name, value)
        self.assertEqual(self.ask("a", want=3, rate=60, **{MODEL: news(held=0, refused=1)}).granted, 3)
        self.assertEqual(self.ask("a", want=3, rate=60).granted, 3)

    def test_stored_numbers_can_be_read_back(self):
        for _ in range(50):
            self.ask("a", want=3, rate=500, **{MODEL: news(held=3, ok=7, ok_ms=7919, refused=2, pause=1000)})
        for name, value in self.account.books().items():
            if name != "default_model":
                self.assertGreaterEqual(float(value), 0, name)
            self.assertNotIn("e", value, name)


if __name__ == "__main__":
    unittest.main()
