"""Pictures under random faults: some are erased while the faults go on, and at the end each of the others must be stored once, as ARK made it.

    pictures = Pictures(world, place, as_bytes, seed, addresses)    # place: of support.places; addresses() -> where gateways are now
    world.worker(**pictures.worker_options())
    pictures.start(stories)
    ...
    pictures.stop()
    pictures.judge(looked_tasks)        # violations, a list of (task id, text)
"""

import base64
import hashlib
import json
import random
import threading

from support.crowd import PROBE
from support.http_client import fetch
from support.outbox import is_empty, make_due
from support.processes import eventually
from support.scripts import PREFIX

ERASED_SHARE = 0.2
LEASE_S = 6
IMAGES_MAX = 4              # of a task of the crowd


class Pictures:
    def __init__(self, world, place, as_bytes, seed, addresses):
        """as_bytes: ARK sends images instead of links. The simulator makes the same image for the same index."""
        self.world, self.place, self.addresses = world, place, addresses
        self.made = made_by_index(world.ark) if as_bytes else None
        self.rng = random.Random(f"{seed} pictures")
        self.erased, self.problems = set(), []
        self._thread, self._stop = None, threading.Event()

    def options(self):
        """Of gateways and workers."""
        return self.place.options()

    def worker_options(self):
        """Links lead to the simulator, whose address is private."""
        return {**self.options(), "OUTBOX_LEASE": f"{LEASE_S}s", "ARK_IMAGE_URL_MAP": f"{self.world.ark.url}/={self.world.ark.url}/",
                "ARK_RESPONSE_FORMAT": "b64_json" if self.made else "url"}

    # -- erasing

    def start(self, stories):
        self._thread = threading.Thread(target=self._erase_some, args=(stories,), daemon=True)
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(60)

    def _erase_some(self, stories):
        seen = 0
        while not self._stop.wait(0.1):
            for story in stories[seen:]:
                seen += 1
                if self.rng.random() < ERASED_SHARE and not story.erases:
                    self._erase_when_done(story)

    def _erase_when_done(self, story):
        while not (story.finished or story.left) and not self._stop.is_set():
            self._stop.wait(0.05)
        last = json.loads(story.frames[-1].data)["data"] if story.finished else {}
        for image in [image for image in last.get("generated_images", []) if "id" in image][:1]:
            self._erase(story, image)

    def _erase(self, story, image):
        """Until a gateway answers. If an answer was lost, the next one is 404."""
        tries = 0
        while True:
            tries += 1
            try:
                status = fetch(self.rng.choice(self.addresses()), "DELETE", image["stored_url"], None, story.key.header, seconds=10).status
            except (OSError, AssertionError):
                status = 0
            if status in (204, 404):
                if status == 404 and tries == 1:
                    self.problems.append((story.name, f"a picture of an event was not found: {image['id']}"))
                self.erased.add(image["id"])
                return
            if self._stop.wait(0.1):
                return          # it may be erased or not: judged as it is

    # -- judging

    def settle(self, seconds):
        """Waits until nothing is owed. A host that failed may be waited for up to five minutes: that is over now."""
        redis = self.world.redis

        def nothing_owed():
            make_due(redis, "copies")
            make_due(redis, "deletions")
            return is_empty(redis, "copies", "deletions")
        eventually(nothing_owed, "nothing is owed", seconds)

    def judge(self, tasks, lost):
        """tasks: name -> task, as support.store has looked at them. lost: images of ARK that are in no event because their worker was lost. If it had
        received them as bytes, it may have stored them before."""
        files, found = self.place.files(), list(self.problems)
        announced, data_urls = {}, 0
        for task_id, task in tasks.items():
            for event in task.log:
                image = event.data.get("image") or {}
                if "id" in image:
                    announced[image["id"]] = (task_id, image["url"], event.data["index"])
                elif image:
                    data_urls += 1
                    found += [(task_id, words) for words in self._wrong_data(event.data["index"], image["url"])]
        counts = {"kept": 0, "erased": 0, "as data": data_urls}
        for picture, (task_id, url, index) in announced.items():
            state = (self.world.redis("HGET", f"{PREFIX}picture:{picture}", "state") or b"none").decode()
            if picture in self.erased or state == "erased":
                counts["erased"] += 1
                found += [(task_id, f"erased, and there: {picture} {state}")] if picture in files or state != "erased" else []
            else:
                counts["kept"] += 1
                found += [(task_id, words) for words in self._wrong(picture, state, url, index, files.get(picture))]
        strangers = files.keys() - announced.keys()
        counts["of lost workers"] = len(strangers)
        if len(strangers) > (lost if self.made else 0):
            found += [("", f"a file that no event has, with {lost} images lost: {self._stranger(name)}") for name in strangers]
        found += [("", f"a temporary file: {name}") for name in self.place.leftovers()]
        print(f"pictures: {json.dumps(counts)}")
        return found

    def _stranger(self, picture):
        fields = self.world.redis("HGETALL", f"{PREFIX}picture:{picture}")
        return f"{picture}, written at {self.place.written_at()[picture]:.3f}, in Redis {fields}"

    def _wrong(self, picture, state, url, index, stored):
        if state != "stored" or stored is None:
            return [f"not stored: {picture} {state} {'with' if stored else 'without'} a file"]
        made = self.made[index] if self.made else _fetch_url(url)
        sha256 = self.world.redis("HGET", f"{PREFIX}picture:{picture}", "sha256").decode()
        if stored != made or hashlib.sha256(stored).hexdigest() != sha256:
            return [f"stored with other bytes: {picture}, {len(stored)} of {len(made)}"]
        return []

    def _wrong_data(self, index, url):
        """An image in its event. Only what came as bytes, and could not be stored, may be there."""
        if not self.made or not self.place.fails:
            return [f"is not kept: {url[:100]}"]
        head, _, text = url.partition(",")
        if head != "data:image/jpeg;base64" or base64.b64decode(text) != self.made[index]:
            return [f"is another image than number {index}: {url[:100]}"]
        return []


def _fetch_url(url):
    return fetch(url.split("/")[2], "GET", "/" + url.split("/", 3)[3]).body


def made_by_index(ark):
    """The images of a call, as the simulator makes them: index -> bytes."""
    body = {"model": "doubao-seedream-4-0-250828", "prompt": PROBE, "size": "2K", "sequential_image_generation": "auto",
            "sequential_image_generation_options": {"max_images": IMAGES_MAX}}
    answer = fetch(ark.address, "POST", "/api/v3/images/generations", body, {"Authorization": "Bearer any"})
    images = answer.json()["data"]
    assert len(images) == IMAGES_MAX, answer
    return dict(enumerate(_fetch_url(image["url"]) for image in images))
