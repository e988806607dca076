#include "common/task/storage_check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/random.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"

enum { CHECK_MS = 30 * 1000 };

struct storage_check {
    struct storage_check_config config;
    struct loop_timer *timer;
    struct script_run *run;
    bool has_failed, has_passed; /* neither: Redis has not answered yet */
};

static void check_set(struct storage_check *check, bool has_failed, const char *known)
{
    check->has_passed = !has_failed;
    if (check->has_failed == has_failed)
        return;
    check->has_failed = has_failed;
    if (check->config.is_quiet)
        return;
    if (has_failed)
        log_error(
            "storage",
            "this is not the storage of the other programs: set the same STORAGE for all, or, if it was changed on purpose, "
            "delete the key " KEYS_STORAGE "identity in Redis",
            "this=\"%s\" known=\"%s\"", check->config.identity, known);
    else
        log_info("storage", "this is the storage of all programs again", "this=\"%s\"", check->config.identity);
}

static void check_on_reply(const redisReply *reply, int err, void *arg)
{
    struct storage_check *check = arg;
    const char *answer = err ? "" : script_answer(reply), *known;

    check->run = NULL;
    if (!strcmp(answer, "SAME"))
        check_set(check, false, "");
    else if (!strcmp(answer, "OTHER") && (known = script_text(reply, 1, NULL)))
        check_set(check, true, known);
}

void storage_check_resume(struct storage_check *check)
{
    size_t kind_len = check ? strcspn(check->config.identity, " ") : 0;

    if (!check || check->run)
        return;
    const struct script_arg args[] = {
        SCRIPT_TEXT(check->config.identity), {check->config.identity, kind_len}
    };
    const struct script_call call = {
        .script = &scripts[SCRIPT_IDENTIFY], .prefix = KEYS_STORAGE, .args = args, .count = 2};

    if (script_run(check->config.redis, &call, check_on_reply, check, &check->run))
        check->run = NULL; /* not connected: asked again when it is */
}

static void check_on_timer(void *arg)
{
    struct storage_check *check = arg;

    loop_timer_start(check->timer, CHECK_MS / 2 + (int64_t)(random_unit() * CHECK_MS));
    storage_check_resume(check);
}

struct storage_check *storage_check_create(const struct storage_check_config *config)
{
    struct storage_check *check = calloc(1, sizeof(*check));

    if (!check)
        return NULL;
    check->config = *config;
    check->timer = loop_timer_create(config->loop, check_on_timer, check);
    if (!check->timer)
        return storage_check_destroy(check);
    check_on_timer(check);
    return check;
}

struct storage_check *storage_check_destroy(struct storage_check *check)
{
    if (!check)
        return NULL;
    if (check->run)
        script_cancel(check->run);
    loop_timer_destroy(check->timer);
    free(check);
    return NULL;
}

bool storage_check_passed(const struct storage_check *check)
{
    return check->has_passed;
}

bool storage_check_failed(const struct storage_check *check)
{
    return check && check->has_failed;
}
