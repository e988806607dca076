#include "common/web/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/web/web.h"

enum {
    RECEIVE_BUFFER = 4096,
    SEND_BUFFER = 16384,       /* libcurl's minimum; it has one only for a body that it asks for */
    SMALL_BODY_MAX = 64 << 10, /* leaves with the head, in one piece */
};

/* "http" or "https"; NULL for any other. */
static const char *scheme_of(const char *url)
{
    if (!strncasecmp(url, "https://", 8))
        return "https";
    return strncasecmp(url, "http://", 7) ? NULL : "http";
}

bool post_may_go_to(const char *url)
{
    return scheme_of(url);
}

/* The three that keep libcurl from ever sending a request twice are FRESH_CONNECT, FORBID_REUSE and HTTP/1.1: it
 * repeats what died on a reused connection, or was refused as a stream of HTTP/2. libcurl decodes a compressed answer only
 * where ACCEPT_ENCODING is set; the header itself is not sent. An option that is not kept, for want of memory,
 * must not be missed: without them a request may go through somebody's proxy, or trust every authority of the system. */
static bool set_options(CURL *easy, const struct web_setup *setup, const struct web_request *request)
{
    unsigned failed = 0;

    failed |= curl_easy_setopt(easy, CURLOPT_URL, request->url);
    failed |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme_of(request->url));
    failed |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    failed |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    failed |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    failed |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
    failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);    /* dropping a call must not wait for its name lookup */
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L); /* a connection is silent for a minute and more */
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    failed |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)setup->connect_ms);
    failed |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->total_ms);
    failed |= curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    failed |= curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
    if (setup->user_agent)
        failed |= curl_easy_setopt(easy, CURLOPT_USERAGENT, setup->user_agent);
    return !failed;
}

/* The list as libcurl has it, and the lines behind it, in one block. Headers of libcurl's own that are not sent come first. */
static struct curl_slist *copy_headers(const char *const *lines)
{
    static const char *const unsent[] = {"Expect:", "Accept-Encoding:"};
    enum { UNSENT = sizeof(unsent) / sizeof(unsent[0]) };
    size_t count = UNSENT, bytes = 0;
    struct curl_slist *list;
    char *text;

    for (size_t i = 0; i < UNSENT; i++)
        bytes += strlen(unsent[i]) + 1;
    for (; lines[count - UNSENT]; count++)
        bytes += strlen(lines[count - UNSENT]) + 1;
    list = malloc(count * sizeof(*list) + bytes);
    if (!list)
        return NULL;
    text = (char *)(list + count);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct curl_slist){.data = text, .next = i + 1 < count ? &list[i + 1] : NULL};
        text = stpcpy(text, i < UNSENT ? unsent[i] : lines[i - UNSENT]) + 1;
    }
    return list;
}

/* A large body (pictures, as data: URLs) is gone once libcurl has it all: the answer takes a minute and more. */
static size_t on_read(char *out, size_t one, size_t room, void *arg)
{
    struct post *post = arg;
    size_t len = post->len - post->sent;

    (void)one;
    len = len < room ? len : room;
    if (len)
        memcpy(out, post->body + post->sent, len);
    post->sent += len;
    if (post->sent == post->len) {
        free(post->body);
        post->body = NULL;
    }
    return len;
}

static void set_body(struct post *post, CURL *easy, const struct web_request *request)
{
    post->len = request->body_len;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    if (request->body_len <= SMALL_BODY_MAX) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body); /* not copied; the post keeps it */
        return;
    }
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, post);
}

int post_prepare(struct post *post, CURL *easy, const struct web_setup *setup, const struct web_request *request)
{
    post->headers = copy_headers(request->headers);
    if (!post->headers || !set_options(easy, setup, request))
        return ERR_NO_MEMORY;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
    set_body(post, easy, request);
    return 0;
}

void post_deinit(struct post *post)
{
    free(post->headers);
    free(post->body);
}
