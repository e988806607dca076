"""A model of tasks according to common/task/PROTOCOL.md, in plain Python, without Redis, clocks and texts.

The model returns the expected answer of each call, and compares the data in Redis with the expected tasks:

    model = Model()
    model.submit("a.t1", "hash", ...)       # ["NEW"]
    model.compare(look(redis))              # AssertionError if Redis differs
"""

import collections
import dataclasses

LIVE = ("queued", "delayed", "running")


def is_logged_deferral(count):
    """True if the log has an event for this deferral: the 1st, 2nd, 4th, 8th ... one."""
    return count & (count - 1) == 0


@dataclasses.dataclass
class Task:
    id: str
    hash: str
    max_paid: int
    number: int                 # in the order of arrival
    reserved: int = 0           # images reserved from its client's daily limit; 0 without a limit
    life: int = 1               # incremented when the task starts again
    state: str = "queued"
    code: str | None = None     # code of a final error
    attempts: int = 0
    max_attempts: int = 0
    fence: str | None = None    # fence of the job that owns the task
    finished: str | None = None
    wseq: int = 0
    call: str | None = None     # the open paid call
    known: int = 0              # finished calls with known outcome; `unknown`: with unknown outcome
    unknown: int = 0
    earlier_known: int = 0      # the same of earlier lives
    earlier_unknown: int = 0
    slots: int = 0              # slots of the last call
    lines: list = dataclasses.field(default_factory=list)       # (index or None, url or None) of each slot that ended
    cut: bool = False           # slots without a line have failed
    asked: bool = False         # cancellation was requested
    overdue: bool = False       # it has waited longer than its queue TTL
    events: int = 1
    deferrals: int = 0
    reservation: str | None = None      # of money; None: the ledger does not count the task

    @property
    def owes(self):
        """What the script that ends it adds to its answer."""
        return [1] if self.reservation and self.state not in LIVE else []

    @property
    def client(self):
        return self.id.partition(".")[0]

    @property
    def paid(self):
        return self.known + self.unknown + (self.call is not None)

    @property
    def placed(self):
        """Slot -> url, or None if it failed. Lines without an index take the first free slots, after all others."""
        placed, unplaced = {}, []
        for index, url in self.lines:
            if index is not None and index not in placed:
                placed[index] = url
            elif url:
                unplaced.append(url)
        for url in unplaced:
            placed[next(n for n in range(len(placed) + 1) if n not in placed)] = url
        return {n: None for n in range(self.slots if self.cut else 0)} | placed

    @property
    def images(self):
        return {index: url for index, url in sorted(self.placed.items()) if url}

    @property
    def failed(self):
        return sorted(index for index, url in self.placed.items() if not url)

    @property
    def charged(self):
        known, unknown = self.known + self.earlier_known, self.unknown + self.earlier_unknown
        return "yes" if self.images or known else "unknown" if unknown else "no"


