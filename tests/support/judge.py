"""The invariants that must hold after fault injection. Each check returns its violations, a list of (task id, text).

    judge = Judge(fleet, crowd.stories, look, ark.calls())
    judge.lost(), judge.repeated(), judge.over_budget(), ...
"""

import dataclasses
import json
import re
from collections import Counter, defaultdict

from support.crowd import FINAL, PROBE
from support.faults import LEASE_S
from support.payers import micros_of

REFUSED = (400, 401, 403, 404, 413, 422, 429, 503)      # ARK's answers that cost nothing
CLOSED = ("ark_unauthorized", "ark_model_unavailable", "ark_quota_exceeded")
RECONNECT_S = 3.0           # from the repair of a connection until it is used again
# A log in letters. Images and failed slots follow a call; a call with an image is the last; a requeued task has no image.
LETTERS = {"start": "S", "process calling": "C", "process image": "I", "process image_failed": "F", "process requeued": "Q",
           "process retrying": "R", "done": "D", "error": "E"}
STORY = re.compile(r"S(Q|CF*[QR])*(C[IF]*)?[DE]")
DEFERRED = re.compile(r"S(C?F*[QR])*C?[IF]*[DE]")       # from the third deferral on, not every call has an event
IMAGE = re.compile(r"/([^/?]+)_(\d+)\.\w+\?")           # in an image's URL: the request it was made for, and its index


@dataclasses.dataclass
class Life:
    """A task that has ended, from Redis; or, if it was erased, from what its client saw."""
    name: str                   # of its story
    client: str
    task_id: str
    epoch: int
    body: dict                  # the request
    log: list                   # the elements, as in Redis
    is_erased: bool

    @property
    def end(self):
        """The data of its final event."""
        return json.loads(self.log[-1].split(b" ", 2)[2])["data"]


