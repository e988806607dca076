"""Metrics of the programs, their text format, and the presence records in Redis."""

import errno
import os
import pathlib
import re
import signal
import socket
import unittest

from gateway_case import GatewayTest
from support.exposition import parse, promtool
from support.http_client import fetch
from support.processes import Program, ProcessTest, binary, eventually
from support.world import BASE, World, sim

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROCESSES = "arkrelay:{processes}:"
GOVERNOR = "arkrelay:{account}:governor"
KEY = "operators-key-" + 16 * "1"
REDIS_ROWS = {"arkrelay_queue_depth", "arkrelay_queue_oldest_seconds", "arkrelay_queue_paused", "arkrelay_tasks_total",
              "arkrelay_paid_calls_total", "arkrelay_governor_tokens", "arkrelay_governor_paused_seconds",
              "arkrelay_governor_limit", "arkrelay_governor_rate", "arkrelay_governor_limited_models", "arkrelay_governor_calls",
              "arkrelay_breaker_open", "arkrelay_breaker_open_seconds"}
LEARNED = {"arkrelay_governor_tokens", "arkrelay_governor_limit", "arkrelay_governor_rate"}     # absent until learned


def scrape(service, **headers):
    answer = service.get("/metrics", **headers)
    assert answer.status == 200, answer
    return parse(answer.body)


