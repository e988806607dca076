"""Faults of our programs, Redis and the ways between them, by name: one at a time, and what must come of it is said exactly.
test_chaos breaks all of them at once.

Where the other named faults are tested:

    ARK, clients, cancelling, a proxy in front      test_faults_outside
    a worker killed during the call                 test_end_to_end_faults Workers.test_a_killed_worker_costs_nobody_the_result
    ... with a strict budget                        ... test_a_strict_budget_survives_a_kill
    ... with images that came before                ... test_images_that_came_before_the_kill_are_the_result
    a worker frozen beyond its lease                ... test_a_frozen_worker_that_comes_back_changes_nothing
    SIGTERM, twice                                  ... test_a_draining_worker_..., test_a_second_signal_ends_a_worker_at_once...
    a task that kills its workers                   ... test_a_task_that_kills_its_workers_is_poison
    a gateway drains                                test_gateway_faults Drain; test_end_to_end_faults Gateways
    a gateway and Redis that is away, or frozen     test_gateway_faults RedisAway
    Redis stopped, killed, without its scripts      test_end_to_end_faults RedisAway
    replies lost: CLAIM, BEGIN, EMIT, FINISH, SUBMIT    test_end_to_end_faults LostReplies
    one slow reader; slow requests                  test_gateway_faults SlowReader; test_http_connections (deadlines), test_http_stream
    ARK refuses the connection; proves another name test_end_to_end OtherWays.test_ark_is_down; test_fetch_connections
    a silent second POST of a dead connection       test_fetch_connections test_a_dead_connection_is_never_asked_again
    no memory                                       test_oom_*

    a replica takes over, with all or without the last      test_failover OneAddress; test_sentinel SentinelsLead
    two masters; no replica that confirms               test_failover OneAddress.test_is_at_both_of_two_masters, NobodyConfirms
    Redis that evicts; data of another version          test_store_fit
    thousands of streams, slow readers, idle clients    test_herds
    packets that are dropped                            test_network
    system calls that fail                              test_syscalls

Not here: slots of a Cluster, which is not supported.
"""

import concurrent.futures
import time
import unittest

from fault_case import PATIENT, SLOW, STORY, FaultTest, stories
from gateway_case import Job
from support.processes import Deadline, eventually
from support.world import LEASE_S, World, sim


