"""Client keys and limits: creating, using, rotating and revoking keys, isolation of clients, and limits per client."""

import calendar
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from gateway_case import GatewayTest, HeldReplies
from support.client_key import FOR_EVER, Key
from support.http_client import Connection, EventStream, fetch
from support.processes import ProcessTest, binary, eventually
from support.scripts import PREFIX
from support.world import BASE, request

OPERATORS = "operators-key-of-these-tests"
PAST, FUTURE = "2026-01-02T03:04:05Z", "2999-01-01"
HELD_MS = 10 * 60_000
DAY_S = 86_400


def assert_logged(test, gateway, pattern):
    """Fails if the gateway did not log the pattern before it was ready."""
    test.assertTrue([line for line in list(gateway.lines) if re.search(pattern, line)], pattern)


def run(*arguments, **environment):
    return subprocess.run([binary("arkrelay-gateway"), *arguments], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"], **environment}, cwd="/")


class Commands(ProcessTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-keys-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "keys"

    def command(self, *arguments, status=0):
        done = run(*arguments, "--keys-file", str(self.file))
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def new_key(self, client, *arguments):
        return self.command("--new-key", client, *arguments).stdout.strip()

    def lines(self):
        return [line.split() for line in self.file.read_text().splitlines() if not line.startswith("#")]

    def test_a_new_key_is_printed_once_and_only_its_hash_is_kept(self):
        done = self.command("--new-key", "shop")
        token = done.stdout.removesuffix("\n")
        self.assertRegex(token, r"\Aarkrelay_[0-9a-f]{12}_[0-9a-f]{72}\Z")
        id, client, digest, created, expires = self.lines()[0]
        self.assertEqual((id, client, expires), (token.split("_")[1], "shop", "-"))
        self.assertEqual(digest, hashlib.sha256(token.encode()).hexdigest())
        self.assertRegex(created, r"\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        self.assertEqual(token[-8:], hashlib.sha256(token[:-8].encode()).hexdigest()[:8])
        self.assertNotIn(token.split("_")[2][:32], self.file.read_text() + done.stderr)
        self.assertIn("shown only once", done.stderr)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_the_file_may_come_from_the_environment(self):
        done = run("--new-key", "shop", GATEWAY_KEYS_FILE=str(self.file))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.lines()[0][1], "shop")

    def test_without_a_keys_file_no_key_is_created(self):
        for command in (("--new-key", "shop"), ("--revoke-key", "0" * 12), ("--list-keys",)):
            done = run(*command)
            self.assertEqual((done.returncode, done.stdout), (78, ""))
            self.assertIn("GATEWAY_KEYS_FILE", done.stderr)

    def test_invalid_client_names(self):
        for name in ("public", "Shop", "a.b", "-a", "a b", "x" * 33, "a}b"):
            self.assertEqual(self.command("--new-key", name, status=78).stdout, "")
        self.assertFalse(self.file.exists())

    def test_a_key_can_expire(self):
        self.new_key("shop", "--key-expires", "90d")
        created, expires = (time.strptime(text, "%Y-%m-%dT%H:%M:%SZ") for text in self.lines()[0][3:5])
        self.assertEqual(calendar.timegm(expires) - calendar.timegm(created), 90 * DAY_S)
        for bad in ("90", "d", "0d", "4000d", "-1d"):
            self.assertEqual(self.command("--new-key", "shop", "--key-expires", bad, status=78).stdout, "")

    def test_a_client_has_at_most_two_keys(self):
        first, second = self.new_key("shop"), self.new_key("shop")
        before = self.file.read_text()
        done = self.command("--new-key", "shop", status=1)
        self.assertEqual((done.stdout, self.file.read_text()), ("", before))
        ids = [token.split("_")[1] for token in (first, second)]
        self.assertIn(f"{ids[0]}, {ids[1]}", done.stderr)
        self.assertIn(f"--revoke-key {ids[0]}", done.stderr)
        self.new_key("other")
        self.command("--revoke-key", ids[0])
        self.new_key("shop")

    def test_an_expired_key_does_not_count(self):
        self.file.write_text(Key("shop").line(expires=PAST) + Key("shop").line(expires=FUTURE))
        self.new_key("shop")
        self.command("--new-key", "shop", status=1)

    def test_a_new_key_keeps_the_limits(self):
        old, other = Key("shop"), Key("shop")
        self.file.write_text(Key("else").line("requests=1") + old.line("requests=7", "images=9") +
                             other.line("requests=8", "queued=4", "revoked"))
        self.new_key("shop")
        self.assertEqual(self.lines()[-1][5:], ["requests=7", "images=9"])

    def test_revoking(self):
        token = self.new_key("shop")
        kept = self.new_key("shop")
        self.file.write_text("# a comment\n" + self.file.read_text())
        self.command("--revoke-key", token)         # the complete key is accepted instead of its id
        self.assertEqual([line[5:] for line in self.lines()], [["revoked"], []])
        self.assertTrue(self.file.read_text().startswith("# a comment\n"))
        self.assertIn("no key with id", self.command("--revoke-key", "f" * 12, status=1).stderr)
        self.assertIn("12 hex digits", self.command("--revoke-key", "shop", status=78).stderr)
        typo = kept[:30] + ("0" if kept[30] != "0" else "1") + kept[31:]
        self.assertIn("typo", self.command("--revoke-key", typo, status=78).stderr)
        self.assertEqual([line[5:] for line in self.lines()], [["revoked"], []])

    def test_the_list_shows_valid_keys(self):
        live, ended, gone = Key("a"), Key("b"), Key("c")
        self.file.write_text(live.line() + ended.line(expires=PAST) + gone.line("revoked"))
        shown = [line.split() for line in self.command("--list-keys").stdout.splitlines()]
        self.assertEqual([(row[0], row[1], row[-1]) for row in shown],
                         [(live.id, "a", "live"), (ended.id, "b", "expired"), (gone.id, "c", "revoked")])

    def test_one_command_at_a_time(self):
        self.assertIn("only one of", self.command("--list-keys", "--new-key", "shop", status=78).stderr)

    def test_an_invalid_file_is_not_changed(self):
        self.file.write_text("nonsense\n")
        self.assertIn("line 1", self.command("--new-key", "shop", status=1).stderr)
        self.assertEqual(self.file.read_text(), "nonsense\n")

    def test_concurrent_commands_lose_no_key(self):
        running = [subprocess.Popen([binary("arkrelay-gateway"), "--new-key", f"c{n % 3}", "--keys-file", str(self.file)],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/") for n in range(9)]
        made = [token for token in (process.communicate(timeout=30)[0].strip() for process in running) if token]
        self.assertEqual(len(made), 6, "two of each client")
        self.assertEqual(sorted(line[2] for line in self.lines()),
                         sorted(hashlib.sha256(token.encode()).hexdigest() for token in made))


class KeysTest(GatewayTest):
    """Gateways with a keys file, which the test writes."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="arkrelay-keys-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "keys"

    def write(self, *lines):
        made = self.file.with_suffix(".made")
        made.write_text("".join(lines))
        made.chmod(0o600)
        made.rename(self.file)

    def gateway(self, *lines, **options):
        if lines:
            self.write(*lines)
        return self.world.gateway(GATEWAY_KEYS_FILE=self.file, **options)

    def reload(self, gateway, *lines, ends=r" keys +keys file loaded "):
        self.write(*lines)
        gateway.signal(signal.SIGHUP)
        gateway.wait_for(ends)

    def ask(self, gateway, key, method="GET", path="/queue", body=None, **headers):
        return fetch(gateway.address, method, BASE + path, body, {**(key.header if key else {}), **headers})

    def submit(self, gateway, key, task_id, **fields):
        return self.ask(gateway, key, "POST", "/generate", request(task_id, **fields))

    def follow(self, gateway, key, task_id):
        return EventStream(gateway.address, "GET", f"{BASE}/tasks/{task_id}/stream", headers=key.header)

    def generate(self, gateway, key, task_id):
        return EventStream(gateway.address, "POST", f"{BASE}/generate/stream", request(task_id), key.header)

    def assert_unauthorized(self, answer):
        self.assert_problem(answer, 401, "unauthorized")
        self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="arkrelay"')
        return json.dumps({**answer.json(), "request_id": ""})

    def ids(self):
        return sorted(id.decode() for id in self.redis("ZRANGE", PREFIX + "index", 0, "+inf", "BYSCORE"))


ROUTES = [("POST", "/generate"), ("POST", "/generate/stream"), ("GET", "/tasks/t1"), ("HEAD", "/tasks/t1"),
          ("GET", "/tasks/t1/stream"), ("POST", "/tasks/t1/cancel"), ("DELETE", "/tasks/t1"), ("GET", "/queue"),
          ("PUT", "/queue"), ("GET", "/nothing"), ("GET", ""), ("GET", "/")]


class Access(KeysTest):
    def setUp(self):
        super().setUp()
        self.key, self.revoked, self.ended = Key("shop"), Key("shop"), Key("shop")
        self.lines = self.key.line(), self.revoked.line("revoked"), self.ended.line(expires=PAST)
        self.gw = self.gateway(*self.lines, GATEWAY_ADMIN_KEY=OPERATORS)

    def wrong(self):
        token = self.key.token
        return {
            "B70 no Authorization": None,
            "B71 another scheme": f"Basic {token}",
            "B71 no scheme": token,
            "B71 no token": "Bearer",
            "B71 an empty token": "Bearer ",
            "B71 a token of 7 KB": "Bearer " + 7000 * "x",
            "B71 a token with a blank": f"Bearer {token[:40]} {token[40:]}",
            "B71 two tokens": f"Bearer {token} {token}",
            "B72 an unknown key": f"Bearer {Key('shop').token}",
            "B72 a revoked key": f"Bearer {self.revoked.token}",
            "B72 an expired key": f"Bearer {self.ended.token}",
            "the right key id, another secret": f"Bearer {token[:30]}{'0' * (len(token) - 30)}",
            "a key cut short": f"Bearer {token[:-1]}",
            "a key with a trailing character": f"Bearer {token}0",
            "a key in capitals": f"Bearer {token.upper()}",
            "the key's hash": f"Bearer {hashlib.sha256(token.encode()).hexdigest()}",
            "the operators' key": f"Bearer {OPERATORS}",
        }

    def test_B70_B71_B72_every_wrong_key_gets_the_same_answer_everywhere(self):
        texts, wrong = set(), self.wrong()
        for (method, path), name in itertools.chain(itertools.product(ROUTES, ["B70 no Authorization"]),
                                                    itertools.product(ROUTES[2:3], wrong)):
            with self.subTest(name, method=method, path=path):
                body = request("t1") if method == "POST" else None
                answer = self.ask(self.gw, None, method, path, body, Authorization=wrong[name])
                if method == "HEAD":
                    self.assertEqual((answer.status, answer.body), (401, b""))
                else:
                    texts.add(self.assert_unauthorized(answer))
        self.assertEqual(len(texts), 1)
        self.assertEqual(self.ids(), [])
        self.assertFalse([line for line in self.gw.lines if self.key.token[22:54] in line], "no key is in the log")

    def test_B71_malformed_headers(self):
        for value, status in (("Bearer " + 10_000 * "x", 431), ("Bearer a\0b", 400)):
            with self.subTest(status):
                self.assertEqual(self.ask(self.gw, None, Authorization=value).status, status)
        with Connection(self.gw.address) as raw:
            header = f"Authorization: Bearer {self.key.token}\r\n"
            raw.send(f"GET {BASE}/queue HTTP/1.1\r\nHost: x\r\n{header}{header}\r\n".encode())
            self.assertEqual(raw.response().status, 400)

    def test_a_key_is_accepted_only_in_the_header(self):
        for scheme in ("Bearer", "bearer", "BEARER  "):
            self.assertEqual(self.ask(self.gw, None, Authorization=f"{scheme} {self.key.token}").status, 200)
        for name in ("key", "api_key", "access_token", "authorization"):
            self.assert_unauthorized(self.ask(self.gw, None, path=f"/queue?{name}={self.key.token}"))
        self.assert_unauthorized(self.ask(self.gw, None, **{"X-Api-Key": self.key.token}))

    def test_with_a_key_all_endpoints_work(self):
        self.assert_problem(self.ask(self.gw, self.key, path="/nothing"), 404, "not_found")
        self.assert_problem(self.ask(self.gw, self.key, "PUT"), 405, "method_not_allowed")
        self.assertEqual(self.ask(self.gw, self.key, "HEAD").status, 200)

    def test_probes_need_no_key(self):
        for path in ("/livez", "/readyz"):
            self.assertEqual(self.gw.get(path).status, 200)

    def test_path_variants_do_not_bypass_the_key(self):
        for path in (BASE + "x/queue", BASE + "//queue", BASE.upper() + "/queue", "/." + BASE + "/queue", "/x/.." + BASE + "/queue",
                     BASE.replace("f", "%66", 1) + "/queue"):
            self.assertIn(fetch(self.gw.address, "GET", path).status, (401, 404), path)

    def test_a_page_of_another_origin_may_send_its_key(self):
        preflight = self.ask(self.gw, None, "OPTIONS", "/tasks/t1/stream", Origin="https://page.example",
                             **{"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"})
        self.assertEqual(preflight.status, 204)
        self.assertIn("Authorization", preflight.headers["access-control-allow-headers"])
        refused = self.ask(self.gw, None, Origin="https://page.example")
        self.assert_unauthorized(refused)
        self.assertEqual(refused.headers["access-control-allow-origin"], "*", "so that the page can read why")
        exposed = self.ask(self.gw, self.key, Origin="https://page.example").headers["access-control-expose-headers"]
        self.assertIn("RateLimit, RateLimit-Policy", exposed)

    def test_admin_and_client_keys_are_separate(self):
        def operators(path, token, method="GET"):
            return fetch(self.gw.address, method, path, headers={"Authorization": f"Bearer {token}"} if token else None)
        for token in (self.key.token, "", None):
            self.assert_unauthorized(operators("/admin/queue/pause", token, "POST"))
            self.assert_unauthorized(operators("/metrics", token))
        self.assertEqual(operators("/admin/queue/resume", OPERATORS, "POST").status, 200)
        self.assertNotEqual(operators("/metrics", OPERATORS).status, 401)
        self.assert_unauthorized(self.ask(self.gw, None, Authorization=f"Bearer {OPERATORS}"))

    def test_the_key_is_checked_for_every_request_of_a_connection(self):
        with Connection(self.gw.address) as connection:
            for key, status in ((self.key, 200), (self.revoked, 401), (self.key, 200), (None, 401)):
                connection.request("GET", f"{BASE}/queue", headers=key.header if key else {})
                self.assertEqual(connection.response().status, status)


class WithoutKeys(GatewayTest):
    def test_without_keys_all_clients_are_public_and_unlimited(self):
        gateway = self.world.gateway(GATEWAY_CLIENT_REQUESTS=1, GATEWAY_CLIENT_STREAMS=1)
        assert_logged(self, gateway, "can spend the ARK account's money")
        with contextlib.ExitStack() as stack:
            for n in range(3):
                stream = stack.enter_context(gateway.generate(f"t{n}"))
                self.assertFalse([name for name, _ in stream.response.headers.pairs if name.lower().startswith("ratelimit")])
        self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/queue", headers={"Authorization": "Bearer x"}).status, 200)
        self.assertEqual(self.redis("KEYS", "arkrelay:{client:*"), [])
        self.assertEqual(len(self.redis("ZRANGE", PREFIX + "index", 0, "+inf", "BYSCORE")), 3)

    def test_metrics_need_no_key_without_an_admin_key(self):
        self.assertNotEqual(self.world.gateway().get("/metrics").status, 401)

    def test_a_short_admin_key_is_refused(self):
        done = run("--listen", "127.0.0.1:0", GATEWAY_ADMIN_KEY="x" * 15)
        self.assertEqual(done.returncode, 78)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("at least 16", done.stderr)


class KeysFile(KeysTest):
    def start_badly(self, **options):
        done = run("--listen", "127.0.0.1:0", REDIS_URL=self.world.redis_server.url, GATEWAY_KEYS_FILE=str(self.file), **options)
        self.assertEqual(done.returncode, 78, done.stderr)
        return done.stderr.splitlines()[-1]

    def test_an_invalid_line_prevents_the_start(self):
        self.write("# mine\n", Key("shop").line(), "x y z\n")
        self.assertIn(f'GATEWAY_KEYS_FILE {self.file}: line 3: "x" is not a key id', self.start_badly())

    def test_a_missing_file_prevents_the_start(self):
        line = self.start_badly()
        self.assertIn("No such file", line)
        self.assertIn("--new-key", line)

    def test_an_empty_file_admits_no_client(self):
        gateway = self.gateway("# no keys yet\n")
        assert_logged(self, gateway, "warn .*no valid key.*--new-key")
        self.assert_unauthorized(self.ask(gateway, Key("shop")))
        self.assert_unauthorized(self.ask(gateway, None))
        self.assertEqual(gateway.get("/readyz").status, 200)

    def test_a_world_readable_file_is_a_warning(self):
        key = Key("shop")
        self.write(key.line())
        self.file.chmod(0o644)
        gateway = self.gateway()
        assert_logged(self, gateway, "warn .*chmod 600")
        self.assertEqual(self.ask(gateway, key).status, 200)

    def test_with_keys_the_gateway_may_listen_on_any_address(self):
        done = run("--listen", "0.0.0.0:0", REDIS_URL=self.world.redis_server.url)
        self.assertEqual(done.returncode, 78)
        self.assertIn("GATEWAY_KEYS_FILE", done.stderr)
        gateway = self.gateway(Key("shop").line(), GATEWAY_LISTEN="0.0.0.0:0")
        self.assertFalse([line for line in gateway.lines if "spends the ARK account's money" in line])

    def test_a_generated_key_is_accepted(self):
        made = [run("--new-key", "shop", "--keys-file", str(self.file)).stdout.strip() for _ in range(2)]
        gateway = self.gateway()
        for token in made:
            self.assertEqual(self.ask(gateway, None, Authorization=f"Bearer {token}").status, 200)

    def test_key_rotation(self):
        old, new = Key("shop"), Key("shop")
        gateway = self.gateway(old.line())
        self.submit(gateway, old, "t1")
        self.reload(gateway, old.line(), new.line())
        for key in (old, new):
            self.assertEqual(self.ask(gateway, key, path="/tasks/t1").status, 200, "both are the same client")
        self.reload(gateway, old.line("revoked"), new.line())
        self.assert_unauthorized(self.ask(gateway, old, path="/tasks/t1"))
        self.assertEqual(self.ask(gateway, new, path="/tasks/t1").status, 200)

    def test_an_invalid_file_does_not_change_the_loaded_keys(self):
        key, late = Key("shop"), Key("late")
        gateway = self.gateway(key.line("requests=7"))
        self.reload(gateway, late.line("requests=8"), "broken\n", ends="keeping the old ones.*line 2")
        self.assertEqual(self.ask(gateway, key).headers["ratelimit-policy"], '"requests";q=7;w=60')
        self.assert_unauthorized(self.ask(gateway, late))
        self.file.unlink()
        gateway.signal(signal.SIGHUP)
        gateway.wait_for("keeping the old ones.*No such file")
        self.assertEqual(self.ask(gateway, key).status, 200)
        self.reload(gateway, late.line())
        self.assertEqual(self.ask(gateway, late).status, 200)

    def test_a_stream_continues_after_its_key_is_revoked(self):
        key, other = Key("shop"), Key("other")
        gateway = self.gateway(key.line(), other.line())
        with self.generate(gateway, key, "t1") as stream:
            stream.until("start")
            self.reload(gateway, key.line("revoked"), other.line())
            self.assert_unauthorized(self.ask(gateway, key, path="/tasks/t1"))
            self.run_script("cancel", "shop.t1", "any")
            stream.until("error")

    def test_reloading_under_load_refuses_no_valid_key_and_reaches_every_thread(self):
        steady, flicker = Key("steady"), Key("flicker")
        gateway = self.gateway(steady.line("requests=0"), GATEWAY_THREADS=3)
        stop, bad, served = threading.Event(), [], itertools.count()

        def load():
            with Connection(gateway.address) as connection:
                while not stop.is_set():
                    connection.request("GET", f"{BASE}/queue", headers=steady.header)
                    status = connection.response().status
                    next(served)
                    if status not in (200, 503):        # 503: Redis answers late on a loaded machine
                        bad.append(status)

        def everywhere(status):
            return all(self.ask(gateway, flicker).status == status for _ in range(8))

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(12):
                self.reload(gateway, steady.line("requests=0"), *([] if turn % 2 else [flicker.line("requests=0")]))
                eventually(lambda: everywhere(401 if turn % 2 else 200), "every thread has the new keys")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(bad, [])
        self.assertGreater(next(served), 12)


class Tenants(KeysTest):
    def setUp(self):
        super().setUp()
        self.a, self.b = Key("a"), Key("b")
        self.gw = self.gateway(self.a.line(), self.b.line())

    def shape(self, answer, task_id):
        return answer.status, {**answer.json(), "request_id": ""}, task_id in answer.body.decode()

    def test_B73_tasks_of_other_clients_are_not_found(self):
        """For every endpoint, the response is the same as for a task that does not exist."""
        with self.generate(self.gw, self.a, "live"), self.generate(self.gw, self.a, "ended") as ended:
            self.assertEqual(self.ask(self.gw, self.a, "POST", "/tasks/ended/cancel").status, 200)
            ended.until("error")
            before = self.world.look().everything
            for (method, suffix), task_id in itertools.product(
                    (("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("DELETE", "")), ("live", "ended")):
                with self.subTest(method=method, suffix=suffix, task=task_id):
                    theirs = self.ask(self.gw, self.b, method, f"/tasks/{task_id}{suffix}")
                    self.assert_problem(theirs, 404, "task_not_found")
                    none = self.ask(self.gw, self.b, method, f"/tasks/none{suffix}")
                    self.assertEqual(self.shape(theirs, task_id), self.shape(none, "none"))
            for name in ("a.live", "public.live", "b.live", "a:live", ".live"):
                self.assertEqual(self.ask(self.gw, self.b, path=f"/tasks/{name}").status, 404)
            self.assertEqual(self.world.look().everything, before)

    def test_two_clients_can_use_the_same_task_id(self):
        with self.generate(self.gw, self.a, "t1") as first:
            first.until("start")
            other = self.ask(self.gw, self.b, "POST", "/generate", request("t1", prompt="another"))
            self.assertEqual((other.status, other.json()["task_id"]), (202, "t1"))
            self.assertEqual(self.ids(), ["a.t1", "b.t1"])
            self.assertEqual(self.ask(self.gw, self.b, "POST", "/tasks/t1/cancel").status, 200)
            self.assertEqual(self.ask(self.gw, self.a, path="/tasks/t1").json()["status"], "queued")
            self.assertEqual(self.ask(self.gw, self.b, path="/tasks/t1").json()["status"], "cancelled")
            with self.follow(self.gw, self.b, "t1") as second:
                self.assertEqual([event.story() for event in second.to_end()], ["start", "error"])
            self.assertEqual(self.ask(self.gw, self.b, "DELETE", "/tasks/t1").status, 204)
            self.assertEqual(self.ids(), ["a.t1"])
            self.assertEqual(self.submit(self.gw, self.a, "t1", prompt="another").status, 409)

    def test_public_tasks_are_not_visible_with_a_key(self):
        self.run_script("submit", "public.t1", "hash", '{"urls":[]}', 2, 86_400_000, 100, 86_400_000, 100, "")
        self.assertEqual(self.ask(self.gw, self.a, path="/tasks/t1").status, 404)

    def test_on_disconnect_cancel_affects_only_the_clients_own_task(self):
        fields = request("t1", on_disconnect="cancel")
        with EventStream(self.gw.address, "POST", f"{BASE}/generate/stream", fields, self.a.header) as stream:
            stream.until("start")
            self.submit(self.gw, self.b, "t1")
        eventually(lambda: self.ids() == ["b.t1"], "the task of who left is cancelled")

    def test_hints_count_only_the_clients_tasks(self):
        gateway = self.world.gateway(GATEWAY_KEYS_FILE=self.file, GATEWAY_HINTS="100ms")
        with self.generate(gateway, self.a, "t1"), self.generate(gateway, self.b, "t1") as second:
            self.assertEqual(second.until("process queued")[-1].payload()["position"], 2)


class Requests(KeysTest):
    LIMITS = "arkrelay:{client:shop}:limits"

    def setUp(self):
        super().setUp()
        self.key = Key("shop")

    def tokens(self):
        return float(self.redis("HGET", self.LIMITS, "tokens"))

    def stand_still(self, tokens):
        """Sets the bucket to this many tokens, and prevents a refill before the next request."""
        seconds, _ = self.redis("TIME")
        self.redis("HSET", self.LIMITS, "tokens", tokens, "filled_at", int(seconds) * 1000 + HELD_MS)

    def test_B74_above_the_rate(self):
        gateway = self.gateway(self.key.line("requests=6"), Key("other").line())
        for left in (2, 1, 0):
            self.stand_still(left + 1)
            answer = self.ask(gateway, self.key)
            self.assertEqual((answer.status, answer.headers["ratelimit-policy"]), (200, '"requests";q=6;w=60'))
            self.assertEqual(answer.headers["ratelimit"], f'"requests";r={left};t={60 - 10 * left}')
        self.stand_still(0.5)
        answer = self.ask(gateway, self.key)
        self.assert_problem(answer, 429, "rate_limited")
        self.assertEqual((answer.headers["retry-after"], answer.headers["ratelimit"]), ("5", '"requests";r=0;t=5'))
        self.assertEqual(answer.headers["ratelimit-policy"], '"requests";q=6;w=60')
        self.redis("HINCRBY", self.LIMITS, "filled_at", -5000)
        self.assertEqual(self.ask(gateway, self.key).status, 200, "after the retry delay")

    def test_the_openai_api_has_the_headers_that_its_clients_read(self):
        names = [f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset")]
        gateway = self.gateway(self.key.line("requests=6"))
        for tokens, status, values in ((6, 200, ["6", "5", "10s"]), (2.5, 200, ["6", "1", "45s"]), (1, 200, ["6", "0", "1m0s"]),
                                       (0.5, 429, ["6", "0", "5s"])):
            self.stand_still(tokens)
            answer = fetch(gateway.address, "GET", "/v1/models", headers=self.key.header)
            self.assertEqual((answer.status, [answer.headers.get(name) for name in names]), (status, values), tokens)
            self.assertIn("ratelimit", answer.headers)
        self.stand_still(0.95)
        self.assertRegex(fetch(gateway.address, "GET", "/v1/models", headers=self.key.header).headers[names[2]], "^50[01]ms$")
        self.stand_still(6)
        self.assertNotIn(names[0], self.ask(gateway, self.key).headers)

    def test_all_endpoints_count_per_client(self):
        other = Key("other")
        gateway = self.gateway(self.key.line("requests=100"), other.line("requests=100"))
        for method, path in ROUTES:
            self.stand_still(50)
            body = request("t1") if method == "POST" else None
            if path.endswith("/stream"):
                with EventStream(gateway.address, method, BASE + path, body, self.key.header) as stream:
                    headers = stream.response.headers
            else:
                headers = self.ask(gateway, self.key, method, path, body).headers
            self.assertEqual((self.tokens(), headers["ratelimit"]), (49, '"requests";r=49;t=31'), (method, path))
        self.stand_still(50)
        for answer in (self.ask(gateway, None), self.ask(gateway, self.key, "OPTIONS"), gateway.get("/livez")):
            self.assertNotIn("ratelimit", answer.headers)
        self.ask(gateway, other)
        self.assertEqual(self.tokens(), 50)

    def test_a_limited_request_does_nothing(self):
        gateway = self.gateway(self.key.line("requests=5"))
        for method, path in ROUTES:
            self.stand_still(0)
            body = request("t1") if method == "POST" else None
            self.assertEqual(self.ask(gateway, self.key, method, path, body).status, 429)
        self.assertEqual(self.ids(), [])

    def test_the_default_limit_and_no_limit(self):
        free = Key("free")
        gateway = self.gateway(self.key.line(), free.line("requests=0"))
        self.stand_still(5)
        self.assertEqual(self.ask(gateway, self.key).headers["ratelimit-policy"], '"requests";q=600;w=60')
        answer = self.ask(gateway, free)
        self.assertFalse({"ratelimit", "ratelimit-policy"} & {name.lower() for name, _ in answer.headers.pairs})
        self.assertEqual(self.redis("KEYS", "arkrelay:{client:*"), [self.LIMITS.encode()])

    def test_the_first_line_of_a_client_sets_its_limits(self):
        keys = [Key("shop") for _ in range(4)]
        more = ["requests=3", "revoked"], [], ["requests=5"], ["requests=7"]
        gateway = self.gateway(*(key.line(*words) for key, words in zip(keys, more)))
        self.assertEqual(self.ask(gateway, keys[3]).headers["ratelimit-policy"], '"requests";q=5;w=60')
        self.reload(gateway, keys[3].line("requests=9"))
        self.assertEqual(self.ask(gateway, keys[3]).headers["ratelimit-policy"], '"requests";q=9;w=60')

    def test_gateways_share_the_bucket(self):
        gateways = self.gateway(self.key.line("requests=5")), self.gateway()
        answers = [self.ask(gateway, self.key).status for _ in range(4) for gateway in gateways]
        self.assertEqual(sorted(answers), [200] * 5 + [429] * 3)

    def test_requests_on_one_connection_are_limited_in_order(self):
        gateway = self.gateway(self.key.line("requests=3"))
        line = f"GET {BASE}/queue HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key.token}\r\n\r\n".encode()
        with Connection(gateway.address) as connection:
            connection.send(4 * line)
            self.assertEqual([connection.response().status for _ in range(4)], [200, 200, 200, 429])

    def test_redis_is_unavailable(self):
        gateway = self.gateway(self.key.line())
        self.world.redis_server.program.pause()
        begin = time.monotonic()
        self.assert_problem(self.ask(gateway, self.key), 503, "store_unavailable")
        self.assertLess(time.monotonic() - begin, 10)
        self.assert_unauthorized(self.ask(gateway, Key("shop")))
        self.world.redis_server.program.resume()
        eventually(lambda: self.ask(gateway, self.key).status == 200, "Redis is back")

    def test_a_client_that_disconnects_while_waiting_is_removed(self):
        self.run_script.load()
        proxy = HeldReplies(self.world.redis_server.socket)
        self.addCleanup(proxy.close)
        gateway = self.gateway(self.key.line(), REDIS_URL=proxy.url)
        for method, path, body in (("GET", "/queue", None), ("HEAD", "/tasks/t1", None), ("GET", "/tasks/t1/stream", None),
                                   ("POST", "/generate", json.dumps(request("t1")))):
            proxy.hold_reply_to(self.run_script.sha1["limit"])
            with Connection(gateway.address) as connection:
                connection.request(method, BASE + path, body, self.key.header)
                proxy.ran.wait()
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))    # closes with RST
            gateway.wait_for("connection fd=.* from=handling to=closed")
            proxy.release_reply()
            eventually(lambda: self.ask(gateway, self.key).status == 200, "the gateway continues")
        self.assertEqual(self.ids(), [], "what was not admitted did not begin")


class Streams(KeysTest):
    def setUp(self):
        super().setUp()
        self.key = Key("shop")

    def open(self, stack, gateway, task_id):
        return stack.enter_context(self.generate(gateway, self.key, task_id))

    def test_B75_too_many_streams(self):
        gateway = self.gateway(self.key.line("streams=2"), GATEWAY_THREADS=3)
        other = self.gateway()
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(self.generate(gateway, self.key, "t1"))
            second = self.open(stack, gateway, "t2")
            for _ in range(6):
                refused = self.open(stack, gateway, "t3")
                self.assertTrue(refused.refused)
                self.assert_problem(refused.response, 429, "too_many_streams")
            self.assertTrue(stack.enter_context(self.follow(gateway, self.key, "t1")).refused)
            self.assertEqual(self.ids(), ["shop.t1", "shop.t2"], "a refused stream brings no task")
            self.assertEqual(self.ask(gateway, self.key, path="/tasks/t1").status, 200, "all else is still there")
            self.assertFalse(self.open(stack, other, "t3").refused, "each gateway counts its own")
            first.close()
            eventually(lambda: not self.open(stack, gateway, "t4").refused, "one has left")
            self.run_script("cancel", "shop.t2", "any")
            second.until("error")
            eventually(lambda: not self.open(stack, gateway, "t5").refused, "one has ended")

    def test_refused_streams_do_not_count(self):
        gateway = self.gateway(self.key.line("streams=1", "queued=1", "requests=0"))
        for _ in range(3):
            with self.follow(gateway, self.key, "none") as stream:
                self.assert_problem(stream.response, 404, "task_not_found")
        with self.generate(gateway, self.key, "t1"):
            pass
        def refused():
            with self.generate(gateway, self.key, "t2") as stream:
                return stream.response.json()["code"]
        for _ in range(3):
            eventually(lambda: refused() == "client_queue_full", "the place is free again")

    def test_the_count_and_the_streams_survive_a_reload(self):
        gateway = self.gateway(self.key.line("streams=2"))
        with contextlib.ExitStack() as stack:
            streams = [self.open(stack, gateway, f"t{n}") for n in range(2)]
            self.reload(gateway, self.key.line("streams=1"))
            self.assertTrue(self.open(stack, gateway, "t3").refused)
            streams.pop().close()
            self.reload(gateway, self.key.line("streams=2"))
            eventually(lambda: not self.open(stack, gateway, "t3").refused, "one has left")
            self.assertTrue(self.open(stack, gateway, "t4").refused)
            self.reload(gateway, self.key.line("streams=0"))
            for n in range(5):
                self.assertFalse(self.open(stack, gateway, f"u{n}").refused)


class Amounts(KeysTest):
    def setUp(self):
        super().setUp()
        self.key = Key("shop")

    def images(self, client="shop"):
        keys = self.redis("KEYS", PREFIX + "images:*")
        return [int(self.redis("HGET", key, client) or 0) for key in keys]

    def image_headers(self, answer):
        return [item for field in answer.headers.all("ratelimit") for item in field.split(", ") if item.startswith('"images"')]

    def test_tasks_of_a_client(self):
        other = Key("other")
        gateway = self.gateway(self.key.line("queued=1"), other.line(), GATEWAY_CLIENT_QUEUE_LIMIT=2)
        self.assertEqual(self.submit(gateway, self.key, "t1").status, 202)
        self.assert_problem(self.submit(gateway, self.key, "t2"), 429, "client_queue_full")
        self.assertEqual([self.submit(gateway, other, f"t{n}").status for n in range(3)], [202, 202, 429])
        self.assertEqual(self.submit(gateway, self.key, "t1").status, 200, "a known task is no further one")

    def test_B75_images_per_day(self):
        gateway = self.gateway(self.key.line("images=6", "requests=0"), ARK_MAX_IMAGES=4)
        answer = self.submit(gateway, self.key, "t1")
        self.assertEqual((answer.status, answer.headers["ratelimit-policy"]), (202, '"images";q=6;w=86400'))
        self.assertRegex(self.image_headers(answer)[0], r'\A"images";r=2;t=\d+\Z')
        answer = self.submit(gateway, self.key, "t2")
        self.assert_problem(answer, 429, "images_per_day")
        self.assertIn(int(answer.headers["retry-after"]), range(1, DAY_S + 1))
        self.assertEqual(self.images(), [4])
        with self.generate(gateway, self.key, "t2") as stream:
            self.assert_problem(stream.response, 429, "images_per_day")
            self.assertIn(int(stream.response.headers["retry-after"]), range(1, DAY_S + 1))
        answer = self.submit(gateway, self.key, "t3", max_images=2)
        self.assertRegex(self.image_headers(answer)[0], r'\A"images";r=0;t=\d+\Z')
        self.assertEqual((self.images(), self.submit(gateway, self.key, "t3", max_images=2).status), ([6], 200))
        self.assertEqual(self.ask(gateway, self.key, "POST", "/tasks/t1/cancel").status, 200)
        self.assertEqual(self.images(), [2], "what it did not get is given back")
        with self.generate(gateway, self.key, "t4") as stream:
            self.assertRegex(self.image_headers(stream.response)[0], r'\A"images";r=0;t=\d+\Z')

    def test_both_limits_are_in_the_headers(self):
        gateway = self.gateway(self.key.line(), GATEWAY_CLIENT_IMAGES=9)
        answer = self.submit(gateway, self.key, "t1")
        self.assertEqual(answer.headers["ratelimit-policy"], '"requests";q=600;w=60, "images";q=9;w=86400')
        self.assertEqual([field.partition(";t=")[0] for field in answer.headers.all("ratelimit")],
                         ['"requests";r=599', '"images";r=6'])

    def test_without_a_limit_nothing_is_counted(self):
        gateway = self.gateway(self.key.line())
        self.assertEqual(self.image_headers(self.submit(gateway, self.key, "t1")), [])
        self.assertEqual(self.images(), [])

    def test_without_keys_the_daily_limit_applies_to_all(self):
        gateway = self.world.gateway(GATEWAY_CLIENT_IMAGES=3)
        self.assertEqual(gateway.submit("t1").status, 202)
        self.assert_problem(gateway.submit("t2"), 429, "images_per_day")
        self.assertEqual(self.images("public"), [3])


if __name__ == "__main__":
    unittest.main()
