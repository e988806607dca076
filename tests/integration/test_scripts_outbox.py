"""Pictures in Redis: what an image event owes, leases of copies and deletions, lanes that wait, erasure."""

import datetime
import unittest

from support.script_test import ScriptTest
from support.scripts import PREFIX, shared

DAY_MS = 86_400_000
LEASE_MS = 60_000
URL = "https://ark.example:8443/a.jpeg?sign=1"


def picture_id(n):
    return f"{n:032x}"


def image(task_id, n=1, index=0, url=URL, day=None, base="", kept=None, shown=None):
    """An event of a worker that keeps the picture: its data, and on a second line what scripts keep. shown: the event's url, if not ARK's."""
    day = day or (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=7)).strftime("%Y%m%d")
    stored = f"{base}/p/{day}/{picture_id(n)}"
    return (f'{{"task_id":"{task_id}","message":"m","stage":"image","index":{index},"image":{{"id":"{picture_id(n)}","stored_url":"{stored}",'
            f'"url":"{shown or url}","size":"2048x2048"}}}}\n{picture_id(n)} {day} {index} {kept or "owed " + url}')


class OutboxTest(ScriptTest):
    def hash(self, n=1):
        flat = self.redis("HGETALL", PREFIX + "picture:" + picture_id(n))
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2])}

    def scores(self, key):
        flat = self.redis("ZRANGE", PREFIX + key, 0, -1, "WITHSCORES")
        return {member.decode(): float(score) for member, score in zip(flat[::2], flat[1::2])}

    def lease(self, queue="copies", most=10, lane_most=4, lease=LEASE_MS, nonce="n"):
        next_ms, waiting, *entries = self.run_script("lease", queue, most, lane_most, lease, nonce)
        return next_ms, waiting, [[item.decode() if isinstance(item, bytes) else item for item in entry] for entry in entries]

    def settle(self, entry, *outcome, queue="copies"):
        return [word.decode() for word in self.run_script("settle", queue, entry[0], entry[1], *outcome)]

    def now_ms(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def task_with_pictures(self, name="t1", first=1, count=1, url=URL):
        """A task that has ended with these pictures. EMIT reports all but the last one, FINISH reports the last one."""
        self.submit(name)
        job = self.claim_one()
        self.begin(job)
        for n in range(count - 1):
            self.assertEqual(self.run_script("emit", job.id, job.fence, n + 1, image(name, first + n, n, url))[0], b"OK")
        self.assertEqual(self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", count, image(name, first + count - 1, count - 1, url))[0], b"OK")


class Owed(OutboxTest):
    def test_emit_and_finish_owe_a_copy_of_each_picture(self):
        self.task_with_pictures(count=3)
        for n in (1, 2, 3):
            kept = self.hash(n)
            self.assertEqual((kept["state"], kept["task"], kept["owner"], kept["index"], kept["url"], kept["lane"]),
                             ("owed", "public.t1", "public", str(n - 1), URL, "ark.example:8443"))
            self.assertEqual(self.task().log[int(kept["n"]) - 1].data["image"]["id"], picture_id(n))
        self.assertEqual(set(self.scores("owed:copies:ark.example:8443")), {picture_id(n) for n in (1, 2, 3)})
        self.assertEqual(list(self.scores("lanes:copies")), ["ark.example:8443"])
        done = self.task().log[-1].data
        self.assertEqual([made["id"] for made in done["generated_images"]], [picture_id(n) for n in (1, 2, 3)])
        self.assertTrue(all(made["stored_url"].endswith(made["id"]) for made in done["generated_images"]))

    def test_an_image_without_an_id_owes_nothing(self):
        self.submit("t1")
        job = self.claim_one()
        self.begin(job)
        data = '{"task_id":"t1","message":"m","stage":"image","index":0,"image":{"url":"https://ark.example/a.jpeg","size":"1x1"}}'
        self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", 1, data)
        self.assertEqual(self.redis("KEYS", PREFIX + "picture:*") + self.redis("KEYS", PREFIX + "lanes:*"), [])

    def test_a_repeated_event_owes_one_copy(self):
        self.submit("t1")
        job = self.claim_one()
        self.begin(job)
        for _ in range(2):
            self.run_script("emit", job.id, job.fence, 1, image("t1"))
        self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", 1, image("t1"))
        self.assertEqual(len(self.task().log[-1].data["generated_images"]), 1)
        self.assertEqual(len(self.scores("owed:copies:ark.example:8443")), 1)

    def test_what_is_kept_is_not_in_the_log(self):
        self.task_with_pictures(count=2)
        for element in self.task().log:
            self.assertNotIn("\n", element.raw.decode())
            self.assertNotIn("owed", element.raw.decode())

    def test_the_link_of_ark_may_be_kept_from_clients(self):
        self.submit("t1")
        job = self.claim_one()
        self.begin(job)
        self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", 1, image("t1", shown="https://p.example/x"))
        self.assertEqual(self.task().log[-1].data["generated_images"][0]["url"], "https://p.example/x")
        self.assertEqual((self.hash()["url"], self.hash()["state"]), (URL, "owed"))

    def test_a_picture_that_came_as_bytes_is_stored_already(self):
        for how in ("emit", "finish"):
            with self.subTest(how):
                self.fresh()
                self.submit("t1")
                job = self.claim_one()
                self.begin(job)
                data = image("t1", kept="stored image/png 5 " + "a" * 64 + " s3 host bucket/a prefix/")
                if how == "emit":
                    self.run_script("emit", job.id, job.fence, 1, data)
                self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", *((1, data) if how == "finish" else ()))
                kept = self.hash()
                self.assertEqual((kept["state"], kept["type"], kept["bytes"], kept["sha256"], kept["storage"], kept["owner"], kept["index"]),
                                 ("stored", "image/png", "5", "a" * 64, "s3 host bucket/a prefix/", "public", "0"))
                self.assertEqual(self.lease(), (-1, 0, []))
                self.assertTrue(8 * DAY_MS < self.redis("PTTL", PREFIX + "picture:" + picture_id(1)) <= 9 * DAY_MS)

    def test_a_picture_that_may_be_stored_owes_its_deletion(self):
        """Its event has the bytes. The deletion is due when no late write can follow."""
        for how in ("emit", "finish"):
            with self.subTest(how):
                self.fresh()
                self.submit("t1")
                job = self.claim_one()
                self.begin(job)
                day = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=7)).strftime("%Y%m%d")
                data = ('{"task_id":"t1","message":"m","stage":"image","index":0,"image":{"url":"data:image/png;base64,AAAA","size":"2048x2048"}}\n'
                        f"{picture_id(1)} {day} 0 erased")
                if how == "emit":
                    self.run_script("emit", job.id, job.fence, 1, data)
                self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", *((1, data) if how == "finish" else ()))
                kept = self.hash()
                self.assertEqual((kept["state"], kept["owner"], kept["day"], kept["index"]), ("erased", "public", day, "0"))
                due = self.scores("owed:deletions:storage")[picture_id(1)]
                self.assertTrue(240_000 < due - self.now_ms() <= 300_000)
                self.assertEqual((self.lease()[2], self.lease("deletions")[2]), ([], []))
                self.redis("ZADD", PREFIX + "owed:deletions:storage", 1, picture_id(1))
                self.redis("ZADD", PREFIX + "lanes:deletions", 1, "storage")
                [entry] = self.lease("deletions")[2]
                self.assertEqual((entry[0], entry[3:]), (picture_id(1), ["public", day, ""]))
                self.assertTrue(8 * DAY_MS < self.redis("PTTL", PREFIX + "picture:" + picture_id(1)) <= 9 * DAY_MS)

    def test_a_public_url_and_a_path_of_its_own_change_nothing(self):
        self.submit("t1")
        job = self.claim_one()
        self.begin(job)
        self.run_script("emit", job.id, job.fence, 1, image("t1", day="20991231", base="https://pictures.example/p/x"))
        self.assertEqual(self.hash()["day"], "20991231")

    def test_a_picture_expires_a_day_after_its_day(self):
        body = shared("base", "names", "owing", "copies") + "local ends = {} for i, day in ipairs(ARGV) do ends[i] = string.format('%d', end_of_day(day)) end return ends"
        epoch = datetime.date(1970, 1, 1)
        days = [datetime.date(1999, 12, 1) + datetime.timedelta(days=n) for n in range(0, 146_097, 97)]
        ends = [int(end) for end in self.redis("EVAL", body, 1, PREFIX, *(day.strftime("%Y%m%d") for day in days))]
        self.assertEqual(ends, [((day - epoch).days + 1) * DAY_MS for day in days])
        self.task_with_pictures()
        self.assertTrue(8 * DAY_MS < self.redis("PTTL", PREFIX + "picture:" + picture_id(1)) <= 9 * DAY_MS)


