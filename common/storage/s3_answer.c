#include "common/storage/s3_answer.h"

#include <string.h>

#include "common/base/macros.h"

/* The text between <name> and </name>, from *at on. NULL: there is no such element. */
static const char *find_element(const char *body, size_t len, const char *opening, const char *closing, size_t *at,
                                size_t *text_len)
{
    const char *text = *at < len ? memmem(body + *at, len - *at, opening, strlen(opening)) : NULL;
    const char *end;

    if (!text)
        return NULL;
    text += strlen(opening);
    end = memmem(text, len - (size_t)(text - body), closing, strlen(closing));
    if (!end)
        return NULL;
    *text_len = (size_t)(end - text);
    *at = (size_t)(end - body) + strlen(closing);
    return text;
}

static bool is_s3_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
              (text[i] >= '0' && text[i] <= '9')))
            return false;
    return len > 0;
}

void s3_error_code(char out[S3_CODE_SIZE], const char *body, size_t len)
{
    size_t at = 0, text_len;
    const char *text = find_element(body, len, "<Code>", "</Code>", &at, &text_len);

    out[0] = '\0';
    if (!text || text_len >= S3_CODE_SIZE || !is_s3_word(text, text_len))
        return;
    memcpy(out, text, text_len);
    out[text_len] = '\0';
}

static const struct row {
    const char *code;
    enum storage_end end;
} codes[] = {
    {"NoSuchKey",                      STORAGE_MISSING},
    {"NoSuchBucket",                   STORAGE_DENIED },
    {"SlowDown",                       STORAGE_BUSY   },
    {"ServiceUnavailable",             STORAGE_BUSY   },
    {"TooManyRequests",                STORAGE_BUSY   },
    {"RequestTimeout",                 STORAGE_FAILED }, /* with 400 */
    {"InternalError",                  STORAGE_FAILED },
    {"OperationAborted",               STORAGE_FAILED },
    {"BadDigest",                      STORAGE_FAILED }, /* the body was damaged on its way */
    {"XAmzContentSHA256Mismatch",      STORAGE_FAILED },
    {"IncompleteBody",                 STORAGE_FAILED },
    {"EntityTooLarge",                 STORAGE_INVALID},
    {"QuotaExceeded",                  STORAGE_FULL   },
    {"XMinioStorageFull",              STORAGE_FULL   },
    {"XMinioAdminBucketQuotaExceeded", STORAGE_FULL   },
};

static enum storage_end s3_end_of_status(int status)
{
    if (status >= 200 && status < 300)
        return STORAGE_DONE;
    switch (status) {
    case 404:
        return STORAGE_MISSING;
    case 429:
    case 503:
        return STORAGE_BUSY;
    case 507:
        return STORAGE_FULL;
    case 408:
    case 409:
    case 425:
        return STORAGE_FAILED;
    default:
        /* 3xx: another region; 4xx: keys, permissions, a request that this server does not know */
        return status >= 300 && status < 500 ? STORAGE_DENIED : STORAGE_FAILED;
    }
}

enum storage_end s3_end_of(int status, const char *code)
{
    enum storage_end end = s3_end_of_status(status);

    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        if (!strcmp(code, codes[i].code))
            return codes[i].end;
    return end == STORAGE_DONE && *code ? STORAGE_FAILED : end;
}

bool s3_is_done(int status, const char *body, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", body[i]))
            return false;
    return status == 200 || status == 201 || status == 204;
}

bool s3_is_list(const char *body, size_t len)
{
    static const char element[] = "<ListBucketResult";

    return len && memmem(body, len, element, sizeof(element) - 1);
}

bool s3_next_key(const char *body, size_t len, size_t *at, struct s3_key *out)
{
    out->text = find_element(body, len, "<Key>", "</Key>", at, &out->len);
    return out->text;
}

bool s3_list_is_truncated(const char *body, size_t len)
{
    static const char truncated[] = "<IsTruncated>true</IsTruncated>";

    return len && memmem(body, len, truncated, sizeof(truncated) - 1);
}
