/* DELETE of an object, and the sweep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/disk_pool.h"
#include "common/base/macros.h"
#include "common/storage/s3_answer.h"
#include "common/storage/s3_call.h"
#include "common/storage/s3_operations.h"

enum {
    LIST_BODY_MAX = 256 << 10,
    LISTS_MAX = 100,  /* of one sweep, until one has something to delete */
    DENIED_MAX = 100, /* deletions of one sweep that the server refuses */
};

struct removal {
    struct s3_call call;
    storage_end_fn *on_end;
};

static int send_removal(struct s3_call *call, const char *name)
{
    struct s3_request request = {
        .method = "DELETE",
        .key = name,
        .payload = SIGV4_EMPTY,
        .timeout_ms = s3_of(call)->timeout_ms,
        .answer_max = S3_ANSWER_MAX,
    };

    return s3_call_send(call, &request, &s3_plain_events);
}

static void removal_answered(struct s3_call *call)
{
    s3_call_check_done(call);
    s3_call_finish(call, container_of(call, struct removal, call)->on_end);
}

int s3_remove(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg, struct storage_call **out)
{
    struct removal *removal = calloc(1, sizeof(*removal));

    if (!removal)
        return ERR_NO_MEMORY;
    s3_call_begin(storage, &removal->call, name, arg);
    removal->call.answered = removal_answered;
    removal->on_end = on_end;
    return s3_call_started(&removal->call, send_removal(&removal->call, name), out);
}

/* -- sweep: lists the keys from the oldest day on, and deletes those of swept days one after the other. Keys of other programs, and objects that
 * the server refuses to delete, are skipped. */

struct sweep {
    struct s3_call call;
    storage_swept_fn *on_end;
    int today, max, deleted, lists, denied;
    struct storage_outcome failure;                 /* of the first deletion that was denied */
    struct buf list;                                /* the answer, whose keys are being deleted */
    size_t at;                                      /* offset after the last key that was taken from it */
    struct s3_key last;                             /* that key */
    char after[S3_PREFIX_SIZE + STORAGE_NAME_SIZE]; /* the list begins after this key; "": with the first one */
};

static struct sweep *s3_sweep_of(struct s3_call *call)
{
    return container_of(call, struct sweep, call);
}

static void sweep_end(struct sweep *sweep, bool has_more)
{
    struct s3_call *call = &sweep->call;

    call->is_over = true;
    if (call->outcome.end == STORAGE_DONE)
        call->outcome = sweep->failure;
    sweep->on_end(&call->outcome, sweep->deleted, has_more, call->arg);
    s3_call_tidy(call);
}

/* True if the key has the bucket's prefix; what follows is then in `out`. */
static bool cut_prefix(const struct sweep *sweep, const struct s3_key *key, struct s3_key *out)
{
    const char *prefix = s3_of(&sweep->call)->bucket.prefix;
    size_t len = strlen(prefix);

    if (key->len <= len || memcmp(key->text, prefix, len) != 0)
        return false;
    *out = (struct s3_key){key->text + len, key->len - len};
    return true;
}

/* True if this can be the name of an object of ours; it is then in `out`. */
static bool is_name(const struct s3_key *rest, char out[STORAGE_NAME_SIZE])
{
    if (rest->len >= STORAGE_NAME_SIZE)
        return false;
    memcpy(out, rest->text, rest->len);
    out[rest->len] = '\0';
    return strlen(out) == rest->len && storage_name_is_valid(out);
}

/* True if the key is an object of ours whose day has been swept; its name is then in `out`. */
static bool is_swept(const struct sweep *sweep, const struct s3_key *key, char out[STORAGE_NAME_SIZE])
{
    struct s3_key rest;
    int day;

    return cut_prefix(sweep, key, &rest) && is_name(&rest, out) && storage_day_read(out, strcspn(out, "/"), &day) &&
           storage_day_is_swept(day, sweep->today);
}

static bool next_swept(struct sweep *sweep, char out[STORAGE_NAME_SIZE])
{
    struct s3_key key;

    while (s3_next_key(buf_text(&sweep->list), sweep->list.len, &sweep->at, &key)) {
        sweep->last = key;
        if (is_swept(sweep, &key, out))
            return true;
    }
    return false;
}

/* Chooses where the next list begins: after the last key if that is ours, else at the next day, because no key of ours is in between. False: no
 * swept day follows. */
static bool find_next_list(struct sweep *sweep)
{
    const char *prefix = s3_of(&sweep->call)->bucket.prefix;
    char name[STORAGE_NAME_SIZE], folder[STORAGE_DAY_SIZE];
    struct s3_key rest;
    int day;

    if (!sweep->last.text || !cut_prefix(sweep, &sweep->last, &rest))
        return false;
    if (is_name(&rest, name) && storage_day_read(name, strcspn(name, "/"), &day)) {
        (void)snprintf(sweep->after, sizeof(sweep->after), "%s%s", prefix, name);
    } else {
        day = storage_day_after(rest.text, rest.len);
        storage_day_write(folder, day);
        (void)snprintf(sweep->after, sizeof(sweep->after), "%s%s/", prefix, folder);
    }
    return storage_day_is_swept(day, sweep->today);
}

