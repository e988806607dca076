#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/loop.h"
#include "tests/support/certificates.h"
#include "worker/fetch.h"

/* ---- a server that does one thing ---- */

enum ending {
    THEN_KEEP,  /* the connection stays open */
    THEN_CLOSE, /* once all is sent */
    THEN_RESET,
};

enum moment { AFTER_REQUEST, ON_ACCEPT };

struct peer {
    LIST_ENTRY(peer) link;
    struct server *server;
    struct bufferevent *bev;
};

struct server {
    struct loop *loop;
    struct evconnlistener *listener;
    LIST_HEAD(peer_list, peer) peers;
    int port;
    SSL_CTX *tls; /* NULL: plain */
    enum moment moment;
    const char *answer; /* NULL: nothing */
    enum ending ending;

    int connections, posts; /* posts: whole requests */
    int resumed;            /* of these, on a connection with an earlier one's TLS session */
    struct buf first_request;
    void (*on_gone)(void *arg); /* a client hung up */
    void *arg;
};

static void peer_free(struct peer *peer)
{
    LIST_REMOVE(peer, link);
    bufferevent_free(peer->bev);
    free(peer);
}

static void peer_reset(struct peer *peer)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(bufferevent_getfd(peer->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    peer_free(peer);
}

static void peer_end(struct peer *peer)
{
    switch (peer->server->ending) {
    case THEN_KEEP:
        break;
    case THEN_CLOSE:
        peer_free(peer);
        break;
    case THEN_RESET:
        peer_reset(peer);
        break;
    }
}

static void on_sent(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;

    if (!evbuffer_get_length(bufferevent_get_output(bev)))
        peer_end(peer);
}

static void on_gone(struct bufferevent *bev, short what, void *arg)
{
    struct peer *peer = arg;
    struct server *server = peer->server;

    (void)bev;
    if (what & BEV_EVENT_CONNECTED)
        return; /* the handshake is done */
    peer_free(peer);
    if (server->on_gone)
        server->on_gone(server->arg);
}

static void peer_act(struct peer *peer)
{
    if (!peer->server->answer) {
        peer_end(peer);
        return;
    }
    bufferevent_setcb(peer->bev, NULL, on_sent, on_gone, peer);
    (void)bufferevent_write(peer->bev, peer->server->answer, strlen(peer->server->answer));
}

/* 0 while it is not whole. */
static size_t request_len(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    const char *length = memmem(text, len, "Content-Length: ", 16);
    size_t whole;

    if (!end || !length)
        return 0;
    whole = (size_t)(end - text) + 4 + strtoul(length + 16, NULL, 10);
    return len >= whole ? whole : 0;
}

static void on_request(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(input);
    const char *text = (const char *)evbuffer_pullup(input, -1);
    size_t whole = text ? request_len(text, len) : 0;

    if (!whole)
        return;
    if (peer->server->tls)
        peer->server->resumed += SSL_session_reused(bufferevent_openssl_get_ssl(bev));
    if (!peer->server->posts++)
        buf_add(&peer->server->first_request, text, whole);
    (void)evbuffer_drain(input, whole);
    peer_act(peer);
}

static struct bufferevent *wrap(struct server *server, evutil_socket_t fd)
{
    struct event_base *base = loop_base(server->loop);
    SSL *ssl;

    if (!server->tls)
        return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    ssl = SSL_new(server->tls);
    assert_non_null(ssl);
    return bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg)
{
    struct server *server = arg;
    struct peer *peer = calloc(1, sizeof(*peer));

    (void)listener;
    (void)address;
    (void)len;
    assert_non_null(peer);
    server->connections++;
    peer->server = server;
    peer->bev = wrap(server, fd);
    assert_non_null(peer->bev);
    LIST_INSERT_HEAD(&server->peers, peer, link);
    bufferevent_setcb(peer->bev, on_request, NULL, on_gone, peer);
    assert_int_equal(bufferevent_enable(peer->bev, EV_READ | EV_WRITE), 0);
    if (server->moment == ON_ACCEPT)
        peer_act(peer);
}

static void server_start(struct server *server, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    server->loop = loop;
    buf_init(&server->first_request, 4 << 20);
    LIST_INIT(&server->peers);
    server->listener =
        evconnlistener_new_bind(loop_base(loop), on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 2048,
                                (struct sockaddr *)&address, sizeof(address));
    assert_non_null(server->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
}

static void server_stop(struct server *server)
{
    struct peer *peer;

    while ((peer = LIST_FIRST(&server->peers)))
        peer_free(peer);
    if (server->listener)
        evconnlistener_free(server->listener);
    buf_deinit(&server->first_request);
}

/* ---- a world of one loop, one server and one fetch ---- */

struct world {
    struct loop *loop;
    struct server server;
    struct fetch *fetch;
    struct event *deadline;
    const char *ca_file;
    int open, done; /* calls */
};

/* One call, and what came of it. */
struct probe {
    struct world *world;
    struct fetch_call *call;
    int heads, status;
    char content_type[64], retry_after[64], request_id[64], words[256];
    struct buf data;
    int ends;
    enum fetch_end end;
    void (*on_head)(struct probe *probe);
    void (*on_data)(struct probe *probe);
    void (*on_done)(struct probe *probe);
    struct probe *other;
};

static void too_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    fail_msg("nothing happened for ten seconds");
}

static void world_start_with(struct world *world, int64_t connect_ms, int64_t first_byte_ms)
{
    struct timeval limit = {.tv_sec = 10};
    struct fetch_setup setup = {
        .connect_ms = connect_ms, .first_byte_ms = first_byte_ms, .ca_file = world->ca_file, .user_agent = "test/1"};

    world->loop = loop_create();
    assert_non_null(world->loop);
    server_start(&world->server, world->loop);
    setup.loop = world->loop;
    world->fetch = fetch_create(&setup);
    assert_non_null(world->fetch);
    world->deadline = evtimer_new(loop_base(world->loop), too_late, NULL);
    assert_non_null(world->deadline);
    assert_int_equal(evtimer_add(world->deadline, &limit), 0);
}

static void world_start(struct world *world)
{
    world_start_with(world, 5000, 5000);
}

static void world_end(struct world *world)
{
    assert_null(fetch_destroy(world->fetch));
    server_stop(&world->server);
    event_free(world->deadline);
    assert_null(loop_destroy(world->loop));
}

static void on_head(const struct fetch_head *head, void *arg)
{
    struct probe *probe = arg;

    assert_int_equal(probe->ends, 0);
    probe->heads++;
    probe->status = head->status;
    (void)snprintf(probe->content_type, sizeof(probe->content_type), "%s", head->content_type);
    (void)snprintf(probe->retry_after, sizeof(probe->retry_after), "%s", head->retry_after);
    (void)snprintf(probe->request_id, sizeof(probe->request_id), "%s", head->request_id);
    if (probe->on_head)
        probe->on_head(probe);
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    struct probe *probe = arg;

    assert_int_equal(probe->heads, 1);
    assert_int_equal(probe->ends, 0);
    buf_add(&probe->data, bytes, len);
    if (probe->on_data)
        probe->on_data(probe);
}

static void on_done(const struct fetch_outcome *outcome, void *arg)
{
    struct probe *probe = arg;

    probe->ends++;
    probe->end = outcome->end;
    (void)snprintf(probe->words, sizeof(probe->words), "%s", outcome->words);
    assert_int_equal(outcome->end == FETCH_ANSWERED, !*outcome->words);
    probe->world->done++;
    if (probe->on_done)
        probe->on_done(probe);
    if (probe->world->done == probe->world->open)
        loop_stop(probe->world->loop);
}

struct how {
    const char *scheme; /* NULL: http */
    int port;           /* 0: the server's */
    size_t body_len, answer_max;
    int64_t total_ms;
};

static int start_at(struct world *world, struct probe *probe, const char *url, const struct how *how)
{
    static const char *const headers[] = {"Content-Type: application/json", "Authorization: Bearer secret", NULL};
    struct fetch_request request = {
        .url = url,
        .headers = headers,
        .body_len = how->body_len ? how->body_len : 4,
        .total_ms = how->total_ms ? how->total_ms : 8000,
        .answer_max = how->answer_max ? how->answer_max : 1 << 20,
        .events = {.on_head = on_head, .on_data = on_data, .on_done = on_done, .arg = probe},
    };
    int err;

    probe->world = world;
    buf_init(&probe->data, 4 << 20);
    request.body = malloc(request.body_len);
    assert_non_null(request.body);
    memset(request.body, 'P', request.body_len);
    err = fetch_start(world->fetch, &request, &probe->call);
    if (err)
        free(request.body);
    else
        world->open++;
    return err;
}

static void start(struct world *world, struct probe *probe, const struct how *how)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/images", how->scheme ? how->scheme : "http",
                   how->port ? how->port : world->server.port);
    assert_int_equal(start_at(world, probe, url, how), 0);
}

