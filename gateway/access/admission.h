/* admission - identify the client of each API request and apply its request rate limit
 *
 * Runs before routing, for every request below one of the configured paths. With a keys file the request needs a valid key; without
 * one, every request belongs to the client `public`. If the client has a limit of requests per minute, the request is held until
 * the script LIMIT has replied. While Redis is not connected that is a 503, like everywhere.
 *
 * A CORS preflight request (OPTIONS) cannot carry a key and is let through.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_ADMISSION_H
#define ARKRELAY_GATEWAY_ACCESS_ADMISSION_H

struct client;
struct http_exchange;
struct keyring;
struct keyset;
struct redis;

/* All borrowed except `keys`, whose reference belongs to the owner of this struct. */
struct admission {
    const char *const *paths; /* "/api/v1/faceflip" and all below; NULL-terminated */
    struct redis *commands;
    struct keyring *keyring;
    struct keyset *keys; /* as of the last reload; NULL: no keys file */
};

/* Answers requests that are refused, holds those that wait for LIMIT, and does nothing for all others. */
void admission_check(const struct admission *admission, struct http_exchange *exchange);

/* The client of an admitted request. Only for handlers of the paths above. */
struct client *admission_client(const struct http_exchange *exchange);

#endif
