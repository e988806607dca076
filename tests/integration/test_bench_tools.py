"""Tests of the load generator: its counts are correct and it detects faults."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from bench.run_bench import change, median
from support.processes import DEADLINE, ProcessTest, binary
from support.redis_server import RedisServer
from support.store import HEAD as BEFORE_LOG
from support.world import World

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DATA = '{"event":"%s","data":{"task_id":"t-0"%s}}'
IMAGES = ',"generated_images":[{"url":"https://x/1.png","size":"1x1"}]'
ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(scenario, target, **options):
    """Runs the load generator; returns the exit status and its output. Options by name, with _ for -."""
    argv = [binary("sse_load"), "--scenario", scenario, "--target", target]
    for name, value in {"deadline": "20s", **options}.items():
        argv += ["--" + name.rstrip("_").replace("_", "-")] + ([] if value is True else [str(value)])
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def frame(number, kind, more="", epoch=1700000000000, data=None):
    text = DATA % (kind, more) if data is None else data
    return f"id: {epoch}-{number}\nevent: {kind}\ndata: {text}\n\n".encode()


def chunk(content):
    return b"%x\r\n%b\r\n" % (len(content), content)


def answer(*frames, last=True):
    return HEAD + b"".join(map(chunk, frames)) + (b"0\r\n\r\n" if last else b"")


START, CALLING, DONE = frame(1, "start"), frame(2, "process"), frame(3, "done", IMAGES)

# (name, bytes that the server sends, fault that the generator must report, or None).
ANSWERS = [
    ("a complete stream", answer(b"retry: 2000\n\n", START, b": heartbeat\n\n", CALLING, DONE), None),
    ("a hint without a number", answer(START, b"event: process\ndata: " + (DATA % ("process", ',"stage":"queued"')).encode() + b"\n\n",
                                       CALLING, DONE), None),
    ("one chunk for two frames", HEAD + chunk(START + CALLING) + chunk(DONE) + b"0\r\n\r\n", None),
    ("a frame in pieces", HEAD + chunk(START[:9]) + chunk(START[9:] + CALLING[:30]) + chunk(CALLING[30:] + DONE) + b"0\r\n\r\n", None),
    ("a number left out", answer(START, frame(3, "process"), frame(4, "done", IMAGES)), "id"),
    ("a number twice", answer(START, START, CALLING, DONE), "id"),
    ("another epoch", answer(START, frame(2, "process", epoch=1800000000000), DONE), "id"),
    ("no number", answer(START, b"event: process\ndata: " + (DATA % ("process", "")).encode() + b"\n\n", DONE), "id"),
    ("data that is no JSON", answer(START, frame(2, "process", data='{"event":"process","data":{"task_id":"t-0",}}'), DONE), "json"),
    ("data of another type", answer(START, frame(2, "process", data=DATA % ("start", "")), DONE), "json"),
    ("an unknown type", answer(START, frame(2, "progress"), DONE), "type"),
    ("another task's event", answer(START, frame(2, "process", data='{"event":"process","data":{"task_id":"t-1"}}'), DONE), "task"),
    ("a field that is none", answer(START, b"id 2\n" + CALLING, DONE), "frame"),
    ("an event after the final one", answer(START, CALLING, DONE, frame(4, "process")), "after_final"),
    ("a second final event", answer(START, CALLING, DONE, frame(4, "done", IMAGES)), "after_final"),
    ("an end without a final event", answer(START, CALLING), "no_final"),
    ("a cut in the middle", answer(START, last=False), "no_final"),
    ("a cut before the last chunk", answer(START, CALLING, DONE, last=False), "chunk"),
    ("a chunk without a size", HEAD + b"zz\r\n" + START, "chunk"),
    ("half a frame at the end", answer(START, CALLING, DONE, b"id: 1"), "frame"),
    ("a task that failed", answer(START, frame(2, "error", ',"code":"ark_failed"')), "task_failed"),
    ("done without a picture", answer(START, frame(2, "done", ',"generated_images":[]')), "task_failed"),
    ("a refusal", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", "status"),
    ("something else than events", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "head"),
    ("no HTTP", b"hello there, this is not it\r\n\r\n", "head"),
    ("nothing", b"", "connect"),
]


@contextlib.contextmanager
def server(sent, hold=False):
    """Answers one request with these bytes, then closes the connection, or with `hold` waits until the client closes. Returns the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                connection.sendall(sent)
                if not hold:
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(DEADLINE)
                while connection.recv(65536):       # until the client closes
                    pass
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(DEADLINE)


