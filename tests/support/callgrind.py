"""Counts a program's user-space instructions between two moments, with valgrind.

    with Callgrind("build/dev/callgrind.gateway") as count:
        gateway = world.gateway(under=count.words)
        count.begin(gateway.pid)
        ...
        count.end(gateway.pid)
        gateway.stop()
        count.instructions()    # known once the program has ended

To see which functions used them: callgrind_annotate --inclusive=yes FILE.
"""

import os
import pathlib
import re
import subprocess
import tempfile

from support.processes import DEADLINE


class Callgrind:
    def __init__(self, file, inside=None):
        """inside: counts only what this function does, with all that it calls."""
        self.file, self._inside = pathlib.Path(file), inside
        self.file.unlink(missing_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="arkrelay-vgdb-")
        self._prefix = f"--vgdb-prefix={self._folder.name}/vgdb"

    @property
    def words(self):
        """Words to put in front of the program's command line."""
        only = [f"--toggle-collect={self._inside}"] if self._inside else []
        return ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", *only, f"--callgrind-out-file={self.file}", self._prefix]

    def begin(self, pid):
        self._tell(pid, "on")

    def end(self, pid):
        self._tell(pid, "off")

    def _tell(self, pid, state):
        """vgdb needs $USER and $HOST to find its pipes; programs under test run without them."""
        subprocess.run(["vgdb", self._prefix, f"--pid={pid}", "instrumentation", state], check=True, capture_output=True,
                       timeout=DEADLINE, env={"PATH": os.environ["PATH"]})

    def instructions(self):
        return totals(self.file.read_text(encoding="utf-8"))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._folder.cleanup()


def totals(text):
    """The last line of a complete profile."""
    return int(re.search(r"^totals: (\d+)\s*\Z", text, re.M).group(1))
