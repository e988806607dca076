"""doctor: checks everything that is reachable with the given keys, and gives advice."""

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
NOT_VISIBLE, NEEDS_SOURCE = "not visible with the given options", "--admin-key, or --redis URL"
OLDEST_WARN_MS = 15 * 60_000
DEAD_LOOK = 1000
MEMORY_WARN, MEMORY_BAD = 0.7, 0.9
HOURS_BAD = 4


class Finding(typing.NamedTuple):
    status: str         # ok, warn, bad; skip: not visible with the given keys
    check: str
    text: str
    advice: str = ""


class Facts:
    """Collects the data for all checks. An attribute is None if its request failed; the Failure is then in `failures`."""

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
            info["appendfsync"] = None          # the Redis user may not run CONFIG GET
        return info

    def source(self):
        """A source that can list tasks; None if there is none."""
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
        """Redis's time."""
        if self.overview:
            return self.overview["now_ms"]
        return time.time() * 1000 + (self.info["off_ms"] if self.info else 0)

    def processes(self):
        if self.overview:
            return self.overview["processes"]
        return self._try("processes", self.store.processes) if self.store else None


def doctor(context, _):
    facts = Facts(context)
    findings = [finding for check in CHECKS for finding in check(facts)]
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


def check_gateway(facts):
    if not facts.live:
        yield Finding("bad", "gateway", str(facts.failures["live"]), "start it, or set --url")
        return
    yield Finding("ok", "gateway", f"{facts.gateway.url} answers after {facts.live_ms:.0f} ms")
    if facts.ready:
        yield Finding("ok", "readiness", "it accepts tasks")
        return
    failure = facts.failures["ready"]
    advice = {"draining": "it is shutting down; use another gateway",
              "store_unavailable": "check that Redis is running, REDIS_URL is right and maxmemory-policy is noeviction; see the gateway's log"}
    yield Finding("bad", "readiness", str(failure), advice.get((failure.problem or {}).get("code"), "see the gateway's log"))


def check_keys(facts):
    if not facts.live:
        return
    gateway = facts.gateway
    failure = facts.failures.get("key")
    if failure and failure.code == NOT_ALLOWED:
        yield Finding("bad", "key", "the key is not valid" if gateway.key else "this gateway requires a key, and none is given",
                      "set --key or ARKRELAY_KEY; arkrelay-gateway --list-keys lists the valid keys")
    elif failure:
        yield Finding("skip", "key", str(failure))
    elif gateway.key:
        yield Finding("ok", "key", "accepted")
    elif _is_local(gateway.url):
        yield Finding("ok", "key", "not required")
    else:
        yield Finding("warn", "key", "not required: anyone who can reach this gateway can spend the ARK account's money",
                      "create keys: docs/keys.md")
    if not gateway.admin_key:
        yield Finding("skip", "admin key", "not given; many checks are skipped",
                      "set --admin-key, ARKRELAY_ADMIN_KEY, or GATEWAY_ADMIN_KEY in ./.env")
    elif facts.overview:
        yield Finding("ok", "admin key", "accepted")
    else:
        yield Finding("bad", "admin key", str(facts.failures["overview"]), "it must be the GATEWAY_ADMIN_KEY of the gateway")


def _is_local(url):
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0].strip("[]") or url.partition("://")[2].partition("/")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_client_limits(facts):
    for item in (facts.headers.get("RateLimit") or "").split(",") if facts.headers else ():
        name, *parameters = (part.strip() for part in item.split(";"))
        left = next((part[2:] for part in parameters if part.startswith("r=")), "")
        if left.isdigit():
            yield Finding("ok" if int(left) else "warn", f"limit {name.strip(chr(34))}", f"{left} left",
                          "" if int(left) else "requests of this client are refused until the limit resets; see docs/keys.md")


# -- Redis


def check_clock(facts):
    off = facts.info["off_ms"] if facts.info else facts.overview["now_ms"] - facts.asked_at_ms if facts.overview else None
    if off is None:
        return
    status = "bad" if abs(off) > CLOCK_BAD_MS else "warn" if abs(off) > CLOCK_WARN_MS else "ok"
    yield Finding(status, "clock", f"Redis and this machine differ by {duration(abs(off))}",
                  "" if status == "ok" else "synchronize both clocks with NTP: key expiry and logs use each machine's own clock")


