"""Describes events and tasks as text."""

import json

from arkctl_lib import account
from arkctl_lib.terminal import clean
from arkctl_lib.units import cost, duration, to_ms

NUMBER_WORDS = {"position": "position {}", "attempt": "attempt {}", "index": "no. {}"}
CHARGED = {"yes": "charged", "no": "not charged", "unknown": "possibly charged"}
URL_MAX = 200


def shorten(url):
    """A URL unchanged; a long data: URL as its beginning and its size."""
    return clean(url) if len(url) <= URL_MAX or not url.startswith("data:") else f"{clean(url[:30])}... ({len(url)} characters)"


def describe(kind, data):
    """The lines that describe an event; the first one is printed next to its name."""
    words = [data["stage"]] if data.get("stage") else []
    words += [text.format(data[name]) for name, text in NUMBER_WORDS.items() if isinstance(data.get(name), int)]
    if "eta_ms" in data:
        words.append(f"starts in about {duration(data['eta_ms'])}")
    if "delay_ms" in data:
        words.append(f"in {duration(data['delay_ms'])}")
    if data.get("code"):
        words.append(data["code"])
    words += [f"blocked: {account.describe(reason)}" for reason in data.get("waiting_for") or ()]
    words += [data[name] for name in ("error",) if data.get(name)]
    if kind in ("done", "error") and "charged" in data:
        words.append(f"{CHARGED.get(data['charged'], data['charged'])} ({describe_calls(data)})")
    images = [data["image"]] if isinstance(data.get("image"), dict) else data.get("generated_images") or []
    lines = [clean(", ".join(map(str, words)))]
    lines += [f"image {clean(image.get('size', ''))}  {shorten(image.get('url', ''))}" for image in images]
    lines += [f"failed no. {failed.get('index')}  {clean(failed.get('code'))}: {clean(failed.get('message'))}"
              for failed in data.get("failed_images") or []]
    return lines


def describe_calls(data):
    """For example: paid calls: 2, 1 unknown; earlier: 1; cost: 0.06 USD"""
    words = f"paid calls: {data.get('paid_calls', 0)}"
    if data.get("unknown_calls"):
        words += f", {data['unknown_calls']} unknown"
    if data.get("earlier_paid_calls"):
        words += f"; earlier: {data['earlier_paid_calls']}"
    if data.get("earlier_unknown_calls"):
        words += f", {data['earlier_unknown_calls']} unknown"
    return words + (f"; cost: {cost(data['cost'])}" if "cost" in data else "")


def print_event(terminal, event):
    if terminal.as_json:
        terminal.document({"id": event.id or None, "event": event.kind, "data": event.data})
        return
    number = event.id.rpartition("-")[2]
    style = {"done": "good", "error": "bad", "reset": "warn"}.get(event.kind)
    first, *more = describe(event.kind, event.data)
    terminal.line(f"{number:>4}  {terminal.paint(f'{event.kind:<7}', style)}  {first}".rstrip())
    for line in more:
        terminal.line(f"{'':15}{line}")


def print_task(terminal, task, now_ms):
    """Prints a task, given as a document of the client API or of the admin API."""
    terminal.document(task)
    if terminal.as_json:
        return
    terminal.line(f"{terminal.paint(task.get('id') or task['task_id'], 'bold')}  {terminal.paint_status(task['status'])}")
    for name, text in _facts(task, now_ms):
        terminal.line(f"  {name:<12}{clean(text)}")
    final = task.get("result") or task.get("error") or {}
    images, failed = (final.get(name) or task.get(name) or [] for name in ("generated_images", "failed_images"))
    for line in describe("", {"generated_images": images, "failed_images": failed})[1:]:
        terminal.line(f"  {line}")
    for element in task.get("log", ()):
        first, *_ = describe(element["event"], element["data"])
        terminal.line(f"  {element['n']:>3}  {element['event']:<7}  {first}".rstrip())


def _facts(task, now_ms):
    fields, final = task.get("fields", {}), task.get("error") or task.get("result") or {}
    for name, key in (("created", "created_at"), ("started", "started_at"), ("ended", "ended_at"), ("due", "due_at"),
                      ("lease until", "lease_until")):
        if task.get(key):
            yield name, f"{task[key]}  ({ago(task[key], now_ms)})"
    if task.get("position"):
        yield "position", task["position"]
    for reason in task.get("waiting_for") or ():
        yield "blocked", account.describe(reason, now_ms)
    yield "attempts", task["attempts"]
    yield "paid calls", f"{task['paid_calls']} of at most {task.get('max_paid_calls') or fields.get('max_paid_calls', '?')}"
    unknown = task.get("unknown_calls") or fields.get("unknown_calls")
    if unknown and unknown != "0":
        yield "unknown", f"{unknown} of the paid calls may not have been charged"
    earlier = task.get("earlier_paid_calls") or fields.get("earlier_paid_calls")
    if earlier:
        unknown = task.get("earlier_unknown_calls") or fields.get("earlier_unknown_calls") or 0
        yield "earlier", f"{earlier} paid calls before the retry, {unknown} of them unknown"
    call = fields.get("call") or (task.get("call") or {}).get("id")
    for name, text in (("worker", task.get("worker")), ("open call", call), ("ARK's id", final.get("request_id")),
                       ("code", task.get("code") or final.get("code")), ("error", final.get("error"))):
        if text:
            yield name, text
    if final.get("charged"):
        yield "charged", CHARGED.get(final["charged"], final["charged"])
    known = task if "cost" in task else final
    if "cost" in known:
        yield "cost", cost(known["cost"])
    if task.get("request"):
        text = json.dumps(task["request"], ensure_ascii=False)
        yield "request", text if len(text) <= 1000 else text[:1000] + "..."


def ago(timestamp, now_ms):
    passed = now_ms - to_ms(timestamp)
    return f"{duration(passed)} ago" if passed >= 0 else f"in {duration(-passed)}"
