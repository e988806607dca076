"""Calls GOVERN as a worker does: the ARK account's limits and its circuit breaker.

    account = Account(redis)
    answer = account.ask("w1", want=3, held={"m": 2})       # answer.granted, answer.wait, answer.scopes["m"].calls ...
"""

from collections import namedtuple

from support.scripts import Scripts

PREFIX = "arkrelay:{account}:"
MODEL = "m"

Scope = namedtuple("Scope", "state code calls wait probe opened")
Answer = namedtuple("Answer", "granted wait limit second scopes")


def news(held=0, ok=0, ok_ms=0, refused=0, pause=0, run=0, age=0, closing=False, code="", why="", until=0, probe="", wanted=False):
    """A worker's report about a model or about the account, as GOVERN takes it."""
    return [held, ok, ok_ms, refused, pause, run, age, "1" if closing else "", code, why, until, probe, "1" if wanted else ""]


class Account:
    def __init__(self, redis):
        self.redis = redis
        self.run = Scripts(redis, PREFIX)

    def ask(self, worker="w1", want=0, images=1, calls=0, rate=0, ttl=30_000, corrections=(), model=MODEL, whole=False, **scopes):
        """corrections: a list of (second, model, images). scopes: model=news(...); the scope `account` is the account itself."""
        rows = []
        for name, row in scopes.items():
            rows += ["" if name == "account" else name, *row]
        flat = [value for booking in corrections for value in booking]
        granted, wait, limit, second, *rest = self.run("govern", worker, ttl, want, images, model, calls, rate,
                                                       int(whole) or "", len(corrections), *flat, *rows)
        found = {}
        for name, *scope in zip(*[iter(rest)] * 7):
            state, code, calls_left, wait_ms, probe, opened = scope
            found[name.decode()] = Scope(state.decode(), code.decode(), int(calls_left), int(wait_ms), bool(probe), bool(opened))
        assert 0 <= granted <= want and wait >= 0, (granted, want, wait)
        return Answer(granted, wait, limit, second, found)

    # -- the state in Redis

    def hash(self, name):
        flat = [item.decode() for item in self.redis("HGETALL", PREFIX + name)]
        return dict(zip(flat[::2], flat[1::2]))

    def books(self):
        return self.hash("governor")

    def holders(self):
        """Returns {(worker, model): permits}. Checks that the sets of holders and of running workers are the same."""
        holders = {tuple(name.split("\t")): int(count) for name, count in self.hash("holders").items()}
        seen = {name.decode() for name in self.redis("ZRANGE", PREFIX + "seen", 0, -1)}
        assert {worker for worker, _ in holders} == seen, (holders, seen)
        return holders

    def minute(self):
        """Images per model in the last minutes."""
        images = {}
        for name, count in self.hash("minute").items():
            model = name.partition(" ")[2]
            images[model] = images.get(model, 0) + int(count)
        return images

    def pass_ms(self, ms):
        """Advances the account's clock by whole seconds, without waiting."""
        seconds = ms // 1000
        assert seconds * 1000 == ms
        for name, value in self.books().items():
            field = name.rpartition(" ")[2]
            if field == "swept":
                self.redis("HDEL", PREFIX + "governor", name)
            elif field.endswith("_at") or field.endswith("_until") or field == "since":
                self.redis("HSET", PREFIX + "governor", name, str(float(value) - ms))
        minute = self.hash("minute")
        if minute:
            self.redis("DEL", PREFIX + "minute")
        for name, count in minute.items():
            second, _, model = name.partition(" ")
            self.redis("HSET", PREFIX + "minute", f"{int(second) - seconds} {model}", count)
        for worker in self.redis("ZRANGE", PREFIX + "seen", 0, -1):
            self.redis("ZINCRBY", PREFIX + "seen", -ms, worker)
