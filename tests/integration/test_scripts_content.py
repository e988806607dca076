"""The read-only scripts, hostile texts, a full Redis, and a task with many transitions."""

import hashlib
import json
import re
import unittest

from support.account import Account, news
from support.resp import RedisError
from support.script_test import LAPSED_MS, LEASE_MS, ScriptTest, compact, image
from support.scripts import FOLDER, HERE, PREFIX, Scripts, needs, shared
from support.store import look

HOSTILE = [
    'quote " and apostrophe \'', "back\\slash", "slash / and \\/ and \\\\/", "],\"data\":[", "}}{{", "line\nfeed\r\ttab",
    "\x7f\x01", "中文，🎨", "%s %d %%", "\u2028", "“a\u2029\u0085—\u2028”", '{"event":"done"}', "image {}\nfailed {}", "", "null",
]


class Parts(unittest.TestCase):
    """The parts that a script includes are exactly those that it uses."""

    DEFINED = re.compile(r"^local (?:function )?(\w+)", re.M)

    def uses(self, text, part):
        code = re.sub(r"--.*|'[^'\n]*'", "", text)
        return any(re.search(rf"(?<![\w.:]){name}\b(?! =)", code) for name in self.DEFINED.findall(shared(part)))

    def here(self, text):
        return [name for line in HERE.findall(text) for name in line.split()]

    def named(self, names):
        """With those that a shared file names itself, which follow it."""
        for name in names:
            yield name
            yield from self.named(self.here(shared(name)))

    def test_every_script_lists_its_parts_in_order(self):
        parts = {path.stem for path in FOLDER.glob("shared/*.lua")}
        for path in FOLDER.glob("*.lua"):
            with self.subTest(path.stem):
                text = path.read_text()
                named = list(self.named(needs(text) + self.here(text)))
                for n, part in enumerate(named):
                    rest = text + shared(*named[n + 1:], *(parent for parent in named[:n] if part in self.here(shared(parent))))
                    self.assertTrue(self.uses(rest, part), f"{part} is not needed")
                    missing = [other for other in parts - set(named[:n + 1]) - set(self.here(shared(part))) if self.uses(shared(part), other)]
                    self.assertEqual(missing, [], f"{part} stands before what it needs")
                self.assertEqual([part for part in parts - set(named) if self.uses(text, part)], [], "not named")


class ReadOnly(ScriptTest):
    """READ, TAILS, STATUS, READY."""

    def given(self):
        epoch = self.submit()[1]
        job = self.claim_one()
        self.begin(job)
        self.emit_image(job)
        return epoch, job

    def test_read_returns_the_log_from_a_number(self):
        epoch, _ = self.given()
        log = [element.raw for element in self.task().log]
        for start in (1, 2, 3, 4, 99):
            with self.subTest(start):
                self.assertEqual(self.run_script("read", "public.t1", start), [b"LOG", epoch, b"running", 3, log[start - 1:], 0])

    def test_read_of_an_unknown_task(self):
        self.assert_changes_nothing([b"NONE"], "read", "public.t1", 1)

    def test_tails_returns_the_tasks_whose_log_differs(self):
        epoch, _ = self.given()
        sums = [hashlib.sha1(element.raw[element.raw.index(b"{"):]).hexdigest()[:16] for element in self.task().log]
        same, differs = [], [b"public.t1"]
        cases = {"the same": (epoch, 3, sums[2], same), "a longer log": (epoch, 2, sums[1], differs), "a shorter log": (epoch, 4, sums[2], differs),
                 "another epoch": (int(epoch) - 1, 3, sums[2], differs), "another event": (epoch, 3, sums[1], differs)}
        for name, (known, length, sum, differ) in cases.items():
            with self.subTest(name):
                self.assert_changes_nothing(differ, "tails", "public.t1", known, length, sum)
            with self.subTest(name, sum="not compared"):
                self.assert_changes_nothing(same if name == "another event" else differ, "tails", "public.t1", known, length, "")
        self.assert_changes_nothing([b"public.gone", b"public.t1"], "tails", "public.gone", epoch, 3, "", "public.t1", epoch, 3, sums[2],
                                    "public.t1", epoch, 9, "")
        self.redis("RPUSH", f"{PREFIX}events:public.t1", "no JSON")
        self.assertEqual(self.scripts("tails", "public.t1", epoch, 4, sums[2]), differs)

    def status(self):
        word, position, images, failed, result, now, model, *flat = self.run_script("status", "public.t1")
        self.assertEqual((word, model), (b"TASK", b""))
        self.assertRegex(now, rb"^\d{13}$")
        fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2])}
        self.assertEqual(fields, self.task().fields)
        return position, json.loads(images), json.loads(failed), result

    def test_status_of_a_waiting_task_has_its_position(self):
        self.submit("t0")
        self.submit("t1")
        self.assertEqual(self.status(), (2, [], [], b""))
        self.claim_one()
        self.assertEqual(self.status(), (1, [], [], b""))

    def test_status_of_a_running_task_has_its_images(self):
        _, job = self.given()
        self.emit_failed(job, 1)
        position, images, failed, result = self.status()
        self.assertEqual((position, images, result), (0, [{"index": 0, "url": "https://ark/0.jpeg", "size": "2048x2048"}], b""))
        self.assertEqual(failed, [{"index": 1, "code": "ark_content_refused", "message": "refused"}])

    def test_status_of_a_final_task_has_its_result(self):
        _, job = self.given()
        self.finish(job, "done", "known")
        self.assertEqual(self.status(), (0, [], [], self.task().result))

    def test_status_of_an_unknown_task(self):
        self.assert_changes_nothing([b"NONE"], "status", "public.t1")

    def test_ready_writes_and_returns_the_time(self):
        word, now, paused = self.run_script("ready")
        self.assertEqual((word, paused, look(self.redis).meta["probed_at"]), (b"READY", 0, now.decode()))
        self.assertRegex(now, rb"^\d{13}$")
        self.redis("HSET", PREFIX + "queue", "paused", "1")
        self.assertEqual(self.run_script("ready")[2], 1)


