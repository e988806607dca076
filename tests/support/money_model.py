"""A model of the ledger according to common/task/PROTOCOL.md, "Money", in plain Python. Limits travel with each call, as in the scripts.

    money = MoneyModel()
    money.reserve("r1", "b", 180, limit=500)        # True: there is room
    money.submitted("r1", "b.t1")
    money.owe("r1", "b", 90)                        # the task has ended
    money.charge("r1")
    money.compare(read_money(redis), live)          # AssertionError if Redis differs

A reservation that a crash left behind is in `orphans` until it is freed.
"""

import collections

ALL = ""


class MoneyModel:
    def __init__(self):
        self.open = {}              # reservation -> (client, micros)
        self.tasks = {}             # reservation -> id of its task
        self.orphans = set()        # open reservations that no task has, after a crash
        self.debts = {}             # reservation -> (client, micros) of ended tasks that were not charged, or are still to be removed
        self.charged = set()
        self.spent = collections.Counter()

    def reserved(self, client):
        return sum(micros for owner, micros in self.open.values() if client in (owner, ALL))

    def room(self, client, micros, limit):
        return self.spent[client] + self.reserved(client) + micros <= limit

    def reserve(self, reservation, client, micros, limit):
        if not self.room(client, micros, limit):
            return False
        self.open[reservation] = (client, micros)
        return True

    def submitted(self, reservation, id):
        self.tasks[reservation] = id

    def free(self, reservation):
        self.open.pop(reservation, None)
        self.orphans.discard(reservation)

    def owe(self, reservation, client, micros):
        self.debts[reservation] = (client, micros)

    def charge(self, reservation):
        """True: it was not charged before."""
        is_new = reservation not in self.charged
        if is_new:
            client, micros = self.debts[reservation]
            self.spent[client] += micros
            self.spent[ALL] += micros
            self.charged.add(reservation)
        self.free(reservation)
        return is_new

    def removed(self, reservation):
        self.debts.pop(reservation, None)

    def compare(self, money, live):
        """live: reservations of live tasks. What is reserved: for live tasks, for debts that were not charged, and what a known crash left."""
        assert set(money.reservations) == set(self.open), f"open are {set(money.reservations) ^ set(self.open)}"
        expected = {name for name in self.open if name in live or name in self.debts or name in self.orphans}
        assert set(self.open) == expected, f"{set(self.open) - expected} are reserved for no task"
        assert set(money.debts) == set(self.debts), f"debts {set(money.debts) ^ set(self.debts)}"
        for client in {owner for owner, _ in self.open.values()} | set(self.spent):
            record = money.records.get(client)
            found = (record.month_spent, record.month_reserved) if record else (0, 0)
            assert found == (self.spent[client], self.reserved(client)), f"{client or 'all'}: {found}, and should be {self.spent[client], self.reserved(client)}"
        tasks = sum(row.tasks for period, rows in money.usage.items() if len(period) == 6 for row in rows.values())
        assert tasks == len(self.charged), f"{tasks} tasks were counted, and should be {len(self.charged)}"
