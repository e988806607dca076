"""Runs a program in a terminal (tmux) and reads its screen.

    with Screen(width=80, height=24) as screen:
        screen.run("/usr/bin/top", TERM="xterm")
        screen.wait_for("load average")         # a pattern somewhere on the screen, within a deadline
        screen.keys("q")
        assert screen.exit_status() == 0
"""

import os
import re
import subprocess
import tempfile

from support.processes import DEADLINE, Program, eventually

RUN = 'trap : INT; "$@"; echo "exit status $?"; exec cat'
SETTINGS = "set -g status off\nset -g default-terminal screen-256color\nset -g exit-empty off\n"


class Screen:
    def __init__(self, width=140, height=30):
        self._folder = tempfile.TemporaryDirectory(prefix="arkrelay-tmux-")
        self._socket = os.path.join(self._folder.name, "tmux.sock")
        self._size = ("-x", str(width), "-y", str(height))
        settings = os.path.join(self._folder.name, "tmux.conf")
        with open(settings, "w", encoding="ascii") as file:
            file.write(SETTINGS)
        self._server = Program("tmux", ["tmux", "-D", "-S", self._socket, "-f", settings], {"LC_ALL": "C.UTF-8", "TERM": "xterm"},
                               cwd=self._folder.name)
        eventually(lambda: os.path.exists(self._socket), "tmux is running")

    def run(self, *argv, **env):
        """Starts the one program of this screen, in a clean environment."""
        env = {"PATH": os.environ["PATH"], "TERM": "screen-256color", "LC_ALL": "C.UTF-8", **env}
        self._tmux("new-session", "-d", *self._size, "--", "env", "-i", *(f"{name}={value}" for name, value in env.items()),
                   "sh", "-c", RUN, "sh", *argv)

    def text(self):
        return self._tmux("capture-pane", "-p")

    def wait_for(self, pattern, seconds=DEADLINE):
        """Waits for a pattern on the screen and returns the match."""
        regex = re.compile(pattern, re.M)
        try:
            return eventually(lambda: regex.search(self.text()), pattern, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; on the screen:\n{self.text()}") from None

    def keys(self, *names):
        """Sends keys by tmux's names: "q", "C-c"."""
        self._tmux("send-keys", *names)

    def resize(self, width, height):
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def exit_status(self):
        """Waits until the program has ended."""
        return int(self.wait_for(r"^exit status (\d+)$").group(1))

    def _tmux(self, *words):
        done = subprocess.run(["tmux", "-S", self._socket, *words], capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, f"tmux {words[0]}: {done.stderr}"
        return done.stdout

    def close(self):
        if self._server.is_running():
            self._tmux("kill-server")
            self._server.wait_exit()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
