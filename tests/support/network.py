"""A private network that can drop packets.

    network = Network()                     # raises Unavailable if this process may not create one
    with World(under=network.inside, options=network.redis_options) as world:
        gateway = world.gateway(REDIS_URL=network.redis_url)
        network.drop()                      # every packet, both ways, silently
        network.heal()
        network.drop(0.1)                   # one in ten
    network.close()
"""

import os
import subprocess

PORT = 6379


class Unavailable(Exception):
    """This machine does not allow such a network; the message says why."""


class Network:
    def __init__(self):
        number = os.getpid() % 16384
        self._name, self._here, self._there = f"ark{number}", f"ark{number}a", f"ark{number}b"
        first, second = 192 + number // 256, number % 256       # 10.192.0.0/10, four addresses apart from the next process'
        self.address = f"10.{first}.{second}.2"
        self.inside = ("ip", "netns", "exec", self._name)
        self._rules = []
        try:
            _run("ip", "netns", "add", self._name)
            _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._name)
            _run("ip", "address", "add", f"10.{first}.{second}.1/30", "dev", self._here)
            _run("ip", "link", "set", self._here, "up")
            _run(*self.inside, "ip", "address", "add", f"{self.address}/30", "dev", self._there)
            _run(*self.inside, "ip", "link", "set", self._there, "up")
            _run(*self.inside, "ip", "link", "set", "lo", "up")
            self.drop()
            self.heal()
        except Unavailable:
            self.close()
            raise

    @property
    def redis_options(self):
        return ("--port", str(PORT), "--bind", self.address, "--protected-mode", "no")

    @property
    def redis_url(self):
        return f"redis://{self.address}:{PORT}"

    def drop(self, share=1.0):
        chance = () if share == 1.0 else ("-m", "statistic", "--mode", "random", "--probability", str(share))
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
            rule = (chain, way, self._there, *chance, "-j", "DROP")
            _run(*self.inside, "iptables", "-A", *rule)
            self._rules.append(rule)

    def heal(self):
        while self._rules:
            _run(*self.inside, "iptables", "-D", *self._rules.pop())

    def close(self):
        for words in (("ip", "link", "del", self._here), ("ip", "netns", "del", self._name)):
            subprocess.run(words, capture_output=True, check=False)


def _run(*words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{words[0]} is not installed") from None
    if done.returncode:
        raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()}")
