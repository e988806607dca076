"""Webhooks with real programs and real receivers: good ones, and everything that a receiver can do wrong."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from support import npm
from support.certificates import Pair
from support.documents import blocks
from support.http_client import fetch
from support.processes import ProcessTest, Program, binary, eventually
from support.receiver import HANG, SECRET, Receiver, client_secret, shown
from support.world import BASE, World, sim

PREFIX = "arkrelay:{0}:"
PRIVATE = {"WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on"}


class WebhookTest(ProcessTest):
    def world(self, **options):
        world = self.enterContext(World(**options))
        self.redis = world.redis
        return world

    def start(self, world, gateway=(), **worker):
        return world.gateway(**PRIVATE, **dict(gateway)), world.worker(**PRIVATE, **worker)

    def receiver(self, *steps, **options):
        receiver = Receiver(*steps, **options)
        self.addCleanup(receiver.close)
        return receiver

    def make(self, gateway, name, receiver, directives="images=1", **fields):
        """A task's final event."""
        with gateway.generate(name, prompt=sim(name, directives), webhook=receiver if isinstance(receiver, str) else receiver.url, **fields) as stream:
            return json.loads(stream.to_end()[-1].data)

    def attempts(self, name="t1"):
        return [line.decode().split(" ") for line in self.redis("LRANGE", PREFIX + f"deliveries:public.{name}", 0, -1)]

    def wait_attempts(self, count, name="t1", seconds=20):
        eventually(lambda: len(self.attempts(name)) >= count, f"{count} attempts for {name}", seconds)
        return self.attempts(name)