static int send_list(struct sweep *sweep);
static void sweep_on_removed(struct s3_call *call);

/* No key of the list is left; its buffer may have cut it. If this sweep has deleted something, the next sweep lists the rest. */
static void list_ended(struct sweep *sweep)
{
    const struct buf *list = &sweep->list;
    bool is_truncated = list->len == list->max || s3_list_is_truncated(buf_text(list), list->len);
    int err;

    if (!is_truncated || sweep->deleted || sweep->lists == LISTS_MAX || !find_next_list(sweep)) {
        sweep_end(sweep, is_truncated && sweep->deleted);
        return;
    }
    err = send_list(sweep);
    if (err) {
        s3_call_fail(&sweep->call, err);
        sweep_end(sweep, false);
    }
}

static void delete_next(struct sweep *sweep)
{
    struct s3_call *call = &sweep->call;
    char name[STORAGE_NAME_SIZE];
    int err;

    if (!next_swept(sweep, name)) {
        list_ended(sweep);
        return;
    }
    if (sweep->deleted == sweep->max) {
        sweep_end(sweep, true);
        return;
    }
    call->answered = sweep_on_removed;
    err = send_removal(call, name);
    if (err) {
        s3_call_fail(call, err);
        sweep_end(sweep, false);
    }
}

/* An object may be locked: the others must go nevertheless. */
static bool is_passed(struct sweep *sweep)
{
    struct storage_outcome *outcome = &sweep->call.outcome;

    if (outcome->end != STORAGE_DENIED || ++sweep->denied == DENIED_MAX)
        return false;
    if (sweep->failure.end == STORAGE_DONE)
        sweep->failure = *outcome;
    *outcome = (struct storage_outcome){0};
    return true;
}

static void sweep_on_removed(struct s3_call *call)
{
    struct sweep *sweep = s3_sweep_of(call);

    s3_call_check_done(call);
    if (call->outcome.end == STORAGE_DONE) {
        sweep->deleted++;
    } else if (!is_passed(sweep)) {
        sweep_end(sweep, false);
        return;
    }
    delete_next(sweep);
}

static void sweep_on_listed(struct s3_call *call)
{
    struct sweep *sweep = s3_sweep_of(call);

    s3_call_check(call, s3_is_list(buf_text(&call->body), call->body.len));
    if (call->outcome.end != STORAGE_DONE) {
        sweep_end(sweep, false);
        return;
    }
    buf_deinit(&sweep->list);
    sweep->list = call->body;
    sweep->at = 0;
    sweep->last = (struct s3_key){0};
    buf_init(&call->body, S3_ERROR_BODY_MAX);
    delete_next(sweep);
}

static void sweep_release(struct s3_call *call)
{
    buf_deinit(&s3_sweep_of(call)->list);
}

/* At most 200 keys are about 100 KiB of XML. */
static int send_list(struct sweep *sweep)
{
    struct s3 *s3 = s3_of(&sweep->call);
    const struct sigv4_field query[] = {
        {"list-type",   "2"              },
        {"max-keys",    "200"            },
        {"prefix",      s3->bucket.prefix},
        {"start-after", sweep->after     },
    };
    struct s3_request request = {
        .method = "GET",
        .key = "",
        .query = query,
        .query_count = ARRAY_LENGTH(query) - !*sweep->after,
        .payload = SIGV4_EMPTY,
        .timeout_ms = s3->timeout_ms,
        .answer_max = S3_ANSWER_MAX,
    };

    sweep->lists++;
    sweep->call.answered = sweep_on_listed;
    sweep->call.body.max = LIST_BODY_MAX;
    return s3_call_send(&sweep->call, &request, &s3_plain_events);
}

static void sweep_run_clean(struct disk_job *job)
{
    struct s3_call *call = container_of(job, struct s3_call, job);

    (void)spool_dir_clean(&call->base.storage->spool, SPOOL_CLEAN_MAX);
}

static void sweep_cleaned(struct disk_job *job)
{
    struct s3_call *call = container_of(job, struct s3_call, job);
    struct sweep *sweep = s3_sweep_of(call);
    int err;

    call->is_busy = false;
    if (call->is_over) {
        s3_call_tidy(call);
        return;
    }
    err = job->was_run ? send_list(sweep) : ERR_CLOSED;
    if (err) {
        s3_call_fail(call, err);
        sweep_end(sweep, false);
    }
}

int s3_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
             struct storage_call **out)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    int err;

    if (!sweep)
        return ERR_NO_MEMORY;
    s3_call_begin(storage, &sweep->call, "", arg);
    sweep->call.release = sweep_release;
    sweep->on_end = on_end;
    sweep->today = today;
    sweep->max = max;
    sweep->call.job = (struct disk_job){.run = sweep_run_clean, .done = sweep_cleaned};
    err = disk_start(storage->disk, &sweep->call.job);
    sweep->call.is_busy = !err;
    return s3_call_started(&sweep->call, err, out);
}