class Leases(OutboxTest):
    def test_the_link_of_a_stored_copy_is_removed(self):
        self.task_with_pictures()
        _, waiting, [entry] = self.lease()
        self.assertEqual((entry[0], entry[3], entry[5], entry[2], waiting), (picture_id(1), "public", URL, 0, 0))
        self.assertEqual(self.settle(entry, "stored", "image/jpeg", 5, "a" * 64, "directory x"), ["OK", "stored"])
        kept = self.hash()
        self.assertEqual((kept["state"], kept["type"], kept["bytes"], kept["sha256"], kept["storage"], kept["task"]),
                         ("stored", "image/jpeg", "5", "a" * 64, "directory x", "public.t1"))
        self.assertNotIn("url", kept)
        self.assertGreater(self.redis("PTTL", PREFIX + "picture:" + picture_id(1)), 8 * DAY_MS - 60_000)
        self.assertEqual(self.lease(), (-1, 0, []))
        self.assertEqual(self.settle(entry, "stored", "image/jpeg", 5, "a" * 64, "directory x"), ["LOST"])

    def test_a_lease_is_given_once_and_again_when_it_has_expired(self):
        self.task_with_pictures()
        _, _, [first] = self.lease(lease=0, nonce="a")
        _, _, [second] = self.lease(nonce="b")
        self.assertEqual((first[0], second[0], second[2]), (picture_id(1), picture_id(1), 1))
        self.assertEqual(self.lease()[2], [])
        self.assertEqual(self.settle(first, "stored", "image/png", 1, "b" * 64, "s"), ["LOST"])
        self.assertEqual(self.settle(second, "stored", "image/png", 1, "b" * 64, "s"), ["OK", "stored"])

    def test_leases_are_limited_per_lane(self):
        self.task_with_pictures("t1", 1, 3)
        self.task_with_pictures("t2", 4, 2, "http://other.example/b.png")
        _, waiting, entries = self.lease(lane_most=1)
        self.assertEqual((len({entry[5] for entry in entries}), len(entries), waiting), (2, 2, 3))
        self.assertEqual(self.lease(lane_most=1)[2], [])
        self.settle(entries[0], "stored", "image/png", 1, "b" * 64, "s")
        [third] = self.lease(lane_most=1)[2]
        self.assertEqual(third[5], entries[0][5])

    def test_leases_of_a_lost_worker_do_not_block_their_lane(self):
        self.task_with_pictures("t1", 1, 3)
        for _ in range(3):
            self.assertEqual(len(self.lease(lane_most=1, lease=0)[2]), 1)

    def test_a_host_that_fails_delays_its_own_entries_only(self):
        self.task_with_pictures("t1", 1, 3)
        self.task_with_pictures("t2", 4, 1, "http://other.example/b.png")
        _, _, entries = self.lease()
        failing = [entry for entry in entries if "ark" in entry[5]]
        for entry in failing:
            self.assertEqual(self.settle(entry, "host"), ["OK", "owed"])
        lane = dict(zip(*[iter(item.decode() for item in self.redis("HGETALL", PREFIX + "lane:copies:ark.example:8443"))] * 2))
        self.assertEqual((lane["failures"], lane["wait"], lane["running"]), ("1", "1000", "0"))
        next_ms, waiting, entries = self.lease()
        self.assertEqual((entries, waiting), ([], 3))
        self.assertTrue(0 < next_ms <= 1000)
        self.redis("HSET", PREFIX + "lane:copies:ark.example:8443", "paused_until", 0)
        self.redis("ZADD", PREFIX + "lanes:copies", 0, "ark.example:8443")
        for n in (1, 2, 3):
            self.redis("ZADD", PREFIX + "owed:copies:ark.example:8443", 0, picture_id(n))
        [probe] = self.lease()[2]
        self.settle(probe, "stored", "image/png", 1, "b" * 64, "s")
        self.assertEqual(len(self.lease()[2]), 2)

    def test_a_failure_of_an_entry_counts_as_a_try_and_one_of_the_worker_does_not(self):
        self.task_with_pictures()
        for outcome, tries in ((("later", 0), 0), (("again", 0), 1), (("later", 0), 1), (("again", 0), 2)):
            [entry] = self.lease()[2]
            self.assertEqual(self.settle(entry, *outcome), ["OK", "owed"])
            self.assertEqual(int(self.hash().get("tries", 0)), tries)
        [entry] = self.lease()[2]
        self.assertEqual(entry[2], 2)
        self.assertEqual(self.settle(entry, "failed", "not_an_image"), ["OK", "failed"])
        self.assertEqual((self.hash()["state"], self.hash()["code"]), ("failed", "not_an_image"))
        self.assertEqual(self.lease(), (-1, 0, []))

    def test_after_a_day_a_failure_is_final(self):
        for outcome in (("again", 0), ("later", 0), ("host",)):
            with self.subTest(outcome=outcome):
                self.fresh()
                self.task_with_pictures()
                self.redis("HSET", PREFIX + "picture:" + picture_id(1), "created_at", self.now_ms() - DAY_MS - 1)
                [entry] = self.lease()[2]
                self.assertEqual(self.settle(entry, *outcome), ["EXPIRED"])
                self.assertEqual((self.hash()["state"], self.hash()["code"]), ("failed", "link_expired"))


