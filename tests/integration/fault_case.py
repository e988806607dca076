"""What the tests of single faults share."""

from support.processes import ProcessTest

STORY = ["start", "process calling", *["process image"] * 3, "done"]        # of a task that nothing disturbs
SLOW = "first_latency=60000"            # for sim(): a call that does not end by itself
PATIENT = {"REDIS_TIMEOUT": "30s"}      # of a program whose request a proxy holds


def stories(frames):
    return [frame.story() for frame in frames]


class FaultTest(ProcessTest):
    def assert_calls(self, world, task_id, count):
        self.assertEqual(len(world.ark.calls_of(task_id)), count, world.ark.calls_of(task_id))

    def assert_done_once(self, frames):
        """The whole story, told once, with one paid call."""
        self.assertEqual(stories(frames), STORY)
        self.assertEqual([frame.n for frame in frames], list(range(1, len(STORY) + 1)))
        self.assertEqual(frames[-1].payload()["paid_calls"], 1)
