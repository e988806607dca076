"""Webhooks under random faults. Receivers answer as they like, until the faults are over; then each owed event must have been delivered.

    hooks = Hooks(world, seed, addresses, operator)     # addresses() -> where gateways are now; operator: headers of an operator
    world.worker(**hooks.worker_options())
    hooks.fields(rng)                       # of a request
    hooks.start()
    ...
    hooks.stop()
    hooks.settle(60)
    hooks.judge(lives)                      # violations, a list of (task, text)
"""

import collections
import json
import random
import socket
import struct
import threading

from support.http_client import fetch
from support.outbox import is_empty, leftovers, make_due
from support.processes import eventually
from support.receiver import SECRET, Receiver, client_secret
from support.resp import RedisError
from support.scripts import PREFIX

SHARE = 0.4                 # of the tasks have a webhook
TIMEOUT_MS = 1500
STUBBORN_SHARE = 0.03       # of the events: refused until the faults are over
AWAY_SHARE = 0.1            # of the time, a receiver is away
BODY_MAX = 256 * 1024       # an element of the log that is larger is delivered without its data
ELSEWHERE = "/elsewhere"    # redirects lead there


def _cut(connection, _):
    """Ends the connection without an answer."""


def _half(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def _reset(connection, _):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _late(connection, receiver):
    """After the worker has given up."""
    receiver.closing.wait(2 * TIMEOUT_MS / 1000)


def _slow(connection, receiver):
    receiver.closing.wait(TIMEOUT_MS / 1000 / 3)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


GOOD = (200, 204, _slow)
ANSWERS = [(55, 200), (10, 204), (8, _slow), (5, 500), (3, 503), (2, (429, {"Retry-After": "1"})), (2, 404), (2, 410), (2, (500, {"Webhook-Delivery": "disable"})),
           (3, (307, {"Location": ELSEWHERE})), (3, _cut), (2, _half), (2, _reset), (2, _late)]


class Fickle(Receiver):
    """Answers by chance until it is told to be good."""

    def __init__(self, rng):
        self.rng, self.is_good, self.is_away, self.accepted = rng, False, False, set()
        super().__init__()

    def _note(self, delivery):
        with self._lock:
            self.deliveries.append(delivery)
            answer = self._choose(delivery)
            if answer in GOOD:
                self.accepted.add(delivery.id)
            return answer

    def _choose(self, delivery):
        if self.is_good:
            return 200
        if self.is_away:
            return _cut
        if random.Random(delivery.id).random() < STUBBORN_SHARE:
            return 500
        answer, = self.rng.choices([answer for _, answer in ANSWERS], [weight for weight, _ in ANSWERS])
        return answer


class Hooks:
    def __init__(self, world, seed, addresses, operator):
        self.world, self.addresses, self.operator = world, addresses, operator
        self.rng = random.Random(f"{seed} hooks")
        self.receivers = [Fickle(random.Random(f"{seed} receiver {n}")) for n in range(3)]
        self._thread, self._stop = None, threading.Event()
        self.resent = 0

    @staticmethod
    def options():
        """Of gateways and workers."""
        return {"WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on"}

    def worker_options(self):
        return {**self.options(), "WEBHOOK_TIMEOUT": f"{TIMEOUT_MS}ms"}

    def fields(self, rng):
        if rng.random() >= SHARE:
            return {}
        events = rng.choice((None, ["final"], ["start"], ["image"], ["start", "image", "final"]))
        return {"webhook": rng.choice(self.receivers).url, **({"webhook_events": events} if events else {})}

    # -- while the faults go on

    def start(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(60)

    def _run(self):
        """Receivers go and come back, and attempts follow earlier than their delays say."""
        while not self._stop.wait(1):
            for receiver in self.receivers:
                receiver.is_away = self.rng.random() < AWAY_SHARE
            try:
                with self.world.redis_server.client() as redis:
                    make_due(redis, "webhooks", entries=self.rng.random() < 0.7)
            except (OSError, RedisError):
                pass                # Redis is away; the next turn asks again

    # -- judging

    def settle(self, seconds):
        """Waits until nothing is owed. Deliveries that were given up are sent again."""
        for receiver in self.receivers:
            receiver.is_good = True
        redis = self.world.redis

        def nothing_owed():
            make_due(redis, "webhooks")
            if failed := redis("ZCARD", f"{PREFIX}failed:webhooks"):
                answer = fetch(self.rng.choice(self.addresses()), "POST", "/admin/webhooks/resend", None, self.operator)
                assert answer.status in (202, 503), answer      # 503: the reply was lost, the last one of such faults
                self.resent += answer.json().get("resent", 0)
            return not failed and is_empty(redis, "webhooks")
        eventually(nothing_owed, "all webhooks are delivered", seconds)

    def judge(self, lives):
        """An erased life may have been delivered, and need not have been."""
        owed = {}
        for life in lives:
            for n, word, raw in _events(life):
                owed[life.task_id, life.epoch, n] = (life, word, raw)
        found, got = [], collections.defaultdict(list)
        for receiver in self.receivers:
            for delivery in list(receiver.deliveries):
                body = delivery.json()
                event = (body["data"]["task_id"], body["epoch"], body["n"])
                found += [(event[0], f"{words}: {delivery}") for words in self._wrong(receiver, delivery, body, owed.get(event))]
                got[event].append((receiver, delivery))
        for event, (life, word, _) in owed.items():
            found += [(life.name, f"{word} {event}: {words}") for words in _wrong_set(life, got.get(event, []))]
        found += [("", f"left: {key}") for key in leftovers(self.world.redis, "webhooks") + [key.decode() for key in self.world.redis("KEYS", PREFIX + "entry:*")]]
        print(f"webhooks: {len(owed)} events, {sum(map(len, got.values()))} attempts seen, {self.resent} sent again")
        return found

    @staticmethod
    def _wrong(receiver, delivery, body, owed):
        """The violations of one attempt."""
        if not owed:
            return ["nothing owes it"]
        life, _, raw = owed
        found = []
        if delivery.path != "/hook" or life.body["webhook"] != receiver.url:
            found.append("delivered elsewhere")
        if not delivery.is_signed_by(client_secret(life.client)):
            found.append("not signed")
        if body != {"n": body["n"], "epoch": body["epoch"], **_content(life, raw)}:
            found.append(f"its body differs from the log, {raw!r}")
        return found


def _wrong_set(life, attempts):
    """The violations of all attempts to deliver one event."""
    if not attempts:
        return [] if life.is_erased else ["not delivered"]
    receiver, first = attempts[0]
    found = []
    if len({delivery.id for _, delivery in attempts}) > 1:
        found.append(f"under several ids: {attempts}")
    if len({delivery.body for _, delivery in attempts}) > 1:
        found.append(f"with several bodies: {attempts}")
    if first.id not in receiver.accepted and not life.is_erased:
        found.append(f"never accepted: {attempts}")
    return found


def _events(life):
    """The events that its webhook asks for: (n, word, element of the log)."""
    if "webhook" not in life.body:
        return
    wanted = life.body.get("webhook_events", ["final"])
    for n, raw in enumerate(life.log, 1):
        kind = raw.split(b" ", 2)[1].decode()
        stage = json.loads(raw.split(b" ", 2)[2])["data"].get("stage")
        word = "start" if kind == "start" else "final" if kind in ("done", "error") else "image" if stage == "image" else None
        if word in wanted:
            yield n, word, raw


def _content(life, raw):
    content = json.loads(raw.split(b" ", 2)[2])
    return content if len(raw) <= BODY_MAX else {**content, "data": {"task_id": life.task_id, "truncated": True}}
