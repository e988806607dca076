"""The Lua transitions, each alone, against a real Redis: answers, what stands in Redis afterwards, and after every single step
the invariants of the protocol."""

import json
import unittest

from support.processes import ProcessTest
from support.redis_server import RedisServer
from support.resp import RedisError
from support.scripts import PREFIX, Scripts
from support.store import look

TTL_MS = 86_400_000
LEASE_MS = 60_000
LAPSED_MS = -1000            # a lease that has ended when it is given: nobody has to wait for it
URLS = ["https://example.com/1.jpg", "https://example.com/2.jpg"]
HOSTILE = [
    'quote " and apostrophe \'', "back\\slash", "slash / and \\/ and \\\\/", "],\"data\":[", "}}{{", "line\nfeed\r\ttab", "\x7f\x01",
    "中文，🎨", "%s %d %%", "\u2028", '{"event":"done"}', "image {}\nfailed {}", "", "null",
]


def compact(value):
    """JSON as the programs write it: raw UTF-8, no white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Job:
    """A claim's answer, as a worker holds it."""

    def __init__(self, answer):
        id, fence, self.attempt, self.request, self.paid_calls, self.max_paid_calls, epoch, trace = answer
        self.id, self.fence, self.epoch, self.trace = id.decode(), fence.decode(), int(epoch), trace.decode()
        self.task_id = self.id.partition(".")[2]
        self.wseq = 0


