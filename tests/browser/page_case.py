"""Base classes for tests of the pages: one browser per test file, one World per test class, one tab per test."""

import pathlib

from driver import TAB, Browser
from support.processes import ProcessTest
from support.world import World

STATE = "document.querySelector('#status').dataset.state"
LOADED = "[...document.querySelectorAll('#pictures img')].every((one) => one.complete && one.naturalWidth > 0)"

HERE = pathlib.Path(__file__).parent
AUDIT = (HERE / "audit.js").read_text()
SHOTS = HERE.parents[1] / "build" / "screenshots"

_browser = []


def browser():
    """Returns the browser and starts it on the first call; close_browser() stops it."""
    if not _browser:
        _browser.append(Browser())
    return _browser[0]


def close_browser():
    while _browser:
        _browser.pop().close()


class PageTest(ProcessTest):
    @classmethod
    def setUpClass(cls):
        browser()
        cls.world = World()
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.start()

    def setUp(self):
        self.forgiven = ()              # substrings of browser complaints that are expected in this test

    def open(self, path="/", gateway=None, **look):
        """Opens a tab, in English unless `language` is given. When the test ends, it must have no complaints, and is closed."""
        page = browser().open((gateway or self.gateway).url + path, **look)
        self.addCleanup(self._close, page)
        page.wait("document.querySelector('h1')")
        return page

    def _close(self, page):
        page.use()
        try:
            complaints = [one for one in page.complaints() if not any(word in one for word in self.forgiven)]
            page.run("localStorage.clear()")
            self.assertEqual(complaints, [])
        finally:
            page.close()
            browser().use_first()

    def assert_sound(self, page):
        """Fails if audit.js finds a fault: structure, accessible names, contrast, layout."""
        self.assertEqual(page.run(AUDIT), [], page.run("return document.documentElement.dataset.theme"))

    def assert_sound_everywhere(self, page, shot=None, whole=True):
        """assert_sound on a wide and a narrow screen, light and dark. With `shot`, saves a screenshot of each."""
        for width, height in ((1440, 900), (390, 844)):
            for theme in ("light", "dark"):
                with self.subTest(f"{width} {theme} {shot}"):
                    page.look(width=width, height=height, dark=theme == "dark")
                    page.wait(f"document.documentElement.dataset.theme === '{theme}'")
                    self.assert_sound(page)
                    if shot:
                        page.screenshot(SHOTS / f"{shot}-{width}-{theme}.png", whole)

    def walk(self, page):
        """Presses Tab until no new element gets the focus and returns the names of the elements. Each must have a visible focus outline."""
        reached, faults = [], []
        while len(reached) < 60:
            page.press(TAB)
            name, is_new, width, style = page.run("""
                const one = document.activeElement;
                const is_new = one !== document.body && !one.dataset.reached;
                one.dataset.reached = 'yes';
                const style = getComputedStyle(one);
                return [one.id || one.dataset.focus || one.textContent.trim(), is_new, parseFloat(style.outlineWidth), style.outlineStyle]""")
            if not is_new:
                break
            reached.append(name)
            if width < 2 or style == "none":
                faults.append(name)
        self.assertEqual(faults, [], "no visible focus outline")
        return reached


class PlaygroundTest(PageTest):
    """Helpers to use the playground."""

    def generate(self, page, directives="", **fields):
        """Sends a request whose prompt has the simulator's directives, and returns the task id."""
        page.fill("#prompt", f"A picture [[sim: {directives}]]" if directives else "A picture")
        for name, value in fields.items():
            page.fill(f"#{name}", value)
        page.click("#generate")
        return page.wait("document.querySelector('#task-id').textContent")

    def wait_state(self, page, state):
        page.wait(f"{STATE} === '{state}'")

    def steps(self, page):
        return page.run("return [...document.querySelectorAll('#timeline li')].map((one) => one.dataset.kind)")

    def wait_step(self, page, kind):
        page.wait(f"document.querySelector('#timeline [data-kind=\"{kind}\"]')", f"the step {kind}")
