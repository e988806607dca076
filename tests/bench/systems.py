"""The measured systems: arkrelay and its alternatives. Each one starts and stops its own Redis.

    with ArkRelay(bin, image_ms=0) as system:
        system.load("tasks", clients=64, **{"for": "3s"})       # the report of sse_load, as a dict

`programs` are the names and pids of the processes whose memory and CPU time is reported.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from bench.kernel import said_by
from support.http_client import fetch
from support.processes import Deadline, Program, eventually
from support.redis_server import RedisServer, free_port

PEERS = pathlib.Path(__file__).with_name("peers")
ROOT = pathlib.Path(__file__).resolve().parents[2]
DESCRIPTORS = 20000
CALLS = 10000           # maximum in flight per worker
CORES = os.cpu_count()
MANY = 10_000_000


class System:
    """A Redis, the processes of the system, and the load on it."""

    name = ""
    partition = ""          # prefix of its Redis keys
    settings = {}           # settings to print below the table
    aof = "no"              # appendfsync of Redis: no, everysec, always

    def __init__(self, bin_folder, image_ms=0):
        self.bin = pathlib.Path(bin_folder)
        self.image_ms = image_ms
        self.programs = []
        self.started = []
        self.redis = RedisServer(tcp=True, options=["--tcp-backlog", "4096", "--appendonly", "no" if self.aof == "no" else "yes",
                                                    "--appendfsync", "everysec" if self.aof == "no" else self.aof])
        self._runs = 0

    def __enter__(self):
        try:
            self.note("redis", self.redis.program.pid)
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        for program in reversed(self.started):
            if program.is_running():
                program.stop(60)
            program.forget()
        self.redis.close()
        self.redis.program.forget()

    def run(self, name, argv, env=None):
        program = Program(name, [str(word) for word in argv], {key: str(value) for key, value in (env or {}).items()})
        self.started.append(program)
        return program

    def note(self, name, pid):
        self.programs.append((name, pid))

    def start_simulator(self):
        """By default, libevent's timers use a clock with a resolution of 4 ms, so the precise timer is enabled."""
        simulator = self.run("ark-sim", [self.bin / "arkrelay-ark-sim", "--listen", "127.0.0.1:0", "--image-ms", self.image_ms],
                             {"EVENT_PRECISE_TIMER": "1"})
        self.ark_url = f"http://{simulator.listening()}/api/v3"
        self.note("ark-sim", simulator.pid)

    def running(self, role):
        return [program for program in self.started if program.is_running() and program.name.partition("-")[0] == role]

    def end(self, program):
        """Stops it gracefully, and no longer reports on it and its children."""
        gone = {program.pid, *children(program.pid)}
        program.stop(120)
        self.programs = [(name, pid) for name, pid in self.programs if pid not in gone]

    # -- the load

    def load_command(self, scenario, **options):
        """Options by name, with _ for -; True and False are flags."""
        self._runs += 1
        given = {"target": self.address, "prefix": f"r{self._runs}", "redis": f"127.0.0.1:{self.redis.port}",
                 "partition": self.partition or "-", "processes": ",".join(f"{name}={pid}" for name, pid in self.programs), **options}
        words = [str(self.bin / "sse_load"), "--scenario", scenario]
        for name, value in given.items():
            flag = "--" + name.rstrip("_").replace("_", "-")
            words += [flag] if value is True else [] if value is False else [flag, str(value)]
        return words

    def load(self, scenario, **options):
        done = subprocess.run(self.load_command(scenario, **options), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if not done.stdout:
            raise RuntimeError(f"sse_load {scenario} {options}: status {done.returncode}, {done.stderr}")
        return json.loads(done.stdout)

    @classmethod
    def missing(cls):
        """The reason why it cannot run here, or None."""
        return None

    def warm_up(self):
        """Runs tasks that are not measured, because the first tasks of a process wait for connections and imports."""
        self.load("tasks", clients=32, tasks=64, deadline="60s")

    def stream_options(self):
        """The options of sse_load by which open streams get events."""
        return {}

    def pss_kib(self, *names):
        """The memory of its processes with these names, without the number after a dash."""
        return sum(pss_kib(pid) for name, pid in self.programs if name.partition("-")[0] in names)

    def gateways_kib(self):
        return self.pss_kib("gateway")

    def cpu_s(self, *names):
        return sum(cpu_s(pid) for name, pid in self.programs if name.partition("-")[0] in names)


def pss_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1))


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


