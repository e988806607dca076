"""Replaces every gateway and worker while tasks run: no event is lost or repeated, and no client reconnects more than once."""

import signal
import unittest
from collections import Counter

from support.processes import ProcessTest
from support.world import World, sim

TASKS = 40
STORY = ["start", "process calling", "process image", "process image", "done"]


class RollingRestart(ProcessTest):
    def test_every_process_is_replaced_under_load(self):
        with World() as world:
            gateways, workers = self.generation(world)
            streams = [gateways[n % 2].generate(f"t{n}", prompt=sim(f"t{n}", "images=2 latency=1000")) for n in range(TASKS)]
            world.ark.wait_calls(20)

            new_gateways, _ = self.generation(world)
            for program in (*workers, *gateways):
                program.signal(signal.SIGTERM)
            stories = [self.to_its_end(stream, new_gateways[n % 2], f"t{n}") for n, stream in enumerate(streams)]
            self.assertEqual([program.wait_exit() for program in (*workers, *gateways)], [0, 0, 0, 0])

            for frames, reconnects in stories:
                seen = [frame.story() for frame in frames if frame.story() != "process requeued"]
                self.assertEqual(seen, STORY)
                self.assertEqual([frame.n for frame in frames], list(range(1, len(frames) + 1)))
                self.assertLessEqual(reconnects, 1)
            self.assertTrue(any(reconnects for _, reconnects in stories))
            calls = Counter(call["prompt"].split(" ")[0] for call in world.ark.calls())
            self.assertEqual((len(calls), set(calls.values())), (TASKS, {1}))

    def generation(self, world):
        return ([world.gateway() for _ in range(2)], [world.worker(WORKER_CONCURRENCY=10) for _ in range(2)])

    def to_its_end(self, stream, next_gateway, task_id):
        """Follows a task until it ends, and reconnects to another gateway if the stream ends early. Returns the events and the number of
        reconnects."""
        with stream:
            frames = stream.to_end()
        if frames[-1].event == "done":
            return frames, 0
        with next_gateway.follow(task_id, frames[-1].id) as stream:
            return frames + stream.to_end(), 1


if __name__ == "__main__":
    unittest.main()
