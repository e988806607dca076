"""The checks of the chaos test notice what they are for: each row breaks one promise of webhooks or of the ledger, and is found."""

import base64
import dataclasses
import hashlib
import hmac
import json
import types
import unittest

from support.hooks import Hooks
from support.http_client import fetch
from support.judge import Life
from support.payers import Payers, Sums
from support.receiver import client_secret

EPOCH = 1795365657702
DONE = {"event": "done", "data": {"task_id": "t1", "generated_images": [{"index": 0}], "paid_calls": 1, "cost": {"currency": "USD", "amount": 0.03, "estimated": False}}}


class Webhooks(unittest.TestCase):
    def setUp(self):
        self.hooks = Hooks(types.SimpleNamespace(redis=lambda *_: []), 1, None, None)
        self.addCleanup(lambda: [receiver.close() for receiver in self.hooks.receivers])
        self.receiver = self.hooks.receivers[0]
        self.receiver.is_good = True
        self.life = Life("t1", "shop", "t1", EPOCH, {"webhook": self.receiver.url}, [b'1 start {"event":"start","data":{"task_id":"t1"}}', b"2 done " + json.dumps(DONE).encode()],
                         False)

    def deliver(self, id="msg_1", n=2, epoch=EPOCH, event=DONE, client="shop", receiver=None, path="/hook"):
        body = json.dumps({"n": n, "epoch": epoch, **event}).encode()
        signature = base64.b64encode(hmac.new(client_secret(client), f"{id}.1.".encode() + body, hashlib.sha256).digest()).decode()
        headers = {"webhook-id": id, "webhook-timestamp": "1", "webhook-signature": f"v1,{signature}"}
        fetch((receiver or self.receiver).address, "POST", path, body, headers)

    def found(self, *lives):
        return " ".join(text for _, text in self.hooks.judge(lives or [self.life]))

    def test_what_is_right_is_not_found(self):
        self.deliver()
        self.deliver()
        self.assertEqual(self.found(), "")

    def test_what_is_wrong_is_found(self):
        rows = (({}, {"id": "msg_2"}, "under several ids"), ({}, {"n": 1}, "nothing owes it"), ({}, {"epoch": EPOCH + 1}, "nothing owes it"),
                ({"client": "tight"}, None, "not signed"), ({"event": {**DONE, "data": {**DONE["data"], "paid_calls": 2}}}, None, "differs from the log"),
                ({}, {"event": {"event": "done", "data": {"task_id": "t1"}}}, "with several bodies"), ({"receiver": 1}, None, "delivered elsewhere"),
                ({"path": "/elsewhere"}, None, "delivered elsewhere"))
        for first, second, words in rows:
            with self.subTest(words):
                self.setUp()
                for each in filter(None, (first or {"n": 2}, second)):
                    receiver = {"receiver": self.hooks.receivers[1]} if "receiver" in each else {}
                    self.deliver(**{**each, **receiver})
                self.assertIn(words, self.found())

    def test_what_is_missing_is_found_unless_it_was_erased(self):
        self.assertIn("not delivered", self.found())
        self.assertEqual(self.found(dataclasses.replace(self.life, is_erased=True)), "")
        self.receiver.is_good, self.receiver.is_away = False, True
        with self.assertRaises(OSError):
            self.deliver()
        self.assertIn("never accepted", self.found())


class Ledger(unittest.TestCase):
    def test_sums_of_tasks(self):
        life = Life("t1", "shop", "t1", EPOCH, {}, [b"1 done " + json.dumps(DONE).encode()], True)
        self.assertEqual(Payers._expected([life, life])["shop"], Sums(2, 2, 2, 60_000, 0))

    def test_a_limit_that_was_exceeded_is_found(self):
        payers = types.SimpleNamespace(is_counted=lambda _: True)
        record = types.SimpleNamespace(month_spent=5_000_000, day_spent=5_000_000)
        money = types.SimpleNamespace(records={"tight": record})
        self.assertIn("more than its limit", Payers._wrong_record(payers, "tight", Sums(micros=5_000_000), money)[0][1])
        self.assertIn("its tasks cost 3", Payers._wrong_record(payers, "tight", Sums(micros=3), money)[0][1])


if __name__ == "__main__":
    unittest.main()