class Good(WebhookTest):
    def test_the_final_event_is_delivered_signed(self):
        world = self.world()
        gateway, worker = self.start(world)
        receiver = self.receiver()
        final = self.make(gateway, "t1", receiver)
        [delivery] = receiver.wait(1)
        body = delivery.json()
        task = world.find("t1")
        self.assertEqual(body, {"n": task.log[-1].n, "epoch": int(task.fields["epoch"]), **final})
        self.assertRegex(delivery.id, r"^msg_[0-9a-f]{32}$")
        self.assertEqual(delivery.headers["content-type"], "application/json")
        self.assertLess(abs(int(delivery.headers["webhook-timestamp"]) - time.time()), 60)
        self.assertTrue(delivery.is_signed_by(client_secret()))
        self.assertEqual(len(delivery.signatures()), 1)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[4:]), ("200", ["1", "delivered", "0"]))
        eventually(lambda: worker.metric("arkrelay_webhooks_total") == 1, "the metric counts")
        self.assertEqual(self.redis("KEYS", PREFIX + "entry:*"), [])

    def test_chosen_events_are_delivered_with_their_numbers(self):
        world = self.world()
        gateway, _ = self.start(world)
        receiver = self.receiver()
        self.make(gateway, "t1", receiver, "images=2", max_images=2, webhook_events=["start", "image", "final"])
        bodies = sorted((delivery.json() for delivery in receiver.wait(4)), key=lambda body: body["n"])
        self.assertEqual([body["event"] for body in bodies], ["start", "process", "process", "done"])
        self.assertEqual([body["data"].get("stage") for body in bodies], [None, "image", "image", None])
        self.assertEqual(len({delivery.id for delivery in receiver.deliveries}), 4)

    def test_a_failed_and_a_cancelled_task_are_reported(self):
        world = self.world()
        gateway = world.gateway(**PRIVATE)
        receiver = self.receiver()
        self.assertEqual(gateway.submit("t1", prompt="p", webhook=receiver.url).status, 202)
        self.assertEqual(gateway.cancel("t1").status, 200)
        world.worker(**PRIVATE, WORKER_ROLES="outbox", ARK_API_KEY="")
        [delivery] = receiver.wait(1)
        self.assertEqual((delivery.json()["event"], delivery.json()["data"]["code"]), ("error", "cancelled"))

    def test_it_is_part_of_the_request(self):
        world = self.world()
        gateway = world.gateway(**PRIVATE)
        for fields, status in (({"webhook": "http://127.0.0.1:1/a"}, 202), ({"webhook": "http://127.0.0.1:1/a"}, 200), ({"webhook": "http://127.0.0.1:1/b"}, 409), ({}, 409),
                               ({"webhook": "http://127.0.0.1:1/a", "webhook_events": ["final"]}, 409)):
            self.assertEqual(gateway.submit("t1", prompt="p", **fields).status, status, fields)

    def test_what_is_refused(self):
        world = self.world()
        public, off = world.gateway(WEBHOOK_SECRET=SECRET), world.gateway()
        for gateway, url in ((public, "http://127.0.0.1/"), (public, "http://10.0.0.1/"), (public, "http://localhost/"), (public, "http://[::1]/"),
                             (public, "http://2130706433/"), (public, "ftp://example.com/"), (public, "https://u:p@example.com/"), (public, ""),
                             (public, "https://example.com/" + "a" * 2048), (public, "https://example.com/\"}"), (off, "https://example.com/")):
            with self.subTest(url[:40]):
                answer = gateway.submit("t1", prompt="p", webhook=url)
                self.assertEqual((answer.status, [error["pointer"] for error in answer.json()["errors"]]), (422, ["/webhook"]))

    def test_a_client_has_a_webhook_and_a_generation_in_the_keys_file(self):
        world = self.world()
        receiver, own = self.receiver(), self.receiver()
        with tempfile.NamedTemporaryFile("w+") as keys:
            command = [binary("arkrelay-gateway"), "--keys-file", keys.name]
            token = subprocess.run([*command, "--new-key", "shop"], capture_output=True, text=True, check=True).stdout.strip()
            with open(keys.name, encoding="ascii") as file:
                text = file.read()
            with open(keys.name, "w", encoding="ascii") as file:
                file.write(text.rstrip("\n") + f" webhook={receiver.url} webhook_generation=3\n")
            secret = subprocess.run([*command, "--show-webhook-secret", "shop"], capture_output=True, text=True, check=True, env={"WEBHOOK_SECRET": SECRET})
            self.assertEqual(secret.stdout.strip(), shown(client_secret("shop", 3)))
            gateway = world.gateway(**PRIVATE, GATEWAY_KEYS_FILE=keys.name)
            world.worker(**PRIVATE)
            headers = {"Authorization": f"Bearer {token}"}
            for name, fields in (("t1", {}), ("t2", {"webhook": own.url})):
                with gateway.generate(name, headers=headers, prompt=sim(name), **fields) as stream:
                    stream.to_end()
            fetch(gateway.address, "POST", "/v1/images/generations", {"prompt": sim("o"), "response_format": "url"}, headers)
            for delivery in (*receiver.wait(2), *own.wait(1)):
                self.assertTrue(delivery.is_signed_by(client_secret("shop", 3)))
                self.assertTrue(delivery.is_signed_by(client_secret("shop", 2)))
                self.assertFalse(delivery.is_signed_by(client_secret("shop", 1)))
                self.assertFalse(delivery.is_signed_by(client_secret("public", 3)))

    def test_a_webhook_works_without_and_with_a_storage(self):
        world = self.world()
        receiver = self.receiver()
        with tempfile.TemporaryDirectory() as folder:
            gateway, _ = self.start(world, STORAGE=folder + "/pictures")
            self.make(gateway, "t1", receiver)
            [delivery] = receiver.wait(1)
            self.assertIn("stored_url", delivery.json()["data"]["generated_images"][0])


KEY = "the-operators-key-of-this-test"
PROGRAMS = pathlib.Path(__file__).parents[1] / "clients/programs"


