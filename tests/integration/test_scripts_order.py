"""SUBMIT_ORDER and DELIVERY: the orders of the OpenAI API, and which request repeats which."""

import unittest

from support.resp import RedisError
from support.script_test import TTL_MS, ScriptTest, compact
from support.store import look

PREFIX = "arkrelay:{0}:"
WINDOW, LIFETIME = 600_000, 900_000
REQUEST = compact({"model": "m", "prompt": "x", "urls": []})
KINDS = ("unanswered:", "answered:", "idempotency:", "repeats:")


class OrderTest(ScriptTest):
    def submit(self, id, tasks, hash="hash", queue_limit=100, client_limit=100, images=1, images_limit=0, refusal="",
               body="", key="", retried=0, window=WINDOW, lifetime=LIFETIME, run=None):
        words = [word for task in tasks for word in (f"shop.{task}", hash, REQUEST, "", "")]
        return (run or self.run_script)("submit_order", id, 2, TTL_MS, queue_limit, 60_000, client_limit, "", images, images_limit, "", refusal, 0,
                                        body and f"shop.{body}", key and f"shop.{key}", retried, window, lifetime, *words)

    def states(self):
        return sorted(task.decode().rpartition(":")[2] for task in self.redis("KEYS", PREFIX + "task:*"))


