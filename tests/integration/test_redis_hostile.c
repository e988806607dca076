/* The Redis client against a hostile server: it may lose the connection, but must not crash or stop retrying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "tests/support/redis_fixture.h"

#define HANDSHAKE "+OK\r\n+PONG\r\n"

/* A server on the same loop. It sends the same bytes to every client, whatever the client sends. */
struct server {
    char directory[64], path[96];
    int listener, client; /* client: the last one; -1: none */
    struct event *accept_event, *send_timer;
    const char *bytes;
    size_t len, sent;
    size_t piece;     /* bytes per turn */
    int64_t pause_ms; /* between two pieces */
    bool closes;
    int connections;
};

static void disconnect(struct server *server)
{
    event_del(server->send_timer);
    if (server->client >= 0)
        close(server->client);
    server->client = -1;
}

/* One piece per turn, so that the client receives each piece alone. */
static void on_send_timer(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    size_t rest = server->len - server->sent;
    ssize_t sent;

    (void)fd;
    (void)what;
    sent = send(server->client, server->bytes + server->sent, rest < server->piece ? rest : server->piece,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        server->sent += (size_t)sent;
    if (server->sent < server->len)
        evtimer_add(server->send_timer, &(struct timeval){.tv_usec = server->pause_ms * 1000});
    else if (server->closes)
        shutdown(server->client, SHUT_WR);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void)what;
    disconnect(server);
    server->client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    server->connections++;
    server->sent = 0;
    evtimer_add(server->send_timer, &(struct timeval){0});
}

/* The client under test is created, but not connected yet. */
static void hostile_begin(struct server *server, struct fixture *fixture, const char *bytes, size_t len, size_t piece)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[128];

    *server = (struct server){.client = -1, .bytes = bytes, .len = len, .piece = piece};
    snprintf(server->directory, sizeof(server->directory), "/tmp/test_redis_hostile.XXXXXX");
    assert_non_null(mkdtemp(server->directory));
    snprintf(server->path, sizeof(server->path), "%s/socket", server->directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
    snprintf(url, sizeof(url), "unix://%s", server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 16), 0);

    fixture_init(fixture, url);
    fixture->config.reconnect.max_ms = 2;
    server->accept_event =
        event_new(loop_base(fixture->loop), server->listener, EV_READ | EV_PERSIST, on_client, server);
    server->send_timer = evtimer_new(loop_base(fixture->loop), on_send_timer, server);
    event_add(server->accept_event, NULL);
}

static void hostile_end(struct server *server, struct fixture *fixture)
{
    disconnect(server);
    event_free(server->accept_event);
    event_free(server->send_timer);
    close(server->listener);
    unlink(server->path);
    rmdir(server->directory);
    fixture_deinit(fixture);
}

static const struct {
    const char *name, *bytes;
    bool closes;
    const char *log;
} handshakes[] = {
    {"nothing, then the end",            "",                                                             true,  "closed by the server"        },
    {"nothing at all",                   "",                                                             false, "connection attempt timed out"},
    {"half a reply",                     "+OK\r\n+PO",                                                   false, "connection attempt timed out"},
    {"half a reply, then the end",       "+OK\r\n+PO",                                                   true,  "closed by the server"        },
    {"another protocol",                 "HTTP/1.1 200 OK\r\n\r\n",                                      false, "Protocol error"              },
    {"bytes without sense",              "\x01\xff\xfe\r\n",                                             false, "Protocol error"              },
    {"a count too large for the memory", "*2147483647\r\n",                                              false, "too many elements"           },
    {"arrays in arrays without end",     "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", false, ""                            },
    {"a refusal of the client",          "-DENIED Redis is running in protected mode\r\n",               true,  "DENIED"                      },
    {"loading",                          "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n",   false, "LOADING"                     },
};

static void bad_handshakes_are_retried(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(handshakes); i++) {
        struct server server;
        struct fixture f;

        print_message("  %s\n", handshakes[i].name);
        hostile_begin(&server, &f, handshakes[i].bytes, strlen(handshakes[i].bytes), 4096);
        server.closes = handshakes[i].closes;
        f.config.connect_timeout_ms = 20;
        fixture_connect(&f);
        WAIT_UNTIL(&f, server.connections == 4);
        assert_int_equal(f.ready, 0);
        assert_int_equal(fixture_log_count(&f, "cannot connect"), 1);
        if (!strstr(fixture_log(&f), handshakes[i].log))
            fail_msg("log: %s", fixture_log(&f));
        hostile_end(&server, &f);
    }
}