class ScriptTest(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.server = RedisServer()
        cls.addClassCleanup(cls.server.close)
        cls.redis = cls.server.client()
        cls.scripts = Scripts(cls.redis)
        cls.news = cls.redis.subscribe(PREFIX + "channel:*")

    def setUp(self):
        self.nonces = 0
        self.fresh()

    def fresh(self):
        self.redis("FLUSHALL")
        self.news.messages()

    # -- one step: a script, then everything that must hold after any of them

    def run_script(self, name, *args):
        before = look(self.redis)
        answer = self.scripts(name, *args)
        after = look(self.redis)
        after.check()
        self.assert_announced(before, after)
        self.assert_finals_untouched(before, after)
        return answer

    def assert_announced(self, before, after):
        announced = {}
        for channel, element in self.news.messages():
            announced.setdefault(channel.decode().removeprefix(PREFIX + "channel:"), []).append(element)
        new = {}
        for id, task in after.tasks.items():
            had = len(before.tasks[id].log) if id in before.tasks else 0
            if elements := [element.raw for element in task.log[had:]]:
                new[id] = elements
        self.assertEqual(announced, new, "the channel carries the new elements of the log, the same bytes")

    def assert_finals_untouched(self, before, after):
        for task in before.tasks.values():
            if task.is_final:
                for kind in ("task", "request", "events", "result"):
                    key = f"{kind}:{task.id}"
                    self.assertEqual(after.everything[key], before.everything[key], "final is final")

    def assert_changes_nothing(self, answer, name, *args):
        """The script answers so, twice, and everything stays as it was."""
        before = look(self.redis).everything
        for _ in range(2):
            self.assertEqual(self.run_script(name, *args), answer)
        self.assertEqual(look(self.redis).everything, before)

    # -- the scripts as their callers use them

    def submit(self, task_id="t1", urls=URLS, max_paid_calls=2, ttl=TTL_MS, queue_limit=100, queue_ttl=60_000, trace="",
               hash="hash", request=None):
        request = compact({"urls": urls}) if request is None else request
        return self.run_script("submit", f"public.{task_id}", hash, request, max_paid_calls, ttl, queue_limit, queue_ttl, trace)

    def claim(self, most=1, lease=LEASE_MS, max_attempts=3, worker="w1"):
        """(ms until the next is due, jobs)"""
        self.nonces += 1
        next_ms, *jobs = self.run_script("claim", worker, lease, most, f"{self.nonces:016x}", max_attempts)
        return next_ms, [Job(job) for job in jobs]

    def claim_one(self, **options):
        _, (job,) = self.claim(**options)
        return job

    def begin(self, job, call="call-1", images=3, lease=LEASE_MS):
        data = compact({"task_id": job.task_id, "message": "正在调用ARK模型生成图像...", "stage": "calling", "attempt": job.attempt})
        return self.run_script("begin", job.id, job.fence, call, images, lease, data)

    def emit(self, job, slot="", text="…", wseq=None):
        if wseq is None:
            job.wseq += 1
        stage = {"i": "image", "f": "image_failed"}.get(slot[:1], "calling")
        data = compact({"task_id": job.task_id, "message": text, "stage": stage})
        return self.run_script("emit", job.id, job.fence, wseq or job.wseq, data, slot)

    def emit_image(self, job, index=0, url=None):
        return self.emit(job, "image " + compact({"url": url or f"https://ark/{index}.jpeg", "size": "2048x2048"}))

    def emit_failed(self, job, index, message="refused"):
        return self.emit(job, "failed " + compact({"index": index, "code": "ark_content_refused", "message": message}))

    def finish(self, job, outcome, charge, delay=0, data=None):
        if data is None:
            data = {"done": "", "failed": compact({"code": "ark_unreachable", "error": "no route", "retryable": True}),
                    "cancelled": ""}.get(outcome, compact({"task_id": job.task_id, "message": "…", "stage": outcome}))
        return self.run_script("finish", job.id, job.fence, outcome, charge, delay, data)

    def finish_args(self, job, outcome="done", charge="known", data=""):
        return ("finish", job.id, job.fence, outcome, charge, 0, data)

    def reap(self, grace=0, most=100):
        return self.run_script("reap", grace, most)

    def task(self, task_id="t1"):
        return look(self.redis).tasks[f"public.{task_id}"]

    def meta(self, name):
        return int(look(self.redis).meta.get(name, 0))

    def cases(self, table):
        """Each row under its name, on an empty Redis."""
        for row in table:
            with self.subTest(row[0]):
                self.fresh()
                yield row[1:]


class Submit(ScriptTest):
    def test_a_new_task_waits_and_its_log_begins(self):
        answer = self.submit(trace="00-abc-def-01")
        task = self.task()
        word, epoch, state, log = answer
        self.assertEqual((word, state), (b"NEW", b"queued"))
        self.assertEqual(log, [task.log[0].raw])
        self.assertEqual(task.log[0].data, {"task_id": "t1", "message": "开始生成图像...", "position": 1})
        self.assertEqual(task.fields, {
            "state": "queued", "epoch": epoch.decode(), "hash": "hash", "score": "1", "fence": "0", "attempt": "0", "paid_calls": "0",
            "max_paid_calls": "2", "ttl": str(TTL_MS), "queue_until": str(int(epoch) + 60_000), "trace": "00-abc-def-01"})
        self.assertEqual(task.request.decode(), compact({"urls": URLS}))
        self.assertEqual(task.places, {"pending": 1.0, "index": float(epoch)})
        self.assertEqual(self.meta("submitted"), 1)

    def test_the_epoch_is_the_clock_of_redis_in_whole_ms(self):
        seconds, micros = self.redis("TIME")
        epoch = int(self.submit()[1])
        self.assertIn(epoch - (int(seconds) * 1000 + int(micros) // 1000), range(0, 30_000))

    def test_positions_count_from_one_in_order_of_arrival(self):
        for n in range(1, 4):
            answer = self.submit(f"t{n}")
            self.assertIn(b'"position":%d}' % n, answer[3][0])

    def test_without_a_trace_there_is_no_trace(self):
        self.submit()
        self.assertNotIn("trace", self.task().fields)

    def test_the_same_request_again_is_the_same_task_with_its_log(self):
        epoch = self.submit()[1]
        job = self.claim_one()
        self.begin(job)
        answer = self.submit()
        self.assertEqual(answer[:3], [b"SAME", epoch, b"running"])
        self.assertEqual(answer[3], [element.raw for element in self.task().log])
        self.assertEqual((self.meta("same"), self.meta("submitted")), (1, 1))

    def test_the_same_request_of_a_final_task_gets_its_whole_log(self):
        self.submit()
        self.run_script("cancel", "public.t1")
        answer = self.submit()
        self.assertEqual((answer[0], answer[2], len(answer[3])), (b"SAME", b"cancelled", 2))

    def test_the_same_id_with_another_request_is_a_conflict_and_changes_nothing(self):
        self.submit()
        before = look(self.redis)
        self.assertEqual(self.submit(hash="other", urls=["https://example.com/3.jpg"]), [b"CONFLICT"])
        after = look(self.redis)
        self.assertEqual(self.meta("conflict"), 1)
        self.assertEqual(after.tasks, before.tasks)
        self.assertEqual(after.wake, before.wake)

    def test_a_full_queue_refuses_the_new_and_still_answers_the_known(self):
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

    def test_a_paused_queue_refuses_the_new_and_still_answers_the_known(self):
        self.submit("t1")
        self.redis("HSET", PREFIX + "meta", "paused", "1")
        self.assertEqual(self.submit("t2"), [b"PAUSED"])
        self.assertEqual(self.submit("t1")[0], b"SAME")

    def test_leftovers_under_the_id_do_not_enter_the_new_task(self):
        self.redis("RPUSH", PREFIX + "events:public.t1", "stale")
        self.redis("SET", PREFIX + "result:public.t1", "stale")
        self.redis("ZADD", PREFIX + "dead", 1, "public.t1")
        self.submit()
        self.assertEqual(self.task().story(), ["start"])
        self.assertIsNone(self.task().result)
        self.assertNotIn("dead", self.task().places)

    def test_the_wake_list_is_bounded(self):
        for n in range(300):
            self.scripts("submit", f"public.t{n}", "hash", "{}", 2, TTL_MS, 1000, 60_000, "")
        self.news.messages()
        self.assertEqual(look(self.redis).wake, 256)

    def test_a_client_with_a_name_of_its_own_has_ids_of_its_own(self):
        self.run_script("submit", "shop.t.1", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, "")
        self.assertEqual(look(self.redis).tasks["shop.t.1"].log[0].data["task_id"], "t.1")


class Claim(ScriptTest):
    def test_an_empty_queue_gives_nothing_and_no_time_to_wait_for(self):
        self.assertEqual(self.claim(), (-1, []))

    def test_a_job_has_all_that_a_worker_needs(self):
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

    def test_the_oldest_come_first_and_not_more_than_asked_for(self):
        for n in range(5):
            self.submit(f"t{n}")
        _, jobs = self.claim(most=3)
        self.assertEqual([job.id for job in jobs], ["public.t0", "public.t1", "public.t2"])
        self.assertEqual(len({job.fence for job in jobs}), 3)
        _, jobs = self.claim(most=3)
        self.assertEqual([job.id for job in jobs], ["public.t3", "public.t4"])

    def test_a_worker_without_room_gets_nothing(self):
        self.submit()
        self.assertEqual(self.claim(most=0), (-1, []))

    def test_a_paused_queue_gives_nothing_and_still_puts_due_retries_in_their_place(self):
        self.submit("t1")
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        self.redis("HSET", PREFIX + "meta", "paused", "1")
        self.assertEqual(self.claim(), (-1, []))
        self.assertEqual(self.task().state, "queued")
        self.redis("HSET", PREFIX + "meta", "paused", "0")
        self.assertEqual(self.claim_one().id, "public.t1")

    def test_a_retry_that_is_due_goes_back_to_its_old_place(self):
        for n in range(3):
            self.submit(f"t{n}")
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        _, jobs = self.claim(most=2)
        self.assertEqual([(job.id, job.attempt) for job in jobs], [("public.t0", 2), ("public.t1", 1)])

    def test_a_retry_that_is_not_due_waits_and_the_answer_says_how_long(self):
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

    def test_a_task_that_was_tried_does_not_expire(self):
        self.submit(queue_ttl=-1)
        self.redis("HSET", PREFIX + "task:public.t1", "attempt", "1")
        self.assertEqual(self.claim_one().attempt, 2)

    def test_many_tasks_that_wait_in_vain_do_not_hold_up_one_call_and_it_says_to_come_again(self):
        for n in range(100):
            self.scripts("submit", f"public.t{n}", "hash", compact({"urls": URLS}), 2, TTL_MS, 1000, -1, "")
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

    def test_the_first_claim_stays_noted(self):
        self.submit()
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        first = self.task().fields["claimed_at"]
        self.redis("HSET", PREFIX + "task:public.t1", "claimed_at", "5")
        self.claim_one()
        self.assertEqual((len(first), self.task().fields["claimed_at"]), (13, "5"))


class Begin(ScriptTest):
    def given(self, **options):
        self.submit(**options)
        return self.claim_one()

    def test_it_counts_the_call_and_says_so_in_the_log(self):
        job = self.given()
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.assertEqual(self.begin(job, images=4), [b"OK", 1])
        task = self.task()
        self.assertEqual({name: task.fields[name] for name in ("call", "images", "paid_calls")},
                         {"call": "call-1", "images": "4", "paid_calls": "1"})
        self.assertEqual(task.places["leased"] - task.number("called_at"), LEASE_MS)
        self.assertEqual(task.log[-1].data, {"task_id": "t1", "message": "正在调用ARK模型生成图像...", "stage": "calling", "attempt": 1})

    def test_a_lease_is_never_made_shorter(self):
        job = self.given()
        self.begin(job, lease=10)
        self.assertGreater(self.task().places["leased"] - self.task().number("called_at"), 20_000)

    def test_the_same_call_again_is_fine_and_changes_nothing(self):
        job = self.given()
        self.begin(job)
        self.assert_changes_nothing([b"OK", 1], "begin", job.id, job.fence, "call-1", 3, LEASE_MS, "{}")

    def test_refusals_change_nothing(self):
        def open_call(job):
            self.begin(job)

        def cancel(job):
            self.run_script("cancel", job.id)

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
            ("Redis has forgotten it", forget, b"LOST"),
        ]
        for change, answer in self.cases(table):
            job = self.given()
            change(job)
            self.assert_changes_nothing([answer], "begin", job.id, job.fence, "call-2", 3, LEASE_MS, "{}")

    def test_a_wrong_fence_is_lost(self):
        job = self.given()
        for fence in ("0", "", job.fence + "1", "1"):
            with self.subTest(fence):
                self.assert_changes_nothing([b"LOST"], "begin", job.id, fence, "call-1", 3, LEASE_MS, "{}")

    def test_slots_that_failed_in_an_earlier_call_are_not_the_next_ones(self):
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

    def test_events_get_the_next_numbers_and_slots_are_kept(self):
        job = self.given()
        self.assertEqual(self.emit_image(job, 0), [b"OK", 3])
        self.assertEqual(self.emit_failed(job, 1), [b"OK", 4])
        self.assertEqual(self.emit(job), [b"OK", 5])
        self.assertEqual(self.task().result.decode(),
                         'image {"url":"https://ark/0.jpeg","size":"2048x2048"}\n'
                         'failed {"index":1,"code":"ark_content_refused","message":"refused"}\n')
        self.assertEqual(self.task().fields["wseq"], "3")

    def test_a_repeated_event_is_taken_once(self):
        job = self.given()
        self.emit_image(job, 0)
        self.emit_image(job, 1)
        for wseq in (1, 2):
            self.assert_changes_nothing([b"SAME"], "emit", job.id, job.fence, wseq, "{}", "image {}")

    def test_a_cancelled_one_is_still_taken_and_the_worker_told(self):
        job = self.given()
        self.run_script("cancel", job.id)
        self.assertEqual(self.emit_image(job), [b"CANCEL", 3])
        self.assertIn(b"https://ark/0.jpeg", self.task().result)

    def test_a_zombie_changes_nothing(self):
        job = self.given()
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 9, "{}", "image {}")
        self.claim_one()
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 9, "{}", "image {}")

    def test_numbers_of_a_new_attempt_begin_anew(self):
        job = self.given()
        self.emit(job)
        self.finish(job, "retry", "void", delay=-1)
        job = self.claim_one()
        self.assertEqual(self.emit(job)[0], b"OK")


