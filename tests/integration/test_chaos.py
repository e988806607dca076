"""Two gateways, three workers, Redis, ARK and about a hundred clients under random faults.

Programs and Redis are killed, frozen and restarted. Connections are cut, delayed and frozen. ARK refuses calls, hangs, cuts its responses
at any byte, cannot be reached, or is unavailable for up to a minute. Afterwards every accepted task must have ended once, every client must
have seen all its events, no budget may be exceeded, and no image delivered to a worker that was not killed may be lost.

A part of the tasks have webhooks, whose receivers fail at random. Each owed event must have been delivered under one id, with a valid signature and
the same body at each attempt, and nothing else. Clients have different spending limits. The ledger must have exactly what the tasks cost, and never
less than the simulator charged. Some tasks are erased, and their ids are used again.

With most seeds pictures are kept: in a directory (on), in a bucket that fails at times (s3), or ARK sends bytes instead of links (b64), which are kept
in one of the two. Then each picture of an event must be stored once, with ARK's bytes, or, if a client erased it, be nowhere; and no temporary file
may be left. Only bytes that a bucket did not take may be in their event.

    ARKRELAY_SEED=7 CHAOS_SECONDS=600 CHAOS_STORAGE=s3 python3 -m unittest test_chaos
"""

import json
import os
import random
import tempfile
import time
import unittest

from support.ark_front import ArkFront
from support.crowd import Crowd
from support.faults import LEASE_S, Faults
from support.fleet import Fleet
from support.hooks import Hooks
from support.judge import Judge
from support.kept_pictures import Pictures
from support.money import read_money
from support.payers import ADMIN_KEY, Payers
from support.places import Folder, InBucket
from support.processes import ProcessTest, eventually
from support.s3_bucket import Bucket
from support.world import World

SECONDS = int(os.environ.get("CHAOS_SECONDS") or os.environ.get("CHAOS_DEFAULT_SECONDS", "180"))
SEED = os.environ.get("ARKRELAY_SEED") or str(random.randrange(10**6))
STORAGE = os.environ.get("CHAOS_STORAGE") or random.Random(f"{SEED} storage").choice(("on", "s3", "b64", "b64", "off"))
CLIENTS = 200
SETTLE_S = 120
SHOWN_TASKS = 4             # tasks shown with all details if a check fails
SHOWN_VIOLATIONS = 20       # of each check
MEMORY_SLACK = 24 << 20
FILES_SLACK = 4

WORKER = {"WORKER_LEASE": f"{LEASE_S:.0f}s", "WORKER_CONCURRENCY": 20, "RETRY_BACKOFF_BASE": "100ms",
          "RETRY_BACKOFF_MAX": "500ms", "ARK_FIRST_BYTE_TIMEOUT": "3s", "ARK_TIMEOUT": "6s", "ARK_TIMEOUT_PER_IMAGE": "500ms",
          "ARK_IMAGES_PER_MINUTE": 0, "LOG_LEVEL": "info", "AUDIT_INTERVAL": "5s"}
GATEWAY = {"GATEWAY_HEARTBEAT": "1s", "GATEWAY_TAIL_CHECK": "2s", "LOG_LEVEL": "info", "AUDIT_INTERVAL": "5s"}


class Stopwatch:
    """How long each step took."""

    def __init__(self):
        self.at, self.steps = time.monotonic(), []

    def note(self, step):
        before, self.at = self.at, time.monotonic()
        self.steps.append(f"{step} {self.at - before:.1f} s")

    def __str__(self):
        return f"settled: {', '.join(self.steps)}"


