"""What the scripts of one-image tasks cost Redis: commands that they call, and instructions.

    cost = ScriptCost(redis)
    cost.run(160)                       # tasks from SUBMIT to their end, CLAIM and GOVERN for BATCH of them at once
    cost.bytes_of_last()                # of the last of them
    cost.commands()                     # {"hmget": 480, ...}: commands called by scripts since the last call, without the calls themselves
"""

import json
import re

from support.account import Account, news
from support.money import LEDGER
from support.scripts import PREFIX, Scripts
from support.store import KINDS

BATCH = 16
REQUEST = json.dumps({"max_images": 1, "prompt": "a portrait in oil, soft light from the left", "urls": ["https://example.com/portrait.jpg"]},
                     separators=(",", ":"))
PLAN = ('{"catalogue":"5d1cd2ed3d4f","images":1,"model":"doubao-seedream-4-0-250828","price":{"call":30000,"currency":"USD","exact":true,'
        '"image":30000,"images":[[0,30000]]},"size":"2K","stream":true,"watermark":false}')
COST = '{"currency":"USD","amount":0.03,"estimated":false}'
HASH = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
CALLING = '{"task_id":"%s","message":"正在调用ARK模型生成图像...","stage":"calling","attempt":1}'
IMAGE = ('{"task_id":"%s","message":"第%d张图像已生成","stage":"image","index":%d,"image":{"url":"%s","size":"2048x2048"}}')
LINKS = [f"https://ark-content-generation-v2-cn-beijing.tos-cn-beijing.volces.com/{n}/" + "s" * 412 for n in range(3)]     # as long as ARK's
USAGE = '"usage":{"generated_images":1,"output_tokens":16384,"total_tokens":16384}'
TTL_MS, LEASE_MS = 86_400_000, 30_000


class ScriptCost:
    def __init__(self, redis, limited=False, batch=BATCH):
        """limited: a spending limit applies, and the debts of a batch are moved together. batch: tasks that wait at a time."""
        self.redis, self.batch = redis, batch
        self.ledger = Scripts(redis, LEDGER) if limited else None
        self.scripts = Scripts(redis)       # loads those that are called, as programs do: the garbage collector marks the functions of all that are loaded
        self.account = Account(redis)
        self.serial = self.last = 0

    def submit(self, id, request=REQUEST, more=()):
        answer = self.scripts("submit", id, HASH, request, 2, TTL_MS, 100_000, 86_400_000, 100_000, "", 1, 0, PLAN, *more)
        assert answer[0] == b"NEW", answer

    def reserve(self, ids):
        """The words of SUBMIT for each id. One RESERVE for all of them, as a gateway sends it for the requests that came while it waited for the last one."""
        terms = ("public", "USD", 60_000, 0, 10**12, 0, 10**12, 1)
        _, *answers = self.ledger("reserve", 5000, *(word for id in ids for word in (*terms, id[-24:], id)))
        assert [answer[0] for answer in answers] == [b"OK"] * len(ids), answers
        return [("", "", id[-24:], answer[1]) for id, answer in zip(ids, answers)]

    def settle(self):
        _, *debts = self.scripts("debts", 100)
        assert self.ledger("charge", *debts) == [b"OK", len(debts) // 2]
        assert self.scripts("debts", 0, *debts[::2]) == [b"OK"]

    def run(self, tasks, links=("https://ark/1.jpeg",)):
        for _ in range(tasks // self.batch):
            ids = [f"public.{self.serial + n:032x}" for n in range(1, self.batch + 1)]
            self.serial += self.batch
            self.last = self.serial
            for id, more in zip(ids, self.reserve(ids) if self.ledger else [()] * self.batch):
                self.submit(id, more=more)
            self.account.ask("worker-1", self.batch, m=news(held=0))
            self.work(self.batch, links)
            if self.ledger:
                self.settle()

    def work(self, most, links):
        """Claims, and takes each job to its end. The last image is reported with the end, the others before it."""
        self.serial += 1
        _, *jobs = self.scripts("claim", "worker-1", LEASE_MS, most, f"{self.serial:016x}", 3, "m")
        assert len(jobs) == most
        for id, fence, *_ in jobs:
            task_id = id.decode().partition(".")[2]
            assert self.scripts("begin", id, fence, f"{self.serial:032x}", len(links), LEASE_MS, CALLING % task_id)[0] == b"OK"
            *early, last = [IMAGE % (task_id, n + 1, n, link) for n, link in enumerate(links)]
            for wseq, event in enumerate(early, 1):
                assert self.scripts("emit", id, fence, wseq, event)[0] == b"OK"
            assert self.scripts("finish", id, fence, "done", "known", 0, USAGE, COST, len(links), last)[0] == b"OK"

    def bytes_of_last(self):
        """The memory of the newest submitted task's two keys."""
        id = f"public.{self.last:032x}"
        return sum(self.redis("MEMORY", "USAGE", f"{PREFIX}{kind}:{id}", "SAMPLES", 0) for kind in KINDS)

    def commands(self):
        found = re.findall(rb"cmdstat_([^:]+):calls=(\d+)", self.redis("INFO", "commandstats"))
        self.redis("CONFIG", "RESETSTAT")
        return {name.decode(): int(calls) for name, calls in found if name not in (b"evalsha", b"info", b"config|resetstat", b"script|load")}
