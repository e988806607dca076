"""What a final event says about charges: tests every row of the table in docs/money.md with the real programs and scripts.

Every row needs a test in this file, and every test a row.
"""

import contextlib
import json
import re
import socket
import struct
import tempfile
import threading
import unittest

from support.documents import ROOT
from support.processes import ProcessTest
from support.script_test import ScriptTest
from support.scripts import PREFIX
from support.world import World, sim

PAGE = ROOT / "docs/money.md"
COLUMNS = ["what happened", "event", "code", "charged", "calls", "retryable", "why"]
REFUSED = {"code": "OutputImageSensitiveContentDetected", "message": "may contain sensitive information"}
INTERNAL = {"code": "InternalServiceError", "message": "unexpected"}
LINK = "https://ark.example.com/0.jpeg"


def rows():
    """The table: what happened -> (event, code, charged, calls, retryable)."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    start = table.index(COLUMNS) + 1
    return {row[0]: tuple(row[1:6]) for row in table[start:]}


def said(event, data):
    """The same values of a final event."""
    retryable = {True: "true", False: "false", None: ""}[data.get("retryable")]
    return event, data.get("code", ""), data["charged"], f"{data['paid_calls']}, {data['unknown_calls']}", retryable


def pump(source, target):
    """Copies what arrives, and its end."""
    while piece := source.recv(1 << 16):
        target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


# -- ARK's responses on the wire

def document(**members):
    return {"raw": json.dumps({"model": "m", "created": 1, **members}, indent=1)}


def frame(kind, **members):
    return f"event: image_generation.{kind}\ndata: {json.dumps({'type': f'image_generation.{kind}', **members})}\n\n"


def stream(*frames):
    return {"raw": "".join(frames) + "data: [DONE]\n\n", "type": "text/event-stream"}


def completed(count, **usage):
    return frame("completed", usage={"generated_images": count, **usage})


def succeeded(index, **members):
    return frame("partial_succeeded", image_index=index, **members)


def failed(index, error):
    return frame("partial_failed", image_index=index, error=error)


ANSWERS = {
    "all pictures came": {},
    "one picture came, the others were refused": {"fail": [f"1:{REFUSED['code']}", f"2:{REFUSED['code']}"]},
    "the answer was cut after the first picture": {"cut_after_image": 1},
    "an error followed the first picture in the stream": {"error_frame": "data", "error_after_image": 1, "code": "BadRequest"},
    "an internal error stopped the group": {"fail": "1:InternalServiceError"},
    "ARK refused the request": {"status": 400},
    "ARK refused the content": {"status": 400, "code": "InputImageSensitiveContentDetected"},
    "ARK refused the key": {"status": 401},
    "the model is not open": {"status": 404, "code": "ModelNotOpen"},
    "the account's own limit is reached": {"status": 429, "code": "SetLimitExceeded"},
    "an error for the whole request in an answer of 200": document(error=REFUSED),
    "an error for the whole request in a stream": stream('data: {"error":{"code":"BadRequest","message":"m"}}\n\n'),
    "an error for each picture": document(data=[{"error": REFUSED}] * 3),
    "no picture, and ARK counts 0": document(data=[], usage={"generated_images": 0}),
    "no picture, and ARK counts 2": document(data=[], usage={"generated_images": 2}),
    "a stream without pictures, and ARK counts 2": stream(completed(2)),
    "slots without a link, and ARK counts them": document(data=[{"url": None}] * 2, usage={"generated_images": 2}),
    "a picture without a link in a stream, and ARK counts it": stream(succeeded(0, size="2K"), completed(1)),
    "a picture in a frame that cannot be read, and ARK counts it": stream(succeeded(0, url=LINK).replace("}\n\n", "\n\n"), completed(1)),
    'no picture, and ARK counts "2"': document(data=[], usage={"generated_images": "2"}),
    "no picture, and no count": document(data=[]),
    "a stream without pictures, and no count": stream(frame("completed")),
    "slots without a link, and no count": document(data=[{"url": None}, {}]),
    "no picture, ARK counts 0, and tokens were used": document(data=[], usage={"generated_images": 0, "output_tokens": 16384.0}),
    "a refused picture, and ARK counts one": stream(failed(0, REFUSED), completed(1)),
    "a refused request, and ARK counts a picture": document(error=REFUSED, usage={"generated_images": 1}),
    "a picture without a link, and ARK counts 0": stream(succeeded(0), completed(0)),
    "an internal error for the only picture, and no count": stream(failed(0, INTERNAL)),
    "the answer is that of an asynchronous job": {"raw": '{"task_id":"x","status":"submitted"}'},
    "the answer is a stream with a job": stream('data: {"task_id":"x","status":"submitted"}\n\n'),
    "the answer is JSON, but not ARK's": {"raw": '{"hello":"world"}'},
    "the answer is not JSON": {"body_garbage": True},
    "the answer is empty": {"raw": ""},
    "ARK failed with an internal error": {"status": 500},
    "a proxy answered 502": {"html_502": True},
    "the connection was cut before the first picture": {"cut_after_image": 0},
    "no answer came in time": {"hang": 0},
}


class Table(unittest.TestCase):
    def test_every_row_has_a_test_and_every_test_a_row(self):
        staged = set(ANSWERS) | set(Calls.stages) | set(Transitions.stages)
        self.assertEqual(set(rows()), staged)
        self.assertEqual(len(rows()), len(ANSWERS) + len(Calls.stages) + len(Transitions.stages), "a row is staged twice")


class Calls(ProcessTest):
    """Rows about the worker's calls to ARK."""

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.__exit__, None, None, None)
        cls.gateway = cls.world.gateway()
        cls.start_worker()

    def setUp(self):
        if not self.worker.is_running():            # it was started by another test and ended with it
            self.start_worker()

    @classmethod
    def start_worker(cls):
        cls.worker = cls.world.worker(ARK_FIRST_BYTE_TIMEOUT="500ms")

    def run_to_end(self, task_id, *steps, **fields):
        self.world.redis("DEL", "arkrelay:{account}:governor")          # removes the account's state left by the previous task
        self.world.ark.script(*steps)
        with self.gateway.generate(task_id, prompt=sim(task_id), **{"max_paid_calls": 1, **fields}) as stream:
            end = stream.to_end()[-1]
        return end.event, end.payload()

    def assert_said(self, what, event, data, calls):
        self.assertEqual(said(event, data), rows()[what], data)
        self.assertEqual(len(calls), 0 if what in self.uncalled else 2 if "the second call" in what else 1)
        if event == "done":
            slots = sorted(slot["index"] for slot in data["generated_images"] + data["failed_images"])
            self.assertEqual(slots, [0, 1, 2], "each slot is reported once")

    def test_each_ark_response(self):
        for n, (what, step) in enumerate(ANSWERS.items()):
            with self.subTest(what):
                event, data = self.run_to_end(f"answer-{n}", step)
                self.assert_said(what, event, data, self.world.ark.calls_of(f"answer-{n}"))

    def test_a_complete_response_is_not_followed_by_a_second_call(self):
        for n, what in enumerate(("no picture, and ARK counts 2", "no picture, and no count", "a refused picture, and ARK counts one",
                                  "a refused request, and ARK counts a picture", "the answer is that of an asynchronous job",
                                  "the answer is a stream with a job")):
            with self.subTest(what):
                event, data = self.run_to_end(f"once-{n}", ANSWERS[what], max_paid_calls=2)
                self.assertEqual(said(event, data), rows()[what])
                self.assertEqual(len(self.world.ark.calls_of(f"once-{n}")), 1)

    def test_each_path_with_a_worker(self):
        for n, (what, stage) in enumerate(self.stages.items()):
            with self.subTest(what):
                event, data = stage(self, f"path-{n}")
                self.assert_said(what, event, data, self.world.ark.calls_of(f"path-{n}"))

    def cancelled_after_an_image(self, task_id):
        self.world.ark.script({"hang_after_image": 1})
        return self.cancel_after(task_id, "process image")

    def cancelled_in_the_call(self, task_id):
        self.world.ark.script({"first_latency": 60_000})
        return self.cancel_after(task_id, "process calling")

    def cancel_after(self, task_id, story):
        with self.gateway.generate(task_id, prompt=sim(task_id)) as stream:
            stream.until(story)
            self.world.ark.wait_calls(1, task_id)
            self.gateway.cancel(task_id)
            end = stream.to_end()[-1]
        return end.event, end.payload()

    def second_delivers(self, task_id):
        return self.run_to_end(task_id, {"cut_after_image": 0}, {}, max_paid_calls=2)

    def second_is_refused(self, task_id):
        return self.run_to_end(task_id, {"cut_after_image": 0}, {"status": 400}, max_paid_calls=2)

    def too_many_references(self, task_id):
        """Submits directly to Redis, because the gateway would refuse the request."""
        spec = json.dumps({"model": "doubao-seedream-5-0-pro-260628", "urls": [f"https://example.com/{n}.jpg" for n in range(11)]})
        self.world.run_script("submit", f"public.{task_id}", "hash", spec, 1, 86_400_000, 100_000, 86_400_000, 100_000, "")
        with self.gateway.follow(task_id) as stream:
            end = stream.to_end()[-1]
        return end.event, end.payload()

    @contextlib.contextmanager
    def other_worker(self, **options):
        self.worker.stop()
        try:
            worker = self.world.worker(**options)
            yield
            worker.stop()
        finally:
            self.start_worker()

    def not_confirmed(self, task_id):
        with self.other_worker(PAID_CALL_DURABILITY="replica", PAID_CALL_DURABILITY_TIMEOUT="10ms", WORKER_MAX_ATTEMPTS=1):
            return self.run_to_end(task_id)

    def submitted(self, task_id, urls, plan=""):
        """What SUBMIT makes of the request; its end."""
        spec = json.dumps({"prompt": sim(task_id), "urls": urls})
        self.world.run_script("submit", f"public.{task_id}", "hash", spec, 1, 86_400_000, 100_000, 86_400_000, 100_000, "", 1, 0, plan)
        with self.gateway.follow(task_id) as stream:
            end = stream.to_end()[-1]
        return end.event, end.payload()

    def upload_is_gone(self, task_id):
        plan = {"catalogue": "0", "images": 1, "model": "doubao-seedream-4-0-250828", "uploads": ["29991231/upload-gone"], "watermark": False}
        with tempfile.TemporaryDirectory() as folder, self.other_worker(STORAGE=folder):
            return self.submitted(task_id, ["upload:" + "0" * 64], json.dumps(plan, separators=(",", ":")))

    def cut_in_the_request(self, task_id):
        """The first connection ends while 20 MB are on their way."""
        host, _, port = self.world.ark.address.rpartition(":")
        with socket.create_server(("127.0.0.1", 0)) as front:
            def serve():
                first, _ = front.accept()
                first.recv(1000)
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                first.close()
                second, _ = front.accept()
                with second, socket.create_connection((host, int(port))) as ark:
                    back = threading.Thread(target=pump, args=(ark, second))
                    back.start()
                    pump(second, ark)
                    back.join()
            server = threading.Thread(target=serve)
            server.start()
            with self.other_worker(ARK_BASE_URL=f"http://127.0.0.1:{front.getsockname()[1]}/api/v3", RETRY_BACKOFF_MAX="100ms"):
                end = self.submitted(task_id, ["data:image/png;base64," + "A" * (20 << 20)])
            server.join()
        return end

    def unreadable(self, task_id):
        answer = self.world.run_script("submit", f"public.{task_id}", "hash", '{"urls":7}', 1, 60_000, 100, 60_000, 100, "")
        self.assertEqual(answer[0], b"NEW")
        end = self.world.wait_state(task_id, "failed").log[-1]
        return end.type, end.data

    uncalled = ("more references than the model takes", "Redis did not confirm the record of the call", "the stored request cannot be read",
                "an uploaded image is not in the storage")
    stages = {
        "the client cancelled after the first picture": cancelled_after_an_image,
        "cancelled during the call": cancelled_in_the_call,
        "the second call delivered, the first is unknown": second_delivers,
        "the second call was refused, the first is unknown": second_is_refused,
        "more references than the model takes": too_many_references,
        "Redis did not confirm the record of the call": not_confirmed,
        "the stored request cannot be read": unreadable,
        "an uploaded image is not in the storage": upload_is_gone,
        "the connection was cut before the whole request was sent, and the next call delivered": cut_in_the_request,
    }


