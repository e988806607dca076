"""Parses the arguments, runs the command, and turns every failure into one line and an exit code."""

import argparse
import contextlib
import os
import sys
import urllib.parse

from arkctl_lib.completion import completion
from arkctl_lib.doctor import doctor
from arkctl_lib.env_file import read_env
from arkctl_lib.failure import INTERRUPTED, MEANINGS, OK, UNREACHABLE, USAGE, Failure, OutputFailure
from arkctl_lib.gateway import Gateway
from arkctl_lib.get import get
from arkctl_lib.operate import dead, queue, task, tasks, workers
from arkctl_lib.resp import Redis
from arkctl_lib.store import LISTS, Store
from arkctl_lib.terminal import Terminal, clean, close_notes, discard, open_streams, write, write_note
from arkctl_lib.top import top
from arkctl_lib.usage import usage
from arkctl_lib.watch import submit, tail
from arkctl_lib.webhooks import webhook, webhooks

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 10.0
LIST_LIMIT = 50

EPILOG = """\
A TASK is a task id, or <client>.<task_id>.

environment:
  ARKRELAY_URL        the gateway
  ARKRELAY_KEY        a client's key
  ARKRELAY_ADMIN_KEY  the admin key; otherwise GATEWAY_ADMIN_KEY from the environment or from ./.env
  NO_COLOR            no colours

exit codes:
""" + "\n".join(f"  {code:<4}{meaning}" for code, meaning in MEANINGS.items())


class Context:
    """Shared by all commands: the terminal, and where to connect."""

    def __init__(self, parser, args):
        self.parser, self.redis_url = parser, args.redis
        self.terminal = Terminal(args.json, not args.no_color)
        self.gateway = Gateway(args.url, args.key, args.admin_key, args.timeout)

    def source(self):
        """The source of queue data: Redis if --redis is given, otherwise the gateway."""
        return Store(Redis(self.redis_url, self.gateway.timeout)) if self.redis_url else self.gateway


def main():
    open_streams()
    try:
        return _run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:                     # for example `arkctl tasks | head`
        discard(sys.stdout)
        return OK
    finally:
        close_notes()


def _run():
    parser, as_json = make_parser(), False
    try:
        args = parser.parse_args()
        as_json = getattr(args, "json", False)
        fill_defaults(args)
        return args.run(Context(parser, args), args)
    except Failure as failure:
        return _fail(failure, as_json)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if os.environ.get("ARKCTL_TRACEBACK"):
            raise
        return _fail(Failure(UNREACHABLE, f"unexpected response ({type(error).__name__}: {error}); check that the gateway has the "
                                          "same version. ARKCTL_TRACEBACK=1 shows the traceback"), as_json)


def _fail(failure, as_json):
    write_note(f"arkctl: {clean(failure)}\n")
    try:
        if isinstance(failure, OutputFailure):
            discard(sys.stdout)
        else:
            Terminal(as_json).document({"error": str(failure), "exit": failure.code, **({"problem": failure.problem} if failure.problem else {})})
    except BrokenPipeError:
        discard(sys.stdout)
    except OutputFailure as second:
        _fail(second, as_json)
    return failure.code


# -- defaults from the environment


def fill_defaults(args):
    """Sets options that are not given from the environment or to their defaults, and validates them."""
    found = {"url": os.environ.get("ARKRELAY_URL") or DEFAULT_URL, "key": os.environ.get("ARKRELAY_KEY", ""),
             "admin_key": None, "redis": None, "timeout": DEFAULT_TIMEOUT_S, "json": False, "no_color": False}
    for name, value in found.items():
        if not hasattr(args, name):
            setattr(args, name, value)
    if args.admin_key is None:
        args.admin_key = (os.environ.get("ARKRELAY_ADMIN_KEY") or os.environ.get("GATEWAY_ADMIN_KEY") or
                          read_env(".env").get("GATEWAY_ADMIN_KEY", ""))
    if args.redis and not args.reads_redis:
        raise Failure(USAGE, f"{args.command} needs the gateway; --redis works only with doctor, dead list, queue show, task show and tasks")
    _check_url(args.url)
    for name in ("key", "admin_key"):
        if not getattr(args, name).isprintable() or not getattr(args, name).isascii():
            raise Failure(USAGE, f"--{name.replace('_', '-')}: a key must consist of visible ASCII characters")


