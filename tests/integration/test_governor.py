"""The ARK account's limits, shared by all workers, and the durability of the record of a paid call."""

import unittest

from support.account import Account
from support.processes import ProcessTest, eventually
from support.redis_server import RedisServer
from support.world import World, sim

GOVERNOR, HOLDERS = "arkrelay:{account}:governor", "arkrelay:{account}:holders"
MODEL, OTHER = "doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128"
IPM = "ModelAccountIpmRateLimitExceeded"


def overlaps(world):
    return world.ark.stats()["calls_max_open"]


def governor(world, field):
    return world.redis("HGET", GOVERNOR, field)


class Limits(ProcessTest):
    def test_calls_in_flight_are_counted_over_all_workers(self):
        with World() as world:
            for _ in range(3):
                world.worker(ARK_CALLS_MAX=2, ARK_MAX_IMAGES=1)
            world.submit_many(20, prompt=sim("t", "images=1 latency=20"))
            world.wait_all_final()
            self.assertEqual((world.ark.stats()["calls"], overlaps(world)), (20, 2))

    def test_images_per_minute_are_counted_over_all_workers(self):
        """Six images in the first minute and six in the next, even after an idle time and with many waiting tasks."""
        with World() as world:
            for _ in range(3):
                world.worker(ARK_IMAGES_PER_MINUTE=6, ARK_MAX_IMAGES=1)
            world.submit_many(10, prompt=sim("t", "images=1"))
            eventually(lambda: world.redis("ZCOUNT", "arkrelay:{0}:index", 0, "+inf") == 4, "six tasks are final")
            self.wait_for_questions(world, 6)
            self.assertEqual((world.ark.stats()["calls"], world.redis("ZCARD", "arkrelay:{0}:pending")), (6, 4))
            Account(world.redis).pass_ms(125_000)           # two minutes: freed permits are spread evenly over one minute
            world.wait_all_final()
            self.assertEqual(world.ark.stats()["calls"], 10)

    @staticmethod
    def wait_for_questions(world, count):
        """Waits until workers have been refused permits this many times."""
        def asked():
            return int(world.redis("INFO", "commandstats").partition(b"cmdstat_evalsha:calls=")[2].partition(b",")[0])
        before = asked()
        eventually(lambda: asked() >= before + count, f"{count} more questions")

    def test_unused_image_permits_are_returned(self):
        with World() as world:
            world.worker(ARK_IMAGES_PER_MINUTE=6, ARK_MAX_IMAGES=3, WORKER_CONCURRENCY=1)
            world.submit_many(4, prompt=sim("t", "images=1"))                   # each task reserves 3 images and produces 1
            world.wait_all_final()
            self.assertEqual(world.ark.stats()["images_billed"], 4)

    def test_permits_in_a_lost_reply_are_freed(self):
        """Permits in a lost reply are freed after a timeout."""
        with World() as world:
            proxy = world.proxy()
            proxy.lose_reply_to(world.run_script.sha1["govern"])
            world.worker(REDIS_URL=proxy.url, ARK_CALLS_MAX=4, WORKER_CONCURRENCY=4, ARK_MAX_IMAGES=1)
            proxy.lost.wait()
            world.submit_many(4, prompt=sim("t", "images=1"))
            world.wait_all_final()
            self.assertEqual(world.ark.stats()["calls"], 4)

    def test_the_permits_of_a_lost_worker_are_freed(self):
        with World() as world:
            victim = world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1)
            world.submit_many(1, "slow", prompt=sim("slow", "images=1 hang"))
            world.ark.wait_calls(1)
            victim.kill()
            world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1, WORKER_MAX_ATTEMPTS=1)
            world.submit_many(1, "next", prompt=sim("next", "images=1"))
            world.wait_state("next0", "done")

    def test_the_permits_of_a_restarted_worker_with_the_same_name_are_freed(self):
        """As in a container, where the worker is always process 1. The old worker's permits are freed at once."""
        with World() as world:
            options = {"ARK_CALLS_MAX": 1, "ARK_MAX_IMAGES": 1, "WORKER_NAME": "painter", "WORKER_LEASE": "10m"}
            victim = world.worker(**options)
            world.submit_many(1, "slow", model=OTHER, prompt=sim("slow", "images=1 hang"))
            world.ark.wait_calls(1)
            victim.kill()
            world.worker(**options)
            world.submit_many(1, "next", prompt=sim("next", "images=1"))
            world.wait_state("next0", "done")

    def test_a_stopped_worker_keeps_no_permit(self):
        with World() as world:
            worker = world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1)
            world.submit_many(1, prompt=sim("t", "images=1"))
            world.wait_all_final()
            self.assertEqual(worker.stop(), 0)
            self.assertEqual(world.redis("HGETALL", HOLDERS), [])

    def test_permits_are_per_model(self):
        with World() as world:
            worker = world.worker(ARK_MAX_IMAGES=1, WORKER_NAME="painter")
            world.submit_many(1, "a", model=OTHER, prompt=sim("a", "images=1 hang"))
            world.submit_many(2, "b", prompt=sim("b", "images=1 hang"))
            world.ark.wait_calls(3)
            expected = {b"painter\t" + OTHER.encode(): b"1", b"painter\t" + MODEL.encode(): b"2"}
            eventually(lambda: dict(zip(*[iter(world.redis("HGETALL", HOLDERS))] * 2)) == expected, "both are booked")
            worker.kill()


