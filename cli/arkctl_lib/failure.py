"""What a command can end with: one of the documented exit codes, and one clear line."""

OK, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_FOUND, CONFLICT = range(7)
INTERRUPTED = 130       # by Ctrl-C, as shells count it

MEANINGS = {
    OK: "ok",
    FAILED: "the task failed or was cancelled; doctor found something bad",
    USAGE: "the command line or the request is not valid",
    UNREACHABLE: "the gateway, or Redis, does not answer or is not ready",
    NOT_ALLOWED: "a key is missing or wrong",
    NOT_FOUND: "there is no such task",
    CONFLICT: "the task's or the queue's state does not allow it, or a limit is reached",
    INTERRUPTED: "interrupted; the task goes on",
}


class Failure(Exception):
    """Ends the command. problem: the gateway's own description of it, when there is one."""

    def __init__(self, code, text, problem=None):
        super().__init__(text)
        self.code, self.problem = code, problem
