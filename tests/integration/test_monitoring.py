"""Runs deploy/monitoring with a real Prometheus: the configuration, the alerts, and every query of the dashboard."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import urllib.parse

from support.exposition import promtool
from support.http_client import fetch
from support.processes import ProcessTest, Program, eventually
from support.redis_server import free_port
from support.world import World, sim

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/monitoring"
DASHBOARD = FOLDER / "grafana/dashboards/arkrelay.json"
KEY = "operators-key-" + 16 * "1"
WINDOW = "20s"          # for $__rate_interval


def configuration(folder, gateway="127.0.0.1:1", worker="127.0.0.1:2"):
    """The real configuration with the test's addresses, paths and short intervals."""
    text = (FOLDER / "prometheus.yml").read_text()
    (folder / "admin-key").write_text(KEY)
    for pattern, instead in ((r"dns_sd_configs: \[\{ names: \[gateways\].*\}\]", f"static_configs: [{{ targets: ['{gateway}'] }}]"),
                             (r"dns_sd_configs: \[\{ names: \[workers\].*\}\]", f"static_configs: [{{ targets: ['{worker}'] }}]"),
                             (r"/arkrelay/rules\.yml", str(FOLDER / "rules.yml")), (r"/tmp/admin-key", str(folder / "admin-key")),
                             (r"scrape_interval: 5s", "scrape_interval: 500ms"), (r"evaluation_interval: 15s", "evaluation_interval: 500ms")):
        text, count = re.subn(pattern, instead, text)
        assert count == 1, pattern
    path = folder / "prometheus.yml"
    path.write_text(text)
    return path


class Prometheus:
    def __init__(self, folder, **targets):
        self.path = configuration(folder, **targets)
        self.address = f"127.0.0.1:{free_port()}"
        self.program = Program("prometheus", ["prometheus", f"--config.file={self.path}", f"--storage.tsdb.path={folder}/data",
                                              f"--web.listen-address={self.address}"], cwd=folder)
        self.program.wait_for("Server is ready to receive web requests")

    def get(self, path, **query):
        answer = fetch(self.address, "GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}").json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]


def dashboard_queries():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


class Files(ProcessTest):
    def test_the_configuration_and_the_rules_are_valid(self):
        promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")
        promtool("check", "rules", FOLDER / "rules.yml")
        with tempfile.TemporaryDirectory() as folder:
            promtool("check", "config", configuration(pathlib.Path(folder)))

    def test_compose_has_the_configured_targets(self):
        compose, text = (FOLDER.parents[1] / "docker-compose.yml").read_text(), (FOLDER / "prometheus.yml").read_text()
        found = dict(re.findall(r"names: \[(\w+)\], type: A, port: (\d+)", text))
        self.assertEqual(set(found), set(re.findall(r"aliases: \[(\w+)\]", compose)))
        self.assertIn(f"GATEWAY_LISTEN: 0.0.0.0:{found['gateways']}\n", compose)
        self.assertIn(f"WORKER_LISTEN: 0.0.0.0:{found['workers']} ", compose)
        self.assertIn('"./deploy/monitoring:/arkrelay:ro"', compose)

    def test_every_alert_has_a_test(self):
        promtool("test", "rules", FOLDER / "rules_test.yml")
        alerts = set(re.findall(r"alert: (\w+)", (FOLDER / "rules.yml").read_text()))
        tests = (FOLDER / "rules_test.yml").read_text()
        self.assertEqual(alerts, set(re.findall(r"alertname: (\w+)", tests)))
        firing = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts", tests))
        self.assertEqual(alerts, firing, "each is seen to fire")

    def test_the_dashboard_is_well_formed(self):
        dashboard = json.loads(DASHBOARD.read_text())
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        datasource = (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text()
        for panel in dashboard["panels"]:
            self.assertIn(f"uid: {panel['datasource']['uid']}", datasource)
            box = panel["gridPos"]
            self.assertLessEqual(box["x"] + box["w"], 24)

    def test_start_writes_the_admin_key(self):
        """Runs start.sh as the container does, with the container's two paths replaced."""
        with tempfile.TemporaryDirectory() as folder:
            script = (FOLDER / "start.sh").read_text().replace("/tmp/admin-key", f"{folder}/key").replace("exec prometheus", "echo")
            for key in ("", KEY):
                said = subprocess.run(["sh", "-c", script, "start.sh", "--x"], env={**os.environ, "GATEWAY_ADMIN_KEY": key}, check=True,
                                      capture_output=True, text=True).stdout
                self.assertEqual(pathlib.Path(folder, "key").read_text(), key)
                self.assertTrue(said.endswith(" --x\n"), said)


class Queries(ProcessTest):
    def test_all_queries_and_rules_with_real_programs(self):
        with World() as world, tempfile.TemporaryDirectory() as folder:
            gateway, worker = world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_SPEND_DAY="1", GATEWAY_SPEND_MONTH="100"), world.worker()
            prometheus = Prometheus(pathlib.Path(folder), gateway=gateway.address, worker=worker.address)
            eventually(lambda: len(prometheus.query("up == 1")) == 2, "both are scraped")
            self.work(world, gateway)
            eventually(lambda: prometheus.query("max(arkrelay_queue_depth{state='dead'}) == 1") and
                       prometheus.query(f"increase(arkrelay_images_total[{WINDOW}]) > 0") and
                       prometheus.query("arkrelay_governor_limit"), "what was done is scraped, and the time before it")
            self.check_queries(prometheus)
            self.check_rules(prometheus)
            self.assertEqual(prometheus.query("sum(arkrelay_images_total)")[0]["value"][1], "2")
            self.assertEqual(prometheus.program.stop(), 0)

    def work(self, world, gateway):
        with gateway.generate("t1", prompt=sim("t1", "images=2")) as stream:
            stream.to_end()
        with gateway.generate("t2", prompt=sim("t2", "status=400")) as stream:
            stream.to_end()
        eventually(lambda: not world.redis("EXISTS", "arkrelay:{account}:holders"), "the worker has reported all that it did")
        world.redis("HSET", "arkrelay:{account}:governor", "limit", "8", "default_model", "m", "m rate", "300")    # as learned from refusals

    def check_queries(self, prometheus):
        for title, expression in dashboard_queries():
            with self.subTest(title, expression=expression):
                found = prometheus.query(expression.replace("$__rate_interval", WINDOW))
                self.assertTrue(found, "nothing was found")
                self.assertNotIn("NaN", [each["value"][1] for each in found])

    def check_rules(self, prometheus):
        def evaluated():
            rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
            return rules if all(rule["health"] != "unknown" for rule in rules) else None
        rules = eventually(evaluated, "the rules were evaluated")
        self.assertEqual(len(rules), len(re.findall("alert: ", (FOLDER / "rules.yml").read_text())))
        for rule in rules:
            with self.subTest(rule["name"]):
                self.assertEqual((rule["health"], rule["state"]), ("ok", "inactive"))
                prometheus.query(rule["query"])


if __name__ == "__main__":
    unittest.main()
