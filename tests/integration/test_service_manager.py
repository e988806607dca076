"""What the programs tell a service manager: real datagrams, to a socket as systemd has one."""

import os
import signal
import socket
import tempfile
import time
import unittest

from support.processes import DEADLINE, Deadline, ProcessTest
from support.world import World, sim

OFTEN = 200_000        # microseconds: a watchdog's time


class Manager:
    """Hears what programs say. environment() is for those that are to speak to it."""

    def __init__(self, abstract=False):
        self._folder = tempfile.TemporaryDirectory(prefix="arkrelay-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(DEADLINE)
        self.name = f"@arkrelay-{os.path.basename(self._folder.name)}" if abstract else f"{self._folder.name}/notify"
        self._socket.bind("\0" + self.name[1:] if abstract else self.name)

    def environment(self, watchdog=None, pid=None):
        found = {"NOTIFY_SOCKET": self.name, "WATCHDOG_USEC": watchdog, "WATCHDOG_PID": pid}
        return {name: str(value) for name, value in found.items() if value is not None}

    def hear(self):
        """The next facts."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def hear_all(self):
        """What lies in the socket by now."""
        heard = []
        self._socket.setblocking(False)
        try:
            while True:
                heard.append(self.hear())
        except BlockingIOError:
            return heard
        finally:
            self._socket.settimeout(DEADLINE)

    def wait_until(self, is_it, what):
        """The first facts that are it, and all that were heard before."""
        before, deadline = [], Deadline()
        while not is_it(facts := self.hear()):
            before.append(facts)
            if deadline.passed():
                raise AssertionError(f"not heard: {what}; but {before[-20:]}")
        return facts, before

    def wait_for(self, fact):
        return self.wait_until(lambda facts: fact in facts, fact)

    def wait_status(self, words):
        return self.wait_until(lambda facts: words in facts["STATUS"], words)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()
        self._folder.cleanup()


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


class Gateways(ProcessTest):
    def test_say_where_they_listen_then_that_they_drain(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment())
            ready = manager.hear()
            self.assertEqual("1", ready["READY"])
            self.assertIn(gateway.address, ready["STATUS"])
            self.assertEqual(0, gateway.stop())
            stopping, before = manager.wait_for("STOPPING")
            self.assertEqual({"STOPPING": "1", "STATUS": f"draining, was on {gateway.address}"}, stopping)
            self.assertFalse([facts for facts in before if "READY" in facts or "WATCHDOG" in facts])

    def test_are_ready_while_they_wait_for_redis_and_say_when_it_is_there(self):
        with World(ark=False) as world, Manager(abstract=True) as manager:
            world.redis_server.stop()
            world.gateway(**manager.environment(watchdog=OFTEN))
            self.assertIn("waiting for Redis", manager.wait_for("READY")[0]["STATUS"])
            world.redis_server.start()
            manager.wait_status("serving on")
            world.redis_server.stop()
            manager.wait_status("waiting for Redis")
            world.redis_server.start()
            manager.wait_status("serving on")

    def test_say_when_they_read_their_files_anew(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment())
            manager.wait_for("READY")
            for _ in range(2):
                earlier = monotonic_us()
                gateway.signal(signal.SIGHUP)
                reloading, _ = manager.wait_for("RELOADING")
                self.assertEqual("1", manager.wait_for("READY")[0]["READY"])
                self.assertTrue(earlier <= int(reloading["MONOTONIC_USEC"]) <= monotonic_us())

    def test_say_nothing_of_a_reload_once_they_drain(self):
        with World() as world, Manager() as manager:
            gateway = world.gateway(**manager.environment(watchdog=OFTEN))
            with gateway.generate("t1", prompt=sim("t1")):       # nobody works on it: the stream holds the drain up for a moment
                gateway.signal(signal.SIGTERM)
                manager.wait_for("STOPPING")
                gateway.signal(signal.SIGHUP)
                gateway.wait_exit()
            gateway.wait_for("draining")
            rest = manager.hear_all()
            self.assertFalse([facts for facts in rest if "READY" in facts or "RELOADING" in facts], rest)

    def test_tell_the_watchdog_as_long_as_every_thread_turns(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(GATEWAY_THREADS=3, **manager.environment(watchdog=OFTEN))
            for _ in range(5):
                manager.wait_for("WATCHDOG")
            gateway.pause()
            manager.hear_all()
            gateway.resume()
            manager.wait_for("WATCHDOG")

    def test_tell_no_watchdog_that_is_meant_for_another_process(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment(watchdog=2000, pid=1))
            for _ in range(20):                                  # each takes longer than that watchdog's time
                gateway.signal(signal.SIGHUP)
                _, before = manager.wait_for("RELOADING")
                self.assertFalse([facts for facts in before if "WATCHDOG" in facts])

    def test_serve_though_nobody_hears_them(self):
        with World(ark=False) as world:
            for name, why in (("/nowhere/notify", "No such file"), ("vsock:2:1", "neither a path nor an @name")):
                gateway = world.gateway(NOTIFY_SOCKET=name, WATCHDOG_USEC=2000)
                gateway.stop()
                said = [line for line in gateway.lines if "cannot notify the service manager" in line]
                self.assertEqual(1, len(said), name)
                self.assertIn(why, said[0])


class Workers(ProcessTest):
    def test_say_that_they_work_then_that_they_drain_until_the_last_call_is_over(self):
        with World() as world, Manager() as manager:
            worker = world.worker(**manager.environment(watchdog=OFTEN))
            manager.wait_for("READY")
            manager.wait_status("taking tasks, 0 jobs")
            world.submit_many(1, prompt=sim("t0", "images=1 latency=3000"))
            manager.wait_status("taking tasks, 1 jobs")
            worker.signal(signal.SIGTERM)
            self.assertEqual("draining, 1 jobs in flight", manager.wait_for("STOPPING")[0]["STATUS"])
            manager.wait_for("WATCHDOG")                         # it is still at work
            self.assertEqual(0, worker.wait_exit())
            self.assertEqual("done", world.wait_state("t0", "done").state)

    def test_are_ready_while_they_wait_for_redis(self):
        with World() as world, Manager(abstract=True) as manager:
            world.redis_server.stop()
            world.worker(**manager.environment(watchdog=OFTEN))
            self.assertIn("waiting for Redis", manager.wait_for("READY")[0]["STATUS"])
            world.redis_server.start()
            manager.wait_status("taking tasks")


if __name__ == "__main__":
    unittest.main()
