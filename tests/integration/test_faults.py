"""Single faults of our programs, Redis and their connections, with the exact expected result. test_chaos injects random faults at the same
time.

Where the other faults are tested:

    ARK, clients, cancelling, proxies               test_faults_outside
    a worker killed during the call                 test_end_to_end_faults Workers.test_a_task_of_a_killed_worker_is_completed_by_another
    ... with a strict budget                        ... test_a_strict_budget_survives_a_kill
    ... with images delivered before                ... test_images_delivered_before_the_kill_are_the_result
    a worker frozen beyond its lease                ... test_a_frozen_worker_changes_nothing_after_it_continues
    SIGTERM, twice                                  ... test_a_draining_worker_..., test_a_second_signal_stops_a_worker_at_once...
    a task that kills its workers                   ... test_a_task_that_kills_its_workers_is_poison
    a gateway drains                                test_gateway_faults Drain; test_end_to_end_faults Gateways
    a gateway without Redis, or with a frozen one   test_gateway_faults RedisUnavailable
    Redis stopped, killed, without its scripts      test_end_to_end_faults RedisUnavailable
    replies lost: CLAIM, BEGIN, EMIT, FINISH, SUBMIT    test_end_to_end_faults LostReplies
    one slow reader; slow requests                  test_gateway_faults SlowReader; test_http_connections (deadlines), test_http_stream
    ARK refuses the connection; a wrong certificate test_end_to_end OtherOptions.test_ark_is_down...; test_fetch_connections
    a repeated POST on a dead connection            test_fetch_connections test_a_dead_connection_is_never_asked_again
    out of memory                                   test_oom_*

    failover, with and without the last writes          test_failover OneAddress; test_sentinel Failover
    two masters; no replica that confirms               test_failover OneAddress.test_two_masters_at_the_same_time, WithoutConfirmation
    Redis that evicts; data of another version          test_store_fit
    thousands of streams, slow readers, idle clients    test_herds
    dropped packets                                     test_network
    failing system calls                                test_syscalls

Redis Cluster is not supported, so it is not tested.
"""

import concurrent.futures
import time
import unittest

from fault_case import PATIENT, SLOW, STORY, FaultTest, stories
from gateway_case import Job
from support.processes import Deadline, eventually
from support.world import LEASE_S, World, sim


