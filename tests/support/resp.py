"""A small Redis client: RESP2, pipelines, pub/sub. Answers are bytes, int, None, or lists of these.

    redis = Redis("/tmp/x/redis.sock")          # or ("127.0.0.1", 6379)
    redis("SET", "k", 1)                        # b"OK"; a Redis error raises RedisError
    redis.pipeline([("GET", "k"), ("BAD",)])    # [b"1", RedisError(...)]
    news = redis.subscribe("a", "b*")           # channels or patterns, on a separate connection
    channel, payload = news.next_message()
"""

import socket

from support.processes import DEADLINE


class RedisError(Exception):
    """An error reply: "WRONGTYPE Operation ..."."""


class Redis:
    def __init__(self, address, seconds=DEADLINE):
        self.address = address
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(kind, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._rest = bytearray()
        self._others = []           # closed with this one

    def __call__(self, *words):
        answer, = self.pipeline([words])
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def pipeline(self, commands):
        """Sends all commands in one write. Returns the replies in order; errors are values, not raised."""
        commands = list(commands)
        self._socket.sendall(b"".join(map(_encode, commands)))
        return [self._read() for _ in commands]

    def send(self, *words):
        """Sends a command without reading its answer. The connection cannot be used afterwards."""
        self._socket.sendall(_encode(words))

    def subscribe(self, *patterns):
        """Opens another connection and waits until the subscription to all patterns is confirmed."""
        other = Redis(self.address)
        self._others.append(other)
        return Subscription(other, patterns)

    def close(self):
        for connection in (self, *self._others):
            connection._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _more(self):
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionError("Redis closed the connection")
        self._rest += piece

    def _line(self):
        while (end := self._rest.find(b"\r\n")) < 0:
            self._more()
        line = bytes(self._rest[:end])
        del self._rest[:end + 2]
        return line

    def _exactly(self, count):
        while len(self._rest) < count + 2:
            self._more()
        data = bytes(self._rest[:count])
        del self._rest[:count + 2]
        return data

    def _read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        raise ConnectionError(f"not RESP2: {line!r}")


class Subscription:
    """Messages are (channel, payload), both bytes."""

    def __init__(self, redis, patterns):
        self._redis = redis
        redis._socket.sendall(_encode(("PSUBSCRIBE", *patterns)))
        for _ in patterns:
            redis._read()

    def next_message(self, seconds=DEADLINE):
        self._redis._socket.settimeout(seconds)
        kind, _, channel, payload = self._redis._read()
        assert kind == b"pmessage", kind
        return channel, payload

    def messages(self):
        """All messages published before this call."""
        self._redis._socket.sendall(_encode(("PING",)))      # the reply follows all messages published before
        messages = []
        while (answer := self._redis._read())[0] == b"pmessage":
            messages.append((answer[2], answer[3]))
        return messages

    def close(self):
        self._redis.close()


def _encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
