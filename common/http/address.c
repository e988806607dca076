#include "common/http/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 255 };

/* getaddrinfo takes larger numbers, too, and cuts them. */
static bool is_port(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= 5 && strspn(text, "0123456789") == len && strtol(text, NULL, 10) <= 65535;
}

/* Splits in place. NULL: there is no port, or brackets do not match. */
static char *split(char *text, const char **host)
{
    char *colon = strrchr(text, ':');

    if (!colon || !is_port(colon + 1))
        return NULL;
    *colon = '\0';
    *host = text;
    if (text[0] == '[') {
        if (colon[-1] != ']')
            return NULL;
        colon[-1] = '\0';
        *host = text + 1;
    } else if (strchr(text, ':')) {
        return NULL;
    }
    return colon + 1;
}

int http_address_parse(const char *text, struct http_address *out, const char **why)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char copy[HOST_MAX + sizeof("[]:65535")];
    const char *host = NULL;
    char *port = NULL;
    int failed;

    if (snprintf(copy, sizeof(copy), "%s", text) < (int)sizeof(copy))
        port = split(copy, &host);
    if (!port) {
        *why = "expected host:port or [v6]:port";
        return ERR_SYNTAX;
    }
    failed = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (failed) {
        *why = gai_strerror(failed);
        return ERR_NOT_FOUND;
    }
    *out = (struct http_address){.len = found->ai_addrlen};
    memcpy(&out->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

void http_address_make_reachable(struct http_address *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&address->storage;

    if (address->storage.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
}

void http_address_write(const struct http_address *address, char *out, size_t size)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address->storage;
    char host[INET6_ADDRSTRLEN] = "";

    if (address->storage.ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        (void)snprintf(out, size, "[%s]:%d", host, ntohs(v6->sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(out, size, "%s:%d", host, ntohs(v4->sin_port));
    }
}
