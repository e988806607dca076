"""Erasing, on_disconnect, positions of waiting tasks, expiry, and pausing the queue. The test runs the worker's scripts itself."""

import hashlib
import json
import pathlib
import re
import socket
import struct
import unittest

from gateway_case import NEVER, GatewayTest, HeldReplies
from support.http_client import Connection, EventStream, fetch
from support.processes import DEADLINE, Deadline, eventually
from support.scripts import PREFIX
from support.world import BASE, URLS, request

KEY = "operators-key-of-these-tests"
BIG = 12 << 20          # bytes of an event with inline images
HUGE = 40 << 20         # more than Redis's output buffer limit for a subscriber


class Erase(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway()

    def test_erasing_an_ended_task_deletes_all_its_data(self):
        before = self.world.look().everything
        self.gateway.submit("t1")
        self.claim("t1").finish()
        answer = self.gateway.erase("t1")
        self.assertEqual((answer.status, answer.body), (204, b""))
        left = self.world.look()
        self.assertEqual((left.tasks, left.meta["erased"]), ({}, "1"))
        self.assertLessEqual(set(left.everything) - set(before), {"meta", "wake", "queue"})
        self.assert_problem(self.gateway.erase("t1"), 404, "task_not_found")
        self.assert_problem(self.gateway.task("t1"), 404, "task_not_found")
        self.assertEqual(self.gateway.submit("t1", prompt="another").status, 202)

    def test_tasks_can_be_erased_after_any_end(self):
        self.gateway.submit("t1")
        job = self.claim("t1")
        failure = json.dumps({"code": "ark_overloaded", "error": "why", "retryable": True})
        self.run_script("finish", job.id, job.fence, "failed", "none", 0, failure)
        self.gateway.submit("t2")
        self.gateway.cancel("t2")
        for task_id in ("t1", "t2"):
            self.assertEqual(self.gateway.erase(task_id).status, 204)
        self.assertEqual((self.world.look().tasks, self.world.look().sets["dead"]), ({}, {}))

    def test_a_task_that_has_not_ended_cannot_be_erased(self):
        self.gateway.submit("t1")
        self.assert_problem(self.gateway.erase("t1"), 409, "task_live")
        job = self.claim("t1")
        self.assert_problem(self.gateway.erase("t1"), 409, "task_live")
        self.run_script("finish", job.id, job.fence, "retry", "none", 60_000, job.data(stage="retrying"))
        self.assert_problem(self.gateway.erase("t1"), 409, "task_live")
        self.assertEqual(self.world.find("t1").state, "delayed")

    def test_unknown_tasks(self):
        for task_id in ("nobody", "..", "a%20b", "x" * 129):
            with self.subTest(task_id):
                self.assert_problem(self.gateway.erase(task_id), 404, "task_not_found")

    def test_erasing_is_allowed_by_cors(self):
        preflight = fetch(self.gateway.address, "OPTIONS", f"{BASE}/tasks/t1", headers={
            "Origin": "https://page.example", "Access-Control-Request-Method": "DELETE"})
        self.assertEqual(preflight.status, 204)
        self.assertIn("DELETE", preflight.headers["access-control-allow-methods"])
        self.assertIn("DELETE", preflight.headers["allow"])

    def test_redis_is_unavailable(self):
        self.world.redis_server.stop()
        self.assert_problem(self.gateway.erase("t1"), 503, "store_unavailable")


class Disconnect(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)

    def settled(self, task_id):
        """Waits until the gateway has handled the disconnect, and returns the task. The gateway sends its commands in order."""
        self.gateway.wait_for(rf"closing task=public\.{task_id} reason=(client-gone|too-slow)")
        self.gateway.task(task_id)
        return self.world.find(task_id)

    def test_each_on_disconnect_value_for_waiting_and_running_tasks(self):
        for word, waiting, running in ((None, "queued", "running"), ("finish", "queued", "running"),
                                       ("cancel_if_queued", "cancelled", "running"), ("cancel", "cancelled", "asked")):
            fields = {"on_disconnect": word} if word else {}
            with self.subTest(word=word):
                with self.gateway.generate(f"waits-{word}", **fields) as stream:
                    stream.until("start")
                self.assertEqual(self.settled(f"waits-{word}").state, waiting)
                self.gateway.cancel(f"waits-{word}")
                with self.gateway.generate(f"runs-{word}", **fields) as stream:
                    stream.until("start")
                    job = self.claim(f"runs-{word}")
                    job.begin()
                    stream.until("process")
                task = self.settled(f"runs-{word}")
                self.assertEqual("asked" if "cancel" in task.fields else task.state, running)
                job.finish()

    def test_a_cancellation_on_disconnect_is_logged(self):
        with self.gateway.generate("t1", on_disconnect="cancel") as stream:
            stream.until("start")
        self.gateway.wait_for(r"info .*last client disconnected task=public\.t1 answer=CANCELLED$")

    def test_the_task_is_kept_while_a_viewer_remains(self):
        with self.gateway.generate("t1") as stays:
            stays.until("start")
            with self.gateway.generate("t1", on_disconnect="cancel") as leaves:
                leaves.until("start")
            self.assertEqual(self.settled("t1").state, "queued")
        self.assertEqual(self.settled("t1").state, "queued")        # the value of the last viewer counts

    def test_the_value_of_the_last_viewer_counts(self):
        with self.gateway.generate("t1", on_disconnect="cancel") as last:
            last.until("start")
            with self.gateway.generate("t1") as first:
                first.until("start")
            self.assertEqual(self.settled("t1").state, "queued")
        self.assertEqual(self.settled("t1").state, "cancelled")

    def test_on_disconnect_is_not_part_of_the_request(self):
        with self.gateway.generate("t1", on_disconnect="cancel") as one, self.gateway.generate("t1") as other:
            one.until("start")
            other.until("start")
            self.assertEqual(self.gateway.submit("t1").status, 200)
        self.assertEqual(json.loads(self.world.find("t1").request), {"urls": URLS})

    def test_on_disconnect_applies_only_to_streams(self):
        for word in ("finish", "cancel", "x"):
            problem = self.assert_problem(self.gateway.submit("t1", on_disconnect=word), 422, "invalid_fields")
            self.assertEqual(problem["errors"], [{"pointer": "/on_disconnect", "detail": "is only for /generate/stream"}])

    def test_an_ended_task_is_not_changed_on_disconnect(self):
        with self.gateway.generate("t1", on_disconnect="cancel") as stream:
            stream.until("start")
            self.claim("t1").finish()
            stream.to_end()
        self.assertEqual(self.gateway.task("t1").json()["status"], "done")
        self.assertFalse([line for line in self.gateway.lines if "last client disconnected" in line])

    def test_a_client_cut_for_not_reading_has_disconnected(self):
        gateway = self.gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="16k", GATEWAY_TAIL_CHECK=NEVER)
        slow = EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1", on_disconnect="cancel"),
                           receive_buffer=4096)
        with slow:
            slow.until("start")
            job = self.claim("t1")
            for n in range(1, 201):
                if self.run_script("emit", job.id, job.fence, n, job.data(padding=60_000 * "x"))[0] == b"CANCEL":
                    break
            self.assertEqual(self.settled("t1").fields.get("cancel"), "1")

    def test_a_gateway_shutdown_is_not_a_disconnect(self):
        for end in ("stop", "kill"):
            with self.subTest(end):
                gateway = self.world.gateway()
                with gateway.generate(f"t-{end}", on_disconnect="cancel") as stream:
                    stream.until("start")
                    getattr(gateway, end)()
                    self.assertEqual(self.world.find(f"t-{end}").state, "queued")

    def leave_before_the_answer(self, gateway, proxy, body, reset):
        """A reset is a disconnect at once. A client that only closes its side may still be reading; it counts as disconnected once the
        stream begins."""
        proxy.hold(self.run_script.sha1["submit"])
        closing = rf"closing task=public\.{body['task_id']} reason=client-gone"
        with Connection(gateway.address) as client:
            client.request("POST", f"{BASE}/generate/stream", body)
            proxy.held.wait()
            if reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reset:
            gateway.wait_for(closing)
        proxy.release()

    def test_a_disconnect_before_the_response(self):
        for word, reset, state in (("finish", False, "queued"), ("finish", True, "queued"),
                                   ("cancel", False, "cancelled"), ("cancel", True, "cancelled")):
            with self.subTest(word=word, reset=reset):
                task_id = f"t-{word}-{reset}"
                proxy = self.world.proxy()
                gateway = self.world.gateway(REDIS_URL=proxy.url)
                self.leave_before_the_answer(gateway, proxy, request(task_id, on_disconnect=word), reset)
                gateway.wait_for(rf"accepted task=public\.{task_id} ")
                if not reset:
                    gateway.wait_for(rf"closing task=public\.{task_id} reason=client-gone")
                gateway.task(task_id)
                self.assertEqual(self.world.find(task_id).state, state)

    def test_a_disconnect_after_a_conflict_cancels_nothing(self):
        self.gateway.submit("t1")
        proxy = self.world.proxy()
        gateway = self.world.gateway(REDIS_URL=proxy.url)
        self.leave_before_the_answer(gateway, proxy, request("t1", prompt="other", on_disconnect="cancel"), True)
        eventually(lambda: self.world.look().meta.get("conflict") == "1", "the other request was refused")
        gateway.task("t1")
        self.assertEqual(self.world.find("t1").state, "queued")


