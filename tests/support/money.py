"""Reads the ledger and the usage in Redis, as described in common/task/PROTOCOL.md.

    money = read_money(redis)
    money.spent("public"), money.reserved("public")     # of the day, in micro-units; "" is all clients
    money.reservations["<id>"].task                     # open reservations
    money.usage[day]["public", model].images
"""

import dataclasses

LEDGER = "arkrelay:{money}:"
DEBTS = "arkrelay:{0}:debts"


@dataclasses.dataclass
class Record:
    currency: str
    day: str
    day_spent: int
    day_reserved: int
    month_spent: int
    month_reserved: int


@dataclasses.dataclass
class Reservation:
    client: str
    micros: int
    currency: str
    day: str
    until_ms: int
    task: str


@dataclasses.dataclass
class Row:
    tasks: int
    images: int
    calls: int
    micros: int
    estimated: int


def _pairs(flat):
    texts = [item.decode() for item in flat or []]
    return dict(zip(texts[::2], texts[1::2]))


def _typed(kind, words):
    return kind(*(word if field.type is str else int(word) for field, word in zip(dataclasses.fields(kind), words)))


class Money:
    def __init__(self, redis):
        fields = _pairs(redis("HGETALL", LEDGER + "ledger"))
        self.records = {name: _typed(Record, text.split(" ")) for name, text in fields.items() if not name.startswith(":")}
        self.reservations = {name[1:]: _typed(Reservation, text.split(" ", 5)) for name, text in fields.items() if name.startswith(":")}
        self.debts = _pairs(redis("HGETALL", DEBTS))
        self.usage = {}
        for key in redis("KEYS", LEDGER + "usage:*"):
            rows = _pairs(redis("HGETALL", key))
            self.usage[key.decode().rpartition(":")[2]] = {tuple(name.split("\t")): _typed(Row, text.split(" ")) for name, text in rows.items()}

    def spent(self, client="public"):
        return self.records[client].day_spent if client in self.records else 0

    def reserved(self, client="public"):
        return self.records[client].day_reserved if client in self.records else 0

    def check(self):
        """The sums of records are those of reservations, if all of them are of the records' month and currency."""
        sums = {}
        for reservation in self.reservations.values():
            for name in (reservation.client, ""):
                sums[name] = sums.get(name, 0) + reservation.micros
        for name, record in self.records.items():
            assert record.month_reserved == sums.get(name, 0), f"{name or 'all'} has {record}, and reservations of {sums.get(name, 0)}"
        assert not self.records or sum(record.month_spent for name, record in self.records.items() if name) == self.records[""].month_spent


def read_money(redis):
    money = Money(redis)
    money.check()
    return money
