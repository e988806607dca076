/* DELETE /p/{day}/{id}: erases a stored picture, for its owner
 *
 * Usually Redis knows the picture: it answers 404 from then on, and a worker deletes it. After Redis was emptied only the storage knows it, with
 * its owner; then it is deleted here.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/http/server.h"
#include "common/storage/storage.h"
#include "common/task/keys.h"
#include "common/task/task.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/picture_path.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

/* A deletion by this gateway. */
struct removal {
    struct http_exchange *exchange;
    struct storage *storage;
    struct storage_call *call; /* first a get, for the owner */
    char name[STORAGE_NAME_SIZE], owner[STORAGE_OWNER_SIZE];
};

static void removal_free(struct removal *removal)
{
    if (removal->call)
        storage_cancel(removal->call);
    free(removal);
}

static void removal_on_closed(void *arg)
{
    removal_free(arg);
}

static void removal_refuse(struct removal *removal, enum storage_end end)
{
    respond_problem(removal->exchange, end == STORAGE_MISSING ? PROBLEM_PICTURE_NOT_FOUND : PROBLEM_STORAGE_UNAVAILABLE,
                    NULL);
    removal_free(removal);
}

static void removal_on_end(const struct storage_outcome *outcome, void *arg)
{
    struct removal *removal = arg;

    removal->call = NULL;
    if (outcome->end != STORAGE_DONE) {
        log_warn("picture", "cannot read or delete a picture of which only the storage knows", "end=%s words=\"%s\"",
                 storage_end_name(outcome->end), outcome->words);
        removal_refuse(removal, outcome->end);
        return;
    }
    http_respond(removal->exchange, 204, NULL, NULL, 0);
    removal_free(removal);
}

static void removal_on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct removal *removal = arg;

    (void)range;
    storage_cancel(removal->call);
    removal->call = NULL;
    if (strcmp(about->owner, removal->owner) != 0) {
        removal_refuse(removal, STORAGE_MISSING);
    } else if (storage_delete(removal->storage, removal->name, removal_on_end, removal, &removal->call)) {
        removal->call = NULL;
        removal_refuse(removal, STORAGE_BUSY);
    }
}

static void removal_on_bytes(const char *bytes, size_t len, void *arg)
{
    (void)bytes;
    (void)len;
    (void)arg;
}

static void remove_unknown(struct http_exchange *exchange, const struct api_context *context,
                           const struct picture_path *path)
{
    struct removal *removal = calloc(1, sizeof(*removal));
    const struct storage_get_events events = {
        .on_open = removal_on_open, .on_bytes = removal_on_bytes, .on_end = removal_on_end, .arg = removal};

    if (!removal) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    removal->exchange = exchange;
    removal->storage = context->storage;
    storage_name_of_picture(removal->name, path->day, path->id);
    (void)snprintf(removal->owner, sizeof(removal->owner), "%s", admission_client(exchange)->name);
    http_exchange_on_closed(exchange, removal_on_closed, removal);
    if (storage_get(context->storage, removal->name, &events, &removal->call)) {
        removal->call = NULL;
        removal_refuse(removal, STORAGE_BUSY);
    }
}

static void picture_on_erased(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const struct api_context *context = arg;
    struct picture_path path;

    if (!strcmp(script_answer(reply), "ERASED"))
        http_respond(exchange, 204, NULL, NULL, 0);
    else if (strcmp(script_answer(reply), "UNKNOWN") != 0)
        respond_problem(exchange, PROBLEM_PICTURE_NOT_FOUND, NULL);
    else if (picture_path_read(exchange, context, &path)) /* it may have expired since */
        remove_unknown(exchange, context, &path);
}

void api_picture_erase(struct http_exchange *exchange, void *arg)
{
    struct api_context *context = arg;
    char prefix[KEYS_PREFIX_SIZE], day[STORAGE_DAY_SIZE];
    struct picture_path path;

    if (!picture_path_read(exchange, context, &path))
        return;
    keys_prefix(prefix, 0);
    storage_day_write(day, path.day);
    redis_query_send(context->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_ERASE_PICTURE,
                         .prefix = prefix,
                         .args = {path.id, day, admission_client(exchange)->name},
                         .answer = picture_on_erased,
                         .arg = context
    });
}
