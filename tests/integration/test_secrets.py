"""Secrets must not appear in logs, errors, --print-config, core dumps or to other processes."""

import os
import re
import resource
import signal
import subprocess
import unittest

from support.http_client import fetch
from support.processes import ProcessTest, binary
from support.redis_server import RedisServer
from support.world import BASE, World, sim

ARK_KEY = "ark-key-5f2e9c41-d00d-4bad-8f00-1c0ffee15bad"
ADMIN_KEY = "admin-key-77b1f0a2-open-sesame-please-now"
SIGNATURE = "X-Tos-Signature=5ec7e7519"
REFERENCE = f"https://pictures.example.com/mine.jpg?{SIGNATURE}"
QUOTING = f"cannot load {REFERENCE} with key {ARK_KEY}"
PICTURE = "iVBORw0KGgo"                     # the beginning of every PNG in base64
JPEG = "/9j/"
LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}")


class Secrets(ProcessTest):
    def run_everything(self, log_format):
        """Runs tasks with links and base64 images, errors that quote the request, a cut response and a cancelled call."""
        with World() as world:
            gateway = world.gateway(GATEWAY_ADMIN_KEY=ADMIN_KEY, LOG_FORMAT=log_format)
            worker = world.worker(ARK_API_KEY=ARK_KEY, LOG_FORMAT=log_format, RETRY_BACKOFF_BASE="1ms", WORKER_MAX_ATTEMPTS=2)
            urls, answers = [REFERENCE], []
            prompts = {"links": "images=2", "quoted": f'status=400 message="{QUOTING}"', "cut": "cut_at_byte=300",
                       "busy": f'status=429 message="{QUOTING}"', "slot": "fail=0:OutputImageSensitiveContentDetected",
                       "html": "html_502"}
            for task_id, directives in prompts.items():
                with gateway.generate(task_id, urls=urls, prompt=sim(task_id, directives)) as stream:
                    if task_id == "busy":               # it never ends
                        answers += [frame.data for frame in stream.until("process retrying")]
                        gateway.cancel(task_id)
                    answers += [frame.data for frame in stream.to_end()]
            operator = {"Authorization": f"Bearer {ADMIN_KEY}"}
            answers += [fetch(gateway.address, "POST", "/admin/queue/pause", headers=headers).body.decode()
                        for headers in (operator, {}, {"Authorization": f"Bearer {ADMIN_KEY}x"})]
            fetch(gateway.address, "POST", "/admin/queue/resume", headers=operator)
            answers += [fetch(gateway.address, "POST", f"{BASE}/generate", body).body.decode()
                        for body in ({"urls": ["http://10.0.0.1/"], "task_id": "x"}, {"urls": [REFERENCE], "api_key": ARK_KEY})]
            stored = repr([world.redis("DUMP", key) for key in world.redis("KEYS", "*")])
            self.assertEqual((worker.stop(), gateway.stop()), (0, 0))
            logs = "\n".join([*gateway.lines, *worker.lines])
        return logs, answers, stored

    def assert_clean(self, logs, answers, stored):
        everywhere = [logs, *map(str, answers), stored]
        for secret in (ARK_KEY, ADMIN_KEY):
            self.assertFalse([text for text in everywhere if secret in text], secret)
        for secret in (SIGNATURE, PICTURE, JPEG, "signature=", "Signature=", "Bearer "):
            self.assertNotIn(secret, logs)
        self.assertIsNone(LONG_BASE64.search(logs))
        self.assertIn("cannot load https://pictures.example.com/mine.jpg?...", logs)        # the rest of the URL is kept
        self.assertTrue([data for data in answers if "with key ****" in str(data)])

    def test_no_secrets_with_image_links(self):
        for log_format in ("text", "json"):
            with self.subTest(log_format):
                self.assert_clean(*self.run_everything(log_format))

    def test_no_secrets_with_inline_images(self):
        with World() as world:
            gateway = world.gateway(GATEWAY_DATA_URLS="true")
            worker = world.worker(ARK_API_KEY=ARK_KEY, ARK_RESPONSE_FORMAT="b64_json")
            with gateway.generate("t1", prompt=sim("t1", "images=1")) as stream:
                self.assertIn("base64", str(stream.to_end()[-1].data))
            self.assertEqual((worker.stop(), gateway.stop()), (0, 0))
            logs = "\n".join([*gateway.lines, *worker.lines])
        self.assertNotIn("base64", logs)
        self.assertIsNone(LONG_BASE64.search(logs))

    def test_the_configuration_is_printed_without_secrets(self):
        env = {"PATH": os.environ["PATH"], "ARK_API_KEY": ARK_KEY, "GATEWAY_ADMIN_KEY": ADMIN_KEY,
               "REDIS_URL": "redis://me:passw0rd-of-redis@127.0.0.1:1/0"}
        for program in ("gateway", "worker"):
            for flag in ("--print-config", "--help"):
                text = subprocess.run([binary(f"arkrelay-{program}"), flag], env=env, cwd="/", capture_output=True, text=True, check=True)
                for secret in (ARK_KEY, ADMIN_KEY, "passw0rd-of-redis"):
                    self.assertNotIn(secret, text.stdout + text.stderr)

    def test_the_error_of_a_server_without_auth_is_not_logged(self):
        with RedisServer(tcp=True, options=("--rename-command", "AUTH", "")) as server, World() as world:
            url = f"redis://me:passw0rd-of-redis@127.0.0.1:{server.port}"
            gateway = world.gateway(wait_ready=False, REDIS_URL=url)
            gateway.wait_for("unknown command")
            self.assertEqual(gateway.stop(), 0)
            self.assertNotIn("passw0rd", "\n".join(gateway.lines))

    def test_an_invalid_secret_is_not_printed(self):
        for arguments, secret in ((["--ark-api-key"], None), ([f"--ark-api-kye={ARK_KEY}"], ARK_KEY),
                                  (["--redis-url=redis://me:passw0rd@:::bad"], "passw0rd")):
            done = subprocess.run([binary("arkrelay-worker"), *arguments], cwd="/", capture_output=True, text=True,
                                  env={"PATH": os.environ["PATH"], "ARK_API_KEY": ARK_KEY})
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertNotIn(secret or ARK_KEY, done.stdout + done.stderr)


class CoreDumps(ProcessTest):
    def status_of(self, program):
        """(hard limit of core dumps, whether only root may read the process's memory)"""
        with open(f"/proc/{program.pid}/limits", encoding="ascii") as limits:
            core = re.search(r"^Max core file size +(\S+) +(\S+)", limits.read(), re.M).group(2)
        return core, os.stat(f"/proc/{program.pid}/mem").st_uid == 0

    def test_core_dumps_are_disabled(self):
        with World() as world:
            for program in (world.gateway(CORE_DUMPS="false"), world.worker(CORE_DUMPS="false")):
                self.assertEqual(self.status_of(program), ("0", True))

    def test_core_dumps_can_be_enabled(self):
        limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
        wanted = "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
        with World() as world:
            for program in (world.gateway(CORE_DUMPS="true"), world.worker(CORE_DUMPS="true")):
                self.assertEqual(self.status_of(program), (wanted, os.geteuid() == 0))

    def test_a_crash_leaves_no_core_dump(self):
        with World() as world:
            gateway = world.gateway(CORE_DUMPS="false")
            gateway.signal(signal.SIGABRT)
            gateway.wait_exit()
            self.assertFalse(os.WCOREDUMP(0) or gateway.process.returncode != -signal.SIGABRT)


if __name__ == "__main__":
    unittest.main()