class LoadTest(ProcessTest):
    def test_every_broken_response_is_detected_and_named(self):
        for name, sent, fault in ANSWERS:
            with self.subTest(name), server(sent) as address:
                status, said = load("tasks", address, clients=1, tasks=1, prefix="t")
                self.assertEqual({fault: 1} if fault else {}, said["errors"])
                self.assertEqual(1 if fault else 0, status)
                self.assertEqual(0 if fault else 1, said["tasks"])

    def test_an_unreachable_server_is_an_error_for_every_task(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))           # a reserved port without a listener
            status, said = load("tasks", f"127.0.0.1:{closed.getsockname()[1]}", clients=2, tasks=5)
        self.assertEqual((1, {"connect": 5}, 0), (status, said["errors"], said["tasks"]))

    def test_tasks_that_do_not_end_in_time_are_errors(self):
        with server(answer(START, last=False), hold=True) as address:
            status, said = load("tasks", address, clients=1, tasks=1, prefix="t", deadline="200ms")
        self.assertEqual((1, {"timeout": 1}, 0), (status, said["errors"], said["tasks"]))

    def test_the_counts_of_tasks_are_correct(self):
        with World() as world:
            gateway, worker = world.gateway(), world.worker(ARK_IMAGES_PER_MINUTE=0)
            status, said = load("tasks", gateway.address, clients=4, tasks=20, floor="20ms", prefix="t",
                                processes=f"gateway={gateway.pid},worker={worker.pid}")
            self.assertEqual((0, {}), (status, said["errors"]), said.get("first_error"))
            self.assertEqual((20, 20, 20), (said["tasks"], said["connections"], said["took"]["count"]))
            self.assertEqual(20, sum(count for _, count in said["took"]["buckets"]))
            self.assertLessEqual(said["took"]["p50_us"], said["took"]["p99_us"])
            self.assertEqual(20, world.ark.stats()["calls"])
            self.assertEqual(20 * 4, said["frames"] - said["comments"] - said["hints"])     # start, calling, image, done
            self.assertEqual(["load", "gateway", "worker"], [process["name"] for process in said["processes"]])
            self.assertTrue(all(process["pss_kib"]["end"] > 0 for process in said["processes"]))
            status, said = load("tasks", gateway.address, clients=5, tasks=15, every="50ms", prefix="u")
            self.assertEqual((0, 15, {}), (status, said["tasks"], said["errors"]), said.get("first_error"))
            status, said = load("submit", gateway.address, clients=2, tasks=10, prefix="s")
            self.assertEqual((0, 10, 2), (status, said["tasks"], said["connections"]))
            world.wait_all_final()
            status, said = load("calls", world.ark.address, clients=2, tasks=6)
            self.assertEqual((0, 6, {}), (status, said["tasks"], said["errors"]), said.get("first_error"))

    def test_messages_are_passed_on_by_processes_and_come_back(self):
        for hops in (2, 5, 14):     # the last relay is another one each time
            with self.subTest(hops=hops):
                status, said = load("hops", "127.0.0.1:1", hops=hops, clients=3, for_="200ms", every="10ms")
                self.assertEqual((0, {}), (status, said["errors"]), said.get("first_error"))
                self.assertGreater(said["tasks"], 3)
                self.assertEqual(said["tasks"], said["took"]["count"])

    def test_every_injected_event_arrives_once_with_each_method(self):
        with World(ark=False) as world:
            gateway = world.gateway()
            for way in ("emit", "append"):
                with self.subTest(way):
                    status, said = load("streams", gateway.address, streams=10, claim=True, inject=way, rate=200, for_="500ms",
                                        redis=world.redis_server.socket, prefix=way)
                    self.assertEqual((0, {}), (status, said["errors"]), said.get("first_error"))
                    self.assertEqual(10, said["open"])
                    self.assertGreaterEqual(said["injected"], 50)
                    self.assertEqual((said["injected"],) * 2, (said["received"], said["took"]["count"]))
                    logs = sum(world.redis("LLEN", f"arkrelay:{{0}}:events:public.{way}-{n}") for n in range(10))
                    self.assertEqual(10 * (BEFORE_LOG + 1) + said["injected"], logs)
            world.redis("FLUSHALL")         # these tasks never end

    def test_a_missing_event_is_detected(self):
        with RedisServer() as redis, server(answer(START, last=False), hold=True) as address:
            status, said = load("streams", address, streams=1, inject="append", rate=50, for_="200ms", drain="100ms",
                                redis=redis.socket, prefix="t")
        self.assertEqual((1, 1, 0), (status, said["open"], said["received"]))
        self.assertGreater(said["injected"], 0)
        self.assertEqual({"lost": said["injected"]}, said["errors"])


