"""The services under a real systemd: the units, and the programs' notifications."""

import shutil
import unittest

from built import package
from support.machine import BootedMachine
from support.processes import ProcessTest, Program, eventually

GATEWAY, WORKER, OTHER = "arkrelay-gateway.service", "arkrelay-worker@1.service", "arkrelay-worker@2.service"
OUTBOX = "arkrelay-outbox@1.service"
# The machine has no journal and no network unit, and the tests need shorter timeouts.
DROP_IN = """[Unit]
DefaultDependencies=no
[Service]
StandardOutput=append:/root/log
StandardError=append:/root/log
RestartSec=100ms
WatchdogSec=3s
"""


class Services(ProcessTest):
    def setUp(self):
        self.machine = self.enterContext(BootedMachine())
        shutil.copy(package(), self.machine.root / "root/arkrelay.deb")
        (self.machine.root / "etc/systemd/system/network-online.target").symlink_to("/dev/null")
        for unit in ("arkrelay-gateway.service", "arkrelay-worker@.service", "arkrelay-outbox@.service"):
            folder = self.machine.root / f"etc/systemd/system/{unit}.d"
            folder.mkdir()
            (folder / "test.conf").write_text(DROP_IN)
        self.machine.run("dpkg", "--install", "/root/arkrelay.deb")

    def systemctl(self, *words, status=0):
        return self.machine.run("systemctl", *words, status=status).strip()

    def show(self, unit, name):
        return self.systemctl("show", "--property", name, "--value", unit)

    def wait(self, unit, name, value):
        eventually(lambda: value in self.show(unit, name), f"{name} of {unit} is {value}")

    def log(self):
        return (self.machine.root / "root/log").read_text()

    def start_redis(self):
        redis = Program("redis", self.machine.argv("redis-server", "--save", "", "--maxmemory-policy", "noeviction", "--dir", "/tmp"))
        redis.wait_for("[Rr]eady to accept connections")

    def test_a_gateway_is_ready_without_redis_reloads_and_is_restarted_when_stuck(self):
        self.assertEqual("disabled", self.systemctl("is-enabled", GATEWAY, status=1))
        self.systemctl("start", GATEWAY)
        self.assertIn("waiting for Redis", self.show(GATEWAY, "StatusText"))
        self.start_redis()
        self.wait(GATEWAY, "StatusText", "serving on 127.0.0.1:8000")
        self.systemctl("reload", GATEWAY)
        self.assertEqual("running", self.show(GATEWAY, "SubState"))
        self.assertIn("reloading", self.log())

        before = self.show(GATEWAY, "MainPID")
        self.machine.run("kill", "-STOP", before)
        self.wait(GATEWAY, "NRestarts", "1")
        self.wait(GATEWAY, "StatusText", "serving on 127.0.0.1:8000")
        self.assertNotEqual(before, self.show(GATEWAY, "MainPID"))
        self.systemctl("stop", GATEWAY)
        self.assertEqual("success", self.show(GATEWAY, "Result"))
        self.assertIn("reason=drained", self.log())

    def test_a_worker_gets_its_key_from_root_and_exits_without_it(self):
        self.start_redis()
        self.systemctl("start", WORKER, status=1)
        self.wait(WORKER, "ActiveState", "failed")
        self.assertEqual(("78", "0"), (self.show(WORKER, "ExecMainStatus"), self.show(WORKER, "NRestarts")))
        self.assertIn("ark-api-key: the first line is empty", self.log())

        key = self.machine.root / "etc/arkrelay/ark-api-key"
        key.write_text("a-key\n")
        key.chmod(0o600)
        self.systemctl("enable", "--now", WORKER, OTHER)
        self.wait(WORKER, "StatusText", "taking tasks")
        self.wait(OTHER, "StatusText", "taking tasks")
        for address in ("127.0.0.1", "127.0.0.2"):
            self.assertIn(f"listening address={address}:8930", self.log())
        self.assertNotIn("a-key", self.log() + (self.machine.root / f"proc/{self.show(WORKER, 'MainPID')}/environ").read_text())

        before = self.show(WORKER, "MainPID")
        self.machine.run("dpkg", "--install", "/root/arkrelay.deb")      # upgrades the package
        eventually(lambda: self.show(WORKER, "MainPID") not in ("0", before), "the worker is another one")
        self.wait(WORKER, "StatusText", "taking tasks")
        self.machine.run("dpkg", "--purge", "arkrelay")
        self.assertEqual("inactive", self.show(WORKER, "ActiveState"))
        self.assertEqual([], list((self.machine.root / "etc/systemd/system/multi-user.target.wants").glob("arkrelay*")))

    def test_an_outbox_uses_the_directory_of_the_gateway_and_has_no_key(self):
        self.start_redis()
        etc = self.machine.root / "etc/arkrelay"
        (etc / "ark-api-key").write_text("a-key\n")
        (etc / "common.env").write_text("STORAGE=/var/lib/arkrelay/pictures\n")
        (etc / "worker.env").write_text("WORKER_ROLES=ark\nARK_API_KEY=another-key\n")
        self.systemctl("start", OUTBOX, GATEWAY)
        self.wait(OUTBOX, "StatusText", "working on the outbox")
        self.wait(GATEWAY, "StatusText", "serving on")
        self.assertIn("listening address=127.0.1.1:8930", self.log())
        self.assertNotIn("-key", (self.machine.root / f"proc/{self.show(OUTBOX, 'MainPID')}/environ").read_text())
        self.assertEqual("arkrelay arkrelay 750", self.machine.run("stat", "-c", "%U %G %a", "/var/lib/arkrelay/pictures").strip())
        self.assertTrue((self.machine.root / "var/lib/arkrelay/pictures/arkrelay-storage").exists())
        self.assertNotIn("cannot use STORAGE", self.log())
        self.systemctl("stop", OUTBOX, GATEWAY)
        self.assertEqual("success", self.show(OUTBOX, "Result"))
        self.machine.run("dpkg", "--purge", "arkrelay")
        self.assertFalse((self.machine.root / "var/lib/arkrelay").exists())


if __name__ == "__main__":
    unittest.main()