def _check_url(url):
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise Failure(USAGE, f"--url: {clean(url)!r} is not http://host[:port] or https://host[:port]")


# -- the arguments


class Parser(argparse.ArgumentParser):
    def print_help(self, file=None):
        """argparse ignores errors of the output; write() reports them."""
        write(self.format_help())

    def _print_message(self, message, file=None):
        """What error() and exit() write to stderr. argparse before Python 3.11.4 raises errors of the output."""
        if message:
            write_note(message)


def make_parser():
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("options for all commands")
    group.add_argument("--url", help=f"the gateway (default: {DEFAULT_URL})")
    group.add_argument("--key", help="a client's key")
    group.add_argument("--admin-key", help="the admin key")
    group.add_argument("--redis", metavar="URL",
                       help="read from Redis instead of the gateway: redis://..., rediss://... or unix:///path")
    group.add_argument("--json", action="store_true", help="print one JSON document; with tail and submit, one per event")
    group.add_argument("--no-color", action="store_true")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=f"timeout of one request (default: {DEFAULT_TIMEOUT_S:.0f})")
    parser = Parser(prog="arkctl", description="The command line tool of arkrelay.", epilog=EPILOG, parents=[common],
                    formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = Commands(parser.add_subparsers(dest="command", metavar="COMMAND", required=True), common)
    _add_client_commands(commands)
    _add_operator_commands(commands)
    return parser


class Commands:
    """Adds commands and subcommands, each with the common options."""

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


def _number(text):
    """A JSON number as the user wrote it: 7 and not 7.0."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _add_client_commands(commands):
    parser = commands.add("submit", "submit one task, show its progress and print the URLs of its images", submit)
    parser.add_argument("urls", nargs="*", metavar="IMAGE",
                        help="a link, or a file of this machine, which is uploaded; none: text to image, with --prompt")
    parser.add_argument("--prompt", metavar="TEXT", help="what to make, from the images if there are any")
    parser.add_argument("--size", help="a keyword of the model, such as 2K, or <width>x<height>")
    parser.add_argument("--images", type=int, metavar="N", help="maximum number of images")
    parser.add_argument("--model", help="the ARK model")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--output-format", choices=("jpeg", "png"))
    parser.add_argument("--optimize-prompt", choices=("standard", "fast"), help="how ARK improves the prompt")
    parser.add_argument("--web-search", action=argparse.BooleanOptionalAction, help="let the model search the web")
    parser.add_argument("--guidance-scale", type=_number, metavar="N", help="how closely the image follows the prompt: 1 to 10")
    parser.add_argument("--background", choices=("opaque", "transparent"))
    parser.add_argument("--layers", action=argparse.BooleanOptionalAction, help="decompose the image into layers")
    parser.add_argument("--watermark", action=argparse.BooleanOptionalAction)
    parser.add_argument("--max-paid-calls", type=int, metavar="N", help="maximum number of paid calls to ARK; 1: never pay twice")
    parser.add_argument("--webhook", metavar="URL", help="report events of the task to this URL")
    parser.add_argument("--webhook-event", action="append", dest="webhook_events", choices=("start", "image", "final"), help="which events (default: final)")
    parser.add_argument("--task-id", metavar="ID", help="the same id with the same request is the same task (default: a new id)")
    parser.add_argument("--save", metavar="DIR", help="save the images to this directory")
    parser.add_argument("--detach", action="store_true", help="print the task id and exit")
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="the first Ctrl-C cancels the task")
    parser = _with_task(commands.add("tail", "follow the events of a task until it ends", tail))
    parser.add_argument("--save", metavar="DIR", help="save the images to this directory")
    parser = _with_task(commands.add("get", "download the images of a task", get))
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help="the directory for the images (default: this one)")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser = commands.group("task", "one task")
    _with_task(parser.add("show", "show one task", task, reads_redis=True))
    _with_task(parser.add("cancel", "cancel a task", task))
    _with_task(parser.add("retry", "run a failed or cancelled task again (needs the admin key)", task))
    _with_task(parser.add("erase", "erase a task that has ended", task))


def _add_operator_commands(commands):
    parser = commands.add("tasks", "list the tasks in a state", tasks, reads_redis=True)
    parser.add_argument("--state", choices=list(LISTS), default="live", help="default: live, all tasks that have not ended")
    parser.add_argument("--own", action="store_true", help="list the tasks of the client that --key belongs to, newest first; needs no admin key")
    _with_list(parser)
    parser = commands.group("dead", "failed tasks")
    _with_list(parser.add("list", "list the failed tasks", dead, reads_redis=True))
    retry = parser.add("retry", "run failed tasks again; each may be charged again", dead)
    retry.add_argument("tasks", nargs="*", metavar="TASK")
    retry.add_argument("--all", action="store_true", help="retry all failed tasks")
    retry.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    retry.add_argument("--client", help="the client that owns the tasks")
    parser = commands.group("queue", "the queue")
    parser.add("show", "show how many tasks are waiting, running and failed", queue, reads_redis=True)
    parser.add("pause", "refuse new tasks and start no waiting ones; running tasks continue", queue)
    parser.add("resume", "accept new tasks and start waiting ones again", queue)
    commands.add("webhooks", "list the receivers of webhooks and the deliveries that have failed", webhooks)
    parser = commands.group("webhook", "deliveries of webhooks")
    _with_task(parser.add("show", "show the attempts to deliver the events of a task", webhook))
    resend = parser.add("resend", "deliver events again", webhook)
    resend.add_argument("tasks", nargs="*", metavar="TASK")
    resend.add_argument("--failed", action="store_true", help="all deliveries that have failed, at most 1,000")
    resend.add_argument("--client", help="the client that owns the tasks (default: public)")
    test = parser.add("test", "send a signed sample to a receiver, once", webhook)
    test.add_argument("target", metavar="URL")
    test.add_argument("--client", help="the client whose secret signs (default: public)")
    test.add_argument("--wait", type=_seconds, default=30.0, metavar="SECONDS", help="for the result (default: 30)")
    commands.add("workers", "list the running gateways and workers", workers)
    parser = commands.add("usage", "show what tasks have cost, by day, client and model", usage)
    parser.add_argument("--month", action="store_true", help="by month instead of by day")
    parser.add_argument("--from", dest="first", metavar="DAY", help="the first day (2026-11-30), or month (2026-11) with --month (default: the last 30 days or 12 months)")
    parser.add_argument("--to", dest="last", metavar="DAY", help="the last day or month (default: the present one)")
    parser.add_argument("--own", action="store_true", help="only the tasks of the client that --key belongs to; needs no admin key")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser = commands.add("top", "show a live overview; q quits", top)
    parser.add_argument("--once", action="store_true", help="print the overview once")
    parser.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="default: 1")
    commands.add("doctor", "check the whole system and give advice", doctor, reads_redis=True)
    parser = commands.add("completion", "print a completion script: source <(arkctl completion bash)", completion)
    parser.add_argument("shell", choices=["bash", "zsh"])


def _with_task(parser):
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("--client", help="the client that owns the task (needs the admin key; default: public)")
    return parser


def _with_list(parser):
    parser.add_argument("--search", default="", metavar="TEXT", help="list only tasks whose id contains this text")
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
