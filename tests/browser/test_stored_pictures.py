"""Stored images in Chromium: the playground shows and saves them, the dashboard shows them and the state of the storage."""

import os
import pathlib
import tempfile
import unittest

from page_case import LOADED, PageTest, PlaygroundTest, close_browser
from support.processes import eventually
from support.world import sim

KEY = "the-operators-key-of-this-test"
PRESENCE = "arkrelay:{processes}:process:"


def tearDownModule():
    close_browser()


class StoredTest(PageTest):
    @classmethod
    def start(cls):
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-pictures-")
        cls.addClassCleanup(folder.cleanup)
        storage = {"STORAGE": os.path.join(folder.name, "pictures"), "PRESENCE_INTERVAL": "100ms"}
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, **storage)
        cls.world.worker(WORKER_NAME="painter", WORKER_ROLES="ark", **storage)
        cls.outbox = cls.world.worker(WORKER_NAME="keeper", ARK_API_KEY="", WORKER_ROLES="outbox", **storage)

    def stored(self, task_id, count):
        """The stored images of a task, once all are copied."""
        self.world.wait_state(task_id, "done")
        images = self.gateway.task(task_id).json()["result"]["generated_images"]
        self.assertEqual(len(images), count)
        return [(image, eventually(lambda: (answer := self.gateway.get(image["stored_url"])).status == 200 and answer.body, "it is copied")) for image in images]


class InPlayground(StoredTest, PlaygroundTest):
    def test_images_are_shown_from_the_storage_and_saved(self):
        page = self.open()
        task_id = self.generate(page, "images=2")
        images = self.stored(task_id, 2)
        self.wait_state(page, "done")
        page.wait(LOADED)
        links = [self.gateway.url + image["stored_url"] for image, _ in images]
        hrefs = page.run("return [...document.querySelectorAll('#pictures a')].map((one) => one.href)")
        self.assertEqual(hrefs, [link + more for link in links for more in ("", "?download=1")])
        self.assertIn("attachment", self.gateway.get(images[0][0]["stored_url"] + "?download=1").headers["Content-Disposition"])
        day = images[0][0]["stored_url"].split("/")[2]
        self.assertIn(f"keeps the images until {day[:4]}-{day[4:6]}-{day[6:]} (UTC)", page.text("#links-kept"))
        self.assertFalse(page.is_shown("#links-live"))
        self.save_all(page, {f"{task_id}-{n}.jpeg": body for n, (_, body) in enumerate(images)})
        self.assert_sound_everywhere(page, "stored-playground")
        page.click("[data-language-switch]")
        page.wait_text("#save-all", "全部下载")
        self.assertEqual(page.text("#saved"), "")
        self.assert_sound_everywhere(page, "stored-playground-zh-CN")

    def save_all(self, page, files):
        with tempfile.TemporaryDirectory(prefix="arkrelay-downloads-") as folder:
            page.browser.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
            page.click("#save-all")
            page.wait_text("#saved", "2 images downloaded")
            eventually(lambda: {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()} == files, "the files are saved")

    def test_an_image_that_was_not_copied_is_shown_from_ark(self):
        self.forgiven = ("404",)
        page = self.open()
        task_id = self.generate(page, "images=1")
        (image, _), = self.stored(task_id, 1)
        self.world.redis("HSET", "arkrelay:{0}:picture:" + image["id"], "state", "failed")
        page.reload()
        page.wait("document.querySelector('#pictures img')?.naturalWidth > 0")
        self.assertEqual(page.run("return document.querySelector('#pictures img').src"), image["url"])
        self.assertFalse(page.is_shown("#save-box"))


class InDashboard(StoredTest):
    def dashboard(self, **look):
        page = self.open(f"/dashboard#key={KEY}", **look)
        page.wait("document.querySelector('#pulse').dataset.state === 'live'")
        return page

    def open_task(self, page, task_id):
        page.wait(f"document.querySelector('[data-focus=\"open public.{task_id}\"]')")
        page.click(f"[data-focus='open public.{task_id}']")

    def test_thumbnails_come_from_the_storage_and_not_from_ark_when_erased(self):
        self.forgiven = ("404",)
        self.gateway.submit("t1", prompt=sim("t1", "images=2"), max_images=2)
        (first, _), (second, _) = self.stored("t1", 2)
        self.world.redis("HSET", "arkrelay:{0}:picture:" + second["id"], "state", "erased")
        page = self.dashboard()
        page.click("#state-ended")
        self.open_task(page, "t1")
        page.wait("document.querySelector('#story .pictures img')?.naturalWidth > 0")
        self.assertEqual(page.run("return document.querySelector('#story .pictures img').src"), self.gateway.url + first["stored_url"])
        page.wait_text("#story .pictures .broken", "erased, expired or not copied")
        page.wait_text("#story .hint", "keeps the images until")
        for width in (1440, 390):
            page.look(width=width, height=900)
            self.assert_sound(page)

    def test_the_state_of_the_storage(self):
        page = self.dashboard()
        page.wait_text("[data-fact=outboxes] dd", "keeper")
        page.wait_text("[data-fact=copies_waiting] dd", "0")
        page.wait_text("[data-process=keeper]", "keeps images")
        page.wait_text("[data-process=painter]", "0 of 16 busy")
        self.assertNotIn("images", page.text("[data-process=painter]"))
        self.assert_sound_everywhere(page, "stored-dashboard")

    def test_trouble_is_reported(self):
        self.outbox.stop()
        page = self.dashboard()
        page.wait_text("#notices", "no process copies them")
        self.world.redis("HSET", PRESENCE + "full:1", "role", "worker", "version", "0.2.0", "started_at", "1000", "slots", 0, "busy", 0,
                         "keeps_pictures", 1, "storage", "directory 0123", "storage_trouble", "full", "copies_waiting", 1234, "copies_given_up", 5)
        self.world.redis("ZADD", "arkrelay:{processes}:seen", "99999999999999", "full:1")
        page.wait_text("#notices", "Images are not kept at present: full:1")
        page.wait_text("#notices", "The processes use 2 different storages")
        page.wait_text("[data-fact=copies_waiting] dd", "1,234")
        page.wait_text("[data-fact=copies_given_up] dd", "5")
        page.wait_text("[data-fact=storage_state] dd", "full:1: the disk is full")
        page.wait_text("[data-process='full:1'] .bad", "keeps no images: the disk is full")
        self.assert_sound_everywhere(page, "stored-trouble")
        self.world.redis("DEL", PRESENCE + "full:1")


class NotKept(PageTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_ADMIN_KEY=KEY, PRESENCE_INTERVAL="100ms")
        cls.world.worker(PRESENCE_INTERVAL="100ms")

    def test_nothing_is_said_about_the_storage(self):
        page = self.open(f"/dashboard#key={KEY}")
        page.wait_text("[data-process]", "0 of 16 busy")
        self.assertFalse(page.is_shown("#storage-card"))
        self.assertEqual(page.text("#notices"), "")


if __name__ == "__main__":
    unittest.main()
