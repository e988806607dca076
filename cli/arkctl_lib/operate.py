"""The commands task, tasks, dead, queue and workers."""

import itertools
import re
import sys
import time

from arkctl_lib import account
from arkctl_lib.failure import NOT_FOUND, OK, USAGE, Failure
from arkctl_lib.describe import ago, print_task
from arkctl_lib.terminal import clean
from arkctl_lib.units import count, duration, to_ms

RETRIED = "queued again with a new budget of paid calls"
TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
FULL_ID = re.compile(r"[a-z0-9_-]{1,32}\.[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
NO_TASK = "task {} does not exist, or was deleted"


def now_ms():
    return round(time.time() * 1000)


# -- finding a task


def check_id(text):
    if not TASK_ID.match(text) and not FULL_ID.match(text):
        raise Failure(USAGE, f"{clean(text)!r} is not a valid task id")
    return text


def find(source, text, client):
    """The details of a task, named by `<client>.<task_id>` or by the task id alone."""
    check_id(text)
    if client:
        names = [f"{client}.{text}"]
    else:
        names = [text] if FULL_ID.match(text) else []
        names += [f"public.{text}"] if TASK_ID.match(text) else []
    found = [each for each in map(source.details, names) if each]
    if not found:
        raise Failure(NOT_FOUND, NO_TASK.format(" or ".join(names)))
    if len(found) > 1:
        raise Failure(USAGE, f"the id is ambiguous: {' and '.join(names)} exist; use --client")
    return found[0]


# -- task


def task(context, args):
    return {"show": _show, "cancel": _change, "retry": _change, "erase": _change}[args.action](context, args)


def _show(context, args):
    if context.redis_url or context.gateway.admin_key:
        print_task(context.terminal, find(context.source(), args.task, args.client), now_ms())
    else:
        print_task(context.terminal, context.gateway.client("GET", f"/tasks/{check_id(args.task)}"), now_ms())
    return OK


CLIENT_CALLS = {"cancel": ("POST", "/tasks/{}/cancel"), "erase": ("DELETE", "/tasks/{}")}
ADMIN_CALLS = {"cancel": ("POST", "/tasks/{}/cancel"), "erase": ("DELETE", "/tasks/{}"), "retry": ("POST", "/tasks/{}/retry")}


def _change(context, args):
    gateway = context.gateway
    if gateway.admin_key or args.action not in CLIENT_CALLS:
        gateway.need_admin_key()
        name = find(gateway, args.task, args.client)["id"]
        method, path = ADMIN_CALLS[args.action]
        answer = gateway.admin(method, path.format(name))
    else:
        name = check_id(args.task)
        method, path = CLIENT_CALLS[args.action]
        answer = gateway.client(method, path.format(name))
    context.terminal.document(answer or {"id": name, "status": "erased"})
    context.terminal.line(f"{name}: {_changed(args.action, answer)}")
    return OK


def _changed(action, answer):
    if action == "cancel":
        return "cancelled" if answer["status"] == "cancelled" else "cancelling; the worker stops it"
    return {"erase": "erased", "retry": RETRIED}[action]


# -- tasks and dead


def tasks(context, args):
    if args.own and args.redis:
        raise Failure(USAGE, "tasks --own needs the gateway, not --redis")
    rows = (context.gateway.own_rows if args.own else context.source().rows)(args.state, args.search)
    return _list(context, rows, None if args.all else args.limit)


def dead(context, args):
    if args.action == "list":
        return _list(context, context.source().rows("dead", args.search), None if args.all else args.limit)
    return _retry_dead(context, args)


def _list(context, rows, limit):
    rows = list(itertools.islice(rows, None if limit is None else limit + 1))
    more = limit is not None and len(rows) > limit
    rows = rows[:limit]
    context.terminal.document({"tasks": rows, "more": more})
    now = now_ms()
    context.terminal.table([["TASK", "STATUS", "CREATED", "ATTEMPTS", "PAID", "WHERE"], *(_row(row, now) for row in rows)], painted=1)
    if not rows:
        context.terminal.line("(none)")
    if more:
        context.terminal.line(f"... and more: --all, or --limit above {limit}")
    return OK


def _row(row, now):
    where = {"queued": f"position {row.get('position')}", "running": f"at {row['worker']}" if "worker" in row else "", "failed": row.get("code", "")}
    due = row.get("due_at") and f"due {ago(row['due_at'], now)}"
    return [clean(row["id"]), row["status"], f"{duration(now - to_ms(row['created_at']))} ago", str(row["attempts"]),
            str(row["paid_calls"]), clean(due or where.get(row["status"], ""))]


def _retry_dead(context, args):
    gateway, terminal = context.gateway, context.terminal
    gateway.need_admin_key()
    if bool(args.tasks) == args.all:
        raise Failure(USAGE, "dead retry needs either task ids or --all")
    if args.all:
        names = [row["id"] for row in gateway.rows("dead")]
        if names and not args.yes and sys.stdin.isatty() and not _confirm(len(names)):
            return OK
    else:
        names = args.tasks
    worst, done = OK, []
    for name in names:
        try:
            full_id = name if args.all else find(gateway, name, args.client)["id"]
            gateway.admin("POST", f"/tasks/{full_id}/retry")
            done.append({"id": full_id, "status": "queued"})
            terminal.line(f"{full_id}: {RETRIED}")
        except Failure as failure:
            if not failure.problem and failure.code != NOT_FOUND:
                raise
            worst = worst or failure.code
            done.append({"id": name, "error": str(failure)})
            terminal.line(f"{name}: {failure}")
    terminal.document({"retried": done})
    if worst:
        terminal.note(f"arkctl: {sum('error' in each for each in done)} of {count(len(done), 'task')} could not be retried")
    if not names:
        terminal.line("there are no failed tasks")
    return worst


def _confirm(number):
    try:
        return input(f"Retry {count(number, 'task')}? Each may be charged again. [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


# -- queue


def queue(context, args):
    if args.action != "show":
        answer = context.gateway.admin("POST", f"/queue/{args.action}")
        context.terminal.document(answer)
        context.terminal.line("the queue is paused: new tasks are refused, waiting tasks do not start, running tasks continue"
                              if answer["paused"] else "the queue is resumed")
        return OK
    numbers = context.source().queue()
    context.terminal.document(numbers)
    for name, text in _queue_facts(numbers):
        context.terminal.line(f"{name:<10}{text}")
    return OK


def _queue_facts(numbers):
    if numbers["paused"]:
        yield "PAUSED", "new tasks are refused, waiting tasks do not start: arkctl queue resume"
    for reason in numbers.get("waiting_for", ()):
        yield "BLOCKED", account.describe(reason, now_ms())
    yield "waiting", numbers["depth"]
    yield "delayed", f"{numbers['delayed']}  (waiting for a retry)"
    yield "running", numbers["running"]
    yield "dead", numbers["dead"]
    yield "oldest", duration(numbers["oldest_age_ms"])
    yield "ended", f"{numbers['rates']['ended_per_minute']} in the last minute"
    yield "workers", numbers["workers"]
    yield "counters", "  ".join(f"{name} {number}" for name, number in numbers["counters"].items() if number) or "-"


# -- workers


def workers(context, _):
    processes = context.gateway.processes()
    context.terminal.document({"processes": processes})
    context.terminal.table(process_table(processes, now_ms()))
    if not any(process.get("role") == "worker" for process in processes):
        context.terminal.line("no worker is running: tasks will wait")
    return OK


def process_table(processes, now):
    rows = [["PROCESS", "ROLE", "VERSION", "HOST", "UP", "LOAD"]]
    for process in sorted(processes, key=lambda process: (process.get("role", ""), process["name"])):
        up = duration(now - to_ms(process["started_at"])) if process.get("started_at") else "-"
        rows.append([clean(process["name"]), clean(process.get("role", "-")), clean(process.get("version", "-")),
                     clean(process.get("host", "-")), up, _load(process)])
    return rows


def _load(process):
    if process.get("role") == "worker" and process.get("slots") == 0:
        text = f"outbox: {count(process.get('copies_waiting', 0), 'picture')} to copy"
        text += f", storage: {clean(process['storage_trouble'])}" if process.get("storage_trouble") else ""
    elif process.get("role") == "worker":
        text = f"{process.get('busy', 0)} of {process.get('slots', 0)} busy, {count(process.get('images', 0), 'image')}"
    else:
        text = f"{count(process.get('streams', 0), 'stream')}, {count(process.get('connections', 0), 'connection')}"
    return text + (", draining" if process.get("draining") else "")
