"""The scenarios: the load on a system, and the figures for the table.

Each takes a class of systems, the folder of the programs and a size (QUICK or FULL). It returns rows: a title, a figure, its unit, and
the raw document.
"""

import dataclasses
import json
import pathlib
import re
import select
import subprocess
import tempfile
import time

from bench import stored
from bench.systems import CORES, ArkRelay, BullMq, FastApi, Nchan, Simulator, pss_kib, time_to_ready
from support.http_client import fetch
from support.processes import DEADLINE, Deadline, eventually

FIRST = 32              # warm-up tasks, not measured
EVERY_S = 1.1           # interval per client with calls of 1 s: 1.1 times as many clients keep the wanted number of calls in flight
WAKE_UPS = 14           # of sleeping processes by one task, if nothing else happens
SETTLE_S = 1.0          # pause after the streams are opened, before memory is read


@dataclasses.dataclass
class Size:
    """The size of each scenario."""

    seconds: float                  # duration of closed-loop load, and of events
    together: tuple                 # (ii) calls at once
    slow: tuple                     # (iii) calls of slow_ms at once
    slow_ms: int
    streams: tuple                  # (iv) in one process
    relay_streams: int
    fleet: tuple                    # (iv) gateways, streams over all of them
    queued: tuple                   # (v)
    probes: int                     # (v) number of tasks measured at each depth
    starts: int                     # (vi)


QUICK = Size(seconds=2, together=(100, 1000), slow=(1000,), slow_ms=2000, streams=(2000,), relay_streams=1000, fleet=(2, 2000),
             queued=(1000, 10000), probes=500, starts=3)
FULL = Size(seconds=10, together=(100, 1000), slow=(5000, 10000), slow_ms=5000, streams=(10000, 18000), relay_streams=10000,
            fleet=(6, 100000), queued=(1000, 10000, 100000), probes=5000, starts=10)
SMOKE = Size(seconds=0.3, together=(8,), slow=(16,), slow_ms=200, streams=(20,), relay_streams=10, fleet=(2, 20), queued=(50,),
             probes=20, starts=1)


@dataclasses.dataclass
class Row:
    what: str
    value: float
    unit: str
    raw: dict = dataclasses.field(default_factory=dict)
    errors: int = 0


def ms(seconds):
    return f"{int(seconds * 1000)}ms"


def errors(document):
    return sum(document["errors"].values())


def cpu(document, *names):
    """CPU seconds per 1,000 tasks or events of the processes with these names; without names, of all except the load generator."""
    return sum(process["cpu_s_per_1000"] for process in document["processes"]
               if (process["name"].partition("-")[0] in names if names else process["name"] != "load"))


def rows_of_times(what, document, *percentiles):
    return [Row(f"{what}, {name}", document["took"][f"{name}_us"] / 1000, "ms", document, errors(document)) for name in percentiles]


# -- (i) throughput

def throughput(kind, folder, size):
    rows = []
    with kind(folder, image_ms=0) as system:
        system.warm_up()
        for clients in (64, 512):
            run = system.load("tasks", clients=clients, for_=ms(size.seconds), deadline=ms(size.seconds + 20))
            what = f"0 ms calls, {clients} clients"
            rows.append(Row(what, run["per_second"], "tasks/s", run, errors(run)))
            rows += rows_of_times(what, run, "p50", "p99")
            rows.append(Row(f"{what}, CPU", cpu(run), "s/1,000 tasks", run))
            if kind is not Simulator:
                rows.append(Row(f"{what}, CPU of Redis", cpu(run, "redis"), "s/1,000 tasks", run))
                rows.append(Row(f"{what}, memory of gateway and worker", memory_of(run, "gateway", "worker"), "KiB", run))
    return rows


def memory_of(run, *names):
    """Maximum Pss of the processes with these names."""
    return sum(process["pss_kib"]["most"] for process in run["processes"] if process["name"].partition("-")[0] in names)


# -- (ii) time added to calls of 1 s

