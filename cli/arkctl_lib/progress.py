"""The progress of a task, as one line that is updated at the bottom of the terminal."""

from arkctl_lib import account
from arkctl_lib.terminal import write_note
from arkctl_lib.units import count, duration

BAR = 20
SPINNER = "|/-\\"


class Progress:
    """The task's progress, from its events. Pure: the time is a parameter."""

    def __init__(self, now, images=None):
        """images: the requested maximum number of images, if any."""
        self.images, self.began = images, now
        self.phase, self.since = "sending", now
        self.position = self.first_position = self.turn_at = self.held = None
        self.came = self.missing = 0

    def take(self, event, now):
        data = event.data
        stage = data.get("stage")
        if event.kind == "start" or stage == "queued":
            self._wait(data, now)
        elif stage == "calling":
            self._enter("running", now)
        elif stage == "image":
            self.came += 1
        elif stage == "image_failed":
            self.missing += 1
        elif stage == "retrying":
            self._enter("waiting for a retry", now)
            self.turn_at = now + data.get("delay_ms", 0) / 1000
        elif stage == "requeued":
            self._enter("waiting again", now)
        elif event.kind == "reset":
            self.__init__(now, self.images)

    def _wait(self, data, now):
        self._enter("waiting", now)
        self.position = data.get("position")
        self.held = next((account.meaning(reason) for reason in data.get("waiting_for") or ()), None)
        self.first_position = max(self.first_position or 0, self.position or 0)
        if "eta_ms" in data:
            self.turn_at = now + data["eta_ms"] / 1000

    def _enter(self, phase, now):
        if self.phase != phase:
            self.phase, self.since, self.turn_at = phase, now, None

    def line(self, now, width):
        return f"{self._bar(now)} {self.words(now)}"[:max(0, width - 1)]

    def words(self, now):
        words = [self.phase]
        if self.phase == "waiting" and self.position:
            words[0] += f", position {self.position}"
        if self.phase == "waiting" and self.held:
            words.append(self.held)
        if self.turn_at is not None and self.turn_at > now:
            words.append(f"about {duration((self.turn_at - now) * 1000)}")
        if self.phase == "running":
            of = f" of {self.images}" if self.images else ""
            words.append(count(self.came, "image") if not of else f"{self.came}{of} images")
            if self.missing:
                words.append(f"{self.missing} failed")
        words.append(duration((now - self.began) * 1000))
        return "  ".join(words)

    def _bar(self, now):
        if self.phase == "waiting" and self.first_position:
            part = 1 - (self.position or 1) / self.first_position
        elif self.phase == "running" and self.images:
            part = (self.came + self.missing) / self.images
        else:
            return SPINNER[int(now * 4) % len(SPINNER)]
        full = round(min(1, part) * BAR)
        return f"[{'#' * full}{'.' * (BAR - full)}]"


class StatusLine:
    """Draws the line on stderr, and clears it before other output. Does nothing if stderr is not a terminal."""

    def __init__(self, terminal):
        self.terminal, self._shown = terminal, False

    def draw(self, text):
        if self.terminal.is_live:
            write_note(f"\r\x1b[K{text}")
            self._shown = True

    def clear(self):
        if self._shown:
            write_note("\r\x1b[K")
            self._shown = False
