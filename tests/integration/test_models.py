"""Models: the list in GET /models, requests that the gateway refuses for a model, and the parameters that ARK gets."""

import json
import pathlib
import unittest

from support.http_client import fetch
from support.processes import ProcessTest
from support.world import BASE, URLS, World, request, sim

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOUR, LITE = "doubao-seedream-4-0-250828", "doubao-seedream-5-0-260128"
PRO, FIVE_5 = "doubao-seedream-5-0-pro-260628", "doubao-seedream-5-5-261028"
ENDPOINT = "ep-20260101120000-abcde"


class ModelsTest(ProcessTest):
    def setUp(self):
        self.world = self.enterContext(World())

    def start(self, **defaults):
        """Starts a gateway and a worker with the same defaults."""
        self.gateway, self.worker = self.world.gateway(**defaults), self.world.worker(**defaults)

    def run_task(self, task_id, directives="images=1", **fields):
        """Returns the final event of the task, and its call to ARK."""
        with self.gateway.generate(task_id, **{"prompt": sim(task_id, directives), **fields}) as stream:
            final = stream.to_end()[-1]
        return final, self.world.ark.calls()[-1]


class TheList(ModelsTest):
    def test_the_list_is_the_catalogue_with_the_defaults(self):
        answer = self.world.gateway(ARK_MODEL="seedream-5.0-pro", ARK_SIZE="1K", ARK_WATERMARK="on", ARK_OUTPUT_FORMAT="png",
                                    GATEWAY_MAX_PAID_CALLS_LIMIT=7).get(f"{BASE}/models")
        body = answer.json()
        rows = json.loads((ROOT / "common/models/models.json").read_text())["models"]
        self.assertEqual([row["id"] for row in body["models"]], [row["id"] for row in rows])
        self.assertEqual(body["defaults"], {"model": "seedream-5.0-pro", "listed_as": PRO, "size": "1K", "max_images": 3, "max_paid_calls": 2,
                                            "watermark": True, "output_format": "png"})
        self.assertEqual(body["limits"]["max_paid_calls"], 7)
        prices = {row["id"]: row["price"] for row in body["models"]}
        self.assertEqual(prices[PRO], {"images": [{"pixels_max": 2610000, "amount": 0.045}, {"amount": 0.09}],
                                       "references": {"free": 1, "amount": 0.003}})
        self.assertEqual(prices[FOUR], {"images": [{"amount": 0.03}], "references": {"free": 0, "amount": 0}})
        self.assertIsNone(prices["doubao-seedream-3-0-t2i-250415"])

    def test_a_default_model_that_is_not_listed(self):
        defaults = self.world.gateway(ARK_MODEL=ENDPOINT).get(f"{BASE}/models").json()["defaults"]
        self.assertEqual((defaults["model"], "listed_as" in defaults), (ENDPOINT, False))


class Warnings(ModelsTest):
    def test_defaults_that_the_catalogue_does_not_have(self):
        for defaults, message in (({"ARK_SIZE": "2k"}, rf"ARK_SIZE is not a size of ARK_MODEL.* model=\"{FOUR}\" size=\"2k\""),
                                  ({"ARK_SIZE": "1024x1024", "ARK_MODEL": LITE}, rf"ARK_SIZE is not a size of ARK_MODEL.* model=\"{LITE}\" size=\"1024x1024\""),
                                  ({"ARK_MODEL": ENDPOINT}, rf"ARK_MODEL is not a listed model.* model=\"{ENDPOINT}\"")):
            for program in (self.world.gateway, self.world.worker):
                with self.subTest(defaults=defaults, program=program.__name__):
                    self.assertRegex("\n".join(program(**defaults).lines), f"warn .*{message}")
        self.assertFalse(any("ARK_SIZE" in line or "ARK_MODEL" in line for line in self.world.gateway().lines if " warn " in line))


