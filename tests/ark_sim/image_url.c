#include "tests/ark_sim/image_url.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/ark_sim/behaviour.h"

enum { DATE_SIZE = 17, SIGNATURE_BYTES = 32, QUERY_SIZE = 512 };

static const char secret[] = "arkrelay-ark-sim";
static const char date_format[] = "%Y%m%dT%H%M%SZ";

static void write_signature(char out[2 * SIGNATURE_BYTES + 1], const char *path, size_t path_len, const char *date)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    struct buf text;
    unsigned len = 0;

    buf_init(&text, SIM_URL_MAX);
    buf_add(&text, path, path_len);
    buf_addf(&text, "\n%s\n%d", date, SIM_URL_LIFETIME_S);
    (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)buf_text(&text), text.len, digest,
               &len);
    for (int i = 0; i < SIGNATURE_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    buf_deinit(&text);
}

static void write_query(char out[QUERY_SIZE], const char *path, size_t path_len, const char *date)
{
    char signature[2 * SIGNATURE_BYTES + 1];

    write_signature(signature, path, path_len, date);
    (void)snprintf(
        out, QUERY_SIZE,
        "X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Credential=AKSIMULATOR%%2F%.8s%%2Fcn-beijing%%2Ftos%%2Frequest"
        "&X-Tos-Date=%s&X-Tos-Expires=%d&X-Tos-Signature=%s&X-Tos-SignedHeaders=host",
        date, date, SIM_URL_LIFETIME_S, signature);
}

void sim_image_url_write(struct buf *out, const char *public_url, const struct sim_image_name *name, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    char path[256], date[DATE_SIZE], query[QUERY_SIZE];
    struct tm tm;

    (void)snprintf(path, sizeof(path), "/%s/%s_%d.%s", name->model, name->request_id, name->index,
                   sim_picture_extension(name->format));
    gmtime_r(&seconds, &tm);
    (void)strftime(date, sizeof(date), date_format, &tm);
    write_query(query, path, strlen(path), date);
    buf_addf(out, "%s%s?%s", public_url, path, query);
}

/* The end of the path: _<index>.<extension> */
static bool read_name(struct http_text path, int *index, enum sim_picture_format *format)
{
    for (int i = 0; i < SIM_IMAGES_MAX; i++)
        for (int k = 0; k < SIM_PICTURE_FORMATS; k++) {
            char end[24];
            size_t len =
                (size_t)snprintf(end, sizeof(end), "_%d.%s", i, sim_picture_extension((enum sim_picture_format)k));

            if (path.len <= len || memcmp(path.data + path.len - len, end, len))
                continue;
            *index = i;
            *format = (enum sim_picture_format)k;
            return true;
        }
    return false;
}

static bool read_date(struct http_text query, char date[DATE_SIZE], int64_t *signed_ms)
{
    static const char name[] = "&X-Tos-Date=";
    const char *at = query.data ? memmem(query.data, query.len, name, strlen(name)) : NULL;
    const char *end;
    struct tm tm = {0};

    if (!at || (size_t)(query.data + query.len - at) < strlen(name) + DATE_SIZE - 1)
        return false;
    memcpy(date, at + strlen(name), DATE_SIZE - 1);
    date[DATE_SIZE - 1] = '\0';
    end = strptime(date, date_format, &tm);
    *signed_ms = (int64_t)timegm(&tm) * 1000;
    return end && !*end;
}

enum sim_access sim_image_url_check(struct http_text path, struct http_text query, int64_t now_ms, int *index,
                                    enum sim_picture_format *format)
{
    char date[DATE_SIZE], expected[QUERY_SIZE];
    int64_t signed_ms;

    if (!read_name(path, index, format))
        return SIM_ACCESS_UNKNOWN;
    if (!read_date(query, date, &signed_ms))
        return SIM_ACCESS_DENIED;
    write_query(expected, path.data, path.len, date);
    if (query.len != strlen(expected) || memcmp(query.data, expected, query.len))
        return SIM_ACCESS_DENIED;
    return now_ms > signed_ms + SIM_URL_LIFETIME_S * 1000LL ? SIM_ACCESS_EXPIRED : SIM_ACCESS_GRANTED;
}
