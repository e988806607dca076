"""The documents say what the programs do."""

import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Documents(unittest.TestCase):
    def test_configuration_is_made_from_the_option_tables(self):
        made = subprocess.run([ROOT / "scripts/write_configuration.sh", os.environ["ARKRELAY_BIN"]], check=True,
                              capture_output=True, text=True).stdout
        self.assertEqual((ROOT / "docs/configuration.md").read_text(), made,
                         "run scripts/write_configuration.sh BIN > docs/configuration.md")

    def test_every_script_is_in_the_protocol(self):
        protocol = (ROOT / "common/PROTOCOL.md").read_text()
        for path in (ROOT / "common/redis/scripts").glob("*.lua"):
            if path.stem != "prelude":
                self.assertIn(f"| {path.stem.upper()} |", protocol)

    def test_the_two_readmes_have_the_same_sections_and_commands(self):
        english, chinese = (ROOT / "README.md").read_text(), (ROOT / "README.zh-CN.md").read_text()
        shape = re.compile(r"^(#+) |^(```\w*)$", re.M)
        self.assertEqual(shape.findall(english), shape.findall(chinese))

    def test_no_name_stands_twice_in_a_list_of_docker_compose(self):
        for service in re.split(r"^  (?=\S)", (ROOT / "docker-compose.yml").read_text(), flags=re.M):
            names = re.findall(r"^      ([A-Z_]+):", service, re.M)
            self.assertEqual(sorted(set(names)), sorted(names), service.partition(":")[0])

    def test_links_inside_the_repository_lead_somewhere(self):
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "common/PROTOCOL.md"]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")


if __name__ == "__main__":
    unittest.main()
