"""Tests of cli/arkctl with real gateways, workers and Redis, and in a real terminal (tmux)."""

import hashlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from gateway_case import GatewayTest
from support.processes import ProcessTest, Program, binary, eventually
from support.proxy import Proxy
from support.redis_server import free_port
from support.screen import Screen
from support.world import BASE, URLS, World, sim

ARKCTL = (sys.executable, "-S", str(pathlib.Path(__file__).resolve().parents[2] / "cli/arkctl"))    # -S: without site-packages
KEY = "the-operators-key-of-this-test"
BYTECODE = tempfile.TemporaryDirectory(prefix="arkctl-bytecode-")       # keeps .pyc files out of the source tree
OK, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_FOUND, CONFLICT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


class Done:
    """The exit code and the output of a command."""

    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    def json(self):
        """The only line of stdout, as JSON."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    def documents(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Commands:
    """Runs arkctl in an empty directory and a clean environment."""

    def prepare(self, url=None, admin_key=KEY):
        self.folder = tempfile.TemporaryDirectory(prefix="arkctl-")
        self.addCleanup(self.folder.cleanup)
        self.env = {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": BYTECODE.name, "LC_ALL": "C.UTF-8", "ARKRELAY_ADMIN_KEY": admin_key}
        if url:
            self.env["ARKRELAY_URL"] = url

    def arkctl(self, *words, status=OK, **env):
        done = Done(subprocess.run([*ARKCTL, *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
                                   cwd=self.folder.name, stdin=subprocess.DEVNULL, env={**self.env, **env}))
        self.assertEqual(done.status, status, f"arkctl {words}\n{done.out}{done.err}")
        self.assertNotIn("Traceback", done.err)
        self.assertNotIn("\x1b", done.out + done.err)
        if status > FAILED and "usage:" not in done.err:
            self.assertEqual(len(done.err.splitlines()) - done.err.startswith("task "), 1, done.err)
        return done

    def start(self, *words):
        """Starts arkctl in the background, for commands that keep running."""
        return Program("arkctl", [*ARKCTL, *words], {**self.env, "PYTHONUNBUFFERED": "1"})


class ArkctlTest(Commands, GatewayTest):
    """Without a worker process: the test runs the worker's scripts itself."""

    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        self.prepare(self.gateway.url)

    def fail_task(self, task_id, code="ark_overloaded"):
        self.gateway.submit(task_id)
        job = self.claim(task_id)
        job.begin()
        self.run_script("finish", job.id, job.fence, "failed", "known", 0, json.dumps({"code": code, "error": "wh\x1by", "retryable": True}))

    def finish(self, task_id, images=1):
        job = self.claim(task_id)
        job.begin()
        for index in range(images):
            job.emit(index)
        job.finish()

    def make_a_task_in_each_state(self):
        self.gateway.submit("delayed")
        job = self.claim("delayed")
        self.run_script("finish", job.id, job.fence, "retry", "none", 600_000, job.data(stage="retrying"))
        self.fail_task("failed")
        self.gateway.submit("done", urls=["https://example.com/" + "图" * 200])      # so long that Redis stores these and the images once
        self.finish("done", images=6)
        self.gateway.submit("running", prompt='"quoted" 图')
        job = self.claim("running")
        job.begin()
        job.emit(0)
        self.gateway.submit("queued")
        self.gateway.submit("cancelled")
        self.gateway.cancel("cancelled")


