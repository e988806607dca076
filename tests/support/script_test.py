"""Test case for the Lua scripts: calls them as the programs do and checks all invariants after each call."""

import json

from support.processes import ProcessTest
from support.redis_server import RedisServer
from support.scripts import PREFIX, Scripts
from support.store import KINDS, look

TTL_MS = 86_400_000
LEASE_MS = 60_000
LAPSED_MS = -1000            # a lease that has already expired, so that tests need not wait
URLS = ["https://example.com/1.jpg", "https://example.com/2.jpg"]
CALLING = "正在调用ARK模型生成图像..."


def compact(value):
    """JSON as the programs write it: raw UTF-8, no white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def event(id, stage="calling", text="…", **members):
    """The data of a `process` event, as the worker writes it."""
    return compact({"task_id": id.partition(".")[2], "message": text, "stage": stage, **members})


def image(index=0, url=None, size="2048x2048"):
    return {"stage": "image", "index": index, "image": {"url": url or f"https://ark/{index}.jpeg", **({"size": size} if size else {})}}


def image_failed(index, message="refused", code="ark_content_refused"):
    return {"stage": "image_failed", "index": index, "code": code, "error": message}


class Job:
    """A claimed job, as the worker keeps it."""

    def __init__(self, answer):
        id, fence, self.attempt, self.request, self.paid_calls, self.max_paid_calls, epoch, trace, self.deferrals, plan = answer
        self.id, self.fence, self.epoch, self.trace, self.plan = id.decode(), fence.decode(), int(epoch), trace.decode(), plan.decode()
        self.task_id = self.id.partition(".")[2]
        self.wseq = 0


class ScriptTest(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.server = RedisServer()
        cls.addClassCleanup(cls.server.close)
        cls.redis = cls.server.client()
        cls.scripts = Scripts(cls.redis)
        cls.news = cls.redis.subscribe(PREFIX + "channel:*")

    def setUp(self):
        self.nonces = 0
        self.blocked = set()        # models for which the last CLAIM found tasks that had to wait
        self.fresh()

    def fresh(self):
        self.redis("FLUSHALL")
        self.news.messages()

    # -- one step: runs a script, then checks all invariants

    def run_script(self, name, *args):
        before = look(self.redis)
        answer = self.scripts(name, *args)
        after = look(self.redis)
        after.check()
        self.assert_announced(before, after)
        self.assert_finals_untouched(before, after, spared=name in ("erase", "retry") and args[0])
        return answer

    def assert_announced(self, before, after):
        announced = {}
        for channel, element in self.news.messages():
            announced.setdefault(channel.decode().removeprefix(PREFIX + "channel:"), []).extend(element.split(b"\n"))
        new = {}
        for id, task in after.tasks.items():
            known = before.tasks.get(id)
            had = len(known.log) if known and known.fields.get("epoch") == task.fields["epoch"] else 0
            if elements := [element.raw for element in task.log[had:]]:
                new[id] = elements
        self.assertEqual(announced, new, "the channel carries the new elements of the log, the same bytes")

    def assert_finals_untouched(self, before, after, spared):
        for task in before.tasks.values():
            if task.is_final and task.id != spared:
                for kind in KINDS:
                    key = f"{kind}:{task.id}"
                    self.assertEqual(after.everything[key], before.everything[key], "final is final")

    def assert_changes_nothing(self, answer, name, *args):
        """Calls the script twice: it must give this answer both times and change nothing."""
        before = look(self.redis).everything
        for _ in range(2):
            self.assertEqual(self.run_script(name, *args), answer)
        self.assertEqual(look(self.redis).everything, before)

    # -- one method per script

    def submit(self, task_id="t1", urls=URLS, max_paid_calls=2, ttl=TTL_MS, queue_limit=100, queue_ttl=60_000, trace="",
               hash="hash", request=None, client="public", client_limit=100_000, images=3, images_limit=0, owes=""):
        request = compact({"urls": urls}) if request is None else request
        return self.run_script("submit", f"{client}.{task_id}", hash, request, max_paid_calls, ttl, queue_limit, queue_ttl,
                               client_limit, trace, images, images_limit, "", *([owes] if owes else []))

    def submit_many(self, client, count, queue_ttl=60_000):
        """Submits t0, t1, ... of a client."""
        sha1 = self.scripts.sha1["submit"]
        self.scripts.load()
        self.redis.pipeline([
            ("EVALSHA", sha1, 1, PREFIX, f"{client}.t{n}", "hash", compact({"urls": URLS}), 2, TTL_MS, 10**6, queue_ttl, 10**6, "")
            for n in range(count)])
        self.news.messages()

    def claim(self, most=1, lease=LEASE_MS, max_attempts=3, worker="w1", **restricted):
        """Returns (ms until the next task is due, jobs). restricted: model=calls, or model="trial"."""
        self.nonces += 1
        flat = [word for row in restricted.items() for word in row]
        next_ms, *rest = self.run_script("claim", worker, lease, most, f"{self.nonces:016x}", max_attempts, "m", *flat)
        self.blocked = {name.decode() for name in rest if isinstance(name, bytes)}
        return next_ms, [Job(job) for job in rest if isinstance(job, list)]

    def claim_one(self, **options):
        _, (job,) = self.claim(**options)
        return job

    def begin(self, job, call="call-1", images=3, lease=LEASE_MS):
        data = compact({"task_id": job.task_id, "message": CALLING, "stage": "calling", "attempt": job.attempt})
        return self.run_script("begin", job.id, job.fence, call, images, lease, data)

    def emit(self, job, text="…", wseq=None, **members):
        if wseq is None:
            job.wseq += 1
        return self.run_script("emit", job.id, job.fence, wseq or job.wseq, event(job.id, text=text, **members))

    def emit_image(self, job, index=0, url=None):
        return self.emit(job, **image(index, url))

    def emit_failed(self, job, index, message="refused"):
        return self.emit(job, **image_failed(index, message))

    def finish(self, job, outcome, charge, delay=0, data=None):
        if data is None:
            data = {"done": "", "failed": compact({"code": "ark_unreachable", "error": "no route", "retryable": True}),
                    "cancelled": ""}.get(outcome, compact({"task_id": job.task_id, "message": "…", "stage": outcome}))
        return self.run_script("finish", job.id, job.fence, outcome, charge, delay, data)

    def finish_args(self, job, outcome="done", charge="known", data=""):
        return ("finish", job.id, job.fence, outcome, charge, 0, data)

    def reap(self, grace=0, most=100):
        return self.run_script("reap", grace, most, 0)

    def cancel(self, id="public.t1", mode="any"):
        return self.run_script("cancel", id, mode)

    def lapse(self, job):
        """Lets the job's lease expire, and reaps it."""
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.assertEqual(self.reap(), 1)

    def task(self, task_id="t1", client="public"):
        return look(self.redis).tasks[f"{client}.{task_id}"]

    def meta(self, name):
        return look(self.redis).counter(name)

    def cases(self, table):
        """Runs each row of the table as a subtest, on an empty Redis."""
        for row in table:
            with self.subTest(row[0]):
                self.fresh()
                yield row[1:]