class Renew(ScriptTest):
    def renew(self, *pairs, lease=LEASE_MS):
        return self.run_script("renew", lease, *pairs)

    def test_each_job_gets_its_own_answer(self):
        for n in range(4):
            self.submit(f"t{n}")
        _, jobs = self.claim(most=4, lease=5000)
        self.run_script("cancel", "public.t1")
        self.finish(jobs[2], "retry", "none", delay=60_000)
        answers = self.renew(*[word for job in jobs[:3] for word in (job.id, job.fence)], "public.t3", "0", "public.none", "1.x.1")
        self.assertEqual(answers, [b"OK", b"CANCEL", b"LOST", b"LOST", b"LOST"])
        for n, longer in enumerate((True, True, None, False)):
            task = self.task(f"t{n}")
            if longer is not None:
                self.assertEqual(task.places["leased"] - task.number("claimed_at") >= LEASE_MS, longer)

    def test_a_lease_is_never_made_shorter(self):
        self.submit()
        job = self.claim_one()
        self.assert_changes_nothing([b"OK"], "renew", 10, job.id, job.fence)

    def test_no_jobs_no_answers(self):
        self.assertEqual(self.renew(), [])

    def test_a_thousand_jobs_in_one_call(self):
        for n in range(1000):
            self.scripts("submit", f"public.t{n}", "hash", "{}", 2, TTL_MS, 10_000, 60_000, "")
        self.news.messages()
        _, jobs = self.claim(most=1000)
        words = [word for job in jobs for word in (job.id, job.fence)]
        self.assertEqual(self.renew(*words), [b"OK"] * 1000)