class Submit(Commands, ProcessTest):
    """With a worker and ARK's simulator."""

    def setUp(self):
        self.world = World()
        self.addCleanup(lambda: self.world.__exit__(None if self._outcome.success else AssertionError, None, None))
        self.gateway = self.world.gateway()
        self.world.worker()
        self.prepare(self.gateway.url)

    def test_submit_saves_images_and_reports_errors(self):
        images = pathlib.Path(self.folder.name) / "new/images"
        done = self.arkctl("submit", *URLS, "--prompt", sim("t1", "images=2"), "--size", "2K", "--images", 3, "--task-id", "t1", "--save", images)
        *addresses, first, second = done.out.splitlines()
        self.assertEqual([address.partition(":")[0] for address in addresses], ["http", "http"])
        self.assertEqual([first, second], [str(images / f"t1-{n}.jpeg") for n in (0, 1)])
        for path in (first, second):
            self.assertTrue(pathlib.Path(path).read_bytes().startswith(b"\xff\xd8\xff"))
        self.assertEqual(len(list(images.iterdir())), 2)
        self.assertIn("paid calls: 1; cost: 0.06 USD, charged: yes", done.err)
        again = self.arkctl("submit", *URLS, "--prompt", sim("t1", "images=2"), "--size", "2K", "--images", 3, "--task-id", "t1", "--json")
        events = again.documents()
        self.assertEqual([events[0]["event"], events[-1]["event"]], ["start", "done"])
        self.assertEqual([picture["url"] for picture in events[-1]["data"]["generated_images"]], addresses)
        self.assertEqual(len(self.world.ark.calls()), 1)
        self.assertIn("task_id_conflict", self.arkctl("submit", *URLS, "--task-id", "t1", status=CONFLICT).err)
        self.assertIn("/size", self.arkctl("submit", *URLS, "--size", "9K", status=USAGE).err)
        problem = self.arkctl("submit", "ftp://x", "--json", status=USAGE).json()
        self.assertEqual((problem["exit"], problem["problem"]["code"]), (USAGE, "invalid_fields"))
        self.assertIn("ark_invalid_request", self.arkctl("submit", *URLS, "--prompt", sim("t2", "status=400"), status=FAILED).err)
        task_id = self.arkctl("submit", *URLS, "--detach").out.strip()
        self.arkctl("tail", task_id, "--save", images)
        self.assertTrue((images / f"{task_id}-0.jpeg").exists())
        self.arkctl("submit", *URLS, "--save", "/proc/nowhere", status=FAILED)
        self.assertIn("charged: yes", self.arkctl("submit", "--prompt", sim("t3"), "--task-id", "t3").err)
        self.assertEqual(self.gateway.task("t3").json()["result"]["urls"], [])
        self.assertIn("/urls", self.arkctl("submit", "--size", "2K", status=USAGE).err)

    def test_submit_has_every_field_of_a_request(self):
        """Every flag is sent. The gateway does not check the parameters of an unlisted model."""
        self.arkctl("submit", URLS[0], "--task-id", "t9", "--model", "ep-20260101120000-abcde", "--output-format", "png", "--optimize-prompt", "fast",
                    "--web-search", "--guidance-scale", "7.50", "--background", "transparent", "--no-layers", "--seed", 7, "--detach")
        stored = json.loads(self.world.find("t9").request)
        self.assertEqual(stored, {"background": "transparent", "guidance_scale": 7.5, "layers": False, "model": "ep-20260101120000-abcde",
                                  "optimize_prompt": "fast", "output_format": "png", "seed": 7, "urls": URLS[:1], "web_search": True})
        self.assertIn("/output_format", self.arkctl("submit", URLS[0], "--output-format", "png", status=USAGE).err)

    def test_files_are_uploaded(self):
        store = self.enterContext(tempfile.TemporaryDirectory())
        for service in self.world.services[-2:]:
            service.stop()
        self.gateway, worker = self.world.gateway(STORAGE=store), self.world.worker(STORAGE=store)
        self.addCleanup(worker.stop)        # it writes pictures: stopped before the folder is removed
        self.prepare(self.gateway.url)
        image = pathlib.Path(self.folder.name) / "my photo.png"
        image.write_bytes((pathlib.Path(__file__).parents[1] / "data/images/rgb.png").read_bytes())
        done = self.arkctl("submit", image, URLS[0], image, "--prompt", sim("files", "images=1"), "--task-id", "files")
        upload = "upload:" + hashlib.sha256(image.read_bytes()).hexdigest()
        self.assertEqual(json.loads(self.world.find("files").request)["urls"], [upload, URLS[0], upload])
        self.assertIn(f"uploaded {image}", done.err)
        self.arkctl("submit", upload, "--detach")
        self.assertIn("cannot read missing.jpg: No such file", self.arkctl("submit", "missing.jpg", status=USAGE).err)
        self.assertIn("cannot read .: Is a directory", self.arkctl("submit", ".", status=USAGE).err)
        image.write_text("no image")
        self.assertIn(f"{image}: not_an_image", self.arkctl("submit", image, status=USAGE).err)      # one of several files may be the wrong one

    def test_images_in_data_urls(self):
        self.world.worker(ARK_RESPONSE_FORMAT="b64_json")
        self.world.services[-2].stop()
        done = self.arkctl("submit", *URLS, "--images", 1, "--task-id", "t1", "--save", ".")
        self.assertRegex(done.out, r"^data:image/jpeg;base64,\S+ \(\d+ characters\)\nt1-0.jpeg\n$")
        self.assertTrue((pathlib.Path(self.folder.name) / "t1-0.jpeg").read_bytes().startswith(b"\xff\xd8\xff"))


class Get(Commands, ProcessTest):
    """With pictures in a storage, and with ARK's links."""

    def setUp(self):
        self.world = World()
        self.addCleanup(lambda: self.world.__exit__(None if self._outcome.success else AssertionError, None, None))
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        self.prepare(self.gateway.url)
        self.images = pathlib.Path(self.folder.name) / "new/images"

    def make(self, task_id, directives="images=2", **fields):
        with self.gateway.generate(task_id, prompt=sim(task_id, directives), max_images=2, **fields) as stream:
            return json.loads(stream.to_end()[-1].data)["data"].get("generated_images")

    def test_images_of_the_storage_are_saved_once_and_outlive_ark(self):
        self.gateway.stop()
        storage = {"STORAGE": os.path.join(self.folder.name, "pictures")}
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY, **storage)
        self.env["ARKRELAY_URL"] = self.gateway.url
        self.world.worker(**storage)
        stored = [image["stored_url"] for image in self.make("t:1")]
        bodies = [eventually(lambda: (answer := self.gateway.get(link)).status == 200 and answer.body, "it is stored") for link in stored]
        self.world.ark.kill()
        names = ["t:1-0.jpeg", "t:1-1.jpeg"]
        done = self.arkctl("get", "t:1", "-o", self.images, ARKRELAY_ADMIN_KEY="")
        self.assertEqual(done.out.splitlines(), [str(self.images / name) for name in names])
        self.assertEqual([(self.images / name).read_bytes() for name in names], bodies)
        self.assertEqual(sorted(path.name for path in self.images.iterdir()), names)

        (self.images / names[0]).write_bytes(b"mine")
        (self.images / names[1]).unlink()
        done = self.arkctl("get", "public.t:1", "--output", self.images, status=FAILED)
        self.assertIn(f"{names[0]} exists; --force replaces it", done.err)
        self.assertEqual((done.out, (self.images / names[0]).read_bytes()), (f"{self.images / names[1]}\n", b"mine"))
        done = self.arkctl("get", "t:1", "-o", self.images, "--force", "--json")
        self.assertEqual(done.documents(), [{"saved": str(self.images / name), "index": n} for n, name in enumerate(names)])
        self.assertEqual((self.images / names[0]).read_bytes(), bodies[0])

    def test_submit_prints_and_saves_the_stored_images(self):
        storage = {"STORAGE": os.path.join(self.folder.name, "pictures")}
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY, **storage)
        self.env["ARKRELAY_URL"] = self.gateway.url
        self.world.worker(**storage)
        stored = [image["stored_url"] for image in self.make("t1")]
        for link in stored:
            eventually(lambda link=link: self.gateway.get(link).status == 200, "it is stored")
        self.world.ark.kill()
        done = self.arkctl("submit", *URLS, "--prompt", sim("t1", "images=2"), "--images", 2, "--task-id", "t1", "--save", self.images)
        self.assertEqual(done.out.splitlines(), [self.gateway.url + link for link in stored] + [str(self.images / f"t1-{n}.jpeg") for n in (0, 1)])

    def test_images_of_ark(self):
        self.world.worker()
        self.make("t1")
        self.arkctl("get", "t1")
        self.assertTrue((pathlib.Path(self.folder.name) / "t1-1.jpeg").read_bytes().startswith(b"\xff\xd8\xff"))
        (pathlib.Path(self.folder.name) / "t1-0.png").symlink_to("nowhere")        # another type, and a link to nothing: taken all the same
        (pathlib.Path(self.folder.name) / "t1-0.jpeg").unlink()
        self.assertIn("t1-0.png exists", self.arkctl("get", "t1", status=FAILED).err)

    def test_why_there_are_none(self):
        self.world.worker()
        self.make("refused", "status=400")
        self.assertIn("the task has no images", self.arkctl("get", "refused", status=FAILED).err)
        self.gateway.submit("slow", prompt=sim("slow", "first_latency=600000"))
        self.world.ark.wait_calls(1, "slow")
        self.assertIn("has no images yet", self.arkctl("get", "slow", status=CONFLICT).err)
        self.arkctl("get", "none", status=NOT_FOUND)
        self.make("t1")
        self.arkctl("get", "t1", "-o", "/proc/nowhere", status=FAILED)
        self.world.services[-1].kill()           # its call would delay the drain
        self.world.redis("FLUSHALL")


