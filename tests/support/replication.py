"""Redis replicas, with a breakable connection to the master, and sentinels.

    with World(tcp=True) as world, Replicas(world) as replicas:
        replica = replicas.add()            # follows world.redis_server, and has caught up
        replicas.way.freeze()               # later writes do not reach it
        replicas.promote(replica)           # it is a master now, and world uses it
    with Sentinels(world.redis_server, 3) as sentinels:
        program.env["REDIS_URL"] = sentinels.url
        sentinels.await_master(replica.port)
"""

import os
import socket
import tempfile
import threading

from support.processes import Program, eventually
from support.proxy import Proxy
from support.redis_server import RedisServer, free_port, server_path
from support.resp import Redis
from support.scripts import Scripts

NAME = "pictures"           # the master's name for sentinels
AT_ONCE = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")    # options of a master
FENCED = (*AT_ONCE, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")  # ... that refuses writes without a replica


class Replicas:
    def __init__(self, world):
        self.world = world
        self.servers = []
        self.way = Proxy(("127.0.0.1", world.redis_server.port))

    def add(self, through=None, options=AT_ONCE):
        """A replica of the world's master. through: the proxy to it, default self.way."""
        host, _, port = (through or self.way.address).rpartition(":")
        server = RedisServer(tcp=True, options=("--replicaof", f"{host} {port}", *options))
        self.servers.append(server)
        self.await_link(server)
        return server

    def await_link(self, server):
        client = server.client()
        eventually(lambda: b"master_link_status:up" in client("INFO", "replication"), "the replica follows")

    def await_caught_up(self):
        """Waits until a replica has all writes."""
        eventually(lambda: self.world.redis("WAIT", 1, 1000) >= 1, "a replica has all")

    def promote(self, server):
        """Promotes the replica without coordination: writes that it has not received are lost."""
        server.client()("REPLICAOF", "NO", "ONE")
        self.look_at(server)

    def look_at(self, server):
        self.world.redis = server.client()
        self.world.run_script = Scripts(self.world.redis)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.way.close()
        for server in self.servers:
            server.close()


class Sentinels:
    """Sentinels that monitor a master over TCP and consider it down after half a second of silence."""

    def __init__(self, master, count=3, password=None):
        self.folder = tempfile.TemporaryDirectory(prefix="arkrelay-sentinel-")
        self.ports, self.programs = [], []
        for n in range(count):
            self._start(n, master.port, count // 2 + 1, password)
        for n in range(count):
            self._await_others(n, count - 1, password)

    def _start(self, n, master_port, quorum, password):
        port, path = free_port(), os.path.join(self.folder.name, f"{n}.conf")
        with open(path, "w", encoding="ascii") as conf:
            conf.write(f"port {port}\nbind 127.0.0.1\ndir {self.folder.name}\nlogfile \"\"\n"
                       f"sentinel monitor {NAME} 127.0.0.1 {master_port} {quorum}\n"
                       f"sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n"
                       + (f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else ""))
        self.programs.append(Program(f"sentinel-{n}", [server_path(), path, "--sentinel"], cwd=self.folder.name))
        self.ports.append(port)
        self.programs[-1].wait_for("monitor master")

    def _await_others(self, n, count, password):
        def knows():
            with self.client(n) as client:
                if password:
                    client("AUTH", password)
                fields = client("SENTINEL", "MASTER", NAME)
                told = dict(zip(fields[::2], fields[1::2]))
                return int(told[b"num-other-sentinels"]) == count and int(told[b"num-slaves"]) >= 0
        eventually(knows, "the sentinels know each other")

    def client(self, n=0):
        return Redis(("127.0.0.1", self.ports[n]))

    @property
    def url(self):
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{NAME}"

    def await_replicas(self, count):
        """Waits until the sentinels know a replica; before that a failover is impossible."""
        def knows(n):
            with self.client(n) as client:
                return len(client("SENTINEL", "REPLICAS", NAME)) == count
        eventually(lambda: all(map(knows, range(len(self.ports)))), "the sentinels know the replicas")

    def await_master(self, port):
        def says():
            return self.master(0) == port
        eventually(says, f"the sentinels call {port} the master")

    def master(self, n):
        with self.client(n) as client:
            return int(client("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for program in self.programs:
            if program.is_running():
                program.kill()
        self.folder.cleanup()


class FakeSentinel:
    """Gives the same answer to every request."""

    def __init__(self, answer):
        self.answer, self.asked = answer, b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.url = f"redis+sentinel://{self.address}/{NAME}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self.asked = client.recv(65536)
                client.sendall(self.answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
