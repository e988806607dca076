"""The cost of a task, a stream and a call, counted instead of timed, compared with budgets.json.

    scripts/budgets.sh measure     # print the figures and the budgets of this system
    scripts/budgets.sh update      # make the figures the budgets of this system

The programs are those of the preset dev: they are there anyway, and what is held against a budget is always the same build. An
optimised one runs fewer instructions, but gets dearer by the same changes.
"""

import argparse
import contextlib
import pathlib
import tempfile
import unittest

from support.budgets import Budgets
from support.callgrind import Callgrind, totals
from support.command_log import CommandLog
from support.heap_count import HeapCount
from support.http_client import fetch
from support.processes import ProcessTest, binary
from support.redis_server import RedisServer
from support.script_cost import BATCH, LINKS, ScriptCost
from support.world import World, sim

PERIODIC = {"reap", "audit", "renew", "presence", "ready", "ping", "info", "load", "echo"}    # sent periodically, not per task
ONCE = {"subscribe": 1, "submit": 1, "begin": 1, "finish": 1, "emit": 0}    # per task without faults
GATEWAY = {"GATEWAY_TAIL_CHECK": "1m", "PRESENCE_INTERVAL": "0", "LOG_LEVEL": "info"}      # disables periodic commands
WORKER = {"WORKER_LEASE": "30s", "PRESENCE_INTERVAL": "0", "LOG_LEVEL": "info", "ARK_IMAGES_PER_MINUTE": "100000"}
TASKS = 200
SCRIPTED = 320      # tasks whose scripts are measured
HELD = 256          # streams and calls: measured from this number to twice as many, so that each table doubles once
UPDATE = "If it is worth that: run scripts/budgets.sh update, and say in the commit why."


def run_tasks(gateway, count, prefix):
    """Runs one-image tasks to their ends, all at the same time."""
    names = [f"{prefix}{n}" for n in range(count)]
    streams = [gateway.generate(name, max_images=1, prompt=sim(name, "images=1 latency=0")) for name in names]
    for name, stream in zip(names, streams):
        with stream:
            assert stream.to_end()[-1].event == "done", f"{name} did not end as done"


def run_tasks_in_turn(gateway, count, prefix):
    for n in range(count):
        run_tasks(gateway, 1, f"{prefix}{n}.")


# -- Redis commands per task

def command_counts(run, tasks):
    """The commands that the programs send for one-image tasks without faults, per task and by name."""
    with World() as world:
        gateway = world.gateway(**GATEWAY)
        world.worker(**WORKER)
        world.run_script.load()
        run_tasks(gateway, 1, "warm")
        with CommandLog(world.redis.address, world.run_script) as log:
            run(gateway, tasks, "counted")
            counts = {name: count / tasks for name, count in sorted(log.counts().items()) if name not in PERIODIC}
    print(f"{tasks} tasks, Redis commands per task:", counts)
    return counts


def measure_commands():
    return {"redis_commands_per_task": sum(command_counts(run_tasks_in_turn, TASKS).values()),
            "redis_commands_per_task_of_many": sum(command_counts(run_tasks, TASKS).values())}


# -- memory held

def per_piece(heap, add):
    """The heap of each of HELD more, measured when HELD exist already."""
    add(0)
    before = heap.at_rest()
    add(HELD)
    after = heap.at_rest()
    return (after.bytes - before.bytes) / HELD, (after.blocks - before.blocks) / HELD


def measure_streams():
    """Streams of waiting tasks, without a worker."""
    with World() as world, HeapCount() as heap, contextlib.ExitStack() as streams:
        gateway = world.gateway(under=heap.words, **GATEWAY)

        def open_streams(first):
            for n in range(first, first + HELD):
                streams.enter_context(gateway.generate(f"t{n}")).next_event()
        held, blocks = per_piece(heap, open_streams)
        streams.close()
    return {"gateway_bytes_per_stream": held, "gateway_blocks_per_stream": blocks}


def measure_calls():
    """Calls that ARK does not answer during the test."""
    with World() as world, HeapCount() as heap:
        worker = world.worker(under=heap.words, WORKER_CONCURRENCY=3 * HELD, **WORKER)

        def begin_calls(first):
            world.submit_many(HELD, f"t{first}.", sim("t", "latency=600000"))
            world.ark.wait_calls(first + HELD)
        held, blocks = per_piece(heap, begin_calls)
        worker.kill()           # open calls would delay its end
    return {"worker_bytes_per_call": held, "worker_blocks_per_call": blocks}


# -- instructions per task

def profile(role):
    return pathlib.Path(binary("")).parent / f"callgrind.{role}"


