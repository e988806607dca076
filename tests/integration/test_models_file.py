"""MODELS_FILE: extends and replaces the built-in catalogue, in gateway and worker, at the start and on SIGHUP."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from support.processes import ProcessTest, binary, eventually
from support.world import BASE, World, sim

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOUR = "doubao-seedream-4-0-250828"
ALONE = {"name": "seedream-4-0", "like": "seedream-4-0", "id": FOUR, "group": False}     # one image per call
BROKEN = {"models": [{"name": "a", "sizes": ["2K"]}, {"name": "b", "sizes": ["2K"], "references": "many"}]}
WHY = "models[1] (b): references: must be an integer from 0 to 14"


class ModelsFile(ProcessTest):
    def setUp(self):
        self.file = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "models.json")
        self.world = self.enterContext(World())

    def write(self, content):
        """Replaces the file in one step, as an editor does."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(content if isinstance(content, str) else json.dumps(content))
        fresh.rename(self.file)

    def reload(self, service, content, pattern):
        self.write(content)
        service.signal(signal.SIGHUP)
        service.wait_for(pattern)

    def images_asked(self, gateway, task_id):
        with gateway.generate(task_id, prompt=sim(task_id, "images=1")) as stream:
            self.assertEqual(stream.to_end()[-1].event, "done")
        return self.world.ark.calls_of(task_id)[0]["images"]

    def start_badly(self, program, **options):
        environment = {**os.environ, "MODELS_FILE": str(self.file), "REDIS_URL": self.world.redis_server.url, "ARK_API_KEY": "k", **options}
        done = subprocess.run([binary(program)], env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        return done.stderr.splitlines()[-1]

    def test_an_invalid_file_keeps_both_programs_from_starting(self):
        self.write(BROKEN)
        for program in ("arkrelay-gateway", "arkrelay-worker"):
            self.assertEqual(self.start_badly(program), f"{program}: MODELS_FILE {self.file}: {WHY}")

    def test_an_unreadable_file_keeps_both_programs_from_starting(self):
        fifo = self.file.with_name("fifo")
        os.mkfifo(fifo)
        for path, why in ((self.file, "No such file"), (self.file.parent, "not a regular file"), (fifo, "not a regular file")):
            for program in ("arkrelay-gateway", "arkrelay-worker"):
                with self.subTest(path=path, program=program):
                    self.assertIn(why, self.start_badly(program, MODELS_FILE=str(path)))

    def test_a_file_above_its_maximum(self):
        self.write(" " * (1 << 20) + json.dumps({"models": []}))
        self.assertIn("is larger than 1048576 bytes", self.start_badly("arkrelay-worker"))

    def test_the_worker_uses_it_for_a_task_without_a_plan(self):
        """From the start, and after a reload."""
        self.write({"models": [ALONE]})
        worker = self.world.worker(MODELS_FILE=str(self.file))
        self.assertEqual(self.images_asked_without_a_plan("t1"), 1)
        self.reload(worker, {"models": []}, r"info .*models file loaded")
        self.assertEqual(self.images_asked_without_a_plan("t2"), 3)

    def images_asked_without_a_plan(self, name):
        self.world.submit_many(1, name)
        self.world.wait_state(f"{name}0", "done")
        return self.world.ark.calls()[-1]["max_images"] or 1

    def test_the_documented_example_is_accepted(self):
        page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
        self.write(re.search(r"```json\n(\{\n  \"models\".*?)```", page, re.S).group(1))
        self.world.worker(MODELS_FILE=str(self.file)).stop()

    def test_the_gateway_uses_it_from_the_start_and_after_a_reload(self):
        self.write({"models": [ALONE]})
        gateway = self.world.gateway(MODELS_FILE=str(self.file), GATEWAY_THREADS=2)
        versions = [gateway.get(f"{BASE}/models").json()["version"]]
        self.assertEqual(gateway.submit("t1", max_images=2).status, 422)
        self.reload(gateway, {"models": []}, r"info .*models file loaded")
        eventually(lambda: gateway.submit("t2", max_images=2).status == 202, "the threads have the new catalogue")
        versions.append(gateway.get(f"{BASE}/models").json()["version"])
        self.assertEqual(len(set(versions)), 2)
        self.assertIn(f"version={versions[1]}", "\n".join(gateway.lines))

    def test_an_invalid_file_keeps_the_old_catalogue(self):
        self.write({"models": [ALONE]})
        gateway = self.world.gateway(MODELS_FILE=str(self.file), GATEWAY_THREADS=2)
        worker = self.world.worker(MODELS_FILE=str(self.file))
        for service in (gateway, worker):
            self.reload(service, BROKEN, r"error .*models file reload failed, keeping the old catalogue.*references: must be an integer")
        self.assertEqual(self.images_asked(gateway, "t1"), 1)

    def test_without_a_file_a_reload_does_nothing(self):
        worker = self.world.worker()
        worker.signal(signal.SIGHUP)
        worker.wait_for("reloading")
        self.assertEqual(worker.get("/livez").status, 200)

    def test_the_warning_about_an_unlisted_default_model_is_not_repeated(self):
        self.write({"models": []})
        endpoint = "ep-20260101120000-abcde"
        worker = self.world.worker(MODELS_FILE=str(self.file), ARK_MODEL=endpoint)
        def warnings():
            return sum("ARK_MODEL is not a listed model" in line for line in worker.lines)
        self.assertEqual(warnings(), 1)
        self.reload(worker, {"models": [{"name": endpoint, "like": "seedream-4-0"}]}, "models file loaded")
        worker.stop()
        self.assertEqual(warnings(), 1)


if __name__ == "__main__":
    unittest.main()