class Finish(ScriptTest):
    def given(self, images=0, begun=True, **options):
        self.submit(**options)
        job = self.claim_one()
        if begun:
            self.begin(job)
        for index in range(images):
            self.emit_image(job, index)
        return job

    def test_every_outcome_with_every_charge(self):
        """Outcome, images, charge -> state, paid_calls, charged; None for charged where no final event comes."""
        table = [
            ("done, paid", "done", 1, "known", "done", 1, "yes"),
            ("done although the end was cut off", "done", 1, "unknown", "done", 1, "yes"),
            ("done without an image is not charged", "done", 0, "known", "done", 1, "no"),
            ("failed, and ARK refused", "failed", 0, "void", "failed", 0, "no"),
            ("failed, and paid for nothing", "failed", 0, "known", "failed", 1, "no"),
            ("failed, and nobody knows", "failed", 0, "unknown", "failed", 1, "unknown"),
            ("cancelled before the call", "cancelled", 0, "none", "cancelled", 0, "no"),
            ("cancelled in the call", "cancelled", 0, "unknown", "cancelled", 1, "unknown"),
            ("cancelled, and ARK refused", "cancelled", 0, "void", "cancelled", 0, "no"),
            ("retry after a void call", "retry", 0, "void", "delayed", 0, None),
            ("retry after an unknown one", "retry", 0, "unknown", "delayed", 1, None),
            ("retry without a call", "retry", 0, "none", "delayed", 0, None),
            ("handed back", "handback", 0, "none", "queued", 0, None),
            ("handed back with a call that was never made", "handback", 0, "void", "queued", 0, None),
        ]
        for outcome, images, charge, state, paid_calls, charged in self.cases(table):
            job = self.given(images, begun=charge != "none")
            length = len(self.task().log)
            self.assertEqual(self.finish(job, outcome, charge, delay=60_000), [b"OK", length + 1])
            task = self.task()
            self.assertEqual((task.state, task.number("paid_calls")), (state, paid_calls))
            self.assertEqual(task.log[-1].data.get("charged"), charged)
            self.assertEqual(self.meta("paid_calls"), paid_calls)
            self.assertEqual(task.fields["finished"], job.fence)
            self.assertNotIn("call", task.fields)
            self.assert_changes_nothing([b"SAME"], "finish", job.id, job.fence, outcome, charge, 60_000, "{}")

    def test_counters(self):
        table = [(f"{outcome} is counted", outcome, counter) for outcome, counter in
                 (("done", "done"), ("failed", "failed"), ("cancelled", "cancelled"), ("retry", "retried"))]
        for outcome, counter in self.cases(table):
            self.finish(self.given(), outcome, "void", delay=60_000)
            self.assertEqual(self.meta(counter), 1)

    def test_done_tells_the_whole_story(self):
        job = self.given(images=2)
        self.emit_failed(job, 2)
        self.finish(job, "done", "known", data='"usage":{"generated_images":2,"output_tokens":32448}')
        task = self.task()
        data = task.log[-1].data
        timing = data.pop("timing")
        self.assertEqual(data, {
            "urls": URLS, "task_id": "t1", "attempts": 1, "paid_calls": 1, "charged": "yes",
            "generated_images": [{"url": f"https://ark/{n}.jpeg", "size": "2048x2048"} for n in (0, 1)],
            "failed_images": [{"index": 2, "code": "ark_content_refused", "message": "refused"}],
            "usage": {"generated_images": 2, "output_tokens": 32448}})
        epoch, claimed, called, ended = (task.number(name) for name in ("epoch", "claimed_at", "called_at", "ended_at"))
        self.assertEqual(timing, {"queued_ms": claimed - epoch, "ark_ms": ended - called, "total_ms": ended - epoch})
        self.assertTrue(all(isinstance(value, int) and value >= 0 for value in timing.values()))

    def test_done_without_usage(self):
        self.finish(self.given(images=1), "done", "known")
        self.assertNotIn("usage", self.task().log[-1].data)

    def test_failed_tells_why(self):
        self.finish(self.given(), "failed", "void", data=compact({
            "code": "ark_quota_exceeded", "error": "quota", "retryable": False,
            "more": '"request_id":"02175","ark_code":"QuotaExceeded"'}))
        self.assertEqual(self.task().log[-1].data, {
            "task_id": "t1", "error": "quota", "message": "图像生成失败", "code": "ark_quota_exceeded", "retryable": False,
            "request_id": "02175", "ark_code": "QuotaExceeded", "attempts": 1, "paid_calls": 0, "charged": "no"})

    def test_cancelled_tells_so(self):
        self.finish(self.given(begun=False), "cancelled", "none")
        data = self.task().log[-1].data
        self.assertEqual((data["code"], data["message"], data["retryable"]), ("cancelled", "任务已取消", True))

    def test_an_earlier_unknown_call_stays_unknown_to_the_end(self):
        self.finish(self.given(), "retry", "unknown", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.finish(job, "failed", "void")
        data = self.task().log[-1].data
        self.assertEqual((data["charged"], data["paid_calls"], data["attempts"]), ("unknown", 1, 2))

    def test_a_retry_waits_its_delay(self):
        job = self.given()
        self.redis("DEL", PREFIX + "wake")
        self.finish(job, "retry", "void", delay=40_000)
        self.assertEqual(look(self.redis).wake, 1, "one worker is to learn when it is due")
        next_ms, _ = self.claim()
        self.assertIn(next_ms, range(10_000, 40_001))
        self.assertEqual(self.task().story()[-1], "process retry")

    def test_a_handed_back_job_keeps_its_place_and_its_attempt_does_not_count(self):
        self.submit("t1")
        self.submit("t2")
        job = self.claim_one()
        self.redis("DEL", PREFIX + "wake")
        self.finish(job, "handback", "none")
        self.assertEqual((self.task().number("attempt"), self.task().places["pending"]), (0, 1.0))
        self.assertEqual(look(self.redis).wake, 1)
        again = self.claim_one()
        self.assertEqual((again.id, again.attempt), (job.id, 1))
        self.assertNotEqual(again.fence, job.fence)
        self.assert_changes_nothing([b"SAME"], *self.finish_args(job, "handback", "none"))
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 1, "{}", "")

    def test_a_task_to_be_cancelled_does_not_go_back(self):
        for outcome, in self.cases([("on retry", "retry"), ("on handback", "handback")]):
            job = self.given(begun=False)
            self.run_script("cancel", job.id)
            self.finish(job, outcome, "none", delay=60_000)
            self.assertEqual((self.task().state, self.task().fields["code"]), ("cancelled", "cancelled"))

    def test_a_charge_without_an_open_call_takes_nothing_back(self):
        for charge, in self.cases([("void", "void"), ("unknown", "unknown"), ("known", "known")]):
            self.finish(self.given(begun=False), "failed", charge)
            self.assertEqual((self.task().number("paid_calls"), self.task().number("unknown_calls"), self.meta("paid_calls")), (0, 0, 0))

    def test_zombies_change_nothing(self):
        job = self.given(images=0)
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))
        self.claim_one()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))

    def test_broken_data_of_a_failure_is_an_error_before_anything_is_written(self):
        job = self.given()
        before = look(self.redis).everything
        for data in ("", "{", '{"error":"\\ud800"}'):
            with self.assertRaises(RedisError):
                self.run_script(*self.finish_args(job, "failed", "void", data))
        self.assertEqual(look(self.redis).everything, before)

    def test_final_keys_live_as_long_as_the_task_says(self):
        table = [("a minute", 60_000), ("a year", 31_536_000_000), ("for ages", 10**15)]
        for ttl, in self.cases(table):
            self.finish(self.given(ttl=ttl), "done", "known")
            for kind, left in self.task().ttl.items():
                self.assertTrue(ttl - 30_000 <= left <= ttl, f"{kind}: {left}")

    def test_the_dead_are_forgotten_when_their_task_is(self):
        self.redis("ZADD", PREFIX + "dead", 1, "public.long-ago")
        self.finish(self.given(), "failed", "void")
        self.assertEqual(list(look(self.redis).sets["dead"]), ["public.t1"])

    def test_a_request_that_has_vanished_does_not_stop_the_end(self):
        job = self.given(images=1)
        self.redis("DEL", PREFIX + "request:public.t1")
        self.assertEqual(self.scripts(*self.finish_args(job))[0], b"OK")
        self.assertIn(b'"urls":[],', self.redis("GET", PREFIX + "result:public.t1"))


