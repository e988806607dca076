"""What a task may cost, counted and never timed: the budgets that a change has to keep."""

import unittest

from support.command_log import CommandLog
from support.processes import ProcessTest
from support.world import World, sim

PERIODIC = {"reap", "audit", "renew", "presence", "ready", "ping", "info", "load", "echo"}    # by the clock, not by the task


class RedisCommands(ProcessTest):
    """Every command that the programs send for one-image tasks which nothing disturbs."""

    def setUp(self):
        self.world = self.enterContext(World())
        self.gateway = self.world.gateway(GATEWAY_TAIL_CHECK="1m")
        self.world.worker(WORKER_LEASE="30s")
        self.world.run_script.load()
        self.run_tasks(1, "warm")
        self.log = self.enterContext(CommandLog(self.world.redis.address, self.world.run_script))

    def run_tasks(self, count, prefix):
        """All at once, to their ends."""
        names = [f"{prefix}{n}" for n in range(count)]
        streams = [self.gateway.generate(name, max_images=1, prompt=sim(name, "images=1")) for name in names]
        for stream in streams:
            with stream:
                self.assertEqual(stream.to_end()[-1].event, "done")

    def cost(self, tasks):
        counts = {name: count / tasks for name, count in sorted(self.log.counts().items()) if name not in PERIODIC}
        print(f"{tasks} tasks, commands per task: {sum(counts.values()):.2f}", counts)
        return counts

    def test_one_task_after_the_other(self):
        for n in range(20):
            self.run_tasks(1, f"alone{n}.")
        counts = self.cost(20)
        self.assertEqual({name: counts.get(name) for name in ("subscribe", "submit", "begin", "finish", "emit")},
                         {"subscribe": 1, "submit": 1, "begin": 1, "finish": 1, "emit": None})
        self.assertLessEqual(sum(counts.values()), 8)

    def test_many_tasks_at_once(self):
        """What is asked for all tasks together costs each next to nothing."""
        self.run_tasks(200, "many")
        self.assertLessEqual(sum(self.cost(200).values()), 7.5)


if __name__ == "__main__":
    unittest.main()