class ArkRelay(System):
    """arkrelay: one gateway with one thread, or several on one port, and one worker."""

    name = "arkrelay"
    partition = "arkrelay:{0}:"
    settings = {"gateway": "1 process, 1 thread", "worker": "1 process", "limits": "raised above the load, no client keys",
                "logs": "warnings (the default writes three lines per task)"}
    other_folder = None     # the folder of gateway and worker, if not that of the load generator

    def __init__(self, bin_folder, gateways=1, workers=1, options=None, **rest):
        """options: of gateways and workers, by their environment names."""
        self.gateways, self.workers, self.options = gateways, workers, options or {}
        super().__init__(bin_folder, **rest)
        self.arkrelay = pathlib.Path(self.other_folder or bin_folder)

    def start(self):
        self.start_simulator()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        for n in range(1, self.gateways + 1):
            self.start_gateway(n)
        for n in range(1, self.workers + 1):
            self.start_worker(n)

    def start_gateway(self, n=1):
        gateway = self.run(f"gateway-{n}", [self.arkrelay / "arkrelay-gateway"], {
            "GATEWAY_LISTEN": self.address, "GATEWAY_SHARE_PORT": "true" if self.gateways > 1 else "false",
            "GATEWAY_CONNECTIONS_MAX": DESCRIPTORS, "GATEWAY_CONNECTIONS_PER_ADDRESS": 0, "GATEWAY_QUEUE_LIMIT": MANY,
            "GATEWAY_CLIENT_QUEUE_LIMIT": MANY, "REDIS_URL": self.redis.url, "GATEWAY_STREAM_LIFE": "0",
            "LOG_LEVEL": "info" if self.gateways > 1 else "warn", **self.options})
        if self.gateways > 1:           # on a shared port, any of them may answer
            gateway.listening()
        await_ready(gateway, self.address)
        self.note(f"gateway-{n}", gateway.pid)
        return gateway

    def start_worker(self, n=1, concurrency=CALLS, **options):
        address = f"127.0.0.1:{free_port()}"
        worker = self.run(f"worker-{n}", [self.arkrelay / "arkrelay-worker"], {
            "WORKER_LISTEN": address, "LOG_LEVEL": "warn", "WORKER_CONCURRENCY": concurrency, "ARK_IMAGES_PER_MINUTE": 0, "ARK_API_KEY": "bench",
            "ARK_BASE_URL": self.ark_url, "REDIS_URL": self.redis.url, **self.options, **options})
        await_ready(worker, address)
        self.note(f"worker-{n}", worker.pid)
        return worker

    def stream_options(self):
        return {"claim": True, "inject": "append"}

    def waiting(self, redis):
        return redis("ZCARD", "arkrelay:{0}:pending")


def arkrelay_before(folder):
    """arkrelay with gateway and worker from this folder. Simulator and load generator are the same for both."""
    return type("ArkRelayBefore", (ArkRelay,), {"name": "before", "other_folder": folder,
                                                "settings": {**ArkRelay.settings, "programs": str(folder)}})


class FastApi(System):
    """FastAPI, uvicorn, redis-py, an asyncio worker with aiohttp."""

    name = "FastAPI"
    partition = "peer:"
    settings = {"gateway": f"uvicorn --workers {CORES} --loop uvloop --http httptools --no-access-log --backlog 4096",
                "redis-py": "asyncio, blocking pool of 128 connections, one pub/sub connection per process",
                "worker": "asyncio on uvloop, aiohttp without a connection limit, up to 10,000 calls at once"}

    def __init__(self, bin_folder, workers=1, **rest):
        self.workers = workers
        super().__init__(bin_folder, **rest)

    def start(self):
        self.start_simulator()
        self.start_gateway()
        for n in range(1, self.workers + 1):
            self.start_worker(n)

    def start_gateway(self):
        self.address = f"127.0.0.1:{free_port()}"
        server = self.run("gateway-0", [
            "prlimit", f"--nofile={DESCRIPTORS}", "/usr/bin/python3", "-m", "uvicorn", "fastapi_gateway:app", "--app-dir", PEERS,
            "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--workers", CORES, "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning", "--backlog", "4096"],
            {"PEER_REDIS": self.redis.url, "PYTHONDONTWRITEBYTECODE": "1"})
        await_ready(server, self.address)
        for n, pid in enumerate([server.pid, *children(server.pid)]):
            self.note(f"gateway-{n}", pid)
        return server

    def start_worker(self, n=1, concurrency=CALLS):
        worker = self.run(f"worker-{n}", ["/usr/bin/python3", PEERS / "asyncio_worker.py", self.redis.url, self.ark_url, concurrency],
                          {"PYTHONDONTWRITEBYTECODE": "1"})
        worker.wait_for("ready")
        self.note(f"worker-{n}", worker.pid)
        return worker

    def stream_options(self):
        return {"inject": "append"}

    def waiting(self, redis):
        return redis("LLEN", "peer:queue")


