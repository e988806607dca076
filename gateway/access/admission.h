/* admission - which client sends a request, whether it may, and what its limits leave
 *
 * Runs before routing, for every request. Keys are accepted in the Authorization header only (RFC 6750): URLs end up in logs.
 *
 * Clients: every request below one of the configured paths. With a keys file the request needs a valid API key; without one, every
 * request belongs to the client `public`. If the client has a limit of requests per minute, the request is held until the script LIMIT
 * has replied. While Redis is not connected that is a 503, like everywhere.
 *
 * Operators: /admin/ needs the admin key. If none is configured, everything below /admin/ returns 404. With a key configured, every
 * request below /admin/ without it returns 401, whether the address exists or not. /metrics needs the key only if one is configured.
 * API keys of clients are not accepted.
 *
 * A CORS preflight request (OPTIONS) cannot carry a key and is let through.
 *
 * The limits of a client are stated in the fields of draft-ietf-httpapi-ratelimit-headers. Only limits that the client has are listed.
 * `t` is the number of seconds until the full quota is available again, or, if nothing is left, until at least one unit is.
 *
 *     RateLimit-Policy: "requests";q=600;w=60, "images";q=200;w=86400
 *     RateLimit: "requests";r=599;t=1
 *
 * Clients of OpenAI's API read the requests per minute from other headers. Below openai_path they are sent too:
 *
 *     x-ratelimit-limit-requests: 600
 *     x-ratelimit-remaining-requests: 599
 *     x-ratelimit-reset-requests: 100ms
 *
 * Threads: loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_ADMISSION_H
#define ARKRELAY_GATEWAY_ACCESS_ADMISSION_H

#include <stdint.h>

struct client;
struct http_exchange;
struct keyring;
struct keyset;
struct redis;

/* All borrowed except `keys`, whose reference belongs to the owner of this struct. */
struct admission {
    const char *const *paths;        /* "/api/v1/faceflip" and all below; NULL-terminated */
    const char *const *delete_paths; /* likewise, but only DELETE; reading them needs no key */
    const char *openai_path;         /* the one of `paths` that has OpenAI's headers too */
    struct redis *commands;
    struct keyring *keyring;
    struct keyset *keys; /* as of the last reload; NULL: no keys file */
};

/* Answers requests that are refused, holds those that wait for LIMIT, and does nothing for all others. */
void admission_check(struct admission *admission, struct http_exchange *exchange);

/* Answers the requests of operators that are refused. admin_key is "" if none is configured. */
void admission_check_operator(const char *admin_key, struct http_exchange *exchange);

/* The client of an admitted request. Only for handlers of the paths above. */
struct client *admission_client(const struct http_exchange *exchange);

/* Adds the state of the client's daily limit of images, which SUBMIT has reported, to the response. */
void admission_add_image_limit(struct http_exchange *exchange, int64_t left, int64_t reset_ms);

#endif