class Transitions(ScriptTest):
    """Rows about tasks that are ended by scripts without a worker."""

    def test_each_transition_without_a_worker(self):
        for what, stage in self.stages.items():
            with self.subTest(what):
                self.fresh()
                stage(self)
                end = self.task().log[-1]
                self.assertEqual(said(end.type, end.data), rows()[what], end.data)
                for count in re.findall(r"`(earlier_\w+)` is (\d)", PAGE.read_text().split(f"| {what} |")[1].splitlines()[0]):
                    self.assertEqual(end.data[count[0]], int(count[1]))

    def queued(self):
        self.submit(max_paid_calls=1)

    def begun(self, **claim):
        self.queued()
        job = self.claim_one(**claim)
        self.begin(job)
        return job

    def cancelled_in_the_queue(self):
        self.queued()
        self.cancel()

    def cancelled_when_delayed(charge):
        def stage(self):
            self.finish(self.begun(), "retry", charge, delay=60_000)
            self.cancel()
        return stage

    def expire(self):
        self.redis("HSET", PREFIX + "task:public.t1", "queue_until", 1)
        self.claim()

    def expired(self):
        self.queued()
        self.expire()

    def lost_in_the_last_call(self):
        self.lapse(self.begun())

    def lost_before_the_call(self):
        self.queued()
        self.lapse(self.claim_one(max_attempts=1))

    def lost_on_the_last_attempt(self):
        self.submit(max_paid_calls=2)
        job = self.claim_one(max_attempts=1)
        self.begin(job)
        self.lapse(job)

    def lost_after_a_picture(self):
        job = self.begun()
        self.emit_image(job)
        self.lapse(job)

    def lost_and_asked_to_stop(self):
        job = self.begun()
        self.cancel()
        self.lapse(job)

    def run_again(charge, end):
        def stage(self):
            self.finish(self.begun(), "failed", charge)
            self.run_script("retry", "public.t1", 60_000)
            end(self)
        return stage

    def refuse(self):
        job = self.claim_one()
        self.begin(job)
        self.finish(job, "failed", "void")

    stages = {
        "cancelled in the queue": cancelled_in_the_queue,
        "cancelled after ARK could not be reached": cancelled_when_delayed("void"),
        "cancelled while it waited after an unknown call": cancelled_when_delayed("unknown"),
        "waited too long in the queue": expired,
        "the worker was lost in its last allowed call": lost_in_the_last_call,
        "the worker was lost before its call, on the last attempt": lost_before_the_call,
        "the worker was lost in its call, on the last attempt": lost_on_the_last_attempt,
        "the worker was lost after the first picture": lost_after_a_picture,
        "the worker was lost while it was asked to stop": lost_and_asked_to_stop,
        "an operator ran it again after an unknown call, and it was refused": run_again("unknown", refuse),
        "an operator ran it again after an unknown call, and it waited too long": run_again("unknown", expire),
        "an operator ran it again after an unknown call, and it was cancelled": run_again("unknown", ScriptTest.cancel),
        "an operator ran it again after it paid for nothing, and it was refused": run_again("known", refuse),
    }


if __name__ == "__main__":
    unittest.main()