/* One call to the end. */
static void ask(struct world *world, struct probe *probe, const struct how *how)
{
    start(world, probe, how);
    assert_int_equal(probe->heads + probe->ends, 0); /* never from inside of fetch_start */
    loop_run(world->loop);
    assert_int_equal(probe->ends, 1);
    assert_int_equal(fetch_in_flight(world->fetch), 0);
}

#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"
#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After:  7 \r\nx-request-id: 0217\r\n"

static void test_an_answer_comes_whole(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}};
    struct probe probe = {0};
    const char *request;

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(probe.status, 200);
    assert_string_equal(probe.content_type, "application/json");
    assert_string_equal(probe.retry_after, "7");
    assert_string_equal(probe.request_id, "0217");
    assert_string_equal(buf_text(&probe.data), "hello");

    request = buf_text(&world.server.first_request);
    assert_int_equal(strncmp(request, "POST /images HTTP/1.1\r\n", 23), 0);
    assert_non_null(strstr(request, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(request, "\r\nUser-Agent: test/1\r\n"));
    assert_non_null(strstr(request, "\r\n\r\nPPPP"));
    assert_null(strcasestr(request, "\nExpect:"));
    assert_null(strcasestr(request, "\nAccept-Encoding:"));
    buf_deinit(&probe.data);
    world_end(&world);
}

