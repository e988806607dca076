"""Runs the commands of docs/operations.md on a system with tasks in every state."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

from support.documents import ROOT, blocks
from support.processes import DEADLINE, ProcessTest, eventually
from support.world import World, sim

DOCUMENT = ROOT / "docs/operations.md"
ADMIN_KEY = "operators-only-0123"
PRINTED = "127.0.0.1:8000"
FAR_AWAY_MS = 9_999_999_999_999     # instead of the task's own random delay

# The expected output of each block, in order.
ANSWERS = [
    r"\Apending 1\ndelayed 1\nleased 2\ndead 2\n\Z",
    r"(?s)(?=.*\bdone\n\d+\n)(?=.*\bschema\n2\n)",
    r"(?s)(?=.*\bwaiting\n2\n)(?=.*\blive:public\n4\n)",
    r"(?s)\bstate\ndone\n.*\bpaid_calls\n1\n",
    r"(?s)\A1 start .*\n2 process .*\n\d done \{",
    r"\Apublic\.waits\n\d+\n\Z",
    r"\Apublic\.runs-\d worker-1 \w{20,} \d{13} \npublic\.runs-\d worker-1 \w{20,} \d{13} \n\Z",
    r"\A(public\.[\w-]+\n\d{13}\n){4}\Z",
    r"(?s)\A(?=.*public\.doubt outcome_unknown\n)(?=.*public\.refused ark_invalid_request\n)",
    r"\Apublic\.doubt 1\n\Z",
    r"(?s)\A(?=.*\bcalls\n2\n)(?=.*\btokens\n\d+\n)(?=.*\bdefault_model\n)",
    r"(?s)\A([\w:.-]+\n\d{13}\n){2}\Z",
    r"(?s)\Aused_memory_human:.*maxmemory_policy:noeviction.*loading:0.*aof_last_write_status:ok.*1  ?name=arkrelay-gateway:commands",
    r'(?s)"paused":false.*public\.doubt.*"task_id".*"role":"worker"',
    r"\A\S+\t\S+/20261207\n\Z",
    r"\A\n{4}\Z",                              # no picture with this id
    r"\Aark\.example:443 2\n\Z",
]


class Commands(ProcessTest):
    def populate(self, world):
        """Creates one task in each state: `order-17` is done, the names of the others are their states."""
        gateway = world.gateway(GATEWAY_ADMIN_KEY=ADMIN_KEY)
        worker = world.worker(WORKER_NAME="worker-1", WORKER_CONCURRENCY=2, WORKER_LEASE="60s", RETRY_BACKOFF_BASE="10m",
                              RETRY_BACKOFF_MAX="10m")
        gateway.submit("order-17", prompt=sim("order-17"))
        gateway.submit("refused", prompt=sim("refused", "status=400"))
        gateway.submit("doubt", prompt=sim("doubt", "cut_after_image=0"), max_paid_calls=1)
        for task_id in ("order-17", "refused", "doubt"):
            world.wait_state(task_id, "done", "failed")
        gateway.submit("retried", prompt=sim("retried", "status=500 code=InternalServiceError"))
        world.wait_state("retried", "delayed")
        world.redis("ZADD", "arkrelay:{0}:delayed", "XX", FAR_AWAY_MS, "public.retried")
        for n in range(2):
            gateway.submit(f"runs-{n}", prompt=sim(f"runs-{n}", "first_latency=600000"))
            world.ark.wait_calls(1, f"runs-{n}")
        world.redis("ZADD", "arkrelay:{0}:lanes:copies", FAR_AWAY_MS, "ark.example:443")
        world.redis("ZADD", "arkrelay:{0}:owed:copies:ark.example:443", FAR_AWAY_MS, "a", FAR_AWAY_MS, "b")
        gateway.submit("gone")
        gateway.cancel("gone")
        gateway.submit("waits")
        return gateway, worker

    def run_block(self, world, gateway, text):
        """Runs a block with a redis-cli that connects to this Redis."""
        with tempfile.TemporaryDirectory(prefix="arkrelay-cli-") as folder:
            wrapper = os.path.join(folder, "redis-cli")
            with open(wrapper, "w", encoding="ascii") as file:
                file.write(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -s {world.redis_server.socket} "$@"\n')
            os.chmod(wrapper, 0o755)
            os.mkdir(os.path.join(folder, "20261207"))
            env = {"PATH": f"{folder}:{os.environ['PATH']}", "GATEWAY_ADMIN_KEY": ADMIN_KEY, "STORAGE": folder}
            done = subprocess.run(["sh", "-ec", text.replace(PRINTED, gateway.address)], env=env, capture_output=True, text=True,
                                  timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), text)
        return done.stdout

    def test_every_command_answers(self):
        commands = [block.text for block in blocks(DOCUMENT, "sh") if not block.is_illustration]
        self.assertEqual(len(commands), len(ANSWERS))
        with World() as world:
            gateway, worker = self.populate(world)
            for command, answer in zip(commands, ANSWERS):
                with self.subTest(command.splitlines()[0]):
                    said = self.run_block(world, gateway, command)
                    self.assertRegex(said, answer)
                    self.assertNotIn("ERR ", said)
            worker.kill()               # its calls would delay the drain
            world.redis("FLUSHALL")

    def test_connections_have_the_documented_names(self):
        listed = set(re.findall(r"^\| `(arkrelay-[a-z:]+)` \|", DOCUMENT.read_text(), re.M))
        with World() as world:
            world.gateway()
            world.worker()

            def names():
                return {word[5:] for word in world.redis("CLIENT", "LIST").decode().split() if word.startswith("name=arkrelay")}
            eventually(lambda: names() >= listed, f"{listed} are connected")
            self.assertEqual(names(), listed)


if __name__ == "__main__":
    unittest.main()
