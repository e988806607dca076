"""Pictures that are kept in a bucket, with real programs. The bucket checks every signature with code of its own."""

import http.client
import os
import pathlib
import subprocess
import types
import unittest

from support.http_client import fetch
from support.outbox import make_due
from support.picture_test import IMAGE, PREFIX, PictureTest, Slow
from support.processes import binary, eventually
from support.s3_bucket import Bucket

S3RVER = pathlib.Path(__file__).parents[2] / "build/s3rver/node_modules"


def read(url):
    """Reads a link like a client that follows a redirect: with the host for which it is signed."""
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/" + path)
    answer = connection.getresponse()
    return types.SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read())


class BucketTest(PictureTest):
    def setUp(self):
        super().setUp()
        self.bucket = self.enterContext(Bucket())
        self.spool = pathlib.Path(self.folder, "spool")

    def place(self):
        return self.bucket.options(self.spool)

    def follow(self, answer):
        """The answer of the address in a redirect."""
        self.assertEqual((answer.status, answer.headers["Cache-Control"], answer.body), (302, "no-store", b""))
        return read(answer.headers["Location"])

    def stored(self, gateway, name="t1"):
        image = self.make(gateway, name)[-1].data["generated_images"][0]
        self.wait_state(image, "stored")
        return image

    def no_trace(self):
        return [path.name for path in self.spool.iterdir()]


class Kept(BucketTest):
    def test_a_picture_is_read_by_a_link_of_five_minutes(self):
        gateway, worker = self.start(self.world())
        image = self.stored(gateway)
        day = image["stored_url"].split("/")[2]
        self.assertEqual(self.bucket.keys(), [f"kept/{day}/{image['id']}"])
        answer = gateway.get(image["stored_url"])
        location = answer.headers["Location"]
        self.assertTrue(location.startswith(f"{self.bucket.url}/pictures/kept/{day}/{image['id']}?"))
        self.assertIn("X-Amz-Expires=300&", location)
        picture = self.follow(answer)
        original = fetch(image["url"].split("/")[2], "GET", "/" + image["url"].split("/", 3)[3])
        self.assertEqual((picture.status, picture.body, picture.headers["Content-Type"]), (200, original.body, original.headers["Content-Type"]))
        self.assertEqual(self.no_trace(), [])
        for program in (gateway, worker):
            self.assertFalse([line for line in program.lines if "secret/with+signs" in line or "X-Amz-Signature" in line])

    def test_a_download_has_a_name(self):
        gateway, _ = self.start(self.world())
        image = self.stored(gateway)
        picture = self.follow(gateway.get(image["stored_url"] + "?download"))
        self.assertRegex(picture.headers["Content-Disposition"], rf'^attachment; filename="picture-{image["id"][:8]}\.(jpeg|png)"$')

    def test_head_is_answered_by_the_gateway(self):
        gateway, _ = self.start(self.world())
        image = self.stored(gateway)
        head = fetch(gateway.address, "HEAD", image["stored_url"])
        self.assertEqual((head.status, head.headers["Content-Length"]), (200, self.picture(image, "bytes")))

    def test_links_may_name_another_host(self):
        public = f"http://localhost:{self.bucket.port}"
        gateway, _ = self.start(self.world(), gateway={"STORAGE_LINK_ENDPOINT": public})
        answer = gateway.get(self.stored(gateway)["stored_url"])
        self.assertTrue(answer.headers["Location"].startswith(public + "/pictures/"))
        self.assertEqual(self.follow(answer).status, 200)

    def test_after_redis_was_emptied_only_stored_pictures_are_found(self):
        gateway, _ = self.start(self.world())
        image = self.stored(gateway)
        self.redis("DEL", PREFIX + "picture:" + image["id"])
        self.assertEqual(self.follow(gateway.get(image["stored_url"])).status, 200)
        self.assertEqual(gateway.get(image["stored_url"].replace(image["id"], "0" * 32)).status, 404)

    def test_the_pictures_of_a_deleted_task_leave_the_bucket(self):
        gateway, _ = self.start(self.world())
        image, other = self.stored(gateway), self.stored(gateway, "t2")
        self.assertEqual(gateway.erase("t1").status, 204)
        self.assertEqual(gateway.get(image["stored_url"]).status, 404)
        eventually(lambda: [key for key in self.bucket.keys() if image["id"] in key] == [], "the object is gone")
        self.assertEqual(len(self.bucket.keys()), 1)
        self.assertEqual(self.follow(gateway.get(other["stored_url"])).status, 200)

    def test_a_picture_that_is_erased_during_its_copy_is_not_stored(self):
        world = self.world()
        with Slow() as slow:
            gateway, _ = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={slow.url}/")
            self.make(gateway)
            slow.asked.wait(20)
            self.assertEqual(gateway.erase("t1").status, 204)
            slow.go_on.set()
            eventually(lambda: self.redis("ZCARD", PREFIX + "leased:copies") == 0, "the copy has ended")
        eventually(lambda: self.redis("EXISTS", PREFIX + "lanes:deletions", PREFIX + "leased:deletions") == 0, "the deletion is done")
        self.assertEqual((self.bucket.keys(), self.no_trace()), ([], []))

    def test_expired_days_are_swept(self):
        self.bucket.store.objects["kept/20200101/" + "a" * 32] = (b"", [])
        self.bucket.store.objects["other/20200101/" + "b" * 32] = (b"", [])
        self.start(self.world())
        eventually(lambda: self.bucket.keys() == ["other/20200101/" + "b" * 32], "the day is gone")


