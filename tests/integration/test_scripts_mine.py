"""MINE and the list of a client's own tasks: its entries, its trimming, and the cost of a page."""

import unittest

from support.script_cost import ScriptCost
from support.script_test import TTL_MS, ScriptTest
from support.scripts import PREFIX
from support.store import look

MINE_MAX, SCAN_MAX, TRIM_EVERY = 10_000, 500, 61
MINUTE = 60_000


class OwnTasks(ScriptTest):
    def mine(self, state="all", cursor="", limit=10, client="shop"):
        """(task ids, next)"""
        word, following, *rows = self.scripts("mine", client, state, cursor, limit)
        self.assertEqual(word, b"MINE")
        return [row[0].decode().partition(".")[2] for row in rows], following.decode()

    def pages(self, **options):
        """The ids of every page."""
        found, cursor = [], ""
        while True:
            ids, cursor = self.mine(cursor=cursor, **options)
            found.append(ids)
            if not cursor:
                return found

    def all(self, **options):
        return [id for page in self.pages(**options) for id in page]

    def listed(self, task_id, client="shop", **options):
        self.submit(task_id, client=client, owes="l", **options)

    def raw(self, task_id, *owes):
        """Runs SUBMIT without checking all invariants, which the tasks of many() violate. Returns the epoch."""
        return int(self.scripts("submit", f"shop.{task_id}", "hash", "{}", 2, TTL_MS, 10**6, MINUTE, 10**6, "", 1, 0, "", *owes)[1])

    def many(self, count, created=None, step=1, client="shop", state="done"):
        """Writes tasks t0, t1, ... as if they had been submitted `step` ms apart."""
        created = created or int(self.redis("TIME")[0]) * 1000 - MINUTE
        self.redis.pipeline([("HSET", f"{PREFIX}task:{client}.t{n}", "state", state, "epoch", created + n * step, "owes", "l") for n in range(count)])
        self.redis.pipeline([("ZADD", f"{PREFIX}mine:{client}", created + n * step, f"t{n}") for n in range(count)])

    def commands_of(self, call):
        cost = ScriptCost(self.redis)
        call()
        cost.commands()
        call()
        return cost.commands()


class Listing(OwnTasks):
    def test_newest_first_and_only_of_the_client(self):
        for name in ("a", "b"):
            self.listed(name)
            self.listed(name, client="other")
        self.submit("unlisted", client="shop")
        self.assertEqual(sorted(self.all()), ["a", "b"])
        self.assertEqual(self.redis("ZREVRANGE", f"{PREFIX}mine:shop", 0, -1), [id.encode() for id in self.all()])
        self.assertEqual((self.mine(client="nobody"), self.task("unlisted", "shop").fields.get("owes")), (([], ""), None))

    def test_a_row_is_that_of_an_operator(self):
        self.listed("a", request='{"model":"m","urls":[]}')
        (row,) = self.scripts("mine", "shop", "all", "", 10)[2:]
        self.assertEqual(row, self.scripts("tasks", "queued", "", 10, "")[2])
        self.assertEqual((row[0], row[1], row[9], row[10]), (b"shop.a", b"queued", b"1", b"m"))

    def test_by_state(self):
        for name, outcome in (("done", "done"), ("failed", "failed"), ("delayed", "retry")):
            self.listed(name)
            self.finish(self.claim_one(), outcome, "none", MINUTE)
        self.listed("cancelled")
        self.cancel("shop.cancelled")
        self.listed("running")
        self.claim_one()
        self.listed("queued")
        states = ["queued", "running", "delayed", "failed", "cancelled", "done"]
        for state in states:
            self.assertEqual(self.all(state=state), [state])
        for state, members in (("live", states[:3]), ("ended", states[3:]), ("all", states)):
            self.assertEqual(set(self.all(state=state)), set(members))

    def test_erased_and_expired_tasks_are_not_listed(self):
        for name in "abc":
            self.listed(name)
        self.cancel("shop.a")
        self.assertEqual(self.run_script("erase", "shop.a"), [b"ERASED"])
        self.assertEqual(self.redis("ZSCORE", f"{PREFIX}mine:shop", "a"), None)
        self.cancel("shop.b")
        self.redis("DEL", f"{PREFIX}task:shop.b", f"{PREFIX}events:shop.b")     # as its expiry does
        self.assertEqual(self.all(), ["c"])

    def test_a_retried_task_is_listed_as_new(self):
        self.listed("a")
        self.cancel("shop.a")
        self.redis("ZADD", f"{PREFIX}mine:shop", 5, "a")
        _, epoch = self.run_script("retry", "shop.a", MINUTE)
        self.assertEqual(self.redis("ZSCORE", f"{PREFIX}mine:shop", "a"), epoch)
        self.assertEqual(self.task("a", "shop").fields["owes"], "l")

    def test_all_tasks_of_an_order(self):
        self.run_script("submit_order", "o", 2, TTL_MS, 100, MINUTE, 100, "", 1, 0, "l", "", 0, "", "", 0, 0, 0,
                        *(word for id in "ab" for word in (f"shop.{id}", "hash", "{}", "", "")))
        self.assertEqual(sorted(self.all()), ["a", "b"])
        look(self.redis).check()