class WorkerDies(FaultTest):
    """At each point between CLAIM and the end; another worker takes over."""

    def dies_at(self, world, script, **fields):
        """A worker that is killed while its request with this script is on its way. The stream of its task, and what it told."""
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

    def test_before_begin(self):
        with World() as world:
            frames = self.dies_at(world, "begin", max_paid_calls=1)
            self.assertEqual(stories(frames), ["start", "process requeued", *STORY[1:]])
            self.assertEqual(frames[-1].payload()["paid_calls"], 1)
            self.assert_calls(world, "t1", 1)

    def test_with_an_image_that_it_had_not_told(self):
        with World() as world:
            frames = self.dies_at(world, "emit", max_paid_calls=1)
            self.assertEqual(stories(frames), ["start", "process calling", "error"])
            error = frames[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
            self.assert_calls(world, "t1", 1)

    def test_before_finish(self):
        with World() as world:
            frames = self.dies_at(world, "finish", max_paid_calls=2)
            told = stories(frames).count("process image")
            self.assertIn(told, (2, 3))                     # the last one may go along with FINISH
            self.assertEqual(stories(frames), [*STORY[:2], *["process image"] * told, "done"])
            self.assertEqual((len(frames[-1].payload()["urls"]), frames[-1].payload()["paid_calls"]), (told, 1))
            self.assert_calls(world, "t1", 1)

    def test_after_finish_whose_answer_it_has_not_read(self):
        with World() as world:
            proxy, gateway = world.proxy(), world.gateway()
            victim = world.worker(REDIS_URL=proxy.url)
            proxy.lose_reply_to(world.run_script.sha1["finish"])
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                proxy.lost.wait()
                victim.kill()
                world.worker()
                self.assert_done_once(stream.to_end())

    def test_all_of_them(self):
        """The queue fills up to its limit, streams go on talking, and everything runs once somebody works."""
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


class WorkerStandsStill(FaultTest):
    def test_for_less_than_its_lease(self):
        with World() as world:
            worker, gateway = world.worker(WORKER_LEASE="6s"), world.gateway()
            world.worker(WORKER_LEASE="6s", WORKER_CONCURRENCY=1)
            with gateway.generate("t1", prompt=sim("t1", "first_latency=500")) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                caller = eventually(lambda: next((each for each in world.services if any("calls ARK" in line for line in list(each.lines))), None),
                                    "somebody says that it calls")
                caller.pause()
                renewals = time.monotonic() + 2.5           # one of them is due in between
                eventually(lambda: time.monotonic() > renewals, "a third of the lease has passed")
                caller.resume()
                self.assertEqual(stories(stream.to_end()), STORY[2:])
            self.assert_calls(world, "t1", 1)
            self.assertTrue(worker.is_running())

    def test_most_of_the_time(self):
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


class GatewayStandsStill(FaultTest):
    def test_while_its_stream_s_task_ends(self):
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


class RedisStandsStill(FaultTest):
    """Leases lapse meanwhile; their owners live, and nobody is to take their jobs when Redis is back."""

    def assert_it_outlives(self, world, begin, end):
        """One running task; the images of its call come before, amid and after what is done to Redis."""
        with world.gateway().generate("t1", prompt=sim("t1", "images=3 latency=2500")) as stream:
            frames = stream.until("process image")
            begin()
            lapsed = time.monotonic() + LEASE_S + 3.5       # longer than REAP may pause between two calls
            eventually(lambda: time.monotonic() > lapsed, "every lease has lapsed")
            end()
            self.assert_done_once(frames + stream.to_end())
        self.assert_calls(world, "t1", 1)

    def test_frozen(self):
        """What the others asked meanwhile, REAP too, runs the moment it is back, before the owner can renew."""
        with World() as world:
            proxy, server = world.proxy(), world.redis_server.program
            owner = world.worker(REDIS_URL=proxy.url)

            def begin():
                for _ in range(2):
                    world.worker()
                looking = time.monotonic() + 1.5            # they ask once a second
                eventually(lambda: time.monotonic() > looking, "the others look for lost jobs")
                proxy.freeze()
                server.pause()

            def end():
                server.resume()
                proxy.thaw()
            self.assert_it_outlives(world, begin, end)
            self.assertTrue(owner.is_running())

    def test_away_and_a_new_worker_is_the_first_to_come_back(self):
        with World(aof=True) as world:
            proxy = world.proxy()
            owner = world.worker(REDIS_URL=proxy.url)

            def end():
                proxy.freeze()
                world.redis_server.start()
                world.redis = world.redis_server.client()
                stranger = world.worker()
                stranger.wait_for("ready")
                seen = time.monotonic() + 2                 # it has looked for lost jobs
                eventually(lambda: time.monotonic() > seen, "the new worker has asked for lapsed leases")
                proxy.thaw()
            self.assert_it_outlives(world, world.redis_server.kill, end)
            self.assertTrue(owner.is_running())

    def test_asleep(self):
        """A slow script, or a fork: one task runs, one comes meanwhile."""
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


class ConnectionsBreak(FaultTest):
    def test_again_and_again(self):
        """CLIENT KILL for everybody, many times, while tasks run and are watched."""
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
                    told = [frame for frame in end.result() if frame.story() != "process requeued"]     # a CLAIM's lost answer
                    self.assertEqual(stories(told), STORY)
                    self.assertEqual([frame.n for frame in end.result()], list(range(1, len(end.result()) + 1)))
            for stream in streams:
                stream.close()
            self.assertEqual(len(world.ark.calls()), 10)

    def test_behind_a_renewal(self):
        with World() as world:
            proxy = world.proxy()
            gateway, _ = world.gateway(), world.worker(REDIS_URL=proxy.url)
            with gateway.generate("t1", prompt=sim("t1", "first_latency=1500")) as stream:
                proxy.lose_reply_to(world.run_script.sha1["renew"])
                proxy.lost.wait()
                self.assert_done_once(stream.to_end())

    def test_behind_a_look_for_lost_jobs(self):
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

    def test_behind_a_cancel(self):
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
    """Packets vanish between a program and Redis: nothing is refused, nothing is answered."""

    def test_of_a_gateway(self):
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

    def test_of_a_worker(self):
        """It keeps what ARK delivers, but it can begin nothing; the other worker settles its jobs."""
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

    def test_a_slow_network_is_only_slow(self):
        with World() as world:
            ways = [world.proxy(), world.proxy()]
            gateway, _ = world.gateway(REDIS_URL=ways[0].url), world.worker(REDIS_URL=ways[1].url, WORKER_LEASE="5s")
            for way in ways:
                way.delay(0.2)
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                self.assert_done_once(stream.to_end())


class RedisIsFull(FaultTest):
    def test_of_memory(self):
        """New tasks stay out; what runs reaches its end."""
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
        """A gateway, and a task whose first image comes when the log cannot grow any more."""
        gateway = world.gateway()
        world.worker()
        stream = gateway.generate("t1", prompt=sim("t1", "images=3 latency=700"))
        self.addCleanup(stream.close)
        frames = stream.until("process calling")
        world.ark.wait_calls(1)
        world.redis_server.program.limit("fsize", 1)
        return gateway, stream, frames

    def test_of_its_disk_and_takes_no_writes(self):
        with World(aof=True, options=("--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")) as world:
            gateway, stream, frames = self.runs_out_of_disk(world)
            refused = eventually(lambda: (answer := gateway.submit("t2")).status == 503 and answer, "the disk is full")
            self.assertEqual(refused.json()["code"], "store_unavailable")
            self.assertTrue(world.redis_server.program.is_running())
            world.redis_server.program.limit("fsize", "unlimited")
            self.assert_done_once(frames + stream.to_end())
            self.assert_calls(world, "t1", 1)
            eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    def test_of_its_disk_and_gives_up(self):
        """appendfsync always: Redis ends rather than promise what it cannot keep."""
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
