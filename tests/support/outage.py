"""Runs an outage of ARK with real workers, waiting tasks and calls in flight, and checks the tasks afterwards.

    with Outage(self, workers=3) as outage:
        outage.submit(60)
        outage.begin(lambda: outage.ark.outage(status=502, body="html"))
        outage.last(probes=3)
        outage.end(outage.ark.end_outage)
        outage.assert_all_done()
"""

import re

from support.processes import eventually
from support.world import World, sim

MODEL = "doubao-seedream-4-0-250828"
GOVERNOR = "arkrelay:{account}:governor"
SLOTS = 4                   # of each worker
PROBED = re.compile(r"probe +answered ")
WORKER = {"WORKER_CONCURRENCY": SLOTS, "ARK_MAX_IMAGES": 1, "ARK_IMAGES_PER_MINUTE": 0, "ARK_FIRST_BYTE_TIMEOUT": "1s", "ARK_TIMEOUT": "2s",
          "WORKER_LEASE": "10s", "RETRY_BACKOFF_MAX": "500ms"}


class Outage:
    def __init__(self, test, workers=1, **options):
        self.test, self.world, self.options = test, World(), {**WORKER, **options}
        self.workers = [self.world.worker(**self.options) for _ in range(workers)]
        self.in_flight = 0

    @property
    def ark(self):
        return self.world.ark

    def submit(self, count=30, prefix="t"):
        return self.world.submit_many(count, prefix, sim(prefix, "images=1 latency=100"))

    def books(self):
        flat = [word.decode() for word in self.world.redis("HGETALL", GOVERNOR)]
        return dict(zip(flat[::2], flat[1::2]))

    def states(self):
        """The breakers that are not closed: {"": "open"} for the account, {model: "probing"} ..."""
        return {name.rpartition(" ")[0]: value for name, value in self.books().items() if name.rpartition(" ")[2] == "state"}

    def probes(self):
        return sum(bool(PROBED.search(line)) for worker in self.workers for line in worker.lines)

    def begin(self, act):
        """Calls act() while every slot has a call. Returns when the circuit breaker has opened."""
        slots = SLOTS * len(self.workers)
        eventually(lambda: self.ark.stats()["calls_open"] == slots, "every slot has a call")
        self.in_flight = slots
        act()
        eventually(self.states, "the circuit breaker has opened")

    def last(self, probes):
        """Waits for this number of further probes."""
        begun = self.probes()
        eventually(lambda: self.probes() >= begun + probes, f"{probes} probes of the outage", 60)

    def end(self, act):
        """Calls act() and waits until every task has ended."""
        act()
        return self.world.wait_all_final(60)

    def trials(self):
        """The calls made while the breaker was half-open; each follows a successful probe."""
        return sum("model_good=1" in line for worker in self.workers for line in worker.lines if PROBED.search(line))

    def unknown_since_the_last_success(self):
        """Calls of unknown outcome, without those before the last success that the breaker counted while it was closed: a success begins a new
        count of failures in a row, also that of a call from before the outage."""
        count, is_closed = 0, True
        for line in sorted(line for worker in self.workers for line in worker.lines):
            is_closed = is_closed and "circuit breaker open" not in line
            if " charge=unknown " in line:
                count += 1
            elif is_closed and " charge=known " in line:
                count = 0
        return count

    def replace_workers(self, **options):
        """Replaces the workers with new ones that have other options, like a deployment."""
        for worker in self.workers:
            self.test.assertEqual(worker.stop(), 0)
        self.workers = [self.world.worker(**{**self.options, **options}) for _ in self.workers]

    def assert_all_done(self, failed=0, code=None):
        """All but `failed` tasks are done; those failed with `code`. Only calls in flight when ARK answered the last time before the circuit breaker
        opened, and trial calls, have an unknown outcome."""
        tasks = self.world.look().tasks.values()
        others = [(task.id, task.state, task.fields.get("code")) for task in tasks if task.state != "done"]
        self.test.assertEqual([row[1:] for row in others], [("failed", code)] * failed, others)
        self.test.assertLessEqual(self.unknown_since_the_last_success(), self.in_flight + self.trials())
        self.test.assertEqual(self.states(), {}, "the circuit breaker is closed again")
        return tasks

    def __enter__(self):
        return self

    def __exit__(self, kind, exception, trace):
        self.world.__exit__(kind, exception, trace)
