"""A network between the programs and Redis that silently drops packets. With ARKRELAY_FULL=1, long enough for every timeout to expire."""

import os
import time
import unittest

from fault_case import FaultTest
from support.network import PORT, Network, Unavailable
from support.processes import eventually
from support.proxy import Proxy
from support.world import World, sim

PARTITION_S = 20 if os.environ.get("ARKRELAY_FULL") == "1" else 6
TASKS = 10


class Packets(FaultTest):
    def setUp(self):
        try:
            self.network = Network()
        except Unavailable as why:
            raise unittest.SkipTest(f"no network of its own here: {why}") from None
        self.addCleanup(self.network.close)

    def world(self):
        return World(under=self.network.inside, options=self.network.redis_options)

    def test_all_packets_dropped_for_a_while(self):
        """The gateway answers 503 within two seconds, its streams get heartbeats, and the running task is done once."""
        with self.world() as world:
            url = {"REDIS_URL": self.network.redis_url}
            gateway = world.gateway(GATEWAY_HEARTBEAT="500ms", **url)
            world.worker(WORKER_LEASE="3s", **url)
            with gateway.generate("t1", prompt=sim("t1", f"images=3 latency={PARTITION_S * 500}")) as stream:
                frames = stream.until("process calling")
                world.ark.wait_calls(1)
                self.network.drop()
                healed_at = time.monotonic() + PARTITION_S
                refusals = heartbeats = 0
                while time.monotonic() < healed_at:
                    began = time.monotonic()
                    self.assertEqual(gateway.submit("t2", prompt=sim("t2")).status, 503)
                    self.assertLess(time.monotonic() - began, 2)
                    refusals += 1
                    heartbeats += stream.next().comment in ("keep-alive", "degraded")
                self.network.heal()
                eventually(lambda: gateway.submit("t2", prompt=sim("t2")).status in (200, 202), "it is healed", 10)
                self.assert_done_once(frames + stream.to_end())
            world.wait_state("t2", "done")
            self.assertEqual(len(world.ark.calls()), 2)
            self.assertGreater(min(refusals, heartbeats), 2)
            self.assertTrue(any("command timed out" in line for line in gateway.lines))

    def test_ten_percent_packet_loss_with_high_latency(self):
        """With a round trip of 200 ms and TCP retransmissions the system is slower but correct."""
        with self.world() as world:
            self.network.drop(0.1)
            far = Proxy((self.network.address, PORT))
            self.addCleanup(far.close)
            far.delay(0.1)
            gateway = world.gateway(REDIS_URL=far.url, REDIS_TIMEOUT="10s")
            world.worker(REDIS_URL=far.url, REDIS_TIMEOUT="10s", WORKER_LEASE="10s")
            ids = [f"t{n}" for n in range(TASKS)]
            for each in ids:
                eventually(lambda each=each: gateway.submit(each, prompt=sim(each)).status in (200, 202), "it is taken")
            end = world.wait_all_final()
            self.assertEqual({task.state for task in end.tasks.values()}, {"done"})
            for each in ids:
                self.assertLessEqual(len(world.ark.calls_of(each)), end.tasks[f"public.{each}"].number("paid_calls"))
            self.assertEqual(len(end.tasks), TASKS)
