"""The admin API: tasks of all clients, processes, the overview. The test runs the worker's scripts itself."""

import json
import unittest
import urllib.parse

from gateway_case import GatewayTest
from support.http_client import fetch
from support.processes import ProcessTest
from support.scripts import PREFIX
from support.world import BASE, World, sim

KEY = "the-operators-key-of-this-test"
RFC3339 = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
CLOSED = {"state": "closed", "code": None, "why": None, "since_ms": None, "probe_at_ms": None}
NOTHING_KNOWN = {"breaker": CLOSED, "tokens": None, "calls": None, "limit": None, "default_model": None, "models": []}


class AdminTest(GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)

    def admin(self, method, path, **headers):
        return fetch(self.gateway.address, method, f"/admin/{path}", headers={"Authorization": f"Bearer {KEY}", **headers})

    def get(self, path):
        answer = self.admin("GET", path)
        self.assertEqual((answer.status, answer.headers["content-type"], answer.headers["cache-control"]),
                         (200, "application/json", "no-store"))
        return answer.json()

    def list(self, **query):
        return self.get("tasks?" + urllib.parse.urlencode(query))

    def ids(self, **query):
        return [task["task_id"] for task in self.list(**query)["tasks"]]

    def fail_task(self, task_id, **fields):
        self.gateway.submit(task_id, **fields)
        job = self.claim(task_id)
        job.begin()
        failure = json.dumps({"code": "ark_overloaded", "error": "why", "retryable": True})
        self.run_script("finish", job.id, job.fence, "failed", "known", 0, failure)
        return job


class Access(AdminTest):
    ADDRESSES = (("GET", "tasks"), ("GET", "tasks/public.t1"), ("DELETE", "tasks/public.t1"), ("POST", "tasks/public.t1/retry"),
                 ("POST", "tasks/public.t1/cancel"), ("GET", "processes"), ("GET", "overview"))

    def test_the_admin_key_is_required_and_without_one_the_admin_api_is_disabled(self):
        closed = self.world.gateway()
        self.fail_task("t1")
        before = self.world.find("t1")
        for method, path in self.ADDRESSES:
            with self.subTest(f"{method} {path}"):
                answer = fetch(self.gateway.address, method, f"/admin/{path}")
                self.assert_problem(answer, 401, "unauthorized")
                answer = fetch(closed.address, method, f"/admin/{path}", headers={"Authorization": f"Bearer {KEY}"})
                self.assert_problem(answer, 404, "not_found")
        self.assertEqual(self.world.find("t1").fields, before.fields)

    def test_while_redis_is_unavailable(self):
        self.world.redis_server.stop()
        for method, path in self.ADDRESSES:
            with self.subTest(f"{method} {path}"):
                self.assert_problem(self.admin(method, path), 503, "store_unavailable")