class Reap(ScriptTest):
    def given(self, begun=False, images=(), failed=(), cancel=False, max_paid_calls=2, max_attempts=3, slots=3):
        self.submit(max_paid_calls=max_paid_calls)
        job = self.claim_one(max_attempts=max_attempts, lease=LEASE_MS)
        if begun:
            self.begin(job, images=slots)
        for index in images:
            self.emit_image(job, index)
        for index in failed:
            self.emit_failed(job, index)
        if cancel:
            self.run_script("cancel", job.id)
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        return job

    def test_what_becomes_of_a_job_whose_worker_was_lost(self):
        """Given -> state, code, paid_calls, charged, unknown_calls."""
        table = [
            ("before the call it goes back", dict(), "queued", None, 0, None, 0),
            ("in the call, with budget left, it goes back", dict(begun=True), "queued", None, 1, None, 1),
            ("in the call, without budget, it fails", dict(begun=True, max_paid_calls=1), "failed", "outcome_unknown", 1, "unknown", 1),
            ("on its last attempt before the call it is poison", dict(max_attempts=1), "failed", "poison", 0, "no", 0),
            ("on its last attempt in the call it is poison", dict(begun=True, max_attempts=1), "failed", "poison", 1, "unknown", 1),
            ("with an image it is done", dict(begun=True, images=[0]), "done", None, 1, "yes", 1),
            ("with an image it is done, budget or not", dict(begun=True, images=[0], max_paid_calls=1), "done", None, 1, "yes", 1),
            ("with an image it is done, last attempt or not", dict(begun=True, images=[0], max_attempts=1), "done", None, 1, "yes", 1),
            ("with an image it is done, cancelled or not", dict(begun=True, images=[0], cancel=True), "done", None, 1, "yes", 1),
            ("to be cancelled before the call", dict(cancel=True), "cancelled", "cancelled", 0, "no", 0),
            ("to be cancelled in the call", dict(begun=True, cancel=True), "cancelled", "cancelled", 1, "unknown", 1),
            ("with a failed slot only it goes back", dict(begun=True, failed=[0]), "queued", None, 1, None, 1),
        ]
        for given, state, code, paid_calls, charged, unknown_calls in self.cases(table):
            job = self.given(**given)
            self.assertEqual(self.reap(), 1)
            task = self.task()
            self.assertEqual((task.state, task.fields.get("code"), task.number("paid_calls"), task.log[-1].data.get("charged"),
                              task.number("unknown_calls")), (state, code, paid_calls, charged, unknown_calls))
            self.assertEqual((self.meta("reaped"), self.meta("paid_calls")), (1, paid_calls))
            self.assertEqual(task.fields["fence"], "0")
            if state == "queued":
                self.assertEqual(task.log[-1].data["stage"], "requeued")
                self.assertEqual(task.places["pending"], 1.0)
            self.assert_changes_nothing([b"LOST"], *self.finish_args(job))
            self.assertEqual(self.run_script("renew", LEASE_MS, job.id, job.fence), [b"LOST"])
            self.assertEqual(self.reap(), 0)

    def test_slots_that_never_came_are_listed_as_failed(self):
        self.given(begun=True, images=[0], failed=[1], slots=4)
        self.reap()
        data = self.task().log[-1].data
        self.assertEqual(len(data["generated_images"]), 1)
        self.assertEqual([(slot["index"], slot["code"]) for slot in data["failed_images"]],
                         [(1, "ark_content_refused"), (2, "outcome_unknown"), (3, "outcome_unknown")])

    def test_an_image_without_a_known_number_of_slots_is_a_result_all_the_same(self):
        for change, in self.cases([("missing", ("HDEL", "images")), ("empty", ("HSET", "images", ""))]):
            self.given(begun=True, images=[0])
            self.redis(change[0], PREFIX + "task:public.t1", *change[1:])
            self.scripts("reap", 0, 100)
            self.assertEqual(self.redis("HGET", PREFIX + "task:public.t1", "state"), b"done")

    def test_a_lease_that_holds_is_left_alone(self):
        self.submit()
        self.claim_one()
        self.assert_changes_nothing(0, "reap", 0, 100)

    def test_the_grace_is_waited_for(self):
        self.submit()
        self.claim_one(lease=LAPSED_MS)
        self.assert_changes_nothing(0, "reap", 60_000, 100)
        self.assertEqual(self.reap(), 1)

    def test_no_more_than_asked_for_in_one_call(self):
        for n in range(5):
            self.submit(f"t{n}")
        self.claim(most=5, lease=LAPSED_MS)
        self.assertEqual([self.reap(most=2) for _ in range(4)], [2, 2, 1, 0])

    def test_ids_without_a_task_are_dropped_and_counted(self):
        self.redis("ZADD", PREFIX + "leased", 5, "public.ghost")
        self.assertEqual(self.scripts("reap", 0, 100), 1)
        self.assertEqual((self.meta("ghost"), look(self.redis).sets["leased"]), (1, {}))

    def test_a_task_is_tried_until_its_attempts_are_used_up(self):
        self.submit()
        for attempt in (1, 2, 3):
            self.assertEqual(self.claim_one(lease=LAPSED_MS).attempt, attempt)
            self.reap()
        self.assertEqual(self.task().story(), ["start", "process requeued", "process requeued", "error"])


