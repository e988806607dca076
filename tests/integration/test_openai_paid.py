"""The table "What is paid" of docs/openai.md: a case for each row, with the simulator's count of the images that ARK charges."""

import re
import unittest

from support.cutter import Cutter
from support.documents import ROOT
from support.http_client import Connection, fetch
from support.processes import ProcessTest, eventually
from support.world import World

PATH = "/v1/images/generations"
BODY = {"prompt": "a red bicycle", "response_format": "url"}
REFUSED = "[[sim: status=400 code=InputTextSensitiveContentDetected]]"


def table():
    """{action of the client: (answer, images paid)}"""
    text = (ROOT / "docs/openai.md").read_text(encoding="utf-8").partition("## What is paid\n")[2]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", text, re.M)
    return {did: (gets, paid) for did, gets, paid in rows if did != "what the client did"}


class Paid(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway()
        cls.world.worker(ARK_FIRST_BYTE_TIMEOUT="1s")

    def ask(self, key=None, **fields):
        return fetch(self.gateway.address, "POST", PATH, {**BODY, **fields}, {"Idempotency-Key": key} if key else {})

    def billed(self):
        return self.world.ark.stats()["images_billed"]

    def answer(self, response, status, code=None):
        self.assertEqual(response.status, status, response.body)
        if code:
            self.assertEqual(response.json()["error"]["code"], code)
        return response

    def images(self, response, count):
        self.assertEqual(len(self.answer(response, 200).json()["data"]), count)
        return response

    # -- the rows: each returns the number of images paid in the end

    def one(self):
        self.images(self.ask(), 1)
        return 1

    def four(self):
        self.images(self.ask(n=4), 4)
        return 4

    def one_of_four_fails(self):
        self.world.ark.script({"status": 400})
        response = self.images(self.ask(n=4), 3)
        self.assertEqual(len(response.json()["errors"]), 1)
        return 3

    def invalid(self):
        self.answer(self.ask(n=11), 422, "invalid_fields")
        return 0

    def refused(self):
        self.answer(self.ask(prompt=REFUSED), 400, "ark_content_refused")
        return 0

    def busy(self):
        """Uses a separate world, because the circuit breaker stays open for a while."""
        with World() as world:
            world.ark.outage(status=503, code="ServerOverloaded")
            world.worker()
            response = fetch(world.gateway(GATEWAY_QUEUE_TTL="1s").address, "POST", PATH, BODY)
            self.answer(response, 503, "expired")
            self.assertEqual((response.json()["error"]["charged"], response.headers["x-should-retry"]), ("no", "true"))
            self.assertEqual(world.ark.stats()["images_billed"], 0)
        return 0

    def unknown(self):
        self.world.ark.script({"hang": 0})
        response = self.ask(max_paid_calls=1)
        self.answer(response, 424, "outcome_unknown")
        self.assertEqual((response.json()["error"]["charged"], response.headers["x-should-retry"]), ("unknown", "false"))
        return None

    def left(self):
        before = self.billed()
        calls = len(self.world.ark.calls())
        with Connection(self.gateway.address) as connection:
            connection.request("POST", PATH, {**BODY, "prompt": "left [[sim: first_latency=500]]"})
            self.world.ark.wait_calls(calls + 1)
        eventually(lambda: self.billed() == before + 1, "the task has continued")
        return 1

    def lose(self, prompt):
        """An answer that is cut in its body."""
        cutter = Cutter(self.gateway.address)
        self.addCleanup(cutter.close)
        cutter.cut("body")
        with self.assertRaises(OSError):
            fetch(cutter.address, "POST", PATH, {**BODY, "prompt": prompt})
        eventually(lambda: self.world.redis("KEYS", "arkrelay:{0}:unanswered:*"), "the gateway knows")

    def cut_off(self):
        self.world.redis("DEL", *(self.world.redis("KEYS", "arkrelay:{0}:unanswered:*") or ["none"]))
        self.lose("cut off")
        self.images(self.ask(prompt="cut off"), 1)
        return 1

    def cut_off_then_twice(self):
        self.lose("cut off once")
        first, second = (self.images(self.ask(prompt="cut off once"), 1) for _ in range(2))
        self.assertNotEqual(first.json()["data"], second.json()["data"])
        return 2

    def lost_behind_a_proxy(self):
        first = self.images(self.ask(prompt="proxy"), 1)
        second = fetch(self.gateway.address, "POST", PATH, {**BODY, "prompt": "proxy"}, {"X-Stainless-Retry-Count": "1"})
        self.assertEqual(first.json()["data"], self.images(second, 1).json()["data"])
        return 1

    def repeated_with_key(self):
        first, second = self.images(self.ask("key-1"), 1), self.images(self.ask("key-1"), 1)
        self.assertEqual(first.json()["data"], second.json()["data"])
        return 1

    def repeated(self):
        first, second = self.images(self.ask(), 1), self.images(self.ask(), 1)
        self.assertNotEqual(first.json()["data"], second.json()["data"])
        return 2

    def at_the_same_time(self):
        with Connection(self.gateway.address) as one, Connection(self.gateway.address) as two:
            for connection in (one, two):
                connection.request("POST", PATH, BODY)
            first, second = (self.images(connection.response(), 1).json()["data"] for connection in (one, two))
        self.assertNotEqual(first, second)
        return 2

    def failed_before(self):
        self.world.ark.script({"status": 400})
        self.answer(self.ask("key-3"), 400, "ark_invalid_request")
        self.images(self.ask("key-3"), 1)
        return 1

    def no_room(self):
        gateway = self.world.gateway(GATEWAY_QUEUE_LIMIT="3")
        self.answer(fetch(gateway.address, "POST", PATH, {**BODY, "n": 4}), 503, "queue_full")
        return 0

    def another_with_key(self):
        self.images(self.ask("key-2"), 1)
        self.answer(self.ask("key-2", prompt="another"), 422, "task_id_conflict")
        return 1

    def test_each_row(self):
        cases = {
            "sent a request and waited": self.one,
            "sent `n` 4": self.four,
            "sent `n` 4, and one task failed": self.one_of_four_fails,
            "sent a request with invalid fields": self.invalid,
            "asked for refused content": self.refused,
            "ARK was busy or away for longer than a task may wait": self.busy,
            "the outcome of ARK's call is unknown": self.unknown,
            "left, or was cut off": self.left,
            "was cut off, and repeated the request": self.cut_off,
            "was cut off, and repeated the request twice": self.cut_off_then_twice,
            "let an SDK repeat a request whose answer was lost behind a proxy": self.lost_behind_a_proxy,
            "received an image, and sent the same request again": self.repeated,
            "sent the same request twice at the same time": self.at_the_same_time,
            "repeated a request with the same `Idempotency-Key`": self.repeated_with_key,
            "repeated a request that failed without a charge": self.failed_before,
            "sent another request with a used `Idempotency-Key`": self.another_with_key,
            "sent a request for which the queue has no room": self.no_room,
        }
        self.assertEqual(list(cases), list(table()))
        for did, case in cases.items():
            with self.subTest(did):
                before = self.billed()
                paid = case()
                if paid is not None:
                    self.assertEqual(self.billed() - before, paid)


if __name__ == "__main__":
    unittest.main()
