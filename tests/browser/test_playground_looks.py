"""The playground's layout, themes, languages and keyboard use. Saves screenshots to build/screenshots."""

import re
import unittest

from driver import ARROW_RIGHT, ENTER, TAB
from page_case import LOADED, PlaygroundTest, close_browser


def tearDownModule():
    close_browser()


class Looks(PlaygroundTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()
        cls.world.worker()

    def test_the_audit_passes_in_every_width_theme_and_language(self):
        for language in ("en", "zh-CN"):
            page = self.open(language=language)
            self.assertEqual(page.run("return document.documentElement.lang"), language)
            page.run("document.querySelector('#options').open = true")
            self.assert_sound_everywhere(page)
            self.generate(page, "fail=1:OutputImageSensitiveContentDetected")
            self.wait_state(page, "done")
            page.wait(LOADED)
            self.assert_sound_everywhere(page, f"playground-{language}")

    def test_language_and_theme_can_be_switched_and_are_remembered(self):
        page = self.open(language="zh-CN")
        self.assertEqual((page.text("h1"), page.run("return document.title")), ("在线试用", "arkrelay 试用页"))
        page.click("[data-language-switch]")
        self.assertEqual((page.text("h1"), page.run("return document.documentElement.lang")), ("Playground", "en"))
        page.click("[data-theme-switch]")
        page.reload()
        page.wait("document.querySelector('h1').textContent === 'Playground'")
        self.assertEqual(page.run("return document.documentElement.dataset.theme"), "dark")
        self.assertEqual(page.run("return document.querySelector('[data-theme-switch]').getAttribute('aria-pressed')"), "true")

    def test_a_chinese_page_has_no_english_words(self):
        page = self.open(language="zh-CN")
        self.generate(page)
        self.wait_state(page, "done")
        page.run("document.querySelector('#options').open = true")
        shown = page.run("return document.body.innerText.replace(document.querySelector('.code').innerText, '')")
        known = {"arkrelay", "ARK", "English", "token", "play", "ms", "s", "x", "https", "http", "or",
                 "Seedream", "SeedEdit", "lite", "pro", "flash", "USD"}
        words = set(re.findall(r"[A-Za-z]{3,}", shown.replace(page.text("#task-id"), "")))
        self.assertLessEqual(words, known)

    def test_every_control_can_be_focused_with_the_keyboard(self):
        page = self.open(reduced_motion=True)
        reached = self.walk(page)
        self.assertEqual(reached[0], "skip")
        for name in ("urls", "prompt", "generate", "sample", "Dashboard", "copy-code", "tab-curl", "code-panel"):
            self.assertIn(name, reached)
        self.assertLess(len(reached), 60, "focus must leave the page at the end")

    def test_a_disabled_button_is_readable_under_the_pointer(self):
        for theme in ("light", "dark"):
            with self.subTest(theme):
                page = self.open(dark=theme == "dark")
                self.generate(page, "hang_after_image=1")              # the pointer stays on the button
                page.wait("document.querySelector('#generate').matches(':disabled:hover')")
                colours = "Object.values(['color', 'backgroundColor', 'borderColor'].map((one) => getComputedStyle(document.querySelector('#generate'))[one]))"
                hovered = page.run(f"return {colours}")
                page.hold("#prompt")
                page.release()
                self.assertFalse(page.run("return document.querySelector('#generate').matches(':hover')"))
                self.assertEqual(hovered, page.run(f"return {colours}"))
                page.click("#cancel")
                self.wait_state(page, "done")              # with the image that came

    def test_the_skip_link_and_the_arrow_keys_of_the_tabs(self):
        page = self.open()
        page.press(TAB, ENTER)
        self.assertEqual(page.run("return document.activeElement.id"), "main")
        page.run("document.querySelector('#tab-curl').focus()")
        page.press(ARROW_RIGHT, ARROW_RIGHT)
        self.assertEqual(page.run("return document.activeElement.id"), "tab-python")
        self.assertIn("urllib", page.text("#code-text"))


if __name__ == "__main__":
    unittest.main()
