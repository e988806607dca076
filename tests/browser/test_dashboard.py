"""The dashboard in Chromium, with a real gateway, Redis, workers and ARK's simulator. Saves screenshots to build/screenshots."""

import json
import re
import time
import unittest

from driver import ENTER, ESCAPE
from page_case import PageTest, close_browser
from support.exposition import parse
from support.receiver import SECRET, Receiver
from support.redis_server import free_port
from support.world import sim

KEY = "the-operators-key-of-this-test"
LIVE = "document.querySelector('#pulse').dataset.state === 'live'"


def tearDownModule():
    close_browser()


class DashboardTest(PageTest):
    def dashboard(self, **look):
        page = self.open(f"/dashboard#key={KEY}", **look)
        page.wait(LIVE)
        return page

    def tile(self, page, name):
        return page.text(f"[data-tile={name}] .value")

    def wait_tile(self, page, name, value):
        page.wait(f"document.querySelector('[data-tile={name}] .value').textContent === '{value}'")

    def rows(self, page):
        return page.run("return [...document.querySelectorAll('[data-task]')].map((one) => one.dataset.task.slice('public.'.length))")

    def wait_rows(self, page, *ids):
        page.wait(f"JSON.stringify([...document.querySelectorAll('[data-task]')].map((one) => one.dataset.task)) === "
                  f"'{json.dumps([f'public.{id}' for id in ids], separators=(',', ':'))}'", f"the rows are {ids}")

    def click_action(self, page, task_id, name):
        page.click(f"[data-focus='{name} public.{task_id}']")

    def confirm(self, page):
        page.wait("document.querySelector('#ask').open")
        page.click("#ask-yes")
        page.wait("!document.querySelector('#ask').open")


