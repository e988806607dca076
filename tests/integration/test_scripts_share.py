"""Fair share: the order of clients, the limit of live tasks per client, and the removal of a client's fields after its last task."""

import itertools
import unittest

from support.script_test import LAPSED_MS, TTL_MS, ScriptTest
from support.scripts import PREFIX
from support.store import look


class Order(ScriptTest):
    def vtime(self):
        return int(look(self.redis).queue.get("vtime", 0))

    def order(self, count, most=1):
        """The ids of the next `count` claims."""
        return [job.id for _ in range(count) for job in self.claim(most=most)[1]]

    def test_ten_thousand_tasks_of_one_client_delay_another_by_one(self):
        self.submit_many("bulk", 10_000)
        take = ("claim", "w1", 60_000, 1)
        first = self.scripts(*take, "a", 3)[1][0]
        self.scripts(*self.submit_args("small.t0"))
        second, third = self.scripts(*take, "b", 3)[1][0], self.scripts(*take, "c", 3)[1][0]
        self.assertEqual(first, b"bulk.t0")
        self.assertIn(b"small.t0", (second, third))
        for n in range(50):         # the same after 50 further claims
            self.scripts(*take, f"d{n}", 3)
        self.scripts(*self.submit_args("late.t0"))
        self.assertIn(b"late.t0", [self.scripts(*take, nonce, 3)[1][0] for nonce in "ef"])
        self.news.messages()
        after = look(self.redis)
        self.assertEqual(after.live, {"bulk": 10_000, "small": 1, "late": 1})
        after.check()

    def submit_args(self, id):
        return ("submit", id, "hash", '{"urls":["u"]}', 2, TTL_MS, 10**6, 60_000, 10**6, "")

    def test_the_reported_position_is_the_place_in_the_queue(self):
        self.submit_many("bulk", 50)
        answer = self.submit("t1", client="small")
        self.assertIn(b'"position":2}', answer[3][0])

    def test_clients_alternate_and_each_clients_tasks_keep_their_order(self):
        for client in ("c", "a", "b"):
            self.submit_many(client, 6)
        order = self.order(18)
        for n in range(6):
            self.assertEqual(set(order[3 * n:3 * n + 3]), {f"{client}.t{n}" for client in "abc"})

    def test_an_idle_client_gains_no_advantage(self):
        self.submit_many("busy", 60)
        self.order(30)
        self.submit_many("back", 10)
        clients = [id.partition(".")[0] for id in self.order(20)]
        self.assertEqual(clients.count("back"), 10)
        longest = max(len(list(run)) for _, run in itertools.groupby(clients))
        self.assertLessEqual(longest, 2, clients)

    def test_tasks_of_a_single_client_run_in_order_of_arrival(self):
        self.submit_many("public", 30)
        self.assertEqual(self.order(10, most=3), [f"public.t{n}" for n in range(30)])

    def test_a_requeued_task_keeps_its_place(self):
        def retry(job):
            self.finish(job, "retry", "none", delay=-1)

        def handback(job):
            self.finish(job, "handback", "none")

        for give_back, in self.cases([("after a retry", retry), ("handed back", handback), ("after its worker was lost", self.lapse)]):
            self.submit_many("a", 3)
            job = self.claim_one()
            self.submit("t0", client="b")
            score = self.task("t0", "a").fields["score"]
            give_back(job)
            self.submit("t1", client="b")
            self.assertEqual(self.task("t0", "a").fields["score"], score)
            self.assertEqual(self.order(1), ["a.t0"])

    def test_a_low_score_does_not_decrease_the_virtual_time(self):
        self.submit_many("a", 5)
        jobs = self.claim(most=5)[1]
        self.finish(jobs[0], "retry", "none", delay=-1)
        self.claim_one()
        self.assertEqual(self.vtime(), 5)
        self.submit("t9", client="b")
        self.assertEqual(self.task("t9", "b").fields["score"], "6")

    def test_cancelled_tasks_do_not_delay_the_next_one(self):
        self.submit_many("a", 100)
        for n in range(100):
            self.scripts("cancel", f"a.t{n}", "any")
        self.news.messages()
        self.submit_many("b", 50)
        self.submit("new", client="a")
        self.assertIn("a.new", self.order(2))

    def test_expired_tasks_advance_the_virtual_time(self):
        self.submit_many("a", 10, queue_ttl=-1)
        self.claim()
        self.assertEqual((self.vtime(), self.meta("failed")), (10, 10))

    def test_large_scores_stay_integers(self):
        for vtime, score in ((2**31, "2147483649"), (10**14, "100000000000001"), (2**52, "4503599627370497")):
            with self.subTest(vtime):
                self.fresh()
                self.redis("HSET", PREFIX + "queue", "vtime", vtime)
                self.submit("t1")
                self.submit("t2")
                self.assertEqual((self.task("t1").fields["score"], look(self.redis).clients), (score, {"public": str(int(score) + 1)}))
                self.assertEqual(self.order(2), ["public.t1", "public.t2"])
                self.assertEqual(self.vtime(), vtime + 2)

    def test_a_lost_virtual_time_affects_only_the_order(self):
        self.submit_many("a", 3)
        self.redis("DEL", PREFIX + "meta", PREFIX + "clients", PREFIX + "wake")
        self.scripts(*self.submit_args("b.t1"))
        self.assertEqual(len([self.scripts("claim", "w1", 60_000, 1, nonce, 3)[1] for nonce in "abcd"]), 4)
        self.news.messages()


