"""doctor: looks at everything that can be seen from here, and says what to do about what is not well."""

import ipaddress
import itertools
import time
import typing

from arkctl_lib import account
from arkctl_lib.failure import FAILED, NOT_ALLOWED, OK, Failure
from arkctl_lib.gateway import BASE
from arkctl_lib.resp import Redis, Refused
from arkctl_lib.store import Store
from arkctl_lib.terminal import clean
from arkctl_lib.units import count, duration, size, to_timestamp

STYLES = {"ok": "good", "warn": "warn", "bad": "bad", "skip": "dim"}
CLOCK_WARN_MS, CLOCK_BAD_MS = 2_000, 60_000
SLOW_MS = 50
OLDEST_WARN_MS = 15 * 60_000
DEAD_LOOK = 1000
MEMORY_WARN, MEMORY_BAD = 0.7, 0.9
HOURS_BAD = 4


class Finding(typing.NamedTuple):
    status: str         # ok, warn, bad, or skip where it cannot be seen
    check: str
    text: str
    advice: str = ""


class Patient:
    """What was asked once, for all checks. None: there was no answer, and why is in `failures`."""

    def __init__(self, context):
        gateway = self.gateway = context.gateway
        self.failures = {}
        began = time.monotonic()
        self.live = self._try("live", lambda: gateway.ask("GET", "/livez"))
        self.live_ms = (time.monotonic() - began) * 1000
        self.ready = self.live and self._try("ready", lambda: gateway.ask("GET", "/readyz")[1])
        self.headers = self.live and self._try("key", lambda: gateway.ask("GET", f"{BASE}/queue", key=gateway.key)[0])
        asked_at = time.time()
        self.overview = self._try("overview", lambda: gateway.admin("GET", "/overview")) if self.live and gateway.admin_key else None
        self.asked_at_ms = (asked_at + time.time()) * 500
        self.store = self._try("redis", lambda: Store(Redis(context.redis_url, gateway.timeout))) if context.redis_url else None
        self.has_redis_url = bool(context.redis_url)
        self.info = self._try("info", self._read_info) if self.store else None

    def _try(self, name, ask):
        try:
            return ask()
        except Failure as failure:
            self.failures[name] = failure
            return None

    def _read_info(self):
        began, asked_at = time.monotonic(), time.time()
        now_ms = self.store.now_ms()
        info = {"round_trip_ms": (time.monotonic() - began) * 1000, "off_ms": now_ms - (asked_at + time.time()) * 500}
        for line in self.store.redis("INFO").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                info[name] = value
        try:
            info["appendfsync"] = (self.store.redis.ask("CONFIG", "GET", "appendfsync") or [None, None])[1]
        except Refused:
            info["appendfsync"] = None          # this user may not ask
        return info

    def source(self):
        """Where tasks can be listed; None: nowhere."""
        return self.store or (self.gateway if self.overview else None)

    def queue(self):
        if self.overview:
            return self.overview["queue"]
        return self._try("queue", self.store.queue) if self.store else None

    def governor(self):
        if self.overview:
            return self.overview["governor"]
        return self._try("governor", self.store.governor) if self.store else None

    def now_ms(self):
        """By the clock of Redis."""
        if self.overview:
            return self.overview["now_ms"]
        return time.time() * 1000 + (self.info["off_ms"] if self.info else 0)

    def processes(self):
        if self.overview:
            return self.overview["processes"]
        return self._try("processes", self.store.processes) if self.store else None


def doctor(context, _):
    patient = Patient(context)
    findings = [finding for check in CHECKS for finding in check(patient)]
    bad = any(finding.status == "bad" for finding in findings)
    terminal = context.terminal
    terminal.document({"ok": not bad, "checks": [finding._asdict() for finding in findings]})
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        terminal.line(f"{terminal.paint(f'{finding.status:<4}', STYLES[finding.status])}  {finding.check:<{width}}  {clean(finding.text)}")
        if finding.advice:
            terminal.line(f"{'':{width + 8}}-> {finding.advice}")
    tally = {status: sum(finding.status == status for finding in findings) for status in STYLES}
    terminal.line(", ".join(f"{number} {status}" for status, number in tally.items() if number))
    return FAILED if bad else OK


