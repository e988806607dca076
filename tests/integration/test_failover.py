"""Several Redis servers: failover to an up-to-date replica or to one without the last writes; two masters at once; no replica that
confirms writes."""

from fault_case import STORY, FaultTest, stories
from support.processes import eventually
from support.replication import AT_ONCE, FENCED, Replicas
from support.world import World, sim

DURABLE = {"PAID_CALL_DURABILITY": "replica", "PAID_CALL_DURABILITY_TIMEOUT": "300ms", "WORKER_MAX_ATTEMPTS": 100,
           "WORKER_LEASE": "2s"}
OUTAGE_S = 10               # the longest time without service


def tcp(server):
    return ("127.0.0.1", server.port)


class OneAddress(FaultTest):
    """Programs use one address, which moves to the new master, like a virtual IP or a service name."""

    def test_failover_to_an_up_to_date_replica(self):
        with World(tcp=True, options=AT_ONCE) as world, Replicas(world) as replicas:
            address, replica = world.proxy(), replicas.add(through=f"127.0.0.1:{world.redis_server.port}")
            gateway, _ = world.gateway(REDIS_URL=address.url), world.worker(REDIS_URL=address.url, WORKER_LEASE="20s")
            with gateway.generate("t1", prompt=sim("t1", "images=3 latency=1500")) as stream:
                frames = stream.until("process image")
                replicas.await_caught_up()
                world.redis("FAILOVER", "TO", "127.0.0.1", replica.port)
                eventually(lambda: replica.client()("ROLE")[0] == b"master", "the replica is the master")
                address.aim(tcp(replica))       # old connections stay with the old master, which answers READONLY
                replicas.look_at(replica)
                eventually(lambda: gateway.submit("t2", prompt=sim("t2")).status in (200, 202), "service", OUTAGE_S)
                self.assert_done_once(frames + stream.to_end())
            world.wait_state("t2", "done")
            self.assertEqual(len(world.ark.calls()), 2)
            self.assertTrue(any("READONLY" in line for line in gateway.lines))

    def test_failover_to_a_replica_without_the_last_writes(self):
        """One call begins before the replica stops following and ends after it; other tasks are accepted afterwards. Their calls are not
        confirmed by a replica, so they are not made. Then the master dies."""
        with World(tcp=True, options=AT_ONCE) as world, Replicas(world) as replicas:
            address, replica = world.proxy(), replicas.add()
            spare = replicas.add(through=f"127.0.0.1:{replica.port}")       # a replica of the next master, so that calls can be confirmed
            gateway = world.gateway(REDIS_URL=address.url, GATEWAY_TAIL_CHECK="300ms")
            world.worker(REDIS_URL=address.url, WORKER_CONCURRENCY=4, **DURABLE)
            lost = [f"l{n}" for n in range(3)]
            with gateway.generate("begun", prompt=sim("begun", "images=3 latency=1000"), max_paid_calls=1) as begun:
                begun.until("process image")
                replicas.await_caught_up()
                replicas.way.freeze()
                streams = {each: gateway.generate(each, prompt=sim(each), max_paid_calls=1) for each in lost}
                for stream in streams.values():
                    stream.until("process retrying")        # not confirmed: no call
                self.assertEqual([call["prompt"].split(" ")[0] for call in world.ark.calls()], ["begun"])
                seen = begun.to_end()
                self.assertEqual(seen[-1].event, "done")    # the replica has not received it
                world.redis_server.kill()
                replicas.promote(replica)
                address.aim(tcp(replica))
                replicas.await_link(spare)
                for each, stream in streams.items():        # the stream gets a reset, or is cut and then gets a reset
                    frames = stream.to_end()
                    self.assertTrue(any(frame.event == "reset" for frame in frames), frames)
                    stream.close()
                    self.assertEqual(gateway.task(each).status, 404)
            self.assertEqual(world.wait_state("begun", "done", "failed").number("paid_calls"), 1)
            with gateway.follow("begun", seen[-1].id) as stream:
                self.assertIn("reset", [frame.event for frame in stream.to_end()])
            for each in lost:                  # the client submits the task again
                self.assertEqual(gateway.submit(each, prompt=sim(each), max_paid_calls=1).status, 202)
            end = world.wait_all_final()
            self.assertEqual({end.tasks[f"public.{each}"].state for each in lost}, {"done"})
            for each in ("begun", *lost):
                self.assert_calls(world, each, 1)

    def test_two_masters_at_the_same_time(self):
        """The old master is isolated together with a gateway and a worker. It accepts no writes. The task that both have is done once, with the
        new master."""
        with World(tcp=True, options=FENCED) as world, Replicas(world) as replicas:
            old, replica = world.redis_server, replicas.add()
            minority = world.gateway()
            world.submit_many(1, prompt=sim("t0"))
            replicas.await_caught_up()
            replicas.way.freeze()
            old_client = old.client()
            eventually(lambda: b"min_slaves_good_slaves:0" in old_client("INFO", "replication"), "the old master counts none")
            cut_off = world.worker()
            cut_off.wait_for("NOREPLICAS")
            eventually(lambda: minority.get("/readyz").status == 503, "the old master's gateway is not ready")
            refused = minority.submit("t1", prompt=sim("t1"))
            self.assertEqual((refused.status, refused.json()["code"]), (503, "store_unavailable"))
            self.assertIn("retry-after", refused.headers)
            self.assertEqual(world.ark.calls(), [])

            replicas.promote(replica)
            majority = world.gateway(REDIS_URL=replica.url)
            world.worker(REDIS_URL=replica.url)
            world.wait_state("t0", "done")
            self.assertEqual(majority.submit("t1", prompt=sim("t1")).status, 202)
            world.wait_state("t1", "done")

            old_client("REPLICAOF", "127.0.0.1", replica.port)      # the partition has ended
            replicas.await_link(old)
            eventually(lambda: minority.get("/readyz").status == 503 and any("READONLY" in line for line in minority.lines),
                       "the old master says that it is none")
            self.assertEqual(minority.submit("t2", prompt=sim("t2")).status, 503)
            self.assertEqual([len(world.ark.calls_of(each)) for each in ("t0", "t1")], [1, 1])


class WithoutConfirmation(FaultTest):
    def test_without_confirmation_no_call_is_made(self):
        with World(tcp=True, options=AT_ONCE) as world, Replicas(world) as replicas:
            gateway = world.gateway()
            worker = world.worker(**DURABLE)
            with gateway.generate("t1", prompt=sim("t1"), max_paid_calls=1) as stream:
                frames = [*stream.until("process retrying"), *stream.until("process retrying")]
                self.assertEqual({frame.payload()["code"] for frame in frames if frame.story() == "process retrying"}, {"not_durable"})
                self.assertEqual(world.ark.calls(), [])
                worker.wait_for("warn .*not confirmed")
                replicas.add()
                frames = stream.to_end()
            self.assertEqual(stories(frames)[-len(STORY) + 1:], STORY[1:])
            self.assertEqual(frames[-1].payload()["paid_calls"], 1)
            self.assert_calls(world, "t1", 1)
