"""Failing system calls, injected with strace into a gateway and a worker while a task runs. The task must be done with one call to ARK, and the
programs must exit cleanly."""

import shutil
import subprocess
import unittest

from fault_case import FaultTest
from support.http_client import EventStream, fetch
from support.processes import Program, binary, eventually
from support.redis_server import free_port
from support.world import BASE, World, request, sim

NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0"}       # LeakSanitizer needs ptrace, which strace already uses
PATIENT = {"WORKER_LEASE": "10s", "REDIS_TIMEOUT": "5s"}      # a traced program is slow


def strace(*faults):
    """Command line words that inject faults such as "accept4:error=EMFILE:when=2..4". The program keeps its own pid."""
    rules = [word for fault in faults for word in ("-e", f"inject={fault}")]
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={','.join(fault.partition(':')[0] for fault in faults)}", *rules]


def why_not():
    if not shutil.which("strace"):
        return "strace is not installed"
    tried = subprocess.run([*strace("getppid:error=EPERM"), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "ptrace is not permitted" if tried.returncode else None


WHY_NOT = why_not()


@unittest.skipIf(WHY_NOT, f"no system call can be made to fail here: {WHY_NOT}")
class SystemCallsFail(FaultTest):
    def serves(self, gateway=(), worker=(), tasks=1):
        """Runs tasks one after another, stops the gateway and the worker, and returns them."""
        with World(tcp=True) as world:
            front = world.gateway(under=strace(*gateway) if gateway else (), **NO_LEAKS, **PATIENT)
            back = world.worker(under=strace(*worker) if worker else (), **NO_LEAKS, **PATIENT)
            for n in range(tasks):
                with front.generate(f"t{n}", prompt=sim(f"t{n}")) as stream:
                    self.assert_done_once(stream.to_end())
            self.assertEqual(len(world.ark.calls()), tasks)
        return front, back

    def test_a_gateway_out_of_file_descriptors_accepts_clients_later(self):
        gateway, _ = self.serves(gateway=["accept4:error=EMFILE:when=2..6"], tasks=3)
        logged = [line for line in gateway.lines if "cannot accept" in line]
        self.assertEqual(len(logged), 1, logged)

    def test_epoll_wait_interrupted(self):
        rule = ["epoll_wait,epoll_pwait,epoll_pwait2:error=EINTR:when=3+3"]
        self.serves(rule, rule)

    def test_reads_and_writes_interrupted(self):
        rule = ["readv,writev,recvfrom,sendto,sendmsg:error=EINTR:when=3+3"]
        self.serves(rule, rule)

    def test_without_getrandom(self):
        rule = ["getrandom:error=ENOSYS"]
        self.serves(rule, rule)

    def test_connection_timeouts(self):
        """Connections to Redis, then the first ones to ARK. No request was sent, so no call counts as paid."""
        with World(tcp=True) as world:
            gateway = world.gateway(under=strace("connect:error=ETIMEDOUT:when=1..6"), **NO_LEAKS)
            self.assertTrue(any("cannot connect" in line and "timed out" in line for line in gateway.lines))
            worker = world.worker(under=strace("connect:error=ETIMEDOUT:when=3..5"), **NO_LEAKS)
            eventually(lambda: worker.get("/readyz").status == 200, "the worker is ready")
            with gateway.generate("t1", prompt=sim("t1")) as stream:
                frames = stream.to_end()
            self.assertIn("process retrying", [frame.story() for frame in frames])
            self.assertEqual((frames[-1].event, frames[-1].payload()["paid_calls"]), ("done", 1))
            self.assert_calls(world, "t1", 1)


class NoRoomForTheLog(FaultTest):
    def test_programs_continue_without_a_log(self):
        with World() as world:
            world.worker()
            address = f"127.0.0.1:{free_port()}"
            gateway = Program("gateway", ["sh", "-c", 'exec "$0" 2>/dev/full', binary("arkrelay-gateway")],
                              {"GATEWAY_LISTEN": address, "REDIS_URL": world.redis_server.url, "LOG_LEVEL": "debug"})

            def is_ready():
                try:
                    return fetch(address, "GET", "/readyz").status == 200
                except ConnectionRefusedError:
                    return False
            eventually(is_ready, "the gateway is ready")
            with EventStream(address, "POST", f"{BASE}/generate/stream", request("t1", prompt=sim("t1"))) as stream:
                while (frame := stream.next()).event not in ("done", "error"):
                    pass
            self.assertEqual((frame.event, gateway.stop(), gateway.lines), ("done", 0, []))
