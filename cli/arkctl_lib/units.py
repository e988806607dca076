"""Formats durations, sizes and counts. The API gives times as RFC 3339 text or as Unix time in ms."""

import datetime


def duration(ms):
    """For example: 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h"""
    if ms is None:
        return "-"
    seconds = max(0, ms) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit} {rest} {smaller}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def size(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024


def count(number, noun):
    """For example: 1 task, 2 tasks"""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def amount(number):
    """An amount of money, exact to the millionth: 1234567.5, 0.000001"""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def cost(of):
    """For example: 0.06 USD, or not known for None"""
    return f"{amount(of['amount'])} {of['currency']}{', estimated' if of.get('estimated') else ''}" if of else "not known"


def to_ms(timestamp):
    """Converts RFC 3339 to Unix time in ms. Returns None for None."""
    return None if not timestamp else round(datetime.datetime.fromisoformat(timestamp).timestamp() * 1000)


def to_timestamp(ms):
    """Converts Unix time in ms to RFC 3339."""
    seconds, rest = divmod(ms, 1000)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:03d}Z"
