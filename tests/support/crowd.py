"""Persistent clients: each posts tasks, follows their streams, and resumes at another gateway when a connection breaks.

    crowd = Crowd(100, seed, addresses)         # addresses() -> where gateways are now
    crowd.start()
    ...
    crowd.stop()                                # no client starts another task, but a few go on with ordinary ones ...
    crowd.wait()                                # ... until every client has seen the end of its task
    crowd.stories                               # what each client saw

A client adds violations of the contract that it notices to its story's `problems`. Checks that need the whole system are in judge.py.
"""

import dataclasses
import random
import threading
import time

from support.http_client import EventStream, fetch
from support.processes import DEADLINE, Deadline
from support.world import BASE, request, sim

SILENCE_S = 6.0             # a silent connection is given up after this; heartbeats come every second
FINAL = ("done", "error")
STEADY = 8                  # clients that keep sending ordinary tasks: only a successful call closes a circuit breaker that failing tasks keep open

# Outcomes of a task's calls, as simulator directives for its prompt: (weight, directives). {n} is replaced by a small number.
PLANS = [
    (50, ""), (6, "chunk=7 crlf"), (3, "comments"), (3, "no_done"), (3, "no_completed"),
    (5, "fail={n}:OutputImageSensitiveContentDetected"), (3, "fail={n}:InternalServiceError"), (2, "zero_images_200"),
    (5, "cut_after_image={n}"), (5, "cut_at_byte={byte}"), (2, "rst"), (3, "rst cut_after_image={n}"),
    (3, "error_after_image={n} error_frame=event"), (2, "error_after_image={n} error_frame=bare"),
    (1, "hang"), (1, "hang_after_image={n}"), (1, "hang=4500"),
    (2, "status=400"), (2, "status=500"), (2, "html_502"), (1, "empty_404"),
    (1, "body_garbage"),
]


@dataclasses.dataclass
class Story:
    """A task as its client sees it."""
    task_id: str
    body: dict
    accepted: bool = False          # the client got 200 or 202
    finished: bool = False          # the client has seen the final event
    left: bool = False              # the client disconnected for good
    asks_to_stop: bool = False      # the client has sent a cancel request
    cancel: int | None = None       # the status of its answer
    epoch: str | None = None
    frames: list = dataclasses.field(default_factory=list)      # in the order of their numbers
    reconnects: int = 0
    problems: list = dataclasses.field(default_factory=list)

    @property
    def last_id(self):
        return self.frames[-1].id if self.frames else None

    def take(self, frame):
        if frame.event == "reset":
            self.problems.append(f"the store lost data: {frame.raw!r} after {self.last_id}")
        if frame.id is None:
            return
        epoch, _, _ = frame.id.partition("-")
        self.epoch = self.epoch or epoch
        if (epoch, frame.n) != (self.epoch, len(self.frames) + 1):
            self.problems.append(f"{frame.id} came after {self.last_id}")
        self.accepted = True
        self.frames.append(frame)
        self.finished = frame.event in FINAL


@dataclasses.dataclass
class Silence:
    """A gateway that did not answer."""
    address: str
    begin: float
    end: float
    what: str


class Crowd:
    def __init__(self, count, seed, addresses, think_s=1.5):
        self.stories, self.silences, self.refusals = [], [], {}
        self.addresses, self.think_s = addresses, think_s
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._unsettled = 0         # random tasks that have not ended
        self._clients = [_Client(self, n, random.Random(f"{seed} client {n}")) for n in range(count)]

    def start(self):
        for client in self._clients:
            client.start()

    def stop(self):
        self.stopping.set()

    def begin_task(self, number):
        """What the client is to begin next: a "random" task, an "ordinary" one, or none."""
        with self._lock:
            if not self.stopping.is_set():
                self._unsettled += 1
                return "random"
            return "ordinary" if number < STEADY and self._unsettled else None

    def end_task(self, kind):
        with self._lock:
            self._unsettled -= kind == "random"

    def wait(self, seconds=DEADLINE):
        """Waits until all clients have finished; adds a problem for each one that has not."""
        deadline = Deadline(seconds)
        for client in self._clients:
            client.join(deadline.left())
            if client.is_alive():
                client.story.problems.append(f"the client was still waiting for the final event after {seconds} s")
                client.given_up = True

    def note(self, story=None, silence=None, refusal=None):
        with self._lock:
            if story:
                self.stories.append(story)
            if silence:
                self.silences.append(silence)
            if refusal:
                self.refusals[refusal] = self.refusals.get(refusal, 0) + 1


