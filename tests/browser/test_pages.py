"""How the gateway serves the pages, and static checks of their files. No browser is needed."""

import collections
import pathlib
import re
import unittest

from support.http_client import fetch
from support.processes import ProcessTest
from support.world import World

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "gateway/pages"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml"}


class Served(ProcessTest):
    @classmethod
    def setUpClass(cls):
        cls.world = World(ark=False)
        cls.addClassCleanup(lambda: cls.world.__exit__(None, None, None))
        cls.gateway = cls.world.gateway()

    def test_every_file_is_served_unchanged(self):
        files = [path for path in PAGES.rglob("*") if path.is_file()]
        self.assertGreater(len(files), 10)
        for path in files:
            with self.subTest(path.name):
                answer = self.gateway.get(f"/pages/{path.relative_to(PAGES)}")
                self.assertEqual((answer.status, answer.headers["content-type"]), (200, TYPES[path.suffix]))
                self.assertEqual(answer.body, path.read_bytes())

    def test_the_playground_is_at_the_root(self):
        self.assertEqual(self.gateway.get("/").body, (PAGES / "playground.html").read_bytes())

    def test_security_headers(self):
        headers = self.gateway.get("/").headers
        policy = dict(directive.strip().split(" ", 1) for directive in headers["content-security-policy"].split(";"))
        self.assertEqual({name: policy[name] for name in ("default-src", "script-src", "style-src", "connect-src", "base-uri",
                                                          "form-action", "frame-ancestors")},
                         {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
                          "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"})
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["referrer-policy"], "no-referrer")
        self.assertEqual(headers["cross-origin-opener-policy"], "same-origin")
        self.assertIn("permissions-policy", headers)

    def test_if_none_match_gets_304(self):
        first = self.gateway.get("/")
        self.assertEqual(first.headers["cache-control"], "no-cache")
        etag = first.headers["etag"]
        for name, value, status in (("the same", etag, 304), ("the same, weak", f"W/{etag}", 304), ("any", "*", 304),
                                    ("one of several", f'"x", {etag}', 304), ("another one", '"x"', 200),
                                    ("without its quotes", etag.strip('"'), 200)):
            with self.subTest(name):
                answer = self.gateway.get("/", **{"If-None-Match": value})
                self.assertEqual((answer.status, answer.headers["etag"]), (status, etag))
                self.assertEqual(bool(answer.body), status == 200)
        self.assertNotEqual(self.gateway.get("/pages/shared/base.css").headers["etag"], etag)

    def test_head_has_content_length_and_no_body(self):
        answer = fetch(self.gateway.address, "HEAD", "/")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(int(answer.headers["content-length"]), (PAGES / "playground.html").stat().st_size)

    def test_unknown_paths_get_404(self):
        for path in ("/pages/none.js", "/pages/shared/none.js", "/pages/", "/pages", "/pages/../pages/icon.svg", "/playground.html"):
            with self.subTest(path):
                self.assertEqual(self.gateway.get(path).status, 404)


class Files(unittest.TestCase):
    def test_no_inline_code_and_no_external_resources(self):
        for path in PAGES.rglob("*.html"):
            text = path.read_text()
            with self.subTest(path.name):
                self.assertNotRegex(text, r"<style|\sstyle=|\son\w+=|javascript:")
                self.assertEqual(re.findall(r"<script(?![^>]*\ssrc=)", text), [])
                for target in re.findall(r'(?:src|href)="([^"]+)"', text):
                    self.assertRegex(target, r"^(/|#)(?!/)", "served by the gateway itself")

    def test_loaded_files_exist(self):
        for path in PAGES.rglob("*.html"):
            for target in re.findall(r'(?:src|href)="/(pages/[^"]+)"', path.read_text()):
                self.assertTrue((PAGES.parent / target).exists(), target)
        for path in PAGES.rglob("*.js"):
            for target in re.findall(r"^import .* from '([^']+)'", path.read_text(), re.M):
                self.assertTrue((path.parent / target).exists(), f"{path.name}: {target}")

    def test_both_languages_have_the_same_keys_and_a_text_for_every_error_code(self):
        for page in ("dashboard", "playground"):
            english, chinese = self.words(page)
            with self.subTest(page):
                self.assertGreater(len(chinese), 100)
                self.assertEqual({key for key in english if not key.endswith("_one")}, set(chinese))
                for key, words in chinese.items():
                    self.assertEqual(set(re.findall(r"\{\w+\}", english[key])), set(re.findall(r"\{\w+\}", words)), key)
        codes = re.findall(r'^    X\(\w+,\s+"(\w+)"', (ROOT / "common/base/problem.h").read_text(), re.M)
        self.assertGreater(len(codes), 40)
        self.assertEqual([code for code in codes if f"code_{code}" not in english], [])

    def test_every_text_that_is_used_exists(self):
        shared, _ = self.words("playground")        # the dashboard uses them too
        for page in ("dashboard", "playground"):
            text = (PAGES / f"{page}.html").read_text()
            asked = set(re.findall(r'data-i18n="(\w+)"', text))
            asked |= {pair.partition(":")[2] for pairs in re.findall(r'data-i18n-attr="([^"]+)"', text) for pair in pairs.split()}
            for path in (PAGES / page).glob("*.js"):
                asked |= set(re.findall(r"\b(?:t|count)\('(\w+)'", path.read_text()))
            with self.subTest(page):
                self.assertGreater(len(asked), 50)
                self.assertEqual(sorted(asked - set(self.words(page)[0]) - set(shared)), [])

    def words(self, page):
        """The English and the Chinese dictionary of a page."""
        text = (PAGES / page / "words.js").read_text()
        parts = [re.findall(r"^  (\w+): '(.*)',$", part, re.M) for part in text.split("const zh")]
        for part in parts:
            self.assertEqual([key for key, count in collections.Counter(key for key, _ in part).items() if count > 1], [], "keys that occur twice")
        return [dict(part) for part in parts]


if __name__ == "__main__":
    unittest.main()