class Tail(ArkctlTest):
    def proxy(self):
        host, _, port = self.gateway.address.rpartition(":")
        proxy = Proxy((host, int(port)))
        self.addCleanup(proxy.close)
        return proxy

    def test_tail_and_submit_resume_after_a_cut(self):
        proxy, lossy = self.proxy(), self.proxy()
        self.gateway.submit("t1")
        job = self.claim("t1")
        lossy.cut_after(10)                                 # the client cannot know whether the task was accepted
        unsure = self.start("--url", f"http://{lossy.address}", "submit", *URLS, "--task-id", "t2")
        unsure.wait_for("-- the connection was lost.*; reconnecting in")
        lossy.close()
        tail = self.start("--url", f"http://{proxy.address}", "--admin-key", "", "tail", "t1")
        submit = self.start("--url", f"http://{proxy.address}", "submit", *URLS, "--task-id", "t1", "--json")
        job.begin()
        tail.wait_for("process +calling, attempt 1")
        submit.wait_for('"calling"')
        proxy.cut_all()
        job.emit(0)
        tail.wait_for("-- the stream ended early; reconnecting in|-- the connection was lost.*; reconnecting in")
        tail.wait_for("process +image, no. 0")
        job.finish()
        self.assertEqual((tail.wait_exit(), submit.wait_exit()), (OK, OK))
        self.assertEqual([line.split()[0] for line in tail.lines if re.match(r" +\d", line)], ["1", "2", "3", "4"])
        events = [json.loads(line) for line in submit.lines if line.startswith("{")]
        self.assertEqual([event["id"].partition("-")[2] for event in events], ["1", "2", "3", "4"])
        unsure.wait_for("-- cannot reach the gateway.*; reconnecting in")
        unsure.kill()
        self.assertEqual(self.world.find("t2").state, "queued")

    def test_tail_of_an_ended_and_of_an_unknown_task(self):
        self.fail_task("bad")
        done = self.arkctl("tail", "bad", status=FAILED)
        self.assertIn("ark_overloaded", done.out)
        self.assertIn("wh?y", done.out)                     # control characters are replaced
        ids = [event["id"] for event in self.arkctl("tail", "bad", "--json", status=FAILED).documents()]
        self.assertEqual([n.partition("-")[2] for n in ids], ["1", "2", "3"])
        self.arkctl("tail", "none", status=NOT_FOUND)
        self.arkctl("tail", "none", status=NOT_FOUND, ARKRELAY_ADMIN_KEY="")
        self.arkctl("tail", "not an id", status=USAGE)

    def test_an_interrupted_tail(self):
        self.gateway.submit("t1")
        tail = self.start("tail", "t1")
        tail.wait_for("start")
        tail.signal(2)
        self.assertEqual(tail.wait_exit(), INTERRUPTED)