class Refusals(ModelsTest):
    def refused(self, gateway, **fields):
        """The errors of a request. Both endpoints must refuse it and write nothing to Redis."""
        for path in ("generate", "generate/stream"):
            answer = fetch(gateway.address, "POST", f"{BASE}/{path}", request("t1", **fields))
            self.assertEqual(answer.status, 422, answer)
            problem = answer.json()
            self.assertEqual((problem["code"], problem["retryable"]), ("invalid_fields", False))
        self.assertEqual(self.world.look().tasks, {})
        return {error["pointer"]: error["detail"] for error in problem["errors"]}

    def test_parameters_that_the_model_does_not_support_are_refused(self):
        gateway = self.world.gateway()
        many = URLS * 6
        for fields, errors in (
                ({"model": PRO, "urls": many}, {"/urls": f"{PRO} takes at most 10 reference images, not 12"}),
                ({"model": PRO, "size": "4K"}, {"/size": f"{PRO} takes 1K, 1.5K, 2K or <width>x<height>"}),
                ({"model": "doubao-seedream-4-5-251128", "size": "1500x1500"},
                 {"/size": "doubao-seedream-4-5-251128 takes 3686400 to 16777216 pixels, not 2250000"}),
                ({"model": FIVE_5, "max_images": 3}, {"/max_images": f"{FIVE_5} makes at most 1 image per call, not 3"}),
                ({"output_format": "png"}, {"/output_format": f"{FOUR} makes jpeg only"}),
                ({"model": PRO, "web_search": True}, {"/web_search": f"{PRO} cannot search the web"}),
                ({"model": LITE, "optimize_prompt": "fast", "seed": 3},
                 {"/optimize_prompt": f"{LITE} has only the mode standard", "/seed": f"{LITE} takes no seed"}),
                ({"model": PRO, "layers": True}, {"/layers": f"{PRO} makes layers of exactly 1 reference image, not 2"})):
            with self.subTest(fields=fields):
                self.assertEqual(self.refused(gateway, **fields), errors)

    def test_errors_of_fields_and_of_the_model_come_together(self):
        errors = self.refused(self.world.gateway(), model=PRO, size="4K", watermark="yes", foo=1)
        self.assertEqual(set(errors), {"/size", "/watermark", "/foo"})

    def test_an_invalid_model_is_the_only_error(self):
        self.assertEqual(set(self.refused(self.world.gateway(), model="a b", output_format="png")), {"/model"})

    def test_the_default_model_is_checked(self):
        gateway = self.world.gateway(ARK_MODEL=PRO)
        self.assertEqual(set(self.refused(gateway, urls=URLS * 6)), {"/urls"})
        self.assertEqual(gateway.submit("t2", size="1.5K").status, 202)

    def test_a_model_that_is_not_listed_is_not_checked(self):
        gateway = self.world.gateway()
        self.assertEqual(gateway.submit("t1", model=ENDPOINT, size="2k", output_format="png", web_search=True, seed=1, max_images=9).status, 202)


