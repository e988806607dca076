"""get: downloads the images of a task."""

from arkctl_lib import images
from arkctl_lib.failure import CONFLICT, FAILED, OK, Failure
from arkctl_lib.operate import check_id, find
from arkctl_lib.terminal import clean

LIVE = ("queued", "delayed", "running")


def get(context, args):
    task = _task(context, args)
    found = _images(task)
    folder = images.prepare(args.output)
    done = [_save(context, args, folder, task["task_id"], image) for image in found]
    if task["status"] in LIVE:
        context.terminal.note("the task is not done: more images may follow")
    return OK if all(done) else FAILED


def _task(context, args):
    if context.gateway.admin_key:
        return find(context.gateway, args.task, args.client)
    return context.gateway.client("GET", f"/tasks/{check_id(args.task)}")


def _images(task):
    found = (task.get("result") or {}).get("generated_images") or task.get("generated_images") or []
    if not found and task["status"] in LIVE:
        raise Failure(CONFLICT, f"the task is {task['status']} and has no images yet")
    if not found:
        raise Failure(FAILED, "the task has no images")
    return found


def _save(context, args, folder, task_id, image):
    """False if the image was not saved. One that fails does not prevent the others."""
    number = image["index"]
    try:
        taken = None if args.force else images.existing(folder, task_id, number)
        if taken:
            raise Failure(FAILED, f"{taken} exists; --force replaces it")
        path = images.save(context.gateway, folder, task_id, number, image, args.force)
    except Failure as failure:
        context.terminal.document({"index": number, "error": str(failure)})
        context.terminal.note(f"arkctl: {clean(failure)}")
        return False
    context.terminal.document({"saved": str(path), "index": number})
    context.terminal.line(str(path))
    return True
