"""Many strangers at once, made by chance from a seed: hostile_storm against a real gateway and a real Redis.

    cd tests/integration                    # the long form, for some ten minutes
    STORM_REQUESTS=1000000 STORM_SEED=7 ARKRELAY_BIN=$PWD/../../build/asan/bin PYTHONPATH=.. python3 -m unittest -v test_hostile_storm

Whatever comes, the gateway stays, says nothing that is not HTTP, answers no request with 500, forgets every connection, gives its
memory back, and serves the next one who asks. Under ASan and UBSan a finding ends the gateway, and a leak its exit status.
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
    def blow(self, gateway, requests, seed, *more):
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        done = subprocess.run([binary("hostile_storm"), gateway.address, RAW, str(requests), str(seed), *more],
                              stdout=subprocess.PIPE, check=False, timeout=3600)
        self.assertEqual(done.returncode, 0, f"seed {seed}: {done.stdout.decode()}")
        tally = json.loads(done.stdout)
        eventually(lambda: gateway.open_files() <= self.files, "every connection is forgotten")
        return tally

    def weather(self, requests, *more, **options):
        """A storm, and what it left of the gateway. The same again, but smaller, goes before: what is kept for good is kept then."""
        gateway = self.world.gateway(wait_ready=False, LOG_LEVEL="info", GATEWAY_QUEUE_LIMIT=200, GATEWAY_RETENTION="1s",
                                     ASAN_OPTIONS=FORGETFUL_ASAN, **options)
        self.wait_connected(gateway, 1)
        self.files = gateway.open_files() + 1       # the one that is being asked
        self.blow(gateway, requests // 4, SEED + 1, *more)
        memory = gateway.memory()
        tally = self.blow(gateway, requests, SEED, *more)
        print(f"seed={SEED} memory={memory} then={gateway.memory()} {json.dumps(tally)}", flush=True)

        self.assertGreaterEqual(tally["requests"], requests)
        self.assertGreater(tally["answers"], requests / 20)
        self.assertNotIn("500", tally["statuses"])
        self.assertLess(gateway.memory(), memory * 1.25 + 8 * MIB)
        self.assertFalse([line for line in gateway.lines if "Sanitizer" in line or "runtime error" in line])
        return gateway, tally

    def test_it_stays_and_serves(self):
        gateway, tally = self.weather(REQUESTS)
        self.assertLessEqual({"200", "400", "404", "422", "501"}, set(tally["statuses"]), "too little was reached")
        self.redis("FLUSHALL")
        with gateway.generate("after") as stream:       # a task from its POST to its end, as if nothing had been
            stream.until("start")
            job = Job(self.run_script, "after")
            job.begin()
            job.finish()
            self.assertEqual(stream.to_end()[-1].event, "done")
        self.assertEqual(gateway.task("after").status, 200)

    def test_with_tls(self):
        """Some strangers know nothing of TLS, and some break it."""
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(folder)
            gateway, tally = self.weather(REQUESTS // 4, "tls", **pair.options())
            self.assertLessEqual({"200", "400", "404"}, set(tally["statuses"]), "too little was reached")
            self.assertEqual(fetch(gateway.address, "GET", "/livez", tls=pair.trust()).status, 200)


if __name__ == "__main__":
    unittest.main()
