#!/usr/bin/env python3
"""Sends one real request to a running gateway and prints each event the moment it arrives.

    python3 scripts/test_generate_stream.py
    python3 scripts/test_generate_stream.py --url http://127.0.0.1:8000 https://example.com/a.jpg https://example.com/b.jpg

A cut connection is resumed where it stood. Exit status: 0 after a done event, 1 after an error event, 2 when the request was
refused or no final event came. With an ARK_API_KEY configured on the other side, the pictures are charged.
"""

import argparse
import codecs
import http.client
import json
import os
import sys
import time
import urllib.parse

BASE_PATH = "/api/v1/faceflip"
SAMPLE_IMAGES = [
    "https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_1.png",
    "https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_2.png",
]
SILENCE_LIMIT_S = 60       # the gateway says something every 15 s, so this is a dead connection
FRUITLESS_TRIES = 8        # connections in a row that brought no event


class SseParser:
    """Bytes in, in pieces of any size; (event, data) pairs out. Keeps the last event id and the retry delay."""

    def __init__(self):
        self.last_event_id = ""
        self.retry_s = 3.0
        self.restart()

    def restart(self):
        """A new connection: what stood half-read is dropped, the id and the delay stay."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._after_cr = False
        self._event, self._data = "", []

    def feed(self, piece):
        text = self._decoder.decode(piece)
        if not text:
            return
        if self._after_cr and text[0] == "\n":      # the second half of a CR LF that was cut in two
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text[-1] == "\r"
        lines = (self._rest + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        self._rest = lines.pop()
        for line in lines:
            if line:
                self._field(line)
            else:
                if self._data:
                    yield self._event or "message", "\n".join(self._data)
                self._event, self._data = "", []

    def _field(self, line):
        name, _, value = line.partition(":")        # a comment has an empty name and matches nothing
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_event_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000


class Refused(Exception):
    """An answer that is not a stream; retry_s is None when asking again is pointless."""

    def __init__(self, text, retry_s=None):
        super().__init__(text)
        self.retry_s = retry_s


def refusal(response):
    body = response.read(65536).decode("utf-8", "replace")
    lines = [f"HTTP {response.status} {response.reason}"]
    try:
        problem = json.loads(body)
        fields = problem.get("errors", [])
        detail = problem.get("title") if fields else problem.get("detail") or problem.get("title")   # it repeats the first field
        lines.append(f"{problem.get('code', '')}: {detail}")
        lines += [f"  {e.get('pointer')}: {e.get('detail')}" for e in fields]
    except (ValueError, AttributeError):
        lines.append(body.strip())
    delay = response.headers.get("Retry-After", "")
    retry_s = int(delay) if delay.isdigit() else 1 if response.status == 503 else None
    return Refused("\n".join(filter(None, lines)), retry_s)


class Client:
    def __init__(self, args):
        self.url = urllib.parse.urlsplit(args.url)
        self.task_id = args.task_id
        self.body = json.dumps({"urls": args.images, "task_id": args.task_id})
        self.headers = {"Accept": "text/event-stream"}
        if args.key:
            self.headers["Authorization"] = f"Bearer {args.key}"
        self.parser = SseParser()

    def _request(self, connection):
        """The same POST again is the same task, never a second one; once there is an id, the task's stream resumes after it."""
        prefix = self.url.path.rstrip("/") + BASE_PATH
        if not self.parser.last_event_id:
            headers = {**self.headers, "Content-Type": "application/json"}
            connection.request("POST", f"{prefix}/generate/stream", self.body, headers)
        else:
            headers = {**self.headers, "Last-Event-ID": self.parser.last_event_id}
            connection.request("GET", f"{prefix}/tasks/{urllib.parse.quote(self.task_id, safe=':')}/stream", headers=headers)

    def events(self):
        """The events of one connection, until it ends."""
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.url.hostname, self.url.port, timeout=SILENCE_LIMIT_S)
        self.parser.restart()
        try:
            self._request(connection)
            response = connection.getresponse()
            if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
                raise refusal(response)
            while piece := response.read1(65536):
                yield from self.parser.feed(piece)
        finally:
            connection.close()


def describe(data):
    """What an event says: the rest of its line, then a line for each picture and each failure."""
    words = [data[key] for key in ("stage", "message", "error") if data.get(key)]
    words += [f"{key}={data[key]}" for key in ("position", "eta_ms", "attempt", "delay_ms", "code", "retryable", "paid_calls", "unknown_calls",
                                                "charged")
              if data.get(key) is not None]
    pictures = list(data.get("generated_images") or [])
    if isinstance(data.get("image"), dict):
        pictures.append(data["image"])
    lines = ["  ".join(map(str, words))]
    lines += [f"picture {p.get('size', '')}  {p.get('url', '')}" for p in pictures]
    lines += [f"failed  {json.dumps(f, ensure_ascii=False)}" for f in data.get("failed_images") or []]
    return lines


def show(start, kind, text):
    try:
        lines = describe(json.loads(text)["data"])
    except (ValueError, KeyError, TypeError, AttributeError):
        lines = [text]
    print(f"{time.monotonic() - start:8.2f} s  {kind:<8} {lines[0]}".rstrip(), flush=True)
    for line in lines[1:]:
        print(f"{'':20} {line}", flush=True)


def run(client):
    start = time.monotonic()
    fruitless = 0
    connected = False
    while fruitless < FRUITLESS_TRIES:
        fruitless += 1
        delay = None                                # the stream's own retry delay, unless an answer asks for another
        try:
            for kind, text in client.events():
                fruitless = 0
                connected = True
                show(start, kind, text)
                if kind in ("done", "error"):
                    return 0 if kind == "done" else 1
            why = "the stream ended without a final event"
        except Refused as refused:
            if refused.retry_s is None:
                print(refused, file=sys.stderr)
                return 2
            why, delay = str(refused), refused.retry_s
        except (OSError, http.client.HTTPException) as error:
            why = f"connection lost: {error or type(error).__name__}"
            if not connected:
                print(f"cannot reach {client.url.geturl()}: {error}", file=sys.stderr)
                return 2
        delay = client.parser.retry_s if delay is None else delay
        print(f"{'':10} -- {why}; resuming in {delay:.1f} s", flush=True)
        time.sleep(delay)
    print(f"no event over {FRUITLESS_TRIES} connections, giving up", file=sys.stderr)
    return 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=SAMPLE_IMAGES, metavar="IMAGE_URL", help="the pictures to work from")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the gateway (default: %(default)s)")
    parser.add_argument("--task-id", default=f"try-{time.time_ns()}", help="default: a new one")
    parser.add_argument("--key", default=os.environ.get("GATEWAY_KEY", ""), help="API key, where the gateway wants one (environment: GATEWAY_KEY)")
    args = parser.parse_args()
    args.images = args.images or SAMPLE_IMAGES
    if urllib.parse.urlsplit(args.url).scheme not in ("http", "https"):
        parser.error("--url must begin with http:// or https://")

    print(f"POST {args.url}{BASE_PATH}/generate/stream  task_id={args.task_id}", flush=True)
    return run(Client(args))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