class Refusals(ProcessTest):
    def test_a_retry_after_pauses_the_model_for_all_workers_and_no_other(self):
        with World() as world:
            for _ in range(3):
                world.worker(ARK_MAX_IMAGES=1)
            world.ark.script({"code": IPM, "retry_after": 2})
            world.submit_many(1, "first", prompt=sim("first", "images=1"))
            eventually(lambda: int(governor(world, f"{MODEL} paused_until") or 0), "the model is paused")
            world.submit_many(6, "same", prompt=sim("same", "images=1"))
            world.submit_many(6, "free", model=OTHER, prompt=sim("free", "images=1"))
            world.wait_all_final()
            refused, *taken = sorted(world.ark.calls(), key=lambda call: call["time_ms"])
            self.assertEqual((refused["status"], len(taken)), (429, 13))
            after = {model: [call["time_ms"] - refused["time_ms"] for call in taken if call["model"] == model] for model in (MODEL, OTHER)}
            self.assertGreaterEqual(min(after[MODEL]), 2000)
            self.assertLess(max(after[OTHER]), 2000)

    def test_a_single_refusal_delays_only_its_own_task(self):
        with World() as world:
            world.worker(ARK_MAX_IMAGES=1, WORKER_CONCURRENCY=4, RETRY_BACKOFF_BASE="1m", RETRY_BACKOFF_MAX="1m")
            world.ark.script({"code": IPM})
            ids = world.submit_many(20, prompt=sim("t", "images=1"))
            eventually(lambda: world.redis("ZCOUNT", "arkrelay:{0}:index", 0, "+inf") == 1, "all but one are done")
            refused = world.find(ids[0])
            self.assertEqual((refused.state, refused.number("attempt"), refused.number("paid_calls")), ("delayed", 0, 0))
            world.redis("ZADD", "arkrelay:{0}:delayed", 1, "public." + ids[0])
            self.assertEqual({task.state for task in world.wait_all_final().tasks.values()}, {"done"})

    def test_refusals_use_up_no_attempt(self):
        with World() as world:
            for _ in range(2):
                world.worker(ARK_MAX_IMAGES=1, WORKER_MAX_ATTEMPTS=1)
            world.ark.script(*[{"code": IPM}] * 30)
            world.submit_many(10, prompt=sim("t", "images=1"))
            end = world.wait_all_final()
            self.assertEqual({(task.state, task.number("attempt"), task.number("paid_calls")) for task in end.tasks.values()}, {("done", 1, 1)})
            self.assertEqual(sum(task.number("deferrals") for task in end.tasks.values()), 30)

    def test_an_unconfigured_limit_of_the_account_is_learned(self):
        """ARK accepts four calls at a time; the workers have sixteen slots."""
        with World(ark=False) as world:
            world.ark = world.start_ark(ARK_SIM_CALLS_MAX=4)
            for _ in range(2):
                world.worker(ARK_MAX_IMAGES=1, WORKER_CONCURRENCY=8, WORKER_MAX_ATTEMPTS=1)
            world.submit_many(100, prompt=sim("t", "images=1 latency=50"))
            end = world.wait_all_final()
            self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
            self.assertIsNotNone(governor(world, f"{MODEL} limit"))

    def test_idle_workers_poll_rarely_while_a_model_is_restricted(self):
        """Without a waiting task, workers wait for a wake-up instead of polling several times a second."""
        with World() as world:
            for _ in range(2):
                world.worker(ARK_MAX_IMAGES=1)
            world.ark.script({"code": IPM})
            world.submit_many(1, prompt=sim("t", "images=1"))
            world.wait_all_final()
            self.assertIsNotNone(governor(world, f"{MODEL} limit"))
            before = self.count(world, "blpop")
            eventually(lambda: self.count(world, "blpop") >= before + 4, "they wait for tasks")
            asked = self.count(world, "evalsha")
            eventually(lambda: self.count(world, "blpop") >= before + 8, "they wait again")
            self.assertLessEqual(self.count(world, "evalsha") - asked, 40)

    @staticmethod
    def count(world, command):
        found = world.redis("INFO", "commandstats").decode().partition(f"cmdstat_{command}:calls=")[2]
        return int(found.partition(",")[0] or 0)


class Durability(ProcessTest):
    def test_without_the_required_durability_ark_is_not_called(self):
        for kind in ("replica", "aof"):
            with self.subTest(kind), World() as world:
                world.worker(PAID_CALL_DURABILITY=kind, PAID_CALL_DURABILITY_TIMEOUT="50ms", WORKER_MAX_ATTEMPTS=2)
                gateway = world.gateway()
                with gateway.generate("t1", prompt=sim("t1", "images=1")) as stream:
                    frames = stream.to_end()
                retry, end = frames[-3], frames[-1].payload()
                self.assertEqual(retry.payload()["code"], "not_durable")
                self.assertEqual((end["code"], end["paid_calls"], end["charged"]), ("not_durable", 0, "no"))
                self.assertEqual(world.ark.stats()["calls"], 0)

    def test_with_a_replica_ark_is_called(self):
        with World(tcp=True) as world, RedisServer(tcp=True) as replica:
            replica.client()("REPLICAOF", "127.0.0.1", world.redis_server.port)
            eventually(lambda: b"state=online" in world.redis("INFO", "replication"), "the replica is there")
            self.assert_called_for_all(world, "replica")

    def test_with_an_append_only_file_ark_is_called(self):
        with World(aof=True) as world:
            if world.redis("COMMAND", "INFO", "WAITAOF") == [None]:
                self.skipTest("this Redis has no WAITAOF")
            self.assert_called_for_all(world, "aof")

    def assert_called_for_all(self, world, kind):
        world.worker(PAID_CALL_DURABILITY=kind, ARK_MAX_IMAGES=1)
        world.submit_many(20, prompt=sim("t", "images=1"))
        end = world.wait_all_final()
        self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
        self.assertEqual(world.ark.stats()["calls"], 20)


if __name__ == "__main__":
    unittest.main()
