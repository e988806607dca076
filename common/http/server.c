#include "common/http/server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/address.h"
#include "common/http/connection.h"
#include "common/http/dispatch.h"
#include "common/http/peers.h"
#include "common/log.h"
#include "common/timeouts.h"

enum {
    BACKLOG = 4096,
    KERNEL_UNSENT_MAX = 128 * 1024, /* bytes a socket may hold that were never sent: the rest is counted by us */
    REFUSED_MAX = 64,               /* connections beyond the maximum that are being told so */
    ACCEPT_PAUSE_MS = 100,
    WARN_AGAIN_MS = 60 * 1000,
    ADDRESS_MAX = 64,
};

struct http_server {
    struct http_server_config config;
    struct connection_set connections;
    struct evconnlistener *listener; /* NULL once it is closed */
    struct event *resume;
    int64_t accept_warned_ms, crowd_warned_ms; /* 0: never */
    char address[ADDRESS_MAX];
};

void http_server_config_init(struct http_server_config *config)
{
    *config = (struct http_server_config){
        .limits = {.target_max = 4 * 1024,
                   .head_max = 8 * 1024,
                   .headers_max = HTTP_HEADERS_MAX,
                   .body_max = 256 * 1024},
        .connections_max = 20000,
        .output_max = 256 * 1024,
        .head_timeout_ms = 10 * 1000,
        .body_timeout_ms = 30 * 1000,
        .idle_timeout_ms = 15 * 1000,
        .write_timeout_ms = 30 * 1000,
        .linger_timeout_ms = 2 * 1000,
        .linger_max_ms = 30 * 1000,
    };
}

/* What a peer can bring about again and again is worth a line now and then. */
static bool may_warn(int64_t *warned_ms)
{
    int64_t now_ms = clock_monotonic_ms();

    if (*warned_ms && now_ms - *warned_ms < WARN_AGAIN_MS)
        return false;
    *warned_ms = now_ms;
    return true;
}

static void warn_of_crowd(struct http_server *server, const struct sockaddr *peer, socklen_t len)
{
    struct http_address address = {.len = len};
    char text[ADDRESS_MAX];

    if (!may_warn(&server->crowd_warned_ms))
        return;
    memcpy(&address.storage, peer, len);
    http_address_write(&address, text, sizeof(text));
    log_warn("http", "refusing connections: their address has as many as it may have", "peer=%s", text);
}

/* A few are told why. Further ones, and those that would need a handshake first, are not worth the work. */
static void refuse(struct connection_set *set, int fd, const char *detail)
{
    struct connection *connection = NULL;

    if (set->config->tls || set->refused >= REFUSED_MAX)
        close(fd);
    else
        connection = connection_create(set, fd, 0);
    if (!connection)
        return;
    connection->refused = true;
    set->refused++;
    connection_refuse(connection, PROBLEM_TOO_MANY_CONNECTIONS, detail);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
    struct http_server *server = arg;
    struct connection_set *set = &server->connections;
    uint32_t entry = 0;

    (void)listener;
    if (set->count - set->refused >= server->config.connections_max) {
        refuse(set, fd, NULL);
        return;
    }
    if (server->config.peers)
        entry = http_peers_enter(server->config.peers, peer);
    if (server->config.peers && !entry) {
        warn_of_crowd(server, peer, (socklen_t)len);
        refuse(set, fd, "Too many connections are open from this address");
        return;
    }
    (void)connection_create(set, fd, entry);
}

static void accept_waiting(struct http_server *server)
{
    int listener = evconnlistener_get_fd(server->listener), fd;
    struct http_address peer = {.len = sizeof(peer.storage)};

    while ((fd = accept4(listener, (struct sockaddr *)&peer.storage, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        on_accept(server->listener, fd, (struct sockaddr *)&peer.storage, (int)peer.len, server);
        peer.len = sizeof(peer.storage);
    }
}

/* The loop serves thousands of events before it looks at the listener again, and a backlog that overflows costs clients a second. */
static void on_crowd(struct connection_set *set)
{
    struct http_server *server = container_of(set, struct http_server, connections);

    if (server->listener)
        accept_waiting(server);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;

    (void)fd;
    (void)what;
    if (server->listener)
        evconnlistener_enable(server->listener);
}

/* Usually the process is out of descriptors: the connection stays in the backlog, and asking again at once would spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    struct http_server *server = arg;
    int error = errno;

    evconnlistener_disable(listener);
    evtimer_add(server->resume, &pause);
    if (may_warn(&server->accept_warned_ms))
        log_warn("http", "cannot accept connections, trying again", "errno=%d pause_ms=%d", error, ACCEPT_PAUSE_MS);
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* On Linux accepted sockets inherit all of these. The user timeout ends connections whose peer has vanished, or takes nothing,
 * while only the kernel holds unsent bytes. */
static int set_options(int fd, const struct http_server_config *config)
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
    if (fd < 0 || set_options(fd, config) || bind(fd, (struct sockaddr *)&address.storage, address.len)) {
        *why = strerror(errno);
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    *out = fd;
    return 0;
}

/* evconnlistener_new says nothing where it cannot begin to accept; enabling again tells. */
static int start_listening(struct http_server *server, const char **why)
{
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    struct http_address address = {.len = sizeof(address.storage)};
    int fd, err = open_socket(&server->config, &fd, why);

    if (err)
        return err;
    server->listener = evconnlistener_new(loop_base(server->connections.loop), on_accept, server, flags, BACKLOG, fd);
    if (!server->listener || evconnlistener_enable(server->listener) ||
        getsockname(fd, (struct sockaddr *)&address.storage, &address.len)) {
        *why = strerror(errno);
        if (!server->listener)
            close(fd);
        return ERR_SYSTEM;
    }
    evconnlistener_set_error_cb(server->listener, on_accept_error);
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
    server->connections.on_request = http_dispatch;
    server->connections.on_refused = http_refuse;
    server->connections.on_half_closed = http_probe_client;
    server->connections.on_crowd = on_crowd;
    if (connection_set_init(&server->connections, loop, &server->config))
        return http_server_destroy(server);
    server->resume = evtimer_new(loop_base(loop), on_resume, server);
    if (!server->resume || start_listening(server, why))
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
    if (server->resume)
        event_free(server->resume);
    free(server);
    return NULL;
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}

void http_server_drain(struct http_server *server)
{
    /* Closing a listener resets the connections in its backlog: whoever got that far is served. */
    if (server->listener)
        accept_waiting(server);
    stop_listening(server);
    connection_set_drain(&server->connections);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->connections.count;
}
