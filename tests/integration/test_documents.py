"""Checks that the documents match the programs."""

import os
import re
import subprocess
import unittest

from support.documents import ROOT, blocks, pages

# Which test runs the commands of a page: (page, part of the block, test).
RUN = [
    ("README.md", "./scripts/run.sh", "tests/integration/test_run_script.py"),
    ("README.md", "docker compose up\n", "tests/compose/run.sh"),
    ("README.md", "/generate/stream", "tests/integration/test_readme.py"),
    ("README.md", "Last-Event-ID", "tests/integration/test_readme.py"),
    ("README.md", "./scripts/setup_env.sh", "tests/integration/test_run_script.py"),
    ("README.md", "--new-key", "tests/integration/test_run_script.py"),
    ("README.md", "./scripts/test.sh", ".ci/run"),
    ("README.md", "OPENAI_BASE_URL", "tests/integration/test_openai_clients.py"),
    ("docs/api.md", "", "tests/integration/test_api_documents.py"),
    ("docs/openai.md", "curl ", "tests/integration/test_openai_clients.py"),
    ("docs/operations.md", "", "tests/integration/test_operations.py"),
    ("docs/arkctl.md", "arkctl completion", "tests/integration/test_arkctl.py"),
    ("docs/keys.md", "arkrelay-gateway --", "tests/integration/test_readme.py"),
]

OPTION = re.compile(r"\b(?:GATEWAY|WORKER|ARK|REDIS|MAX|RETRY|PAID|PRESENCE|LOG|CORE)_[A-Z_]+\b")
NOT_OPTIONS = {"GATEWAY_KEY", "GATEWAY_PASSWORD", "WORKER_PASSWORD"}       # environment of a script; placeholders in users.acl
METRIC = re.compile(r"\barkrelay_[a-z_]+[a-z]\b(?!_|<)")


def anchors(path):
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Documents(unittest.TestCase):
    def test_configuration_is_generated_from_the_option_tables(self):
        made = subprocess.run([ROOT / "scripts/write_configuration.sh", os.environ["ARKRELAY_BIN"]], check=True,
                              capture_output=True, text=True).stdout
        self.assertEqual((ROOT / "docs/configuration.md").read_text(), made,
                         "run scripts/write_configuration.sh BIN > docs/configuration.md")

    def test_every_script_is_described_in_the_protocol(self):
        protocol = (ROOT / "common/task/PROTOCOL.md").read_text()
        for path in (ROOT / "common/task/scripts").glob("*.lua"):
            self.assertIn(f"| {path.stem.upper()} |", protocol)

    def test_the_two_readmes_have_the_same_sections_and_commands(self):
        english, chinese = (ROOT / "README.md").read_text(), (ROOT / "README.zh-CN.md").read_text()
        shape = re.compile(r"^(#+) |^(```\w*)$", re.M)
        self.assertEqual(shape.findall(english), shape.findall(chinese))

    def test_no_duplicate_names_in_docker_compose(self):
        for service in re.split(r"^  (?=\S)", (ROOT / "docker-compose.yml").read_text(), flags=re.M):
            names = re.findall(r"^      ([A-Z_]+):", service, re.M)
            self.assertEqual(sorted(set(names)), sorted(names), service.partition(":")[0])

    def test_links_within_the_repository_are_valid(self):
        for page in pages():
            for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
                path = page.parent / target if target else page
                self.assertTrue(path.exists(), f"{page.name}: {target}")
                if anchor:
                    self.assertIn(anchor, anchors(path), f"{page.name}: {target}#{anchor}")

    def test_every_option_that_a_page_names_exists(self):
        known = set(OPTION.findall((ROOT / "docs/configuration.md").read_text() + (ROOT / "docker-compose.yml").read_text()))
        for page in pages():
            named = {name.removesuffix("_FILE") for name in OPTION.findall(page.read_text())}
            self.assertEqual(named - known - NOT_OPTIONS - {name.removesuffix("_FILE") for name in known}, set(), page.name)

    def test_every_metric_that_a_page_names_exists(self):
        known = set(METRIC.findall((ROOT / "docs/metrics.md").read_text()))
        for page in pages():
            self.assertEqual(set(METRIC.findall(page.read_text())) - known, set(), page.name)

    def test_every_shell_command_is_run_by_a_test_or_marked_as_an_illustration(self):
        for page in pages():
            for block in blocks(page, "sh"):
                name = str(page.relative_to(ROOT)).replace(".zh-CN", "")
                runs = next((test for where, text, test in RUN if where == name and text in block.text), None)
                self.assertNotEqual(bool(runs), block.is_illustration,
                                    f"{page.name}:{block.line}: list it in RUN, or put <!-- illustration --> above it\n{block.text}")
                self.assertTrue(not runs or (ROOT / runs).exists(), runs)


if __name__ == "__main__":
    unittest.main()
