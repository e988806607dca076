#include "gateway/uploads/erasure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/storage/storage.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/task/task.h"
#include "gateway/uploads/uploads.h"

enum {
    AT_NAMES = 1,   /* of the reply NAMES */
    NAMES_MAX = 64, /* of one upload: it is renewed at most once a day */
    ROUNDS_MAX = 4, /* of a client that uploads the image meanwhile */
};

struct erasure {
    struct upload_work work;
    struct uploads *uploads;
    erasure_end_fn *on_end; /* NULL: the caller has gone */
    void *arg;
    char client[TASK_CLIENT_MAX + 1], sha256[SHA256_HEX_SIZE];
    int rounds;
    char names[NAMES_MAX * STORAGE_NAME_SIZE]; /* separated by spaces */
    const char *next;                          /* of them, to be deleted */
    struct script_run *run;                    /* in flight; at most one of the two */
    struct storage_call *call;
};

static void erasure_ask(struct erasure *erasure);
static void delete_next(struct erasure *erasure);

/* -- the end */

static void erasure_free(struct erasure *erasure)
{
    LIST_REMOVE(&erasure->work, link);
    if (erasure->run)
        script_cancel(erasure->run);
    if (erasure->call)
        storage_cancel(erasure->call);
    free(erasure);
}

static void erasure_abort(struct upload_work *work)
{
    erasure_free(container_of(work, struct erasure, work));
}

static void erasure_finish(struct erasure *erasure, enum problem problem)
{
    erasure_end_fn *on_end = erasure->on_end;
    void *arg = erasure->arg;

    erasure_free(erasure);
    if (on_end)
        on_end(problem, arg);
}

/* -- DELETING */

static void erasure_on_deleted(const struct storage_outcome *outcome, void *arg)
{
    struct erasure *erasure = arg;
    char quoted[256];

    erasure->call = NULL;
    if (outcome->end == STORAGE_DONE || outcome->end == STORAGE_MISSING) {
        delete_next(erasure);
        return;
    }
    log_warn("upload", "cannot delete the object of an upload that its client erases", "client=%s end=%s why=%s",
             erasure->client, storage_end_name(outcome->end), log_quote(quoted, sizeof(quoted), outcome->words));
    erasure_finish(erasure, PROBLEM_STORAGE_UNAVAILABLE);
}

/* False: there is none left. */
static bool take_name(struct erasure *erasure, char out[STORAGE_NAME_SIZE])
{
    size_t len = strcspn(erasure->next, " ");

    if (!len)
        return false;
    (void)snprintf(out, STORAGE_NAME_SIZE, "%.*s", (int)len, erasure->next);
    erasure->next += len;
    erasure->next += strspn(erasure->next, " ");
    return true;
}

/* Names that are not valid cannot be those of objects. */
static void delete_next(struct erasure *erasure)
{
    char name[STORAGE_NAME_SIZE];

    do {
        if (!take_name(erasure, name)) {
            erasure_ask(erasure);
            return;
        }
    } while (!storage_name_is_valid(name));
    if (storage_delete(erasure->uploads->config.storage, name, erasure_on_deleted, erasure, &erasure->call)) {
        erasure->call = NULL;
        erasure_finish(erasure, PROBLEM_STORAGE_UNAVAILABLE);
    }
}

/* -- ASKING */

static void delete_objects(struct erasure *erasure, const char *names)
{
    if (++erasure->rounds > ROUNDS_MAX || strlen(names) >= sizeof(erasure->names)) {
        log_warn("upload", "an upload has new objects while its client erases it", "client=%s", erasure->client);
        erasure_finish(erasure, PROBLEM_STORAGE_UNAVAILABLE);
        return;
    }
    (void)snprintf(erasure->names, sizeof(erasure->names), "%s", names);
    erasure->next = erasure->names;
    delete_next(erasure);
}

static void erasure_on_answer(const redisReply *reply, int err, void *arg)
{
    struct erasure *erasure = arg;
    const char *word = err ? "" : script_answer(reply);
    const char *names = err ? NULL : script_text(reply, AT_NAMES, NULL);

    erasure->run = NULL;
    if (!strcmp(word, "NAMES") && names)
        delete_objects(erasure, names);
    else if (!strcmp(word, "ERASED"))
        erasure_finish(erasure, PROBLEM_COUNT);
    else
        erasure_finish(erasure, !strcmp(word, "NONE") ? PROBLEM_UPLOAD_NOT_FOUND : PROBLEM_STORE_UNAVAILABLE);
}

static int erasure_send(struct erasure *erasure)
{
    const struct script_arg args[] = {SCRIPT_TEXT(erasure->sha256), SCRIPT_TEXT(erasure->names)};
    char prefix[KEYS_CLIENT_SIZE];
    int err;

    keys_client(prefix, erasure->client);
    err = script_run(
        erasure->uploads->config.commands,
        &(struct script_call){
            .script = &scripts[SCRIPT_ERASE_UPLOAD], .prefix = prefix, .args = args, .count = ARRAY_LENGTH(args)},
        erasure_on_answer, erasure, &erasure->run);
    if (err)
        erasure->run = NULL;
    return err;
}

static void erasure_ask(struct erasure *erasure)
{
    if (erasure_send(erasure))
        erasure_finish(erasure, PROBLEM_STORE_UNAVAILABLE);
}

int erasure_start(struct uploads *uploads, const char *client, const char *sha256, erasure_end_fn *on_end, void *arg,
                  struct erasure **out)
{
    struct erasure *erasure = calloc(1, sizeof(*erasure));
    int err;

    if (!erasure)
        return ERR_NO_MEMORY;
    erasure->uploads = uploads;
    erasure->work.abort = erasure_abort;
    erasure->on_end = on_end;
    erasure->arg = arg;
    (void)snprintf(erasure->client, sizeof(erasure->client), "%s", client);
    (void)snprintf(erasure->sha256, sizeof(erasure->sha256), "%s", sha256);
    err = erasure_send(erasure);
    if (err) {
        free(erasure);
        return err;
    }
    LIST_INSERT_HEAD(&uploads->works, &erasure->work, link);
    *out = erasure;
    return 0;
}

void erasure_forget_caller(struct erasure *erasure)
{
    erasure->on_end = NULL;
}