static void test_a_large_body_is_sent_at_once(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 0\r\n\r\n"}};
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){.body_len = 2 << 20});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(probe.heads, 1);
    assert_null(strcasestr(buf_text(&world.server.first_request), "\nExpect:"));
    assert_int_equal(strspn(strstr(buf_text(&world.server.first_request), "\r\n\r\n") + 4, "P"), 2 << 20);
    buf_deinit(&probe.data);
    world_end(&world);
}

static void test_interim_answers_and_trailers_are_not_the_answer(void **state)
{
    struct world world = {.server = {.answer = "HTTP/1.1 103 Early Hints\r\nx-request-id: early\r\n\r\n" HEAD
                                               "Transfer-Encoding: chunked\r\nTrailer: x-request-id\r\n\r\n"
                                               "5\r\nhello\r\n0\r\nx-request-id: late\r\n\r\n"}};
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(probe.heads, 1);
    assert_int_equal(probe.status, 200);
    assert_string_equal(probe.request_id, "0217");
    assert_string_equal(buf_text(&probe.data), "hello");
    buf_deinit(&probe.data);
    world_end(&world);
}

static void test_a_redirect_is_an_answer(void **state)
{
    struct world world = {.server = {.answer = "HTTP/1.1 307 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"}};
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(probe.status, 307);
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    world_end(&world);
}

