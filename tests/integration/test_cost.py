"""The cost of a task: what its final event and its status say, compared with what the simulator charges by ARK's rules."""

import json
import re

from support.http_client import fetch
from support.processes import ProcessTest
from support.world import URLS, World, sim

FOUR, LITE = "doubao-seedream-4-0-250828", "doubao-seedream-5-0-260128"
PRO, FLASH, FIVE_5 = "doubao-seedream-5-0-pro-260628", "doubao-seedream-5-0-flash-260915", "doubao-seedream-5-5-261028"
T2I, ENDPOINT = "doubao-seedream-3-0-t2i-250415", "ep-20260101120000-abcde"
MANY = [f"https://example.com/{n}.jpg" for n in range(5)]


def micros(cost):
    return round(cost["amount"] * 1_000_000)


class CostTest(ProcessTest):
    def setUp(self):
        self.world = self.enterContext(World())

    def start(self, **options):
        self.gateway = self.world.gateway()
        self.worker = self.world.worker(RETRY_BACKOFF_BASE="1ms", RETRY_BACKOFF_MAX="2ms", **options)

    def end_of(self, task_id, directives="", **fields):
        with self.gateway.generate(task_id, **{"prompt": sim(task_id, directives) + fields.pop("words", ""), **fields}) as stream:
            return stream.to_end()[-1].payload()

    def usd(self, amount, estimated=False):
        return {"currency": "USD", "amount": amount, "estimated": estimated}


class KnownOutcomes(CostTest):
    """ARK reports its images, and the task's cost is exactly what the simulator charges."""

    CASES = (
        ("a group", FOUR, "", {"max_images": 3}, 0.09),
        ("fewer images than requested", FOUR, "images=2", {"max_images": 5}, 0.06),
        ("a refused slot is free", LITE, "fail=1:OutputImageSensitiveContentDetected", {"max_images": 3}, 0.07),
        ("a small image of pro", PRO, "", {"size": "1K", "urls": MANY[:1]}, 0.045),
        ("a large image of pro, with references", PRO, "", {"size": "2K", "urls": MANY[:4]}, 0.099),
        ("flash", FLASH, "", {"urls": MANY}, 0.018),
        ("5.5 pays for every reference", FIVE_5, "", {"size": "1K", "urls": MANY[:2]}, 0.036),
        ("layers", FLASH, "images=5", {"layers": True, "urls": MANY[:1]}, 0.09),
        ("all layers of 5.5", FIVE_5, "images=100 latency=1", {"layers": True, "size": "auto", "urls": MANY[:1]}, 3.508),
        ("layers of several sizes", PRO, "images=4", {"layers": True, "urls": MANY[:1]}, None),
        ("a refused request", PRO, "status=400", {"urls": MANY}, 0),
        ("every image refused", FOUR, "zero_images_200=true", {"max_images": 2}, 0),
    )

    def test_the_task_and_ark_agree(self):
        self.start()
        for n, (name, model, directives, fields, amount) in enumerate(self.CASES):
            with self.subTest(name):
                before = self.world.ark.stats()["charged_micros"]
                end = self.end_of(f"t{n}", directives, model=model, **fields)
                charged = self.world.ark.stats()["charged_micros"] - before
                self.assertEqual((micros(end["cost"]), end["cost"]["currency"], end["cost"]["estimated"]), (charged, "USD", False), end)
                if amount is not None:
                    self.assertEqual(end["cost"]["amount"], amount)
                status = self.gateway.task(f"t{n}").json()
                self.assertEqual(status["cost"], end["cost"])
                self.worker.wait_for(rf"info .*task=public\.t{n} .* cost={re.escape(f'{charged / 1e6:.6f}'.rstrip('0').rstrip('.'))} currency=USD estimated=0 ")

    def test_a_model_without_a_price(self):
        self.start()
        self.assertIsNone(self.end_of("t1", "images=1", model=ENDPOINT)["cost"])
        self.assertIsNone(self.end_of("t2", "status=400", model=ENDPOINT)["cost"], "not known is not 0")
        self.assertIsNone(self.gateway.task("t2").json()["cost"])
        self.worker.wait_for(r"info .*task=public\.t1 .* cost=- currency=- estimated=0 ")


