"""A stored picture survives a power failure: strace shows in which order a put writes, syncs and renames."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from support.processes import binary
from test_syscalls import NO_LEAKS, WHY_NOT

CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")
FD = re.compile(r"\d+<([^>]*)>")


def traced_calls(text):
    """[(name, arguments)] of each thread, in its own order: {thread: calls}. An interrupted line is joined with its end."""
    threads, begun = {}, {}
    for line in text.splitlines():
        match = CALL.match(line)
        if not match:
            continue
        thread, name, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest
            continue
        threads.setdefault(thread, []).append((name, begun.pop(thread, "") + rest))
    return threads


@unittest.skipIf(WHY_NOT or not shutil.which("strace"), f"no system call can be seen here: {WHY_NOT}")
class Durability(unittest.TestCase):
    def test_each_rename_is_between_a_sync_of_the_file_and_one_of_the_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, "trace")
            subprocess.run(["strace", "-f", "-y", "-s", "0", "-o", trace, "-e", "trace=pwrite64,fsync,renameat,mkdirat", binary("test_storage_directory")],
                           check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", **NO_LEAKS}, timeout=240)
            threads = traced_calls(trace.read_text(encoding="utf-8"))
        renames = 0
        for calls in threads.values():
            for n, (name, arguments) in enumerate(calls):
                if name == "renameat" and arguments.endswith("= 0"):
                    self.assert_safe(calls, n)
                    renames += 1
        self.assertGreater(renames, 20)

    def assert_safe(self, calls, at):
        """The last write to the file, its sync, the rename, the sync of the folder, and of the parent if the folder is new."""
        source, target = FD.findall(calls[at][1])[:2]
        before = [(name, FD.findall(arguments)[0]) for name, arguments in calls[:at] if name != "renameat" and FD.search(arguments)]
        written = max(n for n, (name, path) in enumerate(before) if name == "pwrite64" and path.startswith(source + "/"))
        file = before[written][1]
        self.assertIn(("fsync", file), before[written:])
        name, arguments = calls[at + 1]
        self.assertEqual(("fsync", target, True), (name, FD.findall(arguments)[0], arguments.endswith("= 0")))
        made = [n for n, (name, arguments) in enumerate(calls[:at]) if name == "mkdirat" and arguments.endswith("= 0")]
        if made and all(name != "renameat" for name, _ in calls[made[-1]:at]):
            parent = FD.findall(calls[made[-1]][1])[0]
            self.assertIn(("fsync", parent), [(name, FD.findall(arguments)[0]) for name, arguments in calls[made[-1]:at] if name == "fsync"])


if __name__ == "__main__":
    unittest.main()
