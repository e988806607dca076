"""Runs hostile_storm, many clients with random requests, against a real gateway and a real Redis.

    cd tests/integration                    # the long form, about ten minutes
    STORM_REQUESTS=1000000 STORM_SEED=7 ARKRELAY_BIN=$PWD/../../build/asan/bin PYTHONPATH=.. python3 -m unittest -v test_hostile_storm

The gateway must not exit, must answer only HTTP and never 500, must close every connection, free its memory and serve the next request.
Under ASan and UBSan a finding ends the gateway, and a leak changes its exit status.
"""

import json
import os
import pathlib
import resource
import subprocess
import tempfile
import unittest

from gateway_case import FORGETFUL_ASAN, GatewayTest, Job
from support.certificates import Pair
from support.http_client import fetch
from support.processes import binary, eventually

RAW = pathlib.Path(__file__).resolve().parent.parent / "data" / "http"
REQUESTS = int(os.environ.get("STORM_REQUESTS", "20000"))
SEED = int(os.environ.get("STORM_SEED", "1"))
MIB = 1 << 20


class Storm(GatewayTest):
    def run_storm(self, gateway, requests, seed, *more):
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        done = subprocess.run([binary("hostile_storm"), gateway.address, RAW, str(requests), str(seed), *more],
                              stdout=subprocess.PIPE, check=False, timeout=3600)
        self.assertEqual(done.returncode, 0, f"seed {seed}: {done.stdout.decode()}")
        tally = json.loads(done.stdout)
        eventually(lambda: gateway.open_files() <= self.files, "every connection is closed")
        return tally

    def check_storm(self, requests, *more, **options):
        """Runs a storm and checks the gateway. A smaller storm runs first, so that permanent allocations are not counted."""
        gateway = self.world.gateway(wait_ready=False, LOG_LEVEL="info", GATEWAY_QUEUE_LIMIT=200, GATEWAY_RETENTION="1s",
                                     ASAN_OPTIONS=FORGETFUL_ASAN, **options)
        self.wait_connected(gateway, 1)
        self.files = gateway.open_files() + 1       # the connection that asks
        self.run_storm(gateway, requests // 4, SEED + 1, *more)
        memory = gateway.memory()
        tally = self.run_storm(gateway, requests, SEED, *more)
        print(f"seed={SEED} memory={memory} then={gateway.memory()} {json.dumps(tally)}", flush=True)

        self.assertGreaterEqual(tally["requests"], requests)
        self.assertGreater(tally["answers"], requests / 20)
        self.assertNotIn("500", tally["statuses"])
        self.assertLess(gateway.memory(), memory * 1.25 + 8 * MIB)
        self.assertFalse([line for line in gateway.lines if "Sanitizer" in line or "runtime error" in line])
        return gateway, tally

    def test_the_gateway_survives_and_serves(self):
        gateway, tally = self.check_storm(REQUESTS)
        self.assertLessEqual({"200", "400", "404", "422", "501"}, set(tally["statuses"]), "the storm did not reach these answers")
        self.redis("FLUSHALL")
        with gateway.generate("after") as stream:       # a complete task
            stream.until("start")
            job = Job(self.run_script, "after")
            job.begin()
            job.finish()
            self.assertEqual(stream.to_end()[-1].event, "done")
        self.assertEqual(gateway.task("after").status, 200)

    def test_with_tls(self):
        """Some clients do not speak TLS, and some break the session."""
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(folder)
            gateway, tally = self.check_storm(REQUESTS // 4, "tls", **pair.options())
            self.assertLessEqual({"200", "400", "404"}, set(tally["statuses"]), "the storm did not reach these answers")
            self.assertEqual(fetch(gateway.address, "GET", "/livez", tls=pair.trust()).status, 200)


if __name__ == "__main__":
    unittest.main()
