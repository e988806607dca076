"""A low-level HTTP/1.1 client, and a strict parser of the gateway's event streams.

    fetch("127.0.0.1:8000", "GET", "/livez").status
    with Connection("127.0.0.1:8000") as raw:           # sends exact bytes, reads parsed responses
        raw.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        raw.response().headers["content-type"]
    with EventStream(address, "POST", "/api/...", {"urls": [...]}) as stream:
        stream.next()                                   # the next frame, or None at a clean end
        stream.until("done")                            # all frames up to one of that type
"""

import collections
import dataclasses
import json
import re
import socket
import time

from support import conformance
from support.processes import DEADLINE, Deadline


class Cut(ConnectionError):
    """The connection ended before the response was complete."""


class Headers:
    """Names are case-insensitive. headers["x"] is the only value, all("x") every value."""

    def __init__(self, pairs):
        self.pairs = pairs

    def all(self, name):
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times"
        return values[0] if values else default

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return bool(self.all(name))


@dataclasses.dataclass
class Response:
    status: int
    reason: str
    version: str
    headers: Headers
    body: bytes = b""

    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection. Every read has a deadline; raises Cut if the server ends it too early."""

    def __init__(self, address, seconds=DEADLINE, receive_buffer=None, tls=None):
        """tls: the ssl.SSLContext to connect with; the server's name is localhost."""
        host, _, port = address.rpartition(":")
        self.seconds = seconds
        self._rest = b""
        self._method = "GET"
        self._address = address
        self._asked = collections.deque()       # (method, path, body) of each request without a response so far
        self.socket = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        try:
            self.socket.connect((host.strip("[]"), int(port)))
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.settimeout(self.seconds)
        self.socket.sendall(data)

    def request(self, method, path, body=None, headers=None):
        """Writes one request. A body that is bytes or text is sent unchanged, anything else as JSON. `headers` override the defaults."""
        self._method = method
        fields = {"Host": "test"}
        if body is not None:
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            body = body.encode() if isinstance(body, str) else body
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
        self._asked.append((method, path, body))
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))

    def response(self, seconds=None):
        """Reads the next complete response, with any kind of framing."""
        deadline = Deadline(seconds or self.seconds)
        response = self.response_head(deadline)
        response.body = self.body(response).all(deadline)
        self.check(response)
        return response

    @property
    def is_checked(self):
        return conformance.is_watched(self._address)

    def check(self, response):
        """Checks the response against docs/openapi.json."""
        asked = self._asked.popleft() if self._asked and response.status >= 200 else None
        if self.is_checked:
            conformance.check_response(asked, response)

    def response_head(self, deadline):
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            self._more(deadline)
        lines = self._rest[:end].decode("latin-1").split("\r\n")
        self._rest = self._rest[end + 4:]
        version, status, reason = re.fullmatch(r"(HTTP/1\.[01]) (\d{3}) (.*)", lines[0]).groups()
        pairs = [re.fullmatch(r"([!#-'*+.^-z|~0-9A-Z-]+): ?(.*?)[ \t]*", line).groups() for line in lines[1:]]
        return Response(int(status), reason, version, Headers(pairs))

    def body(self, response):
        """A reader for the body of this response."""
        if self._method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return _Sized(self, 0)
        if response.headers.get("transfer-encoding"):
            return _Chunked(self)
        if "content-length" in response.headers:
            return _Sized(self, int(response.headers["content-length"]))
        return _UntilClose(self)

    def _more(self, deadline):
        self.socket.settimeout(max(deadline.left(), 0.001))
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        except TimeoutError:
            raise TimeoutError(f"nothing came within {deadline.seconds:.1f} s") from None
        if not piece:
            raise Cut("the connection ended")
        self._rest += piece

    def unread(self):
        """Bytes that were read after the last response."""
        return self._rest

    def take_unread(self, most):
        """Removes and returns up to `most` of them, for a caller that reads the socket itself."""
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def wait_closed(self, seconds=DEADLINE):
        """Waits until the server closes. Returns the bytes before the end."""
        deadline = Deadline(seconds)
        while True:
            try:
                self._more(deadline)
            except Cut:
                return self._rest

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def fetch(address, method, path, body=None, headers=None, seconds=DEADLINE, tls=None):
    """Sends one request on a separate connection."""
    with Connection(address, seconds, tls=tls) as connection:
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        return connection.response()


class _Body:
    """Reads a body one framed piece at a time. A read that times out consumes nothing, so it can be repeated."""

    def __init__(self, connection):
        self._connection = connection
        self._ended = False

    def next_piece(self, deadline):
        """The next piece, or None at the end."""
        while not self._ended:
            piece = self._take()
            if piece is not None:
                return piece
            if not self._ended:
                self._connection._more(deadline)
        return None

    def all(self, deadline):
        pieces = []
        while (piece := self.next_piece(deadline)) is not None:
            pieces.append(piece)
        return b"".join(pieces)