class GatewayCounts(GatewayTest):
    def test_requests_by_route_and_status(self):
        gateway = self.world.gateway(GATEWAY_THREADS=2)
        gateway.submit("t1")
        gateway.submit("t1")
        gateway.task("t1")
        gateway.task("t2")
        gateway.get("/admin/nothing")
        gateway.get("/nothing/at/all")
        fetch(gateway.address, "PATCH", f"{BASE}/queue")
        fetch(gateway.address, "POST", f"{BASE}/generate", "{")
        requests = scrape(gateway)["arkrelay_http_requests_total"]
        for route, code, count in ((f"{BASE}/generate", "202", 1), (f"{BASE}/generate", "200", 1), (f"{BASE}/generate", "400", 1),
                                   (f"{BASE}/tasks/{{id}}", "200", 1), (f"{BASE}/tasks/{{id}}", "404", 1), ("other", "404", 2),
                                   ("other", "405", 1)):
            with self.subTest(route=route, code=code):
                self.assertEqual(requests.value(route=route, code=code), count)

    def test_no_label_contains_client_input(self):
        gateway = self.world.gateway()
        gateway.get("/secret-path?secret=query", **{"X-Request-Id": "secret-id"})
        gateway.submit("secret-task")
        gateway.task("secret-task")
        fetch(gateway.address, "SECRET", "/secret")
        self.assertNotIn(b"secret", gateway.get("/metrics").body)

    def test_open_streams_and_connections(self):
        gateway = self.world.gateway(GATEWAY_THREADS=2)
        streams = []
        for n in range(4):
            streams.append(gateway.generate(f"t{n}"))
            streams[-1].until("start")
        found = scrape(gateway)
        self.assertEqual((found["arkrelay_sse_streams"].value(), found["arkrelay_http_connections"].value()), (4, 5))
        for stream in streams:
            stream.close()
        eventually(lambda: gateway.metric("arkrelay_sse_streams") == 0, "no stream is open")
        eventually(lambda: gateway.metric("arkrelay_http_connections") == 1, "no connection but the one that asks")

    def test_live_and_replayed_events(self):
        gateway = self.world.gateway(GATEWAY_TAIL_CHECK="10m")
        with gateway.generate("t1") as one, gateway.follow("t1") as other:
            one.until("start")
            other.until("start")
            job = self.claim("t1")
            job.begin()
            job.emit(0)
            job.finish()
            one.to_end()
            other.to_end()
        with gateway.follow("t1") as late:
            late.to_end()
        with gateway.follow("t1", "123-1") as reset:
            reset.to_end()
        found = scrape(gateway)
        events = found["arkrelay_sse_events_total"]
        self.assertEqual([events.value(event=name) for name in ("start", "process", "done", "error", "reset")], [4, 8, 4, 0, 1])
        # Two streams, three live events. An event that arrives while a stream reads the log counts as replayed instead.
        self.assertLessEqual(found["arkrelay_sse_event_latency_seconds"].value("_count"), 6)
        self.assertGreaterEqual(found["arkrelay_sse_event_latency_seconds"].value("_count"), 4)
        self.assertLess(found["arkrelay_sse_event_latency_seconds"].value("_sum"), 30)

    def test_the_queue(self):
        gateway = self.world.gateway()
        for n in range(3):
            gateway.submit(f"t{n}")
        self.claim("t0")
        self.redis("HSET", GOVERNOR, "tokens", "12.500000000", "m paused_until", 10**13, "limit", "7.25", "calls", 3,
                   "default_model", "m", "m limit", "7.25", "m rate", 320, "other limit", 3, "other rate", 30)
        found = scrape(gateway)
        depth = found["arkrelay_queue_depth"]
        self.assertEqual([depth.value(state=state) for state in ("queued", "delayed", "running", "dead")], [2, 0, 1, 0])
        self.assertEqual((found["arkrelay_redis_up"].value(), found["arkrelay_queue_paused"].value()), (1, 0))
        self.assertGreater(found["arkrelay_queue_oldest_seconds"].value(), 0)
        self.assertEqual(found["arkrelay_tasks_total"].value(status="submitted"), 3)
        self.assertEqual((found["arkrelay_governor_tokens"].value(), found["arkrelay_governor_limit"].value(),
                          found["arkrelay_governor_calls"].value()), (12.5, 7.25, 3))
        self.assertEqual((found["arkrelay_governor_rate"].value(), found["arkrelay_governor_limited_models"].value()), (320, 2))
        self.assertGreater(found["arkrelay_governor_paused_seconds"].value(), 10**9)

    def breakers(self, gateway):
        """Returns {(scope, code): number of open breakers} and {scope: longest time open}."""
        found = scrape(gateway)
        label = lambda labels, name: dict(labels).get(name)
        return ({(label(labels, "scope"), label(labels, "code")): value for (_, labels), value in found["arkrelay_breaker_open"].samples.items() if value},
                {label(labels, "scope"): value for (_, labels), value in found["arkrelay_breaker_open_seconds"].samples.items()})

    def test_breakers_by_scope_and_reason_without_model_names(self):
        gateway = self.world.gateway()
        self.assertEqual(self.breakers(gateway), ({}, {"account": 0, "model": 0}))
        now = int(self.redis("TIME")[0]) * 1000
        self.redis("HSET", GOVERNOR, "state", "open", "code", "ark_unreachable", "since", now - 60_000,
                   "m state", "probing", "m code", "outcome_unknown", "m since", now - 30_000,
                   "secret-model state", "half_open", "secret-model code", "outcome_unknown", "secret-model since", now - 90_000,
                   "n state", "open", "n code", "of_a_later_version", "n since", now + 60_000, "o limit", 3, "p state", "elsewhere")
        counts, seconds = self.breakers(gateway)
        self.assertEqual(counts, {("account", "ark_unreachable"): 1, ("model", "outcome_unknown"): 2, ("model", "other"): 1})
        self.assertAlmostEqual(seconds["account"], 60, delta=20)
        self.assertAlmostEqual(seconds["model"], 90, delta=20)
        self.assertNotIn(b"secret-model", gateway.get("/metrics").body)

    def test_at_most_32_models_are_counted(self):
        gateway = self.world.gateway()
        for n in range(200):
            self.redis("HSET", GOVERNOR, f"m{n} state", "open", f"m{n} code", "ark_model_unavailable")
        self.assertEqual(self.breakers(gateway)[0], {("model", "ark_model_unavailable"): 32})

    def test_a_redis_user_without_permission_for_the_governor(self):
        gateway = self.world.gateway()
        self.redis("SET", GOVERNOR, "no hash")
        self.assertEqual({name for name in scrape(gateway) if re.match("arkrelay_(governor|breaker)", name)}, set())

    def test_every_counter_of_the_queue_has_a_sample(self):
        lua = (ROOT / "common/task/scripts/queue.lua").read_text()
        counters = set(re.findall(r"'(\w+)'", re.search(r"local counters = \{(.*?)\}", lua, re.S).group(1)))
        statuses = scrape(self.world.gateway())["arkrelay_tasks_total"].values_of("status")
        self.assertEqual(statuses, counters - {"paid_calls"})

    def test_without_redis_its_metrics_are_absent(self):
        gateway = self.world.gateway()
        self.assertLessEqual(REDIS_ROWS - LEARNED, set(scrape(gateway)))
        self.world.redis_server.stop()
        gateway.wait_for("connection lost")
        found = scrape(gateway)
        self.assertEqual(found["arkrelay_redis_up"].value(), 0)
        self.assertEqual(REDIS_ROWS & set(found), set())
        self.world.redis_server.start()
        eventually(lambda: gateway.metric("arkrelay_redis_up") == 1, "Redis is there again")
        self.assertGreaterEqual(gateway.metric("arkrelay_redis_reconnects_total"), 1)

    def test_a_hanging_redis_counts_as_unavailable(self):
        gateway = self.world.gateway()
        self.world.redis_server.program.pause()
        try:
            self.assertEqual(scrape(gateway)["arkrelay_redis_up"].value(), 0)
        finally:
            self.world.redis_server.program.resume()

    def test_access_to_metrics(self):
        open_gateway, guarded = self.world.gateway(), self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        self.assertEqual(open_gateway.get("/metrics").status, 200)
        self.assertEqual(guarded.get("/metrics").status, 401)
        self.assertEqual(guarded.get("/metrics", Authorization="Bearer nonsense").status, 401)
        answer = guarded.get("/metrics", Authorization=f"Bearer {KEY}")
        self.assertEqual(answer.status, 200)
        self.assertEqual(parse(answer.body)["arkrelay_http_requests_total"].value(route="/metrics", code="401"), 2)


