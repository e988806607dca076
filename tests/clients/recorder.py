"""A server that records every byte that it receives and answers like the gateway.

    with Recorder(8000) as recorder:
        recorder.forget()
        ...                                 # a client talks to recorder.base
        recorder.connections()              # the bytes of each connection, ordered by the time of the first byte

A stream ends with `done`. A GET of a stream without Last-Event-ID is cut after two events, so that event sources reconnect with
Last-Event-ID. A body that is too large for the gateway is refused after the head, without sending 100 Continue.
"""

import contextlib
import json
import socket
import threading

from support import recordings

SECONDS = 20
BODY_MAX = 262144
EPOCH = 1700000000000
HEAD = "HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{}\r\n"


def frame(number, kind, **data):
    text = json.dumps({"event": kind, "data": data}, ensure_ascii=False)
    return f"id: {EPOCH}-{number}\nevent: {kind}\ndata: {text}\n\n".encode()


def chunk(content):
    return b"%x\r\n%b\r\n" % (len(content), content)


class Recorder:
    def __init__(self, port):
        self._lock = threading.Lock()
        self._logs = []
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self):
        with self._lock:
            self._logs = []

    def connections(self):
        with self._lock:
            return [bytes(log) for log in self._logs if log]

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                log = bytearray()
                self._logs.append(log)
            threading.Thread(target=self._serve, args=(connection, log), daemon=True).start()

    def _serve(self, connection, log):
        connection.settimeout(SECONDS)
        with connection, contextlib.suppress(OSError):
            rest = b""
            while (request := self._read(connection, log, rest)) is not None:
                request, rest = request
                if not self._answer(connection, request):
                    return

    def _read(self, connection, log, rest):
        """Reads the next request; returns it and the following bytes, or None at the end."""
        asked = False
        while (request := recordings.take_request(rest)) is None:
            head = recordings.take_head(rest)
            if head and not asked and recordings.header(head, "Expect"):
                if int(recordings.header(head, "Content-Length") or 0) > BODY_MAX:
                    return recordings.Request(head, b"", b""), b""
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                asked = True
            piece = connection.recv(65536)
            if not piece:
                return None
            log.extend(piece)
            rest += piece
        return request, rest[len(request.raw):]

    def _answer(self, connection, request):
        """Answers the request; returns True if the connection stays open."""
        if int(request.header("Content-Length") or 0) > BODY_MAX:
            connection.sendall(HEAD.format(413, "Content Too Large", "text/plain", "Content-Length: 0\r\nConnection: close\r\n").encode())
            return False
        if request.path.endswith("/stream"):
            return self._stream(connection, request)
        more = "Content-Length: 2\r\n" + ("Connection: close\r\n" if request.closes else "")
        connection.sendall(HEAD.format(200, "OK", "application/json", more).encode() + b"{}")
        return not request.closes

    def _stream(self, connection, request):
        cut = request.method == "GET" and not request.header("Last-Event-ID")
        frames = [b"retry: 10\n\n", frame(1, "start", position=1), frame(2, "process", stage="calling")]
        if not cut:
            frames += [frame(3, "done", generated_images=[])]
        if request.is_1_0:
            connection.sendall(HEAD.format(200, "OK", "text/event-stream", "Connection: close\r\n").encode() + b"".join(frames))
            return False
        head = HEAD.format(200, "OK", "text/event-stream",
                           "Transfer-Encoding: chunked\r\n" + ("Connection: close\r\n" if request.closes else ""))
        connection.sendall(head.encode() + b"".join(map(chunk, frames)) + (b"" if cut else b"0\r\n\r\n"))
        return not cut and not request.closes

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._listener.close()
