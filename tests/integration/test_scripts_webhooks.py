"""Webhooks in Redis: what events owe, the schedule of deliveries, hosts that fail, what operators can do, erasure."""

import hashlib
import unittest

from support.script_test import TTL_MS, URLS, ScriptTest, compact, event, image
from support.scripts import PREFIX
from support.store import look

URL = "https://Receiver.example:8443/hook?x=1"
LANE = "public.receiver.example:8443"
DAY_MS = 86_400_000


def plan(events="final", url=URL, generation=1):
    return '{"catalogue":"V","images":1,"model":"m","watermark":false,"webhook":' + compact({"events": events, "generation": generation, "url": url}) + "}"


class WebhookTest(ScriptTest):
    def submit_with(self, task_id="t1", events="final", client="public", url=URL, images_limit=0, **options):
        answer = self.run_script("submit", f"{client}.{task_id}", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, 100, "", 3, images_limit,
                                 plan(events, url, **options), "w")
        self.assertEqual(answer[0], b"NEW")

    def all_entries(self):
        for name in self.redis("KEYS", PREFIX + "entry:*"):
            flat = self.redis("HGETALL", name)
            fields = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2])}
            yield fields | {"name": name.decode().removeprefix(PREFIX + "entry:")}

    def entries(self):
        """{(n, type of the event): its hash}, of one task."""
        return {(int(entry["n"]), entry["body"].split()[1]): entry for entry in self.all_entries()}

    def waiting(self, lane=LANE):
        flat = self.redis("ZRANGE", f"{PREFIX}owed:webhooks:{lane}", 0, -1, "WITHSCORES")
        return {member.decode(): float(score) for member, score in zip(flat[::2], flat[1::2])}

    def lease(self, most=10, lane_most=4, lease=60_000, nonce="n"):
        next_ms, waiting, *entries = self.run_script("lease", "webhooks", most, lane_most, lease, nonce)
        return next_ms, waiting, [[item.decode() if isinstance(item, bytes) else item for item in entry] for entry in entries]

    def settle(self, entry, outcome="delivered", delay=0, pause=0, status=200, ms=5, code="delivered"):
        return [word.decode() for word in self.run_script("settle", "webhooks", entry[0], entry[1], outcome, delay, pause, status, ms, code)]

    def attempts(self, id="public.t1"):
        return [line.decode().split(" ") for line in self.redis("LRANGE", PREFIX + "deliveries:" + id, 0, -1)]

    def now_ms(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def end(self, task_id="t1", **options):
        self.submit_with(task_id, **options)
        job = self.claim_one()
        self.begin(job)
        self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", 1, event(job.id, **image()))
        return job

    def make_due(self, lane=LANE):
        """Everything in the lane is due now, and the lane is not paused."""
        for member in self.waiting(lane):
            self.redis("ZADD", f"{PREFIX}owed:webhooks:{lane}", self.now_ms() - 1000, member)
        self.redis("HSET", f"{PREFIX}lane:webhooks:{lane}", "paused_until", 0)
        self.redis("ZADD", PREFIX + "lanes:webhooks", 1, lane)


class Owed(WebhookTest):
    def test_the_final_event_is_owed_whole(self):
        self.end()
        task = self.task()
        [(key, entry)] = self.entries().items()
        self.assertEqual(key, (task.log[-1].n, "done"))
        self.assertEqual(entry["body"].encode(), task.log[-1].raw)
        self.assertEqual((entry["task"], entry["epoch"], entry["url"], entry["generation"], entry["lane"]),
                         ("public.t1", task.fields["epoch"], URL, "1", LANE))
        self.assertEqual(entry["name"], hashlib.sha1(f"public.t1 {task.fields['epoch']} {entry['n']}".encode()).hexdigest())
        self.assertEqual(list(self.waiting()), [entry["name"]])

    def test_without_a_webhook_nothing_is_owed(self):
        self.submit()
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "done", "known")
        self.assertEqual(self.redis("KEYS", PREFIX + "*webhooks*") + self.redis("KEYS", PREFIX + "entry:*"), [])
        self.assertNotIn("owes", self.task().fields)

    def test_events_are_chosen(self):
        for events, want in (("start", ["start"]), ("image", ["process", "process"]), ("final", ["done"]), ("start image final", ["start", "process", "process", "done"])):
            with self.subTest(events):
                self.fresh()
                self.submit_with(events=events)
                job = self.claim_one()
                self.begin(job)
                self.emit(job, **image(0))
                self.emit(job, text="nothing of interest", stage="image_failed", index=2, code="c", error="e")
                self.run_script("finish", job.id, job.fence, "done", "known", 0, "", "", 9, event(job.id, **image(1)))
                self.assertEqual([type for _, type in sorted(self.entries())], want)

    def test_every_way_to_an_end_owes_it(self):
        def finished(job):
            self.finish(job, "failed", "void")

        def reaped(job):
            self.redis("HSET", PREFIX + "task:public.t1", "max_attempts", 1)
            self.lapse(job)

        def cancelled_while_running(job):
            self.cancel()
            self.finish(job, "retry", "void")

        def retried_and_done(job):
            self.finish(job, "retry", "void")
            [second] = self.claim()[1]
            self.begin(second, call="call-2")
            self.emit(second, **image(0))
            self.finish(second, "done", "known")

        def deferred_and_failed(job):
            self.finish(job, "defer", "void", data=compact({"task_id": "t1", "message": "…", "stage": "retrying", "code": "ark_overloaded"}))
            [second] = self.claim()[1]
            self.finish(second, "failed", "none")

        for way in (finished, reaped, cancelled_while_running, retried_and_done, deferred_and_failed):
            for limit in (0, 5):            # with a limit of images the task has another field that is rare
                with self.subTest(way.__name__, limit=limit):
                    self.fresh()
                    self.submit_with(images_limit=limit)
                    way(self.claim_one())
                    self.assertTrue(self.task().is_final)
                    [(key, entry)] = self.entries().items()
                    self.assertEqual(entry["body"].encode(), self.task().log[-1].raw)

    def test_a_waiting_task_that_ends_owes_it(self):
        self.submit_with()
        self.cancel()
        self.assertEqual([type for _, type in self.entries()], ["error"])
        self.fresh()
        self.submit_with("t1")
        self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
        self.claim()
        self.assertEqual([type for _, type in self.entries()], ["error"])
        self.fresh()
        self.submit_with("t1")
        self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
        self.run_script("audit", "w1", 60_000, 100)
        self.assertEqual([type for _, type in self.entries()], ["error"])

    def test_a_task_that_runs_again_owes_its_new_events(self):
        self.submit_with(events="start final")
        self.cancel()
        self.assertEqual(self.run_script("retry", "public.t1", 60_000)[0], b"NEW")
        job = self.claim_one()
        self.begin(job)
        self.emit(job, **image(0))
        self.finish(job, "done", "known")
        self.assertEqual(sorted(entry["body"].split()[1] for entry in self.all_entries()), ["done", "error", "start", "start"])

    def test_a_repeated_event_is_owed_once(self):
        self.submit_with(events="image final")
        job = self.claim_one()
        self.begin(job)
        for _ in range(2):
            self.run_script("emit", job.id, job.fence, 1, event(job.id, **image(0)))
        for _ in range(2):
            self.finish(job, "done", "known")
        self.assertEqual(len(self.waiting()), 2)

    def test_what_is_owed_can_be_sent_however_the_url_is_written(self):
        for n, (url, lane) in enumerate((("https://a.example", "a.example"), ("HTTP://A.example?x", "a.example"), ("http://[2606:4700::1]:80/#f", "[2606:4700::1]:80"),
                                         ("https://a.example/!$&'()*+,;=:@%20-._~", "a.example"))):
            self.end(f"u{n}", url=url)
            entry = next(entry for entry in self.all_entries() if entry["task"] == f"public.u{n}")
            self.assertEqual((entry["url"], entry["lane"]), (url, f"public.{lane}"))

    def test_a_large_event_is_owed_without_its_images(self):
        self.submit_with()
        job = self.claim_one()
        self.begin(job)
        self.emit(job, **image(0, "data:image/jpeg;base64," + "A" * 400_000))
        self.finish(job, "done", "known")
        [entry] = self.entries().values()
        self.assertEqual(entry["body"], f'{entry["n"]} done {{"event":"done","data":{{"task_id":"t1","truncated":true}}}}')

    def test_lanes_are_of_a_client_and_a_host(self):
        self.end("a", client="shop")
        self.end("b", client="shop", url="https://receiver.EXAMPLE:8443/other")
        self.end("c", client="mall")
        self.assertEqual(len(self.waiting("shop.receiver.example:8443")), 2)
        self.assertEqual(len(self.waiting("mall.receiver.example:8443")), 1)

    def test_the_tasks_of_an_order_owe_too(self):
        self.run_script("submit_order", "o", 2, TTL_MS, 10, 60_000, 10, "", 1, 0, "w", "", 0, "", "", 0, 0, 0, "public.img-o", "hash", compact({"urls": URLS}), plan(), "")
        self.cancel("public.img-o")
        self.assertEqual(len(self.waiting()), 1)

    def test_the_commands_that_a_webhook_costs(self):
        def commands():
            text = self.redis("INFO", "commandstats").decode()
            return {line.split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines()
                    if line.startswith("cmdstat_") and not line.startswith(("cmdstat_eval", "cmdstat_info", "cmdstat_config", "cmdstat_script"))}

        def cost(with_webhook):
            self.fresh()
            names = ("public.t1", "hash", compact({"urls": URLS}), 2, TTL_MS, 100, 60_000, 100, "", 3, 0)
            before = commands()
            self.scripts("submit", *names, *((plan(), "w") if with_webhook else ("{}",)))
            job = self.scripts("claim", "w1", 60_000, 1, "nonce", 3, "m")[1]
            self.scripts("begin", job[0], job[1], "call-1", 1, 60_000, event("public.t1"))
            self.scripts("finish", job[0], job[1], "done", "known", 0, "", "", 1, event("public.t1", **image()))
            return {name: count - before.get(name, 0) for name, count in commands().items()}

        cost(True)
        self.assertLessEqual(sum(cost(True).values()) - sum(cost(False).values()), 3)


