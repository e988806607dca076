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
HEAD = 2                # elements of `events:<id>` before the log: the request and the plan
# The sorted set of each list, the range of its scores, whether it is read from the end, and the only state of it that counts.
# The index has the ended tasks first: their score is minus the time at which they ended.
ALL, LIVE, ENDED = ("-inf", "+inf"), ("0", "+inf"), ("-inf", "(0")
LISTS = {
    "queued": ("pending", ALL, False, None), "delayed": ("delayed", ALL, False, None), "running": ("leased", ALL, False, None),
    "live": ("index", LIVE, False, None), "ended": ("index", ENDED, False, None), "done": ("index", ENDED, False, "done"),
    "cancelled": ("index", ENDED, False, "cancelled"), "failed": ("dead", ALL, True, "failed"), "dead": ("dead", ALL, True, "failed"),
}
ROW_FIELDS = ("state", "epoch", "attempt", "paid_calls", "worker", "code", "claimed_at", "ended_at", "model")
CHUNK = 200
NUMBERS = {"pid", "threads", "streams", "connections", "slots", "busy", "images", "copies_waiting"}


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
        oldest = self.redis("ZRANGEBYSCORE", PREFIX + "index", *LIVE, "WITHSCORES", "LIMIT", 0, 1)
        return {
            "paused": self.redis("HGET", PREFIX + "queue", "paused") == "1", **size,
            "oldest_age_ms": max(0, now - int(float(oldest[1]))) if oldest else None,
            "rates": {"ended_per_minute": self.redis("ZCOUNT", PREFIX + "index", "-inf", 60000 - now)},
            "counters": {**{name: _number(meta.get(name)) for name in COUNTERS}, **self._derived(meta)},
            "waiting_for": account.waiting_for(self.governor(), now),
            "workers": sum(process.get("role") == "worker" for process in self.processes()),
        }

    def _derived(self, meta):
        """The counters `submitted` and `paid_calls`, which no script stores; PROTOCOL.md has the formulas."""
        count = {name: int(meta.get(name, 0)) for name in ("done", "failed", "cancelled", "lost", "renewed", "calls_beyond_done")}
        live = self.redis("ZCOUNT", PREFIX + "index", *LIVE)
        return {"submitted": count["done"] + count["failed"] + count["cancelled"] + count["lost"] + live - count["renewed"],
                "paid_calls": count["done"] + count["calls_beyond_done"]}

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
        key, scores, down, only = LISTS[state]
        command, ends = ("ZREVRANGEBYSCORE", reversed(scores)) if down else ("ZRANGEBYSCORE", scores)
        ends, start = tuple(ends), 0
        while ids := self.redis(command, PREFIX + key, *ends, "LIMIT", start, CHUNK):
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
        fields = _fields(self._hash(f"{PREFIX}task:{full_id}"))
        kept = _whole(self.redis("LRANGE", f"{PREFIX}events:{full_id}", 0, -1), _number(fields.get("call_n")) or 1)
        log = [_event(n, element) for n, element in enumerate(kept[HEAD:], 1)]
        ended = "ended_at" in fields
        images, failed = ([], []) if ended else _slots(log[_number(fields.get("call_n")) or 1:])
        return {**row, "request": _json(kept[0] if kept else None), "generated_images": images, "failed_images": failed,
                "result": log[-1].get("data") if ended and log else None, "log": log, "fields": fields}

    def _row(self, full_id):
        values = self.redis("HMGET", f"{PREFIX}task:{full_id}", *ROW_FIELDS)
        state, epoch, attempt, paid_calls, worker, code, claimed_at, ended_at, model = (value or "" for value in values)
        if not state:
            return None
        client, _, task_id = full_id.partition(".")
        row = {"id": full_id, "client": client, "task_id": task_id, "status": state, "epoch": int(epoch),
               "attempts": _number(attempt), "paid_calls": _number(paid_calls), "worker": worker, "model": model, "code": code,
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


def _whole(kept, call_n):
    """The list with its `done` event as it was published: Redis has `@` for `urls` and `generated_images` that it has already."""
    if kept and " done " in kept[-1][:32] and ':@,"' in kept[-1]:
        images, _ = _slots([_event(0, element) for element in kept[HEAD + call_n:-1]])
        for name, value in ("urls", (_json(kept[0]) or {}).get("urls", [])), ("generated_images", list(images)):
            kept = [*kept[:-1], kept[-1].replace(f'"{name}":@', f'"{name}":' + json.dumps(value, ensure_ascii=False), 1)]
    return kept


def _event(n, element):
    """Parses an element "<n> <type> {...}" of the log."""
    return {"n": n, **(_json(element.split(" ", 2)[-1]) or {})}


def _fields(hash):
    """The fields that have a value, as the HTTP API names them."""
    fields = {name: value for name, value in hash.items() if value and name != "earlier"}
    paid, _, unknown = hash.get("earlier", "0 0").partition(" ")
    return fields | {name: count for name, count in (("earlier_paid_calls", paid), ("earlier_unknown_calls", unknown)) if count != "0"}


def _slots(events):
    """A running task's slots so far, by number, from the events of its last call."""
    images, failed, second = {}, {}, []
    for slot in (event.get("data") or {} for event in events):
        index = slot.get("index")
        if slot.get("stage") == "image" and "image" in slot:
            if index in images or index in failed:
                second.append(slot["image"])
            else:
                images[index] = {"index": index, **slot["image"]}
        elif slot.get("stage") == "image_failed" and index not in images:
            failed.setdefault(index, {"index": index, "code": slot.get("code"), "message": slot.get("error")})
    for image in second:        # of a slot that has an event already: it takes the first free one
        index = next(n for n in range(len(images) + len(failed) + 1) if n not in images and n not in failed)
        images[index] = {"index": index, **image}
    return ([slots[index] for index in sorted(slots, key=lambda index: index or 0)] for slots in (images, failed))


def _process_field(name, text):
    if name in ("draining", "keeps_pictures"):
        return text == "1"
    if name == "ark_ms":
        return [_number(part) for part in text.split(",")] if text else []
    if name == "started_at":
        return to_timestamp(_number(text))
    return _number(text) if name in NUMBERS else text
