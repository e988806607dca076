"""The commands tail and submit: follow the events of a task."""

import os
import signal
import sys
import time

from arkctl_lib import images
from arkctl_lib.failure import FAILED, INTERRUPTED, NOT_ALLOWED, NOT_FOUND, OK, Failure
from arkctl_lib.follow import Cut, Event, Interrupt, Poll, Pump, Stream
from arkctl_lib.operate import check_id, find
from arkctl_lib.progress import Progress, StatusLine
from arkctl_lib.describe import describe_calls, print_event, shorten
from arkctl_lib.terminal import clean
from arkctl_lib.units import duration

TICK_S = 0.2
SECOND_INTERRUPT_S = 3.0     # a second Ctrl-C within this time cancels the task


class Watch:
    """Follows one task until it ends. Subclasses override show() to print an event and interrupted() to handle Ctrl-C."""

    def __init__(self, context, source):
        self.terminal, self.pump = context.terminal, Pump(source)
        self.status = StatusLine(self.terminal)

    def run(self):
        """Returns the final event, or the exit code if the user left before it."""
        old = signal.signal(signal.SIGINT, self.pump.interrupt)
        try:
            while True:
                item = self.pump.next(TICK_S)
                if isinstance(item, Interrupt):
                    left = self.interrupted()
                elif isinstance(item, Event):
                    self.status.clear()
                    self.show(item)
                    left = item if item.is_final else None
                else:
                    if isinstance(item, Cut):
                        self.say(f"-- {clean(item.why)}; reconnecting in {duration(item.delay_s * 1000)}")
                    left = self.tick()
                if left is not None:
                    return left
        finally:
            self.status.clear()
            signal.signal(signal.SIGINT, old)

    def say(self, text):
        self.status.clear()
        self.terminal.note(text)

    def show(self, event):
        print_event(self.terminal, event)

    def interrupted(self):
        return INTERRUPTED

    def tick(self):
        return None


# -- tail


def tail(context, args):
    folder = images.prepare(args.save) if args.save else None
    final = Watch(context, _source_of(context, args)).run()
    return final if isinstance(final, int) else _end(context, final, folder)


def _source_of(context, args):
    """The client API's stream if the client key gives access to the task, otherwise polling of the admin API."""
    gateway, text = context.gateway, check_id(args.task)
    if not gateway.admin_key:
        return Stream(gateway, text)
    try:
        if args.client in (None, "public"):
            gateway.client("GET", f"/tasks/{text}")
            return Stream(gateway, text)
    except Failure as failure:
        if failure.code not in (NOT_ALLOWED, NOT_FOUND):
            raise
    return Poll(gateway, find(gateway, text, args.client)["id"])


# -- submit


class SubmitWatch(Watch):
    def __init__(self, context, args, task_id, source):
        super().__init__(context, source)
        self.gateway, self.task_id, self.cancel_at_once = context.gateway, task_id, args.cancel_on_interrupt
        self.tail_command = f"{sys.argv[0]} --url {context.gateway.url} tail {task_id}"
        self.progress = Progress(time.monotonic(), args.images)
        self.interrupts, self.leave_at = 0, None

    def show(self, event):
        self.progress.take(event, time.monotonic())
        if self.terminal.as_json:
            print_event(self.terminal, event)
        elif not self.terminal.is_live and not event.is_final:
            self.terminal.note(self.progress.words(time.monotonic()))
        self.tick()

    def tick(self):
        now = time.monotonic()
        if self.leave_at and now >= self.leave_at:
            return INTERRUPTED
        self.status.draw(self.progress.line(now, self.terminal.width()))
        return None

    def interrupted(self):
        self.interrupts += 1
        if self.interrupts == 1 and not self.cancel_at_once:
            self.leave_at = time.monotonic() + SECOND_INTERRUPT_S
            self.say(f"The task continues. Follow it with: {self.tail_command}\n"
                     f"Press Ctrl-C again within {SECOND_INTERRUPT_S:.0f} s to cancel it.")
            return None
        if self.leave_at or self.interrupts == 1:
            self.leave_at = None
            self._cancel()
            return None
        return INTERRUPTED

    def _cancel(self):
        try:
            answer = self.gateway.client("POST", f"/tasks/{self.task_id}/cancel")
            self.say("cancelled" if answer["status"] == "cancelled" else "cancelling; the worker stops it. Ctrl-C again exits")
        except Failure as failure:
            self.say(f"cannot cancel the task: {failure}")


def submit(context, args):
    request = _request(args)
    folder = images.prepare(args.save) if args.save else None
    request["urls"] = [url if _is_link(url) else _upload(context, url) for url in request["urls"]]
    gateway, terminal, task_id = context.gateway, context.terminal, request["task_id"]
    if args.detach:
        answer = gateway.client("POST", "/generate", request)
        terminal.document(answer)
        terminal.line(answer["task_id"])
        return OK
    if not terminal.as_json:
        terminal.note(f"task {task_id}")
    final = SubmitWatch(context, args, task_id, Stream(gateway, task_id, request)).run()
    if isinstance(final, int):
        return final
    if not terminal.as_json:
        _print_final(context, final)
    return _end(context, final, folder)


def _is_link(text):
    """Also of a scheme that the gateway refuses; everything else is a file."""
    return "://" in text or text.startswith(("data:", "upload:"))


def _upload(context, path):
    try:
        upload = context.gateway.upload(path)
    except Failure as failure:
        if not failure.problem:
            raise
        raise Failure(failure.code, f"{clean(path)}: {failure}", failure.problem) from None
    if not context.terminal.as_json:
        context.terminal.note(f"uploaded {clean(path)}")
    return upload


def _request(args):
    request = {"urls": args.urls, "task_id": args.task_id or f"arkctl-{int(time.time())}-{os.urandom(4).hex()}"}
    check_id(request["task_id"])
    for name, value in (("prompt", args.prompt), ("size", args.size), ("max_images", args.images), ("model", args.model),
                        ("seed", args.seed), ("watermark", args.watermark), ("output_format", args.output_format),
                        ("optimize_prompt", args.optimize_prompt), ("web_search", args.web_search), ("guidance_scale", args.guidance_scale),
                        ("background", args.background), ("layers", args.layers), ("max_paid_calls", args.max_paid_calls),
                        ("webhook", args.webhook), ("webhook_events", args.webhook_events)):
        if value is not None:
            request[name] = value
    return request


def _print_final(context, event):
    terminal, data = context.terminal, event.data
    if event.kind == "done":
        for image in data["generated_images"]:
            terminal.line(shorten(images.addresses(context.gateway, image)[0]))
        for failed in data.get("failed_images", ()):
            terminal.note(f"failed no. {failed['index']}: {clean(failed['code'])}: {clean(failed['message'])}")
        terminal.note(f"done in {duration(data['timing']['total_ms'])}, {describe_calls(data)}, charged: {data['charged']}")
    else:
        terminal.note(f"{clean(data.get('code'))}: {clean(data.get('error'))}  (charged: {data.get('charged', '?')}, {describe_calls(data)})")


def _end(context, final, folder):
    if final.kind != "done":
        return FAILED
    if folder:
        task_id = final.data["task_id"]
        for number, image in enumerate(final.data["generated_images"]):
            path = images.save(context.gateway, folder, task_id, number, image, may_replace=True)
            context.terminal.document({"saved": str(path), "index": number})
            context.terminal.line(str(path))
    return OK
