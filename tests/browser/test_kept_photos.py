"""Kept images in Chromium as users have them: a photo of 12 MB on a phone, a server with keys, a bucket."""

import hashlib
import os
import pathlib
import tempfile
import unittest
import zlib

from page_case import LOADED, SHOTS, PlaygroundTest, close_browser
from support.client_key import Key
from support.images import chunk
from support.picture_test import Slow
from support.processes import eventually
from support.s3_bucket import Bucket
from support.world import BASE

SIDE = 2000             # pixels; without compression three bytes each
DOWNLOAD = "#pictures a[href*='download']"
UPLOADED = "document.querySelector('#uploads li img')?.naturalWidth > 0"


def tearDownModule():
    close_browser()


def photo():
    """A PNG of 12 MB."""
    pixels = os.urandom(3 * SIDE)
    rows = zlib.compressobj(0)
    data = b"".join(rows.compress(b"\0" + pixels) for _ in range(SIDE)) + rows.flush()
    head = SIDE.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class KeptTest(PlaygroundTest):
    @classmethod
    def folder(cls):
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-kept-")
        cls.addClassCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def kept(self, task_id, key=None):
        """The task's images, once the storage has them."""
        headers = key.header if key else {}
        path = f"{BASE}/tasks/{task_id}"
        images = eventually(lambda: (task := self.gateway.get(path, **headers).json())["status"] == "done" and task["result"]["generated_images"], "it is done")
        for image in images:
            eventually(lambda image=image: self.world.redis("HGET", "arkrelay:{0}:picture:" + image["id"], "state") == b"stored", "it is stored", 20)
        return images

    def download(self, page, click, count):
        """The files that the browser has saved after a click."""
        with tempfile.TemporaryDirectory(prefix="arkrelay-downloads-") as name:
            folder = pathlib.Path(name)
            page.browser.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=name)
            page.click(click)
            eventually(lambda: len(files := list(folder.iterdir())) == count and not any(path.suffix == ".crdownload" for path in files), "the files are saved")
            return sorted(path.read_bytes() for path in folder.iterdir())


class OnAPhone(KeptTest):
    @classmethod
    def start(cls):
        cls.photo = photo()
        folder = cls.folder()
        ark = Slow(cls.photo, waits=False)
        cls.addClassCleanup(ark.__exit__)
        ark.__enter__()
        storage = {"STORAGE": folder / "pictures"}
        cls.gateway = cls.world.gateway(**storage)
        cls.world.worker(**storage, ARK_IMAGE_URL_MAP=f"http://{cls.world.ark.address}={ark.url}")

    def test_a_large_photo_is_shown_and_saved(self):
        page = self.open(width=390, height=844)
        images = self.kept(self.generate(page, "images=1"))
        self.wait_state(page, "done")
        page.reload()
        page.wait(LOADED)
        shown = page.run("""const one = document.querySelector('#pictures img'), box = one.getBoundingClientRect();
                            return [one.src, one.naturalWidth, box.left >= 0 && box.right <= innerWidth, document.documentElement.scrollWidth <= innerWidth]""")
        self.assertEqual(shown, [self.gateway.url + images[0]["stored_url"], SIDE, True, True])
        page.run("document.querySelector('#pictures').scrollIntoView()")
        page.screenshot(SHOTS / "kept-photo-phone.png", False)
        self.assert_sound(page)
        digest = hashlib.sha256(self.photo).digest()
        self.assertEqual([hashlib.sha256(body).digest() for body in self.download(page, DOWNLOAD, 1)], [digest])

    def test_a_large_photo_is_uploaded(self):
        page = self.open(width=390, height=844)
        page.fill("#urls", "")
        page.wait("!document.querySelector('#files-row').hidden")
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(self.photo)
            file.flush()
            page.choose("#files-input", file.name)
            page.wait(UPLOADED)
        name = "upload:" + hashlib.sha256(self.photo).hexdigest()
        self.assertEqual(page.run("return document.querySelector('#urls').value"), name)
        self.assertLessEqual(page.run("return document.documentElement.scrollWidth"), 390)


class WithKeys(KeptTest):
    @classmethod
    def start(cls):
        folder = cls.folder()
        cls.key = Key("alice")
        (folder / "keys").write_text(cls.key.line())
        storage = {"STORAGE": folder / "pictures"}
        cls.gateway = cls.world.gateway(**storage, GATEWAY_KEYS_FILE=folder / "keys")
        cls.world.worker(**storage)

    def test_images_need_no_key(self):
        """An <img> sends no Authorization header: the address of an image is the permission to see it."""
        self.forgiven = ("401",)
        page = self.open()
        self.generate(page, "images=2")
        page.wait_text("#key-error", "requires an API key")
        page.fill("#key", self.key.token)
        page.click("#generate")
        self.wait_state(page, "done")
        images = self.kept(page.text("#task-id"), self.key)
        page.reload()
        self.wait_state(page, "done")
        page.wait(LOADED)
        sources = page.run("return [...document.querySelectorAll('#pictures img')].map((one) => one.src)")
        self.assertEqual(sources, [self.gateway.url + image["stored_url"] for image in images])


class InABucket(KeptTest):
    @classmethod
    def start(cls):
        bucket = Bucket()
        cls.addClassCleanup(bucket.__exit__)
        cls.bucket = bucket.__enter__()
        storage = bucket.options(cls.folder())
        cls.gateway = cls.world.gateway(**storage)
        cls.world.worker(**storage)

    def test_images_are_shown_and_saved(self):
        page = self.open()
        images = self.kept(self.generate(page, "images=2"))
        self.wait_state(page, "done")
        page.reload()
        page.wait(LOADED)
        with self.bucket.store.lock:
            bodies = [next(body for name, (body, _) in self.bucket.store.objects.items() if image["id"] in name) for image in images]
        self.assertEqual(len(bodies), 2)
        self.assertEqual(self.download(page, "#save-all", 2), sorted(bodies))
        page.wait_text("#saved", "2 images downloaded")
        self.assertEqual(self.download(page, DOWNLOAD, 1), bodies[:1])


if __name__ == "__main__":
    unittest.main()
