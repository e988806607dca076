"""The scripts of money: reservations, debts, the ledger and the usage."""

import datetime
import time
import unittest

from support.money import DEBTS, LEDGER, read_money
from support.scripts import PREFIX, Scripts
from support.script_test import ScriptTest, compact

DAY_MS = 86_400_000
NO_CAPS = (0, 0, 0, 0)
REFUSED = ("client day", "client month", "all day", "all month")
PLAN = '{"images":3,"model":"m","price":{"call":90,"currency":"USD"}}'


def utc(**after):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**after)).strftime("%Y%m%d")


def request(*ids, client="shop", micros=10, caps=NO_CAPS, currency="USD"):
    """The words of one request of RESERVE."""
    return client, currency, micros, *caps, len(ids), *(word for id in ids for word in (id, f"{client}.{id}"))


class MoneyTest(ScriptTest):
    def setUp(self):
        super().setUp()
        self.ledger = Scripts(self.redis, LEDGER)

    def reserve(self, *ids, client="shop", micros=10, caps=NO_CAPS, currency="USD", valid=60_000):
        word, answer = self.ledger("reserve", valid, *request(*ids, client=client, micros=micros, caps=caps, currency=currency))
        self.assertEqual(word, b"OK")
        return answer

    def debt(self, id="t1", client="shop", model="m", currency="USD", micros=5, estimated=0, images=1, calls=1, epoch=None):
        return "\t".join(str(word) for word in (f"{client}.{id}", model, currency, micros, estimated, images, calls, epoch or int(time.time() * 1000)))

    def charge(self, *words):
        return self.ledger("charge", *words)

    def money(self):
        return read_money(self.redis)

    def amounts(self, client="shop"):
        record = self.money().records[client]
        return record.day_spent, record.day_reserved, record.month_spent, record.month_reserved