/* Exactly one request, and none of it repeated, however the connection dies. */
static const struct {
    const char *name, *answer;
    enum ending ending;
    int heads;
    const char *data;
} deaths[] = {
    {"closed without a byte",        NULL,                                  THEN_CLOSE, 0, ""     },
    {"reset without a byte",         NULL,                                  THEN_RESET, 0, ""     },
    {"closed inside of the head",    "HTTP/1.1 200 OK\r\nContent-Ty",       THEN_CLOSE, 0, ""     },
    {"closed after the head",        HEAD "Content-Length: 9\r\n\r\n",      THEN_CLOSE, 1, ""     },
    {"closed inside of the body",    HEAD "Content-Length: 9\r\n\r\nhello", THEN_CLOSE, 1, "hello"},
    {"closed inside of a chunk",     HEAD CHUNKED "9\r\nhello",             THEN_CLOSE, 1, "hello"},
    {"closed before the last chunk", HEAD CHUNKED "5\r\nhello\r\n",         THEN_CLOSE, 1, "hello"},
    {"not HTTP at all",              "hello, this is no HTTP\r\n\r\n",      THEN_CLOSE, 0, ""     },
};

static void test_a_dead_connection_is_never_asked_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
        struct world world = {
            .server = {.answer = deaths[i].answer, .ending = deaths[i].ending}
        };
        struct probe probe = {0};

        print_message("  %s\n", deaths[i].name);
        world_start(&world);
        ask(&world, &probe, &(struct how){0});
        assert_int_equal(probe.end, FETCH_BROKE);
        assert_int_equal(probe.heads, deaths[i].heads);
        assert_string_equal(buf_text(&probe.data), deaths[i].data);
        assert_int_equal(world.server.connections, 1);
        assert_int_equal(world.server.posts, 1);
        buf_deinit(&probe.data);
        world_end(&world);
    }
}

/* The case in which libcurl would send a POST again by itself: a connection that worked, kept alive, and then dies. */
static void let_the_server_close(struct probe *probe)
{
    struct server *server = &probe->world->server;

    server->answer = NULL;
    server->ending = THEN_CLOSE;
    start(probe->world, probe->other, &(struct how){0});
}

static void test_a_connection_is_never_used_again(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok"}};
    struct probe second = {0};
    struct probe first = {.on_done = let_the_server_close, .other = &second};

    (void)state;
    world_start(&world);
    start(&world, &first, &(struct how){0});
    loop_run(world.loop);
    assert_int_equal(first.end, FETCH_ANSWERED);
    assert_int_equal(second.end, FETCH_BROKE);
    assert_int_equal(world.server.connections, 2);
    assert_int_equal(world.server.posts, 2);
    buf_deinit(&first.data);
    buf_deinit(&second.data);
    world_end(&world);
}

static void test_a_refused_connection_never_left(void **state)
{
    struct world world = {0};
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    evconnlistener_free(world.server.listener);
    world.server.listener = NULL;
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_NEVER_LEFT);
    assert_int_equal(probe.heads, 0);
    buf_deinit(&probe.data);
    world_end(&world);
}

static const struct {
    const char *name, *answer;
    enum ending ending;
    int64_t connect_ms, first_byte_ms;
} handshakes[] = {
    {"TLS to a server that speaks none",            "HTTP/1.1 400 Bad Request\r\n\r\n", THEN_CLOSE, 5000, 5000},
    {"TLS to a server that closes",                 NULL,                               THEN_CLOSE, 5000, 5000},
    {"TLS to a server that resets",                 NULL,                               THEN_RESET, 5000, 5000},
    {"TLS to a server that says nothing",           NULL,                               THEN_KEEP,  50,   5000},
    {"the same, with less time for the first byte", NULL,                               THEN_KEEP,  5000, 50  },
};

static void test_a_failed_handshake_never_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        struct world world = {
            .server = {.moment = ON_ACCEPT, .answer = handshakes[i].answer, .ending = handshakes[i].ending}
        };
        struct probe probe = {0};

        print_message("  %s\n", handshakes[i].name);
        world_start_with(&world, handshakes[i].connect_ms, handshakes[i].first_byte_ms);
        ask(&world, &probe, &(struct how){.scheme = "https"});
        assert_int_equal(probe.end, FETCH_NEVER_LEFT);
        assert_int_equal(world.server.posts, 0);
        buf_deinit(&probe.data);
        world_end(&world);
    }
}

