#include "worker/ark/redact.h"

#include "common/base/macros.h"

#include <string.h>
#include <strings.h>

enum { WORD_MAX = 80, WORD_KEPT = 24 };

struct output {
    char *out;
    size_t size, len;
};

static void put(struct output *output, const char *text, size_t len)
{
    size_t left = output->size - 1 - output->len;

    len = len < left ? len : left;
    memcpy(output->out + output->len, text, len);
    output->len += len;
}

/* A URL or a word of base64 ends at white space, quotes and brackets. */
static size_t word_length(const char *text)
{
    return strcspn(text, " \t\r\n\"'`<>()[]{}\\");
}

static size_t url_scheme_length(const char *text)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++)
        if (!strncasecmp(text, schemes[i], strlen(schemes[i])))
            return strlen(schemes[i]);
    return 0;
}

/* Copies a URL without user, password and query. */
static void put_url(struct output *output, const char *text, size_t len)
{
    size_t scheme = url_scheme_length(text), authority = strcspn(text + scheme, "/?#"), plain = strcspn(text, "?#"),
           user;

    put(output, text, scheme);
    authority = scheme + authority < len ? authority : len - scheme;
    for (user = authority; user && text[scheme + user - 1] != '@';)
        user--;
    plain = plain < len ? plain : len;
    put(output, text + scheme + user, plain - scheme - user);
    if (plain < len)
        put(output, "?...", 4);
}

static void put_word(struct output *output, const char *text, size_t len)
{
    size_t at = 0;

    while (at < len && !url_scheme_length(text + at))
        at++;
    put(output, text, at <= WORD_MAX ? at : WORD_KEPT);
    if (at > WORD_MAX)
        put(output, "...", 3);
    if (at < len)
        put_url(output, text + at, len - at);
}

const char *redact(char *out, size_t size, const char *text)
{
    struct output output = {out, size, 0};

    while (*text) {
        size_t len = word_length(text);

        put_word(&output, text, len);
        text += len;
        if (*text)
            put(&output, text++, 1);
    }
    out[output.len] = '\0';
    return out;
}

void redact_secret(char *text, const char *secret)
{
    size_t len = secret ? strlen(secret) : 0;

    if (len)
        for (char *at = text; (at = strstr(at, secret)); at += len)
            memset(at, '*', len);
}
