"""What tests of the pages share: one browser for a file of tests, one world for a class of them, a tab for each test."""

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
    """The browser, started by the first who asks; close_browser() ends it."""
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
        self.forgiven = ()              # beginnings of what the browser may complain of in this test

    def open(self, path="/", gateway=None, **look):
        """A tab that is judged and closed when the test ends; it begins in English unless `language` says otherwise."""
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
        """Readable, labelled, in its place."""
        self.assertEqual(page.run(AUDIT), [], page.run("return document.documentElement.dataset.theme"))

    def assert_sound_everywhere(self, page, shot=None, whole=True):
        """On a wide and a narrow screen, light and dark; each look is photographed under the name `shot`."""
        for width, height in ((1440, 900), (390, 844)):
            for theme in ("light", "dark"):
                with self.subTest(f"{width} {theme} {shot}"):
                    page.look(width=width, height=height, dark=theme == "dark")
                    page.wait(f"document.documentElement.dataset.theme === '{theme}'")
                    self.assert_sound(page)
                    if shot:
                        page.screenshot(SHOTS / f"{shot}-{width}-{theme}.png", whole)

    def walk(self, page):
        """From where it is, by the Tab key to the end: the names of what it reached. Each has to show that it has the focus."""
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
        self.assertEqual(faults, [], "focus is not seen")
        return reached


class PlaygroundTest(PageTest):
    """The playground, as somebody uses it."""

    def generate(self, page, directives="", **fields):
        """Fills in what the simulator is to do, and sends; the task's id."""
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
