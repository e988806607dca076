"""Images per day and client: reserved by SUBMIT, corrected at the end of the task, refused at the limit."""

import datetime
import unittest

from support.script_test import LAPSED_MS, TTL_MS, URLS, ScriptTest, compact
from support.scripts import PREFIX, shared
from support.store import look

DAY_MS = 86_400_000


class Days(ScriptTest):
    def day_of(self, *times_ms):
        """The UTC day of each time, by the scripts' own calculation."""
        body = shared("base", "day") + "local days = {} for i, ms in ipairs(ARGV) do days[i] = day_of(tonumber(ms)) end return days"
        return [day.decode() for day in self.redis("EVAL", body, 1, PREFIX, *times_ms)]

    def test_days_of_a_400_year_cycle_begin_and_end_correctly(self):
        first = datetime.date(1999, 12, 1)
        days = [first + datetime.timedelta(days=n) for n in range(0, 146_097, 11)]
        epoch = datetime.date(1970, 1, 1)
        starts = [(day - epoch).days * DAY_MS for day in days]
        names = [day.strftime("%Y%m%d") for day in days]
        for at in range(0, len(days), 1000):
            some, expected = starts[at:at + 1000], names[at:at + 1000]
            self.assertEqual(self.day_of(*some), expected)
            self.assertEqual(self.day_of(*(start + DAY_MS - 1 for start in some)), expected)

    def test_leap_days_and_year_ends(self):
        for text in ("20240229", "20240301", "20250228", "20250301", "20261231", "20270101", "21000228", "21000301"):
            day = datetime.datetime.strptime(text + "+0000", "%Y%m%d%z")
            self.assertEqual(self.day_of(int(day.timestamp() * 1000)), [text])


class ImagesTest(ScriptTest):
    def today(self):
        seconds, _ = self.redis("TIME")
        return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y%m%d")

    def count(self, client="public"):
        """The sum of all days, because midnight may pass while a test runs."""
        return sum(count for (_, name), count in look(self.redis).images.items() if name == client)


class Reserve(ImagesTest):
    def test_a_task_reserves_its_maximum_and_the_rest_is_returned(self):
        answer = self.submit("t1", images=4, images_limit=10)
        self.assertEqual(answer[4], b"6")
        task = self.task()
        self.assertEqual((task.fields["reserved"], self.count()), ("4", 4))
        self.assertEqual(list(look(self.redis).images), [(task.fields["day"], "public")])
        self.assertIn(self.redis("PTTL", PREFIX + "images:" + task.fields["day"]), range(2 * DAY_MS - 60_000, 2 * DAY_MS + 1))
        self.assertEqual(self.submit("t2", images=6, images_limit=10)[4], b"0")

    def test_the_day_is_today(self):
        before = self.today()
        self.submit(images=1, images_limit=1)
        self.assertIn(self.task().fields["day"], (before, self.today()))

    def test_a_refusal_writes_only_its_counter(self):
        self.submit("t1", images=4, images_limit=10)
        before = look(self.redis).everything
        word, wait = self.submit("t2", images=7, images_limit=10)
        after = look(self.redis).everything
        self.assertEqual(word, b"IMAGES")
        self.assertIn(wait, range(1, DAY_MS + 1))
        self.assertEqual({key for key in after if after[key] != before.get(key)}, {"meta"})
        self.assertEqual((self.meta("images_full"), self.meta("submitted")), (1, 1))
        self.assertEqual(self.submit("t2", images=6, images_limit=10)[0], b"NEW")

    def test_a_refusal_returns_the_time_until_midnight(self):
        before = self.redis("TIME")
        _, wait = self.submit(images=2, images_limit=1)
        now = int(before[0]) * 1000 + int(before[1]) // 1000
        self.assertIn((DAY_MS - now % DAY_MS) - wait, range(-1, 30_000))

    def test_clients_have_separate_counts(self):
        self.submit("t1", client="a", images=5, images_limit=5)
        self.assertEqual(self.submit("t2", client="a", images=1, images_limit=5)[0], b"IMAGES")
        self.assertEqual(self.submit("t2", client="b", images=5, images_limit=5)[0], b"NEW")
        self.assertEqual((self.count("a"), self.count("b")), (5, 5))

    def test_images_of_earlier_days_do_not_count(self):
        self.redis("HSET", PREFIX + "images:20200101", "public", 5)
        self.assertEqual(self.submit(images=5, images_limit=5)[0], b"NEW")

    def test_without_a_limit_nothing_is_reserved(self):
        for name, args in (("no limit", (3, 0)), ("a caller that sends no limit", ())):
            with self.subTest(name):
                self.fresh()
                answer = self.run_script("submit", "public.t1", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, 100, "", *args)
                self.assertEqual((answer[0], answer[4], self.count()), (b"NEW", b"", 0))
                self.assertFalse({"reserved", "day"} & set(self.task().fields))

    def test_a_repeated_request_reserves_nothing(self):
        self.submit(images=5, images_limit=5)
        self.assertEqual(self.submit(images=5, images_limit=5)[0], b"SAME")
        self.assertEqual(self.submit(images=5, images_limit=5, hash="other"), [b"CONFLICT"])
        self.assertEqual(self.count(), 5)

    def test_other_limits_are_checked_first(self):
        self.submit("t1", images=1, images_limit=1)
        self.assertEqual(self.submit("t2", images=1, images_limit=1, client_limit=1), [b"CLIENT_FULL"])
        self.assertEqual(self.submit("t2", images=1, images_limit=1, queue_limit=1), [b"FULL"])
        self.assertEqual(self.count(), 1)