class Faults(BucketTest):
    def trouble(self, gateway):
        workers = [process for process in gateway.get("/admin/processes", **{"Authorization": "Bearer " + "k" * 32}).json()["processes"] if process["role"] == "worker"]
        return workers[0].get("storage_trouble", "")

    def test_errors_of_the_server_delay_the_copy_and_never_the_task(self):
        for status, code, end in ((500, "InternalError", "failed"), (503, "SlowDown", "busy"), (403, "AccessDenied", "denied"), (403, "SignatureDoesNotMatch", "denied"),
                                  (404, "NoSuchBucket", "denied"), (507, "QuotaExceeded", "full")):
            with self.subTest(code):
                world = self.world()
                gateway, worker = self.start(world, gateway={"GATEWAY_ADMIN_KEY": "k" * 32}, PRESENCE_INTERVAL="100ms")
                self.bucket.fail(status, code, 1000)
                image = self.make(gateway)[-1].data["generated_images"][0]
                worker.wait_for(f"the storage does not take pictures.*{code}")
                eventually(lambda: worker.metric("arkrelay_storage_failing") == 1, "the metric says so")
                eventually(lambda: self.trouble(gateway) == end, f"presence says {end}")
                self.assertEqual(gateway.get(image["stored_url"]).headers["Location"], image["url"])
                self.bucket.heal()
                self.wait_state(image, "stored")
                self.assertEqual(worker.metric("arkrelay_storage_failing"), 0)
                self.assertEqual(self.no_trace(), [])

    def test_a_deletion_that_fails_is_repeated(self):
        gateway, worker = self.start(self.world())
        self.stored(gateway)
        self.bucket.fail(500, "InternalError", method="DELETE")
        self.assertEqual(gateway.erase("t1").status, 204)
        worker.wait_for("cannot delete a picture")
        eventually(lambda: self.bucket.keys() == [], "the object is gone")

    def test_a_request_to_a_silent_server_times_out(self):
        gateway, worker = self.start(self.world(), STORAGE_TIMEOUT="500ms")
        self.bucket.store.stall.clear()
        image = self.make(gateway)[-1].data["generated_images"][0]
        worker.wait_for("the storage does not take pictures")
        self.bucket.store.stall.set()
        self.wait_state(image, "stored")

    def test_a_write_that_outlasts_the_lease_is_no_lost_worker(self):
        """OUTBOX_LEASE is shorter than STORAGE_TIMEOUT, and the server is slow: the picture must not be given up after five leases."""
        gateway, worker = self.start(self.world(), OUTBOX_LEASE="1s")
        self.bucket.store.stall.clear()
        image = self.make(gateway)[-1].data["generated_images"][0]
        worker.wait_for("the storage does not take pictures.*OUTBOX_LEASE")
        self.assertEqual((self.picture(image, "state"), self.picture(image, "tries")), ("owed", None))
        self.bucket.store.stall.set()
        self.wait_state(image, "stored")

    def test_bytes_that_the_bucket_may_have_leave_it_again(self):
        """A PUT is executed, and its answer lost. The event has the bytes, so no task and no client would ever name the object."""
        gateway, worker = self.start(self.world(), ARK_RESPONSE_FORMAT="b64_json")
        self.bucket.lose(100)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertTrue(image["url"].startswith("data:image/jpeg;base64,"))
        [key] = self.bucket.keys()
        [hash] = self.redis("KEYS", PREFIX + "picture:*")
        self.assertEqual((hash.decode().rpartition(":")[2], self.redis("HGET", hash, "state")), (key.rpartition("/")[2], b"erased"))
        self.bucket.heal()
        make_due(self.redis, "deletions")
        eventually(lambda: self.bucket.keys() == [], "the object is gone")

    def test_bytes_that_the_bucket_refuses_owe_nothing(self):
        gateway, _ = self.start(self.world(), ARK_RESPONSE_FORMAT="b64_json")
        self.bucket.fail(403, "AccessDenied", 100)
        image = self.make(gateway)[-1].data["generated_images"][0]
        self.assertTrue(image["url"].startswith("data:image/jpeg;base64,"))
        self.assertEqual(self.redis("KEYS", PREFIX + "picture:*"), [])

    def test_a_request_is_repeated_after_a_cut_connection(self):
        gateway, worker = self.start(self.world())
        self.bucket.store.faults.append(["reset", "", "", "PUT"])
        image = self.make(gateway)[-1].data["generated_images"][0]
        worker.wait_for("the storage does not take pictures")
        self.wait_state(image, "stored")

    def test_wrong_options_are_reported_at_the_start(self):
        good = self.place()
        for changes, words in (({"STORAGE_SECRET_KEY": ""}, "needs STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY"), ({"STORAGE": "s3://"}, "the bucket must"),
                               ({"STORAGE": "pictures"}, "absolute path"), ({"STORAGE_ENDPOINT": "http://a/b"}, "the endpoint must be"),
                               ({"STORAGE_STYLE": "virtual"}, "needs the path style"), ({"STORAGE_SPOOL": "x"}, "absolute path")):
            for program in ("arkrelay-gateway", "arkrelay-worker"):
                with self.subTest(program=program, **changes):
                    options = {**good, "ARK_API_KEY": "k", **changes}
                    run = subprocess.run([binary(program)], env={name: str(value) for name, value in options.items()}, cwd=self.folder, capture_output=True, text=True,
                                         timeout=20, check=False)
                    self.assertEqual(run.returncode, 78, run.stderr)
                    self.assertIn(words, run.stderr)
                    self.assertNotIn(good["STORAGE_SECRET_KEY"], run.stderr)


