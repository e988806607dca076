"""Stored pictures, with real programs: announced, copied, served, erased; and the faults of each step."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support.client_key import Key
from support.http_client import fetch
from support.picture_test import ADMIN_KEY, IMAGE, PREFIX, PictureTest, Slow
from support.processes import eventually
from support.world import sim


class Kept(PictureTest):
    def test_a_picture_has_an_address_from_its_first_event_and_is_served_from_the_directory(self):
        world = self.world()
        gateway, _ = self.start(world)
        events = self.make(gateway, directives="images=3", max_images=3)
        announced = [event.data["image"] for event in events if event.data.get("stage") == "image"]
        result = events[-1].data["generated_images"]
        self.assertEqual([(image["id"], image["stored_url"], image["url"]) for image in announced],
                         [(image["id"], image["stored_url"], image["url"]) for image in result])
        self.assertEqual(gateway.task("t1").json()["result"]["generated_images"], result)
        for image in result:
            self.wait_state(image, "stored")
            self.assertRegex(image["stored_url"], r"^/p/\d{8}/[0-9a-f]{32}$")
            original = fetch(image["url"].split("/")[2], "GET", "/" + image["url"].split("/", 3)[3])
            answer = gateway.get(image["stored_url"])
            self.assertEqual((answer.status, answer.body, answer.headers["Content-Length"]), (200, original.body, str(len(original.body))))
            self.assertEqual(answer.headers["ETag"], f'"{hashlib.sha256(original.body).hexdigest()}"')
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertRegex(answer.headers["Cache-Control"], r"^private, max-age=[1-9]\d*$")
            self.assertTrue(answer.headers["Content-Type"].startswith("image/"))
        self.assertEqual(self.files(), sorted(image["id"] for image in result))
        self.assertEqual(self.temporary(), [])

    def test_a_picture_survives_restarts_and_the_loss_of_redis(self):
        world = self.world()
        gateway, worker = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        self.assertEqual((gateway.stop(), worker.stop()), (0, 0))
        gateway = world.gateway(STORAGE=self.store)
        before = gateway.get(image["stored_url"])
        self.redis("FLUSHALL")
        self.assertEqual(gateway.get(image["stored_url"]).body, before.body)
        world.redis_server.stop()
        self.assertEqual(eventually(lambda: gateway.get(image["stored_url"]), "an answer").status, 200)
        self.assertEqual(gateway.get("/p/20200101/" + image["id"]).status, 404)

    def test_the_address_redirects_to_ark_until_the_copy_exists(self):
        world = self.world()
        gateway = world.gateway(STORAGE=self.store)
        worker = world.worker(**self.storage(WORKER_ROLES="ark"))
        image = self.make(gateway)[-1].data["generated_images"][0]
        answer = gateway.get(image["stored_url"])
        self.assertEqual((answer.status, answer.headers["Location"], answer.headers["Cache-Control"]), (302, image["url"], "no-store"))
        self.assertFalse((self.store / "tmp").exists() and self.temporary())
        self.assertNotIn("storage", [line.split(" ")[0] for line in worker.lines])
        world.worker(ARK_API_KEY="", WORKER_ROLES="outbox", **self.storage())
        self.wait_state(image, "stored")
        self.assertEqual(gateway.get(image["stored_url"]).status, 200)

    def test_an_outbox_worker_without_storage_waits_and_logs_the_reason(self):
        world = self.world()
        worker = world.worker(ARK_API_KEY="", WORKER_ROLES="outbox")
        self.assertIn("there is nothing to do", "\n".join(worker.lines))
        eventually(lambda: worker.get("/readyz").status == 200, "it is ready")
        self.assertEqual(worker.stop(), 0)

    def test_an_outbox_worker_is_not_counted_as_a_worker_for_tasks(self):
        world = self.world()
        gateway = world.gateway(STORAGE=self.store, GATEWAY_ADMIN_KEY="operators-only-0123")
        outbox = world.worker(ARK_API_KEY="", WORKER_ROLES="outbox", ARK_IMAGES_PER_MINUTE=1, **self.storage())
        def workers():
            answer = gateway.get("/admin/processes", Authorization="Bearer operators-only-0123").json()
            return [process for process in answer["processes"] if process["role"] == "worker"]
        shown, = eventually(workers, "it is alive")
        self.assertEqual((shown["slots"], shown["copies_waiting"]), (0, 0))
        self.assertTrue(shown["storage"])
        self.assertFalse({"images_per_minute", "catalogue"} & set(shown))
        self.assertEqual(gateway.get("/api/v1/faceflip/queue").json()["workers"], 0)
        self.assertEqual((outbox.metric("arkrelay_worker_slots"), outbox.metric("arkrelay_images_per_minute_limit")), (0, 0))
        world.worker(WORKER_ROLES="ark", **self.storage())
        eventually(lambda: len(workers()) == 2, "the other one is alive too")
        self.assertEqual(gateway.get("/api/v1/faceflip/queue").json()["workers"], 1)

    def test_parts_and_conditions(self):
        world = self.world()
        gateway, _ = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        whole = gateway.get(image["stored_url"])
        size, etag = len(whole.body), whole.headers["ETag"]
        for wanted, first, last in (("bytes=0-0", 0, 0), ("bytes=5-", 5, size - 1), ("bytes=-7", size - 7, size - 1), ("bytes=3-999999999", 3, size - 1),
                                    ("bytes=-999999999", 0, size - 1)):
            with self.subTest(range=wanted):
                answer = gateway.get(image["stored_url"], Range=wanted)
                self.assertEqual((answer.status, answer.body, answer.headers["Content-Range"]),
                                 (206, whole.body[first:last + 1], f"bytes {first}-{last}/{size}"))
        for wanted in ("bytes=1-0", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=x", "bytes=99999999999999999999-", ""):
            with self.subTest(range=wanted):
                self.assertEqual(gateway.get(image["stored_url"], Range=wanted).body, whole.body)
        for wanted in (f"bytes={size}-", "bytes=-0"):
            answer = gateway.get(image["stored_url"], Range=wanted)
            self.assertEqual((answer.status, answer.headers["Content-Range"], answer.body), (416, f"bytes */{size}", b""))
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(gateway.get(image["stored_url"], Range="bytes=0-0", **{"If-Range": '"other"'}).status, 200)
        self.assertEqual(gateway.get(image["stored_url"], Range="bytes=0-0", **{"If-Range": etag}).status, 206)
        for condition in (etag, f'"x", W/{etag}', "*"):
            answer = gateway.get(image["stored_url"], **{"If-None-Match": condition})
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", etag))
        head = fetch(gateway.address, "HEAD", image["stored_url"])
        self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, str(size), b""))
        for query in ("download", "download=", "download=1", "download=my-picture-of-today.png", "download=%0d%0aX:%20y", "x=1&download", "download&x=1"):
            with self.subTest(query=query):
                saved = gateway.get(image["stored_url"] + "?" + query)
                self.assertRegex(saved.headers["Content-Disposition"], r'^attachment; filename="picture-[0-9a-f]{8}\.(jpeg|png)"$')
        for query in ("", "downloads", "x=download", "DOWNLOAD"):
            self.assertNotIn("Content-Disposition", gateway.get(image["stored_url"] + "?" + query).headers)

    def test_invalid_addresses(self):
        world = self.world()
        gateway, _ = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        day, name = image["stored_url"].split("/")[2:]
        for path in (f"/p/{day}/{name}x", f"/p/{day}/{name[:-1]}", f"/p/{day}/{name.upper()}" if name.upper() != name else "/p/x/y", f"/p/tmp/{name}",
                     f"/p/{day}/../{day}/{name}", f"/p/{day}%2F..%2F{day}%2F{name}", f"/p/{day}", "/p/", f"/p/99999999/{name}", "/p/20260101/" + "0" * 32,
                     f"/p//{name}", f"/p/{day}/{name}/", "/p/arkrelay-storage"):
            with self.subTest(path=path):
                self.assertEqual(gateway.get(path).status, 404)
        self.assertEqual(fetch(gateway.address, "POST", image["stored_url"], {}).status, 405)

    def test_a_public_url_makes_the_address_absolute(self):
        world = self.world()
        gateway, _ = self.start(world, PUBLIC_URL="https://pictures.example/")
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertTrue(image["stored_url"].startswith("https://pictures.example/p/"))
        self.wait_state(image, "stored")
        self.assertEqual(gateway.get(image["stored_url"].removeprefix("https://pictures.example")).status, 200)

    def test_without_storage_nothing_changes(self):
        world = self.world()
        gateway, worker = world.gateway(), world.worker()
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertEqual(set(image), {"index", "url", "size"})
        self.assertEqual(self.redis("KEYS", PREFIX + "*pictur*") + self.redis("KEYS", PREFIX + "lane*"), [])
        self.assertEqual(gateway.get("/p/20261207/" + "0" * 32).status, 404)
        self.assertFalse(any(" outbox" in line for line in worker.lines))


class Bytes(PictureTest):
    """ARK_RESPONSE_FORMAT=b64_json: the bytes go to the storage, and Redis gets the address."""

    def start(self, world, gateway=(), **worker):
        return super().start(world, gateway, **{"ARK_RESPONSE_FORMAT": "b64_json", **worker})

    def test_the_bytes_are_stored_before_the_event(self):
        world = self.world()
        gateway, worker = self.start(world)
        events = self.make(gateway, directives="images=3", max_images=3)
        result = events[-1].data["generated_images"]
        for image in result:
            self.assertEqual(image["url"], image["stored_url"])
            self.assertEqual((self.picture(image, "state"), self.picture(image, "type")), ("stored", "image/jpeg"))
            answer = gateway.get(image["url"])
            self.assertEqual((answer.status, hashlib.sha256(answer.body).hexdigest()), (200, self.picture(image, "sha256")))
        self.assertEqual(self.files(), sorted(image["id"] for image in result))
        self.assertFalse([key for key in self.redis("KEYS", PREFIX + "*") if b"copies" in key])
        self.assertFalse(any("base64," in element for element in self.log("t1")))
        self.assertEqual(gateway.erase("t1").status, 204)
        eventually(lambda: self.files() == [], "the pictures are gone")
        self.assertEqual(self.temporary(), [])

    def test_a_role_without_the_outbox_stores_too(self):
        world = self.world()
        gateway, _ = self.start(world, WORKER_ROLES="ark")
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertEqual(gateway.get(image["url"]).status, 200)

    def test_a_storage_that_takes_nothing_leaves_the_data_url(self):
        world = self.world()
        gateway, worker = self.start(world)
        self.break_storage()
        events = self.make(gateway, directives="images=2", max_images=2)
        for image in events[-1].data["generated_images"]:
            self.assertTrue(image["url"].startswith("data:image/jpeg;base64,/9j/"))
            self.assertNotIn("stored_url", image)
        worker.wait_for("cannot store an image, it goes to Redis as a data: URL")
        self.assertEqual((self.files(), self.redis("KEYS", PREFIX + "picture:*")), ([], []))

    def test_a_worker_that_drains_stores_what_has_come(self):
        world = self.world()
        gateway, worker = self.start(world)
        with gateway.generate("t1", prompt=sim("t1", "images=1 latency=1000")) as stream:
            world.ark.wait_calls(1)
            self.assertEqual(worker.stop(), 0)
            self.assertEqual(json.loads(stream.to_end()[-1].data)["event"], "done")
        self.assertEqual(len(self.files()), 1)


class Replaced(PictureTest):
    def test_url_is_the_stored_one(self):
        world = self.world()
        gateway, worker = self.start(world, STORAGE_REPLACE_URL="1", PUBLIC_URL="https://pictures.example")
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertEqual(image["url"], image["stored_url"])
        self.assertTrue(image["url"].startswith("https://pictures.example/p/"))
        self.wait_state(image, "stored")
        self.assertEqual(gateway.get(image["url"].removeprefix("https://pictures.example")).status, 200)
        self.assertFalse([element for element in self.log("t1") if world.ark.url in element])


class Deleted(PictureTest):
    def test_the_pictures_of_a_deleted_task_are_unavailable_at_once_and_deleted(self):
        world = self.world()
        gateway, worker = self.start(world)
        images = self.make(gateway, directives="images=2", max_images=2)[-1].data["generated_images"]
        other = self.make(gateway, "t2")[-1].data["generated_images"][0]
        for image in (*images, other):
            self.wait_state(image, "stored")
        self.assertEqual(gateway.erase("t1").status, 204)
        for image in images:
            self.assertEqual(gateway.get(image["stored_url"]).status, 404)
        eventually(lambda: self.files() == [other["id"]], "only the other picture is left")
        self.assertEqual(gateway.get(other["stored_url"]).status, 200)
        eventually(lambda: worker.metric("arkrelay_pictures_deleted_total") == 2, "both are counted")

    def two_clients(self, world):
        """A gateway with keys, a worker, and the headers of two clients."""
        keys = [Key("shop"), Key("other")]
        file = pathlib.Path(self.folder, "keys")
        file.write_text("".join(key.line() for key in keys))
        gateway, _ = self.start(world, gateway={"GATEWAY_KEYS_FILE": file})
        return gateway, *(key.header for key in keys)

    def stored(self, gateway, headers, name="t1"):
        with gateway.generate(name, prompt=sim(name, "images=1"), headers=headers) as stream:
            image = json.loads(stream.to_end()[-1].data)["data"]["generated_images"][0]
        self.wait_state(image, "stored")
        return image

    def remove(self, gateway, image, headers=()):
        return fetch(gateway.address, "DELETE", image["stored_url"], headers=dict(headers))

    def test_one_picture_is_deleted_by_its_owner(self):
        gateway, mine, others = self.two_clients(self.world())
        image, other = self.stored(gateway, mine), self.stored(gateway, mine, "t2")
        self.assertEqual([self.remove(gateway, image, headers).status for headers in ((), others)], [401, 404])
        self.assertEqual(gateway.get(image["stored_url"]).status, 200)
        wrong_day = {"stored_url": image["stored_url"].replace("/p/2", "/p/3")}
        self.assertEqual(self.remove(gateway, wrong_day, mine).status, 404)
        self.assertEqual(self.remove(gateway, image, mine).status, 204)
        self.assertEqual(gateway.get(image["stored_url"]).status, 404)
        self.assertEqual(self.remove(gateway, image, mine).status, 404)
        eventually(lambda: self.files() == [other["id"]], "only the other picture is left")

    def test_a_picture_is_deleted_after_its_task_has_expired(self):
        gateway, mine, _ = self.two_clients(self.world())
        image = self.stored(gateway, mine)
        self.redis("DEL", PREFIX + "task:shop.t1", PREFIX + "events:shop.t1")
        self.assertEqual(self.remove(gateway, image, mine).status, 204)
        eventually(lambda: self.files() == [], "the picture is gone")

    def test_a_picture_of_which_only_the_storage_knows_is_deleted_by_its_owner(self):
        gateway, mine, others = self.two_clients(self.world())
        image = self.stored(gateway, mine)
        self.redis("DEL", PREFIX + "picture:" + image["id"])
        self.assertEqual(self.remove(gateway, image, others).status, 404)
        self.assertEqual(self.files(), [image["id"]])
        self.assertEqual(self.remove(gateway, image, mine).status, 204)
        self.assertEqual((self.files(), self.remove(gateway, image, mine).status), ([], 404))

    def test_without_redis_nothing_is_deleted(self):
        world = self.world()
        gateway, _ = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        world.redis_server.stop()
        answer = self.remove(gateway, image)
        self.assertEqual((answer.status, answer.json()["code"]), (503, "store_unavailable"))
        self.assertEqual(gateway.get(image["stored_url"]).status, 200)

    def test_a_picture_that_waits_to_be_copied_is_deleted(self):
        world = self.world()
        with Slow() as slow:
            gateway, _ = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            slow.asked.wait(20)
            self.assertEqual(self.remove(gateway, image).status, 204)
            self.assertEqual(gateway.get(image["stored_url"]).status, 404)
            slow.go_on.set()
            eventually(lambda: self.redis("EXISTS", PREFIX + "leased:copies", PREFIX + "lanes:deletions", PREFIX + "leased:deletions") == 0, "all is done")
        self.assertEqual((self.files(), self.temporary()), ([], []))

    def test_a_picture_that_is_erased_during_its_copy_is_not_stored(self):
        world = self.world()
        with Slow() as slow:
            gateway, _ = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            slow.asked.wait(20)
            self.assertEqual(gateway.erase("t1").status, 204)
            self.assertEqual(gateway.get(image["stored_url"]).status, 404)
            slow.go_on.set()
            eventually(lambda: self.redis("ZCARD", PREFIX + "leased:copies") == 0, "the copy has ended")
        eventually(lambda: self.redis("EXISTS", PREFIX + "lanes:deletions", PREFIX + "leased:deletions") == 0, "the deletion is done")
        self.assertEqual((self.files(), self.temporary()), ([], []))


class Failures(PictureTest):
    def test_a_worker_that_is_killed_while_it_copies(self):
        world = self.world()
        with Slow() as slow:
            gateway, worker = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            slow.asked.wait(20)
            eventually(self.temporary, "a temporary file")
            worker.signal(signal.SIGKILL)
            worker.wait_exit()
            worker.forget()
            slow.waits = False
            slow.go_on.set()
            world.worker(**self.storage(ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/"))
            self.wait_state(image, "stored")
        self.assertEqual(gateway.get(image["stored_url"]).body, IMAGE)
        self.assertEqual(self.temporary(), [])

    def test_a_drain_returns_the_copy_to_its_queue(self):
        world = self.world()
        with Slow() as slow:
            gateway, worker = self.start(world, OUTBOX_LEASE="1h", ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            slow.asked.wait(20)
            self.assertEqual(worker.stop(), 0)
            slow.waits = False
            slow.go_on.set()
            world.worker(**self.storage(ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/"))
            self.wait_state(image, "stored")

    def test_a_host_that_fails_for_a_while(self):
        world = self.world()
        with Slow(status=503, waits=False) as host:
            gateway, worker = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            eventually(lambda: host.requests >= 2, "a second try")
            self.assertEqual(gateway.get(image["stored_url"]).status, 302)
            host.status = 200
            self.wait_state(image, "stored")
            self.assertGreaterEqual(eventually(lambda: worker.metric("arkrelay_copies_total"), "metrics"), 3)

    def one_fault(self, host, end, **worker_options):
        """A picture that `host` does not deliver. -> the gateway, the worker, the picture"""
        world = self.world()
        gateway, worker = self.start(world, gateway={"GATEWAY_ADMIN_KEY": ADMIN_KEY}, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/", PRESENCE_INTERVAL="100ms",
                                     **worker_options)
        image = self.make(gateway)[-1].data["generated_images"][0]
        worker.wait_for(f"copy failed.*end={end}")
        self.assertEqual((self.picture(image, "state"), gateway.get(image["stored_url"]).headers["Location"]), ("owed", image["url"]))
        return gateway, worker, image

    def test_a_picture_that_is_cut_is_fetched_again(self):
        with Slow(waits=False, cut=True) as host:
            gateway, _, image = self.one_fault(host, "host_failed")
            host.cut = False
            self.wait_state(image, "stored")
            self.assertEqual((gateway.get(image["stored_url"]).body, self.temporary()), (IMAGE, []))

    def test_a_host_that_is_too_slow_is_asked_again(self):
        with Slow() as host:
            gateway, _, image = self.one_fault(host, "host_failed")
            host.waits = False
            host.go_on.set()
            self.wait_state(image, "stored")
            self.assertEqual((gateway.get(image["stored_url"]).body, self.temporary()), (IMAGE, []))

    def test_a_link_that_has_expired_is_given_up_and_told(self):
        with Slow(status=403, waits=False) as host:
            gateway, worker, image = self.one_fault(host, "link_expired")
            eventually(lambda: self.picture(image, "tries") == "1", "a try is counted")
            eventually(lambda: [row for row in self.says(gateway) if "could not copy its last picture: link_expired" in row[1]], "doctor says so")
            self.redis("HSET", PREFIX + "picture:" + image["id"], "created_at", 1)
            self.due(image)
            worker.wait_for("picture given up.*code=link_expired")
            self.assertEqual((self.picture(image, "state"), self.picture(image, "code")), ("failed", "link_expired"))
            self.assertEqual((gateway.get(image["stored_url"]).status, worker.metric("arkrelay_pictures_given_up_total")), (404, 1))
            eventually(lambda: [row for row in self.says(gateway) if "given up" in row[1]], "doctor says so")

    def due(self, image):
        """Its next try is now."""
        lane = image["url"].split("/")[2]
        self.redis("ZADD", PREFIX + f"owed:copies:{lane}", 0, image["id"])
        self.redis("ZADD", PREFIX + "lanes:copies", 0, lane)

    def test_a_full_disk_delays_copies_until_there_is_room(self):
        self.store.mkdir()
        under = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=100k tmpfs "$0" && exec "$@"', self.store]
        if subprocess.run([*under, "true"], capture_output=True, check=False).returncode:
            self.skipTest("mount namespaces are not allowed here")
        large = IMAGE + os.urandom(1_000_000)
        world = self.world()
        with Slow(body=large, waits=False) as host:
            gateway = world.gateway(GATEWAY_ADMIN_KEY=ADMIN_KEY)
            worker = world.worker(under=under, PRESENCE_INTERVAL="100ms", ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/", **self.storage())
            image = self.make(gateway)[-1].data["generated_images"][0]
            worker.wait_for("the storage does not take pictures.*end=full")
            eventually(lambda: [row for row in self.says(gateway) if "cannot store pictures: full" in row[1]], "doctor says so")
            self.assertEqual((self.picture(image, "state"), self.picture(image, "tries")), ("owed", None))
            subprocess.run(["nsenter", f"--target={worker.pid}", "--mount", "mount", "-o", "remount,size=64m", self.store], check=True)
            self.wait_state(image, "stored")
            self.assertEqual(worker.metric("arkrelay_storage_failing"), 0)

    def test_a_private_address_is_not_fetched_and_the_task_is_done(self):
        world = self.world()
        with Slow(waits=False) as inside:
            gateway, worker = self.start(world, ARK_BASE_URL=f"{world.ark.url.replace('127.0.0.1', 'localhost')}/api/v3")
            image = self.make(gateway)[-1].data["generated_images"][0]
            worker.wait_for("copy failed.*not_public")
            self.assertEqual((gateway.get(image["stored_url"]).headers["Location"], inside.requests, self.files()), (image["url"], 0, []))
            worker.stop()
            world.worker(**self.storage(ARK_IMAGE_URL_MAP=f"{world.ark.url}/={inside.url}/"))       # the operator's correction
            self.due(image)
            self.wait_state(image, "stored")

    def test_a_page_instead_of_a_picture_is_retried_and_not_stored(self):
        world = self.world()
        with Slow(body=b"<html>" + b"x" * 300, waits=False) as host:
            gateway, worker = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            eventually(lambda: self.picture(image, "tries") == "1", "a try is counted")
            self.assertEqual(worker.metric("arkrelay_copies_total"), 1)
            self.redis("HSET", PREFIX + "picture:" + image["id"], "tries", 4)
            self.due(image)
            worker.wait_for("cannot be copied, trying again every hour.*code=not_image")
            lane = PREFIX + "owed:copies:" + image["url"].split("/")[2]
            due_ms = eventually(lambda: self.redis("ZSCORE", lane, image["id"]), "it waits")
            seconds, _ = self.redis("TIME")
            self.assertTrue(3_500_000 < float(due_ms) - int(seconds) * 1000 <= 3_601_000)
            self.assertEqual((self.files(), self.temporary(), gateway.get(image["stored_url"]).status), ([], [], 302))
            host.body = IMAGE
            self.due(image)
            self.wait_state(image, "stored")

    def test_a_picture_that_was_given_up_is_at_ark_until_the_link_expires(self):
        world = self.world()
        gateway = world.gateway(**self.place())
        world.worker(**self.storage(WORKER_ROLES="ark"))
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.redis("HSET", PREFIX + "picture:" + image["id"], "tries", 5)       # five workers were lost
        worker = world.worker(**self.storage(WORKER_ROLES="outbox"))
        worker.wait_for("picture given up.*code=host_failed")
        self.wait_state(image, "failed")
        self.assertEqual(gateway.get(image["stored_url"]).headers["Location"], image["url"])
        self.redis("HSET", PREFIX + "picture:" + image["id"], "created_at", 1)
        self.assertEqual(gateway.get(image["stored_url"]).status, 404)

    def test_a_storage_that_cannot_be_written_for_a_while_fails_no_task(self):
        world = self.world()
        gateway, worker = self.start(world)
        self.break_storage()
        image = self.make(gateway)[-1].data["generated_images"][0]
        worker.wait_for("the storage does not take pictures")
        self.assertEqual(self.picture(image, "state"), "owed")
        eventually(lambda: worker.metric("arkrelay_storage_failing") == 1, "the metric says so")
        self.assertEqual(gateway.get(image["stored_url"]).status, 302)
        self.mend_storage()
        self.wait_state(image, "stored")
        self.assertEqual(worker.metric("arkrelay_storage_failing"), 0)

    def test_a_directory_that_is_removed_is_used_again_when_it_is_restored(self):
        world = self.world()
        gateway, worker = self.start(world)
        first = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(first, "stored")
        backup = pathlib.Path(self.folder, "backup")
        shutil.copytree(self.store, backup)
        shutil.rmtree(self.store)
        self.assertEqual(gateway.get(first["stored_url"]).status, 503)
        second = self.make(gateway, "t2")[-1].data["generated_images"][0]
        worker.wait_for("the storage does not take pictures")
        self.assertEqual(gateway.get(second["stored_url"]).headers["Location"], second["url"])
        shutil.copytree(backup, self.store)
        self.assertEqual(gateway.get(first["stored_url"]).status, 200)
        self.wait_state(second, "stored")

    def test_a_wrong_directory_is_an_error_and_not_a_404(self):
        world = self.world()
        gateway, _ = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        other = world.gateway(STORAGE=pathlib.Path(self.folder, "other"))
        other.wait_for("this is not the storage of the other programs")
        answer = other.get(image["stored_url"])
        self.assertEqual((answer.status, answer.json()["code"]), (503, "storage_unavailable"))
        other.wait_for("in another storage")
        self.redis("DEL", PREFIX + "picture:" + image["id"])
        self.assertEqual(gateway.get(image["stored_url"]).status, 200)
        self.assertEqual(other.get(image["stored_url"]).status, 503)

    def test_a_worker_with_another_directory_stores_nothing_until_it_is_allowed_to(self):
        world = self.world()
        gateway = world.gateway(**self.place())
        eventually(lambda: self.redis("EXISTS", "arkrelay:{storage}:identity"), "the gateway's storage is known")
        other = pathlib.Path(self.folder, "other")
        old = other / "20200101" / ("a" * 32)
        old.parent.mkdir(parents=True)
        old.touch()
        begin = time.monotonic()
        worker = world.worker(**self.storage(STORAGE=other))
        worker.wait_for("this is not the storage of the other programs")
        eventually(lambda: time.monotonic() - begin > 3, "a sweep would have begun")
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertEqual((worker.metric("arkrelay_storage_failing"), list(other.glob("2*/*"))), (1, [old]))
        self.assertEqual((self.picture(image, "state"), gateway.get(image["stored_url"]).status), ("owed", 302))
        worker.stop()
        self.redis("DEL", "arkrelay:{storage}:identity")
        world.worker(**self.storage(STORAGE=other))
        self.wait_state(image, "stored")
        eventually(lambda: not old.parent.exists(), "the old day is swept")

    def test_bytes_are_not_stored_in_another_directory(self):
        world = self.world()
        gateway = world.gateway(**self.place())
        eventually(lambda: self.redis("EXISTS", "arkrelay:{storage}:identity"), "the gateway's storage is known")
        worker = world.worker(**self.storage(STORAGE=pathlib.Path(self.folder, "other"), ARK_RESPONSE_FORMAT="b64_json"))
        worker.wait_for("this is not the storage of the other programs")
        self.assertTrue(self.make(gateway)[-1].data["generated_images"][0]["url"].startswith("data:"))

    def test_a_file_that_was_removed_by_hand_is_a_404_and_logged(self):
        world = self.world()
        gateway, _ = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        next(self.store.glob("2*/*")).unlink()
        self.assertEqual(gateway.get(image["stored_url"]).status, 404)
        gateway.wait_for("a stored picture is missing")

    def test_expired_days_are_swept_at_the_start(self):
        world = self.world()
        gateway, worker = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        file = next(self.store.glob("2*/*"))
        old = self.store / "20200101"
        file.parent.rename(old)
        self.assertEqual(gateway.get("/p/20200101/" + image["id"]).status, 404)
        worker.stop()
        world.worker(**self.storage())
        eventually(lambda: not old.exists(), "the day is gone")

    def test_no_secret_is_logged(self):
        world = self.world()
        gateway, worker = self.start(world)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        gateway.get(image["stored_url"])
        for program in (gateway, worker):
            self.assertFalse([line for line in program.lines if image["id"] in line])


class Doctor(PictureTest):
    """The findings of `arkctl doctor` about the storage."""

    def test_ok_and_each_fault(self):
        world = self.world()
        options = {"GATEWAY_ADMIN_KEY": ADMIN_KEY, "PRESENCE_INTERVAL": "100ms"}
        gateway = world.gateway(STORAGE=self.store, **options)
        self.assertEqual(self.says(gateway), [("bad", "no worker copies pictures: ARK's links end after 24 hours")])
        worker = world.worker(PRESENCE_INTERVAL="100ms", **self.storage())
        [(status, text)] = eventually(lambda: [row for row in self.says(gateway) if row[0] == "ok"], "all is well")
        self.assertRegex(text, r"^directory [0-9a-f]{32}; 0 pictures waiting to be copied$")
        other = world.gateway(STORAGE=pathlib.Path(self.folder, "other"), **options)
        eventually(lambda: [row for row in self.says(gateway) if "2 different storages" in row[1]], "two directories")
        self.assertEqual(other.stop(), 0)
        self.break_storage()
        self.make(gateway)
        eventually(lambda: [row for row in self.says(gateway) if "cannot store pictures" in row[1]], "the trouble")
        self.assertEqual(worker.stop(), 0)

    def test_no_finding_without_a_storage(self):
        world = self.world()
        gateway = world.gateway(GATEWAY_ADMIN_KEY=ADMIN_KEY)
        world.worker()
        self.assertEqual(self.says(gateway), [])


class Readers(PictureTest):
    def test_a_large_picture_is_sent_with_a_small_output_limit(self):
        world = self.world()
        large = IMAGE + os.urandom(12_000_000)
        with Slow(body=large, waits=False) as host:
            gateway, _ = self.start(world, gateway={"GATEWAY_OUTPUT_MAX": "4096"}, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            self.wait_state(image, "stored")
        for _ in range(3):
            self.assertEqual(hashlib.sha256(gateway.get(image["stored_url"]).body).digest(), hashlib.sha256(large).digest())
        self.assertEqual(gateway.get(image["stored_url"], Range="bytes=5000000-9999999").body, large[5_000_000:10_000_000])


if __name__ == "__main__":
    unittest.main()