class Return(ImagesTest):
    def test_undelivered_images_are_returned_for_every_end(self):
        def done(images):
            def end():
                job = self.claim_one()
                self.begin(job)
                for n in range(images):
                    self.emit_image(job, n)
                self.finish(job, "done", "known")
            return end

        def lost_worker(images):
            def end():
                job = self.claim_one(max_attempts=1)
                self.begin(job)
                for n in range(images):
                    self.emit_image(job, n)
                self.lapse(job)
            return end

        def by_worker(outcome):
            return lambda: self.finish(self.claim_one(), outcome, "none")

        def expire():
            self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
            self.claim()

        def cancel_running():
            job = self.claim_one(lease=LAPSED_MS)
            self.cancel()
            self.lapse(job)

        table = [
            ("all delivered", done(3), 3), ("one delivered", done(1), 1), ("none delivered", done(0), 0), ("more delivered than requested", done(5), 5),
            ("worker lost after two images", lost_worker(2), 2), ("worker lost before any image", lost_worker(0), 0),
            ("failed", by_worker("failed"), 0), ("cancelled by its worker", by_worker("cancelled"), 0),
            ("cancelled while queued", self.cancel, 0), ("cancelled while running, and the worker was lost", cancel_running, 0),
            ("expired", expire, 0)]
        for end, left in self.cases(table):
            self.submit(images=3, images_limit=100)
            self.assertEqual(self.count(), 3)
            end()
            self.assertTrue(self.task().is_final)
            self.assertEqual(self.count(), left)

    def test_a_requeued_task_keeps_its_reservation(self):
        self.submit(images=3, images_limit=3)
        self.finish(self.claim_one(), "retry", "none", delay=-1)
        self.finish(self.claim_one(), "handback", "none")
        self.lapse(self.claim_one())
        self.assertEqual((self.task().state, self.count()), ("queued", 3))

    def test_images_are_returned_to_the_day_of_the_reservation(self):
        self.submit(images=3, images_limit=3)
        day = self.task().fields["day"]
        self.redis("HSET", PREFIX + "task:public.t1", "reserved", "3 20200101")
        self.redis("HSET", PREFIX + "images:20200101", "public", 8)
        self.cancel()
        self.assertEqual(look(self.redis).images, {("20200101", "public"): 5, (day, "public"): 3})

    def test_a_return_to_an_expired_day_writes_nothing(self):
        self.submit(images=3, images_limit=3)
        self.redis("DEL", PREFIX + "images:" + self.task().fields["day"])
        self.scripts("cancel", "public.t1", "any")
        self.assertEqual(look(self.redis).images, {})

    def test_erase_returns_no_images(self):
        self.submit(images=3, images_limit=3)
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.run_script("erase", "public.t1")
        self.assertEqual(self.count(), 1)

    def test_a_repeated_finish_returns_images_once(self):
        self.submit("t1", images=3, images_limit=9)
        self.submit("t2", images=3, images_limit=9)
        job = self.claim_one()
        self.finish(job, "failed", "none")
        self.assert_changes_nothing([b"SAME"], *self.finish_args(job, "failed", "none"))
        self.assert_changes_nothing([b"FINAL", b"failed"], "cancel", "public.t1", "any")
        self.assertEqual(self.count(), 3)

    def test_audit_returns_the_reservation_of_a_broken_task(self):
        self.submit(images=3, images_limit=9)
        self.redis("HDEL", PREFIX + "task:public.t1", "state")
        self.assertEqual(self.scripts("audit", "w1", 60_000, 100), [1, 1])
        self.assertEqual(look(self.redis).images, {})

    def test_a_task_without_a_reservation_counts_nothing(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(look(self.redis).images, {})


if __name__ == "__main__":
    unittest.main()
