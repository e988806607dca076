"""Faults by name: one thing is broken at a time, and what must come of it is said exactly. test_chaos breaks all of them at once.

Where the other named faults are tested:

    a worker killed during the call                 test_end_to_end_faults Workers.test_a_killed_worker_costs_nobody_the_result
    ... with a strict budget, with images           ... test_a_strict_budget_survives_a_kill, test_images_that_came_before_the_kill...
    a worker frozen beyond its lease                ... test_a_frozen_worker_that_comes_back_changes_nothing
    SIGTERM, twice                                  ... test_a_draining_worker_..., test_a_second_signal_ends_a_worker_at_once...
    a task that kills its workers                   ... test_a_task_that_kills_its_workers_is_poison
    a gateway drains                                test_gateway_faults Drain; test_end_to_end_faults Gateways
    a gateway and Redis that is away, or frozen     test_gateway_faults RedisAway
    Redis stopped, killed, without its scripts      test_end_to_end_faults RedisAway
    replies lost: CLAIM, BEGIN, EMIT, FINISH, SUBMIT    test_end_to_end_faults LostReplies
    one slow reader; slow requests                  test_gateway_faults SlowReader; test_http_server (deadlines), test_http_stream
    ARK refuses the connection; proves another name test_end_to_end OtherWays.test_ark_is_down; test_fetch
    a silent second POST of a dead connection       test_fetch test_a_dead_connection_is_never_asked_again
    no memory                                       test_oom_*

Not here: replicas, failover and split brain need more than one Redis (a paid call that must survive them waits for
PAID_CALL_DURABILITY); slots of a Cluster; version skew, since programs bring their own scripts.
"""

import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import tempfile
import time
import unittest
from collections import Counter

from gateway_case import Job
from support.http_client import Connection, Cut, EventStream, fetch
from support.processes import Deadline, ProcessTest, Program, eventually
from support.redis_server import free_port
from support.world import BASE, LEASE_S, World, request, sim

SEED = os.environ.get("ARKRELAY_SEED") or str(random.randrange(10**6))
STORY = ["start", "process calling", *["process image"] * 3, "done"]
SLOW = "first_latency=60000"
STREAMS = 400
PATIENT = {"REDIS_TIMEOUT": "30s"}      # of a program whose request a proxy holds


def stories(frames):
    return [frame.story() for frame in frames]


class FaultTest(ProcessTest):
    def assert_calls(self, world, task_id, count):
        self.assertEqual(len(world.ark.calls_of(task_id)), count, world.ark.calls_of(task_id))

    def assert_done_once(self, frames):
        """The whole story, told once, with one paid call."""
        self.assertEqual(stories(frames), STORY)
        self.assertEqual([frame.n for frame in frames], list(range(1, len(STORY) + 1)))
        self.assertEqual(frames[-1].payload()["paid_calls"], 1)


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
            self.assert_done_once(self.dies_at(world, "finish", max_paid_calls=2))
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
                caller = next(each for each in world.services if any("calls ARK" in line for line in each.lines))
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
            while world.redis("ZCARD", "arkrelay:{0}:index") and turn < 200:
                worker.pause()
                time.sleep(0.095)
                worker.resume()
                time.sleep(0.005)
                turn += 1
            end = world.wait_all_final()
            self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
            for task_id, task in end.tasks.items():
                self.assertLessEqual(len(world.ark.calls_of(task_id.partition(".")[2])), task.number("paid_calls"))