class Visible(WebhookTest):
    """What clients and operators see, and what operators do."""

    def admin(self, gateway, method, path, body=None):
        return fetch(gateway.address, method, f"/admin/{path}", body, {"Authorization": f"Bearer {KEY}"})

    def arkctl(self, gateway, *words, status=0):
        done = subprocess.run([sys.executable, "-B", "cli/arkctl", *words], capture_output=True, text=True, check=False, cwd=PROGRAMS.parents[2], timeout=60,
                              env={"ARKRELAY_URL": gateway.url, "ARKRELAY_ADMIN_KEY": KEY, "PATH": os.environ["PATH"]})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def test_a_client_sees_the_attempts(self):
        world = self.world()
        gateway, _ = self.start(world)
        receiver = self.receiver(500, 200)
        self.make(gateway, "t1", receiver, webhook_events=["final"])
        self.wait_attempts(1)
        seen = gateway.task("t1").json()["webhook"]
        [attempt] = seen["attempts"]
        self.assertEqual((seen["url"], seen["events"], attempt["status"], attempt["attempt"], attempt["outcome"]), (receiver.url, ["final"], 500, 1, "http_status"))
        self.assertGreater(attempt["next_at"], attempt["at"])
        self.assertEqual(attempt["event_id"], f"{gateway.task('t1').json()['epoch']}-{world.find('t1').log[-1].n}")
        self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/tasks/t1/webhook").json(), seen)
        self.make(gateway, "t2", receiver)
        with gateway.generate("t3", prompt=sim("t3")) as stream:
            stream.to_end()
        self.assertNotIn("webhook", gateway.task("t3").json())
        self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/tasks/t3/webhook").json()["code"], "webhook_not_found")

    def test_an_operator_sees_and_resends(self):
        world = self.world()
        gateway, _ = self.start(world, gateway={"GATEWAY_ADMIN_KEY": KEY})
        receiver = self.receiver(410, 200)
        self.make(gateway, "t1", receiver)
        self.wait_attempts(1)
        listed = self.admin(gateway, "GET", "webhooks").json()
        self.assertEqual((listed["waiting"], listed["failed"], listed["failed_deliveries"][0]["id"], listed["failed_deliveries"][0]["outcome"]),
                         (0, 1, "public.t1", "gone"))
        self.assertIn("public.t1", self.arkctl(gateway, "webhooks"))
        self.assertEqual(self.admin(gateway, "POST", "webhooks/resend").json(), {"resent": 1, "failed": 0})
        receiver.wait(2)
        self.wait_attempts(2)
        self.assertEqual(self.admin(gateway, "POST", "tasks/public.t1/resend").json(), {"resent": 1, "failed": 0})
        receiver.wait(3)
        self.wait_attempts(3)
        self.assertEqual(len({delivery.id for delivery in receiver.deliveries}), 1)
        self.assertIn("delivered", self.arkctl(gateway, "webhook", "show", "t1"))
        self.assertEqual(self.admin(gateway, "GET", "tasks/public.t1").json()["webhook"]["url"], receiver.url)
        self.arkctl(gateway, "webhook", "resend", "t1")
        receiver.wait(4)

    def test_a_sample(self):
        world = self.world()
        gateway, _ = self.start(world, gateway={"GATEWAY_ADMIN_KEY": KEY})
        good, bad = self.receiver(), self.receiver(500)
        self.assertIn("delivered", self.arkctl(gateway, "webhook", "test", good.url))
        self.assertTrue(good.deliveries[0].is_signed_by(client_secret()))
        self.assertEqual(good.deliveries[0].json()["event"], "test")
        self.assertIn("http_status", self.arkctl(gateway, "webhook", "test", bad.url, status=1))
        self.assertEqual(len(bad.deliveries), 1)
        self.arkctl(gateway, "webhook", "test", "ftp://example.com/", status=2)
        self.arkctl(gateway, "webhook", "test", good.url, "--client", "nobody", status=2)

    def doctor(self, gateway):
        run = subprocess.run([sys.executable, "-B", "cli/arkctl", "--json", "doctor"], capture_output=True, text=True, check=False, cwd=PROGRAMS.parents[2],
                             env={"ARKRELAY_URL": gateway.url, "ARKRELAY_ADMIN_KEY": KEY, "PATH": os.environ["PATH"]})
        return [(check["status"], check["text"]) for check in json.loads(run.stdout)["checks"] if check["check"] == "webhooks"]

    def test_the_doctor(self):
        world = self.world()
        gateway = world.gateway(**PRIVATE, GATEWAY_ADMIN_KEY=KEY, PRESENCE_INTERVAL="100ms")
        eventually(lambda: self.doctor(gateway) == [("bad", "gateways accept webhooks, and no worker delivers them")], "no worker")
        worker = world.worker(WEBHOOK_SECRET="another " * 4, PRESENCE_INTERVAL="100ms")
        eventually(lambda: [text for status, text in self.doctor(gateway) if status == "bad" and "different values" in text], "two secrets")
        self.assertEqual(worker.stop(), 0)
        world.worker(**PRIVATE, PRESENCE_INTERVAL="100ms")
        eventually(lambda: self.doctor(gateway) == [("ok", "workers deliver what gateways accept")], "all is well")

    def test_metrics_of_a_host_that_fails(self):
        world = self.world()
        gateway, _ = self.start(world)
        receiver = self.receiver(503)
        self.make(gateway, "t1", receiver)
        self.wait_attempts(1)
        eventually(lambda: gateway.metric("arkrelay_webhook_lanes_failing") == 1, "the lane fails")
        self.assertEqual(gateway.metric("arkrelay_webhooks_waiting"), 1)
        self.assertGreater(gateway.metric("arkrelay_webhook_failing_seconds"), 0)


