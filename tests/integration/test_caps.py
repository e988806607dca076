"""Spending limits with real programs: what is reserved, refused, settled and freed, whatever ends in between."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import struct
import tempfile
import types
import unittest

from support.command_log import CommandLog
from support.http_client import Connection, fetch
from support.judge import Judge
from support.money import read_money
from support.payers import micros_of
from support.processes import ProcessTest, eventually
from support.world import BASE, World, request, sim
from test_gateway_keys import Key

FOUR, ENDPOINT = "doubao-seedream-4-0-250828", "ep-20260101120000-abcde"
IMAGE = 30_000              # micro-units, an image of FOUR
DAY_S = 86_400
ADMIN = "secret-of-16-bytes"
ONE = {"model": FOUR, "max_images": 1, "max_paid_calls": 1}


class CapsTest(ProcessTest):
    def setUp(self):
        self.world = self.enterContext(World())

    def gateway(self, **options):
        return self.world.gateway(**{"AUDIT_INTERVAL": "200ms", **options})

    def worker(self, **options):
        return self.world.worker(**{"AUDIT_INTERVAL": "200ms", "RETRY_BACKOFF_BASE": "1ms", "RETRY_BACKOFF_MAX": "2ms", **options})

    def money(self):
        return read_money(self.world.redis)

    def settled(self, spent, client="public"):
        """Waits until nothing is reserved or owed, and compares what was spent."""
        def probe():
            money = self.money()
            return money if not money.reservations and not money.debts else None
        money = eventually(probe, "everything is settled", 20)
        self.assertEqual((money.spent(client), money.spent(""), money.reserved(client)), (spent, spent, 0))
        return money

    def assert_refused(self, answer, cap, left_s=DAY_S):
        self.assertEqual((answer.status, answer.json()["code"]), (429, "budget_exhausted"), answer)
        self.assertIn(int(answer.headers["retry-after"]), range(1, left_s + 1))
        self.assertIn(f'"{cap}"', answer.headers["arkrelay-spending"])

    def amounts(self, answer, cap="client-day"):
        item = next(item for item in answer.headers["arkrelay-spending"].split(", ") if item.startswith(f'"{cap}"'))
        return {name: int(value) for name, value in re.findall(r"(limit|spent|reserved|left|t)=(\d+)", item)}


class Refusals(CapsTest):
    def test_what_a_task_may_cost_is_reserved_and_what_it_cost_is_spent(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.2")
        answer = gateway.submit("t1", model=FOUR, max_images=2, max_paid_calls=2, prompt=sim("t1", "images=1"))
        self.assertEqual(answer.status, 202)
        self.assertEqual({**self.amounts(answer), "t": 0}, {"limit": 200_000, "spent": 0, "reserved": 4 * IMAGE, "left": 80_000, "t": 0})
        refused = gateway.submit("t2", model=FOUR, max_images=3, max_paid_calls=1)
        self.assert_refused(refused, "client-day")
        self.assertEqual(self.amounts(refused)["left"], 80_000)
        self.assertEqual(gateway.submit("t3", **ONE | {"max_images": 2}, prompt=sim("t3", "images=2")).status, 202)
        self.assertEqual(self.money().reserved(), 6 * IMAGE)
        self.worker()
        self.world.wait_state("t1", "done")
        self.world.wait_state("t3", "done")
        money = self.settled(3 * IMAGE)
        row = money.usage[money.records["public"].day]["public", FOUR, "USD"]
        self.assertEqual((row.tasks, row.images, row.calls, row.micros, row.estimated), (2, 3, 2, 3 * IMAGE, 0))
        self.assertEqual(money.usage[money.records["public"].day[:6]]["public", FOUR, "USD"], row)

    def test_a_stream_is_refused_alike(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_MONTH="0.02")
        with gateway.generate("t1", **ONE) as stream:
            self.assert_refused(stream.response, "client-month", 31 * DAY_S)

    def test_the_limit_of_all_is_named_and_its_amounts_are_not(self):
        gateway = self.gateway(GATEWAY_SPEND_DAY="0.05", GATEWAY_SPEND_MONTH="100")
        answer = gateway.submit("t1", **ONE)
        self.assertEqual((answer.status, "arkrelay-spending" in answer.headers), (202, False))
        answer = gateway.submit("t2", **ONE)
        self.assert_refused(answer, "all-day")
        self.assertRegex(answer.headers["arkrelay-spending"], r'\A"all-day";t=\d+\Z')

    def test_a_task_that_only_reservations_keep_out_is_worth_a_try_in_a_minute(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.06", GATEWAY_SPEND_MONTH="0.08")
        self.assertEqual(gateway.submit("t1", **ONE | {"max_paid_calls": 2}, prompt=sim("t1", "images=1")).status, 202)
        for name, fields, cap, is_soon in (("t3", {}, "client-day", True), ("t4", {"max_images": 3}, "client-day", False)):
            with self.subTest(name):
                answer = gateway.submit(name, **ONE | fields)
                self.assert_refused(answer, cap, 60 if is_soon else DAY_S)
                if not is_soon:
                    self.assertEqual(int(answer.headers["retry-after"]), self.amounts(answer)["t"], "it would not fit into the limit alone")
        self.worker()
        self.settled(IMAGE)
        self.assertEqual(gateway.submit("t3", **ONE).status, 202)

    def test_attaching_needs_no_room(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.03")
        self.assertEqual([gateway.submit(id, **ONE).status for id in ("t1", "t1", "t2", "t1")], [202, 200, 429, 200])
        self.assertEqual(gateway.submit("t1", **ONE | {"max_images": 2}).status, 409, "another request under this id")
        self.assertEqual(self.money().reserved(), IMAGE)
        with gateway.generate("t1", **ONE) as stream:
            self.assertEqual(stream.response.status, 200)

    def test_a_refusal_by_another_limit_gives_back_what_was_reserved(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", GATEWAY_CLIENT_QUEUE_LIMIT=1)
        self.assertEqual([gateway.submit(id, **ONE).status for id in ("t1", "t2", "t1")], [202, 429, 200])
        eventually(lambda: self.money().reserved() == IMAGE, "only t1 has a reservation")

    def test_the_price_must_be_known(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5")
        answer = gateway.submit("t1", model=ENDPOINT)
        self.assertEqual((answer.status, answer.json()["code"]), (422, "price_unknown"))
        self.assertEqual(self.gateway().submit("t1", model=ENDPOINT).status, 202, "without a limit it need not be")
        self.assertEqual(gateway.submit("t1", model=ENDPOINT).status, 200, "attaching needs no price")

    def test_keys_have_their_own_limits(self):
        shop, other = Key("shop"), Key("other")
        file = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".keys"))
        file.write(shop.line("spend_day=0.03") + other.line())
        file.flush()
        gateway = self.gateway(GATEWAY_KEYS_FILE=file.name, GATEWAY_CLIENT_SPEND_DAY="0.06")

        def submit(key, id):
            return fetch(gateway.address, "POST", f"{BASE}/generate", request(id, **ONE), key.header).status
        self.assertEqual([submit(shop, "t1"), submit(shop, "t2"), submit(other, "t1"), submit(other, "t2"), submit(other, "t3")],
                         [202, 429, 202, 202, 429])

    def test_without_limits_nothing_is_written(self):
        gateway, _ = self.gateway(), self.worker()
        self.assertNotIn("arkrelay-spending", gateway.submit("t1", **ONE).headers)
        self.world.wait_state("t1", "done")
        self.assertEqual(self.world.redis("KEYS", "arkrelay:{money}:*"), [])
        self.assertNotIn("reservation", self.world.find("t1").fields)

    def test_usage_alone_refuses_nothing(self):
        gateway, _ = self.gateway(GATEWAY_USAGE="on"), self.worker()
        for n, model in enumerate((FOUR, ENDPOINT)):
            gateway.submit(f"t{n}", **ONE | {"model": model}, prompt=sim(f"t{n}", "images=1"))
            self.world.wait_state(f"t{n}", "done")
        money = self.settled(IMAGE)
        self.assertEqual({key: row.tasks for key, row in money.usage[money.records["public"].day].items()},
                         {("public", FOUR, "USD"): 1, ("public", ENDPOINT, "-"): 1})

    def test_the_openai_door_reserves_an_order_as_a_whole(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.1", MAX_PAID_CALLS=1)
        body = {"prompt": sim("o", "latency=600000"), "model": FOUR, "n": 4, "response_format": "url"}
        answer = fetch(gateway.address, "POST", "/v1/images/generations", body)
        self.assertEqual((answer.status, answer.json()["error"]["code"], answer.headers["x-should-retry"]), (429, "budget_exhausted", "false"))
        self.assertRegex(answer.headers["arkrelay-spending"], '"client-day";currency="USD";limit=100000;')
        self.assertEqual((self.money().reservations, self.world.look().tasks), ({}, {}))
        self.worker()
        answer = fetch(gateway.address, "POST", "/v1/images/generations", {**body, "n": 3, "prompt": sim("o", "images=1")})
        self.assertEqual(answer.status, 200)
        self.settled(3 * IMAGE)

    def ask_and_leave(self, gateway, body):
        with Connection(gateway.address) as connection:
            connection.request("POST", "/v1/images/generations", body)
            eventually(lambda: self.world.look().tasks, "the order is accepted")
        eventually(lambda: self.world.redis("KEYS", "arkrelay:{0}:unanswered:*"), "the gateway knows that the client has left")

    def test_a_repeated_order_needs_no_room_in_the_limit(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.1", MAX_PAID_CALLS=1)
        body = {"prompt": sim("o", "images=1"), "model": FOUR, "n": 2, "response_format": "url"}
        self.ask_and_leave(gateway, body)
        self.assertEqual(self.money().reserved(), 2 * IMAGE)
        self.worker()
        self.assertEqual(fetch(gateway.address, "POST", "/v1/images/generations", body).status, 200)
        self.settled(2 * IMAGE)

    def test_a_repeated_order_that_starts_again_has_its_own_reservation(self):
        """The reservation that was made before the order was known is released first: the limit has room for one."""
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.03", MAX_PAID_CALLS=1)
        body = {"prompt": sim("o", "images=1"), "model": FOUR, "response_format": "url"}
        self.world.ark.script({"status": 400})
        self.ask_and_leave(gateway, body)
        self.worker()
        self.world.wait_all_final()
        self.settled(0)
        answer = fetch(gateway.address, "POST", "/v1/images/generations", body)
        self.assertEqual((answer.status, len(self.world.look().tasks)), (200, 1), answer.body)
        self.settled(IMAGE)


class Ends(CapsTest):
    """However a task ends, its reservation is settled."""

    def start(self, **options):
        self.gateway_1 = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", GATEWAY_ADMIN_KEY=ADMIN)
        return self.worker(**options) if options else None

    def test_cancelled_in_the_queue(self):
        self.start()
        self.gateway_1.submit("t1", **ONE)
        self.assertEqual(self.money().reserved(), IMAGE)
        self.gateway_1.cancel("t1")
        self.settled(0)

    def test_cancelled_by_an_operator_and_by_leaving(self):
        self.start()
        self.gateway_1.submit("t1", **ONE)
        fetch(self.gateway_1.address, "POST", "/admin/tasks/public.t1/cancel", None, {"Authorization": f"Bearer {ADMIN}"})
        self.settled(0)
        with self.gateway_1.generate("t2", on_disconnect="cancel", **ONE) as stream:
            stream.next_event()
        self.world.wait_state("t2", "cancelled")
        self.settled(0)

    def test_expired(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", GATEWAY_QUEUE_TTL="1s")
        gateway.submit("t1", **ONE)
        self.world.wait_state("t1", "failed")
        self.settled(0)

    def test_refused_and_unknown_and_lost(self):
        self.start(WORKER_LEASE="1s")
        self.gateway_1.submit("t1", **ONE, prompt=sim("t1", "status=400"))
        self.world.wait_state("t1", "failed")
        self.settled(0)
        self.gateway_1.submit("t2", **ONE, prompt=sim("t2", "cut_after_image=0"))
        self.world.wait_state("t2", "failed")
        money = self.settled(IMAGE)
        self.assertEqual(money.usage[money.records["public"].day]["public", FOUR, "USD"].estimated, IMAGE)

    def test_erased_and_repeated(self):
        """ERASE leaves what was spent, and the same id again costs again."""
        self.start(WORKER_LEASE="1s")
        for n in (1, 2):
            self.assertEqual(self.gateway_1.submit("t1", **ONE, prompt=sim("t1", "images=1")).status, 202)
            self.world.wait_state("t1", "done")
            self.assertEqual(self.gateway_1.erase("t1").status, 204)
            self.settled(n * IMAGE)

    def test_an_operators_retry_counts_what_it_costs(self):
        self.start(WORKER_LEASE="1s")
        self.world.ark.script({"cut_after_image": 0}, {})
        self.gateway_1.submit("t1", **ONE)
        self.world.wait_state("t1", "failed")
        self.settled(IMAGE)
        answer = fetch(self.gateway_1.address, "POST", "/admin/tasks/public.t1/retry", None, {"Authorization": f"Bearer {ADMIN}"})
        self.assertEqual(answer.status, 202)
        self.world.wait_state("t1", "done")
        money = self.settled(2 * IMAGE)
        row = money.usage[money.records["public"].day]["public", FOUR, "USD"]
        self.assertEqual((row.tasks, row.calls, row.micros), (2, 2, 2 * IMAGE))

    def test_a_change_of_prices_changes_no_running_task(self):
        file = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".json"))

        def set_price(micros):
            row = {"name": "seedream-4-0", "like": "seedream-4-0", "id": FOUR, "title": "4.0", "price": {"images": [{"micros": micros}]}}
            file.seek(0)
            file.truncate()
            json.dump({"models": [row]}, file)
            file.flush()
        set_price(20_000)
        programs = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", MODELS_FILE=file.name), self.worker(MODELS_FILE=file.name)
        gateway = programs[0]
        with gateway.generate("t1", **ONE, prompt=sim("t1", "images=1 latency=600000")) as running, \
                gateway.generate("t2", **ONE | {"max_images": 2}, prompt=sim("t2", "images=2 latency=1500")) as second:
            running.until("process calling")
            second.until("process calling")
            set_price(70_000)
            for program in programs:
                os.kill(program.pid, signal.SIGHUP)
                eventually(lambda: len([line for line in program.lines if "models" in line and "loaded" in line]) > 1, f"{program.name} has reloaded")
            self.assertEqual(second.to_end()[-1].payload()["cost"]["amount"], 0.04)
            gateway.cancel("t1")
            self.assertEqual(running.to_end()[-1].payload()["cost"]["amount"], 0.02)
        self.settled(60_000)
        self.assertEqual(self.amounts(gateway.submit("t3", **ONE))["reserved"], 70_000)


class Parallel(CapsTest):
    def test_a_limit_worth_100_tasks_accepts_exactly_100_of_1000(self):
        gateways = [self.gateway(GATEWAY_CLIENT_SPEND_DAY="3", GATEWAY_THREADS=2) for _ in range(2)]

        def submit(n):
            return gateways[n % 2].submit(f"t{n}", **ONE).status
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(submit, range(1000)))
        self.assertEqual((answers.count(202), answers.count(429)), (100, 900))
        money = self.money()
        self.assertEqual((money.reserved(), len(money.reservations)), (100 * IMAGE, 100))


    def test_requests_that_come_while_a_reserve_is_in_flight_go_together(self):
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.24", REDIS_URL=proxy.url)       # room for 8
        self.world.run_script.load()
        proxy.hold(self.world.run_script.sha1["reserve"])
        with CommandLog(self.world.redis.address, self.world.run_script) as log:
            connections = [self.begin(gateway, f"t{n}") for n in range(12)]
            proxy.held.wait()
            self.all_is_read(gateway)
            for gone in connections[1:4]:       # they wait, and need no room any more
                gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))       # closes with RST
                gone.close()
            self.all_is_read(gateway)
            proxy.release()
            statuses = [connection.response().status for connection in (connections[0], *connections[4:])]
            self.assertEqual((statuses.count(202), statuses.count(429)), (8, 1), statuses)
            self.assertEqual(log.counts()["reserve"], 2)
        money = self.money()
        self.assertEqual((money.reserved(), len(money.reservations)), (8 * IMAGE, 8))
        self.assertEqual((len(self.world.look().tasks), set(self.world.look().tasks) & {f"public.t{n}" for n in (1, 2, 3)}), (8, set()))

    def test_requests_that_wait_are_refused_when_redis_goes_away(self):
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.24", REDIS_URL=proxy.url)
        proxy.hold(self.world.run_script.sha1["reserve"])
        connections = [self.begin(gateway, f"t{n}") for n in range(4)]
        proxy.held.wait()
        self.all_is_read(gateway)
        proxy.cut_all()
        answers = [connection.response() for connection in connections]
        self.assertEqual([(answer.status, answer.json()["code"]) for answer in answers], 4 * [(503, "store_unavailable")])
        proxy.release()
        eventually(lambda: gateway.submit("t0", **ONE).status == 202, "it accepts tasks again")
        eventually(lambda: self.money().reserved() == IMAGE, "what was reserved in vain is free")

    def begin(self, gateway, task_id):
        connection = self.enterContext(Connection(gateway.address))
        connection.request("POST", BASE + "/generate", request(task_id, **ONE))
        return connection

    @staticmethod
    def all_is_read(gateway):
        """The gateway has one thread and reads in turn: what came before these requests was read when they are answered."""
        for _ in range(3):
            assert gateway.get("/livez").status == 200


class Ark(CapsTest):
    """The ledger and the simulator's own account of what it charged."""

    DIRECTIVES = ("images=2", "images=1", "fail=1:OutputImageSensitiveContentDetected", "zero_images_200=true", "status=400", "cut_after_image=0",
                  "images=3 cut_after_image=1", "status=500", "html_502", "cut_at_byte=100", "error_after_image=1 error_frame=event")

    def test_the_ledger_agrees_with_ark(self):
        gateway, _ = self.gateway(GATEWAY_CLIENT_SPEND_MONTH="100"), self.worker()
        for n, directives in enumerate(self.DIRECTIVES):
            gateway.submit(f"t{n}", model=FOUR, max_images=3, max_paid_calls=1 + n % 2, prompt=sim(f"t{n}", directives))
        look = self.world.wait_all_final()
        eventually(lambda: not (money := self.money()).reservations and not money.debts, "everything is settled")
        stories = [types.SimpleNamespace(name=f"t{n}", task_id=f"t{n}", body={}, erased=False, asks_to_stop=False) for n in range(len(self.DIRECTIVES))]
        judge = Judge(types.SimpleNamespace(calls=dict), stories, look, self.world.ark.calls(), money=self.money())
        self.assertEqual((judge.wrong_costs(), judge.unsettled()), ([], []))
        rows = [row for period, rows in self.money().usage.items() if len(period) == 6 for row in rows.values()]
        costs = sum(micros_of(task.log[-1].data) for task in look.tasks.values())
        self.assertEqual((sum(row.micros for row in rows), sum(row.tasks for row in rows)), (costs, len(stories)))
        known = [task for task in look.tasks.values() if not task.log[-1].data["cost"]["estimated"]]
        self.assertEqual(len(judge.estimates) + len(known), len(self.DIRECTIVES))
        self.assertGreater(min(len(judge.estimates), len(known)), 3, "of both kinds")
        self.assertGreaterEqual(self.money().spent(), self.world.ark.stats()["charged_micros"])