class Keys(ArkctlTest):
    def setUp(self):
        GatewayTest.setUp(self)
        self.prepare()
        keys = os.path.join(self.folder.name, "keys")
        self.key = subprocess.run([binary("arkrelay-gateway"), "--keys-file", keys, "--new-key", "shop"], check=True, capture_output=True,
                                  text=True, cwd=self.folder.name).stdout.strip()
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_KEYS_FILE=keys)
        self.env |= {"ARKRELAY_URL": self.gateway.url, "ARKRELAY_ADMIN_KEY": ""}

    def test_permissions_of_each_key(self):
        client, operator = {"ARKRELAY_KEY": self.key}, {"ARKRELAY_ADMIN_KEY": KEY}
        for command in (("submit", *URLS), ("tail", "t1"), ("task", "show", "t1"), ("queue", "show"), ("tasks",), ("workers",)):
            self.arkctl(*command, status=NOT_ALLOWED)
        self.assertEqual(self.arkctl("submit", *URLS, "--task-id", "t1", "--detach", **client).out, "t1\n")
        self.assertEqual(self.arkctl("task", "show", "t1", "--json", **client).json()["status"], "queued")
        self.arkctl("tasks", status=NOT_ALLOWED, **client)
        self.arkctl("task", "show", "t1", status=NOT_FOUND, **operator)         # without --client it means public.t1
        for words in (("shop.t1",), ("t1", "--client", "shop")):
            self.assertEqual(self.arkctl("task", "show", *words, "--json", **operator).json()["id"], "shop.t1")
        self.assertIn("shop.t1", self.arkctl("tasks", **operator).out)
        self.assertEqual(self.arkctl("queue", "show", "--json", **operator).json()["depth"], 1)
        tail = self.start("--admin-key", KEY, "tail", "shop.t1")                # polls, because the admin API has no stream
        tail.wait_for("start")
        self.assertEqual(self.arkctl("task", "cancel", "t1", **client).out, "t1: cancelled\n")
        self.assertEqual(tail.wait_exit(), FAILED)
        self.arkctl("task", "retry", "t1", status=NOT_ALLOWED, **client)
        self.world.submit_many(1, prefix="shop.t")                              # public's "shop.t0", ambiguous with shop's "t0"
        self.arkctl("submit", *URLS, "--task-id", "t0", "--detach", **client)
        self.assertIn("--client", self.arkctl("task", "cancel", "shop.t0", status=USAGE, **operator).err)
        self.arkctl("task", "cancel", "shop.t0", "--client", "public", **operator)
        self.assertEqual(self.arkctl("task", "show", "shop.t0", "--client", "public", "--json", **operator).json()["status"], "cancelled")
        self.arkctl("task", "erase", "t1", **client)
        checks = {check["check"]: check for check in self.arkctl("doctor", "--json", status=FAILED).json()["checks"]}
        self.assertEqual((checks["key"]["status"], checks["admin key"]["status"]), ("bad", "skip"))
        checks = {check["check"]: check for check in self.arkctl("doctor", "--json", status=FAILED, **client, **operator).json()["checks"]}
        self.assertEqual((checks["key"]["status"], checks["limit requests"]["status"], checks["workers"]["status"]), ("ok", "ok", "bad"))


class Operators(ArkctlTest):
    def test_one_task(self):
        self.gateway.submit("t.1")
        self.assertIn("position    1", self.arkctl("task", "show", "t.1").out)
        self.assertEqual(self.arkctl("task", "cancel", "t.1", "--json").json(), {"id": "public.t.1", "status": "cancelled"})
        self.arkctl("task", "cancel", "t.1", status=CONFLICT)
        self.assertEqual(self.arkctl("task", "retry", "public.t.1", "--json").json()["status"], "queued")
        self.arkctl("task", "erase", "t.1", status=CONFLICT)
        self.finish("t.1")
        ended = self.arkctl("task", "show", "t.1").out
        self.assertIn("https://ark.example.com/1.jpg", ended)
        self.assertRegex(ended, r"\n  cost +0\.09 USD, estimated\n")
        self.arkctl("task", "retry", "t.1", status=CONFLICT)
        self.assertEqual(self.arkctl("task", "erase", "t.1").out, "public.t.1: erased\n")
        for action in ("show", "cancel", "retry", "erase"):
            self.arkctl("task", action, "t.1", status=NOT_FOUND)
        self.arkctl("task", "show", "t.1", status=NOT_FOUND, ARKRELAY_ADMIN_KEY="")

    def test_own_tasks(self):
        gateway = self.world.gateway(GATEWAY_TASK_LIST="on")
        for name in ("a", "b", "other"):
            gateway.submit(name)
        gateway.cancel("other")
        options = ("--url", gateway.url, "--admin-key", "")
        self.assertEqual([row["task_id"] for row in self.arkctl("tasks", "--own", "--state", "ended", *options, "--json").json()["tasks"]], ["other"])
        lines = self.arkctl("tasks", "--own", "--search", "a", *options).out.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["TASK", "a"])
        self.assertEqual(self.arkctl("tasks", "--own", "--state", "dead", *options).out.splitlines()[-1], "(none)")
        self.arkctl("tasks", "--own", status=NOT_FOUND)

    def test_tasks_and_dead(self):
        self.fail_task("failed.2")
        self.make_a_task_in_each_state()
        for state in ("queued", "failed", "cancelled"):
            self.assertIn(f"public.{state}", self.arkctl("tasks", "--state", state).out)
        self.assertEqual(self.arkctl("tasks", "--state", "queued", "--search", "nothing").out.splitlines()[-1], "(none)")
        page = self.arkctl("tasks", "--state", "ended", "--limit", 2, "--json").json()
        self.assertEqual((len(page["tasks"]), page["more"]), (2, True))
        self.assertEqual(len(self.arkctl("tasks", "--state", "ended", "--limit", 2, "--all", "--json").json()["tasks"]), 4)
        self.assertIn("ark_overloaded", self.arkctl("dead", "list").out)
        self.arkctl("dead", "retry", status=USAGE)
        self.arkctl("dead", "retry", "failed", "--all", status=USAGE)
        done = self.arkctl("dead", "retry", "failed", "none", "done", status=NOT_FOUND)
        self.assertEqual([line.partition(":")[0] for line in done.out.splitlines()], ["public.failed", "none", "done"])
        self.assertEqual(self.arkctl("dead", "retry", "--all", "--json").json(), {"retried": [{"id": "public.failed.2", "status": "queued"}]})
        self.assertEqual(self.arkctl("dead", "retry", "--all").out, "there are no failed tasks\n")
        self.assertEqual(self.arkctl("dead", "list", "--json").json()["tasks"], [])

    def test_usage(self):
        self.assertIn("no usage from", self.arkctl("usage").out)
        self.assertEqual(self.arkctl("usage", "--csv").out, "day,client,model,tasks,images,paid_calls,currency,amount,estimated_amount\n")
        today = time.strftime("%Y%m%d", time.gmtime())
        for when in (today, today[:6]):
            self.redis("HSET", f"arkrelay:{{money}}:usage:{when}", "public\tm\tUSD", "2 3 2 90000 30000", "public\t=e\t-", "1 1 1 0 0")
        self.redis("HSET", "arkrelay:{money}:ledger", "", f"USD {today} 90000 10000 90000 10000")
        table = self.arkctl("usage").out
        for pattern in (r"DAY +CLIENT +MODEL +TASKS +IMAGES +CALLS +COST", r"public +m +2 +3 +2 +0\.09 USD \(of it estimated 0\.03\)", "=e .* not known", "total 0.09 USD"):
            self.assertRegex(table, pattern)
        self.assertRegex(self.arkctl("usage", "--month", "--csv").out, f"{today[:4]}-{today[4:6]},public,m,2,3,2,USD,0.09,0.03\r?\n")
        self.assertIn(",'=e,", self.arkctl("usage", "--csv").out)
        report = self.arkctl("usage", "--json").json()
        self.assertEqual((report["spending"]["day"], len(report["rows"])), ({"limit": None, "spent": 0.09, "reserved": 0.01}, 2))
        self.assertNotIn("CLIENT", self.arkctl("usage", "--own").out)
        self.redis("HSET", f"arkrelay:{{money}}:usage:{today}", "public\tm\tUSD", "2 3 2 1234567890123 1")
        table = self.arkctl("usage").out
        self.assertIn("1234567.890123 USD (of it estimated 0.000001)", table)
        self.assertIn("total 1234567.890123 USD", table)
        self.assertIn(",USD,1234567.890123,0.000001", self.arkctl("usage", "--csv").out)
        self.arkctl("usage", "--from", "yesterday", status=USAGE)

    def test_queue_workers_and_top(self):
        self.assertEqual(self.arkctl("queue", "pause", "--json").json(), {"paused": True})
        self.assertIn("PAUSED", self.arkctl("queue", "show").out)
        self.arkctl("submit", *URLS, status=CONFLICT)
        self.arkctl("queue", "resume")
        self.assertFalse(self.arkctl("queue", "show", "--json", ARKRELAY_ADMIN_KEY="").json()["paused"])
        eventually(lambda: self.gateway.get(f"{BASE}/queue").status == 200 and self.redis("ZCARD", "arkrelay:{processes}:seen"), "the gateway has reported")
        (process,) = self.arkctl("workers", "--json").json()["processes"]
        self.assertEqual((process["role"], process["pid"]), ("gateway", self.gateway.pid))
        self.assertIn("no worker is running", self.arkctl("workers").out)
        self.assertEqual(self.arkctl("top", "--json").json()["queue"]["depth"], 0)
        frame = self.arkctl("top").out
        for pattern in (r"arkrelay \S+  http://\S+  up", "0 waiting", "ended 0", "latency  no call yet", r"Redis    \d", str(self.gateway.pid)):
            self.assertRegex(frame, pattern)

    def test_reasons_for_waiting(self):
        open_breakers(self.redis)
        self.arkctl("submit", *URLS, "--detach", "--task-id", "t1", "--model", "m1")
        for words in (("queue", "show"), ("top",), ("task", "show", "t1")):
            out = self.arkctl(*words, **({"ARKRELAY_ADMIN_KEY": ""} if words[0] == "task" else {})).out
            self.assertRegex(out, r"the account: ARK cannot be reached \(ark_unreachable\), for 5 min", words)
            self.assertRegex(out, r"model m1: the quota or spending limit is used up \(ark_quota_exceeded\), for 5 min", words)
        self.assertRegex(self.arkctl("top").out, r"480 images may still begin this minute(.|\n)*limited  m2: 37 calls at a time, 320 images per minute")
        for key in ({}, {"ARKRELAY_ADMIN_KEY": ""}):
            results = self.arkctl("queue", "show", "--json", **key).json()["waiting_for"]
            self.assertEqual([(reason["code"], reason.get("model")) for reason in results],
                             [("ark_unreachable", None), ("ark_quota_exceeded", "m1"), ("ark_rate_limited", "m2")])


