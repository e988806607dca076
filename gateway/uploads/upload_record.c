#include "gateway/uploads/upload_record.h"

#include <string.h>

#include "common/base/decimal.h"
#include "common/base/macros.h"
#include "common/storage/record.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/uploads/life.h"
#include "gateway/uploads/uploads.h"

enum upload_answer upload_answer_of(const redisReply *reply)
{
    static const char *const words[] = {[UPLOAD_OK] = "OK",
                                        [UPLOAD_SAME] = "SAME",
                                        [UPLOAD_NEW] = "NEW",
                                        [UPLOAD_LIMITED] = "LIMITED",
                                        [UPLOAD_GONE] = "GONE"};

    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (!strcmp(script_answer(reply), words[i]))
            return (enum upload_answer)i;
    return UPLOAD_FAILED;
}

int upload_record_send(const struct uploads *uploads, const struct upload_record *record, redis_reply_fn *done,
                       void *arg, struct script_run **run)
{
    const struct uploads_config *config = &uploads->config;
    const struct storage_about *about = record->about;
    char prefix[KEYS_CLIENT_SIZE], bytes[DECIMAL_SIZE], count_max[DECIMAL_SIZE], bytes_max[DECIMAL_SIZE],
        life[DECIMAL_SIZE], covers[DECIMAL_SIZE], width[DECIMAL_SIZE], height[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(about->sha256),
        {bytes,     decimal_write(bytes,     about->size)             },
        {count_max, decimal_write(count_max, config->count_max)       },
        {bytes_max, decimal_write(bytes_max, config->bytes_max)       },
        {life,      decimal_write(life,      UPLOAD_LIFE_MS)          },
        SCRIPT_TEXT(record->name),
        {covers,    decimal_write(covers,    upload_covers(record->day, config->queue_ttl_ms))},
        SCRIPT_TEXT(image_media_type(about->image.type)),
        {width,         decimal_write(width,                            about->image.width)                         },
        {height,         decimal_write(height,                           about->image.height)},
        SCRIPT_TEXT(record->replaces),
    };

    keys_client(prefix, record->client);
    return script_run(
        config->commands,
        &(struct script_call){
            .script = &scripts[SCRIPT_UPLOAD], .prefix = prefix, .args = args, .count = ARRAY_LENGTH(args)},
        done, arg, run);
}