class Positions(GatewayTest):
    redis_options = {"aof": True}

    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_HINTS="100ms", GATEWAY_HEARTBEAT="700ms", GATEWAY_TAIL_CHECK=NEVER,
                                          PRESENCE_INTERVAL=0, AUDIT_INTERVAL="1h")      # this test counts commands

    def evalsha_calls(self):
        return int((re.search(r"cmdstat_evalsha:calls=(\d+)", self.redis("INFO", "commandstats").decode()) or [0, 0])[1])

    def assert_silent(self, stream):
        """Expects only heartbeats, for longer than the hint interval."""
        for _ in range(3):
            self.assertEqual(stream.next().comment, "keep-alive")

    def test_a_waiting_task_gets_its_position(self):
        self.world.submit_many(2)
        with self.gateway.generate("t9") as stream:
            stream.until("start")
            hint = stream.next_event()
            self.assertEqual((hint.id, hint.event), (None, "process"))
            self.assertEqual(json.loads(hint.data), {"event": "process", "data": {
                "task_id": "t9", "message": "排队中，前面还有2个任务...", "stage": "queued", "position": 3}})
            self.claim("t0")
            hint = stream.next_event()
            self.assertEqual((hint.payload()["position"], hint.payload()["message"]), (2, "排队中，前面还有1个任务..."))
        self.assertEqual(len(self.world.find("t9").log), 1)

    def test_the_estimated_time_is_sent_once_the_pace_is_known(self):
        self.world.submit_many(5)
        with self.gateway.generate("t9") as stream:
            stream.until("start")
            self.assertNotIn("eta_ms", stream.next_event().payload())
            self.gateway.cancel("t0")
            hint = stream.next_event().payload()
            self.assertEqual(hint["position"], 5)
            self.assertIn(hint["eta_ms"], range(5 * 20, 600_000))   # from one task per interval, with tolerance for a late update

    def test_an_unchanged_position_is_repeated_rarely(self):
        gateway = self.world.gateway(GATEWAY_HINTS="100ms", GATEWAY_HEARTBEAT="1200ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            frames = [stream.next() for _ in range(4)]
        self.assertEqual([frame.payload()["position"] for frame in frames], 4 * [1])        # without a heartbeat in between
        self.assertTrue(all(0.45 * n <= frame.at - stream.began < 5 * (n + 1) for n, frame in enumerate(frames)), [frame.at for frame in frames])

    def test_a_running_task_gets_no_position_and_causes_no_commands(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            stream.next_event()
            job = self.claim("t1")                            # there is no event for it
            self.assert_silent(stream)
            calls = self.evalsha_calls()
            self.assert_silent(stream)
            self.assertEqual(self.evalsha_calls(), calls)
            job.finish()

    def test_a_viewer_of_a_running_task_causes_no_commands(self):
        self.world.submit_many(1)
        job = self.claim("t0")
        job.begin()
        with self.gateway.follow("t0") as stream:
            stream.until("process calling")
            calls = self.evalsha_calls()
            self.assert_silent(stream)
            self.assertEqual(self.evalsha_calls(), calls)
            job.finish()

    def test_a_requeued_task_gets_positions_again(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            job.begin()
            stream.until("process calling")
            self.assert_silent(stream)
            self.run_script("finish", job.id, job.fence, "handback", "void", 0, job.data(stage="requeued"))
            self.assertEqual([event.story() for event in stream.until("process queued")], ["process requeued", "process queued"])

    def test_a_delayed_task_gets_positions_once_it_is_queued(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            job.begin()
            self.run_script("finish", job.id, job.fence, "retry", "void", 1, job.data(stage="retrying"))
            stream.until("process retrying")
            self.assert_silent(stream)
            eventually(lambda: self.run_script("claim", "test-worker", 600_000, 0, "nonce", 3) and
                       self.world.find("t1").state == "queued", "it is due, and put back without being taken")
            self.assertEqual(stream.next_event().story(), "process queued")

    def test_every_viewer_gets_positions_and_a_new_one_at_once(self):
        with self.gateway.generate("t1") as one:
            one.until("process queued")
            with self.gateway.follow("t1") as other:
                self.assertEqual([event.story() for event in other.until("process queued")], ["start", "process queued"])
                self.assertEqual(one.next_event().story(), "process queued")
                self.gateway.cancel("t1")
                for stream in (one, other):
                    self.assertEqual(stream.to_end()[-1].event, "error")

    def test_a_new_viewer_does_not_wait_for_a_change(self):
        gateway = self.world.gateway(GATEWAY_HINTS="500ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as one:
            told = one.until("process queued")[-1]
            with gateway.follow("t1") as other:
                self.assertLess(other.until("process queued")[-1].at - told.at, 2)      # an unchanged position is repeated after 2.5 s

    def test_more_tasks_than_one_call_can_query(self):
        ids = self.world.submit_many(600)
        streams = [self.gateway.follow(task_id) for task_id in ids]
        for place, stream in enumerate(streams, 1):         # all stay open until the last one has its position
            self.assertEqual(stream.until("process queued")[-1].payload()["position"], place)
        for stream in streams:
            stream.close()

    def test_no_commands_when_no_viewer_waits(self):
        with self.gateway.generate("t1") as stream:
            stream.until("process queued")
        eventually(lambda: self.subscribers("t1") == 0, "the stream is closed")
        self.claim("t1")
        with self.gateway.follow("t1") as stream:
            stream.until("start")
            calls = self.evalsha_calls()
            self.assert_silent(stream)
            self.assertEqual(self.evalsha_calls(), calls)

    def test_a_viewer_that_disconnects_during_the_query(self):
        self.run_script.load()
        proxy = HeldReplies(self.world.redis_server.socket)
        self.addCleanup(proxy.close)
        gateway = self.world.gateway(REDIS_URL=proxy.url, GATEWAY_HINTS="100ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("stays") as stays:
            with gateway.generate("leaves") as leaves:
                leaves.until("process queued")
                proxy.hold_reply_to(self.run_script.sha1["places"])
                proxy.ran.wait()
            gateway.wait_for(r"closing task=public\.leaves reason=client-gone")
            proxy.release_reply()
            self.assertEqual(gateway.task("stays").status, 200)
            stays.until("process queued")

    def test_positions_continue_after_redis_is_back(self):
        with self.gateway.generate("t1") as stream:
            stream.until("process queued")
            self.world.redis_server.stop()
            while stream.next().comment != "degraded":
                pass
            self.world.redis_server.start()
            self.world.redis = self.world.redis_server.client()
            self.assertEqual(stream.next_event().story(), "process queued")

    def test_hints_can_be_disabled(self):
        gateway = self.world.gateway(GATEWAY_HINTS="0", GATEWAY_HEARTBEAT="300ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            calls = self.evalsha_calls()
            self.assert_silent(stream)
            self.assertEqual(self.evalsha_calls(), calls)


class Expiry(GatewayTest):
    """A task that waits longer than GATEWAY_QUEUE_TTL expires, even without a worker."""

    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_QUEUE_TTL="1s", AUDIT_INTERVAL="100ms", GATEWAY_ADMIN_KEY=KEY)

    def assert_expires(self, stream, attempts=0):
        end = stream.until("error")[-1].payload()
        self.assertEqual((end["code"], end["attempts"], end["charged"]), ("expired", attempts, "no"))
        self.assertIsNone(stream.next())

    def test_a_task_expires_without_a_worker(self):
        with self.gateway.generate("t1") as stream:
            self.assert_expires(stream)
        self.assertEqual(self.gateway.task("t1").json()["status"], "failed")

    def test_a_task_expires_in_a_paused_queue(self):
        with self.gateway.generate("t1") as stream:
            fetch(self.gateway.address, "POST", "/admin/queue/pause", headers={"Authorization": f"Bearer {KEY}"})
            self.assertEqual(self.run_script("claim", "w1", 60_000, 1, "n", 3), [-1])
            self.assert_expires(stream)

    def test_a_delayed_task_expires(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            self.run_script("finish", job.id, job.fence, "retry", "none", 600_000, job.data(stage="retrying"))
            self.assert_expires(stream, attempts=1)

    def test_a_running_task_does_not_expire(self):
        with self.gateway.generate("t1") as stream, self.gateway.generate("t2") as other:
            stream.until("start")
            job = self.claim("t1")
            self.assert_expires(other)
            job.finish()
            self.assertEqual(stream.to_end()[-1].event, "done")

    def test_one_of_several_gateways_checks(self):
        more = [self.world.gateway(AUDIT_INTERVAL="100ms") for _ in range(2)]
        self.gateway.kill()
        with more[0].generate("t1") as stream:
            self.redis("HSET", f"{PREFIX}task:public.t1", "queue_until", 1)
            self.assert_expires(stream)


class Operators(GatewayTest):
    def admin(self, gateway, path, method="POST", **headers):
        return fetch(gateway.address, method, f"/admin/{path}", headers=headers)

    def test_without_an_admin_key_the_endpoints_do_not_exist(self):
        gateway = self.world.gateway()
        def shape(answer):
            body = answer.json()
            del body["request_id"]
            return answer.status, body, sorted(name.lower() for name, _ in answer.headers.pairs)
        nothing = shape(fetch(gateway.address, "POST", "/nothing"))
        for method in ("POST", "GET", "PUT", "OPTIONS"):
            for path in ("queue/pause", "queue/resume", "", "x"):
                with self.subTest(method=method, path=path):
                    self.assertEqual(shape(self.admin(gateway, path, method, Authorization="Bearer x")), nothing)

    def test_without_the_right_key_every_path_gets_401(self):
        gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        answers = [self.admin(gateway, path, method, **({"Authorization": value} if value is not None else {}))
                   for path in ("queue/pause", "x") for method in ("POST", "GET")
                   for value in (None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}",
                                 f"Bearer x{KEY}", f"Bearer{KEY}", f"Bearer {KEY} {KEY}", "Bearer " + 5000 * "x")]
        texts = set()
        for answer in answers:
            self.assert_problem(answer, 401, "unauthorized")
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="arkrelay"')
            texts.add(json.dumps({**answer.json(), "request_id": ""}))
        self.assertEqual(len(texts), 1)
        self.assertEqual(self.gateway_paused(gateway), False)
        self.assertFalse([line for line in gateway.lines if KEY in line])

    def gateway_paused(self, gateway):
        return gateway.get(f"{BASE}/queue").json()["paused"]

    def test_pause_and_resume(self):
        gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        gateway.submit("t1")
        for scheme in ("Bearer", "bearer", "BEARER  "):
            answer = self.admin(gateway, "queue/pause", Authorization=f"{scheme} {KEY}")
            self.assertEqual((answer.status, answer.json()), (200, {"paused": True}))
        self.assert_problem(gateway.submit("t2"), 503, "queue_paused")
        self.assertEqual(self.run_script("claim", "w", 1000, 1, "nonce", 3), [-1])
        self.assertEqual(self.gateway_paused(gateway), True)
        answer = self.admin(gateway, "queue/resume", Authorization=f"Bearer {KEY}")
        self.assertEqual((answer.status, answer.json()), (200, {"paused": False}))
        self.assertEqual(gateway.submit("t2").status, 202)
        self.claim("t1")
        self.assertEqual(self.gateway_paused(gateway), False)

    def test_with_the_key_methods_and_paths_are_checked(self):
        gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        self.assert_problem(self.admin(gateway, "x", Authorization=f"Bearer {KEY}"), 404, "not_found")
        answer = self.admin(gateway, "queue/pause", "GET", Authorization=f"Bearer {KEY}")
        self.assert_problem(answer, 405, "method_not_allowed")
        preflight = self.admin(gateway, "queue/pause", "OPTIONS", **{
            "Origin": "https://page.example", "Access-Control-Request-Method": "POST"})
        self.assertEqual(preflight.status, 204)
        self.assertIn("Authorization", preflight.headers["access-control-allow-headers"])

    def test_redis_is_unavailable(self):
        gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        self.world.redis_server.stop()
        self.assert_problem(self.admin(gateway, "queue/pause", Authorization=f"Bearer {KEY}"), 503, "store_unavailable")


class QueueNumbers(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway()

    def queue(self):
        answer = self.gateway.get(f"{BASE}/queue")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        return answer.json()

    def test_an_empty_queue(self):
        queue = self.queue()
        counters = queue.pop("counters")
        self.assertIsNone(queue.pop("memory_full_ms"))
        self.assertEqual(queue, {"paused": False, "depth": 0, "delayed": 0, "running": 0, "dead": 0, "oldest_age_ms": None,
                                 "rates": {"ended_per_minute": 0}, "waiting_for": [], "workers": 0})
        self.assertEqual(set(counters.values()), {0})

    def test_one_task_in_each_state(self):
        failure = json.dumps({"code": "ark_overloaded", "error": "why", "retryable": True})
        jobs = []
        for task_id in ("t1", "t2", "t3"):
            self.gateway.submit(task_id)
            jobs.append(self.claim(task_id))
        self.gateway.submit("t4")
        self.gateway.submit("t5")
        jobs[1].begin()
        self.run_script("finish", jobs[1].id, jobs[1].fence, "retry", "void", 60_000, jobs[1].data(stage="retrying"))
        jobs[2].begin()
        self.run_script("finish", jobs[2].id, jobs[2].fence, "failed", "unknown", 0, failure)
        self.gateway.submit("t4")
        queue = self.queue()
        self.assertGreaterEqual(queue.pop("oldest_age_ms"), 0)
        counters = {name: count for name, count in queue.pop("counters").items() if count}
        self.assertIsNone(queue.pop("memory_full_ms"))
        self.assertEqual(queue, {"paused": False, "depth": 2, "delayed": 1, "running": 1, "dead": 1,
                                 "rates": {"ended_per_minute": 1}, "waiting_for": [], "workers": 0})
        self.assertEqual(counters, {"submitted": 5, "same": 1, "retried": 1, "failed": 1, "paid_calls": 1})

    def test_every_counter_of_the_protocol_is_reported(self):
        protocol = (pathlib.Path(__file__).resolve().parents[2] / "common/task/PROTOCOL.md").read_text()
        stored = set(re.search(r"counters: `([^`]+)`", protocol).group(1).split())
        self.assertEqual(set(self.queue()["counters"]), stored - {"lost"} | {"submitted", "paid_calls"})


class Ledger(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway()

    def ledger(self, task_id="t1"):
        task = self.gateway.task(task_id).json()
        return {name: task[name] for name in ("paid_calls", "max_paid_calls", "unknown_calls", "call", "charged") if name in task}

    def test_the_ledger_of_a_call(self):
        self.gateway.submit("t1")
        self.assertEqual(self.ledger(), {"paid_calls": 0, "max_paid_calls": 2, "unknown_calls": 0})
        job = self.claim("t1")
        job.begin()
        open_call = self.ledger()
        self.assertRegex(open_call["call"].pop("since"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(open_call, {"paid_calls": 1, "max_paid_calls": 2, "unknown_calls": 0, "call": {"id": "call-1"}})
        job.emit(0)
        self.assertEqual(self.ledger()["charged"], "yes")
        job.finish()
        self.assertEqual(self.ledger(), {"paid_calls": 1, "max_paid_calls": 2, "unknown_calls": 0, "charged": "yes"})

    def test_unknown_outcomes_are_reported(self):
        self.gateway.submit("t1")
        job = self.claim("t1")
        job.begin()
        failure = json.dumps({"code": "outcome_unknown", "error": "why", "retryable": False})
        self.run_script("finish", job.id, job.fence, "failed", "unknown", 0, failure)
        self.assertEqual(self.ledger(), {"paid_calls": 1, "max_paid_calls": 2, "unknown_calls": 1, "charged": "unknown"})

    def test_a_task_without_a_call_was_not_charged(self):
        self.gateway.submit("t1")
        self.gateway.cancel("t1")
        self.assertEqual(self.ledger(), {"paid_calls": 0, "max_paid_calls": 2, "unknown_calls": 0, "charged": "no"})


class InlineImages(GatewayTest):
    """Events that contain image data."""

    def read_whole(self, connection, size):
        """Reads this many bytes, or all up to the end. Does not parse them, because that would be slow."""
        data = bytearray(connection.take_unread(size))
        connection.socket.settimeout(DEADLINE)
        while len(data) < size and (piece := connection.socket.recv(min(1 << 20, size - len(data)))):
            data += piece
        return bytes(data)

    def stream_1_0(self, gateway, task_id, place=None):
        """Uses HTTP/1.0: without chunks, the bytes are the frames."""
        cursor = f"Last-Event-ID: {place}\r\n" if place else ""

        def opened():
            raw = Connection(gateway.address)
            self.addCleanup(raw.close)
            raw.send(f"GET {BASE}/tasks/{task_id}/stream HTTP/1.0\r\n{cursor}\r\n".encode())
            status = raw.response_head(Deadline()).status
            self.assertIn(status, (200, 503))       # 503: Redis is slow with this much data on a loaded machine
            return raw if status == 200 else None
        return eventually(opened, "the stream is open")

    def frame(self, epoch, n, size):
        data = json.dumps({"task_id": "t1", "message": "...", "image": {"url": "x" * size}, "stage": "image", "index": 0}, separators=(",", ":"))
        return f'id: {epoch}-{n}\nevent: process\ndata: {{"event":"process","data":{data}}}\n\n'.encode()

    def test_events_with_images_are_sent_live_and_replayed(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        gateway.submit("t1")
        job, epoch = self.claim("t1"), self.world.find("t1").fields["epoch"]
        frames = [self.frame(epoch, 2, HUGE), self.frame(epoch, 3, BIG), self.frame(epoch, 4, BIG)]
        with self.stream_1_0(gateway, "t1", f"{epoch}-1") as live:
            self.assertTrue(self.read_whole(live, len(b"retry: 2000\n\n")).startswith(b"retry: "))
            for size, frame in zip((HUGE, BIG, BIG), frames):
                job.talk(size)
                self.assertEqual(digest(self.read_whole(live, len(frame))), digest(frame))
            job.finish()
            self.assertTrue(self.read_whole(live, 1 << 20).startswith(f"id: {epoch}-5\nevent: done\n".encode()))
        with self.stream_1_0(gateway, "t1", f"{epoch}-2") as again:
            whole = self.read_whole(again, 3 * BIG).partition(b"\n\n")[2]
            self.assertEqual(digest(whole[:2 * len(frames[1])]), digest(frames[1] + frames[2]))

    def test_a_client_that_does_not_read_images_is_cut(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        gateway.submit("t1")
        job = self.claim("t1")
        with self.stream_1_0(gateway, "t1"):
            eventually(lambda: self.subscribers("t1") == 1, "it is watched")
            job.talk(16 << 20)
            job.talk(10)
            gateway.wait_for(r"closing task=public\.t1 reason=too-slow")
            job.finish()

    def test_get_of_a_task_with_images(self):
        gateway = self.world.gateway()
        gateway.submit("t1")
        job = self.claim("t1")
        job.begin()
        image = {"url": "data:image/png;base64," + "A" * (16 << 20), "size": "2K"}
        self.run_script("emit", job.id, job.fence, 1, job.data(stage="image", index=0, image=image))
        job.finish()
        with Connection(gateway.address) as raw:
            raw.send(f"GET {BASE}/tasks/t1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = raw.response_head(Deadline())
            body = self.read_whole(raw, int(head.headers["content-length"]))
        task = json.loads(body)
        self.assertEqual((task["charged"], task["result"]["generated_images"] == [{"index": 0, **image}]), ("yes", True))


def digest(data):
    """A short form for failure messages."""
    return len(data), hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    unittest.main()
