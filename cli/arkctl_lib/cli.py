"""The arguments; picks the command; makes every end one line and one exit code."""

import argparse
import contextlib
import os
import sys
import urllib.parse

from arkctl_lib.completion import completion
from arkctl_lib.doctor import doctor
from arkctl_lib.env_file import read_env
from arkctl_lib.failure import INTERRUPTED, MEANINGS, OK, UNREACHABLE, USAGE, Failure
from arkctl_lib.gateway import Gateway
from arkctl_lib.operate import dead, queue, task, tasks, workers
from arkctl_lib.resp import Redis
from arkctl_lib.store import LISTS, Store
from arkctl_lib.terminal import Terminal, clean
from arkctl_lib.top import top
from arkctl_lib.watch import submit, tail

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 10.0
LIST_LIMIT = 50

EPILOG = """\
A TASK is a task id, or <client>.<task_id>.

environment:
  ARKRELAY_URL        the gateway
  ARKRELAY_KEY        a client's key
  ARKRELAY_ADMIN_KEY  the operators' key; else GATEWAY_ADMIN_KEY, from the environment or from ./.env
  NO_COLOR            no colours

exit codes:
""" + "\n".join(f"  {code:<4}{meaning}" for code, meaning in MEANINGS.items())


class Context:
    """What every command needs."""

    def __init__(self, parser, args):
        self.parser, self.redis_url = parser, args.redis
        self.terminal = Terminal(args.json, not args.no_color)
        self.gateway = Gateway(args.url, args.key, args.admin_key, args.timeout)

    def source(self):
        """Where the queue is read: the gateway, or Redis itself."""
        return Store(Redis(self.redis_url, self.gateway.timeout)) if self.redis_url else self.gateway


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")    # a terminal without Chinese gets question marks
    try:
        return _run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:                     # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run():
    parser = make_parser()
    try:
        args = parser.parse_args()
    finally:
        sys.stdout.flush()                      # the help text, while a broken pipe is still heard of
    as_json = getattr(args, "json", False)
    try:
        complete(args)
        return args.run(Context(parser, args), args)
    except Failure as failure:
        return _fail(failure, as_json)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if os.environ.get("ARKCTL_TRACEBACK"):
            raise
        return _fail(Failure(UNREACHABLE, f"an answer is not what this arkctl expects ({type(error).__name__}: {error}); is the gateway of "
                                          "another version? ARKCTL_TRACEBACK=1 shows where"), as_json)


def _fail(failure, as_json):
    Terminal(as_json).document({"error": str(failure), "exit": failure.code, **({"problem": failure.problem} if failure.problem else {})})
    print(f"arkctl: {clean(failure)}", file=sys.stderr)
    return failure.code


# -- defaults that come from elsewhere


def complete(args):
    """Fills in what was given neither here nor there, and looks at what was."""
    found = {"url": os.environ.get("ARKRELAY_URL") or DEFAULT_URL, "key": os.environ.get("ARKRELAY_KEY", ""),
             "admin_key": None, "redis": None, "timeout": DEFAULT_TIMEOUT_S, "json": False, "no_color": False}
    for name, value in found.items():
        if not hasattr(args, name):
            setattr(args, name, value)
    if args.admin_key is None:
        args.admin_key = (os.environ.get("ARKRELAY_ADMIN_KEY") or os.environ.get("GATEWAY_ADMIN_KEY") or
                          read_env(".env").get("GATEWAY_ADMIN_KEY", ""))
    if args.redis and not args.reads_redis:
        raise Failure(USAGE, f"{args.command} needs the gateway: --redis is for doctor, dead list, queue show, task show and tasks")
    _check_url(args.url)
    for name in ("key", "admin_key"):
        if not getattr(args, name).isprintable() or not getattr(args, name).isascii():
            raise Failure(USAGE, f"--{name.replace('_', '-')}: a key has visible ASCII characters only")


def _check_url(url):
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise Failure(USAGE, f"--url: {clean(url)!r} is not http://host[:port] or https://host[:port]")


# -- the arguments


