"""Recorded requests of real clients: tests/data/clients and its index.

    for recording in recordings():
        for request in recording.requests:      # in the order in which the client sent them, on one connection
            request.raw, request.decoded        # as sent; the body without its framing

tests/clients/record.py writes them. This parser is strict, small and independent of the server under test.
"""

import dataclasses
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "clients"
COLUMNS = ("name", "client", "source", "requests", "framing", "sizes", "answers")
URLS = ["https://example.com/a.jpg", "https://example.com/b.jpg"]
PROMPT = "换脸"


def expected_body(task_id):
    """The meaning of the body of every recorded POST. The task is named after the recording."""
    return {"urls": URLS, "task_id": task_id, "prompt": PROMPT}


@dataclasses.dataclass
class Request:
    head: bytes             # with its empty line
    body: bytes             # as sent: with chunk sizes and trailers
    decoded: bytes

    @property
    def raw(self):
        return self.head + self.body

    @property
    def method(self):
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self):
        return self.head.split(b" ", 2)[1].decode()

    @property
    def path(self):
        """The target in origin form."""
        return re.sub(r"^http://[^/]+", "", self.target)

    @property
    def is_1_0(self):
        return self.head.split(b"\r\n", 1)[0].endswith(b"HTTP/1.0")

    def header(self, name):
        return header(self.head, name)

    @property
    def framing(self):
        return "chunked" if self.header("Transfer-Encoding") else "length" if self.header("Content-Length") else "none"

    @property
    def size(self):
        return f"{len(self.head)}+{len(self.body)}"

    @property
    def closes(self):
        """True if the client announced that this request is its last one."""
        connection = (self.header("Connection") or "").lower()
        return "close" in connection or (self.is_1_0 and "keep-alive" not in connection)


def header(head, name):
    """The value of the only field with this name, or None."""
    values = re.findall(rb"(?im)^%b:[ \t]*(.*?)[ \t]*\r$" % re.escape(name.encode()), head)
    assert len(values) <= 1, f"{name} occurs {len(values)} times"
    return values[0].decode("latin-1") if values else None


def take_head(raw):
    """The head at the front, with its empty line; None if it is incomplete."""
    end = raw.find(b"\r\n\r\n")
    return raw[:end + 4] if end >= 0 else None


def take_request(raw):
    """The request at the front; None if it is incomplete."""
    head = take_head(raw)
    if head is None:
        return None
    rest = raw[len(head):]
    if header(head, "Transfer-Encoding"):
        return _take_chunked(head, rest)
    length = int(header(head, "Content-Length") or 0)
    return Request(head, rest[:length], rest[:length]) if len(rest) >= length else None


def _take_chunked(head, rest):
    decoded, at = b"", 0
    while True:
        line, crlf, content = rest[at:].partition(b"\r\n")
        size = int(re.match(rb"[0-9A-Fa-f]+|$", line).group() or b"0", 16) if crlf else -1
        if size < 0 or (size and len(content) < size + 2):
            return None
        at += len(line) + 2
        if not size:
            break
        assert content[size:size + 2] == b"\r\n", "a chunk without its end"
        decoded += content[:size]
        at += size + 2
    end = 0 if rest[at:at + 2] == b"\r\n" else rest[at:].find(b"\r\n\r\n") + 2
    return Request(head, rest[:at + end + 2], decoded) if end != 1 and len(rest) >= at + end + 2 else None


def split(raw):
    """All requests of a connection. The last one may be only a head, if the client waited for 100 Continue."""
    requests = []
    while raw:
        request = take_request(raw)
        if request is None:
            head = take_head(raw)
            assert head == raw and header(head, "Expect"), f"half a request: {raw[:200]!r}"
            request = Request(head, b"", b"")
        requests.append(request)
        raw = raw[len(request.raw):]
    return requests


@dataclasses.dataclass
class Recording:
    name: str
    client: str             # with its version
    source: str             # "recorded", or "reconstructed: " and from what
    requests: list
    answers: list           # the expected answers, one per request: a status, or "done" for a stream that ends with that event

    @property
    def raw(self):
        return b"".join(request.raw for request in self.requests)

    def row(self):
        """Its line of the index, by columns."""
        return (self.name, self.client, self.source, ", ".join(f"{request.method} {request.path}" for request in self.requests),
                " ".join(request.framing for request in self.requests), " ".join(request.size for request in self.requests),
                " ".join(self.answers))


def read_index(folder=FOLDER):
    """The rows of the index as dicts."""
    lines = (folder / "index.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == list(COLUMNS), lines[0]
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines[1:]]


def recordings(folder=FOLDER):
    """Every recording of the index."""
    return [Recording(row["name"], row["client"], row["source"], split((folder / f"{row['name']}.http").read_bytes()),
                      row["answers"].split()) for row in read_index(folder)]