class Model:
    def __init__(self):
        self.tasks = {}
        self.paused = False
        self.counts = collections.Counter()         # the counters of `meta`, and the number of each code
        self.arrived = 0
        self.used = collections.Counter()           # client -> images of the day: delivered or still reserved
        self.on_debt = None                         # called with a task that ends and has a reservation

    def having(self, *states, client=None):
        return [task for task in self.tasks.values() if task.state in states and client in (None, task.client)]

    # -- clients

    def submit(self, id, hash, max_paid, queue_limit, client_limit, images, images_limit, is_late=False):
        """The expected status word, and the images left (None: no limit)."""
        word = self.try_to_submit(id, hash, max_paid, queue_limit, client_limit, images, images_limit, is_late)
        return word, images_limit - self.used[id.partition(".")[0]] if images_limit else None

    def try_to_submit(self, id, hash, max_paid, queue_limit, client_limit, images, images_limit, is_late):
        client = id.partition(".")[0]
        if task := self.tasks.get(id):
            return self.count("same" if task.hash == hash else "conflict")
        if self.paused:
            return "PAUSED"
        if len(self.having("queued", "delayed")) >= queue_limit:
            return self.count("full")
        if len(self.having(*LIVE, client=client)) >= client_limit:
            return self.count("client_full")
        if images_limit and self.used[client] + images > images_limit:
            self.count("images_full")
            return "IMAGES"
        if is_late:
            return self.count("late")
        self.begin_life(Task(id, hash, max_paid, 0, images if images_limit else 0))
        self.count("submitted")
        return "NEW"

    def cancel(self, id, mode):
        task = self.tasks.get(id)
        if not task:
            return ["NONE"]
        if task.state in ("queued", "delayed"):
            self.end(task, "cancelled", "cancelled")
            return ["CANCELLED", *task.owes]
        if task.state == "running":
            task.asked |= mode == "any"
            return ["ASKED" if mode == "any" else "RUNNING"]
        return ["FINAL", task.state]

    def retry(self, id):
        task = self.tasks.get(id)
        if not task:
            return "NONE"
        if task.state in LIVE:
            return "LIVE"
        if task.state == "done":
            return "DONE"
        self.begin_life(Task(id, task.hash, task.max_paid, 0, task.reserved, task.life + 1,
                             earlier_known=task.known + task.earlier_known, earlier_unknown=task.unknown + task.earlier_unknown))
        self.count("renewed")
        return "NEW"

    def erase(self, id):
        task = self.tasks.get(id)
        if not task:
            return ["NONE"]
        if task.state in LIVE:
            return ["LIVE", task.state]
        del self.tasks[id]
        return [self.count("erased")]

    # -- workers

    def is_due(self, id):
        self.tasks[id].state = "queued"

    def give(self, id, fence, max_attempts):
        task = self.tasks[id]
        assert task.state == "queued", f"{id} was {task.state} when it was given away"
        earlier = [other.id for other in self.having("queued", client=task.client) if other.number < task.number]
        assert not earlier, f"{id} came before {earlier}"
        assert not task.overdue, f"{id} had waited too long"
        task.state, task.fence, task.wseq, task.max_attempts = "running", fence, 0, max_attempts
        task.attempts += 1

    def expire(self, id):
        task = self.tasks[id]
        assert task.overdue and task.state in ("queued", "delayed"), f"{id} had not waited too long"
        self.end(task, "failed", "expired")

    def audit(self):
        for task in self.having("queued", "delayed"):
            if task.overdue:
                self.expire(task.id)

    def speaker(self, id, fence):
        task = self.tasks.get(id)
        return task if task and task.state == "running" and task.fence == fence else None

    def begin(self, id, fence, call, slots):
        task = self.speaker(id, fence)
        if not task or task.call not in (None, call):
            return ["LOST"]
        if task.call == call:
            return ["OK", task.paid]
        if task.asked:
            return ["CANCEL"]
        if task.paid >= task.max_paid:
            return ["BUDGET"]
        task.call, task.slots = call, slots
        task.lines = []
        task.events += is_logged_deferral(task.deferrals)
        return ["OK", task.paid]

    def emit(self, id, fence, wseq, index, image):
        task = self.speaker(id, fence)
        if not task:
            return ["LOST"]
        if wseq <= task.wseq:
            return ["SAME"]
        task.wseq = wseq
        task.events += 1
        task.lines.append((index, image or None))
        return ["CANCEL" if task.asked else "OK", task.events]

    def renew(self, id, fence):
        task = self.speaker(id, fence)
        return "LOST" if not task else "CANCEL" if task.asked else "OK"

    def finish(self, id, fence, outcome, charge):
        if (task := self.tasks.get(id)) and task.finished == fence:
            return ["SAME"]
        if not (task := self.speaker(id, fence)):
            return ["LOST"]
        task.finished = fence
        self.close(task, charge)
        if outcome == "done" or task.images:
            task.cut = outcome != "done"
            self.end(task, "done")
        elif outcome == "failed":
            self.end(task, "failed", "ark_unreachable")
        elif outcome == "cancelled" or task.asked:
            self.end(task, "cancelled", "cancelled")
        elif outcome == "retry":
            self.go_back(task, "delayed")
            self.count("retried")
        elif outcome == "defer":
            task.deferrals += 1
            task.attempts -= 1
            self.go_back(task, "delayed", is_logged=is_logged_deferral(task.deferrals))
            self.count("retried")
        else:
            self.go_back(task, "queued")
            task.attempts -= 1
        return ["OK", task.events, *task.owes]

    def reap(self, id):
        task = self.tasks[id]
        assert task.state == "running"
        open_call = task.call
        self.count("reaped")
        self.close(task, "unknown")
        if task.images:
            task.cut = True
            self.end(task, "done")
        elif task.asked:
            self.end(task, "cancelled", "cancelled")
        elif open_call and task.paid >= task.max_paid:
            self.end(task, "failed", "outcome_unknown")
        elif task.attempts >= task.max_attempts:
            self.end(task, "failed", "poison")
        else:
            self.go_back(task, "queued")

    # -- shared by several calls

    def begin_life(self, task):
        self.arrived += 1
        task.number = self.arrived
        self.used[task.client] += task.reserved
        self.tasks[task.id] = task

    def count(self, name):
        self.counts[name] += 1
        return name.upper()

    def close(self, task, charge):
        if task.call is None:
            return
        task.call = None
        if charge == "void" and not task.images:
            return
        self.count("paid_calls")
        if charge == "unknown":
            task.unknown += 1
        else:
            task.known += 1

    def go_back(self, task, state, is_logged=True):
        task.state, task.fence = state, None
        task.events += is_logged

    def end(self, task, state, code=None):
        task.state, task.code, task.fence, task.asked = state, code, None, False
        task.events += 1
        if task.reservation:
            self.on_debt(task)
        self.used[task.client] -= task.reserved and task.reserved - len(task.images)
        self.count(state)
        if code and code != state:
            self.count(code)

    # -- comparison with Redis

    def compare(self, seen):
        assert set(seen.tasks) == set(self.tasks), f"tasks {set(seen.tasks) ^ set(self.tasks)}"
        for task in self.tasks.values():
            found, expected = _found(seen.tasks[task.id]), _expected(task)
            assert found == expected, f"{task.id} is {found}, and should be {expected}"
        used = collections.Counter()
        for (_, client), count in seen.images.items():
            used[client] += count
        assert used == +self.used, f"images of clients are {used}, and should be {+self.used}"
        for name in ("submitted", "same", "conflict", "full", "client_full", "images_full", "done", "failed", "cancelled", "erased",
                     "retried", "renewed", "reaped", "paid_calls", "ghost", "orphan"):
            found = seen.counter(name)
            assert found == self.counts[name], f"{name} counts {found}, and should be {self.counts[name]}"