class _Chunked(_Body):
    def _take(self):
        line, crlf, behind = self._connection._rest.partition(b"\r\n")
        if not crlf or len(behind) < int(line, 16) + 2:
            return None
        size = int(line, 16)
        assert behind[size:size + 2] == b"\r\n", "a chunk without its end"
        self._connection._rest = behind[size + 2:]
        if not size:
            self._ended = True
            return None
        return behind[:size]


class _Sized(_Body):
    def __init__(self, connection, size):
        super().__init__(connection)
        self._size = size

    def _take(self):
        rest = self._connection._rest
        if len(rest) < self._size:
            return None
        self._ended = True
        self._connection._rest = rest[self._size:]
        return rest[:self._size]


class _UntilClose(_Body):
    def next_piece(self, deadline):
        if not self._connection._rest and not self._ended:
            try:
                self._connection._more(deadline)
            except Cut:
                self._ended = True
        piece, self._connection._rest = self._connection._rest, b""
        return piece or None


@dataclasses.dataclass
class Frame:
    """The lines between two blank lines of a stream."""
    raw: bytes
    at: float                   # time.monotonic() when it was complete
    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: int | None = None
    comment: str | None = None

    @property
    def epoch(self):
        return int(self.id.partition("-")[0])

    @property
    def n(self):
        """The event's number; None for a frame without an id."""
        return int(self.id.partition("-")[2]) if self.id else None

    def payload(self):
        """The `data` object of the event's JSON."""
        return json.loads(self.data)["data"]

    def story(self):
        """The event type and stage: "start", "process calling", "done"."""
        stage = self.payload().get("stage")
        return f"{self.event} {stage}" if stage else self.event


class EventStream:
    """A request whose response is an event stream. If the response is something else, .refused is true and .response has it."""

    def __init__(self, address, method, path, body=None, headers=None, **options):
        connection = Connection(address, **options)
        try:
            connection.request(method, path, body, headers)
            self._begin(connection)
        except OSError:
            connection.close()
            raise

    @classmethod
    def over(cls, connection):
        """The stream for a request that was already sent over this connection."""
        stream = cls.__new__(cls)
        stream._begin(connection)
        return stream

    def _begin(self, connection):
        self.connection = connection
        self.began = time.monotonic()
        self._rest = b""
        self.pieces = []            # chunks as received: one write of the server is one chunk
        deadline = Deadline(self.connection.seconds)
        self.response = self.connection.response_head(deadline)
        self._body = self.connection.body(self.response)
        self.refused = self.response.headers.get("content-type", "").partition(";")[0] != "text/event-stream"
        if self.refused:
            self.response.body = self._body.all(deadline)
        self.connection.check(self.response)

    def next(self, seconds=DEADLINE):
        """The next frame of any kind; None at a clean end; raises Cut if the connection was cut."""
        assert not self.refused, f"not a stream: {self.response}"
        deadline = Deadline(seconds)
        while (end := self._rest.find(b"\n\n")) < 0:
            piece = self._body.next_piece(deadline)
            if piece is None:
                assert not self._rest, f"half a frame at the end: {self._rest!r}"
                return None
            self.pieces.append(piece)
            self._rest += piece
        raw, self._rest = self._rest[:end], self._rest[end + 2:]
        frame = _parse(raw)
        if self.connection.is_checked:
            conformance.check_frame(frame)
        return frame

    def next_event(self, seconds=DEADLINE):
        """The next frame with an event, skipping comments and retry; None at the end."""
        deadline = Deadline(seconds)
        while (frame := self.next(deadline.left())) is not None and frame.event is None:
            pass
        return frame

    def until(self, *stories, seconds=DEADLINE):
        """The events up to and including the first of these types ("done") or stories ("process image")."""
        deadline = Deadline(seconds)
        events = []
        while True:
            frame = self.next_event(deadline.left())
            assert frame is not None, f"the stream ended after {[event.story() for event in events]}, without {stories}"
            events.append(frame)
            if frame.event in stories or frame.story() in stories:
                return events

    def to_end(self, seconds=DEADLINE):
        """All events until the server ends the stream."""
        deadline = Deadline(seconds)
        events = []
        while (frame := self.next_event(deadline.left())) is not None:
            events.append(frame)
        return events

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _parse(raw):
    frame = Frame(raw, time.monotonic())
    assert b"\r" not in raw, f"a carriage return in a frame: {raw!r}"
    for line in raw.decode().split("\n"):
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name and colon:
            frame.comment = value
        elif name == "data":
            assert frame.data is None, f"two data lines: {raw!r}"
            frame.data = value
        elif name in ("id", "event"):
            setattr(frame, name, value)
        elif name == "retry":
            frame.retry = int(value)
        else:
            raise AssertionError(f"an unknown line in a frame: {line!r}")
    return frame
