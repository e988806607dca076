"""Reads all data in Redis, as described in common/task/PROTOCOL.md, and checks its invariants.

    before = look(redis)                        # reads everything atomically
    task = before.tasks["public.t1"]
    task.state, task.fields["attempt"], task.log[-1].type, task.place
    before.check()                              # every invariant of every task
    assert look(redis).everything == before.everything
"""

import collections
import dataclasses
import functools
import json
import re

from support.scripts import PREFIX

PLACES = {"queued": "pending", "delayed": "delayed", "running": "leased"}
FINAL = {"done": "done", "failed": "error", "cancelled": "error"}
WAKE_MAX = 256
MINE_MAX = 10_000
KINDS = ("task", "events")
HEAD = 2                    # elements before the log: the request and the plan

_DUMP = """
local read = { hash = 'HGETALL', string = 'GET' }
local all = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'list' then
    value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'zset' then
    value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else
    value = redis.call(read[kind], key)
  end
  table.insert(all, { key, kind, value, redis.call('PTTL', key) })
end
return all
"""


@dataclasses.dataclass
class Element:
    """One event of a task's log. Read-only, because it is cached."""
    raw: bytes
    n: int
    type: str
    data: dict

    def story(self):
        stage = self.data.get("stage")
        return f"{self.type} {stage}" if stage else self.type


@dataclasses.dataclass
class Task:
    id: str
    fields: dict            # the fields of the hash, all strings
    request: bytes | None
    result: bytes | None
    log: list
    ttl: dict               # kind of key -> ms, -1: no expiry; missing keys are absent
    places: dict            # name of each sorted set that contains the task -> score

    @property
    def state(self):
        return self.fields["state"]

    @property
    def is_final(self):
        return self.state in FINAL

    @property
    def place(self):
        """pending, delayed or leased; None if it is in none of them."""
        places = [place for place in PLACES.values() if place in self.places]
        assert len(places) <= 1, f"{self.id} is in {places}"
        return places[0] if places else None

    @property
    def images(self):
        """The images that it got or may still get."""
        if self.state == "done":
            return len(self.log[-1].data["generated_images"])
        return 0 if self.is_final else self.number("reserved")

    @property
    def kept_images(self):
        """The number of images of a task that is not final."""
        began = self.number("call_n") or 1
        return sum(element.data.get("stage") == "image" for element in self.log[began:])

    def number(self, field):
        return int(self.fields.get(field, 0))

    def story(self):
        return [element.story() for element in self.log]


