/* GET /, /dashboard and the files they load, embedded from gateway/pages/, and GET /openapi.json */
#include <stdbool.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/http/server.h"
#include "gateway/api/service/embedded_file.h"
#include "gateway/api/service/endpoints.h"
#include "gateway/response/respond.h"

extern const struct embedded_file openapi_files[], page_files[];
extern const size_t page_files_count;

static const struct {
    const char *path, *name;
} pages[] = {
    {"/",          "pages/playground.html"},
    {"/dashboard", "pages/dashboard.html" },
};

/* Scripts, styles and connections only from and to this gateway. Images from any host: the links of ARK and of users cannot be
 * listed in advance. */
static const struct {
    const char *name, *value;
} security_headers[] = {
    {"Content-Security-Policy",    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                                "img-src 'self' https: http: data: blob:; form-action 'none'; base-uri 'none'; "
                                "frame-ancestors 'none'"},
    {"Referrer-Policy",            "no-referrer"                                       },
    {"Permissions-Policy",         "camera=(), geolocation=(), microphone=()"          },
    {"Cross-Origin-Opener-Policy", "same-origin"                                       },
};

static const struct embedded_file *named(const char *name, size_t len)
{
    for (size_t i = 0; i < page_files_count; i++)
        if (strlen(page_files[i].name) == len && memcmp(page_files[i].name, name, len) == 0)
            return &page_files[i];
    return NULL;
}

/* The two pages have their own addresses. Other files are addressed by their path in the source tree. */
static const struct embedded_file *find_page(struct http_text path)
{
    for (size_t i = 0; i < ARRAY_LENGTH(pages); i++)
        if (http_text_is(path, pages[i].path))
            return named(pages[i].name, strlen(pages[i].name));
    return named(path.data + 1, path.len - 1);
}

/* If-None-Match is a list of tags, some with a W/ prefix. Searching for our quoted hash finds it in any of these forms. */
static bool client_has_tag(const struct http_request *request, const char *etag)
{
    struct http_text list = http_request_header(request, "If-None-Match");

    return list.data && (http_text_is(list, "*") || memmem(list.data, list.len, etag, strlen(etag)));
}

/* 200 with the file, or 304 if the client has this version. A browser asks on every use, so a new version of the program is visible at once. */
static void respond_file(struct http_exchange *exchange, const struct embedded_file *file)
{
    http_add_header(exchange, "ETag", file->etag);
    http_add_header(exchange, "Cache-Control", "no-cache");
    if (client_has_tag(http_exchange_request(exchange), file->etag))
        http_respond(exchange, 304, NULL, NULL, 0);
    else
        http_respond(exchange, 200, file->media_type, file->bytes, file->len);
}

void api_pages(struct http_exchange *exchange, void *arg)
{
    const struct embedded_file *file = find_page(http_exchange_request(exchange)->path);

    (void)arg;
    if (!file) {
        respond_problem(exchange, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(security_headers); i++)
        http_add_header(exchange, security_headers[i].name, security_headers[i].value);
    respond_file(exchange, file);
}

/* The description of the API: docs/openapi.json. */
void api_openapi(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    respond_file(exchange, &openapi_files[0]);
}