def overhead(kind, folder, size):
    rows = []
    for calls in size.together:
        with kind(folder, image_ms=1000) as system:
            system.warm_up()
            run = system.load("tasks", clients=int(calls * EVERY_S), every=ms(EVERY_S), for_=ms(max(size.seconds, 3)), floor="1s",
                              deadline=ms(size.seconds + 30))
            rows += rows_of_times(f"added to 1 s calls, {calls} at once", run, "p50", "p99")
            if kind is ArkRelay:
                rows += wake_ups(system, calls, size)
    return rows


def wake_ups(system, calls, size):
    """What the machine alone needs to wake as many processes as a task does, as often as these tasks began."""
    run = system.load("hops", hops=WAKE_UPS, clients=int(calls * EVERY_S), every=ms(EVERY_S), for_=ms(max(size.seconds, 3)), deadline=ms(size.seconds + 30))
    return rows_of_times(f"{WAKE_UPS} wake-ups alone, as often as {calls} at once", run, "p50", "p99")


# -- (ii b) OpenAI's API beside the native one, in turn on one system

DOOR_TOGETHER, DOOR_ROUNDS = 100, 3


def door(kind, folder, size):
    """As (ii): calls of 1 s that begin one after the other, spread evenly. And in step: clients whose calls begin and end at the same time."""
    calls = min(DOOR_TOGETHER, *size.together)
    return (doors(kind, folder, 1.0, f"added to 1 s calls, {calls} at once", for_=ms(max(size.seconds, 3)), clients=int(calls * EVERY_S), every=ms(EVERY_S)) +
            doors(kind, folder, 0.1, "added to 100 ms calls, 8 in step", for_=ms(max(size.seconds, 1)), clients=8))


