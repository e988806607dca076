"""The whole system while its parts are killed, frozen, stopped or disconnected: every task must still end once, within its budget."""

import signal
import time
import unittest
from collections import Counter

from support.http_client import Connection, Cut
from support.processes import ProcessTest, eventually
from support.world import BASE, GRACE_S, LEASE_S, World, request, sim

SLOW = "first_latency=60000"
LEASED = "arkrelay:{0}:leased"
SLACK_S = 10                # allowance for a loaded machine


def stories(frames):
    return [frame.story() for frame in frames]


def without_requeued(frames):
    """For tests in which CLAIM's reply may be lost: then the lease expires and the task is claimed again."""
    return [story for story in stories(frames) if story != "process requeued"]


class FaultTest(ProcessTest):
    def assert_within_budget(self, look, ark):
        """ARK was not called more often than the task's budget allows and the task reports."""
        calls = Counter(call["prompt"].split(" ")[0] for call in ark.calls())
        for task in look.tasks.values():
            task_id = task.id.partition(".")[2]
            self.assertLessEqual(calls[task_id], task.number("max_paid_calls"), task)
            self.assertLessEqual(calls[task_id], task.number("paid_calls"), task)

    def post_all(self, gateway, count, directives):
        with Connection(gateway.address) as connection:
            for n in range(count):
                connection.request("POST", f"{BASE}/generate", request(f"t{n}", prompt=sim(f"t{n}", directives)))
                self.assertEqual(connection.response().status, 202)


