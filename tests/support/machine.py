"""A throw-away machine for package tests: a copy-on-write view of this machine's files.

    with Machine() as machine:
        machine.run("dpkg", "--install", "/root/x.deb")
        Program("gateway", machine.argv("arkrelay-gateway"))

A BootedMachine also runs systemd, which starts only the units that the test starts.

Both need root and overlayfs; a BootedMachine also needs a working systemd. Without these, the tests are skipped.
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

from support.processes import Program, eventually

# The mounts end with the process that holds the namespace. /run is empty, so that no service manager is found.
HOLD = """set -e
mount -t tmpfs none "$0"
mkdir "$0/files" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/files,workdir=$0/work" "$0/root"
for folder in dev proc sys; do mount --rbind "/$folder" "$0/root/$folder"; done
mount -t tmpfs none "$0/root/run"
mount -t tmpfs none "$0/root/tmp"
echo ready
exec sleep infinity
"""


class Machine:
    HOLDER = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLD]

    def __enter__(self):
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can have a copy of the system")
        self._folder = tempfile.TemporaryDirectory(prefix="arkrelay-machine-")
        self._holder = Program("machine", [*self.HOLDER, self._folder.name])
        try:
            self._holder.wait_for("^ready$")
            self._wait_up()
            (self.root / "var/lib/man-db/auto-update").unlink(missing_ok=True)      # skips the slow index of manual pages
        except AssertionError:
            self.__exit__()
            raise unittest.SkipTest(f"no such machine can be had here: {self._holder.lines}") from None
        return self

    def _wait_up(self):
        pass

    def __exit__(self, *exception):
        if self._holder.is_running():
            self._holder.kill()
        self._holder.forget()
        self._folder.cleanup()

    @property
    def root(self):
        """The path of one of the machine's files, as seen from outside."""
        return pathlib.Path(f"/proc/{self._holder.pid}/root{self._folder.name}/root")

    def _enter(self):
        return [f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    def argv(self, *command):
        return ["nsenter", *self._enter(), f"--root={self.root}", f"--wd={self.root}",
                "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command]

    def run(self, *command, status=0):
        """The command's output. status: None accepts any."""
        done = subprocess.run(self.argv(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if status is not None:
            assert done.returncode == status, f"{command}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def files(self):
        """All paths that a package may change, without logs, caches and dpkg's own files."""
        return set(self.run("find", "/etc", "/usr", "/lib", "/opt", "/srv", "/var", "-xdev", "!", "-path", "/var/lib/dpkg/*",
                            "!", "-path", "/var/log/*", "!", "-path", "/var/cache/*").splitlines())


# systemd as process 1 in its own namespaces, including the network. Kernel settings are read-only; its cgroups
# are below one without controllers. It starts no unit except those that the test starts: "idle.target" wants nothing.
BOOT = """set -e
root="$0/root"
mkdir "$0/cgroups"
mount -t cgroup2 none "$0/cgroups"
mkdir -p "$0/cgroups/arkrelay-test-$$"
echo $$ >"$0/cgroups/arkrelay-test-$$/cgroup.procs"
exec unshare --pid --uts --ipc --net --cgroup --mount --propagation private --fork --kill-child sh -c '
set -e
root="$0/root"
mkdir "$0/files" "$0/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/files,workdir=$0/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in dev run tmp; do mount -t tmpfs none "$root/$folder"; done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
printf "[Unit]\nDefaultDependencies=no\n" >"$root/etc/systemd/system/idle.target"
ip link set lo up
cd "$root"
mkdir old
pivot_root . old
umount -l old
mount --make-rshared /
echo ready
exec env -i container=lxc /lib/systemd/systemd --unit=idle.target
' "$0"
"""


# Cgroups must be removed explicitly, the innermost first.
FORGET = 'mount -t cgroup2 none "$0" && find "$0/arkrelay-test-$1" -depth -type d -exec rmdir {} +'


class BootedMachine(Machine):
    HOLDER = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none "$0"\n' + BOOT]

    def _wait_up(self):
        with open(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children", encoding="ascii") as children:
            self._init = int(children.read().split()[0])
        eventually(lambda: self.run("systemctl", "is-active", "idle.target", status=None).strip() == "active", "systemd is up", 10)

    @property
    def root(self):
        return pathlib.Path(f"/proc/{self._init}/root")

    def _enter(self):
        return [f"--target={self._init}", "--all"]

    def __exit__(self, *exception):
        pid = self._holder.pid
        self._holder.kill()
        with tempfile.TemporaryDirectory(prefix="arkrelay-cgroups-") as folder:
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", FORGET, folder, str(pid)]
            eventually(lambda: subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0, "its cgroups are gone")
        super().__exit__(*exception)