def doors(kind, folder, call_s, what, **options):
    took = {"tasks": [], "openai": []}
    with kind(folder, image_ms=int(call_s * 1000)) as system:
        system.warm_up()
        system.load("openai", clients=32, tasks=64, deadline="60s")
        for _ in range(DOOR_ROUNDS):
            for scenario, runs in took.items():
                runs.append(system.load(scenario, floor=ms(call_s), deadline="60s", **options))
    medians = {name: sorted(run["took"]["p50_us"] for run in runs)[DOOR_ROUNDS // 2] / 1000 for name, runs in took.items()}
    wrong = {name: sum(errors(run) for run in runs) for name, runs in took.items()}
    return [Row(f"{what}, p50, native API", medians["tasks"], "ms", {"runs": took["tasks"]}, wrong["tasks"]),
            Row(f"{what}, p50, OpenAI's API", medians["openai"], "ms", {"runs": took["openai"]}, wrong["openai"]),
            Row(f"{what}, p50, difference", medians["openai"] - medians["tasks"], "ms")]


# -- (ii c) what a spending limit costs

OUTER = {b"evalsha", b"script|load", b"blpop", b"subscribe", b"unsubscribe", b"ping", b"info", b"client|setname", b"role"}
LIMIT = {"GATEWAY_SPEND_DAY": 10**6, "GATEWAY_CLIENT_SPEND_DAY": 10**6}


def limit(kind, folder, size):
    rows = []
    for clients in (1, 8, 64):
        run, commands = limited_run(kind, folder, size, clients, {})
        limited, more = limited_run(kind, folder, size, clients, LIMIT)
        what = f"0 ms calls, {clients} clients"
        rows += [Row(f"{what}, without a limit", run["per_second"], "tasks/s", run, errors(run)),
                 Row(f"{what}, with limits", limited["per_second"], "tasks/s", limited, errors(limited)),
                 Row(f"{what}, commands inside scripts, without a limit", commands, "per task"),
                 Row(f"{what}, commands inside scripts, with limits more", more - commands, "per task")]
    return rows


def limited_run(kind, folder, size, clients, options):
    """The load, and the commands inside scripts per task."""
    with kind(folder, options={"GATEWAY_TAIL_CHECK": "1m", "PRESENCE_INTERVAL": "0", **options}) as system:
        system.warm_up()
        redis = system.redis.client()
        before = inner_commands(redis)
        run = system.load("tasks", clients=clients, for_=ms(size.seconds), deadline=ms(size.seconds + 20))
        return run, (inner_commands(redis) - before) / run["took"]["count"]


def inner_commands(redis):
    """How many commands the scripts have called. Commands that programs send themselves are not counted."""
    calls = dict(re.findall(rb"cmdstat_([^:]+):calls=(\d+)", redis("INFO", "commandstats")))
    return sum(int(count) for name, count in calls.items() if name not in OUTER)


# -- (iii) many slow calls in one worker process

def slow(kind, folder, size):
    rows = []
    for calls in size.slow:
        with kind(folder, image_ms=size.slow_ms) as system:
            system.warm_up()
            run = system.load("tasks", clients=calls, tasks=calls, deadline=ms(size.slow_ms / 1000 + 90))
            what = f"{calls:,} calls of {size.slow_ms / 1000:g} s at once, one worker"
            rows.append(Row(f"{what}, all done", run["took"]["max_us"] / 1e6, "s", run, errors(run)))
            if kind is not Simulator:
                rows.append(Row(f"{what}, memory of a call", memory_of_calls(run, calls), "KiB", run))
    return rows


def memory_of_calls(run, calls):
    workers = [process["pss_kib"] for process in run["processes"] if process["name"].startswith("worker")]
    return sum(pss["most"] - pss["begin"] for pss in workers) / calls


# -- (iv) open streams

def without_worker(kind, folder, **options):
    """No worker runs: only the load generator claims the tasks of open streams."""
    return kind(folder, **options) if kind is Nchan else kind(folder, workers=0, **options)


def streams(kind, folder, size):
    rows = []
    for count in size.streams:
        with without_worker(kind, folder) as system:
            run = system.load("streams", streams=count, settle=ms(SETTLE_S), for_=ms(size.seconds), rate=1000,
                              deadline=ms(size.seconds + 90), **system.stream_options())
            rows.append(Row(f"memory of an idle stream, {count:,}", memory_of_streams(run, count), "KiB", run, errors(run)))
            rows += rows_of_times(f"event latency, 1,000/s over {count:,}", run, "p50", "p99", "p99.9")
    return rows + relay(kind, folder, size)


def memory_of_streams(run, count):
    gateways = [process["pss_kib"] for process in run["processes"] if process["name"].startswith("gateway")]
    return sum(pss["ready"] - pss["begin"] for pss in gateways) / count


def relay(kind, folder, size):
    """Sends as many events as arrive; an event counts when it has arrived."""
    with without_worker(kind, folder) as system:
        run = system.load("streams", streams=size.relay_streams, for_=ms(size.seconds), rate=0, window=2000, publishers=64,
                          deadline=ms(size.seconds + 90), **system.stream_options())
    return [Row(f"relay over {size.relay_streams:,} streams", run["per_second"], "events/s", run, errors(run))]


# -- (iv) more streams than one process can open

class Held:
    """A generator that opens its streams, reports that, and waits for a line on stdin."""

    def __init__(self, system, **options):
        words = system.load_command("streams", wait=True, **options)
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_open(self, seconds):
        deadline = Deadline(seconds)
        if not select.select([self.process.stderr], [], [], deadline.left())[0]:
            raise RuntimeError("the streams are not open in time")
        line = self.process.stderr.readline()
        if not line.startswith("open "):
            raise RuntimeError(f"sse_load: {line}{self.process.stderr.read()}")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self):
        out, problem = self.process.communicate()
        if not out:
            raise RuntimeError(f"sse_load: {problem}")
        return json.loads(out)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def fleet(kind, folder, size):
    """Only for arkrelay: several gateways on one port. One generator per gateway, started one after the other; then all send events."""
    gateways, total = size.fleet
    held = []
    with kind(folder, gateways=gateways, workers=0) as system:
        before = system.gateways_kib()
        try:
            for n in range(gateways):
                share = total // gateways + (n < total % gateways)
                held.append(Held(system, prefix=f"f{n}", streams=share, processes="", for_=ms(size.seconds),
                                 rate=max(1, 1000 // gateways), sources=250, deadline="10m", **system.stream_options()))
                held[-1].wait_open(120)
            time.sleep(SETTLE_S)        # memory used during the opening is freed
            after = system.gateways_kib()
            for one in held:
                one.go()
            runs = [one.result() for one in held]
        finally:
            for one in held:
                one.close()
    merged = merge(runs)
    what = f"{total:,} over {gateways} processes"
    opened = {"runs": runs, "took": merged, "gateways_kib": {"before": before, "after": after}}
    wrong = sum(errors(run) for run in runs)
    rows = [Row(f"memory of an idle stream, {what}", (after - before) / total, "KiB", opened, wrong)]
    return rows + [Row(f"event latency, 1,000/s over {what}, {name}", merged[f"{name}_us"] / 1000, "ms") for name in ("p50", "p99")]


def merge(runs):
    """Percentiles over several generators, from their buckets."""
    buckets = {}
    for run in runs:
        for low, count in run["took"]["buckets"]:
            buckets[low] = buckets.get(low, 0) + count
    return {"count": sum(buckets.values()), "p50_us": at_share(buckets, 0.5), "p99_us": at_share(buckets, 0.99),
            "max_us": max(run["took"]["max_us"] for run in runs)}


def at_share(buckets, share):
    rank, seen = share * sum(buckets.values()), 0
    for low in sorted(buckets):
        seen += buckets[low]
        if seen > rank:
            return low / 1000
    return 0.0


# -- (v) how cost grows

def growth(kind, folder, size):
    """At each queue depth: the cost to submit a task, and to claim and end one. Peers run only the first two depths."""
    rows, submitted = [], 0
    with kind(folder, workers=0, image_ms=0) as system:
        redis = system.redis.client()
        system.load("submit", clients=32, tasks=FIRST)      # scripts and connections allocate their memory
        empty = used_memory(redis)
        for depth in size.queued if issubclass(kind, ArkRelay) else size.queued[:2]:
            missing = depth - system.waiting(redis)
            filled = system.load("submit", clients=32, tasks=missing, deadline="10m")
            submitted += missing + size.probes
            if len(rows) == 0:          # at later depths, Redis holds finished tasks too
                rows.append(Row(f"Redis memory of a queued task, {depth:,}", (used_memory(redis) - empty) / missing, "bytes", filled,
                                errors(filled)))
            more = system.load("submit", clients=32, tasks=size.probes, deadline="2m")
            rows.append(Row(f"CPU of a submit behind {depth:,}", cpu(more, "gateway", "redis"), "s/1,000 tasks", more, errors(more)))
            rows.append(Row(f"CPU of the rest of a task before {depth:,}", work_off(system, redis, size.probes), "s/1,000 tasks"))
        work_off(system, redis, system.waiting(redis))
        rows.append(Row("Redis memory of a finished task", (used_memory(redis) - empty) / submitted, "bytes", {"tasks": submitted}))
    return rows


def used_memory(redis):
    return int(re.search(r"^used_memory:(\d+)", redis("INFO", "memory").decode(), re.M).group(1))


def work_off(system, redis, count):
    """Runs a worker with 64 calls at once until `count` fewer tasks wait. Returns CPU seconds of Redis and worker per 1,000 tasks."""
    worker = system.start_worker(concurrency=64)
    before, began = system.waiting(redis), system.cpu_s("redis", "worker")
    target = before - min(count, before)
    eventually(lambda: system.waiting(redis) <= target, f"{count} tasks are done", 20 * DEADLINE)
    done, spent = before - system.waiting(redis), system.cpu_s("redis", "worker") - began
    system.end(worker)
    return spent * 1000 / max(done, 1)


# -- (vi) start, sizes

def startup(kind, folder, size):
    rows = []
    with kind(folder, workers=0) as system:
        if issubclass(kind, ArkRelay):
            rows += [Row(f"size of {program}", stripped_size(system.arkrelay / program) / 1024, "KiB")
                     for program in ("arkrelay-gateway", "arkrelay-worker")]
        for role, start in (("gateway", system.start_gateway), ("worker", system.start_worker)):
            times = [start_once(system, role, start) for _ in range(size.starts)]
            rows.append(Row(f"{role} from start to ready, median", sorted(times)[len(times) // 2] * 1000, "ms", {"seconds": times}))
            rows.append(Row(f"memory of a {role} that has nothing to do", system.idle_kib, "KiB"))
    return rows


def start_once(system, role, start):
    """Stops the running program first, because it uses the port."""
    for program in system.running(role):
        system.end(program)
    seconds = time_to_ready(start)
    system.idle_kib = sum(pss_kib(pid) for name, pid in system.programs if name.startswith(role))
    return seconds


def stripped_size(path):
    with tempfile.NamedTemporaryFile() as stripped:     # a real file, because strip replaces its output file
        done = subprocess.run(["strip", "-o", stripped.name, str(path)], capture_output=True, check=False)
        return pathlib.Path(stripped.name).stat().st_size if done.returncode == 0 else path.stat().st_size


# -- (vii) copies of pictures into the storage

COPIES, COPY_MIB, RENEWED, LEASE_MS = 100, 12, 20, 3000


def copies(kind, folder, size):
    count, mib = (COPIES, COPY_MIB) if size is not SMOKE else (4, 1)
    rows = []
    for what, place_of in (("directory", stored.Place.directory), ("S3", stored.Place.bucket)):
        with stored.Place(mib * stored.MIB) as place, kind(folder, workers=0, options=place_of(place)) as system:
            seconds, raw, more = copy_all(system, place, count)
            plain, synced = curl_all(place, count, what == "S3")
        rows += [Row(f"{count} copies of {mib} MiB, {what}", count * mib / seconds, "MiB/s", raw, raw["not_stored"]),
                 Row(f"… curl, {what}", count * mib / plain, "MiB/s"), Row(f"… curl and sync, {what}", count * mib / synced, "MiB/s"),
                 Row(f"… ratio to curl, {what}", plain / seconds, "x"), Row(f"… ratio to curl and sync, {what}", synced / seconds, "x")]
        rows += [Row(f"… {name}, {what}", value, unit) for name, value, unit in more]
    return rows


def copy_all(system, place, count):
    """While the pictures are copied, the worker also keeps the leases of tasks whose calls hang."""
    copier = stored.Copier(system, place, count)
    copier.owe(count)
    fetch(system.ark_url.split("/")[2], "POST", "/sim/outage", {"hang": 600000})
    system.load("submit", clients=RENEWED, tasks=RENEWED)
    worker = copier.start_worker(WORKER_LEASE=ms(LEASE_MS / 1000))
    eventually(lambda: copier.redis("ZCARD", f"{stored.KEYS}leased") == RENEWED, "all tasks are leased")
    dropped = stored.drop_caches()
    before_kib = most_kib = stored.anonymous_kib(worker.pid)
    renewals = stored.RenewalWatch(copier.redis, LEASE_MS)
    began = copier.release()
    while not copier.is_done():
        most_kib = max(most_kib, stored.anonymous_kib(worker.pid))
        renewals.look()
        if time.monotonic() - began > 300:
            raise RuntimeError(f"the copies did not end within 300 s\n{worker.log_tail()}")
        time.sleep(0.02)
    seconds = time.monotonic() - began
    pictures = copier.pictures()
    worker.kill()       # its calls hang
    not_stored = sum(state != "stored" for state, *_ in pictures) + abs(len(pictures) - count)
    raw = {"seconds": seconds, "caches_dropped": dropped, "not_stored": not_stored, "least_left_ms": renewals.least_ms, "log": worker.lines[-20:]}
    return seconds, raw, [("growth of the worker", (most_kib - before_kib) / 1024, "MiB"), ("late renewals", renewals.late, ""),
                          ("copied again", sum(tries for _, tries, *_ in pictures), ""), ("caches dropped", int(dropped), "")]


def curl_all(place, count, uploads):
    stored.drop_caches()
    plain, synced = stored.curl_down(place, place.folder / "curl", count)
    if uploads:
        took = stored.curl_up(place, place.folder / "curl", count)
        plain, synced = plain + took, synced + took
    return plain, synced


# -- (viii) stored pictures, served by the gateway and by nginx

SERVED, SERVED_MIB, EVENTS_PER_S = 128, 2, 200
PAUSE_MS = 100          # of each of 32 connections, which then get some 500 MiB/s: 4 Gbit/s


def serving(kind, folder, size):
    count, seconds = (SERVED, max(2, int(size.seconds))) if size is not SMOKE else (4, 1)
    with stored.Place(SERVED_MIB * stored.MIB) as place, kind(folder, workers=0, options={**place.directory(), "GATEWAY_THREADS": CORES}) as system:
        copier = stored.Copier(system, place, 16)
        copier.owe(count)
        worker = copier.start_worker(WORKER_ROLES="outbox")
        copier.release()
        eventually(copier.is_done, "all pictures are stored", 120)
        system.end(worker)
        paths = [f"/p/{day}/{name}" for _, _, day, name in copier.pictures()]
        bases = {"plain": (f"http://{system.address}", place.url), "TLS": (stored.start_tls_gateway(system, place), place.tls_url)}
        rows = []
        for what, pair in bases.items():
            rows += served_warm(place, pair, paths, seconds, what) + served_cold(place, pair, paths, what)
        return rows + events_while_serving(system, place, bases["plain"], paths, seconds)


def pair_of_rows(what, gateway, nginx, wrong=0):
    return [Row(f"{what}, gateway", gateway / stored.MIB, "MiB/s", errors=wrong), Row(f"{what}, nginx", nginx / stored.MIB, "MiB/s"),
            Row(f"{what}, ratio", gateway / nginx, "x")]


def served_warm(place, pair, paths, seconds, what):
    for base in pair:
        stored.fetch_once(place, base, paths)
    (gateway, wrong), (nginx, _) = [stored.wrk(place, base, paths, seconds) for base in pair]
    return pair_of_rows(f"{SERVED_MIB} MiB pictures, {what}, cached", gateway, nginx, wrong)


def served_cold(place, pair, paths, what):
    rates, dropped = [], True
    for base in pair:
        dropped = stored.drop_caches() and dropped
        rates.append(len(paths) * SERVED_MIB * stored.MIB / stored.fetch_once(place, base, paths))
    return pair_of_rows(f"{SERVED_MIB} MiB pictures, {what}, " + ("caches dropped" if dropped else "once, caches NOT dropped"), *rates)


def events_while_serving(system, place, pair, paths, seconds):
    """At a rate as of a fast network, and as fast as possible. With nginx instead of the gateway, the share of the two cores that are busy shows."""
    def p99():
        run = system.load("streams", streams=200, for_=ms(max(seconds, 3)), rate=EVENTS_PER_S, deadline="60s", **system.stream_options())
        return run["took"]["p99_us"] / 1000, run
    idle, first = p99()
    rows = [Row("event latency p99, idle", idle, "ms", first, errors(first))]
    for pause_ms in (PAUSE_MS, 0):
        for name, base in zip(("the gateway", "nginx"), pair):
            rates = []
            with stored.background(lambda base=base, pause_ms=pause_ms, rates=rates: rates.append(stored.wrk(place, base, paths, 1, pause_ms=pause_ms)[0])):
                took, run = p99()
            what = f"{name} serves {'at a steady rate' if pause_ms else 'as fast as it can'}"
            rows += [Row(f"event latency p99, {what}", took, "ms", run, errors(run)), Row(f"… ratio to idle, {what}", took / idle, "x"),
                     Row(f"… rate, {what}", sorted(rates)[len(rates) // 2] / stored.MIB, "MiB/s")]
    return rows


# -- the systems of each scenario

SCENARIOS = {
    "throughput": (throughput, (ArkRelay, BullMq, FastApi, Simulator)),
    "overhead": (overhead, (ArkRelay, BullMq, FastApi, Simulator)),
    "door": (door, (ArkRelay,)),
    "limit": (limit, (ArkRelay,)),
    "slow": (slow, (ArkRelay, BullMq, FastApi, Simulator)),
    "streams": (streams, (ArkRelay, FastApi, Nchan)),
    "fleet": (fleet, (ArkRelay,)),
    "growth": (growth, (ArkRelay, BullMq, FastApi)),
    "startup": (startup, (ArkRelay, BullMq, FastApi)),
    "copies": (copies, (ArkRelay,)),
    "serving": (serving, (ArkRelay,)),
}