class Workers(FaultTest):
    def test_two_workers_run_500_tasks_once_each(self):
        with World() as world:
            for _ in range(2):
                world.worker(WORKER_CONCURRENCY=40, ARK_IMAGES_PER_MINUTE=0, LOG_LEVEL="info")
            self.post_all(world.gateway(LOG_LEVEL="info"), 500, "images=1 latency=5")
            end = world.wait_all_final()
            self.assertEqual(Counter(task.state for task in end.tasks.values()), {"done": 500})
            calls = Counter(call["prompt"].split(" ")[0] for call in world.ark.calls())
            self.assertEqual((len(calls), set(calls.values())), (500, {1}))
            self.assertEqual(end.counter("paid_calls"), 500)
            self.assertEqual({tuple(task.story()) for task in end.tasks.values()},
                             {("start", "process calling", "process image", "done")})

    def test_a_task_of_a_killed_worker_is_completed_by_another(self):
        with World() as world:
            gateway = world.gateway()
            victim = world.worker(WORKER_CONCURRENCY=10)
            world.ark.script(*[{"first_latency": 60000}] * 10)          # calls are in flight when it is killed
            self.post_all(gateway, 40, "images=1 latency=50")
            world.ark.wait_calls(10)
            victim.kill()
            killed = time.monotonic()
            world.worker(WORKER_CONCURRENCY=20)
            end = world.wait_all_final()
            self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
            self.assert_within_budget(end, world.ark)
            lost = [task for task in end.tasks.values() if "process requeued" in task.story()]
            self.assertTrue(lost)
            self.assertEqual({task.number("paid_calls") for task in lost}, {2})
            self.assertLess(time.monotonic() - killed, LEASE_S + GRACE_S + SLACK_S)

    def test_images_delivered_before_the_kill_are_the_result(self):
        with World() as world:
            victim, gateway = world.worker(), world.gateway()
            with gateway.generate("t1", prompt=sim("t1", "images=3 first_latency=10 latency=60000")) as stream:
                stream.until("process image")
                victim.kill()
                world.worker()
                done = stream.to_end()[-1].payload()
            self.assertEqual((len(done["generated_images"]), done["paid_calls"], done["charged"]), (1, 1, "yes"))
            self.assertEqual([(slot["index"], slot["code"]) for slot in done["failed_images"]],
                             [(1, "outcome_unknown"), (2, "outcome_unknown")])
            self.assertEqual(len(world.ark.calls()), 1)

    def test_a_strict_budget_survives_a_kill(self):
        with World() as world:
            victim, gateway = world.worker(), world.gateway()
            with gateway.generate("t1", prompt=sim("t1", SLOW), max_paid_calls=1) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                victim.kill()
                world.worker()
                error = stream.to_end()[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("outcome_unknown", "unknown", 1))
            self.assertEqual(len(world.ark.calls()), 1)

    def test_a_task_that_kills_its_workers_is_poison(self):
        with World() as world:
            gateway = world.gateway()
            with gateway.generate("t1", prompt=sim("t1", SLOW), max_paid_calls=5) as stream:
                for n in range(1, 3):
                    worker = world.worker(WORKER_MAX_ATTEMPTS=2)
                    world.ark.wait_calls(n)
                    worker.kill()
                world.worker(WORKER_MAX_ATTEMPTS=2)
                frames = stream.to_end()
            self.assertEqual(stories(frames), ["start", "process calling", "process requeued", "process calling", "error"])
            self.assertEqual(frames[-1].payload()["code"], "poison")

    def test_a_frozen_worker_changes_nothing_after_it_continues(self):
        with World() as world:
            frozen, gateway = world.worker(), world.gateway()
            world.ark.script({"first_latency": 1500}, {})
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                frozen.pause()
                world.worker()
                frames = stream.to_end()
            self.assertEqual(stories(frames)[:2], ["process requeued", "process calling"])
            self.assertEqual(frames[-1].payload()["paid_calls"], 2)
            before = world.look().everything
            frozen.resume()
            frozen.wait_for("lease lost")
            after = world.look().everything
            self.assertEqual({key: after[key] for key in before if ":public.t1" in key},
                             {key: before[key] for key in before if ":public.t1" in key})
            self.assert_within_budget(world.look(), world.ark)

    def test_a_draining_worker_completes_running_calls_and_takes_no_new_tasks(self):
        with World() as world:
            gateway = world.gateway()
            worker = world.worker(WORKER_CONCURRENCY=3)
            self.post_all(gateway, 6, "images=1 latency=700")
            world.ark.wait_calls(3)
            worker.signal(signal.SIGTERM)
            worker.wait_for("draining")
            self.assertEqual(worker.wait_exit(), 0)
            self.assertEqual(Counter(task.state for task in world.look().tasks.values()), {"done": 3, "queued": 3})
            self.assertEqual(len(world.ark.calls()), 3)
            world.worker()
            end = world.wait_all_final()
            self.assertEqual({(task.state, task.number("attempt")) for task in end.tasks.values()}, {("done", 1)})
            self.assertEqual(len(world.ark.calls()), 6)

    def test_a_draining_worker_returns_tasks_without_a_call(self):
        with World() as world:
            proxy = world.proxy()
            gateway = world.gateway()
            worker = world.worker(REDIS_URL=proxy.url, REDIS_TIMEOUT="30s", WORKER_LEASE="30s")
            proxy.hold(world.run_script.sha1["claim"])
            gateway.submit("t1", prompt=sim("t1"))
            proxy.held.wait()
            worker.signal(signal.SIGTERM)
            worker.wait_for("draining")
            proxy.release()
            self.assertEqual(worker.wait_exit(), 0)
            task = world.find("t1")
            self.assertEqual(task.story(), ["start", "process requeued"])
            self.assertEqual((task.state, task.number("attempt"), task.number("paid_calls")), ("queued", 0, 0))
            world.worker()
            with gateway.follow("t1") as stream:
                self.assertEqual(stream.to_end()[-1].payload()["attempts"], 1)

    def test_a_second_signal_stops_a_worker_at_once_and_the_task_is_completed(self):
        with World() as world:
            worker, gateway = world.worker(), world.gateway()
            world.ark.script({"first_latency": 60000}, {})
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                stream.until("process calling")
                world.ark.wait_calls(1)
                worker.signal(signal.SIGTERM)
                worker.wait_for("draining")
                worker.stop()
                world.worker()
                self.assertEqual(stream.to_end()[-1].payload()["paid_calls"], 2)