#define DAY (24 * 3600L)

static const struct {
    const char *name, *names;
    long ends_s;
    bool trusted;
    enum fetch_end end;
} certificates[] = {
    {"of an authority that is trusted",     "IP:127.0.0.1",     DAY,  true,  FETCH_ANSWERED  },
    {"of an authority that is not trusted", "IP:127.0.0.1",     DAY,  false, FETCH_NEVER_LEFT},
    {"of another server",                   "DNS:example.test", DAY,  true,  FETCH_NEVER_LEFT},
    {"that has expired",                    "IP:127.0.0.1",     -DAY, true,  FETCH_NEVER_LEFT},
};

static SSL_CTX *tls_of(const char *path)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    assert_non_null(tls);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(tls, path), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM), 1);
    return tls;
}

static void check_certificate(size_t i, struct authority *authority, const char *ca_file, const char *path)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}, .ca_file = ca_file};
    struct probe probe = {0};

    print_message("  a certificate %s\n", certificates[i].name);
    authority_sign(authority, certificates[i].names, certificates[i].ends_s, path);
    world.server.tls = tls_of(path);
    world_start(&world);
    ask(&world, &probe, &(struct how){.scheme = "https"});
    assert_int_equal(probe.end, certificates[i].end);
    assert_int_equal(world.server.posts, certificates[i].end == FETCH_ANSWERED);
    assert_string_equal(buf_text(&probe.data), certificates[i].end == FETCH_ANSWERED ? "hello" : "");
    buf_deinit(&probe.data);
    world_end(&world);
    SSL_CTX_free(world.server.tls);
}

static void test_a_server_must_prove_its_name(void **state)
{
    char folder[] = "/tmp/test_fetch.XXXXXX", ours[64], theirs[64], server[64];
    struct authority *trusted, *other;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(ours, sizeof(ours), "%s/ours.pem", folder);
    (void)snprintf(theirs, sizeof(theirs), "%s/theirs.pem", folder);
    (void)snprintf(server, sizeof(server), "%s/server.pem", folder);
    trusted = authority_create("ours", ours);
    other = authority_create("theirs", theirs);
    for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++)
        check_certificate(i, certificates[i].trusted ? trusted : other, ours, server);
    trusted = authority_destroy(trusted);
    other = authority_destroy(other);
    assert_int_equal(unlink(ours) | unlink(theirs) | unlink(server) | rmdir(folder), 0);
}

/* Each call has a connection of its own, but what takes long is done once. */
static void test_authorities_are_read_once_and_sessions_resumed(void **state)
{
    char folder[] = "/tmp/test_fetch.XXXXXX", ours[64], server[64];
    struct world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}, .ca_file = ours};
    struct authority *authority;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(ours, sizeof(ours), "%s/ours.pem", folder);
    (void)snprintf(server, sizeof(server), "%s/server.pem", folder);
    authority = authority_create("ours", ours);
    authority_sign(authority, "IP:127.0.0.1", DAY, server);
    world.server.tls = tls_of(server);
    world_start(&world);
    for (int i = 0; i < 3; i++) {
        struct probe probe = {0};

        ask(&world, &probe, &(struct how){.scheme = "https"});
        assert_int_equal(probe.end, FETCH_ANSWERED);
        assert_int_equal(unlink(ours), i ? -1 : 0);
        buf_deinit(&probe.data);
    }
    assert_int_equal(world.server.connections, 3);
    assert_int_equal(world.server.resumed, 2);
    world_end(&world);
    SSL_CTX_free(world.server.tls);
    authority = authority_destroy(authority);
    assert_int_equal(unlink(server) | rmdir(folder), 0);
}