static const struct {
    const char *name, *bytes;
} unexpected[] = {
    {"an unexpected reply",                   HANDSHAKE "+HELLO\r\n"                                    },
    {"an unexpected error",                   HANDSHAKE "-ERR you\r\n"                                  },
    {"a message without a subscription",      HANDSHAKE "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\np\r\n" },
    {"a confirmation without a subscription", HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"    },
    {"a sharded message",                     HANDSHAKE "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\np\r\n"},
    {"a reply of a newer protocol",           HANDSHAKE ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\np\r\n" },
    {"an array of nothing",                   HANDSHAKE "*0\r\n"                                        },
    {"garbage after the handshake",           HANDSHAKE "\r\n\r\n"                                      },
};

static void unexpected_replies_only_close_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(unexpected); i++) {
        struct server server;
        struct fixture f;

        print_message("  %s\n", unexpected[i].name);
        hostile_begin(&server, &f, unexpected[i].bytes, strlen(unexpected[i].bytes), 4096);
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.lost == 3);
        assert_true(f.ready >= 3);
        assert_int_equal(f.messages + f.subscribed, 0);
        hostile_end(&server, &f);
    }
}

/* Replies to the subscription of on_ready. */
static const struct {
    const char *name, *bytes;
    int subscribed, messages;
} confirmations[] = {
    {"another kind",                        HANDSHAKE "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n",                                        0, 0},
    {"a status",                            HANDSHAKE "+OK\r\n",                                                                              0, 0},
    {"an error",                            HANDSHAKE "-NOPERM\r\n",                                                                          0, 0},
    {"two elements",                        HANDSHAKE "*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n",                                                 0, 0},
    {"no channel",                          HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",                                               0, 0},
    {"a count that is a text",              HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n$1\r\n1\r\n",                                      0, 0},
    {"one too many",                        HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
     1,                                                                                                                                          0},
    {"then a message without a payload",
     HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",                                         1, 0},
    {"then a message with an array inside",
     HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*0\r\n",                                          1, 0},
    {"then a message, then nonsense",
     HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n:1\r\n",                                1, 1},
};

static void subscribe(void *arg)
{
    struct fixture *fixture = arg;

    fixture->ready++;
    assert_int_equal(redis_subscribe(fixture->redis, "c"), 0);
}

static void wrong_confirmations_only_close_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(confirmations); i++) {
        struct server server;
        struct fixture f;

        print_message("  %s\n", confirmations[i].name);
        hostile_begin(&server, &f, confirmations[i].bytes, strlen(confirmations[i].bytes), 4096);
        f.config.events.on_ready = subscribe;
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.lost == 1);
        assert_int_equal(f.subscribed, confirmations[i].subscribed);
        assert_int_equal(f.messages, confirmations[i].messages);
        hostile_end(&server, &f);
    }
}

static void bytes_may_arrive_in_pieces_of_any_size(void **state)
{
    static const char bytes[] = HANDSHAKE "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                                          "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\na\r\nb\n\r\n"
                                          "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(bytes); piece++) {
        struct server server;
        struct fixture f;

        hostile_begin(&server, &f, bytes, sizeof(bytes) - 1, piece);
        f.config.events.on_ready = subscribe;
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.messages == 2);
        assert_int_equal(f.subscribed, 1);
        assert_int_equal(f.lost, 0);
        hostile_end(&server, &f);
    }
}

static void an_endless_reply_closes_the_connection(void **state)
{
    enum { LEN = 7 * 1024 * 1024 };
    static const char head[] = HANDSHAKE "$536870912\r\n";
    char *bytes = malloc(LEN);
    struct server server;
    struct fixture f;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', LEN);
    memcpy(bytes, head, sizeof(head) - 1);
    hostile_begin(&server, &f, bytes, LEN, 1024 * 1024);
    f.config.reply_max = 4 * 1024 * 1024;
    fixture_connect(&f);
    WAIT_UNTIL(&f, f.lost == 1);
    assert_int_equal(fixture_log_count(&f, "reply is too long"), 1);
    hostile_end(&server, &f);
    free(bytes);
}

