"""Injects random faults, derived from a seed, into all parts of a world. Several faults can be active at the same time.

    faults = Faults(world, fleet, seed, front, bucket)      # front: of the simulator; it can become unreachable. bucket: of the pictures, or None
    faults.run(180)             # seconds; at the end all faults are repaired
    faults.counts               # how often each kind happened

The seed determines the faults, their targets and durations. Their effects also depend on the machine's timing. The fleet's history
records each fault under the name of its target: a member's name, "<member> network" for its connection to Redis, "<member> ark" for its
connection to ARK, "redis", "ark", or "bucket".
"""

import heapq
import itertools
import random
import signal
import time
from collections import Counter


LEASE_S = 4.0               # the workers' lease
EXIT_S = 40.0               # SIGTERM to exit: longer than any ARK call

REFUSALS = [{"status": 429, "retry_after": 1}, {"status": 429}, {"status": 503}]
BREAKAGE = [{"cut_after_image": 0}, {"status": 500}, {"status": 502, "body": "html"}, {"hang": 4500}, {"cut_at_byte": 100}]
OUTAGES = [{"status": 502, "body": "html"}, {"code": "InternalServiceError"}, {"code": "InternalServiceError", "accepted_only": True}, {"hang": 0},
           {"rst": True}, {"status": 503, "body": "html"}]
CLOSINGS = [{"code": "AuthenticationError"}, {"code": "AccountOverdueError"}, {"code": "ModelNotOpen"}, {"code": "SetLimitExceeded"}]
BUCKET_REFUSALS = [(503, "SlowDown"), (500, "InternalError"), (403, "AccessDenied")]
OUTAGE_S = (5, 60)          # minimum and maximum
SCRIPTS = ("claim", "begin", "emit", "finish", "renew", "reap", "submit", "read", "reserve", "charge", "debts", "held", "money_audit", "erase", "lease", "settle",
           "resend")