class Costs(DashboardTest):
    """Spending limits, costs per day, costs per client."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_SPEND_DAY="0.1")
        cls.uncounted = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)

    def test_1_without_counting_there_is_no_card(self):
        page = self.open(f"/dashboard#key={KEY}", self.uncounted)
        page.wait(LIVE)
        self.assertFalse(page.is_shown("#costs"))

    def test_2_sums_limits_and_clients(self):
        today = time.strftime("%Y%m%d", time.gmtime())
        self.world.redis("HSET", f"arkrelay:{{money}}:usage:{today}", "shop\tm\tUSD", "2 3 2 60000 0", "other\tn\t-", "1 1 1 0 0",
                         "other\tm\tCNY", "4 4 4 1500000 0")
        self.world.redis("HSET", "arkrelay:{money}:ledger", "", f"USD {today} 60000 30000 60000 30000")
        page = self.dashboard()
        page.wait("document.querySelector('#costs').checkVisibility()")
        self.assertEqual(page.text("[data-fact=costs_day] dd"), "spent 0.06 USD · reserved 0.03 USD · limit 0.1 USD")
        self.assertEqual(page.run("return document.querySelector('[data-fact=costs_day] dd').dataset.tone"), "warn")
        self.assertEqual(page.text("[data-fact=costs_month] dd"), "spent 0.06 USD · reserved 0.03 USD")
        self.assertEqual(page.run("return document.querySelectorAll('#costs rect').length"), 30)
        self.assertEqual(page.run("return [...document.querySelectorAll('[data-client]')].map((one) => one.dataset.client)"), ["shop", "other"])
        self.assertIn("0.06 USD", page.text("[data-client=shop]"))
        self.assertIn("tasks without a price: 1", page.text("[data-client=other]"))
        self.assertIn("1.5 CNY", page.text("[data-client=other]"))
        page.look(width=390, height=844)
        shown = "[...document.querySelectorAll('[data-client=shop] td')].slice(1).map((one) => getComputedStyle(one, '::before').content)"
        page.wait(f"matchMedia('(max-width: 760px)').matches && {shown}.join() === '\"Tasks \",\"Images \",\"Cost \"'", "the numbers have names on a phone")
        self.assert_sound(page)
        page.click("[data-language-switch]")
        page.wait_text("#costs-title", "费用")
        self.assert_sound(page)


class Access(DashboardTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        cls.closed = cls.world.gateway()

    def test_the_page_asks_for_the_key_and_keeps_it_in_its_tab_only(self):
        self.forgiven = ("401",)
        page = self.open("/dashboard")
        page.wait("document.querySelector('#door').checkVisibility()")
        self.assertFalse(page.is_shown("#board"))
        self.assertEqual(page.run("return document.activeElement.id"), "key")
        self.assert_sound(page)
        page.press(ENTER)
        page.wait_text("#key-error", "Enter the key.")
        for wrong in ("the-key-of-another-server", "ein schlüssel", "密钥"):
            with self.subTest(wrong):
                page.fill("#key", wrong)
                page.press(ENTER)
                page.wait_text("#key-error", "The gateway does not accept this key.")
        self.assert_sound(page)
        page.fill("#key", KEY)
        page.press(ENTER)
        page.wait(LIVE)
        self.assertFalse(page.is_shown("#door"))
        self.assertNotIn(KEY, page.run("return document.documentElement.outerHTML + JSON.stringify(localStorage) + location.href"))
        page.reload()
        page.wait(LIVE)
        page.click("#forget")
        page.wait("document.querySelector('#door').checkVisibility()")
        self.assertNotIn(KEY, page.run("return JSON.stringify(sessionStorage)"))

    def test_a_key_in_the_url_is_stored_and_removed_from_the_url(self):
        page = self.dashboard()
        self.assertEqual(page.run("return [location.hash, history.length > 0]"), ["", True])
        page.run("sessionStorage.clear()")
        self.forgiven = ("401",)
        page.reload()
        page.wait("document.querySelector('#door').checkVisibility()")
        page.run(f"location.hash = 'key={KEY}'")
        page.wait(LIVE)
        self.assertEqual(page.run("return location.hash"), "")

    def test_without_an_admin_key_the_page_explains_how_to_set_one_and_shows_the_public_numbers(self):
        self.forgiven = ("404",)
        page = self.open("/dashboard", self.closed)
        page.wait("document.querySelector('#open-tiles .tile')")
        self.assertIn("GATEWAY_ADMIN_KEY=", page.text("#closed"))
        self.assertEqual(self.tile(page, "waiting"), "0")
        self.assertFalse(page.is_shown("#board"))
        self.assertFalse(page.is_shown("#orders"))
        self.assert_sound(page)
        page.look(width=390, height=844, dark=True)
        self.assert_sound(page)


class Numbers(DashboardTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, PRESENCE_INTERVAL="100ms")
        cls.worker = cls.world.worker(WORKER_CONCURRENCY=2, WORKER_NAME="painter", PRESENCE_INTERVAL="100ms", ARK_IMAGES_PER_MINUTE=600)

    def test_numbers_change_under_load(self):
        page = self.dashboard()
        for n in range(2):
            self.gateway.submit(f"held{n}", prompt=sim(f"held{n}", "hang=0"))
        self.wait_tile(page, "running", "2")
        for n in range(3):
            self.gateway.submit(f"waits{n}", prompt=sim(f"waits{n}", "images=2"))
        self.gateway.submit("lost", prompt=sim("lost", "cut_after_image=0"), max_paid_calls=1)
        self.wait_tile(page, "waiting", "4")
        page.wait_text("[data-process=painter]", "2 of 2 busy")
        page.wait("document.querySelector('#chart-queue .line.accent').getAttribute('d').includes('L')")
        for n in range(2):
            self.gateway.cancel(f"held{n}")
        self.world.wait_all_final()
        self.wait_tile(page, "waiting", "0")
        self.wait_tile(page, "oldest", "–")
        page.wait_text("[data-tile=done] .sub", "3 in total")
        page.wait_text("[data-tile=failed] .sub", "1 kept")
        page.wait_text("[data-tile=paid] .sub", "3 unknown")     # "lost", and the two cancelled while running
        page.wait("Number(document.querySelector('[data-tile=done] .value').textContent) > 0")
        page.wait("document.querySelector('#chart-ended .bar.good').getAttribute('d')")
        page.wait_text("#chart-latency .legend", "< 1 s")
        self.assertIn("Account limit 600", page.text("#chart-images .legend"))
        self.assertEqual(page.text("[data-fact=pictures_limit] dd"), "600")
        self.assertEqual(page.text("[data-fact=redis_role] dd"), "master")
        self.assertIn("Waiting 0", page.run("return document.querySelector('#chart-queue svg').getAttribute('aria-label')"))
        self.assert_sound(page)

    def test_the_page_uses_the_buckets_of_the_workers_histogram(self):
        page = self.open(f"/dashboard#key={KEY}")
        bounds = page.run_async("return (await import('/pages/dashboard/history.js')).ARK_BOUNDS")
        samples = parse(self.worker.get("/metrics").body)["arkrelay_ark_seconds"].samples
        buckets = [dict(labels)["le"] for name, labels in samples if name.endswith("_bucket")]
        self.assertEqual([*bounds, float("inf")], [float(bucket) for bucket in buckets])

    def test_one_request_per_second_and_none_while_the_tab_is_hidden(self):
        page = self.dashboard()
        page.wait("performance.getEntriesByName(new URL('/admin/overview', location)).length >= 3")
        gaps = page.run("""const at = performance.getEntriesByName(new URL('/admin/overview', location)).map((one) => one.startTime);
                           return at.slice(1).map((one, i) => one - at[i])""")
        self.assertGreaterEqual(min(gaps), 990)
        page.run("""Object.defineProperty(document, 'hidden', { value: true, configurable: true });
                    performance.clearResourceTimings(); window.beats = 0; setInterval(() => window.beats++, 250)""")
        page.wait("window.beats >= 10")
        self.assertLessEqual(page.run("return performance.getEntriesByName(new URL('/admin/overview', location)).length"), 1)
        page.run("delete document.hidden; performance.clearResourceTimings(); document.dispatchEvent(new Event('visibilitychange'))")
        page.wait("performance.getEntriesByName(new URL('/admin/overview', location)).length >= 1")

    def test_different_versions_are_marked(self):
        page = self.dashboard()
        self.world.redis("HSET", "arkrelay:{processes}:process:old:1", "role", "worker", "version", "0.0.9", "started_at", "1000")
        self.world.redis("ZADD", "arkrelay:{processes}:seen", "99999999999999", "old:1")
        page.wait_text("#notices", "Processes of different versions are running: 0.0.9, ")
        self.assertEqual(page.text("[data-process='old:1'] .pill.warn"), "0.0.9")
        self.assert_sound(page)
        self.world.redis("DEL", "arkrelay:{processes}:process:old:1")
        page.wait("!document.querySelector('[data-process=\"old:1\"]')")
        page.wait("!document.querySelector('#notices').textContent.includes('different versions')")


class Account(DashboardTest):
    """Without a worker: the governor's state in Redis is what the test writes."""

    governor = "arkrelay:{account}:governor"
    model = "doubao-seedream-4-0-250828"

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)

    def setUp(self):
        super().setUp()
        self.world.redis("FLUSHALL")

    def close_all(self):
        now = int(self.world.redis("TIME")[0]) * 1000
        self.world.redis("HSET", self.governor, "calls", 12, "tokens", 480, "default_model", self.model, "state", "open", "code", "ark_unreachable",
                         "why", "ARK could not be reached: <b>Connection</b> refused", "since", now - 300_000, "probe_at", now + 600_000,
                         f"{self.model} limit", "37.25", f"{self.model} rate", 320, "an-other-model-with-a-long-name." + 90 * "x" + " state", "half_open",
                         "an-other-model-with-a-long-name." + 90 * "x" + " code", "ark_quota_exceeded", "third paused_until", now + 600_000)

    def test_an_account_without_restrictions(self):
        page = self.dashboard()
        page.wait_text("[data-fact=breaker] dd", "closed")
        self.assertIn("no model is restricted", page.text("#models"))
        self.assertNotRegex(page.text("#notices"), "circuit|pause")

    def test_open_circuit_breakers_and_their_reasons(self):
        page = self.dashboard()
        self.close_all()
        page.wait_text("#notices", "The circuit breaker of the ARK account is open, all tasks wait: ARK cannot be reached (for 5 min)."
                                   " Last error: ARK could not be reached: <b>Connection</b> refused")
        self.assertIn("the ARK quota is used up", page.text("#notices"))
        self.assertIn("ARK rate limited third: paused for 10 min more.", page.text("#notices"))
        page.wait_text("[data-fact=breaker] dd", "open for 5 min, next probe in 10 min")
        self.assertEqual(page.text("[data-fact=tokens_left] dd"), "480")
        self.assertEqual(page.text(f"[data-model='{self.model}']"), f"{self.model} 37 calls at a time · 320 images per minute")
        self.assertIn("half open: one task at a time", page.text("#models"))
        self.world.redis("HSET", self.governor, "state", "probing")
        page.wait_text("[data-fact=breaker] dd", "open for 5 min, probing")
        self.world.redis("DEL", self.governor)
        page.wait("!/circuit|pause/.test(document.querySelector('#notices').textContent)")
        page.wait_text("[data-fact=breaker] dd", "closed")

    def test_the_audit_passes_with_open_circuit_breakers(self):
        self.close_all()
        for language in ("en", "zh-CN"):
            page = self.dashboard(language=language)
            page.wait("document.querySelector('#notices .bad') && document.querySelector('[data-model=third]')")
            self.assert_sound_everywhere(page, f"dashboard-closed-{language}")