class RedisUnavailable(FaultTest):
    def test_a_restart_of_redis_loses_nothing(self):
        with World(aof=True) as world:
            gateway = world.gateway(GATEWAY_HEARTBEAT="200ms")
            world.worker()
            world.ark.script({"first_latency": 3000})
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                frames = stream.until("process calling")
                world.ark.wait_calls(1)
                world.redis_server.stop()
                while (frame := stream.next()) and frame.comment != "degraded":
                    self.assertIsNone(frame.event)
                refused = gateway.submit("t2", prompt=sim("t2"))
                self.assertEqual((refused.status, refused.json()["code"]), (503, "store_unavailable"))
                self.assertIn("retry-after", refused.headers)
                self.assertEqual((gateway.get("/readyz").status, gateway.get("/livez").status), (503, 200))
                lapsed = time.monotonic() + 2 * LEASE_S
                eventually(lambda: time.monotonic() > lapsed, "every lease has lapsed")
                world.redis_server.start()
                frames += stream.to_end()
            self.assertEqual(stories(frames), ["start", "process calling", *["process image"] * 3, "done"])
            self.assertEqual([frame.n for frame in frames], list(range(1, 7)))
            self.assertEqual(len(world.ark.calls()), 1)
            eventually(lambda: gateway.get("/readyz").status == 200, "the gateway is ready again")
            world.redis = world.redis_server.client()
            with gateway.generate("t2", prompt=sim("t2")) as stream:
                self.assertEqual(stream.to_end()[-1].event, "done")

    def test_a_result_is_stored_after_redis_is_back(self):
        with World(aof=True) as world:
            gateway, worker = world.gateway(), world.worker(WORKER_LEASE="30s")
            with gateway.generate("t1", prompt=sim("t1", "images=2 first_latency=500")) as stream:
                frames = stream.until("process calling")
                world.ark.wait_calls(1)
                world.redis_server.kill()
                worker.wait_for("enters a state.*to=reporting")
                world.redis_server.start()
                frames += stream.to_end()
            self.assertEqual(stories(frames), ["start", "process calling", "process image", "process image", "done"])
            self.assertEqual(len(world.ark.calls()), 1)
            world.redis = world.redis_server.client()

    def test_queued_tasks_survive_a_kill_of_redis(self):
        with World(aof=True) as world:
            self.post_all(world.gateway(), 20, "images=1")
            world.redis_server.kill()
            world.redis_server.start()
            world.redis = world.redis_server.client()
            world.worker()
            self.assertEqual({task.state for task in world.wait_all_final().tasks.values()}, {"done"})
            self.assertEqual(len(world.ark.calls()), 20)

    def test_scripts_are_reloaded_after_a_flush(self):
        with World() as world:
            gateway = world.gateway()
            world.worker()
            with gateway.generate("t1", prompt=sim("t1", "first_latency=300")) as stream:
                stream.until("process calling")
                world.redis("SCRIPT", "FLUSH")
                self.assertEqual(stream.to_end()[-1].event, "done")
            world.redis("SCRIPT", "FLUSH")
            with gateway.generate("t2") as stream:
                self.assertEqual(stream.to_end()[-1].event, "done")

    def test_failed_lease_renewals_are_logged(self):
        with World() as world:
            gateway, worker = world.gateway(), world.worker()
            with gateway.generate("t1", prompt=sim("t1", "images=1 first_latency=2000")) as stream:
                stream.until("process calling")
                leased = world.redis("ZRANGE", LEASED, 0, -1, "WITHSCORES")
                world.redis("DEL", LEASED)
                world.redis("SET", LEASED, "no sorted set")
                worker.wait_for("lease renewal failed.*jobs=1 error=.*WRONGTYPE")
                world.redis("DEL", LEASED)
                world.redis("ZADD", LEASED, *reversed(leased))
                self.assertEqual(stream.to_end()[-1].event, "done")
            self.assertEqual(len(world.ark.calls()), 1)


