"""The programs' notifications to a service manager: real datagrams to a socket like systemd's."""

import os
import signal
import socket
import tempfile
import time
import unittest

from support.processes import DEADLINE, Deadline, ProcessTest
from support.world import World, sim

OFTEN = 200_000        # a watchdog interval in microseconds


class Manager:
    """Receives the notifications. environment() is the environment of programs that notify it."""

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
        """Receives the next datagram."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def hear_all(self):
        """Receives all datagrams in the socket."""
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
        """Waits for a datagram for which is_it is true; returns it and all earlier ones."""
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
    def test_ready_then_stopping(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment())
            ready = manager.hear()
            self.assertEqual("1", ready["READY"])
            self.assertIn(gateway.address, ready["STATUS"])
            self.assertEqual(0, gateway.stop())
            stopping, before = manager.wait_for("STOPPING")
            self.assertEqual({"STOPPING": "1", "STATUS": f"draining, was on {gateway.address}"}, stopping)
            self.assertFalse([facts for facts in before if "READY" in facts or "WATCHDOG" in facts])

    def test_ready_while_waiting_for_redis(self):
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

    def test_reloading(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment())
            manager.wait_for("READY")
            for _ in range(2):
                earlier = monotonic_us()
                gateway.signal(signal.SIGHUP)
                reloading, _ = manager.wait_for("RELOADING")
                self.assertEqual("1", manager.wait_for("READY")[0]["READY"])
                self.assertTrue(earlier <= int(reloading["MONOTONIC_USEC"]) <= monotonic_us())

    def test_no_reload_notification_while_draining(self):
        with World() as world, Manager() as manager:
            gateway = world.gateway(**manager.environment(watchdog=OFTEN))
            with gateway.generate("t1", prompt=sim("t1")):       # there is no worker, so the stream delays the drain briefly
                gateway.signal(signal.SIGTERM)
                manager.wait_for("STOPPING")
                gateway.signal(signal.SIGHUP)
                gateway.wait_exit()
            gateway.wait_for("draining")
            rest = manager.hear_all()
            self.assertFalse([facts for facts in rest if "READY" in facts or "RELOADING" in facts], rest)

    def test_watchdog_while_every_thread_is_alive(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(GATEWAY_THREADS=3, **manager.environment(watchdog=OFTEN))
            for _ in range(5):
                manager.wait_for("WATCHDOG")
            gateway.pause()
            manager.hear_all()
            gateway.resume()
            manager.wait_for("WATCHDOG")

    def test_no_watchdog_for_another_process(self):
        with World(ark=False) as world, Manager() as manager:
            gateway = world.gateway(**manager.environment(watchdog=2000, pid=1))
            for _ in range(20):                                  # each takes longer than the watchdog interval
                gateway.signal(signal.SIGHUP)
                _, before = manager.wait_for("RELOADING")
                self.assertFalse([facts for facts in before if "WATCHDOG" in facts])

    def test_serve_without_a_listening_service_manager(self):
        with World(ark=False) as world:
            for name, why in (("/nowhere/notify", "No such file"), ("vsock:2:1", "neither a path nor an @name")):
                gateway = world.gateway(NOTIFY_SOCKET=name, WATCHDOG_USEC=2000)
                gateway.stop()
                said = [line for line in gateway.lines if "cannot notify the service manager" in line]
                self.assertEqual(1, len(said), name)
                self.assertIn(why, said[0])


class Workers(ProcessTest):
    def test_ready_then_stopping_until_the_last_call_ends(self):
        with World() as world, Manager() as manager:
            worker = world.worker(**manager.environment(watchdog=OFTEN))
            manager.wait_for("READY")
            manager.wait_status("taking tasks, 0 jobs")
            world.submit_many(1, prompt=sim("t0", "images=1 latency=3000"))
            manager.wait_status("taking tasks, 1 jobs")
            worker.signal(signal.SIGTERM)
            self.assertEqual("draining, 1 jobs in flight", manager.wait_for("STOPPING")[0]["STATUS"])
            manager.wait_for("WATCHDOG")                         # it is still running
            self.assertEqual(0, worker.wait_exit())
            self.assertEqual("done", world.wait_state("t0", "done").state)

    def test_ready_while_redis_is_unreachable(self):
        with World() as world, Manager(abstract=True) as manager:
            world.redis_server.stop()
            world.worker(**manager.environment(watchdog=OFTEN))
            self.assertIn("waiting for Redis", manager.wait_for("READY")[0]["STATUS"])
            world.redis_server.start()
            manager.wait_status("taking tasks")


if __name__ == "__main__":
    unittest.main()