def measure_instructions():
    """Runs one task after the other. With concurrent tasks the figures would vary, because work for several tasks at once is done once."""
    with Callgrind(profile("gateway")) as of_gateway, Callgrind(profile("worker")) as of_worker:
        with World() as world:
            gateway = world.gateway(under=of_gateway.words, **GATEWAY)
            worker = world.worker(under=of_worker.words, **WORKER)
            run_tasks_in_turn(gateway, 20, "warm")
            of_gateway.begin(gateway.pid)
            of_worker.begin(worker.pid)
            run_tasks_in_turn(gateway, TASKS, "counted")
            of_gateway.end(gateway.pid)
            of_worker.end(worker.pid)
        return {"gateway_instructions_per_task": of_gateway.instructions() / TASKS,
                "worker_instructions_per_task": of_worker.instructions() / TASKS}


def ask_openai_in_turn(gateway, count, prefix):
    """Requests for one image, to their answers."""
    for n in range(count):
        body = {"prompt": sim(f"{prefix}{n}", "images=1 latency=0"), "response_format": "url"}
        answer = fetch(gateway.address, "POST", "/v1/images/generations", body)
        assert answer.status == 200, answer.body


def measure_openai():
    """What a request to OpenAI's API costs the gateway; gateway_instructions_per_task is the same of the native API."""
    with Callgrind(profile("openai")) as of_gateway, World() as world:
        gateway = world.gateway(under=of_gateway.words, **GATEWAY)
        world.worker(**WORKER)
        ask_openai_in_turn(gateway, 20, "warm")
        of_gateway.begin(gateway.pid)
        ask_openai_in_turn(gateway, TASKS, "counted")
        of_gateway.end(gateway.pid)
        gateway.stop()
        return {"gateway_instructions_per_openai_request": of_gateway.instructions() / TASKS}


# -- the cost of scripts in Redis

def measure_limited(batch=BATCH):
    """Commands inside the scripts of tasks to which a spending limit applies, with so many ending together."""
    with RedisServer() as server:
        cost = ScriptCost(server.client(), limited=True, batch=batch)
        cost.run(SCRIPTED)
        cost.commands()
        cost.run(SCRIPTED)
        counts = cost.commands()
        print(f"Commands inside scripts per task with a spending limit, {batch} together:",
              {name: round(count / SCRIPTED, 2) for name, count in sorted(counts.items())})
        return {"redis_inner_commands_per_limited_task": sum(counts.values()) / SCRIPTED}


def measure_scripts():
    """Commands inside the scripts of one-image tasks, and the instructions of redis-server for them; 16 tasks wait at a time. The work that Redis
    does ten times per second is not counted, because its share depends on the speed of the machine."""
    with Callgrind(profile("redis"), inside="readQueryFromClient") as of_redis, RedisServer(under=[*of_redis.words, "--trace-children=yes"]) as server:
        cost = ScriptCost(server.client())
        cost.run(320)           # the index is a skip list from 129 tasks on
        cost.commands()
        of_redis.begin(server.program.pid)
        cost.run(SCRIPTED)
        of_redis.end(server.program.pid)
        counts = cost.commands()
        server.stop()
        print("Commands inside scripts per task:", {name: round(count / SCRIPTED, 2) for name, count in sorted(counts.items())})
        return {"redis_inner_commands_per_task": sum(counts.values()) / SCRIPTED,
                "redis_instructions_per_task": of_redis.instructions() / SCRIPTED}


def measure_memory():
    """Of a task's two keys; its entries in the tables of keys, of expiries and in the index take some 400 bytes more."""
    with RedisServer() as server:
        cost = ScriptCost(server.client())
        cost.submit(f"public.{0:032x}")
        queued = cost.bytes_of_last()
        cost.work(1, LINKS)
        return {"redis_bytes_per_queued_task": queued, "redis_bytes_per_finished_task": cost.bytes_of_last()}


MEASURES = [measure_commands, measure_streams, measure_calls, measure_instructions, measure_openai, measure_scripts, measure_limited, measure_memory]


