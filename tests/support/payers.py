"""The clients of the crowd: one without a limit that matters, one whose limit is reached, and one that has none. Checks the ledger's sums.

    payers = Payers(folder, seed, count)
    world.gateway(**payers.options())
    payers.keys[7].header                   # of the crowd's client 7
    payers.judge(lives, charges, money, address)

A client is counted if it has a limit, or if GATEWAY_USAGE is on, which the seed decides.
"""

import collections
import dataclasses
import pathlib
import random

from support.client_key import Key
from support.crowd import STEADY
from support.http_client import fetch
from support.world import BASE

ADMIN_KEY = "operator-of-the-chaos-test"
MICROS = 1_000_000
TIGHT = 4                   # the reached limit, per day
LIMITS = {"shop": "1000000", "tight": str(TIGHT), "free": "0"}


@dataclasses.dataclass
class Sums:
    """What tasks of a client have cost."""
    tasks: int = 0
    images: int = 0
    calls: int = 0
    micros: int = 0
    estimated: int = 0          # micro-units of tasks whose cost is an estimate

    def add(self, *more):
        for field, value in zip(dataclasses.fields(self), more):
            setattr(self, field.name, getattr(self, field.name) + value)


def micros_of(end):
    cost = end.get("cost") or {"amount": 0}
    return round(cost["amount"] * MICROS)


class Payers:
    def __init__(self, folder, seed, count):
        self.counts_all = random.Random(f"{seed} usage").random() < 0.5
        self._keys = {client: Key(client) for client in LIMITS}
        self._file = pathlib.Path(folder, "keys")
        self._file.write_text("".join(key.line("requests=0", "streams=0", f"spend_day={LIMITS[client]}") for client, key in self._keys.items()), encoding="ascii")
        self.keys = [self._keys["shop" if n < STEADY else ("shop", "shop", "tight", "free")[n % 4]] for n in range(count)]

    def options(self):
        """Of gateways."""
        return {"GATEWAY_KEYS_FILE": self._file, "GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_USAGE": "on" if self.counts_all else "off"}

    def is_counted(self, client):
        return self.counts_all or LIMITS[client] != "0"

    # -- judging

    def judge(self, lives, charges, money, address):
        """charges: life's name -> micro-units that ARK charged. money: as in Redis. address: of a gateway."""
        expected, charged = self._expected(lives), collections.Counter()
        is_one_month = sum(len(period) == 6 for period in money.usage) == 1     # a record has the sums of its latest month only
        for life in lives:
            charged[life.client] += charges[life.name]
        found = []
        for client in LIMITS:
            wanted, billed = expected[client], charged[client]
            found += self._wrong_usage(client, wanted, money, address)
            found += self._wrong_record(client, wanted, money) if is_one_month else []
            if not billed <= wanted.micros <= billed + wanted.estimated:
                found.append((client, f"costs {wanted.micros}, of these {wanted.estimated} estimated, and ARK charged {billed}"))
        total = sum(each.micros for client, each in expected.items() if self.is_counted(client))
        if is_one_month and money.records[""].month_spent != total:
            found.append(("ledger", f"{money.records['']}, and all tasks cost {total}"))
        found += [(name or "ledger", f"still reserves: {record}") for name, record in money.records.items() if record.month_reserved or record.day_reserved]
        print(f"ledger: {'all clients' if self.counts_all else 'clients with limits'} counted, "
              + ", ".join(f"{client} {expected[client].micros} of which {charged[client]} charged" for client in LIMITS))
        return found

    @staticmethod
    def _expected(lives):
        sums = {client: Sums() for client in LIMITS}
        for life in lives:
            end = life.end
            micros = micros_of(end)
            sums[life.client].add(1, len(end.get("generated_images", [])), end["paid_calls"], micros, micros if (end["cost"] or {}).get("estimated") else 0)
        return sums

    def _wrong_usage(self, client, wanted, money, address):
        """By days and by months, in Redis and as the client and an operator get it."""
        wanted = wanted if self.is_counted(client) else Sums()
        own, every = self._keys[client].header, {"Authorization": f"Bearer {ADMIN_KEY}"}
        seen = {}
        for by, digits in (("day", 8), ("month", 6)):
            seen[f"Redis, by {by}"] = [dataclasses.astuple(row) for period, rows in money.usage.items() if len(period) == digits
                                       for name, row in rows.items() if name[0] == client]
            for path, headers in ((f"{BASE}/usage", own), ("/admin/usage", every)):
                rows = fetch(address, "GET", f"{path}?by={by}", None, headers).json()["rows"]
                seen[f"{path}, by {by}"] = [_numbers(row) for row in rows if row.get("client", client) == client]
        found = []
        for place, rows in seen.items():
            sums = Sums()
            for row in rows:
                sums.add(*row)
            found += [(client, f"{place}: {sums}, and should be {wanted}")] if sums != wanted else []
        return found

    def _wrong_record(self, client, wanted, money):
        record = money.records.get(client)
        if not self.is_counted(client):
            return [(client, f"is not counted, and has {record}")] if record else []
        found = []
        if not record or record.month_spent != wanted.micros:
            found.append((client, f"has {record}, and its tasks cost {wanted.micros}"))
        if client == "tight" and record and record.day_spent > TIGHT * MICROS:
            found.append((client, f"has spent more than its limit of {TIGHT * MICROS}: {record}"))
        return found


def _numbers(row):
    cost = row["cost"]
    return (row["tasks"], row["images"], row["paid_calls"], round(cost["amount"] * MICROS), round(cost["estimated_amount"] * MICROS))