class GatewayDies(FaultTest):
    def test_with_hundreds_of_streams(self):
        """They come again at another gateway, all at once, and each sees its task from where it stood."""
        with World() as world:
            victim, other = world.gateway(LOG_LEVEL="info"), world.gateway(LOG_LEVEL="info")
            streams = [victim.generate(f"t{n}", prompt=sim(f"t{n}", "images=1 latency=5")) for n in range(STREAMS)]
            retries, last = [], []
            for stream in streams:
                first = stream.next()
                retries.append(first.retry or stream.next().retry)
                last.append((first if first.event else stream.until("start")[-1]).id)
            self.assertTrue(set(retries) <= set(range(2000, 4001)))
            self.assertGreater(len(set(retries)), STREAMS / 4, "not all come back at the same moment")
            victim.kill()
            for stream in streams:
                with self.assertRaises(Cut):
                    stream.to_end()
                stream.close()

            def resume(n):
                with other.follow(f"t{n}", last[n]) as stream:
                    return stream.to_end()
            with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
                resumed = [pool.submit(resume, n) for n in range(STREAMS)]
                eventually(lambda: world.redis("PUBSUB", "NUMPAT") + len(world.redis("PUBSUB", "CHANNELS", "arkrelay:*")) >= STREAMS,
                           "all have come back")
                world.worker(WORKER_CONCURRENCY=50, ARK_IMAGES_PER_MINUTE=0, LOG_LEVEL="info")
                for frames in (each.result() for each in resumed):
                    self.assertEqual([frame.n for frame in frames], [2, 3, 4])
                    self.assertEqual(frames[-1].event, "done")
            self.assertEqual(len(world.ark.calls()), STREAMS)

    def test_not_but_stands_still(self):
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
            alone.wait_for("lost its lease")
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

    def test_of_its_disk(self):
        """The log cannot grow: Redis takes no writes. With room again everything goes on."""
        with World(aof=True, options=("--auto-aof-rewrite-percentage", "0")) as world:
            gateway, _ = world.gateway(), world.worker()
            with gateway.generate("t1", prompt=sim("t1", "images=3 latency=700")) as stream:
                frames = stream.until("process calling")
                world.ark.wait_calls(1)
                self.limit_files(world, 1)
                refused = eventually(lambda: (answer := gateway.submit("t2")).status not in (200, 202) and answer, "the disk is full")
                self.assertEqual((refused.status, refused.json()["code"]), (503, "store_unavailable"))
                self.assertTrue(world.redis_server.program.is_running())
                self.limit_files(world, "unlimited")
                self.assert_done_once(frames + stream.to_end())
            self.assert_calls(world, "t1", 1)
            eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    @staticmethod
    def limit_files(world, size):
        """No file may grow beyond this."""
        assert os.spawnlp(os.P_WAIT, "prlimit", "prlimit", "--pid", str(world.redis_server.program.pid), f"--fsize={size}:unlimited") == 0


