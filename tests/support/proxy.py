"""A TCP proxy that injects faults between a program and Redis or ARK.

    proxy = world.proxy()
    world.worker(REDIS_URL=proxy.url)
    proxy.lose_reply_to(script_sha1)    # the next request with these bytes is delivered; the connection is cut before the answer
    proxy.lost.wait()
    proxy.hold(script_sha1)             # the next request with these bytes, and all later ones on its connection, wait ...
    proxy.held.wait()
    proxy.release()                     # ... until here
    proxy.freeze(); proxy.thaw()        # connections stay open but no data passes, as if the network dropped every packet
    proxy.delay(0.2)                    # delays every piece; 0: no delay
    proxy.cut_after(100)                # cuts the connection after so many more bytes of answers
    proxy.cut_all(reset=True)           # resets every connection now
    proxy.aim(target)                   # new connections go to target, as if the address had moved to another machine

One thread per direction. close() ends all of them.
"""

import socket
import struct
import threading
import time

from support.processes import DEADLINE


class Event:
    """An event to wait for, with a deadline."""

    def __init__(self, what):
        self._what = what
        self._event = threading.Event()

    def set(self):
        self._event.set()

    def wait(self, seconds=DEADLINE):
        if not self._event.wait(seconds):
            raise AssertionError(f"not within {seconds} s: {self._what}")


class Proxy:
    def __init__(self, target):
        """target: the path of a unix socket, or (host, port)."""
        self._target = target
        self._lock = threading.Lock()
        self._sockets = []
        self._cut_at = self._hold_at = self._room = None
        self._delay_s = 0
        self._release = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.url = f"redis://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_reply_to(self, pattern):
        self.lost = Event(f"a request with {pattern!r} loses its reply")
        self._cut_at = pattern.encode()

    def hold(self, pattern):
        self.held = Event(f"a request with {pattern!r} is held")
        self._release.clear()
        self._hold_at = pattern.encode()

    def release(self):
        self._release.set()

    def freeze(self):
        self._flows.clear()

    def thaw(self):
        self._flows.set()

    def delay(self, seconds):
        self._delay_s = seconds

    def cut_after(self, count):
        self._room = count

    def cut_all(self, reset=False):
        """Closes every connection; new ones are accepted."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            _shut(each, reset)

    def aim(self, target):
        self._target = target

    def close(self):
        self._release.set()
        self._flows.set()
        _shut(self._listener)
        self.cut_all()

    # -- its threads

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
            try:
                server.connect(self._target)
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                self._sockets += [client, server]
            muted = threading.Event()
            threading.Thread(target=self._requests, args=(client, server, muted), daemon=True).start()
            threading.Thread(target=self._replies, args=(server, client, muted), daemon=True).start()

    def _requests(self, client, server, muted):
        """Looks for patterns in single reads. Programs write a request at once, so a pattern is almost never split; if it is, a later
        request matches."""
        try:
            while piece := client.recv(1 << 20):
                if self._takes("_hold_at", piece):
                    self.held.set()
                    self._release.wait()
                if self._takes("_cut_at", piece):
                    muted.set()             # before the request is sent, so that its answer finds it set
                self._travel()
                server.sendall(piece)
        except OSError:
            pass
        _shut(client)
        _shut(server)

    def _takes(self, rule, piece):
        """True if this piece matches the rule; a rule is used once."""
        with self._lock:
            pattern = getattr(self, rule)
            if not pattern or pattern not in piece:
                return False
            setattr(self, rule, None)
            return True

    def _replies(self, server, client, muted):
        try:
            while piece := server.recv(1 << 20):
                if muted.is_set():          # Redis has run the request; its answer is dropped
                    self.lost.set()
                    break
                self._travel()
                room = self._take_room(len(piece))
                client.sendall(piece[:room])
                if room < len(piece):
                    break
        except OSError:
            pass
        _shut(client)
        _shut(server)

    def _travel(self):
        if self._delay_s:
            time.sleep(self._delay_s)
        self._flows.wait()

    def _take_room(self, size):
        """The number of bytes that may pass. If it is less than size, the connection is cut there, once."""
        with self._lock:
            if self._room is None or self._room >= size:
                self._room = None if self._room is None else self._room - size
                return size
            room, self._room = self._room, None
            return room


def _shut(each, reset=False):
    """The shutdown wakes the thread that reads from it; without it close would wait for that thread."""
    try:
        if reset:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
    except OSError:
        pass
    each.close()