class Actions(DashboardTest):
    """Without a worker: tasks stay in the queue."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)

    def setUp(self):
        super().setUp()
        self.world.redis("FLUSHALL")
        self.page = self.dashboard()

    def test_a_list_of_each_state_with_search_and_pages(self):
        page = self.page
        page.wait_text("#list", "No task is waiting or running.")
        for n in range(17):
            self.gateway.submit(f"apple{n:02}")
        self.gateway.submit("pear.1")
        page.wait("document.querySelectorAll('[data-task]').length === 15")
        self.assertEqual(self.rows(page)[0], "apple00")
        self.assertTrue(page.run("return document.querySelector('#page-back').disabled"))
        page.click("#page-next")
        self.wait_rows(page, "apple15", "apple16", "pear.1")
        self.assertTrue(page.run("return document.querySelector('#page-next').disabled"))
        page.click("#page-back")
        page.wait("document.querySelectorAll('[data-task]').length === 15")
        page.fill("#search", "pear")
        self.wait_rows(page, "pear.1")
        page.fill("#search", "plum")
        page.wait_text("#list", "No task id contains “plum”.")
        page.fill("#search", "e.1")
        page.wait_text("#list", "“e.1”")
        page.fill("#search", "r.1")
        self.wait_rows(page, "pear.1")
        page.wait("document.querySelector('#state-queued .n').textContent === '18'")
        page.click("#state-done")
        page.wait_text("#list", "No task id contains")
        page.fill("#search", "")
        page.wait_text("#list", "No completed task")
        self.assert_sound(page)

    def test_a_waiting_task_is_cancelled_retried_and_erased(self):
        page = self.page
        self.gateway.submit("t1", prompt="<b>not bold</b>")
        self.wait_rows(page, "t1")
        self.click_action(page, "t1", "cancel")
        page.wait("document.querySelector('#ask').open")
        self.assertIn("cancelled immediately", page.text("#ask-text"))
        self.assertEqual(page.run("return document.activeElement.id"), "ask-no")
        self.assert_sound(page)
        page.press(ESCAPE)
        page.wait("!document.querySelector('#ask').open")
        self.assertEqual(self.world.find("t1").state, "queued")
        self.click_action(page, "t1", "cancel")
        self.confirm(page)
        self.wait_rows(page)
        self.assertEqual(self.world.find("t1").state, "cancelled")
        page.wait_text("#notices", "t1: cancellation requested")
        page.click("#state-cancelled")
        self.wait_rows(page, "t1")
        self.click_action(page, "t1", "retry")
        self.wait_rows(page)
        self.assertEqual(self.world.find("t1").state, "queued")
        page.click("#state-queued")
        self.wait_rows(page, "t1")
        self.click_action(page, "t1", "cancel")
        self.confirm(page)
        page.click("#state-ended")
        self.wait_rows(page, "t1")
        self.click_action(page, "t1", "open")
        page.wait("document.querySelector('#story [data-order=erase]')")
        self.assertIn("<b>not bold</b>", page.text("#story-body"))
        page.click("#story [data-order=erase]")
        self.confirm(page)
        page.wait("!document.querySelector('#story').open")
        self.assertIsNone(self.world.find("t1"))

    def test_a_pressed_row_is_not_replaced_until_the_mouse_button_is_released(self):
        page = self.page
        self.gateway.submit("t1")
        self.wait_rows(page, "t1")
        page.hold("[data-focus='open public.t1']")
        self.gateway.submit("t2")
        self.wait_tile(page, "waiting", "2")
        asked = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/admin/tasks?')).length"
        page.wait(f"{asked} >= {page.run(f'return {asked}') + 2}", "the list is reloaded")
        self.assertEqual(self.rows(page), ["t1"])
        page.release()
        page.wait("document.querySelector('#story').open")
        self.wait_rows(page, "t1", "t2")

    def test_the_queue_is_paused_and_resumed(self):
        page = self.page
        page.click("#pause")
        page.wait("document.querySelector('#ask').open")
        self.assertIn("New requests are refused (503)", page.text("#ask-text"))
        page.click("#ask-no")
        page.click("#pause")
        self.confirm(page)
        page.wait_text("#notices", "The queue is paused: new tasks are refused")
        self.assertEqual(self.gateway.submit("t1").status, 503)
        page.wait("document.querySelector('#pause').textContent === 'Resume the queue'")
        self.assert_sound(page)
        page.click("#pause")
        self.confirm(page)
        page.wait("document.querySelector('#pause').textContent === 'Pause the queue'")
        self.assertEqual(self.gateway.submit("t1").status, 202)


class Unavailable(DashboardTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)

    def test_an_unavailable_redis_is_shown_and_polling_continues(self):
        self.forgiven = ("503",)
        page = self.dashboard()
        self.gateway.submit("t1")
        self.wait_tile(page, "waiting", "1")
        self.world.redis_server.stop()
        page.wait_text("#notices", "The gateway cannot reach Redis.")
        self.assertEqual(page.run("return document.querySelector('#pulse').dataset.state"), "trouble")
        self.assertEqual(self.tile(page, "waiting"), "1")
        self.assert_sound(page)
        self.world.redis_server.start()
        page.wait(LIVE)
        page.wait("!document.querySelector('#notices').textContent.includes('cannot reach Redis')")

    def test_an_unavailable_gateway_is_shown_and_polling_continues(self):
        self.forgiven = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
        gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        page = self.open(f"/dashboard#key={KEY}", gateway)
        page.wait(LIVE)
        gateway.stop()
        page.wait_text("#notices", "The gateway does not answer.")
        self.assert_sound(page)
        self.world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_LISTEN=gateway.address)
        page.wait(LIVE)
        page.wait("!document.querySelector('#notices').textContent.includes('gateway does not')")


class Stories(DashboardTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY)
        cls.world.worker()

    def open_story(self, page, state, task_id):
        page.click(f"#state-{state}")
        page.wait(f"document.querySelector('[data-task=\"public.{task_id}\"]')")
        self.click_action(page, task_id, "open")
        page.wait("document.querySelector('#story .timeline')")

    def steps(self, page):
        return page.run("return [...document.querySelectorAll('#story .timeline li')].map((one) => one.dataset.kind)")

    def test_the_details_of_a_task_with_two_attempts(self):
        self.world.ark.script({"status": 429}, {})
        self.gateway.submit("twice", prompt=sim("twice", "images=2 fail=1:OutputImageSensitiveContentDetected"), size="2K")
        self.world.wait_state("twice", "done")
        page = self.dashboard()
        self.open_story(page, "done", "twice")
        self.assertEqual(self.steps(page), ["start_at", "calling", "retrying", "calling", "image", "image_failed", "done"])
        page.wait("[...document.querySelectorAll('#story img')].every((one) => one.complete && one.naturalWidth > 0)")
        fact = lambda name: page.text(f"#story [data-fact={name}] dd")
        self.assertEqual((fact("attempts")[:4], fact("paid_calls")[:4], fact("client")), ("1 of", "1 of", "public"))
        self.assertIn("Yes", fact("charged"))
        self.assertIn("may contain sensitive information", page.text("#story .lost"))
        self.assertIn("https://example.com/1.jpg", page.text("#story .urls"))
        whens = page.run("return [...document.querySelectorAll('#story .timeline .when')].map((one) => one.textContent)")
        self.assertEqual([bool(when) for when in whens], [True, True, False, True, False, False, True])
        self.assert_sound(page)
        page.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        page.click("#copy-story")
        copied = json.loads(page.wait("window.copied"))
        self.assertEqual((copied["task_id"], copied["request"]["size"], copied["log"][0]["event"]), ("twice", "2K", "start"))
        page.press(ESCAPE)
        page.wait("!document.querySelector('#story').open")
        self.assertEqual(page.run("return document.activeElement.dataset.focus"), "open public.twice")

    def test_a_running_task_is_followed_and_cancelled(self):
        self.gateway.submit("lives", prompt=sim("lives", "hang_after_image=1"))
        page = self.dashboard()
        self.open_story(page, "running", "lives")
        page.wait("document.querySelector('#story .timeline [data-kind=image]')")
        self.assert_sound(page)
        page.click("#story [data-order=cancel]")
        page.wait("document.querySelector('#ask').open")
        self.assertIn("images that ARK has delivered are kept", page.text("#ask-text"))
        self.confirm(page)
        page.wait("document.querySelector('#story .timeline [data-kind=done]')")
        self.assertEqual(page.text("#story .pill"), "Done")

    def test_failed_tasks_are_retried_one_by_one_or_all_at_once(self):
        for n in range(3):
            self.gateway.submit(f"refused{n}", prompt=sim(f"refused{n}", "code=InputTextSensitiveContentDetected"))
            self.world.wait_state(f"refused{n}", "failed")
        page = self.dashboard()
        self.open_story(page, "failed", "refused0")
        self.assertIn("ARK rejected the content", page.text("#story .notice.bad"))
        self.assertEqual(page.text("#story [data-fact=charged] dd"), "No")
        self.assert_sound(page)
        calls = len(self.world.ark.calls())
        page.click("#story [data-order=retry]")
        self.world.ark.wait_calls(calls + 1)
        page.press(ESCAPE)
        page.wait("document.querySelectorAll('[data-task]').length === 3")
        self.assertEqual(page.text("#retry-all"), "Retry all 3")
        page.click("#retry-all")
        page.wait("document.querySelector('#ask').open")
        self.assertEqual(page.text("#ask-title"), "Retry 3 tasks?")
        self.confirm(page)
        page.wait("[...document.querySelectorAll('#notices p')].some((one) => one.textContent === '3 of 3 were queued again.')")
        self.world.ark.wait_calls(calls + 4)


class Modules(PageTest):
    """Unit tests of history.js and chart.js."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()

    def evaluate(self, script, *arguments):
        page = self.open("/", self.gateway)
        return page.run_async("""const { History, Sums, quantile } = await import('/pages/dashboard/history.js');
                                 const { ceiling } = await import('/pages/dashboard/chart.js');""" + script, *arguments)

    def test_quantiles_are_interpolated_within_a_bucket(self):
        none, more = [0] * 15, [0] * 3
        cases = [("no call", none, 0.5, None),
                 ("all in the first second", [10] * 15, 0.5, 500),
                 ("the middle of a bucket", [0, 0, *[10] * 13], 0.5, 3500),
                 ("beyond the last bound", [*[0] * 14, 4], 0.95, 600_000),
                 ("the slow ones", [*more, *[90] * 2, *[100] * 10], 0.95, 17_500)]
        for name, counts, share, want in cases:
            with self.subTest(name):
                self.assertEqual(self.evaluate("return quantile(...arguments)", counts, share), want)

    def test_worker_counters_are_added_up_over_restarts(self):
        said = self.evaluate("""
            const at = (s) => new Date(s * 1000).toISOString();
            const worker = (name, startedAt, images) => ({ role: 'worker', name, started_at: at(startedAt), images });
            const sums = new Sums();
            return [[worker('a', 1, 100)], [worker('a', 1, 103)], [worker('a', 50, 2)], [], [worker('a', 50, 3), worker('old', 2, 70)],
                    [worker('old', 2, 75), { role: 'gateway', name: 'g' }]]
              .map((processes, i) => sums.add(processes, 10_000 + i).images);""")
        self.assertEqual(said, [0, 3, 5, 5, 6, 11])

    def test_rates_and_bars_are_computed_from_counters(self):
        said = self.evaluate("""
            const sample = (s, done, more = {}) => ({ at: 1_000_000 + s * 1000, depth: s, done, failed: 0, images: done, ark: new Array(15).fill(0), ...more });
            const fill = (history, from, to) => { for (let s = from; s <= to; s++) history.add(sample(s, s)); return history; };
            const history = fill(new History(), 0, 2);
            const early = history.rate('done');
            fill(history, 3, 10);
            const known = history.rate('images');
            fill(history, 11, 100);
            const full = { rate: history.rate('done'), span: history.span, bars: history.growth(['done']).map(({ values }) => values[0]) };
            fill(history, 200, 260);
            const gap = history.points((one) => [one ? one.depth : null]).filter(({ values }) => values[0] === null).length;
            const lines = history.points(() => [1]).length;
            history.add(sample(261, 0));
            return [early, known, full, gap > 20, lines <= 182, history.rate('done'), history.span];""")
        early, known, full, gap, few, fresh, span = said
        self.assertEqual((early, known, gap, few, fresh, span), (None, None, True, True, None, 180_000))
        self.assertEqual((full["rate"], full["span"]), (60, 180_000))
        self.assertEqual((full["bars"][0], full["bars"][-2], len(full["bars"])), (None, 60, 36))

    def test_scales_end_at_round_even_numbers(self):
        values = [0, 1, 3, 10, 11, 25, 101, 999, 1001]
        self.assertEqual(self.evaluate("return arguments[0].map(ceiling)", values), [2, 2, 4, 10, 20, 30, 200, 1000, 2000])


