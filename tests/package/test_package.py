"""The Debian package: its content, installation and removal, and that the installed programs work."""

import gzip
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

from built import need, package
from support.http_client import fetch
from support.machine import Machine
from support.processes import ProcessTest, Program, eventually
from support.redis_server import RedisServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ("arkrelay-gateway.service", "arkrelay-worker@1.service", "arkrelay-outbox@1.service")
EXPOSURE_MAX = 1.5     # of 10, by systemd-analyze security: the services need the network
PAGES = {"arkrelay-gateway.8": "man8", "arkrelay-worker.8": "man8", "arkctl.1": "man1"}


def control(field):
    return subprocess.run(["dpkg-deb", "--field", package(), field], check=True, capture_output=True, text=True).stdout.strip()


class Package(unittest.TestCase):
    def test_lintian_reports_nothing(self):
        need("lintian")
        said = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root", package()], capture_output=True, text=True, check=False)
        # Test builds do not have the options of release builds.
        found = [line for line in said.stdout.splitlines() if "hardening-no-" not in line and "not-stripped" not in line]
        self.assertEqual([], found)

    def test_dependencies(self):
        depends = control("Depends")
        for library in ("libc6", "libevent", "libhiredis", "libcurl", "libjansson", "libssl", "python3", "systemd-standalone-sysusers"):
            self.assertIn(library, depends)
        self.assertEqual("redis-server", control("Recommends"))

    def test_the_version_is_that_of_the_sources(self):
        version = re.search(r"^project\(arkrelay VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.M).group(1)
        self.assertEqual(f"{version}-1", control("Version"))
        self.assertTrue((ROOT / "packaging/debian/changelog").read_text().startswith(f"arkrelay ({version}-1) "))

    def test_example_settings_name_existing_options(self):
        for program, file in (("gateway", "gateway"), ("gateway", "common"), ("worker", "worker"), ("worker", "common")):
            options = subprocess.run([f"{os.environ['ARKRELAY_BIN']}/arkrelay-{program}", "--help=markdown"], check=True,
                                     capture_output=True, text=True).stdout
            names = re.findall(r"^#?([A-Z_]+)=", (ROOT / f"packaging/etc/{file}.env").read_text(), re.M)
            self.assertTrue(names)
            for name in names:
                self.assertIn(f"| `{name.removesuffix('_FILE')}" if f"`{name}`" not in options else name, options)


class ManualPages(unittest.TestCase):
    def pages(self):
        folder = pathlib.Path(os.environ["ARKRELAY_BUILD"]) / "packaging"
        return {page: gzip.decompress((folder / f"{page}.gz").read_bytes()) for page in PAGES}

    def test_are_well_formed(self):
        need("mandoc")
        for page, text in self.pages().items():
            said = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=text, capture_output=True, check=False)
            self.assertEqual(b"", said.stdout, page)

    def test_are_typeset_without_a_warning(self):
        need("groff")       # except for "break": a line with a long URL cannot be adjusted
        for page, text in self.pages().items():
            said = subprocess.run(["groff", "-man", "-Tutf8", "-k", "-ww", "-W", "break", "-z"], input=text, capture_output=True, check=False,
                                  env={**os.environ, "LC_ALL": "C.UTF-8"})
            self.assertEqual(b"", said.stderr, page)

    def test_have_every_option_of_their_program(self):
        for program in ("gateway", "worker"):
            page = self.pages()[f"arkrelay-{program}.8"].decode()
            options = subprocess.run([f"{os.environ['ARKRELAY_BIN']}/arkrelay-{program}", "--help=man"], check=True,
                                     capture_output=True, text=True).stdout
            self.assertIn(options, page)
            self.assertNotRegex(page, "@[A-Z]+@")

    def test_of_arkctl_has_every_command_and_option(self):
        page = self.pages()["arkctl.1"].decode().replace("\\-", "-")
        shown = subprocess.run([ROOT / "cli/arkctl", "--help"], check=True, capture_output=True, text=True,
                               env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).stdout
        for command in re.findall(r"^    ([a-z]+)  ", shown, re.M):
            self.assertIn(f".B {command}\n", page)
        for option in re.findall(r"^  (?:-h, )?(--[a-z-]+)", shown, re.M):
            self.assertIn(f".B {option}", page)


