#include "simulator/image_url.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simulator/behaviour.h"

enum { DATE_SIZE = 17, SIGNATURE_BYTES = 32, SIGNATURE_SIZE = 2 * SIGNATURE_BYTES + 1 };

static const char secret[] = "arkrelay-ark-sim";
static const char date_format[] = "%Y%m%dT%H%M%SZ";

struct sim_signer {
    EVP_MAC_CTX *keyed; /* initialised with the secret only; each signature works on a copy */
};

static EVP_MAC_CTX *create_keyed(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *keyed = EVP_MAC_CTX_new(mac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};

    EVP_MAC_free(mac);
    if (EVP_MAC_init(keyed, (const unsigned char *)secret, strlen(secret), params) == 1)
        return keyed;
    EVP_MAC_CTX_free(keyed);
    return NULL;
}

struct sim_signer *sim_signer_create(void)
{
    struct sim_signer *signer = calloc(1, sizeof(*signer));

    if (!signer)
        return NULL;
    signer->keyed = create_keyed();
    return signer->keyed ? signer : sim_signer_destroy(signer);
}

struct sim_signer *sim_signer_destroy(struct sim_signer *signer)
{
    if (signer)
        EVP_MAC_CTX_free(signer->keyed);
    free(signer);
    return NULL;
}

static void write_hex(char out[SIGNATURE_SIZE], const unsigned char bytes[SIGNATURE_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < SIGNATURE_BYTES; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * SIGNATURE_BYTES] = '\0';
}

static void write_signature(const struct sim_signer *signer, char out[SIGNATURE_SIZE], const char *path,
                            size_t path_len, const char *date)
{
    unsigned char digest[SIGNATURE_BYTES] = {0};
    EVP_MAC_CTX *signing = EVP_MAC_CTX_dup(signer->keyed);
    char terms[DATE_SIZE + 16];
    int len = snprintf(terms, sizeof(terms), "\n%s\n%d", date, SIM_URL_LIFETIME_S);

    if (signing) {
        (void)EVP_MAC_update(signing, (const unsigned char *)path, path_len);
        (void)EVP_MAC_update(signing, (const unsigned char *)terms, (size_t)len);
        (void)EVP_MAC_final(signing, digest, NULL, sizeof(digest));
    }
    EVP_MAC_CTX_free(signing);
    write_hex(out, digest);
}

static void add_query(struct buf *out, const struct sim_signer *signer, const char *path, size_t path_len,
                      const char *date)
{
    char signature[SIGNATURE_SIZE];

    write_signature(signer, signature, path, path_len, date);
    buf_add_text(out, "X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Credential=AKSIMULATOR%2F");
    buf_add(out, date, strlen("YYYYmmdd"));
    buf_add_text(out, "%2Fcn-beijing%2Ftos%2Frequest&X-Tos-Date=");
    buf_add_text(out, date);
    buf_add_text(out, "&X-Tos-Expires=");
    buf_add_int(out, SIM_URL_LIFETIME_S);
    buf_add_text(out, "&X-Tos-Signature=");
    buf_add_text(out, signature);
    buf_add_text(out, "&X-Tos-SignedHeaders=host");
}

void sim_image_url_write(struct buf *out, const struct sim_signer *signer, const char *public_url,
                         const struct sim_image_name *name, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    char path[256], date[DATE_SIZE];
    struct tm tm;

    (void)snprintf(path, sizeof(path), "/%s/%s_%d.%s", name->model, name->request_id, name->index,
                   sim_picture_extension(name->format));
    gmtime_r(&seconds, &tm);
    (void)strftime(date, sizeof(date), date_format, &tm);
    buf_add_text(out, public_url);
    buf_add_text(out, path);
    buf_add_char(out, '?');
    add_query(out, signer, path, strlen(path), date);
}

/* Parses the end of the path: _<index>.<extension> */
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

static bool is_signed(const struct sim_signer *signer, struct http_text path, struct http_text query, const char *date)
{
    struct buf expected;
    bool is_same;

    buf_init(&expected, SIM_URL_MAX);
    add_query(&expected, signer, path.data, path.len, date);
    is_same = http_text_is(query, buf_text(&expected));
    buf_deinit(&expected);
    return is_same;
}

enum sim_access sim_image_url_check(const struct sim_signer *signer, struct http_text path, struct http_text query,
                                    int64_t now_ms, int *index, enum sim_picture_format *format)
{
    char date[DATE_SIZE];
    int64_t signed_ms;

    if (!read_name(path, index, format))
        return SIM_ACCESS_UNKNOWN;
    if (!read_date(query, date, &signed_ms) || !is_signed(signer, path, query, date))
        return SIM_ACCESS_DENIED;
    return now_ms > signed_ms + SIM_URL_LIFETIME_S * 1000LL ? SIM_ACCESS_EXPIRED : SIM_ACCESS_GRANTED;
}