class LostReplies(FaultTest):
    """Redis has run a command but the reply is lost: the command is repeated and takes effect once."""

    def test_lost_replies_of_a_worker(self):
        for name in ("claim", "begin", "emit", "finish"):
            with self.subTest(name), World() as world:
                proxy = world.proxy()
                gateway = world.gateway()
                proxy.lose_reply_to(world.run_script.sha1[name])
                with gateway.generate("t1", prompt=sim("t1")) as stream:
                    world.worker(REDIS_URL=proxy.url)
                    frames = stream.to_end()
                proxy.lost.wait()
                self.assertEqual("process requeued" in stories(frames), name == "claim")
                self.assertEqual(without_requeued(frames), ["start", "process calling", *["process image"] * 3, "done"])
                self.assertEqual((frames[-1].payload()["paid_calls"], len(world.ark.calls())), (1, 1))

    def test_lost_replies_of_a_gateway(self):
        with World() as world:
            proxy = world.proxy()
            gateway = world.gateway(REDIS_URL=proxy.url)
            world.worker()
            proxy.lose_reply_to(world.run_script.sha1["submit"])
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                first = stream.response.status
                self.assertIn(first, (200, 503))
            proxy.lost.wait()

            def posted_again():
                with gateway.generate("t1", prompt=sim("t1")) as stream:
                    return None if stream.refused else stories(stream.to_end())
            frames = eventually(posted_again, "the same POST is answered")
            self.assertEqual(frames, ["start", "process calling", *["process image"] * 3, "done"])
            self.assertEqual(len(world.ark.calls()), 1)

    def test_broken_redis_connections_do_not_interrupt_a_stream(self):
        with World() as world:
            proxy = world.proxy()
            gateway = world.gateway(REDIS_URL=proxy.url)
            world.worker(REDIS_URL=proxy.url)
            frames = []
            with gateway.generate("t1", prompt=sim("t1", "images=4 latency=300"), max_images=4) as stream:
                for story in ("start", "process calling", "process image", "process image"):
                    frames += stream.until(story)
                    proxy.cut_all()
                frames += stream.to_end()
            self.assertEqual(without_requeued(frames), ["start", "process calling", *["process image"] * 4, "done"])
            self.assertEqual([frame.n for frame in frames], list(range(1, len(frames) + 1)))
            self.assertEqual(len(world.ark.calls()), 1)


class Gateways(FaultTest):
    def test_clients_of_a_killed_gateway_resume_at_another(self):
        with World() as world:
            victim, other = world.gateway(), world.gateway()
            world.worker()
            with victim.generate("t1", prompt=sim("t1", "first_latency=500")) as stream:
                before = stream.until("process calling")
                victim.kill()
                with self.assertRaises(Cut):
                    stream.to_end()
            with other.follow("t1", before[-1].id) as stream:
                after = stream.to_end()
            self.assertEqual([frame.n for frame in before + after], list(range(1, 7)))

    def test_clients_of_a_draining_gateway_resume_at_another(self):
        with World() as world:
            leaving, other = world.gateway(), world.gateway()
            world.worker()
            with leaving.generate("t1", prompt=sim("t1", "first_latency=1000")) as stream:
                before = stream.until("process calling")
                leaving.signal(signal.SIGTERM)
                self.assertEqual(leaving.wait_exit(), 0)
                self.assertEqual(stream.to_end(), [], "the stream ends whole, without a final event")
            with other.follow("t1", before[-1].id) as stream:
                self.assertEqual([frame.n for frame in before + stream.to_end()], list(range(1, 7)))

    def test_images_larger_than_the_output_limit_reach_a_client_that_resumes(self):
        with World() as world:
            gateway = world.gateway()
            world.worker(ARK_STREAM="off", ARK_RESPONSE_FORMAT="b64_json")
            frames = []
            self.assertEqual(gateway.submit("t1", prompt=sim("t1", "images=2 big=1500000")).status, 202)
            world.wait_state("t1", "done")
            for _ in range(10):
                with gateway.follow("t1", frames[-1].id if frames else None) as stream:
                    try:
                        while frame := stream.next_event():
                            frames.append(frame)
                    except Cut:
                        continue
                    break
            self.assertEqual(stories(frames), ["start", "process calling", "process image", "process image", "done"])
            self.assertEqual([frame.n for frame in frames], list(range(1, 6)))
            self.assertGreater(len(frames[-1].data), 3_000_000)


if __name__ == "__main__":
    unittest.main()
