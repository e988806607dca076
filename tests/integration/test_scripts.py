"""SUBMIT, CLAIM, BEGIN, EMIT and RENEW, each called alone against a real Redis: the reply, the data in Redis, and after every call
the invariants of the protocol."""

import json
import re
import unittest

from support.script_test import CALLING, LEASE_MS, TTL_MS, URLS, ScriptTest, compact
from support.scripts import PREFIX
from support.store import look


class Submit(ScriptTest):
    def test_a_new_task_is_queued_with_a_log(self):
        answer = self.submit(trace="00-abc-def-01")
        task = self.task()
        word, epoch, state, log, images_left = answer
        self.assertEqual((word, state, images_left), (b"NEW", b"queued", b""))
        self.assertEqual(log, [task.log[0].raw])
        self.assertEqual(task.log[0].data, {"task_id": "t1", "message": "开始生成图像...", "position": 1})
        self.assertEqual(task.fields, {
            "state": "queued", "epoch": epoch.decode(), "hash": "hash", "score": "1", "fence": "0", "attempt": "0",
            "paid_calls": "0", "max_paid_calls": "2", "n": "1", "ttl": str(TTL_MS), "queue_until": str(int(epoch) + 60_000), "trace": "00-abc-def-01"})
        self.assertEqual(task.request.decode(), compact({"urls": URLS}))
        self.assertEqual(task.places, {"pending": 1.0, "index": float(epoch)})
        self.assertEqual(self.meta("submitted"), 1)

    def test_the_epoch_is_the_redis_time_in_ms(self):
        seconds, micros = self.redis("TIME")
        epoch = int(self.submit()[1])
        self.assertIn(epoch - (int(seconds) * 1000 + int(micros) // 1000), range(0, 30_000))

    def test_positions_count_from_one_in_order_of_arrival(self):
        for n in range(1, 4):
            answer = self.submit(f"t{n}")
            self.assertIn(b'"position":%d}' % n, answer[3][0])

    def test_no_trace_is_stored_without_one(self):
        self.submit()
        self.assertNotIn("trace", self.task().fields)

    def test_a_repeated_request_returns_the_same_task_and_its_log(self):
        epoch = self.submit()[1]
        job = self.claim_one()
        self.begin(job)
        answer = self.submit()
        self.assertEqual(answer[:3], [b"SAME", epoch, b"running"])
        self.assertEqual(answer[3], [element.raw for element in self.task().log])
        self.assertEqual((self.meta("same"), self.meta("submitted")), (1, 1))

    def test_a_repeated_request_for_a_final_task_returns_the_whole_log(self):
        self.submit()
        self.run_script("cancel", "public.t1", "any")
        answer = self.submit()
        self.assertEqual((answer[0], answer[2], len(answer[3])), (b"SAME", b"cancelled", 2))

    def test_another_request_under_the_same_id_is_a_conflict(self):
        self.submit()
        before = look(self.redis)
        self.assertEqual(self.submit(hash="other", urls=["https://example.com/3.jpg"]), [b"CONFLICT"])
        after = look(self.redis)
        self.assertEqual(self.meta("conflict"), 1)
        self.assertEqual(after.tasks, before.tasks)
        self.assertEqual(after.wake, before.wake)

    def test_a_full_queue_refuses_new_tasks_but_returns_existing_ones(self):
        self.submit("t1", queue_limit=2)
        self.submit("t2", queue_limit=2)
        self.assertEqual(self.submit("t3", queue_limit=2), [b"FULL"])
        self.assertNotIn("public.t3", look(self.redis).tasks)
        self.assertEqual(self.submit("t1", queue_limit=2)[0], b"SAME")
        self.assertEqual(self.meta("full"), 1)

    def test_delayed_tasks_count_as_waiting_and_running_ones_do_not(self):
        self.submit("t1")
        self.finish(self.claim_one(), "retry", "none", delay=60_000)
        self.assertEqual(self.submit("t2", queue_limit=1), [b"FULL"])
        self.assertEqual(self.submit("t2", queue_limit=2)[0], b"NEW")
        self.claim_one()
        self.assertEqual(self.submit("t3", queue_limit=2)[0], b"NEW")

    def test_a_paused_queue_refuses_new_tasks_but_returns_existing_ones(self):
        self.submit("t1")
        self.redis("HSET", PREFIX + "queue", "paused", "1")
        self.assertEqual(self.submit("t2"), [b"PAUSED"])
        self.assertEqual(self.submit("t1")[0], b"SAME")

    def test_old_fields_under_the_id_are_removed(self):
        self.redis("RPUSH", PREFIX + "events:public.t1", "stale")
        self.redis("HSET", PREFIX + "task:public.t1", "state", "failed", "code", "stale")
        self.redis("ZADD", PREFIX + "dead", 1, "public.t1")
        self.redis("ZADD", PREFIX + "index", -1, "public.t1")
        self.scripts("submit", "public.t1", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, 100, "")
        self.news.messages()
        look(self.redis).check()
        self.assertEqual((self.task().story(), self.task().request.decode()), (["start"], compact({"urls": URLS})))
        self.assertEqual((self.task().places, self.task().fields.get("code")), ({"pending": 1.0, "index": float(self.task().fields["epoch"])}, None))
        self.assertEqual(self.task().ttl, {"task": -1, "events": -1})

    def test_an_expiring_list_of_an_earlier_task_is_replaced(self):
        self.redis("RPUSH", PREFIX + "events:public.t1", "{}", "", "1 start {}")
        self.redis("PEXPIRE", PREFIX + "events:public.t1", 60_000)
        self.submit()
        self.assertEqual(self.task().ttl, {"task": -1, "events": -1})

    def test_the_wake_list_is_bounded(self):
        for n in range(256):
            self.scripts("submit", f"public.t{n}", "hash", "{}", 2, TTL_MS, 1000, 60_000, 1000, "")
        self.news.messages()
        self.assertEqual(look(self.redis).wake, 256)
        self.submit("one-too-many", queue_limit=1000)
        self.assertEqual(look(self.redis).wake, 128)

    def test_clients_have_separate_ids(self):
        self.run_script("submit", "shop.t.1", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, 1000, "")
        self.assertEqual(look(self.redis).tasks["shop.t.1"].log[0].data["task_id"], "t.1")


    def test_a_live_task_whose_hash_was_lost_is_replaced_and_counted_once(self):
        for place in ("pending", "delayed", "leased"):
            with self.subTest(place):
                self.fresh()
                self.submit()
                self.redis("ZREM", PREFIX + "pending", "public.t1")
                self.redis("ZADD", PREFIX + place, 7, "public.t1")
                self.redis("HSET", PREFIX + "queue", "waiting", int(place != "leased"))
                self.redis("DEL", PREFIX + "task:public.t1")
                self.assertEqual(self.scripts("submit", "public.t1", "other", "{}", 2, TTL_MS, 100, 60_000, 100, "")[0], b"NEW")
                self.news.messages()
                after = look(self.redis)
                after.check()
                self.assertEqual((after.tasks["public.t1"].story(), after.live), (["start"], {"public": 1}))


class Claim(ScriptTest):
    def test_an_empty_queue_returns_no_job_and_no_delay(self):
        self.assertEqual(self.claim(), (-1, []))

    def test_a_job_is_complete(self):
        epoch = int(self.submit(trace="00-abc-def-01")[1])
        job = self.claim_one(worker="host:7", max_attempts=5)
        task = self.task()
        self.assertEqual((job.id, job.attempt, job.paid_calls, job.max_paid_calls, job.epoch, job.trace),
                         ("public.t1", 1, 0, 2, epoch, "00-abc-def-01"))
        self.assertEqual(job.request.decode(), compact({"urls": URLS}))
        self.assertEqual(job.fence, "1.0000000000000001.1")
        self.assertEqual({name: task.fields[name] for name in ("state", "attempt", "max_attempts", "fence", "wseq", "worker")}, {
            "state": "running", "attempt": "1", "max_attempts": "5", "fence": job.fence, "wseq": "0", "worker": "host:7"})
        self.assertEqual(task.places["leased"] - task.number("claimed_at"), LEASE_MS)
        self.assertEqual(task.story(), ["start"])

    def test_the_oldest_tasks_are_claimed_first_up_to_the_maximum(self):
        for n in range(5):
            self.submit(f"t{n}")
        _, jobs = self.claim(most=3)
        self.assertEqual([job.id for job in jobs], ["public.t0", "public.t1", "public.t2"])
        self.assertEqual(len({job.fence for job in jobs}), 3)
        _, jobs = self.claim(most=3)
        self.assertEqual([job.id for job in jobs], ["public.t3", "public.t4"])

    def test_a_claim_of_zero_jobs_returns_none(self):
        self.submit()
        self.assertEqual(self.claim(most=0), (-1, []))

    def test_a_paused_queue_returns_no_job_but_requeues_due_retries(self):
        self.submit("t1")
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        self.redis("HSET", PREFIX + "queue", "paused", "1")
        self.assertEqual(self.claim(), (-1, []))
        self.assertEqual(self.task().state, "queued")
        self.redis("HSET", PREFIX + "queue", "paused", "0")
        self.assertEqual(self.claim_one().id, "public.t1")

    def test_a_due_retry_returns_to_its_old_place(self):
        for n in range(3):
            self.submit(f"t{n}")
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        _, jobs = self.claim(most=2)
        self.assertEqual([(job.id, job.attempt) for job in jobs], [("public.t0", 2), ("public.t1", 1)])

    def test_a_retry_that_is_not_due_waits_and_its_delay_is_returned(self):
        self.submit("t0")
        self.finish(self.claim_one(), "retry", "none", delay=50_000)
        next_ms, jobs = self.claim()
        self.assertEqual(jobs, [])
        self.assertIn(next_ms, range(20_000, 50_001))

    def test_due_retries_wake_other_workers(self):
        for n in range(3):
            self.submit(f"t{n}")
        _, jobs = self.claim(most=3)
        for job in jobs:
            self.finish(job, "retry", "none", delay=-1)
        self.redis("DEL", PREFIX + "wake")
        self.claim(most=1)
        self.assertGreaterEqual(look(self.redis).wake, 2)

    def test_a_task_that_waited_too_long_fails_as_expired(self):
        self.submit("t1", queue_ttl=-1)
        self.submit("t2")
        self.assertEqual(self.claim_one().id, "public.t2")
        task = self.task("t1")
        self.assertEqual((task.state, task.fields["code"]), ("failed", "expired"))
        last = task.log[-1].data
        self.assertEqual((last["retryable"], last["attempts"], last["charged"]), (True, 0, "no"))

    def test_a_task_that_was_tried_before_also_expires(self):
        self.submit("t1")
        self.submit("t2")
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "retry", "unknown", delay=-1)
        self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
        self.assertEqual(self.claim_one().id, "public.t2")
        last = self.task("t1").log[-1].data
        self.assertEqual((last["code"], last["attempts"], last["paid_calls"], last["charged"]), ("expired", 1, 1, "unknown"))

    def test_one_call_expires_a_limited_number_of_tasks_and_asks_for_another(self):
        for n in range(100):
            self.scripts("submit", f"public.t{n}", "hash", compact({"urls": URLS}), 2, TTL_MS, 1000, -1, 1000, "")
        self.news.messages()
        self.submit("last", queue_limit=1000)
        self.assertEqual(self.claim(), (0, []))
        self.assertEqual(self.claim_one().id, "public.last")
        self.assertEqual(self.meta("failed"), 100)

    def test_ids_without_a_task_are_dropped_and_counted(self):
        for place in ("pending", "delayed"):
            self.redis("ZADD", PREFIX + place, 0, "public.ghost-" + place)
        self.scripts("claim", "w1", LEASE_MS, 1, "n", 3)
        self.assertEqual(list(look(self.redis).tasks), [])
        self.assertEqual(self.meta("ghost"), 2)
        self.submit()
        self.assertEqual(self.claim_one().id, "public.t1")

    def test_the_time_of_the_first_claim_is_kept(self):
        self.submit()
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        first = self.task().fields["claimed_at"]
        self.redis("HSET", PREFIX + "task:public.t1", "claimed_at", "5")
        self.claim_one()
        self.assertEqual((len(first), self.task().fields["claimed_at"]), (13, "5"))


class RestrictedModels(ScriptTest):
    """CLAIM gets a list of restricted models. Tasks without a model use the default model, `m`."""

    def put(self, *models, prefix="t", paid_calls=()):
        """Submits t0, t1, ... with these models. None is the default model."""
        for n, model in enumerate(models):
            self.submit(f"{prefix}{n}", request=compact({**({"model": model} if model else {}), "urls": URLS}), queue_limit=10**6)
            if n in paid_calls:
                self.redis("HSET", f"{PREFIX}task:public.{prefix}{n}", "paid_calls", 1)

    def put_many(self, model, count, prefix):
        """All in one pipeline."""
        sha1 = self.scripts.sha1["submit"]
        self.scripts.load()
        self.redis.pipeline([("EVALSHA", sha1, 1, PREFIX, f"public.{prefix}{n}", "hash", compact({"model": model, "urls": URLS}), 2, TTL_MS,
                              10**6, 60_000, 10**6, "") for n in range(count)])
        self.news.messages()

    def calls_of(self, command):
        """The number of calls of this command by scripts."""
        found = re.search(rb"cmdstat_%s:calls=(\d+)" % command.encode(), self.redis("INFO", "commandstats"))
        return int(found.group(1)) if found else 0

    def taken(self, most=10, **restricted):
        return [job.task_id for job in self.claim(most=most, **restricted)[1]]

    def test_blocked_tasks_keep_their_places_and_later_tasks_are_claimed(self):
        self.put("a", "b", "a", None, "c")
        self.assertEqual(self.taken(a=0), ["t1", "t3", "t4"])
        self.assertEqual(self.blocked, {"a"})
        self.assertEqual(self.taken(a=0, b=0), [])
        self.assertEqual(self.taken(), ["t0", "t2"])

    def test_tasks_without_a_model_use_the_default_model(self):
        self.put(None, "b", "m")
        self.assertEqual(self.taken(m=0), ["t1"])
        self.assertEqual(self.blocked, {"m"})

    def test_no_more_tasks_are_claimed_than_the_model_allows(self):
        self.put("a", "a", "b", "a", "b")
        self.assertEqual(self.taken(a=2, b=1), ["t0", "t1", "t2"])
        self.assertEqual(self.blocked, {"a", "b"})
        self.assertEqual(self.taken(a=5, b=0), ["t3"])
        self.assertEqual(self.blocked, {"b"})

    def test_a_model_without_waiting_tasks_is_not_reported_as_blocked(self):
        self.put("b")
        self.assertEqual(self.taken(a=0), ["t0"])
        self.assertEqual(self.blocked, set())

    def test_a_model_named_in_the_prompt_is_ignored(self):
        request = compact({"model": "b", "prompt": 'say "model":"a"', "urls": URLS})
        self.submit("t0", request=request)
        self.submit("t1", request=compact({"prompt": '"model":"a"', "urls": URLS}))
        self.assertEqual(self.taken(a=0), ["t0", "t1"])

    def test_a_request_of_several_megabytes_is_not_read(self):
        self.submit("t0", request=compact({"max_images": 3, "model": "a", "urls": ["data:image/png;base64," + "A" * 5_000_000]}))
        before = self.calls_of("lindex")
        self.assertEqual(self.scripts("claim", "w1", LEASE_MS, 1, "n", 3, "m", "a", 0), [-1, b"a"])
        self.assertEqual(self.calls_of("lindex"), before)

    def test_a_trial_is_one_task_preferably_without_a_paid_call(self):
        self.put("a", "a", "a", "b", "a", paid_calls=(0, 1))
        self.assertEqual(self.taken(a="trial"), ["t3", "t2"])
        self.assertEqual(self.blocked, {"a"})

    def test_a_trial_takes_one_of_the_claimed_places(self):
        self.put("b", "b", "b", "a")
        self.assertEqual(self.taken(most=2, a="trial"), ["t0", "t3"])
        self.assertEqual(self.taken(most=1, a="trial"), ["t1"])

    def test_a_paused_queue_returns_no_restricted_task(self):
        self.put("a", "b")
        self.run_script("pause", 1)
        for word in (0, 5, "trial", "2 failing"):
            self.assertEqual(self.taken(most=0, a=word), [])
            self.assertEqual(self.taken(most=3, a=word), [])

    def test_a_trial_if_all_tasks_have_paid_calls(self):
        self.put("a", "a", paid_calls=(0, 1))
        self.assertEqual(self.taken(a="trial"), ["t0"])

    def test_a_trial_after_many_tasks_with_paid_calls(self):
        self.put(*["a"] * 200, paid_calls=range(150))
        self.assertEqual(self.taken(a="trial"), ["t150"])

    def test_a_trial_is_the_task_with_the_fewest_deferrals(self):
        """A task that causes its own failures must not be the trial every time."""
        self.put("a", "a", "a", "a", paid_calls=(0,))
        for task_id, deferrals in (("t1", 5), ("t2", 1), ("t3", 2)):
            self.redis("HSET", f"{PREFIX}task:public.{task_id}", "deferrals", deferrals)
        self.assertEqual([self.taken(a="trial") for _ in range(5)], [["t2"], ["t3"], ["t1"], ["t0"], []])

    def test_after_a_failure_tasks_without_a_paid_call_are_claimed_first(self):
        self.put("a", "a", "b", "a", "a", paid_calls=(0, 3))
        self.assertEqual(self.taken(most=2, a="2 failing"), ["t1", "t2"])
        self.assertEqual(self.taken(a="2 failing"), ["t4"])
        self.assertEqual(self.blocked, {"a"})
        self.assertEqual(self.taken(a="0 failing"), [])
        self.assertEqual(self.taken(a="2 failing"), ["t0"], "without others, one of them is the trial")
        self.assertEqual(self.taken(), ["t3"])

    def test_tasks_after_blocked_ones_expire(self):
        self.put("a", "b", "b")
        self.redis("HSET", f"{PREFIX}task:public.t1", "queue_until", 1)
        self.assertEqual(self.taken(a=0), ["t2"])
        self.assertEqual(self.task("t1").fields["code"], "expired")

    def test_a_blocked_queue_is_scanned_in_parts_and_keeps_its_order(self):
        self.put_many("a", 1000, "a")
        self.put_many("b", 3, "b")
        order = self.redis("ZRANGE", PREFIX + "pending", 0, -1)
        claims, taken = 0, []
        while not taken:
            claims += 1
            self.assertLessEqual(claims, 5)
            self.redis("HDEL", PREFIX + "queue", "scanned_at")
            taken = self.taken(most=2, a=0)
        self.assertEqual(taken, ["b0", "b1"])
        self.redis("HDEL", PREFIX + "queue", "scanned_at")
        self.assertEqual(self.taken(most=2, a=0), ["b2"], "it continues where it found some")
        self.assertEqual(self.redis("ZRANGE", PREFIX + "pending", 0, -1), order[:1000])
        self.put_many("b", 1, "c")
        for _ in range(6):
            self.redis("HDEL", PREFIX + "queue", "scanned_at")
            taken = self.taken(a=0) or taken
        self.assertEqual(taken, ["c0"], "it starts again from the first task")

    def test_the_scan_is_rate_limited_over_all_workers(self):
        self.put_many("a", 300, "a")
        self.taken(a=0)
        before = self.calls_of("hget")
        for _ in range(5):
            seconds, micros = self.redis("TIME")
            self.redis("HSET", PREFIX + "queue", "scanned_at", int(seconds) * 1000 + int(micros) // 1000)
            self.taken(a=0)
        self.assertEqual(self.calls_of("hget") - before, 5 * 64)


class Begin(ScriptTest):
    def given(self, **options):
        self.submit(**options)
        return self.claim_one()

    def test_the_call_is_counted_and_logged(self):
        job = self.given()
        self.assertEqual(self.begin(job, images=4), [b"OK", 1])
        task = self.task()
        self.assertEqual({name: task.fields[name] for name in ("call", "images", "paid_calls")},
                         {"call": "call-1", "images": "4", "paid_calls": "1"})
        self.assertEqual(task.log[-1].data, {"task_id": "t1", "message": CALLING, "stage": "calling", "attempt": 1})

    def test_an_old_lease_is_extended(self):
        for age, is_extended in ((LEASE_MS // 10 - 5000, False), (LEASE_MS // 10 + 1, True), (-LEASE_MS, True)):
            with self.subTest(age):
                self.fresh()
                job = self.given()
                self.redis("HINCRBY", PREFIX + "task:public.t1", "claimed_at", -age)
                self.redis("ZADD", PREFIX + "leased", 5, job.id)
                self.begin(job)
                left = self.task().places["leased"] - self.task().number("called_at")
                self.assertEqual(left == LEASE_MS, is_extended)

    def test_a_lease_is_never_shortened(self):
        job = self.given()
        self.begin(job, lease=10)
        self.assertGreater(self.task().places["leased"] - self.task().number("called_at"), 20_000)

    def test_a_repeated_begin_changes_nothing(self):
        job = self.given()
        self.begin(job)
        self.assert_changes_nothing([b"OK", 1], "begin", job.id, job.fence, "call-1", 3, LEASE_MS, "{}")

    def test_refusals_change_nothing(self):
        def open_call(job):
            self.begin(job)

        def cancel(job):
            self.run_script("cancel", job.id, "any")

        def spend(job):
            self.redis("HSET", PREFIX + "task:public.t1", "paid_calls", "2")

        def end(job):
            self.finish(job, "done", "none")

        def lapse(job):
            self.redis("ZADD", PREFIX + "leased", 5, job.id)
            self.reap()

        def forget(job):
            self.redis("FLUSHALL")

        table = [
            ("another call is open", open_call, b"LOST"),
            ("a client asked to stop it", cancel, b"CANCEL"),
            ("its budget is spent", spend, b"BUDGET"),
            ("it has ended", end, b"LOST"),
            ("its lease has lapsed", lapse, b"LOST"),
            ("its keys were deleted", forget, b"LOST"),
        ]
        for change, answer in self.cases(table):
            job = self.given()
            change(job)
            self.assert_changes_nothing([answer], "begin", job.id, job.fence, "call-2", 3, LEASE_MS, "{}")

    def test_after_many_deferrals_only_some_calls_are_logged(self):
        """Only the calls after the 1st, 2nd, 4th, 8th ... deferral are logged, so that a task that waits for hours keeps a short log."""
        self.submit()
        told = []
        for deferrals in range(20):
            job = self.claim_one()
            self.assertEqual(job.deferrals, deferrals)
            length = len(self.task().log)
            self.begin(job, f"call-{deferrals}")
            if len(self.task().log) > length:
                told.append(deferrals)
            self.finish(job, "defer", "void", delay=-1)
        self.assertEqual(told, [0, 1, 2, 4, 8, 16])
        self.assertEqual(len(self.task().log), 1 + 6 + 5)

    def test_a_wrong_fence_is_lost(self):
        job = self.given()
        for fence in ("0", "", job.fence + "1", "1"):
            with self.subTest(fence):
                self.assert_changes_nothing([b"LOST"], "begin", job.id, fence, "call-1", 3, LEASE_MS, "{}")

    def test_slots_that_failed_in_an_earlier_call_are_not_counted_in_the_next(self):
        job = self.given()
        self.begin(job)
        self.emit_failed(job, 0)
        self.finish(job, "retry", "unknown", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(json.loads(self.task().result)["failed_images"], [])


class Emit(ScriptTest):
    def given(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        return job

    def test_events_are_numbered_and_slots_are_stored(self):
        job = self.given()
        self.assertEqual(self.emit_image(job, 0), [b"OK", 3])
        self.assertEqual(self.emit_failed(job, 1), [b"OK", 4])
        self.assertEqual(self.emit(job), [b"OK", 5])
        _, _, images, failed, *_ = self.scripts("status", job.id)
        self.assertEqual((images, failed), (b'[{"index":0,"url":"https://ark/0.jpeg","size":"2048x2048"}]',
                                            b'[{"index":1,"code":"ark_content_refused","message":"refused"}]'))
        self.assertEqual((self.task().fields["wseq"], self.task().fields["n"]), ("3", "5"))

    def test_a_repeated_event_is_stored_once(self):
        job = self.given()
        self.emit_image(job, 0)
        self.emit_image(job, 1)
        for wseq in (1, 2):
            self.assert_changes_nothing([b"SAME"], "emit", job.id, job.fence, wseq, "{}")

    def test_an_event_of_a_cancelled_task_is_stored_and_the_worker_is_notified(self):
        job = self.given()
        self.run_script("cancel", job.id, "any")
        self.assertEqual(self.emit_image(job), [b"CANCEL", 3])
        self.assertEqual(self.task().kept_images, 1)

    def test_a_zombie_changes_nothing(self):
        job = self.given()
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 9, "{}")
        self.claim_one()
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 9, "{}")

    def test_sequence_numbers_restart_with_each_attempt(self):
        job = self.given()
        self.emit(job)
        self.finish(job, "retry", "void", delay=-1)
        job = self.claim_one()
        self.assertEqual(self.emit(job)[0], b"OK")


class Renew(ScriptTest):
    def renew(self, *pairs, lease=LEASE_MS):
        return self.run_script("renew", lease, *pairs)

    def test_each_job_gets_its_own_result(self):
        for n in range(4):
            self.submit(f"t{n}")
        _, jobs = self.claim(most=4, lease=5000)
        self.run_script("cancel", "public.t1", "any")
        self.finish(jobs[2], "retry", "none", delay=60_000)
        pairs = [word for job in jobs[:3] for word in (job.id, job.fence)]
        answers = self.renew(*pairs, "public.t3", "0", "public.none", "1.x.1")
        self.assertEqual(answers, [b"OK", b"CANCEL", b"LOST", b"LOST", b"LOST"])
        for n, longer in enumerate((True, True, None, False)):
            task = self.task(f"t{n}")
            if longer is not None:
                self.assertEqual(task.places["leased"] - task.number("claimed_at") >= LEASE_MS, longer)

    def test_a_lease_is_never_shortened(self):
        self.submit()
        job = self.claim_one()
        self.assert_changes_nothing([b"OK"], "renew", 10, job.id, job.fence)

    def test_an_expired_lease_is_renewed_while_the_fence_is_valid(self):
        self.submit()
        job = self.claim_one()
        self.redis("ZREM", PREFIX + "leased", job.id)
        self.assertEqual(self.renew(job.id, job.fence), [b"OK"])
        self.assertEqual(self.task().place, "leased")

    def test_without_jobs_the_reply_is_empty(self):
        self.assertEqual(self.renew(), [])

    def test_a_thousand_jobs_in_one_call(self):
        for n in range(1000):
            self.scripts("submit", f"public.t{n}", "hash", "{}", 2, TTL_MS, 10_000, 60_000, 1000, "")
        self.news.messages()
        _, jobs = self.claim(most=1000)
        words = [word for job in jobs for word in (job.id, job.fence)]
        self.assertEqual(self.renew(*words), [b"OK"] * 1000)


if __name__ == "__main__":
    unittest.main()
