"""The Redis users of deploy/redis/users.acl have exactly the permissions that the programs need."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from support.http_client import Connection, fetch
from support.processes import ProcessTest, eventually
from support.redis_server import RedisServer
from support.resp import Redis, RedisError
from support.rights import commands
from support.scripts import PREFIX, Scripts
from support.world import BASE, World, sim

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/redis"
PASSWORDS = {"admin": "a-1", "gateway": "g-1", "worker": "w-1"}
CHANNEL = "arkrelay:{0}:channel:public.t1"
ADMIN_KEY = "operators-only-0123"


def rendered():
    text = (FOLDER / "users.acl").read_text()
    for user, password in PASSWORDS.items():
        text = text.replace(f"{user.upper()}_PASSWORD", password)
    return text


def rights(user):
    line, = re.findall(rf"^user {user} .*$", (FOLDER / "users.acl").read_text(), re.M)
    return {word[1:] for word in line.split() if word.startswith("+")}


@contextlib.contextmanager
def acl_file(text):
    with tempfile.NamedTemporaryFile("w", suffix=".acl") as file:
        file.write(text)
        file.flush()
        yield file.name


@contextlib.contextmanager
def restricted_world():
    """A world whose programs log in as these users. The test uses the default user, with all permissions."""
    text = re.sub(r"^user default .*$", "user default on nopass ~* &* +@all", rendered(), flags=re.M)
    with acl_file(text) as path, World(tcp=True, options=("--aclfile", path)) as world:
        yield world


def url(world, user):
    return f"redis://{user}:{PASSWORDS[user]}@127.0.0.1:{world.redis_server.port}"


class Users(ProcessTest):
    def assert_nothing_refused(self, world):
        entries = [dict(zip(entry[::2], entry[1::2])) for entry in world.redis("ACL", "LOG")]
        self.assertEqual([(entry[b"username"], entry[b"reason"], entry[b"object"]) for entry in entries], [])

    def test_permissions_are_exactly_those_needed(self):
        for user in ("gateway", "worker"):
            needed, given = commands(user), rights(user)
            self.assertEqual(sorted(given - needed), [], f"{user}: no script needs these any more")
            self.assertEqual(sorted(needed - given), [], f"{user}: missing in deploy/redis/users.acl")

    def test_programs_have_all_needed_permissions(self):
        with restricted_world() as world:
            gateway = world.gateway(REDIS_URL=url(world, "gateway"), GATEWAY_ADMIN_KEY=ADMIN_KEY, GATEWAY_HINTS="100ms")
            operator = {"Authorization": f"Bearer {ADMIN_KEY}"}
            pause = fetch(gateway.address, "POST", "/admin/queue/pause", headers=operator)
            resume = fetch(gateway.address, "POST", "/admin/queue/resume", headers=operator)
            self.assertEqual((pause.status // 100, resume.status // 100), (2, 2))
            self.assertEqual(gateway.submit("early").status, 202)
            with Connection(gateway.address) as connection:     # an order without an answer, then its repetition
                connection.request("POST", "/v1/images/generations", {"prompt": "x"})
                eventually(lambda: world.redis("HGET", "arkrelay:{0}:queue", "waiting") == b"2", "the order is accepted")
            eventually(lambda: world.redis("KEYS", "arkrelay:{0}:unanswered:*"), "it is known that the client has left")
            self.assertEqual(gateway.cancel("early").status, 200)
            with gateway.generate("t1", prompt=sim("t1", "images=2")) as stream:
                stream.next_event()
                victim = world.worker(REDIS_URL=url(world, "worker"))
                self.assertEqual(stream.to_end()[-1].event, "done")
            self.assertEqual(gateway.submit("lost", prompt=sim("lost", "hang")).status, 202)
            world.ark.wait_calls(1, "lost")
            victim.kill()
            world.worker(REDIS_URL=url(world, "worker"))
            world.ark.wait_calls(2, "lost")
            self.assertEqual(gateway.cancel("lost").status, 202)
            world.ark.script({"status": 429, "retry_after": 0})
            self.assertEqual(gateway.submit("again", prompt=sim("again")).status, 202)
            world.wait_state("again", "done")
            world.redis("HSET", "arkrelay:{account}:governor", "default_model", "m", "m state", "open", "m code", "ark_unreachable",
                        "m since", 1, "m probe_at", 4102444800000)
            with gateway.generate("waits", model="m") as stream:        # reads the governor's state and the task's model
                self.assertEqual(stream.until("process queued")[-1].payload()["waiting_for"][0]["model"], "m")
            self.assertEqual(gateway.task("waits").json()["waiting_for"][0]["model"], "m")
            self.assertEqual(gateway.cancel("waits").status, 200)
            world.redis("DEL", "arkrelay:{account}:governor")
            self.assertEqual(gateway.submit("bad", prompt=sim("bad", "status=400")).status, 202)
            world.wait_all_final()
            with gateway.follow("t1", None) as stream:
                self.assertEqual(stream.to_end()[-1].event, "done")
            self.assertEqual(fetch(gateway.address, "GET", f"{BASE}/queue").status, 200)
            self.assertEqual((gateway.task("t1").status, gateway.erase("t1").status), (200, 204))
            for path in ("overview", "processes", "tasks?state=failed", "tasks/public.bad"):
                self.assertEqual(fetch(gateway.address, "GET", f"/admin/{path}", headers=operator).status, 200, path)
            self.assertEqual(fetch(gateway.address, "POST", "/admin/tasks/public.bad/retry", headers=operator).status // 100, 2)
            world.wait_all_final()
            for user, prefix, script, *arguments in (("worker", PREFIX, "audit", "a-worker", 60_000, 100),   # these run rarely
                                                     ("gateway", "arkrelay:{client:shop}:", "limit", 60)):
                with Redis(("127.0.0.1", world.redis_server.port)) as redis:
                    redis("AUTH", user, PASSWORDS[user])
                    Scripts(redis, prefix)(script, *arguments)
            self.assert_nothing_refused(world)

    def test_permissions_for_confirmed_paid_calls(self):
        with restricted_world() as world:
            worker = world.worker(REDIS_URL=url(world, "worker"), PAID_CALL_DURABILITY="replica",
                                  PAID_CALL_DURABILITY_TIMEOUT="50ms", WORKER_MAX_ATTEMPTS=1)
            world.submit_many(1)
            worker.wait_for("not confirmed")
            world.wait_all_final()
            self.assert_nothing_refused(world)

    def test_the_data_survives_a_crash(self):
        """Redis replays its append-only file as the user `default`. Commands that this user may not run would be lost silently, so it has
        all permissions."""
        with acl_file(rendered()) as path, RedisServer(tcp=True, aof=True, options=("--aclfile", path)) as server:
            for start in range(2):
                with Redis(("127.0.0.1", server.port)) as redis:
                    redis("AUTH", "gateway", PASSWORDS["gateway"])
                    script = "redis.call('HSET', KEYS[1] .. 'meta', 'paused', 1) return redis.call('RPUSH', KEYS[1] .. 'events:t', 'x')"
                    self.assertEqual(redis("EVAL", script, 1, PREFIX), start + 1)
                server.kill()
                server.start()

    def test_all_other_commands_are_refused(self):
        refused = [("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("SCAN", 0), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/tmp"),
                   ("DEBUG", "SLEEP", 0), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH"), ("ACL", "LIST"), ("ACL", "SETUSER", "x"),
                   ("SHUTDOWN",), ("REPLICAOF", "127.0.0.1", 1), ("MONITOR",), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"),
                   ("MODULE", "LIST"), ("SAVE",), ("SWAPDB", 0, 1), ("MOVE", "arkrelay:{0}:meta", 1), ("RANDOMKEY",),
                   ("RENAME", "arkrelay:{0}:meta", "arkrelay:{0}:x"), ("RESTORE", "arkrelay:{0}:x", 0, "x"), ("MIGRATE", "h", 1, "", 0, 9),
                   ("EVAL", "return redis.call('FLUSHALL')", 0),
                   ("EVAL", "return redis.call('GET', 'other')", 0), ("EVAL", "return redis.call('GET', KEYS[1])", 1, "other"),
                   ("EVAL", "return redis.call('PUBLISH', 'other', 'x')", 0),
                   ("EVAL", "return redis.call('HSET', 'arkrelay:x', 'a', 'b')", 0),
                   ("GET", "other"), ("PUBLISH", "other", "x"), ("SET", "other", 1), ("DEL", "other")]
        own = {"gateway": [("SUBSCRIBE", "other"), ("SUBSCRIBE", "__keyspace@0__:*"), ("HSET", "arkrelay:{account}:governor", "tokens", 1), ("HGETALL", "arkrelay:{account}:holders"),
                           ("BLPOP", "arkrelay:{0}:wake", 1)],
               "worker": [("SUBSCRIBE", CHANNEL), ("HGET", "arkrelay:{client:a}:limits", "tokens"), ("BLPOP", "other", 1)]}
        with acl_file(rendered()) as path, RedisServer(tcp=True, options=("--aclfile", path)) as server:
            for user, password in [(user, PASSWORDS[user]) for user in own]:
                for words in refused + own[user]:
                    with self.subTest(user=user, words=words), Redis(("127.0.0.1", server.port)) as redis:
                        redis("AUTH", user, password)
                        with self.assertRaisesRegex(RedisError, "NOPERM|ACL failure|can.t (access|run|publish)"):
                            redis(*words)
            with Redis(("127.0.0.1", server.port)) as stranger, self.assertRaisesRegex(RedisError, "NOAUTH"):
                stranger("PING")
            with Redis(("127.0.0.1", server.port)) as stranger, self.assertRaisesRegex(RedisError, "WRONGPASS"):
                stranger("AUTH", "default", "")


class Container(unittest.TestCase):
    """Runs start.sh and cli.sh as in the container."""

    def start(self, **env):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "redis-server")
            path.write_text("#!/bin/sh\necho \"$@\"\n")
            path.chmod(0o755)
            done = subprocess.run([FOLDER / "start.sh", "--dir", "/data"], capture_output=True, text=True,
                                  env={"PATH": f"{folder}:{os.environ['PATH']}", "REDIS_RUN": folder, **env})
            files = {name: (path.stat().st_mode & 0o777, path.read_text()) for name in ("users.acl", "admin-password")
                     if (path := pathlib.Path(folder, name)).exists()}
            return done, files

    def test_passwords_are_inserted(self):
        done, files = self.start(REDIS_GATEWAY_PASSWORD="g-1", REDIS_WORKER_PASSWORD="w-1")
        self.assertEqual((done.returncode, done.stdout.split()[2:]), (0, ["--dir", "/data"]))
        mode, password = files["admin-password"]
        self.assertRegex(password, r"^[\w-]{32}\n$")
        self.assertEqual((mode, files["users.acl"][0]), (0o600, 0o600))
        self.assertEqual(files["users.acl"][1].replace(password.strip(), PASSWORDS["admin"]), rendered())

    def test_each_start_has_a_new_administrator_password(self):
        passwords = {self.start(REDIS_GATEWAY_PASSWORD="g", REDIS_WORKER_PASSWORD="w")[1]["admin-password"] for _ in range(2)}
        self.assertEqual(len(passwords), 2)

    def test_a_password_that_looks_like_a_rule_is_refused(self):
        for bad in ("", "x y", "x/y", "x&y", "x\ny"):
            done, files = self.start(REDIS_GATEWAY_PASSWORD="g", REDIS_WORKER_PASSWORD=bad)
            self.assertEqual((done.returncode, done.stdout, files), (78, "", {}), bad)


if __name__ == "__main__":
    unittest.main()