class Cancel(ScriptTest):
    def cancel(self):
        return self.run_script("cancel", "public.t1")

    def test_a_queued_task_ends_at_once(self):
        self.submit()
        self.assertEqual(self.cancel(), [b"CANCELLED"])
        self.assertEqual(self.task().log[-1].data, {
            "task_id": "t1", "error": "The task was cancelled.", "message": "任务已取消", "code": "cancelled", "retryable": True,
            "attempts": 0, "paid_calls": 0, "charged": "no"})
        self.assert_changes_nothing([b"FINAL", b"cancelled"], "cancel", "public.t1")
        self.assertEqual(self.claim(), (-1, []))

    def test_a_delayed_task_ends_at_once(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "retry", "unknown", delay=60_000)
        self.assertEqual(self.cancel(), [b"CANCELLED"])
        self.assertEqual(self.task().log[-1].data["charged"], "unknown")

    def test_a_running_task_is_asked_to_end(self):
        self.submit()
        job = self.claim_one()
        self.assertEqual(self.cancel(), [b"ASKED"])
        self.assert_changes_nothing([b"ASKED"], "cancel", "public.t1")
        self.assertEqual(self.task().state, "running")
        self.assertEqual(self.run_script("renew", LEASE_MS, job.id, job.fence), [b"CANCEL"])
        self.assertEqual(self.begin(job), [b"CANCEL"])

    def test_a_final_task_stays_as_it_is(self):
        for outcome, state in self.cases([("done", "done", b"done"), ("failed", "failed", b"failed")]):
            self.submit()
            self.finish(self.claim_one(), outcome, "none")
            self.assert_changes_nothing([b"FINAL", state], "cancel", "public.t1")

    def test_no_such_task(self):
        self.assert_changes_nothing([b"NONE"], "cancel", "public.t1")