def make_parser():
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("for every command")
    group.add_argument("--url", help=f"the gateway (default: {DEFAULT_URL})")
    group.add_argument("--key", help="a client's key")
    group.add_argument("--admin-key", help="the operators' key")
    group.add_argument("--redis", metavar="URL",
                       help="read Redis itself, when the gateway is down: redis://..., rediss://... or unix:///path")
    group.add_argument("--json", action="store_true", help="one JSON document; one per line where events come one by one")
    group.add_argument("--no-color", action="store_true")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=f"for one answer (default: {DEFAULT_TIMEOUT_S:.0f})")
    parser = argparse.ArgumentParser(prog="arkctl", description="arkrelay from the command line.", epilog=EPILOG, parents=[common],
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = Commands(parser.add_subparsers(dest="command", metavar="COMMAND", required=True), common)
    _add_client_commands(commands)
    _add_operator_commands(commands)
    return parser


class Commands:
    """Adds commands, and actions of commands, that all know the common options."""

    def __init__(self, subparsers, common):
        self._subparsers, self._common = subparsers, common

    def add(self, name, text, run, reads_redis=False):
        parser = self._subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=[self._common],
                                             allow_abbrev=False)
        parser.set_defaults(run=run, reads_redis=reads_redis)
        return parser

    def group(self, name, text):
        parser = self._subparsers.add_parser(name, help=text, allow_abbrev=False)
        return Commands(parser.add_subparsers(dest="action", metavar="ACTION", required=True), self._common)


def _add_client_commands(commands):
    parser = commands.add("submit", "send one request, show how far it is, print the pictures' addresses", submit)
    parser.add_argument("urls", nargs="*", metavar="URL", help="a reference image; none: text to image, with --prompt")
    parser.add_argument("--prompt", metavar="TEXT", help="what to make")
    parser.add_argument("--size", help="1K, 2K, 4K, or <width>x<height>")
    parser.add_argument("--images", type=int, metavar="N", help="how many pictures may come at most")
    parser.add_argument("--model", help="a model of ARK")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--watermark", action=argparse.BooleanOptionalAction)
    parser.add_argument("--max-paid-calls", type=int, metavar="N", help="1: never pay twice, whatever happens")
    parser.add_argument("--task-id", metavar="ID", help="the same id with the same request is the same task (default: a new one)")
    parser.add_argument("--save", metavar="DIR", help="keep the pictures there")
    parser.add_argument("--detach", action="store_true", help="print the task's id and leave")
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the task at once")
    parser = _with_task(commands.add("tail", "follow a task's events to its end", tail))
    parser.add_argument("--save", metavar="DIR", help="keep its pictures there")
    parser = commands.group("task", "one task")
    _with_task(parser.add("show", "all that is known of a task", task, reads_redis=True))
    _with_task(parser.add("cancel", "end a task", task))
    _with_task(parser.add("retry", "begin a failed or cancelled task anew (operators)", task))
    _with_task(parser.add("erase", "erase a task that has ended", task))


def _add_operator_commands(commands):
    parser = commands.add("tasks", "the tasks in a state", tasks, reads_redis=True)
    parser.add_argument("--state", choices=list(LISTS), default="live", help="default: live, all that have not ended")
    _with_list(parser)
    parser = commands.group("dead", "tasks that failed")
    _with_list(parser.add("list", "the tasks that failed and are still kept", dead, reads_redis=True))
    retry = parser.add("retry", "begin failed tasks anew; each may be charged again", dead)
    retry.add_argument("tasks", nargs="*", metavar="TASK")
    retry.add_argument("--all", action="store_true", help="all of them")
    retry.add_argument("--yes", action="store_true", help="do not ask")
    retry.add_argument("--client", help="whose tasks they are")
    parser = commands.group("queue", "the queue")
    parser.add("show", "how many tasks wait, run and have failed", queue, reads_redis=True)
    parser.add("pause", "take and give no tasks any more; what runs goes on", queue)
    parser.add("resume", "take and give tasks again", queue)
    commands.add("workers", "gateways and workers that are alive", workers)
    parser = commands.add("top", "all of it at a glance, until q", top)
    parser.add_argument("--once", action="store_true", help="print it once")
    parser.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="default: 1")
    commands.add("doctor", "look at everything, and say what to do", doctor, reads_redis=True)
    parser = commands.add("completion", "a completion script: source <(arkctl completion bash)", completion)
    parser.add_argument("shell", choices=["bash", "zsh"])


def _with_task(parser):
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("--client", help="whose task it is (operators; default: public)")
    return parser


def _with_list(parser):
    parser.add_argument("--search", default="", metavar="TEXT", help="a part of the id")
    parser.add_argument("--limit", type=_positive, default=LIST_LIMIT, metavar="N", help=f"default: {LIST_LIMIT}")
    parser.add_argument("--all", action="store_true", help="no limit")
    return parser


def _seconds(text):
    with contextlib.suppress(ValueError):
        if 0.05 <= (value := float(text)) <= 3600:
            return value
    raise argparse.ArgumentTypeError("must be a number from 0.05 to 3600")


def _positive(text):
    with contextlib.suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError("must be a whole number of at least 1")