def check_redis(facts):
    if facts.has_redis_url and not facts.info:
        failure = facts.failures.get("redis") or facts.failures["info"]
        yield Finding("bad", "redis", str(failure), "check that Redis is running and the address is right")
        return
    redis = _redis_values(facts)
    if not redis:
        yield Finding("skip", "redis", NOT_VISIBLE, NEEDS_SOURCE)
        return
    slow = redis["round_trip_ms"] > SLOW_MS
    yield Finding("warn" if slow else "ok", "redis", f"version {redis['version']}, round trip {redis['round_trip_ms']:.1f} ms",
                  "gateways and workers should be close to Redis: check the network and SLOWLOG" if slow else "")
    if redis["role"] == "slave":
        yield Finding("bad", "redis role", "it is a replica", "REDIS_URL and --redis must be the master; with Sentinel, set REDIS_URL to redis+sentinel://...")
    yield from _check_policy(redis)
    yield from _check_persistence(redis)
    yield from _check_memory(redis, facts.overview["queue"].get("memory_full_ms") if facts.overview else None)


def _redis_values(facts):
    """The values of Redis under the names of the overview, from INFO or from the overview."""
    info = facts.info
    if not info:
        return facts.overview and {**facts.overview["redis"], "policy": None, "fsync": None, "total_memory": None}
    return {"round_trip_ms": info["round_trip_ms"], "version": info.get("redis_version"), "role": info.get("role"),
            "used_memory": int(info.get("used_memory", 0)), "maxmemory": int(info.get("maxmemory", 0)),
            "evicted_keys": int(info.get("evicted_keys", 0)), "aof_enabled": info.get("aof_enabled") == "1",
            "aof_last_write_status": info.get("aof_last_write_status"), "snapshot_last_save_status": info.get("rdb_last_bgsave_status"),
            "aof_rewrite_status": info.get("aof_last_bgrewrite_status"), "policy": info.get("maxmemory_policy"),
            "fsync": info["appendfsync"], "total_memory": int(info.get("total_system_memory", 0))}


def _check_policy(redis):
    if redis["evicted_keys"]:
        yield Finding("bad", "eviction", f"Redis has evicted {count(int(redis['evicted_keys']), 'key')}: tasks may be lost",
                      "CONFIG SET maxmemory-policy noeviction, and increase maxmemory")
    if redis["policy"] == "noeviction":
        yield Finding("ok", "maxmemory-policy", "noeviction")
    elif redis["policy"]:
        yield Finding("bad", "maxmemory-policy", f"{redis['policy']}: Redis would evict tasks when memory is full; gateways and workers refuse this setting",
                      "CONFIG SET maxmemory-policy noeviction, and the same in its configuration")
    else:
        yield Finding("skip", "maxmemory-policy", "the gateway does not report it, but is ready only with noeviction", "--redis URL")


def _check_persistence(redis):
    if not redis["aof_enabled"]:
        yield Finding("warn", "appendonly", "no: a restart of Redis loses tasks and the record of paid calls",
                      "CONFIG SET appendonly yes, and the same in its configuration")
    else:
        yield Finding("ok", "appendonly", "yes")
        if redis["fsync"] is None:
            yield Finding("skip", "appendfsync", NOT_VISIBLE, "--redis URL, with a user that may run CONFIG GET")
        else:
            always = redis["fsync"] == "always"
            yield Finding("ok" if always else "warn", "appendfsync", redis["fsync"],
                          "" if always else "a crash of the machine may lose the record of the last paid calls: CONFIG SET appendfsync always")
    for name, key in (("last AOF write", "aof_last_write_status"), ("last AOF rewrite", "aof_rewrite_status"),
                      ("last snapshot", "snapshot_last_save_status")):
        if redis.get(key) not in (None, "ok"):
            yield Finding("bad", name, redis[key], "Redis cannot write to its disk; check the free space and Redis's log")


def _check_memory(redis, full_ms):
    """full_ms: from a gateway's answer; None: memory will not be full, or it is not known."""
    if full_ms is not None:
        hours = full_ms / 3_600_000
        yield Finding("bad" if hours < HOURS_BAD else "warn", "memory ends", f"in {hours:.1f} hours at the present rate of tasks",
                      "raise maxmemory, or keep results for a shorter time (GATEWAY_RETENTION)")
    used, most = redis["used_memory"], redis["maxmemory"]
    if not most:
        most = (redis["total_memory"] or 0) / 2
        if most and used > most:
            yield Finding("warn", "memory", f"{size(used)} used, more than half of the machine's memory; maxmemory is not set",
                          "set maxmemory, or add memory")
        else:
            yield Finding("ok", "memory", f"{size(used)} used, maxmemory is not set")
        return
    part = used / most
    status = "bad" if part > MEMORY_BAD else "warn" if part > MEMORY_WARN else "ok"
    yield Finding(status, "memory", f"{size(used)} of {size(most)} used ({part:.0%})",
                  "" if status == "ok" else "when it is full, new tasks are refused: increase maxmemory, or keep results for a shorter time")


