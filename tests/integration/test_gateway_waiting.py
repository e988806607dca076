"""Reasons for waiting while ARK, the account or a model is unavailable: in the streams of waiting tasks, and in GET responses."""

import re
import unittest

from gateway_case import NEVER, GatewayTest, HeldReplies
from support.http_client import fetch
from support.processes import ProcessTest, eventually
from support.redis_server import free_port
from support.world import BASE, World, sim

GOVERNOR = "arkrelay:{account}:governor"
SINCE, SINCE_TEXT = 1795362520464, "2026-11-22T15:48:40.464Z"
FAR, FAR_TEXT = 4102444800500, "2100-01-01T00:00:00.500Z"
UNREACHABLE = {"code": "ark_unreachable", "since": SINCE_TEXT}
OPEN = ("state", "open", "code", "ark_unreachable", "why", "no connection", "since", SINCE, "probe_at", FAR)
MESSAGES = {
    "ark_unreachable": "ARK暂时无法访问，任务在队列中等待，恢复后自动继续...",
    "outcome_unknown": "ARK暂时没有正常响应，任务在队列中等待，恢复后自动继续...",
    "ark_unauthorized": "ARK账户暂时不可用，任务在队列中等待，恢复后自动继续...",
    "ark_quota_exceeded": "ARK额度已用完，任务在队列中等待，恢复后自动继续...",
    "ark_model_unavailable": "ARK模型暂时不可用，任务在队列中等待，恢复后自动继续...",
    "ark_rate_limited": "ARK要求暂停调用，任务在队列中等待，稍后自动继续...",
    "of_a_later_version": "ARK暂时不可用，任务在队列中等待，恢复后自动继续...",
}
RECOVERED = "ARK已恢复，任务即将继续..."