class HostileContent(ScriptTest):
    """Texts of users and of ARK are stored unchanged, and the final event is one line."""

    def assert_final_is_one_line(self):
        final = self.task().log[-1].raw.decode()
        self.assertEqual((len(final.splitlines()), len(self.task().result.decode().splitlines())), (1, 1), final)

    def test_urls_are_returned_unchanged(self):
        self.submit(urls=[f"https://example.com/?q={text}" for text in HOSTILE])
        job = self.claim_one()
        self.assertEqual(json.loads(job.request)["urls"], [f"https://example.com/?q={text}" for text in HOSTILE])
        self.begin(job)
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(self.task().log[-1].data["urls"], [f"https://example.com/?q={text}" for text in HOSTILE])
        self.assertNotIn(b"\\/", self.task().result.replace(b"\\\\", b""))
        self.assert_final_is_one_line()

    def test_urls_that_are_not_the_last_field_of_the_request(self):
        urls = [f"https://example.com/?q={text}" for text in HOSTILE]
        self.submit(request=compact({"prompt": "\"urls\":[\"no\"]}", "urls": urls, "watermark": True}))
        self.finish(self.claim_one(), "done", "none")
        data = self.task().log[-1].data
        self.assertEqual(data["urls"], urls)
        self.assertNotIn("watermark", data, "the list, and nothing behind it")
        self.assert_final_is_one_line()

    def test_hostile_texts_in_every_field(self):
        for text in HOSTILE:
            with self.subTest(text):
                self.fresh()
                request = compact({"prompt": text, "urls": [text]})
                self.submit(request=request, trace=text)
                job = self.claim_one(worker=text or "w1")
                self.assertEqual((job.request.decode(), job.trace), (request, text))
                self.begin(job, call=text or "call-1")
                self.emit(job, text, **{**image(0), "image": {"url": text, "size": text}})
                self.emit_failed(job, 1, text)
                self.assertEqual(self.task().log[2].data["message"], text)
                self.finish(job, "done", "known", data='"usage":' + compact({"x": text}))
                data = self.task().log[-1].data
                self.assertEqual((data["urls"], data["usage"]), ([text], {"x": text}))
                self.assertEqual(data["generated_images"], [{"index": 0, "url": text, "size": text}])
                self.assertEqual(data["failed_images"][0]["message"], text)
                self.assert_final_is_one_line()

    def test_hostile_texts_in_errors(self):
        for text in HOSTILE:
            with self.subTest(text):
                self.fresh()
                self.submit()
                job = self.claim_one()
                self.finish(job, "failed", "none", data=compact({
                    "code": "ark_invalid_request", "error": text, "retryable": False, "more": '"ark_code":' + compact(text)}))
                data = self.task().log[-1].data
                self.assertEqual((data["error"], data["ark_code"], data["retryable"]), (text, text, False))
                self.assert_final_is_one_line()