class Limit(ScriptTest):
    def test_only_the_client_at_its_limit_is_refused(self):
        self.submit("t1", client="a", client_limit=2)
        self.submit("t2", client="a", client_limit=2)
        before = look(self.redis)
        self.assertEqual(self.submit("t3", client="a", client_limit=2), [b"CLIENT_FULL"])
        after = look(self.redis)
        self.assertEqual((after.tasks, after.sets, after.live, after.clients, after.wake),
                         (before.tasks, before.sets, before.live, before.clients, before.wake))
        self.assertEqual((self.meta("client_full"), self.meta("full")), (1, 0))
        self.assertEqual(self.submit("t3", client="b", client_limit=2)[0], b"NEW")

    def test_a_client_at_its_limit_can_repeat_a_request(self):
        self.submit(client_limit=1)
        self.assertEqual(self.submit(client_limit=1)[0], b"SAME")
        self.assertEqual(self.submit(client_limit=1, hash="other"), [b"CONFLICT"])

    def test_a_full_queue_is_reported_before_the_client_limit(self):
        self.submit("t1")
        self.assertEqual(self.submit("t2", queue_limit=1, client_limit=1), [b"FULL"])

    def test_the_tasks_that_count(self):
        """Queued, running and delayed tasks count. Final tasks do not."""
        def wait():
            pass

        def run():
            self.claim_one()

        def retry():
            self.finish(self.claim_one(), "retry", "none", delay=60_000)

        def end():
            self.finish(self.claim_one(), "done", "none")

        table = [("it waits", wait, b"CLIENT_FULL"), ("it runs", run, b"CLIENT_FULL"), ("it is delayed", retry, b"CLIENT_FULL"),
                 ("it has ended", end, b"NEW"), ("it was cancelled", self.cancel, b"NEW")]
        for happens, answer in self.cases(table):
            self.submit("t1")
            happens()
            self.assertEqual(self.submit("t2", client_limit=1)[0], answer)

    def test_the_fields_of_a_client_are_removed_with_its_last_task(self):
        def end(outcome):
            return lambda: self.finish(self.claim_one(), outcome, "none")

        def expire():
            self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
            self.claim()

        def poison():
            self.claim_one(max_attempts=1, lease=LAPSED_MS)
            self.reap()

        def cancel_delayed():
            self.finish(self.claim_one(), "retry", "none", delay=60_000)
            self.cancel()

        table = [("done", end("done")), ("failed", end("failed")), ("cancelled by its worker", end("cancelled")),
                 ("cancelled while it waited", self.cancel), ("cancelled while delayed", cancel_delayed),
                 ("expired", expire), ("poison", poison)]
        for end_it, in self.cases(table):
            self.submit()
            self.assertEqual(look(self.redis).live, {"public": 1})
            end_it()
            self.assertTrue(self.task().is_final)
            self.assertEqual(look(self.redis).live, {})
            self.assertEqual(self.run_script("audit", "w1", 60_000, 100), [1, 0])
            self.assertEqual(look(self.redis).clients, {})

    def test_the_client_is_the_part_before_the_first_dot(self):
        for id in ("a.t", "a.b.t", "ab.t", "a-b_C:1.t", "a.a.a.a"):
            self.run_script("submit", id, "hash", "{}", 2, TTL_MS, 100, 60_000, 100, "")
        self.assertEqual(look(self.redis).live, {"a": 3, "ab": 1, "a-b_C:1": 1})


if __name__ == "__main__":
    unittest.main()
