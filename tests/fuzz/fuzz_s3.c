/* Answers of an S3 server and bucket URLs. Error codes are words, keys point into the body, and an object URL has only safe characters. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/storage/s3_answer.h"
#include "common/storage/s3_bucket.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

enum { TEXT_MAX = 1 << 16 };

static void check_answer(const char *body, size_t len)
{
    char code[S3_CODE_SIZE];
    struct s3_key key;
    size_t at = 0, before = 0;

    s3_error_code(code, body, len);
    must(strlen(code) < S3_CODE_SIZE && strspn(code, ALNUM) == strlen(code));
    for (int status = 100; status < 600; status += 100)
        must((s3_end_of(status, code) == STORAGE_DONE) == (status == 200 && !*code));
    must(!s3_is_done(200, body, len) || !*code);
    (void)s3_is_list(body, len);
    while (s3_next_key(body, len, &at, &key)) {
        must(key.text >= body && key.text + key.len <= body + len && at > before && at <= len);
        before = at;
    }
    (void)s3_list_is_truncated(body, len);
}

static void check_bucket(const char *url, const char *endpoint, const char *region)
{
    for (int style = S3_STYLE_AUTO; style <= S3_STYLE_PATH; style++) {
        struct s3_bucket bucket;
        struct buf text;
        int err;

        buf_init(&text, TEXT_MAX);
        err = s3_bucket_read(&bucket, url, endpoint, region, (enum s3_style)style, &text);
        must(err ? err == ERR_SYNTAX && text.len : !text.len);
        if (!err) {
            s3_bucket_write_origin(&text, &bucket);
            s3_bucket_write_path(&text, &bucket, "d/i");
            must(strspn(buf_text(&text), ALNUM "-._~/:[]") == text.len && !strstr(buf_text(&text), "/../"));
            must(!strstr(strstr(buf_text(&text), "://") + 3, "//"));
        }
        buf_deinit(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *body = malloc(size + !size), *text = malloc(size + 1), *endpoint, *region;

    must(body && text);
    if (size) {
        memcpy(body, data, size);
        memcpy(text, data, size);
    }
    text[size] = '\0';
    check_answer(body, size);
    endpoint = strchr(text, '\n');
    if (endpoint)
        *endpoint++ = '\0';
    region = endpoint ? strchr(endpoint, '\n') : NULL;
    if (region)
        *region++ = '\0';
    check_bucket(text, endpoint ? endpoint : "", region ? region : "");
    free(body);
    free(text);
    return 0;
}