class Faults:
    def __init__(self, world, fleet, seed, front, bucket=None, gap_s=0.7):
        """gap_s: mean time between two faults."""
        self.world, self.fleet, self.front, self.bucket, self.gap_s = world, fleet, front, bucket, gap_s
        self.rng = random.Random(f"{seed} faults")
        self.counts = Counter()
        self.closings = 0           # outages in which ARK reports that the account or model is unavailable
        self._until = 0
        self._agenda = []           # (time, sequence number, action): the ends of lasting faults
        self._ties = itertools.count()
        self._disturbed = set()     # names of members with a lasting fault
        self._kinds = {             # fault -> weight
            self.kill: 5, self.terminate: 4, self.freeze_for_a_moment: 5, self.freeze_beyond_the_lease: 4,
            self.kill_redis: 3, self.freeze_redis: 3, self.redis_sleeps: 2, self.kill_connections: 4, self.forget_scripts: 2,
            self.lose_a_reply: 5, self.cut_a_reply: 3, self.cut_network: 3, self.delay_network: 3, self.freeze_network: 3,
            self.ark_refuses: 1, self.ark_breaks: 3, self.freeze_ark: 2, self.cut_ark_network: 2, self.freeze_ark_network: 2,
            self.ark_outage: 2, self.ark_closes: 2, self.ark_unreachable: 2,
        }
        if bucket:
            self._kinds |= {self.bucket_refuses: 5, self.bucket_away: 3, self.freeze_bucket: 2}

    def run(self, seconds):
        """Injects faults for this time, then waits until every fault has ended."""
        end = self._until = time.monotonic() + seconds
        next_fault = time.monotonic()
        while (now := time.monotonic()) < end or self._agenda:
            self.fleet.check()
            if self._agenda and self._agenda[0][0] <= now:
                heapq.heappop(self._agenda)[2]()
            elif next_fault <= now < end:
                next_fault = now + self.rng.expovariate(1 / self.gap_s)
                self._begin_one()
            else:
                time.sleep(0.02)

    def _begin_one(self):
        kind, = self.rng.choices(list(self._kinds), list(self._kinds.values()))
        if kind():
            self.counts[kind.__name__] += 1

    def _later(self, seconds, what):
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._ties), what))

    def _lasting(self, what, whom, seconds, begin, end):
        """Calls begin() now and end() later. In between, `whom` gets no other lasting fault. Returns False if it already has one."""
        if whom in self._disturbed:
            return False
        self._disturbed.add(whom)
        disturbance = self.fleet.begin(what, whom)
        begin()

        def over():
            end()
            disturbance.end = time.time()
            self._disturbed.remove(whom)
        self._later(seconds, over)
        return True

    # -- our programs

    def _program(self):
        """A random running member without an active fault."""
        members = [each for each in self.fleet.members if each.name not in self._disturbed]
        return self.rng.choice(members) if members else None

    def kill(self):
        member = self._program()
        return member and self._lasting("kill", member.name, self.rng.uniform(0, 2), member.kill, member.start)

    def terminate(self):
        """SIGTERM, and a new process as soon as the old one has ended."""
        member = self._program()
        if not member:
            return False
        self._disturbed.add(member.name)
        disturbance = self.fleet.begin("terminate", member.name)
        member.life.ends_with = (0,)
        member.service.signal(signal.SIGTERM)
        latest = time.monotonic() + EXIT_S

        def look():
            assert time.monotonic() < latest, f"{member.name} does not end:\n{member.service.log_tail()}"
            if member.service.is_running():
                self._later(0.05, look)
                return
            member.start()
            disturbance.end = time.time()
            self._disturbed.remove(member.name)
        look()
        return True

    def _freeze(self, seconds):
        member = self._program()
        return member and self._lasting("freeze", member.name, seconds, member.service.pause, member.service.resume)

    def freeze_for_a_moment(self):
        return self._freeze(self.rng.uniform(0.1, LEASE_S / 2))

    def freeze_beyond_the_lease(self):
        return self._freeze(LEASE_S + self.rng.uniform(1, 4))

    # -- Redis

    def _short_or_long(self):
        return self.rng.choice((self.rng.uniform(0.1, LEASE_S / 2), LEASE_S + self.rng.uniform(0.5, 3)))

    def kill_redis(self):
        server = self.world.redis_server

        def kill():
            server.kill()
            server.program.forget()
        return self._lasting("kill", "redis", self.rng.uniform(0, 4), kill, server.start)

    def freeze_redis(self):
        program = self.world.redis_server.program
        return self._lasting("freeze", "redis", self._short_or_long(), program.pause, program.resume)

    def redis_sleeps(self):
        seconds = self.rng.uniform(0.5, 4)

        def begin():
            self.world.redis_server.client().send("DEBUG", "SLEEP", f"{seconds:.2f}")
        return self._lasting("sleep", "redis", seconds, begin, lambda: None)

    def _tell_redis(self, *words):
        """Sends a command to Redis; does nothing if Redis cannot answer now."""
        if "redis" in self._disturbed:
            return False
        self.fleet.moment(words[1], "redis")
        client = self.world.redis_server.client()
        client(*words)
        client.close()
        return True

    def kill_connections(self):
        return self._tell_redis("CLIENT", "KILL", "TYPE", self.rng.choice(("normal", "pubsub")))

    def forget_scripts(self):
        return self._tell_redis("SCRIPT", "FLUSH")

    # -- the connections to Redis

    def _way(self, to):
        """A random member whose connection runs through a proxy."""
        return self.rng.choice([each for each in self.fleet.members if to in each.proxies])

    def lose_a_reply(self):
        member = self._way("redis")
        self.fleet.moment("lose a reply", f"{member.name} network")
        member.proxies["redis"].lose_reply_to(self.world.run_script.sha1[self.rng.choice(SCRIPTS)])
        return True

    def cut_a_reply(self):
        member = self._way("redis")
        self.fleet.moment("cut a reply", f"{member.name} network")
        member.proxies["redis"].cut_after(self.rng.randrange(300))
        return True

    def _cut(self, to, name):
        member = self._way(to)
        self.fleet.moment("cut", f"{member.name} {name}")
        member.proxies[to].cut_all(reset=self.rng.random() < 0.5)
        return True

    def _freeze_way(self, to, name):
        member = self._way(to)
        proxy = member.proxies[to]
        return self._lasting("freeze", f"{member.name} {name}", self._short_or_long(), proxy.freeze, proxy.thaw)

    def cut_network(self):
        return self._cut("redis", "network")

    def freeze_network(self):
        return self._freeze_way("redis", "network")

    def delay_network(self):
        member = self._way("redis")
        proxy, delay = member.proxies["redis"], self.rng.uniform(0.01, 0.4)
        return self._lasting("delay", f"{member.name} network", self.rng.uniform(1, 4),
                             lambda: proxy.delay(delay), lambda: proxy.delay(0))

    # -- ARK

    def _script(self, steps, most):
        """Sets the simulator's answers to the next calls, from any worker."""
        if "ark" in self._disturbed:
            return False
        self.world.ark.script(*(self.rng.choice(steps) for _ in range(self.rng.randint(1, most))))
        return True

    def ark_refuses(self):
        return self._script(REFUSALS, 4)

    def ark_breaks(self):
        return self._script(BREAKAGE, 5)

    def freeze_ark(self):
        return self._lasting("freeze", "ark", self.rng.uniform(0.2, 5), self.world.ark.pause, self.world.ark.resume)

    def _outage(self, begin, end):
        """Starts an outage of ARK for a random time, at most until the end of the test."""
        shortest, longest = OUTAGE_S
        seconds = min(self.rng.uniform(shortest, longest), max(shortest, self._until - time.monotonic()))
        return self._lasting("outage", "ark", seconds, begin, end)

    def _answer_all(self, kinds):
        directives = self.rng.choice(kinds)
        return self._outage(lambda: self.world.ark.outage(**directives), self.world.ark.end_outage)

    def ark_outage(self):
        return self._answer_all(OUTAGES)

    def ark_closes(self):
        begun = self._answer_all(CLOSINGS)
        self.closings += begun
        return begun

    def ark_unreachable(self):
        kind = self.rng.choice(self.front.kinds)
        return self._outage(lambda: self.front.begin(kind), self.front.end)

    def cut_ark_network(self):
        return self._cut("ark", "ark")

    def freeze_ark_network(self):
        return self._freeze_way("ark", "ark")

    # -- the bucket

    def bucket_refuses(self):
        self.bucket.fail(*self.rng.choice(BUCKET_REFUSALS), times=self.rng.randint(1, 4), method=self.rng.choice(("PUT", "PUT", "DELETE")))
        return True

    def bucket_away(self):
        def away(is_away):
            self.bucket.store.is_away = is_away
        return self._lasting("away", "bucket", self.rng.uniform(0.5, 6), lambda: away(True), lambda: away(False))

    def freeze_bucket(self):
        stall = self.bucket.store.stall
        return self._lasting("freeze", "bucket", self.rng.uniform(0.5, 6), stall.clear, stall.set)
