"""AUDIT with every kind of damage, PAUSE, PLACES and QUEUE."""

import re
import unittest

from support.script_test import LEASE_MS, URLS, ScriptTest, compact
from support.scripts import FOLDER, PREFIX
from support.store import look

MINUTE = 60_000


class Damage(ScriptTest):
    """The data is damaged from outside. One pass of AUDIT restores all invariants."""

    def given(self):
        """Tasks of two clients: one waiting, one delayed, one running and one ended."""
        self.submit("delayed")
        self.finish(self.claim_one(), "retry", "none", delay=MINUTE)
        self.submit("ended")
        self.finish(self.claim_one(), "failed", "none")
        self.submit("runs", client="shop")
        self.job = self.claim_one()
        self.begin(self.job)
        self.submit("waits")
        look(self.redis).check()

    def audit(self, most=100, worker="w1", interval=MINUTE):
        """Does not check the invariants first, because the data is damaged."""
        answer = self.scripts("audit", worker, interval, most)
        self.news.messages()
        return answer

    def damage(self, *commands):
        self.redis.pipeline([(name, PREFIX + key, *rest) for name, key, *rest in commands])

    def test_every_kind_of_damage_is_repaired(self):
        """Damage -> number of repaired tasks, and their sets afterwards."""
        waits, delayed, runs, ended = "public.waits", "public.delayed", "shop.runs", "public.ended"
        table = [
            ("no damage", [], 0, {}),
            ("a waiting task in no set", [("ZREM", "pending", waits)], 1, {waits: "pending"}),
            ("a delayed task in no set", [("ZREM", "delayed", delayed)], 1, {delayed: "delayed"}),
            ("a running task without a lease", [("ZREM", "leased", runs)], 1, {runs: "leased"}),
            ("a waiting task leased as well", [("ZADD", "leased", 1, waits)], 1, {waits: "pending"}),
            ("a running task pending as well", [("ZADD", "pending", 1, runs)], 1, {runs: "leased"}),
            ("a delayed task in all three", [("ZADD", "pending", 1, delayed), ("ZADD", "leased", 1, delayed)], 1,
             {delayed: "delayed"}),
            ("a waiting task in a wrong set", [("ZREM", "pending", waits), ("ZADD", "delayed", 1, waits)], 1, {waits: "pending"}),
            ("a running task in a wrong set", [("ZREM", "leased", runs), ("ZADD", "pending", 1, runs)], 1, {runs: "leased"}),
            ("a waiting task whose hash has vanished", [("DEL", f"task:{waits}")], 1, {waits: None}),
            ("a running task whose hash has vanished", [("DEL", f"task:{runs}")], 1, {runs: None}),
            ("a delayed task without any key", [("DEL", f"{kind}:{delayed}") for kind in ("task", "events")], 1,
             {delayed: None}),
            ("a hash without a state", [("DEL", f"task:{waits}"), ("HSET", f"task:{waits}", "x", 1)], 1, {waits: None}),
            ("a final task in the index", [("ZADD", "index", 1, ended), ("HINCRBY", "queue", "live:public", 1)], 1, {ended: None}),
            ("a final task in the index, pending too",
             [("ZADD", "index", 1, ended), ("ZADD", "pending", 1, ended), ("HINCRBY", "queue", "live:public", 1)], 1, {ended: None}),
            ("a final task that is leased", [("ZADD", "leased", 1, ended)], 1, {ended: None}),
            ("a pending id without a task", [("ZADD", "pending", 1, "public.ghost")], 1, {}),
            ("a live task missing from the index", [("ZREM", "index", waits)], 1, {waits: "pending"}),
            ("the live part of the index lost", [("ZREMRANGEBYSCORE", "index", 0, "+inf")], 3, {waits: "pending", delayed: "delayed", runs: "leased"}),
            ("all sets lost", [("DEL", "pending"), ("DEL", "delayed"), ("DEL", "leased")], 3,
             {waits: "pending", delayed: "delayed", runs: "leased"}),
            ("wrong numbers of live tasks", [("HSET", "queue", "live:public", 7, "live:shop", 9, "live:nobody", 1)], 0, {}),
            ("no numbers of live tasks", [("HDEL", "queue", "live:public", "live:shop")], 0, {}),
            ("no numbers at all", [("DEL", "queue")], 0, {}),
            ("a wrong number of waiting tasks", [("HSET", "queue", "waiting", 99)], 0, {}),
            ("everything at once", [("DEL", "queue"), ("DEL", f"task:{waits}"), ("ZREM", "index", runs), ("DEL", "delayed")], 3,
             {waits: None, delayed: "delayed", runs: "leased"}),
        ]
        for damage, repaired, places in self.cases(table):
            self.given()
            self.damage(*damage)
            self.assertEqual(self.audit(), [1, repaired])
            after = look(self.redis)
            after.check()
            for id, place in places.items():
                self.assertEqual(after.tasks[id].place if id in after.tasks else None, place)
            self.assertEqual(self.meta("orphan"), repaired)
            self.damage(("HDEL", "meta", "audited_at"))
            self.assertEqual(self.audit(), [1, 0], "nothing is left to repair")

    def test_a_task_returns_to_its_old_place(self):
        self.given()
        score = float(self.task("waits").fields["score"])
        self.damage(("ZREM", "pending", "public.waits"))
        self.audit()
        self.assertEqual(self.task("waits").places["pending"], score)

    def test_a_running_task_gets_a_lease_until_about_the_next_pass(self):
        self.given()
        for sign in (True, False):
            with self.subTest(sign):
                self.damage(("ZREM", "leased", "shop.runs"), ("HDEL", "meta", "audited_at"))
                self.audit()
                self.assertEqual(self.reap(grace=0), 0, "its worker may still be alive")
                if sign:
                    self.assertEqual(self.run_script("renew", LEASE_MS, self.job.id, self.job.fence), [b"OK"])
                    self.assertEqual(self.emit_image(self.job)[0], b"OK")
        self.lapse(self.job)
        self.assertEqual(self.task("runs", "shop").state, "done")

    def test_a_delayed_task_is_due_at_once(self):
        self.given()
        self.damage(("ZREM", "delayed", "public.delayed"), ("DEL", "wake"))
        self.audit()
        self.assertGreaterEqual(look(self.redis).wake, 1)
        self.assertEqual(self.claim_one().id, "public.delayed")

    def test_repaired_tasks_can_be_completed(self):
        self.given()
        self.damage(("DEL", "pending"), ("DEL", "delayed"), ("DEL", "leased"), ("ZREMRANGEBYSCORE", "index", 0, "+inf"), ("DEL", "queue"))
        for id in ("waits", "delayed"):
            self.damage(("ZADD", "index", 1, f"public.{id}"))
        self.damage(("ZADD", "index", 1, "shop.runs"))
        self.audit()
        self.finish(self.job, "done", "known")
        for job in self.claim(most=9)[1]:
            self.finish(job, "done", "none")
        self.assertEqual((look(self.redis).sets["index"], look(self.redis).live), ({}, {}))