class Crowds(FaultTest):
    def test_a_hundred_readers_that_do_not_read(self):
        """Each holds at most its share of memory, then it is cut."""
        with World(ark=False) as world:
            gateway = world.gateway(GATEWAY_OUTPUT_MAX="64k", LOG_LEVEL="info")
            with gateway.generate("t1") as quick:
                quick.until("start")
                job = Job(world.run_script, "t1")
                before = gateway.memory()
                slow = [EventStream(gateway.address, "GET", f"{BASE}/tasks/t1/stream", receive_buffer=4096) for _ in range(100)]
                for _ in range(100):
                    job.talk(60_000)
                    quick.next_event()
                if not gateway.is_sanitized():
                    self.assertLess(gateway.memory() - before, 100 * 3 * (64 << 10) + (8 << 20))
                eventually(lambda: world.redis("PUBSUB", "NUMSUB", "arkrelay:{0}:channel:public.t1")[1] == 1 and
                           gateway.open_files() < 30, "the slow ones are cut")
                job.finish()
                self.assertEqual(quick.to_end()[-1].n, 102)
            for stream in slow:
                stream.close()

    def test_idle_connections_up_to_the_limit(self):
        with World(ark=False) as world:
            gateway = world.gateway(GATEWAY_CONNECTIONS_MAX=500)
            with gateway.generate("t1") as early:
                early.until("start")
                idle = [Connection(gateway.address) for _ in range(520)]
                answer = eventually(lambda: idle[-1].wait_closed(), "a connection beyond the limit is told so")
                self.assertIn(b" 503 ", answer.partition(b"\r\n")[0])
                Job(world.run_script, "t1").finish()
                self.assertEqual(early.to_end()[-1].event, "done", "who was there is served")
            for connection in idle:
                connection.close()
            eventually(lambda: gateway.get("/livez").status == 200, "there is room again")

    def test_no_file_descriptors_left(self):
        with World(ark=False) as world:
            gateway = world.gateway()
            with gateway.generate("t1") as stream:
                stream.until("start")
                limit = gateway.open_files() + 3
                os.spawnlp(os.P_WAIT, "prlimit", "prlimit", "--pid", str(gateway.pid), f"--nofile={limit}:20000")
                waiting = [Connection(gateway.address) for _ in range(20)]
                busy_before, until = self.processor_time(gateway), time.monotonic() + 1
                eventually(lambda: time.monotonic() > until, "a second has passed")
                self.assertLess(self.processor_time(gateway) - busy_before, 0.5, "it does not spin")
                Job(world.run_script, "t1").finish()
                self.assertEqual(stream.to_end()[-1].event, "done")
                os.spawnlp(os.P_WAIT, "prlimit", "prlimit", "--pid", str(gateway.pid), "--nofile=20000:20000")
                for connection in waiting:
                    connection.request("GET", "/livez")
                    self.assertEqual(connection.response().status, 200)
                    connection.close()

    @staticmethod
    def processor_time(program):
        fields = pathlib.Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ArkFails(FaultTest):
    def one_task(self, world, directives="", **options):
        fields = options.pop("fields", {})
        world.worker(**options)
        with world.gateway().generate("t1", prompt=sim("t1", directives), **fields) as stream:
            return stream.to_end()

    def test_its_name_does_not_resolve(self):
        with World() as world:
            name = "x" * 64                             # no label may be so long: nobody is asked
            frames = self.one_task(world, WORKER_MAX_ATTEMPTS=2, ARK_BASE_URL=f"http://{name}.test/api/v3")
            error = frames[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"], error["attempts"]), ("ark_unreachable", "no", 0, 2))

    def test_it_takes_the_request_and_breaks_off(self):
        """Exactly one call, and nobody claims to know what became of it."""
        for directives in ("cut_after_image=0", "cut_at_byte=0", "rst", "cut_at_byte=40", "body_garbage", "html_502", "hang"):
            with self.subTest(directives), World() as world:
                frames = self.one_task(world, directives, fields={"max_paid_calls": 1}, ARK_FIRST_BYTE_TIMEOUT="500ms")
                error = frames[-1].payload()
                self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
                self.assert_calls(world, "t1", 1)

    def test_a_storm_of_refusals(self):
        """All are done in the end, and none of the refusals was paid."""
        with World() as world:
            gateway = world.gateway()
            world.ark.script(*[{"status": 429}, {"status": 503}] * 8)
            for n in range(20):
                self.assertEqual(gateway.submit(f"t{n}", prompt=sim(f"t{n}", "images=1")).status, 202)
            world.worker(WORKER_MAX_ATTEMPTS=50)
            end = world.wait_all_final()
            self.assertEqual({(task.state, task.number("paid_calls")) for task in end.tasks.values()}, {("done", 1)})
            self.assertEqual(Counter(call["status"] for call in world.ark.calls()), {200: 20, 429: 8, 503: 8})

    def test_an_answer_that_is_too_long(self):
        """ARK has made the picture and it is charged, but the worker does not swallow everything."""
        for directives in ("images=1 big=3000000", "images=1 big=3000000 gzip"):
            with self.subTest(directives), World() as world:
                worker_memory = {"ARK_STREAM": "off", "ARK_RESPONSE_FORMAT": "b64_json", "ARK_ANSWER_MAX": "1m"}
                frames = self.one_task(world, directives, fields={"max_paid_calls": 1}, **worker_memory)
                error = frames[-1].payload()
                self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))

    def test_an_answer_in_single_bytes(self):
        with World() as world:
            self.assert_done_once(self.one_task(world, "chunk=1"))

    def test_it_hangs_and_the_stream_talks(self):
        with World() as world:
            world.worker(ARK_FIRST_BYTE_TIMEOUT="1500ms", WORKER_CONCURRENCY=1)
            gateway = world.gateway(GATEWAY_HEARTBEAT="200ms")
            with gateway.generate("t1", prompt=sim("t1", "hang"), max_paid_calls=1) as stream:
                comments = 0
                while (frame := stream.next()).event != "error":
                    comments += frame.comment == "keep-alive"
                self.assertEqual(frame.payload()["code"], "outcome_unknown")
                self.assertGreaterEqual(comments, 4)
            with gateway.generate("t2", prompt=sim("t2")) as stream:
                self.assertEqual(stream.to_end()[-1].event, "done", "its slot is free again")


