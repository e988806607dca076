"""Starts the programs under test, reads their logs, and always stops them.

    sim = Program("ark-sim", [binary("arkrelay-ark-sim"), "--listen", "127.0.0.1:0"])
    address = sim.listening()               # from its log line: ... listening address=127.0.0.1:41235
    sim.wait_for(r"task=public\\.t1")        # the next line that matches, with a deadline
    assert sim.stop() == 0                  # SIGTERM, then its exit status

Start programs from the main thread: the kernel kills a program when the thread that started it ends, so that no program survives a
killed test run.
"""

import atexit
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

DEADLINE = 30.0        # seconds; only reached by a failing test
SHOWN_LINES = 150      # of each log, when a test fails
LISTENING = re.compile(r"listening.*\baddress\"?[=:]\"?([^\s\"]+:\d+)")

_programs = []         # all programs started and not yet forgotten, for cleanup


class Ended(AssertionError):
    """The program ended while a test was waiting for it."""


class Deadline:
    """The deadline of one wait."""

    def __init__(self, seconds=DEADLINE):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self._end - time.monotonic())

    def passed(self):
        return time.monotonic() >= self._end


def eventually(probe, what, seconds=DEADLINE):
    """Calls probe until it returns a true value, and returns that. Use it only if there is no event to wait for."""
    deadline = Deadline(seconds)
    pause = 0.002
    while not (answer := probe()):
        if deadline.passed():
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return answer


def binary(name):
    """The path of a built program, in the folder $ARKRELAY_BIN."""
    folder = os.environ.get("ARKRELAY_BIN")
    if not folder:
        raise unittest.SkipTest("ARKRELAY_BIN is not set")
    return os.path.join(folder, name)


class Program:
    """One process. Its stdout and stderr are one log, kept in memory line by line."""

    def __init__(self, name, argv, env=None, cwd=None):
        """env is added to an empty environment, so that the caller's shell does not influence a test."""
        self.name = name
        self.lines = []
        self._news = threading.Condition()
        self._log_ended = False
        self._read_to = 0
        self._home = None if cwd else tempfile.TemporaryDirectory(prefix="arkrelay-")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=cwd or self._home.name, env={**_clean_environment(), **(env or {})})
        _programs.append(self)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read_log(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._log_ended = True
            self._news.notify_all()

    def wait_for(self, pattern, seconds=DEADLINE):
        """The match in the next matching line. Lines up to it are consumed."""
        regex = re.compile(pattern)
        deadline = Deadline(seconds)
        with self._news:
            while True:
                while self._read_to < len(self.lines):
                    match = regex.search(self.lines[self._read_to])
                    self._read_to += 1
                    if match:
                        return match
                if self._log_ended:
                    raise Ended(f"{self.name} ended without a line like {regex.pattern!r}")
                if not self._news.wait(deadline.left()) and deadline.passed():
                    raise AssertionError(f"{self.name}: no line like {regex.pattern!r} within {seconds} s")

    def listening(self):
        """The address in its log line about listening: "127.0.0.1:41235"."""
        return self.wait_for(LISTENING).group(1)

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=DEADLINE):
        """Its exit status, negative for a signal."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {seconds} s") from None
        self._reader.join(DEADLINE)
        self.process.stdout.close()
        if self._home:
            self._home.cleanup()
        return status

    def stop(self, seconds=DEADLINE):
        """Sends SIGTERM and returns the exit status; also of a program that has already ended."""
        if self.is_running():
            self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(seconds)
        except AssertionError:
            self.kill()
            raise

    def kill(self):
        if self.is_running():
            self.signal(signal.SIGKILL)
        return self.wait_exit()

    def pause(self):
        """Stops the process, like a stalled machine."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """Its private memory in bytes, without files: their share depends on other users of the file."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            return 1024 * int(re.search(r"^Anonymous:\s+(\d+) kB", rollup.read(), re.M).group(1))

    def limit(self, resource, value):
        """Sets a soft limit, with prlimit's name: limit("nofile", 20)."""
        subprocess.run(["prlimit", "--pid", str(self.pid), f"--{resource}={value}:"], check=True)

    def is_sanitized(self):
        """True if it has ASan or TSan, as a library (gcc) or linked in (clang)."""
        with open(f"/proc/{self.pid}/exe", "rb") as program:
            return re.search(rb"__[at]san_init", program.read()) is not None

    def forget(self):
        """Call it for a program that ended as expected: its log is then not printed if the test fails. Its lines stay readable."""
        _programs.remove(self)

    def log_tail(self):
        state = "running" if self.is_running() else f"ended, status {self.process.returncode}"
        with self._news:
            shown = self.lines[-SHOWN_LINES:]
            return "\n".join([f"--- {self.name} (pid {self.pid}, {state}), its last {len(shown)} of {len(self.lines)} lines",
                              *shown])


def _clean_environment():
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    # Tests read /proc of the programs. With core dumps disabled, only root could do so.
    return {"CORE_DUMPS": "true", **{name: os.environ[name] for name in kept if name in os.environ}}


@atexit.register
def _kill_all():
    for program in _programs:
        if program.is_running():
            program.kill()


class ProcessTest(unittest.TestCase):
    """A test that starts programs. Stops them at the end, and prints their logs if the test fails."""

    def run(self, result=None):
        first = len(_programs)
        result = result if result is not None else self.defaultTestResult()
        bad_before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad_before:
            logs = [program.log_tail() for i, program in enumerate(_programs) if i >= first or program.is_running()]
            print("\n".join(["", f"=== {self.id()} failed", *logs]), file=sys.stderr, flush=True)
        for program in _programs[first:]:
            if program.is_running():
                program.kill()
        del _programs[first:]
        return result
