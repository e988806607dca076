"""Images of this device in the playground: chosen, dropped, pasted; their thumbnails, and what is refused."""

import base64
import hashlib
import json
import pathlib
import tempfile
import unittest

from page_case import PlaygroundTest, close_browser

IMAGES = pathlib.Path(__file__).parents[1] / "data/images"
PNG = (IMAGES / "rgb.png").read_bytes()
JPEG = (IMAGES / "baseline.jpg").read_bytes()

FILES = """
const data = new DataTransfer();
for (const [name, type, text] of arguments[0])
  data.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name, { type }));
const urls = document.querySelector('#urls');
"""
CHOOSE = FILES + """const input = document.querySelector('#files-input');
input.files = data.files;
input.dispatchEvent(new Event('change'))"""
DROP = FILES + "urls.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))"
PASTE = FILES + "urls.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, cancelable: true }))"


def tearDownModule():
    close_browser()


def file(name, data, kind="image/png"):
    return [name, kind, base64.b64encode(data).decode()]


def id_of(data):
    return "upload:" + hashlib.sha256(data).hexdigest()


class Uploads(PlaygroundTest):
    @classmethod
    def start(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.gateway = cls.world.gateway(STORAGE=folder.name + "/pictures")
        cls.world.worker(STORAGE=folder.name + "/pictures")

    def open(self, *arguments, **look):
        page = super().open(*arguments, **look)
        page.fill("#urls", "")
        page.wait("!document.querySelector('#files-row').hidden")
        return page

    def urls(self, page):
        return page.run("return document.querySelector('#urls').value").split()

    def wait_tiles(self, page, count):
        page.wait(f"document.querySelectorAll('#uploads li:not(.coming)').length === {count} && !document.querySelector('#uploads .coming')")

    def test_chosen_dropped_and_pasted_images_are_the_references_of_a_task(self):
        page = self.open()
        page.run(CHOOSE, [file("a.png", PNG)])
        self.wait_tiles(page, 1)
        page.run(DROP, [file("b.jpg", JPEG, "image/jpeg")])
        self.wait_tiles(page, 2)
        page.run(PASTE, [file("image.png", PNG)])
        self.wait_tiles(page, 3)
        self.assertEqual(self.urls(page), [id_of(PNG), id_of(JPEG), id_of(PNG)])
        self.assertEqual(page.run("return [...document.querySelectorAll('#uploads img')].map((one) => [one.alt, one.src.slice(0, 23)])"),
                         [["image.png", "data:image/jpeg;base64,"], ["b.jpg", "data:image/jpeg;base64,"], ["image.png", "data:image/jpeg;base64,"]])
        self.assert_sound_everywhere(page)
        task_id = self.generate(page, "images=1")
        self.wait_state(page, "done")
        self.assertEqual(json.loads(self.world.find(task_id).request)["urls"], [id_of(PNG), id_of(JPEG), id_of(PNG)])
        self.assertIn(id_of(JPEG), page.text("#code-text"))

    def test_thumbnails_survive_a_reload_and_go_with_their_images(self):
        page = self.open()
        page.run(CHOOSE, [file("a.png", PNG), file("b.jpg", JPEG, "image/jpeg")])
        self.wait_tiles(page, 2)
        page.reload()
        self.wait_tiles(page, 2)
        self.assertEqual(page.run("return document.querySelectorAll('#uploads img').length"), 2)
        page.click("#uploads li:first-child button")
        self.wait_tiles(page, 1)
        self.assertEqual(self.urls(page), [id_of(JPEG)])
        page.fill("#urls", "")
        page.run("document.querySelector('#urls').dispatchEvent(new Event('input', { bubbles: true }))")
        self.assertFalse(page.is_shown("#uploads"))

    def test_an_image_that_the_browser_cannot_show_has_its_name(self):
        page = self.open()
        page.run(CHOOSE, [file("photo.heic", (IMAGES / "still.heic").read_bytes(), "")])
        self.wait_tiles(page, 1)
        self.assertEqual(page.text("#uploads span"), "photo.heic")

    def test_a_file_that_cannot_be_read_says_so(self):
        page = self.open()
        page.run("document.querySelector('#files-input').addEventListener('change', (event) => event.stopImmediatePropagation(), { capture: true, once: true })")
        with tempfile.NamedTemporaryFile(suffix=".png") as gone:
            gone.write(PNG)
            gone.flush()
            page.choose("#files-input", gone.name)
        page.run("document.querySelector('#files-input').dispatchEvent(new Event('change'))")
        page.wait_text("#urls-error", "was not uploaded: it is empty or cannot be read; it may be a folder")
        self.assertEqual(self.urls(page), [])
        self.assert_sound(page)

    def test_what_is_refused_says_why(self):
        self.forgiven = ("415",)
        page = self.open()
        page.run(CHOOSE, [file("notes.txt", b"hello, this is a text", "text/plain")])
        page.wait_text("#urls-error", "notes.txt was not uploaded: Send JPEG, PNG")
        self.assertEqual(self.urls(page), [])
        self.assert_sound(page)
        page.run("""const input = document.querySelector('#files-input'), data = new DataTransfer();
                    data.items.add(new File([new Uint8Array((30 << 20) + 1)], 'large.png', { type: 'image/png' }));
                    input.files = data.files;
                    input.dispatchEvent(new Event('change'))""")
        page.wait_text("#urls-error", "large.png is too large: the maximum is 30 MB.")

    def test_text_is_pasted_and_links_are_dropped_as_always(self):
        page = self.open()
        kept = page.run("""const data = new DataTransfer();
                           data.setData('text/plain', 'https://example.com/1.jpg');
                           const paste = new ClipboardEvent('paste', { clipboardData: data, cancelable: true });
                           return document.querySelector('#urls').dispatchEvent(paste)""")
        self.assertTrue(kept, "the browser pastes the text")

    def test_the_camera_is_offered_on_a_phone_only(self):
        page = self.open()
        self.assertFalse(page.is_shown("#camera"))
        self.assertEqual(page.run("const one = document.querySelector('#camera-input'); return [one.accept, one.getAttribute('capture')]"),
                         ["image/*", "environment"])


class Without(PlaygroundTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()

    def test_without_a_storage_there_are_no_buttons_and_a_dropped_file_says_why(self):
        page = self.open()
        page.wait("document.querySelectorAll('#model option').length > 2")
        self.assertFalse(page.is_shown("#files"))
        page.run(DROP, [file("a.png", PNG)])
        self.assertEqual(page.text("#urls-error"), "This server takes no uploads, only links: ARK downloads the images itself.")


if __name__ == "__main__":
    unittest.main()
