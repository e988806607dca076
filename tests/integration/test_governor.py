"""The ARK account's limits, one for all workers, and the confirmation of a paid call before it is made."""

import unittest

from support.processes import ProcessTest, eventually
from support.redis_server import RedisServer
from support.world import LEASE_S, World, sim

GOVERNOR, HOLDERS = "arkrelay:{account}:governor", "arkrelay:{account}:holders"


def overlaps(world):
    return world.ark.stats()["calls_max_open"]


class Limits(ProcessTest):
    def test_calls_in_flight_are_counted_over_all_workers(self):
        with World() as world:
            for _ in range(3):
                world.worker(ARK_CALLS_MAX=2, ARK_MAX_IMAGES=1)
            world.submit_many(20, prompt=sim("t", "images=1 latency=20"))
            world.wait_all_final()
            self.assertEqual((world.ark.stats()["calls"], overlaps(world)), (20, 2))

    def test_images_per_minute_are_counted_over_all_workers(self):
        with World() as world:
            for _ in range(2):
                world.worker(ARK_IMAGES_PER_MINUTE=6, ARK_MAX_IMAGES=1)
            world.submit_many(10, prompt=sim("t", "images=1"))
            eventually(lambda: world.redis("ZCARD", "arkrelay:{0}:index") == 4, "six tasks are final")
            self.assertEqual(world.redis("ZCARD", "arkrelay:{0}:pending"), 4)   # the next image is due in ten seconds
            self.assertEqual(world.ark.stats()["calls"], 6)
            filled_at = int(world.redis("HGET", GOVERNOR, "filled_at"))
            world.redis("HSET", GOVERNOR, "filled_at", filled_at - 60_000)      # a minute goes by
            world.wait_all_final()
            self.assertEqual(world.ark.stats()["calls"], 10)

    def test_images_that_did_not_come_may_be_made_by_others(self):
        with World() as world:
            world.worker(ARK_IMAGES_PER_MINUTE=6, ARK_MAX_IMAGES=3)
            world.submit_many(4, prompt=sim("t", "images=1"))                   # each reckons with 3 and brings 1
            world.wait_all_final()
            self.assertEqual(world.ark.stats()["images_billed"], 4)

    def test_a_refusal_pauses_all_workers(self):
        with World() as world:
            for _ in range(3):
                world.worker(ARK_MAX_IMAGES=1)
            world.ark.script({"status": 429, "code": "ModelAccountIpmRateLimitExceeded", "retry_after": 1})
            world.submit_many(1, "first", prompt=sim("first", "images=1"))
            eventually(lambda: int(world.redis("HGET", GOVERNOR, "paused_until") or 0), "the account is paused")
            world.submit_many(6, "other", prompt=sim("other", "images=1"))
            world.wait_all_final()
            refused, *taken = sorted(world.ark.calls(), key=lambda call: call["time_ms"])
            self.assertEqual((refused["status"], len(taken)), (429, 7))
            self.assertGreaterEqual(min(call["time_ms"] for call in taken) - refused["time_ms"], 1000)

    def test_the_permits_of_a_lost_worker_are_free_again(self):
        with World() as world:
            victim = world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1)
            world.submit_many(1, "slow", prompt=sim("slow", "images=1 hang"))
            world.ark.wait_calls(1)
            victim.kill()
            world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1, WORKER_MAX_ATTEMPTS=1)
            world.submit_many(1, "next", prompt=sim("next", "images=1"))
            world.wait_state("next0", "done")

    def test_a_worker_that_ends_leaves_no_permit_behind(self):
        with World() as world:
            worker = world.worker(ARK_CALLS_MAX=1, ARK_MAX_IMAGES=1)
            world.submit_many(1, prompt=sim("t", "images=1"))
            world.wait_all_final()
            self.assertEqual(worker.stop(), 0)
            self.assertEqual(world.redis("HGETALL", HOLDERS), [])


class Durability(ProcessTest):
    def test_without_the_replica_or_the_file_that_was_asked_for_ark_is_not_called(self):
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

    def test_with_a_replica_it_is(self):
        with World(tcp=True) as world, RedisServer(tcp=True) as replica:
            replica.client()("REPLICAOF", "127.0.0.1", world.redis_server.port)
            eventually(lambda: b"state=online" in world.redis("INFO", "replication"), "the replica is there")
            self.assert_called_for_all(world, "replica")

    def test_with_a_file_it_is(self):
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