static void test_a_late_first_byte_ends_the_call(void **state)
{
    struct world world = {.server = {.ending = THEN_KEEP}};
    struct probe probe = {0};

    (void)state;
    world_start_with(&world, 5000, 100);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_BROKE);
    assert_non_null(strstr(probe.words, "first byte"));
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    world_end(&world);
}

static void test_the_total_time_counts_after_the_first_byte(void **state)
{
    struct world world = {
        .server = {.answer = HEAD "Content-Length: 10\r\n\r\nhello", .ending = THEN_KEEP}
    };
    struct probe probe = {0};

    (void)state;
    world_start_with(&world, 5000, 150);
    ask(&world, &probe, &(struct how){.total_ms = 400});
    assert_int_equal(probe.end, FETCH_BROKE);
    assert_null(strstr(probe.words, "first byte"));
    assert_string_equal(buf_text(&probe.data), "hello");
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    world_end(&world);
}

static void test_a_large_answer_breaks_off(void **state)
{
    struct world world = {
        .server = {.answer = HEAD "\r\n0123456789abcdef", .ending = THEN_KEEP}
    };
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){.answer_max = 10});
    assert_int_equal(probe.end, FETCH_BROKE);
    assert_non_null(strstr(probe.words, "larger"));
    assert_true(probe.data.len <= 10);
    buf_deinit(&probe.data);
    world_end(&world);
}

static void stop_the_loop(void *arg)
{
    loop_stop(arg);
}

static void cancel_itself(struct probe *probe)
{
    fetch_cancel(probe->call);
    assert_int_equal(fetch_in_flight(probe->world->fetch), 0);
}

static void test_cancel_is_silent_and_hangs_up(void **state)
{
    for (int in_data = 0; in_data < 2; in_data++) {
        struct world world = {
            .server = {.answer = HEAD "Content-Length: 10\r\n\r\nhello", .ending = THEN_KEEP}
        };
        struct probe probe = {.on_head = in_data ? NULL : cancel_itself, .on_data = in_data ? cancel_itself : NULL};

        (void)state;
        world_start(&world);
        world.server.on_gone = stop_the_loop;
        world.server.arg = world.loop;
        start(&world, &probe, &(struct how){0});
        loop_run(world.loop);
        assert_int_equal(probe.heads, 1);
        assert_int_equal(probe.data.len, in_data ? 5 : 0);
        assert_int_equal(probe.ends, 0);
        buf_deinit(&probe.data);
        world_end(&world);
    }
}

static void test_cancel_before_the_turn_asks_nobody(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct probe cancelled = {0}, probe = {0};

    (void)state;
    world_start(&world);
    start(&world, &cancelled, &(struct how){0});
    fetch_cancel(cancelled.call);
    world.open--;
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(cancelled.heads + cancelled.ends, 0);
    assert_int_equal(world.server.connections, 1);
    buf_deinit(&cancelled.data);
    buf_deinit(&probe.data);
    world_end(&world);
}

/* The server waits for a request, which never comes before the handshake: this call lasts until it is cancelled. */
static void start_the_other(struct probe *probe)
{
    start(probe->world, probe->other, &(struct how){.scheme = "https"});
}

static void cancel_the_other(struct probe *probe)
{
    fetch_cancel(probe->other->call);
    probe->world->open--;
}

static void test_a_callback_may_start_and_cancel_another_call(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct probe other = {0};
    struct probe probe = {.on_head = start_the_other, .on_data = cancel_the_other, .other = &other};

    (void)state;
    world_start(&world);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(other.heads + other.ends, 0);
    buf_deinit(&probe.data);
    buf_deinit(&other.data);
    world_end(&world);
}

static void test_a_callback_may_cancel_a_call_in_flight(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct probe other = {0};
    struct probe probe = {.on_data = cancel_the_other, .other = &other};

    (void)state;
    world_start(&world);
    start(&world, &other, &(struct how){.scheme = "https"});
    while (!world.server.connections)
        loop_turn(world.loop, true);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(other.heads + other.ends, 0);
    buf_deinit(&probe.data);
    buf_deinit(&other.data);
    world_end(&world);
}

