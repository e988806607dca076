"""Checks that docs/api.md and docs/api.zh-CN.md match each other and the code, and runs their commands and programs unchanged."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import unittest

from support import conformance
from support.documents import ROOT, blocks
from support.http_client import _parse
from support.processes import DEADLINE, ProcessTest
from support.proxy import Proxy
from support.redis_server import free_port
from support.world import BASE, World

PAGES = [ROOT / "docs/api.md", ROOT / "docs/api.zh-CN.md"]
OPENAI = [ROOT / "docs/openai.md", ROOT / "docs/openai.zh-CN.md"]
QUESTIONS = [ROOT / "docs/faq.md", ROOT / "docs/faq.zh-CN.md"]
PRINTED = "127.0.0.1:8000"              # the gateway's address in the documents
PROBLEM = re.compile(r'X\(\w+,\s+"(\w+)",\s+(\d+),\s+(true|false),')
ROW = re.compile(r"^\| `(\w+)` \|(?: (\d+) \|)? (yes|no|是|否) \|", re.M)
FOR_OPERATORS = {"task_not_failed"}
REASONS = {"yes": "true", "no": "false", "是": "true", "否": "false"}


class InStep(unittest.TestCase):
    def test_both_languages_have_the_same_examples_and_headings(self):
        for pair in (PAGES, OPENAI):
            english, chinese = ([(block.kind, block.text) for block in blocks(page)] for page in pair)
            self.assertEqual(english, chinese)
        for pair in (PAGES, OPENAI, QUESTIONS):
            self.assertEqual(*(re.findall(r"^#+", page.read_text(), re.M) for page in pair))

    def test_both_openai_pages_name_the_same_things(self):
        """Every field, code, header and option, in as many rows of tables."""
        english, chinese = (re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S) for page in OPENAI)
        self.assertEqual(set(re.findall(r"`([^`\n]+)`", english)), set(re.findall(r"`([^`\n]+)`", chinese)))
        self.assertEqual(len(re.findall(r"^\|", english, re.M)), len(re.findall(r"^\|", chinese, re.M)))

    def test_every_code_is_listed_with_its_status(self):
        known = {code: (int(status), retryable) for code, status, retryable in PROBLEM.findall((ROOT / "common/base/problem.h").read_text())}
        for page in PAGES:
            rows = ROW.findall(page.read_text())
            self.assertEqual({code: (int(status or 0), REASONS[word]) for code, status, word in rows}, known, page.name)
            self.assertEqual(len(rows), len(known), page.name)

    def test_the_faq_names_every_code_of_a_status(self):
        known = {code: status for code, status, _ in PROBLEM.findall((ROOT / "common/base/problem.h").read_text())}
        for page in QUESTIONS:
            sections = re.findall(r"^### [^\n]*\b(\d{3})\b[^\n]*\n(.*?)(?=^#)", page.read_text(), re.M | re.S | re.A)
            self.assertEqual([status for status, _ in sections], ["409", "422", "429", "503", "404"])
            for status, text in sections[:1] + sections[2:4]:
                named = {code for code in re.findall(r"`(\w+)`", text) if code in known}
                self.assertEqual(named, {code for code in known if known[code] == status} - FOR_OPERATORS, f"{page.name} {status}")

    def test_every_field_of_a_request_is_described(self):
        fields = set(conformance.description.document["components"]["schemas"]["GenerateStreamRequest"]["properties"])
        for page in PAGES:
            self.assertEqual(fields - set(re.findall(r"^\| `(\w+)` \|", page.read_text(), re.M)), set(), page.name)

    def test_every_event_and_stage_has_an_example_that_matches_the_schema(self):
        stories = set()
        for block in blocks(PAGES[0], ""):
            if "event: " in block.text:
                frame = _parse(block.text.strip().encode())
                conformance.check_frame(frame)
                stories.add(frame.story())
        stages = ["calling", "image", "image_failed", "retrying", "requeued", "queued"]
        self.assertEqual(stories, {"start", "done", "error", "reset", *(f"process {stage}" for stage in stages)})

    def test_response_examples_match_the_schema(self):
        names = ["GenerateStreamRequest", "Accepted", "Task", "OwnTaskPage", "Upload", "GenerateRequest", "Usage", "Models", "Problem"]
        for name, block in zip(names, blocks(PAGES[0], "json"), strict=True):
            conformance.description.compiler.compile({"$ref": f"#/components/schemas/{name}"}, closed=True)(json.loads(block.text))

    def test_the_printed_component_is_the_example_file(self):
        block, = blocks(PAGES[0], "vue")
        self.assertEqual(block.text, (ROOT / "docs/examples/GenerateImages.vue").read_text())


class Run(ProcessTest):
    def setUp(self):
        self.world = World()
        self.addCleanup(lambda: self.world.__exit__(None, None, None))
        self.gateway = self.world.gateway()
        self.world.worker()

    def run_example(self, argv, text, address=None):
        done = subprocess.run([*argv, text.replace(PRINTED, address or self.gateway.address)], capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), text)
        return done.stdout

    def test_the_python_example(self):
        block, = blocks(PAGES[0], "python")
        said = self.run_example([sys.executable, "-c"], block.text).splitlines()
        self.assertEqual([line.split(" http")[0].strip() for line in said],
                         ["start", "process calling", *["process image"] * 3, "done", "pictures: 3 charged: yes"])

    def test_the_python_example_resumes_after_a_cut(self):
        block, = blocks(PAGES[0], "python")
        host, _, port = self.gateway.address.rpartition(":")
        proxy = Proxy((host, int(port)))
        self.addCleanup(proxy.close)
        proxy.cut_after(1500)           # after the head and one or two events
        said = self.run_example([sys.executable, "-c"], block.text, proxy.address).splitlines()
        self.assertEqual([line.split(" http")[0].strip() for line in said],
                         ["start", "process calling", *["process image"] * 3, "done", "pictures: 3 charged: yes"])
        self.assertEqual(len(self.world.ark.calls()), 1)

    def test_the_python_example_gives_up_after_repeated_failures(self):
        """Connection refused, every connection cut at once, or an error response each time."""
        block, = blocks(PAGES[0], "python")
        text = block.text.replace("time.sleep(2)", "print('again')")
        with socket.create_server(("127.0.0.1", 0)) as cuts, socket.create_server(("127.0.0.1", 0)) as fails:
            answers = {cuts: b"", fails: b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"}
            for server, answer in answers.items():
                threading.Thread(target=self.answer_all, args=(server, answer), daemon=True).start()
            ports = [free_port(), *(server.getsockname()[1] for server in answers)]
            for port in ports:
                with self.subTest(port=ports.index(port)):
                    done = subprocess.run([sys.executable, "-c", text.replace(PRINTED, f"127.0.0.1:{port}")], capture_output=True,
                                          text=True, timeout=DEADLINE, check=False)
                    self.assertEqual((done.returncode, done.stdout), (1, 9 * "again\n"))
                    self.assertRegex(done.stderr.splitlines()[-1], "refused|reset|HTTP Error 500|without response")

    @staticmethod
    def answer_all(server, answer):
        with contextlib.suppress(OSError):
            while True:
                with server.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(answer)

    def test_the_curl_examples(self):
        stream, again, others = (block.text for block in blocks(PAGES[0], "sh"))
        self.assertIn("event: done", self.run_example(["sh", "-ec"], stream.replace("curl -N", "curl -sS -N")))
        whole = self.run_example(["sh", "-ec"], again.replace("curl -N", "curl -sS -N"))
        self.assertEqual(whole.count("event: done"), 2)
        self.assertEqual(whole.count("event: reset"), 1)        # its Last-Event-ID belongs to an earlier epoch
        said = self.run_example(["sh", "-ec"], others)
        self.assertIn('"status":"', said)
        self.assertIn('"counters"', said)
        self.assertEqual(self.gateway.get(f"{BASE}/tasks/order-17").status, 404)


if __name__ == "__main__":
    unittest.main()
