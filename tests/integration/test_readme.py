"""Runs the commands of the two README files and of docs/keys.md unchanged."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from support.documents import ROOT, blocks
from support.http_client import fetch
from support.processes import DEADLINE, ProcessTest
from support.world import BASE, World

READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
ID = re.compile(r"^id: (\S+)$", re.M)


def run(text, **env):
    done = subprocess.run(["bash", "-ec", text], env={**os.environ, **env}, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout


class Readme(ProcessTest):
    def test_the_curl_commands_submit_replay_and_resume_a_task(self):
        for page in READMES:
            with self.subTest(page.name), World() as world:
                gateway = world.gateway()
                world.worker()
                whole, rest = (block.text.replace("localhost:8000", gateway.address) for block in blocks(page, "sh") if "curl" in block.text)
                said = run(whole)
                ids = ID.findall(said)
                self.assertEqual((len(ids), said.count("event: done")), (6, 1))
                self.assertEqual(run(whole).partition("\n\n")[2], said.partition("\n\n")[2])
                said = run(re.sub(r"<.*?>", ids[2], rest))
                self.assertEqual(ID.findall(said), ids[3:])
                self.assertEqual(len(world.ark.calls()), 1)

    def test_the_printed_stream_matches_a_real_one(self):
        """Compares the first lines, without values that differ each time."""
        def shape(text):
            return [re.sub(r'\d+|"(?:id|stored_url|url)":"[^"]*"|"[^"]*tokens":\w+,?', "", line) for line in text.strip().splitlines()]
        with World() as world, tempfile.TemporaryDirectory(prefix="arkrelay-pictures-") as folder:
            gateway = world.gateway(STORAGE=f"{folder}/pictures")
            world.worker(STORAGE=f"{folder}/pictures")
            command = next(block.text for block in blocks(READMES[0], "sh") if "-X POST localhost:8000" in block.text)
            printed = next(block.text for block in blocks(READMES[0], "") if block.text.startswith("retry:"))
            shown = shape(printed)
            self.assertGreater(len(shown), 10)
            self.assertEqual(shown, shape(run(command.replace("localhost:8000", gateway.address)))[:len(shown)])


class Keys(ProcessTest):
    def test_creating_rotating_and_revoking_a_key(self):
        folder = tempfile.mkdtemp(prefix="arkrelay-keys-")
        self.addCleanup(shutil.rmtree, folder, True)
        env = {"PATH": f"{os.environ['ARKRELAY_BIN']}:{os.environ['PATH']}", "GATEWAY_KEYS_FILE": f"{folder}/keys"}
        first, change = (block.text for block in blocks(ROOT / "docs/keys.md", "sh") if "arkrelay-gateway --" in block.text)
        old = run(first.replace("/etc/arkrelay", folder), **env).strip()
        id_of_old = re.match(r"arkrelay_(\w+?)_", old).group(1)
        new = run(change.replace("3f2a9c01b7de", id_of_old), **env).splitlines()[0]
        self.assertEqual(len(pathlib.Path(folder, "keys").read_text().splitlines()), 5)
        with World(ark=False) as world:
            gateway = world.gateway(GATEWAY_KEYS_FILE=f"{folder}/keys")
            statuses = [fetch(gateway.address, "GET", f"{BASE}/queue", headers={"Authorization": f"Bearer {key}"}).status for key in (old, new)]
        self.assertEqual(statuses, [401, 200])


if __name__ == "__main__":
    unittest.main()