class UnknownOutcomes(CostTest):
    def test_slots_that_a_cut_answer_lacks_count_in_full(self):
        self.start()
        self.assertEqual(self.end_of("t1", "images=3 cut_after_image=1", max_images=3)["cost"], self.usd(0.09, True))
        self.worker.wait_for(r"info .*task=public\.t1 .* charge=known cost=0\.09 currency=USD estimated=1 ")

    def test_an_unknown_call_counts_in_full(self):
        self.start()
        end = self.end_of("t1", "cut_after_image=0", model=PRO, urls=MANY[:3], max_paid_calls=1)
        self.assertEqual((end["code"], end["cost"]), ("outcome_unknown", self.usd(0.096, True)))

    def test_calls_add_up(self):
        self.start()
        self.world.ark.script({"cut_after_image": 0}, {})
        end = self.end_of("t1", model=FOUR, max_images=1, max_paid_calls=2)
        self.assertEqual((end["paid_calls"], end["unknown_calls"], end["cost"]), (2, 1, self.usd(0.06, True)))

    def test_a_lost_worker(self):
        """REAP ends the task without the worker's data."""
        self.start(WORKER_LEASE="1s")
        with self.gateway.generate("t1", prompt=sim("t1", "latency=600000"), max_images=2, max_paid_calls=1) as stream:
            stream.until("process calling")
            self.worker.kill()
            self.world.worker()
            end = stream.to_end()[-1].payload()
        self.assertEqual((end["code"], end["cost"]), ("outcome_unknown", self.usd(0.06, True)))

    def test_a_task_that_waits_after_an_unknown_call(self):
        self.gateway = self.world.gateway()
        self.world.worker(RETRY_BACKOFF_BASE="10m", RETRY_BACKOFF_MAX="10m")
        with self.gateway.generate("t1", prompt=sim("t1", "cut_after_image=0"), max_images=1) as stream:
            stream.until("process retrying")
            self.assertEqual(self.gateway.task("t1").json()["cost"], self.usd(0.03, True))
            self.gateway.cancel("t1")
            self.assertEqual(stream.to_end()[-1].payload()["cost"], self.usd(0.03, True))


class WithoutACall(CostTest):
    def test_cancelled_in_the_queue(self):
        gateway = self.world.gateway()
        for task_id, model, cost in (("t1", FOUR, self.usd(0)), ("t2", ENDPOINT, None)):
            gateway.submit(task_id, model=model)
            self.assertNotIn("cost", gateway.task(task_id).json())
            gateway.cancel(task_id)
            self.assertEqual(gateway.task(task_id).json()["cost"], cost)

    def test_a_task_without_a_plan(self):
        """Without a plan in Redis the worker computes the cost from its own catalogue, but CANCEL cannot."""
        self.start()
        self.world.submit_many(1, "done", prompt=sim("t1", "images=1"))
        self.assertEqual(self.world.wait_state("done0", "done").log[-1].data["cost"], self.usd(0.03))
        self.worker.stop()
        self.world.submit_many(1, "cancelled")
        self.gateway.cancel("cancelled0")
        self.assertIsNone(self.world.wait_state("cancelled0", "cancelled").log[-1].data["cost"])


class Operators(CostTest):
    def test_a_retry_keeps_the_cost(self):
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY="secret-of-16-bytes")
        self.worker = self.world.worker()
        self.world.ark.script({"cut_after_image": 0}, {})
        end = self.end_of("t1", max_images=1, max_paid_calls=1)
        self.assertEqual(end["cost"], self.usd(0.03, True))
        answer = fetch(self.gateway.address, "POST", "/admin/tasks/public.t1/retry", None, {"Authorization": "Bearer secret-of-16-bytes"})
        self.assertEqual(answer.status, 202, answer)
        task = self.world.wait_state("t1", "done")
        self.assertEqual((task.log[-1].data["cost"], task.log[-1].data["earlier_paid_calls"]), (self.usd(0.06, True), 1))
        self.assertEqual(json.loads(self.gateway.task("t1").body)["cost"], self.usd(0.06, True))