class Passes(ScriptTest):
    def audit(self, worker="w1", interval=MINUTE, most=100):
        return self.run_script("audit", worker, interval, most)

    def test_an_empty_queue_takes_one_call(self):
        self.assertEqual(self.audit(), [1, 0])

    def test_only_one_worker_audits_per_interval(self):
        self.assertEqual(self.audit("w1"), [1, 0])
        for worker in ("w1", "w2"):
            self.assert_changes_nothing([-1, 0], "audit", worker, MINUTE, 100)
        self.redis("HINCRBY", PREFIX + "meta", "audited_at", -MINUTE)
        self.assertEqual(self.audit("w2"), [1, 0])
        self.assertEqual(self.audit("w1"), [-1, 0])

    def test_a_pass_visits_all_pages(self):
        self.submit_many("public", 25)
        self.assertEqual([self.audit(most=10) for _ in range(4)], [[0, 0], [0, 0], [1, 0], [-1, 0]])

    def test_no_task_is_skipped_while_repairs_shrink_the_pages(self):
        self.submit_many("public", 25)
        for n in range(0, 25, 2):
            self.redis("DEL", PREFIX + f"task:public.t{n}")
        answers = [self.scripts("audit", "w1", MINUTE, 4) for _ in range(7)]
        self.assertEqual(sum(repaired for _, repaired in answers), 13)
        self.assertEqual(answers[-1][0], 1)
        after = look(self.redis)
        after.check()
        self.assertEqual(len(after.tasks), 12)

    def test_a_pass_is_not_interrupted_by_another_worker(self):
        self.submit_many("public", 25)
        self.assertEqual(self.audit("w1", most=10), [0, 0])
        self.assertEqual(self.audit("w2", most=10), [-1, 0])
        self.assertEqual(self.audit("w1", most=10), [0, 0])

    def test_the_pass_of_a_lost_worker_is_restarted_by_another(self):
        self.submit_many("public", 25)
        self.audit("w1", most=10)
        self.redis("HINCRBY", PREFIX + "meta", "audited_at", -MINUTE)
        self.redis("ZREM", PREFIX + "pending", "public.t0")      # on the page that w1 has audited
        self.assertEqual(self.scripts("audit", "w2", MINUTE, 10), [0, 1], "w2 starts at the first page")
        self.assertEqual(self.audit("w1", most=10), [-1, 0])
        self.assertEqual([self.audit("w2", most=10) for _ in range(2)], [[0, 0], [1, 0]])

    def test_a_full_page_is_followed_by_another_call(self):
        self.submit_many("public", 10)
        self.assertEqual([self.audit(most=10) for _ in range(3)], [[0, 0], [1, 0], [-1, 0]])