class Costs(ProcessTest):
    def keep_to_budget(self, figures, look):
        budgets = Budgets()
        for name, figure in figures.items():
            print(budgets.line(name, figure))
        exceeded = budgets.exceeded(figures)
        if exceeded:
            self.fail("\n".join([*exceeded, look, UPDATE]))
        if why := budgets.missing(figures):
            self.skipTest(why)

    def test_redis_commands_of_one_task_after_the_other(self):
        counts = command_counts(run_tasks_in_turn, TASKS)
        self.assertEqual({name: counts.get(name, 0) for name in ONCE}, ONCE)
        self.keep_to_budget({"redis_commands_per_task": sum(counts.values())}, f"By name: {counts}")

    def test_redis_commands_of_many_tasks_at_once(self):
        """Commands that serve all tasks at once cost almost nothing per task."""
        counts = command_counts(run_tasks, TASKS)
        self.keep_to_budget({"redis_commands_per_task_of_many": sum(counts.values())}, f"By name: {counts}")

    def test_heap_of_an_open_stream(self):
        self.keep_to_budget(measure_streams(), "Who holds it: run the gateway under valgrind --tool=massif, open streams, "
                                               "end it, and let ms_print show the peak.")

    def test_heap_of_a_call_in_flight(self):
        self.keep_to_budget(measure_calls(), "Who holds it: run the worker under valgrind --tool=massif while ARK does not answer, "
                                             "end it, and let ms_print show the peak.")

    def test_instructions_of_a_task(self):
        figures = measure_instructions()
        self.keep_to_budget(figures, "\n".join(f"Where they are run: callgrind_annotate --inclusive=yes {profile(role)}"
                                               for role in ("gateway", "worker")))

    def test_instructions_of_a_request_to_the_openai_api(self):
        self.keep_to_budget(measure_openai(), f"Where they are run: callgrind_annotate --inclusive=yes {profile('openai')}")

    def test_the_cost_of_scripts_in_redis(self):
        self.keep_to_budget(measure_scripts(), f"Where they are run: callgrind_annotate --inclusive=yes {profile('redis')}")

    def test_the_cost_of_a_spending_limit_in_redis(self):
        self.keep_to_budget(measure_limited(), "RESERVE runs once for tasks that come together, CHARGE and DEBTS for those that end together.")

    def test_memory_of_a_task_in_redis(self):
        self.keep_to_budget(measure_memory(), "Where it is: redis-cli memory usage, lrange and hgetall of its two keys.")


class Comparison(unittest.TestCase):
    """The comparison with the budgets, without measuring."""

    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.file = pathlib.Path(folder, "budgets.json")
        self.file.write_text('{"a": {"margin": 0.15, "values": {"plan 9": 100}}, "b": {"margin": 0, "values": {"any": 5}}}',
                             encoding="utf-8")
        self.budgets = Budgets(self.file, "plan 9")

    def test_a_figure_may_be_above_its_budget_by_the_margin(self):
        for name, figure, is_exceeded in (("a", 1, False), ("a", 100, False), ("a", 114.9, False), ("a", 115.1, True), ("a", 0, True),
                                          ("b", 5, False), ("b", 5.01, True)):
            with self.subTest(name=name, figure=figure):
                self.assertEqual(bool(self.budgets.exceeded({name: figure})), is_exceeded)

    def test_a_sentence_names_the_figure_and_its_budget(self):
        self.assertEqual(self.budgets.exceeded({"a": 1234.6, "b": 5}), [
            "a is 1,235, and may be 115: its budget in budgets.json is 100, and 15% more for what differs from run to run."])
        self.assertEqual(self.budgets.exceeded({"a": 0.0}), ["a is 0.0: nothing was measured."])

    def test_a_figure_far_below_is_reported(self):
        self.assertEqual(["far below" in self.budgets.line("a", figure) for figure in (84, 86, 100)], [True, False, False])

    def test_values_of_this_system_and_of_any_system(self):
        other = Budgets(self.file, "plan 10")
        self.assertEqual([other.value("a"), other.value("b")], [None, 5])
        self.assertEqual(other.exceeded({"a": 1000, "b": 6})[0].split()[0], "b")

    def test_a_system_without_values_is_named(self):
        other = Budgets(self.file, "plan 10")
        self.assertIsNone(self.budgets.missing({"a": 1, "b": 1}))
        self.assertIsNone(other.missing({"b": 1}))
        self.assertRegex(other.missing({"a": 1, "b": 1}), r"budgets.json has no value for plan 10 of a; .*budgets.sh update")
        self.assertEqual(other.line("a", 7), "a: 7, no budget for plan 10")

    def test_nothing_measured_fails_on_every_system(self):
        self.assertTrue(Budgets(self.file, "plan 10").exceeded({"a": 0}))

    def test_an_update_keeps_all_other_values(self):
        other = Budgets(self.file, "plan 10")
        other.update({"a": 17.256})
        self.assertEqual(Budgets(self.file).rows, {"a": {"margin": 0.15, "values": {"plan 9": 100, "plan 10": 17.26}},
                                                   "b": {"margin": 0, "values": {"any": 5}}})
        other.update({"b": 4})
        self.assertEqual(Budgets(self.file).rows["b"]["values"], {"any": 4})

    def test_an_incomplete_profile_is_refused(self):
        self.assertEqual(totals("events: Ir\nsummary: 7\nfn=(1)\n1 7\n\ntotals: 7\n"), 7)
        with self.assertRaises(AttributeError):
            totals("events: Ir\nsummary: 7\nfn=(1)\n1 7\n")


def main():
    options = argparse.ArgumentParser()
    choice = options.add_mutually_exclusive_group(required=True)
    choice.add_argument("--measure", action="store_true", help="print the figures and their budgets")
    choice.add_argument("--update", action="store_true", help="make the figures the budgets")
    budgets, figures = Budgets(), {}
    chosen = options.parse_args()
    for measure in MEASURES:
        figures |= measure()
    for name, figure in figures.items():
        print(budgets.line(name, figure))
    if chosen.update:
        budgets.update(figures)


if __name__ == "__main__":
    main()
