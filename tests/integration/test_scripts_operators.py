"""The scripts for operators: RETRY, TASKS, STORY and PROCESSES, and the list of ended tasks."""

import json
import unittest

from support.script_test import URLS, ScriptTest
from support.scripts import PREFIX, Scripts
from support.store import look

MINUTE = 60_000
LOOK = 1000                 # the most tasks that one call of TASKS reads


class OperatorsTest(ScriptTest):
    def end(self, task_id="t1", outcome="failed", **options):
        self.submit(task_id, **options)
        job = self.claim_one()
        self.begin(job)
        self.finish(job, outcome, "known")
        return job


class Ended(OperatorsTest):
    def test_every_ended_task_is_listed_with_its_time(self):
        for n, outcome in enumerate(("done", "failed", "cancelled")):
            self.end(f"t{n}", outcome)
        self.submit("lives")
        ended = look(self.redis).sets["ended"]
        self.assertEqual(ended, {f"public.t{n}": self.task(f"t{n}").number("ended_at") for n in range(3)})

    def test_every_64th_end_trims_the_list_to_ten_thousand(self):
        for outcome, in self.cases([(name, name) for name in ("done", "failed", "cancelled")]):
            now_ms = int(self.redis("TIME")[0]) * 1000
            self.redis.pipeline([("ZADD", PREFIX + "index", n - now_ms, f"public.old{n}") for n in range(10_000)])
            self.redis("HSET", PREFIX + "meta", outcome, 62)
            self.end("t63", outcome)
            self.assertEqual(self.redis("ZCOUNT", PREFIX + "index", "-inf", "(0"), 10_001)
            self.end("t64", outcome)
            self.assertEqual(self.redis("ZCOUNT", PREFIX + "index", "-inf", "(0"), 10_000)
            self.assertEqual(self.redis("ZRANGE", PREFIX + "index", -1, -1), [b"public.old9997"])

    def test_every_64th_end_removes_expired_tasks_from_the_list(self):
        self.redis("ZADD", PREFIX + "index", -5, "public.long-ago")
        self.redis("HSET", PREFIX + "meta", "cancelled", 63)
        self.submit()
        self.cancel()
        self.assertEqual(set(look(self.redis).sets["ended"]), {"public.t1"})

    def test_an_erased_or_restarted_task_is_removed_from_the_list(self):
        def submit_again():
            self.redis("DEL", PREFIX + "task:public.t1")
            self.submit()

        table = [("erased", lambda: self.run_script("erase", "public.t1")), ("retried", lambda: self.run_script("retry", "public.t1", MINUTE)),
                 ("expired, and submitted again", submit_again)]
        for happens, in self.cases(table):
            self.end()
            happens()
            self.assertEqual((look(self.redis).sets["ended"], look(self.redis).sets["dead"]), ({}, {}))


