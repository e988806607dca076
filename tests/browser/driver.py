"""Drives Chromium over the WebDriver protocol, with the standard library only.

    with Browser() as browser:
        page = browser.open(f"{gateway.url}/", width=390, dark=True, language="zh-CN")
        page.click("#generate")
        page.wait("document.querySelector('#status').dataset.state === 'done'")
        assert not page.complaints()

Every page is a separate tab with its own sessionStorage. Tests wait for conditions in the page, never for a fixed time.
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

# Injected before any script of the page: records CSP violations, errors and unhandled rejections.
WATCH = """
window.complaints = [];
addEventListener('securitypolicyviolation', (e) => complaints.push(`CSP: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener('error', (e) => e.message && complaints.push(`error: ${e.message}`));
addEventListener('unhandledrejection', (e) => complaints.push(`rejection: ${e.reason}`));
"""

# Key codes of WebDriver.
TAB, ENTER, ESCAPE, ARROW_RIGHT = "\ue004", "\ue007", "\ue00c", "\ue014"


def find(*names):
    """The path of the first of these programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"none of {names} is installed: scripts/install_deps.sh test"
    return found


class Stale(AssertionError):
    """The page has replaced the element."""


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
        """Sends one command and returns its value. Raises WebDriver's errors with their messages."""
        self._connection.request(method, self._session + path, json.dumps(body or {}) if method == "POST" else None,
                                 {"Content-Type": "application/json"})
        value = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            kind = Stale if value["error"] == "stale element reference" else AssertionError
            raise kind(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def use_first(self):
        """Selects the first tab, which is never closed: WebDriver needs a selected tab."""
        self.ask("POST", "/window", {"handle": self._first})

    def cdp(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url, **look):
        """Opens the URL in a new tab."""
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

    # -- reading the page

    def run(self, script, *arguments):
        """The value of a script's return."""
        return self.browser.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """The value of an async function's return."""
        wrapped = ("const done = arguments[arguments.length - 1];"
                   f"(async () => {{ {script} }})().then(done, (error) => done(`error: ${{error}}`));")
        return self.browser.ask("POST", "/execute/async", {"script": wrapped, "args": list(arguments)})

    def wait(self, condition, what=None, seconds=DEADLINE):
        """Waits until the expression is true and returns its value."""
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

    # -- user input: real events on visible elements

    def _element(self, selector):
        return self.browser.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        def is_clicked():
            try:
                self.browser.ask("POST", f"/element/{self._element(selector)}/click")
            except Stale:
                return False
            return True
        eventually(is_clicked, f"{selector} can be clicked")

    def hold(self, selector):
        """Presses the mouse button on the element, without releasing it."""
        x, y = self.run("""const one = document.querySelector(arguments[0]);
                           one.scrollIntoView({ block: 'center', behavior: 'instant' });
                           const { x, y, width, height } = one.getBoundingClientRect();
                           return [Math.round(x + width / 2), Math.round(y + height / 2)];""", selector)
        self._mouse({"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0})

    def release(self):
        self._mouse({"type": "pointerUp", "button": 0})

    def _mouse(self, *actions):
        self.browser.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def fill(self, selector, text):
        element = self._element(selector)
        self.browser.ask("POST", f"/element/{element}/clear")
        if text:
            self.browser.ask("POST", f"/element/{element}/value", {"text": text})

    def choose(self, selector, path):
        """Chooses a file of this machine in a file input."""
        self.browser.ask("POST", f"/element/{self._element(selector)}/value", {"text": str(path)})

    def press(self, *keys):
        """Presses keys, given by their WebDriver code points, one after the other."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.browser.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def reload(self):
        self.browser.ask("POST", "/refresh")

    # -- checks

    def complaints(self):
        """The errors recorded in the page, and the warnings and errors of the browser's log."""
        own = self.run("return window.complaints || ['no watch']")
        logged = [f"{entry['level']}: {entry['message']}" for entry in self.browser.ask("POST", "/se/log", {"type": "browser"})]
        return own + [entry for entry in logged if not entry.startswith(("DEBUG", "INFO"))]

    def screenshot(self, path, whole=True):
        """Saves a PNG of the whole page, or of the visible part only."""
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
        """Closes the tab. Select another one before the next command."""
        self.use()
        self.browser.ask("DELETE", "/window")
