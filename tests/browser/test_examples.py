"""Runs the browser examples of docs/api.md unchanged, in Chromium, on pages that nginx serves from the same origin as the API.

The first run downloads Vue with `npm pack` to build/vue. Without npm, the Vue test is skipped.
"""

import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from page_case import PageTest, close_browser
from support.documents import ROOT, blocks
from support.nginx import Nginx
from support.proxy import Proxy

PICTURES = 3
DOCUMENT = ROOT / "docs/api.md"
VUE = "3.5.13"
VUE_FOLDER = ROOT / "build/vue"
PACKAGES = {"vue": "vue.runtime.esm-browser.prod.js", "@vue/compiler-sfc": "compiler-sfc.esm-browser.js"}

SITE = """
    upstream gateway {{ server {gateway}; }}
    server {{
        listen 127.0.0.1:{{port}};
        root {root};
        add_header Cache-Control no-store;      # each test serves another page at the same URL
        location /api/ {{ proxy_pass http://gateway; proxy_http_version 1.1; proxy_next_upstream off; }}
    }}
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>Example</title><link rel="icon" href="data:,"><h1>Example</h1><div id="app"></div>
<script>
window.said = [];
for (const name of ['log', 'error']) console[name] = (...words) => said.push(words.join(' '));
</script>
<script type="importmap">{"imports":{"vue":"./vue.runtime.esm-browser.prod.js"}}</script>
<script type="module">
%s
</script>
"""
# Compiles the single-file component in the page instead of with a bundler.
MOUNT = """
import { createApp } from 'vue';
import { parse, compileScript } from './compiler-sfc.esm-browser.js';
const { descriptor, errors } = parse(await (await fetch('./GenerateImages.vue')).text());
if (errors.length) throw errors[0];
const { content } = compileScript(descriptor, { id: 'example', inlineTemplate: true });
const module = content.replaceAll('./browser-client.js', new URL('./browser-client.js', location).href);
const { default: Component } = await import(URL.createObjectURL(new Blob([module], { type: 'text/javascript' })));
createApp(Component).mount('#app');
"""


def tearDownModule():
    close_browser()


def get_vue():
    """Returns the paths of Vue and its compiler; downloads them once."""
    files = [VUE_FOLDER / VUE / name for name in PACKAGES.values()]
    if all(file.exists() for file in files):
        return files
    if not shutil.which("npm"):
        raise unittest.SkipTest(f"no npm, and no Vue in {VUE_FOLDER}")
    with tempfile.TemporaryDirectory(prefix="arkrelay-vue-") as folder:
        packed = subprocess.run(["npm", "pack", "--silent", *(f"{package}@{VUE}" for package in PACKAGES)], cwd=folder, timeout=60,
                                capture_output=True, check=False)
        if packed.returncode:
            raise unittest.SkipTest("npm cannot get Vue")
        files[0].parent.mkdir(parents=True, exist_ok=True)
        for package, file in zip(PACKAGES, files):
            name = package.strip("@").replace("/", "-")
            with tarfile.open(f"{folder}/{name}-{VUE}.tgz") as tar:
                whole = file.with_suffix(".new")
                whole.write_bytes(tar.extractfile(f"package/dist/{file.name}").read())
                whole.rename(file)
    return files


class Examples(PageTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()
        cls.world.worker()
        host, _, port = cls.gateway.address.rpartition(":")
        cls.proxy = Proxy((host, int(port)))
        cls.addClassCleanup(cls.proxy.close)
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="arkrelay-site-"))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.site = Nginx(SITE.format(gateway=cls.proxy.address, root=cls.folder))
        cls.addClassCleanup(cls.site.close)
        for file in ("browser-client.js", "GenerateImages.vue"):
            shutil.copy(ROOT / "docs/examples" / file, cls.folder)

    def show(self, script):
        """Opens a page with this script as its module."""
        (self.folder / "page.html").write_text(PAGE % script, encoding="utf-8")
        return self.open("/page.html", self.site)

    def example(self, number):
        return blocks(DOCUMENT, "js")[number].text

    def wait_said(self, page, text):
        page.wait(f"said.some((line) => line.includes({text!r}))", text)
        return page.run("return said")

    def test_the_short_client(self):
        said = self.wait_said(self.show(self.example(0)), f"done: {PICTURES}")
        self.assertEqual([line.split(" http")[0] for line in said], [*(f"picture {n}" for n in range(PICTURES)), f"done: {PICTURES}"])

    def test_the_client_that_resumes(self):
        said = self.wait_said(self.show(self.example(1)), f"done: {PICTURES}")
        self.assertEqual(said, ["calling", *["image"] * PICTURES, f"done: {PICTURES}"])

    def test_the_client_resumes_after_a_cut(self):
        """Uses a task id with every character that an id may have."""
        self.forgiven = ("SEVERE",)             # the browser logs the cut
        calls = len(self.world.ark.calls())
        self.proxy.cut_after(1500)
        page = self.show(self.example(1).replace("`task_${Date.now()}`", "'Shop_17:a.b-c'"))
        self.assertEqual(self.wait_said(page, f"done: {PICTURES}"), ["calling", *["image"] * PICTURES, f"done: {PICTURES}"])
        self.assertEqual(len(self.world.ark.calls()), calls + 1)

    def test_event_source(self):
        self.gateway.submit("order-17")
        said = self.wait_said(self.show(self.example(2)), "done")
        self.assertEqual([line.split(" ")[0] for line in said], ["start", *["process"] * (1 + PICTURES), "done"])

    def test_the_vue_component(self):
        for file in get_vue():
            shutil.copy(file, self.folder)
        page = self.show(MOUNT)
        page.wait("document.querySelector('#app button')")
        page.click("#app button")
        page.wait(f"document.querySelectorAll('#app figure img').length === {PICTURES} && !document.querySelector('#app button').disabled")
        page.wait("[...document.querySelectorAll('#app img')].every((one) => one.complete && one.naturalWidth > 0)")
        self.assertEqual(page.text("#app button"), "生成图像")
        self.assertFalse(page.run("return document.querySelector('#app [role=alert]')"))


if __name__ == "__main__":
    unittest.main()
