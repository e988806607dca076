"""The whole system with real programs: Redis, the ARK simulator, gateways, workers.

    with World() as world:
        gateway, worker = world.gateway(), world.worker(WORKER_CONCURRENCY=4)
        with gateway.generate("t1", prompt=sim("t1", "images=2")) as stream:
            assert stream.to_end()[-1].event == "done"
        assert len(world.ark.calls_of("t1")) == 1

Leaving the block stops everything. It checks that running programs exit cleanly (under ASan: without a leak) and that all invariants
hold in Redis. Options of the programs are given by their environment names.
"""

import itertools
import json
import os

from support import conformance
from support.http_client import EventStream, fetch
from support.processes import Program, binary, eventually
from support.proxy import Proxy
from support.redis_server import RedisServer
from support.scripts import Scripts
from support.store import look

BASE = "/api/v1/faceflip"
URLS = ["https://example.com/1.jpg", "https://example.com/2.jpg"]
LEASE_S = 1.0
GRACE_S = 2.0


class Service(Program):
    """A program that listens. It is ready when the constructor returns."""

    def __init__(self, name, argv, env):
        super().__init__(name, argv, env)
        self.argv, self.env = argv, env
        self.address = self.listening()
        conformance.forget(self.address)
        self.url = f"http://{self.address}"

    def get(self, path, **headers):
        return fetch(self.address, "GET", path, headers=headers)

    def metric(self, name):
        """The sum of a metric's samples on /metrics."""
        lines = self.get("/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)


class Gateway(Service):
    """A gateway. http_client checks all its responses against docs/openapi.json."""

    def __init__(self, *args):
        super().__init__(*args)
        conformance.watch(self.address)

    def generate(self, task_id, headers=None, **fields):
        """POST /generate/stream: returns the event stream."""
        return EventStream(self.address, "POST", f"{BASE}/generate/stream", request(task_id, **fields), headers)

    def submit(self, task_id, **fields):
        """POST /generate: returns the response."""
        return fetch(self.address, "POST", f"{BASE}/generate", request(task_id, **fields))

    def task(self, task_id):
        """GET /tasks/{id}: returns the response."""
        return fetch(self.address, "GET", f"{BASE}/tasks/{task_id}")

    def follow(self, task_id, last_event_id=None):
        """GET /tasks/{id}/stream: from the first event, or after last_event_id."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        return EventStream(self.address, "GET", f"{BASE}/tasks/{task_id}/stream", headers=headers)

    def cancel(self, task_id):
        """POST /tasks/{id}/cancel: returns the response."""
        return fetch(self.address, "POST", f"{BASE}/tasks/{task_id}/cancel")

    def erase(self, task_id):
        """DELETE /tasks/{id}: returns the response."""
        return fetch(self.address, "DELETE", f"{BASE}/tasks/{task_id}")


class Ark(Service):
    """The simulator. A call is controlled by directives in the task's prompt, [[sim: ...]], or by script()."""

    def stats(self):
        return self.get("/sim/stats").json()

    def calls(self):
        """All calls, in order."""
        return self.get("/sim/calls").json()

    def calls_of(self, task_id):
        """The calls of a task whose prompt was created with sim()."""
        return [call for call in self.calls() if call["prompt"].split(" ")[0] == task_id]

    def wait_calls(self, count, task_id=None):
        """Waits until there are this many calls, in total or of one task."""
        def probe():
            calls = self.calls_of(task_id) if task_id else self.calls()
            return calls if len(calls) >= count else None
        return eventually(probe, f"{count} calls of {task_id or 'any task'}")

    def script(self, *steps):
        """Sets the behaviour of the next calls, one step per call: {"status": 429}. Directives in a prompt are added to its step."""
        answer = fetch(self.address, "POST", "/sim/script", list(steps))
        assert answer.status < 300, answer

    def outage(self, accepted_only=False, **directives):
        """Sets the answer to every call until end_outage(): status=502, body="html"."""
        answer = fetch(self.address, "POST", "/sim/outage", {**directives, **({"accepted_only": True} if accepted_only else {})})
        assert answer.status < 300, answer

    def end_outage(self):
        self.outage()


def sim(task_id, directives=""):
    """A prompt with the task id, for calls_of(), and the simulator's directives."""
    return f"{task_id} [[sim: {directives}]]" if directives else f"{task_id} a picture"


def request(task_id, urls=URLS, **fields):
    return {"urls": list(urls), "task_id": task_id, **fields}


class World:
    def __init__(self, ark=True, **redis):
        """redis: options of RedisServer, such as tcp=True, aof=True."""
        self.services = []
        self._names = {}
        self._proxies = []
        self.redis_server = RedisServer(**redis)
        try:
            self.redis = self.redis_server.client()
            self.run_script = Scripts(self.redis)
            self.ark = self.start_ark() if ark else None
        except BaseException:
            self.redis_server.close()
            raise

    # -- the programs

    def start_ark(self, **options):
        """Starts the simulator. An image takes 20 ms by default."""
        defaults = {"ARK_SIM_LISTEN": "127.0.0.1:0", "ARK_SIM_IMAGE_MS": "20", "LOG_LEVEL": "debug"}
        return self._start(Ark, "ark-sim", "arkrelay-ark-sim", {**defaults, **options})

    def gateway(self, wait_ready=True, under=(), folder=None, **options):
        """Starts a gateway and waits until it is ready, if Redis is running. Hints are disabled by default, because their timing varies.
        under: words in front of its command line; folder: with the programs of another revision."""
        defaults = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_HINTS": "0", **self._shared()}
        gateway = self._start(Gateway, "gateway", "arkrelay-gateway", {**defaults, **options}, under, folder)
        if wait_ready and self.redis_server.program.is_running():
            eventually(lambda: gateway.get("/readyz").status == 200, f"{gateway.name} is ready")
        return gateway

    def worker(self, under=(), folder=None, **options):
        """Starts a worker with short leases and backoffs. It claims tasks at once."""
        defaults = {"WORKER_LISTEN": "127.0.0.1:0", "WORKER_LEASE": f"{LEASE_S:.0f}s", "RETRY_BACKOFF_BASE": "10ms",
                    "RETRY_BACKOFF_MAX": "50ms", "ARK_API_KEY": "test-key", **self._shared()}
        if self.ark:
            defaults["ARK_BASE_URL"] = f"{self.ark.url}/api/v3"
        return self._start(Service, "worker", "arkrelay-worker", {**defaults, **options}, under, folder)

    def proxy(self):
        """A fault-injecting proxy in front of Redis; pass its url to a program as REDIS_URL. Loads all scripts into Redis, so that every request
        that runs a script contains its run_script.sha1."""
        self.run_script.load()
        self._proxies.append(Proxy(self.redis_server.socket))
        return self._proxies[-1]

    def ark_proxy(self, address=None):
        """The same in front of the simulator, or of another address; pass its address to a worker as
        ARK_BASE_URL=f"http://{proxy.address}/api/v3"."""
        host, _, port = (address or self.ark.address).rpartition(":")
        self._proxies.append(Proxy((host, int(port))))
        return self._proxies[-1]

    def _shared(self):
        return {"REDIS_URL": self.redis_server.url, "LOG_LEVEL": "debug"}

    def _start(self, kind, name, program, options, under=(), folder=None):
        count = self._names.setdefault(name, itertools.count(1))
        service = kind(f"{name}-{next(count)}", [*under, os.path.join(folder, program) if folder else binary(program)], {key: str(value) for key, value in options.items()})
        self.services.append(service)
        return service

    # -- the data in Redis

    def look(self):
        return look(self.redis)

    def find(self, task_id):
        """The stored task, or None."""
        return self.look().tasks.get(f"public.{task_id}")

    def wait_state(self, task_id, *states):
        """Waits until the task is in one of these states, and returns it."""
        def probe():
            task = self.find(task_id)
            return task if task and task.state in states else None
        return eventually(probe, f"{task_id} is {' or '.join(states)}")

    def wait_all_final(self, seconds=60):
        """Waits until all tasks are final, and returns all data in Redis."""
        eventually(lambda: self.redis("ZCOUNT", "arkrelay:{0}:index", 0, "+inf") == 0, "all tasks are final", seconds)
        return self.look()

    def submit_many(self, count, prefix="t", prompt=None, model=None):
        """Submits tasks directly to Redis, without a gateway; returns their ids."""
        ids = [f"{prefix}{n}" for n in range(count)]
        fields = {"model": model, "prompt": prompt, "urls": URLS}
        spec = json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))
        for task_id in ids:
            answer = self.run_script("submit", f"public.{task_id}", "hash", spec, 2, 86_400_000, 100_000, 86_400_000, 100_000, "")
            assert answer[0] == b"NEW", answer
        return ids

    # -- the end

    def __enter__(self):
        return self

    def __exit__(self, kind, exception, trace):
        try:
            if kind is None:
                self.close()
        finally:
            for service in self.services:
                if service.is_running():
                    service.kill()
            for proxy in self._proxies:
                proxy.close()
            self.redis_server.close()

    def close(self):
        """Stops the running programs, workers first, and checks exit statuses and invariants."""
        for service in sorted(self.services, key=lambda service: not service.name.startswith("worker")):
            if service.is_running():
                status = service.stop()
                assert status == 0, f"{service.name} ended with status {status}"
        if self.redis_server.program.is_running():
            look(self.redis_server.client()).check()
