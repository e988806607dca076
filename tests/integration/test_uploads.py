"""POST /uploads with real programs: images of every type, both forms of the body, everything that is refused, and what is left behind."""

import base64
import hashlib
import http.server
import json
import pathlib
import socket
import tempfile
import threading
import unittest
import urllib.parse

from gateway_case import FORGETFUL_ASAN
from support.http_client import Connection, fetch
from support.images import png
from support.processes import ProcessTest, eventually
from support.s3_bucket import Bucket
from support.world import BASE, World, sim
from test_gateway_keys import Key

IMAGES = pathlib.Path(__file__).parents[1] / "data/images"
PNG = (IMAGES / "rgb.png").read_bytes()
PATH = BASE + "/uploads"
LIMIT = 30 << 20


def form(*parts, boundary="xyz"):
    """(headers, body) of a form. A part is (name, file name or None, bytes)."""
    lines = []
    for name, file, data in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file}"' if file is not None else "")
        lines.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n")
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join(lines) + f"--{boundary}--\r\n".encode()


def data_url(name):
    kind = {"jpg": "jpeg"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    return f"data:image/{kind};base64," + base64.b64encode((IMAGES / name).read_bytes()).decode()


def data_of(size):
    """A data: URL of about this length."""
    return "data:image/png;base64," + "A" * (size // 4 * 4)


class Recorder(http.server.BaseHTTPRequestHandler):
    """In front of the simulator: keeps the body of each request, and passes it on."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        answer = fetch(self.server.ark, "POST", self.path, body, {name: self.headers[name] for name in ("Authorization", "Accept")})
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_):
        pass


class UploadTest(ProcessTest):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.store = pathlib.Path(self.folder, "pictures")
        self.world = self.enterContext(World(**self.parts))

    parts = {"ark": False}

    def place(self):
        return {"STORAGE": self.store}

    def gateway(self, **options):
        return self.world.gateway(**self.place(), **options)

    def upload(self, gateway, body=PNG, **headers):
        return fetch(gateway.address, "POST", PATH, body, {"Content-Type": "image/png", **headers})

    def files(self):
        return [path for path in self.store.glob("2*/*")]

    def lose(self):
        for file in self.files():
            file.unlink()

    def damage(self):
        self.files()[0].write_bytes(b"x" * 1000)

    def temporary(self):
        return [path.name for path in (self.store / "tmp").iterdir()]

    def nothing_is_left(self, files=0):
        eventually(lambda: not self.temporary(), "the temporary files are removed")
        self.assertEqual(len(self.files()), files)

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.json()["code"]), (status, code), answer.body)
        return answer.json()


class Taken(UploadTest):
    def test_an_image_gets_an_id_that_is_its_digest_and_the_same_one_when_it_is_sent_again(self):
        gateway = self.gateway()
        first = self.upload(gateway)
        upload = first.json()
        self.assertEqual(first.status, 201)
        self.assertEqual(upload, {"id": "upload:" + hashlib.sha256(PNG).hexdigest(), "type": "image/png", "bytes": len(PNG), "width": 37,
                                  "height": 23, "expires_at": upload["expires_at"]})
        again = self.upload(gateway)
        self.assertEqual((again.status, {**again.json(), "expires_at": upload["expires_at"]}), (200, upload))
        self.nothing_is_left(files=1)
        self.assertTrue(self.files()[0].read_bytes().startswith(PNG))
        self.assertEqual(gateway.get("/p/" + "/".join(self.files()[0].parts[-2:])).status, 404)

    def test_every_type(self):
        gateway = self.gateway()
        types = {"jpg": "jpeg"}
        for path in sorted(IMAGES.iterdir()):
            with self.subTest(path.name):
                kind = types.get(path.suffix[1:], path.suffix[1:])
                for headers in ({"Content-Type": "image/x-other"}, {"Content-Type": "application/octet-stream"}):
                    answer = self.upload(gateway, path.read_bytes(), **headers)
                    self.assertIn(answer.status, (200, 201), answer.body)
                    self.assertEqual(answer.json()["type"], f"image/{kind}")
        self.nothing_is_left(files=len(list(IMAGES.iterdir())))

    def test_a_form_with_one_file(self):
        gateway = self.gateway()
        for parts in ([("file", "a.png", PNG)], [("purpose", None, b"vision"), ("image", "", PNG), ("more", None, b"")]):
            headers, body = form(*parts)
            for more in ({}, {"Content-Length": None, "Transfer-Encoding": "chunked"}):
                sent = body if not more else b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 50]), body[i:i + 50]) for i in range(0, len(body), 50)) + b"0\r\n\r\n"
                answer = self.upload(gateway, sent, **headers, **more)
                self.assertIn(answer.status, (200, 201), answer.body)
                self.assertEqual(answer.json()["id"], "upload:" + hashlib.sha256(PNG).hexdigest())
        self.nothing_is_left(files=1)

    def test_the_largest_image_in_both_forms_while_the_gateway_stays_small(self):
        gateway = self.gateway(ASAN_OPTIONS=FORGETFUL_ASAN)
        self.upload(gateway)
        before = gateway.memory()
        largest = png(6000, 6000, LIMIT)
        headers, body = form(("f", "largest.png", largest))
        self.assertEqual(self.upload(gateway, largest).status, 201)
        self.assertEqual(self.upload(gateway, body, **headers).status, 200)
        self.assertLess(gateway.memory() - before, 8 << 20)
        self.nothing_is_left(files=2)

    def test_clients_do_not_share_uploads(self):
        keys = pathlib.Path(self.folder, "keys")
        shop, press = Key("shop"), Key("press")
        keys.write_text(shop.line() + press.line())
        gateway = self.gateway(GATEWAY_KEYS_FILE=keys)
        for key, status in ((shop, 201), (press, 201), (shop, 200)):
            self.assertEqual(self.upload(gateway, Authorization=f"Bearer {key.token}").status, status)
        self.nothing_is_left(files=2)

    def test_an_image_that_was_lost_is_stored_again(self):
        gateway = self.gateway()
        self.assertEqual(self.upload(gateway).status, 201)
        self.lose()
        self.assertEqual(self.upload(gateway).status, 200)
        self.nothing_is_left(files=1)

    def test_the_body_is_read_only_when_the_key_and_the_limits_allow_it(self):
        gateway = self.gateway()
        with Connection(gateway.address) as connection:
            connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertEqual(connection.response().status, 100)
            connection.send(PNG)
            self.assertEqual(connection.response().status, 201)

    def test_uploads_at_once_from_one_client_are_one_image(self):
        gateway = self.gateway()
        connections = [self.enterContext(Connection(gateway.address)) for _ in range(5)]
        for connection in connections:
            connection.request("POST", PATH, PNG, {"Content-Type": "image/png"})
        answers = [connection.response() for connection in connections]
        self.assertEqual({answer.json()["id"] for answer in answers}, {"upload:" + hashlib.sha256(PNG).hexdigest()})
        self.assertEqual(sorted(answer.status for answer in answers)[-1], 201)
        self.nothing_is_left(files=1)


class Refused(UploadTest):
    def test_without_a_storage_it_says_so(self):
        gateway = self.world.gateway()
        problem = self.refused(self.upload(gateway), 501, "uploads_off")
        self.assertIn("STORAGE", problem["detail"])

    def test_what_is_no_image_that_ark_takes(self):
        gateway = self.gateway()
        table = [
            ("nothing", b"", 415, "not_an_image"), ("a page", b"<html>" + b"x" * 100000, 415, "not_an_image"), ("short", PNG[:11], 415, "not_an_image"),
            ("cut in the header", PNG[:20], 422, "image_damaged"), ("a JPEG that is cut", (IMAGES / "baseline.jpg").read_bytes()[:30], 422, "image_damaged"),
            ("a side too short", png(14, 15), 422, "image_dimensions"), ("the other one", png(2000, 14), 422, "image_dimensions"),
            ("too many pixels", png(6001, 6000), 422, "image_dimensions"), ("too wide", png(321, 20), 422, "image_dimensions"),
            ("too high", png(20, 321), 422, "image_dimensions"), ("enormous", png(0x7fffffff, 0x7fffffff), 422, "image_dimensions"),
        ]
        for name, body, status, code in table:
            for headers, sent in (({}, body), form(("f", "f.png", body))):
                with self.subTest(name, **headers):
                    self.refused(self.upload(gateway, sent, **headers), status, code)
        self.assertEqual(self.upload(gateway, png(15, 15)).status, 201)
        self.assertEqual(self.upload(gateway, png(320, 20)).status, 201)
        self.nothing_is_left(files=2)

    def test_heads(self):
        gateway = self.gateway()
        table = [({"Content-Type": "application/json"}, 415, "upload_content_type"), ({"Content-Type": None}, 415, "upload_content_type"),
                 ({"Content-Type": "image"}, 415, "upload_content_type"), ({"Content-Type": "multipart/form-data"}, 415, "upload_content_type"),
                 ({"Content-Type": "multipart/mixed; boundary=x"}, 415, "upload_content_type"), ({"Content-Encoding": "gzip"}, 415, "content_encoding"),
                 ({"Accept": "text/html"}, 406, "not_acceptable"), ({"Content-Length": None}, 411, "length_required"),
                 ({"Content-Length": str(LIMIT + (64 << 10) + 1)}, 413, "body_too_large")]
        for headers, status, code in table:
            with self.subTest(**headers):
                answer = self.upload(gateway, **headers)
                self.refused(answer, status, code)
                self.assertEqual(answer.headers["Connection"], "close")
        self.nothing_is_left()

    def test_forms(self):
        gateway = self.gateway()
        headers, good = form(("f", "f.png", PNG))
        table = [("no file", form(("f", None, PNG))[1]), ("two files", form(("f", "f.png", PNG), ("g", "g.png", PNG))[1]), ("cut", good[:-6]),
                 ("no part", b"--xyz--\r\n"), ("not a form", b"hello"), ("many parts", form(*[("n", None, b"")] * 30)[1])]
        for name, body in table:
            with self.subTest(name):
                self.refused(self.upload(gateway, body, **headers), 400, "invalid_multipart")
        self.nothing_is_left()

    def test_too_large(self):
        gateway = self.gateway()
        self.refused(self.upload(gateway, png(100, 100, LIMIT + 1)), 413, "body_too_large")
        headers, body = form(("f", "f.png", png(100, 100, LIMIT + 1)))
        self.refused(self.upload(gateway, body, **headers), 413, "body_too_large")
        with Connection(gateway.address) as connection:
            connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n{LIMIT + (1 << 20):x}\r\n".encode())
            self.refused(connection.response(), 413, "body_too_large")
        self.nothing_is_left()

    def test_without_a_key_no_byte_of_the_body_is_read(self):
        keys = pathlib.Path(self.folder, "keys")
        keys.write_text(Key("shop").line())
        gateway = self.gateway(GATEWAY_KEYS_FILE=keys)
        with Connection(gateway.address) as connection:
            connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {LIMIT}\r\n\r\n".encode())
            self.refused(connection.response(), 401, "unauthorized")
        self.nothing_is_left()

    def test_slow_and_cut_off(self):
        gateway = self.gateway(GATEWAY_UPLOAD_TIMEOUT="300ms")
        head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode()
        with Connection(gateway.address) as connection:
            connection.send(head + PNG[:100])
            self.refused(connection.response(), 408, "request_timeout")
        with Connection(gateway.address) as connection:
            connection.send(head + PNG[:100])
            connection.socket.shutdown(socket.SHUT_WR)
            self.refused(connection.response(), 400, "bad_request")
        self.nothing_is_left()

    def test_a_client_that_goes_away_leaves_nothing(self):
        gateway = self.gateway()
        for size in (0, 10, 100, len(PNG) - 1):
            with Connection(gateway.address) as connection:
                connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode() + PNG[:size])
                eventually(self.temporary, "the upload has begun")
            self.nothing_is_left()

    def test_the_limits_of_a_day(self):
        gateway = self.gateway(GATEWAY_CLIENT_UPLOADS="2", GATEWAY_CLIENT_UPLOAD_BYTES="0")
        self.assertEqual([self.upload(gateway, png(20, 20 + i)).status for i in range(2)], [201, 201])
        answer = self.upload(gateway, png(20, 30))
        self.refused(answer, 429, "uploads_per_day")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        gateway.stop()
        self.world.redis("FLUSHALL")
        gateway = self.gateway(GATEWAY_CLIENT_UPLOADS="0", GATEWAY_CLIENT_UPLOAD_BYTES=str(2 * len(PNG)))
        self.assertEqual(self.upload(gateway).status, 201)
        self.refused(self.upload(gateway, PNG + bytes(len(PNG))), 429, "uploads_per_day")
        self.assertEqual(self.upload(gateway).status, 200)
        self.nothing_is_left(files=3)

    def test_too_many_at_once(self):
        gateway = self.gateway(GATEWAY_UPLOADS_MAX="1")
        with Connection(gateway.address) as first:
            first.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode())
            eventually(self.temporary, "the upload has begun")
            answer = self.upload(gateway)
            self.refused(answer, 503, "too_many_uploads")
            self.assertEqual(answer.headers["Retry-After"], "5")
            first.send(PNG)
            self.assertEqual(first.response().status, 201)
        self.assertEqual(self.upload(gateway).status, 200)

    def test_redis_and_the_storage_are_away(self):
        gateway = self.gateway()
        with Connection(gateway.address) as connection:
            connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode())
            eventually(self.temporary, "the upload has begun")
            self.world.redis_server.stop()
            connection.send(PNG)
            self.refused(connection.response(), 503, "store_unavailable")
        self.refused(self.upload(gateway), 503, "store_unavailable")
        self.nothing_is_left()

    def test_what_a_killed_gateway_left_is_removed_at_the_next_start(self):
        gateway = self.gateway()
        with Connection(gateway.address) as connection:
            connection.send(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode() + PNG[:50])
            eventually(self.temporary, "the upload has begun")
            gateway.kill()
        self.assertEqual(len(self.temporary()), 1)
        self.gateway()
        self.nothing_is_left()


class Used(UploadTest):
    """Uploads in the urls of tasks."""
    parts = {"ark": True}

    def start(self, gateway=(), **worker):
        return self.gateway(**dict(gateway)), self.world.worker(**self.place(), **worker)

    def recorder(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        server.ark, server.bodies = self.world.ark.address, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, {"ARK_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/api/v3"}

    def add(self, gateway, body=PNG, **headers):
        answer = self.upload(gateway, body, **headers)
        self.assertIn(answer.status, (200, 201), answer.body)
        return answer.json()["id"]

    def run_task(self, gateway, task_id, urls, **fields):
        with gateway.generate(task_id, urls=urls, prompt=sim(task_id, "images=1"), **fields) as stream:
            end = stream.to_end()[-1]
        return end.event, end.payload()

    def plan(self, task_id):
        return json.loads(self.world.redis("LINDEX", f"arkrelay:{{0}}:events:public.{task_id}", 1))

    def test_ark_gets_the_images_as_data_urls_in_their_order(self):
        ark, options = self.recorder()
        gateway, _ = self.start(**options)
        names = ["rgb.png", "baseline.jpg", "still.heic", "alpha.webp"]
        ids = [self.add(gateway, (IMAGES / name).read_bytes()) for name in names]
        urls = [ids[0], "https://example.com/1.jpg", *ids[1:], ids[0]]
        event, data = self.run_task(gateway, "mixed", urls)
        self.assertEqual((event, data["urls"]), ("done", urls))
        self.assertEqual(ark.bodies[0]["image"], [data_url("rgb.png"), "https://example.com/1.jpg", data_url("baseline.jpg"), data_url("still.heic"),
                                                  data_url("alpha.webp"), data_url("rgb.png")])
        event, _ = self.run_task(gateway, "single", [ids[1]])
        self.assertEqual((event, ark.bodies[1]["image"]), ("done", data_url("baseline.jpg")))

    def test_the_same_request_is_the_same_task(self):
        gateway, _ = self.start()
        upload = self.add(gateway)
        self.run_task(gateway, "once", [upload])
        self.assertEqual(self.add(gateway), upload)
        event, _ = self.run_task(gateway, "once", [upload])
        self.assertEqual((event, len(self.world.ark.calls_of("once"))), ("done", 1))
        self.world.redis("DEL", "arkrelay:{client:public}:upload:" + upload[7:])
        event, _ = self.run_task(gateway, "once", [upload])         # the task exists, so it is found without its upload
        self.assertEqual((event, len(self.world.ark.calls_of("once"))), ("done", 1))

    def test_an_unknown_upload_and_one_of_another_client_are_refused(self):
        keys = pathlib.Path(self.folder, "keys")
        shop, press = Key("shop"), Key("press")
        keys.write_text(shop.line() + press.line())
        gateway = self.gateway(GATEWAY_KEYS_FILE=keys)
        upload = self.add(gateway, **shop.header)
        for key, url in ((press, upload), (shop, "upload:" + "0" * 64)):
            for path in ("/generate", "/generate/stream"):
                answer = fetch(gateway.address, "POST", BASE + path, {"urls": [upload, url], "task_id": "t"}, key.header)
                self.refused(answer, 422, "unknown_upload")
        self.assertEqual(fetch(gateway.address, "POST", BASE + "/generate", {"urls": [upload], "task_id": "t"}, shop.header).status, 202)
        for bad in ("upload:", "upload:" + "0" * 63, "upload:" + "A" * 64, "upload:" + "0" * 65, "UPLOAD:" + "0" * 64):
            answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": [bad]}, shop.header)
            self.assertEqual(self.refused(answer, 422, "invalid_fields")["errors"][0]["pointer"], "/urls/0")

    def test_without_a_storage_there_is_no_upload(self):
        gateway = self.world.gateway()
        answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": ["upload:" + "0" * 64]})
        self.refused(answer, 422, "unknown_upload")

    def test_images_that_are_too_large_together_are_refused(self):
        gateway = self.gateway()
        large = self.add(gateway, png(100, 100, 25 << 20))
        answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": [large, large]})
        self.refused(answer, 422, "inputs_too_large")
        self.assertEqual(fetch(gateway.address, "POST", BASE + "/generate", {"urls": [large]}).status, 202)

    def test_data_urls_count_too(self):
        gateway = self.gateway(GATEWAY_DATA_URLS="on", GATEWAY_BODY_MAX="64m")
        small = self.add(gateway)
        for urls, status in (([data_of(61 << 20)], 422), ([small, data_of((60 << 20) - 100)], 422), ([data_of(5 << 20), small], 202)):
            answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": urls})
            self.assertEqual(answer.status, status, answer.body[:1000])
            self.assertEqual(answer.json().get("code"), "inputs_too_large" if status == 422 else None)

    def test_openai_takes_them_too(self):
        ark, options = self.recorder()
        gateway, _ = self.start(**options)
        upload = self.add(gateway)
        body = {"prompt": sim("order", "images=1"), "n": 2, "response_format": "url", "model": "doubao-seedream-4-0-250828", "image": [upload]}
        answer = fetch(gateway.address, "POST", "/v1/images/generations", body)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual([body["image"] for body in ark.bodies], 2 * [data_url("rgb.png")])
        answer = fetch(gateway.address, "POST", "/v1/images/generations", {**body, "image": "upload:" + "0" * 64})
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (422, "unknown_upload"))

    def test_what_cannot_be_read_ends_the_task_without_a_charge(self):
        gateway, worker = self.start(WORKER_MAX_ATTEMPTS="2")
        upload = self.add(gateway)
        self.lose()
        event, data = self.run_task(gateway, "gone", [upload])
        self.assertEqual((event, data["code"], data["charged"], data["paid_calls"]), ("error", "input_unavailable", "no", 0))
        self.assertEqual(self.world.ark.calls_of("gone"), [])
        self.add(gateway)
        self.damage()
        event, data = self.run_task(gateway, "damaged", [upload])
        self.assertEqual((event, data["code"], data["charged"], data["paid_calls"]), ("error", "input_unavailable", "no", 0))
        worker.stop()
        self.world.worker()
        self.add(gateway)
        event, data = self.run_task(gateway, "elsewhere", [upload])
        self.assertEqual((event, data["code"], data["charged"], data["retryable"]), ("error", "input_unavailable", "no", True))

    def test_many_tasks_with_large_images_share_the_memory_of_a_worker(self):
        gateway, worker = self.start(WORKER_INPUT_MEMORY="128m", WORKER_CONCURRENCY="16", ASAN_OPTIONS=FORGETFUL_ASAN)
        large = self.add(gateway, png(100, 100, 25 << 20))
        before = worker.memory()
        answers = [fetch(gateway.address, "POST", BASE + "/generate", {"urls": [large], "task_id": f"m{n}", "prompt": sim(f"m{n}", "images=1")})
                   for n in range(8)]
        self.assertEqual({answer.status for answer in answers}, {202})
        most = 0
        for n in range(8):
            def is_done():
                nonlocal most
                most = max(most, worker.memory())
                return gateway.task(f"m{n}").json()["status"] == "done"
            eventually(is_done, f"task {n} is done", 60)
        self.assertLess(most - before, 200 << 20, "8 requests of 35 MB would take 280 MB, and twice as much while they are built")

    def test_a_call_that_takes_long_gives_its_memory_back_when_it_is_sent(self):
        gateway, _ = self.start(WORKER_INPUT_MEMORY="128m")
        large = self.add(gateway, png(100, 100, 29 << 20))
        self.world.ark.script({"first_latency": 600_000}, {})
        for task_id in ("slow", "next"):
            answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": [large], "task_id": task_id, "prompt": sim(task_id)})
            self.assertEqual(answer.status, 202)
            self.world.ark.wait_calls(1, task_id)
        eventually(lambda: gateway.task("next").json()["status"] == "done", "the next one is done")
        self.assertEqual(gateway.task("slow").json()["status"], "running")
        gateway.cancel("slow")

    def test_use_prolongs_an_upload_and_the_object_is_copied_to_a_later_day(self):
        gateway, _ = self.start()
        upload = self.add(gateway)
        key = "arkrelay:{client:public}:upload:" + upload[7:]
        name = self.world.redis("HGET", key, "name")
        left = self.world.redis("PTTL", key)
        self.run_task(gateway, "first", [upload])
        self.assertGreater(self.world.redis("PTTL", key), left)
        self.assertEqual(self.world.redis("HGET", key, "name"), name)
        self.world.redis("HSET", key, "covers", self.world.redis("HGET", key, "until"))        # as on the next day
        event, _ = self.run_task(gateway, "second", [upload])
        self.assertEqual(event, "done")
        eventually(lambda: self.world.redis("HGET", key, "name") != name, "the object is copied")
        self.assertEqual(self.plan("second")["uploads"], [name.decode()])
        event, _ = self.run_task(gateway, "third", [upload])
        self.assertEqual((event, self.plan("third")["uploads"]), ("done", [self.world.redis("HGET", key, "name").decode()]))
        self.nothing_is_left(files=2)

    def erase(self, gateway, upload, **headers):
        return fetch(gateway.address, "DELETE", f"{PATH}/{upload}", headers=headers)

    def test_its_client_erases_it(self):
        keys = pathlib.Path(self.folder, "keys")
        shop, press = Key("shop"), Key("press")
        keys.write_text(shop.line() + press.line())
        gateway = self.gateway(GATEWAY_KEYS_FILE=keys)
        upload = self.add(gateway, **shop.header)
        self.refused(self.erase(gateway, upload), 401, "unauthorized")
        self.refused(self.erase(gateway, upload, **press.header), 404, "upload_not_found")
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.erase(gateway, upload, **shop.header).status, 204)
        self.nothing_is_left()
        self.refused(self.erase(gateway, upload, **shop.header), 404, "upload_not_found")
        answer = fetch(gateway.address, "POST", BASE + "/generate", {"urls": [upload]}, shop.header)
        self.refused(answer, 422, "unknown_upload")
        self.assertEqual(self.upload(gateway, **shop.header).status, 201)
        self.assertEqual(self.erase(gateway, upload.replace(":", "%3A"), **shop.header).status, 204)
        for bad in ("upload:", upload[:-1], upload + "0", upload[7:], upload.upper(), "upload:" + "é" * 32, "tmp"):
            self.refused(self.erase(gateway, urllib.parse.quote(bad, safe=":"), **shop.header), 404, "upload_not_found")

    def test_all_objects_of_an_upload_are_erased(self):
        gateway, _ = self.start()
        upload = self.add(gateway)
        key = "arkrelay:{client:public}:upload:" + upload[7:]
        name = self.world.redis("HGET", key, "name")
        self.world.redis("HSET", key, "covers", self.world.redis("HGET", key, "until"))        # as on the next day
        self.run_task(gateway, "user", [upload])
        eventually(lambda: self.world.redis("HGET", key, "name") != name, "the object is copied")
        self.assertEqual(len(self.files()), 2)
        self.assertEqual(self.erase(gateway, upload).status, 204)
        self.nothing_is_left()

    def test_a_task_that_waits_for_an_erased_upload_is_not_charged(self):
        gateway = self.gateway()
        upload = self.add(gateway)
        self.assertEqual(fetch(gateway.address, "POST", BASE + "/generate", {"urls": [upload], "task_id": "late", "prompt": sim("late")}).status, 202)
        self.assertEqual(self.erase(gateway, upload).status, 204)
        self.world.worker(**self.place(), WORKER_MAX_ATTEMPTS="1")
        eventually(lambda: gateway.task("late").json()["status"] == "failed", "the task has ended")
        end = gateway.task("late").json()["error"]
        self.assertEqual((end["code"], end["charged"], self.world.ark.calls_of("late")), ("input_unavailable", "no", []))

    def test_a_client_that_goes_away_has_erased_it(self):
        gateway = self.gateway()
        upload = self.add(gateway)
        connection = Connection(gateway.address)
        connection.send(f"DELETE {PATH}/{upload} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.close()
        eventually(lambda: self.erase(gateway, upload).status == 404, "it is erased")
        self.nothing_is_left()

    def test_without_a_storage_nothing_is_erased(self):
        self.refused(self.erase(self.world.gateway(), "upload:" + "0" * 64), 404, "upload_not_found")


class InABucket(Used):
    """The same with S3."""

    def setUp(self):
        self.bucket = self.enterContext(Bucket())
        super().setUp()
        self.store = pathlib.Path(self.folder, "spool")

    def place(self):
        return self.bucket.options(self.store)

    def files(self):
        return self.bucket.keys()

    def lose(self):
        with self.bucket.store.lock:
            self.bucket.store.objects.clear()

    def damage(self):
        with self.bucket.store.lock:
            (key,) = self.bucket.store.objects
            self.bucket.store.objects[key] = (b"x" * 1000, [("Content-Type", "image/png")])

    def temporary(self):
        return [path.name for path in self.store.iterdir()]

    def test_a_bucket_that_fails_is_said_and_the_image_can_be_sent_again(self):
        gateway = self.gateway()
        self.bucket.fail(403, "AccessDenied", times=1)
        self.refused(self.upload(gateway), 503, "storage_unavailable")
        self.nothing_is_left()
        self.assertEqual(self.upload(gateway).status, 201)
        self.assertEqual([key.split("/")[0] for key in self.bucket.keys()], ["kept"])

    def test_an_erasure_that_failed_can_be_repeated(self):
        gateway = self.gateway()
        upload = self.add(gateway)
        self.bucket.fail(403, "AccessDenied", method="DELETE")
        self.refused(self.erase(gateway, upload), 503, "storage_unavailable")
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.erase(gateway, upload).status, 204)
        self.nothing_is_left()


if __name__ == "__main__":
    unittest.main()
