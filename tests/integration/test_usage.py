"""GET /usage and GET /admin/usage: what tasks have cost by day or month, client and model, as JSON and as CSV."""

import csv
import datetime
import io
import tempfile
import unittest

from support.http_client import fetch
from support.money import LEDGER, read_money
from support.processes import ProcessTest, eventually
from support.world import BASE, World, request, sim
from test_gateway_keys import Key

ADMIN = "secret-of-16-bytes"
FOUR, ENDPOINT = "doubao-seedream-4-0-250828", "ep-20260101120000-abcde"
ONE = {"max_images": 1, "max_paid_calls": 1}


def day(**before):
    return datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(**before)


class UsageTest(ProcessTest):
    def setUp(self):
        self.world = self.enterContext(World())
        self.shop, self.other = Key("shop"), Key("other")
        keys = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".keys"))
        keys.write(self.shop.line("spend_day=5", "requests=0") + self.other.line("requests=0"))
        keys.flush()
        self.gateway = self.world.gateway(GATEWAY_KEYS_FILE=keys.name, GATEWAY_USAGE="on", GATEWAY_ADMIN_KEY=ADMIN, GATEWAY_SPEND_MONTH="100",
                                          AUDIT_INTERVAL="200ms", MODELS_FILE="")

    def end(self, key, task_id, **fields):
        body = request(task_id, **{**ONE, "prompt": sim(task_id, "images=1"), **fields})
        self.assertEqual(fetch(self.gateway.address, "POST", f"{BASE}/generate", body, key.header).status, 202)
        eventually(lambda: (task := self.world.look().tasks.get(f"{key.client}.{task_id}")) and task.is_final, "it has ended")

    def settle(self):
        eventually(lambda: not (money := read_money(self.world.redis)).debts and not money.reservations, "all is settled")

    def put(self, when, *rows):
        """Usage of an earlier day or month."""
        self.world.redis("HSET", f"{LEDGER}usage:{when}", *(word for name, sums in rows for word in ("\t".join(name), sums)))

    def own(self, query="", key=None):
        return fetch(self.gateway.address, "GET", f"{BASE}/usage{query}", None, (key or self.shop).header)

    def all(self, query=""):
        return fetch(self.gateway.address, "GET", f"/admin/usage{query}", None, {"Authorization": f"Bearer {ADMIN}"})


