"""Output of the commands: text or JSON, with colours on a terminal.

Texts from outside (ARK's errors, clients' ids) are untrusted: clean() keeps their control characters from the terminal.
"""

import contextlib
import json
import os
import re
import shutil
import sys

from arkctl_lib.failure import OutputFailure

STYLES = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}
STATUS_STYLES = {"done": "good", "failed": "bad", "cancelled": "warn", "running": "bold", "delayed": "warn"}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text):
    """The text on one line, without control characters."""
    return CONTROL.sub("?", str(text).replace("\n", " ").replace("\t", " "))


def open_streams():
    """Replaces each standard stream that is closed with /dev/null: otherwise it is None, and a socket could get its file descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")    # characters that the terminal cannot encode become question marks


def write(text):
    """Writes to stdout at once. A closed pipe raises BrokenPipeError, every other error OutputFailure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailure(error) from error


def discard(stream):
    """Sends what the stream has not taken, and further output, to /dev/null. Otherwise Python reports an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_note(text):
    """Writes to stderr at once. Errors are ignored: there is no other place to report them."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def close_notes():
    """At exit: discards what stderr has not taken."""
    try:
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


class Terminal:
    def __init__(self, as_json=False, color=True):
        self.as_json = as_json
        self.is_live = not as_json and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.color = color and not os.environ.get("NO_COLOR") and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def line(self, text=""):
        """Prints a line of text, unless --json is given."""
        if not self.as_json:
            write(f"{text}\n")

    def document(self, document):
        """Prints one JSON document on one line, if --json is given."""
        if self.as_json:
            write(json.dumps(document, ensure_ascii=False) + "\n")

    def note(self, text):
        """Prints a line to stderr: progress and warnings, not results."""
        write_note(f"{text}\n")

    def paint(self, text, style):
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.color and style in STYLES else text

    def paint_status(self, text):
        return self.paint(text, STATUS_STYLES.get(text.strip()))

    def table(self, rows, painted=None):
        """rows: lists of strings; the first row is the heading. painted: the index of a column with statuses, which are coloured."""
        if not rows:
            return
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for n, row in enumerate(rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths)]
            cells[-1] = row[-1]
            if n == 0:
                self.line(self.paint("  ".join(cells).rstrip(), "dim"))
            else:
                if painted is not None:
                    cells[painted] = self.paint_status(cells[painted])
                self.line("  ".join(cells).rstrip())

    def width(self):
        return max(20, shutil.get_terminal_size().columns)