class Judge:
    def __init__(self, fleet, stories, look, calls, closings=0, money=None):
        """closings: how often ARK reported the account or the model as unavailable. money: the ledger. Tasks are named as stories are."""
        self.fleet, self.stories, self.look, self.closings, self.money = fleet, stories, look, closings, money
        self.estimates = []                 # tasks whose cost may be above ARK's charge: (name, cost, charge), in micro-units
        self.tasks = {json.loads(task.request)["prompt"].split(" ")[0]: task for task in look.tasks.values()}
        self.calls = defaultdict(list)
        for call in calls:
            if call["prompt"] != PROBE:
                self.calls[call["prompt"].split(" ")[0]].append(call)
        self.callers = fleet.calls()
        self.asked_to_stop = {story.name for story in stories if story.asks_to_stop}
        self.lives = [life for story in stories if (life := self._life(story))]
        # Delivered images that no result has, of workers that were killed or lost their lease. thrown_away() adds those of tasks that were not erased.
        self.lost_with_workers = sum(max(0, sum(call["delivered"] for call in self.calls[life.name]) - len(life.end.get("generated_images", [])))
                                     for life in self.lives if life.is_erased)
        self.images = Counter()             # images that ARK delivered: kept, or why not

    def _life(self, story):
        task = self.tasks.get(story.name)
        if story.erased and not task:
            epoch = int(story.frames[0].id.partition("-")[0])
            log = [f"{frame.n} {frame.event} {frame.data}".encode() for frame in story.frames]
            return Life(story.name, story.key.client, story.task_id, epoch, story.body, log, True)
        if task and task.is_final:
            log = [element.raw for element in task.log]
            return Life(story.name, task.id.partition(".")[0], story.task_id, task.number("epoch"), story.body, log, False)
        return None

    def charges(self):
        """Name -> micro-units that ARK charged."""
        return Counter({name: sum(call["charged_micros"] for call in calls) for name, calls in self.calls.items()})

    def all(self):
        """The violations of all checks, by name."""
        return {name: getattr(self, name)() for name in
                ("unsound", "broken", "lost", "repeated", "disordered", "over_budget", "thrown_away", "foreign",
                 "wrongly_charged", "wrong_costs", "unsettled", "misnumbered", "cancelled_and_not", "closed", "wrongly_refused", "not_erased")}

    def unsound(self):
        """Invariants of the data in Redis, true at any time."""
        try:
            self.look.check()
        except AssertionError as error:
            return [(str(error).partition(":")[0].removeprefix("public."), str(error))]
        return []

    def broken(self):
        """Violations of the contract that the clients recorded."""
        return [(story.name, words) for story in self.stories for words in story.problems]

    def wrongly_refused(self):
        """Tasks that were refused because the budget is used up although they existed when the client asked."""
        return [(story.name, "refused because the budget is used up, and the task existed") for story in self.stories
                if story.refused_at and (task := self.tasks.get(story.name)) and task.number("epoch") / 1000 < story.refused_at]

    def not_erased(self):
        """Tasks that are there although a gateway told their client that they are erased."""
        return [(story.name, "erased, and there") for story in self.stories if story.erased and story.name in self.tasks]

    def closed(self):
        """Tasks that failed because the account or model was unavailable, beyond one task per closing; the others must wait."""
        own = {task_id for task_id, calls in self.calls.items() if any("404" in call["prompt"] for call in calls)}
        failed = [task_id for task_id, task in self.tasks.items() if task.fields.get("code") in CLOSED and task_id not in own]
        return [(task_id, f"failed, and so did {len(failed) - 1} others, in {self.closings} closings") for task_id in failed
                if len(failed) > self.closings]

    def lost(self):
        """Accepted tasks that have not ended, and ended tasks whose client saw other events than the log has."""
        found = []
        for story in self.stories:
            task = self.tasks.get(story.name)
            if not task:
                found += [(story.name, "accepted, and not there")] if story.accepted and not story.erased else []
            elif not task.is_final:
                found.append((story.name, f"never ended: {task.state}"))
            elif not story.finished and not story.left:
                found.append((story.name, "its client has not seen the end"))
            elif not self._saw_the_log(story, task):
                found.append((story.name, f"its client saw {[frame.raw for frame in story.frames]}"))
        return found

    @staticmethod
    def _saw_the_log(story, task):
        log = [element.raw.split(b" ", 2)[2].decode() for element in task.log]
        seen = [frame.data for frame in story.frames]
        return seen == (log if story.finished else log[:len(seen)])

    def repeated(self):
        """Logs whose numbers are not 1 to n in one epoch, or whose last event is not final."""
        found = []
        for story in self.stories:
            numbers = [frame.n for frame in story.frames]
            finals = [frame.n for frame in story.frames if frame.event in FINAL]
            if numbers != list(range(1, len(numbers) + 1)) or len({frame.id.partition("-")[0] for frame in story.frames}) > 1:
                found.append((story.name, f"saw {numbers}"))
            if finals != ([len(numbers)] if story.finished else []):
                found.append((story.name, f"final events {finals} of {numbers}"))
        return found

    def disordered(self):
        """Logs with an impossible order of events, such as an image while no worker runs the task."""
        found = []
        for task_id, task in self.tasks.items():
            letters = "".join(LETTERS[element.story()] for element in task.log)
            if not (DEFERRED if task.number("deferrals") > 2 else STORY).fullmatch(letters):
                found.append((task_id, letters))
        return found

    def over_budget(self):
        """Tasks with more calls to ARK than their budget allows, or than they report."""
        found = []
        for task_id, calls in self._calls_of_tasks():
            task = self.tasks[task_id]
            paid = [call for call in calls if not self._was_free(call)]
            if len(paid) > min(task.number("max_paid_calls"), task.number("paid_calls")):
                found.append((task_id, f"{len(paid)} paid calls, {task.number('paid_calls')} counted, "
                                       f"{task.number('max_paid_calls')} allowed"))
        return found

    def _calls_of_tasks(self):
        """The calls of tasks that were not erased: only Redis has their budgets. A call of any other task is a KeyError."""
        erased = {life.name for life in self.lives if life.is_erased}
        return [(name, calls) for name, calls in self.calls.items() if name not in erased]

    @staticmethod
    def _was_free(call):
        """True if the call is not charged: ARK refused it, or sent a complete response without an image."""
        return not call["billed"] and (call["status"] in REFUSED or (call["status"], call["outcome"]) == (200, "answered"))

    def thrown_away(self):
        """Images that ARK delivered to a worker that was not killed, but that are missing from the result."""
        found = []
        for task_id, calls in self._calls_of_tasks():
            task = self.tasks[task_id]
            has = Counter(request for request, _ in self._images_of(task_id, task))
            for call in calls:
                missing = call["delivered"] - has[call["request_id"]]
                self.lost_with_workers += missing if missing > 0 and self._lost_worker(call, task) else 0
                if missing <= 0:
                    self.images["kept"] += call["delivered"]
                elif excuse := self._excuse(task_id, call, task):
                    self.images[excuse] += missing
                else:
                    found.append((task_id, f"{missing} images of call {call['client_request_id']} are not in the result"))
        return found

    @staticmethod
    def _end(task):
        return next((element.data for element in task.log if element.type in FINAL), {})

    def _result_urls(self, task):
        return [image["url"] for image in self._end(task).get("generated_images", [])]

    def _images_of(self, task_id, task):
        """The images of its result, each as the request that it was made for and ARK's index. An image that came as bytes does not say that: it counts
        for the last call that delivered any, and kept_pictures.py compares its bytes with those of its index."""
        last = next((call["request_id"] for call in reversed(self.calls[task_id]) if call["delivered"]), "none")
        found = []
        for image in self._end(task).get("generated_images", []):
            match = IMAGE.search(image["url"])
            found.append(match.groups() if match else (last, str(image["index"])))
        return found

    def _excuse(self, task_id, call, task):
        """Why a delivered image may be missing from the result; None if it may not."""
        if task_id in self.asked_to_stop:
            return "cancelled"              # the call is dropped without waiting for images in flight
        if "rst" in call["prompt"]:
            return "reset"                  # a reset discards data that the worker has not read yet
        if why := self._lost_worker(call, task):
            return why
        member, begin = self.callers.get(call["client_request_id"]), call["time_ms"] / 1000
        cut = member and self.fleet.during(begin - 1, begin + call["duration_ms"] / 1000 + 1, "ark", f"{member.name} ark")
        return "cut off from ARK" if cut else None

    def _lost_worker(self, call, task):
        """Whether the worker that made the call was lost before the task's end: it was killed, or could not renew its lease."""
        member = self.callers.get(call["client_request_id"])
        begin, end = call["time_ms"] / 1000, task.number("ended_at") / 1000
        if not member:                      # it was killed before it could report
            return "killed" if self._any_kill(begin - 1, begin + 1) else None
        if self._any_kill(begin, end, member.name):
            return "killed"
        return "frozen" if self._stood_still(begin, end, member.name, f"{member.name} network") > LEASE_S / 2 else None

    def _any_kill(self, begin, end, *whom):
        whom = whom or [member.name for member in self.fleet.of("worker")]
        return [each for each in self.fleet.during(begin, end, *whom) if each.what == "kill"]

    def _stood_still(self, begin, end, *whom):
        """The longest time without a lease renewal: adjacent faults of the worker and of Redis."""
        if not self.fleet.during(begin - LEASE_S, end, *whom):
            return 0
        longest = since = until = 0
        for each in sorted(self.fleet.during(begin - LEASE_S, end + LEASE_S, "redis", *whom), key=lambda each: each.begin):
            if each.begin > until + RECONNECT_S:
                since = each.begin
            until = max(until, each.end)
            longest = max(longest, until - since)
        return longest

    def foreign(self):
        """Images in a result that no call, or more than one call, delivered, or that are in it twice."""
        found = []
        for task_id, task in self.tasks.items():
            requests = {call["request_id"] for call in self.calls[task_id]}
            urls = self._result_urls(task)
            names = self._images_of(task_id, task)
            brought_by = {name for name, _ in names}
            if len(set(names)) != len(names) or len(brought_by) > 1 or not brought_by <= requests:
                found.append((task_id, f"{urls} of {requests}"))
        return found

    def wrongly_charged(self):
        """Wrong `charged`: "no" although images were billed, "yes" although none were, or not "yes" with images in the result."""
        found = []
        for task_id, task in self.tasks.items():
            end = self._end(task)
            billed = sum(call["billed"] for call in self.calls[task_id])
            charged = end.get("charged")
            if charged == "no" and billed or charged == "yes" and not billed:
                found.append((task_id, f"charged {charged}, and {billed} images were billed"))
            if self._result_urls(task) and charged != "yes":
                found.append((task_id, f"has images, and charged is {charged}"))
        return found

    def wrong_costs(self):
        """Costs that differ from what ARK charged: of known outcomes, or below ARK's charge. Erased tasks are included."""
        found, charges = [], self.charges()
        for life in self.lives:
            cost, charged = life.end.get("cost"), charges[life.name]
            if not cost:
                found += [(life.name, f"no cost, and ARK charged {charged}")]
                continue
            micros = micros_of(life.end)
            if cost["estimated"]:
                self.estimates.append((life.name, micros, charged))
            if micros < charged or micros > charged and not cost["estimated"]:
                found.append((life.name, f"costs {cost}, and ARK charged {charged}"))
        return found

    def unsettled(self):
        """Open reservations and unpaid debts."""
        found = [(each.task, f"still reserves {name}") for name, each in self.money.reservations.items()]
        return found + [(text, "is a debt") for text in self.money.debts.values()]

    def misnumbered(self):
        """Images with another index than ARK's, and slots listed as failed although ARK delivered them."""
        found = []
        for task_id, task in self.tasks.items():
            images = self._end(task).get("generated_images", [])
            numbers = {image["index"]: number for image, (_, number) in zip(images, self._images_of(task_id, task))}
            if any(str(index) != number for index, number in numbers.items()):
                found.append((task_id, f"numbers in the result, and ARK's: {numbers}"))
        return found

    def cancelled_and_not(self):
        """Tasks that are not cancelled although the gateway told their client so."""
        return [(story.name, f"cancelled, and then {self.tasks[story.name].state}") for story in self.stories
                if story.cancel == 200 and (task := self.tasks.get(story.name)) and task.state != "cancelled"]

    # -- diagnosis

    def dossier(self, task_id):
        """Everything known about a task."""
        task = self.tasks.get(task_id)
        story = next((story for story in self.stories if story.name == task_id), None)
        lines = [f"--- {task_id}: {task.fields if task else 'not in Redis'}"]
        if story:
            lines += [f"client: {json.dumps(story.body)} accepted={story.accepted} finished={story.finished} left={story.left}"
                      f" cancel={story.cancel}", *(f"  saw {frame.raw.decode()}" for frame in story.frames)]
        lines += [f"  log {element.raw.decode()}" for element in (task.log if task else [])]
        lines += [f"  ark {call}" for call in self.calls[task_id]]
        begins = [call["time_ms"] / 1000 for call in self.calls[task_id]]
        if task:
            begins += [task.number("epoch") / 1000, task.number("ended_at") / 1000]
        if begins:
            lines += [f"  then {each}" for each in sorted(self.fleet.history, key=lambda each: each.begin)
                      if each.overlaps(min(begins) - 3, max(begins) + 3)]
        marks = [f".{task_id} ", *(call["client_request_id"] for call in self.calls[task_id])]
        for member in self.fleet.members:
            lines += [f"  {line}" for mark in marks for line in member.lines(mark)]
        return "\n".join(lines)