class Look:
    def __init__(self, rows, prefix):
        self._prefix = prefix.encode()
        self._keys = {key.removeprefix(self._prefix).decode(): (value, ttl) for key, _, value, ttl in rows}
        # For comparison with ==: TTLs count only as present or absent, because they change; times of requests are left out.
        self.everything = {key: (value, ttl >= 0) for key, (value, ttl) in self._keys.items() if key != "reaper"}
        self.sets = {name: self._scores(name) for name in ("pending", "delayed", "leased", "dead", "index")}
        self.sets["ended"] = {id: -score for id, score in self.sets["index"].items() if score < 0}
        self.sets["index"] = {id: score for id, score in self.sets["index"].items() if score >= 0}
        self.images = {(key.partition(":")[2], client): int(count) for key, (pairs, _) in self._keys.items()
                       if key.startswith("images:") for client, count in _pairs(pairs).items()}
        self.mine = {key.partition(":")[2]: self._scores(key) for key in self._keys if key.startswith("mine:")}
        self.meta = _pairs(self._value("meta") or [])
        self.queue = _pairs(self._value("queue") or [])
        self.live = {client: int(count) for client, count in self._fields("live").items() if int(count)}
        self.clients = self._fields("vtime")
        self.wake = len(self._value("wake") or [])
        self.tasks = {key.partition(":")[2]: self._task(key.partition(":")[2]) for key in self._keys if key.startswith("task:")}

    def _value(self, key):
        return self._keys.get(key, (None, None))[0]

    def _fields(self, kind):
        """Of the hash `queue`: client -> value."""
        return {name.partition(":")[2]: value for name, value in self.queue.items() if name.startswith(kind + ":")}

    def counter(self, name):
        """As QUEUE counts."""
        count = {field: int(value) for field, value in self.meta.items() if value.lstrip("-").isdecimal()}
        count = collections.defaultdict(int, count)
        if name == "paid_calls":
            return count["done"] + count["calls_beyond_done"]
        if name == "submitted":
            return count["done"] + count["failed"] + count["cancelled"] + count["lost"] + len(self.sets["index"]) - count["renewed"]
        return count[name]

    def _scores(self, name):
        return {member: float(score) for member, score in _pairs(self._value(name) or []).items()}

    def _task(self, id):
        fields = {name: value for name, value in _pairs(self._value(f"task:{id}")).items() if value}      # "": reset
        paid, _, unknown = fields.get("earlier", "0 0").partition(" ")
        fields.pop("earlier", None)
        fields |= {f"earlier_{name}": count for name, count in (("paid_calls", paid), ("unknown_calls", unknown)) if int(count)}
        images, _, day = fields.get("reserved", "").partition(" ")
        fields |= {"reserved": images, "day": day} if day else {}
        kept = _whole(self._value(f"events:{id}") or [], int(fields.get("call_n", 1)))
        log = [_element(raw) for raw in kept[HEAD:]]
        result = log[-1].raw.split(b'"data":', 1)[1][:-1] if "ended_at" in fields else None
        return Task(
            id, fields, kept[0] if kept else None, result, log,
            {kind: self._keys[f"{kind}:{id}"][1] for kind in KINDS if f"{kind}:{id}" in self._keys},
            {name: scores[id] for name, scores in self.sets.items() if id in scores})

    def check(self):
        """Raises AssertionError if an invariant is violated."""
        assert self.wake <= WAKE_MAX, f"{self.wake} wake tokens"
        for name, scores in self.sets.items():
            strangers = set(scores) - set(self.tasks) if name not in ("dead", "ended") else set()
            assert not strangers, f"in {name}, but no tasks: {strangers}"
        live = collections.Counter(id.partition(".")[0] for id in self.sets["index"])
        assert self.live == live, f"live says {self.live}, index {live}"
        assert set(self.clients) <= set(self._fields("live")), f"virtual times of {set(self.clients)}, counts of {set(self._fields('live'))}"
        waiting = sum(task.state in ("queued", "delayed") for task in self.tasks.values())
        assert int(self.queue.get("waiting", 0)) == waiting, f"waiting says {self.queue.get('waiting')}, and {waiting} tasks wait"
        for name in self._keys:
            kind, _, id = name.partition(":")
            assert kind not in KINDS or id in self.tasks, f"{name} is left of a task that is no more"
        for id, task in self.tasks.items():
            client, _, task_id = id.partition(".")
            mine = self.mine.get(client, {})
            assert "l" not in task.fields.get("owes", "") or len(mine) >= MINE_MAX or task_id in mine, f"{id} is not in the list of its client"
        for (day, client), count in self.images.items():
            assert count >= self.images_of(day, client) and count > 0, f"{count} images of {client}, and its tasks have more"
        for task in self.tasks.values():
            try:
                _check_task(task)
            except AssertionError as error:
                raise AssertionError(f"{task.id}: {error}\n{task}") from None

    def images_of(self, day, client):
        """The images of existing tasks of that day, delivered or reserved. Erased tasks are not included."""
        return sum(task.images for task in self.tasks.values()
                   if task.fields.get("day") == day and task.id.partition(".")[0] == client)


def look(redis, prefix=PREFIX):
    return Look(redis("EVAL", _DUMP, 0, prefix), prefix)


def _pairs(flat):
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2]))


SLOT = re.compile(rb'"stage":"image(?:_failed)?","index":(\d+),(?:"image":\{(.*)\}\}$)?')


def _images(events):
    """The JSON of a call's images by slot. A second image of a slot takes the first free one."""
    slots, second = {}, []
    for index, image in (found.groups() for raw in events if (found := SLOT.search(raw))):
        if int(index) not in slots:
            slots[int(index)] = image
        elif image:
            second.append(image)
    for image in second:
        slots[next(index for index in range(len(slots) + 1) if index not in slots)] = image
    return b",".join(b'{"index":%d,%b' % slot for slot in sorted(slots.items()) if slot[1])


def _whole(kept, call_n):
    """The list with its `done` event as it was published: `@` stands for what the list has already."""
    if kept and re.match(rb'\d+ done .*?:@,"', kept[-1]):
        urls = kept[0].rpartition(b'"urls":')[2][:-1]
        last = kept[-1].replace(b'{"urls":@', b'{"urls":' + urls, 1).replace(b'"generated_images":@', b'"generated_images":[' + _images(kept[HEAD + call_n:-1]) + b"]", 1)
        kept = [*kept[:-1], last]
    return kept