def _expected(task):
    final = task.state not in LIVE
    return {"state": task.state, "code": task.code, "attempts": task.attempts, "deferrals": task.deferrals, "paid": task.paid, "unknown": task.unknown,
            "earlier": (task.earlier_known + task.earlier_unknown, task.earlier_unknown),
            "retryable": task.code in ("cancelled", "expired", "ark_unreachable") and task.charged == "no" if task.code else None,
            "call": task.call, "asked": task.asked, "events": task.events, "charged": task.charged if final else None,
            "images": None if task.code else task.images if final else len(task.images),
            "failed": task.failed if task.state == "done" else None}


def _found(task):
    data = task.log[-1].data if task.is_final else {}
    if task.is_final:
        images = {image["index"]: image["url"] for image in data["generated_images"]} if task.state == "done" else None
    else:
        images = task.kept_images
    return {"state": task.state, "code": task.fields.get("code"), "attempts": task.number("attempt"),
            "deferrals": task.number("deferrals"),
            "paid": task.number("paid_calls"), "unknown": task.number("unknown_calls"),
            "earlier": (task.number("earlier_paid_calls"), task.number("earlier_unknown_calls")), "retryable": data.get("retryable"), "call": task.fields.get("call"),
            "asked": "cancel" in task.fields, "events": len(task.log), "charged": data.get("charged"), "images": images,
            "failed": [slot["index"] for slot in data["failed_images"]] if task.state == "done" else None}
