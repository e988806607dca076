#include "gateway/access/bearer.h"

#include <string.h>
#include <strings.h>

#include "common/base/sha256.h"
#include "common/http/server.h"
#include "gateway/access/key_token.h"
#include "gateway/response/respond.h"

#define SCHEME "Bearer"

struct http_text bearer_token(const struct http_request *request)
{
    struct http_text header = http_request_header(request, "Authorization");
    size_t at = strlen(SCHEME);

    if (header.len <= at || strncasecmp(header.data, SCHEME, at) != 0 || header.data[at] != ' ')
        return (struct http_text){0};
    while (at < header.len && header.data[at] == ' ')
        at++;
    return (struct http_text){header.data + at, header.len - at};
}

/* SHA-256 first: the digests have equal length, whatever the texts have. */
bool bearer_is(struct http_text token, const char *key)
{
    unsigned char digests[2][KEY_DIGEST_SIZE];

    return token.data && !sha256(digests[0], token.data, token.len) && !sha256(digests[1], key, strlen(key)) &&
           key_digest_is(digests[0], digests[1]);
}

void bearer_refuse(struct http_exchange *exchange)
{
    http_add_header(exchange, "WWW-Authenticate", SCHEME " realm=\"arkrelay\"");
    respond_problem(exchange, PROBLEM_UNAUTHORIZED, NULL);
}
