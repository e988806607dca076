"""A minimal Redis client for reading: RESP2 over TCP, TLS or a Unix socket.

    redis = Redis("redis://user:password@127.0.0.1:6379/0", timeout=10)
    redis("GET", "key")             # text, int, None, or a list of these
"""

import atexit
import socket
import ssl
import urllib.parse

from arkctl_lib.failure import NOT_ALLOWED, UNREACHABLE, USAGE, Failure

REPLY_MAX = 300 * 1024 * 1024
DENIED = ("NOAUTH", "WRONGPASS", "NOPERM", "ERR invalid password", "ERR AUTH")


class Refused(Exception):
    """An error reply of Redis."""


class Redis:
    def __init__(self, url, timeout=10.0):
        self.url, parts = _without_password(url), _parse(url)
        try:
            self._socket = _connect(parts, timeout)
        except OSError as error:
            raise self._lost(error) from None
        self._file = self._socket.makefile("rb")
        atexit.register(self._socket.close)
        self._greet(parts)

    def __call__(self, *words):
        try:
            return self.ask(*words)
        except Refused as refused:
            code = NOT_ALLOWED if str(refused).startswith(DENIED) else UNREACHABLE
            raise Failure(code, f"Redis at {self.url}: {refused}") from None

    def ask(self, *words):
        """Like calling the object, but raises Refused instead of Failure for an error reply."""
        data = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in data)
        try:
            self._socket.sendall(request)
            reply = self._read()
        except OSError as error:
            raise self._lost(error) from None
        except ValueError:
            raise Failure(UNREACHABLE, f"the server at {self.url} is not Redis") from None
        if isinstance(reply, Refused):
            raise reply
        return reply

    def _greet(self, parts):
        if parts.password:
            self("AUTH", *([urllib.parse.unquote(parts.username)] if parts.username else []), urllib.parse.unquote(parts.password))
        database = parts.path.strip("/") if parts.scheme != "unix" else ""
        if database not in ("", "0"):
            self("SELECT", database)

    def _read(self):
        line = self._file.readline(65536)
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed") if not line else ValueError("not RESP")
        kind, rest = line[:1], line[1:-2]
        if kind in (b"+", b"-"):
            text = rest.decode("utf-8", "replace")
            return Refused(text) if kind == b"-" else text
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"*":
            return None if number < 0 else [self._read() for _ in range(min(number, REPLY_MAX))]
        if kind == b"$" and number <= REPLY_MAX:
            return None if number < 0 else self._bytes(number).decode("utf-8", "replace")
        raise ValueError("not RESP")

    def _bytes(self, count):
        data = self._file.read(count + 2)
        if len(data) < count + 2:
            raise ConnectionError("the connection was closed")
        return data[:-2]

    def _lost(self, error):
        return Failure(UNREACHABLE, f"cannot reach Redis at {self.url}: {error.strerror or error}")


def _parse(url):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "redis+sentinel":
        raise Failure(USAGE, "--redis needs the address of Redis, not of a Sentinel: redis://host:port")
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise Failure(USAGE, "--redis must be redis://[user:password@]host[:port][/database], rediss://..., or unix:///path")
    try:
        _ = parts.port
    except ValueError:
        raise Failure(USAGE, "--redis: the port is not a number from 1 to 65535") from None
    return parts


def _connect(parts, timeout):
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(parts.path)
        return connection
    host = parts.hostname or "127.0.0.1"
    connection = socket.create_connection((host, parts.port or 6379), timeout)
    return ssl.create_default_context().wrap_socket(connection, server_hostname=host) if parts.scheme == "rediss" else connection


def _without_password(url):
    parts = urllib.parse.urlsplit(url)
    return url if "@" not in parts.netloc else urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
