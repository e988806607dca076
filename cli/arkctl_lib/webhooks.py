"""The commands webhooks and webhook."""

import re
import time

from arkctl_lib.describe import ago
from arkctl_lib.failure import FAILED, NOT_FOUND, OK, USAGE, Failure
from arkctl_lib.operate import FULL_ID, check_id, now_ms
from arkctl_lib.terminal import clean
from arkctl_lib.units import duration, to_ms

CLIENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
PAUSE_S = 0.2
OUTCOME_STYLES = {"delivered": "good"}


def webhooks(context, args):
    answer, terminal, now = context.gateway.admin("GET", "/webhooks"), context.terminal, now_ms()
    terminal.document(answer)
    failing = f"{answer['failing']} failing for {duration(now - to_ms(answer['failing_since']))}" if answer["failing"] else "none failing"
    terminal.line(f"{answer['waiting']} waiting, {answer['failed']} failed within 7 days, receivers: {failing}")
    if answer["lanes"]:
        terminal.line()
        terminal.table([["CLIENT", "RECEIVER", "WAITING", "RUNNING", "FAILURES", "STATE"], *(_lane(lane, now) for lane in answer["lanes"])])
    if answer["failed_deliveries"]:
        terminal.line()
        terminal.table([["TASK", "EVENT", "OUTCOME", "ATTEMPTS", "FAILED", "RECEIVER"], *(_failure(each, now) for each in answer["failed_deliveries"])])
    return OK


def _lane(lane, now):
    state = "ok"
    if "failing_since" in lane:
        state = f"failing for {duration(now - to_ms(lane['failing_since']))}"
        if (to_ms(lane.get("paused_until")) or 0) > now:
            state += f", next try {ago(lane['paused_until'], now)}"
    return [clean(lane["client"]), clean(lane["host"]), str(lane["waiting"]), str(lane["running"]), str(lane["failures"]), state]


def _failure(each, now):
    return [clean(each["id"]), each["event_id"], each["outcome"], str(each["attempts"]), f"{duration(now - to_ms(each['failed_at']))} ago", clean(each["url"])]


def webhook(context, args):
    return {"show": _show, "resend": _resend, "test": _test}[args.action](context, args)


def _show(context, args):
    gateway = context.gateway
    if gateway.admin_key:
        answer = gateway.admin("GET", f"/tasks/{_full_id(args.task, args.client)}/webhook")
    else:
        answer = gateway.client("GET", f"/tasks/{check_id(args.task)}/webhook")
    context.terminal.document(answer)
    if "url" in answer:
        context.terminal.line(f"{clean(answer['url'])}  {', '.join(answer['events'])}")
    for attempt in answer["attempts"]:
        _print_attempt(context.terminal, attempt)
    if not answer["attempts"]:
        context.terminal.line("(no attempt yet)")
    return OK


def _full_id(name, client):
    """The task may have expired, so it is not looked up."""
    return name if FULL_ID.match(name) and not client else f"{client or 'public'}.{check_id(name)}"


def _print_attempt(terminal, attempt):
    words = [f"attempt {attempt['attempt']}", f"status {attempt['status']}" if "status" in attempt else "no status", duration(attempt["duration_ms"])]
    if "next_at" in attempt:
        words.append(f"next {ago(attempt['next_at'], now_ms())}")
    outcome = terminal.paint(f"{attempt['outcome']:<11}", OUTCOME_STYLES.get(attempt["outcome"], "warn" if "next_at" in attempt else "bad"))
    terminal.line(f"{attempt['at']}  {attempt['event_id']}  {outcome}  {', '.join(words)}")


def _resend(context, args):
    gateway, terminal = context.gateway, context.terminal
    gateway.need_admin_key()
    if bool(args.tasks) == args.failed:
        raise Failure(USAGE, "webhook resend needs either task ids or --failed")
    total, left = 0, 0
    for path in [f"/tasks/{_full_id(name, args.client)}/resend" for name in args.tasks] or ["/webhooks/resend"]:
        answer = gateway.admin("POST", path)
        total, left = total + answer["resent"], answer["failed"]
    terminal.document({"resent": total, "failed": left})
    terminal.line(f"due again: {total}; failed deliveries that remain: {left}")
    return OK


def _attempts(gateway, name):
    try:
        return gateway.admin("GET", f"/tasks/{name}/webhook")["attempts"]
    except Failure as failure:
        if failure.code == NOT_FOUND:       # not tried yet
            return []
        raise


def _test(context, args):
    gateway, terminal = context.gateway, context.terminal
    if args.client and not CLIENT.match(args.client):
        raise Failure(USAGE, f"{clean(args.client)!r} is not a client's name")
    name = gateway.admin("POST", "/webhooks/test", {"url": args.target, **({"client": args.client} if args.client else {})})["id"]
    end = time.monotonic() + args.wait
    while True:
        attempts = _attempts(gateway, name)
        if attempts:
            terminal.document({"id": name, **attempts[-1]})
            _print_attempt(terminal, attempts[-1])
            return OK if attempts[-1]["outcome"] == "delivered" else FAILED
        if time.monotonic() > end:
            raise Failure(FAILED, f"no worker has delivered the sample within {args.wait:.0f} s: is one running with WEBHOOK_SECRET and the role outbox?")
        time.sleep(PAUSE_S)