class Chaos(ProcessTest):
    def test_nothing_is_lost_repeated_or_paid_twice(self):
        print(f"seed {SEED}, {SECONDS} s, storage {STORAGE}", flush=True)
        with World(aof=True) as world, ArkFront(world.ark.address) as front, tempfile.TemporaryDirectory() as folder:
            bucket = self.keep_pictures(world, folder)
            if "dns" not in front.kinds:
                print("without failures of DNS: mount namespaces are not allowed here")
            self.payers = Payers(folder, SEED, CLIENTS)
            self.hooks = Hooks(world, SEED, self.gateways, {"Authorization": f"Bearer {ADMIN_KEY}"})
            self.build_fleet(world, front)
            before = self.footprints()
            crowd = Crowd(CLIENTS, SEED, self.gateways, self.payers.keys, self.hooks.fields)
            faults = Faults(world, self.fleet, SEED, front, bucket)
            crowd.start()
            self.hooks.start()
            if self.pictures:
                self.pictures.start(crowd.stories)
            faults.run(SECONDS)
            crowd.stop()
            self.hooks.stop()
            if self.pictures:
                self.pictures.stop()
            judge = self.settle(world, crowd, faults.closings)
            self.report(crowd, faults, judge)
            self.assert_silent_only_when_frozen(crowd)
            self.assert_footprints_like(before)
            self.fleet.check()

    def keep_pictures(self, world, folder):
        """Returns the bucket in which they are kept, if they are."""
        in_bucket = STORAGE == "s3" or STORAGE == "b64" and random.Random(f"{SEED} place").random() < 0.5
        bucket = self.enterContext(Bucket()) if in_bucket else None
        place = InBucket(bucket, folder) if bucket else Folder(folder)
        self.pictures = Pictures(world, place, STORAGE == "b64", SEED, self.gateways) if STORAGE != "off" else None
        return bucket

    def gateways(self):
        return [gateway.address for gateway in self.fleet.of("gateway")]

    def build_fleet(self, world, front):
        """One gateway and two workers reach Redis through proxies. All workers reach ARK through `front`, one of them through a proxy too."""
        self.fleet = Fleet()

        def add(kind, start, **proxies):
            options = {"REDIS_URL": proxies["redis"].url} if "redis" in proxies else {}
            if kind == "worker":
                options.update(front.options(proxies["ark"].address.rpartition(":")[2] if "ark" in proxies else None))
            self.fleet.add(kind, lambda: start(options), proxies)

        def gateway(options):
            kept = self.pictures.options() if self.pictures else {}
            return world.gateway(wait_ready=False, **GATEWAY, **self.payers.options(), **self.hooks.options(), **kept, **options)

        def worker(options):
            kept = self.pictures.worker_options() if self.pictures else {}
            return world.worker(under=front.under, **WORKER, **self.hooks.worker_options(), **kept, **options)
        add("gateway", gateway)
        add("gateway", gateway, redis=world.proxy())
        add("worker", worker)
        add("worker", worker, redis=world.proxy())
        add("worker", worker, redis=world.proxy(), ark=world.ark_proxy(front.address))
        for member in self.fleet.members:
            eventually(lambda: member.service.get("/readyz").status == 200, f"{member.name} is ready")

    def settle(self, world, crowd, closings):
        """Waits until all tasks have ended, all clients have finished, and nothing is owed."""
        clock = Stopwatch()
        crowd.wait(SETTLE_S)
        clock.note("clients")
        world.redis = world.redis_server.client()
        try:
            world.wait_all_final(SETTLE_S)
        except AssertionError as error:
            print(error)
        try:
            eventually(lambda: world.ark.stats()["calls_open"] == 0, "ARK has nothing to do", SETTLE_S)
        except AssertionError:
            stuck = [call for call in world.ark.calls() if not call["duration_ms"]]
            raise AssertionError(f"calls that do not end: {stuck[:10]}, {world.ark.stats()}") from None
        self.assertTrue(crowd.stories)
        clock.note("tasks")
        self.hooks.settle(SETTLE_S)
        clock.note("webhooks")
        if self.pictures:
            self.pictures.settle(SETTLE_S)
        clock.note("pictures")
        try:
            eventually(lambda: not (money := read_money(world.redis)).reservations and not money.debts, "all is settled", SETTLE_S)
        except AssertionError as error:
            print(error)
        clock.note("ledger")
        print(clock)
        return Judge(self.fleet, crowd.stories, world.look(), world.ark.calls(), closings, read_money(world.redis))

    def report(self, crowd, faults, judge):
        found = judge.all()
        found["webhooks"] = self.hooks.judge(judge.lives)
        found["ledger"] = self.payers.judge(judge.lives, judge.charges(), judge.money, self.gateways()[0])
        if self.pictures:
            found["pictures"] = self.pictures.judge(judge.tasks, judge.lost_with_workers)
        reconnects = sum(story.reconnects for story in crowd.stories)
        ends = {}
        for task in judge.tasks.values():
            code = task.fields.get("code", task.state)
            ends[code] = ends.get(code, 0) + 1
        print(f"faults: {json.dumps(faults.counts)}\nends: {json.dumps(ends)}\nrefused: {json.dumps(crowd.refusals)}\n"
              f"images: {json.dumps(judge.images)}\n"
              f"costs that are estimates: {len(judge.estimates)}, {sum(cost for _, cost, _ in judge.estimates)} micro-units, of which ARK charged "
              f"{sum(charge for _, _, charge in judge.estimates)}")
        for task_id, cost, charge in judge.estimates:
            print(f"  {task_id}: {cost}, ARK charged {charge}")
        print(f"chaos: seed={SEED} seconds={SECONDS} tasks={len(crowd.stories)} faults={sum(faults.counts.values())}"
              f" reconnects={reconnects} erased={sum(life.is_erased for life in judge.lives)} " + " ".join(f"{name}={len(found[name])}" for name in found), flush=True)
        for name, violations in found.items():
            for violation in violations[:SHOWN_VIOLATIONS]:
                print(name, *violation, flush=True)
        if found.get("pictures"):
            print(*self.fleet.history, sep="\n", flush=True)
        guilty = {task_id: None for tasks in found.values() for task_id, _ in tasks}
        for task_id in list(guilty)[:SHOWN_TASKS]:
            print(judge.dossier(task_id), flush=True)
        self.assertEqual([(name, *each) for name in found for each in found[name]][:20], [])

    def assert_silent_only_when_frozen(self, crowd):
        """A gateway that is not frozen must send heartbeats, regardless of other faults."""
        frozen = {}
        for member in self.fleet.of("gateway"):
            for life in member.lives:
                frozen[life.service.address] = member.name
        unexplained = [silence for silence in crowd.silences
                       if not self.fleet.during(silence.begin - 1, silence.end + 1, frozen[silence.address])]
        self.assertEqual(unexplained[:5], [], f"{len(unexplained)} of {len(crowd.silences)}")

    # -- resource usage

    def footprints(self):
        return {member.name: (member.service.open_files(), member.service.memory()) for member in self.fleet.members}

    def assert_footprints_like(self, before):
        for member in self.fleet.members:
            files, memory = before[member.name]
            eventually(lambda: member.service.open_files() <= files + FILES_SLACK,
                       f"{member.name} has {member.service.open_files()} files open, {files} before")
            if not member.service.is_sanitized():
                self.assertLess(member.service.memory(), memory + MEMORY_SLACK, member.name)


if __name__ == "__main__":
    unittest.main()
