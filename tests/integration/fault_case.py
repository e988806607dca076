"""Base class and constants of the fault tests."""

from support.processes import ProcessTest

STORY = ["start", "process calling", *["process image"] * 3, "done"]        # of an undisturbed task
SLOW = "first_latency=60000"            # for sim(): a call that does not end during the test
PATIENT = {"REDIS_TIMEOUT": "30s"}      # for a program whose request is held by a proxy


def stories(frames):
    return [frame.story() for frame in frames]


class FaultTest(ProcessTest):
    def assert_calls(self, world, task_id, count):
        self.assertEqual(len(world.ark.calls_of(task_id)), count, world.ark.calls_of(task_id))

    def assert_done_once(self, frames):
        """The complete events, each once, with one paid call."""
        self.assertEqual(stories(frames), STORY)
        self.assertEqual([frame.n for frame in frames], list(range(1, len(STORY) + 1)))
        self.assertEqual(frames[-1].payload()["paid_calls"], 1)