class KilledWorker(FaultTest):
    """Killed at each point between CLAIM and the end; another worker takes over."""

    def dies_at(self, world, script, **fields):
        """Kills a worker while its request with this script is held by a proxy. Returns the stream of its task and the events so far."""
        proxy, gateway = world.proxy(), world.gateway()
        victim = world.worker(REDIS_URL=proxy.url, **PATIENT)
        proxy.hold(world.run_script.sha1[script])
        stream = gateway.generate("t1", prompt=sim("t1"), **fields)
        proxy.held.wait()
        victim.kill()
        proxy.cut_all()
        world.worker()
        with stream:
            return stream.to_end()

    def test_killed_before_begin(self):
        with World() as world:
            frames = self.dies_at(world, "begin", max_paid_calls=1)
            self.assertEqual(stories(frames), ["start", "process requeued", *STORY[1:]])
            self.assertEqual(frames[-1].payload()["paid_calls"], 1)
            self.assert_calls(world, "t1", 1)

    def test_killed_with_an_image_not_yet_stored(self):
        with World() as world:
            frames = self.dies_at(world, "emit", max_paid_calls=1)
            self.assertEqual(stories(frames), ["start", "process calling", "error"])
            error = frames[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
            self.assert_calls(world, "t1", 1)

    def test_killed_before_finish(self):
        with World() as world:
            frames = self.dies_at(world, "finish", max_paid_calls=2)
            images = stories(frames).count("process image")
            self.assertIn(images, (2, 3))                     # the last image may be sent with FINISH
            self.assertEqual(stories(frames), [*STORY[:2], *["process image"] * images, "done"])
            self.assertEqual((len(frames[-1].payload()["urls"]), frames[-1].payload()["paid_calls"]), (images, 1))
            self.assert_calls(world, "t1", 1)

    def test_killed_before_the_reply_to_finish(self):
        with World() as world:
            proxy, gateway = world.proxy(), world.gateway()
            victim = world.worker(REDIS_URL=proxy.url)
            proxy.lose_reply_to(world.run_script.sha1["finish"])
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                proxy.lost.wait()
                victim.kill()
                world.worker()
                self.assert_done_once(stream.to_end())

    def test_all_workers_killed(self):
        """The queue fills up to its limit, streams get heartbeats, and all tasks run once there is a worker."""
        with World() as world:
            gateway = world.gateway(GATEWAY_QUEUE_LIMIT=3, GATEWAY_HEARTBEAT="200ms")
            victim = world.worker(WORKER_CONCURRENCY=1)
            world.ark.script({"first_latency": 60000})
            with gateway.generate("t0", prompt=sim("t0")) as running:
                running.until("process calling")
                world.ark.wait_calls(1)
                victim.kill()
                for n in range(1, 4):
                    self.assertEqual(gateway.submit(f"t{n}", prompt=sim(f"t{n}")).status, 202)
                refused = gateway.submit("t4", prompt=sim("t4"))
                self.assertEqual((refused.status, refused.json()["code"]), (503, "queue_full"))
                self.assertIn("retry-after", refused.headers)
                while running.next().comment != "keep-alive":
                    pass
                world.worker()
                self.assertEqual(running.to_end()[-1].payload()["paid_calls"], 2)
            self.assertEqual({task.state for task in world.wait_all_final().tasks.values()}, {"done"})
            self.assertEqual(gateway.submit("t4", prompt=sim("t4")).status, 202)


class FrozenWorker(FaultTest):
    def test_frozen_for_less_than_its_lease(self):
        with World() as world:
            worker, gateway = world.worker(WORKER_LEASE="6s"), world.gateway()
            world.worker(WORKER_LEASE="6s", WORKER_CONCURRENCY=1)
            with gateway.generate("t1", prompt=sim("t1", "first_latency=500")) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                caller = eventually(lambda: next((each for each in world.services if any("calls ARK" in line for line in list(each.lines))), None),
                                    "a worker reports a call")
                caller.pause()
                renewals = time.monotonic() + 2.5           # a renewal is due within this time
                eventually(lambda: time.monotonic() > renewals, "a third of the lease has passed")
                caller.resume()
                self.assertEqual(stories(stream.to_end()), STORY[2:])
            self.assert_calls(world, "t1", 1)
            self.assertTrue(worker.is_running())

    def test_with_a_twentieth_of_the_processor(self):
        """A worker that gets a twentieth of the processor keeps its leases, or loses them cleanly."""
        with World() as world:
            worker, gateway = world.worker(WORKER_CONCURRENCY=10, WORKER_LEASE="3s"), world.gateway()
            for n in range(40):
                self.assertEqual(gateway.submit(f"t{n}", prompt=sim(f"t{n}", "images=1 latency=50")).status, 202)
            turn = 0
            while world.redis("ZCOUNT", "arkrelay:{0}:index", 0, "+inf") and turn < 200:
                worker.pause()
                time.sleep(0.095)
                worker.resume()
                time.sleep(0.005)
                turn += 1
            end = world.wait_all_final()
            self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
            for task_id, task in end.tasks.items():
                self.assertLessEqual(len(world.ark.calls_of(task_id.partition(".")[2])), task.number("paid_calls"))


class FrozenGateway(FaultTest):
    def test_a_gateway_frozen_while_a_task_ends(self):
        with World() as world:
            gateway = world.gateway()
            with gateway.generate("t1") as stream:
                stream.until("start")
                job = Job(world.run_script, "t1")
                job.begin()
                gateway.pause()
                for index in range(3):
                    job.emit(index)
                job.finish()
                gateway.resume()
                self.assertEqual([frame.n for frame in stream.to_end()], [2, 3, 4, 5, 6])


class FrozenRedis(FaultTest):
    """Leases expire meanwhile although their workers are alive. When Redis is back, no other worker may take their jobs."""

    def assert_it_outlives(self, world, begin, end):
        """Runs one task whose images arrive before, during and after the fault."""
        with world.gateway().generate("t1", prompt=sim("t1", "images=3 latency=2500")) as stream:
            frames = stream.until("process image")
            begin()
            lapsed = time.monotonic() + LEASE_S + 3.5       # longer than the interval of REAP
            eventually(lambda: time.monotonic() > lapsed, "every lease has lapsed")
            end()
            self.assert_done_once(frames + stream.to_end())
        self.assert_calls(world, "t1", 1)

    def test_redis_frozen(self):
        """Commands sent meanwhile, including REAP, run as soon as Redis continues, before the worker can renew its lease."""
        with World() as world:
            proxy, server = world.proxy(), world.redis_server.program
            owner = world.worker(REDIS_URL=proxy.url)

            def begin():
                for _ in range(2):
                    world.worker()
                looking = time.monotonic() + 1.5            # workers send REAP once a second
                eventually(lambda: time.monotonic() > looking, "the others look for lost jobs")
                proxy.freeze()
                server.pause()

            def end():
                server.resume()
                proxy.thaw()
            self.assert_it_outlives(world, begin, end)
            self.assertTrue(owner.is_running())

    def test_redis_unreachable_and_a_new_worker_reconnects_first(self):
        with World(aof=True) as world:
            proxy = world.proxy()
            owner = world.worker(REDIS_URL=proxy.url)

            def end():
                proxy.freeze()
                world.redis_server.start()
                world.redis = world.redis_server.client()
                stranger = world.worker()
                stranger.wait_for("ready")
                seen = time.monotonic() + 2                 # it has sent REAP
                eventually(lambda: time.monotonic() > seen, "the new worker has asked for lapsed leases")
                proxy.thaw()
            self.assert_it_outlives(world, world.redis_server.kill, end)
            self.assertTrue(owner.is_running())

    def test_redis_blocked(self):
        """As with a slow script or a fork. One task is running, another is submitted meanwhile."""
        with World() as world:
            world.worker()
            gateway = world.gateway()
            with gateway.generate("t1", prompt=sim("t1", "latency=300")) as stream:
                frames = stream.until("process calling")
                world.redis_server.client().send("DEBUG", "SLEEP", "3")
                while (answer := gateway.submit("t2", prompt=sim("t2"))).status == 503:
                    self.assertIn("retry-after", answer.headers)
                self.assertIn(answer.status, (200, 202))
                self.assert_done_once(frames + stream.to_end())
            world.wait_state("t2", "done")
            self.assertEqual(len(world.ark.calls()), 2)


class BrokenConnections(FaultTest):
    def test_repeated_client_kill(self):
        """CLIENT KILL of all connections, many times, while tasks run and have viewers."""
        with World() as world:
            gateway = world.gateway()
            world.worker(WORKER_LEASE="10s")
            streams = [gateway.generate(f"t{n}", prompt=sim(f"t{n}", "images=3 latency=500")) for n in range(10)]
            with concurrent.futures.ThreadPoolExecutor(len(streams)) as pool:
                ends = [pool.submit(stream.to_end) for stream in streams]
                while not all(end.done() for end in ends):
                    world.redis("CLIENT", "KILL", "TYPE", "normal")
                    world.redis("CLIENT", "KILL", "TYPE", "pubsub")
                    concurrent.futures.wait(ends, timeout=0.4)
                for end in ends:
                    seen = [frame for frame in end.result() if frame.story() != "process requeued"]     # after a lost reply to CLAIM
                    self.assertEqual(stories(seen), STORY)
                    self.assertEqual([frame.n for frame in end.result()], list(range(1, len(end.result()) + 1)))
            for stream in streams:
                stream.close()
            self.assertEqual(len(world.ark.calls()), 10)

    def test_a_break_after_a_renewal(self):
        with World() as world:
            proxy = world.proxy()
            gateway, _ = world.gateway(), world.worker(REDIS_URL=proxy.url)
            with gateway.generate("t1", prompt=sim("t1", "first_latency=1500")) as stream:
                proxy.lose_reply_to(world.run_script.sha1["renew"])
                proxy.lost.wait()
                self.assert_done_once(stream.to_end())

    def test_a_break_after_a_reap(self):
        with World() as world:
            proxy = world.proxy()
            victim, gateway = world.worker(), world.gateway()
            world.ark.script({"first_latency": 60000}, {})
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                world.ark.wait_calls(1)
                world.worker(REDIS_URL=proxy.url)
                victim.kill()
                proxy.lose_reply_to(world.run_script.sha1["reap"])
                self.assertEqual(stories(stream.to_end()), [*STORY[:2], "process requeued", *STORY[1:]])

    def test_a_break_after_a_cancel(self):
        with World() as world:
            proxy = world.proxy()
            gateway = world.gateway(REDIS_URL=proxy.url)
            self.assertEqual(gateway.submit("t1").status, 202)
            proxy.lose_reply_to(world.run_script.sha1["cancel"])
            self.assertIn(gateway.cancel("t1").status, (200, 409, 503))
            proxy.lost.wait()
            again = eventually(lambda: (answer := gateway.cancel("t1")).status != 503 and answer, "cancel is answered")
            self.assertEqual(again.status, 409)
            self.assertEqual(world.find("t1").story(), ["start", "error"])


class Partitions(FaultTest):
    """Packets between a program and Redis are dropped silently."""

    def test_a_partitioned_gateway(self):
        with World() as world:
            proxy = world.proxy()
            gateway = world.gateway(REDIS_URL=proxy.url, GATEWAY_HEARTBEAT="200ms")
            with gateway.generate("t1") as stream:
                stream.until("start")
                proxy.freeze()
                answered = Deadline(6)
                answer = gateway.submit("t2")
                self.assertEqual((answer.status, answer.json()["code"]), (503, "store_unavailable"))
                self.assertFalse(answered.passed())
                while stream.next().comment != "degraded":
                    pass
                job = Job(world.run_script, "t1")
                job.begin()
                job.finish()
                proxy.thaw()
                self.assertEqual([frame.n for frame in stream.to_end()], [2, 3])
            answer = eventually(lambda: (answer := gateway.submit("t2")).status != 503 and answer, "it takes work again")
            self.assertIn(answer.status, (200, 202))

    def test_a_partitioned_worker(self):
        """It keeps images that ARK delivers but starts no call; the other worker settles its jobs."""
        with World() as world:
            proxy = world.proxy()
            alone, gateway = world.worker(REDIS_URL=proxy.url), world.gateway()
            with gateway.generate("t1", prompt=sim("t1", SLOW), max_paid_calls=1) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                proxy.freeze()
                world.worker()
                error = stream.to_end()[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
            before = world.look().everything
            proxy.thaw()
            alone.wait_for("lease lost")
            after = world.look().everything
            self.assertEqual({key: after[key] for key in before if ":public.t1" in key},
                             {key: before[key] for key in before if ":public.t1" in key})
            self.assert_calls(world, "t1", 1)

    def test_a_slow_network(self):
        with World() as world:
            ways = [world.proxy(), world.proxy()]
            gateway, _ = world.gateway(REDIS_URL=ways[0].url), world.worker(REDIS_URL=ways[1].url, WORKER_LEASE="5s")
            for way in ways:
                way.delay(0.2)
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                self.assert_done_once(stream.to_end())


class FullRedis(FaultTest):
    def test_redis_out_of_memory(self):
        """New tasks are refused; running tasks are completed."""
        with World() as world:
            gateway, _ = world.gateway(), world.worker()
            with gateway.generate("t1", prompt=sim("t1", "images=3 latency=300")) as stream:
                frames = stream.until("process calling")
                world.redis("CONFIG", "SET", "maxmemory", "1")
                refused = gateway.submit("t2")
                self.assertEqual((refused.status, refused.json()["code"]), (503, "store_unavailable"))
                self.assert_done_once(frames + stream.to_end())
            world.redis("CONFIG", "SET", "maxmemory", "0")
            self.assertEqual(gateway.submit("t2", prompt=sim("t2")).status, 202)
            world.wait_state("t2", "done")

    def runs_out_of_disk(self, world):
        """Returns a gateway and a task whose first image arrives when the append-only file cannot grow any more."""
        gateway = world.gateway()
        world.worker()
        stream = gateway.generate("t1", prompt=sim("t1", "images=3 latency=700"))
        self.addCleanup(stream.close)
        frames = stream.until("process calling")
        world.ark.wait_calls(1)
        world.redis_server.program.limit("fsize", 1)
        return gateway, stream, frames

    def test_redis_with_a_full_disk_refuses_writes(self):
        with World(aof=True, options=("--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")) as world:
            gateway, stream, frames = self.runs_out_of_disk(world)
            refused = eventually(lambda: (answer := gateway.submit("t2")).status == 503 and answer, "the disk is full")
            self.assertEqual(refused.json()["code"], "store_unavailable")
            self.assertTrue(world.redis_server.program.is_running())
            world.redis_server.program.limit("fsize", "unlimited")
            self.assert_done_once(frames + stream.to_end())
            self.assert_calls(world, "t1", 1)
            eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    def test_redis_with_a_full_disk_exits(self):
        """With appendfsync always, Redis exits on a write error."""
        with World(aof=True) as world:
            gateway, stream, frames = self.runs_out_of_disk(world)
            self.assertEqual(world.redis_server.program.wait_exit(), 1)
            self.assertEqual(gateway.submit("t2").status, 503)
            world.redis_server.start()
            world.redis = world.redis_server.client()
            self.assert_done_once(frames + stream.to_end())
            self.assert_calls(world, "t1", 1)


if __name__ == "__main__":
    unittest.main()