def open_breakers(redis):
    """Writes governor state: the account's circuit breaker is open, m1's is half open, m2 is limited and paused."""
    now = int(redis("TIME")[0]) * 1000
    redis("HSET", "arkrelay:{account}:governor", "calls", 12, "tokens", 480, "default_model", "m2", "state", "open", "code", "ark_unreachable",
          "why", "no route to \x1b[2Jhost", "since", now - 310_000, "probe_at", now + 600_000, "m1 state", "half_open", "m1 code", "ark_quota_exceeded",
          "m1 since", now - 310_000, "m2 limit", "37.25", "m2 rate", 320, "m2 paused_until", now + 600_000)


class WithoutGateway(ArkctlTest):
    def test_redis_gives_the_same_documents_as_the_gateway(self):
        self.make_a_task_in_each_state()
        open_breakers(self.redis)
        # Only oldest_age_ms changes between the two reads.
        commands = [("queue", "show"), ("dead", "list"), *(("tasks", "--state", state) for state in ("running", "done", "live", "ended")),
                    *(("task", "show", state) for state in ("delayed", "running", "done", "failed"))]
        eventually(lambda: self.redis("ZCARD", "arkrelay:{processes}:seen"), "the gateway has reported")
        results = [self.arkctl(*command, "--json").json() for command in commands]
        self.assertIn(" ?", self.arkctl("task", "show", "running", PYTHONIOENCODING="latin-1").out)
        self.gateway.stop()
        redis = ("--redis", self.world.redis_server.url)
        for command, document in zip(commands, results):
            with self.subTest(" ".join(command)):
                read = self.arkctl(*command, "--json", *redis).json()
                for each in (read, document):
                    each.pop("oldest_age_ms", None)
                    each.pop("memory_full_ms", None)
                self.assertEqual(read, document)
        self.arkctl("queue", "show", status=UNREACHABLE)
        for command in (("workers",), ("submit", *URLS), ("queue", "pause"), ("task", "cancel", "queued"), ("dead", "retry", "failed")):
            self.arkctl(*command, *redis, status=USAGE)
        self.arkctl("task", "show", "none", *redis, status=NOT_FOUND)
        self.arkctl("queue", "show", "--redis", "unix:///nowhere", status=UNREACHABLE)
        self.arkctl("queue", "show", "--redis", "http://127.0.0.1", status=USAGE)
        self.redis("CONFIG", "SET", "requirepass", "secret")
        self.arkctl("queue", "show", *redis, status=NOT_ALLOWED)
        self.redis("CONFIG", "SET", "requirepass", "")