class Crashes(CapsTest):
    def test_a_gateway_is_killed_between_reserve_and_submit(self):
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.03", REDIS_URL=proxy.url)
        other = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.03")
        proxy.hold(self.world.run_script.sha1["submit"])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(lambda: self.try_to_submit(gateway, "t1"))
            proxy.held.wait()
            self.assertEqual(self.money().reserved(), IMAGE)
            gateway.kill()
            answer.result()
        proxy.cut_all()
        proxy.release()
        self.assert_refused(other.submit("t2", **ONE), "client-day")
        eventually(lambda: not self.money().reservations, "the reservation is free again", 20)
        self.assertEqual(other.submit("t2", **ONE).status, 202)
        self.assertEqual(set(self.world.look().tasks), {"public.t2"})

    @staticmethod
    def try_to_submit(gateway, id):
        try:
            return gateway.submit(id, **ONE).status
        except (OSError, AssertionError):
            return None

    def test_a_submit_that_comes_too_late_creates_no_task(self):
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="0.03", REDIS_URL=proxy.url)
        other = self.gateway()
        proxy.hold(self.world.run_script.sha1["submit"])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(lambda: self.try_to_submit(gateway, "t1"))
            proxy.held.wait()
            eventually(lambda: not self.money().reservations, "the reservation is free again", 20)
            proxy.release()
            self.assertIn(answer.result(), (503, None))
        other.submit("t2", **ONE)
        self.world.wait_state("t2", "queued")
        self.assertEqual(set(self.world.look().tasks), {"public.t2"})

    def test_a_worker_is_killed_before_it_settles(self):
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5")
        worker = self.worker(REDIS_URL=proxy.url, AUDIT_INTERVAL="10m")
        proxy.hold(self.world.run_script.sha1["debts"])
        gateway.submit("t1", **ONE, prompt=sim("t1", "images=1"))
        self.world.wait_state("t1", "done")
        proxy.held.wait()
        worker.kill()
        proxy.cut_all()
        proxy.release()
        self.settled(IMAGE)

    def test_a_worker_is_killed_in_its_call(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5")
        worker = self.worker(WORKER_LEASE="1s")
        gateway.submit("t1", **ONE, prompt=sim("t1", "latency=600000"))
        self.world.ark.wait_calls(1)
        worker.kill()
        self.worker(WORKER_LEASE="1s")
        self.world.wait_state("t1", "failed")
        self.settled(IMAGE)

    def test_a_repeated_settlement_changes_nothing(self):
        """The answer to CHARGE is lost."""
        proxy = self.world.proxy()
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", AUDIT_INTERVAL="10m")
        self.worker(REDIS_URL=proxy.url)
        proxy.lose_reply_to(self.world.run_script.sha1["charge"])
        gateway.submit("t1", **ONE, prompt=sim("t1", "images=1"))
        proxy.lost.wait()
        money = self.settled(IMAGE)
        self.assertEqual(money.usage[money.records["public"].day]["public", FOUR, "USD"].tasks, 1)

    def test_a_graceful_stop_settles_first(self):
        gateway = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5", AUDIT_INTERVAL="10m")
        worker = self.worker(AUDIT_INTERVAL="10m")
        gateway.submit("t1", **ONE, prompt=sim("t1", "images=1"))
        self.world.ark.wait_calls(1)
        self.assertEqual(worker.stop(), 0)
        money = self.money()
        self.assertEqual((money.spent(), money.reservations, money.debts), (IMAGE, {}, {}))

    def test_redis_without_memory_still_settles_and_attaches(self):
        gateway, _ = self.gateway(GATEWAY_CLIENT_SPEND_DAY="5"), self.worker()
        gateway.submit("t1", **ONE, prompt=sim("t1", "images=1 latency=300"))
        self.world.ark.wait_calls(1)
        self.world.redis("CONFIG", "SET", "maxmemory", "1")
        self.world.wait_state("t1", "done")
        self.assertEqual(gateway.submit("t2", **ONE).status, 503)
        self.assertEqual(gateway.submit("t1", **ONE, prompt=sim("t1", "images=1 latency=300")).status, 200)
        self.settled(IMAGE)
        self.world.redis("CONFIG", "SET", "maxmemory", "0")


if __name__ == "__main__":
    unittest.main()
