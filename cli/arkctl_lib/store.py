"""Reads the queue from Redis without a gateway, in the form of the HTTP API. Writes nothing.

common/task/PROTOCOL.md describes the keys.
"""

import json

from arkctl_lib import account
from arkctl_lib.units import to_timestamp

PREFIX = "arkrelay:{0}:"
PROCESSES = "arkrelay:{processes}:"
GOVERNOR = "arkrelay:{account}:governor"
COUNTERS = ("submitted", "same", "conflict", "full", "client_full", "images_full", "done", "failed", "cancelled", "erased",
            "retried", "renewed", "reaped", "ghost", "orphan", "paid_calls")
# For each list: its sorted set, whether the latest tasks come first, and the state to filter by.
LISTS = {
    "queued": ("pending", False, None), "delayed": ("delayed", False, None), "running": ("leased", False, None),
    "live": ("index", False, None), "ended": ("ended", True, None), "done": ("ended", True, "done"),
    "cancelled": ("ended", True, "cancelled"), "failed": ("dead", True, None), "dead": ("dead", True, None),
}
ROW_FIELDS = ("state", "epoch", "attempt", "paid_calls", "worker", "code", "claimed_at", "ended_at")
CHUNK = 200
NUMBERS = {"pid", "threads", "streams", "connections", "slots", "busy", "images"}


class Store:
    def __init__(self, redis):
        self.redis = redis

    def now_ms(self):
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def queue(self):
        now = self.now_ms()
        meta = self._hash(PREFIX + "meta")
        size = {name: self.redis("ZCARD", PREFIX + key)
                for name, key in (("depth", "pending"), ("delayed", "delayed"), ("running", "leased"), ("dead", "dead"))}
        oldest = self.redis("ZRANGE", PREFIX + "index", 0, 0, "WITHSCORES")
        return {
            "paused": meta.get("paused") == "1", **size,
            "oldest_age_ms": max(0, now - int(float(oldest[1]))) if oldest else None,
            "rates": {"ended_per_minute": self.redis("ZCOUNT", PREFIX + "ended", now - 60000, "+inf")},
            "counters": {name: _number(meta.get(name)) for name in COUNTERS},
            "waiting_for": account.waiting_for(self.governor(), now),
            "workers": sum(process.get("role") == "worker" for process in self.processes()),
        }

    def governor(self):
        return account.read(self._hash(GOVERNOR))

    def processes(self):
        """All gateways and workers that are running."""
        found = []
        for name in self.redis("ZRANGEBYSCORE", PROCESSES + "seen", self.now_ms(), "+inf"):
            fields = self._hash(PROCESSES + "process:" + name)
            if fields:
                found.append({"name": name, **{key: _process_field(key, value) for key, value in fields.items()}})
        return found

    # -- tasks

    def rows(self, state, search=""):
        key, down, only = LISTS[state]
        start = 0
        while ids := self.redis("ZREVRANGE" if down else "ZRANGE", PREFIX + key, start, start + CHUNK - 1):
            start += len(ids)
            for full_id in ids:
                row = self._row(full_id) if search in full_id else None
                if row and only in (None, row["status"]):
                    yield row

    def details(self, full_id):
        """All stored data of a task; None if there is no such task."""
        row = self._row(full_id)
        if not row:
            return None
        fields = self._hash(f"{PREFIX}task:{full_id}")
        log = [_event(n, element) for n, element in enumerate(self.redis("LRANGE", f"{PREFIX}events:{full_id}", 0, -1), 1)]
        result = self.redis("GET", f"{PREFIX}result:{full_id}") or ""
        images, failed = ([], []) if "ended_at" in fields else _slots(result)
        return {**row, "request": _json(self.redis("GET", f"{PREFIX}request:{full_id}")), "generated_images": images,
                "failed_images": failed, "result": _json(result) if "ended_at" in fields else None, "log": log, "fields": fields}

    def _row(self, full_id):
        values = self.redis("HMGET", f"{PREFIX}task:{full_id}", *ROW_FIELDS)
        state, epoch, attempt, paid_calls, worker, code, claimed_at, ended_at = (value or "" for value in values)
        if not state:
            return None
        client, _, task_id = full_id.partition(".")
        row = {"id": full_id, "client": client, "task_id": task_id, "status": state, "epoch": int(epoch),
               "attempts": _number(attempt), "paid_calls": _number(paid_calls), "worker": worker, "code": code,
               "created_at": to_timestamp(int(epoch)), "started_at": claimed_at and to_timestamp(int(claimed_at)),
               "ended_at": ended_at and to_timestamp(int(ended_at)), **self._place(full_id, state)}
        return {name: value for name, value in row.items() if value != ""}

    def _place(self, full_id, state):
        if state == "queued":
            rank = self.redis("ZRANK", PREFIX + "pending", full_id)
            return {"position": 0 if rank is None else rank + 1}
        places = {"delayed": ("due_at", "delayed"), "running": ("lease_until", "leased")}
        if state not in places:
            return {}
        name, key = places[state]
        return {name: to_timestamp(int(float(self.redis("ZSCORE", PREFIX + key, full_id) or 0)))}

    def _hash(self, key):
        flat = self.redis("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))


def _number(text):
    return int(text) if text and text.isdigit() else 0


def _json(text):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _event(n, element):
    """Parses an element "<n> <type> {...}" of the log."""
    return {"n": n, **(_json(element.split(" ", 2)[-1]) or {})}


def _slots(lines):
    """Parses a running task's slots, one line "image {"index":0,...}" or "failed {...}" each. Returns (images, failures)."""
    kept = {"image": [], "failed": []}
    for line in lines.splitlines():
        kind, _, text = line.partition(" ")
        kept.get(kind, []).append(_json(text) or {})
    for slots in kept.values():
        slots.sort(key=lambda slot: slot.get("index", 0))
    return kept["image"], kept["failed"]


def _process_field(name, text):
    if name == "draining":
        return text == "1"
    if name == "ark_ms":
        return [_number(part) for part in text.split(",")] if text else []
    if name == "started_at":
        return to_timestamp(_number(text))
    return _number(text) if name in NUMBERS else text