DEFAULT_ADDRESS = ("127.0.0.1", 8930)


class WorkerListener(ProcessTest):
    def hold_default_address(self):
        """Occupies the default port, unless another process already has it."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.addCleanup(holder.close)
        try:
            holder.bind(DEFAULT_ADDRESS)
            holder.listen()
        except OSError as error:
            self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_several_workers_start_on_one_host_without_options(self):
        with World() as world:
            workers = [world.worker(WORKER_LISTEN="") for _ in range(3)]
            for worker in workers:
                eventually(lambda worker=worker: worker.get("/readyz").status == 200, f"{worker.name} is ready")
            self.assertEqual(len({worker.address for worker in workers}), 3)
            for worker in workers[1:]:
                self.assertIn("default address not available, using a free port", "\n".join(worker.lines))

    def test_a_worker_logs_that_the_default_address_is_in_use(self):
        self.hold_default_address()
        with World() as world:
            worker = world.worker(WORKER_LISTEN="auto")
            self.assertRegex("\n".join(worker.lines), r"warn +health +default address not available, using a free port address=127.0.0.1:8930 error=\"Address already in use\"")
            self.assertNotEqual(worker.address, "127.0.0.1:8930")

    def test_a_configured_address_in_use_is_an_error(self):
        self.hold_default_address()
        env = {"ARK_API_KEY": "x", "REDIS_URL": "redis://127.0.0.1:1", "WORKER_LISTEN": "127.0.0.1:8930"}
        worker = Program("worker", [binary("arkrelay-worker")], env)
        self.assertEqual(worker.wait_exit(), 1)
        self.assertRegex("\n".join(worker.lines), r"error +worker +cannot listen address=127.0.0.1:8930 error=\"Address already in use\"")


class WorkerCounts(ProcessTest):
    def test_calls_images_and_times(self):
        with World() as world:
            gateway, worker = world.gateway(), world.worker(WORKER_CONCURRENCY=4)
            world.ark.script({"status": 429, "code": "ServerOverloaded"})
            for task_id, directives in (("busy", ""), ("two", "images=2"), ("refused", "status=400"), ("cut", "images=1, cut=headers")):
                gateway.submit(task_id, prompt=sim(task_id, directives))
                world.wait_state(task_id, "done", "failed")
            found = scrape(worker)
            calls = found["arkrelay_ark_calls_total"]
            self.assertEqual(sum(calls.samples.values()), len(world.ark.calls()))
            self.assertGreaterEqual(calls.value(outcome="busy"), 1)
            self.assertEqual(found["arkrelay_ark_refusals_total"].value(kind="overloaded"), calls.value(outcome="busy"))
            self.assertEqual(found["arkrelay_deferrals_total"].value(kind="overloaded"), calls.value(outcome="busy"))
            self.assertEqual(found["arkrelay_retries_total"].value(), 0)        # neither a rejection nor a permanent error is a retry
            self.assertEqual(found["arkrelay_ark_seconds"].value("_count"), len(world.ark.calls()))
            self.assertEqual(found["arkrelay_unknown_outcomes_total"].value(), calls.value(outcome="unknown"))
            for name in ("arkrelay_task_queue_seconds", "arkrelay_task_seconds"):
                self.assertEqual(found[name].value("_count"), 4, name)
            delivered = sum(task.story().count("process image") for task in world.look().tasks.values())
            self.assertEqual(found["arkrelay_images_total"].value(), delivered)
            self.assertEqual((found["arkrelay_worker_slots"].value(), found["arkrelay_worker_busy"].value()), (4, 0))
            self.assertEqual(gateway.metric("arkrelay_paid_calls_total"), float(world.look().counter("paid_calls")))

    def test_busy_slots_and_redis_up(self):
        with World() as world:
            worker = world.worker(WORKER_CONCURRENCY=3)
            world.submit_many(2, prompt=sim("slow", "hang"))
            world.ark.wait_calls(2)
            self.assertEqual(worker.metric("arkrelay_worker_busy"), 2)
            world.redis_server.stop()
            eventually(lambda: worker.metric("arkrelay_redis_up") == 0, "Redis is away")
            world.redis_server.start()
            eventually(lambda: worker.metric("arkrelay_redis_up") == 1, "it is back")
            self.assertGreaterEqual(worker.metric("arkrelay_redis_reconnects_total"), 1)
            worker.kill()

    def test_a_draining_worker(self):
        with World() as world:
            worker = world.worker(PRESENCE_INTERVAL="50ms", WORKER_NAME="painter")
            world.submit_many(1, prompt=sim("slow", "hang"))
            world.ark.wait_calls(1)
            worker.signal(signal.SIGTERM)
            said = lambda: world.redis("HMGET", f"{PROCESSES}process:painter", "draining", "busy")
            eventually(lambda: said() == [b"1", b"1"], "it drains, and is busy")
            worker.kill()


class Text(ProcessTest):
    """The complete output of both programs, with all possible samples."""

    @classmethod
    def setUpClass(cls):
        with World() as world:
            gateway, worker = world.gateway(WEBHOOK_SECRET="0" * 32, GATEWAY_SPEND_DAY="100", GATEWAY_SPEND_MONTH="100"), world.worker()
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                stream.to_end()
            world.redis("CONFIG", "SET", "maxmemory", 64 << 20)
            world.redis("HSET", GOVERNOR, "limit", "3.5", "tokens", "1", "default_model", "m", "m rate", "30")
            cls.answers = {"gateway": gateway.get("/metrics"), "worker": worker.get("/metrics")}
            cls.pids = {"gateway": gateway.pid, "worker": worker.pid}
            cls.memory = {name: resident(pid) for name, pid in cls.pids.items()}
        cls.families = {name: parse(answer.body) for name, answer in cls.answers.items()}

    def test_promtool_reports_nothing(self):
        for name, answer in self.answers.items():
            with self.subTest(name):
                self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
                self.assertEqual(promtool("check", "metrics", text=answer.body), "")

    def test_histograms_are_complete(self):
        for families in self.families.values():
            for family in families.values():
                if family.type != "histogram":
                    continue
                buckets = [value for (name, _), value in family.samples.items() if name.endswith("_bucket")]
                self.assertEqual(buckets, sorted(buckets), family.name)
                self.assertEqual(buckets[-1], family.value("_bucket", le="+Inf"))
                self.assertEqual(buckets[-1], family.value("_count"))

    def test_a_metric_belongs_to_one_program(self):
        """So that a sum counts nothing twice. Only process metrics are in both programs."""
        both = set(self.families["gateway"]) & set(self.families["worker"])
        self.assertEqual({name for name in both if not name.startswith("process_")},
                         {"arkrelay_build_info", "arkrelay_redis_up", "arkrelay_redis_seconds", "arkrelay_redis_reconnects_total"})

    def test_the_process(self):
        for name, families in self.families.items():
            with self.subTest(name):
                self.assertAlmostEqual(families["process_resident_memory_bytes"].value() / self.memory[name], 1, delta=0.5)
                self.assertGreater(families["process_open_fds"].value(), 3)
                self.assertGreater(families["process_cpu_seconds_total"].value(), 0)
                started, now = families["process_start_time_seconds"].value(), os.stat("/proc/self").st_ctime
                self.assertTrue(now - 600 < started < now + 600, (started, now))

    def test_the_document_lists_all_metrics(self):
        document = (ROOT / "docs/metrics.md").read_text()
        for name, families in self.families.items():
            section = document.partition(f"## {name.capitalize()}\n")[2].partition("\n## ")[0]
            listed = re.findall(r"^\| `.*", section, re.M)
            shared = self.families["gateway"].keys() & self.families["worker"].keys()
            rows = [row(family) for family in families.values() if family.name not in shared]
            self.assertEqual(listed, rows, f"docs/metrics.md, {name}:\n" + "\n".join(rows))
        rows = [row(family) for family in self.families["gateway"].values() if family.name in shared]
        listed = re.findall(r"^\| `.*", document.partition("## Both\n")[2].partition("\n## ")[0], re.M)
        self.assertEqual(listed, rows, "docs/metrics.md, both:\n" + "\n".join(rows))


def resident(pid):
    """The resident memory of a process in bytes."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def row(family):
    names = sorted(family.label_names(), key=["route", "scope", "code", "endpoint", "outcome", "window", "kind"].index) if len(family.label_names()) > 1 else family.label_names()
    labels = "{" + ",".join(names) + "}" if names else ""
    return f"| `{family.name}{labels}` | {family.type} | {family.help} |"