class Installed(ProcessTest):
    def install(self, machine):
        shutil.copy(package(), machine.root / "root/arkrelay.deb")
        return machine.run("dpkg", "--install", "/root/arkrelay.deb")

    def test_install_serve_and_purge_without_leftovers(self):
        with Machine() as machine, RedisServer(tcp=True) as redis:
            before = machine.files()
            self.install(machine)
            settings = machine.root / "etc/arkrelay/gateway.env"
            self.assertEqual(0o640, stat.S_IMODE(settings.stat().st_mode))
            self.assertEqual("root arkrelay", machine.run("stat", "-c", "%U %G", "/etc/arkrelay/gateway.env").strip())
            self.assertEqual("arkrelay arkrelay 750", machine.run("stat", "-c", "%U %G %a", "/var/lib/arkrelay").strip())
            self.assertNotIn("arkrelay", machine.run("ls", "/etc/systemd/system/multi-user.target.wants", status=None))

            settings.write_text(f"{settings.read_text()}GATEWAY_LISTEN=127.0.0.1:0\nREDIS_URL={redis.url}\n")
            self.serves(machine, settings)
            self.assertIn("ARK_API_KEY is not set", self.as_service(machine, "arkrelay-worker", status=78))
            (machine.root / "tmp/no-key").write_text("\n")           # the unit's content for a missing key
            said = self.as_service(machine, "env", "ARK_API_KEY_FILE=/tmp/no-key", "arkrelay-worker", status=78)
            self.assertIn("the first line is empty", said)
            self.assertIn("The command line tool of arkrelay", machine.run("arkctl", "--help"))
            for page, folder in PAGES.items():
                self.assertTrue((machine.root / f"usr/share/man/{folder}/{page}.gz").exists())

            self.install(machine)                    # installs again, as an upgrade does
            self.assertIn(redis.url, settings.read_text())
            machine.run("dpkg", "--remove", "arkrelay")
            self.assertTrue(settings.exists())
            self.assertFalse((machine.root / "usr/share/arkrelay").exists())
            (machine.root / "etc/arkrelay/ark-api-key").write_text("a key")
            machine.run("dpkg", "--purge", "arkrelay")
            self.assertEqual(set(), self.apart_from_the_user(machine.files() - before))

    def as_service(self, machine, *command, status=0):
        return machine.run("setpriv", "--reuid=arkrelay", "--regid=arkrelay", "--clear-groups", "--no-new-privs", *command, status=status)

    def serves(self, machine, settings):
        """Creates a key as described in gateway.env and sends a request that needs it."""
        keys = "GATEWAY_KEYS_FILE=/var/lib/arkrelay/keys"
        made = self.as_service(machine, "env", keys, "arkrelay-gateway", "--new-key", "shop")
        key = re.search(r"^arkrelay_\S+$", made, re.M).group()
        found = [line for line in settings.read_text().splitlines() if re.match("[A-Z]", line)]
        gateway = Program("gateway", machine.argv("setpriv", "--reuid=arkrelay", "--regid=arkrelay", "--clear-groups", "--no-new-privs",
                                                  "env", keys, *found, "arkrelay-gateway"))
        address = gateway.listening()
        eventually(lambda: fetch(address, "GET", "/readyz").status == 200, "the gateway is ready")
        self.assertEqual(401, fetch(address, "GET", "/api/v1/faceflip/queue").status)
        self.assertEqual(200, fetch(address, "GET", "/api/v1/faceflip/queue", headers={"Authorization": f"Bearer {key}"}).status)
        self.assertEqual(0, gateway.stop())

    def apart_from_the_user(self, paths):
        """The paths without the files changed by adding the user, which a purge does not remove."""
        return {path for path in paths if not re.match(r"/etc/(passwd|group|shadow|gshadow)-?$|/var/lib/systemd/|/etc/\.pwd\.lock", path)}

    def test_the_units_are_valid_and_hardened(self):
        need("systemd-analyze")
        with Machine() as machine:
            self.install(machine)
            said = machine.run("systemd-analyze", "verify", *SERVICES, status=None)
            self.assertEqual([], [line for line in said.splitlines() if "arkrelay" in line])
            for service in SERVICES:
                said = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", service)
                self.assertLessEqual(float(re.search(r"exposure level for \S+: ([0-9.]+)", said).group(1)), EXPOSURE_MAX)


class CMakeInstall(unittest.TestCase):
    def test_installs_under_one_prefix_and_keeps_existing_settings(self):
        with tempfile.TemporaryDirectory(prefix="arkrelay-prefix-") as folder:
            prefix = pathlib.Path(folder)
            (prefix / "etc/arkrelay").mkdir(parents=True)
            (prefix / "etc/arkrelay/worker.env").write_text("ARK_MODEL=mine\n")
            for _ in range(2):
                subprocess.run(["cmake", "--install", os.environ["ARKRELAY_BUILD"], "--prefix", prefix], check=True,
                               stdout=subprocess.DEVNULL)
            self.assertEqual("ARK_MODEL=mine\n", (prefix / "etc/arkrelay/worker.env").read_text())
            self.assertTrue((prefix / "etc/arkrelay/gateway.env").exists())
            unit = (prefix / "lib/systemd/system/arkrelay-worker@.service").read_text()
            self.assertIn(f"ExecStart={prefix}/bin/arkrelay-worker\n", unit)
            self.assertIn(f"LoadCredential=ark-api-key:{prefix}/etc/arkrelay/ark-api-key\n", unit)
            self.assertIn("NoNewPrivileges=yes\n", unit)
            self.assertNotRegex(unit, r"@[A-Z_]+@")
            subprocess.run([prefix / "bin/arkctl", "--help"], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


if __name__ == "__main__":
    unittest.main()
