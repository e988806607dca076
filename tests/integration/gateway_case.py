"""Base class of the gateway tests: a world without workers; the test runs the worker's scripts itself."""

import contextlib
import json
import os
import socket
import threading

from support.processes import ProcessTest, eventually
from support.proxy import Event, Proxy
from support.scripts import PREFIX
from support.world import World

NEVER = "10m"       # an interval longer than any test
# For memory tests: with ASan's quarantine, freed memory would count as used.
FORGETFUL_ASAN = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1", "thread_local_quarantine_size_kb=64"]))


def cursor(epoch, n):
    """A Last-Event-ID."""
    return f"{epoch}-{n}"


class Job:
    """A task that the test has claimed."""

    def __init__(self, run, task_id):
        self.run, self.task_id, self.id, self.wseq = run, task_id, f"public.{task_id}", 0
        answer = run("claim", "test-worker", 600_000, 1, "00000000000000ff", 3)
        assert len(answer) == 2 and answer[1][0].decode() == self.id, answer
        self.fence = answer[1][1]

    def data(self, **more):
        if more.get("stage") == "retrying":
            more = {"attempt": 1, "delay_ms": 0, "code": "ark_overloaded", "error": "...", **more}
        return json.dumps({"task_id": self.task_id, "message": "...", **more}, ensure_ascii=False, separators=(",", ":"))

    def begin(self):
        answer = self.run("begin", self.id, self.fence, "call-1", 3, 600_000, self.data(stage="calling", attempt=1))
        assert answer[0] == b"OK", answer

    def emit_args(self, index):
        self.wseq += 1
        image = {"url": "https://ark.example.com/1.jpg", "size": "2K"}
        return ("emit", self.id, self.fence, self.wseq, self.data(stage="image", index=index, image=image))

    def emit(self, index):
        answer = self.run(*self.emit_args(index))
        assert answer[0] == b"OK", answer

    def talk(self, size):
        """Emits an event of about this many bytes that adds nothing to the result."""
        self.wseq += 1
        answer = self.run("emit", self.id, self.fence, self.wseq, self.data(image={"url": "x" * size}, stage="image", index=0))
        assert answer[0] == b"OK", answer

    def finish_args(self):
        return ("finish", self.id, self.fence, "done", "known", 0, "")

    def finish(self):
        answer = self.run(*self.finish_args())
        assert answer[0] == b"OK", answer


class HeldReplies(Proxy):
    """Delivers a request to Redis and holds the reply, while all other connections continue."""

    def __init__(self, target):
        self._answer = threading.Event()
        super().__init__(target)

    def hold_reply_to(self, sha1):
        self.ran = Event("the request was run")
        self._answer.clear()
        self._cut_at = sha1.encode()        # the base class marks the connection of a request with this pattern

    def _replies(self, server, client, muted):
        try:
            while piece := server.recv(1 << 20):
                if muted.is_set():
                    muted.clear()
                    self.ran.set()
                    self._answer.wait()
                client.sendall(piece)
        except OSError:
            pass
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def release_reply(self):
        self._answer.set()

    def close(self):
        self.release_reply()
        super().close()


class GatewayTest(ProcessTest):
    """A separate world for each test; leaving it checks exit statuses and the data in Redis."""

    redis_options = {}

    def setUp(self):
        self.world = World(ark=False, **self.redis_options)
        self.addCleanup(self.leave_world)
        self.redis, self.run_script = self.world.redis, self.world.run_script

    def leave_world(self):
        """After a failed test, skips the checks of the world, so that they do not hide the failure."""
        passed = self._outcome.success
        self.world.__exit__(None if passed else AssertionError, None, None)

    def claim(self, task_id):
        return Job(self.run_script, task_id)

    def silently(self, name, *args):
        """Runs a script whose PUBLISH is lost."""
        body = self.run_script.bodies[name].replace(b"redis.call('PUBLISH'", b"tostring('PUBLISH'")
        self.assertNotEqual(body, self.run_script.bodies[name])
        return self.redis("EVAL", body, 1, PREFIX, *args)

    def wait_connected(self, gateway, threads):
        """Waits until both Redis connections of every thread are up. /readyz alone reports only the thread that answers."""
        eventually(lambda: sum(" connected name=" in line for line in list(gateway.lines)) >= 2 * threads, "all are connected")

    def client_id(self, name):
        for line in self.redis("CLIENT", "LIST").decode().splitlines():
            if f" name={name} " in line:
                return line.partition("id=")[2].partition(" ")[0]
        raise AssertionError(f"no client {name}")

    def subscribers(self, task_id):
        return self.redis("PUBSUB", "NUMSUB", f"{PREFIX}channel:public.{task_id}")[1]

    def assert_problem(self, response, status, code):
        self.assertEqual((response.status, response.headers["content-type"]), (status, "application/problem+json"))
        problem = response.json()
        self.assertEqual((problem["code"], problem["status"]), (code, status))
        self.assertEqual(problem["request_id"], response.headers["x-request-id"])
        self.assertEqual(problem["type"], f"urn:arkrelay:problem:{code}")
        self.assertNotEqual(problem["detail"], problem["title"])
        self.assertEqual("retry-after" in response.headers, status in (429, 503))
        return problem

    def assert_numbers(self, frames, *numbers):
        self.assertEqual([frame.n for frame in frames], list(numbers))