class Receivers(WebhookTest):
    """The programs of docs/webhooks.md, and the libraries from npm, verify what the worker sends."""

    def program(self, kind):
        [block] = [block for block in blocks(PROGRAMS.parents[2] / "docs/webhooks.md", kind)]
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder, {"js": "receiver.mjs", "python": "receiver.py"}[kind])
        path.write_text(block.text)
        argv = ["node", str(path)] if kind == "js" else [sys.executable, str(path)]
        return Program(kind, argv, {"PORT": "0", "WEBHOOK_SECRET_OF_CLIENT": shown(client_secret()), "PATH": os.environ["PATH"]})

    def check(self, kind):
        world = self.world()
        gateway, _ = self.start(world)
        program = self.program(kind)
        port = program.wait_for(r"listening on (\d+)").group(1)
        self.make(gateway, "t1", f"http://127.0.0.1:{port}/")
        self.assertEqual(self.wait_attempts(1)[0][2:6:3], ["204", "delivered"])
        program.wait_for(rf"t1 {world.find('t1').log[-1].n} done")
        forged = fetch(f"127.0.0.1:{port}", "POST", "/", "{}", {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"})
        self.assertEqual(forged.status, 401)
        program.stop()

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_node(self):
        self.check("js")

    def test_python(self):
        self.check("python")

    def test_the_libraries_from_npm(self):
        npm.install()
        world = self.world()
        gateway, _ = self.start(world)
        receiver = self.receiver()
        self.make(gateway, "t1", receiver)
        [delivery] = receiver.wait(1)
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        sent = {"headers": {name: delivery.headers[name] for name in names}, "body": delivery.body.decode()}
        for secret, good in ((client_secret(), True), (client_secret("other"), False)):
            seen = npm.run("webhooks.mjs", shown(secret), json.dumps(sent))
            self.assertEqual(seen, {"standardwebhooks": good, "svix": good})


class Bad(WebhookTest):
    def one(self, *steps, **worker):
        world = self.world()
        gateway, worker = self.start(world, **worker)
        receiver = self.receiver(*steps)
        self.make(gateway, "t1", receiver)
        return world, worker, receiver

    def test_500_then_200(self):
        world, worker, receiver = self.one(500, 200)
        first, second = receiver.wait(2)
        self.assertEqual((first.id, first.body), (second.id, second.body))
        self.assertGreater(second.at - first.at, 3.9)
        self.assertGreater(int(second.headers["webhook-timestamp"]), int(first.headers["webhook-timestamp"]))
        self.assertEqual([(attempt[2], attempt[4], attempt[5]) for attempt in self.wait_attempts(2)], [("500", "1", "http_status"), ("200", "2", "delivered")])
        self.assertTrue(second.is_signed_by(client_secret()))

    def test_retry_after_is_kept(self):
        _, _, receiver = self.one((503, {"Retry-After": "8"}), 200)
        first, second = receiver.wait(2)
        self.assertGreater(second.at - first.at, 7.9)

    def test_410_stops(self):
        _, worker, receiver = self.one(410)
        [attempt] = self.wait_attempts(1)
        self.assertEqual(attempt[5:], ["gone", "0"])
        self.assertEqual(self.redis("ZCARD", PREFIX + "failed:webhooks"), 1)
        self.assertEqual(len(receiver.deliveries), 1)

    def test_the_header_stops(self):
        self.one((500, {"Webhook-Delivery": "disable"}))
        [attempt] = self.wait_attempts(1)
        self.assertEqual(attempt[5:], ["disabled", "0"])

    def test_a_redirect_is_not_followed(self):
        elsewhere = self.receiver()
        self.one((307, {"Location": elsewhere.url}))
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("307", "redirected"))
        self.assertEqual(elsewhere.deliveries, [])

    def test_a_slow_receiver_is_cut(self):
        self.one(HANG, WEBHOOK_TIMEOUT="300ms")
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("0", "no_answer"))
        self.assertLess(int(attempt[3]), 3000)

    def test_a_dead_receiver(self):
        world = self.world()
        gateway, _ = self.start(world)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.make(gateway, "t1", f"http://127.0.0.1:{port}/")
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("0", "unreachable"))

    def test_rubbish(self):
        def rubbish(connection, _):
            connection.sendall(b"\x00\xff not http at all\r\n\r\n")
        self.one(rubbish)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("0", "no_answer"))

    def test_an_interim_answer_is_none(self):
        def hints(connection, _):
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        self.one(hints)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("204", "delivered"))

    def test_the_connection_ends_without_an_answer(self):
        self.one(lambda *_: None)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("0", "no_answer"))

    def test_half_a_head(self):
        def half(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        self.one(half)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("0", "no_answer"))

    def test_a_gigabyte_is_not_read(self):
        sent = []

        def gigabyte(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
            try:
                for _ in range(1024):
                    sent.append(connection.send(b"x" * (1 << 20)))
            except OSError:
                pass
        self.one(gigabyte)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("200", "delivered"))
        self.assertLess(sum(sent), 64 << 20)

    def test_a_body_that_never_ends_is_no_failure(self):
        def endless(connection, receiver):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
            HANG(connection, receiver)
        self.one(endless)
        [attempt] = self.wait_attempts(1)
        self.assertEqual((attempt[2], attempt[5]), ("200", "delivered"))

    def test_a_certificate_that_is_not_trusted(self):
        world = self.world()
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(folder)
            gateway, _ = self.start(world)
            receiver = self.receiver(pair=pair)
            self.make(gateway, "t1", f"https://localhost:{receiver.port}/")
            [attempt] = self.wait_attempts(1)
            self.assertEqual((attempt[2], attempt[5]), ("0", "unreachable"))
            self.assertEqual(receiver.deliveries, [])

    def test_a_certificate_that_is_trusted(self):
        world = self.world()
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(folder)
            gateway, _ = self.start(world, WEBHOOK_CA_FILE=pair.cert)
            receiver = self.receiver(pair=pair)
            self.make(gateway, "t1", f"https://localhost:{receiver.port}/")
            receiver.wait(1)

    def test_an_address_inside_is_not_connected_to(self):
        """The gateway allows it, the worker does not: as if the name had changed its address in between."""
        world = self.world()
        gateway, _ = world.gateway(**PRIVATE), world.worker(WEBHOOK_SECRET=SECRET)
        for n, host in enumerate(("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]")):
            receiver = self.receiver()
            self.make(gateway, f"t{n}", f"http://{host}:{receiver.port}/")
            [attempt] = self.wait_attempts(1, f"t{n}")
            self.assertEqual((attempt[2], attempt[5]), ("0", "not_public"), host)
            self.assertEqual(receiver.deliveries, [])

    def test_a_worker_that_dies_after_the_post_repeats_it_under_the_same_id(self):
        world = self.world()
        gateway, worker = self.start(world, WEBHOOK_TIMEOUT="1s")
        died = []

        def kill(connection, receiver):
            if not died:
                died.append(True)
                worker.process.send_signal(signal.SIGKILL)
                worker.wait_exit()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        receiver = self.receiver(kill)
        self.assertEqual(gateway.submit("t1", prompt=sim("t1"), webhook=receiver.url).status, 202)
        receiver.wait(1)
        world.worker(**PRIVATE, WEBHOOK_TIMEOUT="1s")
        first, second = receiver.wait(2)
        self.assertEqual((first.id, first.body), (second.id, second.body))
        self.assertEqual(self.wait_attempts(1)[0][4:6], ["2", "delivered"])

    def test_a_worker_that_drains_waits_for_its_delivery(self):
        world = self.world()
        gateway, worker = self.start(world)

        def slow(connection, _):
            worker.process.send_signal(signal.SIGTERM)
            worker.wait_for("draining")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        receiver = self.receiver(slow)
        self.make(gateway, "t1", receiver)
        self.assertEqual(worker.wait_exit(), 0)
        self.assertEqual([attempt[5] for attempt in self.attempts()], ["delivered"])

    def test_a_dead_host_with_much_to_deliver_delays_no_other(self):
        world = self.world()
        gateway = world.gateway(**PRIVATE)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            dead = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        plan = '{{"catalogue":"V","images":1,"model":"m","watermark":false,"webhook":{{"events":"start","generation":1,"url":"{}"}}}}'
        for n in range(2000):
            world.run_script("submit", f"public.d{n}", "hash", '{"urls":[]}', 2, 86_400_000, 100_000, 86_400_000, 100_000, "", 1, 0, plan.format(dead), "w")
        receivers = [self.receiver() for _ in range(9)]
        worker = world.worker(**PRIVATE, WORKER_ROLES="outbox")
        eventually(lambda: worker.metric("arkrelay_webhooks_total") > 0, "the dead host was tried")
        for n in range(10):
            for m, receiver in enumerate(receivers):
                world.run_script("submit", f"public.g{n}-{m}", "hash", '{"urls":[]}', 2, 86_400_000, 100_000, 86_400_000, 100_000, "", 1, 0, plan.format(receiver.url), "w")
        for receiver in receivers:
            receiver.wait(10)
        self.assertLess(worker.metric("arkrelay_webhooks_total"), 90 + 60)
        self.assertEqual(gateway.get("/readyz").status, 200)