class WaitingTest(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start()

    def start(self, hints="100ms", heartbeat="700ms", **options):
        return self.world.gateway(ARK_MODEL="m", GATEWAY_HINTS=hints, GATEWAY_HEARTBEAT=heartbeat, GATEWAY_TAIL_CHECK=NEVER, PRESENCE_INTERVAL=0,
                                  AUDIT_INTERVAL="1h", **options)

    def close_account(self):
        self.redis("HSET", GOVERNOR, *OPEN)

    def recover(self):
        self.redis("DEL", GOVERNOR)

    def hint(self, stream):
        """Reads the next frame, which must be a hint."""
        event = stream.next_event()
        self.assertEqual((event.id, event.event, event.payload()["stage"]), (None, "process", "queued"), event)
        return event.payload()

    def next_other(self, stream, before):
        """Reads until the next hint that differs."""
        while (hint := self.hint(stream)) == before:
            pass
        return hint

    def defer(self, task_id, delay_ms=600_000):
        """Defers the task, like a worker whose call was refused."""
        job = self.claim(task_id)
        job.begin()
        answer = self.run_script("finish", job.id, job.fence, "defer", "void", delay_ms, job.data(stage="retrying", code="ark_unreachable"))
        self.assertEqual(answer[0], b"OK")

    def due(self, *task_ids):
        """Moves the tasks back into the queue, with a CLAIM by a worker without permits."""
        for task_id in task_ids:
            self.redis("ZADD", "arkrelay:{0}:delayed", 1, f"public.{task_id}")
        self.run_script("claim", "test-worker", 600_000, 0, "nonce", 3)

    def assert_silent(self, stream):
        """Expects only heartbeats, for longer than the hint interval."""
        for _ in range(3):
            self.assertEqual(stream.next().comment, "keep-alive")


class Hints(WaitingTest):
    def test_a_waiting_task_gets_the_reason_and_its_end(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            hint = self.hint(stream)
            self.assertEqual((hint["position"], hint["message"]), (1, "排队中，前面还有0个任务..."))
            self.close_account()
            self.assertEqual(self.next_other(stream, hint), {
                "task_id": "t1", "message": MESSAGES["ark_unreachable"], "stage": "queued", "position": 1, "waiting_for": [UNREACHABLE]})
            self.recover()
            self.assertEqual(self.next_other(stream, {**hint, "message": MESSAGES["ark_unreachable"], "waiting_for": [UNREACHABLE]}), hint)
        self.assertEqual(len(self.world.find("t1").log), 1, "hints are no part of the log")

    def test_a_change_is_sent_before_the_next_repetition(self):
        gateway = self.start(hints="1s", heartbeat="1m")
        with gateway.generate("t1") as stream:
            hint = stream.until("process queued")[-1]
            self.close_account()
            self.assertLess(stream.next_event().at - hint.at, 4)        # an unchanged hint is repeated after 5 s
            self.recover()
            self.assertLess(stream.next_event().at - hint.at, 7)        # less than two repetitions, 10 s

    def test_a_later_viewer_gets_the_reason_at_once(self):
        self.close_account()
        with self.gateway.generate("t1") as stream:
            self.assertEqual([event.event for event in stream.until("start")], ["start"])
            self.assertEqual(self.hint(stream)["waiting_for"], [UNREACHABLE])
            with self.gateway.follow("t1") as other:
                other.until("start")
                self.assertEqual(self.hint(other)["waiting_for"], [UNREACHABLE])

    def test_a_probe_is_not_a_change(self):
        gateway = self.start(hints="200ms", heartbeat="1m")
        self.close_account()
        with gateway.generate("t1") as stream:
            first = stream.until("process queued")[-1]
            for state in ("probing", "open", "probing", "half_open"):
                self.redis("HSET", GOVERNOR, "state", state, "probe_at", FAR + len(state), "why", state)
            self.assertGreater(stream.next_event().at - first.at, 0.9)      # a repetition after five intervals, not a change

    def test_another_reason_is_a_change(self):
        self.close_account()
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            hint = self.hint(stream)
            self.redis("HSET", GOVERNOR, "code", "ark_unauthorized")
            hint = self.next_other(stream, hint)
            self.assertEqual((hint["message"], hint["waiting_for"]), (MESSAGES["ark_unauthorized"], [{**UNREACHABLE, "code": "ark_unauthorized"}]))

    def test_the_hint_for_each_reason(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            hint = self.hint(stream)
            for code in MESSAGES:
                self.redis("HSET", GOVERNOR, *OPEN, "code", code)
                hint = self.next_other(stream, hint)
                self.assertEqual((hint["message"], hint["waiting_for"][0]["code"]), (MESSAGES[code], code))

    def test_no_estimated_time_while_a_reason_exists(self):
        self.world.submit_many(2)
        with self.gateway.generate("t9") as stream:
            stream.until("start")
            self.hint(stream)
            self.gateway.cancel("t0")
            while "eta_ms" not in (hint := self.hint(stream)):
                pass
            self.close_account()
            hint = self.next_other(stream, hint)
            while "waiting_for" not in hint:        # an earlier hint may still arrive
                hint = self.next_other(stream, hint)
            self.assertNotIn("eta_ms", hint)

    def test_only_tasks_of_the_affected_model_get_its_reason(self):
        self.redis("HSET", GOVERNOR, "special state", "open", "special code", "outcome_unknown", "special since", SINCE)
        reason = {"code": "outcome_unknown", "model": "special", "since": SINCE_TEXT}
        with self.gateway.generate("a", model="special") as special, self.gateway.generate("b", model="other") as other, \
             self.gateway.generate("c") as usual, self.gateway.generate("d", model="special", prompt='"model":"other"') as tricky:
            for stream, waits in ((special, [reason]), (other, None), (usual, None), (tricky, [reason])):
                stream.until("start")
                self.assertEqual(self.hint(stream).get("waiting_for"), waits)
            self.redis("HSET", GOVERNOR, "m state", "open", "m code", "outcome_unknown", "m since", SINCE)
            reason_of_default = {**reason, "model": "m"}
            hint = self.hint(usual)
            while "waiting_for" not in hint:
                hint = self.hint(usual)
            self.assertEqual(hint["waiting_for"], [reason_of_default])
            self.redis("HSET", GOVERNOR, *OPEN)
            hint = self.hint(special)
            while len(hint["waiting_for"]) < 2:
                hint = self.hint(special)
            self.assertEqual((hint["waiting_for"], hint["message"]), ([UNREACHABLE, reason], MESSAGES["ark_unreachable"]))

    def test_a_rate_limit_pause(self):
        self.redis("HSET", GOVERNOR, "m paused_until", FAR, "m limit", 3)
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            hint = self.hint(stream)
            self.assertEqual((hint["waiting_for"], hint["message"]),
                             ([{"code": "ark_rate_limited", "model": "m", "until": FAR_TEXT}], MESSAGES["ark_rate_limited"]))
            self.redis("HSET", GOVERNOR, "m paused_until", 1)               # it is over but still stored
            self.assertNotIn("waiting_for", self.next_other(stream, hint))

    def test_a_running_task_gets_no_reason_and_causes_no_commands(self):
        self.close_account()
        with self.gateway.generate("t1") as stream:
            stream.until("process queued")
            self.claim("t1").begin()
            stream.until("process calling")
            self.assert_silent(stream)
            reads = self.commands("hgetall")
            self.assert_silent(stream)
            self.assertEqual(self.commands("hgetall"), reads)

    def commands(self, name):
        found = re.search(rf"cmdstat_{name}:calls=(\d+)", self.redis("INFO", "commandstats").decode())
        return int(found[1]) if found else 0

    def test_the_governor_is_read_once_per_interval_for_all_tasks(self):
        self.close_account()
        streams = [self.gateway.generate(f"t{n}") for n in range(20)]
        for stream in streams:
            stream.until("process queued")
        reads, asked = self.commands("hgetall"), self.commands("evalsha")
        stream.next_event()                                     # after 0.5 s
        read = self.commands("hgetall") - reads
        self.assertLessEqual(read, self.commands("evalsha") - asked + 1)
        self.assertGreaterEqual(read, 1)
        for stream in streams:
            stream.close()
        eventually(lambda: all(self.subscribers(f"t{n}") == 0 for n in range(20)), "all streams are closed")
        with self.gateway.follow("t0") as stream:
            self.claim("t0").begin()
            stream.until("process calling")
            self.assert_silent(stream)
            reads = self.commands("hgetall")
            self.assert_silent(stream)
            self.assertEqual(self.commands("hgetall"), reads)

    def test_an_unreadable_governor_still_gives_positions(self):
        self.redis("SET", GOVERNOR, "no hash")
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            self.assertEqual(self.hint(stream)["position"], 1)

    def test_a_viewer_that_disconnects_while_the_governor_is_read(self):
        proxy = HeldReplies(self.world.redis_server.socket)
        self.addCleanup(proxy.close)
        gateway = self.start(REDIS_URL=proxy.url)
        with gateway.generate("stays") as stays:
            with gateway.generate("leaves") as leaves:
                leaves.until("process queued")
                proxy.hold_reply_to("{account}:governor")
                proxy.ran.wait()
            gateway.wait_for(r"closing task=public\.leaves reason=client-gone")
            proxy.release_reply()
            self.close_account()
            stays.until("process queued")
            while "waiting_for" not in self.hint(stays):
                pass

    def test_hints_can_be_disabled(self):
        gateway = self.start(hints="0")
        self.close_account()
        with gateway.generate("t1") as stream:
            stream.until("start")
            self.assert_silent(stream)


class Deferred(WaitingTest):
    """Tasks in `delayed`."""

    def test_a_deferred_task_gets_the_reason_and_its_end(self):
        with self.gateway.generate("t1") as stream:
            self.defer("t1")
            stream.until("process retrying")
            self.assert_silent(stream)
            self.close_account()
            hint = self.hint(stream)
            self.assertEqual(hint, {"task_id": "t1", "message": MESSAGES["ark_unreachable"], "stage": "queued", "waiting_for": [UNREACHABLE]})
            self.recover()
            self.assertEqual(self.next_other(stream, hint), {"task_id": "t1", "message": RECOVERED, "stage": "queued"})
            self.assert_silent(stream)
            self.due("t1")
            self.assertEqual(self.hint(stream)["position"], 1)

    def test_a_later_viewer_of_a_deferred_task(self):
        self.gateway.submit("t1")
        self.defer("t1")
        self.close_account()
        with self.gateway.follow("t1") as stream:
            stream.until("process retrying")
            self.assertEqual(self.hint(stream)["waiting_for"], [UNREACHABLE])

    def test_deferrals_without_an_event(self):
        """The third deferral has no event: the last event in the log is a call to ARK."""
        self.gateway.submit("t1")
        for _ in range(2):
            self.defer("t1")
            self.due("t1")
        with self.gateway.follow("t1") as all_along:
            all_along.until("process retrying")
            all_along.until("process queued")
            job = self.claim("t1")
            job.begin()
            last = all_along.until("process calling")[-1]
            other = self.start()                                # a gateway that has not seen the earlier deferrals
            with other.follow("t1", last.id) as resumed:
                eventually(lambda: other.metric("arkrelay_sse_streams") == 1, "the stream is open and resumes after the last event")
                self.close_account()
                self.run_script("finish", job.id, job.fence, "defer", "void", 600_000, job.data(stage="retrying", code="ark_unreachable"))
                self.assertEqual(self.world.find("t1").story()[-1], "process calling")
                for stream in (all_along, resumed):
                    self.assertEqual(self.hint(stream).get("waiting_for"), [UNREACHABLE])
                self.due("t1")
                self.assertEqual(self.next_other(resumed, {"task_id": "t1", "message": MESSAGES["ark_unreachable"], "stage": "queued",
                                                           "waiting_for": [UNREACHABLE]})["position"], 1)

    def test_a_task_moved_to_delayed_still_gets_reasons(self):
        """CLAIM moves tasks that may not begin from the front of the queue to `delayed`, without an event."""
        self.close_account()
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            hint = self.hint(stream)
            self.redis("ZREM", "arkrelay:{0}:pending", "public.t1")
            self.redis("ZADD", "arkrelay:{0}:delayed", FAR, "public.t1")
            self.redis("HSET", "arkrelay:{0}:task:public.t1", "state", "delayed")
            hint = self.next_other(stream, hint)
            self.assertEqual((hint.get("position"), hint["waiting_for"]), (None, [UNREACHABLE]))
            self.due("t1")
            self.assertEqual(self.next_other(stream, hint)["position"], 1)


class Requests(WaitingTest):
    """GET /tasks/{id} and GET /queue."""

    def waits(self, task_id):
        return self.gateway.task(task_id).json().get("waiting_for")

    def queue(self):
        return fetch(self.gateway.address, "GET", f"{BASE}/queue").json()["waiting_for"]

    def test_no_reasons_while_nothing_is_restricted(self):
        self.gateway.submit("t1")
        self.assertEqual((self.waits("t1"), self.queue()), (None, []))

    def test_only_waiting_tasks_have_reasons(self):
        self.close_account()
        self.gateway.submit("delayed")
        self.defer("delayed")
        self.gateway.submit("cancelled")
        self.gateway.cancel("cancelled")
        self.gateway.submit("runs")
        self.claim("runs").begin()
        self.gateway.submit("queued")
        self.assertEqual([self.waits(task_id) for task_id in ("queued", "delayed", "runs", "cancelled")],
                         [[UNREACHABLE], [UNREACHABLE], None, None])
        self.assertEqual(self.queue(), [UNREACHABLE])

    def test_reasons_of_models(self):
        self.redis("HSET", GOVERNOR, "default_model", "n", "m paused_until", FAR, "n state", "half_open", "n code", "ark_quota_exceeded",
                   "n since", SINCE, "n why", "SetLimitExceeded")
        paused = {"code": "ark_rate_limited", "model": "m", "until": FAR_TEXT}
        closed = {"code": "ark_quota_exceeded", "model": "n", "since": SINCE_TEXT}
        for task_id, fields in (("usual", {}), ("m", {"model": "m"}), ("n", {"model": "n"}), ("o", {"model": "o"})):
            self.gateway.submit(task_id, **fields)
        self.assertEqual([self.waits(task_id) for task_id in ("usual", "m", "n", "o")], [[paused], [paused], [closed], None])
        self.assertCountEqual(self.queue(), [paused, closed])
        self.assertNotIn("SetLimitExceeded", self.gateway.task("n").body.decode(), "ARK's words are for operators")

    def test_an_unreadable_governor(self):
        self.redis("SET", GOVERNOR, "no hash")
        self.gateway.submit("t1")
        self.assertEqual((self.waits("t1"), self.queue()), (None, []))

    def test_redis_is_unavailable(self):
        self.gateway.submit("t1")
        self.world.redis_server.stop()
        self.gateway.wait_for("connection lost")
        for path in ("tasks/t1", "queue"):
            self.assert_problem(fetch(self.gateway.address, "GET", f"{BASE}/{path}"), 503, "store_unavailable")
        self.world.redis_server.start()
        self.world.redis = self.world.redis_server.client()


class Outage(ProcessTest):
    """Uses a real worker."""

    def test_hints_during_a_complete_outage(self):
        with World(ark=False) as world:
            address = f"127.0.0.1:{free_port()}"
            gateway = world.gateway(GATEWAY_HINTS="100ms")
            world.worker(ARK_BASE_URL=f"http://{address}/api/v3", WORKER_CONCURRENCY=1)
            with gateway.generate("t1", prompt=sim("t1", "images=1")) as stream:
                while "waiting_for" not in (hint := stream.until("process queued")[-1].payload()):
                    pass
                self.assertEqual([reason["code"] for reason in hint["waiting_for"]], ["ark_unreachable"])
                self.assertEqual(hint["message"], MESSAGES["ark_unreachable"])
                self.assertEqual([reason["code"] for reason in gateway.task("t1").json()["waiting_for"]], ["ark_unreachable"])
                world.start_ark(ARK_SIM_LISTEN=address)
                self.assertEqual(stream.to_end()[-1].event, "done")
            self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/queue").json()["waiting_for"], [])

    def test_an_api_key_that_ark_rejects(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_HINTS="100ms")
            world.ark.script(*[{"status": 401}] * 50)
            world.worker(WORKER_CONCURRENCY=1)
            with gateway.generate("first", prompt=sim("first", "images=1")) as stream:
                self.assertEqual(stream.to_end()[-1].payload()["code"], "ark_unauthorized")
            with gateway.generate("second", prompt=sim("second", "images=1")) as stream:
                while "waiting_for" not in (hint := stream.until("process queued")[-1].payload()):
                    pass
                self.assertEqual([reason["code"] for reason in hint["waiting_for"]], ["ark_unauthorized"])
                self.assertEqual(gateway.cancel("second").status, 200)
                stream.to_end()


if __name__ == "__main__":
    unittest.main()