class BenchTest(ProcessTest):
    def test_a_run_writes_its_results(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "raw.json")
            done = subprocess.run([sys.executable, "-B", ROOT / "tests/bench/run_bench.py", os.environ["ARKRELAY_BIN"], "--smoke",
                                   "--no-peers", "--out", path, "streams", "fleet"], capture_output=True, text=True, check=False,
                                  timeout=4 * DEADLINE)
            self.assertEqual(0, done.returncode, done.stderr)
            said = json.loads(path.read_text(encoding="utf-8"))
        self.assertEqual([("streams", "arkrelay", None), ("fleet", "arkrelay", None)],
                         [(result["scenario"], result["system"], result["failure"]) for result in said["results"]])
        for result in said["results"]:
            for row in result["rows"]:
                if not row["what"].startswith("memory of an idle stream"):     # twenty streams take less than memory varies by itself
                    self.assertGreater(row["value"], 0, row)
                self.assertIn(row["what"], done.stdout)
        fleet = said["results"][1]["raw"][0]
        self.assertEqual([10, 10], [run["open"] for run in fleet["runs"]])
        self.assertEqual(sum(run["received"] for run in fleet["runs"]), fleet["took"]["count"])

    def test_pictures_are_copied_into_a_directory_and_a_bucket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "raw.json")
            done = subprocess.run([sys.executable, "-B", ROOT / "tests/bench/run_bench.py", os.environ["ARKRELAY_BIN"], "--smoke",
                                   "--no-peers", "--out", path, "copies"], capture_output=True, text=True, check=False, timeout=4 * DEADLINE)
            self.assertEqual(0, done.returncode, done.stderr)
            result, = json.loads(path.read_text(encoding="utf-8"))["results"]
        values = {row["what"]: row["value"] for row in result["rows"]}
        for place in ("directory", "S3"):
            self.assertAlmostEqual(values[f"4 copies of 1 MiB, {place}"] / values[f"… curl, {place}"], values[f"… ratio to curl, {place}"])
            self.assertEqual(values[f"… copied again, {place}"], 0)

    def test_two_sets_of_programs_are_measured_in_turn(self):
        with tempfile.TemporaryDirectory() as folder:
            path, other = pathlib.Path(folder, "raw.json"), pathlib.Path(folder, "bin")
            other.mkdir()
            for name in ("arkrelay-gateway", "arkrelay-worker"):        # the old programs need no load generator and no simulator
                (other / name).symlink_to(binary(name))
            done = subprocess.run([sys.executable, "-B", ROOT / "tests/bench/run_bench.py", os.environ["ARKRELAY_BIN"], "--smoke",
                                   "--against", other, "--rounds", "2", "--out", path, "throughput", "startup"],
                                  capture_output=True, text=True, check=False, timeout=4 * DEADLINE)
            self.assertEqual(0, done.returncode, done.stderr)
            said = json.loads(path.read_text(encoding="utf-8"))
        for scenario in ("throughput", "startup"):
            self.assertEqual([("before", 1, None), ("arkrelay", 1, None), ("arkrelay", 2, None), ("before", 2, None)],
                             [(result["system"], result["round"], result["failure"]) for result in said["results"]
                              if result["scenario"] == scenario])
        self.assertEqual(["before", "arkrelay"], list(said["settings"]))
        self.assertRegex(done.stdout, r"before +arkrelay +change")
        self.assertRegex(done.stdout, r"size of arkrelay-gateway \(KiB\) +(\S+) +\1 +\+0\.0% +0 of 2")

    def test_the_table_shows_the_median_of_the_rounds(self):
        rows = [{"value": value, "errors": errors} for value, errors in ((9, 0), (1, 1), (3, 0))]
        self.assertEqual({"value": 3, "errors": 1}, median(rows))
        self.assertEqual(["+100.0%", "2 of 3"], change(rows, [{"value": value, "errors": 0} for value in (6, 2, 80)]))

    def test_a_folder_without_programs_is_refused(self):
        done = subprocess.run([sys.executable, "-B", ROOT / "tests/bench/run_bench.py", os.environ["ARKRELAY_BIN"], "--against", "/var/empty"],
                              capture_output=True, text=True, check=False, timeout=DEADLINE)
        self.assertEqual(2, done.returncode)
        self.assertIn("no arkrelay-gateway in /var/empty", done.stderr)

    def test_a_peer_that_cannot_run_is_skipped_with_a_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            node, path = pathlib.Path(folder, "node"), pathlib.Path(folder, "raw.json")
            node.write_text("#!/bin/sh\necho v12.0.0\n", encoding="ascii")
            node.chmod(0o755)
            done = subprocess.run([sys.executable, "-B", ROOT / "tests/bench/run_bench.py", os.environ["ARKRELAY_BIN"], "--smoke",
                                   "--peers", "BullMQ", "--out", path, "startup"], capture_output=True, text=True, check=False,
                                  env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}, timeout=4 * DEADLINE)
            said = json.loads(path.read_text(encoding="utf-8"))
        reason = "it needs Node.js 20 or newer, not v12.0.0"
        self.assertEqual((0, {"BullMQ": reason}), (done.returncode, said["skipped"]), done.stderr)
        self.assertIn(f"BullMQ: skipped: {reason}", done.stdout)
        self.assertEqual(["arkrelay"], [result["system"] for result in said["results"]])

    def test_lock_files_name_no_registry(self):
        """A registry mirror of one machine must not become the source for every machine."""
        locks = [path for path in (ROOT / "tests").glob("**/package-lock.json") if "node_modules" not in path.parts]
        self.assertEqual(3, len(locks))
        for path in locks:
            self.assertNotIn('"resolved"', path.read_text(encoding="utf-8"), path)

    def test_the_script_is_valid_bash(self):
        subprocess.run(["bash", "-n", ROOT / "scripts/bench.sh"], check=True)


if __name__ == "__main__":
    unittest.main()
