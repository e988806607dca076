#include "common/http/healthcheck.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/transport.h"
#include "common/http/address.h"

enum { REQUEST_MAX = 512, TIMEOUT_MS = 3000 };

static const char version[] = "HTTP/1.1 ";
enum { STATUS_LINE = sizeof(version) - 1 + 3 };

/* Replaces a wildcard address, which a server can listen on, with the loopback address, which a client can connect to. */
static void make_reachable(struct http_address *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&address->storage;

    if (address->storage.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
}

static int wait_until(int fd, short events, int64_t deadline_ms)
{
    struct pollfd socket = {.fd = fd, .events = events};
    int64_t rest_ms = deadline_ms - clock_monotonic_ms();

    if (rest_ms <= 0)
        return ERR_TIMEOUT;
    return poll(&socket, 1, (int)rest_ms) > 0 ? 0 : ERR_TIMEOUT;
}

static int open_connection(const struct http_address *address, int64_t deadline_ms, int *out)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0, err = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return ERR_SYSTEM;
    if (connect(fd, (const struct sockaddr *)&address->storage, address->len))
        err = errno == EINPROGRESS ? wait_until(fd, POLLOUT, deadline_ms) : ERR_LOST;
    if (!err && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error))
        err = ERR_LOST;
    if (err)
        close(fd);
    else
        *out = fd;
    return err;
}

/* Does not check the certificate: the question is whether the process at this address answers. */
static SSL *open_tls_session(int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context ? SSL_new(context) : NULL;

    SSL_CTX_free(context); /* the session has its own reference */
    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_connect_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

static int do_handshake(SSL *ssl, int fd, int64_t deadline_ms)
{
    int err = 0, answer;

    while (!err && (answer = SSL_do_handshake(ssl)) != 1) {
        int error = SSL_get_error(ssl, answer);

        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            err = wait_until(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms);
        else
            err = ERR_LOST;
    }
    ERR_clear_error();
    return err;
}

/* No retry of a short write: the request fits into any empty send buffer. */
static int healthcheck_send(int fd, SSL *ssl, const char *path, const char *host)
{
    char request[REQUEST_MAX];
    int len =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);

    if (len < 0 || len >= (int)sizeof(request))
        return ERR_TOO_LONG;
    return transport_send(fd, ssl, request, (size_t)len) == len ? 0 : ERR_LOST;
}

static int read_status(int fd, SSL *ssl, int64_t deadline_ms, int *out)
{
    char line[STATUS_LINE + 1] = "";
    size_t len = 0;

    while (len < STATUS_LINE) {
        ssize_t n = transport_recv(fd, ssl, line + len, STATUS_LINE - len);
        int err = n < 0 && errno == EAGAIN ? wait_until(fd, POLLIN, deadline_ms) : 0;

        if (err)
            return err;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return ERR_LOST;
        len += n > 0 ? (size_t)n : 0;
    }
    *out = (int)strtol(line + sizeof(version) - 1, NULL, 10);
    return !strncmp(line, version, sizeof(version) - 1) && *out >= 100 ? 0 : ERR_SYNTAX;
}

static int exchange_request(int fd, SSL *ssl, const char *path, const char *host, int64_t deadline_ms)
{
    int status = 0;
    int err = ssl ? do_handshake(ssl, fd, deadline_ms) : 0;

    if (!err)
        err = healthcheck_send(fd, ssl, path, host);
    if (!err)
        err = read_status(fd, ssl, deadline_ms, &status);
    return err ? err : status;
}

int http_healthcheck(const char *listen, enum http_healthcheck_transport transport, const char *path, int timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct http_address address;
    char host[64];
    const char *why;
    SSL *ssl = NULL;
    int fd = -1;
    int err = http_address_parse(listen, &address, &why);

    if (err)
        return err;
    make_reachable(&address);
    http_address_write(&address, host, sizeof(host));
    err = open_connection(&address, deadline_ms, &fd);
    if (err)
        return err;
    if (transport == HEALTHCHECK_TLS)
        ssl = open_tls_session(fd);
    err = transport == HEALTHCHECK_TLS && !ssl ? ERR_NO_MEMORY : exchange_request(fd, ssl, path, host, deadline_ms);
    SSL_free(ssl);
    close(fd);
    return err;
}

static const char *explain_failure(int result, enum http_healthcheck_transport transport)
{
    switch (result) {
    case ERR_LOST:
        return transport == HEALTHCHECK_TLS
                   ? "cannot connect, or no TLS there: is the program running with these options?"
                   : "cannot connect, or the connection was closed: is the program running?";
    case ERR_TIMEOUT:
        return "no answer in time: the program is overloaded or stopped";
    case ERR_SYNTAX:
        return "the answer is not HTTP: another program listens there, or only one of the two uses TLS";
    default:
        return err_text(result);
    }
}

static void print_failure(const char *program, const char *listen, const char *why)
{
    (void)fprintf(stderr, "%s: healthcheck of %s failed: %s\n", program, listen, why);
}

int http_healthcheck_main(const char *program, const char *listen, enum http_healthcheck_transport transport,
                          const char *path)
{
    struct http_address address;
    char answer[64];
    const char *why;
    int result;

    if (http_address_parse(listen, &address, &why)) {
        print_failure(program, listen, why);
        return EXIT_FAILURE;
    }
    result = http_healthcheck(listen, transport, path, TIMEOUT_MS);
    if (result == 200)
        return EXIT_SUCCESS;
    (void)snprintf(answer, sizeof(answer), "%s answers %d, not 200; the log says why", path, result);
    print_failure(program, listen, result > 0 ? answer : explain_failure(result, transport));
    return EXIT_FAILURE;
}