class Retry(OperatorsTest):
    def retry(self, id="public.t1"):
        return self.run_script("retry", id, MINUTE)

    def test_a_retried_task_starts_with_its_request_and_limits(self):
        self.submit(trace="00-abc-def-01", max_paid_calls=3)
        new = self.task()
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "failed", "unknown")
        old = self.task()
        word, epoch = self.retry()
        task = self.task()
        self.assertEqual((word, task.fields["epoch"]), (b"NEW", epoch.decode()))
        self.assertGreater(int(epoch), old.number("epoch"))
        changed = {"epoch": epoch.decode(), "score": "2", "queue_until": str(int(epoch) + MINUTE), "earlier_paid_calls": "1",
                   "earlier_unknown_calls": "1", "cost": "null"}
        self.assertEqual(task.fields, {**new.fields, **changed})
        self.assertEqual((task.request, task.result, task.story()), (new.request, None, ["start"]))
        self.assertEqual(task.log[0].data, new.log[0].data)
        self.assertEqual(task.places, {"pending": 2.0, "index": float(epoch)})
        self.assertEqual((look(self.redis).live, self.meta("renewed"), self.meta("submitted")), ({"public": 1}, 1, 1))

    def test_a_retried_task_can_be_completed(self):
        for outcome, in self.cases([("done", "done"), ("failed", "failed"), ("cancelled", "cancelled")]):
            self.end()
            self.retry()
            job = self.claim_one()
            self.assertEqual((job.attempt, job.paid_calls, job.max_paid_calls), (1, 0, 2))
            self.assertEqual(json.loads(job.request), {"urls": URLS})
            self.begin(job)
            self.finish(job, outcome, "known")
            self.assertEqual(self.task().state, outcome)

    def test_the_charges_of_earlier_lives_are_kept(self):
        """Charges of all lives -> fields of the last life: paid, unknown, earlier paid, earlier unknown, charged, retryable."""
        table = [
            ("nothing at all", ["void", "void"], 0, 0, 0, 0, "no", True),
            ("unknown, then nothing", ["unknown", "void"], 0, 0, 1, 1, "unknown", False),
            ("unknown, twice", ["unknown", "unknown"], 1, 1, 1, 1, "unknown", False),
            ("paid for nothing, then nothing", ["known", "void"], 0, 0, 1, 0, "yes", False),
            ("three lives", ["unknown", "known", "void"], 0, 0, 2, 1, "yes", False),
            ("nothing, then unknown", ["void", "unknown"], 1, 1, 0, 0, "unknown", False),
        ]
        for charges, *expected in self.cases(table):
            self.submit()
            for n, charge in enumerate(charges):
                if n:
                    self.retry()
                job = self.claim_one()
                self.assertEqual((job.paid_calls, job.max_paid_calls), (0, 2), "each life has its own budget")
                self.begin(job)
                self.finish(job, "failed", charge)
            data = self.task().log[-1].data
            self.assertEqual([data["paid_calls"], data["unknown_calls"], data.get("earlier_paid_calls", 0),
                              data.get("earlier_unknown_calls", 0), data["charged"], data["retryable"]], expected)

    def test_the_states_that_can_be_retried(self):
        def run():
            self.submit()
            self.claim_one()

        def delay():
            self.submit()
            self.finish(self.claim_one(), "retry", "none", delay=MINUTE)

        def cancel():
            self.submit()
            self.cancel()

        table = [
            ("a failed one", self.end, b"NEW"), ("a cancelled one", cancel, b"NEW"), ("a queued one", self.submit, [b"LIVE", b"queued"]),
            ("a running one", run, [b"LIVE", b"running"]), ("a delayed one", delay, [b"LIVE", b"delayed"]),
            ("a done one", lambda: self.end(outcome="done"), [b"DONE"]), ("an unknown one", lambda: None, [b"NONE"])]
        for given, answer in self.cases(table):
            given()
            if answer == b"NEW":
                self.assertEqual(self.retry()[0], b"NEW")
                answer = [b"LIVE", b"queued"]
            self.assert_changes_nothing(answer, "retry", "public.t1", MINUTE)

    def test_the_new_epoch_is_later_even_if_the_clock_was_set_back(self):
        self.end()
        self.redis("HSET", PREFIX + "task:public.t1", "epoch", 10**13)
        self.assertEqual(self.retry(), [b"NEW", str(10**13 + 1).encode()])

    def test_workers_of_the_earlier_life_are_refused(self):
        job = self.end()
        self.retry()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))
        self.claim_one()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))
        self.assertEqual(self.begin(job), [b"LOST"])

    def test_a_retried_task_is_queued_after_its_clients_other_tasks(self):
        self.end()
        self.submit("t2")
        self.submit("t3", client="other")
        self.retry()
        self.assertEqual([job.id for job in self.claim(most=3)[1]], ["other.t3", "public.t2", "public.t1"])

    def test_a_retry_reserves_images_without_checking_the_limit(self):
        self.end(images=3, images_limit=3)
        self.submit("t2", images=3, images_limit=3)
        self.retry()
        self.assertEqual(sum(look(self.redis).images.values()), 6)
        self.assertEqual(self.submit("t3", images=1, images_limit=6)[0], b"IMAGES")
        self.cancel()
        self.cancel("public.t2")
        self.assertEqual(look(self.redis).images, {})

    def test_a_repeated_request_returns_the_retried_task(self):
        self.end()
        _, epoch = self.retry()
        self.assertEqual(self.submit()[:3], [b"SAME", epoch, b"queued"])

    def test_a_retry_on_a_full_redis_changes_nothing(self):
        self.end()
        self.redis("CONFIG", "SET", "maxmemory", 1)
        try:
            before = look(self.redis).everything
            with self.assertRaisesRegex(Exception, "OOM|memory"):
                self.scripts("retry", "public.t1", MINUTE)
            self.assertEqual(look(self.redis).everything, before)
        finally:
            self.redis("CONFIG", "SET", "maxmemory", 0)


