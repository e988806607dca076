"""The playground in Chromium, with a real gateway, Redis, worker and ARK's simulator."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from driver import ENTER
from page_case import LOADED, STATE, PlaygroundTest, close_browser
from support.processes import binary
from support.receiver import SECRET, Receiver


def tearDownModule():
    close_browser()


class Tasks(PlaygroundTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()
        cls.world.worker()

    def test_a_task_with_the_sample_links(self):
        page = self.open()
        self.assertEqual(len(page.run("return document.querySelector('#urls').value").split()), 2)
        task_id = self.generate(page)
        self.wait_state(page, "done")
        self.assertEqual(self.steps(page), ["sent", "start_at", "calling", "image", "image", "image", "done"])
        page.wait(LOADED)
        self.assertEqual(page.text("#status-text"), "Done: 3 images")
        self.assertEqual(page.text("#announcer"), "Done: 3 images")
        self.assertIn("Yes, for the generated images", page.texts("#facts dd"))
        self.assertIn("1 paid or possibly paid call to ARK", page.texts("#facts dd"))
        self.assertTrue(page.is_shown("#links-live"))
        self.assertFalse(page.is_shown("#controls"))
        result = self.gateway.task(task_id).json()["result"]
        self.assertEqual(page.run("return [...document.querySelectorAll('#pictures a')].map((one) => one.href)"),
                         [image["url"] for image in result["generated_images"]])
        self.assertEqual(page.run("return [...document.querySelectorAll('#pictures img')].map((one) => one.alt)"),
                         [f"Image {n}, 2048x2048 pixels" for n in (1, 2, 3)])
        self.assertEqual(page.text("#timeline [data-kind=calling] .lasted"), f"took {result['timing']['ark_ms']} ms")

    def test_images_are_shown_before_the_task_ends_and_kept_after_cancellation(self):
        page = self.open()
        self.generate(page, "hang_after_image=1")
        page.wait("document.querySelector('#pictures img')?.complete")
        self.assertEqual(page.run(f"return {STATE}"), "calling")
        self.assertEqual(page.text("#status-text"), "ARK is generating: 1 image so far")
        self.assertTrue(page.run("return document.querySelector('#generate').disabled"))
        self.assert_sound(page)
        page.click("#cancel")
        self.wait_step(page, "cancel_asked")
        self.wait_state(page, "done")
        self.assertEqual(page.run("return document.querySelectorAll('#pictures img').length"), 1)
        self.assertFalse(page.run("return document.querySelector('#generate').disabled"))

    def test_a_failed_image_shows_its_error(self):
        page = self.open()
        self.generate(page, "fail=1:OutputImageSensitiveContentDetected")
        self.wait_state(page, "done")
        self.assertEqual(page.text("#status-text"), "Done: 2 of 3 images")
        self.assertIn("may contain sensitive information", page.text("#pictures .lost"))
        self.assertIn("Code OutputImageSensitiveContentDetected", page.text("#pictures .lost"))
        self.assert_sound(page)

    def test_a_request_rejected_by_ark_shows_text_and_code_and_is_not_charged(self):
        page = self.open()
        self.generate(page, "code=InputTextSensitiveContentDetected")
        self.wait_state(page, "failed")
        alert = page.text("#error")
        for words in ("ARK rejected the content", "Retrying the same request will not help.", "Code ark_content_refused"):
            self.assertIn(words, alert)
        self.assertIn("No", page.texts("#facts dd"))
        self.assert_sound(page)
        page.look(width=390, height=844)
        self.assert_sound(page)

    def test_a_call_with_unknown_outcome_is_shown_as_possibly_charged(self):
        page = self.open()
        page.click("#options summary")
        self.generate(page, "cut_after_image=0", max_paid_calls="1")
        self.wait_state(page, "failed")
        self.assertIn("Unknown: a call was interrupted, and ARK may have charged it", page.texts("#facts dd"))

    def test_a_retry_is_a_step_with_its_reason(self):
        page = self.open()
        self.world.ark.script({"status": 429}, {})
        self.generate(page, "images=1")
        self.wait_state(page, "done")
        self.assertEqual(self.steps(page), ["sent", "start_at", "calling", "retrying", "calling", "image", "done"])
        self.assertEqual(page.text("#status-text"), "Done: 1 image")

    def test_generating_again_is_another_task(self):
        page = self.open()
        first = self.generate(page, "images=1")
        self.wait_state(page, "done")
        self.assertIn(first, page.text("#code-text"))
        page.click("#generate")
        page.wait(f"document.querySelector('#task-id').textContent !== '{first}'")
        self.wait_state(page, "done")
        self.assertNotIn(first, page.text("#code-text"))

    def test_options_are_part_of_the_request(self):
        page = self.open()
        page.click("#options summary")
        page.run("document.querySelector('#watermark').value = 'true'")
        task_id = self.generate(page, size="1K", max_images="2", max_paid_calls="1")
        self.wait_state(page, "done")
        sent = json.loads(self.world.find(task_id).request)
        self.assertEqual({name: sent[name] for name in ("size", "max_images", "max_paid_calls", "watermark")},
                         {"size": "1K", "max_images": 2, "max_paid_calls": 1, "watermark": True})

    def choose_model(self, page, id):
        page.wait("document.querySelectorAll('#model option').length > 2")
        page.run("const model = document.querySelector('#model'); model.value = arguments[0]; "
                 "for (const kind of ['input', 'change']) model.dispatchEvent(new Event(kind, { bubbles: true }))", id)

    def shown_fields(self, page):
        """The ids of the visible options."""
        return page.run("return [...document.querySelectorAll('#options .field')].filter((one) => !one.hidden)"
                        ".map((one) => one.querySelector('select, input').id)")

    def test_the_form_has_the_fields_of_the_model(self):
        page = self.open()
        page.click("#options summary")
        for model, fields, hint in (
                ("", ["max_images", "optimize_prompt", "seed"], "USD 0.03 per image."),
                ("doubao-seedream-5-0-260128", ["max_images", "output_format", "web_search"], "USD 0.035 per image."),
                ("doubao-seedream-5-0-pro-260628", ["output_format", "optimize_prompt", "background", "layers"],
                 "USD 0.045 to 0.09 per image, depending on its size. USD 0.003 for each reference after the first 1."),
                ("doubao-seedream-3-0-t2i-250415", ["seed", "guidance_scale"], "The price is not known."),
                ("other", ["max_images", "output_format", "optimize_prompt", "web_search", "background", "layers", "seed", "guidance_scale"], "")):
            with self.subTest(model):
                self.choose_model(page, model)
                shown = [name for name in self.shown_fields(page) if name not in ("model", "size", "watermark", "max_paid_calls")]
                self.assertEqual(set(shown), set(fields))
                self.assertIn(hint, page.text("#model-hint"))
                self.assert_sound(page)
        self.choose_model(page, "doubao-seedream-5-0-pro-260628")
        self.assertEqual(page.text("#size-hint"), "1K, 1.5K, 2K, 2048x2048")
        self.assertEqual(page.run("return document.querySelector('#size').placeholder"), "Default: 2K")
        self.assertEqual(page.run("return document.querySelector('#model').options[0].textContent"), "Default: Seedream 4.0")
        page.run("document.querySelector('#options').scrollIntoView()")
        self.assert_sound_everywhere(page, "playground-model")

    def test_an_unusual_model_of_a_models_file(self):
        """Sizes that only some models take are neither a default nor an example, and a title is only text."""
        price = {"images": [{"pixels_max": 500_000, "micros": 0}, {"pixels_max": 900_000, "micros": 1}, {"micros": 1_000_000_000}]}
        rows = [{"name": "small", "title": "<b>Small</b> & \u202e\u65b0", "sizes": [], "pixels": {"min": 250_000, "max": 1_000_000}, "price": price},
                {"name": "adaptive", "title": "x" * 63, "note": "n" * 255, "sizes": ["adaptive"], "references": 1, "references_min": 1, "group": True}]
        models = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".json"))
        models.write(json.dumps({"models": rows}))
        models.flush()
        page = self.open(gateway=self.world.gateway(MODELS_FILE=models.name, ARK_SIZE="1024x1024"))
        page.click("#options summary")
        for model, sizes, default in (("", "1K, 2K, 4K, 2048x2048", "Default: 1024x1024"), ("doubao-seedream-4-5-251128", "2K, 4K, 2048x2048", "Default"),
                                      ("small", "1000x1000", "Default"), ("adaptive", "adaptive", "Default")):
            with self.subTest(model):
                self.choose_model(page, model)
                self.assertEqual(page.text("#size-hint"), sizes)
                self.assertEqual(page.run("return document.querySelector('#size').placeholder"), default)
                self.assert_sound(page)
        self.choose_model(page, "small")
        self.assertIn("USD 0 to 1000 per image", page.text("#model-hint"))
        self.assert_sound_everywhere(page)

    def test_a_webhook_is_part_of_the_request_if_the_server_has_webhooks(self):
        self.forgiven = ("422",)
        receiver = Receiver()
        self.addCleanup(receiver.close)
        gateway = self.world.gateway(WEBHOOK_SECRET=SECRET, WEBHOOK_PRIVATE="on")
        self.world.worker(WEBHOOK_SECRET=SECRET, WEBHOOK_PRIVATE="on", WORKER_ROLES="outbox", ARK_API_KEY="")
        page = self.open(gateway=gateway)
        page.click("#options summary")
        page.wait("document.querySelector('#webhook').checkVisibility()")
        page.fill("#webhook", "ftp://example.com/")
        page.click("#generate")
        page.wait_text("#webhook-error", "http")
        self.assert_sound_everywhere(page, "playground-webhook")
        page.fill("#webhook", receiver.url)
        task_id = self.generate(page, "images=1")
        self.wait_state(page, "done")
        delivery, = receiver.wait(1)
        self.assertEqual((delivery.json()["event"], delivery.json()["data"]["task_id"]), ("done", task_id))
        self.assertIn(receiver.url, page.text("#code-text"))
        self.assertNotIn("webhook", self.shown_fields(self.open()))

    def test_parameters_of_the_model_are_part_of_the_request(self):
        page = self.open()
        page.click("#options summary")
        page.fill("#urls", "https://example.com/a.jpg")
        page.fill("#max_images", "3")           # of the default model; pro has no such field
        self.choose_model(page, "doubao-seedream-5-0-pro-260628")
        page.run("for (const [id, value] of [['background', 'transparent'], ['optimize_prompt', 'fast'], ['layers', 'false']]) "
                 "document.querySelector(`#${id}`).value = value")
        task_id = self.generate(page)
        self.wait_state(page, "done")
        sent = json.loads(self.world.find(task_id).request)
        self.assertEqual(sent, {"background": "transparent", "layers": False, "model": "doubao-seedream-5-0-pro-260628",
                                "optimize_prompt": "fast", "prompt": "A picture", "urls": ["https://example.com/a.jpg"]})
        self.assertIn('"layers": False', self.listing(page, "python"))

    def listing(self, page, name):
        page.click(f"#tab-{name}")
        return page.run("return document.querySelector('#code-text').textContent")

    def test_another_model_is_sent_by_its_id_and_survives_a_reload(self):
        page = self.open()
        page.click("#options summary")
        self.choose_model(page, "other")
        page.fill("#model_other", "ep-20260101120000-abcde")
        page.fill("#seed", "42")
        page.reload()
        page.wait("document.querySelector('#model').value === 'other'")
        page.click("#options summary")
        task_id = self.generate(page, "images=1")
        self.wait_state(page, "done")
        sent = json.loads(self.world.find(task_id).request)
        self.assertEqual((sent["model"], sent["seed"]), ("ep-20260101120000-abcde", 42))

    def test_a_value_that_the_model_refuses_is_shown_below_its_field(self):
        self.forgiven = ("422",)
        page = self.open()
        page.click("#options summary")
        self.choose_model(page, "doubao-seedream-5-0-pro-260628")
        self.generate(page, size="4K")
        page.wait_text("#size-error", "takes 1K, 1.5K, 2K or <width>x<height>")
        page.fill("#size", "")
        page.run("document.querySelector('#layers').value = 'true'")
        page.click("#generate")
        page.wait_text("#layers-error", "makes layers of exactly 1 reference image, not 2")
        self.assert_sound(page)

    def test_invalid_links_are_shown_below_the_field(self):
        page = self.open()
        page.fill("#urls", "")
        page.click("#generate")
        page.wait_text("#urls-error", "Enter a link or a prompt.")
        page.fill("#urls", "https://example.com/a.jpg\n\nexample.com/b.jpg")
        page.click("#generate")
        page.wait_text("#urls-error", "Line 3 is not a link")
        self.assertEqual(page.run("return document.activeElement.id"), "urls")
        self.assert_sound(page)
        self.forgiven = ("422",)
        page.fill("#urls", "https://example.com/a.jpg\nhttp://127.0.0.1/b.jpg")
        page.click("#generate")
        page.wait_text("#urls-error", "Line 2:")
        self.assertEqual(page.run("return document.querySelector('#urls').getAttribute('aria-invalid')"), "true")
        self.assertIn("Code invalid_fields", page.text("#error"))

    def test_a_prompt_alone_is_enough(self):
        page = self.open()
        page.fill("#urls", "")
        task_id = self.generate(page)
        self.wait_state(page, "done")
        page.wait(LOADED)
        self.assertEqual(json.loads(self.world.find(task_id).request)["urls"], [])

    def test_a_dropped_link_is_added(self):
        page = self.open()
        page.fill("#urls", "https://example.com/a.jpg")
        page.run("""const data = new DataTransfer();
                    data.setData('text/uri-list', '# a comment\\r\\nhttps://example.com/b.jpg\\r\\n');
                    document.querySelector('#urls').dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))""")
        self.assertEqual(page.run("return document.querySelector('#urls').value").split(),
                         ["https://example.com/a.jpg", "https://example.com/b.jpg"])
        self.assertIn("2 links", page.text("#urls-hint"))

    def test_a_second_tab_sees_the_same_task(self):
        page = self.open()
        task_id = self.generate(page, "hang_after_image=2 images=3")
        page.wait("document.querySelectorAll('#pictures img').length === 2")
        href = page.run("return document.querySelector('#watch').href")
        other = self.open(href.removeprefix(self.gateway.url))
        other.wait("document.querySelectorAll('#pictures img').length === 2")
        self.assertEqual(self.steps(other), ["joined", "start_at", "calling", "image", "image"])
        other.click("#cancel")
        self.wait_state(other, "done")
        page.use()
        self.wait_state(page, "done")
        self.assertEqual(page.text("#task-id"), task_id)

    def test_an_unknown_task_is_shown_as_not_found(self):
        self.forgiven = ("404",)
        page = self.open("/#task=never-there")
        page.wait_text("#error", "There is no such task")
        self.assertIn("Code task_not_found", page.text("#error"))

    def test_the_code_runs_unchanged_and_replays_the_same_task(self):
        page = self.open()
        page.fill("#urls", "https://example.com/it's.jpg")
        task_id = self.generate(page, "images=1")
        self.wait_state(page, "done")
        runs = {"curl": lambda code: subprocess.run(["sh", "-c", code], capture_output=True, text=True, check=True).stdout,
                "python": lambda code: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout,
                "javascript": lambda code: page.run_async(
                    f"const said = []; const console = {{ log: (...words) => said.push(words.map(String).join(' ')) }}; {code}; "
                    "return said.join('\\n');")}
        calls = len(self.world.ark.calls())
        for name, execute in runs.items():
            with self.subTest(name):
                page.click(f"#tab-{name}")
                code = page.run("return document.querySelector('#code-text').textContent")
                self.assertIn(task_id, code)
                said = execute(code)
                self.assertRegex(said, r"(?s)start.*process.*done")
        self.assertEqual(len(self.world.ark.calls()), calls, "a replay does not call ARK")
        page.click("#tab-curl")
        page.fill("#prompt", "Another one")
        self.assertNotIn(task_id, page.text("#code-text"))


class WithKeys(PlaygroundTest):
    @classmethod
    def start(cls):
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-")
        cls.addClassCleanup(folder.cleanup)
        path = os.path.join(folder.name, "keys")
        made = subprocess.run([binary("arkrelay-gateway"), "--keys-file", path, "--new-key", "alice"],
                              capture_output=True, text=True, check=True)
        cls.key = made.stdout.strip()
        cls.gateway = cls.world.gateway(GATEWAY_KEYS_FILE=path)
        cls.world.worker()

    def test_the_page_asks_for_a_key_and_keeps_it_in_its_tab_only(self):
        self.forgiven = ("401",)
        page = self.open()
        self.assertFalse(page.is_shown("#key"))
        self.generate(page)
        page.wait_text("#key-error", "This gateway requires an API key.")
        self.assertEqual(page.run("return document.activeElement.id"), "key")
        self.assert_sound(page)
        page.fill("#key", "wrong")
        page.press(ENTER)
        page.wait_text("#key-error", "The gateway does not accept this key.")
        page.fill("#key", self.key)
        page.press(ENTER)
        self.wait_state(page, "done")
        self.assertEqual(page.run("return document.querySelectorAll('#pictures img').length"), 3)
        self.assertIn("Authorization: Bearer $ARKRELAY_KEY", page.text("#code-text"))
        self.assertNotIn(self.key, page.run("return document.documentElement.outerHTML + JSON.stringify(localStorage)"))
        page.reload()
        self.wait_state(page, "done")
        self.assertEqual(page.run("return document.querySelector('#key').value"), self.key)

        other = self.open(f"/#task={page.text('#task-id')}")    # the key is not shared between tabs
        other.wait_text("#key-error", "This gateway requires an API key.")
        self.assertEqual(other.text("#generate"), "Use this key")
        other.fill("#key", self.key)
        other.press(ENTER)
        self.wait_state(other, "done")
        self.assertEqual(self.steps(other)[0], "joined")


class OwnTasks(PlaygroundTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_TASK_LIST="on")
        cls.plain = cls.world.gateway()
        cls.world.worker()

    def listed(self, page):
        return page.texts("#own-tasks-list a")

    def wait_listed(self, page, ids):
        page.wait(f"JSON.stringify([...document.querySelectorAll('#own-tasks-list a')].map((one) => one.textContent)) === {json.dumps(json.dumps(ids, separators=(',', ':')))}")

    def test_the_list_follows_the_tasks_and_opens_them(self):
        self.world.redis("FLUSHALL")
        page = self.open()
        page.wait("!document.querySelector('#own-tasks').hidden")
        self.assertEqual(page.text("#own-tasks-list"), "No tasks")
        first = self.generate(page)
        self.wait_state(page, "done")
        page.fill("#prompt", "Another picture [[sim: code=InputTextSensitiveContentDetected]]")
        page.click("#generate")
        self.wait_state(page, "failed")
        second = page.text("#task-id")
        self.wait_listed(page, [second, first])
        page.wait("document.querySelector('#own-tasks-list .pill').textContent === 'Failed'")
        self.assertEqual(page.texts("#own-tasks-list .pill"), ["Failed", "Done"])
        self.assertIn("ARK rejected the content", page.text("#own-tasks-list li"))
        page.run(f"document.querySelector('#own-tasks-list a[data-task=\"{first}\"]').click()")
        self.wait_state(page, "done")
        page.wait(LOADED)
        self.assertEqual((page.text("#task-id"), page.texts("#own-tasks-list a[aria-current]")), (first, [first]))
        self.assert_sound_everywhere(page, "playground-own-tasks")
        page.run("const one = document.querySelector('#own-tasks-state'); one.value = 'failed'; one.dispatchEvent(new Event('change'))")
        self.wait_listed(page, [second])
        page.reload()
        self.wait_listed(page, [second, first])

    def test_more_tasks_are_shown_on_request_in_chinese_too(self):
        self.world.redis("FLUSHALL")
        for n in range(11):
            self.gateway.submit(f"t{n}")
        page = self.open(language="zh-CN")
        page.wait("document.querySelectorAll('#own-tasks-list li').length === 8")
        self.assertEqual(page.text("#own-tasks-more"), "显示更多")
        page.click("#own-tasks-more")
        page.wait("document.querySelectorAll('#own-tasks-list li').length === 11")
        self.assertFalse(page.is_shown("#own-tasks-more"))
        self.assertEqual(sorted(self.listed(page)), sorted(f"t{n}" for n in range(11)))

    def test_without_a_list_there_is_no_card(self):
        page = self.open(gateway=self.plain)
        page.wait("!document.querySelector('#model-field').hidden")
        self.assertFalse(page.is_shown("#own-tasks"))


if __name__ == "__main__":
    unittest.main()
