"""The gateway alone: a real Redis, and a worker that is this test, so that every event comes exactly when the test says so."""

import concurrent.futures
import json
import re
import signal
import subprocess
import unittest

from support.http_client import Connection, Cut, EventStream, fetch
from support.processes import Deadline, Program, ProcessTest, binary, eventually
from support.scripts import PREFIX
from support.world import BASE, URLS, World, request

NEVER = "10m"       # for what must not help a test
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Job:
    """A task in the hands of this test."""

    def __init__(self, run, task_id):
        self.run, self.task_id, self.id, self.wseq = run, task_id, f"public.{task_id}", 0
        answer = run("claim", "test-worker", 600_000, 1, "00000000000000ff", 3)
        assert len(answer) == 2 and answer[1][0].decode() == self.id, answer
        self.fence = answer[1][1]

    def data(self, **more):
        return json.dumps({"task_id": self.task_id, "message": "...", **more}, ensure_ascii=False)

    def begin(self):
        answer = self.run("begin", self.id, self.fence, "call-1", 3, 600_000, self.data(stage="calling", attempt=1))
        assert answer[0] == b"OK", answer

    def emit_args(self, index):
        self.wseq += 1
        image = {"url": "https://ark.example.com/1.jpg", "size": "2K"}
        return ("emit", self.id, self.fence, self.wseq, self.data(stage="image", index=index, image=image),
                "image " + json.dumps(image))

    def emit(self, index):
        answer = self.run(*self.emit_args(index))
        assert answer[0] == b"OK", answer

    def talk(self, size):
        """An event of about this many bytes, which leaves nothing in the result."""
        self.wseq += 1
        answer = self.run("emit", self.id, self.fence, self.wseq, self.data(stage="image", padding="x" * size), "")
        assert answer[0] == b"OK", answer

    def finish_args(self):
        return ("finish", self.id, self.fence, "done", "known", 0, "")

    def finish(self):
        answer = self.run(*self.finish_args())
        assert answer[0] == b"OK", answer


class GatewayTest(ProcessTest):
    """A world of its own for each test; leaving it checks exit statuses, and what stands in Redis."""

    redis_options = {}

    def setUp(self):
        self.world = World(ark=False, **self.redis_options)
        self.addCleanup(self.leave_world)
        self.redis, self.run_script = self.world.redis, self.world.run_script

    def leave_world(self):
        """A test that failed is not to be told by what it left behind."""
        passed = self._outcome.success
        self.world.__exit__(None if passed else AssertionError, None, None)

    def job(self, task_id):
        return Job(self.run_script, task_id)

    def silently(self, name, *args):
        """Runs a transition whose announcement gets lost."""
        body = self.run_script.bodies[name].replace(b"redis.call('PUBLISH'", b"tostring('PUBLISH'")
        self.assertNotEqual(body, self.run_script.bodies[name])
        return self.redis("EVAL", body, 1, PREFIX, *args)

    def subscribers(self, task_id):
        return self.redis("PUBSUB", "NUMSUB", f"{PREFIX}channel:public.{task_id}")[1]

    def assert_problem(self, response, status, code):
        self.assertEqual((response.status, response.headers["content-type"]), (status, "application/problem+json"))
        problem = response.json()
        self.assertEqual((problem["code"], problem["status"]), (code, status))
        self.assertEqual(problem["request_id"], response.headers["x-request-id"])
        self.assertEqual(problem["type"], f"urn:arkrelay:problem:{code}")
        self.assertEqual("retry-after" in response.headers, status in (429, 503))
        return problem

    def assert_numbers(self, frames, *numbers):
        self.assertEqual([frame.n for frame in frames], list(numbers))