# -- the gateway


def check_gateway(patient):
    if not patient.live:
        yield Finding("bad", "gateway", str(patient.failures["live"]), "start it, or name another one with --url")
        return
    yield Finding("ok", "gateway", f"{patient.gateway.url} answers after {patient.live_ms:.0f} ms")
    if patient.ready:
        yield Finding("ok", "readiness", "it would take a task now")
        return
    failure = patient.failures["ready"]
    advice = {"draining": "it is shutting down; ask another one",
              "store_unavailable": "is Redis up, is REDIS_URL right, and is its maxmemory-policy noeviction? The gateway's log says which"}
    yield Finding("bad", "readiness", str(failure), advice.get((failure.problem or {}).get("code"), "see the gateway's log"))


def check_keys(patient):
    if not patient.live:
        return
    gateway = patient.gateway
    failure = patient.failures.get("key")
    if failure and failure.code == NOT_ALLOWED:
        yield Finding("bad", "key", "the key is refused" if gateway.key else "this gateway wants a key, and there is none",
                      "--key or ARKRELAY_KEY; arkrelay-gateway --list-keys tells which live")
    elif failure:
        yield Finding("skip", "key", str(failure))
    elif gateway.key:
        yield Finding("ok", "key", "it is taken")
    elif _is_local(gateway.url):
        yield Finding("ok", "key", "none is asked for")
    else:
        yield Finding("warn", "key", "none is asked for: whoever reaches this gateway spends the ARK account's money",
                      "make keys: docs/keys.md")
    if not gateway.admin_key:
        yield Finding("skip", "admin key", "none was given, so much cannot be seen",
                      "--admin-key, ARKRELAY_ADMIN_KEY, or GATEWAY_ADMIN_KEY in ./.env")
    elif patient.overview:
        yield Finding("ok", "admin key", "it is taken")
    else:
        yield Finding("bad", "admin key", str(patient.failures["overview"]), "it has to be the GATEWAY_ADMIN_KEY of the gateway")


def _is_local(url):
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0].strip("[]") or url.partition("://")[2].partition("/")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_client_limits(patient):
    for item in (patient.headers.get("RateLimit") or "").split(",") if patient.headers else ():
        name, *parameters = (part.strip() for part in item.split(";"))
        left = next((part[2:] for part in parameters if part.startswith("r=")), "")
        if left.isdigit():
            yield Finding("ok" if int(left) else "warn", f"limit {name.strip(chr(34))}", f"{left} left",
                          "" if int(left) else "this client has to wait; docs/keys.md has the limits")


# -- Redis


def check_clock(patient):
    off = patient.info["off_ms"] if patient.info else patient.overview["now_ms"] - patient.asked_at_ms if patient.overview else None
    if off is None:
        return
    status = "bad" if abs(off) > CLOCK_BAD_MS else "warn" if abs(off) > CLOCK_WARN_MS else "ok"
    yield Finding(status, "clock", f"Redis and this machine differ by {duration(abs(off))}",
                  "" if status == "ok" else "keep both clocks with NTP: keys' expiry and logs go by each machine's own")


def check_redis(patient):
    if patient.has_redis_url and not patient.info:
        failure = patient.failures.get("redis") or patient.failures["info"]
        yield Finding("bad", "redis", str(failure), "is it up, and is the address right?")
        return
    redis = _redis_facts(patient)
    if not redis:
        yield Finding("skip", "redis", "cannot be seen from here", "--admin-key, or --redis URL")
        return
    slow = redis["round_trip_ms"] > SLOW_MS
    yield Finding("warn" if slow else "ok", "redis", f"version {redis['version']}, {redis['round_trip_ms']:.1f} ms away",
                  "programs should be near Redis: look at the network, and at its SLOWLOG" if slow else "")
    if redis["role"] == "slave":
        yield Finding("bad", "redis role", "it is a replica", "programs and --redis need the master; with Sentinel: redis+sentinel://")
    yield from _check_policy(redis)
    yield from _check_persistence(redis)
    yield from _check_memory(redis, patient.overview["queue"].get("memory_full_ms") if patient.overview else None)


