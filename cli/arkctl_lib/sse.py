"""An incremental parser of Server-Sent Events. Accepts chunks of any size."""

import codecs
import typing


class Frame(typing.NamedTuple):
    event: str
    data: str
    id: str         # "" for hints, which are not in the task's log


class Reader:
    """Keeps the last event id and the retry delay from one connection to the next."""

    def __init__(self):
        self.last_event_id = ""
        self.retry_s = 3.0
        self.restart()

    def restart(self):
        """Starts a new connection: drops an incomplete event."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._clear()

    def _clear(self):
        self._event, self._data, self._id = "", [], ""

    def feed(self, piece):
        """Yields the frames that this chunk completes. Ignores comments."""
        text = self._rest + self._decoder.decode(piece)
        held = "\r" if text.endswith("\r") else ""          # may be the first half of a CR LF
        text = text[:len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        self._rest = rest + held
        for line in lines:
            if line:
                self._field(line)
                continue
            if self._data:
                yield Frame(self._event or "message", "\n".join(self._data), self._id)
            self._clear()

    def _field(self, line):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = self.last_event_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
