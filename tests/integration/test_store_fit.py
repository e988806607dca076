"""A misconfigured Redis: one that evicts keys, or one with the data of another version. At startup a program logs the reason and exits. Later
it retries until the configuration is right."""

from fault_case import FaultTest
from support.processes import eventually
from support.world import World, sim

META = "arkrelay:{0}:meta"
EVICTS = ("--maxmemory-policy", "allkeys-lru")
TRIES = 3                   # failed reconnects to wait for


def errors(program):
    return [line for line in program.lines if " error " in line]


class AtStart(FaultTest):
    def assert_ends(self, program, *words):
        """Checks that the exit status is 78 and that one logged error contains all words."""
        self.assertEqual(program.wait_exit(), 78)
        line, = errors(program)
        for word in words:
            self.assertIn(word, line)

    def test_a_gateway_refuses_a_redis_that_evicts(self):
        with World(ark=False, options=EVICTS) as world:
            for threads in (1, 3):
                gateway = world.gateway(wait_ready=False, GATEWAY_THREADS=threads)
                self.assert_ends(gateway, "maxmemory-policy is allkeys-lru", "maxmemory-policy noeviction")

    def test_a_worker_refuses_a_redis_that_evicts(self):
        with World(options=EVICTS) as world:
            self.assert_ends(world.worker(), "maxmemory-policy is allkeys-lru", "maxmemory-policy noeviction")

    def test_programs_refuse_data_of_another_version(self):
        with World() as world:
            world.redis("HSET", META, "schema", "1")
            world.submit_many(1, prompt=sim("t0"))
            self.assert_ends(world.gateway(wait_ready=False), "has schema 1", "schema 2 is required")
            self.assert_ends(world.worker(), "has schema 1", "schema 2 is required")
            self.assertEqual((world.find("t0").state, world.redis("HGET", META, "schema")), ("queued", b"1"))
            world.redis("DEL", META)

    def test_the_first_program_writes_the_schema(self):
        for start in (World.gateway, World.worker):
            with World() as world:
                start(world)
                eventually(lambda: world.redis("HGET", META, "schema") == b"2", "the schema is there")


class Later(FaultTest):
    def comes_back(self, world, spoil, restore, words):
        """spoil() and restore() change a setting that new connections check. In between no program serves, and each logs one error."""
        gateway, worker = world.gateway(), world.worker()
        eventually(lambda: worker.get("/readyz").status == 200, "the worker is ready")
        spoil()
        world.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for program in (gateway, worker):
            eventually(lambda: program.get("/readyz").status == 503, f"{program.name} is not ready")
            refused = lambda: [line for line in program.lines if "cannot connect" in line and "commands" in line]
            eventually(lambda: len(refused()) >= TRIES, f"{program.name} has tried again")
            logged, = errors(program)
            self.assertIn(words, logged)
        self.assertEqual(gateway.submit("t1", prompt=sim("t1")).status, 503)
        world.submit_many(1, prompt=sim("t0"))
        self.assertEqual(world.find("t0").state, "queued")
        restore()
        world.wait_state("t0", "done")
        eventually(lambda: gateway.get("/readyz").status == 200, "the gateway is ready again")
        self.assertEqual(gateway.submit("t1", prompt=sim("t1")).status, 202)
        world.wait_state("t1", "done")
        self.assertEqual((len(errors(gateway)), len(errors(worker))), (1, 1))

    def test_a_redis_reconfigured_to_evict(self):
        with World() as world:
            self.comes_back(world, lambda: world.redis("CONFIG", "SET", "maxmemory-policy", "volatile-lru"),
                            lambda: world.redis("CONFIG", "SET", "maxmemory-policy", "noeviction"),
                            "maxmemory-policy is volatile-lru")

    def test_data_replaced_by_another_version(self):
        with World() as world:
            self.comes_back(world, lambda: world.redis("HSET", META, "schema", "7"),
                            lambda: world.redis("HSET", META, "schema", "2"), "has schema 7")


class Rights(FaultTest):
    def serves(self, *rights):
        """Runs a task with a Redis user that has these permissions; returns the warnings of the gateway and the worker."""
        with World(tcp=True) as world:
            world.redis("ACL", "SETUSER", "app", "on", ">secret", "~arkrelay:*", "&arkrelay:*", *rights)
            url = f"redis://app:secret@127.0.0.1:{world.redis_server.port}"
            gateway, worker = world.gateway(REDIS_URL=url), world.worker(REDIS_URL=url)
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                self.assert_done_once(stream.to_end())
            return [[line for line in each.lines if "cannot verify the server's settings, continuing" in line] for each in (gateway, worker)]

    def test_a_user_without_info_gets_one_warning(self):
        for warnings in self.serves("+@all", "-info"):
            self.assertEqual(len(warnings), 1)
            self.assertIn("NOPERM", warnings[0])

    def test_a_narrow_user_with_info_gets_none(self):
        self.assertEqual(self.serves("-@all", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "-@dangerous",
                                     "+info", "+time"), [[], []])