static void test_destroy_drops_what_is_in_flight(void **state)
{
    struct world world = {.server = {.ending = THEN_KEEP}};
    struct probe started = {0}, flying = {0}, cancelled = {0};

    (void)state;
    world_start(&world);
    start(&world, &flying, &(struct how){0});
    start(&world, &cancelled, &(struct how){0});
    while (world.server.posts < 2)
        loop_turn(world.loop, true);
    fetch_cancel(cancelled.call);
    start(&world, &started, &(struct how){0});
    assert_int_equal(fetch_in_flight(world.fetch), 2);
    world_end(&world);
    assert_int_equal(started.ends + flying.ends + cancelled.ends, 0);
    buf_deinit(&started.data);
    buf_deinit(&flying.data);
    buf_deinit(&cancelled.data);
}

static void test_only_http_urls_are_asked(void **state)
{
    static const char *const urls[] = {"ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", ""};
    struct world world = {0};
    struct probe probe = {0};

    (void)state;
    world_start(&world);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_int_equal(start_at(&world, &probe, urls[i], &(struct how){0}), ERR_SYNTAX);
    assert_int_equal(fetch_in_flight(world.fetch), 0);
    world_end(&world);
}

static void test_the_environment_names_no_proxy(void **state)
{
    struct world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct probe probe = {0};

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    world_start(&world);
    ask(&world, &probe, &(struct how){0});
    assert_int_equal(probe.end, FETCH_ANSWERED);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    buf_deinit(&probe.data);
    world_end(&world);
}

/* Both ends live in this process: two descriptors for each call. */
static void test_a_thousand_at_once(void **state)
{
    enum { CALLS = 1000 };
    struct world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}};
    struct probe *probes = calloc(CALLS, sizeof(*probes));
    struct rlimit limit;

    (void)state;
    assert_non_null(probes);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    world_start(&world);
    for (int i = 0; i < CALLS; i++)
        start(&world, &probes[i], &(struct how){0});
    assert_int_equal(fetch_in_flight(world.fetch), CALLS);
    loop_run(world.loop);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(probes[i].end, FETCH_ANSWERED);
        assert_int_equal(probes[i].ends, 1);
        assert_string_equal(buf_text(&probes[i].data), "hello");
        buf_deinit(&probes[i].data);
    }
    assert_int_equal(world.server.connections, CALLS);
    assert_int_equal(world.server.posts, CALLS);
    free(probes);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_comes_whole),
        cmocka_unit_test(test_a_large_body_is_sent_at_once),
        cmocka_unit_test(test_interim_answers_and_trailers_are_not_the_answer),
        cmocka_unit_test(test_a_redirect_is_an_answer),
        cmocka_unit_test(test_a_dead_connection_is_never_asked_again),
        cmocka_unit_test(test_a_connection_is_never_used_again),
        cmocka_unit_test(test_a_refused_connection_never_left),
        cmocka_unit_test(test_a_failed_handshake_never_left),
        cmocka_unit_test(test_a_server_must_prove_its_name),
        cmocka_unit_test(test_authorities_are_read_once_and_sessions_resumed),
        cmocka_unit_test(test_a_late_first_byte_ends_the_call),
        cmocka_unit_test(test_the_total_time_counts_after_the_first_byte),
        cmocka_unit_test(test_a_large_answer_breaks_off),
        cmocka_unit_test(test_cancel_is_silent_and_hangs_up),
        cmocka_unit_test(test_cancel_before_the_turn_asks_nobody),
        cmocka_unit_test(test_a_callback_may_start_and_cancel_another_call),
        cmocka_unit_test(test_a_callback_may_cancel_a_call_in_flight),
        cmocka_unit_test(test_destroy_drops_what_is_in_flight),
        cmocka_unit_test(test_only_http_urls_are_asked),
        cmocka_unit_test(test_the_environment_names_no_proxy),
        cmocka_unit_test(test_a_thousand_at_once),
    };

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
