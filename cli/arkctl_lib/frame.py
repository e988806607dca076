"""One frame of `top`, as lines of (text, style). Pure.

A sample is the gateway's overview with the time at which it was received.
"""

import typing

from arkctl_lib import account
from arkctl_lib.operate import process_table
from arkctl_lib.terminal import clean
from arkctl_lib.units import count, duration, size

# The upper bounds of the buckets of `ark_ms`, in seconds. One more bucket counts longer calls.
ARK_BOUNDS_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
RATE_WINDOW_S, RATE_AFTER_S = 60, 5
LATENCY_WINDOW_S = 300
RATES = ("submitted", "done", "failed", "cancelled", "paid_calls")
HISTORY = 60
HELD_MAX = 3            # lines of each kind
BLOCKS = "▁▂▃▄▅▆▇█"


class Sample(typing.NamedTuple):
    at: float
    overview: dict


class View:
    """The samples of the last minutes, and the error of the last poll."""

    def __init__(self, url):
        self.url, self.samples, self.trouble = url, [], None

    def take(self, sample):
        self.samples = [old for old in self.samples if old.at > sample.at - LATENCY_WINDOW_S] + [sample]
        self.trouble = None

    def fail(self, text):
        self.trouble = text


def frame(view, width, height, with_blocks=True):
    """At most `height` lines of at most `width` characters."""
    lines = list(_head(view))
    if view.samples:
        now = view.samples[-1].overview
        lines += [("", "")] + list(_queue(view, with_blocks)) + list(_ark(view)) + list(_redis(now["redis"])) + [("", "")]
        lines += _processes(now)
    return [(text[:width], style) for text, style in lines[:height]]


def _head(view):
    if not view.samples:
        yield f"arkrelay  {view.url}", "bold"
    else:
        overview = view.samples[-1].overview
        gateway = overview["gateway"]
        state = "draining" if gateway["draining"] else "PAUSED" if overview["queue"]["paused"] else "up"
        yield f"arkrelay {gateway['version']}  {view.url}  {state}", "warn" if state != "up" else "bold"
    if view.trouble:
        yield f"no answer: {view.trouble}", "bad"
    elif not view.samples:
        yield "connecting ...", "dim"


def _queue(view, with_blocks):
    queue = view.samples[-1].overview["queue"]
    yield (f"queue    {queue['depth']} waiting   {queue['delayed']} delayed   {queue['running']} running   {queue['dead']} dead   "
           f"oldest {duration(queue['oldest_age_ms'])}"), "warn" if queue["dead"] else ""
    if with_blocks:
        yield f"         {_spark([sample.overview['queue']['depth'] for sample in view.samples[-HISTORY:]])}", "dim"
    rates = "   ".join(f"{name} {rate}" for name, rate in _rates(view))
    yield f"per min  ended {queue['rates']['ended_per_minute']}{'   ' if rates else ''}{rates}", ""


def _spark(values):
    most = max(values) or 1
    return "".join(BLOCKS[round(value / most * (len(BLOCKS) - 1))] for value in values)


def _rates(view):
    """Rates per minute, from the counters of the first and the last sample in the window. Empty during the first seconds."""
    last = view.samples[-1]
    first = next(sample for sample in view.samples if sample.at >= last.at - RATE_WINDOW_S)
    if last.at - first.at < RATE_AFTER_S:
        return
    for name in RATES:
        before, after = (sample.overview["queue"]["counters"].get(name, 0) for sample in (first, last))
        yield name.replace("_", " "), f"{max(0, after - before) * 60 / (last.at - first.at):.0f}"


# -- ARK


def _ark(view):
    overview = view.samples[-1].overview
    governor = overview["governor"]
    words = [f"{sum(process.get('busy', 0) for process in overview['processes'])} busy"]
    if governor["calls"] is not None:
        words.append(f"{governor['calls']:.0f} calls in flight")
    if governor["tokens"] is not None:
        words.append(f"{governor['tokens']:.0f} images may still begin this minute")
    yield f"ARK      {'   '.join(words)}", ""
    for reason in account.waiting_for(governor, overview["now_ms"])[:HELD_MAX]:
        yield f"WAITING  {account.describe(reason, overview['now_ms'])}", "warn" if reason.get("until") else "bad"
    for model in [model for model in governor["models"] if model["limit"] is not None][:HELD_MAX]:
        rate = f", {model['rate']:.0f} images per minute" if model["rate"] is not None else ""
        yield f"limited  {clean(model['model'])}: {model['limit']:.0f} calls at a time{rate}", "warn"
    counts, since = latency_counts(view)
    if counts and counts[-1]:
        quantiles = "   ".join(f"p{part} {quantile(counts, part / 100)}" for part in (50, 90, 99))
        yield f"latency  {quantiles}   {count(counts[-1], 'call')} {since}", ""
    else:
        yield "latency  no call yet", "dim"


def latency_counts(view):
    """Cumulative bucket counts of all workers' calls in the window; since the workers' start if the window has no call."""
    last, first = (_sum_counts(sample.overview["processes"]) for sample in (view.samples[-1], view.samples[0]))
    recent = [after - before for before, after in zip(first, last)]
    if recent and recent[-1] > 0 and min(recent) >= 0 and first[-1] > 0:
        return recent, f"in the last {duration((view.samples[-1].at - view.samples[0].at) * 1000)}"
    return last, "since the workers started"


def _sum_counts(processes):
    lists = [process["ark_ms"] for process in processes if process.get("ark_ms")]
    return [sum(column) for column in zip(*lists)] if lists else [0] * (len(ARK_BOUNDS_S) + 1)


def quantile(counts, part):
    """The upper bound of the bucket that has the quantile."""
    rank = part * counts[-1]
    for bound, reached in zip(ARK_BOUNDS_S, counts):
        if reached >= rank:
            return f"<{bound} s"
    return f">{ARK_BOUNDS_S[-1]} s"


# -- Redis and the processes


def _redis(redis):
    if redis["version"] is None:
        yield "Redis    INFO is not available", "bad"
        return
    memory = size(redis["used_memory"]) + (f" of {size(redis['maxmemory'])}" if redis["maxmemory"] else "")
    bad = redis["aof_last_write_status"] not in (None, "ok") or redis["evicted_keys"]
    trouble = "   DISK OR EVICTION TROUBLE: arkctl doctor" if bad else ""
    yield (f"Redis    {redis['version']} {redis['role']}   {redis['round_trip_ms']:.1f} ms   {memory}   "
           f"{redis['operations_per_second']:.0f} op/s   {redis['connected_clients']:.0f} clients   "
           f"AOF {'on' if redis['aof_enabled'] else 'off'}{trouble}"), "bad" if bad else ""


def _processes(overview):
    rows = process_table(overview["processes"], overview["now_ms"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), "dim" if n == 0 else ""
