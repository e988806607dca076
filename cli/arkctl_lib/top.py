"""top: a live overview of the whole system, redrawn every second until q is pressed."""

import curses
import locale
import sys
import threading
import time

from arkctl_lib.failure import NOT_ALLOWED, OK, Failure
from arkctl_lib.frame import Sample, View, frame
from arkctl_lib.terminal import clean

KEY_WAIT_MS = 100
QUIT_KEYS = (ord("q"), ord("Q"), 3)
PLAIN_WIDTH, PLAIN_HEIGHT = 1000, 1000


def top(context, args):
    context.gateway.need_admin_key()
    if context.terminal.as_json:
        context.terminal.document(context.gateway.admin("GET", "/overview"))
        return OK
    if args.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _plain(context)
    locale.setlocale(locale.LC_ALL, "")
    watcher = Watcher(context.gateway, args.interval)
    try:
        curses.wrapper(_live, watcher, context.terminal.color)
    except curses.error:
        return _plain(context)                  # for example an unknown TERM
    except KeyboardInterrupt:
        pass
    if watcher.refused:
        raise watcher.refused
    return OK


def _plain(context):
    view = View(context.gateway.url)
    view.take(Sample(time.monotonic(), context.gateway.admin("GET", "/overview")))
    for text, style in frame(view, PLAIN_WIDTH, PLAIN_HEIGHT, with_blocks=False):
        context.terminal.line(context.terminal.paint(text, style))
    return OK


class Watcher:
    """Polls the gateway in a thread, so that a slow gateway does not delay key presses."""

    def __init__(self, gateway, interval_s):
        self._gateway, self._interval_s = gateway, interval_s
        self.view = View(gateway.url)
        self.refused = None                     # the Failure if the key is wrong; ends the polling
        self.lock = threading.Lock()
        self._stop = threading.Event()

    def start(self):
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self):
        self._stop.set()

    def _run(self):
        while not self._stop.is_set() and not self.refused:
            try:
                overview = self._gateway.admin("GET", "/overview")
                with self.lock:
                    self.view.take(Sample(time.monotonic(), overview))
            except Failure as failure:
                with self.lock:
                    self.view.fail(clean(failure))
                if failure.code == NOT_ALLOWED:
                    self.refused = failure
            self._stop.wait(self._interval_s)


def _live(screen, watcher, color):
    styles = _styles(color)
    screen.timeout(KEY_WAIT_MS)
    _hide_cursor()
    watcher.start()
    try:
        while not watcher.refused:
            _draw(screen, watcher, styles)
            if screen.getch() in QUIT_KEYS:     # getch() also returns on KEY_RESIZE, so that the next frame has the new size
                return
    finally:
        watcher.stop()


def _styles(color):
    styles = {"bold": curses.A_BOLD, "dim": curses.A_DIM, "warn": curses.A_BOLD, "bad": curses.A_REVERSE}
    if color and curses.has_colors():
        curses.use_default_colors()
        for number, (name, foreground) in enumerate((("warn", curses.COLOR_YELLOW), ("bad", curses.COLOR_RED)), 1):
            curses.init_pair(number, foreground, -1)
            styles[name] = curses.color_pair(number) | curses.A_BOLD
    return styles


def _hide_cursor():
    try:
        curses.curs_set(0)
    except curses.error:
        pass


def _draw(screen, watcher, styles):
    height, width = screen.getmaxyx()
    with watcher.lock:
        lines = frame(watcher.view, max(1, width - 1), max(1, height - 1), "UTF-8" in locale.nl_langinfo(locale.CODESET).upper())
    screen.erase()
    for row, (text, style) in enumerate([*lines, ("q quits", "dim")] if height > len(lines) else lines):
        try:
            screen.addstr(height - 1 if row == len(lines) else row, 0, text, styles.get(style, 0))
        except curses.error:
            pass                                # the terminal was made smaller in between
    screen.refresh()