# -- processes, account and queue


def check_processes(facts):
    processes = facts.processes()
    if processes is None:
        yield Finding("skip", "workers", NOT_VISIBLE, NEEDS_SOURCE)
        return
    workers = [process for process in processes if process.get("role") == "worker" and process.get("slots") != 0]   # 0: of the role outbox alone
    staying = [worker for worker in workers if not worker.get("draining")]
    slots, busy = (sum(worker.get(name, 0) for worker in staying) for name in ("slots", "busy"))
    if not staying:
        yield Finding("bad", "workers", "all are draining" if workers else "none is running", "start arkrelay-worker: tasks wait until a worker runs")
    else:
        yield Finding("ok", "workers", f"{count(len(staying), 'worker')}, {busy} of {count(slots, 'slot')} busy")
    versions = sorted({process["version"] for process in processes if process.get("version")})
    if len(versions) > 1:
        yield Finding("warn", "versions", ", ".join(versions), "complete the update: restart the processes of the older version")
    elif versions:
        yield Finding("ok", "versions", f"{versions[0]} on all processes")
    yield from _check_catalogues(processes)


def _check_catalogues(processes):
    names = {}                                  # version of the catalogue -> the processes that have it
    for process in processes:
        if process.get("catalogue"):
            names.setdefault(process["catalogue"], []).append(process["name"])
    if len(names) > 1:
        yield Finding("warn", "model catalogues", "; ".join(f"{version}: {', '.join(sorted(having))}" for version, having in sorted(names.items())),
                      "give all processes the same MODELS_FILE, and reload them with SIGHUP")
    elif names:
        yield Finding("ok", "model catalogues", f"{next(iter(names))} on all processes")


def check_account(facts):
    governor, now_ms = facts.governor(), facts.now_ms()
    if not governor:
        yield Finding("skip", "ARK account", NOT_VISIBLE, NEEDS_SOURCE)
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
        yield Finding("warn", "ARK account", f"ARK rate limited the calls: paused for {duration(scope['paused_until_ms'] - now_ms)} more; tasks wait",
                      "check that ARK_IMAGES_PER_MINUTE is not above the account's limit")
    learned = [text.format(scope[field]) for field, text in (("limit", "{:.0f} calls at a time"), ("rate", "{:.0f} images per minute"))
               if "model" in scope and scope[field] is not None]
    if learned:
        yield Finding("warn", "ARK account", f"ARK rate limited the calls; the limiter now allows {', '.join(learned)}",
                      "this limit ends five minutes after the last 429; if it returns often, ask Volcengine for a higher limit")


def _check_breaker(breaker, now_ms):
    what, advice = account.CODES.get(breaker["code"], account.OTHER)
    words = [f"the circuit breaker is {breaker['state'].replace('_', ' ')}, tasks wait: {what} ({breaker['code']})"]
    if breaker["since_ms"]:
        words.append(f"for {duration(now_ms - breaker['since_ms'])}, since {to_timestamp(breaker['since_ms'])}")
    if breaker["why"]:
        words.append(f"last error: {breaker['why']}")
    if breaker["probe_at_ms"]:
        left_ms = breaker["probe_at_ms"] - now_ms
        words.append(f"next probe in {duration(left_ms)}" if left_ms > 0 else "a probe is due")
    return Finding("bad", "ARK account", "; ".join(words), advice)


def check_queue(facts):
    queue = facts.queue()
    if not queue:
        yield Finding("skip", "queue", NOT_VISIBLE, NEEDS_SOURCE)
        return
    if queue["paused"]:
        yield Finding("warn", "queue", "it is paused: new tasks are refused, waiting tasks do not start", "arkctl queue resume")
    else:
        yield Finding("ok", "queue", f"{queue['depth']} waiting, {queue['delayed']} delayed, {queue['running']} running")
    if (queue["oldest_age_ms"] or 0) > OLDEST_WARN_MS:
        yield Finding("warn", "oldest task", f"{duration(queue['oldest_age_ms'])} old",
                      "see arkctl tasks --state live; add workers, or ask for a higher limit at ARK")
    if not queue["dead"]:
        yield Finding("ok", "dead tasks", "none")
        return
    yield Finding("warn", "dead tasks", f"{count(queue['dead'], 'task')} failed and can be retried",
                  "arkctl dead list; arkctl dead retry TASK")
    source = facts.source()
    rows = itertools.islice(source.rows("dead"), DEAD_LOOK) if source else ()
    unknown = sum(row.get("code") == "outcome_unknown" for row in rows)
    if unknown:
        yield Finding("warn", "unknown outcomes", f"{count(unknown, 'task')} of them may have been charged without an image",
                      "arkctl task show TASK shows when ARK was called: compare with ARK's bill before a retry")