class WhatReachesArk(ModelsTest):
    def test_every_parameter(self):
        self.start()
        one = URLS[:1]
        for task_id, fields, extras in (
                ("t1", {"model": LITE, "output_format": "png"}, {"output_format": "png"}),
                ("t2", {"model": LITE, "web_search": True}, {"tools": [{"type": "web_search"}]}),
                ("t3", {"optimize_prompt": "fast"}, {"optimize_prompt_options": {"mode": "fast"}}),
                ("t4", {"seed": 42}, {"seed": 42}),
                ("t5", {"model": PRO, "background": "transparent", "urls": one}, {"background": "transparent", "output_format": "png"}),
                ("t6", {"model": PRO, "layers": True, "urls": one}, {"layer_decomposition": True}),
                ("t7", {"model": LITE, "output_format": "jpeg", "web_search": False, "optimize_prompt": "standard", "background": "opaque",
                        "layers": False, "seed": -1}, {}),
                ("t8", {"model": ENDPOINT, "seed": 7}, {"seed": 7})):
            with self.subTest(fields=fields):
                final, call = self.run_task(task_id, **fields)
                self.assertEqual((final.event, call["status"], call["extras"]), ("done", 200, extras))
        self.worker.wait_for(rf"warn .*not in the catalogue.*task=public.t8 model=\"{ENDPOINT}\"")

    def test_the_gateways_plan_is_used_with_any_configuration_of_the_worker(self):
        self.gateway = self.world.gateway(ARK_MODEL=LITE, ARK_SIZE="3K", ARK_MAX_IMAGES=2, ARK_WATERMARK="on", ARK_OUTPUT_FORMAT="png", ARK_PROMPT="ours")
        self.world.worker(ARK_MODEL=PRO, ARK_SIZE="1K", ARK_MAX_IMAGES=9)
        final, call = self.run_task("t1")
        self.assertEqual(final.event, "done")
        self.assertEqual([call[name] for name in ("model", "size", "max_images", "watermark", "extras")], [LITE, "3K", 2, 1, {"output_format": "png"}])
        self.assertEqual(self.world.find("t1").fields["model"], LITE, "restrictions of the model apply to the task")
        with self.gateway.generate("t2") as stream:
            stream.to_end()
        self.assertEqual(self.world.ark.calls()[-1]["prompt"], "ours")

    def test_the_plan_is_stored_but_not_part_of_the_hash(self):
        gateway = self.world.gateway()
        self.assertEqual(gateway.submit("t1").status, 202)
        stored, plan = (text.decode() for text in self.world.redis("LRANGE", "arkrelay:{0}:events:public.t1", 0, 1))
        self.assertEqual(json.loads(stored), {"urls": URLS})
        version = gateway.get(f"{BASE}/models").json()["version"]
        self.assertEqual(plan, f'{{"catalogue":"{version}","images":3,"model":"{FOUR}","price":{{"call":90000,"currency":"USD","exact":true,'
                               '"image":30000,"images":[[0,30000]]},"size":"2K","stream":true,"watermark":false}')
        gateway.stop()
        self.assertEqual(self.world.gateway(ARK_MODEL=PRO).submit("t1").status, 200, "the same request is the same task")

    def test_a_plan_that_the_worker_cannot_read(self):
        self.start()
        for name, plan in (("t1", '{"catalogue":"V","images":1,"model":"m","style":"x","watermark":false}'), ("t2", "{")):
            with self.subTest(plan):
                answer = self.world.run_script("submit", f"public.{name}", "hash", '{"urls":["https://example.com/1.jpg"]}', 1, 60_000, 100, 60_000, 100, "", 1, 0, plan)
                self.assertEqual(answer[0], b"NEW")
                end = self.world.wait_state(name, "failed").log[-1]
                self.assertEqual((end.data["code"], end.data["charged"]), ("invalid_task", "no"))
                self.worker.wait_for(rf"error .*the plan cannot be read.*task=public.{name}")
        self.assertEqual(self.world.ark.calls(), [])

    def test_the_guidance_scale_as_it_was_sent(self):
        """3.0 takes no references, so the check of the model is left to ARK."""
        self.start()
        final, call = self.run_task("t1", model=ENDPOINT, guidance_scale=2.55)
        self.assertEqual((final.event, final.payload()["code"]), ("error", "ark_invalid_request"))
        self.assertEqual(call["extras"], {"guidance_scale": 2.55})

    def test_layers_are_images(self):
        self.start()
        final, _ = self.run_task("t1", "images=5", model=FIVE_5, layers=True, urls=URLS[:1])
        self.assertEqual([image["index"] for image in final.payload()["generated_images"]], [0, 1, 2, 3, 4])
        with self.gateway.generate("t2", model=PRO, layers=True, urls=URLS[:1]) as stream:
            self.assertEqual(len(stream.to_end()[-1].payload()["generated_images"]), 4)
        self.assertEqual(self.world.ark.calls()[-1]["prompt"], "", "layers need no prompt")

    def test_the_request_is_stored_as_it_was_sent(self):
        gateway = self.world.gateway()
        gateway.submit("t1", model=PRO, guidance_scale=7.0, **{"urls": URLS[:1], "background": "transparent"})
        self.assertEqual(self.world.look().tasks, {}, "pro takes no guidance_scale")
        gateway.submit("t1", model=ENDPOINT, guidance_scale=7.0, background="transparent", urls=URLS[:1], layers=False)
        stored = self.world.redis("LINDEX", "arkrelay:{0}:events:public.t1", 0).decode()
        self.assertEqual(stored, f'{{"background":"transparent","guidance_scale":7,"layers":false,"model":"{ENDPOINT}","urls":["{URLS[0]}"]}}')
        self.assertEqual(gateway.submit("t1", model=ENDPOINT, guidance_scale=7, background="transparent", urls=URLS[:1], layers=False).status, 200)
        self.assertEqual(gateway.submit("t1", model=ENDPOINT, guidance_scale=7, background="transparent", urls=URLS[:1]).status, 409)

    def test_the_image_limit_counts_the_images_of_the_model(self):
        gateway = self.world.gateway(GATEWAY_CLIENT_IMAGES=20)
        for task_id, fields, status in (("t1", {"model": PRO}, 202), ("t2", {"model": FOUR}, 202),
                                        ("t3", {"model": PRO, "layers": True, "urls": URLS[:1]}, 429),
                                        ("t4", {"model": FOUR, "max_images": 13}, 202), ("t5", {"model": FOUR}, 202), ("t6", {"model": PRO}, 429)):
            with self.subTest(task_id):
                self.assertEqual(gateway.submit(task_id, **fields).status, status)


if __name__ == "__main__":
    unittest.main()
