"""Thousands of clients in one thread: raw sockets with a minimal SSE parser that counts events.

    with Herd(5000) as herd:
        herd.send(lambda n: gateway.address, lambda n: post(n))
        herd.wait(lambda client: client.numbers, "every client has seen an event")
        gateway.kill()
        herd.wait(lambda client: client.ended, "every client was disconnected")
        herd.reconnect(...)

They use many source addresses of 127.0.0.0/8.
"""

import errno
import json
import re
import resource
import selectors
import socket
import time
import unittest

from support.processes import Deadline

OWN_FILES = 200             # files of this process besides the clients' sockets
AT_ONCE = 100               # connections per step: the listen backlog is limited, and Redis must answer all within a second
PER_ADDRESS = 100           # clients per source address
FIELD = re.compile(rb"^(?:id: (\d+-\d+)|event: (\w+)|retry: (\d+))\r?$", re.M)


class Client:
    """One client, with one connection at a time. Keeps the numbers of the events it has seen."""

    def __init__(self, n):
        self.n = n
        self.socket = None
        self.status = None          # HTTP status
        self.numbers = []           # numbers of the events received
        self.last_id = self.last_event = self.retry_ms = None
        self.ended = False          # closed by the gateway
        self._rest = b""

    def take(self, piece):
        """Parses frames. Each chunk has whole frames; a frame that is cut at the end of a read is kept for the next one."""
        data = self._rest + piece
        if not self.status and (head := re.match(rb"HTTP/1.1 (\d{3}) ", data)):
            self.status = int(head.group(1))
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        for match in FIELD.finditer(data, 0, end):
            if match.group(1):
                self.last_id = match.group(1).decode()
                self.numbers.append(int(self.last_id.partition("-")[2]))
            elif match.group(2):
                self.last_event = match.group(2).decode()
            else:
                self.retry_ms = int(match.group(3))

    def begin(self):
        self.status, self.ended, self._rest = None, False, b""


class Herd:
    def __init__(self, count, receive_buffer=None):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if count + OWN_FILES > most:
            raise unittest.SkipTest(f"{count} clients need more than the {most} files that a process may have here")
        self.clients = [Client(n) for n in range(count)]
        self._buffer = receive_buffer
        self._selector = selectors.EpollSelector()

    def send(self, address, request, reads=True, until=None):
        """Every client connects to address(client) and sends request(client). With `reads`, it also reads the response. With `until`,
        connects 100 clients at a time, and the next 100 after until(client) is true for these."""
        for begin in range(0, len(self.clients), AT_ONCE):
            waiting = self.clients[begin:begin + AT_ONCE]
            for client in waiting:
                self._connect(client, address(client))
            for client in waiting:
                self._write(client, request(client))
                if reads:
                    self._selector.register(client.socket, selectors.EVENT_READ, client)
            self._turn(0)
            if until:
                self.wait(until, "the first ones have what they wait for", among=waiting)

    def send_in_time(self, address, request, delay_s, among=None):
        """Like send, but each client connects after its own delay_s(client)."""
        began = time.monotonic()
        for client in sorted(among or self.clients, key=delay_s):
            while (left := began + delay_s(client) - time.monotonic()) > 0:
                self._turn(left)
            self._connect(client, address(client))
            self._write(client, request(client))
            self._selector.register(client.socket, selectors.EVENT_READ, client)

    def _connect(self, client, address):
        host, _, port = address.rpartition(":")
        if client.socket and not client.ended:
            self._hang_up(client)
        client.begin()
        client.socket = socket.socket()
        if self._buffer:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        client.socket.bind((f"127.0.{1 + client.n // PER_ADDRESS // 250}.{1 + client.n // PER_ADDRESS % 250}", 0))
        client.socket.settimeout(30)
        client.socket.connect((host, int(port)))

    @staticmethod
    def _write(client, data):
        client.socket.sendall(data)
        client.socket.setblocking(False)

    def wait(self, condition, what, seconds=60, among=None):
        """Waits until condition(client) is true for every client."""
        deadline = Deadline(seconds)
        left = [client for client in among or self.clients if not condition(client)]
        while left:
            if deadline.passed():
                raise AssertionError(f"not within {seconds} s: {what}; {len(left)} of {len(self.clients)} are left, such as "
                                     f"{vars(left[0])}")
            self._turn(0.05)
            left = [client for client in left if not condition(client)]

    def _turn(self, seconds):
        for key, _ in self._selector.select(seconds):
            self._read(key.data)

    def _read(self, client):
        try:
            piece = client.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.EPIPE), error
            piece = b""
        if piece:
            client.take(piece)
        else:
            self._hang_up(client)

    def _hang_up(self, client):
        client.ended = True
        self._selector.unregister(client.socket)
        client.socket.close()

    def close(self):
        for client in self.clients:
            if client.socket:
                client.socket.close()
        self._selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def get(path, **headers):
    return _request("GET", path, b"", headers)


def post(path, body):
    data = json.dumps(body).encode()
    return _request("POST", path, data, {"Content-Type": "application/json", "Content-Length": len(data)})


def _request(method, path, body, headers):
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Host": "test", **headers}.items())
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() + body
