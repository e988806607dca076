"""Runs a private redis-server in its own folder.

    with RedisServer() as server:               # a unix socket; RedisServer(tcp=True) a port as well
        redis = server.client()
        program.env["REDIS_URL"] = server.url
        server.stop(); server.start()           # keeps the folder, socket and port; with aof=True also the data
"""

import os
import shutil
import socket
import tempfile

from support.processes import Program
from support.resp import Redis

FULL_DISK = ("sh", "-c", 'trap "" XFSZ; exec "$0" "$@"')       # with XFSZ ignored, prlimit --fsize makes write() fail like a full disk

_keepers = []


class RedisServer:
    def __init__(self, tcp=False, aof=False, options=(), under=()):
        """options: further command line words, such as ("--maxmemory", "5mb"); under: words to put in front of it."""
        self.folder = tempfile.mkdtemp(prefix="arkrelay-redis-")
        self.socket = os.path.join(self.folder, "redis.sock")
        self.port = 0
        self.program = None
        self._tcp, self._under = tcp, under
        # Not everysec: it delays writes while the disk is busy, and a kill then loses acknowledged data.
        self._options = ["--appendonly", "yes" if aof else "no", "--appendfsync", "always", *options]
        self._clients = []
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}" if self._tcp else f"unix://{self.socket}"

    def start(self):
        """Starts the server, also after stop or kill."""
        if self._tcp and not self.port:
            self.port = free_port()
        self.program = Program("redis-server", [
            *self._under, *FULL_DISK, server_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket,
            "--dir", self.folder, "--save", "", "--maxmemory-policy", "noeviction", "--enable-debug-command", "yes",
            "--logfile", "", *self._options], cwd=self.folder)
        self.program.wait_for("[Rr]eady to accept connections")

    def client(self):
        """A new connection; it is closed with the server."""
        client = Redis(self.socket)
        self._clients.append(client)
        return client

    def stop(self):
        """Shuts it down cleanly."""
        self.program.stop()

    def kill(self):
        self.program.kill()

    def close(self):
        for client in self._clients:
            client.close()
        if self.program.is_running():
            self.program.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def server_path():
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    assert path, "neither redis-server nor valkey-server is installed"
    return path


def free_port():
    """A port that no other call returns while this process runs, because a bound socket reserves it. A server with SO_REUSEADDR, as all of
    ours, can listen on it nevertheless."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _keepers.append(keeper)
    return keeper.getsockname()[1]
