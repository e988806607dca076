"""The whole system from a client's view: real gateways, workers, Redis, and ARK's simulator."""

import json
import unittest

from support.http_client import EventStream
from support.processes import ProcessTest, eventually
from support.world import BASE, URLS, World, sim

FIRST_BYTE_S = 0.050
CALLING = "正在调用ARK模型生成图像..."


def stories(frames):
    return [frame.story() for frame in frames]


def comparable(frames):
    """The parts of the frames that are the same for every viewer."""
    return [(frame.id, frame.event, frame.data) for frame in frames]


class SystemTest(ProcessTest):
    """One world per test class; each test uses its own tasks."""

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.start()

    def run_to_end(self, task_id, **fields):
        with self.gateway.generate(task_id, **fields) as stream:
            self.assertEqual(stream.response.status, 200, stream.response)
            return stream.to_end()

    def assert_problem(self, response, status, code):
        self.assertEqual((response.status, response.headers["content-type"]), (status, "application/problem+json"))
        self.assertEqual(response.json()["code"], code)


class OneTask(SystemTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()
        cls.other_gateway = cls.world.gateway()
        cls.world.worker()

    def test_all_events_of_a_task_from_post_to_done(self):
        with self.gateway.generate("story") as stream:
            first = stream.next()
            frames = stream.to_end()
        headers = stream.response.headers
        self.assertEqual(headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(headers["cache-control"], "no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertIn(first.retry, range(2000, 4001))
        if first.event:                                 # `retry` and `start` may be in one frame
            frames.insert(0, first)

        self.assertEqual(stories(frames), ["start", "process calling", "process image", "process image", "process image", "done"])
        epoch = frames[0].id.partition("-")[0]
        self.assertEqual([frame.id for frame in frames], [f"{epoch}-{n}" for n in range(1, 7)])
        for frame in frames:
            self.assertEqual(json.loads(frame.data)["event"], frame.event)
            self.assertEqual(frame.payload()["task_id"], "story")

        start, calling, *images, done = [frame.payload() for frame in frames]
        self.assertEqual((start["message"], start["position"]), ("开始生成图像...", 1))
        self.assertEqual((calling["message"], calling["attempt"]), (CALLING, 1))
        self.assertEqual([image["index"] for image in images], [0, 1, 2])
        self.assertEqual(done["generated_images"], [{"index": image["index"], **image["image"]} for image in images])
        self.assertEqual((done["urls"], done["failed_images"]), (URLS, []))
        self.assertEqual((done["attempts"], done["paid_calls"], done["charged"]), (1, 1, "yes"))
        self.assertEqual(done["usage"]["generated_images"], 3)
        for image in done["generated_images"]:
            self.assertRegex(image["url"], r"^https?://")
            self.assertRegex(image["size"], r"^\d+x\d+$")

    def test_each_event_is_one_chunk(self):
        with self.gateway.generate("whole") as stream:
            stream.to_end()
        for piece in stream.pieces:
            self.assertTrue(piece.endswith(b"\n\n"), piece)

    def test_the_first_event_comes_at_once_although_the_first_image_takes_seconds(self):
        delays = []
        for n in range(8):
            task_id = f"at-once-{n}"
            with self.gateway.generate(task_id, prompt=sim(task_id, "first_latency=60000")) as stream:
                start = stream.next_event()
                self.assertEqual(start.event, "start")
                delays.append(start.at - stream.began)
            self.gateway.cancel(task_id)
        self.assertLess(min(delays), FIRST_BYTE_S, delays)

    def test_each_image_is_sent_as_soon_as_it_is_ready(self):
        with self.gateway.generate("moment", prompt=sim("moment", "images=3 latency=400")) as stream:
            stream.until("process image")
            call, = self.world.ark.calls_of("moment")
            self.assertEqual(call["outcome"], "open", "ARK is still at work")
            self.assertEqual(stream.to_end()[-1].event, "done")

    def test_the_same_post_again_is_the_same_task(self):
        first = self.run_to_end("again", prompt=sim("again"))
        again = self.run_to_end("again", prompt=sim("again"))
        self.assertEqual(comparable(again), comparable(first))
        self.assertEqual(len(self.world.ark.calls_of("again")), 1)

    def test_the_same_post_while_it_runs_gets_all_events(self):
        prompt = sim("twins", "first_latency=500")
        with self.gateway.generate("twins", prompt=prompt) as one, self.other_gateway.generate("twins", prompt=prompt) as two:
            one.until("process calling")
            with self.gateway.generate("twins", prompt=prompt) as three:
                frames = three.to_end()
            self.assertEqual(stories(frames)[0], "start")
            self.assertEqual(comparable(two.to_end()), comparable(frames))
        self.assertEqual(len(self.world.ark.calls_of("twins")), 1)

    def test_other_urls_with_the_same_id_are_a_conflict(self):
        self.run_to_end("mine", prompt=sim("mine"))
        with self.gateway.generate("mine", prompt=sim("mine"), urls=["https://example.com/other.jpg"]) as stream:
            self.assertTrue(stream.refused)
            self.assert_problem(stream.response, 409, "task_id_conflict")
        self.assertEqual(len(self.world.ark.calls_of("mine")), 1)

    def test_a_cut_stream_resumes_at_another_gateway_without_a_gap_or_a_repeat(self):
        with self.gateway.generate("cut", prompt=sim("cut", "first_latency=300")) as stream:
            before = stream.until("process calling")
        with self.other_gateway.follow("cut", before[-1].id) as stream:
            after = stream.to_end()
        self.assertEqual([frame.n for frame in before + after], list(range(1, 7)))
        with self.gateway.follow("cut") as stream:
            self.assertEqual(comparable(before + after), comparable(stream.to_end()))

    def test_a_stream_can_be_cut_after_every_event(self):
        whole = self.run_to_end("everywhere")
        for n, frame in enumerate(whole[:-1], 1):
            with self.subTest(frame.story()), self.gateway.follow("everywhere", frame.id) as stream:
                self.assertEqual(comparable(stream.to_end()), comparable(whole[n:]))

    def test_resuming_after_the_final_event_gets_204(self):
        last = self.run_to_end("seen")[-1]
        with self.gateway.follow("seen", last.id) as stream:
            self.assertEqual(stream.response.status, 204)

    def test_a_task_posted_without_a_stream(self):
        answer = self.gateway.submit("posted", prompt=sim("posted", "images=1 first_latency=300"))
        self.assertEqual((answer.status, answer.json()["task_id"]), (202, "posted"))
        self.assertTrue(answer.headers["location"].endswith(f"{BASE}/tasks/posted"))
        with self.gateway.follow("posted") as stream:
            done = stream.to_end()[-1].payload()
        task = self.gateway.task("posted").json()
        self.assertEqual((task["status"], task["attempts"], task["paid_calls"]), ("done", 1, 1))
        self.assertEqual(task["result"]["generated_images"], done["generated_images"])

    def test_text_to_image(self):
        for task_id, fields in (("text", {}), ("text-empty", {"urls": []}), ("text-one", {"max_images": 1, "size": "2048x2048"}),
                                ("text-last", {"watermark": False}), ("text-all", {"urls": [], "watermark": True, "seed": 7})):
            with self.subTest(task_id):
                body = {"task_id": task_id, "prompt": sim(task_id), **fields}
                with EventStream(self.gateway.address, "POST", f"{BASE}/generate/stream", body) as stream:
                    done = stream.to_end()[-1]
                self.assertEqual(done.event, "done", done)
                self.assertEqual(done.payload()["urls"], [])
                self.assertEqual(len(done.payload()["generated_images"]), fields.get("max_images", 3))
                self.assertEqual([call["refs"] for call in self.world.ark.calls_of(task_id)], [0])

    def test_texts_reach_ark_unchanged(self):
        prompt = sim("texts") + ' "quoted" back\\slash, new\nline, tab\t, slash / \\/ ],"data":[ }{ 中文，🎨 \u2028 %s'
        urls = ["https://example.com/a?q=%22%5C&x=1/2", "https://example.com/~b;c,d'(e)"]
        done = self.run_to_end("texts", prompt=prompt, urls=urls)[-1].payload()
        call, = self.world.ark.calls_of("texts")
        self.assertEqual(call["prompt"], prompt)
        self.assertEqual((done["urls"], call["refs"]), (urls, 2))

    def test_every_call_has_a_unique_id(self):
        for n in range(3):
            self.run_to_end(f"call-{n}", prompt=sim(f"call-{n}", "images=1"))
        ids = [call["client_request_id"] for call in self.world.ark.calls()]
        self.assertNotIn("", ids)
        self.assertEqual(len(ids), len(set(ids)))

    def test_a_running_task_is_cancelled(self):
        with self.gateway.generate("stop-it", prompt=sim("stop-it", "first_latency=60000")) as stream:
            stream.until("process calling")
            self.world.ark.wait_calls(1, "stop-it")
            self.assertEqual(self.gateway.cancel("stop-it").status, 202)
            error = stream.until("error")[-1].payload()
        self.assertEqual((error["code"], error["message"]), ("cancelled", "任务已取消"))
        self.assertEqual((error["paid_calls"], error["charged"]), (1, "unknown"))
        self.assertEqual(self.gateway.cancel("stop-it").status, 409)


class WithoutWorkers(SystemTest):
    """Without a worker, tasks and their viewers wait."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_HEARTBEAT="200ms")

    def test_a_silent_stream_gets_heartbeats(self):
        with self.gateway.generate("silent") as stream:
            stream.until("start")
            comments = 0
            while comments < 3:
                frame = stream.next()
                comments += frame.comment is not None
                self.assertNotIn(frame.event, ("done", "error"))

    def test_a_queued_task_is_cancelled_at_once(self):
        with self.gateway.generate("not-any-more") as stream:
            stream.until("start")
            self.assertEqual(self.gateway.cancel("not-any-more").status, 200)
            frames = stream.to_end()
        error = frames[-1].payload()
        self.assertEqual(frames[-1].event, "error")
        self.assertEqual((error["code"], error["charged"], error["paid_calls"]), ("cancelled", "no", 0))
        self.assertEqual(self.gateway.cancel("not-any-more").status, 409)
        self.assertEqual(self.gateway.task("not-any-more").json()["status"], "cancelled")

    def test_unknown_tasks_and_paths(self):
        self.assert_problem(self.gateway.task("nothing"), 404, "task_not_found")
        self.assert_problem(self.gateway.cancel("nothing"), 404, "task_not_found")
        with self.gateway.follow("nothing") as stream:
            self.assert_problem(stream.response, 404, "task_not_found")

    def test_disconnected_clients_leave_no_subscriptions_or_memory(self):
        def crowd(size=150):
            streams = [self.gateway.generate(f"crowd-{n}") for n in range(size)]
            for stream in streams:
                stream.until("start")
            for stream in streams:
                stream.close()
            eventually(lambda: self.gateway.open_files() <= files, "every connection is closed")

        files = self.gateway.open_files()
        crowd()
        memory = self.gateway.memory()
        for _ in range(3):
            crowd()
        if not self.gateway.is_sanitized():             # a sanitizer keeps freed memory
            self.assertLess(self.gateway.memory() - memory, 1 << 20)
        eventually(lambda: not self.world.redis("PUBSUB", "CHANNELS"), "no subscription is left")


class ArkAnswers(SystemTest):
    """ARK's responses, and the events that a client gets."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()
        cls.world.worker(ARK_FIRST_BYTE_TIMEOUT="1s", WORKER_MAX_ATTEMPTS=3)

    def end_of(self, task_id, *steps, **fields):
        """Type and data of the final event. steps: the simulator's script."""
        self.world.ark.script(*steps)
        frames = self.run_to_end(task_id, prompt=sim(task_id), **fields)
        self.stories = stories(frames)
        self.calls = self.world.ark.calls_of(task_id)
        return frames[-1].event, frames[-1].payload()

    def test_rejections_by_ark_end_the_task_without_a_charge(self):
        table = [
            ("the content is refused", {"status": 400, "code": "InputImageSensitiveContentDetected"}, "ark_content_refused"),
            ("a parameter is wrong", {"status": 400}, "ark_invalid_request"),
            ("the key is wrong", {"status": 401}, "ark_unauthorized"),
            ("the model is not there", {"status": 404}, "ark_model_unavailable"),
            ("the quota is used up", {"status": 429, "code": "QuotaExceeded"}, "ark_quota_exceeded"),
        ]
        for n, (name, step, code) in enumerate(table):
            with self.subTest(name):
                event, data = self.end_of(f"refused-{n}", step)
                self.assertEqual((event, data["code"], data["charged"], data["paid_calls"]), ("error", code, "no", 0))
                self.assertEqual((data["message"], len(self.calls)), ("图像生成失败", 1))
                self.assertTrue(data["request_id"])
                self.assertEqual(self.end_of(f"after-{n}")[0], "done")      # the circuit breaker has closed again

    def test_one_of_three_images_fails(self):
        event, data = self.end_of("slot", {"fail": "1:OutputImageSensitiveContentDetected"})
        self.assertEqual(self.stories[2:], ["process image", "process image_failed", "process image", "done"])
        self.assertEqual((event, len(data["generated_images"]), data["charged"]), ("done", 2, "yes"))
        failed, = data["failed_images"]
        self.assertEqual(failed["index"], 1)

    def test_two_rate_limits_then_success(self):
        busy = {"status": 429, "code": "ModelAccountIpmRateLimitExceeded"}
        event, data = self.end_of("busy", busy, busy, {})
        self.assertEqual(event, "done")
        self.assertEqual(self.stories[:6], ["start", "process calling", "process retrying", "process calling", "process retrying",
                                            "process calling"])
        self.assertEqual((data["attempts"], data["paid_calls"], data["charged"], len(self.calls)), (1, 1, "yes", 3))

    def test_rate_limits_beyond_the_attempts(self):
        busy = {"status": 429, "code": "ServerOverloaded"}
        event, data = self.end_of("busy-for-long", *[busy] * 5, {})
        self.assertEqual((event, data["attempts"], data["paid_calls"], len(self.calls)), ("done", 1, 1, 6))
        self.assertEqual(self.stories.count("process retrying"), 3, "the log has the 1st, 2nd and 4th deferral")

    def test_a_cut_after_the_second_image_keeps_both_and_is_not_called_again(self):
        event, data = self.end_of("cut-off", {"cut_after_image": 2})
        self.assertEqual((event, len(data["generated_images"]), len(self.calls)), ("done", 2, 1))
        failed, = data["failed_images"]
        self.assertEqual((failed["index"], failed["code"]), (2, "outcome_unknown"))
        self.assertEqual((data["paid_calls"], data["charged"]), (1, "yes"))

    def test_a_hang_is_called_again_within_the_budget(self):
        event, data = self.end_of("hang-once", {"hang": 0}, {})
        self.assertEqual(self.stories[:4], ["start", "process calling", "process retrying", "process calling"])
        self.assertEqual((event, data["paid_calls"], data["charged"], len(self.calls)), ("done", 2, "yes", 2))

    def test_two_hangs_use_up_the_budget(self):
        event, data = self.end_of("hang-twice", {"hang": 0}, {"hang": 0})
        self.assertEqual((event, data["code"], data["charged"]), ("error", "outcome_unknown", "unknown"))
        self.assertEqual((data["paid_calls"], len(self.calls)), (2, 2))

    def test_a_budget_of_one_is_one_call_with_any_outcome(self):
        event, data = self.end_of("strict", {"hang": 0}, max_paid_calls=1)
        self.assertEqual((event, data["code"], data["charged"]), ("error", "outcome_unknown", "unknown"))
        self.assertEqual((data["paid_calls"], data["retryable"], len(self.calls)), (1, False, 1))

    def test_a_502_of_a_proxy_is_an_unknown_outcome(self):
        event, data = self.end_of("proxy", {"html_502": True}, max_paid_calls=1)
        self.assertEqual((event, data["code"], data["charged"]), ("error", "outcome_unknown", "unknown"))

    def test_every_image_fails(self):
        event, data = self.end_of("nothing", {"zero_images_200": True})
        self.assertEqual((event, data["code"], len(self.calls)), ("error", "ark_content_refused", 1))

    def test_variants_of_a_valid_stream(self):
        table = [("CR LF", {"crlf": True}), ("comments", {"comments": True}), ("byte by byte", {"chunk": 1}),
                 ("no completed", {"no_completed": True}), ("no DONE", {"no_done": True})]
        for n, (name, step) in enumerate(table):
            with self.subTest(name):
                event, data = self.end_of(f"shape-{n}", step)
                self.assertEqual((event, len(data["generated_images"]), len(self.calls)), ("done", 3, 1))


class OtherOptions(ProcessTest):
    """Workers with other options for ARK."""

    def one_task(self, world, fields=(), **options):
        worker = world.worker(**options)
        with world.gateway().generate("t1", **dict(fields)) as stream:
            return worker, stream.to_end()

    def test_json_responses(self):
        with World() as world:
            _, frames = self.one_task(world, ARK_STREAM="off")
            self.assertEqual(stories(frames), ["start", "process calling", *["process image"] * 3, "done"])
            call, = world.ark.calls()
            self.assertFalse(call["stream"])

    def test_inline_images(self):
        for stream in ("on", "off"):
            with self.subTest(stream=stream), World() as world:
                _, frames = self.one_task(world, {"max_images": 2}, ARK_STREAM=stream, ARK_RESPONSE_FORMAT="b64_json")
                images = frames[-1].payload()["generated_images"]
                self.assertEqual(len(images), 2)
                for image in images:
                    self.assertRegex(image["url"][:40], r"^data:image/(jpeg|png);base64,")

    def test_ark_is_down_until_the_task_expires(self):
        with World() as world:
            address = world.ark.address
            world.ark.stop()
            world.worker(WORKER_MAX_ATTEMPTS=3, ARK_BASE_URL=f"http://{address}/api/v3")
            with world.gateway(GATEWAY_QUEUE_TTL="3s").generate("t1") as stream:
                frames = stream.to_end()
            self.assertEqual(stories(frames)[:3], ["start", "process calling", "process retrying"])
            error = frames[-1].payload()
            self.assertEqual((error["code"], error["charged"], error["paid_calls"], error["attempts"], error["retryable"]),
                             ("expired", "no", 0, 0, True))
            self.assertIn("ark_unreachable", error["error"])

    def test_tasks_run_after_an_outage_of_ark(self):
        with World() as world:
            address = world.ark.address
            world.ark.stop()
            world.worker(WORKER_MAX_ATTEMPTS=100, ARK_BASE_URL=f"http://{address}/api/v3")
            with world.gateway().generate("t1") as stream:
                stream.until("process retrying")
                world.start_ark(ARK_SIM_LISTEN=address)
                done = stream.to_end()[-1].payload()
            self.assertEqual((done["paid_calls"], done["charged"]), (1, "yes"))


if __name__ == "__main__":
    unittest.main()