class Expiry(ScriptTest):
    """Waiting tasks expire even if no worker claims, because none is alive or the queue is paused."""

    def audit(self, most=100):
        self.redis("HDEL", PREFIX + "meta", "audited_at")
        return self.run_script("audit", "g1", MINUTE, most)

    def pass_limit_of(self, *ids):
        for id in ids:
            self.redis("HSET", PREFIX + f"task:{id}", "queue_until", 1)

    def test_waiting_tasks_expire_and_running_ones_do_not(self):
        for name in ("delayed", "runs", "waits", "young"):
            self.submit(name)
        self.finish(self.claim_one(), "retry", "none", delay=MINUTE)
        job = self.claim_one()
        self.begin(job)
        self.pass_limit_of("public.delayed", "public.runs", "public.waits")
        self.run_script("pause", 1)
        self.assertEqual(self.audit(), [1, 0])
        states = {name: self.task(name).state for name in ("delayed", "runs", "waits", "young")}
        self.assertEqual(states, {"delayed": "failed", "runs": "running", "waits": "failed", "young": "queued"})
        for name in ("delayed", "waits"):
            last = self.task(name).log[-1].data
            self.assertEqual((last["code"], last["retryable"], last["charged"]), ("expired", True, "no"))
        self.assertEqual((self.meta("failed"), look(self.redis).live), (2, {"public": 2}))
        self.finish(job, "done", "none")
        self.run_script("pause", 0)
        self.assertEqual(self.claim_one().id, "public.young")

    def test_an_expired_task_in_a_wrong_set(self):
        self.submit("t1")
        self.pass_limit_of("public.t1")
        self.redis("ZADD", PREFIX + "leased", 10**14, "public.t1")
        self.redis("HDEL", PREFIX + "meta", "audited_at")
        self.assertEqual(self.scripts("audit", "g1", MINUTE, 100), [1, 0])
        after = look(self.redis)
        after.check()
        self.assertEqual((after.tasks["public.t1"].state, after.sets["leased"]), ("failed", {}))

    def test_an_unreadable_limit_is_no_limit(self):
        for n in range(3):
            self.submit(f"t{n}")
        for command in (("HSET", "task:public.t0", "queue_until", ""), ("HSET", "task:public.t1", "queue_until", "soon"),
                        ("HDEL", "task:public.t2", "queue_until")):
            self.redis(command[0], PREFIX + command[1], *command[2:])
        self.assertEqual(self.scripts("audit", "g1", MINUTE, 100), [1, 0])
        self.assertEqual([self.scripts("claim", "w1", 60_000, 1, "n", 3)[1][0] for _ in range(3)], [b"public.t0", b"public.t1", b"public.t2"])

    def test_a_whole_queue_expires_in_several_calls_of_one_pass(self):
        self.submit_many("public", 150, queue_ttl=-1)
        self.submit("young", queue_limit=1000)
        self.redis("HDEL", PREFIX + "meta", "audited_at")
        answers = [self.scripts("audit", "g1", MINUTE, 200) for _ in range(3)]
        self.assertEqual(answers, [[0, 0], [0, 0], [1, 0]])
        self.assertEqual((self.meta("failed"), list(look(self.redis).sets["index"])), (150, ["public.young"]))
        self.assertEqual(self.scripts("audit", "g1", MINUTE, 200), [-1, 0])

    def test_a_pass_continues_after_a_page_that_expired_completely(self):
        self.submit_many("public", 20, queue_ttl=-1)
        self.redis("HDEL", PREFIX + "meta", "audited_at")
        self.assertEqual([self.scripts("audit", "g1", MINUTE, 10) for _ in range(3)], [[0, 0], [0, 0], [1, 0]])
        self.assertEqual(self.meta("failed"), 20)


