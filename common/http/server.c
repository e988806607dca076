#include "common/http/server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/base/timeouts.h"
#include "common/http/address.h"
#include "common/http/address_limit.h"
#include "common/http/connection.h"
#include "common/http/exchange.h"

enum {
    BACKLOG = 4096,
    KERNEL_UNSENT_MAX = 128 * 1024, /* bytes; more would hide unsent output from output_max */
    OVER_LIMIT_MAX = 64,            /* connections above a limit that are open only to be refused with 503 */
    ACCEPT_RETRY_MS = 100,
    WARN_AGAIN_MS = 60 * 1000,
    ADDRESS_TEXT_MAX = 64,
};

struct http_server {
    struct http_server_config config;
    struct connection_set connections;
    struct evconnlistener *listener; /* NULL after it was closed */
    struct loop_timer *accept_retry;
    int64_t accept_warned_ms, limit_warned_ms; /* 0: never */
    char address[ADDRESS_TEXT_MAX];
};

/* Clients can cause these warnings at any rate, so each is logged at most once per WARN_AGAIN_MS. */
static bool may_warn(int64_t *warned_ms)
{
    int64_t now_ms = clock_monotonic_ms();

    if (*warned_ms && now_ms - *warned_ms < WARN_AGAIN_MS)
        return false;
    *warned_ms = now_ms;
    return true;
}

static void warn_of_address_limit(struct http_server *server, const struct sockaddr *peer, socklen_t len)
{
    struct http_address address = {.len = len};
    char text[ADDRESS_TEXT_MAX];

    if (!may_warn(&server->limit_warned_ms))
        return;
    memcpy(&address.storage, peer, len);
    http_address_write(&address, text, sizeof(text));
    log_warn("http", "connection refused: too many connections from this address", "peer=%s", text);
}

/* Answers with 503, or only closes if many are being refused already or the answer would need a TLS handshake first. */
static void refuse_connection(struct connection_set *set, int fd, const char *detail)
{
    struct connection *connection = NULL;

    if (set->config->tls || set->over_limit_count >= OVER_LIMIT_MAX)
        close(fd);
    else
        connection = connection_create(set, fd, 0);
    if (!connection)
        return;
    connection->over_limit = true;
    set->over_limit_count++;
    connection_refuse(connection, PROBLEM_TOO_MANY_CONNECTIONS, detail);
}

static void server_on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len,
                             void *arg)
{
    struct http_server *server = arg;
    struct connection_set *set = &server->connections;
    uint32_t entry = 0;

    (void)listener;
    if (set->count - set->over_limit_count >= server->config.connections_max) {
        refuse_connection(set, fd, NULL);
        return;
    }
    if (server->config.address_limit)
        entry = http_address_limit_acquire(server->config.address_limit, peer);
    if (server->config.address_limit && !entry) {
        warn_of_address_limit(server, peer, (socklen_t)len);
        refuse_connection(set, fd, "Too many connections are open from this address");
        return;
    }
    (void)connection_create(set, fd, entry);
}

static void accept_waiting(struct http_server *server)
{
    int listener = evconnlistener_get_fd(server->listener), fd;
    struct http_address peer = {.len = sizeof(peer.storage)};

    while ((fd = accept4(listener, (struct sockaddr *)&peer.storage, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        server_on_accept(server->listener, fd, (struct sockaddr *)&peer.storage, (int)peer.len, server);
        peer.len = sizeof(peer.storage);
    }
}

/* The loop may handle thousands of events before the listener's next turn. If the backlog overflows meanwhile, the kernel drops the
 * SYN, and the client retries only after a second. */
static void server_on_many_events(struct connection_set *set)
{
    struct http_server *server = container_of(set, struct http_server, connections);

    if (server->listener)
        accept_waiting(server);
}

static void server_on_accept_retry(void *arg)
{
    struct http_server *server = arg;

    if (server->listener)
        evconnlistener_enable(server->listener);
}

/* Usually the process has no free descriptor. The connection stays in the backlog, so retrying at once would be a busy loop. */
static void server_on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *server = arg;
    int error = errno;

    evconnlistener_disable(listener);
    loop_timer_start(server->accept_retry, ACCEPT_RETRY_MS);
    if (may_warn(&server->accept_warned_ms))
        log_warn("http", "cannot accept connections, retrying", "errno=%d pause_ms=%d", error, ACCEPT_RETRY_MS);
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* On Linux accepted sockets inherit all of these. TCP_USER_TIMEOUT covers connections whose unsent bytes are all in the kernel, where
 * the write deadline does not see them. */
static int set_socket_options(int fd, const struct http_server_config *config)
{
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
           (config->share_port && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
           set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
           set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, KERNEL_UNSENT_MAX) ||
           set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)config->write_timeout_ms);
}

static int open_socket(const struct http_server_config *config, int *out, const char **why)
{
    struct http_address address;
    int err = http_address_parse(config->listen, &address, why);
    int fd;

    if (err)
        return err;
    fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || set_socket_options(fd, config) || bind(fd, (struct sockaddr *)&address.storage, address.len)) {
        *why = strerror(errno);
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    *out = fd;
    return 0;
}

/* evconnlistener_new hides a failure to register with the event loop; evconnlistener_enable reports it. */
static int start_listening(struct http_server *server, const char **why)
{
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    struct http_address address = {.len = sizeof(address.storage)};
    int fd, err = open_socket(&server->config, &fd, why);

    if (err)
        return err;
    server->listener =
        evconnlistener_new(loop_base(server->connections.loop), server_on_accept, server, flags, BACKLOG, fd);
    if (!server->listener || evconnlistener_enable(server->listener) ||
        getsockname(fd, (struct sockaddr *)&address.storage, &address.len)) {
        *why = strerror(errno);
        if (!server->listener)
            close(fd);
        return ERR_SYSTEM;
    }
    evconnlistener_set_error_cb(server->listener, server_on_accept_error);
    http_address_write(&address, server->address, sizeof(server->address));
    return 0;
}

struct http_server *http_server_create(struct loop *loop, const struct http_server_config *config, const char **why)
{
    struct http_server *server = calloc(1, sizeof(*server));

    *why = "out of memory";
    if (!server)
        return NULL;
    server->config = *config;
    http_exchange_attach(&server->connections);
    server->connections.on_many_events = server_on_many_events;
    if (connection_set_init(&server->connections, loop, &server->config))
        return http_server_destroy(server);
    server->accept_retry = loop_timer_create(loop, server_on_accept_retry, server);
    if (!server->accept_retry || start_listening(server, why))
        return http_server_destroy(server);
    return server;
}

static void stop_listening(struct http_server *server)
{
    if (server->listener)
        evconnlistener_free(server->listener);
    server->listener = NULL;
}

struct http_server *http_server_destroy(struct http_server *server)
{
    if (!server)
        return NULL;
    stop_listening(server);
    connection_set_deinit(&server->connections);
    loop_timer_destroy(server->accept_retry);
    free(server);
    return NULL;
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}

void http_server_drain(struct http_server *server)
{
    /* Accept the backlog first: closing the listener resets the connections that are still in it. */
    if (server->listener)
        accept_waiting(server);
    stop_listening(server);
    connection_set_drain(&server->connections);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->connections.count;
}
