"""Real programs under test: started, watched through their log, and always ended.

    sim = Program("ark-sim", [binary("arkrelay-ark-sim"), "--listen", "127.0.0.1:0"])
    address = sim.listening()               # from its log line: ... listening address=127.0.0.1:41235
    sim.wait_for(r"task=public\\.t1")        # the next line that matches, with a deadline
    assert sim.stop() == 0                  # SIGTERM, then its exit status

Start programs from the main thread: a program is killed when the thread that started it ends, so that nothing survives a test run
that is itself killed.
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

DEADLINE = 30.0        # seconds: generous, only ever reached by a failure
SHOWN_LINES = 150      # of each log, when a test fails
LISTENING = re.compile(r"listening.*\baddress\"?[=:]\"?([^\s\"]+:\d+)")

_programs = []         # every program that was started and not yet forgotten, for the guards


class Ended(AssertionError):
    """The program ended while something was still expected of it."""


class Deadline:
    """A point in time that everything within one wait shares."""

    def __init__(self, seconds=DEADLINE):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self._end - time.monotonic())

    def passed(self):
        return time.monotonic() >= self._end


def eventually(probe, what, seconds=DEADLINE):
    """Calls probe until it answers something true, and returns that. Only where nothing announces the event."""
    deadline = Deadline(seconds)
    pause = 0.002
    while not (answer := probe()):
        if deadline.passed():
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return answer


def binary(name):
    """The path of a program that was built: ARKRELAY_BIN names the folder."""
    folder = os.environ.get("ARKRELAY_BIN")
    if not folder:
        raise unittest.SkipTest("ARKRELAY_BIN is not set")
    return os.path.join(folder, name)


class Program:
    """One process. Its stdout and stderr are one log, kept in memory line by line."""

    def __init__(self, name, argv, env=None, cwd=None):
        """env is added to a clean environment: what the caller's shell has set must not change a test."""
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
        """The match in the next line that has one. Lines up to it are not looked at again."""
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
        """Where the program says that it listens: "127.0.0.1:41235"."""
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
        """Asks it to end; its exit status. A program that has ended already just tells its status."""
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
        """Freezes it, as a machine that stalls does."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """Its own memory in bytes: without files, whose shares change with who else has them in use."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            return 1024 * int(re.search(r"^Anonymous:\s+(\d+) kB", rollup.read(), re.M).group(1))

    def limit(self, resource, value):
        """Its soft limit from now on, as prlimit names it: limit("nofile", 20)."""
        subprocess.run(["prlimit", "--pid", str(self.pid), f"--{resource}={value}:"], check=True)

    def is_sanitized(self):
        """Whether ASan or TSan is in it, as a library (gcc) or linked in (clang)."""
        with open(f"/proc/{self.pid}/exe", "rb") as program:
            return re.search(rb"__[at]san_init", program.read()) is not None

    def forget(self):
        """It ended as it should: no failure needs its log any more. Its lines stay readable."""
        _programs.remove(self)

    def log_tail(self):
        state = "running" if self.is_running() else f"ended, status {self.process.returncode}"
        with self._news:
            shown = self.lines[-SHOWN_LINES:]
            return "\n".join([f"--- {self.name} (pid {self.pid}, {state}), its last {len(shown)} of {len(self.lines)} lines",
                              *shown])


def _clean_environment():
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    # Tests look into /proc of what they start, which a program that forbids core dumps allows to root only.
    return {"CORE_DUMPS": "true", **{name: os.environ[name] for name in kept if name in os.environ}}


@atexit.register
def _kill_all():
    for program in _programs:
        if program.is_running():
            program.kill()


class ProcessTest(unittest.TestCase):
    """A test that starts programs: when it fails, their logs are printed; when it ends, they are ended."""

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