class Tasks(AdminTest):
    def test_a_list_of_each_state(self):
        self.gateway.submit("delayed")
        job = self.claim("delayed")
        self.run_script("finish", job.id, job.fence, "retry", "none", 600_000, job.data(stage="retrying"))
        self.fail_task("failed")
        self.gateway.submit("done")
        self.claim("done").finish()
        self.gateway.submit("running")
        self.claim("running").begin()
        self.gateway.submit("queued")
        self.gateway.submit("cancelled")
        self.gateway.cancel("cancelled")
        for state in ("queued", "delayed", "running", "done", "failed", "cancelled"):
            with self.subTest(state):
                (row,) = self.list(state=state)["tasks"]
                task = self.world.find(state)
                self.assertEqual((row["id"], row["client"], row["task_id"], row["status"]), (task.id, "public", state, state))
                self.assertEqual((row["epoch"], row["attempts"], row["paid_calls"]),
                                 (task.number("epoch"), task.number("attempt"), task.number("paid_calls")))
                self.assertRegex(row["created_at"], RFC3339)
        self.assertEqual(self.ids(state="dead"), ["failed"])
        self.assertEqual(set(self.ids(state="ended")), {"failed", "done", "cancelled"})
        self.assertEqual(set(self.ids()), {"delayed", "running", "queued"})
        rows = {task["task_id"]: task for task in self.list(state="live")["tasks"] + self.list(state="ended")["tasks"]}
        self.assertEqual((rows["queued"]["position"], rows["running"]["worker"], rows["failed"]["code"]), (1, "test-worker", "ark_overloaded"))
        for task_id, name in (("delayed", "due_at"), ("running", "lease_until"), ("running", "started_at"), ("failed", "ended_at")):
            self.assertRegex(rows[task_id][name], RFC3339)
        self.assertFalse({"worker", "code", "ended_at", "started_at", "due_at"} & set(rows["queued"]))

    def test_pages(self):
        for n in range(5):
            self.gateway.submit(f"t{n}")
        ids, query = [], {"state": "queued", "limit": 2}
        while True:
            page = self.list(**query)
            self.assertLessEqual(len(page["tasks"]), 2)
            ids += [task["task_id"] for task in page["tasks"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        self.assertEqual(ids, [f"t{n}" for n in range(5)])

    def test_search(self):
        for task_id in ("apple.1", "pear:1", "apple-2"):
            self.gateway.submit(task_id)
        self.assertEqual(set(self.ids(q="apple")), {"apple.1", "apple-2"})
        self.assertEqual(self.ids(q="r:1"), ["pear:1"])
        self.assertEqual(self.ids(q="nothing"), [])

    def test_invalid_parameters(self):
        self.gateway.submit("t1")
        for query in ("state=", "state=x", "state=QUEUED", "limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=99999999999",
                      "cursor=x", "cursor=:", "cursor=" + "1" * 300, "q=" + "x" * 300, "q=%zz", "q=%00", "x=1", "state=queued&state=done",
                      "limit=2&limit=3", "&x", "stat%65=done"):
            with self.subTest(query):
                self.assert_problem(self.admin("GET", f"tasks?{query}"), 400, "invalid_query")
        for query in ("", "q=", "cursor=", "limit=200", "state=done", "q=%74"):
            with self.subTest(query):
                self.assertEqual(self.admin("GET", f"tasks?{query}").status, 200)

    def test_invalid_ids(self):
        for id in ("public", "public.", ".t1", "public.-x", "PUBLIC.t1", "a" * 33 + ".t1", "public." + "x" * 129, "public.a%20b", "public.none"):
            for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry"), ("POST", "/cancel")):
                with self.subTest(f"{method} {id}{path}"):
                    self.assert_problem(self.admin(method, f"tasks/{id}{path}"), 404, "task_not_found")

    def test_the_details_of_a_task(self):
        self.gateway.submit("t.1:a", prompt='"quoted" 图')
        job = self.claim("t.1:a")
        job.begin()
        job.emit(0)
        story = self.get("tasks/public.t.1:a")
        task = self.world.find("t.1:a")
        self.assertEqual((story["task_id"], story["status"], story["fields"]), ("t.1:a", "running", task.fields))
        self.assertEqual(story["request"], json.loads(task.request))
        self.assertEqual(story["request"]["prompt"], '"quoted" 图')
        self.assertEqual([(event["n"], event["event"], event["data"]) for event in story["log"]],
                         [(element.n, element.type, element.data) for element in task.log])
        self.assertEqual(([image["url"] for image in story["generated_images"]], story["failed_images"], story["result"]),
                         (["https://ark.example.com/1.jpg"], [], None))
        job.finish()
        story, task = self.get("tasks/public.t.1:a"), self.world.find("t.1:a")
        self.assertEqual((story["status"], story["result"]), ("done", json.loads(task.result)))

    def test_the_details_of_a_task_with_corrupt_fields(self):
        """Fields that are not valid JSON are returned as strings; all other fields are returned as usual."""
        self.fail_task("t1")
        events, last = f"{PREFIX}events:public.t1", len(self.world.find("t1").log)
        for text in ("", "no JSON", "4 process", "5 process {}", "6 process {\"event\":\"process\"}", '7 process {"event":1,"data":{}}', "\u2028{[", "x" * 5000):
            self.redis("RPUSH", events, text)
        self.redis("RPUSH", events, '11 done {"event":"done","data":half {}')
        self.redis("LSET", events, 0, "[1]")
        story = self.get("tasks/public.t1")
        log = story["log"]
        self.assertEqual([event["event"] for event in log], ["start", "process", "error"] + 9 * ["unreadable"])
        self.assertEqual([event["n"] for event in log], list(range(1, last + 10)))
        self.assertEqual(log[last + 1]["data"], {"text": "no JSON"})
        self.assertEqual(len(log[-2]["data"]["text"]), 1000)
        self.assertEqual((story["request"], story["result"]), (None, None))
        self.assertEqual(story["unreadable"], {"request": "[1]", "result": "half {"})
        self.submit_two_slots()
        story = self.get("tasks/public.t2")
        self.assertEqual((story["generated_images"], story["unreadable"]), ([], {"generated_images": '[{"index":0,no JSON}]'}))
        self.redis("FLUSHALL")

    def submit_two_slots(self):
        self.gateway.submit("t2")
        self.claim("t2").begin()
        image = '{"event":"process","data":{"stage":"image","index":0,"image":{no JSON}}}'
        self.redis("RPUSH", f"{PREFIX}events:public.t2", f"3 process {image}")
        self.redis("HSET", f"{PREFIX}task:public.t2", "n", 3)

    def test_a_list_with_a_corrupt_id(self):
        self.gateway.submit("t1")
        self.redis("HSET", f"{PREFIX}task:stranger", "state", "queued", "epoch", 1, "attempt", 0, "paid_calls", 0)
        self.redis("ZADD", f"{PREFIX}index", 1, "stranger", 2, "gone")
        try:
            tasks = self.list()["tasks"]
            self.assertEqual([(task["id"], task["client"], task["task_id"]) for task in tasks],
                             [("stranger", "", "stranger"), ("public.t1", "public", "t1")])
        finally:
            self.redis("DEL", f"{PREFIX}task:stranger")
            self.redis("ZREM", f"{PREFIX}index", "stranger", "gone")

    def test_a_failed_task_is_retried(self):
        self.fail_task("t1")
        before = self.world.find("t1")
        answer = self.admin("POST", "tasks/public.t1/retry")
        task = self.world.find("t1")
        self.assertEqual((answer.status, answer.json()), (202, {"id": "public.t1", "status": "queued", "epoch": task.number("epoch")}))
        self.assertGreater(task.number("epoch"), before.number("epoch"))
        self.assertEqual((task.state, task.story()), ("queued", ["start"]))
        self.assert_problem(self.admin("POST", "tasks/public.t1/retry"), 409, "task_live")
        self.claim("t1").finish()
        self.assert_problem(self.admin("POST", "tasks/public.t1/retry"), 409, "task_not_failed")

    def test_viewers_of_the_earlier_attempt_get_a_reset(self):
        self.fail_task("t1")
        with self.gateway.follow("t1") as stream:
            last = stream.to_end()[-1]
        self.admin("POST", "tasks/public.t1/retry")
        for last_id in (last.id, last.id.partition("-")[0] + "-1"):
            with self.gateway.follow("t1", last_id) as stream:
                self.assertEqual([stream.next_event().event for _ in range(2)], ["reset", "start"])

    def test_cancelling(self):
        self.gateway.submit("runs")
        job = self.claim("runs")
        self.gateway.submit("waits")
        for task_id, status, state in (("waits", 200, "cancelled"), ("runs", 202, "running")):
            answer = self.admin("POST", f"tasks/public.{task_id}/cancel")
            self.assertEqual((answer.status, answer.json()), (status, {"id": f"public.{task_id}", "status": state}))
        self.assertEqual(self.run_script("renew", 1000, job.id, job.fence), [b"CANCEL"])
        self.assert_problem(self.admin("POST", "tasks/public.waits/cancel"), 409, "task_final")

    def test_erasing(self):
        self.gateway.submit("t1")
        self.assert_problem(self.admin("DELETE", "tasks/public.t1"), 409, "task_live")
        self.gateway.cancel("t1")
        self.assertEqual(self.admin("DELETE", "tasks/public.t1").status, 204)
        self.assertIsNone(self.world.find("t1"))

    def test_methods(self):
        for path, allowed in (("tasks", {"GET", "HEAD", "OPTIONS"}), ("tasks/public.t1", {"GET", "HEAD", "DELETE", "OPTIONS"}),
                              ("tasks/public.t1/retry", {"POST", "OPTIONS"}), ("overview", {"GET", "HEAD", "OPTIONS"})):
            answer = self.admin("PUT", path)
            self.assert_problem(answer, 405, "method_not_allowed")
            self.assertEqual(set(answer.headers["allow"].split(", ")), allowed)


class Retry(ProcessTest):
    def test_a_viewer_follows_a_task_through_its_failure_and_retry(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_ADMIN_KEY=KEY)
            world.ark.script({"status": 400})
            world.worker()
            with gateway.generate("t1", prompt=sim("t1", "images=1")) as stream:
                failed = stream.to_end()
            self.assertEqual(failed[-1].event, "error")
            answer = fetch(gateway.address, "POST", "/admin/tasks/public.t1/retry", headers={"Authorization": f"Bearer {KEY}"})
            self.assertEqual(answer.status, 202)
            with gateway.follow("t1", failed[-1].id) as stream:
                events = stream.to_end()
            self.assertEqual([event.story() for event in events], ["reset", "start", "process calling", "process image", "done"])
            self.assertEqual({event.id.partition("-")[0] for event in events[1:]}, {str(answer.json()["epoch"])})
            self.assertEqual(events[-1].payload()["paid_calls"], 1)


class Overview(AdminTest):
    def put_process(self, name, **fields):
        """Writes the record of a process as PRESENCE does."""
        self.redis("HSET", f"arkrelay:{{processes}}:process:{name}", *(word for pair in fields.items() for word in pair))
        self.redis("ZADD", "arkrelay:{processes}:seen", 10**14, name)

    def find_process(self, name, processes):
        return next(process for process in processes if process["name"] == name)

    def test_processes(self):
        self.put_process("host:1", role="worker", version="1.2", host="host", pid=1, started_at=1795362520464, draining=0, slots=4, busy=1,
                         images=7, ark_ms="1,2,3")
        self.put_process("host:2", role="worker", draining=1, pid="nonsense", slots="", ark_ms='"', started_at="x", other="left out")
        processes = self.get("processes")["processes"]
        self.assertEqual(self.find_process("host:1", processes), {
            "name": "host:1", "role": "worker", "version": "1.2", "host": "host", "pid": 1, "started_at": "2026-11-22T15:48:40.464Z",
            "draining": False, "slots": 4, "busy": 1, "images": 7, "ark_ms": [1, 2, 3]})
        self.assertEqual(self.find_process("host:2", processes), {"name": "host:2", "role": "worker", "draining": True})

    def test_process_fields_with_special_characters_are_valid_json(self):
        lists = {"1,,2": None, ",1": None, "1,": None, ",": None, "007": None, "1,007": None, "-1": None, "1.5": None, "1" * 16: None, "1,x": None,
                 "1\x002": None, "": [], "0": [0], "0,0,12": [0, 0, 12], "9" * 15: [10**15 - 1], ",".join(["1"] * 600): None}
        for n, text in enumerate(lists):
            number = text if "," not in text else "1"
            self.put_process(f"host:{n}", role="worker", ark_ms=text, busy=number, host="h" * (n * 60), pid="007", started_at="01")
        for answer in (self.get("processes"), self.get("overview")):
            for n, (text, wanted) in enumerate(lists.items()):
                process = self.find_process(f"host:{n}", answer["processes"])
                self.assertEqual(process.get("ark_ms"), wanted, text)
                self.assertEqual(("host" in process, "pid" in process, "started_at" in process), (n * 60 <= 640, False, False))

    def test_a_governor_with_invalid_fields(self):
        governor = "arkrelay:{account}:governor"
        for field, value in (("tokens", "1e999"), ("tokens", "nan"), ("limit", "1,2"), ("calls", "0x10"), ("state", "ajar"), ("since", ""),
                             ("x" * 100, "y"), (" state", "open"), ("m" * 200 + " state", "open")):
            self.redis("DEL", governor)
            self.redis("HSET", governor, field, value)
            self.assertEqual(self.get("overview")["governor"], NOTHING_KNOWN)
            self.assertEqual(fetch(self.gateway.address, "GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"}).status, 200)
        self.redis("DEL", governor)
        self.redis("SET", governor, "a text")
        self.assertEqual(self.get("overview")["governor"], NOTHING_KNOWN)

    def test_breakers_and_limits_of_the_account_and_its_models(self):
        self.redis("HSET", "arkrelay:{account}:governor", "state", "open", "code", "ark_unreachable", "why", 'no "route"\nto host \u2028',
                   "since", 1795362520464, "probe_at", 1795362521464, "default_model", "m", "m limit", "7.250000", "m rate", 320,
                   "m paused_until", 1795362522000, "n state", "half_open", "n code", "ark_quota_exceeded", "n why", "SetLimitExceeded",
                   "n since", 1795362520000, "n run", 2)
        governor = self.get("overview")["governor"]
        self.assertEqual(governor["breaker"], {"state": "open", "code": "ark_unreachable", "why": 'no "route"\nto host \u2028',
                                               "since_ms": 1795362520464, "probe_at_ms": 1795362521464})
        models = {model.pop("model"): model for model in governor["models"]}
        self.assertEqual(models, {
            "m": {"limit": 7.25, "rate": 320, "paused_until_ms": 1795362522000, "breaker": CLOSED},
            "n": {"limit": None, "rate": None, "paused_until_ms": None,
                  "breaker": {"state": "half_open", "code": "ark_quota_exceeded", "why": "SetLimitExceeded", "since_ms": 1795362520000, "probe_at_ms": None}}})

    def test_the_number_of_workers_and_the_rates_of_the_queue(self):
        self.assertEqual(self.gateway.get(f"{BASE}/queue").json()["workers"], 0)
        self.put_process("host:1", role="worker")
        self.put_process("host:2", role="worker")
        self.put_process("host:3", role="gateway")
        self.gateway.submit("t1")
        self.gateway.cancel("t1")
        queue = self.gateway.get(f"{BASE}/queue").json()
        self.assertEqual((queue["workers"], queue["rates"]), (2, {"ended_per_minute": 1}))

    def test_the_overview_has_everything(self):
        self.put_process("host:1", role="worker", slots=4)
        self.gateway.submit("t1")
        self.redis("HSET", "arkrelay:{account}:governor", "tokens", "12.500000", "calls", 3, "limit", "x", "default_model", "m")
        overview = self.get("overview")
        self.assertEqual(self.find_process("host:1", overview["processes"])["slots"], 4)
        self.assertEqual((overview["queue"]["depth"], overview["queue"]["counters"]["submitted"]), (1, 1))
        self.assertEqual(overview["governor"], {**NOTHING_KNOWN, "tokens": 12.5, "calls": 3, "default_model": "m"})
        redis = overview["redis"]
        self.assertEqual((redis["role"], redis["aof_enabled"], redis["aof_last_write_status"]), ("master", False, "ok"))
        self.assertEqual(redis["version"].split(".")[0], self.redis("INFO", "server").decode().partition("redis_version:")[2].split(".")[0])
        for name in ("used_memory", "connected_clients", "round_trip_ms"):
            self.assertGreater(redis[name], 0)
        self.assertEqual((redis["maxmemory"], redis["replicas"]), (0, 0))
        self.assertAlmostEqual(overview["now_ms"] / 1000, int(self.redis("TIME")[0]), delta=30)
        self.assertGreaterEqual(overview["gateway"]["connections"], 1)
        self.assertEqual((overview["gateway"]["streams"], overview["gateway"]["draining"]), (0, False))

    def test_values_that_redis_does_not_report_are_null(self):
        """For example if an ACL forbids INFO. The other values are reported."""
        self.redis("ACL", "SETUSER", "default", "-info")
        self.addCleanup(self.redis, "ACL", "SETUSER", "default", "+info")
        overview = self.get("overview")
        self.assertEqual((overview["redis"]["version"], overview["redis"]["used_memory"], overview["queue"]["depth"]), (None, None, 0))


if __name__ == "__main__":
    unittest.main()