class FullMemory(ScriptTest):
    """Redis at maxmemory refuses new tasks and completes the accepted ones."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.redis, "CONFIG", "SET", "maxmemory", "0")

    def fill(self):
        self.redis("CONFIG", "SET", "maxmemory", "1")

    def test_new_tasks_are_refused_without_leaving_keys(self):
        self.fill()
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.submit()
        self.assertEqual(look(self.redis).everything, {})

    def test_a_repeated_request_returns_the_accepted_task(self):
        self.submit()
        self.fill()
        self.assertEqual(self.submit()[0], b"SAME")
        self.assertEqual(self.submit(hash="other"), [b"CONFLICT"])

    def test_commands_of_operators_work(self):
        self.submit("t1")
        self.submit("t2")
        self.cancel()
        self.fill()
        self.assertEqual(self.run_script("pause", 1), [b"PAUSED"])
        self.assertEqual(self.run_script("pause", 0), [b"RESUMED"])
        self.assertEqual(self.run_script("erase", "public.t1"), [b"ERASED"])
        self.redis("ZREM", PREFIX + "pending", "public.t2")
        self.assertEqual(self.run_script("audit", "w1", 60_000, 10), [1, 1])
        self.assertEqual(self.run_script("places", 0, "public.t2")[2:], [1])

    def test_permits_are_granted(self):
        self.fill()
        answer = Account(self.redis).ask("w1", want=2, images=3, calls=10, rate=500, m=news(run=3, code="outcome_unknown"))
        self.assertEqual((answer.granted, answer.limit, answer.scopes["m"].state), (2, 10, "open"))

    def test_ready_reports_the_full_memory(self):
        self.fill()
        with self.assertRaisesRegex(RedisError, "OOM"):
            self.run_script("ready")

    def test_an_accepted_task_is_completed(self):
        self.submit()
        self.fill()
        job = self.claim_one()
        self.assertEqual(self.begin(job), [b"OK", 1])
        self.assertEqual(self.run_script("renew", 2 * LEASE_MS, job.id, job.fence), [b"OK"])
        self.assertEqual(self.emit_image(job)[0], b"OK")
        self.assertEqual(self.finish(job, "done", "known")[0], b"OK")

    def test_retry_cancel_and_reap_work(self):
        for n in range(3):
            self.submit(f"t{n}")
        self.fill()
        _, jobs = self.claim(most=2)
        self.finish(jobs[0], "retry", "none", delay=-1)
        self.assertEqual(self.run_script("cancel", "public.t1", "any"), [b"ASKED"])
        self.assertEqual(self.run_script("cancel", "public.t2", "any"), [b"CANCELLED"])
        self.claim_one(lease=LAPSED_MS)
        self.assertEqual(self.reap(), 1)


class ManySteps(ScriptTest):
    """The events of one task through several transitions."""

    def test_retry_loss_and_success(self):
        self.submit(max_paid_calls=3)
        job = self.claim_one()
        self.begin(job, "call-1")
        self.finish(job, "retry", "void", delay=-1)
        job = self.claim_one()
        self.begin(job, "call-2")
        self.redis("ZADD", PREFIX + "leased", 5, job.id)
        self.reap()
        job = self.claim_one()
        self.assertEqual(job.paid_calls, 1)
        self.assertEqual(self.begin(job, "call-3"), [b"OK", 2])
        self.emit_image(job)
        self.finish(job, "done", "known")
        self.assertEqual(self.task().story(), ["start", "process calling", "process retry", "process calling", "process requeued",
                                               "process calling", "process image", "done"])
        data = self.task().log[-1].data
        self.assertEqual((data["attempts"], data["paid_calls"], data["charged"]), (3, 2, "yes"))

    def test_scripts_survive_a_script_flush(self):
        self.submit()
        self.redis("SCRIPT", "FLUSH")
        self.assertEqual(self.submit()[0], b"SAME")


if __name__ == "__main__":
    unittest.main()