def _redis_facts(patient):
    """By the names of the overview, from whichever source there is."""
    info = patient.info
    if not info:
        return patient.overview and {**patient.overview["redis"], "policy": None, "fsync": None, "total_memory": None}
    return {"round_trip_ms": info["round_trip_ms"], "version": info.get("redis_version"), "role": info.get("role"),
            "used_memory": int(info.get("used_memory", 0)), "maxmemory": int(info.get("maxmemory", 0)),
            "evicted_keys": int(info.get("evicted_keys", 0)), "aof_enabled": info.get("aof_enabled") == "1",
            "aof_last_write_status": info.get("aof_last_write_status"), "snapshot_last_save_status": info.get("rdb_last_bgsave_status"),
            "aof_rewrite_status": info.get("aof_last_bgrewrite_status"), "policy": info.get("maxmemory_policy"),
            "fsync": info["appendfsync"], "total_memory": int(info.get("total_system_memory", 0))}


def _check_policy(redis):
    if redis["evicted_keys"]:
        yield Finding("bad", "eviction", f"Redis has thrown {count(int(redis['evicted_keys']), 'key')} away: tasks may be lost",
                      "CONFIG SET maxmemory-policy noeviction, and more memory")
    if redis["policy"] == "noeviction":
        yield Finding("ok", "maxmemory-policy", "noeviction")
    elif redis["policy"]:
        yield Finding("bad", "maxmemory-policy", f"{redis['policy']}: short of memory, Redis would throw tasks away; programs refuse it",
                      "CONFIG SET maxmemory-policy noeviction, and the same in its configuration")
    else:
        yield Finding("skip", "maxmemory-policy", "not told by the gateway, which is ready with noeviction only", "--redis URL")


def _check_persistence(redis):
    if not redis["aof_enabled"]:
        yield Finding("warn", "appendonly", "no: a restart of Redis forgets tasks, and paid calls with them",
                      "CONFIG SET appendonly yes, and the same in its configuration")
    else:
        yield Finding("ok", "appendonly", "yes")
        if redis["fsync"] is None:
            yield Finding("skip", "appendfsync", "cannot be seen from here", "--redis URL, as a user that may CONFIG GET")
        else:
            always = redis["fsync"] == "always"
            yield Finding("ok" if always else "warn", "appendfsync", redis["fsync"],
                          "" if always else "a crash of the machine may forget the last paid calls: CONFIG SET appendfsync always")
    for name, key in (("last AOF write", "aof_last_write_status"), ("last AOF rewrite", "aof_rewrite_status"),
                      ("last snapshot", "snapshot_last_save_status")):
        if redis.get(key) not in (None, "ok"):
            yield Finding("bad", name, redis[key], "Redis cannot write to its disk: is it full? Its log says why")


def _check_memory(redis, full_ms):
    """full_ms: as a gateway says; None: never, or nothing is known."""
    if full_ms is not None:
        hours = full_ms / 3_600_000
        yield Finding("bad" if hours < HOURS_BAD else "warn", "memory ends", f"in {hours:.1f} hours at the present rate of tasks",
                      "raise maxmemory, or keep results for a shorter time (GATEWAY_RETENTION)")
    used, most = redis["used_memory"], redis["maxmemory"]
    if not most:
        most = (redis["total_memory"] or 0) / 2
        if most and used > most:
            yield Finding("warn", "memory", f"{size(used)} used, which is more than half of the machine's, and no maxmemory",
                          "set maxmemory, or give it more")
        else:
            yield Finding("ok", "memory", f"{size(used)} used, no maxmemory")
        return
    part = used / most
    status = "bad" if part > MEMORY_BAD else "warn" if part > MEMORY_WARN else "ok"
    yield Finding(status, "memory", f"{size(used)} of {size(most)} used ({part:.0%})",
                  "" if status == "ok" else "at its maximum Redis refuses new tasks: raise maxmemory, or keep results for a shorter time")


# -- the queue and those who work on it


