"""The exit codes of arkctl, and the exception that ends a command with one of them."""

OK, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_FOUND, CONFLICT = range(7)
INTERRUPTED = 130       # 128 + SIGINT, as in shells

MEANINGS = {
    OK: "ok",
    FAILED: "the task failed or was cancelled; doctor found a bad result; the output could not be written",
    USAGE: "the command line or the request is not valid",
    UNREACHABLE: "the gateway, or Redis, does not answer or is not ready",
    NOT_ALLOWED: "a key is missing or wrong",
    NOT_FOUND: "the task does not exist",
    CONFLICT: "the state of the task or of the queue does not allow the command, or a limit is reached",
    INTERRUPTED: "interrupted; the task continues",
}


class Failure(Exception):
    """Ends the command with an exit code. problem: the gateway's problem document, if there is one."""

    def __init__(self, code, text, problem=None):
        super().__init__(text)
        self.code, self.problem = code, problem


class OutputFailure(Failure):
    """stdout takes no more output, for example because the disk is full."""

    def __init__(self, error):
        super().__init__(FAILED, f"cannot write the output: {error.strerror}")