class BullMq(System):
    """Fastify, BullMQ on ioredis, a BullMQ worker with undici. One process each: on two cores, which Redis, the simulator and the load
    share, a second gateway or worker process made it slower."""

    name = "BullMQ"
    partition = "bull:"
    settings = {"gateway": "Fastify, 1 process, QueueEvents (one XREAD) to the streams; pub/sub was as fast and costs Redis more",
                "worker": "1 process, 1 BullMQ worker, up to 10,000 calls at once, undici's pool without a connection limit",
                "node": "--max-semi-space-size=64", "queue": "finished jobs are kept for a day; 100,000 entries of the event stream",
                "warm-up": "4,000 tasks, until V8 has compiled what runs"}
    folder = ROOT / "build" / "bench" / "bullmq"
    modules = folder / "node_modules"
    node = ("prlimit", f"--nofile={DESCRIPTORS}", "node", "--max-semi-space-size=64")
    oldest_node = 20

    def __init__(self, bin_folder, workers=1, **rest):
        self.workers = workers
        super().__init__(bin_folder, **rest)

    @classmethod
    def missing(cls):
        version = said_by("node", "--version")
        if not version:
            return "Node.js is not installed"
        if int(version.lstrip("v").partition(".")[0]) < cls.oldest_node:
            return f"it needs Node.js {cls.oldest_node} or newer, not {version}"
        if not (cls.folder / "installed").is_file():
            return "its npm packages are not installed (scripts/install_deps.sh bench)"
        return None

    def start(self):
        self.start_simulator()
        self.start_gateway()
        for n in range(1, self.workers + 1):
            self.start_worker(n)

    def warm_up(self):
        """Runs 4,000 tasks, many at once if calls take time. Until V8 has compiled the code, it runs at half its speed."""
        self.load("tasks", clients=1000 if self.image_ms else 64, tasks=4000, deadline="120s")

    def run_node(self, name, program, *words):
        return self.run(name, [*self.node, PEERS / "bullmq" / program, *words], {"NODE_PATH": self.modules, "NODE_ENV": "production"})

    def start_gateway(self):
        self.address = f"127.0.0.1:{free_port()}"
        gateway = self.run_node("gateway-1", "gateway.js", self.address, self.redis.url)
        await_ready(gateway, self.address)
        self.note("gateway-1", gateway.pid)
        return gateway

    def start_worker(self, n=1, concurrency=CALLS):
        worker = self.run_node(f"worker-{n}", "worker.js", self.redis.url, self.ark_url, concurrency)
        worker.wait_for("ready")
        self.note(f"worker-{n}", worker.pid)
        return worker

    def waiting(self, redis):
        return redis("LLEN", "bull:faceflip:wait")


class Nchan(System):
    """nginx with nchan on Redis: only the relay."""

    name = "nchan"
    settings = {"nginx": f"{CORES} processes, reuseport, no access log", "nchan": "EventSource, messages kept in Redis",
                "events": "published through nchan's own address over kept-alive connections, 16 at 1,000/s, 64 for the highest rate"}

    def start(self):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.folder = tempfile.TemporaryDirectory(prefix="arkrelay-nchan-")
        text = (PEERS / "nchan.conf").read_text(encoding="utf-8")
        for name, value in {"FOLDER": self.folder.name, "PORT": port, "REDIS": self.redis.url, "DESCRIPTORS": DESCRIPTORS}.items():
            text = text.replace(f"@{name}@", str(value))
        path = pathlib.Path(self.folder.name, "nginx.conf")
        path.write_text(text, encoding="utf-8")
        nginx = self.run("nginx", ["/usr/sbin/nginx", "-p", self.folder.name, "-c", path])
        eventually(lambda: all(can_publish(self.address) for _ in range(8 * CORES)), "nginx has its Redis, in every process")
        for n, pid in enumerate([nginx.pid, *children(nginx.pid)]):
            self.note(f"gateway-{n}", pid)

    def close(self):
        super().close()
        self.folder.cleanup()

    def stream_options(self):
        return {"get": "/sub?id=%s", "inject": "http"}


class Simulator(System):
    """No gateway: the load generator calls the simulator. This is the lower bound of the run."""

    name = "ark-sim"
    settings = {"calls": "the load calls the simulator itself, a new connection each"}

    def start(self):
        self.start_simulator()
        self.address = self.ark_url.split("/")[2]

    def load(self, scenario, **options):
        return super().load("calls", **options)


def is_ready(address, path="/readyz"):
    try:
        return fetch(address, "GET", path).status == 200
    except (OSError, AssertionError):
        return False


def await_ready(program, address):
    """Polls every millisecond, because the time to ready is measured."""
    deadline = Deadline()
    while not is_ready(address):
        if deadline.passed() or not program.is_running():
            raise AssertionError(f"{program.name} is not ready\n{program.log_tail()}")
        time.sleep(0.001)


def can_publish(address):
    try:
        return fetch(address, "POST", "/pub?id=ready", {}).status < 300
    except (OSError, AssertionError):
        return False


def time_to_ready(start):
    """Seconds until start() returns, when the program is ready."""
    began = time.monotonic()
    start()
    return time.monotonic() - began