def check_processes(patient):
    processes = patient.processes()
    if processes is None:
        yield Finding("skip", "workers", "cannot be seen from here", "--admin-key, or --redis URL")
        return
    workers = [process for process in processes if process.get("role") == "worker"]
    staying = [worker for worker in workers if not worker.get("draining")]
    slots, busy = (sum(worker.get(name, 0) for worker in staying) for name in ("slots", "busy"))
    if not staying:
        yield Finding("bad", "workers", "all are draining" if workers else "none is alive", "start arkrelay-worker: nothing runs without")
    else:
        yield Finding("ok", "workers", f"{count(len(staying), 'worker')}, {busy} of {count(slots, 'slot')} busy")
    versions = sorted({process["version"] for process in processes if process.get("version")})
    if len(versions) > 1:
        yield Finding("warn", "versions", ", ".join(versions), "finish the update: restart those of the older version")
    elif versions:
        yield Finding("ok", "versions", f"{versions[0]} everywhere")


def check_account(patient):
    governor, now_ms = patient.governor(), patient.now_ms()
    if not governor:
        yield Finding("skip", "ARK account", "cannot be seen from here", "--admin-key, or --redis URL")
        return
    restricted = False
    for model, scope in account.scopes(governor):
        for finding in _check_scope(scope, now_ms):
            restricted = True
            yield finding._replace(check="ARK model", text=f"{model}: {finding.text}") if model else finding
    if not restricted:
        yield Finding("ok", "ARK account", "no model is restricted")


def _check_scope(scope, now_ms):
    if account.is_held(scope):
        yield _check_breaker(scope["breaker"], now_ms)
    if account.is_paused(scope, now_ms):
        yield Finding("warn", "ARK account", f"ARK has asked for a pause, {duration(scope['paused_until_ms'] - now_ms)} more; its tasks wait",
                      "is ARK_IMAGES_PER_MINUTE more than the account may?")
    learned = [text.format(scope[field]) for field, text in (("limit", "{:.0f} calls at a time"), ("rate", "{:.0f} images per minute"))
               if "model" in scope and scope[field] is not None]
    if learned:
        yield Finding("warn", "ARK account", f"ARK has refused calls for load; the limiter keeps to {', '.join(learned)}",
                      "it is forgotten five minutes after the last refusal; more often: ask Volcengine for a higher limit")


def _check_breaker(breaker, now_ms):
    what, advice = account.CLOSED.get(breaker["code"], account.OTHER)
    words = [f"the circuit breaker is {breaker['state'].replace('_', ' ')}, tasks wait: {what} ({breaker['code']})"]
    if breaker["since_ms"]:
        words.append(f"for {duration(now_ms - breaker['since_ms'])}, since {to_timestamp(breaker['since_ms'])}")
    if breaker["why"]:
        words.append(f"last error: {breaker['why']}")
    if breaker["probe_at_ms"]:
        left_ms = breaker["probe_at_ms"] - now_ms
        words.append(f"next probe in {duration(left_ms)}" if left_ms > 0 else "a probe is due")
    return Finding("bad", "ARK account", "; ".join(words), advice)


def check_queue(patient):
    queue = patient.queue()
    if not queue:
        yield Finding("skip", "queue", "cannot be seen from here", "--admin-key, or --redis URL")
        return
    if queue["paused"]:
        yield Finding("warn", "queue", "it is paused: no task is taken or given", "arkctl queue resume")
    else:
        yield Finding("ok", "queue", f"{queue['depth']} waiting, {queue['delayed']} delayed, {queue['running']} running")
    if (queue["oldest_age_ms"] or 0) > OLDEST_WARN_MS:
        yield Finding("warn", "oldest task", f"{duration(queue['oldest_age_ms'])} old",
                      "arkctl tasks --state live; more workers, or a higher limit at ARK?")
    if not queue["dead"]:
        yield Finding("ok", "dead tasks", "none")
        return
    yield Finding("warn", "dead tasks", f"{count(queue['dead'], 'task')} failed and can be retried",
                  "arkctl dead list; arkctl dead retry TASK")
    source = patient.source()
    rows = itertools.islice(source.rows("dead"), DEAD_LOOK) if source else ()
    unknown = sum(row.get("code") == "outcome_unknown" for row in rows)
    if unknown:
        yield Finding("warn", "unknown outcomes", f"{count(unknown, 'task')} of them may have been charged without a picture",
                      "arkctl task show TASK tells when ARK was called: compare with its bill before you retry")


CHECKS = (check_gateway, check_keys, check_client_limits, check_clock, check_redis, check_processes, check_account, check_queue)
