"""FINISH with every outcome and charge, REAP, CANCEL and ERASE."""

import hashlib
import json
import unittest

from support.resp import RedisError
from support.script_test import LAPSED_MS, LEASE_MS, URLS, ScriptTest, compact, event, image, image_failed
from support.scripts import PREFIX
from support.store import look


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
        """Outcome, images, charge -> state, paid_calls, charged. `charged` is None if there is no final event."""
        table = [
            ("done, paid", "done", 1, "known", "done", 1, "yes"),
            ("done, but the answer was cut off", "done", 1, "unknown", "done", 1, "yes"),
            ("done without an image, and paid", "done", 0, "known", "done", 1, "yes"),
            ("failed, and ARK refused", "failed", 0, "void", "failed", 0, "no"),
            ("failed, and charged without an image", "failed", 0, "known", "failed", 1, "yes"),
            ("failed with an unknown charge", "failed", 0, "unknown", "failed", 1, "unknown"),
            ("cancelled before the call", "cancelled", 0, "none", "cancelled", 0, "no"),
            ("cancelled in the call", "cancelled", 0, "unknown", "cancelled", 1, "unknown"),
            ("cancelled, and ARK refused", "cancelled", 0, "void", "cancelled", 0, "no"),
            ("retry after a void call", "retry", 0, "void", "delayed", 0, None),
            ("retry after an unknown one", "retry", 0, "unknown", "delayed", 1, None),
            ("retry without a call", "retry", 0, "none", "delayed", 0, None),
            ("deferred after a void call", "defer", 0, "void", "delayed", 0, None),
            ("deferred after an unknown one", "defer", 0, "unknown", "delayed", 1, None),
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
            self.assertEqual(task.log[-1].data.get("retryable"), charged == "no" if state in ("failed", "cancelled") else None)
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

    def test_the_fields_of_done(self):
        job = self.given(images=2)
        self.emit_failed(job, 2)
        self.finish(job, "done", "known", data='"usage":{"generated_images":2,"output_tokens":32448}')
        task = self.task()
        data = dict(task.log[-1].data)
        timing = data.pop("timing")
        self.assertEqual(data, {
            "urls": URLS, "task_id": "t1", "attempts": 1, "paid_calls": 1, "unknown_calls": 0, "cost": None, "charged": "yes",
            "generated_images": [{"index": n, "url": f"https://ark/{n}.jpeg", "size": "2048x2048"} for n in (0, 1)],
            "failed_images": [{"index": 2, "code": "ark_content_refused", "message": "refused"}],
            "usage": {"generated_images": 2, "output_tokens": 32448}})
        epoch, claimed, called, ended = (task.number(name) for name in ("epoch", "claimed_at", "called_at", "ended_at"))
        self.assertEqual(timing, {"queued_ms": claimed - epoch, "ark_ms": ended - called, "total_ms": ended - epoch})
        self.assertTrue(all(isinstance(value, int) and value >= 0 for value in timing.values()))

    def test_done_without_usage(self):
        self.finish(self.given(images=1), "done", "known")
        self.assertNotIn("usage", self.task().log[-1].data)

    def test_finish_stores_the_last_events(self):
        """Events in FINISH, after earlier events by EMIT -> the log is the same as if EMIT had stored all of them."""
        came = [event("public.t1", **image(2, size="2K"))]
        refused = [event("public.t1", **image_failed(1, "m", "c"))]
        table = [
            ("an image", 0, "done", [[1, *came]], ["image", None], "done", 1),
            ("an image after an emitted one", 1, "done", [[2, *came]], ["image", None], "done", 2),
            ("an image that EMIT has stored already", 1, "done", [[1, *came], [2, *refused]], ["image_failed", None], "done", 1),
            ("a failed slot alone", 0, "failed", [[1, *refused]], ["image_failed", None], "failed", 0),
            ("an image turns a retry into done", 0, "retry", [[1, *came]], ["image", None], "done", 1),
        ]
        for emitted, outcome, events, stages, state, images in self.cases(table):
            job = self.given(emitted)
            length = len(self.task().log)
            data = '{"code":"ark_no_images","error":"none","retryable":false}' if outcome == "failed" else ""
            arguments = (job.id, job.fence, outcome, "known", 0, data, "", *(part for event in events for part in event))
            self.assertEqual(self.run_script("finish", *arguments)[0], b"OK")
            log = self.task().log[length:]
            self.assertEqual([element.data.get("stage") for element in log], stages)
            self.assertEqual(self.task().state, state)
            self.assertEqual(len(log[-1].data.get("generated_images", [])), images)
            self.assert_changes_nothing([b"SAME"], "finish", *arguments)

    def test_the_fields_of_a_failure(self):
        self.finish(self.given(), "failed", "void", data=compact({
            "code": "ark_quota_exceeded", "error": "quota", "retryable": False,
            "more": '"request_id":"02175","ark_code":"QuotaExceeded"'}))
        self.assertEqual(self.task().log[-1].data, {
            "task_id": "t1", "error": "quota", "message": "图像生成失败", "code": "ark_quota_exceeded", "retryable": False,
            "request_id": "02175", "ark_code": "QuotaExceeded", "attempts": 1, "paid_calls": 0, "unknown_calls": 0,
            "cost": None, "charged": "no"})

    def test_the_fields_of_a_cancellation(self):
        self.finish(self.given(begun=False), "cancelled", "none")
        data = self.task().log[-1].data
        self.assertEqual((data["code"], data["message"], data["retryable"]), ("cancelled", "任务已取消", True))

    def test_an_unknown_charge_of_an_earlier_call_is_kept(self):
        self.finish(self.given(), "retry", "unknown", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.finish(job, "failed", "void")
        data = self.task().log[-1].data
        self.assertEqual((data["charged"], data["paid_calls"], data["unknown_calls"], data["attempts"], data["retryable"]),
                         ("unknown", 1, 1, 2, False))

    def test_an_earlier_unknown_call_is_reported_with_the_images(self):
        self.finish(self.given(), "retry", "unknown", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.emit_image(job)
        self.finish(job, "done", "known")
        data = self.task().log[-1].data
        self.assertEqual((data["charged"], data["paid_calls"], data["unknown_calls"]), ("yes", 2, 1))

    def test_a_retry_is_delayed(self):
        job = self.given()
        self.redis("DEL", PREFIX + "wake")
        self.finish(job, "retry", "void", delay=40_000)
        self.assertEqual(look(self.redis).wake, 1, "one worker is woken to learn the delay")
        next_ms, _ = self.claim()
        self.assertIn(next_ms, range(10_000, 40_001))
        self.assertEqual(self.task().story()[-1], "process retry")

    def test_handback_keeps_the_place_and_uses_no_attempt(self):
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
        self.assert_changes_nothing([b"LOST"], "emit", job.id, job.fence, 1, "{}")

    def test_a_deferral_is_delayed_and_uses_no_attempt(self):
        self.submit("t1")
        self.submit("t2")
        job = self.claim_one(max_attempts=1)
        self.begin(job)
        score = self.task().fields["score"]
        data = compact({"task_id": "t1", "message": 'say "code":"x"', "stage": "retrying", "code": "ark_rate_limited"})
        self.finish(job, "defer", "void", delay=60_000, data=data)
        task = self.task()
        self.assertEqual((task.state, task.number("attempt"), task.number("deferrals"), task.fields["deferred_for"], task.fields["score"]),
                         ("delayed", 0, 1, "ark_rate_limited", score))
        next_ms, jobs = self.claim(most=9)
        self.assertEqual([job.task_id for job in jobs], ["t2"])
        self.assertTrue(50_000 < next_ms <= 60_000, next_ms)
        self.redis("ZADD", PREFIX + "delayed", 5, "public.t1")
        self.submit("t3")
        self.assertEqual([job.task_id for job in self.claim(most=9)[1]], ["t1", "t3"])

    def test_only_the_queue_limit_ends_deferrals_and_the_error_names_the_reason(self):
        self.submit()
        for _ in range(30):
            job = self.claim_one(max_attempts=2)
            self.assertEqual(job.attempt, 1)
            self.begin(job)
            self.finish(job, "defer", "void", delay=-1, data=compact({"task_id": "t1", "message": "…", "code": "ark_unreachable"}))
        self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
        self.claim()
        self.assertEqual((self.task().state, self.task().fields["code"]), ("failed", "expired"))
        self.assertIn("ark_unreachable", self.task().log[-1].data["error"])

    def test_a_task_to_be_cancelled_is_not_requeued(self):
        for outcome, in self.cases([("on retry", "retry"), ("on deferral", "defer"), ("on handback", "handback")]):
            job = self.given(begun=False)
            self.run_script("cancel", job.id, "any")
            self.finish(job, outcome, "none", delay=60_000)
            self.assertEqual((self.task().state, self.task().fields["code"]), ("cancelled", "cancelled"))

    def test_a_charge_without_an_open_call_changes_no_counter(self):
        for charge, in self.cases([("void", "void"), ("unknown", "unknown"), ("known", "known")]):
            self.finish(self.given(begun=False), "failed", charge)
            task = self.task()
            self.assertEqual((task.number("paid_calls"), task.number("unknown_calls"), self.meta("paid_calls")), (0, 0, 0))

    def test_delivered_images_are_the_result_for_every_outcome(self):
        for outcome, charge in ((outcome, charge) for outcome in ("failed", "cancelled", "retry", "handback", "done")
                                for charge in ("known", "void", "unknown")):
            with self.subTest(f"{outcome}, {charge}"):
                self.fresh()
                job = self.given(images=1)
                if outcome == "retry":
                    self.cancel()
                self.assertEqual(self.finish(job, outcome, charge, delay=60_000), [b"OK", 4])
                task = self.task()
                data = task.log[-1].data
                self.assertEqual((task.state, len(data["generated_images"]), data["charged"], data["paid_calls"]),
                                 ("done", 1, "yes", 1))
                self.assertEqual((self.meta("paid_calls"), self.meta("done"), self.meta("retried")), (1, 1, 0))

    def test_zombies_change_nothing(self):
        job = self.given(images=0)
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))
        self.claim_one()
        self.assert_changes_nothing([b"LOST"], *self.finish_args(job))

    def test_invalid_data_of_a_failure_is_refused_before_any_write(self):
        job = self.given()
        before = look(self.redis).everything
        for data in ("", "{", '{"error":"\\ud800"}'):
            with self.assertRaises(RedisError):
                self.run_script(*self.finish_args(job, "failed", "void", data))
        self.assertEqual(look(self.redis).everything, before)

    def test_final_keys_expire_after_the_ttl_of_the_task(self):
        table = [("a minute", 60_000), ("a year", 31_536_000_000), ("30,000 years", 10**15)]
        for ttl, in self.cases(table):
            self.finish(self.given(ttl=ttl), "done", "known")
            for kind, left in self.task().ttl.items():
                self.assertTrue(ttl - 30_000 <= left <= ttl, f"{kind}: {left}")

    def test_expired_dead_letters_are_removed(self):
        self.redis("ZADD", PREFIX + "dead", 1, "public.long-ago")
        self.finish(self.given(), "failed", "void")
        self.assertEqual(list(look(self.redis).sets["dead"]), ["public.t1"])

    def test_a_task_without_its_request_can_end(self):
        job = self.given(images=1)
        self.redis("DEL", PREFIX + "events:public.t1")
        self.assertEqual(self.scripts(*self.finish_args(job))[0], b"OK")
        self.assertIn(b'"urls":[],', self.redis("LINDEX", PREFIX + "events:public.t1", -1))

    def test_numbering_continues_after_the_log_was_deleted(self):
        job = self.given(images=1)
        self.redis("DEL", PREFIX + "events:public.t1")
        self.assertEqual(self.scripts(*self.finish_args(job))[0], b"OK")
        _, _, _, length, elements, _ = self.scripts("read", "public.t1", 1)
        self.assertEqual((length, elements[:3], elements[3].split()[:2]), (4, [b"", b"", b""], [b"4", b"done"]))


LONG_URLS = [f"https://example.com/{'p' * 200}/{n}.jpg" for n in range(2)]
HASH = "hash"


def link(n, signature="s"):
    """As long as ARK's signed links."""
    return f"https://ark/{n}.jpeg?signature={signature * 480}"


class Kept(ScriptTest):
    """The list keeps a `done` event without long texts that it has already. Every reader gets the bytes that were published."""

    def ended(self, links, urls=URLS, failed=(), is_lost=False):
        """-> the bytes of `done` as they were published, and as the list has them"""
        self.submit(urls=urls)
        job = self.claim_one()
        self.begin(job, images=len(links) + len(failed))
        *early, last = enumerate(links)
        for index, url in early:
            self.emit_image(job, index, url)
        for index in failed:
            self.emit_failed(job, index)
        self.news.messages()
        if is_lost:
            self.emit_image(job, *last)
            self.news.messages()
            self.redis("ZADD", PREFIX + "leased", 5, job.id)
            self.scripts("reap", 0, 100, 0)
        else:
            self.scripts(*self.finish_args(job), "", job.wseq + 1, event(job.id, **image(*last)))
        (_, told), = self.news.messages()
        return told.split(b"\n")[-1], self.redis("LINDEX", PREFIX + "events:public.t1", -1)

    def as_read(self):
        """The final event's bytes, by the scripts that answer it."""
        data = [self.scripts("status", "public.t1")[4], self.scripts("story", "public.t1")[6]]
        again = self.scripts("submit", "public.t1", HASH, "{}", 2, 60_000, 100, 60_000, 100, "", 3, 0, "")
        order = self.scripts("submit_order", "o", 2, 60_000, 100, 60_000, 100, "", 3, 0, "", "", 0, "", "", 0, 0, 0, "public.t1", HASH, "{}", "", "")
        elements = [self.scripts("read", "public.t1", 1)[4], self.scripts("story", "public.t1")[3], again[3], order[1][3]]
        *before, last = (raw for raw in self.redis("LRANGE", PREFIX + "events:public.t1", 2, -1))
        self.assertTrue(all(log[:-1] == before for log in elements))
        found = {log[-1] for log in elements} | {b"%d done {\"event\":\"done\",\"data\":%b}" % (len(before) + 1, text) for text in data}
        self.assertEqual(len(found), 1, found)
        return found.pop()

    def differs(self, told):
        """Whether TAILS says that viewers who have this event lack something."""
        task, json_text = look(self.redis).tasks["public.t1"], told[told.index(b"{"):]
        return self.scripts("tails", "public.t1", task.fields["epoch"], len(task.log), hashlib.sha1(json_text).hexdigest()[:16]) != []

    def test_readers_get_the_published_bytes(self):
        long = [link(n) for n in range(3)]
        table = [
            ("short links and urls are kept as they are", ["https://ark/0.jpeg"], URLS, (), False, False),
            ("one long link", long[:1], URLS, (), False, True),
            ("three long links", long, URLS, (), False, True),
            ("a slot between them failed", [long[0], long[2]], URLS, (5,), False, True),
            ("long urls", ["https://ark/0.jpeg"], LONG_URLS, (), False, True),
            ("both", long, LONG_URLS, (), False, True),
            ("a megabyte in each", ["data:image/png;base64," + "A" * 2**20], ["data:image/png;base64," + "B" * 2**20], (), False, True),
            ("an urls that looks like one that was left out", long, ['https://x/?a="urls":@&"generated_images":@,' + "p" * 300], (), False, True),
            ("a link with bytes that done escapes", [link(0, "\u2028")], URLS, (), False, False),
            ("the end of a lost worker", long, LONG_URLS, (), True, True),
        ]
        for links, urls, failed, is_lost, is_short in self.cases(table):
            told, kept = self.ended(links, urls, failed, is_lost)
            data = json.loads(told.split(b" ", 2)[2])["data"]
            self.assertEqual(([picture["url"] for picture in data["generated_images"]], data["urls"]), (links, urls))
            self.assertEqual(kept != told, is_short)
            self.assertLess(len(kept), 1024 if is_short else 4096)
            self.assertEqual(self.as_read(), told)
            self.assertFalse(self.differs(told))
            self.assertTrue(self.differs(told.replace(b"done", b"none")))
            self.assertEqual(look(self.redis).tasks["public.t1"].log[-1].raw, told)

    def test_a_second_image_of_a_slot_gets_the_same_slot_again(self):
        self.submit()
        job = self.claim_one()
        self.begin(job, images=2)
        for url in (link(0, "a"), link(0, "b")):
            self.emit_image(job, 0, url)
        self.news.messages()
        self.scripts(*self.finish_args(job))
        (_, told), = self.news.messages()
        self.assertEqual([picture["index"] for picture in json.loads(told.split(b" ", 2)[2])["data"]["generated_images"]], [0, 1])
        self.assertEqual(self.as_read(), told)

    def test_images_of_an_earlier_call_are_not_counted(self):
        self.submit(urls=LONG_URLS)
        job = self.claim_one()
        self.begin(job)
        self.emit_failed(job, 0)
        self.finish(job, "retry", "void", delay=0)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.emit_image(job, 1, link(1))
        self.news.messages()
        self.scripts(*self.finish_args(job))
        (_, told), = self.news.messages()
        self.assertEqual(self.as_read(), told)

    def test_a_log_that_was_deleted_has_the_whole_event(self):
        self.submit(urls=LONG_URLS)
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job, 0, link(0))
        self.redis("DEL", PREFIX + "events:public.t1")
        self.news.messages()
        self.scripts(*self.finish_args(job), "", job.wseq + 1, event(job.id, **image(1, link(1))))
        (_, told), = self.news.messages()
        self.assertEqual(self.redis("LINDEX", PREFIX + "events:public.t1", -1), told.split(b"\n")[-1])
        self.assertEqual(self.as_read(), told.split(b"\n")[-1])