class Pause(ScriptTest):
    def test_a_paused_queue_accepts_and_returns_no_task(self):
        self.submit("t1")
        self.submit("t2")
        job = self.claim_one()
        self.assertEqual(self.run_script("pause", 1), [b"PAUSED"])
        self.assert_changes_nothing([b"PAUSED"], "pause", 1)
        self.assertEqual(self.submit("t3"), [b"PAUSED"])
        self.assertEqual(self.claim(), (-1, []))
        self.assertEqual(self.run_script("ready")[2], 1)
        self.begin(job)                                          # running tasks continue
        self.emit_image(job)
        self.assertEqual(self.finish(job, "done", "known")[0], b"OK")
        self.redis("DEL", PREFIX + "wake")
        self.assertEqual(self.run_script("pause", 0), [b"RESUMED"])
        self.assertEqual(look(self.redis).wake, 1)
        self.assertEqual(self.claim_one().id, "public.t2")
        self.assertEqual(self.submit("t3")[0], b"NEW")

    def test_resume_can_be_repeated(self):
        self.assertEqual([self.run_script("pause", 0) for _ in range(2)], [[b"RESUMED"]] * 2)
        self.assertNotIn("paused", look(self.redis).queue)

    def test_cancel_and_reap_work_while_paused(self):
        self.submit("t1")
        self.submit("t2")
        job = self.claim_one()
        self.run_script("pause", 1)
        self.lapse(job)
        self.assertEqual(self.cancel("public.t2"), [b"CANCELLED"])
        self.assertEqual(self.task("t1").state, "queued")


class Places(ScriptTest):
    def test_places_are_returned_in_the_order_of_the_ids(self):
        for n in range(4):
            self.submit(f"t{n}")
        self.claim_one()
        ids = ["public.t3", "public.t0", "public.none", "public.t1", "public.t3"]
        now, ended, *places = self.run_script("places", 0, *ids)
        self.assertRegex(now, rb"^\d{13}$")
        self.assertEqual((ended, places), (0, [3, 0, 0, 1, 3]))
        self.assertEqual(self.run_script("places")[1:], [0])

    def test_a_delayed_task_has_place_minus_one(self):
        self.submit()
        self.finish(self.claim_one(), "retry", "none", delay=MINUTE)
        self.assertEqual(self.run_script("places", 0, "public.t1")[2:], [-1])

    def test_the_models_of_the_requests_are_returned(self):
        long = "m" + 127 * "o"
        for task_id, request in (("none", {"urls": URLS}), ("named", {"model": "m.1:a_B-c", "urls": URLS}), ("long", {"max_images": 15,
                                  "max_paid_calls": 10, "model": long, "prompt": 3000 * "p", "urls": URLS}),
                                 ("tricky", {"prompt": '"model":"x"', "urls": ['https://example.com/?a="model":"y"']})):
            self.submit(task_id, request=compact(request))
        self.submit("runs", request=compact({"model": "m", "urls": URLS}))
        self.assertEqual(self.run_script("places", 1, "public.none", "public.named", "public.long", "public.tricky", "public.nobody")[2:],
                         [1, b"", 2, b"m.1:a_B-c", 3, long.encode(), 4, b"", 0, b""])

    def test_every_ended_task_counts_for_the_pace(self):
        for n, outcome in enumerate(("done", "failed", "cancelled")):
            self.submit(f"t{n}")
            self.finish(self.claim_one(), outcome, "none")
            self.assertEqual(self.run_script("places")[1], n + 1)

    def test_nothing_is_changed(self):
        self.submit(request=compact({"urls": URLS}))
        before = look(self.redis).everything
        self.run_script("places", 1, "public.t1", "")
        self.assertEqual(look(self.redis).everything, before)

    def test_a_thousand_viewers_in_one_call(self):
        self.submit_many("public", 1000)
        self.assertEqual(self.run_script("places", 0, *(f"public.t{n}" for n in range(1000)))[2:], list(range(1, 1001)))