class Looks(ScriptTest):
    """READ, STATUS, READY."""

    def given(self):
        epoch = self.submit()[1]
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job)
        return epoch, job

    def test_read_gives_the_log_from_an_element_on(self):
        epoch, _ = self.given()
        log = [element.raw for element in self.task().log]
        for start in (1, 2, 3, 4, 99):
            with self.subTest(start):
                self.assertEqual(self.run_script("read", "public.t1", start), [b"LOG", epoch, b"running", 3, log[start - 1:]])

    def test_read_of_no_task(self):
        self.assert_changes_nothing([b"NONE"], "read", "public.t1", 1)

    def status(self):
        word, position, images, failed, result, *flat = self.run_script("status", "public.t1")
        self.assertEqual(word, b"TASK")
        fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2])}
        self.assertEqual(fields, self.task().fields)
        return position, json.loads(images), json.loads(failed), result

    def test_status_of_a_waiting_task_has_its_position(self):
        self.submit("t0")
        self.submit("t1")
        self.assertEqual(self.status(), (2, [], [], b""))
        self.claim_one()
        self.assertEqual(self.status(), (1, [], [], b""))

    def test_status_of_a_running_task_has_what_came_so_far(self):
        _, job = self.given()
        self.emit_failed(job, 1)
        position, images, failed, result = self.status()
        self.assertEqual((position, images, result), (0, [{"url": "https://ark/0.jpeg", "size": "2048x2048"}], b""))
        self.assertEqual(failed, [{"index": 1, "code": "ark_content_refused", "message": "refused"}])

    def test_status_of_a_final_task_has_its_result(self):
        _, job = self.given()
        self.finish(job, "done", "known")
        self.assertEqual(self.status(), (0, [], [], self.task().result))

    def test_status_of_no_task(self):
        self.assert_changes_nothing([b"NONE"], "status", "public.t1")

    def test_ready_writes_and_tells_the_time(self):
        word, now, paused = self.run_script("ready")
        self.assertEqual((word, paused, look(self.redis).meta["probed_at"]), (b"READY", 0, now.decode()))
        self.assertRegex(now, rb"^\d{13}$")
        self.redis("HSET", PREFIX + "meta", "paused", "1")
        self.assertEqual(self.run_script("ready")[2], 1)