class Deliveries(WebhookTest):
    def test_a_delivery_leaves_only_its_attempt(self):
        self.end()
        _, waiting, [entry] = self.lease()
        task = self.task()
        self.assertEqual((entry[2], entry[3:8], waiting), (0, ["public.t1", task.fields["epoch"], task.fields["n"], URL, "1"], 0))
        self.assertEqual(self.settle(entry), ["OK", "owed"])
        [[at, name, status, ms, tries, code, next_at]] = self.attempts()
        self.assertAlmostEqual(int(at), self.now_ms(), delta=5000)
        self.assertEqual((name, status, ms, tries, code, next_at), (f"{task.fields['epoch']}-{task.fields['n']}", "200", "5", "1", "delivered", "0"))
        self.assertEqual((self.entries(), self.lease()), ({}, (-1, 0, [])))
        self.assertEqual(self.settle(entry), ["ERASED"])
        self.assertGreater(self.redis("PTTL", PREFIX + "deliveries:public.t1"), 6 * DAY_MS)

    def test_a_failure_of_its_own_waits_and_holds_up_no_other(self):
        self.end("a")
        [entry] = self.lease()[2]
        self.end("b")
        self.settle(entry, "again", delay=5000, status=500, code="http_status")
        self.assertAlmostEqual(self.waiting()[entry[0]], self.now_ms() + 5000, delta=3000)
        [other] = self.lease()[2]
        self.assertEqual(other[3], "public.b")
        self.assertEqual(self.attempts("public.a")[0][2:6], ["500", "5", "1", "http_status"])
        self.assertAlmostEqual(int(self.attempts("public.a")[0][6]), self.now_ms() + 5000, delta=3000)

    def test_a_host_that_fails_delays_its_lane_alone(self):
        for n in range(4):
            self.end(f"a{n}")
        self.end("b", url="https://other.example/")
        _, _, entries = self.lease(most=10, lane_most=2)
        self.assertEqual(len(entries), 3)
        for entry in entries:
            if "receiver" in entry[6].lower():
                self.settle(entry, "busy", delay=5000, status=0, code="unreachable")
        next_ms, waiting, more = self.lease(nonce="m")
        self.assertEqual((more, waiting), ([], 4))
        self.assertLessEqual(next_ms, 1000)
        self.make_due()
        _, _, probe = self.lease(nonce="o")
        self.assertEqual(len(probe), 1, "one at a time while the host fails")
        self.settle(probe[0])
        self.assertEqual(len(self.lease(lane_most=3, nonce="p")[2]), 3)

    def test_a_host_rests_as_long_as_it_asks(self):
        self.end("a")
        self.end("b")
        [entry] = self.lease(lane_most=1)[2]
        self.settle(entry, "busy", delay=60_000, pause=60_000, status=503, code="http_status")
        next_ms, _, entries = self.lease(nonce="m")
        self.assertEqual(entries, [])
        self.assertGreater(next_ms, 50_000)

    def test_a_lost_worker_counts_as_a_try(self):
        self.end()
        [first] = self.lease(lease=-1)[2]
        [again] = self.lease(nonce="m")[2]
        self.assertEqual((again[0], again[2]), (first[0], 1))
        self.assertEqual(self.settle(first), ["LOST"])
        self.assertEqual(self.settle(again), ["OK", "owed"])

    def test_a_drained_worker_puts_it_back(self):
        self.end()
        [entry] = self.lease()[2]
        self.run_script("settle", "webhooks", entry[0], entry[1], "later", 0)
        [again] = self.lease(nonce="m")[2]
        self.assertEqual((again[2], self.attempts()), (0, []))

    def test_a_failed_delivery_is_kept_for_operators(self):
        self.end()
        [entry] = self.lease()[2]
        self.settle(entry, "failed", status=410, code="gone")
        self.assertEqual(self.lease(nonce="m")[2], [])
        [kept] = self.entries().values()
        self.assertEqual((kept["state"], kept["code"]), ("failed", "gone"))
        self.assertGreater(self.redis("PTTL", PREFIX + "entry:" + entry[0]), 6 * DAY_MS)
        self.assertEqual(self.redis("ZCARD", PREFIX + "failed:webhooks"), 1)

    def test_deliveries_to_a_host_that_is_away_for_a_day_are_given_up(self):
        for n in range(3):
            self.end(f"a{n}")
        [entry] = self.lease(lane_most=1)[2]
        self.settle(entry, "busy", delay=5000, status=0, code="unreachable")
        for member in self.waiting():
            if member != entry[0]:
                self.redis("ZADD", f"{PREFIX}owed:webhooks:{LANE}", self.now_ms() - DAY_MS - 1000, member)
        self.redis("ZADD", PREFIX + "lanes:webhooks", 1, LANE)
        self.assertEqual(self.lease(nonce="m")[2], [])
        self.assertEqual(list(self.waiting()), [entry[0]])
        self.assertEqual(self.redis("ZCARD", PREFIX + "failed:webhooks"), 2)
        self.assertEqual(self.attempts("public.a1")[0][5], "host_failed")

    def test_deliveries_that_no_worker_takes_are_given_up(self):
        for n in range(3):
            self.end(f"a{n}")
        old, _, kept = sorted(self.waiting())
        for member in set(self.waiting()) - {kept}:
            self.redis("ZADD", f"{PREFIX}owed:webhooks:{LANE}", self.now_ms() - DAY_MS - 1000, member)
        self.redis("ZADD", PREFIX + "lanes:webhooks", self.now_ms() - DAY_MS - 1000, LANE)
        self.run_script("audit", "w1", 60_000, 100)
        self.assertEqual(list(self.waiting()), [kept])
        self.assertEqual(self.redis("ZSCORE", PREFIX + "failed:webhooks", old) and self.redis("ZCARD", PREFIX + "failed:webhooks"), 2)

    def test_the_list_of_attempts_is_bounded(self):
        self.end()
        for n in range(120):
            self.make_due()
            [entry] = self.lease(nonce=f"n{n}")[2]
            self.settle(entry, "again", delay=1, status=500, code="http_status")
        self.assertEqual(len(self.attempts()), 100)
        self.assertEqual(self.attempts()[-1][4], "120")


