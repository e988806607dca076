"""Records the Redis commands that programs send, using MONITOR. Scripts are recorded by name.

    with CommandLog(world.redis.address, world.run_script) as log:
        ...
        log.counts()        # {"submit": 1, "subscribe": 1, ...}; commands called by scripts are not counted
"""

import collections
import re

from support.resp import Redis

LINE = re.compile(rb'^[\d.]+ \[\d+ (?P<by>[^\]]+)\] "(?P<command>[^"]*)"(?: "(?P<argument>[^"]*)")?')
END = b"the log ends here"


class CommandLog:
    def __init__(self, address, scripts):
        self.names = {sha1.encode(): name for name, sha1 in scripts.sha1.items()}
        self.redis = Redis(address)
        self.monitor = Redis(address)
        self.monitor("MONITOR")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.monitor.close()
        self.redis.close()

    def counts(self):
        """The commands since the last call."""
        counts = collections.Counter()
        self.redis("ECHO", END)         # MONITOR has shown all earlier commands by then
        while END not in (line := self.monitor._read()):
            seen = LINE.match(line)
            if seen and seen["by"] != b"lua":
                counts[self._name(seen)] += 1
        return counts

    def _name(self, seen):
        command = seen["command"].decode().lower()
        return self.names.get(seen["argument"], command) if command == "evalsha" else command
