"""Thousands of random calls of the real scripts, each compared with a model of tasks.

Clients submit, repeat requests, cancel and erase. Workers claim, begin, emit, renew and finish in all ways; they are killed, freeze, and
continue with old fences. Any call may be repeated. Leases expire, delays end, tasks wait too long, queues are paused, sets are damaged and
audited. After every step all invariants must hold and Redis must match the model. In the end every task must have ended once.

A failure prints the seed and the last steps. ARKRELAY_SEED=<seed> repeats the run, ARKRELAY_STEPS=<n> changes its length.
"""

import dataclasses
import os
import random
import unittest

from support.account import Account, news
from support.model import LIVE, Model
from support.money import LEDGER, read_money
from support.money_model import MoneyModel
from support.processes import ProcessTest
from support.redis_server import RedisServer
from support.script_test import event as slot_event
from support.script_test import image as slot_image
from support.script_test import image_failed as slot_failed
from support.scripts import PREFIX, Scripts
from support.store import PLACES, look

STEPS = 5000
LAST_STEPS = 30             # printed after a failure
CLIENTS, TASKS_PER_CLIENT = "abc", 7
QUEUE_LIMIT, CLIENT_LIMIT = 5, 3
CALLS_MAX = 6               # of the account
MAX_ATTEMPTS, SLOTS = 2, 3
IMAGES_LIMITS = {"a": 0, "b": 12, "c": 40}     # images per day of each client; 0: no limit
EVERYTHING = ("done", "failed", "cancelled", "retried", "reaped", "erased", "renewed", "same", "conflict", "full", "client_full",
              "images_full", "orphan",
              "expired", "poison", "outcome_unknown", "budget", "late", "crashed", "freed", "charged_again")
CALL, ROOM = 90, 400         # micro-units: a call, and how much the limit of each moment is above what was spent
COUNTED = "bc"              # clients whose tasks the ledger counts
PLAN = '{"images":3,"model":"m","price":{"call":%d,"currency":"USD"}}' % CALL
TTL_MS, LONG, LAPSED = 86_400_000, 3_600_000, -10
FAILURE = '{"code":"ark_unreachable","error":"x","retryable":true}'


@dataclasses.dataclass
class Job:
    """A job that a worker believes it holds; the lease may have been lost."""
    worker: str
    id: str
    fence: str
    wseq: int = 0
    call: str | None = None


def event(id, stage):
    return '{"task_id":"%s","message":"…","stage":"%s"}' % (id.partition(".")[2], stage)


