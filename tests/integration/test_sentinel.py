"""Programs configured with the addresses of sentinels find the master, also after a failover."""

import time

from fault_case import FaultTest
from support.processes import eventually
from support.replication import AT_ONCE, FENCED, NAME, FakeSentinel, Replicas, Sentinels
from support.world import World, sim

OUTAGE_S = 10               # the longest time without service


class Failover(FaultTest):
    """A master accepts writes only while it has a replica, so that a demoted master accepts none."""

    def keeps_running(self, fail_over):
        """Runs tasks before, during and after the failover: none is lost or paid twice."""
        with World(tcp=True, options=FENCED) as world, Replicas(world) as replicas:
            direct = f"127.0.0.1:{world.redis_server.port}"
            spare = replicas.add(direct, (*FENCED, "--replica-priority", "0"))
            heir = replicas.add(direct, FENCED)
            with Sentinels(world.redis_server) as sentinels:
                sentinels.await_replicas(2)
                gateway = world.gateway(REDIS_URL=sentinels.url)
                worker = world.worker(REDIS_URL=sentinels.url, WORKER_LEASE="20s")
                with gateway.generate("t0", prompt=sim("t0")) as stream:
                    self.assert_done_once(stream.to_end())
                with gateway.generate("t1", prompt=sim("t1", "images=3 first_latency=50 latency=3000")) as stream:
                    frames = stream.until("process image")
                    eventually(lambda: world.redis("WAIT", 2, 1000) == 2, "both replicas have all")
                    began = time.monotonic()
                    fail_over(world, sentinels)
                    sentinels.await_master(heir.port)
                    for program in (gateway, worker):
                        program.wait_for(f":commands to=redis://127.0.0.1:{heir.port}/0")
                    replicas.look_at(heir)
                    eventually(lambda: gateway.submit("t2", prompt=sim("t2")).status in (200, 202), "service", OUTAGE_S)
                    self.assertLess(time.monotonic() - began, OUTAGE_S)
                    self.assert_done_once(frames + stream.to_end())
                end = world.wait_all_final()
                self.assertEqual({each: task.state for each, task in end.tasks.items()},
                                 {f"public.t{n}": "done" for n in range(3)})
                self.assertEqual(len(world.ark.calls()), 3)
                self.assertTrue(spare.program.is_running())

    def test_a_requested_failover(self):
        def fail_over(world, sentinels):
            with sentinels.client() as client:
                client("SENTINEL", "FAILOVER", NAME)
        self.keeps_running(fail_over)

    def test_a_killed_master(self):
        self.keeps_running(lambda world, sentinels: world.redis_server.kill())

    def test_one_sentinel_is_down_and_all_require_a_password(self):
        with World(tcp=True) as world, Sentinels(world.redis_server, password="secret") as sentinels:
            world.redis("CONFIG", "SET", "requirepass", "secret")
            sentinels.programs[0].kill()
            gateway = world.gateway(REDIS_URL=sentinels.url.replace("//", "//:secret@", 1))
            self.assertEqual(gateway.get("/readyz").status, 200)
            self.assertFalse(any("secret" in line for line in gateway.lines))
            world.redis("CONFIG", "SET", "requirepass", "")


class WrongAnswers(FaultTest):
    ANSWERS = [
        ("no such master", b"*-1\r\n", "unknown master name"),
        ("nil", b"$-1\r\n", "unknown master name"),
        ("an error", b"-NOAUTH Authentication required.\r\n", "NOAUTH"),
        ("a text", b"+OK\r\n", "not a host and a port"),
        ("a host alone", b"*1\r\n$1\r\nh\r\n", "not a host and a port"),
        ("an empty host", b"*2\r\n$0\r\n\r\n$1\r\n1\r\n", "not a host and a port"),
        ("a host that is too long", b"*2\r\n$300\r\n" + b"h" * 300 + b"\r\n$1\r\n1\r\n", "not a host and a port"),
        ("a number as a host", b"*2\r\n:1\r\n:2\r\n", "not a host and a port"),
        ("port 0", b"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", "port in the reply is invalid"),
        ("a port above the last", b"*2\r\n$1\r\nh\r\n$5\r\n65536\r\n", "port in the reply is invalid"),
        ("a word as a port", b"*2\r\n$1\r\nh\r\n$2\r\n1x\r\n", "port in the reply is invalid"),
        ("another protocol", b"HTTP/1.1 200 OK\r\n\r\n", "Protocol error"),
        ("no reply, then the end", b"", "connection closed"),
        ("half a reply, then the end", b"*2\r\n$1\r\nh\r\n", "connection closed"),
    ]

    def test_the_sentinels_are_asked_again(self):
        with World(ark=False, tcp=True) as world:
            fake = FakeSentinel(b"")
            gateway = world.gateway(wait_ready=False, REDIS_URL=fake.url)
            for name, answer, words in self.ANSWERS:
                with self.subTest(name):
                    fake.answer = answer
                    gateway.wait_for(words)
                    self.assertEqual(gateway.get("/readyz").status, 503)
            port = str(world.redis_server.port).encode()
            fake.answer = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port)
            eventually(lambda: gateway.get("/readyz").status == 200, "the master was found")
            self.assertEqual(fake.asked, b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$8\r\npictures\r\n")
            fake.close()

    def test_a_replica_named_as_the_master_is_refused(self):
        with World(ark=False, tcp=True, options=AT_ONCE) as world, Replicas(world) as replicas:
            port = str(replicas.add().port).encode()
            fake = FakeSentinel(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
            gateway = world.gateway(wait_ready=False, REDIS_URL=fake.url)
            gateway.wait_for("the sentinels name this server as the master")
            self.assertEqual(gateway.get("/readyz").status, 503)
            replicas.promote(replicas.servers[0])
            eventually(lambda: gateway.get("/readyz").status == 200, "the replica is the master")
            fake.close()

    def test_a_named_server_that_never_answers(self):
        with World(ark=False, tcp=True) as world:
            silent = world.proxy()
            silent.freeze()
            gateway = world.gateway(wait_ready=False, REDIS_URL=f"redis+sentinel://{silent.address}/{NAME}", REDIS_TIMEOUT="200ms")
            gateway.wait_for("connection attempt timed out")
            self.assertEqual(gateway.get("/readyz").status, 503)