# -- stored pictures

STORAGE_ADVICE = {
    "full": "free space on the disk of STORAGE: copies need 5 % of it free; for s3://, look at the bucket's quota",
    "denied": "let the user of the workers write to STORAGE; for s3://, look at STORAGE_ACCESS_KEY, STORAGE_SECRET_KEY and what they may do",
    "failed": "see the worker's log: the disk, the network or the server of STORAGE does not work",
    "busy": "the server of STORAGE is overloaded, or there is too much disk work; copies are tried again",
    "other_storage": "set the same STORAGE for all programs; if it was changed on purpose: redis-cli DEL arkrelay:{storage}:identity",
}
COPY_ADVICE = {
    "host_failed": "ARK's host of pictures cannot be reached, or is slow: look at the worker's network; copies are tried again until the links expire after 24 hours",
    "not_public": "the links lead to private addresses: set ARK_IMAGE_URL_MAP",
}


def check_storage(facts):
    """Nothing is said where pictures are not kept."""
    processes = facts.processes() or []
    users = [process for process in processes if process.get("storage")]
    if not users and not any(process.get("keeps_pictures") for process in processes):
        return
    storages = sorted({process["storage"] for process in users})
    if len(storages) > 1:
        yield Finding("bad", "storage", f"the programs use {len(storages)} different storages: {', '.join(storages)}", "set the same STORAGE, a shared directory, for all of them")
    roles = {role: [process for process in users if process["role"] == role] for role in ("gateway", "worker")}
    if not roles["worker"]:
        yield Finding("bad", "storage", "no worker copies pictures: ARK's links end after 24 hours", "start a worker with STORAGE and the role outbox")
    if not roles["gateway"]:
        yield Finding("bad", "storage", "no gateway serves stored pictures", "set STORAGE for the gateways")
    failing = [process for process in roles["worker"] if process.get("storage_trouble")]
    for process in failing:
        yield Finding("bad", "storage", f"{process['name']} cannot store pictures: {process['storage_trouble']}",
                      STORAGE_ADVICE.get(process["storage_trouble"], "see the worker's log"))
    waiting = max((int(process.get("copies_waiting", 0)) for process in roles["worker"]), default=0)
    for process in roles["worker"]:
        if process.get("copy_trouble") and waiting:
            yield Finding("warn", "storage", f"{process['name']} could not copy its last picture: {process['copy_trouble']}; {count(waiting, 'picture')} waiting",
                          COPY_ADVICE.get(process["copy_trouble"], "see the worker's log"))
    given_up = sum(int(process.get("copies_given_up", 0)) for process in roles["worker"])
    if given_up:
        yield Finding("warn", "storage", f"{count(given_up, 'picture')} could not be copied and {'was' if given_up == 1 else 'were'} given up since the workers started: 404",
                      "the workers' logs say why: \"picture given up\"")
    if len(storages) == 1 and all(roles.values()) and not failing:
        yield Finding("ok", "storage", f"{storages[0]}; {count(waiting, 'picture')} waiting to be copied")


def check_webhooks(facts):
    """Nothing is said where no program has WEBHOOK_SECRET."""
    processes = [process for process in facts.processes() or [] if process.get("webhook_key")]
    keys = {process["webhook_key"] for process in processes}
    roles = {process["role"] for process in processes}
    if len(keys) > 1:
        yield Finding("bad", "webhooks", "the programs have different values of WEBHOOK_SECRET: receivers refuse the signatures", "set the same one for all gateways and workers")
    if roles == {"gateway"}:
        yield Finding("bad", "webhooks", "gateways accept webhooks, and no worker delivers them", "start a worker with WEBHOOK_SECRET and the role outbox")
    elif roles == {"worker"}:
        yield Finding("warn", "webhooks", "workers deliver webhooks, and no gateway accepts any", "set WEBHOOK_SECRET for the gateways")
    elif roles and len(keys) == 1:
        yield Finding("ok", "webhooks", "workers deliver what gateways accept")


CHECKS = (check_gateway, check_keys, check_client_limits, check_clock, check_redis, check_processes, check_storage, check_webhooks, check_account, check_queue)