class Cancelled(FaultTest):
    def test_before_it_is_claimed(self):
        with World() as world:
            gateway = world.gateway()
            gateway.submit("t1")
            self.assertEqual(gateway.cancel("t1").status, 200)
            world.worker()
            self.assert_cancelled(world, 0)

    def test_before_begin(self):
        with World() as world:
            proxy, gateway = world.proxy(), world.gateway()
            world.worker(REDIS_URL=proxy.url, WORKER_LEASE="30s", **PATIENT)
            proxy.hold(world.run_script.sha1["begin"])
            gateway.submit("t1", prompt=sim("t1"))
            proxy.held.wait()
            self.assertEqual(gateway.cancel("t1").status, 202)
            proxy.release()
            self.assert_cancelled(world, 0)

    def test_during_the_call(self):
        with World() as world:
            gateway, _ = world.gateway(), world.worker()
            gateway.submit("t1", prompt=sim("t1", SLOW))
            world.ark.wait_calls(1)
            self.assertEqual(gateway.cancel("t1").status, 202)
            self.assert_cancelled(world, 1)

    def test_after_the_end(self):
        with World() as world:
            gateway, _ = world.gateway(), world.worker()
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                self.assert_done_once(stream.to_end())
            self.assertEqual(gateway.cancel("t1").status, 409)
            self.assertEqual(world.find("t1").state, "done")

    def assert_cancelled(self, world, paid):
        task = world.wait_state("t1", "cancelled")
        self.assertEqual((task.log[-1].data["code"], task.number("paid_calls")), ("cancelled", paid))
        self.assertEqual(task.log[-1].data["charged"], "unknown" if paid else "no")
        self.assert_calls(world, "t1", paid)

    def test_at_any_moment(self):
        rng = random.Random(SEED)
        print(f"seed {SEED}")
        with World() as world:
            gateway, _ = world.gateway(), world.worker(ARK_IMAGES_PER_MINUTE=0)

            def one(n, delay):
                gateway.submit(f"t{n}", prompt=sim(f"t{n}", "images=2 latency=40"))
                time.sleep(delay)
                return gateway.cancel(f"t{n}").status
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                answers = list(pool.map(one, range(80), [rng.uniform(0, 0.15) for _ in range(80)]))
            end = world.wait_all_final()
            for n, answer in enumerate(answers):
                task = end.tasks[f"public.t{n}"]
                self.assertIn(task.state, {200: ("cancelled",), 202: ("cancelled", "done"), 409: ("done",)}[answer])
                self.assertEqual(len(world.ark.calls_of(f"t{n}")), task.number("paid_calls"))
                if task.log[-1].data["charged"] == "no":
                    self.assert_calls(world, f"t{n}", 0)


@unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
class BehindNginx(FaultTest):
    """nginx with its defaults buffers what it passes on, unless the answer says that it must not."""

    CONFIG = """
        daemon off; master_process off; pid {folder}/pid; error_log stderr;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
            uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; {more} }} }}
        }}"""

    def nginx(self, gateway, more=""):
        folder, port = tempfile.mkdtemp(prefix="arkrelay-nginx-"), free_port()
        self.addCleanup(shutil.rmtree, folder, True)
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(self.CONFIG.format(folder=folder, port=port, url=gateway.url, more=more))
        nginx = Program("nginx", [shutil.which("nginx"), "-e", "stderr", "-p", folder, "-c", str(config)])
        address = f"127.0.0.1:{port}"

        def is_up():
            try:
                return fetch(address, "GET", "/livez").status == 200
            except ConnectionRefusedError:
                return False
        eventually(is_up, "nginx listens")
        return address, nginx

    def first_event(self, address, task_id, seconds):
        with EventStream(address, "POST", f"{BASE}/generate/stream", request(task_id), seconds=seconds) as stream:
            return stream.next_event(seconds)

    def test_events_pass_at_once(self):
        with World(ark=False) as world:
            gateway = world.gateway()
            address, nginx = self.nginx(gateway)
            with EventStream(address, "POST", f"{BASE}/generate/stream", request("t1")) as stream:
                first = stream.next_event()
                self.assertEqual(first.event, "start")
                self.assertLess(first.at - stream.began, 1)
                job = Job(world.run_script, "t1")
                job.begin()
                self.assertEqual(stream.next_event().n, 2)
                job.finish()
                self.assertEqual([frame.n for frame in stream.to_end()], [3])
            nginx.stop()

    def test_and_it_is_the_header_that_makes_them_pass(self):
        with World(ark=False) as world:
            address, nginx = self.nginx(world.gateway(), "proxy_ignore_headers X-Accel-Buffering;")
            with self.assertRaises(TimeoutError):
                self.first_event(address, "t1", 1)
            nginx.stop()


if __name__ == "__main__":
    unittest.main()