class Reserve(MoneyTest):
    def test_each_limit_refuses_alone(self):
        for n, name in enumerate(REFUSED):
            with self.subTest(name):
                self.fresh()
                caps = [0, 0, 0, 0]
                caps[n] = 25
                self.assertEqual(self.reserve("r1", caps=caps)[0], b"OK")
                self.assertEqual(self.reserve("r2", caps=caps)[0], b"OK")
                before = self.redis("HGETALL", LEDGER + "ledger")
                self.assertEqual(self.reserve("r3", caps=caps)[:3], [b"REFUSED", 0, n + 1])
                self.assertEqual(self.redis("HGETALL", LEDGER + "ledger"), before, "a refusal writes nothing")
                self.assertEqual(self.reserve("r3", micros=5, caps=caps)[0], b"OK", "up to the limit")
                self.assertEqual(self.reserve("r4", micros=1, caps=caps, client="other")[0], b"REFUSED" if n >= 2 else b"OK")

    def test_several_tasks_or_none(self):
        self.assertEqual(self.reserve("r1", "r2", "r3", caps=(29, 0, 0, 0))[0], b"REFUSED")
        self.assertEqual(self.redis("EXISTS", LEDGER + "ledger"), 0)
        answer = self.reserve("r1", "r2", "r3", caps=(30, 0, 0, 0))
        self.assertEqual((answer[0], [int(n) for n in answer[5:]]), (b"OK", [0, 30, 0, 30, 0, 30, 0, 30]))
        self.assertEqual({name: each.task for name, each in self.money().reservations.items()}, {f"r{n}": f"shop.r{n}" for n in (1, 2, 3)})

    def test_several_requests_see_what_those_before_them_reserved(self):
        capped = {"caps": (25, 0, 0, 45)}
        word, *answers = self.ledger("reserve", 60_000, *request("r1", **capped), *request("r2", "r3", **capped), *request("s1", client="press", **capped),
                                     *request("r4", **capped), *request("r5", micros=1, **capped), *request("s2", "s3", client="press", **capped),
                                     *request("s4", client="press", **capped))
        self.assertEqual((word, [(answer[0], answer[2]) for answer in answers]),
                         (b"OK", [(b"OK", 0), (b"REFUSED", 1), (b"OK", 0), (b"OK", 0), (b"OK", 0), (b"REFUSED", 1), (b"OK", 0)]))
        self.assertEqual([int(amount) for amount in answers[0][5:]], [0, 10, 0, 10, 0, 10, 0, 10], "as of each request")
        self.assertEqual([int(amount) for amount in answers[6][5:]], [0, 20, 0, 20, 0, 41, 0, 41])
        self.assertEqual((self.amounts(), self.amounts("press"), self.amounts("")), ((0, 21, 0, 21), (0, 20, 0, 20), (0, 41, 0, 41)))
        self.assertEqual(set(self.money().reservations), {"r1", "s1", "r4", "r5", "s4"})
        self.assertEqual({each.client for name, each in self.money().reservations.items() if name[0] == "s"}, {"press"})
        self.assertEqual(self.ledger("reserve", 60_000, *request("s5", client="press", micros=5, **capped))[1][:3], [b"REFUSED", 0, 4])

    def test_requests_in_two_currencies(self):
        """While gateways are started again with other prices: each starts at 0, and the last one remains."""
        _, first, second = self.ledger("reserve", 60_000, *request("r1"), *request("r2", client="press", currency="CNY", caps=(10, 0, 10, 0)))
        self.assertEqual((first[0], second[0]), (b"OK", b"OK"))
        records = self.redis("HMGET", LEDGER + "ledger", "shop", "press", "")
        self.assertEqual([record.decode().split(" ")[0] for record in records], ["USD", "CNY", "CNY"])
        self.assertEqual(records[1], records[2])

    def test_the_times_until_day_and_month_end(self):
        answer = self.reserve("r1")
        now = datetime.datetime.now(datetime.timezone.utc)
        midnight = (now + datetime.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        first = (now.replace(day=1) + datetime.timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for found, end in ((answer[3], midnight), (answer[4], first)):
            self.assertAlmostEqual(int(found), (end - now).total_seconds() * 1000, delta=5000)
        self.assertAlmostEqual(int(answer[1]), time.time() * 1000 + 60_000, delta=5000)

    def record(self, text):
        self.redis("HSET", LEDGER + "ledger", "shop", text)

    def test_another_day_month_and_currency_start_at_0(self):
        today, month = utc(), utc()[:6]
        other_day = month + ("01" if today[6:] != "01" else "00")
        for name, text, expected in (("today", f"USD {today} 1 2 3 4", (1, 12, 3, 14)), ("an earlier day", f"USD {other_day} 1 2 3 4", (0, 10, 3, 14)),
                                     ("an earlier month", "USD 20200131 1 2 3 4", (0, 10, 0, 10)), ("another currency", f"CNY {today} 1 2 3 4", (0, 10, 0, 10)),
                                     ("not a record", "x", (0, 10, 0, 10)), ("the clock was set back", "USD 29990101 1 2 3 4", (1, 12, 3, 14))):
            with self.subTest(name):
                self.fresh()
                self.record(text)
                self.reserve("r1")
                found = self.redis("HGET", LEDGER + "ledger", "shop").decode().split()
                self.assertEqual(tuple(map(int, found[2:])), expected)
                self.assertEqual(found[1], max(today, text.split()[1]) if name == "the clock was set back" else today)


class ClockSetBack(MoneyTest):
    def test_a_reservation_of_a_new_client_counts_for_the_day_of_all(self):
        self.redis("HSET", LEDGER + "ledger", "", "USD 29990102 0 0 0 0")
        self.reserve("r1", client="new")
        self.assertEqual((self.money().records["new"].day, self.money().reservations["r1"].day), ("29990102", "29990102"))
        self.charge("r1", self.debt(client="new"))
        self.assertEqual((self.amounts("new"), self.amounts("")), (2 * (5, 0), 2 * (5, 0)))


class Charge(MoneyTest):
    def test_a_debt_is_spent_and_the_rest_is_free(self):
        self.reserve("r1", "r2")
        self.assertEqual(self.charge("r1", self.debt()), [b"OK", 1])
        self.assertEqual((self.amounts(), self.amounts("")), (2 * (5, 10), 2 * (5, 10)))

    def test_a_repetition_changes_nothing(self):
        self.reserve("r1", "r2")
        self.charge("r1", self.debt())
        before = self.redis("HGETALL", LEDGER + "ledger"), self.money().usage
        for words in (("r1", self.debt()), ("r1", ""), ("unknown", "")):
            self.assertEqual(self.charge(*words), [b"OK", 0])
        self.assertEqual((self.redis("HGETALL", LEDGER + "ledger"), self.money().usage), before)

    def test_more_than_was_reserved_is_spent_in_full(self):
        self.reserve("r1", caps=(10, 0, 0, 0))
        self.charge("r1", self.debt(micros=17))
        self.assertEqual(self.amounts(), (17, 0, 17, 0))
        self.assertEqual(self.reserve("r2", micros=0, caps=(10, 0, 0, 0))[0], b"REFUSED")

    def test_a_reservation_that_no_task_has_is_free(self):
        self.reserve("r1")
        self.assertEqual(self.charge("r1", ""), [b"OK", 0])
        self.assertEqual((self.amounts(), self.money().reservations, self.money().usage), ((0, 0, 0, 0), {}, {}))

    def test_many_at_once(self):
        self.reserve(*(f"r{n}" for n in range(50)))
        self.reserve(*(f"s{n}" for n in range(50)), client="other")
        words = [word for n in range(50) for word in (f"r{n}", self.debt(f"t{n}"), f"s{n}", self.debt(f"t{n}", "other", model="n") if n % 2 else "")]
        self.assertEqual(self.charge(*words), [b"OK", 75])
        self.assertEqual((self.amounts(), self.amounts("other"), self.amounts("")), (2 * (250, 0), 2 * (125, 0), 2 * (375, 0)))

    def test_a_task_of_yesterday_counts_for_its_day(self):
        yesterday = utc(days=-1)
        self.redis("HSET", LEDGER + "ledger", ":r1", f"shop 10 USD {yesterday} 1 shop.t1", "shop", f"USD {yesterday} 1 10 1 10", "", f"USD {yesterday} 1 10 1 10")
        self.reserve("r2")
        self.charge("r1", self.debt(epoch=int(time.time() * 1000) - DAY_MS))
        same_month = yesterday[:6] == utc()[:6]
        self.assertEqual(self.amounts(), (0, 10, 6, 10) if same_month else (0, 10, 0, 10))
        self.assertEqual(set(self.money().usage), {yesterday, yesterday[:6]})

    def test_without_a_reservation(self):
        self.charge("u1", self.debt())
        self.charge("u1", self.debt())
        self.assertEqual(self.amounts(), (5, 0, 5, 0))

    def test_another_currency_is_not_added(self):
        self.charge("u1", self.debt())
        self.charge("u2", self.debt(currency="CNY", micros=7), "u3", self.debt(currency="-", micros=0))
        self.assertEqual(self.amounts(), (5, 0, 5, 0))
        self.assertEqual({row: each.micros for row, each in self.money().usage[utc()].items()},
                         {("shop", "m", "USD"): 5, ("shop", "m", "CNY"): 7, ("shop", "m", "-"): 0})

    def test_what_is_kept_expires(self):
        self.charge("u1", self.debt())
        for key, days in (("settled:" + utc(), 2), ("usage:" + utc(), 60), ("usage:" + utc()[:6], 775)):
            self.assertAlmostEqual(self.redis("PTTL", LEDGER + key), days * DAY_MS, delta=60_000)

    def test_a_debt_that_cannot_be_read_only_frees(self):
        self.reserve("r1")
        self.assertEqual(self.charge("r1", "nonsense"), [b"OK", 0])
        self.assertEqual(self.amounts(), (0, 0, 0, 0))


class Usage(MoneyTest):
    def test_rows_and_filter(self):
        self.charge("u1", self.debt(images=2, calls=1), "u2", self.debt(micros=4, estimated=1), "u3", self.debt(client="other", currency="-", micros=0))
        answer, *rows = self.ledger("usage", utc(), "")
        self.assertEqual((answer, sorted(rows)), (b"USAGE", [[b"other", b"m", b"", b"1", b"1", b"1", b"0", b"0"], [b"shop", b"m", b"USD", b"2", b"3", b"2", b"9", b"4"]]))
        self.assertEqual([row[0] for row in self.ledger("usage", utc()[:6], "shop")[1:]], [b"shop"])
        self.assertEqual(self.ledger("usage", "20200101", ""), [b"USAGE"])

    def test_the_largest_clients_keep_their_names(self):
        key, rows = LEDGER + "usage:" + utc(), {}
        for n in range(4000):
            rows[f"c{n}\tm\tUSD"] = f"1 1 1 {n} 0"
        self.redis("HSET", key, *(word for row in rows.items() for word in row))
        self.charge("u1", self.debt(client="new", micros=1))
        usage = self.money().usage[utc()]
        self.assertEqual(len(usage), 1001)
        self.assertEqual(sum(row.micros for row in usage.values()), sum(range(4000)) + 1)
        self.assertEqual((usage["*", "*", "USD"].tasks, usage["c3999", "m", "USD"].micros, usage["c3000", "m", "USD"].micros), (3001, 3999, 3000))
        self.charge("u2", self.debt(client="new", micros=1))
        self.assertEqual(self.money().usage[utc()]["new", "m", "USD"].tasks, 1)

    def test_the_largest_models_of_a_client_keep_theirs(self):
        key = LEDGER + "usage:" + utc()
        self.redis("HSET", key, *(word for n in range(4000) for word in (f"shop\tm{n}\tUSD", f"1 1 1 {n} 0")))
        self.charge("u1", self.debt(model="new", micros=10**6))
        usage = self.money().usage[utc()]
        self.assertEqual((len(usage), usage["shop", "*", "USD"].tasks, usage["shop", "new", "USD"].micros), (1001, 3001, 10**6))


class Ends(MoneyTest):
    """Of tasks: the debt is written with the end."""

    def accept(self, task_id="t1", reservation="r1", until=0, queue_ttl=60_000, refusal=""):
        return self.run_script("submit", f"shop.{task_id}", "hash", compact({"urls": []}), 2, 60_000, 100, queue_ttl, 100, "", 3, 0, PLAN, "", refusal, reservation, until)

    def debts(self):
        return {name: text.split("\t")[:-1] for name, text in read_money(self.redis).debts.items()}

    def test_submit_stores_the_reservation_with_the_model(self):
        self.accept()
        self.assertEqual(self.task(client="shop").fields["reservation"], "r1 m")

    def test_submit_only_attaches(self):
        self.assertEqual(self.accept(refusal="BUDGET"), [b"BUDGET"])
        self.accept()
        self.assertEqual(self.accept(refusal="BUDGET")[0], b"SAME")

    def test_submit_refuses_an_old_reservation(self):
        now = int(self.redis("TIME")[0]) * 1000
        self.assertEqual(self.accept(until=now - 1), [b"LATE"])
        self.assertEqual(self.accept(until=now + 60_000)[0], b"NEW")
        self.assertEqual(self.accept(until=now - 1)[0], b"SAME")

    def test_every_end(self):
        for name, end, expected in (
                ("finish", lambda job: self.finish(job, "failed", "unknown"), ["m", "USD", "90", "1", "0", "1"]),
                ("void", lambda job: self.finish(job, "failed", "void"), ["m", "USD", "0", "0", "0", "0"]),
                ("reap", self.lapse, ["m", "USD", "90", "1", "1", "1"])):
            with self.subTest(name):
                self.fresh()
                self.accept()
                job = self.claim_one()
                self.begin(job)
                if name == "reap":
                    self.emit_image(job)
                end(job)
                self.assertEqual(self.debts(), {"r1": ["shop.t1", *expected]})

    def test_waiting_tasks(self):
        for name, end in (("cancel", lambda: self.cancel("shop.t1")), ("audit", lambda: self.run_script("audit", "a", 60_000, 100)),
                          ("claim", lambda: self.claim())):
            with self.subTest(name):
                self.fresh()
                self.accept(queue_ttl=60_000 if name == "cancel" else -1)
                answer = end()
                self.assertEqual(self.debts(), {"r1": ["shop.t1", "m", "USD", "0", "0", "0", "0"]})
                if name != "claim":
                    self.assertEqual(answer, {"cancel": [b"CANCELLED", 1], "audit": [1, 0, 1]}[name])

    def test_tasks_without_a_reservation_leave_none(self):
        self.accept(reservation="")
        self.assertEqual(self.cancel("shop.t1"), [b"CANCELLED"])
        self.assertEqual(self.debts(), {})

    def test_each_life_has_its_own_debt(self):
        self.accept()
        for life in (1, 2, 3):
            job = self.claim_one()
            self.begin(job)
            self.finish(job, "failed", "unknown")
            self.run_script("retry", "shop.t1", 60_000)
        self.cancel("shop.t1")
        debts = self.debts()
        self.assertEqual(sorted(words[3] for words in debts.values()), ["0", "90", "90", "90"])
        self.assertEqual({name.partition(".")[0] for name in debts}, {"r1"})

    def test_debts_are_removed_and_returned(self):
        for n in range(3):
            self.accept(f"t{n}", f"r{n}")
            self.cancel(f"shop.t{n}")
        answer, *flat = self.run_script("debts", 100, "r0", "unknown")
        self.assertEqual((answer, sorted(flat[::2])), (b"OK", [b"r1", b"r2"]))
        self.assertEqual(len(self.run_script("debts", 1)), 3)
        self.assertEqual((self.run_script("debts", 100, "r1", "r2"), self.redis("EXISTS", DEBTS)), ([b"OK"], 0))

    def test_held(self):
        self.accept("t1", "r1")
        self.accept("t2", "r2")
        self.cancel("shop.t2")
        self.assertEqual(self.run_script("held", "shop.t1", "r1", "shop.t1", "r2", "shop.t1", "other", "shop.t2", "r2", "shop.none", "r3"),
                         [b"HELD", 1, 1, 0, 1, 0])
        self.run_script("debts", 100, "r2")
        self.assertEqual(self.run_script("held", "shop.t2", "r2"), [b"HELD", 0])

    def end_as_older(self, task_id="t1"):
        """What a program without spending limits leaves: the task has ended, and there is no debt and no mark."""
        words = self.task(task_id, client="shop").fields["reservation"].removeprefix("=")
        self.redis("HSET", PREFIX + f"task:shop.{task_id}", "reservation", words)
        self.redis("HDEL", PREFIX + f"task:shop.{task_id}", "earlier_cost")
        self.redis("DEL", DEBTS)

    def run_once(self, outcome, charge, images=0):
        job = self.claim_one()
        self.begin(job)
        for n in range(images):
            self.emit_image(job, n)
        self.finish(job, outcome, charge)

    def test_a_debt_that_an_older_program_did_not_write(self):
        for outcome, charge, images, expected in (("done", "known", 2, ["90", "1", "2", "1"]), ("failed", "unknown", 0, ["90", "1", "0", "1"]),
                                                  ("failed", "void", 0, ["0", "0", "0", "0"])):
            for way in ("held", "erase", "retry"):
                if (outcome, way) == ("done", "retry"):
                    continue
                with self.subTest(outcome=outcome, charge=charge, way=way):
                    self.fresh()
                    self.accept()
                    self.run_once(outcome, charge, images)
                    before = self.debts()
                    self.assertEqual(before, {"r1": ["shop.t1", "m", "USD", *expected]})
                    self.end_as_older()
                    if way == "held":
                        self.assertEqual(self.run_script("held", "shop.t1", "other", "shop.t1", "r1"), [b"HELD", 0, 2])
                        self.assertEqual(self.run_script("held", "shop.t1", "r1"), [b"HELD", 1])
                    else:
                        self.run_script(way, "shop.t1", *([60_000] if way == "retry" else []))
                    self.assertEqual(self.debts(), before)

    def test_a_debt_that_was_written_is_not_written_again(self):
        for way in ("erase", "retry"):
            with self.subTest(way):
                self.fresh()
                self.accept()
                self.run_once("failed", "unknown")
                self.run_script("debts", 100, "r1")
                self.run_script(way, "shop.t1", *([60_000] if way == "retry" else []))
                self.assertEqual(self.debts(), {})

    def test_a_retry_of_an_older_program_counts_its_own_life(self):
        self.accept()
        self.run_once("failed", "unknown")
        mark = self.task(client="shop").fields["reservation"]
        self.run_script("debts", 100, "r1")
        self.run_script("retry", "shop.t1", 60_000)
        self.redis("HSET", PREFIX + "task:shop.t1", "reservation", mark)        # it keeps the fields that it does not know
        self.run_once("failed", "unknown")
        [(name, words)] = self.debts().items()
        self.assertEqual((name, words[3]), ("r1." + self.task(client="shop").fields["epoch"], "90"))

    def test_the_audit_lists_old_reservations(self):
        self.reserve("old1", "old2", valid=-1)
        self.reserve("young")
        answer, cursor, *flat = self.ledger("money_audit", "0", 100)
        self.assertEqual((answer, cursor, dict(zip(flat[1::2], flat[::2]))), (b"OK", b"0", {b"old1": b"shop.old1", b"old2": b"shop.old2"}))

    def test_the_audit_lists_all_of_many(self):
        self.reserve(*(f"r{n}" for n in range(700)), valid=-1)
        found, cursor = set(), "0"
        while True:
            _, cursor, *flat = self.ledger("money_audit", cursor, 100)
            found |= set(flat[1::2])
            if cursor == b"0":
                break
        self.assertEqual(len(found), 700)


if __name__ == "__main__":
    unittest.main()