class Pages(OwnTasks):
    def test_each_task_is_on_one_page(self):
        for step, limit in ((1, 1), (1, 7), (0, 1), (0, 7), (0, 100)):
            with self.subTest(step=step, limit=limit):
                self.fresh()
                self.many(23, step=step)
                pages = self.pages(limit=limit)
                self.assertEqual({len(page) for page in pages[:-1]} - {limit}, set())
                self.assertEqual([f"{PREFIX}task:shop.{id}" for page in pages for id in page],
                                 [f"{PREFIX}task:shop.{id.decode()}" for id in self.redis("ZREVRANGE", f"{PREFIX}mine:shop", 0, -1)])

    def test_a_cursor_is_valid_after_its_task_was_erased(self):
        for step in (0, 1):
            with self.subTest(step=step):
                self.fresh()
                self.many(9, step=step)
                _, cursor = self.mine(limit=4)
                before = self.mine(cursor=cursor)
                self.redis("ZREM", f"{PREFIX}mine:shop", cursor.partition(":")[2])
                self.raw("newer", "l")
                self.assertEqual(self.mine(cursor=cursor), before)
                self.redis("ZADD", f"{PREFIX}mine:shop", 10**13, cursor.partition(":")[2])     # submitted again
                self.assertEqual(self.mine(cursor=cursor), before)

    def test_an_invalid_cursor_is_refused(self):
        self.many(3, created=1_000)
        for cursor in ("x", "1", ":", ":t1", "1:", "-1:t1", "1.5:t1", "inf:t1", "nan:t1", "9" * 16 + ":t1", "0x1:t1", "1:"):
            with self.subTest(cursor):
                self.assertEqual(self.scripts("mine", "shop", "all", cursor, 10), [b"CURSOR"])
        self.assertEqual(self.mine(cursor="0:t1"), ([], ""))
        self.assertEqual(self.mine(cursor="1002:u:b.c")[0], ["t2", "t1", "t0"])
        self.assertEqual(self.mine(cursor="1002:a:b.c")[0], ["t1", "t0"])
        self.assertEqual(self.mine(cursor="999999999999999:a")[0], ["t2", "t1", "t0"])

    def test_one_call_scans_a_part_of_the_list(self):
        self.many(2 * SCAN_MAX + 1)
        self.redis("HSET", f"{PREFIX}task:shop.t0", "state", "failed")
        self.assertEqual(self.pages(state="failed"), [[], [], ["t0"]])

    def test_the_latest_ten_thousand(self):
        self.many(MINE_MAX + 5)
        self.assertEqual(self.all(limit=200)[-1], "t5")

    def test_a_page_costs_the_same_however_long_the_list_is(self):
        costs = []
        for count in (20, MINE_MAX):
            self.fresh()
            self.many(count)
            _, cursor = self.mine()
            costs.append([self.commands_of(lambda cursor=cursor: self.mine(cursor=cursor)) for cursor in ("", cursor)])
        self.assertEqual(costs[0], costs[1])
        self.assertEqual(costs[0][0], {"zcard": 1, "zrevrange": 1, "hmget": 10})


class Trimming(OwnTasks):
    def submit_until(self, is_met):
        """Submits tasks until one of them meets a condition of its epoch."""
        for n in range(100 * TRIM_EVERY):
            if is_met(self.raw(f"n{n}", "l")):
                return
        self.fail("no such epoch")

    def count(self):
        return self.redis("ZCARD", f"{PREFIX}mine:shop")

    def test_one_write_in_61_leaves_the_latest_ten_thousand(self):
        now_ms = int(self.redis("TIME")[0]) * 1000
        self.raw("first", "l")
        self.many(MINE_MAX + 100, created=now_ms - MINUTE, step=0)
        self.submit_until(lambda epoch: epoch % TRIM_EVERY == 0)
        self.assertEqual(self.count(), MINE_MAX)

    def test_the_first_write_after_a_pause_trims_too(self):
        now_ms = int(self.redis("TIME")[0]) * 1000
        self.many(MINE_MAX + 100, created=now_ms - MINUTE, step=0)
        self.raw("new", "l")
        self.assertEqual((self.count(), self.mine(limit=1)[0]), (MINE_MAX, ["new"]))

    def test_expired_tasks_are_removed(self):
        self.redis("ZADD", f"{PREFIX}mine:shop", 5, "old")
        self.raw("new", "l")
        self.assertEqual(self.redis("ZRANGE", f"{PREFIX}mine:shop", 0, -1), [b"new"])

    def test_the_list_expires(self):
        self.raw("new", "l")
        self.assertGreater(self.redis("PTTL", f"{PREFIX}mine:shop"), TTL_MS + 900 * MINUTE)


class Cost(OwnTasks):
    def submit_commands(self, *owes):
        """Commands inside SUBMIT of a client that has submitted tasks before."""
        cost, counts = ScriptCost(self.redis), None
        for n in range(100):
            epoch = self.raw(f"t{n}", *owes)
            counts = cost.commands()
            if n and epoch % TRIM_EVERY:
                return sum(counts.values())
        return self.fail("no such epoch")

    def test_a_place_in_the_list_costs_one_command(self):
        without = self.submit_commands()
        self.fresh()
        self.assertEqual(self.submit_commands("l"), without + 1)


if __name__ == "__main__":
    unittest.main()