class Presence(GatewayTest):
    redis_options = {"tcp": False}

    def processes(self):
        found = {}
        for key in self.redis("KEYS", f"{PROCESSES}process:*"):
            if flat := [word.decode() for word in self.redis("HGETALL", key)]:      # the process may have exited in between
                found[key.decode().removeprefix(f"{PROCESSES}process:")] = dict(zip(flat[::2], flat[1::2]))
        return found

    def of(self, service):
        """Waits for the presence record of a process and returns it."""
        return eventually(lambda: next((fields for fields in self.processes().values() if fields["pid"] == str(service.pid)), None),
                          f"{service.name} is there")

    def test_presence_of_a_gateway(self):
        gateway = self.world.gateway(GATEWAY_THREADS=3, PRESENCE_INTERVAL="50ms")
        with gateway.generate("t1") as stream:
            stream.until("start")
            eventually(lambda: self.of(gateway)["streams"] == "1", "the stream is reported")
            fields = self.of(gateway)
            self.assertEqual((fields["role"], fields["threads"], fields["draining"]), ("gateway", "3", "0"))
            self.assertGreaterEqual(int(fields["connections"]), 1)
        self.assertEqual(len(self.processes()), 1, "one entry for all of its threads")
        self.assertLessEqual({"version", "host", "started_at"}, set(fields))

    def test_presence_of_a_worker(self):
        worker = self.world.worker(WORKER_NAME="painter", WORKER_CONCURRENCY=5, PRESENCE_INTERVAL="50ms", ARK_SIM_URL="http://127.0.0.1:1",
                                   ARK_API_KEY="")
        self.of(worker)
        fields = self.processes()["painter"]
        self.assertEqual((fields["role"], fields["slots"], fields["busy"], fields["images"]), ("worker", "5", "0", "0"))
        self.assertEqual(len(fields["ark_ms"].split(",")), len(parse(worker.get("/metrics").body)["arkrelay_ark_seconds"].samples) - 2)

    def test_arkctl_has_the_buckets_of_the_workers(self):
        family = parse(self.world.worker(PRESENCE_INTERVAL=0).get("/metrics").body)["arkrelay_ark_seconds"]
        bounds = [float(dict(labels)["le"]) for name, labels in family.samples if name.endswith("_bucket")]
        printed, = re.findall(r"ARK_BOUNDS_S = \((.*?)\)", (ROOT / "cli/arkctl_lib/frame.py").read_text(encoding="utf-8"))
        self.assertEqual([*map(float, printed.split(",")), float("inf")], bounds)

    def test_presence_is_removed_at_exit_and_expires_after_a_kill(self):
        stopped, killed = (self.world.gateway(PRESENCE_INTERVAL="100ms") for _ in range(2))
        worker = self.world.worker(PRESENCE_INTERVAL="100ms", ARK_SIM_URL="http://127.0.0.1:1", ARK_API_KEY="")
        for service in (stopped, killed, worker):
            self.of(service)
        killed.kill()
        for service in (stopped, worker):
            self.assertEqual(service.stop(), 0)
            self.assertNotIn(str(service.pid), [fields["pid"] for fields in self.processes().values()])
        eventually(lambda: not self.processes(), "the killed one's entry has ended")

    def test_presence_returns_with_redis_without_errors(self):
        gateway = self.world.gateway(PRESENCE_INTERVAL="20ms")
        self.of(gateway)
        self.world.redis_server.stop()
        gateway.wait_for("connection lost")
        self.world.redis_server.start()
        self.redis = self.world.redis_server.client()
        self.of(gateway)
        complaints = [line for line in gateway.lines if re.search(r" (warn|error) +(?! |gateway|redis)", line)]
        self.assertEqual(complaints, [])

    def test_presence_can_be_disabled(self):
        gateway = self.world.gateway(PRESENCE_INTERVAL="0")
        gateway.submit("t1")
        self.assertEqual(self.redis("KEYS", f"{PROCESSES}*"), [])
        self.assertEqual(gateway.stop(), 0)


if __name__ == "__main__":
    unittest.main()