struct two_calls {
    struct fixture fixture;
    struct answer answers[2];
};

static void ask_twice(void *arg)
{
    struct fixture *fixture = arg;
    struct two_calls *calls = arg;

    fixture->ready++;
    for (size_t i = 0; i < 2; i++) {
        calls->answers[i].fixture = fixture;
        assert_int_equal(redis_send_words(fixture->redis, REDIS_WORDS("GET", "k"), on_answer, &calls->answers[i], NULL),
                         0);
    }
}

static const struct {
    const char *name;
    size_t len, piece;
    int64_t pause_ms, timeout_ms;
    int err;
} paces[] = {
    {"a large reply that arrives steadily does not time out", 1024 * 1024,     32 * 1024,   40,  500, 0          },
    {"a reply that arrives in single bytes times out",        1024 * 1024,     8,           5,   60,  ERR_TIMEOUT},
    {"a reply that stops half way times out",                 2 * 1024 * 1024, 1024 * 1024, 900, 200, ERR_TIMEOUT},
};

/* The second reply comes after the first, and its own deadline has passed by then. */
static void no_deadline_passes_while_a_reply_arrives(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(paces); i++) {
        char *bytes = malloc(paces[i].len + 128);
        struct two_calls calls = {0};
        struct server server;
        int head;

        print_message("  %s\n", paces[i].name);
        assert_non_null(bytes);
        head = snprintf(bytes, 64, HANDSHAKE "$%zu\r\n", paces[i].len);
        memset(bytes + head, 'x', paces[i].len);
        memcpy(bytes + head + paces[i].len, "\r\n+AND\r\n", 9);
        hostile_begin(&server, &calls.fixture, bytes, (size_t)head + paces[i].len + 8, paces[i].piece);
        server.pause_ms = paces[i].pause_ms;
        calls.fixture.config.command_timeout_ms = paces[i].timeout_ms;
        calls.fixture.config.events.on_ready = ask_twice;
        fixture_connect(&calls.fixture);
        WAIT_UNTIL(&calls.fixture, calls.answers[1].times);
        assert_int_equal(calls.answers[0].err, paces[i].err);
        assert_int_equal(calls.answers[1].err, paces[i].err ? ERR_LOST : 0);
        assert_string_equal(calls.answers[1].text, paces[i].err ? "" : "AND");
        hostile_end(&server, &calls.fixture);
        free(bytes);
    }
}

/* The delays grow beyond that of a first try, although each connection was ready for a moment. */
static void a_server_that_closes_at_once_is_retried_with_backoff(void **state)
{
    enum { ROUNDS = 12 };
    long longest_ms = 0;
    struct server server;
    struct fixture f;

    (void)state;
    hostile_begin(&server, &f, HANDSHAKE, strlen(HANDSHAKE), 4096);
    server.closes = true;
    f.config.reconnect.base_ms = 2;
    f.config.reconnect.max_ms = 100;
    fixture_connect(&f);
    WAIT_UNTIL(&f, f.lost == ROUNDS);
    assert_int_equal(fixture_log_count(&f, "connection lost"), ROUNDS); /* each follows a "connected" */
    for (const char *at = fixture_log(&f); (at = strstr(at, "retry_ms=")); at++) {
        long retry_ms = strtol(at + strlen("retry_ms="), NULL, 10);

        longest_ms = retry_ms > longest_ms ? retry_ms : longest_ms;
    }
    assert_true(longest_ms > 2 && longest_ms <= 100);
    hostile_end(&server, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bad_handshakes_are_retried),
        FIXTURE_TEST(unexpected_replies_only_close_the_connection),
        FIXTURE_TEST(wrong_confirmations_only_close_the_connection),
        FIXTURE_TEST(bytes_may_arrive_in_pieces_of_any_size),
        FIXTURE_TEST(an_endless_reply_closes_the_connection),
        FIXTURE_TEST(no_deadline_passes_while_a_reply_arrives),
        FIXTURE_TEST(a_server_that_closes_at_once_is_retried_with_backoff),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