class _Client(threading.Thread):
    def __init__(self, crowd, number, rng):
        super().__init__(daemon=True)
        self.crowd, self.number, self.rng = crowd, number, rng
        self.story = None
        self.given_up = False
        self._pace = threading.Event()

    def run(self):
        count = 0
        while begun := self.crowd.begin_task(self.number):
            self.story = self._new_story(f"c{self.number}-{count}", begun)
            self.crowd.note(story=self.story)
            try:
                self._see_it_through()
            except AssertionError as error:
                self.story.problems.append(f"against the rules: {error}")
            finally:
                self.crowd.end_task(begun)
            count += 1
            pause = self._pace if begun == "ordinary" else self.crowd.stopping
            pause.wait(self.rng.expovariate(1 / self.crowd.think_s))

    def _new_story(self, task_id, kind):
        rng = self.rng
        plan, = rng.choices([plan for _, plan in PLANS], [weight for weight, _ in PLANS]) if kind == "random" else ("",)
        plan = plan.format(n=rng.randrange(3), byte=rng.randrange(5000))
        images = rng.randint(1, 4)
        body = request(task_id, prompt=sim(task_id, f"images={images} latency={rng.randint(30, 250)} {plan}"), max_images=images)
        if budget := rng.choice((0, 0, 1, 2, 3)):
            body["max_paid_calls"] = budget
        return Story(task_id, body)

    def _see_it_through(self):
        """Follows the task until the final event, or until the client disconnects on purpose."""
        story, rng = self.story, self.rng
        leaves_after = rng.randrange(3) if rng.random() < 0.05 else None
        cancels_after = rng.randrange(4) if rng.random() < 0.05 else None
        by_post = rng.random() < 0.5
        while not (story.finished or story.left or self.given_up):
            address = rng.choice(self.crowd.addresses())
            try:
                if not story.accepted and by_post:
                    self._post_alone(address)
                else:
                    self._stream(address, leaves_after, cancels_after)
            except TimeoutError as error:
                now = time.time()
                self.crowd.note(silence=Silence(address, now - SILENCE_S, now, f"{story.task_id}: {error}"))
            except OSError:
                pass
            if not story.finished:
                story.reconnects += 1
                self._pace.wait(rng.uniform(0.05, 0.5))

    def _post_alone(self, address):
        answer = fetch(address, "POST", f"{BASE}/generate", self.story.body, seconds=SILENCE_S)
        if answer.status in (200, 202):         # 200: an earlier POST whose answer was lost
            self.story.accepted = True
        else:
            self._refused(answer)

    def _stream(self, address, leaves_after, cancels_after):
        story = self.story
        if story.accepted:
            headers = {"Last-Event-ID": story.last_id} if story.frames else {}
            stream = EventStream(address, "GET", f"{BASE}/tasks/{story.task_id}/stream", None, headers, seconds=SILENCE_S)
        else:
            stream = EventStream(address, "POST", f"{BASE}/generate/stream", story.body, seconds=SILENCE_S)
        with stream:
            if stream.refused:
                self._refused(stream.response)
                return
            while not story.finished and (frame := stream.next(SILENCE_S)) is not None:
                story.take(frame)
                if leaves_after is not None and len(story.frames) > leaves_after:
                    story.left = True
                    return
                if cancels_after is not None and len(story.frames) > cancels_after and story.cancel is None:
                    self._cancel(address)
            if story.finished and (frame := stream.next(SILENCE_S)) is not None:
                story.problems.append(f"{frame.raw!r} after the final event")

    def _cancel(self, address):
        self.story.asks_to_stop = True
        answer = fetch(address, "POST", f"{BASE}/tasks/{self.story.task_id}/cancel", seconds=SILENCE_S)
        if answer.status in (200, 202, 409):
            self.story.cancel = answer.status
        else:
            self._refused(answer)

    def _refused(self, answer):
        """Accepts 429 and 503 with Retry-After; everything else is a problem."""
        code = answer.json().get("code", "?") if answer.body else "?"
        self.crowd.note(refusal=f"{answer.status} {code}")
        if answer.status not in (429, 503):
            self.story.problems.append(f"answered {answer.status} {answer.body[:300]!r}")
            self.story.left = True
        elif "retry-after" not in answer.headers:
            self.story.problems.append(f"{answer.status} {code} without Retry-After")
