"""The gateway's streams, with a real Redis. The test runs the worker's scripts, so that it controls when each event happens."""

import collections
import concurrent.futures
import contextlib
import json
import re
import unittest

from gateway_case import NEVER, GatewayTest, HeldReplies, cursor
from support.command_log import CommandLog
from support.http_client import Connection, Cut, EventStream, fetch
from support.processes import Deadline, eventually
from support.scripts import PREFIX
from support.store import HEAD
from support.world import BASE, URLS, request


class Streams(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER, PRESENCE_INTERVAL=0)       # this test counts commands

    def test_start_is_sent_at_once_in_one_chunk(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
            self.assertEqual(len(stream.pieces), 1)
            self.assertLess(start.at - stream.began, 1)

    def test_a_stream_begins_with_the_retry_delay(self):
        with self.gateway.generate("t1") as stream:
            self.assertIn(stream.next().retry, range(2000, 4001))

    def test_the_start_event(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        self.assertEqual((start.id, start.event), (cursor(self.world.find("t1").fields["epoch"], 1), "start"))
        self.assertEqual(json.loads(start.data), {"event": "start", "data": {
            "task_id": "t1", "message": "开始生成图像...", "position": 1}})

    def test_the_headers_of_a_stream(self):
        with self.gateway.generate("t1") as stream:
            headers = stream.response.headers
        self.assertEqual(headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(headers["cache-control"], "no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertEqual(headers["transfer-encoding"], "chunked")
        self.assertNotIn("content-length", headers)

    def test_all_events_each_in_one_chunk_then_a_clean_end(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            for step in (job.begin, lambda: job.emit(0), lambda: job.emit(1)):
                step()
                before = len(stream.pieces)
                stream.next()
                self.assertEqual(len(stream.pieces), before + 1)
            job.finish()
            done = stream.next()
            self.assertEqual((done.event, done.n), ("done", 5))
            self.assertEqual(done.payload()["urls"], URLS)
            self.assertEqual(done.payload()["generated_images"],
                             [{"index": n, "url": "https://ark.example.com/1.jpg", "size": "2K"} for n in (0, 1)])
            self.assertIsNone(stream.next())
            stream.connection.request("GET", "/livez")      # the connection can be reused
            self.assertEqual(stream.connection.response().status, 200)
        eventually(lambda: self.subscribers("t1") == 0, "the last viewer unsubscribed")

    def test_a_task_costs_three_round_trips(self):
        def calls(command):
            return int((re.search(rf"cmdstat_{command}:calls=(\d+)", self.redis("INFO", "commandstats").decode()) or [0, 0])[1])
        with self.gateway.generate("warm") as stream:           # afterwards Redis has cached every script
            stream.until("start")
            job = self.claim("warm")
            job.begin()
            job.emit(0)
            job.finish()
            stream.to_end()
        eventually(lambda: self.subscribers("warm") == 0, "unsubscribed")
        self.redis("CONFIG", "RESETSTAT")
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            job.begin()
            job.emit(0)
            job.finish()
            stream.to_end()
        eventually(lambda: self.subscribers("t1") == 0, "unsubscribed")
        own = 4                                                 # claim, begin, emit, finish
        self.assertEqual((calls("subscribe"), calls("evalsha") - own, calls("unsubscribe"), calls("eval")), (1, 1, 1, 0))

    def test_same_request_attaches_and_replays_the_same_bytes(self):
        with self.gateway.generate("t1") as first, self.gateway.generate("t1") as second:
            self.claim("t1").begin()
            self.assertEqual([frame.raw for frame in first.until("process")], [frame.raw for frame in second.until("process")])
        with self.gateway.generate("t1", urls=URLS) as third:
            self.assert_numbers(third.until("process"), 1, 2)
        self.assertEqual(len(self.world.look().tasks), 1)
        self.assertEqual(self.world.look().counter("submitted"), 1)

    def test_the_order_of_fields_does_not_matter(self):
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
            self.claim("t1").begin()                          # the first task is not affected
            first.until("process")

    def test_a_final_task_is_replayed_and_ended(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            self.claim("t1").finish()
            raw_frames = [frame.raw for frame in stream.to_end()]
        for again in (lambda: self.gateway.generate("t1"), lambda: self.gateway.follow("t1")):
            with again() as stream:
                frames = stream.to_end()
                self.assert_numbers(frames, 1, 2)
                self.assertEqual([frames[-1].raw], raw_frames)

    def test_resuming_has_no_gap_and_no_repeat(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        job = self.claim("t1")
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
        self.claim("t1").finish()
        path = f"{BASE}/tasks/t1/stream?x=1&last_event_id={start.id}"
        with EventStream(self.gateway.address, "GET", path) as stream:
            self.assert_numbers(stream.to_end(), 2)
        with EventStream(self.gateway.address, "GET", path, headers={"Last-Event-ID": cursor(start.epoch, 0)}) as stream:
            self.assert_numbers(stream.to_end(), 1, 2)
        with EventStream(self.gateway.address, "GET", path, headers={"Last-Event-ID": "x"}) as stream:
            self.assert_problem(stream.response, 400, "invalid_last_event_id")

    def test_last_event_id_in_the_query_of_polyfills(self):
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        self.claim("t1").finish()
        begin = cursor(start.epoch, 0)
        for query, header, numbers in (
                (f"lastEventId={start.id}", None, [2]),
                (f"last_event_id={begin}&lastEventId={start.id}", None, [2]),       # the parameter added at the reconnect is newer
                (f"lastEventId={begin}&last_event_id={start.id}", None, [1, 2]),
                (f"lastEventId=&last_event_id={start.id}", None, [2]),
                (f"lastEventId={start.id}&last_event_id=x", None, [2]),
                (f"lastEventId={begin}", start.id, [2]),
                ("lastEventId=", None, [1, 2]),
                (f"LastEventId={start.id}", None, [1, 2]),                          # an unknown parameter is ignored
        ):
            path = f"{BASE}/tasks/t1/stream?{query}"
            with self.subTest(query), EventStream(self.gateway.address, "GET", path, headers={"Last-Event-ID": header}) as stream:
                self.assert_numbers(stream.to_end(), *numbers)

    def test_a_repeated_post_with_last_event_id_resumes(self):
        """fetch-event-source repeats the POST, with Last-Event-ID."""
        with self.gateway.generate("t1") as stream:
            start, = stream.until("start")
        with self.gateway.generate("t1", {"Last-Event-ID": start.id}) as stream:
            self.assertEqual(stream.next().event, None)
            job = self.claim("t1")
            job.begin()
            self.assert_numbers(stream.until("process"), 2)
        job.finish()
        epoch = start.epoch
        for place, numbers in ((cursor(epoch, 1), [2, 3]), (cursor(epoch, 0), [1, 2, 3]), ("", [1, 2, 3]), (cursor(epoch, 3), []),
                               (cursor(epoch, 4), [None, 1, 2, 3]), ("1-1", [None, 1, 2, 3])):
            with self.subTest(place), self.gateway.generate("t1", {"Last-Event-ID": place}) as stream:
                self.assert_numbers(stream.to_end(), *numbers)
        with self.gateway.generate("t2", {"Last-Event-ID": start.id}) as stream:
            self.assertEqual([event.event for event in (stream.next_event(), stream.next_event())], ["reset", "start"])
        with self.gateway.generate("t3", {"Last-Event-ID": "x"}) as stream:
            self.assert_problem(stream.response, 400, "invalid_last_event_id")
        self.assertIsNone(self.world.find("t3"))

    def test_resuming_after_the_final_event_gets_204(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            self.claim("t1").finish()
            done = stream.to_end()[-1]
        with Connection(self.gateway.address) as connection:
            for _ in range(2):                              # the connection stays usable
                connection.request("GET", f"{BASE}/tasks/t1/stream", headers={"Last-Event-ID": done.id})
                answer = connection.response()
                self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(fetch(self.gateway.address, "GET", f"{BASE}/tasks/t1/stream?last_event_id={done.id}").status, 204)

    def test_an_unknown_last_event_id_gets_a_reset(self):
        with self.gateway.generate("t1") as stream:
            epoch = stream.until("start")[0].epoch
        job = self.claim("t1")
        job.begin()
        for place in (cursor(epoch - 1, 1), cursor(epoch + 1, 2), cursor(epoch, 3), cursor(epoch, 999999999999999)):
            with self.subTest(place), self.gateway.follow("t1", place) as stream:
                reset, *rest = stream.until("process")
                self.assertEqual((reset.event, reset.id), ("reset", None))
                self.assertEqual(reset.payload()["task_id"], "t1")
                self.assertTrue(reset.payload()["message"])
                self.assert_numbers(rest, 1, 2)
        job.finish()
        with self.gateway.follow("t1", cursor(epoch, 4)) as stream:     # also for a final task
            self.assertEqual([frame.event for frame in stream.to_end()], ["reset", "start", "process", "done"])

    def test_malformed_last_event_ids(self):
        self.world.submit_many(1)
        for place in ("abc", "-1", "1", "1-", "1-2-3", "1--2", "01-1", "1-01", "+1-1", "1-1 x", "9" * 30 + "-1", "1-" + "9" * 30,
                      "x" * 200):
            with self.subTest(place), self.gateway.follow("t0", place) as stream:
                self.assert_problem(stream.response, 400, "invalid_last_event_id")
        for query in ("last_event_id=abc", "last_event_id=%", "lastEventId=abc", "lastEventId=%00", "last_event_id=1-1&lastEventId=x", "last_event_id=%00", "x&last_event_id=1-" + "9" * 99):
            with self.subTest(query):
                answer = fetch(self.gateway.address, "GET", f"{BASE}/tasks/t0/stream?{query}")
                self.assert_problem(answer, 400, "invalid_last_event_id")

    def test_an_empty_last_event_id_replays_everything(self):
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

    def test_all_viewers_share_one_subscription(self):
        with self.gateway.generate("t1") as first:
            first.until("start")
            viewers = [self.gateway.follow("t1") for _ in range(8)]
            self.assertEqual(self.subscribers("t1"), 1)
            job = self.claim("t1")
            job.begin()
            viewers.pop().close()
            job.emit(0)
            job.finish()
            raw_frames = [frame.raw for frame in first.to_end()]
            self.assertEqual(len(raw_frames), 3)
            for viewer in viewers:
                self.assertEqual([frame.raw for frame in viewer.to_end()][1:], raw_frames)
                viewer.close()
        eventually(lambda: self.subscribers("t1") == 0, "the last viewer unsubscribed")

    def test_a_disconnected_client_does_not_affect_the_task(self):
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

    def test_many_clients_connect_and_disconnect_at_once(self):
        """Clients connect, disconnect before the response, and reconnect, on a few tasks."""
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
            job = self.claim("t1")
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
                self.claim("t1").finish()
        self.assertEqual(fetch(self.gateway.address, "HEAD", f"{BASE}/tasks/nobody/stream").status, 404)
        eventually(lambda: self.subscribers("t1") == 0, "a HEAD leaves no subscription")

    def test_cancelling_a_waiting_task_ends_its_stream(self):
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            answer = self.gateway.cancel("t1")
            self.assertEqual((answer.status, answer.json()), (200, {"task_id": "t1", "status": "cancelled"}))
            last, = stream.to_end()
        self.assertEqual((last.event, last.payload()["code"], last.payload()["message"]), ("error", "cancelled", "任务已取消"))


class Silence(GatewayTest):
    def test_heartbeats_are_sent_during_silence(self):
        gateway = self.world.gateway(GATEWAY_HEARTBEAT="300ms", GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            for n in range(1, 4):
                frame = stream.next()
                self.assertEqual(frame.raw, b": keep-alive")
                self.assertTrue(0.29 * n <= frame.at - stream.began < 2 * n, n)

    def test_a_lost_last_message_is_recovered(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream, gateway.follow("t1") as other:
            stream.until("start")
            other.until("start")
            job = self.claim("t1")
            self.silently(*job.finish_args())
            for viewer in (stream, other):
                done, = viewer.to_end()
                self.assertEqual((done.event, done.n), ("done", 2))

    def lose_and_grow_back(self, job, keep, *texts):
        """Simulates a failover: removes all events after the first `keep`, then writes other events without publishing them."""
        self.redis("LTRIM", f"{PREFIX}events:{job.id}", 0, HEAD + keep - 1)
        self.redis("HSET", f"{PREFIX}task:{job.id}", "n", keep + len(texts))
        for n, text in enumerate(texts, keep + 1):
            data = job.data(stage="image", index=0, image={"url": text})
            self.redis("RPUSH", f"{PREFIX}events:{job.id}", f'{n} process {{"event":"process","data":{data}}}')

    def assert_reset(self, stream, *urls):
        """The stream gets `reset` and then the whole log."""
        events = [stream.next_event() for _ in range(2 + len(urls))]
        self.assertEqual([event.event for event in events], ["reset", "start", *("process" for _ in urls)])
        self.assert_numbers(events[1:], *range(1, len(urls) + 2))
        self.assertEqual([event.payload()["image"]["url"] for event in events[2:]], list(urls))

    def two_viewers_of_three_events(self, gateway, streams):
        first = streams.enter_context(gateway.generate("t1"))
        second = streams.enter_context(gateway.follow("t1"))
        for stream in (first, second):
            stream.until("start")
        job = self.claim("t1")
        for text in ("a", "b"):
            self.run_script("emit", job.id, job.fence, "ab".index(text) + 1, job.data(stage="image", index=0, image={"url": text}))
        for stream in (first, second):
            self.assertEqual([stream.next_event().payload()["image"]["url"] for _ in range(2)], ["a", "b"])
        job.wseq = 2
        return job, first, second

    def test_a_changed_log_of_the_same_length_is_detected(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        for texts in (("a", "c"), ("c", "b!"), ("c", "d", "e"), ("c",)):
            with self.subTest(texts), contextlib.ExitStack() as streams:
                self.redis("FLUSHALL")
                job, *viewers = self.two_viewers_of_three_events(gateway, streams)
                self.lose_and_grow_back(job, 1, *texts)
                for viewer in viewers:
                    self.assert_reset(viewer, *texts)
                job.finish()
                for viewer in viewers:
                    self.assertEqual(viewer.next_event().event, "done")

    def test_a_changed_log_is_detected_after_a_reconnect(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with contextlib.ExitStack() as streams:
            job, *viewers = self.two_viewers_of_three_events(gateway, streams)
            self.lose_and_grow_back(job, 1, "c", "d")
            self.redis("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:events"))
            eventually(lambda: self.subscribers("t1") == 1, "it is subscribed again")
            self.run_script("emit", job.id, job.fence, 3, job.data(stage="image", index=0, image={"url": "e"}))
            for viewer in viewers:
                self.assert_reset(viewer, "c", "d", "e")

    def test_a_message_with_a_known_number_and_other_content(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with contextlib.ExitStack() as streams:
            job, *viewers = self.two_viewers_of_three_events(gateway, streams)
            self.lose_and_grow_back(job, 2)
            self.redis("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:events"))
            eventually(lambda: self.subscribers("t1") == 1, "it is subscribed again")
            self.run_script("emit", job.id, job.fence, 3, job.data(stage="image", index=0, image={"url": "x"}))
            for viewer in viewers:
                self.assert_reset(viewer, "a", "x")

    def test_a_reconnect_with_an_unchanged_log_causes_no_reset(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="100ms")
        with contextlib.ExitStack() as streams:
            job, *viewers = self.two_viewers_of_three_events(gateway, streams)
            for n in range(3, 6):
                self.redis("CLIENT", "KILL", "ID", self.client_id("arkrelay-gateway:events"))
                eventually(lambda: self.subscribers("t1") == 1, "it is subscribed again")
                self.run_script("emit", job.id, job.fence, n, job.data(stage="image", index=0, image={"url": "x" * 20_000}))
                for viewer in viewers:
                    self.assertEqual(viewer.next_event().n, n + 1)

    def test_many_silent_streams_are_checked_in_few_calls(self):
        count, counts = 300, collections.Counter()
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="500ms")
        self.run_script.load()
        with contextlib.ExitStack() as streams, CommandLog(self.world.redis.address, self.run_script) as log:
            for n in range(count):
                streams.enter_context(gateway.generate(f"t{n}")).until("start")
            log.counts()
            eventually(lambda: counts.update(log.counts()) or counts["tails"] >= 10, "silences are compared")
        self.assertEqual(counts["read"], 0)
        self.assertLess(counts["tails"], count)

    def test_a_gap_is_filled_at_once(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream, gateway.follow("t1") as other:
            stream.until("start")
            other.until("start")
            job = self.claim("t1")
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
            job = self.claim("t1")
            for noise in ("", "x", "2", "2 done", "2 what {}", "-2 done {}", "1 start {\"event\":\"start\",\"data\":{}}", "99 done {}\n{}"):
                self.redis("PUBLISH", f"{PREFIX}channel:{job.id}", noise)
            job.finish()
            self.assert_numbers(stream.to_end(), 2)

    def test_a_message_beyond_the_log_is_ignored(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            self.redis("PUBLISH", f"{PREFIX}channel:{job.id}", '7 done {"event":"done","data":{}}')
            job.begin()
            job.finish()
            self.assert_numbers(stream.to_end(), 2, 3)

    def test_an_unreadable_element_is_skipped(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER)
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            events = f"{PREFIX}events:{job.id}"
            self.redis("RPUSH", events, "what is this")
            self.redis("HSET", f"{PREFIX}task:{job.id}", "n", 2)
            job.begin()
            self.assert_numbers(stream.until("process"), 3)
            with gateway.follow("t1") as other:
                self.assert_numbers(other.until("process"), 1, 3)
            self.redis("LSET", events, HEAD + 1, b'2 process {"event":"process","data":{"task_id":"t1","message":"mended"}}')
            job.finish()
            self.assert_numbers(stream.to_end(), 4)


class Races(GatewayTest):
    """An event arrives on the channel before the reply of an earlier read that does not contain it."""

    def setUp(self):
        super().setUp()
        for body in self.run_script.bodies.values():
            self.redis("SCRIPT", "LOAD", body)
        self.proxy = HeldReplies(self.world.redis_server.socket)
        self.addCleanup(self.proxy.close)
        self.gateway = self.world.gateway(GATEWAY_TAIL_CHECK=NEVER, REDIS_URL=self.proxy.url)

    def joins_late(self, between):
        """A viewer joins: its log is read, between() runs, then the reply arrives."""
        self.proxy.hold_reply_to(self.run_script.sha1["read"])
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            joining = pool.submit(self.gateway.follow, "t1")
            self.proxy.ran.wait()
            between()
            self.proxy.release_reply()
            return joining.result()

    def test_a_viewer_that_joins_later_catches_up(self):
        with self.gateway.generate("t1") as first:
            first.until("start")
            job = self.claim("t1")

            def between():
                job.begin()
                first.until("process")              # then the gateway has received the message
            with self.joins_late(between) as late:
                self.assert_numbers([late.next_event(), late.next_event()], 1, 2)
                job.finish()
                self.assert_numbers(late.to_end(), 3)
            self.assert_numbers(first.to_end(), 3)

    def test_a_first_viewer_gets_events_published_during_its_read(self):
        with self.gateway.generate("t0") as other:
            other.until("start")
            other_job = self.claim("t0")
            self.assertEqual(self.gateway.submit("t1").status, 202)
            job = self.claim("t1")

            def between():
                job.begin()
                other_job.begin()
                other.until("process")              # published later on the same connection, so the gateway has received both messages
            with self.joins_late(between) as late:
                self.assert_numbers([late.next_event(), late.next_event()], 1, 2)
                job.finish()
                self.assert_numbers(late.to_end(), 3)

    def test_a_position_in_an_older_log_hides_no_event(self):
        """Shortly after its last viewer left, the task is restarted while the subscription still exists."""
        with self.gateway.generate("t0") as other:
            other.until("start")
            other_job = self.claim("t0")
            with self.gateway.generate("t1") as stream:
                self.gateway.cancel("t1")
                self.assert_numbers(stream.to_end(), 1, 2)
            self.assertEqual(self.run_script("retry", "public.t1", 60_000)[0], b"NEW")

            def between():
                self.claim("t1").begin()
                other_job.begin()
                other.until("process")              # published later on the same connection, so the gateway has received both messages
            with self.joins_late(between) as late:
                self.assert_numbers([late.next_event(), late.next_event()], 1, 2)

    def test_events_before_the_subscription_are_not_lost(self):
        """Redis runs SUBMIT first but its reply arrives last: events published in between had no subscriber."""
        with self.gateway.generate("t0") as other, concurrent.futures.ThreadPoolExecutor(1) as pool:
            other.until("start")
            other_job = self.claim("t0")
            self.proxy.hold("SUBSCRIBE")
            self.proxy.hold_reply_to(self.run_script.sha1["submit"])
            joining = pool.submit(self.gateway.generate, "t1")
            self.proxy.held.wait()
            self.proxy.ran.wait()
            job = self.claim("t1")
            job.begin()
            self.proxy.release()
            eventually(lambda: self.subscribers("t1") == 1, "it is subscribed")
            other_job.begin()
            other.until("process")                  # later on the same connection, so the gateway has received the confirmation
            self.proxy.release_reply()
            with joining.result() as stream:
                self.assert_numbers([stream.next_event(), stream.next_event()], 1, 2)
                job.finish()
                self.assert_numbers(stream.to_end(), 3)

    def test_a_viewer_with_newer_data_updates_the_others(self):
        with self.gateway.generate("t1") as first:
            first.until("start")
            job = self.claim("t1")
            self.silently(*job.emit_args(0))
            with self.gateway.follow("t1") as ahead:
                self.assert_numbers([ahead.next_event(), ahead.next_event()], 1, 2)
                self.assert_numbers([first.next_event()], 2)
                job.finish()
                self.assert_numbers(ahead.to_end(), 3)
            self.assert_numbers(first.to_end(), 3)

    def test_a_read_from_before_a_reconnect_does_not_close_the_gap(self):
        """The reply arrives in the same loop iteration as the confirmation of the subscription."""
        with self.gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            self.silently(*job.emit_args(0))
            self.proxy.hold_reply_to(self.run_script.sha1["read"])
            job.emit(1)                             # the gateway detects the gap
            self.proxy.ran.wait()
            self.proxy.hold("SUBSCRIBE")
            self.redis("CLIENT", "KILL", "TYPE", "pubsub")
            self.proxy.held.wait()
            job.emit(2)
            self.gateway.pause()
            self.proxy.release()
            eventually(lambda: self.subscribers("t1") == 1, "it is subscribed again")
            self.proxy.release_reply()
            self.gateway.resume()
            self.assert_numbers([stream.next_event() for _ in range(3)], 2, 3, 4)
            job.finish()
            self.assert_numbers(stream.to_end(), 5)


class LostData(GatewayTest):
    def redis_ms(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def test_an_erased_task_resets_and_ends_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            self.redis("FLUSHALL")
            frame, = stream.to_end()
            self.assertEqual((frame.event, frame.id), ("reset", None))
        with gateway.follow("t1", "1-1") as again:
            self.assert_problem(again.response, 404, "task_not_found")

    def test_a_restarted_task_resets_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            old = stream.until("start")[0]
            job = self.claim("t1")
            job.begin()
            stream.until("process")
            self.redis("FLUSHALL")
            with gateway.generate("t1") as newcomer:
                new = newcomer.until("start")[0]
                reset, start = stream.until("start")
                self.assertEqual(reset.event, "reset")
                self.assertEqual(start.raw, new.raw)
                self.assertNotEqual(start.id, old.id)
                self.claim("t1").finish()
                self.assert_numbers(stream.to_end(), 2)
                self.assert_numbers(newcomer.to_end(), 2)

    def test_a_new_epoch_with_a_log_of_the_same_length_resets_its_streams(self):
        """They differ only in the epoch."""
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            old, = stream.until("start")
            task, bodies = self.world.find("t1"), self.run_script.bodies
            submit = ("EVAL", bodies["submit"], 1, PREFIX, task.id, task.fields["hash"], task.request, 2, 60_000, 100, 60_000, 100, "")
            eventually(lambda: self.redis_ms() > task.number("epoch"), "another epoch is possible")
            answers = self.redis.pipeline([("MULTI",), ("FLUSHALL",), submit, ("EXEC",)])
            self.assertEqual(answers[-1][1][0], b"NEW")
            reset, new = stream.until("start")
            self.assertEqual((reset.event, new.n), ("reset", 1))
            self.assertNotEqual(new.id, old.id)
            self.claim("t1").finish()
            self.assert_numbers(stream.to_end(), 2)

    def test_a_log_that_lost_its_tail_resets_its_streams(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="200ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            job = self.claim("t1")
            job.begin()
            job.emit(0)
            stream.until("process image")
            self.redis("LTRIM", f"{PREFIX}events:{job.id}", 0, HEAD)
            self.redis("HSET", f"{PREFIX}task:{job.id}", "n", 1)
            self.assertEqual([frame.event for frame in stream.until("start")], ["reset", "start"])
            job.finish()
            self.assert_numbers(stream.to_end(), 2)


if __name__ == "__main__":
    unittest.main()