class Orders(OrderTest):
    """Which request repeats which order."""

    def order(self, id, body="body", **more):
        answer = self.submit(id, [f"{id}-0", f"{id}-1"], body=body, hash=body, **more)
        return [word.decode() for word in answer if isinstance(word, bytes)]

    def delivery(self, id, outcome, body="body", window=WINDOW):
        self.assertEqual(self.run_script("delivery", f"shop.{body}", id, outcome, window), [b"OK"])

    def keys(self):
        names = sorted(key.decode().removeprefix(PREFIX) for key in self.redis("KEYS", PREFIX + "*"))
        return [name for name in names if name.startswith(KINDS)]

    def ttl(self, name):
        return self.redis("PTTL", PREFIX + name)

    def test_equal_concurrent_requests_are_separate_orders(self):
        self.assertEqual([self.order("a"), self.order("b"), self.order("c", retried=1)], 3 * [["ACCEPTED"]])
        self.assertEqual((len(self.states()), self.keys()), (6, []))

    def test_a_delivered_order_is_found_by_retries_only(self):
        self.order("a")
        self.delivery("a", "answered")
        self.assertEqual(self.order("b"), ["ACCEPTED"])
        self.assertEqual(self.order("c", retried=1, body="other"), ["ACCEPTED"])
        self.assertEqual([self.order("d", retried=1), self.order("e", retried=1)], 2 * [["FOUND", "a"]])
        self.assertEqual(len(self.states()), 6)

    def test_an_undelivered_order_is_found_once(self):
        for id in "ab":
            self.order(id)
        for id in "ab":
            self.delivery(id, "unanswered")
        self.assertEqual(self.order("c", body="other"), ["ACCEPTED"])
        self.assertEqual([self.order(id) for id in "def"], [["FOUND", "a"], ["FOUND", "b"], ["ACCEPTED"]])
        self.delivery("a", "unanswered")
        self.assertEqual(self.order("g"), ["FOUND", "a"])

    def test_each_client_has_its_own_orders(self):
        self.order("a")
        self.delivery("a", "unanswered")
        words = ("club.b", "body", REQUEST, "", "")
        self.assertEqual(self.run_script("submit_order", "b", 2, TTL_MS, 100, 60_000, 100, "", 1, 0, "", "", 0,
                                         "club.body", "", 1, WINDOW, LIFETIME, *words)[0], b"ACCEPTED")

    def test_the_answer_was_sent_but_not_received(self):
        self.order("a")
        self.delivery("a", "answered")
        self.delivery("a", "unanswered")
        self.assertEqual([self.order("b", retried=1), self.order("c", retried=1)], [["FOUND", "a"], ["ACCEPTED"]])

    def test_the_client_left_before_the_repeated_order_was_known(self):
        """The gateway then reports the id that it made itself."""
        for outcome, retried in (("unanswered", 0), ("answered", 1)):
            with self.subTest(outcome):
                self.fresh()
                self.order("a")
                self.delivery("a", outcome)
                self.assertEqual(self.order("b", retried=retried), ["FOUND", "a"])
                self.delivery("b", "unanswered")
                self.assertEqual([self.order("c"), self.order("d", retried=1)], [["FOUND", "a"], ["ACCEPTED"]])

    def test_only_within_the_window(self):
        self.order("a")
        self.delivery("a", "unanswered")
        self.assertEqual(self.order("b", window=-1), ["ACCEPTED"])
        self.delivery("a", "unanswered", window=WINDOW)
        self.assertGreater(self.ttl("unanswered:shop.body"), WINDOW - 60_000)
        self.delivery("a", "answered")
        self.assertGreater(self.ttl("answered:shop.body"), WINDOW - 60_000)

    def test_older_entries_are_dropped_with_the_one_that_is_found(self):
        for entry in ("1 old", "2 older", f"{2**41} a", f"{2**41} b"):
            self.redis("RPUSH", PREFIX + "unanswered:shop.body", entry)
        self.assertEqual(self.order("c"), ["FOUND", "a"])
        self.assertEqual(self.redis("LRANGE", PREFIX + "unanswered:shop.body", 0, -1), [f"{2**41} b".encode()])

    def test_an_idempotency_key_always_finds_its_order(self):
        self.assertEqual([self.order("a", key="k"), self.order("b", key="k")], [["ACCEPTED"], ["FOUND", "a"]])
        self.assertEqual(self.order("c", key="k", body="other"), ["CONFLICT"])
        self.assertEqual([self.order("e"), self.order("f", retried=1)], 2 * [["ACCEPTED"]])
        self.assertEqual(self.order("g", key="k"), ["FOUND", "a"])

    def test_a_key_is_kept_longer_by_each_repetition(self):
        self.order("a", key="k", lifetime=60_000)
        self.assertLessEqual(self.ttl("idempotency:shop.k"), 60_000)
        self.order("b", key="k")
        self.assertGreater(self.ttl("idempotency:shop.k"), 60_000)

    def test_a_found_order_is_submitted_without_being_looked_for(self):
        self.order("a")
        self.delivery("a", "answered")
        self.delivery("b", "unanswered")
        answer = self.submit("a", ["a-0", "a-1"], hash="body", retried=1)
        self.assertEqual([answer[0], answer[1][0], answer[2][0]], [b"ACCEPTED", b"SAME", b"SAME"])
        self.assertEqual(self.order("c"), ["FOUND", "b"])

    def test_a_refused_order_writes_no_keys(self):
        for id, key, why in (("a", "k", {"queue_limit": 1}), ("b", "", {"queue_limit": 1}), ("c", "k", {"refusal": "BUDGET"})):
            self.assertNotEqual(self.order(id, key=key, **why), ["ACCEPTED"])
        self.assertEqual((self.keys(), self.states()), ([], []))

    def test_a_repetition_is_found_where_a_new_order_would_be_refused(self):
        self.order("a")
        self.delivery("a", "unanswered")
        self.assertEqual(self.order("b", refusal="BUDGET", queue_limit=0), ["FOUND", "a"])

    def test_lists_are_bounded_and_all_keys_expire(self):
        self.order("a", key="k")
        self.order("b")
        self.delivery("b", "answered")
        self.assertEqual(self.order("d", retried=1), ["FOUND", "b"])
        for _ in range(150):
            self.delivery("c", "unanswered")
        self.assertEqual(self.redis("LLEN", PREFIX + "unanswered:shop.body"), 100)
        self.assertEqual(len(self.keys()), 4)
        for key in self.keys():
            self.assertGreater(self.ttl(key), 0, key)

    def test_at_maxmemory_repetitions_are_answered_and_new_orders_refused(self):
        self.order("a")
        self.delivery("a", "answered")
        self.order("b", body="other")
        self.delivery("b", "unanswered", body="other")
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", 0)
        self.redis("CONFIG", "SET", "maxmemory", 1)
        self.assertEqual(self.order("c", retried=1), ["FOUND", "a"])
        self.assertEqual(self.order("d", body="other"), ["FOUND", "b"])
        self.assertEqual(self.submit("a", ["a-0", "a-1"], hash="body")[0], b"ACCEPTED")
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.order("e")
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.order("f", key="k")