class Tasks(OperatorsTest):
    FIELDS = ("id", "state", "epoch", "attempt", "paid_calls", "worker", "code", "claimed_at", "ended_at", "place", "model")

    def page(self, state, cursor="", limit=100, search=""):
        """Returns (cursor of the next page, rows)."""
        word, next, *rows = self.run_script("tasks", state, cursor, limit, search)
        self.assertEqual(word, b"TASKS")
        return next.decode(), [dict(zip(self.FIELDS, (value.decode() for value in row), strict=True)) for row in rows]

    def ids(self, state, **options):
        return [row["id"].partition(".")[2] for row in self.page(state, **options)[1]]

    def all_ids(self, state, limit=3, between=lambda: None, **options):
        """The ids of all pages."""
        ids, cursor = [], ""
        while True:
            cursor, rows = self.page(state, cursor, limit, **options)
            self.assertLessEqual(len(rows), limit)
            ids += [row["id"].partition(".")[2] for row in rows]
            if not cursor:
                return ids
            between()

    def one_in_each_state(self):
        self.submit("delayed")
        self.finish(self.claim_one(), "retry", "none", delay=MINUTE)
        for outcome in ("done", "failed", "cancelled"):
            self.end(outcome, outcome)
        self.submit("running")
        self.begin(self.claim_one(worker="host:7"))
        self.submit("queued")

    def test_each_state_has_its_list(self):
        self.one_in_each_state()
        table = [("queued", ["queued"]), ("delayed", ["delayed"]), ("running", ["running"]), ("done", ["done"]), ("failed", ["failed"]),
                 ("dead", ["failed"]), ("cancelled", ["cancelled"])]
        for state, ids in table:
            self.assertEqual(self.page(state)[0], "")
            self.assertEqual(self.ids(state), ids)
        self.assertEqual(set(self.ids("live")), {"delayed", "running", "queued"})
        self.assertEqual(set(self.ids("ended")), {"done", "failed", "cancelled"})

    def test_the_fields_of_a_row(self):
        self.one_in_each_state()
        rows = {state: self.page(state)[1][0] for state in ("queued", "delayed", "running", "failed")}
        tasks = {name: self.task(name) for name in rows}
        for state, row in rows.items():
            task = tasks[state]
            for field in ("state", "epoch", "attempt", "paid_calls"):
                self.assertEqual(row[field], task.fields[field])
            for field in ("worker", "code", "claimed_at", "ended_at"):
                self.assertEqual(row[field], task.fields.get(field, ""))
        self.assertEqual((rows["running"]["worker"], rows["failed"]["code"]), ("host:7", "ark_unreachable"))
        self.assertEqual([row["place"] for row in rows.values()],
                         ["1", str(int(tasks["delayed"].places["delayed"])), str(int(tasks["running"].places["leased"])), "0"])

    def test_queued_tasks_are_listed_by_place_without_gaps_between_pages(self):
        for n in range(7):
            self.submit(f"t{n}", client="ab"[n % 2])
        in_order = [id.partition(".")[2] for id in look(self.redis).sets["pending"]]
        self.assertEqual(len(in_order), 7)
        self.assertEqual(self.all_ids("queued"), in_order)
        self.assertEqual([int(row["place"]) for row in self.page("queued")[1]], list(range(1, 8)))
        self.assertEqual(self.all_ids("queued", limit=7), in_order)

    def test_tasks_removed_between_two_pages_hide_no_other(self):
        for n in range(9):
            self.submit(f"t{n}")
        ids = self.all_ids("queued", between=lambda: self.claim(most=2))
        self.assertEqual(ids, [f"t{n}" for n in range(9)])

    def test_ids_with_equal_scores_are_ordered_by_bytes(self):
        """Independent of the locale of Redis."""
        names = ["B", "a", "A", "b", "a-", "a.", "a:", "aB", "ab", "Z", "_", "0"]
        for name in names:
            self.submit(name, client=name.replace(".", "x").replace(":", "x") + "c")
        self.redis.pipeline([("ZADD", PREFIX + "pending", "XX", 7, id) for id in look(self.redis).tasks])
        cursor, ids = "", []
        while True:
            cursor, rows = self.page("queued", cursor, 1)
            ids += [row["id"] for row in rows]
            if not cursor:
                break
            self.scripts("cancel", ids[-1], "any")      # the element of the cursor no longer exists
            self.news.messages()
        self.assertEqual(ids, sorted(f"{name.replace('.', 'x').replace(':', 'x')}c.{name}" for name in names))

    def test_ended_tasks_are_listed_latest_first_while_others_end(self):
        for n in range(7):
            self.end(f"t{n}", "done" if n % 2 else "failed")
            self.redis("ZADD", PREFIX + "ended", "XX", 10**12 * 2 + n, f"public.t{n}")
        self.assertEqual(self.all_ids("ended"), [f"t{n}" for n in reversed(range(7))])
        self.assertEqual(self.all_ids("done", limit=1), ["t5", "t3", "t1"])
        cursor, rows = self.page("ended", limit=3)
        self.end("later")
        self.redis("ZADD", PREFIX + "ended", "XX", 10**12 * 2 + 9, "public.later")
        self.assertEqual(self.ids("ended", cursor=cursor), ["t3", "t2", "t1", "t0"])

    def test_running_tasks_are_listed_by_their_first_claim(self):
        for n in range(5):
            self.submit(f"t{n}")
        jobs = self.claim(most=5)[1]
        for job, claimed in zip(jobs, (50, 20, 40, 10, 30)):
            self.redis("HSET", PREFIX + "task:" + job.id, "claimed_at", claimed)

        def renew():
            self.run_script("renew", 10 * MINUTE, jobs[3].id, jobs[3].fence, jobs[1].id, jobs[1].fence)
        self.assertEqual(self.all_ids("running", limit=1, between=renew), ["t3", "t1", "t4", "t2", "t0"])

    def test_delayed_tasks_are_listed_by_due_time(self):
        for n, delay in enumerate((30_000, 10_000, 20_000)):
            self.submit(f"t{n}")
            self.finish(self.claim_one(), "retry", "none", delay=10 * MINUTE + delay)
        self.assertEqual(self.all_ids("delayed", limit=1), ["t1", "t2", "t0"])

    def test_search_matches_a_part_of_the_id(self):
        for name in ("apple.1", "pear.2", "apple.2"):
            self.submit(name, client="shop")
        self.submit("x", client="apple")
        for search, found in [("apple.", {"apple.1", "apple.2", "x"}), ("le.2", {"apple.2"}), ("p%a", set()), (".*", set()),
                              ("shop.pear", {"pear.2"}), ("", {"apple.1", "pear.2", "apple.2", "x"})]:
            with self.subTest(search):
                self.assertEqual(set(self.ids("queued", search=search)), found)

    def test_expired_tasks_are_not_listed(self):
        self.end("t1")
        self.end("t2")
        self.redis("DEL", *(PREFIX + f"{kind}:public.t1" for kind in ("task", "request", "events", "result")))
        self.assertEqual((self.ids("ended"), self.ids("failed")), (["t2"], ["t2"]))

    def test_an_invalid_cursor_is_refused(self):
        self.submit()
        for cursor in ("x", "1", ":", "1:", "x:public.t1", ":public.t1", "0x:y"):
            with self.subTest(cursor):
                self.assertEqual(self.run_script("tasks", "queued", cursor, 10, ""), [b"CURSOR"])

    def test_empty_lists(self):
        for state in ("queued", "delayed", "running", "done", "failed", "cancelled", "live", "ended", "dead"):
            self.assertEqual(self.page(state), ("", []))

    def test_nothing_is_changed(self):
        self.one_in_each_state()
        before = look(self.redis).everything
        for state in ("queued", "running", "failed", "live", "ended"):
            self.page(state, limit=1)
        self.assertEqual(look(self.redis).everything, before)

    def test_one_call_reads_a_limited_number_and_the_next_continues(self):
        self.submit_many("bulk", 2 * LOOK + 100)
        ask = lambda cursor, search: self.scripts("tasks", "queued", cursor, 200, search)
        word, cursor, *rows = ask("", "t2099")
        pages = 1
        while cursor:
            self.assertEqual(rows, [])
            word, cursor, *rows = ask(cursor, "t2099")
            pages += 1
        self.assertEqual((pages, [row[0] for row in rows]), (3, [b"bulk.t2099"]))
        self.assertEqual(len(ask("", "")) - 2, 200)

    def test_more_running_tasks_than_one_call_reads(self):
        self.submit_many("bulk", LOOK + 50)
        self.scripts("claim", "w1", MINUTE, LOOK + 50, "n", 3)
        self.news.messages()
        cursor, ids = "", set()
        while True:
            _, cursor, *rows = self.scripts("tasks", "running", cursor, 200, "")
            ids |= {row[0] for row in rows}
            if not cursor:
                break
        self.assertEqual(len(ids), LOOK + 50)


