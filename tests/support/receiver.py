"""A receiver of webhooks that behaves as a test says.

    receiver = Receiver(500, (503, {"Retry-After": "7"}), 200)      # one step per request; the last one is repeated
    receiver.url, receiver.wait(2)[1].json()["event"]

A step is a status, (status, headers), (status, headers, body), or a function that gets the socket. HANG: it answers nothing until close().
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time

from support.processes import eventually

SECRET = "0123456789abcdef0123456789abcdef"


def client_secret(client="public", generation=1, master=SECRET):
    """The key of a client, as whsec_... has it."""
    return hmac.new(master.encode(), f"arkrelay webhook secret\n{client}\n{generation}".encode(), hashlib.sha256).digest()


def shown(key):
    return "whsec_" + base64.b64encode(key).decode()


@dataclasses.dataclass
class Delivery:
    path: str
    headers: dict               # names in small letters
    body: bytes
    at: float

    def json(self):
        return json.loads(self.body)

    @property
    def id(self):
        return self.headers["webhook-id"]

    def signatures(self):
        return self.headers["webhook-signature"].split(" ")

    def is_signed_by(self, key):
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() in self.signatures()


def HANG(connection, receiver):
    receiver.closing.wait(60)


class Receiver:
    def __init__(self, *steps, host="127.0.0.1", port=0, pair=None):
        self.steps = list(steps) or [200]
        self.deliveries = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, port), backlog=1024)
        self._context = None
        if pair:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pair.cert, pair.key)
        self.host, self.port = self._listener.getsockname()[:2]
        self.address = f"{self.host}:{self.port}"
        self.url = f"{'https' if pair else 'http'}://{self.address}/hook"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closing.set()
        self._listener.close()

    def wait(self, count, seconds=20):
        """The first deliveries, once there are so many."""
        eventually(lambda: len(self.deliveries) >= count, f"{count} deliveries to {self.url}, {len(self.deliveries)} came", seconds)
        return list(self.deliveries)

    def _accept(self):
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                delivery = self._read(connection)
                if delivery:
                    self._answer(connection, self._note(delivery))
        except OSError:
            pass

    def _read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        return Delivery(first.split(" ")[1], headers, body, time.monotonic())

    def _note(self, delivery):
        with self._lock:
            step = self.steps[min(len(self.deliveries), len(self.steps) - 1)]
            self.deliveries.append(delivery)
        return step

    def _answer(self, connection, step):
        if callable(step):
            step(connection, self)
            return
        given = step if isinstance(step, tuple) else (step,)
        status, headers, body = (*given, *({}, b"")[len(given) - 1:])
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Length": len(body), **headers}.items())
        connection.sendall(f"HTTP/1.1 {status} Any\r\n{lines}\r\n".encode() + body)