class Submit(OrderTest):
    def tasks(self, *ids, order="o", **limits):
        return self.submit(order, ids, **limits)

    def test_all_tasks_wait_in_order(self):
        answer = self.tasks("a", "b", "c")
        self.assertEqual((answer[0], [task[0] for task in answer[1:]]), (b"ACCEPTED", 3 * [b"NEW"]))
        self.assertEqual([task[3][0].rpartition(b'"position":')[2] for task in answer[1:]], [b"1}}", b"2}}", b"3}}"])
        self.assertEqual(self.redis("HMGET", "arkrelay:{0}:task:shop.a", "order", "model", "state"), [b"o", b"m", b"queued"])
        self.assertEqual(self.redis("HGET", "arkrelay:{0}:queue", "live:shop"), b"3")
        self.assertEqual([task[0] for task in self.tasks("a", "b", "c")[1:]], 3 * [b"SAME"])

    def test_no_task_is_accepted_alone(self):
        for limits, word in (({"queue_limit": 2}, b"FULL"), ({"client_limit": 2}, b"CLIENT_FULL"), ({"images_limit": 5, "images": 2}, b"IMAGES")):
            with self.subTest(word):
                self.fresh()
                self.assertEqual(self.tasks("a", "b", "c", **limits)[0], word)
                self.assertEqual(self.states(), [])
                self.assertEqual(self.tasks("a", "b", **limits)[0], b"ACCEPTED")
        self.fresh()
        self.tasks("b")
        self.assertEqual(self.tasks("a", "b", "c", hash="other"), [b"CONFLICT"])
        self.assertEqual(self.states(), ["shop.b"])

    def test_images_are_reserved_for_each(self):
        answer = self.tasks("a", "b", images=2, images_limit=10)
        self.assertEqual([task[4] for task in answer[1:]], 2 * [b"6"])
        self.assertEqual(self.tasks("c", images=2, images_limit=10)[1][4], b"4")

    def fail_one(self, charge):
        """The first waiting task fails."""
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "failed", charge)

    def test_a_task_that_failed_without_a_charge_runs_again(self):
        epoch = int(self.tasks("a", "b", images_limit=10)[1][1])
        self.fail_one("void")
        before = look(self.redis).counter("submitted")
        first, second = self.tasks("a", "b", images_limit=10, run=self.scripts)[1:]     # run_script forbids a change of a final task
        after = look(self.redis)
        after.check()
        self.assertEqual((first[0], second[0], len(first[3])), (b"NEW", b"SAME", 1))
        self.assertGreater(int(first[1]), epoch)
        self.assertEqual((self.task("a", "shop").fields["state"], len(self.task("a", "shop").log)), ("queued", 1))
        self.assertEqual((after.counter("submitted"), self.redis("TTL", "arkrelay:{0}:task:shop.a")), (before, -1))

    def test_a_task_that_may_have_been_charged_or_was_cancelled_does_not(self):
        self.tasks("a")
        self.fail_one("unknown")
        self.assertEqual(self.tasks("a")[1][:3][::2], [b"SAME", b"failed"])
        self.tasks("b")
        self.cancel("shop.b")
        self.assertEqual(self.tasks("b")[1][:3][::2], [b"SAME", b"cancelled"])

    def test_a_full_queue_does_not_touch_the_failed_task(self):
        self.tasks("a")
        self.fail_one("void")
        before = look(self.redis).everything["task:shop.a"]
        self.assertEqual(self.tasks("a", queue_limit=0), [b"FULL"])
        self.assertEqual(look(self.redis).everything["task:shop.a"], before)


if __name__ == "__main__":
    unittest.main()
