"""A strict parser of Prometheus' text format.

    families = parse(gateway.get("/metrics").body)
    families["arkrelay_queue_depth"].type                       # "gauge"
    families["arkrelay_queue_depth"].value(state="queued")
"""

import dataclasses
import re
import subprocess

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


@dataclasses.dataclass
class Family:
    name: str
    type: str
    help: str
    samples: dict = dataclasses.field(default_factory=dict)     # (name, labels as sorted pairs) -> value

    def value(self, suffix="", **labels):
        return self.samples[self.name + suffix, tuple(sorted(labels.items()))]

    def label_names(self):
        """Label names in written order, without a histogram's `le`."""
        names = []
        for _, labels in self.samples:
            names += [name for name, _ in labels if name not in names and name != "le"]
        return names

    def values_of(self, label):
        return {dict(labels)[label] for _, labels in self.samples}


def parse(body):
    families, family = {}, None
    for line in body.decode().removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            name, _, text = line[7:].partition(" ")
            assert name not in families, f"{name} comes twice"
            family = families[name] = Family(name, "", text)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert family and family.name == name and not family.samples, line
            family.type = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            pairs = LABEL.findall(labels or "")
            assert LABEL.sub("", labels or "") == "", f"bad labels: {line}"
            assert name.startswith(family.name), f"{name} among {family.name}"
            key = (name, tuple(sorted(pairs)))
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = float(value)
    return families


def promtool(*args, text=None):
    """Runs promtool and checks that it reports nothing."""
    done = subprocess.run(["promtool", *map(str, args)], input=text, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, f"promtool {' '.join(map(str, args))}: {said}"
    return said
