"""ORDER, DELIVERY and SUBMIT_ORDER: the orders of the OpenAI API, and which request repeats which."""

import unittest

from support.script_test import TTL_MS, ScriptTest, compact
from support.scripts import Scripts
from support.store import look

PREFIX = "arkrelay:{client:shop}:"
WINDOW, LIFETIME = 600_000, 900_000
REQUEST = compact({"model": "m", "prompt": "x", "urls": []})


class Orders(ScriptTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shop = Scripts(cls.redis, PREFIX)

    def order(self, id, body="body", key="", retried=0, window=WINDOW, lifetime=LIFETIME):
        return [word.decode() for word in self.shop("order", body, key, retried, id, 2, f"{id}-0 {id}-1", window, lifetime)]

    def delivery(self, id, outcome, body="body", key="", window=WINDOW):
        self.assertEqual(self.shop("delivery", body, key, id, outcome, window), [b"OK"])

    def keys(self):
        return sorted(key.decode().removeprefix(PREFIX) for key in self.redis("KEYS", PREFIX + "*"))

    def test_equal_concurrent_requests_are_separate_orders(self):
        self.assertEqual([self.order("a"), self.order("b")], [["NEW", "a"], ["NEW", "b"]])
        self.assertEqual(self.order("c", retried=1), ["NEW", "c"])
        self.assertEqual(self.redis("HGET", PREFIX + "order:a", "ids"), b"a-0 a-1")

    def test_a_delivered_order_is_found_by_retries_only(self):
        self.order("a")
        self.delivery("a", "answered")
        self.assertEqual(self.order("b"), ["NEW", "b"])
        self.assertEqual(self.order("c", retried=1, body="other"), ["NEW", "c"])
        self.assertEqual([self.order("d", retried=1), self.order("e", retried=1)], 2 * [["SAME", "a"]])

    def test_an_undelivered_order_is_found_once(self):
        for id in "ab":
            self.order(id)
        for id in "ab":
            self.delivery(id, "unanswered")
        self.assertEqual(self.order("c", body="other"), ["NEW", "c"])
        self.assertEqual([self.order(id) for id in "def"], [["SAME", "a"], ["SAME", "b"], ["NEW", "f"]])
        self.delivery("a", "unanswered")
        self.assertEqual(self.order("g"), ["SAME", "a"])

    def test_the_answer_was_sent_but_not_received(self):
        self.order("a")
        self.delivery("a", "answered")
        self.delivery("a", "unanswered")
        self.assertEqual([self.order("b", retried=1), self.order("c", retried=1)], [["SAME", "a"], ["NEW", "c"]])

    def test_only_within_the_window(self):
        self.order("a")
        self.delivery("a", "unanswered")
        self.assertEqual(self.order("b", window=-1), ["NEW", "b"])
        self.delivery("a", "unanswered", window=WINDOW)
        self.assertGreater(self.redis("PTTL", PREFIX + "unanswered:body"), WINDOW - 60_000)
        self.delivery("a", "answered")
        self.assertGreater(self.redis("PTTL", PREFIX + "answered:body"), WINDOW - 60_000)

    def test_an_expired_order_is_not_found(self):
        self.order("a")
        self.delivery("a", "unanswered")
        self.delivery("a", "answered")
        self.redis("DEL", PREFIX + "order:a")
        self.assertEqual(self.order("b", retried=1), ["NEW", "b"])

    def test_an_idempotency_key_always_finds_its_order(self):
        self.assertEqual([self.order("a", key="k"), self.order("b", key="k")], [["NEW", "a"], ["SAME", "a"]])
        self.assertEqual(self.order("c", key="k", body="other"), ["CONFLICT"])
        for outcome in ("answered", "unanswered"):
            self.delivery("a", outcome, key="k")
            self.assertEqual(self.order("d", key="k"), ["SAME", "a"])
        self.assertEqual([self.order("e"), self.order("f", retried=1)], [["NEW", "e"], ["NEW", "f"]])

    def test_a_refused_order_writes_no_keys(self):
        self.order("a", key="k")
        self.delivery("a", "refused", key="k")
        self.order("b")
        self.delivery("b", "refused")
        self.assertEqual(self.keys(), [])

    def test_lists_are_bounded_and_all_keys_expire(self):
        self.order("a", key="k")
        self.order("b")
        self.delivery("b", "answered")
        for _ in range(150):
            self.delivery("c", "unanswered")
        self.assertEqual(self.redis("LLEN", PREFIX + "unanswered:body"), 100)
        for key in self.keys():
            self.assertGreater(self.redis("PTTL", PREFIX + key), 0, key)


class Submit(ScriptTest):
    def tasks(self, *ids, hash="hash", order="o", queue_limit=100, client_limit=100, images=1, images_limit=0):
        words = [word for id in ids for word in (f"shop.{id}", hash, REQUEST, "", "")]
        return self.run_script("submit_order", order, 2, TTL_MS, queue_limit, 60_000, client_limit, "", images, images_limit, "", "", 0, *words)

    def states(self):
        return sorted(task.decode().rpartition(":")[2] for task in self.redis("KEYS", "arkrelay:{0}:task:*"))

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

    def fail(self, charge):
        """The first waiting task fails."""
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "failed", charge)

    def test_a_task_that_failed_without_a_charge_runs_again(self):
        epoch = int(self.tasks("a", "b", images_limit=10)[1][1])
        self.fail("void")
        before = look(self.redis).counter("submitted")
        first, second = self.scripts("submit_order", "o", 2, TTL_MS, 100, 60_000, 100, "", 1, 10, "", "", 0, "shop.a", "hash", REQUEST, "", "", "shop.b", "hash",
                                     REQUEST, "", "")[1:]
        after = look(self.redis)
        after.check()
        self.assertEqual((first[0], second[0], len(first[3])), (b"NEW", b"SAME", 1))
        self.assertGreater(int(first[1]), epoch)
        self.assertEqual((self.task("a", "shop").fields["state"], len(self.task("a", "shop").log)), ("queued", 1))
        self.assertEqual((after.counter("submitted"), self.redis("TTL", "arkrelay:{0}:task:shop.a")), (before, -1))

    def test_a_task_that_may_have_been_charged_or_was_cancelled_does_not(self):
        self.tasks("a")
        self.fail("unknown")
        self.assertEqual(self.tasks("a")[1][:3][::2], [b"SAME", b"failed"])
        self.tasks("b")
        self.cancel("shop.b")
        self.assertEqual(self.tasks("b")[1][:3][::2], [b"SAME", b"cancelled"])

    def test_a_full_queue_does_not_touch_the_failed_task(self):
        self.tasks("a")
        self.fail("void")
        before = look(self.redis).everything["task:shop.a"]
        self.assertEqual(self.tasks("a", queue_limit=0), [b"FULL"])
        self.assertEqual(look(self.redis).everything["task:shop.a"], before)


if __name__ == "__main__":
    unittest.main()
