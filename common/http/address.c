#include "common/http/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/base/host_port.h"

enum { HOST_MAX = 255 };

int http_address_parse(const char *text, struct http_address *out, const char **why)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char copy[HOST_MAX + sizeof("[]:65535")];
    struct host_port parts;
    int failed;

    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) || !host_port_split(copy, &parts)) {
        *why = "expected host:port or [v6]:port";
        return ERR_SYNTAX;
    }
    failed = getaddrinfo(*parts.host ? parts.host : NULL, parts.port, &hints, &found);
    if (failed) {
        *why = gai_strerror(failed);
        return ERR_NOT_FOUND;
    }
    *out = (struct http_address){.len = found->ai_addrlen};
    memcpy(&out->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
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