class Reports(UsageTest):
    def test_each_client_sees_its_own_and_operators_see_all(self):
        self.world.worker(AUDIT_INTERVAL="200ms")
        self.end(self.shop, "t1")
        self.end(self.shop, "t2")
        self.end(self.other, "t1")
        self.settle()
        today = str(day())
        report = self.own().json()
        cost = {"currency": "USD", "amount": 0.06, "estimated_amount": 0}
        self.assertEqual(report["rows"], [{"day": today, "model": FOUR, "tasks": 2, "images": 2, "paid_calls": 2, "cost": cost}])
        self.assertEqual((report["by"], report["from"], report["to"], report["counted"]), ("day", str(day(days=29)), today, True))
        self.assertEqual(report["spending"], {"currency": "USD", "day": {"limit": 5, "spent": 0.06, "reserved": 0},
                                              "month": {"limit": None, "spent": 0.06, "reserved": 0}})
        report = self.all("?by=month").json()
        self.assertEqual(sorted((row["month"], row["client"], row["tasks"]) for row in report["rows"]), [(today[:7], "other", 1), (today[:7], "shop", 2)])
        self.assertEqual((report["spending"]["day"]["limit"], report["spending"]["month"]), (None, {"limit": 100, "spent": 0.09, "reserved": 0}))

    def test_ranges(self):
        for n in (0, 1, 29, 30, 59):
            self.put(day(days=n).strftime("%Y%m%d"), (("shop", "m", "USD"), f"{n + 1} 1 1 10 0"))

        def tasks(query):
            return [row["tasks"] for row in self.own(query).json()["rows"]]
        self.assertEqual(tasks(""), [30, 2, 1], "the last 30 days, in order")
        self.assertEqual(tasks(f"?from={day(days=61)}"), [60, 31, 30, 2, 1])
        self.assertEqual(tasks(f"?from={day(days=30)}&to={day(days=1)}"), [31, 30, 2])
        self.assertEqual(tasks(f"?to={day(days=30)}&from={day(days=30)}"), [31])
        self.assertEqual([self.own(f"?by={by}&to={to}").json()["from"] for by, to in (("month", "1970-02"), ("day", "1970-01-02"))], ["1970-01", "1970-01-01"])
        for query in (f"?from={day(days=62)}", f"?from={day()}&to={day(days=1)}", "?from=2026-02-30", "?by=week", "?format=xml", "?by=month&from=2026-01-01",
                      "?from=", "?x=1", "?by=day&by=day"):
            with self.subTest(query):
                answer = self.own(query)
                if query == "?from=":
                    self.assertEqual(answer.status, 200, "an empty value is none")
                else:
                    self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_query"))

    def test_csv(self):
        today = day().strftime("%Y%m%d")
        self.put(today, (("shop", 'a "b", c', "USD"), "1 2 3 1500000 250000"), (("shop", "=1+1", "-"), "1 0 1 0 0"), (("*", "*", "USD"), "9 9 9 9 0"))
        answer = self.own("?format=csv")
        self.assertEqual(answer.headers["content-type"], "text/csv; charset=utf-8")
        rows = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
        self.assertEqual(rows[0], ["day", "model", "tasks", "images", "paid_calls", "currency", "amount", "estimated_amount"])
        self.assertEqual(sorted(rows[1:]), sorted([[str(day()), 'a "b", c', "1", "2", "3", "USD", "1.5", "0.25"], [str(day()), "'=1+1", "1", "0", "1", "", "", ""]]))
        rows = list(csv.DictReader(io.StringIO(self.all("?format=csv").body.decode(), newline="")))
        self.assertEqual(sorted(row["client"] for row in rows), ["other", "shop", "shop"])
        self.assertEqual([row["model"] for row in rows if row["client"] == "other"], ["other"])

    def test_a_model_without_a_price_has_no_cost(self):
        self.world.worker(AUDIT_INTERVAL="200ms")
        gateway = self.world.gateway(GATEWAY_USAGE="on", GATEWAY_ADMIN_KEY=ADMIN)
        gateway.submit("t1", model=ENDPOINT, prompt=sim("t1", "images=1"), **ONE)
        self.world.wait_state("t1", "done")
        self.settle()
        self.assertEqual([(row["model"], row["images"], row["cost"]) for row in gateway.get(f"{BASE}/usage").json()["rows"]], [(ENDPOINT, 1, None)])

    def test_without_counting_it_says_so(self):
        gateway = self.world.gateway()
        report = gateway.get(f"{BASE}/usage").json()
        self.assertEqual((report["counted"], report["rows"], report["spending"]["currency"]), (False, [], None))

    def test_limits_of_clients_count_tasks_too(self):
        def counted(**options):
            gateway = self.world.gateway(GATEWAY_ADMIN_KEY=ADMIN, **options)
            return fetch(gateway.address, "GET", "/admin/usage", None, {"Authorization": f"Bearer {ADMIN}"}).json()["counted"]
        keys = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".keys"))
        keys.write(self.other.line() + self.shop.line("spend_month=5"))
        keys.flush()
        self.assertEqual([counted(), counted(GATEWAY_CLIENT_SPEND_DAY="1"), counted(GATEWAY_KEYS_FILE=keys.name)], [False, True, True])

    def test_amounts_of_another_currency_are_not_those_of_the_limit(self):
        """After a change of the currency the next reservation starts at 0, and until then there is none."""
        today = day().strftime("%Y%m%d")
        self.world.redis("HSET", f"{LEDGER}ledger", "shop", f"USD {today} 2 1 2 1", "", f"USD {today} 2 1 2 1")
        models = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".json"))
        models.write('{"currency":"CNY","models":[]}')
        models.flush()
        gateway = self.world.gateway(GATEWAY_CLIENT_SPEND_DAY="5", MODELS_FILE=models.name, GATEWAY_ADMIN_KEY=ADMIN)
        nothing = {"limit": 5, "spent": 0, "reserved": 0}
        self.assertEqual(gateway.get(f"{BASE}/usage").json()["spending"], {"currency": "CNY", "day": nothing, "month": {**nothing, "limit": None}})
        report = fetch(gateway.address, "GET", "/admin/usage", None, {"Authorization": f"Bearer {ADMIN}"}).json()
        self.assertEqual((report["spending"]["currency"], report["spending"]["day"]["spent"]), ("CNY", 0))

    def test_many_rows(self):
        """A period with as many rows as Redis keeps."""
        self.put(day().strftime("%Y%m%d"), *(((f"c{n}", "m", "USD"), f"1 1 1 {n} 0") for n in range(4000)))
        self.assertEqual(len(self.all().json()["rows"]), 4000)
        self.assertEqual(self.own().json()["rows"], [])


if __name__ == "__main__":
    unittest.main()
