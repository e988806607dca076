"""Outages of ARK of each kind, with waiting tasks and calls in flight: afterwards all waiting tasks must be done."""

import unittest

from support.outage import MODEL, SLOTS, Outage
from support.processes import ProcessTest, eventually

UNKNOWN = {                         # outages in which calls have an unknown outcome
    "a proxy answers 502 with a page": {"status": 502, "body": "html"},
    "a proxy answers 503 with a page": {"status": 503, "body": "html"},
    "a proxy answers 504 with nothing": {"status": 504, "body": "empty"},
    "ARK answers 500 with its error": {"code": "InternalServiceError"},
    "ARK hangs": {"hang": 0},
    "connections are reset": {"rst": True},
    "a captive portal answers 200": {"raw": "<html>Sign in</html>", "type": "text/html"},
}
NOT_ARK = {                         # the answer shows that the request did not get to ARK
    "a captive portal redirects": {"status": 302, "body": "html"},
    "a proxy wants a password": {"status": 407, "body": "html"},
    "another server takes no POST": {"status": 405, "body": "empty"},
    "a network wants a sign-in": {"status": 511, "body": "html"},
}
CLOSED = {                          # directives -> scope, code of the one task that fails
    "the key was rotated": ({"code": "AuthenticationError"}, "", "ark_unauthorized"),
    "the balance is gone": ({"code": "AccountOverdueError"}, "", "ark_unauthorized"),
    "the model is not open": ({"code": "ModelNotOpen"}, MODEL, "ark_model_unavailable"),
    "the spending limit is reached": ({"code": "SetLimitExceeded"}, MODEL, "ark_quota_exceeded"),
    "the free trial is used up": ({"code": "QuotaExceeded", "message": "Your free trial quota is used up."}, MODEL, "ark_quota_exceeded"),
    "a firewall answers 403 with a page": ({"status": 403, "body": "html"}, "", "ark_unauthorized"),
    "a proxy lost the path": ({"status": 404, "body": "html"}, MODEL, "ark_model_unavailable"),
}
FLEETS = (1, 3)


class Outages(ProcessTest):
    def each(self, kinds, check):
        """Runs a check for each kind with three workers, and for the first kind also with one."""
        for n, (what, row) in enumerate(kinds.items()):
            for workers in FLEETS if n == 0 else FLEETS[1:]:
                with self.subTest(what, workers=workers), Outage(self, workers) as outage:
                    outage.submit()
                    check(outage, row)

    def check_unknown(self, outage, directives):
        outage.begin(lambda: outage.ark.outage(**directives))
        self.assertEqual(set(outage.states()), {MODEL})
        outage.last(probes=1)
        outage.end(outage.ark.end_outage)
        outage.assert_all_done()

    def test_calls_of_unknown_outcome(self):
        self.each(UNKNOWN, self.check_unknown)

    def check_free(self, outage, directives):
        outage.begin(lambda: outage.ark.outage(**directives))
        self.assertEqual((set(outage.states()), outage.books()["code"]), ({""}, "ark_unreachable"))
        outage.last(probes=1)
        outage.end(outage.ark.end_outage)
        tasks = outage.assert_all_done()
        self.assertEqual(sum(task.number("unknown_calls") for task in tasks), 0)

    def test_another_server_answers_instead_of_ark(self):
        self.each(NOT_ARK, self.check_free)

    def test_probes_succeed_while_calls_fail(self):
        """So each trial costs one call, of a task that had none before."""
        with Outage(self, 3) as outage:
            outage.submit()
            outage.begin(lambda: outage.ark.outage(accepted_only=True, code="InternalServiceError"))
            outage.last(probes=3)
            outage.end(outage.ark.end_outage)
            tasks = outage.assert_all_done()
            self.assertLessEqual(max(task.number("unknown_calls") for task in tasks), 1)

    def check_closed(self, outage, row):
        directives, scope, code = row
        outage.begin(lambda: outage.ark.outage(**directives))
        self.assertEqual(set(outage.states()), {scope})
        self.assertEqual(outage.books()[f"{scope} code" if scope else "code"], code)
        outage.last(probes=1)
        outage.end(outage.ark.end_outage)
        outage.assert_all_done(failed=1, code=code)

    def test_the_account_or_a_model_is_unavailable(self):
        self.each(CLOSED, self.check_closed)

    def test_the_quota_resets_at_a_time_named_by_ark(self):
        """No task fails; all wait until that time."""
        with Outage(self, 3) as outage:
            outage.submit()
            outage.begin(lambda: outage.ark.outage(code="QuotaExceeded", message="... It will reset at 2026-01-01 00:00:00 +0800 UTC."))
            self.assertEqual(outage.books()[f"{MODEL} code"], "ark_quota_exceeded")
            outage.last(probes=1)
            outage.end(outage.ark.end_outage)
            outage.assert_all_done()

    def test_connections_refused_during_calls(self):
        for workers in FLEETS:
            with self.subTest(workers=workers), Outage(self, workers) as outage:
                outage.submit()
                address = outage.ark.address
                outage.begin(outage.ark.kill)
                outage.last(probes=1)
                outage.end(lambda: setattr(outage.world, "ark", outage.world.start_ark(ARK_SIM_LISTEN=address)))
                tasks = outage.assert_all_done()
                self.assertLessEqual(max(task.number("attempt") for task in tasks), 2)

    def test_connections_refused_from_the_start(self):
        for workers in FLEETS:
            with self.subTest(workers=workers), Outage(self, workers) as outage:
                address = outage.ark.address
                outage.ark.stop()
                outage.submit()
                eventually(lambda: outage.states() == {"": "open"}, "the account is open")
                outage.last(probes=2)
                outage.end(lambda: setattr(outage.world, "ark", outage.world.start_ark(ARK_SIM_LISTEN=address)))
                tasks = outage.assert_all_done()
                self.assertEqual({(task.number("attempt"), task.number("unknown_calls")) for task in tasks}, {(1, 0)})

    def assert_waits_for_a_deployment(self, address):
        """ARK's address is wrong: no task uses up an attempt, and new workers with the right address complete all tasks."""
        with Outage(self, 3, ARK_BASE_URL=address) as outage:
            outage.submit()
            eventually(lambda: outage.states() == {"": "open"}, "the account is open")
            outage.last(probes=2)
            look = outage.world.look()
            self.assertEqual({(task.state in ("queued", "delayed"), task.number("attempt")) for task in look.tasks.values()}, {(True, 0)})
            deferrals = sum(task.number("deferrals") for task in look.tasks.values())
            self.assertLessEqual(deferrals, 3 * SLOTS + 2, "the first two failures leave a slot free each; the third opens the breaker")
            self.assertEqual(outage.books()["code"], "ark_unreachable")
            outage.end(lambda: outage.replace_workers(ARK_BASE_URL=f"{outage.ark.url}/api/v3"))
            outage.assert_all_done()

    def test_an_unresolvable_name(self):
        self.assert_waits_for_a_deployment(f"http://{'x' * 64}.test/api/v3")

    def test_a_server_without_tls(self):
        with Outage(self, 0) as other:
            self.assert_waits_for_a_deployment(f"https://{other.ark.address}/api/v3")

    def test_a_worker_killed_during_a_probe_or_trial(self):
        with Outage(self, 3) as outage:
            outage.submit()
            outage.begin(lambda: outage.ark.outage(hang=0))
            outage.ark.wait_calls(1, "probe")
            outage.workers[-1].kill()
            outage.end(outage.ark.end_outage)
            outage.assert_all_done()


if __name__ == "__main__":
    unittest.main()
