"""The programs of a world during fault injection: which are running, which faults they had, and whether one exited unexpectedly.

    fleet = Fleet()
    member = fleet.add("worker", lambda: world.worker())
    fleet.begin("freeze", member.name).end = time.time()    # recorded in fleet.history
    fleet.check()                                       # raises if a program exited unexpectedly

Times are Unix time, as in the simulator and in Redis.
"""

import dataclasses
import re
import time

FAR = 1e12
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed|stack smashing")


@dataclasses.dataclass
class Disturbance:
    what: str                   # "kill", "freeze", ...
    whom: str                   # a member's name
    begin: float
    end: float = FAR            # FAR while it lasts

    def overlaps(self, begin, end):
        return self.begin <= end and self.end >= begin


@dataclasses.dataclass
class Life:
    """One process of a member."""
    service: object
    began: float
    ends_with: tuple = ()       # the expected exit statuses after a fault has stopped it
    forgotten: bool = False


class Member:
    """One program of the fleet. It is a sequence of processes: after a kill, the next one starts."""

    def __init__(self, name, kind, start, proxies):
        self.name, self.kind, self.proxies = name, kind, proxies
        self._start = start
        self.lives = []
        self.start()

    def start(self):
        self.lives.append(Life(self._start(), time.time()))

    @property
    def life(self):
        return self.lives[-1]

    @property
    def service(self):
        return self.life.service

    @property
    def address(self):
        return self.service.address

    def kill(self):
        self.life.ends_with = (-9,)
        self.service.kill()

    def lines(self, pattern):
        """The log lines of its processes that match the pattern."""
        return [f"{self.name}: {line}" for life in self.lives for line in life.service.lines if pattern in line]


class Fleet:
    def __init__(self):
        self.members = []
        self.history = []

    def add(self, kind, start, proxies=()):
        name = f"{kind}-{1 + len(self.of(kind))}"
        self.members.append(Member(name, kind, start, proxies))
        return self.members[-1]

    def of(self, kind):
        return [member for member in self.members if member.kind == kind]

    # -- faults

    def begin(self, what, whom):
        disturbance = Disturbance(what, whom, time.time())
        self.history.append(disturbance)
        return disturbance

    def moment(self, what, whom):
        """Records a fault without duration."""
        disturbance = self.begin(what, whom)
        disturbance.end = disturbance.begin
        return disturbance

    def during(self, begin, end, *whom):
        return [each for each in list(self.history) if each.whom in whom and each.overlaps(begin, end)]

    # -- results

    def check(self):
        """Checks that no process exited unexpectedly, all exit statuses are expected, and sanitizers reported nothing."""
        for member in self.members:
            for life in member.lives:
                if not life.forgotten:
                    self._check_life(member, life)

    def _check_life(self, member, life):
        status = life.service.process.poll()
        if status is None:
            return
        life.service.wait_exit()
        assert status in life.ends_with, f"{member.name} ended with {status}:\n{life.service.log_tail()}"
        complaints = [line for line in life.service.lines if SANITIZER.search(line)]
        assert not complaints, f"{member.name}: {complaints[:20]}"
        life.service.forget()
        life.forgotten = True

    def calls(self):
        """The member that made each ARK call: call id -> member."""
        made = {}
        for member in self.of("worker"):
            for life in member.lives:
                for line in life.service.lines:
                    if match := re.search(r"calls ARK.* call=(\S+)", line):
                        made[match.group(1)] = member
        return made
