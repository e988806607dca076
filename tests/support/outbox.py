"""The queues of the outbox in Redis (common/task/PROTOCOL.md): makes entries due, and lists the entries that remain."""

import time

from support.scripts import PREFIX


def make_due(redis, queue, entries=True):
    """Ends the pauses of the queue's lanes, and with `entries` also the delays of their entries."""
    now = int(time.time() * 1000)       # not 0: a delivery that is due for long is given up
    for lane in (lane.decode() for lane in redis("ZRANGE", f"{PREFIX}lanes:{queue}", 0, -1)):
        redis("HSET", f"{PREFIX}lane:{queue}:{lane}", "paused_until", 0)
        for entry in redis("ZRANGE", f"{PREFIX}owed:{queue}:{lane}", 0, -1) if entries else []:
            redis("ZADD", f"{PREFIX}owed:{queue}:{lane}", "XX", "LT", now, entry)
        redis("ZADD", f"{PREFIX}lanes:{queue}", "XX", "LT", now, lane)


def is_empty(redis, *queues):
    return not redis("EXISTS", *(f"{PREFIX}{kind}:{queue}" for kind in ("lanes", "leased") for queue in queues))


def leftovers(redis, queue):
    """Keys of the queue that an empty one does not have."""
    return [key.decode() for pattern in (f"owed:{queue}:*", f"lanes:{queue}", f"leased:{queue}", f"failing:{queue}") for key in redis("KEYS", PREFIX + pattern)]