class Streams(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)

    def test_start_comes_at_once_and_in_one_piece(self):
        with self.gateway.generate("t1") as stream:
            retry, start = stream.next(), stream.next()
            self.assertEqual(len(stream.pieces), 1)
            self.assertLess(start.at - stream.began, 1)
        epoch = self.world.find("t1").fields["epoch"]
        self.assertIn(retry.retry, range(2000, 4001))
        self.assertEqual((start.id, start.event), (f"{epoch}-1", "start"))
        self.assertEqual(json.loads(start.data), {"event": "start", "data": {
            "task_id": "t1", "message": "开始生成图像...", "position": 1}})
        headers = stream.response.headers
        self.assertEqual(headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(headers["cache-control"], "no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertEqual(headers["transfer-encoding"], "chunked")
        self.assertNotIn("content-length", headers)

    def test_the_whole_story_each_event_one_piece_then_a_clean_end(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            for step in (job.begin, lambda: job.emit(0), lambda: job.emit(1)):
                step()
                before = len(stream.pieces)
                stream.next()
                self.assertEqual(len(stream.pieces), before + 1)
            job.finish()
            done = stream.next()
            self.assertEqual((done.event, done.n), ("done", 5))
            self.assertEqual(done.payload()["urls"], URLS)
            self.assertEqual(done.payload()["generated_images"], 2 * [{"url": "https://ark.example.com/1.jpg", "size": "2K"}])
            self.assertIsNone(stream.next())
            stream.connection.request("GET", "/livez")      # the connection is as good as new
            self.assertEqual(stream.connection.response().status, 200)
        eventually(lambda: self.subscribers("t1") == 0, "the last viewer unsubscribed")

    def test_a_task_costs_three_round_trips(self):
        def calls(command):
            return int((re.search(rf"cmdstat_{command}:calls=(\d+)", self.redis("INFO", "commandstats").decode()) or [0, 0])[1])
        with self.gateway.generate("warm") as stream:           # Redis knows every script afterwards
            stream.until("start")
            job = self.job("warm")
            job.begin()
            job.emit(0)
            job.finish()
            stream.to_end()
        eventually(lambda: self.subscribers("warm") == 0, "unsubscribed")
        self.redis("CONFIG", "RESETSTAT")
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            job.begin()
            job.emit(0)
            job.finish()
            stream.to_end()
        eventually(lambda: self.subscribers("t1") == 0, "unsubscribed")
        own = 4                                                 # claim, begin, emit, finish
        self.assertEqual((calls("subscribe"), calls("evalsha") - own, calls("unsubscribe"), calls("eval")), (1, 1, 1, 0))

    def test_same_request_attaches_and_replays_the_same_bytes(self):
        with self.gateway.generate("t1") as first, self.gateway.generate("t1") as second:
            self.job("t1").begin()
            self.assertEqual([frame.raw for frame in first.until("process")], [frame.raw for frame in second.until("process")])
        with self.gateway.generate("t1", urls=URLS) as third:
            self.assert_numbers(third.until("process"), 1, 2)
        self.assertEqual(len(self.world.look().tasks), 1)
        self.assertEqual(self.world.look().meta["submitted"], "1")

    def test_the_order_of_fields_makes_no_other_request(self):
        text = json.dumps(dict(reversed(request("t1", prompt="x", seed=1).items())), indent=3)
        with self.gateway.generate("t1", seed=1, prompt="x") as first:
            first.until("start")
            with EventStream(self.gateway.address, "POST", f"{BASE}/generate/stream", text) as second:
                self.assert_numbers(second.until("start"), 1)

    def test_same_id_with_another_request_is_a_conflict(self):
        with self.gateway.generate("t1") as first:
            first.until("start")
            for fields in ({"prompt": "x"}, {"seed": 0}, {"urls": URLS[:1]}, {"urls": URLS[::-1]}, {"watermark": False}):
                with self.gateway.generate("t1", **fields) as second:
                    self.assert_problem(second.response, 409, "task_id_conflict")
            self.job("t1").begin()                          # the first one is not disturbed
            first.until("process")

    def test_a_final_task_is_replayed_and_ended(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            self.job("t1").finish()
            told = [frame.raw for frame in stream.to_end()]
        for again in (lambda: self.gateway.generate("t1"), lambda: self.gateway.follow("t1")):
            with again() as stream:
                frames = stream.to_end()
                self.assert_numbers(frames, 1, 2)
                self.assertEqual([frames[-1].raw], told)

    def test_resuming_has_no_gap_and_no_repeat(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        job = self.job("t1")
        job.begin()
        job.emit(0)
        with self.gateway.follow("t1", start.id) as stream:
            self.assert_numbers(stream.until("process image"), 2, 3)
            job.emit(1)
            job.finish()
            frames = stream.to_end()
            self.assert_numbers(frames, 4, 5)
        with self.gateway.follow("t1", frames[0].id) as stream:
            self.assert_numbers(stream.to_end(), 5)

    def test_the_header_wins_over_the_query(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        self.job("t1").finish()
        path = f"{BASE}/tasks/t1/stream?x=1&last_event_id={start.id}"
        with EventStream(self.gateway.address, "GET", path) as stream:
            self.assert_numbers(stream.to_end(), 2)
        with EventStream(self.gateway.address, "GET", path, headers={"Last-Event-ID": start.id[:-1] + "0"}) as stream:
            self.assert_numbers(stream.to_end(), 1, 2)
        with EventStream(self.gateway.address, "GET", path, headers={"Last-Event-ID": "x"}) as stream:
            self.assert_problem(stream.response, 400, "invalid_last_event_id")

    def test_no_content_for_who_has_the_last_event(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            self.job("t1").finish()
            done = stream.to_end()[-1]
        with Connection(self.gateway.address) as connection:
            for _ in range(2):                              # and the connection stays good
                connection.request("GET", f"{BASE}/tasks/t1/stream", headers={"Last-Event-ID": done.id})
                answer = connection.response()
                self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(fetch(self.gateway.address, "GET", f"{BASE}/tasks/t1/stream?last_event_id={done.id}").status, 204)

    def test_a_place_that_the_store_does_not_know_is_reset(self):
        with self.gateway.generate("t1") as stream:
            epoch = int(stream.until("start")[0].id.partition("-")[0])
        job = self.job("t1")
        job.begin()
        for place in (f"{epoch - 1}-1", f"{epoch + 1}-2", f"{epoch}-3", f"{epoch}-999999999999999"):
            with self.subTest(place), self.gateway.follow("t1", place) as stream:
                reset, *rest = stream.until("process")
                self.assertEqual((reset.event, reset.id), ("reset", None))
                self.assertEqual(reset.payload()["task_id"], "t1")
                self.assertTrue(reset.payload()["message"])
                self.assert_numbers(rest, 1, 2)
        job.finish()
        with self.gateway.follow("t1", f"{epoch}-4") as stream:     # also when it is final
            self.assertEqual([frame.event for frame in stream.to_end()], ["reset", "start", "process", "done"])

    def test_malformed_places(self):
        self.world.submit_many(1)
        for place in ("abc", "-1", "1", "1-", "1-2-3", "1--2", "01-1", "1-01", "+1-1", "1-1 x", "9" * 30 + "-1", "1-" + "9" * 30,
                      "x" * 200):
            with self.subTest(place), self.gateway.follow("t0", place) as stream:
                self.assert_problem(stream.response, 400, "invalid_last_event_id")
        for query in ("last_event_id=abc", "last_event_id=%", "last_event_id=%00", "x&last_event_id=1-" + "9" * 99):
            with self.subTest(query):
                answer = fetch(self.gateway.address, "GET", f"{BASE}/tasks/t0/stream?{query}")
                self.assert_problem(answer, 400, "invalid_last_event_id")

    def test_an_empty_place_is_the_beginning(self):
        self.world.submit_many(1)
        for query, headers in (("?last_event_id=", {}), ("", {"Last-Event-ID": ""}), ("?my_last_event_id=abc", {})):
            with self.subTest(query=query, headers=headers):
                with EventStream(self.gateway.address, "GET", f"{BASE}/tasks/t0/stream{query}", headers=headers) as stream:
                    self.assert_numbers(stream.until("start"), 1)

    def test_unknown_tasks(self):
        for task_id in ("nobody", "..", "%2e%2e", "a%20b", "x" * 129, "{0}", "*"):
            with self.subTest(task_id), self.gateway.follow(task_id) as stream:
                self.assertEqual(stream.response.status, 404)
        self.assert_problem(fetch(self.gateway.address, "GET", f"{BASE}/tasks/nobody/stream"), 404, "task_not_found")
        eventually(lambda: self.subscribers("nobody") == 0, "nothing is left subscribed")

    def test_all_viewers_see_the_same_through_one_subscription(self):
        with self.gateway.generate("t1") as first:
            first.until("start")
            viewers = [self.gateway.follow("t1") for _ in range(8)]
            self.assertEqual(self.subscribers("t1"), 1)
            job = self.job("t1")
            job.begin()
            viewers.pop().close()
            job.emit(0)
            job.finish()
            told = [frame.raw for frame in first.to_end()]
            self.assertEqual(len(told), 3)
            for viewer in viewers:
                self.assertEqual([frame.raw for frame in viewer.to_end()][1:], told)
                viewer.close()
        eventually(lambda: self.subscribers("t1") == 0, "the last viewer unsubscribed")

    def test_a_client_that_leaves_costs_nothing_and_the_task_goes_on(self):
        with self.gateway.generate("warm") as stream:
            stream.until("start")
        eventually(lambda: self.subscribers("warm") == 0, "the stream is closed")
        files = self.gateway.open_files()
        streams = [self.gateway.generate(f"t{n}") for n in range(20)]
        for stream in streams:
            stream.until("start")
        self.assertGreaterEqual(self.gateway.open_files(), files + 20)
        for stream in streams:
            stream.close()
        eventually(lambda: self.gateway.open_files() <= files, "all files are closed")
        eventually(lambda: not any(self.subscribers(f"t{n}") for n in range(20)), "nothing is left subscribed")
        self.assertEqual({task.state for task in self.world.look().tasks.values()}, {"queued"})

    def test_many_clients_come_and_go_at_once(self):
        """Joining, leaving before the answer, and joining again, over a few tasks."""
        def visit(n):
            with Connection(self.gateway.address) as raw:
                raw.request("POST", f"{BASE}/generate/stream", request(f"t{n % 5}"))
                if n % 3:
                    raw.response_head(Deadline())
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(visit, range(200)))
        with self.gateway.generate("t1") as stream:
            self.assert_numbers(stream.until("start"), 1)
        eventually(lambda: not any(self.subscribers(f"t{n}") for n in range(5)), "nothing is left subscribed")

    def test_http_1_0_gets_the_same_stream_without_chunks(self):
        body = json.dumps(request("t1")).encode()
        with Connection(self.gateway.address) as raw:
            raw.send(b"POST %s/generate/stream HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                     % (BASE.encode(), len(body), body))
            head = raw.response_head(Deadline())
            self.assertEqual(head.status, 200)
            self.assertNotIn("transfer-encoding", head.headers)
            self.world.wait_state("t1", "queued")
            job = self.job("t1")
            job.begin()
            job.finish()
            text = raw.wait_closed().decode()
        self.assertEqual(re.findall(r"^event: (\w+)$", text, re.M), ["start", "process", "done"])
        self.assertTrue(text.endswith("}\n\n"))

    def test_head_of_a_stream(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
        for final in (False, True):
            with self.subTest(final=final), Connection(self.gateway.address) as raw:
                raw.request("HEAD", f"{BASE}/tasks/t1/stream")
                head = raw.response()
                self.assertEqual((head.status, head.headers["content-type"]), (200, "text/event-stream; charset=utf-8"))
                self.assertEqual(raw.unread(), b"")
            if not final:
                self.job("t1").finish()
        self.assertEqual(fetch(self.gateway.address, "HEAD", f"{BASE}/tasks/nobody/stream").status, 404)
        eventually(lambda: self.subscribers("t1") == 0, "a HEAD leaves nothing behind")

    def test_bytes_on_an_open_stream_close_it(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            stream.connection.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            with self.assertRaises(Cut):
                while stream.next():
                    pass

    def test_cancelling_a_waiting_task_ends_its_stream(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            answer = self.gateway.cancel("t1")
            self.assertEqual((answer.status, answer.json()), (200, {"task_id": "t1", "status": "cancelled"}))
            last, = stream.to_end()
        self.assertEqual((last.event, last.payload()["code"], last.payload()["message"]), ("error", "cancelled", "任务已取消"))


class Silence(GatewayTest):
    def test_a_comment_after_each_heartbeat_of_silence(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="300ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            times = [stream.until("start")[0].at]
            for _ in range(3):
                frame = stream.next()
                self.assertEqual(frame.raw, b": keep-alive")
                times.append(frame.at)
        self.assertTrue(all(0.29 <= b - a < 2 for a, b in zip(times, times[1:])), times)

    def test_a_lost_last_message_is_found(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream, gateway.follow("t1") as other:
            stream.until("start")
            other.until("start")
            job = self.job("t1")
            self.silently(*job.finish_args())
            for viewer in (stream, other):
                done, = viewer.to_end()
                self.assertEqual((done.event, done.n), ("done", 2))

    def test_a_gap_is_filled_at_once(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream, gateway.follow("t1") as other:
            stream.until("start")
            other.until("start")
            job = self.job("t1")
            for index in range(3):
                self.silently(*job.emit_args(index))
            job.emit(3)
            for viewer in (stream, other):
                self.assert_numbers([viewer.next_event() for _ in range(4)], 2, 3, 4, 5)
            job.finish()
            self.assert_numbers(stream.to_end(), 6)
            self.assert_numbers(other.to_end(), 6)

    def test_noise_on_the_channel_is_ignored(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            for noise in ("", "x", "2", "2 done", "2 what {}", "-2 done {}", "1 start {\"event\":\"start\",\"data\":{}}", "99 done {}\n{}"):
                self.redis("PUBLISH", f"{PREFIX}channel:{job.id}", noise)
            job.finish()
            self.assert_numbers(stream.to_end(), 2)

    def test_an_announcement_beyond_the_log_changes_nothing(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            self.redis("PUBLISH", f"{PREFIX}channel:{job.id}", '7 done {"event":"done","data":{}}')
            job.begin()
            job.finish()
            self.assert_numbers(stream.to_end(), 2, 3)

    def test_an_element_that_cannot_be_read_is_left_out(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            events = f"{PREFIX}events:{job.id}"
            self.redis("RPUSH", events, "what is this")
            job.begin()
            self.assert_numbers(stream.until("process"), 3)
            with gateway.follow("t1") as other:
                self.assert_numbers(other.until("process"), 1, 3)
            self.redis("LSET", events, 1, b'2 process {"event":"process","data":{"task_id":"t1","message":"mended"}}')
            job.finish()
            self.assert_numbers(stream.to_end(), 4)


class LostData(GatewayTest):
    def test_a_task_that_is_gone_resets_and_ends_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            self.redis("FLUSHALL")
            frame, = stream.to_end()
            self.assertEqual((frame.event, frame.id), ("reset", None))
        with gateway.follow("t1", "1-1") as again:
            self.assert_problem(again.response, 404, "task_not_found")

    def test_a_task_that_began_anew_resets_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            old = stream.until("start")[0]
            job = self.job("t1")
            job.begin()
            stream.until("process")
            self.redis("FLUSHALL")
            with gateway.generate("t1") as newcomer:
                new = newcomer.until("start")[0]
                reset, start = stream.until("start")
                self.assertEqual(reset.event, "reset")
                self.assertEqual(start.raw, new.raw)
                self.assertNotEqual(start.id, old.id)
                self.job("t1").finish()
                self.assert_numbers(stream.to_end(), 2)
                self.assert_numbers(newcomer.to_end(), 2)

    def test_a_log_that_lost_its_tail_resets_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            job.begin()
            job.emit(0)
            stream.until("process image")
            self.redis("LTRIM", f"{PREFIX}events:{job.id}", 0, 0)
            self.assertEqual([frame.event for frame in stream.until("start")], ["reset", "start"])
            job.finish()
            self.assert_numbers(stream.to_end(), 2)


class RedisAway(GatewayTest):
    redis_options = {"aof": True}

    def assert_503_soon(self, gateway, path=f"{BASE}/generate", method="POST"):
        deadline = Deadline(1.5 if "asan" not in binary("") else 5)
        body = request("away") if method == "POST" else None
        self.assert_problem(fetch(gateway.address, method, path, body), 503, "store_unavailable")
        self.assertFalse(deadline.passed(), "an answer within a second, and a busy machine's margin")

    def test_open_streams_stay_and_catch_up(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="200ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            self.world.redis_server.stop()
            while stream.next().comment != "degraded":
                pass
            for path, method in ((f"{BASE}/generate", "POST"), (f"{BASE}/generate/stream", "POST"), (f"{BASE}/tasks/t1", "GET"),
                                 (f"{BASE}/tasks/t1/stream", "GET"), (f"{BASE}/tasks/t1/cancel", "POST"), ("/readyz", "GET")):
                with self.subTest(path):
                    self.assert_503_soon(gateway, path, method)
            self.assertEqual(gateway.get("/livez").status, 200)
            self.world.redis_server.start()
            self.world.redis = self.world.redis_server.client()
            self.run_script.redis = self.world.redis
            job.begin()                                     # perhaps before the gateway is back
            self.assert_numbers(stream.until("process"), 2)
            while stream.next().comment != "keep-alive":
                pass
            job.finish()
            self.assert_numbers(stream.to_end(), 3)
        eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")

    def test_a_frozen_redis_is_told_within_a_second(self):
        gateway = self.world.gateway()
        with gateway.generate("t1") as stream:
            stream.until("start")
            self.world.redis_server.program.pause()
            try:
                self.assert_503_soon(gateway)
                self.assert_503_soon(gateway, f"{BASE}/generate/stream")
                self.assert_503_soon(gateway, "/readyz", "GET")
            finally:
                self.world.redis_server.program.resume()
            eventually(lambda: gateway.get("/readyz").status == 200, "it is ready again")
            self.job("t1").finish()
            self.assertEqual(stream.to_end()[-1].event, "done")

    def test_a_killed_subscriber_connection_loses_nothing(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream, gateway.generate("t2") as idle:
            stream.until("start")
            idle.until("start")
            job = self.job("t1")
            for index in range(3):
                name, *args = job.emit_args(index)
                body = self.run_script.bodies[name]
                answers = self.redis.pipeline([("MULTI",), ("CLIENT", "KILL", "TYPE", "pubsub"), ("EVAL", body, 1, PREFIX, *args),
                                               ("EXEC",)])
                self.assertEqual((answers[-1][0], answers[-1][1][0]), (1, b"OK"))
                self.assert_numbers([stream.next_event()], 2 + index)
            job.finish()
            self.assert_numbers(stream.to_end(), 5)
            self.assertEqual(self.subscribers("t2"), 1)

    def test_a_killed_command_connection_loses_nothing(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.job("t1")
            self.silently(*job.emit_args(0))
            # The gap is noticed just when there is no connection to fill it with.
            body = self.run_script.bodies["emit"]
            kill = [("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:commands"))]
            self.redis.pipeline([("MULTI",), *kill, ("EVAL", body, 1, PREFIX, *job.emit_args(1)[1:]), ("EXEC",)])
            self.assert_numbers([stream.next_event(), stream.next_event()], 2, 3)
            job.finish()
            self.assert_numbers(stream.to_end(), 4)

    def client_id(self, name):
        for line in self.redis("CLIENT", "LIST").decode().splitlines():
            if f" name={name} " in line:
                return re.match(r"id=(\d+)", line).group(1)
        raise AssertionError(f"no client {name}")

    def test_scripts_that_redis_forgot_are_sent_again(self):
        gateway = self.world.gateway()
        self.redis("SCRIPT", "FLUSH")
        with gateway.generate("t1") as stream:
            stream.until("start")
        self.redis("SCRIPT", "FLUSH")
        self.assertEqual(gateway.task("t1").status, 200)

    def test_a_redis_that_refuses_writes_is_away(self):
        gateway = self.world.gateway()
        self.redis("CONFIG", "SET", "maxmemory", "1")
        try:
            self.assert_problem(gateway.submit("t1"), 503, "store_unavailable")
            self.assert_problem(gateway.get("/readyz"), 503, "store_unavailable")
        finally:
            self.redis("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(gateway.submit("t1").status, 202)

    def test_a_gateway_starts_without_redis(self):
        self.world.redis_server.stop()
        gateway = self.world.gateway()
        self.assertEqual(gateway.get("/livez").status, 200)
        self.assert_problem(gateway.get("/readyz"), 503, "store_unavailable")
        self.world.redis_server.start()
        eventually(lambda: gateway.get("/readyz").status == 200, "it is ready")


class SlowReader(GatewayTest):
    def test_it_is_cut_and_resumes_by_id(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="16k", GATEWAY_TAIL_CHECK=NEVER)
        slow = EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), receive_buffer=4096)
        with slow, gateway.follow("t1") as quick:
            last = slow.until("start")[0]
            job = self.job("t1")
            for _ in range(200):
                job.talk(60_000)
                quick.next_event()
            gateway.wait_for(r"closing task=public\.t1 reason=too-slow")
            with self.assertRaises(Cut):
                while frame := slow.next():
                    last = frame
            self.assertLess(last.n, 201)
            job.finish()
            self.assertEqual(quick.to_end()[-1].n, 202)
        with gateway.follow("t1", last.id) as resumed:
            self.assert_numbers(resumed.to_end(), *range(last.n + 1, 203))


class Drain(GatewayTest):
    def test_streams_are_handed_over(self):
        gateway, other = self.world.gateway(), self.world.gateway()
        with gateway.generate("t1") as stream:
            start, = stream.until("start")
            gateway.signal(signal.SIGTERM)
            self.assertIn(stream.next().retry, range(500, 1501))
            self.assertIsNone(stream.next())
            self.assertEqual(gateway.wait_exit(5), 0)
            self.assertRegex(gateway.lines[-1], "stopped reason=drained")
        with other.follow("t1", start.id) as stream:
            self.job("t1").finish()
            self.assert_numbers(stream.to_end(), 2)

    def test_nobody_new_is_let_in(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="4m")
        address = gateway.address
        with self.reader_that_does_not_read(gateway):
            gateway.signal(signal.SIGTERM)
            gateway.wait_for("draining")
            with self.assertRaises(ConnectionRefusedError):
                eventually(lambda: Connection(address).close(), "the listener is closed", seconds=5)
            gateway.signal(signal.SIGTERM)                  # does not wait for the reader any longer
            self.assertEqual(gateway.wait_exit(3), 0)
            self.assertRegex(gateway.lines[-1], "stopped reason=second-signal")

    def test_a_reader_that_does_not_read_holds_it_up_for_seconds_only(self):
        gateway = self.world.gateway(GATEWAY_OUTPUT_MAX="4m")
        with self.reader_that_does_not_read(gateway):
            self.assertEqual(gateway.stop(10), 0)

    def reader_that_does_not_read(self, gateway):
        """An open stream with more unsent than sockets hold."""
        stream = EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request("t1"), receive_buffer=4096)
        stream.until("start")
        with gateway.follow("t1") as quick:
            job = self.job("t1")
            for _ in range(100):
                job.talk(60_000)
                quick.next_event()
        return stream

    def test_an_idle_connection_does_not_hold_it_up(self):
        gateway = self.world.gateway()
        with Connection(gateway.address) as idle:
            idle.request("GET", "/livez")
            idle.response()
            self.assertEqual(gateway.stop(3), 0)


class Threads(GatewayTest):
    def test_several_threads_share_the_port_and_nothing_else(self):
        gateway = self.world.gateway(GATEWAY_THREADS=3)
        eventually(lambda: self.redis("CLIENT", "LIST").decode().count("name=arkrelay-gateway:") == 6, "all are connected")
        streams = [gateway.generate("t1") for _ in range(30)]
        for stream in streams:
            stream.until("start")
        self.assertGreater(self.subscribers("t1"), 1, "more than one thread has viewers")
        job = self.job("t1")
        job.begin()
        job.finish()
        for stream in streams:
            self.assert_numbers(stream.to_end(), 2, 3)
            stream.close()
        eventually(lambda: self.subscribers("t1") == 0, "every thread unsubscribed")

    def test_all_of_them_drain(self):
        gateway = self.world.gateway(GATEWAY_THREADS=4)
        streams = [gateway.generate(f"t{n}") for n in range(20)]
        for stream in streams:
            stream.until("start")
        gateway.signal(signal.SIGTERM)
        for stream in streams:
            self.assertIn(stream.next().retry, range(500, 1501))
            self.assertIsNone(stream.next())
            stream.close()
        self.assertEqual(gateway.wait_exit(5), 0)


GOOD = request("bad1")

BAD_FIELDS = [
    ("no urls", {"task_id": "bad1"}, ["/urls"]),
    ("no task_id", {"urls": URLS}, ["/task_id"]),
    ("an unknown field", {**GOOD, "promt": "x"}, ["/promt"]),
    ("a private host", {**GOOD, "urls": ["https://example.com/", "http://169.254.169.254/"]}, ["/urls/1"]),
    ("a data URL", {**GOOD, "urls": ["data:image/png;base64,AAAA"]}, ["/urls/0"]),
    ("too many urls", {**GOOD, "urls": 15 * URLS[:1]}, ["/urls"]),
    ("a long url", {**GOOD, "urls": ["https://example.com/" + 2048 * "x"]}, ["/urls/0"]),
    ("too many paid calls", {**GOOD, "max_paid_calls": 6}, ["/max_paid_calls"]),
    ("several", {"urls": 1, "task_id": "../x", "prompt": "", "<script>": 1}, ["/urls", "/task_id", "/prompt", "/<script>"]),
]

BAD_JSON = [
    ("empty", b""), ("spaces", b"  "), ("a list", b"[]"), ("a text", b'"x"'), ("null", b"null"), ("half", b'{"urls":['),
    ("twice", b'{"task_id":"a","task_id":"b"}'), ("latin-1", b'{"prompt":"\xe9"}'), ("deep", b"[" * 2000), ("NUL", b'{"a":"\\u0000"}'),
    ("two", b"{}{}"), ("utf-16", '{"urls":[]}'.encode("utf-16")),
]

BAD_HEADS = [
    ("no type", {"Content-Type": None}, 415, "content_type"),
    ("text", {"Content-Type": "text/plain"}, 415, "content_type"),
    ("a form", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "content_type"),
    ("latin-1", {"Content-Type": "application/json; charset=latin1"}, 415, "content_type"),
    ("gzip", {"Content-Encoding": "gzip"}, 415, "content_encoding"),
    ("no length", {"Content-Length": None}, 411, "length_required"),
    ("an id of its own", {"Idempotency-Key": "other"}, 422, "invalid_fields"),
]


class Requests(GatewayTest):
    """What one request gets; the gateway serves them all."""

    @classmethod
    def setUpClass(cls):
        cls.shared = World(ark=False)
        cls.addClassCleanup(lambda: cls.shared.__exit__(None, None, None))
        cls.gateway = cls.shared.gateway(GATEWAY_HEARTBEAT="100ms", GATEWAY_BODY_MAX="8k")

    def setUp(self):
        self.world, self.redis, self.run_script = self.shared, self.shared.redis, self.shared.run_script
        self.redis("FLUSHALL")

    def post(self, path, body, headers=None):
        return fetch(self.gateway.address, "POST", BASE + path, body, headers)

    def test_bad_fields_are_listed_with_pointers(self):
        for name, body, pointers in BAD_FIELDS:
            with self.subTest(name):
                problem = self.assert_problem(self.post("/generate/stream", body), 422, "invalid_fields")
                self.assertEqual(sorted(error["pointer"] for error in problem["errors"]), sorted(pointers))
                self.assertTrue(all(error["detail"] for error in problem["errors"]))
        self.assertEqual(self.world.look().tasks, {})

    def test_what_is_not_json(self):
        for name, body in BAD_JSON:
            with self.subTest(name):
                self.assert_problem(self.post("/generate/stream", body), 400, "invalid_json")
        self.assertEqual(self.world.look().tasks, {})

    def test_bad_heads(self):
        for path in ("/generate", "/generate/stream"):
            for name, headers, status, code in BAD_HEADS:
                with self.subTest(name, path=path):
                    self.assert_problem(self.post(path, GOOD, headers), status, code)
        self.assertEqual(self.world.look().tasks, {})

    def test_a_body_that_is_too_large_is_not_read(self):
        with Connection(self.gateway.address) as raw:
            raw.request("POST", f"{BASE}/generate", None, {"Content-Type": "application/json", "Content-Length": "8193"})
            self.assert_problem(raw.response(), 413, "body_too_large")

    def test_accept(self):
        for accept in (None, "*/*", "text/*", "text/event-stream", "application/json, text/plain, */*"):
            with self.subTest(accept), self.gateway.generate("t1", {"Accept": accept}) as stream:
                self.assertEqual(stream.response.status, 200)
        for accept in ("application/json", "text/html", "*/*;q=0", ""):
            with self.subTest(accept):
                self.assert_problem(self.post("/generate/stream", GOOD, {"Accept": accept}), 406, "not_acceptable")
                answer = fetch(self.gateway.address, "GET", f"{BASE}/tasks/t1/stream", headers={"Accept": accept})
                self.assert_problem(answer, 406, "not_acceptable")
        self.assert_problem(self.post("/generate", GOOD, {"Accept": "text/event-stream"}), 406, "not_acceptable")

    def test_unknown_addresses_and_methods(self):
        for method, path in (("GET", "/nothing"), ("GET", BASE), ("POST", f"{BASE}/generate/"), ("GET", f"{BASE}/tasks/"),
                             ("GET", f"{BASE}/tasks/a/b"), ("GET", "//livez")):
            with self.subTest(path):
                self.assert_problem(fetch(self.gateway.address, method, path), 404, "not_found")
        for method, path, allow in (("GET", "/generate", {"POST", "OPTIONS"}), ("PUT", "/tasks/t1", {"GET", "HEAD", "OPTIONS"})):
            with self.subTest(path):
                answer = fetch(self.gateway.address, method, BASE + path)
                self.assert_problem(answer, 405, "method_not_allowed")
                self.assertEqual({word.strip() for word in answer.headers["allow"].split(",")}, allow)

    def test_generate_answers_with_links(self):
        answer = self.gateway.submit("t1")
        self.assertEqual(answer.status, 202)
        self.assertEqual(answer.json(), {"task_id": "t1", "status": "queued", "links": {
            "self": f"{BASE}/tasks/t1", "stream": f"{BASE}/tasks/t1/stream", "cancel": f"{BASE}/tasks/t1/cancel"}})
        self.assertEqual(answer.headers["location"], f"{BASE}/tasks/t1")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.job("t1")
        again = self.gateway.submit("t1")
        self.assertEqual((again.status, again.json()["status"]), (200, "running"))
        self.assert_problem(self.gateway.submit("t1", prompt="x"), 409, "task_id_conflict")

    def test_generate_makes_an_id_where_none_is_given(self):
        ids = {self.post("/generate", {"urls": URLS}).json()["task_id"] for _ in range(3)}
        self.assertEqual(len(ids), 3)
        for task_id in ids:
            self.assertRegex(task_id, "^[0-9a-f]{32}$")
            self.assertEqual(self.gateway.task(task_id).status, 200)

    def test_idempotency_key_stands_for_the_id(self):
        for value in ("key-1", '"key-1"'):
            self.assertEqual(self.post("/generate", {"urls": URLS}, {"Idempotency-Key": value}).json()["task_id"], "key-1")
        with EventStream(self.gateway.address, "POST", f"{BASE}/generate/stream", {"urls": URLS}, {"Idempotency-Key": "key-1"}) as stream:
            self.assertEqual(stream.until("start")[0].payload()["task_id"], "key-1")
        self.assertEqual(self.post("/generate", request("key-1"), {"Idempotency-Key": "key-1"}).status, 200)
        self.assert_problem(self.post("/generate", GOOD, {"Idempotency-Key": "a b"}), 422, "invalid_fields")

    def test_a_task_through_its_life(self):
        def task():
            answer = self.gateway.task("t1")
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            return answer.json()
        self.gateway.submit("t0")
        self.gateway.submit("t1", max_paid_calls=3)
        waiting = task()
        self.assertRegex(waiting.pop("created_at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(waiting.pop("epoch"), self.world.find("t1").number("epoch"))
        self.assertEqual(waiting, {
            "task_id": "t1", "status": "queued", "position": 2, "attempts": 0, "paid_calls": 0, "max_paid_calls": 3,
            "timing": {"queued_ms": None, "total_ms": None}, "generated_images": [], "failed_images": [], "links": {
                "self": f"{BASE}/tasks/t1", "stream": f"{BASE}/tasks/t1/stream", "cancel": f"{BASE}/tasks/t1/cancel"}})
        self.job("t0")
        job = self.job("t1")
        job.begin()
        job.emit(0)
        running = task()
        self.assertEqual((running["status"], running["attempts"], running["max_attempts"], running["paid_calls"]), ("running", 1, 3, 1))
        self.assertEqual(running["generated_images"], [{"url": "https://ark.example.com/1.jpg", "size": "2K"}])
        self.assertNotIn("position", running)
        self.assertGreaterEqual(running["timing"]["queued_ms"], 0)
        job.finish()
        done = task()
        self.assertEqual((done["status"], done["result"]["generated_images"]), ("done", running["generated_images"]))
        self.assertGreaterEqual(done["timing"]["total_ms"], done["timing"]["queued_ms"])
        self.assertNotIn("error", done)
        self.assertNotIn("generated_images", done)
        for task_id in ("nobody", "..", "a%20b", "x" * 129):
            self.assert_problem(self.gateway.task(task_id), 404, "task_not_found")

    def test_a_failed_task_has_its_error(self):
        self.gateway.submit("t1")
        job = self.job("t1")
        failure = json.dumps({"code": "ark_overloaded", "error": 'why "so"?', "retryable": True})
        self.run_script("finish", job.id, job.fence, "failed", "none", 0, failure)
        task = self.gateway.task("t1").json()
        self.assertEqual((task["status"], task["error"]["code"], task["error"]["error"]), ("failed", "ark_overloaded", 'why "so"?'))
        self.assertNotIn("result", task)

    def test_cancel(self):
        self.gateway.submit("t1")
        self.gateway.submit("t2")
        self.job("t1")
        answer = self.gateway.cancel("t1")
        self.assertEqual((answer.status, answer.json()), (202, {"task_id": "t1", "status": "running"}))
        self.assertEqual(self.world.find("t1").fields["cancel"], "1")
        self.assertEqual(self.gateway.cancel("t2").status, 200)
        self.assert_problem(self.gateway.cancel("t2"), 409, "task_final")
        self.assert_problem(self.gateway.cancel("nobody"), 404, "task_not_found")
        self.assertEqual(self.gateway.task("t2").json()["error"]["code"], "cancelled")

    def test_a_paused_queue_takes_nothing_new(self):
        self.gateway.submit("t1")
        self.redis("HSET", f"{PREFIX}meta", "paused", "1")
        self.assert_problem(self.gateway.submit("t2"), 503, "queue_paused")
        with self.gateway.generate("t2") as stream:
            self.assert_problem(stream.response, 503, "queue_paused")
        self.assertEqual(self.gateway.submit("t1").status, 200)
        self.assertEqual(self.gateway.get("/readyz").json(), {"status": "ready", "paused": True})

    def test_cors_lets_every_page_in(self):
        preflight = fetch(self.gateway.address, "OPTIONS", f"{BASE}/generate/stream", headers={
            "Origin": "https://page.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
        self.assertEqual(preflight.status, 204)
        self.assertEqual(preflight.headers["access-control-allow-origin"], "*")
        self.assertIn("POST", preflight.headers["access-control-allow-methods"])
        self.assertIn("Content-Type", preflight.headers["access-control-allow-headers"])
        self.assertGreater(int(preflight.headers["access-control-max-age"]), 0)
        for answer in (self.post("/generate", GOOD), self.post("/generate", {}), self.gateway.get("/nothing"), self.gateway.get("/livez")):
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertNotIn("vary", answer.headers)
        with self.gateway.generate("bad1", {"Origin": "null"}) as stream:
            self.assertEqual(stream.response.headers["access-control-allow-origin"], "*")

    def test_options_without_cors(self):
        answer = fetch(self.gateway.address, "OPTIONS", f"{BASE}/tasks/t1")
        self.assertEqual(answer.status, 204)
        self.assertIn("GET", answer.headers["allow"])
        self.assertNotIn("access-control-allow-methods", answer.headers)

    def test_head(self):
        self.gateway.submit("t1")
        for path in ("/livez", "/readyz", f"{BASE}/tasks/t1"):
            answer = fetch(self.gateway.address, "HEAD", path)
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertGreater(int(answer.headers["content-length"]), 0)

    def test_health(self):
        live, ready = self.gateway.get("/livez"), self.gateway.get("/readyz")
        self.assertEqual((live.status, live.json()), (200, {"status": "ok"}))
        self.assertEqual((ready.status, ready.json()), (200, {"status": "ready", "paused": False}))

    def test_request_id_and_trace(self):
        self.assertEqual(self.gateway.get("/livez", **{"X-Request-Id": "my-id_1"}).headers["x-request-id"], "my-id_1")
        self.assertNotEqual(self.gateway.get("/livez").headers["x-request-id"], self.gateway.get("/livez").headers["x-request-id"])
        with self.gateway.generate("t1", {"traceparent": TRACE, "X-Request-Id": "my-id_2"}) as stream:
            self.assertEqual(stream.response.headers["x-request-id"], "my-id_2")
        self.gateway.wait_for(rf"info .*accepted task=public\.t1 request_id=my-id_2 trace={TRACE}$")
        self.assertEqual(self.world.find("t1").fields["trace"], TRACE)
        with self.gateway.generate("t2", {"traceparent": TRACE.upper()}) as stream:
            stream.until("start")
        self.assertNotIn("trace", self.world.find("t2").fields)

    def test_what_stands_in_redis(self):
        self.gateway.submit("t1", prompt="换脸", seed=1)
        task = self.world.find("t1")
        self.assertEqual(task.request, json.dumps({"prompt": "换脸", "seed": 1, "urls": URLS}, ensure_ascii=False, separators=(",", ":")).encode())
        self.assertEqual((task.number("max_paid_calls"), task.number("ttl")), (2, 86_400_000))
        self.assertEqual(task.number("queue_until") - task.number("epoch"), 3_600_000)
        self.gateway.submit("t2", max_paid_calls=5)
        self.assertEqual(self.world.find("t2").number("max_paid_calls"), 5)


class Configured(GatewayTest):
    def test_a_full_queue(self):
        gateway = self.world.gateway(GATEWAY_QUEUE_LIMIT=1)
        self.assertEqual(gateway.submit("t1").status, 202)
        self.assert_problem(gateway.submit("t2"), 503, "queue_full")
        with gateway.generate("t2") as stream:
            self.assert_problem(stream.response, 503, "queue_full")
        with gateway.generate("t1") as stream:                  # who is in is not disturbed
            stream.until("start")

    def test_a_list_of_origins(self):
        gateway = self.world.gateway(GATEWAY_CORS_ORIGINS="https://a.example, https://b.example:8443")
        for origin in ("https://a.example", "https://b.example:8443"):
            answer = gateway.get("/livez", Origin=origin)
            self.assertEqual((answer.headers["access-control-allow-origin"], answer.headers["vary"]), (origin, "Origin"))
        for headers in ({"Origin": "https://b.example"}, {"Origin": "null"}, {}):
            answer = gateway.get("/livez", **headers)
            self.assertEqual((answer.status, answer.headers["vary"]), (200, "Origin"))
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_data_urls(self):
        gateway = self.world.gateway(GATEWAY_DATA_URLS="on")
        picture = "data:image/png;base64," + "A" * 60_000
        self.assertEqual(gateway.submit("t1", urls=[picture]).status, 202)
        with gateway.follow("t1") as stream:
            stream.until("start")
            self.job("t1").finish()
            self.assertEqual(stream.to_end()[-1].payload()["urls"], [picture])

    def test_defaults_of_a_task(self):
        gateway = self.world.gateway(MAX_PAID_CALLS=1, GATEWAY_MAX_PAID_CALLS_LIMIT=1, GATEWAY_RETENTION="1m", GATEWAY_QUEUE_TTL="2m")
        gateway.submit("t1")
        task = self.world.find("t1")
        self.assertEqual((task.number("max_paid_calls"), task.number("ttl")), (1, 60_000))
        self.assertEqual(task.number("queue_until") - task.number("epoch"), 120_000)
        self.assert_problem(gateway.submit("t2", max_paid_calls=2), 422, "invalid_fields")

    def test_the_first_line_says_what_is_in_effect(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="2s")
        self.assertRegex(gateway.lines[0], r"info .*starting version=\S+ listen=127.0.0.1:0 .*heartbeat_ms=2000 ")

    def test_healthcheck(self):
        gateway = self.world.gateway()
        def probe(address):
            return subprocess.run([binary("arkrelay-gateway"), "--healthcheck"], env={"GATEWAY_LISTEN": address}, check=False,
                                  timeout=30, cwd=self.world.redis_server.folder).returncode
        self.assertEqual(probe(gateway.address), 0)
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(probe(gateway.address), 1)


class Options(ProcessTest):
    def refused(self, *words):
        program = Program("gateway", [binary("arkrelay-gateway"), *words])
        self.assertEqual(program.wait_exit(), 78)
        return program.lines

    def test_what_is_refused_says_why_in_one_line(self):
        for words, pattern in (
                (["--listen", "0.0.0.0:0"], "GATEWAY_LISTEN 0.0.0.0:0 .*GATEWAY_OPEN"),
                (["--listen", "[::]:0"], "GATEWAY_OPEN"),
                (["--listen", ":0"], "listen|LISTEN"),
                (["--listen", "localhost.example:0"], "GATEWAY_OPEN"),
                (["--listen", "127.evil.example:0"], "GATEWAY_OPEN"),
                (["--heartbeat", "99ms"], "heartbeat|HEARTBEAT"),
                (["--heartbeat", "11m"], "heartbeat|HEARTBEAT"),
                (["--threads", "0"], "threads|THREADS"),
                (["--threads", "65"], "threads|THREADS"),
                (["--max-paid-calls", "6"], "MAX_PAID_CALLS 6 .*LIMIT 5"),
                (["--redis-url", "http://x"], "REDIS_URL")):
            with self.subTest(words):
                line, = self.refused(*words)
                self.assertRegex(line, pattern)

    def test_a_port_that_is_taken(self):
        with World(ark=False) as world:
            taken = world.gateway().address
            program = Program("gateway", [binary("arkrelay-gateway"), "--listen", taken])
            self.assertEqual(program.wait_exit(), 1)
            program_says = "\n".join(program.lines)
            self.assertIn("cannot start", program_says)
            self.assertRegex(program.lines[-1], "stopped")


if __name__ == "__main__":
    unittest.main()
