"""Chromium, driven over the WebDriver protocol by what Python has on board.

    with Browser() as browser:
        page = browser.open(f"{gateway.url}/", width=390, dark=True, language="zh-CN")
        page.click("#generate")
        page.wait("document.querySelector('#status').dataset.state === 'done'")
        assert not page.complaints()

Every page is a tab of its own, with its own sessionStorage. Waiting is for a condition in the page, never for time.
"""

import base64
import http.client
import json
import os
import pathlib
import shutil
import tempfile

from support.processes import DEADLINE, Program, eventually

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
             "--force-color-profile=srgb", "--font-render-hinting=none", "--remote-debugging-pipe"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

# What a page must never do is written down from its first line on.
WATCH = """
window.complaints = [];
addEventListener('securitypolicyviolation', (e) => complaints.push(`CSP: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener('error', (e) => e.message && complaints.push(`error: ${e.message}`));
addEventListener('unhandledrejection', (e) => complaints.push(`rejection: ${e.reason}`));
"""

# Keys, as WebDriver writes them.
TAB, ENTER, ESCAPE, ARROW_RIGHT = "\ue004", "\ue007", "\ue00c", "\ue014"


def find(*names):
    """The first of these programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"none of {names} is installed: scripts/install_deps.sh test"
    return found


class Stale(AssertionError):
    """The page has put another element in this one's place."""


class Browser:
    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="arkrelay-browser-")
        self.driver = Program("chromedriver", [find("chromedriver"), "--port=0"], env={"HOME": self._folder.name})
        port = int(self.driver.wait_for(r"started successfully on port (\d+)").group(1))
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self._session = ""
        options = {"binary": find("chromium", "google-chrome"), "args": [*ARGUMENTS, f"--user-data-dir={self._folder.name}/profile"]}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{answer['sessionId']}"
        self._first = self.ask("GET", "/window")

    def ask(self, method, path, body=None):
        """One command; its value. WebDriver's errors are raised in their own words."""
        self._connection.request(method, self._session + path, json.dumps(body or {}) if method == "POST" else None,
                                 {"Content-Type": "application/json"})
        value = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            kind = Stale if value["error"] == "stale element reference" else AssertionError
            raise kind(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def use_first(self):
        """The tab that is always there: no page is left behind that has been closed."""
        self.ask("POST", "/window", {"handle": self._first})

    def cdp(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url, **look):
        """A new tab."""
        handle = self.ask("POST", "/window/new", {"type": "tab"})["handle"]
        page = Page(self, handle)
        page.use()
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        page.look(**look)
        self.ask("POST", "/url", {"url": url})
        return page

    def close(self):
        try:
            if self._session:
                self.ask("DELETE", "")
        finally:
            self._connection.close()
            self.driver.stop()
            self.driver.forget()
            self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class Page:
    def __init__(self, browser, handle):
        self.browser = browser
        self.handle = handle

    def use(self):
        self.browser.ask("POST", "/window", {"handle": self.handle})

    def look(self, width=1440, height=900, dark=False, language="en", reduced_motion=False):
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                 {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"}]
        agent = self.run("return navigator.userAgent")
        self.browser.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.browser.cdp("Emulation.setEmulatedMedia", features=media)
        self.browser.cdp("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    # -- looking

    def run(self, script, *arguments):
        """The value of a script's return."""
        return self.browser.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """The value of an async function's return."""
        wrapped = ("const done = arguments[arguments.length - 1];"
                   f"(async () => {{ {script} }})().then(done, (error) => done(`error: ${{error}}`));")
        return self.browser.ask("POST", "/execute/async", {"script": wrapped, "args": list(arguments)})

    def wait(self, condition, what=None, seconds=DEADLINE):
        """Until the expression is true; its value."""
        try:
            return eventually(lambda: self.run(f"return {condition}"), what or condition, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.run('return document.body.innerText')}\n{self.complaints()}") from None

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent.trim()", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())", selector)

    def wait_text(self, selector, text):
        quoted = json.dumps([selector, text])
        says = "(selector, text) => [...document.querySelectorAll(selector)].some((one) => one.textContent.includes(text))"
        return self.wait(f"({says})(...{quoted})", f"{selector} says {text!r}")

    def is_shown(self, selector):
        return self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector)

    # -- doing, as a person would: on what is visible, with real events

    def _element(self, selector):
        return self.browser.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        def is_clicked():
            try:
                self.browser.ask("POST", f"/element/{self._element(selector)}/click")
            except Stale:
                return False
            return True
        eventually(is_clicked, f"{selector} stays for a click")

    def hold(self, selector):
        """Presses the mouse's button on it."""
        x, y = self.run("""const one = document.querySelector(arguments[0]);
                           one.scrollIntoView({ block: 'center', behavior: 'instant' });
                           const { x, y, width, height } = one.getBoundingClientRect();
                           return [Math.round(x + width / 2), Math.round(y + height / 2)];""", selector)
        self._mouse({"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0})

    def let_go(self):
        self._mouse({"type": "pointerUp", "button": 0})

    def _mouse(self, *actions):
        self.browser.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def fill(self, selector, text):
        element = self._element(selector)
        self.browser.ask("POST", f"/element/{element}/clear")
        if text:
            self.browser.ask("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys):
        """Keys by their WebDriver code points, one after the other."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.browser.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def reload(self):
        self.browser.ask("POST", "/refresh")

    # -- judging

    def complaints(self):
        """What the page did wrong, and what the browser said of it."""
        own = self.run("return window.complaints || ['no watch']")
        logged = [f"{entry['level']}: {entry['message']}" for entry in self.browser.ask("POST", "/se/log", {"type": "browser"})]
        return own + [entry for entry in logged if not entry.startswith(("DEBUG", "INFO"))]

    def screenshot(self, path, whole=True):
        """A PNG of the page, its whole length or what is in view."""
        if whole:
            height = self.run("return document.documentElement.scrollHeight")
            width = self.run("return innerWidth")
            shot = self.browser.cdp("Page.captureScreenshot", captureBeyondViewport=True,
                                    clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"]
        else:
            shot = self.browser.cdp("Page.captureScreenshot")["data"]
        path = pathlib.Path(path)
        os.makedirs(path.parent, exist_ok=True)
        path.write_bytes(base64.b64decode(shot))
        return path

    def close(self):
        """Another page has to be used before anything else is asked."""
        self.use()
        self.browser.ask("DELETE", "/window")