class HostileContent(ScriptTest):
    """Whatever users and ARK write, it stays text."""

    def test_urls_come_back_as_they_were_given(self):
        self.submit(urls=[f"https://example.com/?q={text}" for text in HOSTILE])
        job = self.claim_one()
        self.assertEqual(json.loads(job.request)["urls"], [f"https://example.com/?q={text}" for text in HOSTILE])
        self.begin(job)
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(self.task().log[-1].data["urls"], [f"https://example.com/?q={text}" for text in HOSTILE])
        self.assertNotIn(b"\\/", self.task().result.replace(b"\\\\", b""))

    def test_every_text_in_every_place(self):
        for text in HOSTILE:
            with self.subTest(text):
                self.fresh()
                request = compact({"prompt": text, "urls": [text]})
                self.submit(request=request, trace=text)
                job = self.claim_one(worker=text)
                self.assertEqual((job.request.decode(), job.trace), (request, text))
                self.begin(job, call=text)
                self.emit(job, "image " + compact({"url": text, "size": text}), text)
                self.emit_failed(job, 1, text)
                self.assertEqual(self.task().log[2].data["message"], text)
                self.finish(job, "done", "known", data='"usage":' + compact({"x": text}))
                data = self.task().log[-1].data
                self.assertEqual((data["urls"], data["generated_images"], data["usage"]), ([text], [{"url": text, "size": text}], {"x": text}))
                self.assertEqual(data["failed_images"][0]["message"], text)

    def test_error_words(self):
        for text in HOSTILE:
            with self.subTest(text):
                self.fresh()
                self.submit()
                job = self.claim_one()
                self.finish(job, "failed", "none", data=compact({
                    "code": "ark_invalid_request", "error": text, "retryable": False, "more": '"ark_code":' + compact(text)}))
                data = self.task().log[-1].data
                self.assertEqual((data["error"], data["ark_code"], data["retryable"]), (text, text, False))


class FullMemory(ScriptTest):
    """Redis at maxmemory: nothing new comes in, and all that was accepted goes on to its end."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", "0")

    def fill(self):
        self.redis("CONFIG", "SET", "maxmemory", "1")

    def test_new_tasks_stay_out_and_leave_nothing(self):
        self.fill()
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.submit()
        self.assertEqual(look(self.redis).everything, {})

    def test_a_probe_says_so(self):
        self.fill()
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.run_script("ready")

    def test_an_accepted_task_reaches_its_end(self):
        self.submit()
        self.fill()
        job = self.claim_one()
        self.assertEqual(self.begin(job), [b"OK", 1])
        self.assertEqual(self.run_script("renew", 2 * LEASE_MS, job.id, job.fence), [b"OK"])
        self.assertEqual(self.emit_image(job)[0], b"OK")
        self.assertEqual(self.finish(job, "done", "known")[0], b"OK")

    def test_a_retry_a_cancel_and_a_reap_still_work(self):
        for n in range(3):
            self.submit(f"t{n}")
        self.fill()
        _, jobs = self.claim(most=2)
        self.finish(jobs[0], "retry", "none", delay=-1)
        self.assertEqual(self.run_script("cancel", "public.t1"), [b"ASKED"])
        self.assertEqual(self.run_script("cancel", "public.t2"), [b"CANCELLED"])
        self.claim_one(lease=LAPSED_MS)
        self.assertEqual(self.reap(), 1)


class ManySteps(ScriptTest):
    """One task from end to end as the story that its viewers see."""

    def test_retry_loss_and_success(self):
        self.submit(max_paid_calls=3)
        job = self.claim_one()
        self.begin(job, "call-1")
        self.finish(job, "retry", "void", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        job = self.claim_one()
        self.assertEqual(job.paid_calls, 1)
        self.assertEqual(self.begin(job, "call-3"), [b"OK", 2])
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(self.task().story(), ["start", "process calling", "process retry", "process calling", "process requeued",
                                               "process calling", "process image", "done"])
        data = self.task().log[-1].data
        self.assertEqual((data["attempts"], data["paid_calls"], data["charged"]), (3, 2, "yes"))

    def test_scripts_survive_a_script_flush(self):
        self.submit()
        self.redis("SCRIPT", "FLUSH")
        self.assertEqual(self.submit()[0], b"SAME")


if __name__ == "__main__":
    unittest.main()