class Operators(WebhookTest):
    def failed(self, task_id="t1"):
        self.end(task_id)
        entry = next(entry for entry in self.lease(nonce=task_id)[2] if entry[3] == f"public.{task_id}")
        self.settle(entry, "failed", status=410, code="gone")
        return entry

    def test_the_list_shows_lanes_and_failures(self):
        self.failed("a")
        self.end("b")
        [entry] = self.lease(nonce="x")[2]
        self.settle(entry, "busy", delay=5000, status=503, code="http_status")
        now, waiting, failing, since, failed, [lane], [failure] = self.run_script("webhooks", 10, 10)
        self.assertEqual((waiting, failing, failed), (1, 1, 1))
        self.assertLess(abs(int(since) - int(now)), 5000)
        self.assertEqual((lane[0], lane[1:4]), (LANE.encode(), [1, 0, 1]))
        self.assertEqual((failure[1:4], failure[6]), ([b"gone", 1, b"public.a"], URL.encode()))
        self.assertEqual(self.run_script("webhooks", 0, 0)[5:], [[], []])

    def test_a_failed_delivery_is_sent_again(self):
        self.failed()
        self.assertEqual(self.run_script("resend", "", 10), [b"RESENT", 1, 0])
        [entry] = self.lease(nonce="m")[2]
        self.assertEqual((entry[2], self.redis("PTTL", PREFIX + "entry:" + entry[0])), (0, -1))
        self.assertEqual(self.settle(entry), ["OK", "owed"])

    def test_failed_deliveries_are_sent_again_in_parts(self):
        for n in range(3):
            self.failed(f"a{n}")
        self.assertEqual(self.run_script("resend", "", 2), [b"RESENT", 2, 1])
        self.assertEqual(self.run_script("resend", "", 2), [b"RESENT", 1, 0])
        self.assertEqual(len(self.waiting()), 3)

    def test_a_delivered_one_is_sent_again_from_the_log(self):
        self.end(events="start final")
        for entry in self.lease()[2]:
            self.settle(entry)
        self.assertEqual(self.run_script("resend", "public.t1"), [b"RESENT", 2, 0])
        self.assertEqual(len(self.lease(nonce="m")[2]), 2)
        self.assertEqual(self.run_script("resend", "public.t1"), [b"RESENT", 0, 0], "those under way are left alone")

    def test_a_task_that_has_expired_is_sent_again_if_it_failed(self):
        self.failed()
        self.redis("DEL", PREFIX + "task:public.t1", PREFIX + "events:public.t1")
        self.redis("ZREM", PREFIX + "index", "public.t1")
        self.assertEqual(self.run_script("resend", "public.t1"), [b"RESENT", 1, 0])
        self.assertEqual(len(self.lease(nonce="m")[2]), 1)

    def test_a_task_without_a_webhook_has_none(self):
        self.submit()
        self.assertEqual(self.run_script("resend", "public.t1"), [b"NONE"])
        self.assertEqual(self.run_script("webhook", "public.t1"), [b"NONE"])

    def test_the_deliveries_of_a_task(self):
        self.end()
        [entry] = self.lease()[2]
        self.settle(entry, "again", delay=5000, status=500, code="http_status")
        word, webhook, lines = self.run_script("webhook", "public.t1")
        self.assertEqual((word, webhook.decode()), (b"WEBHOOK", compact({"events": "final", "generation": 1, "url": URL})))
        self.assertEqual(len(lines.splitlines()), 1)
        for name in ("status", "story"):
            answer = self.run_script(name, "public.t1")
            self.assertEqual(answer[answer.index(b"webhook") + 1], webhook)
            self.assertEqual(answer[answer.index(b"deliveries") + 1], lines)

    def test_a_sample_is_tried_once(self):
        self.assertEqual(self.run_script("webhook_test", "shop.webhook-test-1", URL, 2, '{"x":1}'), [b"OK", b"shop.webhook-test-1"])
        [entry] = self.lease()[2]
        self.assertEqual((entry[2], entry[3], entry[7], entry[8]), (7, "shop.webhook-test-1", "2", '1 test {"event":"test","data":{"x":1}}'))
        self.settle(entry)
        self.assertEqual(self.run_script("webhook", "shop.webhook-test-1")[0], b"WEBHOOK")

    def test_erase_takes_what_is_owed_of_earlier_lives(self):
        self.submit_with(events="start final")
        for _ in range(5):
            self.cancel()
            self.run_script("retry", "public.t1", 60_000)
        self.cancel()
        self.assertEqual(len(self.waiting()), 12)
        self.run_script("erase", "public.t1")
        self.assertEqual(len(self.waiting()), 4, "of the first two lives: the field has room for three")

    def test_erase_takes_what_is_owed(self):
        self.failed("b")
        self.end("a", events="start final")
        [leased] = self.lease(most=1, lane_most=1)[2]
        for name in ("a", "b"):
            self.assertEqual(self.run_script("erase", f"public.{name}"), [b"ERASED"])
        self.assertEqual((self.entries(), self.waiting(), self.redis("ZCARD", PREFIX + "failed:webhooks")), ({}, {}, 0))
        self.assertEqual(self.redis("ZCARD", PREFIX + "leased:webhooks"), 0)
        self.assertEqual(self.settle(leased), ["ERASED"])
        self.assertEqual(self.redis("KEYS", PREFIX + "deliveries:*"), [])
        self.assertEqual(self.redis("HGET", f"{PREFIX}lane:webhooks:{LANE}", "running"), b"0")
        self.assertEqual(look(self.redis).tasks, {})


if __name__ == "__main__":
    unittest.main()