class Names(WebhookTest):
    """Names that change their address, in a network namespace with a name server of its own."""

    PUBLIC, PRIVATE = "93.184.215.14", "10.9.8.7"

    def setUp(self):
        self.name = f"arkhook{os.getpid() % 10000}"
        self.files = pathlib.Path("/etc/netns", self.name)
        self.inside = ("ip", "netns", "exec", self.name)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.name], capture_output=True, check=False)
        self.addCleanup(shutil.rmtree, self.files, True)
        try:
            self.files.mkdir(parents=True)
            (self.files / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            for words in (("ip", "netns", "add", self.name), (*self.inside, "ip", "link", "set", "lo", "up"),
                          *((*self.inside, "ip", "address", "add", f"{address}/32", "dev", "lo") for address in (self.PUBLIC, self.PRIVATE))):
                subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as why:
            raise unittest.SkipTest(f"no network namespace here: {why}") from None
        self.net = subprocess.Popen([*self.inside, sys.executable, "-B", PROGRAMS.parents[1] / "support/inner_net.py", self.PUBLIC, self.PRIVATE], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.stop_net)
        self.wait_line("ready")
        self.heard = []

    def stop_net(self):
        self.net.kill()
        self.net.wait()
        self.net.stdin.close()
        self.net.stdout.close()

    def wait_line(self, wanted):
        while (line := self.net.stdout.readline().strip()) != wanted:
            self.assertTrue(line, "the helper has ended")
            self.heard.append(line)

    def set_name(self, name, *addresses):
        """Everything that was said until then is in self.heard."""
        self.net.stdin.write(" ".join((name, *addresses)) + "\n")
        self.net.stdin.flush()
        self.wait_line(f"set {name}")

    def owe(self, world, task_id, name):
        plan = {"catalogue": "V", "images": 1, "model": "m", "watermark": False, "webhook": {"events": "start", "generation": 1, "url": f"http://{name}:8080/"}}
        world.run_script("submit", f"public.{task_id}", "hash", '{"urls":[]}', 2, 86_400_000, 100, 86_400_000, 100, "", 1, 0, json.dumps(plan, separators=(",", ":")), "w")

    def test_the_address_that_is_connected_to_counts(self):
        world = self.world(ark=False)
        options = {"under": self.inside, "WEBHOOK_SECRET": SECRET, "WORKER_ROLES": "outbox"}
        cases = [("good.example", (self.PUBLIC,), "delivered"), ("bad.example", (self.PRIVATE,), "not_public"), ("both.example", (self.PRIVATE, self.PUBLIC), "delivered"),
                 ("loop.example", ("127.0.0.1",), "not_public"), ("meta.example", ("169.254.169.254",), "not_public"), ("none.example", (), "unreachable")]
        worker = world.worker(**options)
        for n, (name, addresses, code) in enumerate(cases):
            with self.subTest(name):
                self.set_name(name, *addresses)
                self.owe(world, f"t{n}", name)
                [attempt] = self.wait_attempts(1, f"t{n}")
                self.assertEqual(attempt[5], code)
        self.assertEqual(worker.stop(), 0)
        self.set_name("good.example", self.PRIVATE)         # it was public at the last look-up
        self.owe(world, "again", "good.example")
        world.worker(**options)
        self.assertEqual(self.wait_attempts(1, "again")[0][5], "not_public")
        self.set_name("end")
        self.assertNotIn(f"connected {self.PRIVATE}", self.heard)
        self.assertEqual(self.heard.count(f"connected {self.PUBLIC}"), 2)


if __name__ == "__main__":
    unittest.main()