class Erased(OutboxTest):
    def erase(self, name="t1"):
        self.assertEqual(self.run_script("erase", f"public.{name}"), [b"ERASED"])

    def test_an_erased_picture_is_no_longer_copied(self):
        self.task_with_pictures(count=2)
        self.erase()
        self.assertEqual([self.hash(n)["state"] for n in (1, 2)], ["erased", "erased"])
        self.assertEqual([self.hash(n)["url"] for n in (1, 2)], ["", ""])
        self.assertEqual(self.lease()[2], [])
        self.assertEqual(len(self.lease("deletions")[2]), 2)

    def test_a_stored_picture_is_deleted(self):
        self.task_with_pictures()
        [entry] = self.lease()[2]
        self.settle(entry, "stored", "image/png", 1, "b" * 64, "s")
        self.erase()
        [entry] = self.lease("deletions")[2]
        self.assertEqual((entry[0], len(entry[4])), (picture_id(1), 8))
        self.assertEqual(self.settle(entry, "deleted", queue="deletions"), ["OK", "erased"])
        self.assertEqual(self.lease("deletions"), (-1, 0, []))
        self.assertEqual(self.run_script("picture", picture_id(1), entry[4])[1], b"erased")

    def test_a_copy_that_ends_after_the_erasure_gets_ERASED(self):
        self.task_with_pictures()
        [entry] = self.lease()[2]
        self.erase()
        next_ms, waiting, entries = self.lease("deletions")
        self.assertEqual((entries, waiting), ([], 1))
        self.assertTrue(0 < next_ms <= LEASE_MS)
        self.assertEqual(self.settle(entry, "stored", "image/png", 1, "b" * 64, "s"), ["ERASED"])
        self.assertEqual(self.hash()["state"], "erased")
        self.assertEqual(self.scores("leased:copies"), {})

    def test_an_unknown_picture_is_removed_after_its_copy(self):
        self.task_with_pictures()
        [entry] = self.lease()[2]
        self.redis("DEL", PREFIX + "picture:" + picture_id(1))
        self.assertEqual(self.settle(entry, "stored", "image/png", 1, "b" * 64, "s"), ["ERASED"])

    def test_a_picture_is_not_at_ark_after_its_link_has_ended(self):
        self.task_with_pictures()
        day, created_at = self.hash()["day"], int(self.hash()["created_at"])
        for state in ("owed", "failed"):        # owed: no worker copies pictures
            self.redis("HSET", PREFIX + "picture:" + picture_id(1), "state", state, "created_at", created_at)
            self.assertEqual(self.run_script("picture", picture_id(1), day), [b"PICTURE", state.encode(), URL.encode(), b"", b""])
            self.redis("HSET", PREFIX + "picture:" + picture_id(1), "created_at", created_at - 86400000)
            self.assertEqual(self.run_script("picture", picture_id(1), day), [b"PICTURE", state.encode(), b"", b"", b""])

    def test_a_wrong_day_finds_no_picture(self):
        self.task_with_pictures()
        self.assertEqual(self.run_script("picture", picture_id(1), "20200101"), [b"NONE"])
        self.assertEqual(self.run_script("picture", picture_id(1), self.hash()["day"]), [b"PICTURE", b"owed", URL.encode(), b"", b""])


if __name__ == "__main__":
    unittest.main()