class Looks(DashboardTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, PRESENCE_INTERVAL="200ms")
        cls.world.worker(PRESENCE_INTERVAL="200ms")
        for n in range(4):
            cls.gateway.submit(f"done{n}", prompt=sim(f"done{n}", "images=1"))
            cls.gateway.submit(f"a-rather-long-name-of-a-task-that-failed-for-a-reason:{n}", prompt=sim("x", "code=InputTextSensitiveContentDetected"))
        cls.world.wait_all_final()
        cls.gateway.submit("held", prompt=sim("held", "hang=0"))
        cls.addClassCleanup(lambda: cls.gateway.cancel("held"))

    def test_the_audit_passes_in_every_width_theme_and_language(self):
        for language in ("en", "zh-CN"):
            page = self.dashboard(language=language)
            page.wait("document.querySelector('[data-task=\"public.held\"]')")
            self.assert_sound_everywhere(page, f"dashboard-{language}")
            page.click("#state-failed")
            page.wait("document.querySelectorAll('[data-task]').length === 4")
            self.assert_sound_everywhere(page)
            page.click("[data-focus^=open]")
            page.wait("document.querySelector('#story .timeline')")
            self.assert_sound_everywhere(page, f"dashboard-story-{language}", whole=False)

    def test_a_chinese_page_has_no_english_words(self):
        page = self.dashboard(language="zh-CN")
        page.wait("document.querySelector('[data-task=\"public.held\"]')")
        self.assertEqual((page.text("h1"), page.run("return document.title")), ("运行面板", "arkrelay 面板"))
        shown = page.run("""document.querySelectorAll('#processes .under, [data-task] button, [data-task] .under, .cell-more').forEach((one) => one.remove());
                            return document.body.innerText""")
        known = {"arkrelay", "ARK", "English", "Redis", "AOF", "min", "metrics"}
        self.assertLessEqual(set(re.findall(r"[A-Za-z]{3,}", shown)), known)
        page.click("[data-language-switch]")
        self.assertEqual(page.text("h1"), "Dashboard")
        self.assertIn("Waiting", page.text("#chart-queue .legend"))
        page.wait_text("[data-task='public.held'] .pill", "Running")

    def test_every_control_can_be_focused_with_the_keyboard(self):
        page = self.dashboard(reduced_motion=True)
        page.wait("document.querySelector('[data-task=\"public.held\"]')")
        page.run("document.body.focus()")
        reached = self.walk(page)
        self.assertEqual(reached[0], "skip")
        for name in ("pause", "forget", "search", "state-live", "state-failed", "open public.held", "cancel public.held", "Playground"):
            self.assertIn(name, reached)
        self.assertLess(len(reached), 60, "focus must leave the page at the end")


