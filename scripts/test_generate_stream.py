#!/usr/bin/env python3
"""Sends one request to a running gateway and prints each event as it arrives.

    python3 scripts/test_generate_stream.py
    python3 scripts/test_generate_stream.py --url http://127.0.0.1:8000 https://example.com/a.jpg https://example.com/b.jpg

Resumes a lost connection after the last event received. Exit status: 0 after a done event, 1 after an error event, 2 if the request was
refused, no final event arrived or the output cannot be written. If the worker has an ARK_API_KEY, the images are charged.
"""

import argparse
import http.client
import json
import os
import pathlib
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))

from arkctl_lib.sse import Reader  # noqa: E402

BASE_PATH = "/api/v1/faceflip"
SAMPLE_IMAGES = [
    "https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_1.png",
    "https://ark-project.tos-cn-beijing.volces.com/doc_image/seedream4_imagesToimages_2.png",
]
SILENCE_LIMIT_S = 60       # the gateway sends a heartbeat every 15 s, so the connection is dead
FRUITLESS_TRIES = 8        # give up after this many connections in a row without an event


class Refused(Exception):
    """An error response. retry_s is None if a retry is pointless."""

    def __init__(self, text, retry_s=None):
        super().__init__(text)
        self.retry_s = retry_s


def refusal(response):
    body = response.read(65536).decode("utf-8", "replace")
    lines = [f"HTTP {response.status} {response.reason}"]
    try:
        problem = json.loads(body)
        fields = problem.get("errors", [])
        detail = problem.get("title") if fields else problem.get("detail") or problem.get("title")   # with fields, the detail only repeats the first one
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
        self.reader = Reader()

    def _request(self, connection):
        """A repeated POST is the same task. After the first event, resumes the task's stream with Last-Event-ID."""
        prefix = self.url.path.rstrip("/") + BASE_PATH
        if not self.reader.last_event_id:
            headers = {**self.headers, "Content-Type": "application/json"}
            connection.request("POST", f"{prefix}/generate/stream", self.body, headers)
        else:
            headers = {**self.headers, "Last-Event-ID": self.reader.last_event_id}
            connection.request("GET", f"{prefix}/tasks/{urllib.parse.quote(self.task_id, safe=':')}/stream", headers=headers)

    def events(self):
        """Yields the frames of one connection until it ends."""
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.url.hostname, self.url.port, timeout=SILENCE_LIMIT_S)
        self.reader.restart()
        try:
            self._request(connection)
            response = connection.getresponse()
            if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
                raise refusal(response)
            while piece := response.read1(65536):
                yield from self.reader.feed(piece)
        finally:
            connection.close()


def describe(data):
    """The lines that describe an event: a summary, then a line for each image and each failure."""
    words = [data[key] for key in ("stage", "message", "error") if data.get(key)]
    words += [f"{key}={data[key]}" for key in ("position", "eta_ms", "attempt", "delay_ms", "code", "retryable", "paid_calls", "unknown_calls",
                                                "charged")
              if data.get(key) is not None]
    images = list(data.get("generated_images") or [])
    if isinstance(data.get("image"), dict):
        images.append(data["image"])
    lines = ["  ".join(map(str, words))]
    lines += [f"image   {image.get('size', '')}  {image.get('url', '')}" for image in images]
    lines += [f"failed  {json.dumps(f, ensure_ascii=False)}" for f in data.get("failed_images") or []]
    return lines


def say(text):
    """Prints a line. A closed pipe (for example `| head -1`) ends the program quietly."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())     # for what Python writes at exit
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        print(f"cannot write the output: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def show(start, kind, text):
    try:
        lines = describe(json.loads(text)["data"])
    except (ValueError, KeyError, TypeError, AttributeError):
        lines = [text]
    say(f"{time.monotonic() - start:8.2f} s  {kind:<8} {lines[0]}".rstrip())
    for line in lines[1:]:
        say(f"{'':20} {line}")


def run(client):
    start = time.monotonic()
    fruitless = 0
    connected = False
    while fruitless < FRUITLESS_TRIES:
        fruitless += 1
        delay = None                                # None: use the stream's retry delay
        try:
            for frame in client.events():
                fruitless = 0
                connected = True
                show(start, frame.event, frame.data)
                if frame.event in ("done", "error"):
                    return 0 if frame.event == "done" else 1
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
        delay = client.reader.retry_s if delay is None else delay
        say(f"{'':10} -- {why}; resuming in {delay:.1f} s")
        time.sleep(delay)
    print(f"no event over {FRUITLESS_TRIES} connections, giving up", file=sys.stderr)
    return 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=SAMPLE_IMAGES, metavar="IMAGE_URL", help="the input images")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the gateway (default: %(default)s)")
    parser.add_argument("--task-id", default=f"try-{time.time_ns()}", help="default: a new id")
    parser.add_argument("--key", default=os.environ.get("GATEWAY_KEY", ""), help="API key, if the gateway requires one (environment: GATEWAY_KEY)")
    args = parser.parse_args()
    args.images = args.images or SAMPLE_IMAGES
    if urllib.parse.urlsplit(args.url).scheme not in ("http", "https"):
        parser.error("--url must begin with http:// or https://")

    say(f"POST {args.url}{BASE_PATH}/generate/stream  task_id={args.task_id}")
    return run(Client(args))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
