"""The circuit breaker of the account and of models: every row of the table in common/task/PROTOCOL.md. Calls GOVERN as workers do, and shifts
the stored times instead of waiting."""

import unittest

from support.account import MODEL, Account, news
from support.script_test import ScriptTest

FAR = 3_600_000


class BreakerTest(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = Account(cls.redis)
        cls.ask = cls.account.ask

    def fail(self, worker="a", run=1, scope=MODEL, **row):
        """Reports failed calls of a model or of the account."""
        code = "ark_unreachable" if scope == "account" else "outcome_unknown"
        return self.ask(worker, **{scope: news(run=run, **{"code": code, "why": "no route", **row})})

    def state(self, scope=MODEL):
        """The breaker's state in Redis; None: closed."""
        return self.account.books().get("state" if scope == "account" else f"{scope} state")

    def open(self, scope=MODEL, **row):
        self.fail(run=3, scope=scope, **row)
        self.assertEqual(self.state(scope), "open")

    def probe(self, worker="a", scope=MODEL, **row):
        """True if GOVERN tells this worker, which has a free slot, to probe."""
        return self.ask(worker, want=1, **row).scopes["" if scope == "account" else scope].probe

    def half_open(self, scope=MODEL, **row):
        """Opens the breaker and reports a successful probe."""
        self.open(scope, **{"code": "outcome_unknown", **row})
        self.account.pass_ms(1000)
        self.assertTrue(self.probe(scope=scope))
        self.ask("a", **{scope: news(probe="good")})
        self.assertEqual(self.state(scope), "half_open")


class Closed(BreakerTest):
    def test_three_failures_in_a_row_open_it_and_two_do_not(self):
        for scope in (MODEL, "account"):
            with self.subTest(scope):
                self.fresh()
                self.fail(scope=scope)
                self.fail(scope=scope)
                self.assertIsNone(self.state(scope))
                self.fail(scope=scope)
                self.assertEqual(self.state(scope), "open")

    def test_consecutive_failures_are_counted_over_all_workers(self):
        for worker in "abc":
            self.fail(worker, scope="account")
        self.assertEqual(self.state("account"), "open")

    def test_each_model_has_its_own_count(self):
        for model in ("m1", "m2", "m3"):
            self.fail(scope=model)
            self.fail(scope=model)
        self.assertEqual([self.state(model) for model in ("m1", "m2", "m3")], [None] * 3)
        self.fail(scope="m2")
        self.assertEqual([self.state(model) for model in ("m1", "m2", "m3")], [None, "open", None])
        self.assertIsNone(self.state("account"))

    def test_a_success_between_failures_resets_the_count(self):
        for _ in range(4):
            self.fail(run=2)
            self.assertEqual(self.ask("a").scopes[MODEL].state, "failing", "so that successes are reported")
            self.ask("b", **{MODEL: news(ok=1)})
            self.assertEqual(self.ask("a").scopes, {})
        self.assertIsNone(self.state())

    def test_after_a_failure_no_call_begins_while_calls_in_flight_may_open_it(self):
        for in_flight, run, calls in ((9, 1, 0), (2, 1, 0), (1, 1, 1), (0, 1, 2), (1, 2, 0), (0, 2, 1)):
            with self.subTest(in_flight=in_flight, run=run):
                self.fresh()
                self.ask("a", **{MODEL: news(held=in_flight)})
                self.fail("b", run=run)
                scope = self.ask("c", want=9).scopes[MODEL]
                self.assertEqual((scope.state, scope.calls), ("failing", calls))
                if not calls:
                    self.assertEqual(scope.wait, 200)
                self.ask("b", **{MODEL: news(ok=1)})
                self.assertEqual(self.ask("c", want=9).granted, 9)

    def test_failed_connections_do_not_limit_calls(self):
        """They are not charged."""
        self.fail(run=2, scope="account")
        self.assertEqual(self.ask("b", want=9).granted, 9)

    def test_failures_after_a_success_in_the_same_report_count(self):
        self.ask("a", **{MODEL: news(ok=5, run=3, code="outcome_unknown")})
        self.assertEqual(self.state(), "open")

    def test_one_permanent_error_opens_it(self):
        for scope, code in (("account", "ark_unauthorized"), (MODEL, "ark_model_unavailable")):
            with self.subTest(scope):
                self.fresh()
                self.fail(scope=scope, code=code, closing=True, why="overdue")
                self.assertEqual(self.state(scope), "open")
                prefix = "" if scope == "account" else scope + " "
                books = self.account.books()
                self.assertEqual((books[prefix + "code"], books[prefix + "why"]), (code, "overdue"))
                self.assertIn(prefix + "since", books)

    def test_calls_without_evidence_do_not_open_it(self):
        for _ in range(9):
            self.ask("a", **{MODEL: news(held=3, refused=5, pause=0), "account": news()})
        self.assertIsNone(self.state())
        self.assertIsNone(self.state("account"))

    def test_only_the_first_worker_that_opens_it_is_notified(self):
        closed = {"run": 1, "closing": True, "code": "ark_unauthorized", "scope": "account"}
        answers = [self.fail(worker, **closed).scopes[""].opened for worker in "abc"]
        self.assertEqual(answers, [True, False, False])
        self.assertTrue(self.fail("a", **closed).scopes[""].opened, "its answer was lost, and it reports again")

    def test_a_worker_that_reports_the_error_later_is_not_the_first(self):
        self.open()
        self.assertFalse(self.fail("b", closing=True, code="ark_model_unavailable").scopes[MODEL].opened)


class Open(BreakerTest):
    def test_an_open_breaker_grants_no_permit(self):
        self.open("account")
        answer = self.ask("b", want=9)
        self.assertEqual((answer.granted, answer.scopes[""].state), (0, "open"))
        self.assertTrue(0 < answer.wait <= 1000, answer.wait)

    def test_an_open_breaker_of_a_model_does_not_affect_other_models(self):
        self.open("other")
        answer = self.ask("b", want=9)
        self.assertEqual((answer.granted, answer.scopes["other"].calls), (9, 0))
        self.assertEqual(set(answer.scopes), {"other"})

    def test_with_an_open_default_model_other_models_still_get_permits(self):
        self.open(MODEL)
        answer = self.ask("b", want=100)
        self.assertEqual((answer.granted, answer.scopes[MODEL].calls), (8, 0))

    def test_only_one_worker_probes(self):
        self.open()
        self.assertFalse(self.probe())
        self.account.pass_ms(1000)
        self.assertFalse(self.ask("a").scopes[MODEL].probe, "a worker without a free slot does not")
        self.assertEqual([self.probe(worker) for worker in "abca"], [True, False, False, False])
        self.assertEqual(self.state(), "probing")

    def test_a_lost_probe_is_repeated_by_another_worker(self):
        self.open()
        self.account.pass_ms(1000)
        self.assertTrue(self.probe("a"))
        self.account.pass_ms(19_000)
        self.assertFalse(self.probe("b"))
        self.account.pass_ms(1000)
        self.assertTrue(self.probe("b"))

    def test_a_probe_of_a_lost_worker_is_free_again(self):
        self.open()
        self.account.pass_ms(1000)
        self.assertTrue(self.probe("a", ttl=3000, **{MODEL: news(held=1)}))
        self.account.pass_ms(3000)
        self.assertTrue(self.probe("b"))

    def test_a_probe_in_an_answer_that_was_lost_is_free_again(self):
        self.open()
        self.account.pass_ms(1000)
        self.assertTrue(self.probe("a"))
        self.assertFalse(self.probe("b", whole=True), "another worker's lost answer")
        self.assertFalse(self.probe("a"))
        self.assertTrue(self.probe("a", whole=2))

    def test_the_time_between_probes_grows_to_ten_seconds(self):
        self.open()
        for seconds in (1, 2, 4, 8, 10, 10):
            if seconds > 1:
                self.account.pass_ms(1000 * (seconds - 1))
                self.assertFalse(self.probe(), seconds)
            self.account.pass_ms(1000)
            self.assertTrue(self.probe(**{MODEL: news(wanted=True)}), seconds)
            self.ask("a", **{MODEL: news(probe="bad", code="outcome_unknown", why="502")})
            self.assertEqual((self.state(), self.account.books()[f"{MODEL} why"]), ("open", "502"))

    def test_the_probe_interval_starts_at_one_second_after_each_closing(self):
        self.half_open()
        self.ask("a", want=1)
        self.fail()
        self.account.pass_ms(2000)
        self.assertTrue(self.probe())
        self.ask("a", **{MODEL: news(ok=1)})
        self.open()
        self.account.pass_ms(1000)
        self.assertTrue(self.probe())

    def test_no_probe_before_the_retry_time_named_by_ark(self):
        seconds, micros = self.redis("TIME")
        until = int(seconds) * 1000 + int(micros) // 1000 + 60_000
        self.fail(closing=True, code="ark_quota_exceeded", until=until)
        self.account.pass_ms(59_000)
        self.assertFalse(self.probe(**{MODEL: news(wanted=True)}))
        self.account.pass_ms(1000)
        self.assertTrue(self.probe())

    def test_a_successful_probe_of_an_unreachable_account_closes_it(self):
        self.open("account")
        self.account.pass_ms(1000)
        self.assertTrue(self.ask("a", want=1).scopes[""].probe)
        self.ask("a", account=news(probe="good"))
        self.assertEqual((self.ask("a", want=9).granted, self.account.books().get("state")), (9, None))

    def test_a_successful_probe_for_other_reasons_half_opens_it(self):
        for scope, code in (("account", "ark_unauthorized"), (MODEL, "outcome_unknown"), (MODEL, "ark_model_unavailable")):
            with self.subTest(code):
                self.fresh()
                self.half_open(scope, code=code)

    def test_a_late_answer_of_a_probe_changes_nothing(self):
        self.open()
        for probe in ("good", "bad"):
            self.ask("b", **{MODEL: news(probe=probe)})
            self.assertEqual(self.state(), "open")
        self.fresh()
        self.ask("b", **{MODEL: news(probe="bad")})
        self.assertIsNone(self.state())

    def test_failures_of_calls_in_flight_do_not_count(self):
        self.open()
        before = self.account.books()
        self.fail("b", run=20)
        after = self.account.books()
        self.assertEqual({name: after[name] for name in before if name.startswith(MODEL)},
                         {name: before[name] for name in before if name.startswith(MODEL)})

    def test_a_success_of_a_call_that_began_later_closes_it(self):
        for scope in ("account", MODEL):
            with self.subTest(scope):
                self.fresh()
                self.open(scope, closing=True)
                self.account.pass_ms(5000)
                self.ask("b", **{scope: news(ok=1, age=6000)})
                self.assertEqual(self.state(scope), "open", "that call began before")
                self.ask("b", **{scope: news(ok=1, age=4000)})
                self.assertIsNone(self.state(scope))


class HalfOpen(BreakerTest):
    def trial(self, worker, **row):
        return self.ask(worker, want=5, **row).scopes[MODEL].calls

    def test_one_call_at_a_time_over_all_workers(self):
        self.half_open()
        self.assertEqual([self.trial(worker) for worker in "abca"], [1, 0, 0, 0])

    def test_one_call_of_the_account(self):
        self.half_open("account", code="ark_unauthorized")
        self.assertEqual([self.ask(worker, want=5).granted for worker in "abca"], [1, 0, 0, 0])

    def test_no_trial_call_without_a_permit(self):
        self.ask("c", want=2, calls=2)
        self.half_open()
        self.assertEqual(self.ask("a", want=1, calls=2).granted, 0)
        self.ask("c", calls=2, **{MODEL: news(held=0)})
        self.assertEqual(self.ask("b", want=1, calls=2).scopes[MODEL].calls, 1, "it was not spent on a worker without a permit")

    def test_after_a_trial_without_evidence_the_next_one_begins(self):
        self.half_open()
        self.assertEqual(self.trial("a"), 1)
        self.assertEqual(self.trial("b"), 0)
        self.ask("a", **{MODEL: news(probe="none")})
        self.assertEqual(self.trial("b"), 1)

    def test_the_trial_of_a_lost_worker_is_repeated(self):
        self.half_open()
        self.assertEqual(self.trial("a"), 1)
        self.account.pass_ms(29_000)
        self.assertEqual(self.trial("b"), 0)
        self.account.pass_ms(2000)
        self.assertEqual(self.trial("b"), 1)

    def test_a_trial_whose_permit_was_lost_is_repeated(self):
        self.half_open()
        self.assertEqual(self.trial("a"), 1)
        self.ask("b", whole=2)
        self.ask("a", whole=1, **{MODEL: news(held=1)})
        self.assertEqual(self.trial("b"), 0)
        self.ask("a", whole=2)
        self.assertEqual(self.trial("b"), 1)

    def test_a_trial_that_takes_too_long_is_not_waited_for(self):
        self.half_open()
        self.assertEqual(self.trial("a"), 1)
        for _ in range(6):
            self.account.pass_ms(19_000)
            self.assertEqual(self.trial("b"), 0)
            self.ask("a", **{MODEL: news(held=1)})
        self.account.pass_ms(7000)
        self.assertEqual(self.trial("b"), 1)

    def test_a_successful_trial_closes_it_for_all_workers(self):
        self.half_open()
        self.trial("a")
        self.ask("a", **{MODEL: news(ok=1)})
        self.assertIsNone(self.state())
        self.assertEqual(self.ask("b", want=9).granted, 9)

    def test_a_failed_trial_opens_it_with_a_longer_probe_interval(self):
        self.half_open()
        self.trial("a")
        self.fail(why="again")
        self.assertEqual((self.state(), self.account.books()[f"{MODEL} why"]), ("open", "again"))
        self.account.pass_ms(1000)
        self.assertFalse(self.probe())
        self.account.pass_ms(1000)
        self.assertTrue(self.probe())

    def test_the_opening_time_is_kept_when_it_reopens(self):
        self.half_open()
        since = self.account.books()[f"{MODEL} since"]
        self.trial("a")
        self.fail()
        self.assertEqual(self.account.books()[f"{MODEL} since"], since)

    def test_the_failure_of_an_earlier_call_is_ignored(self):
        self.half_open()
        self.fail("b", run=7, age=FAR)
        self.assertEqual(self.state(), "half_open")

    def test_failures_of_earlier_calls_do_not_reopen_it(self):
        self.half_open()
        self.trial("a")
        self.account.pass_ms(10_000)
        self.ask("a", **{MODEL: news(ok=1, age=9000)})
        self.fail("b", run=30, age=9500)
        self.assertIsNone(self.state())
        self.fail("b", run=3, age=8000)
        self.assertEqual(self.state(), "open")


class Scopes(BreakerTest):
    def test_no_trial_of_a_model_while_the_account_is_open(self):
        self.half_open()
        self.open("account")
        self.assertEqual(self.ask("a", want=5).scopes[MODEL].calls, 0)
        self.account.pass_ms(1000)
        self.ask("a", want=1)
        self.ask("a", account=news(probe="good"))
        self.assertEqual(self.ask("a", want=5).scopes[MODEL].calls, 1)

    def test_a_model_without_waiting_tasks_is_not_probed_for_ever(self):
        self.open("other")
        probes = 0
        for _ in range(300):
            self.account.pass_ms(1000)
            if self.ask("a", want=1).scopes["other"].probe:
                probes += 1
                self.ask("a", other=news(probe="bad", code="ark_model_unavailable"))
        self.assertTrue(5 <= probes <= 10, probes)
        self.assertTrue(self.ask("a", want=1, other=news(wanted=True)).scopes["other"].probe, "a task waits for it")

    def test_a_model_without_waiting_tasks_is_forgotten_although_workers_ask(self):
        for n in range(40):
            self.ask("a", **{f"model-{n}": news(run=1, closing=True, code="ark_model_unavailable")})
        self.assertEqual(len(self.ask("a", want=1).scopes), 32)
        for _ in range(66):
            self.account.pass_ms(10_000)
            for name, scope in self.ask("a", want=1).scopes.items():
                if scope.probe:
                    self.ask("a", **{name: news(probe="bad", code="ark_model_unavailable")})
        self.assertEqual(self.ask("a", want=1).scopes, {})

    def test_a_model_with_waiting_tasks_is_not_forgotten(self):
        self.open("other")
        for _ in range(70):
            self.account.pass_ms(10_000)
            if self.ask("a", want=1, other=news(wanted=True)).scopes["other"].probe:
                self.ask("a", other=news(probe="bad", code="ark_model_unavailable"))
        self.assertIn("other", self.ask("a").scopes)

    def test_the_account_is_probed_as_long_as_its_breaker_is_open(self):
        self.open("account")
        for _ in range(100):
            self.account.pass_ms(10_000)
            self.assertTrue(self.ask("a", want=1).scopes[""].probe)
            self.ask("a", account=news(probe="bad", code="ark_unreachable"))

    def test_beyond_32_models_tasks_fail_instead_of_waiting(self):
        for n in range(32):
            self.fail(scope=f"model-{n}", closing=True)
        answer = self.fail(scope="one-too-many", closing=True)
        self.assertEqual((answer.scopes["one-too-many"].state, answer.scopes["one-too-many"].opened), ("failing", True))
        self.assertNotIn("one-too-many state", self.account.books())

    def test_no_fields_remain_after_a_breaker_was_closed(self):
        self.half_open()
        self.ask("a", want=1)
        self.ask("a", **{MODEL: news(ok=1)})
        self.account.pass_ms(700_000)
        self.ask("a", want=1)
        self.assertEqual([name for name in self.account.books() if name.startswith(MODEL)], [])

    def test_model_names_with_special_characters(self):
        for name in ("state", "a b", "ep-2025 run", "中文", '"', "doubao-seedream-4-0-250828", "limit", "x_y"):
            with self.subTest(name):
                self.fresh()
                self.open(name)
                self.assertEqual(self.ask("a").scopes[name].state, "open")


class Clock(BreakerTest):
    """Redis's clock is set back, or a Redis with an earlier clock takes over."""

    def put_back(self, ms):
        books = self.account.books()
        self.account.pass_ms(-ms)
        self.redis("HSET", "arkrelay:{account}:governor", "swept", int(float(books["swept"])) + ms // 1000)

    def test_waits_end_although_the_clock_was_put_back(self):
        self.ask("a", want=10, rate=10)
        self.open("account")
        self.ask("b", other=news(held=3, refused=1, pause=60_000))
        self.put_back(FAR)
        answer = self.ask("a", want=1, rate=10)
        self.assertTrue(answer.scopes[""].probe)
        self.assertNotIn("other", answer.scopes)
        self.ask("a", account=news(probe="good"))
        self.assertEqual(self.ask("a", want=20, rate=10).granted, 10)

    def test_permits_of_a_lost_worker_are_freed_although_the_clock_was_put_back(self):
        self.ask("a", want=10, calls=10)
        self.put_back(FAR)
        self.assertEqual(self.ask("b", want=1, calls=10).granted, 0)
        self.account.pass_ms(31_000)
        self.assertEqual(self.ask("b", want=10, calls=10).granted, 10)


if __name__ == "__main__":
    unittest.main()
