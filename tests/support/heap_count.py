"""A program's heap usage, counted exactly by heap_count.so inside the program.

    with HeapCount() as heap:
        gateway = world.gateway(under=heap.words)
        ...
        heap.at_rest()      # Held(bytes=759160, blocks=3829)
"""

import collections
import struct
import tempfile

from support.processes import binary, eventually

NUMBERS = struct.Struct("=qq")
LOOKS = 6
Held = collections.namedtuple("Held", "bytes blocks")


class HeapCount:
    def __init__(self):
        self._file = tempfile.NamedTemporaryFile(prefix="arkrelay-heap-", buffering=0)
        self._file.write(bytes(NUMBERS.size))

    @property
    def words(self):
        """Words to put in front of the program's command line."""
        return ["env", f"LD_PRELOAD={binary('heap_count.so')}", f"HEAP_COUNT_FILE={self._file.name}"]

    def at_rest(self):
        """Waits until the usage stops changing, so that temporary allocations do not count, and returns it."""
        looks = collections.deque(maxlen=LOOKS)

        def is_at_rest():
            looks.append(self.held())
            return len(looks) == LOOKS and len(set(looks)) == 1
        eventually(is_at_rest, "what the program holds stays the same")
        return looks[-1]

    def held(self):
        self._file.seek(0)
        return Held(*NUMBERS.unpack(self._file.read(NUMBERS.size)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()