class Queue(ScriptTest):
    def queue(self):
        now, paused, waiting, delayed, running, dead, oldest, ended, full_ms, *counters = self.run_script("queue")
        self.assertEqual(full_ms, b"-1")
        self.assertRegex(now, rb"^\d{13}$")
        names = [name.decode() for name in counters[::2]]
        self.assertEqual(len(set(names)), len(names))
        return (paused, waiting, delayed, running, dead, int(oldest), ended), dict(zip(names, counters[1::2]))

    def test_the_estimated_end_of_memory(self):
        """50 tasks per minute are kept for TTL_MS, at most 72,000 at a time."""
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", "0")

        def full_ms():
            return int(self.scripts("queue")[8])

        for n in range(50):
            self.submit(f"t{n}")
            self.cancel(f"public.t{n}")
        used = int(re.search(rb"used_memory:(\d+)", self.redis("INFO", "memory"))[1])
        for most, least, longest in ((0, -1, -1), (1, 0, 0), (used + 10_000_000, 60_000, 100 * MINUTE), (10**15, -1, -1)):
            with self.subTest(most):
                self.redis("CONFIG", "SET", "maxmemory", most)
                self.assertIn(full_ms(), range(least, longest + 1))
        self.redis("CONFIG", "SET", "maxmemory", used + 10_000_000)
        self.redis("ZREMRANGEBYSCORE", PREFIX + "index", "-inf", "(0")
        self.assertEqual(full_ms(), -1, "none has ended within a minute")

    def test_an_empty_queue_has_zeros(self):
        numbers, counters = self.queue()
        self.assertEqual(numbers, (0, 0, 0, 0, 0, 0, 0))
        self.assertEqual(set(counters.values()), {0})

    def test_every_number_is_reported(self):
        for n in range(10):
            self.submit(f"t{n}")
        oldest = self.task("t0").number("epoch")
        self.redis("ZADD", PREFIX + "index", oldest - 5, "public.t9")
        jobs = self.claim(most=6)[1]
        self.finish(jobs[0], "failed", "none")
        for job in jobs[1:3]:
            self.finish(job, "retry", "none", delay=MINUTE)
        self.run_script("pause", 1)
        numbers, counters = self.queue()
        self.assertEqual(numbers, (1, 4, 2, 3, 1, oldest - 5, 1))
        self.assertEqual({name: count for name, count in counters.items() if count}, {"submitted": 10, "failed": 1, "retried": 2})

    def test_tasks_that_ended_over_a_minute_ago_do_not_count_for_the_pace(self):
        for n in range(3):
            self.submit(f"t{n}")
            self.cancel(f"public.t{n}")
        self.redis("ZINCRBY", PREFIX + "index", MINUTE + 1, "public.t1")
        self.assertEqual(self.queue()[0][6], 2)

    def test_every_counter_is_reported_and_nothing_is_changed(self):
        protocol = (FOLDER.parent / "PROTOCOL.md").read_text(encoding="utf-8")
        stored = set(re.search(r"counters: `([^`]+)`", protocol)[1].split())
        _, counters = self.queue()
        self.assertEqual(set(counters), stored - {"lost"} | {"submitted", "paid_calls"})
        before = look(self.redis).everything
        self.queue()
        self.assertEqual(look(self.redis).everything, before)


if __name__ == "__main__":
    unittest.main()
