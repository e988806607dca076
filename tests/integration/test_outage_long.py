"""An outage of 40 s with 60 waiting tasks. test_outages.py has the short versions of these tests."""

import time
import unittest

from support.outage import Outage
from support.processes import ProcessTest, eventually

SECONDS, TASKS = 40, 60


class ForFortySeconds(ProcessTest):
    def hold(self, outage):
        until = time.monotonic() + SECONDS
        eventually(lambda: time.monotonic() > until, "the outage is over", SECONDS + 5)
        self.assertLessEqual(outage.probes(), 3 + SECONDS / 8, "1, 2, 4, 8, 10 s between probes")
        self.assertEqual(int(outage.world.redis("ZCARD", "arkrelay:{0}:dead")), 0)

    def test_connections_refused(self):
        with Outage(self, 3) as outage:
            address = outage.ark.address
            outage.ark.stop()
            outage.submit(TASKS)
            self.hold(outage)
            outage.end(lambda: setattr(outage.world, "ark", outage.world.start_ark(ARK_SIM_LISTEN=address)))
            tasks = outage.assert_all_done()
            self.assertEqual({(task.number("attempt"), task.number("paid_calls")) for task in tasks}, {(1, 1)})

    def test_html_502(self):
        with Outage(self, 3) as outage:
            outage.submit(TASKS)
            outage.begin(lambda: outage.ark.outage(status=502, body="html"))
            self.hold(outage)
            outage.end(outage.ark.end_outage)
            outage.assert_all_done()


if __name__ == "__main__":
    unittest.main()