class Webhooks(DashboardTest):
    @classmethod
    def start(cls):
        options = {"WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on"}
        cls.gateway, cls.worker = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, **options), cls.world.worker(**options)

    def test_receivers_and_failed_deliveries_are_shown_and_sent_again(self):
        receiver = Receiver(410, 200)
        self.addCleanup(receiver.close)
        with self.gateway.generate("hooked", prompt=sim("hooked"), webhook=receiver.url) as stream:
            stream.to_end()
        receiver.wait(1)
        page = self.dashboard()
        page.wait("document.querySelector('#webhooks [data-fact=webhooks_failed] dd')?.textContent === '1'")
        self.assertIn("gone", page.text("#webhooks"))
        self.assert_sound(page)
        page.click("[data-focus='webhook public.hooked']")
        page.wait("document.querySelector('#attempts')?.textContent.includes('gone')")
        page.click("#story-close")
        page.click("#resend-failed")
        self.confirm(page)
        receiver.wait(2)
        page.wait("document.querySelector('#webhooks-card').hidden")

    def test_words_of_the_tables_are_not_broken(self):
        address = f"127.0.0.1:{free_port()}"            # nothing listens there
        with self.gateway.generate("unreached", prompt=sim("unreached"), webhook=f"http://{address}/hook") as stream:
            stream.to_end()
        page = self.dashboard()
        page.wait("document.querySelector('#webhooks .pill.bad')")
        self.assertTrue(page.run("""const one = document.body.appendChild(document.createElement('i'));
                                    one.style.color = 'var(--bad)';
                                    const [bad, pill] = [one, document.querySelector('.pill.bad')].map((each) => getComputedStyle(each).color);
                                    one.remove();
                                    return bad === pill"""))
        lines = """[...document.querySelectorAll('#webhooks tbody tr:first-child td')].slice(0, 2).map((one) => {
            const range = document.createRange();
            range.selectNodeContents(document.createTreeWalker(one, NodeFilter.SHOW_TEXT).nextNode());
            return [one.textContent, range.getClientRects().length];        // one box for each line
        })"""
        for width in (1280, 390):
            with self.subTest(width=width):
                page.look(width=width, height=844)
                page.wait(f"innerWidth === {width}")
                self.assertEqual(page.run(f"return {lines}"), [["public", 1], [address, 1]])
                label = page.run("return getComputedStyle(document.querySelector('#webhooks td:nth-child(3)'), '::before').content")
                self.assertEqual(label, '"Waiting deliveries "')
                self.assert_sound(page)


if __name__ == "__main__":
    unittest.main()