class Slots(ScriptTest):
    """The image lists of `done`, which every ending script builds from the slots."""

    def given(self, lines, slots):
        self.submit()
        job = self.claim_one()
        self.begin(job, images=slots)
        for line in lines:
            if line[0] == "S":
                self.emit_image(job, line[1], f"https://ark/{line[1]}-{job.wseq}.jpeg")
            else:
                self.emit_failed(job, line[1])
        return job

    def test_each_slot_is_listed_once_in_order(self):
        """Slot events, slots requested, ending script -> slots delivered, failed with their own code, failed with outcome_unknown."""
        def reap(job):
            self.lapse(job)

        def done(job):
            self.finish(job, "done", "known")

        def retry(job):
            self.finish(job, "retry", "unknown")

        table = [
            ("lost after an image and a failure", [("S", 0), ("F", 3)], 4, reap, [0], [3], [1, 2]),
            ("lost after a later image", [("S", 2), ("F", 0)], 4, reap, [2], [0], [1, 3]),
            ("lost after the last image", [("S", 3)], 4, reap, [3], [], [0, 1, 2]),
            ("lost after all images", [("S", 1), ("S", 0)], 2, reap, [0, 1], [], []),
            ("ended by the worker, in order of arrival", [("S", 2), ("S", 0), ("S", 1)], 3, done, [0, 1, 2], [], []),
            ("failures in order of arrival", [("S", 1), ("F", 2), ("F", 0)], 3, done, [1], [0, 2], []),
            ("fewer than requested", [("S", 0)], 3, done, [0], [], []),
            ("more than requested", [("S", 0), ("S", 1), ("S", 2)], 2, done, [0, 1, 2], [], []),
            ("a retry after an image", [("S", 1)], 3, retry, [1], [], [0, 2]),
            ("two images in one slot", [("S", 0), ("S", 0)], 2, done, [0, 1], [], []),
            ("an image in a slot that failed", [("F", 0), ("S", 0)], 2, done, [1], [0], []),
            ("a failure in a slot that was delivered", [("S", 0), ("F", 0)], 2, done, [0], [], []),
            ("three images in one slot", [("S", 1), ("F", 0), ("S", 1), ("S", 1)], 3, done, [1, 2, 3], [0], []),
            ("two images in one slot, and the worker was lost", [("S", 0), ("S", 0)], 3, reap, [0, 1], [], [2]),
        ]
        for lines, slots, end, delivered, failed, unknown in self.cases(table):
            end(self.given(lines, slots))
            data = self.task().log[-1].data
            self.assertEqual([image["index"] for image in data["generated_images"]], delivered)
            self.assertEqual([slot["index"] for slot in data["failed_images"]], sorted(failed + unknown))
            self.assertEqual([slot["index"] for slot in data["failed_images"] if slot["code"] == "outcome_unknown"], unknown)
            for image in data["generated_images"]:
                self.assertEqual(list(image), ["index", "url", "size"])

    def test_the_status_of_a_running_task_lists_the_slots(self):
        job = self.given([("S", 2), ("S", 2), ("F", 1)], 3)
        answer = self.scripts("status", job.id)
        self.assertEqual([[slot["index"] for slot in json.loads(text)] for text in answer[2:4]], [[0, 2], [1]])


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
            self.run_script("cancel", job.id, "any")
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        return job

    def test_every_state_of_a_job_of_a_lost_worker(self):
        """Given -> state, code, paid_calls, charged, unknown_calls."""
        def claimed(**given):
            return given

        def begun(**given):
            return {"begun": True, **given}

        table = [
            ("before the call: requeued", claimed(), "queued", None, 0, None, 0),
            ("in the call, with budget left: requeued", begun(), "queued", None, 1, None, 1),
            ("in the call, without budget: failed", begun(max_paid_calls=1), "failed", "outcome_unknown", 1, "unknown", 1),
            ("last attempt, before the call: poison", claimed(max_attempts=1), "failed", "poison", 0, "no", 0),
            ("last attempt, in the call: poison", begun(max_attempts=1), "failed", "poison", 1, "unknown", 1),
            ("with an image: done", begun(images=[0]), "done", None, 1, "yes", 1),
            ("with an image, without budget: done", begun(images=[0], max_paid_calls=1), "done", None, 1, "yes", 1),
            ("with an image, last attempt: done", begun(images=[0], max_attempts=1), "done", None, 1, "yes", 1),
            ("with an image, to be cancelled: done", begun(images=[0], cancel=True), "done", None, 1, "yes", 1),
            ("to be cancelled before the call", claimed(cancel=True), "cancelled", "cancelled", 0, "no", 0),
            ("to be cancelled in the call", begun(cancel=True), "cancelled", "cancelled", 1, "unknown", 1),
            ("with only a failed slot: requeued", begun(failed=[0]), "queued", None, 1, None, 1),
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

    def test_undelivered_slots_are_listed_as_failed(self):
        self.given(begun=True, images=[0], failed=[1], slots=4)
        self.reap()
        data = self.task().log[-1].data
        self.assertEqual(len(data["generated_images"]), 1)
        self.assertEqual([(slot["index"], slot["code"]) for slot in data["failed_images"]],
                         [(1, "ark_content_refused"), (2, "outcome_unknown"), (3, "outcome_unknown")])

    def test_an_image_with_an_unknown_number_of_slots_is_a_result(self):
        for change, in self.cases([("missing", ("HDEL", "images")), ("empty", ("HSET", "images", ""))]):
            self.given(begun=True, images=[0])
            self.redis(change[0], PREFIX + "task:public.t1", *change[1:])
            self.scripts("reap", 0, 100, 0)
            self.assertEqual(self.redis("HGET", PREFIX + "task:public.t1", "state"), b"done")

    def test_a_valid_lease_is_not_changed(self):
        self.submit()
        self.claim_one()
        self.assert_changes_nothing(0, "reap", 0, 100, 0)

    def test_after_a_gap_owners_can_renew_first(self):
        """A gap means that Redis or all workers were not running."""
        table = [("REAP every second", 1_500, 1, b"LOST"), ("no REAP for a while", 3_500, 0, b"OK"),
                 ("the clock was put back", -3_600_000, 0, b"OK")]
        for pause_ms, reaped, renewed in self.cases(table):
            self.submit()
            job = self.claim_one(lease=LAPSED_MS)
            seconds, micros = self.redis("TIME")
            asked_at = int(seconds) * 1000 + int(micros) // 1000 - pause_ms
            self.redis("HSET", PREFIX + "reaper", "asked_at", asked_at, "from", 0 if pause_ms > 0 else asked_at)
            self.assertEqual(self.run_script("reap", 0, 100, 60_000), reaped)
            self.assertEqual(self.run_script("reap", 0, 100, 60_000), 0)
            self.assertEqual(self.run_script("renew", 60_000, job.id, job.fence), [renewed])

    def test_a_lease_is_not_reaped_within_the_grace(self):
        self.submit()
        self.claim_one(lease=LAPSED_MS)
        self.assert_changes_nothing(0, "reap", 60_000, 100, 0)
        self.assertEqual(self.reap(), 1)

    def test_one_call_reaps_up_to_the_maximum(self):
        for n in range(5):
            self.submit(f"t{n}")
        self.claim(most=5, lease=LAPSED_MS)
        self.assertEqual([self.reap(most=2) for _ in range(4)], [2, 2, 1, 0])

    def test_ids_without_a_task_are_dropped_and_counted(self):
        self.redis("ZADD", PREFIX + "leased", 5, "public.ghost")
        self.assertEqual(self.scripts("reap", 0, 100, 0), 1)
        self.assertEqual((self.meta("ghost"), look(self.redis).sets["leased"]), (1, {}))

    def test_a_task_is_requeued_until_its_attempts_are_used_up(self):
        self.submit()
        for attempt in (1, 2, 3):
            self.assertEqual(self.claim_one(lease=LAPSED_MS).attempt, attempt)
            self.reap()
        self.assertEqual(self.task().story(), ["start", "process requeued", "process requeued", "error"])


class Cancel(ScriptTest):
    def test_a_queued_task_ends_at_once(self):
        self.submit()
        self.assertEqual(self.cancel(), [b"CANCELLED"])
        self.assertEqual(self.task().log[-1].data, {
            "task_id": "t1", "error": "The task was cancelled.", "message": "任务已取消", "code": "cancelled",
            "retryable": True, "attempts": 0, "paid_calls": 0, "unknown_calls": 0, "cost": None, "charged": "no"})
        self.assert_changes_nothing([b"FINAL", b"cancelled"], "cancel", "public.t1", "any")
        self.assertEqual(self.claim(), (-1, []))

    def test_a_delayed_task_ends_at_once(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "retry", "unknown", delay=60_000)
        self.assertEqual(self.cancel(), [b"CANCELLED"])
        data = self.task().log[-1].data
        self.assertEqual((data["charged"], data["unknown_calls"], data["retryable"]), ("unknown", 1, False))

    def test_a_running_task_is_marked_to_be_cancelled(self):
        self.submit()
        job = self.claim_one()
        self.assertEqual(self.cancel(), [b"ASKED"])
        self.assert_changes_nothing([b"ASKED"], "cancel", "public.t1", "any")
        self.assertEqual(self.task().state, "running")
        self.assertEqual(self.run_script("renew", LEASE_MS, job.id, job.fence), [b"CANCEL"])
        self.assertEqual(self.begin(job), [b"CANCEL"])

    def test_a_final_task_is_not_changed(self):
        for outcome, state in self.cases([("done", "done", b"done"), ("failed", "failed", b"failed")]):
            self.submit()
            self.finish(self.claim_one(), outcome, "none")
            self.assert_changes_nothing([b"FINAL", state], "cancel", "public.t1", "any")

    def test_an_unknown_task(self):
        self.assert_changes_nothing([b"NONE"], "cancel", "public.t1", "any")

    def test_mode_waiting_cancels_only_waiting_tasks(self):
        """A disconnect cancels a task that has not begun, but not a running one, which may be charged."""
        def wait():
            self.submit()

        def run():
            self.submit()
            self.claim_one()

        def retry():
            run()
            task = self.task()
            self.run_script("finish", task.id, task.fields["fence"], "retry", "none", 60_000,
                            compact({"task_id": "t1", "message": "…", "stage": "retrying"}))

        def end():
            run()
            task = self.task()
            self.run_script("finish", task.id, task.fields["fence"], "done", "none", 0, "")

        table = [
            ("a queued task is cancelled", wait, [b"CANCELLED"], "cancelled"),
            ("a delayed task is cancelled", retry, [b"CANCELLED"], "cancelled"),
            ("a running task continues", run, [b"RUNNING"], "running"),
            ("a final task is not changed", end, [b"FINAL", b"done"], "done"),
        ]
        for given, answer, state in self.cases(table):
            given()
            self.assertEqual(self.cancel(mode="waiting"), answer)
            self.assertEqual((self.task().state, self.task().fields.get("cancel")), (state, None))
            self.assert_changes_nothing([b"FINAL", b"cancelled"] if state == "cancelled" else answer, "cancel", "public.t1", "waiting")
        self.fresh()
        self.assert_changes_nothing([b"NONE"], "cancel", "public.t1", "waiting")

    def test_mode_waiting_keeps_an_earlier_cancellation(self):
        self.submit()
        job = self.claim_one()
        self.cancel()
        self.assert_changes_nothing([b"RUNNING"], "cancel", "public.t1", "waiting")
        self.assertEqual(self.begin(job), [b"CANCEL"])


class Erase(ScriptTest):
    def ended(self, outcome):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        if outcome == "done":
            self.emit_image(job)
        self.finish(job, outcome, "known")
        return job

    def test_a_final_task_is_erased_with_all_its_keys(self):
        for outcome, in self.cases([("done", "done"), ("failed", "failed"), ("cancelled", "cancelled")]):
            job = self.ended(outcome)
            self.assertEqual(self.run_script("erase", "public.t1"), [b"ERASED"])
            self.assertEqual([key for key in look(self.redis).everything if key not in ("meta", "queue", "wake")], [])
            self.assertEqual(self.meta("erased"), 1)
            self.assert_changes_nothing([b"NONE"], "erase", "public.t1")
            self.assert_changes_nothing([b"LOST"], *self.finish_args(job))

    def test_tasks_with_similar_ids_are_kept(self):
        for id in ("t1", "t11", "t"):
            self.submit(id)
            self.cancel(f"public.{id}")
        self.submit("t1", client="shop")
        self.cancel("shop.t1")
        self.run_script("erase", "public.t1")
        self.assertEqual(set(look(self.redis).tasks), {"public.t11", "public.t", "shop.t1"})

    def test_a_live_task_is_not_erased(self):
        self.submit()
        self.assert_changes_nothing([b"LIVE", b"queued"], "erase", "public.t1")
        job = self.claim_one()
        self.cancel()
        self.assert_changes_nothing([b"LIVE", b"running"], "erase", "public.t1")
        self.redis("HDEL", PREFIX + "task:public.t1", "cancel")
        self.finish(job, "retry", "none", delay=60_000)
        self.assert_changes_nothing([b"LIVE", b"delayed"], "erase", "public.t1")

    def test_an_erased_id_can_be_used_again(self):
        self.ended("failed")
        self.run_script("erase", "public.t1")
        self.assertEqual(self.submit(hash="other")[0], b"NEW")
        task = self.task()
        self.assertEqual((task.story(), task.number("attempt"), task.number("paid_calls")), (["start"], 0, 0))
        self.assertNotIn("finished", task.fields)

    def test_an_unknown_task(self):
        self.assert_changes_nothing([b"NONE"], "erase", "public.t1")


if __name__ == "__main__":
    unittest.main()
