"""Persistent clients: each posts tasks, follows their streams, and resumes at another gateway when a connection breaks. Some erase a task that
has ended, and some of these use its id for another task.

    crowd = Crowd(100, seed, addresses, keys, fields)   # addresses() -> where gateways are now; keys[n]: the API key of client n
    crowd.start()
    ...
    crowd.stop()                                # no client starts another task, but a few go on with ordinary ones ...
    crowd.wait()                                # ... until every client has seen the end of its task
    crowd.stories                               # what each client saw

fields(rng) returns further members of a request.

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
PROBE = "probe"             # the prompt of calls that no task makes, such as the circuit breaker's probes
ERASING_SHARE = 0.1         # of the tasks: erased when they have ended; half of these are followed by another task with the same id
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
    key: object                     # the API key of its client
    erases: bool = False            # the client erases the task at its end
    erased: bool = False            # it has done so
    posts: int = 0                  # requests that may have created the task
    refused_at: float = 0           # when the client sent the request that was refused because its budget is used up
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
    def name(self):
        """Unique: lives with the same task id have different names. It begins the prompt, so that calls and requests have it too."""
        return self.body["prompt"].split(" ")[0]

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
    def __init__(self, count, seed, addresses, keys, fields, think_s=1.5):
        self.stories, self.silences, self.refusals = [], [], {}
        self.addresses, self.keys, self.fields, self.think_s = addresses, keys, fields, think_s
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
        self._posted_at = 0.0

    def run(self):
        count = 0
        while begun := self.crowd.begin_task(self.number):
            try:
                self._one_id(f"c{self.number}-{count}", begun)
            except AssertionError as error:
                self.story.problems.append(f"against the rules: {error}")
            finally:
                self.crowd.end_task(begun)
            count += 1
            pause = self._pace if begun == "ordinary" else self.crowd.stopping
            pause.wait(self.rng.expovariate(1 / self.crowd.think_s))

    def _one_id(self, task_id, kind):
        """A task, and perhaps another one with its id. A request whose answer was lost may still be executed, by a gateway that was frozen: then
        the client neither erases the task nor uses the id again."""
        life = 0
        while True:
            life += 1
            self.story = self._new_story(task_id, task_id if life == 1 else f"{task_id}/{life}", kind)
            self.crowd.note(story=self.story)
            self._see_it_through()
            if not (self.story.erases and self.story.finished and self.story.posts == 1):
                return
            tries = self._erase()
            if not self.story.erased or tries > 1 or self.crowd.stopping.is_set() or self.rng.random() < 0.5:
                return

    def _new_story(self, task_id, name, kind):
        rng = self.rng
        plan, = rng.choices([plan for _, plan in PLANS], [weight for weight, _ in PLANS]) if kind == "random" else ("",)
        plan = plan.format(n=rng.randrange(3), byte=rng.randrange(5000))
        images = rng.randint(1, 4)
        body = request(task_id, prompt=sim(name, f"images={images} latency={rng.randint(30, 250)} {plan}"), max_images=images, **self.crowd.fields(rng))
        if budget := rng.choice((0, 0, 1, 2, 3)):
            body["max_paid_calls"] = budget
        return Story(task_id, body, self.crowd.keys[self.number], kind == "random" and rng.random() < ERASING_SHARE)

    def _erase(self):
        """Until a gateway answers. If an answer was lost, the next one is 404. Returns the number of requests."""
        story, tries = self.story, 0
        while not (story.erased or story.left or self.given_up):
            tries += 1
            try:
                answer = fetch(self.rng.choice(self.crowd.addresses()), "DELETE", f"{BASE}/tasks/{story.task_id}", None, story.key.header, seconds=SILENCE_S)
            except OSError:
                answer = None
            if answer and (answer.status == 204 or answer.status == 404 and tries > 1):
                story.erased = True
            elif answer:
                self._refused(answer)
            self._pace.wait(0 if story.erased else self.rng.uniform(0.05, 0.5))
        return tries

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
        self._note_post()
        answer = fetch(address, "POST", f"{BASE}/generate", self.story.body, self.story.key.header, seconds=SILENCE_S)
        if answer.status in (200, 202):         # 200: an earlier POST whose answer was lost
            self.story.accepted = True
        else:
            self._refused(answer)

    def _note_post(self):
        self.story.posts += 1
        self._posted_at = time.time()

    def _stream(self, address, leaves_after, cancels_after):
        story = self.story
        if story.accepted:
            headers = {**story.key.header, **({"Last-Event-ID": story.last_id} if story.frames else {})}
            stream = EventStream(address, "GET", f"{BASE}/tasks/{story.task_id}/stream", None, headers, seconds=SILENCE_S)
        else:
            self._note_post()
            stream = EventStream(address, "POST", f"{BASE}/generate/stream", story.body, story.key.header, seconds=SILENCE_S)
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
        answer = fetch(address, "POST", f"{BASE}/tasks/{self.story.task_id}/cancel", None, self.story.key.header, seconds=SILENCE_S)
        if answer.status in (200, 202, 409):
            self.story.cancel = answer.status
        else:
            self._refused(answer)

    def _refused(self, answer):
        """Accepts 429 and 503 with Retry-After; everything else is a problem. A client whose budget is used up gives up its task."""
        code = answer.json().get("code", "?") if answer.body else "?"
        self.crowd.note(refusal=f"{answer.status} {code}")
        if code == "budget_exhausted":
            self.story.left, self.story.refused_at = True, self._posted_at
        if answer.status not in (429, 503):
            self.story.problems.append(f"answered {answer.status} {answer.body[:300]!r}")
            self.story.left = True
        elif "retry-after" not in answer.headers:
            self.story.problems.append(f"{answer.status} {code} without Retry-After")
