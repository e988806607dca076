"""One task's events over as many connections as it takes, read by a thread of its own.

The same POST sent again is the same task, so a connection that is lost before the first event is made good by sending it again; behind
an event the task's stream goes on after its id.
"""

import http.client
import json
import queue
import threading
import time
import typing
import urllib.parse

from arkctl_lib.failure import UNREACHABLE, Failure
from arkctl_lib.gateway import BASE, authorization
from arkctl_lib.sse import Reader

SILENCE_S = 60          # a gateway says something every 15 s
FRUITLESS_TRIES = 12    # connections in a row without an event
DELAY_MAX_S = 15
POLL_S = 1.0
FINAL = ("done", "error")


class Event(typing.NamedTuple):
    kind: str           # start, process, done, error, reset
    data: dict
    id: str = ""

    @property
    def is_final(self):
        return self.kind in FINAL


class Cut(typing.NamedTuple):
    """The connection is gone, and is made anew after a while."""
    why: str
    delay_s: float


class Interrupt:
    """Somebody pressed Ctrl-C."""


class Stream:
    """events() ends behind the final event, or with a Failure."""

    def __init__(self, gateway, task_id, request=None):
        """request: the body to submit; None: the task is known already."""
        self.gateway, self.task_id, self.request = gateway, task_id, request
        self._reader = Reader()
        self._was_taken = self._was_cut = False         # by a gateway; before its answer

    def events(self):
        tries = 0
        while True:
            tries, delay_s = tries + 1, None
            try:
                for event in self._one_connection():
                    tries = 0
                    yield event
                    if event.is_final:
                        return
                why = "the stream ended early"
            except Failure as failure:
                if not self._may_pass(failure):
                    raise
                why, delay_s = str(failure), (failure.problem or {}).get("retry_after")
            except (OSError, http.client.HTTPException) as error:
                self._was_cut = True
                why = f"the connection was lost: {error or type(error).__name__}"
            if tries >= FRUITLESS_TRIES:
                raise Failure(UNREACHABLE, f"{why}; given up after {tries} connections without an event")
            delay_s = min(DELAY_MAX_S, delay_s or self._reader.retry_s * 1.3 ** tries)
            yield Cut(why, delay_s)
            time.sleep(delay_s)

    def _may_pass(self, failure):
        """What comes in place of the first answer is the answer; later, gateways go and proxies say so."""
        if failure.problem is None:
            return self._was_taken or self._was_cut
        return self._was_taken and failure.problem.get("retryable", False)

    def _one_connection(self):
        connection = self.gateway.connect(self.gateway.timeout)
        self._reader.restart()
        try:
            self._ask(connection)
            response = connection.getresponse()
            if response.status == 204:
                raise Failure(UNREACHABLE, "the gateway says that the end of the task was seen already")
            if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
                raise self._refusal(response)
            self._was_taken = True
            connection.sock.settimeout(SILENCE_S)
            while piece := response.read1(65536):
                yield from map(_event, self._reader.feed(piece))
        finally:
            connection.close()

    def _ask(self, connection):
        headers = {"Accept": "text/event-stream", **authorization(self.gateway.key)}
        if self._reader.last_event_id or self.request is None:
            if self._reader.last_event_id:
                headers["Last-Event-ID"] = self._reader.last_event_id
            path = f"{BASE}/tasks/{urllib.parse.quote(self.task_id, safe=':')}/stream"
            connection.request("GET", self.gateway.path(path), headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", self.gateway.path(f"{BASE}/generate/stream"), json.dumps(self.request), headers)

    def _refusal(self, response):
        failure = self.gateway.refusal(response, response.read(65536))
        seconds = response.headers.get("Retry-After", "")
        if failure.problem and seconds.isdigit():
            failure.problem["retry_after"] = int(seconds)
        return failure


class Poll:
    """The same by asking for the story again and again: for operators, who may see every client's task but have no stream of it."""

    def __init__(self, gateway, full_id):
        self.gateway, self.full_id = gateway, full_id
        self._epoch, self._seen = None, 0

    def events(self):
        tries = 0
        while True:
            try:
                story = self.gateway.story(self.full_id)
            except Failure as failure:
                tries += 1
                if failure.code != UNREACHABLE or self._epoch is None or tries >= FRUITLESS_TRIES:
                    raise
                yield Cut(str(failure), POLL_S * tries)
                time.sleep(POLL_S * tries)
                continue
            tries = 0
            if not story:
                yield Event("error", {"code": "task_not_found", "error": "the task was erased, or has expired"})
                return
            yield from self._news(story)
            if story["log"] and story["log"][-1]["event"] in FINAL:
                return
            time.sleep(POLL_S)

    def _news(self, story):
        if self._epoch not in (None, story["epoch"]):
            self._seen = 0
            yield Event("reset", {"task_id": story["task_id"], "message": "the task has begun anew"})
        self._epoch = story["epoch"]
        for element in story["log"][self._seen:]:
            yield Event(element["event"], element["data"], f"{self._epoch}-{element['n']}")
        self._seen = len(story["log"])


def _event(frame):
    try:
        data = json.loads(frame.data)["data"]
        return Event(frame.event, data if isinstance(data, dict) else {}, frame.id)
    except (ValueError, KeyError, TypeError):
        raise Failure(UNREACHABLE, "the stream is not what a gateway sends") from None


class Pump:
    """A thread that reads the events, so that the command can draw, and hear Ctrl-C, meanwhile."""

    def __init__(self, source):
        self._source = source
        self._items = queue.SimpleQueue()       # put() may be called from a signal handler
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            for item in self._source.events():
                self._items.put(item)
        except Exception as error:              # it is raised again where somebody sees it
            self._items.put(error)

    def interrupt(self, *_):
        self._items.put(Interrupt())

    def next(self, seconds):
        """An Event, a Cut or an Interrupt; None when nothing came; what ended the thread is raised."""
        try:
            item = self._items.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item
