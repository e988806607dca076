"""Repeated requests to the OpenAI API, after a proxy has cut the answer: the openai package, the AI SDK and plain requests.

The simulator counts the calls that are paid."""

import unittest

from support import npm
from support.cutter import Cutter
from support.http_client import Connection, fetch
from support.processes import ProcessTest, eventually
from support.world import World

PATH = "/v1/images/generations"
CUTS = ("before", "head", "body")


class RepeatTest(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway(GATEWAY_OPENAI_FORMAT="url")
        cls.world.worker(ARK_FIRST_BYTE_TIMEOUT="2s")

    def setUp(self):
        self.world.redis("DEL", *(self.keys("unanswered:") + self.keys("answered:") or ["none"]))
        self.cutter = Cutter(self.gateway.address)
        self.addCleanup(self.cutter.close)
        self.calls = len(self.world.ark.calls())
        self.billed = self.world.ark.stats()["images_billed"]

    def keys(self, kind):
        return self.world.redis("KEYS", f"arkrelay:{{0}}:{kind}*")

    def assert_calls(self, count):
        self.assertEqual(len(self.world.ark.calls()) - self.calls, count)


class Packages(RepeatTest):
    @classmethod
    def setUpClass(cls):
        npm.install()
        super().setUpClass()

    def run_case(self, name, *cuts):
        for where in cuts:
            self.cutter.cut(where)
        return npm.run("openai.mjs", name, self.cutter.url)

    def test_openai(self):
        for cuts in ((where,) for where in CUTS):
            with self.subTest(cuts):
                self.setUp()
                self.assertEqual(self.run_case("persistent", *cuts)["value"], {"tries": 2 if cuts == ("body",) else 1, "images": 1})
                self.assertEqual(self.cutter.answers, 2)
                self.assert_calls(1)

    def test_openai_with_four_cuts(self):
        self.assertEqual(self.run_case("persistent", "before", "head", "body", "before")["value"]["images"], 1)
        self.assertEqual(self.cutter.answers, 5)
        self.assert_calls(1)

    def test_openai_without_its_retries(self):
        """Repeated requests without the header that marks a retry."""
        self.assertEqual(self.run_case("persistent-alone", *CUTS)["value"], {"tries": 4, "images": 1})
        self.assert_calls(1)

    def test_openai_with_four_images(self):
        self.assertEqual(self.run_case("persistent-four", *CUTS)["value"]["images"], 4)
        self.assert_calls(4)

    def test_openai_with_a_stream(self):
        self.assertEqual(self.run_case("persistent-stream", *CUTS)["value"]["images"], 1)
        self.assert_calls(1)

    def test_equal_requests_after_an_answer_are_separate_orders(self):
        self.assertEqual(len(set(self.run_case("deliberate")["value"])), 4)
        self.assert_calls(4)

    def test_the_ai_sdk(self):
        for where in ("before", "head"):
            with self.subTest(where):
                self.setUp()
                self.assertNotIn("value", self.run_case("ai", where))
                self.assertEqual(self.cutter.answers, 2)
                self.assert_calls(1)

    def test_the_ai_sdk_splits_n_into_parallel_requests(self):
        self.run_case("ai-two")
        self.assertEqual(self.cutter.answers, 2)
        self.assert_calls(2)


class Plain(RepeatTest):
    def ask(self, address=None, prompt="a bicycle", key=None, retries=0, **fields):
        headers = {**({"Idempotency-Key": key} if key else {}), **({"X-Stainless-Retry-Count": str(retries)} if retries else {})}
        return fetch(address or self.gateway.address, "POST", PATH, {"prompt": prompt, **fields}, headers)

    def ask_and_lose(self, where="body", **fields):
        self.cutter.cut(where)
        with self.assertRaises(OSError):
            self.ask(self.cutter.address, **fields)
        eventually(lambda: self.keys("unanswered:"), "the gateway knows that the answer was not delivered")

    def url(self, response):
        self.assertEqual(response.status, 200, response.body)
        return response.json()["data"][0]["url"]

    def test_each_undelivered_order_is_found_once(self):
        self.ask_and_lose(prompt="once")
        first, second = self.ask(prompt="once"), self.ask(prompt="once")
        self.assertNotEqual(self.url(first), self.url(second))
        self.assert_calls(2)

    def test_only_an_equal_body(self):
        self.ask_and_lose(prompt="equal", user="alice")
        for fields in ({"user": "bob"}, {"user": "alice", "n": 2}, {"user": "alice", "size": "2K"}):
            self.ask(prompt="equal", **fields)
        self.assert_calls(5)
        self.ask(prompt="equal", response_format="url", user="alice")
        self.assert_calls(5)

    def test_a_client_that_disconnects_before_the_answer(self):
        """The repeated request gets the image of the call in flight."""
        prompt = "left [[sim: first_latency=1500]]"
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, {"prompt": prompt})
            self.world.ark.wait_calls(self.calls + 1)
        eventually(lambda: self.keys("unanswered:"), "the gateway has noticed the disconnect")
        self.assertEqual(self.world.ark.stats()["images_billed"], self.billed)
        self.url(self.ask(prompt=prompt))
        self.assert_calls(1)

    def test_a_retry_finds_the_delivered_answer(self):
        first = self.ask(prompt="lost behind a proxy")
        second, third = (self.ask(prompt="lost behind a proxy", retries=n) for n in (1, 2))
        self.assertEqual(2 * [self.url(first)], [self.url(second), self.url(third)])
        self.assertEqual(self.url(self.ask(prompt="never asked before", retries=1))[:4], "http")
        self.assert_calls(2)

    def test_a_key(self):
        self.cutter.cut("body")
        with self.assertRaises(OSError):
            self.ask(self.cutter.address, key="k1", n=2)
        self.assertEqual(len(self.ask(key="k1", n=2).json()["data"]), 2)
        for fields in ({"n": 1}, {"n": 3}, {"n": 2, "prompt": "another"}):
            response = self.ask(key="k1", **fields)
            self.assertEqual((response.status, response.json()["error"]["code"]), (422, "task_id_conflict"))
        self.assert_calls(2)

    def test_a_key_is_one_order_for_parallel_requests(self):
        with Connection(self.gateway.address) as one, Connection(self.gateway.address) as two:
            for connection in (one, two):
                connection.request("POST", PATH, {"prompt": "parallel"}, {"Idempotency-Key": "k2"})
            self.assertEqual(self.url(one.response()), self.url(two.response()))
        self.assert_calls(1)

    def test_a_task_that_failed_without_a_charge_starts_again(self):
        for name, options in (("with a key", {"key": "k3"}), ("without", {})):
            with self.subTest(name):
                self.setUp()
                self.world.ark.script({"status": 400})
                self.assertEqual(self.ask(prompt=name, **options).status, 400)
                self.url(self.ask(prompt=name, **options))
                self.assert_calls(2)

    def test_a_task_with_an_unknown_outcome_does_not_start_again(self):
        self.world.ark.script({"hang": 0})
        first, second = (self.ask(prompt="unknown", key="k4", max_paid_calls=1) for _ in range(2))
        self.assertEqual([first.status, second.status], [424, 424])
        self.assert_calls(1)

    def test_an_order_is_accepted_completely_or_not_at_all(self):
        gateway = self.world.gateway(GATEWAY_QUEUE_LIMIT=3)
        tasks = self.keys("task:")
        response = self.ask(gateway.address, prompt="too many", n=4)
        self.assertEqual((response.status, response.json()["error"]["code"]), (503, "queue_full"))
        self.assertEqual(sorted(self.keys("task:")), sorted(tasks))
        self.assertEqual(len(self.ask(gateway.address, prompt="three", n=3).json()["data"]), 3)
        self.assert_calls(3)


if __name__ == "__main__":
    unittest.main()
