"""Programs of two revisions work on the same data under load: every task ends once, with one call, and every viewer sees its whole log.

$ARKRELAY_OTHER_BIN names the folder of the other revision's programs (scripts/build_revision.sh builds them). Without it both sides are this revision.
"""

import json
import os
import signal
import tempfile
import unittest
from collections import Counter

from support.http_client import fetch
from support.money import read_money
from support.processes import ProcessTest, eventually
from support.receiver import SECRET, Receiver, client_secret
from support.world import World, sim

TASKS = 60


class Versions(ProcessTest):
    def setUp(self):
        self.folders = (None, os.environ.get("ARKRELAY_OTHER_BIN"))
        print("the other revision:", self.folders[1] or "none is given, both are this one")

    def start(self, world):
        """A gateway and a worker of each revision."""
        gateways = [world.gateway(folder=folder) for folder in self.folders]
        workers = [world.worker(folder=folder, WORKER_CONCURRENCY=8) for folder in self.folders]
        return gateways, workers

    def assert_whole(self, frames, last="done"):
        self.assertEqual([frame.n for frame in frames], list(range(1, len(frames) + 1)))
        self.assertEqual(frames[-1].event, last)

    def assert_called_once(self, world, count):
        calls = Counter(call["prompt"].split(" ")[0] for call in world.ark.calls())
        self.assertEqual((len(calls), set(calls.values())), (count, {1}))

    def test_tasks_under_load(self):
        """Each task is submitted at one gateway and watched at both. Any free worker runs it."""
        with World() as world:
            gateways, _ = self.start(world)
            first = [gateways[n % 2].generate(f"t{n}", prompt=sim(f"t{n}", f"images={1 + n % 3} latency={100 * (n % 4)}"), max_images=3)
                     for n in range(TASKS)]
            second = [gateways[1 - n % 2].follow(f"t{n}") for n in range(TASKS)]
            for n, (one, other) in enumerate(zip(first, second)):
                with one, other:
                    frames, seen = one.to_end(), other.to_end()
                self.assert_whole(frames)
                self.assertEqual([(frame.id, frame.data) for frame in seen], [(frame.id, frame.data) for frame in frames])
                self.assertEqual(len(frames[-1].payload()["generated_images"]), 1 + n % 3)
            self.assert_called_once(world, TASKS)
            for gateway in gateways:
                self.assertEqual(gateway.task("t7").json()["status"], "done")
                self.assertEqual(gateway.generate("t7", prompt=sim("t7", "images=2 latency=300"), max_images=3).to_end()[-1].event, "done")

    def test_tasks_pass_between_revisions(self):
        """Lost workers, retries, cancellations: a task passes from one revision to the other."""
        for from_, to in ((0, 1), (1, 0)):
            with self.subTest(from_=from_), World() as world:
                gateway = world.gateway(folder=self.folders[to])
                lost = world.worker(folder=self.folders[from_], WORKER_CONCURRENCY=4)
                streams = [gateway.generate(f"t{n}", prompt=sim(f"t{n}", "images=2 latency=2000")) for n in range(2)]
                refused = gateway.generate("again", prompt=sim("again", "images=1 latency=2000"), max_paid_calls=2)
                world.ark.wait_calls(3)
                lost.signal(signal.SIGKILL)
                world.worker(folder=self.folders[to], WORKER_CONCURRENCY=4)
                for stream in [*streams, refused]:
                    with stream:
                        self.assert_whole(stream.to_end())
                world.submit_many(5, "waits")
                world.wait_all_final()

    def test_an_audit_finds_nothing_to_repair(self):
        with World() as world:
            gateways, _ = self.start(world)
            for n in range(20):
                gateways[n % 2].submit(f"t{n}")
            world.wait_all_final()
            world.redis("HDEL", "arkrelay:{0}:meta", "audited_at")
            eventually(lambda: world.run_script("audit", "test", 60_000, 1000)[0] == 1, "the pass is complete")
            self.assertEqual(world.look().counter("orphan"), 0)

    # -- with a storage, webhooks, spending limits and orders

    def start_with_everything(self, world, pictures):
        storage = {"STORAGE": pictures, "WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on", "AUDIT_INTERVAL": "200ms"}
        gateways = [world.gateway(folder=folder, **storage, GATEWAY_CLIENT_SPEND_DAY="100", GATEWAY_USAGE="on") for folder in self.folders]
        workers = [world.worker(folder=folder, **storage, WORKER_CONCURRENCY=8) for folder in self.folders]
        return gateways, workers

    def test_pictures_webhooks_and_money(self):
        """What a task owes is done whichever revision accepts it, runs it, copies its pictures and delivers its webhook."""
        receiver = Receiver(500, 200)
        self.addCleanup(receiver.close)
        with tempfile.TemporaryDirectory() as pictures, World() as world:
            gateways, workers = self.start_with_everything(world, pictures)
            for n in range(TASKS // 2):
                answer = gateways[n % 2].submit(f"t{n}", prompt=sim(f"t{n}", f"images={1 + n % 2}"), max_images=2, webhook=receiver.url)
                self.assertEqual(answer.status, 202, answer)
            tasks = world.wait_all_final().tasks.values()
            self.assert_stored(gateways, tasks)
            self.assert_delivered(receiver, tasks)
            spent = round(sum(task.log[-1].data["cost"]["amount"] for task in tasks) * 1_000_000)
            eventually(lambda: not (money := read_money(world.redis)).reservations and not money.debts and money.spent() == spent, "all is settled")
            self.assertEqual({worker.stop() for worker in workers}, {0})

    def assert_stored(self, gateways, tasks):
        for task in tasks:
            for image in task.log[-1].data["generated_images"]:
                for gateway in gateways:
                    eventually(lambda gateway=gateway, image=image: gateway.get(image["stored_url"]).status == 200, "it is stored and served")

    def assert_delivered(self, receiver, tasks):
        def ids():
            return {delivery.json()["data"]["task_id"] for delivery in receiver.deliveries if delivery.is_signed_by(client_secret())}
        expected = {task.id.partition(".")[2] for task in tasks}
        eventually(lambda: ids() == expected, "each webhook was delivered")
        names = {(delivery.json()["data"]["task_id"], delivery.id) for delivery in receiver.deliveries}
        self.assertEqual(len(names), len(expected), "one id for each")

    def test_an_order_is_found_by_the_other_revision(self):
        with World() as world:
            gateways, _ = self.start(world)
            for n in range(8):
                first, other = gateways[n % 2], gateways[1 - n % 2]
                body, key = {"prompt": sim(f"o{n}", "images=1 latency=300"), "n": 1 + n % 2}, {"Idempotency-Key": f"order-{n}"}
                answers = [fetch(gateway.address, "POST", "/v1/images/generations", body, key) for gateway in (first, other, first)]
                self.assertEqual([answer.status for answer in answers], [200] * 3, answers[0].body)
                self.assertEqual(len({json.dumps([image["url"] for image in answer.json()["data"]]) for answer in answers}), 1)
            self.assertEqual(len(world.ark.calls()), 12)


if __name__ == "__main__":
    unittest.main()
