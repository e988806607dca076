#include "common/web/outgoing.h"

#include "common/base/macros.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    RECEIVE_BUFFER = 4096,
    SEND_BUFFER = 16384,       /* libcurl's minimum; allocated only for a body that it reads in pieces */
    SMALL_BODY_MAX = 64 << 10, /* sent together with the head */
    KEEPALIVE_IDLE_S = 30,     /* a connection is silent for a minute and more while ARK generates */
    KEEPALIVE_INTERVAL_S = 10,
};

/* NULL: a URL that is not allowed. */
static const char *scheme_of(const char *url)
{
    if (!strncasecmp(url, "https://", 8))
        return "https";
    return strncasecmp(url, "http://", 7) ? NULL : "http";
}

bool outgoing_is_allowed(const char *url)
{
    return scheme_of(url);
}

/* libcurl repeats a request by itself when a reused connection turns out to be dead, or when an HTTP/2 server refuses the stream.
 * A paid request must not be repeated. So each request has a new connection, which no other request uses, and HTTP/1.1.
 * A redirect would be a second request too, and a proxy from the environment might repeat one. */
static unsigned set_send_once(CURL *easy)
{
    unsigned failed = 0;

    failed |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    failed |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    failed |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return failed;
}

static unsigned set_connection(CURL *easy, const struct outgoing_setup *setup)
{
    unsigned failed = 0;

    failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* removing a handle does not wait for its name lookup */
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
    failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)setup->connect_ms);
    failed |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)setup->total_ms);
    failed |= curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)(setup->buffer ? setup->buffer : RECEIVE_BUFFER));
    failed |= curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)(setup->buffer ? setup->buffer : SEND_BUFFER));
    return failed;
}

/* Setting an option allocates and may fail. A request without one of these options could go through a proxy or be repeated, so
 * every failure counts. ACCEPT_ENCODING makes libcurl decode a compressed answer; the header itself is not sent. */
static bool set_curl_options(CURL *easy, const struct outgoing_setup *setup)
{
    unsigned failed = set_send_once(easy) | set_connection(easy, setup);

    failed |= curl_easy_setopt(easy, CURLOPT_URL, setup->url);
    failed |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme_of(setup->url));
    if (!setup->is_raw)
        failed |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
    if (setup->user_agent)
        failed |= curl_easy_setopt(easy, CURLOPT_USERAGENT, setup->user_agent);
    return !failed;
}

/* libcurl's list and a copy of the lines, in one block of memory. A name without a value removes libcurl's own header. */
static struct curl_slist *copy_headers(const char *const *lines)
{
    static const char *const removed[] = {"Expect:", "Accept-Encoding:"};
    enum { REMOVED = ARRAY_LENGTH(removed) };
    size_t count = REMOVED, bytes = 0;
    struct curl_slist *list;
    char *text;

    for (size_t i = 0; i < REMOVED; i++)
        bytes += strlen(removed[i]) + 1;
    for (; lines[count - REMOVED]; count++)
        bytes += strlen(lines[count - REMOVED]) + 1;
    list = malloc(count * sizeof(*list) + bytes);
    if (!list)
        return NULL;
    text = (char *)(list + count);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct curl_slist){.data = text, .next = i + 1 < count ? &list[i + 1] : NULL};
        text = stpcpy(text, i < REMOVED ? removed[i] : lines[i - REMOVED]) + 1;
    }
    return list;
}

/* Frees a large body once libcurl has read all of it. A body with images as data: URLs has megabytes, and the answer takes a
 * minute and more. */
size_t outgoing_read(struct outgoing *outgoing, char *out, size_t room)
{
    size_t len = outgoing->len - outgoing->sent;

    len = len < room ? len : room;
    if (len)
        memcpy(out, outgoing->body + outgoing->sent, len);
    outgoing->sent += len;
    if (outgoing->sent == outgoing->len) {
        free(outgoing->body);
        outgoing->body = NULL;
    }
    return len;
}

static void set_body(struct outgoing *outgoing, CURL *easy, const struct outgoing_setup *setup)
{
    outgoing->len = setup->body_len;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)setup->body_len);
    if (setup->body_len <= SMALL_BODY_MAX)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, setup->body); /* not copied by libcurl */
}

/* Without a body, or with one that the caller's read function gives. */
static bool set_method(CURL *easy, const struct outgoing_setup *setup)
{
    if (!strcmp(setup->method, "PUT"))
        return !curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) &&
               !curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)setup->upload_len);
    if (!strcmp(setup->method, "HEAD"))
        return !curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return !curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) &&
           (!strcmp(setup->method, "GET") || !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, setup->method));
}

int outgoing_prepare(struct outgoing *outgoing, CURL *easy, const struct outgoing_setup *setup)
{
    outgoing->headers = copy_headers(setup->headers);
    if (!outgoing->headers || !set_curl_options(easy, setup))
        return ERR_NO_MEMORY;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, outgoing->headers);
    if (setup->method)
        return set_method(easy, setup) ? 0 : ERR_NO_MEMORY;
    set_body(outgoing, easy, setup);
    return 0;
}

bool outgoing_is_unread(const struct outgoing *outgoing)
{
    return outgoing->len > SMALL_BODY_MAX && outgoing->sent < outgoing->len;
}

void outgoing_deinit(struct outgoing *outgoing)
{
    free(outgoing->headers);
    free(outgoing->body);
}