class RandomWalk(ProcessTest):
    def setUp(self):
        self.server = RedisServer()
        self.addCleanup(self.server.close)
        self.redis = self.server.client()
        self.scripts = Scripts(self.redis)
        self.scripts.load()
        self.account = Account(self.redis)
        self.news = self.redis.subscribe(PREFIX + "channel:*")
        self.seed = int(os.environ.get("ARKRELAY_SEED", random.SystemRandom().randrange(2**32)))
        self.chance = random.Random(self.seed)
        self.model = Model()
        self.model.on_debt = self.owe
        self.money = MoneyModel()
        self.ledger = Scripts(self.redis, LEDGER)
        self.now = look(self.redis)
        self.steps = []                 # printed after a failure
        self.recent = []                # calls that may be repeated
        self.jobs = []                  # jobs held by running workers
        self.zombies = []               # lost jobs, for which late calls may still arrive
        self.serial = 0
        self.log = {}                   # id -> messages published on its channel

    # -- calls: compare the script's answer with the model's

    def run_script(self, name, *args):
        self.steps.append(f"{name} {args}")
        answer = self.scripts(name, *args)
        self.steps[-1] += f" -> {str(answer)[:200]}"
        return answer

    def compare(self, answer, expected):
        self.assertEqual([word.decode() if isinstance(word, bytes) else word for word in answer], expected)

    def call(self, name, *args):
        """A call that can be repeated: calls the model's method of this name, then the script."""
        self.recent = self.recent[-11:] + [(name, *args)]
        getattr(self, "call_" + name)(*args)

    def call_submit(self, id, hash, max_paid):
        new_epoch, images_limit = id not in self.model.tasks, IMAGES_LIMITS[id[0]]
        urls = "u" * self.chance.choice([1, 300])
        reservation, until = self.reserve(id, max_paid) if id[0] in COUNTED else ("", 0)
        if reservation is None:
            return
        word, *rest = self.run_script("submit", id, hash, '{"urls":["%s"]}' % urls, max_paid, TTL_MS, QUEUE_LIMIT, LONG, CLIENT_LIMIT, "",
                                      SLOTS, images_limit, PLAN, "", "" if reservation != "-" else "BUDGET", reservation if reservation != "-" else "", until)
        if new_epoch and reservation == "-":
            expected, images_left = "BUDGET", None
        else:
            expected, images_left = self.model.submit(id, hash, max_paid, QUEUE_LIMIT, CLIENT_LIMIT, SLOTS, images_limit, is_late=until == 1)
        self.compare([word], [expected])
        self.take_reservation(id, reservation, word)
        if word == b"NEW":
            self.assertEqual(rest.pop(), b"" if images_left is None else str(images_left).encode())
        if word in (b"NEW", b"SAME"):
            epoch, state, log, *deferrals = rest
            self.assertEqual(deferrals, [] if word == b"NEW" else [b"", self.now.tasks[id].number("deferrals")])
            self.assertEqual(state.decode(), self.model.tasks[id].state)
            self.assertEqual(len(log), self.model.tasks[id].events)
            self.assertEqual(new_epoch, word == b"NEW")

    def call_begin(self, id, fence, call):
        expected = self.model.begin(id, fence, call, SLOTS)
        self.compare(self.run_script("begin", id, fence, call, SLOTS, LONG, event(id, "calling")), expected)
        return expected[0]

    def call_emit(self, id, fence, wseq, index, image):
        members = slot_image(index, image, "2K") if image else slot_failed(index, "y", "x")
        expected = self.model.emit(id, fence, wseq, index, image)
        self.compare(self.run_script("emit", id, fence, wseq, slot_event(id, **members)), expected)

    def call_finish(self, id, fence, outcome, charge, delay):
        expected = self.model.finish(id, fence, outcome, charge)
        data = {"failed": FAILURE, "done": "", "cancelled": ""}.get(outcome, event(id, outcome))
        self.compare(self.run_script("finish", id, fence, outcome, charge, delay, data), expected)

    def call_renew(self, lease, *pairs):
        expected = [self.model.renew(*pair) for pair in zip(pairs[::2], pairs[1::2])]
        self.compare(self.run_script("renew", lease, *pairs), expected)

    def call_cancel(self, id, mode):
        self.compare(self.run_script("cancel", id, mode), self.model.cancel(id, mode))

    def call_erase(self, id):
        self.compare(self.run_script("erase", id), self.model.erase(id))
        if id not in self.model.tasks:
            self.log.pop(id, None)

    def call_retry(self, id):
        word, *rest = self.run_script("retry", id, LONG)
        self.compare([word], [self.model.retry(id)])
        if word == b"NEW":
            self.assertGreater(int(rest[0]), self.now.tasks[id].number("epoch"))
            self.log.pop(id)
            if id[0] in COUNTED:
                self.model.tasks[id].reservation = self.redis("HGET", f"{PREFIX}task:{id}", "reservation").decode().split(" ")[0]

    def call_tasks(self, state, limit):
        """Reads every page of a list and compares it with the data in Redis."""
        places = {"queued": "pending", "delayed": "delayed", "live": "index"}
        found, cursor = [], ""
        while True:
            _, cursor, *rows = self.run_script("tasks", state, cursor, limit, "")
            found += [row[0].decode() for row in rows]
            if not cursor:
                break
        if state in places:
            expected = [id for id, _ in sorted(self.now.sets[places[state]].items(), key=lambda pair: (pair[1], pair[0]))]
        else:
            states = {"ended": ("done", "failed", "cancelled"), "dead": ("failed",)}.get(state, (state,))
            expected = sorted(task.id for task in self.now.tasks.values() if task.state in states)
            found.sort()
        self.assertEqual(found, expected, f"the list of {state}")

    def call_read(self, id, start):
        answer = self.run_script("read", id, start)
        if id in self.now.tasks:
            task = self.now.tasks[id]
            self.assertEqual(answer, [b"LOG", task.fields["epoch"].encode(), task.state.encode(), len(task.log),
                                      [element.raw for element in task.log[start - 1:]], task.number("deferrals")])
        else:
            self.compare(answer, ["NONE"])

    def call_places(self, *ids):
        _, ended, *places = self.run_script("places", 0, *ids)
        waiting = sorted((score, id) for id, score in self.now.sets["pending"].items())
        order = [id for _, id in waiting]
        self.assertEqual(places, [order.index(id) + 1 if id in order else -1 if id in self.now.sets["delayed"] else 0 for id in ids])
        self.assertEqual(ended, sum(self.model.counts[state] for state in ("done", "failed", "cancelled")))

    def call_pause(self, paused):
        self.model.paused = bool(paused)
        self.compare(self.run_script("pause", paused), ["PAUSED" if paused else "RESUMED"])

    # -- money: a gateway reserves before SUBMIT, and may end at any point

    def reserve(self, id, max_paid):
        """RESERVE of a gateway: the arguments of SUBMIT, or None if the gateway ends after it."""
        self.serial += 1
        reservation, client, micros = f"r{self.serial}", id[0], max_paid * CALL
        limit = self.money.spent[client] + ROOM
        self.steps.append(f"reserve {reservation} of {micros} for {id}")
        _, answer = self.ledger("reserve", LONG, client, "USD", micros, limit, 0, 0, 0, 1, reservation, id)
        has_room = self.money.reserve(reservation, client, micros, limit)
        self.assertEqual(answer[0], b"OK" if has_room else b"REFUSED")
        if not has_room:
            self.model.count("budget")
            return "-", 0
        if self.chance.random() < 0.05:
            self.crash(reservation)
            return None, None
        return reservation, 1 if self.chance.random() < 0.05 else int(answer[1])

    def take_reservation(self, id, reservation, word):
        """SUBMIT has answered: the task has the reservation, or the gateway frees it, unless it ends before."""
        if word == b"NEW":
            self.model.tasks[id].reservation = reservation or None
            self.money.submitted(reservation, id)
        elif reservation not in ("", "-"):
            if self.chance.random() < 0.1:
                self.crash(reservation)
            else:
                self.charge(reservation, "")

    def crash(self, reservation):
        self.steps.append(f"a gateway ends and leaves {reservation}")
        self.model.count("crashed")
        self.money.orphans.add(reservation)

    def owe(self, task):
        self.money.owe(task.reservation, task.client, CALL * (task.known + task.unknown))

    def charge(self, *words):
        counted = 0
        for reservation, debt in zip(words[::2], words[1::2]):
            if not debt:
                self.money.free(reservation)
            elif self.money.charge(reservation):
                counted += 1
            else:
                self.model.count("charged_again")
        self.steps.append(f"charge {words[::2]}")
        self.assertEqual(self.ledger("charge", *words), [b"OK", counted])

    def pay(self):
        """A process moves debts to the ledger. It may end between the steps."""
        _, *flat = self.run_script("debts", self.chance.randint(1, 5))
        if flat and self.chance.random() < 0.9:
            words = [word.decode() for word in flat]
            self.charge(*words)
            if self.chance.random() < 0.7:
                self.run_script("debts", 1, *words[::2])
                for reservation in words[::2]:
                    self.money.removed(reservation)

    def audit_money(self):
        """All reservations are old. Those that a crash left behind are freed, and no others."""
        for reservation, found in read_money(self.redis).reservations.items():
            self.redis("HSET", LEDGER + "ledger", f":{reservation}", f"{found.client} {found.micros} {found.currency} {found.day} 1 {found.task}")
        _, cursor, *flat = self.ledger("money_audit", "0", 1000)
        self.assertEqual(cursor, b"0")
        listed = [word.decode() for word in flat]
        self.assertEqual(set(listed[1::2]), set(self.money.open))
        if listed:
            _, *held = self.run_script("held", *listed)
            unused = [reservation for reservation, is_held in zip(listed[1::2], held) if not is_held]
            self.assertEqual(set(unused), self.money.orphans)
            self.model.counts["freed"] += len(unused)
            if unused:
                self.charge(*(word for reservation in unused for word in (reservation, "")))

    # -- clients

    def some_id(self, mostly=lambda task: True):
        """A random task id, possibly of a task that does not exist; mostly one for which mostly(task) is true (task is None if there is none)."""
        ids = [f"{client}.t{n}" for client in CLIENTS for n in range(TASKS_PER_CLIENT)]
        wanted = [id for id in ids if mostly(self.model.tasks.get(id))]
        return self.chance.choice(wanted if wanted and self.chance.random() < 0.7 else ids)

    def submit(self):
        hash = self.chance.choices(["hash", "other"], [9, 1])[0]
        self.call("submit", self.some_id(lambda task: not task), hash, self.chance.choice([1, 1, 1, 2, 3]))

    def cancel(self):
        self.call("cancel", self.some_id(lambda task: task and task.state in PLACES), self.chance.choice(["any", "waiting"]))

    def erase(self):
        self.call("erase", self.some_id(lambda task: task and task.state not in PLACES))

    def retry(self):
        self.call("retry", self.some_id(lambda task: task and task.state in ("failed", "cancelled")))

    def look_at(self):
        states = ["queued", "delayed", "running", "done", "failed", "cancelled", "live", "ended", "dead"]
        self.call("tasks", self.chance.choice(states), self.chance.choice([1, 2, 3, 100]))
        self.call("read", self.some_id(), self.chance.randint(1, 5))
        self.call("places", *(self.some_id() for _ in range(3)))

    def pause(self):
        self.call("pause", int(not self.model.paused and self.chance.random() < 0.3))

    def repeat(self):
        """Repeats a call, as after a lost reply or a late delivery."""
        if self.recent:
            name, *args = self.chance.choice(self.recent)
            getattr(self, "call_" + name)(*args)

    # -- workers

    def held(self, worker):
        return sum(job.worker == worker for job in self.jobs)

    def govern(self, worker, want):
        granted = self.account.ask(worker, want, SLOTS, CALLS_MAX, ttl=LONG, whole=True, m=news(held=self.held(worker))).granted
        self.steps.append(f"govern {worker} {want} -> {granted}")
        self.assertLessEqual(granted, want)
        self.assertLessEqual(granted + len(self.jobs), CALLS_MAX, "more calls in flight than the account has")
        return granted

    def claim(self):
        worker = self.chance.choice(["w1", "w2", "w3"])
        granted = self.govern(worker, self.chance.randint(0, 3))
        if self.chance.random() < 0.9:              # otherwise the reply is lost
            for job in self.claim_for(worker, granted):
                if self.chance.random() < 0.1:
                    self.pass_time_for("leased", job.id)

    def claim_for(self, worker, most):
        now = self.time()
        due = [id for id, score in self.now.sets["delayed"].items() if score <= now]
        self.serial += 1
        _, *answers = self.run_script("claim", worker, LONG, most, f"{self.serial:016x}", MAX_ATTEMPTS, "m")
        for id in due:
            self.model.is_due(id)
        after = look(self.redis)
        for id in [task.id for task in self.model.having("queued") if after.tasks[task.id].state == "failed"]:
            self.model.expire(id)
        jobs = [Job(worker, answer[0].decode(), answer[1].decode()) for answer in answers]
        for job in jobs:
            self.model.give(job.id, job.fence, MAX_ATTEMPTS)
        self.assertEqual(len(jobs), 0 if self.model.paused else min(most, len(jobs) + len(self.model.having("queued"))))
        lost = self.chance.random() < 0.05          # the reply is lost: no worker runs these tasks
        (self.zombies if lost else self.jobs).extend(jobs)
        return jobs

    def some_job(self):
        """A random job, mostly one that is held, sometimes a lost one."""
        jobs = self.zombies if self.chance.random() < 0.15 else self.jobs
        return self.chance.choice(jobs) if jobs else None

    def begin(self):
        if job := self.some_job():
            self.serial += 1
            call = f"call-{self.serial}" if not job.call or self.chance.random() < 0.1 else job.call
            self.call("begin", job.id, job.fence, call)
            if (task := self.model.speaker(job.id, job.fence)) and task.call == call:
                job.call = call

    def emit(self):
        if (job := self.some_job()) and job.call:
            job.wseq += 1
            self.serial += 1
            image, index = self.chance.choice([f"u{self.serial}", f"u{self.serial}" + "v" * 300, ""]), self.chance.choice([0, 1, 2, 3, 7])
            self.call("emit", job.id, job.fence, job.wseq, index, image)

    def finish(self):
        """Finishes a job with a random outcome, valid or not."""
        if job := self.some_job():
            outcome = self.chance.choice(["done", "failed", "cancelled", "retry", "defer", "defer", "handback"])
            charge = self.chance.choice(["known", "void", "unknown"] if job.call else ["none", "void"])
            self.call("finish", job.id, job.fence, outcome, charge, self.chance.choice([LAPSED, LONG]))
            self.let_go(job)

    def renew(self):
        jobs = self.chance.sample(self.jobs + self.zombies, min(4, len(self.jobs + self.zombies)))
        self.call("renew", LONG, *(word for job in jobs for word in (job.id, job.fence)))

    def let_go(self, job):
        if job in self.jobs:
            self.jobs.remove(job)
            self.zombies = self.zombies[-15:] + [job]

    def kill(self):
        """A worker is killed with all its calls. Its permits are freed when they expire."""
        worker = self.chance.choice(["w1", "w2", "w3"])
        for job in [job for job in self.jobs if job.worker == worker]:
            self.let_go(job)
        self.steps.append(f"kill {worker}")

    def freeze(self):
        """A worker freezes, loses a job, and later makes calls for it."""
        if self.jobs:
            self.let_go(self.chance.choice(self.jobs))

    # -- time and maintenance

    def time(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def pass_time(self):
        """Lets a lease expire, a delay end, a task exceed its queue TTL, or the permits of lost workers expire."""
        place = self.chance.choice(["leased", "leased", "delayed", "waiting", "account"])
        if place == "account":
            self.forget_lost_workers()
        elif place == "waiting":
            self.pass_limit_of(self.chance.choice(self.model.having("queued", "delayed") or [None]))
        elif ids := sorted(self.now.sets[place]):
            self.pass_time_for(place, self.chance.choice(ids))

    def pass_time_for(self, place, id):
        self.steps.append(f"time passes for {id} in {place}")
        self.serial += 1
        self.redis("ZADD", PREFIX + place, self.serial, id)     # the first that expired is the first that is found

    def pass_limit_of(self, task):
        if task:
            self.steps.append(f"time passes for {task.id}, which waits")
            self.redis("HSET", PREFIX + "task:" + task.id, "queue_until", 1)
            task.overdue = True

    def forget_lost_workers(self):
        for worker in ("w1", "w2", "w3"):
            if self.held(worker):
                self.govern(worker, 0)
            else:
                self.redis("ZADD", "arkrelay:{account}:seen", "XX", 1, worker)

    def reap(self):
        most, now = self.chance.randint(1, 3), self.time()
        lapsed = sorted((score, id) for id, score in self.now.sets["leased"].items() if score <= now)[:most]
        self.assertEqual(self.run_script("reap", 0, most, 0), len(lapsed))
        for _, id in lapsed:
            self.model.reap(id)

    def damage(self):
        """Damages a set; AUDIT must repair it."""
        damaged = self.chance.choice([task for task in self.model.having(*PLACES) if not task.overdue] or [None])
        if damaged and self.chance.random() < 0.6:
            key = PREFIX + self.chance.choice(["pending", "delayed", "leased", "index"])
            command = self.chance.choice([("ZREM", key, damaged.id), ("ZADD", key, "NX", 1, damaged.id)])
            changed = self.redis(*command)          # number of members added or removed
            self.steps.append(f"damage {command}")
            self.model.counts["orphan"] += changed
        elif self.model.tasks and not any(task.overdue for task in self.model.tasks.values()) and self.chance.random() < 0.5:
            self.steps.append("damage: the counts are lost")
            self.redis("HDEL", PREFIX + "queue", "waiting", *(name for name in self.now.queue if name.startswith("live:")))
        self.pass_audit()

    def pass_audit(self):
        worker = self.chance.choice(["w1", "w2"])
        self.redis("HDEL", PREFIX + "meta", "audited_at", "audit_rank")
        while not self.run_script("audit", worker, LONG, self.chance.randint(1, 8))[0]:
            pass
        self.model.audit()

    # -- checks

    def check(self):
        before, self.now = self.now, look(self.redis)
        self.now.check()
        self.model.compare(self.now)
        live = {task.reservation for task in self.model.having(*LIVE) if task.reservation}
        self.money.compare(read_money(self.redis), live)
        for channel, element in self.news.messages():
            self.log.setdefault(channel.decode().removeprefix(PREFIX + "channel:"), []).extend(element.split(b"\n"))
        for id, task in self.now.tasks.items():
            self.assertEqual([element.raw for element in task.log], self.log[id], "viewers saw the log")
            was = before.tasks.get(id)
            if was and was.is_final and was.fields["epoch"] == task.fields["epoch"]:
                self.assertEqual((task.fields, task.result), (was.fields, was.result), "final is final")

    def walk(self, steps):
        weights = {
            self.submit: 14, self.cancel: 3, self.erase: 6, self.retry: 1.5, self.look_at: 1, self.pause: 0.5, self.repeat: 5, self.claim: 12,
            self.begin: 12, self.emit: 8, self.finish: 7, self.renew: 2, self.kill: 0.5, self.freeze: 1, self.pass_time: 8,
            self.reap: 6, self.damage: 1.5, self.pay: 4, self.audit_money: 0.5}
        for _ in range(steps):
            self.chance.choices(list(weights), weights.values())[0]()
            self.check()

    def settle(self):
        """All workers are lost; one healthy worker completes the remaining tasks."""
        self.jobs, self.zombies = [], []
        self.call("pause", 0)
        for _ in range(1000):
            for place in ("leased", "delayed"):
                for id in sorted(self.now.sets[place]):
                    self.pass_time_for(place, id)
            self.now = look(self.redis)
            self.reap()
            self.check()
            self.claim_for("w4", 1)
            for job in list(self.jobs):
                self.call("begin", job.id, job.fence, f"call-{job.fence}")
                self.call("finish", job.id, job.fence, "done", "known", 0)
                self.let_go(job)
            self.check()
            if not self.now.sets["index"]:
                return
        self.fail(f"still waiting: {self.now.sets['index']}")

    def settle_money(self):
        for _ in range(1000):
            if not self.money.debts:
                break
            self.pay()
        self.audit_money()
        self.check()
        self.assertEqual((self.money.open, self.money.debts), ({}, {}))

    def test_a_random_walk(self):
        try:
            steps = int(os.environ.get("ARKRELAY_STEPS", STEPS))
            self.walk(steps)
            self.settle()
            self.settle_money()
            self.assertEqual(self.now.live, {})
            self.forget_lost_workers()
            self.assertEqual(self.govern("w5", CALLS_MAX), CALLS_MAX, "permits were lost")
            for what in EVERYTHING if steps >= STEPS else ():
                self.assertGreater(self.model.counts[what], 0, f"nothing was {what}: the walk is too tame")
        except BaseException as error:
            error.add_note("\n".join([*self.steps[-LAST_STEPS:], f"ARKRELAY_SEED={self.seed}"]))
            raise


if __name__ == "__main__":
    unittest.main()
