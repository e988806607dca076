"""Runs scripts/run.sh and setup_env.sh as a new user does, in a copy of the project that is already built."""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

from support.documents import ROOT, blocks
from support.http_client import EventStream, fetch
from support.processes import DEADLINE, ProcessTest, Program, binary, eventually
from support.redis_server import free_port
from support.world import BASE, request

PROGRAMS = ("gateway", "worker", "ark-sim")


def block_with(text):
    """The block of the README that contains the text."""
    block, = (block for block in blocks(ROOT / "README.md", "sh") if text in block.text)
    return block.text


class Newcomer(ProcessTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="arkrelay-copy-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        shutil.copytree(ROOT / "scripts", self.folder / "scripts")
        built = self.folder / "build/release/bin"
        built.mkdir(parents=True)
        for name in PROGRAMS:
            (built / f"arkrelay-{name}").symlink_to(binary(f"arkrelay-{name}"))
        tools = self.folder / "tools"       # stubs: the programs are built and the packages installed
        tools.mkdir()
        (tools / "cmake").write_text("#!/bin/sh\n")
        (tools / "cmake").chmod(0o755)
        (self.folder / "scripts/install_deps.sh").write_text("#!/bin/sh\n")
        self.path = f"{tools}:{os.environ['PATH']}"

    def run_block(self, text, **options):
        return subprocess.run(["bash", "-ec", text], cwd=self.folder, env={"PATH": self.path, "HOME": str(self.folder)}, check=False,
                              capture_output=True, text=True, **options)

    def start_script(self, address, **options):
        return Program("run.sh", ["bash", "-c", f"exec {block_with('run.sh').strip()}"], cwd=str(self.folder),
                       env={"PATH": self.path, "GATEWAY_LISTEN": address, "TMPDIR": str(self.folder), **options})

    def start(self, address, **options):
        run = self.start_script(address, **options)
        run.wait_for("Press Ctrl-C to stop")
        return run

    def stop(self, run):
        run.signal(signal.SIGINT)
        self.assertEqual(run.wait_exit(), 0)

    def make_picture(self, address, task_id):
        with EventStream(address, "POST", f"{BASE}/generate/stream", request(task_id, max_images=1)) as stream:
            return json.loads(stream.to_end()[-1].data)["data"]["generated_images"][0]

    def test_pictures_are_kept_across_restarts(self):
        address = f"127.0.0.1:{free_port()}"
        run = self.start(address)
        kept = self.folder / "build/run/simulation/pictures"
        self.assertRegex("\n".join(run.lines), rf"pictures +{kept}\n")
        link = self.make_picture(address, "t1")["stored_url"]
        first = eventually(lambda: (answer := fetch(address, "GET", link)).status == 200 and answer, "the picture is stored")
        self.stop(run)
        run = self.start(address)
        again = fetch(address, "GET", link)
        self.assertEqual((again.status, again.body), (200, first.body))
        self.stop(run)
        (self.folder / ".env").write_text("STORAGE=\n")
        run = self.start(address)
        self.assertRegex("\n".join(run.lines), "pictures +are not kept")
        self.assertNotIn("stored_url", self.make_picture(address, "t2"))
        self.stop(run)

    def test_run_starts_everything_and_ctrl_c_stops_it(self):
        address = f"127.0.0.1:{free_port()}"
        run = self.start(address, WORKERS="2")
        said = "\n".join(run.lines)
        self.assertIn("SIMULATION", said)
        self.assertRegex(said, rf"API +http://{address}{BASE}/generate/stream")
        with EventStream(address, "POST", f"{BASE}/generate/stream", request("t1", max_images=1)) as stream:
            self.assertEqual(stream.to_end()[-1].event, "done")
        self.assertEqual(fetch(address, "GET", "/").status, 200)
        key, = re.findall(rf"dashboard +http://{address}/dashboard#key=(\w{{32}})\n", said)
        self.assertEqual(fetch(address, "GET", "/admin/overview", headers={"Authorization": f"Bearer {key}"}).status, 200)
        self.assertEqual(fetch(address, "GET", f"{BASE}/queue").json()["workers"], 2)
        hint, = re.findall(r"redis-cli -s (\S+)", said)
        self.assertEqual(subprocess.run(["redis-cli", "-s", hint, "ping"], capture_output=True, text=True, check=True).stdout, "PONG\n")
        self.stop(run)
        self.assertFalse(os.path.exists(hint))

    def test_ctrl_c_while_the_addresses_are_printed(self):
        cat = self.folder / "tools/cat"
        cat.write_text("#!/bin/sh\n/bin/cat\nkill -s INT $PPID\n")
        cat.chmod(0o755)
        run = self.start(f"127.0.0.1:{free_port()}")
        self.assertEqual(run.wait_exit(), 0)
        self.assertIn("run: stopped", run.lines)

    def test_reasons_for_not_starting_are_reported(self):
        state = self.folder / "build/run/simulation"
        state.mkdir(parents=True)
        with open(state / "lock", "w", encoding="utf-8") as lock, socket.create_server(("127.0.0.1", 0)) as taken:
            busy = f"127.0.0.1:{taken.getsockname()[1]}"
            for command, words, is_locked in (("./scripts/run.sh --help", "no arguments are allowed", False),
                                              ("WORKERS=0 ./scripts/run.sh", "WORKERS is '0', it must be 1 to 999", False),
                                              ("GATEWAY_LISTEN=127.0.0.1:0 ./scripts/run.sh", "GATEWAY_LISTEN is 127.0.0.1:0, it must have a port", False),
                                              (f"GATEWAY_LISTEN={busy} ./scripts/run.sh", f"{busy} is in use", False),
                                              (f"GATEWAY_LISTEN={busy} ./scripts/run.sh", "another run.sh is running in this directory", True)):
                with self.subTest(words):
                    fcntl.flock(lock, fcntl.LOCK_EX if is_locked else fcntl.LOCK_UN)
                    done = self.run_block(command, timeout=DEADLINE)
                    self.assertEqual((done.returncode, done.stdout), (1, ""))
                    self.assertIn(f"run: {words}", done.stderr)

    def test_two_builds_never_run_at_once(self):
        built = self.folder / "built"
        (self.folder / "tools/cmake").write_text(f"#!/bin/sh\ntouch {built}\n")
        with open(self.folder / "build/lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run = self.start_script(f"127.0.0.1:{free_port()}")
            run.wait_for("run: another run.sh is building in this directory: waiting until it has finished")
            self.assertFalse(built.exists())
        run.wait_for("Press Ctrl-C to stop")
        self.assertTrue(built.exists())
        with open(self.folder / "build/lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)      # the lock is not held any longer than the build
        self.stop(run)

    def test_a_temporary_folder_that_no_redis_url_can_name(self):
        for name in ("with a space", "what?", "x" * 100):
            with self.subTest(name):
                (self.folder / name).mkdir()
                self.stop(self.start(f"127.0.0.1:{free_port()}", TMPDIR=str(self.folder / name)))

    def test_missing_programs_of_redis_are_reported(self):
        programs = self.folder / "programs"
        programs.mkdir()
        for program in pathlib.Path("/usr/bin").iterdir():
            if not re.match("(redis|valkey)-", program.name):
                (programs / program.name).symlink_to(program)
        for missing in ("redis-server or valkey-server", "redis-cli"):
            with self.subTest(missing):
                if missing == "redis-cli":
                    (programs / "redis-server").symlink_to("/bin/false")
                run = self.run_block(f"PATH={self.folder}/tools:{programs} GATEWAY_LISTEN=127.0.0.1:{free_port()} ./scripts/run.sh", timeout=DEADLINE)
                self.assertEqual((run.returncode, run.stderr), (1, f"run: {missing} is not in PATH\n"))

    def test_setup_env_writes_the_key(self):
        done = self.run_block(block_with("setup_env.sh"), input="a-key-of-mine\n\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        env = self.folder / ".env"
        self.assertEqual(re.findall(r"^ARK_API_KEY=(.*)$", env.read_text(), re.M), ["a-key-of-mine"])
        self.assertEqual(stat.S_IMODE(env.stat().st_mode), 0o600)

    def test_a_new_client_key(self):
        done = self.run_block(block_with("--new-key"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\Aarkrelay_\w+\n\Z")
        self.assertNotIn(done.stdout.strip(), (self.folder / "keys").read_text())


if __name__ == "__main__":
    unittest.main()
