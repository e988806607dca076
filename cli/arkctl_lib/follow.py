"""Reads one task's events in a thread, over any number of connections.

If the connection is lost before the first event, the POST is repeated: the same request with the same task id is the same task. After
an event, the stream is resumed with Last-Event-ID.
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

SILENCE_S = 60          # the gateway sends a heartbeat every 15 s
FRUITLESS_TRIES = 12    # give up after this many connections in a row without an event
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
    """The connection was lost; the next attempt follows after delay_s."""
    why: str
    delay_s: float


class Interrupt:
    """The user pressed Ctrl-C."""


class Stream:
    """Follows the task's event stream. events() ends after the final event, or with a Failure."""

    def __init__(self, gateway, task_id, request=None):
        """request: the body to submit; None if the task exists already."""
        self.gateway, self.task_id, self.request = gateway, task_id, request
        self._reader = Reader()
        self._was_accepted = False              # a gateway has answered with the stream
        self._was_cut = False                   # a connection was lost, possibly after the gateway accepted the request

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
                if not self._is_temporary(failure):
                    raise
                why, delay_s = str(failure), (failure.problem or {}).get("retry_after")
            except (OSError, http.client.HTTPException) as error:
                self._was_cut = True
                why = f"the connection was lost: {error or type(error).__name__}"
            if tries >= FRUITLESS_TRIES:
                raise Failure(UNREACHABLE, f"{why}; gave up after {tries} connections without an event")
            delay_s = min(DELAY_MAX_S, delay_s or self._reader.retry_s * 1.3 ** tries)
            yield Cut(why, delay_s)
            time.sleep(delay_s)

    def _is_temporary(self, failure):
        """Retry only after a stream has been open (or, without a problem document, a connection was lost): gateways restart, and
        proxies then answer for them. A refusal of the very first request is final."""
        if failure.problem is None:
            return self._was_accepted or self._was_cut
        return self._was_accepted and failure.problem.get("retryable", False)

    def _one_connection(self):
        connection = self.gateway.connect(self.gateway.timeout)
        self._reader.restart()
        try:
            self._ask(connection)
            response = connection.getresponse()
            if response.status == 204:
                raise Failure(UNREACHABLE, "the gateway answered 204: the final event was received before")
            if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
                raise self._refusal(response)
            self._was_accepted = True
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
    """The same by polling the task's details: the admin API shows the tasks of all clients, but has no event stream."""

    def __init__(self, gateway, full_id):
        self.gateway, self.full_id = gateway, full_id
        self._epoch, self._seen = None, 0

    def events(self):
        tries = 0
        while True:
            try:
                task = self.gateway.details(self.full_id)
            except Failure as failure:
                tries += 1
                if failure.code != UNREACHABLE or self._epoch is None or tries >= FRUITLESS_TRIES:
                    raise
                yield Cut(str(failure), POLL_S * tries)
                time.sleep(POLL_S * tries)
                continue
            tries = 0
            if not task:
                yield Event("error", {"code": "task_not_found", "error": "the task was erased, or has expired"})
                return
            yield from self._new_events(task)
            if task["log"] and task["log"][-1]["event"] in FINAL:
                return
            time.sleep(POLL_S)

    def _new_events(self, task):
        if self._epoch not in (None, task["epoch"]):
            self._seen = 0
            yield Event("reset", {"task_id": task["task_id"], "message": "the task was started again"})
        self._epoch = task["epoch"]
        for element in task["log"][self._seen:]:
            yield Event(element["event"], element["data"], f"{self._epoch}-{element['n']}")
        self._seen = len(task["log"])


def _event(frame):
    try:
        data = json.loads(frame.data)["data"]
        return Event(frame.event, data if isinstance(data, dict) else {}, frame.id)
    except (ValueError, KeyError, TypeError):
        raise Failure(UNREACHABLE, "the stream is not an arkrelay event stream") from None


class Pump:
    """Reads the events in a thread, so that the command can update the terminal and handle Ctrl-C meanwhile."""

    def __init__(self, source):
        self._source = source
        self._items = queue.SimpleQueue()       # put() may be called from a signal handler
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            for item in self._source.events():
                self._items.put(item)
        except Exception as error:              # next() raises it in the main thread
            self._items.put(error)

    def interrupt(self, *_):
        self._items.put(Interrupt())

    def next(self, seconds):
        """The next Event, Cut or Interrupt; None after the timeout. Raises the exception that ended the thread."""
        try:
            item = self._items.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item