class Doctor(ArkctlTest):
    redis_options = {"tcp": True, "aof": True, "options": ("--maxmemory", "200mb")}

    def checks(self, *words, status=OK):
        document = self.arkctl("doctor", "--json", *words, status=status).json()
        self.assertEqual(document["ok"], status == OK)
        return {check["check"]: check for check in document["checks"]}

    def test_a_healthy_system(self):
        self.report_process("worker-1", "worker")
        for words in ((), ("--redis", self.world.redis_server.url)):
            checks = self.checks(*words)
            checks.pop("redis")                             # the round trip may be slow on a loaded machine
            self.assertEqual({check["status"] for check in checks.values()} - {"skip"}, {"ok"}, checks)
        self.assertNotIn("skip", {check["status"] for check in checks.values()})
        self.assertIn("appendfsync", self.arkctl("doctor").out)

    def test_processes_with_different_catalogues(self):
        self.report_process("worker-1", "worker")
        self.assertEqual(self.checks()["model catalogues"]["status"], "ok")
        file = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "models.json"
        file.write_text('{"models": [{"name": "ep-1", "like": "seedream-4-0"}]}')
        self.world.worker(MODELS_FILE=str(file), WORKER_NAME="worker-2")
        for words in ((), ("--redis", self.world.redis_server.url)):
            eventually(lambda: self.checks(*words)["model catalogues"]["status"] == "warn", "two catalogues")
            finding = self.checks(*words)["model catalogues"]
            self.assertRegex(finding["text"], r"^[0-9a-f]{12}: \S+; [0-9a-f]{12}: \S+$")
            self.assertIn("worker-2", finding["text"])

    def test_open_circuit_breakers(self):
        self.report_process("worker-1", "worker")
        open_breakers(self.redis)
        results = [self.account_findings(*words) for words in ((), ("--redis", self.world.redis_server.url))]
        self.gateway.stop()
        results.append(self.account_findings("--redis", self.world.redis_server.url, ARKRELAY_ADMIN_KEY=""))
        for findings in results:
            account, model, paused, limited = findings
            self.assertEqual([finding["status"] for finding in findings], ["bad", "bad", "warn", "warn"])
            self.assertRegex(account["text"], r"breaker is open, tasks wait: ARK cannot be reached \(ark_unreachable\); for 5 min \d+ s, since \d{4}-.*Z; "
                                              r"last error: no route to \x1b\[2Jhost; next probe in \d+ min")
            self.assertIn("ARK_BASE_URL", account["advice"])
            self.assertRegex(model["text"], r"m1: the circuit breaker is half open, tasks wait: the quota or spending limit is used up")
            self.assertRegex(paused["text"], r"m2: ARK rate limited the calls")
            self.assertRegex(limited["text"], r"m2: .* 37 calls at a time, 320 images per minute")

    def account_findings(self, *words, **env):
        out = self.arkctl("doctor", "--json", *words, status=FAILED, **env)
        self.assertNotIn("\x1b", self.arkctl("doctor", *words, status=FAILED, **env).out, "control characters of ARK's texts must not reach the terminal")
        return [check for check in out.json()["checks"] if check["check"] in ("ARK account", "ARK model")]

    def test_advice_for_each_code(self):
        for code, advice in (("ark_unauthorized", "ARK_API_KEY.*balance"), ("ark_model_unavailable", "activated"), ("outcome_unknown", "by itself"),
                             ("ark_quota_exceeded", "raise it"), ("unknown_code", "workers' log")):
            self.redis("HSET", "arkrelay:{account}:governor", "state", "probing", "code", code)
            (finding,) = self.account_findings()
            self.assertEqual(finding["status"], "bad")
            self.assertIn(code, finding["text"])
            self.assertRegex(finding["advice"], advice)

    def report_process(self, name, role, version=None):
        """Writes the presence record of a process."""
        version = version or eventually(lambda: self.redis("HGET", self.process_of_the_gateway(), "version"), "the gateway has reported").decode()
        self.redis("HSET", f"arkrelay:{{processes}}:process:{name}", "role", role, "version", version, "slots", 4, "busy", 1)
        self.redis("ZADD", "arkrelay:{processes}:seen", 10**15, name)

    def process_of_the_gateway(self):
        (name,) = eventually(lambda: self.redis("ZRANGEBYSCORE", "arkrelay:{processes}:seen", "-inf", 10**14), "the gateway has reported")
        return f"arkrelay:{{processes}}:process:{name.decode()}"

    def used_memory(self):
        return int(self.redis("INFO", "memory").split(b"used_memory:")[1].split()[0])

    def test_a_misconfigured_system(self):
        self.fail_task("t1", "outcome_unknown")
        self.report_process("old", "gateway", "0.0.1")
        self.arkctl("queue", "pause")
        for name, value in (("maxmemory-policy", "allkeys-lru"), ("appendfsync", "everysec"), ("maxmemory", str(self.used_memory() * 5 // 4))):
            self.redis("CONFIG", "SET", name, value)
        redis = ("--redis", self.world.redis_server.url)
        found = {name: check["status"] for name, check in self.checks(*redis, status=FAILED).items()}
        expected = {"maxmemory-policy": "bad", "appendfsync": "warn", "workers": "bad", "versions": "warn", "queue": "warn", "dead tasks": "warn",
                    "unknown outcomes": "warn", "gateway": "ok", "appendonly": "ok"}
        self.assertEqual({name: found[name] for name in expected}, expected)
        self.assertIn(found["memory"], ("warn", "bad"))
        self.redis("CONFIG", "SET", "maxmemory", "0")
        self.redis("CONFIG", "SET", "appendonly", "no")
        self.assertEqual(self.checks(*redis, status=FAILED)["appendonly"]["status"], "warn")
        text = self.arkctl("doctor", *redis, status=FAILED).out
        self.assertIn("-> CONFIG SET maxmemory-policy noeviction", text)
        self.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self.world.redis_server.stop()
        found = self.checks(*redis, status=FAILED)
        self.assertEqual((found["gateway"]["status"], found["readiness"]["status"], found["redis"]["status"]), ("ok", "bad", "bad"))


class CommandLine(Commands, ProcessTest):
    """Without a gateway at the configured URL."""

    def setUp(self):
        self.prepare(f"http://127.0.0.1:{free_port()}", admin_key="")

    def test_invalid_command_lines(self):
        for words in ((), ("nothing",), ("task",), ("task", "show"), ("tasks", "--state", "x"), ("tasks", "--limit", "0"),
                      ("queue", "show", "--timeout", "x"), ("queue", "show", "--url", "ftp://x"), ("queue", "show", "--url", "http://x:99999999"),
                      ("queue", "show", "--key", "a\nb"), ("completion", "fish"), ("queue", "show", "--ur", "http://x")):
            with self.subTest(words):
                self.arkctl(*words, status=USAGE)

    def test_an_unreachable_gateway(self):
        for words in (("queue", "show"), ("submit", *URLS), ("tail", "t1"), ("task", "show", "t1")):
            self.arkctl(*words, status=UNREACHABLE)
        self.arkctl("top", "--once", status=NOT_ALLOWED)
        self.arkctl("top", "--once", "--admin-key", KEY, status=UNREACHABLE)
        self.assertIn('"exit": 3', self.arkctl("queue", "show", "--json", status=UNREACHABLE).out)
        self.assertIn("bad ", self.arkctl("doctor", status=FAILED).out)

    def test_other_servers_and_the_env_file(self):
        with World() as world:
            closed = world.gateway()
            for words in (("queue", "show"), ("submit", *URLS), ("tail", "t1")):
                self.assertIn("is not an arkrelay gateway", self.arkctl(*words, "--url", world.ark.url, status=UNREACHABLE).err)
            self.assertIn("is not Redis", self.arkctl("queue", "show", "--redis", f"redis://{world.ark.address}", status=UNREACHABLE).err)
            self.assertIn("GATEWAY_ADMIN_KEY", self.arkctl("tasks", "--admin-key", KEY, "--url", closed.url, status=NOT_ALLOWED).err)
            # The admin key from .env, and a closed pipe on stdout.
            opened = world.gateway(GATEWAY_ADMIN_KEY=KEY)
            world.submit_many(300)
            (pathlib.Path(self.folder.name) / ".env").write_text(f"# a comment\nexport GATEWAY_ADMIN_KEY='{KEY}' # more\n")
            self.assertEqual(len(self.arkctl("tasks", "--all", "--url", opened.url).out.splitlines()), 301)
            self.arkctl("tasks", "--url", opened.url, "--admin-key", "the-wrong-key-of-this-test", status=NOT_ALLOWED)
            self.into_a_closed_pipe("tasks", "--all", "--url", opened.url)
            self.into_a_closed_pipe("--help")

    def into_a_closed_pipe(self, *words):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([*ARKCTL, *words], stdout=write_end, stderr=subprocess.PIPE, cwd=self.folder.name, env=self.env, timeout=60,
                              check=False)
        os.close(write_end)
        self.assertEqual((done.returncode, done.stderr), (OK, b""))

    def test_a_full_disk_and_closed_streams(self):
        with World() as world:
            url = world.gateway(GATEWAY_ADMIN_KEY=KEY).url
            for words in (("--help",), ("completion", "bash"), ("queue", "show"), ("queue", "show", "--json"), ("usage", "--csv"), ("doctor",),
                          ("submit", "--prompt", "x", "--detach"), ("tasks",), ("top", "--once")):
                words = (*words, "--url", url, "--admin-key", KEY)
                with self.subTest(words):
                    done = self.redirected(words, ">/dev/full")
                    self.assertEqual((done.returncode, done.stderr.splitlines()[-1:]),
                                     (FAILED, ["arkctl: cannot write the output: No space left on device"]))
                    self.assertNotIn("Traceback", done.stderr)
            for words, streams, status in ((("queue", "show"), ">&-", OK), (("queue", "show"), "2>&-", OK), (("top", "--once"), "<&- >&- 2>&-", OK),
                                           (("nothing",), "2>/dev/full", USAGE), (("task", "show", "none"), "2>/dev/full", NOT_FOUND),
                                           (("task", "show", "none"), "2>&-", NOT_FOUND), (("submit", "--prompt", "y", "--detach"), "2>/dev/full", OK),
                                           (("task", "show", "none", "--json"), ">/dev/full 2>/dev/full", NOT_FOUND)):
                with self.subTest(words, streams=streams):
                    done = self.redirected((*words, "--url", url, "--admin-key", KEY), streams)
                    self.assertEqual((done.returncode, done.stderr), (status, ""))
            done = self.redirected(("task", "show", "none", "--json", "--url", url), ">/dev/full")
            self.assertEqual(done.returncode, NOT_FOUND)
            self.assertRegex(done.stderr, r"\Aarkctl: task_not_found: .*\narkctl: cannot write the output: .*\n\Z")

    def redirected(self, words, streams):
        return subprocess.run(["bash", "-c", f'"$@" {streams}', "bash", *ARKCTL, *words], capture_output=True, text=True, cwd=self.folder.name,
                              env=self.env, timeout=60, check=False)

    def test_malformed_responses(self):
        class Nonsense(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b'{"queue": "\xe5\x9b\xbe", "processes": [[]], "tasks": 7, "task_id": "t1"}')

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ("--url", f"http://127.0.0.1:{server.server_address[1]}")
        for command in (("queue", "show"), ("workers",), ("tasks",), ("task", "show", "t1"), ("tail", "t1"), ("top", "--once"), ("doctor",)):
            with self.subTest(command[0]):
                self.arkctl(*words, *command, "--admin-key", KEY, status=UNREACHABLE, PYTHONIOENCODING="latin-1")

    def test_completion(self):
        for line, expected in (("arkctl ta", ["tail", "task", "tasks"]), ("arkctl task sh", ["show"]), ("arkctl --json tasks --state qu", ["queued"]),
                               ("arkctl dead retry --a", ["--admin-key", "--all"]), ("arkctl completion z", ["zsh"])):
            with self.subTest(line):
                script = (f'source /dev/stdin <<<"$SCRIPT"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _arkctl; '
                          'printf "%s\\n" "${COMPREPLY[@]}"')
                done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True,
                                      env={"PATH": os.environ["PATH"], "SCRIPT": self.completion_script()})
                self.assertEqual((sorted(done.stdout.split()), done.stderr), (expected, ""))
        script = self.arkctl("completion", "zsh").out
        self.assertTrue(script.startswith("#compdef arkctl"))
        self.assertNotIn("mapfile", script)                 # zsh has no mapfile

    def completion_script(self):
        if not hasattr(self, "_script"):
            self._script = self.arkctl("completion", "bash").out
        return self._script

    def test_help_lists_the_exit_codes(self):
        text = self.arkctl("--help").out
        for code in (OK, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_FOUND, CONFLICT, INTERRUPTED):
            self.assertRegex(text, rf"(?m)^  {code} ")


class InATerminal(ArkctlTest):
    def setUp(self):
        GatewayTest.setUp(self)
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_HINTS="100ms")
        self.prepare(self.gateway.url)
        self.screen = Screen()
        self.addCleanup(self.screen.close)

    def show(self, *words):
        self.screen.run(*ARKCTL, *words, **self.env)

    def test_top_updates_resizes_and_quits_with_q(self):
        self.show("top", "--interval", "0.1")
        self.screen.wait_for(r"0 waiting +0 delayed")
        self.screen.wait_for(r"^q quits")
        self.gateway.submit("t1")
        self.screen.wait_for(r"1 waiting")
        self.screen.wait_for(rf"^\S+:{self.gateway.pid} +gateway")
        self.screen.resize(40, 6)
        self.screen.wait_for(r"\Aarkrelay(?:.*\n){5}q quits")
        self.screen.resize(120, 20)
        self.screen.wait_for(r"(?:.*\n){19}q quits")
        self.gateway.stop()
        self.screen.wait_for(r"^no answer: cannot reach the gateway")
        self.screen.keys("q")
        self.assertEqual(self.screen.exit_status(), OK)

    def test_top_exits_if_the_key_is_wrong(self):
        self.show("top", "--admin-key", "the-wrong-key-of-this-test")
        self.screen.wait_for("^arkctl: unauthorized")
        self.assertEqual(self.screen.exit_status(), NOT_ALLOWED)

    def test_dead_retry_all_asks_for_confirmation(self):
        self.fail_task("t1")
        self.show("dead", "retry", "--all")
        self.screen.wait_for(r"Retry 1 task\?")
        self.screen.keys("Enter")
        self.assertEqual(self.screen.exit_status(), OK)
        self.assertEqual(self.world.find("t1").state, "failed")

    def test_submit_shows_progress(self):
        for n in range(3):
            self.gateway.submit(f"before-{n}")
        self.show("submit", *URLS, "--images", "2", "--task-id", "t1")
        self.screen.wait_for(r"^\[\.+\] waiting, position 4 ")
        self.finish("before-0")
        self.screen.wait_for(r"^\[#+\.+\] waiting, position 3 ")
        self.finish("before-1")
        self.screen.wait_for(r"^\[#+\.+\] waiting, position 2  about \d")
        self.finish("before-2")
        job = self.claim("t1")
        job.begin()
        self.screen.wait_for(r"^\[\.{20}\] running  0 of 2 images")
        job.emit(0)
        self.screen.wait_for(r"^\[#{10}\.{10}\] running  1 of 2 images")
        job.finish()
        self.screen.wait_for(r"\Atask t1\nhttps://ark.example.com/1.jpg\ndone in ")
        self.assertEqual(self.screen.exit_status(), OK)

    def test_ctrl_c_leaves_the_task_running_and_prints_how_to_follow_it(self):
        self.show("submit", *URLS, "--task-id", "t1")
        self.screen.wait_for("waiting, position 1")
        self.screen.keys("C-c")
        self.screen.wait_for("Follow it with: .* tail t1")
        self.assertEqual(self.screen.exit_status(), INTERRUPTED)
        self.assertEqual(self.world.find("t1").state, "queued")

    def test_a_second_ctrl_c_cancels_the_task(self):
        self.show("submit", *URLS, "--task-id", "t1")
        self.screen.wait_for("waiting, position 1")
        self.screen.keys("C-c")
        self.screen.wait_for("Follow it with: ")
        self.screen.keys("C-c")
        self.assertEqual(self.screen.exit_status(), FAILED)
        self.assertEqual(self.world.find("t1").state, "cancelled")

    def test_ctrl_c_cancels_at_once_with_cancel_on_interrupt(self):
        self.show("submit", *URLS, "--task-id", "t1", "--cancel-on-interrupt")
        self.screen.wait_for("waiting, position 1")
        self.screen.keys("C-c")
        self.screen.wait_for("cancelled")
        self.assertEqual(self.screen.exit_status(), FAILED)
        self.assertEqual(self.world.find("t1").state, "cancelled")


if __name__ == "__main__":
    unittest.main()