@functools.lru_cache(8192)           # the same events are parsed again in each look
def _element(raw):
    n, type, text = raw.decode().split(" ", 2)
    event = json.loads(text)
    assert list(event) == ["event", "data"] and event["event"] == type, f"not an event: {raw!r}"
    assert "\n" not in text and "\r" not in text, f"not one line: {raw!r}"
    return Element(raw, int(n), type, event["data"])


def _check_task(task):
    assert task.state in PLACES or task.is_final, "an unknown state"
    assert task.place == PLACES.get(task.state), f"{task.state}, but in {task.place}"
    assert ("index" in task.places) == (not task.is_final), "index holds just the tasks that are not final"
    assert ("dead" in task.places) == (task.state == "failed"), "dead holds just the failed ones"
    assert ("ended" in task.places) == task.is_final, "ended holds just those that have"
    assert set(task.ttl) == set(KINDS), f"only has {set(task.ttl)}"
    assert task.number("n") == len(task.log), f"n is {task.number('n')}, and the log has {len(task.log)} events"
    for name, value in task.fields.items():
        if name in ("epoch", "score", "attempt", "max_attempts", "wseq", "paid_calls", "max_paid_calls", "unknown_calls",
                    "earlier_paid_calls", "earlier_unknown_calls",
                    "images", "n", "call_n", "reserved", "day", "claimed_at", "called_at", "ended_at", "ttl", "queue_until"):
            assert value.isdecimal(), f"{name} is {value!r}"
    _check_budget(task)
    _check_log(task)
    (_check_final if task.is_final else _check_live)(task)


def _check_budget(task):
    assert 0 <= task.number("paid_calls") <= task.number("max_paid_calls"), "beyond its paid budget"
    assert task.number("earlier_unknown_calls") <= task.number("earlier_paid_calls"), "more unknown calls than calls, earlier"
    assert task.number("unknown_calls") <= task.number("paid_calls"), "more unknown calls than calls"
    if "call" in task.fields:
        assert task.state == "running" and task.number("paid_calls") > 0, "an open call that is not counted"


def _check_log(task):
    assert [element.n for element in task.log] == list(range(1, len(task.log) + 1)), "numbers with gaps"
    assert task.log and task.log[0].type == "start", "does not begin with start"
    finals = [element.n for element in task.log if element.type in ("done", "error")]
    assert finals == ([len(task.log)] if task.is_final else []), "one final event, the last one, of final tasks only"
    for element in task.log:
        assert element.data["task_id"] == task.id.partition(".")[2], "an event of another task"
        assert ("urls" if element.type == "done" else "message") in element.data, f"half an event: {element.raw!r}"


def _check_live(task):
    assert set(task.ttl.values()) == {-1}, "a live task must not expire"
    assert (task.state == "running") == ("worker" in task.fields), "a worker runs just the running ones"
    assert "ended_at" not in task.fields


def _check_slots(data):
    delivered, failed = ([slot["index"] for slot in data[name]] for name in ("generated_images", "failed_images"))
    assert delivered == sorted(set(delivered)) and failed == sorted(set(failed)), f"slots {delivered} and {failed}: not in order, or twice"
    assert not set(delivered) & set(failed), f"slots {delivered} were delivered, and {failed} failed"


def _check_money(task, data):
    calls = ("paid_calls", "unknown_calls", "earlier_paid_calls", "earlier_unknown_calls")
    assert [data.get(name, 0) for name in calls] == [task.number(name) for name in calls], "the event and the fields count other calls"
    assert all(data[name] > 0 for name in calls[2:] if name in data), "earlier calls are reported although there were none"
    paid, unknown = (task.number(name) + task.number("earlier_" + name) for name in calls[:2])
    proven = bool(data.get("generated_images")) or paid > unknown
    assert data["charged"] == ("yes" if proven else "unknown" if unknown else "no"), f"charged is {data['charged']}"
    assert not data.get("retryable") or data["charged"] == "no", "invites to pay again"


def _check_final(task):
    last = task.log[-1]
    assert last.type == FINAL[task.state], f"{task.state}, but ends with {last.type}"
    assert set(task.ttl) == set(KINDS) and all(ttl >= 0 for ttl in task.ttl.values()), "a final task expires as a whole"
    assert last.raw.endswith(b'"data":' + task.result + b"}"), "result is not the final event's data"
    assert not {"call", "worker", "cancel"} & set(task.fields), "leftovers of the run"
    assert last.data["attempts"] == task.number("attempt")
    _check_money(task, last.data)
    if last.type == "done":
        _check_slots(last.data)
    if last.type == "error":
        assert last.data["code"] == task.fields["code"]
        assert (last.data["code"] == "cancelled") == (task.state == "cancelled")
