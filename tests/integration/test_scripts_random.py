"""Thousands of transitions in random order on the real scripts: submits, workers that work, die, freeze and come back, repeated
and late calls, cancels, lapsed leases. After every step all invariants hold; at the end every task has ended, once.

The seed of a failure is in its message; ARKRELAY_SEED=<seed> repeats it.
"""

import os
import random
import unittest

from support.processes import ProcessTest
from support.redis_server import RedisServer
from support.scripts import PREFIX, Scripts
from support.store import look

STEPS = 1500
TASKS = 25
TTL_MS = 86_400_000


class Actor:
    """A job as some worker believes to hold it; it may be wrong."""

    def __init__(self, answer):
        id, self.fence = answer[0].decode(), answer[1].decode()
        self.id, self.task_id = id, id.partition(".")[2]
        self.wseq = 0
        self.call = None
        self.answered = 0
        self.finished = None


class RandomWalk(ProcessTest):
    def setUp(self):
        self.server = RedisServer()
        self.addCleanup(self.server.close)
        self.redis = self.server.client()
        self.scripts = Scripts(self.redis)
        self.news = self.redis.subscribe(PREFIX + "channel:*")
        self.seed = int(os.environ.get("ARKRELAY_SEED", random.SystemRandom().randrange(2**32)))
        self.chance = random.Random(self.seed)
        self.actors = []                # live ones and zombies
        self.submitted = 0
        self.calls = 0
        self.posts = {}                 # id -> paid calls that were really made and not void
        self.seen = {}                  # id -> what its channel carried

    def data(self, actor, stage):
        return '{"task_id":"%s","message":"…","stage":"%s"}' % (actor.task_id, stage)

    def pick(self):
        return self.chance.choice(self.actors) if self.actors else None

    # -- what may happen

    def submit(self):
        new = self.submitted < TASKS and self.chance.random() < 0.7
        n = self.submitted if new else self.chance.randrange(max(1, self.submitted))
        hash = "hash" if self.chance.random() < 0.9 else "other"
        answer = self.scripts("submit", f"public.t{n}", hash, '{"urls":["u"]}', 1 + n % 3, TTL_MS, 100, 60_000, 1000, "")
        self.submitted += answer[0] == b"NEW"

    def claim(self):
        lease = self.chance.choice([60_000, -10])
        _, *jobs = self.scripts("claim", "w", lease, self.chance.randint(1, 3), f"{self.chance.getrandbits(64):016x}", 4)
        self.actors += map(Actor, jobs)

    def begin(self):
        if actor := self.pick():
            call = actor.call or f"c{self.calls}"
            self.calls += 1
            answer = self.scripts("begin", actor.id, actor.fence, call, 3, 60_000, self.data(actor, "calling"))
            if answer[0] == b"OK" and not actor.call:
                actor.call = call
                self.posts[actor.id] = self.posts.get(actor.id, 0) + 1

    def emit(self):
        if (actor := self.pick()) and actor.call and not actor.finished:
            repeat = actor.wseq and self.chance.random() < 0.3
            wseq = actor.wseq if repeat else actor.wseq + 1
            slot = self.chance.choice(['image {"url":"u%d","size":"2K"}' % wseq, 'failed {"index":0,"code":"x","message":"y"}'])
            answer = self.scripts("emit", actor.id, actor.fence, wseq, self.data(actor, "image"), slot)
            if answer[0] in (b"OK", b"CANCEL"):
                actor.wseq = wseq
                actor.answered += slot.startswith("image")

    def finish(self):
        """As a worker does: what it may say depends on what it knows."""
        if not (actor := self.pick()):
            return
        if not actor.finished:
            if actor.answered:
                actor.finished = ("done", self.chance.choice(["known", "unknown"]))
            elif actor.call:
                charge = self.chance.choice(["void", "unknown"])
                actor.finished = (self.chance.choice(["failed", "cancelled", "retry"]), charge)
            else:
                actor.finished = (self.chance.choice(["handback", "cancelled", "retry"]), "none")
        outcome, charge = actor.finished
        data = {"failed": '{"code":"x","error":"y","retryable":false}', "retry": self.data(actor, "retrying"),
                "handback": self.data(actor, "requeued")}.get(outcome, "")
        answer = self.scripts("finish", actor.id, actor.fence, outcome, charge, self.chance.choice([-1, 5, 60_000]), data)
        if answer[0] == b"OK" and charge == "void":
            self.posts[actor.id] -= 1

    def renew(self):
        words = [word for actor in self.actors[-5:] for word in (actor.id, actor.fence)]
        self.scripts("renew", self.chance.choice([60_000, -10]), *words)

    def lapse(self):
        """Time passes: a lease ends, a delay is over."""
        place = PREFIX + self.chance.choice(["leased", "delayed"])
        if id := self.redis("ZRANDMEMBER", place):
            self.redis("ZADD", place, 1, id)

    def reap(self):
        self.scripts("reap", 0, 2)

    def cancel(self):
        if self.submitted:
            self.scripts("cancel", f"public.t{self.chance.randrange(self.submitted)}")

    def forget(self):
        """A worker that was only a zombie is gone for good."""
        if len(self.actors) > 20:
            self.actors.pop(self.chance.randrange(len(self.actors)))

    # -- what holds

    def check(self, before):
        after = look(self.redis)
        after.check()
        for channel, element in self.news.messages():
            self.seen.setdefault(channel.decode().removeprefix(PREFIX + "channel:"), []).append(element)
        for id, task in after.tasks.items():
            self.assertEqual(self.seen[id], [element.raw for element in task.log], "viewers saw the log")
            if id in before.tasks and before.tasks[id].is_final:
                self.assertEqual(task.fields, before.tasks[id].fields, "final is final")
            self.assertLessEqual(self.posts.get(id, 0), task.number("max_paid_calls"), "beyond its paid budget")
        return after

    def walk(self):
        weights = {self.submit: 4, self.claim: 5, self.begin: 8, self.emit: 5, self.finish: 4, self.renew: 1, self.lapse: 3,
                   self.reap: 3, self.cancel: 0.3, self.forget: 1}
        now = look(self.redis)
        for _ in range(STEPS):
            self.chance.choices(list(weights), weights.values())[0]()
            now = self.check(now)

    def settle(self):
        """Everybody is gone; one healthy worker does the rest."""
        now = look(self.redis)
        for _ in range(40 * TASKS):
            for place in ("leased", "delayed"):
                for id in self.redis("ZRANGE", PREFIX + place, 0, -1):
                    self.redis("ZADD", PREFIX + place, 1, id)
            self.scripts("reap", 0, 100)
            self.actors = []
            self.claim()
            for actor in list(self.actors):
                self.actors = [actor]
                self.begin()
                self.finish()
            now = self.check(now)
            if not now.sets["index"]:
                return now
        self.fail(f"still waiting: {now.sets['index']}")

    def test_a_random_walk(self):
        try:
            self.walk()
            end = self.settle()
            self.assertEqual(len(end.tasks), self.submitted)
            for task in end.tasks.values():
                self.assertEqual(task.number("paid_calls"), self.posts.get(task.id, 0), "what was paid is what was counted")
            self.assertEqual(int(end.meta.get("paid_calls", 0)), sum(self.posts.values()))
            self.assertNotIn("ghost", end.meta)
        except BaseException as error:
            error.add_note(f"ARKRELAY_SEED={self.seed}")
            raise


if __name__ == "__main__":
    unittest.main()