@unittest.skipUnless(S3RVER.exists(), "s3rver is not installed: scripts/install_deps.sh s3rver")
class AnotherServer(PictureTest):
    """s3rver, an independent implementation."""

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.folder, "buckets")
        folder.mkdir()
        script = pathlib.Path(__file__).parents[1] / "support/s3rver/server.js"
        server = self.enterContext(subprocess.Popen(["node", script, S3RVER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.addCleanup(server.stdin.close)
        self.port = int(server.stdout.readline())

    def place(self):
        return {"STORAGE": "s3://pictures/x", "STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}", "STORAGE_ACCESS_KEY": "S3RVER", "STORAGE_SECRET_KEY": "S3RVER",
                "STORAGE_SPOOL": os.path.join(self.folder, "spool")}

    def test_kept_read_and_deleted(self):
        world = self.world()
        with Slow(waits=False) as host:
            gateway, worker = self.start(world, ARK_IMAGE_URL_MAP=f"{world.ark.url}/={host.url}/")
            image = self.make(gateway)[-1].data["generated_images"][0]
            self.wait_state(image, "stored")
        location = gateway.get(image["stored_url"]).headers["Location"]
        picture = read(location)
        self.assertEqual((picture.status, picture.body, picture.headers["Content-Type"]), (200, IMAGE, "image/png"))
        self.assertEqual(gateway.erase("t1").status, 204)
        eventually(lambda: read(location).status == 404, "the object is gone")
        eventually(lambda: worker.metric("arkrelay_pictures_deleted_total") == 1, "counted")


if __name__ == "__main__":
    unittest.main()