class Story(OperatorsTest):
    def story(self):
        word, row, request, log, images, failed, result, *fields = self.run_script("story", "public.t1")
        self.assertEqual(word, b"STORY")
        task = self.task()
        self.assertEqual((request, log), (task.request, [element.raw for element in task.log]))
        self.assertEqual({name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2])}, task.fields)
        self.assertEqual(row, self.run_script("tasks", task.state, "", 1, "")[2])
        return json.loads(images), json.loads(failed), result

    def test_a_running_task(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job)
        self.emit_failed(job, 1)
        images, failed, result = self.story()
        self.assertEqual(([image["url"] for image in images], [slot["index"] for slot in failed], result), (["https://ark/0.jpeg"], [1], b""))

    def test_an_ended_task(self):
        self.end(outcome="done")
        self.assertEqual(self.story(), ([], [], self.task().result))

    def test_an_unknown_task(self):
        self.assert_changes_nothing([b"NONE"], "story", "public.t1")


class Processes(ScriptTest):
    PROCESSES = "arkrelay:{processes}:"

    def setUp(self):
        super().setUp()
        self.ask = Scripts(self.redis, self.PROCESSES)

    def add(self, name, until, **fields):
        self.redis("ZADD", self.PROCESSES + "seen", until, name)
        if fields:
            self.redis("HSET", self.PROCESSES + "process:" + name, *(word for pair in fields.items() for word in pair))

    def test_only_live_processes_are_listed_with_their_fields(self):
        self.add("host:1", 10**14, role="worker", slots=4, busy=1)
        self.add("host:2", 10**14, role="gateway", threads=2)
        self.add("gone:3", 5, role="worker")
        self.add("silent:4", 10**14)
        word, now, *rows = self.ask("processes")
        self.assertEqual(word, b"PROCESSES")
        self.assertRegex(now, rb"^\d{13}$")
        found = {row[0].decode(): dict(zip(row[1::2], row[2::2])) for row in rows}
        self.assertEqual(found, {"host:1": {b"role": b"worker", b"slots": b"4", b"busy": b"1"},
                                 "host:2": {b"role": b"gateway", b"threads": b"2"}})

    def test_no_processes(self):
        self.assertEqual(len(self.ask("processes")), 2)


if __name__ == "__main__":
    unittest.main()
