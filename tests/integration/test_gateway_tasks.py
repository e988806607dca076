"""GET /tasks: a client's own tasks."""

import tempfile
import unittest

from gateway_case import GatewayTest
from support.http_client import fetch
from support.processes import eventually
from support.world import BASE, request
from test_gateway_keys import Key
from test_openai import Asking, task_id


class OwnTasks(GatewayTest):
    def setUp(self):
        super().setUp()
        self.file = self.enterContext(tempfile.NamedTemporaryFile("w", prefix="arkrelay-keys-"))
        self.shop, self.other = Key("shop"), Key("other")
        self.file.write(self.shop.line() + self.other.line())
        self.file.flush()
        self.gateway = self.world.gateway(GATEWAY_KEYS_FILE=self.file.name)

    def fetch(self, method, path, body=None, key=None):
        return fetch(self.gateway.address, method, BASE + path, body, (key or self.shop).header)

    def submit(self, *task_ids, key=None):
        for task_id in task_ids:
            self.assertEqual(self.fetch("POST", "/generate", request(task_id), key).status, 202)

    def page(self, query="", key=None):
        answer = self.fetch("GET", f"/tasks{query}", key=key)
        self.assertEqual(answer.status, 200)
        return answer.json()

    def ids(self, query="", key=None):
        return [task["task_id"] for task in self.page(query, key)["tasks"]]

    def test_a_client_sees_its_own_tasks(self):
        self.submit("a", "b")
        self.submit("a", "theirs", key=self.other)
        self.assertEqual([set(self.ids()), set(self.ids(key=self.other))], [{"a", "b"}, {"a", "theirs"}])
        task, = self.page("?limit=1")["tasks"]
        self.assertEqual((task["status"], task["attempts"], task["paid_calls"]), ("queued", 0, 0))
        self.assertEqual(set(task), {"task_id", "status", "epoch", "attempts", "paid_calls", "model", "created_at", "position"})

    def test_an_order_of_the_openai_api_is_in_it(self):
        asking = Asking(self.gateway.address, {"prompt": "x", "n": 2}, self.shop.header)
        self.addCleanup(asking.close)
        eventually(lambda: len(self.ids()) == 2, "both tasks are listed")
        self.assertEqual(sorted(self.ids()), [task_id(0), task_id(1)])

    def test_pages_and_states(self):
        names = [f"t{n}" for n in range(7)]
        self.submit(*names)
        self.fetch("POST", "/tasks/t3/cancel")
        found, cursor = [], ""
        while cursor is not None:
            page = self.page(f"?limit=3&cursor={cursor}")
            found += [task["task_id"] for task in page["tasks"]]
            cursor = page["next"]
        self.assertEqual((sorted(found), self.ids()), (names, found))
        self.assertEqual((self.ids("?state=cancelled"), self.ids("?state=ended"), self.ids("?state=done")), (["t3"], ["t3"], []))
        self.assertEqual(sorted(self.ids("?state=live")), sorted(set(names) - {"t3"}))

    def test_an_erased_task_is_not_listed(self):
        self.submit("a")
        self.fetch("POST", "/tasks/a/cancel")
        self.assertEqual(self.fetch("DELETE", "/tasks/a").status, 204)
        self.assertEqual(self.page(), {"tasks": [], "next": None})

    def test_bad_queries(self):
        for query in ("state=", "state=dead", "state=x", "limit=0", "limit=201", "limit=x", "limit=1&limit=2", "q=a", "cursor=x", "cursor=%zz",
                      "cursor=" + "1" * 400):
            with self.subTest(query):
                answer = self.fetch("GET", f"/tasks?{query}")
                self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_query"))


class Option(GatewayTest):
    def test_without_keys_the_list_requires_the_option(self):
        for option, status, fields in (({}, 404, None), ({"GATEWAY_TASK_LIST": "off"}, 404, None), ({"GATEWAY_TASK_LIST": "on"}, 200, b"l")):
            with self.subTest(option):
                self.redis("FLUSHALL")
                gateway = self.world.gateway(**option)
                gateway.submit("t1")
                answer = gateway.get(f"{BASE}/tasks")
                self.assertEqual((answer.status, self.redis("HGET", "arkrelay:{0}:task:public.t1", "owes")), (status, fields))
                self.assertEqual(self.redis("EXISTS", "arkrelay:{0}:mine:public"), int(status == 200))
                if status == 404:
                    self.assertIn("GATEWAY_TASK_LIST", answer.json()["detail"])

    def test_with_keys_the_list_can_be_disabled(self):
        key = Key("shop")
        file = self.enterContext(tempfile.NamedTemporaryFile("w", prefix="arkrelay-keys-"))
        file.write(key.line())
        file.flush()
        gateway = self.world.gateway(GATEWAY_KEYS_FILE=file.name, GATEWAY_TASK_LIST="off")
        self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/tasks", None, key.header).status, 404)


if __name__ == "__main__":
    unittest.main()
