/* The Redis client against a server that lies: it may lose its connection, never its footing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants what stands above it */
#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/loop.h"
#include "tests/support/redis_fixture.h"

#define GREETED "+OK\r\n+PONG\r\n"

/* A server in the same loop. It says the same to everybody who comes, whatever it is asked. */
struct liar {
    char directory[64], path[96];
    int listener, client; /* client: the last who came; -1: none */
    struct event *accepts, *speaks;
    const char *says;
    size_t len, said;
    size_t piece;     /* bytes a turn */
    int64_t pause_ms; /* from one piece to the next */
    bool hangs_up;
    int visits;
};

static void hang_up(struct liar *liar)
{
    event_del(liar->speaks);
    if (liar->client >= 0)
        close(liar->client);
    liar->client = -1;
}

/* A piece a turn, so that the client sees each of them alone. */
static void speak(evutil_socket_t fd, short what, void *arg)
{
    struct liar *liar = arg;
    size_t rest = liar->len - liar->said;
    ssize_t sent;

    (void)fd;
    (void)what;
    sent = send(liar->client, liar->says + liar->said, rest < liar->piece ? rest : liar->piece,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        liar->said += (size_t)sent;
    if (liar->said < liar->len)
        evtimer_add(liar->speaks, &(struct timeval){.tv_usec = liar->pause_ms * 1000});
    else if (liar->hangs_up)
        shutdown(liar->client, SHUT_WR);
}

static void take_client(evutil_socket_t fd, short what, void *arg)
{
    struct liar *liar = arg;

    (void)what;
    hang_up(liar);
    liar->client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    liar->visits++;
    liar->said = 0;
    evtimer_add(liar->speaks, &(struct timeval){0});
}

/* The client under test is created, but not connected yet. */
static void begin(struct liar *liar, struct fixture *fixture, const char *says, size_t len, size_t piece)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[128];

    *liar = (struct liar){.client = -1, .says = says, .len = len, .piece = piece};
    snprintf(liar->directory, sizeof(liar->directory), "/tmp/test_redis_hostile.XXXXXX");
    assert_non_null(mkdtemp(liar->directory));
    snprintf(liar->path, sizeof(liar->path), "%s/socket", liar->directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", liar->path);
    snprintf(url, sizeof(url), "unix://%s", liar->path);
    liar->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(liar->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(liar->listener, 16), 0);

    fixture_init(fixture, url);
    fixture->config.reconnect.max_ms = 2;
    liar->accepts = event_new(loop_base(fixture->loop), liar->listener, EV_READ | EV_PERSIST, take_client, liar);
    liar->speaks = evtimer_new(loop_base(fixture->loop), speak, liar);
    event_add(liar->accepts, NULL);
}

static void end(struct liar *liar, struct fixture *fixture)
{
    hang_up(liar);
    event_free(liar->accepts);
    event_free(liar->speaks);
    close(liar->listener);
    unlink(liar->path);
    rmdir(liar->directory);
    fixture_deinit(fixture);
}

static const struct {
    const char *name, *says;
    bool hangs_up;
    const char *log;
} greetings[] = {
    {"nothing, and hangs up",        "",                                                             true,  "closed by the server" },
    {"nothing at all",               "",                                                             false, "no connection in time"},
    {"half an answer",               "+OK\r\n+PO",                                                   false, "no connection in time"},
    {"half an answer, and hangs up", "+OK\r\n+PO",                                                   true,  "closed by the server" },
    {"another protocol",             "HTTP/1.1 200 OK\r\n\r\n",                                      false, "Protocol error"       },
    {"bytes without sense",          "\x01\xff\xfe\r\n",                                             false, "Protocol error"       },
    {"a count that no memory holds", "*2147483647\r\n",                                              false, "too many elements"    },
    {"arrays in arrays without end", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", false, ""                     },
    {"a refusal",                    "-DENIED Redis is running in protected mode\r\n",               true,  "DENIED"               },
    {"that it is loading",           "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n",   false, "LOADING"              },
};

static void bad_greetings_are_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        struct liar liar;
        struct fixture f;

        print_message("  %s\n", greetings[i].name);
        begin(&liar, &f, greetings[i].says, strlen(greetings[i].says), 4096);
        liar.hangs_up = greetings[i].hangs_up;
        f.config.connect_timeout_ms = 20;
        fixture_connect(&f);
        WAIT_UNTIL(&f, liar.visits == 4);
        assert_int_equal(f.ready, 0);
        assert_int_equal(fixture_log_count(&f, "cannot connect"), 1);
        if (!strstr(fixture_log(&f), greetings[i].log))
            fail_msg("the log says: %s", fixture_log(&f));
        end(&liar, &f);
    }
}

static const struct {
    const char *name, *says;
} surprises[] = {
    {"an answer that nobody asked for",       GREETED "+HELLO\r\n"                                    },
    {"an error that nobody asked for",        GREETED "-ERR you\r\n"                                  },
    {"a message without a subscription",      GREETED "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\np\r\n" },
    {"a confirmation without a subscription", GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"    },
    {"a sharded message",                     GREETED "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\np\r\n"},
    {"a reply of a newer protocol",           GREETED ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\np\r\n" },
    {"an array of nothing",                   GREETED "*0\r\n"                                        },
    {"garbage after it was ready",            GREETED "\r\n\r\n"                                      },
};

static void surprises_end_the_connection_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(surprises) / sizeof(surprises[0]); i++) {
        struct liar liar;
        struct fixture f;

        print_message("  %s\n", surprises[i].name);
        begin(&liar, &f, surprises[i].says, strlen(surprises[i].says), 4096);
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.lost == 3);
        assert_true(f.ready >= 3);
        assert_int_equal(f.messages + f.subscribed, 0);
        end(&liar, &f);
    }
}

/* Confirms, or does not, the subscription that on_ready asks for. */
static const struct {
    const char *name, *says;
    int subscribed, messages;
} confirmations[] = {
    {"another kind",                        GREETED "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n",                                        0, 0},
    {"a status",                            GREETED "+OK\r\n",                                                                              0, 0},
    {"an error",                            GREETED "-NOPERM\r\n",                                                                          0, 0},
    {"two elements",                        GREETED "*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n",                                                 0, 0},
    {"no channel",                          GREETED "*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",                                               0, 0},
    {"a count that is a text",              GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n$1\r\n1\r\n",                                      0, 0},
    {"one too many",                        GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", 1,
     0                                                                                                                                          },
    {"then a message without a payload",
     GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",                                         1, 0},
    {"then a message with an array inside",
     GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*0\r\n",                                          1, 0},
    {"then a message, then nonsense",
     GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n:1\r\n",                                1, 1},
};

static void subscribe(void *arg)
{
    struct fixture *fixture = arg;

    fixture->ready++;
    assert_int_equal(redis_subscribe(fixture->redis, "c"), 0);
}

static void wrong_confirmations_end_the_connection_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(confirmations) / sizeof(confirmations[0]); i++) {
        struct liar liar;
        struct fixture f;

        print_message("  %s\n", confirmations[i].name);
        begin(&liar, &f, confirmations[i].says, strlen(confirmations[i].says), 4096);
        f.config.events.on_ready = subscribe;
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.lost == 1);
        assert_int_equal(f.subscribed, confirmations[i].subscribed);
        assert_int_equal(f.messages, confirmations[i].messages);
        end(&liar, &f);
    }
}

static void pieces_of_any_size_are_understood(void **state)
{
    static const char says[] = GREETED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                                       "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\na\r\nb\n\r\n"
                                       "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(says); piece++) {
        struct liar liar;
        struct fixture f;

        begin(&liar, &f, says, sizeof(says) - 1, piece);
        f.config.events.on_ready = subscribe;
        fixture_connect(&f);
        WAIT_UNTIL(&f, f.messages == 2);
        assert_int_equal(f.subscribed, 1);
        assert_int_equal(f.lost, 0);
        end(&liar, &f);
    }
}

static void an_answer_that_never_ends_is_cut(void **state)
{
    enum { LEN = 7 * 1024 * 1024 };
    static const char head[] = GREETED "$536870912\r\n";
    char *says = malloc(LEN);
    struct liar liar;
    struct fixture f;

    (void)state;
    assert_non_null(says);
    memset(says, 'x', LEN);
    memcpy(says, head, sizeof(head) - 1);
    begin(&liar, &f, says, LEN, 1024 * 1024);
    f.config.reply_max = 4 * 1024 * 1024;
    fixture_connect(&f);
    WAIT_UNTIL(&f, f.lost == 1);
    assert_int_equal(fixture_log_count(&f, "a reply is too long"), 1);
    end(&liar, &f);
    free(says);
}

struct patience {
    struct fixture fixture;
    struct answer answers[2];
};

static void ask_twice(void *arg)
{
    struct fixture *fixture = arg;
    struct patience *patience = arg;

    fixture->ready++;
    for (size_t i = 0; i < 2; i++) {
        patience->answers[i].fixture = fixture;
        assert_int_equal(
            redis_send_words(fixture->redis, REDIS_WORDS("GET", "k"), on_answer, &patience->answers[i], NULL), 0);
    }
}

static const struct {
    const char *name;
    size_t len, piece;
    int64_t pause_ms, timeout_ms;
    int err;
} paces[] = {
    {"a large answer that comes steadily has all the time it needs", 1024 * 1024,     32 * 1024,   40,  500, 0          },
    {"an answer that comes by the byte does not",                    1024 * 1024,     8,           5,   60,  ERR_TIMEOUT},
    {"an answer that stops half way does not",                       2 * 1024 * 1024, 1024 * 1024, 900, 200, ERR_TIMEOUT},
};

/* The second answer stands behind the first one, and its deadline has passed when that is read. */
static void a_deadline_does_not_pass_while_an_answer_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(paces) / sizeof(paces[0]); i++) {
        char *says = malloc(paces[i].len + 128);
        struct patience patience = {0};
        struct liar liar;
        int head;

        print_message("  %s\n", paces[i].name);
        assert_non_null(says);
        head = snprintf(says, 64, GREETED "$%zu\r\n", paces[i].len);
        memset(says + head, 'x', paces[i].len);
        memcpy(says + head + paces[i].len, "\r\n+AND\r\n", 9);
        begin(&liar, &patience.fixture, says, (size_t)head + paces[i].len + 8, paces[i].piece);
        liar.pause_ms = paces[i].pause_ms;
        patience.fixture.config.command_timeout_ms = paces[i].timeout_ms;
        patience.fixture.config.events.on_ready = ask_twice;
        fixture_connect(&patience.fixture);
        WAIT_UNTIL(&patience.fixture, patience.answers[1].times);
        assert_int_equal(patience.answers[0].err, paces[i].err);
        assert_int_equal(patience.answers[1].err, paces[i].err ? ERR_LOST : 0);
        assert_string_equal(patience.answers[1].text, paces[i].err ? "" : "AND");
        end(&liar, &patience.fixture);
        free(says);
    }
}

/* Its delays grow beyond the first one's bound, though each of these connections was ready for a moment. */
static void a_server_that_throws_us_out_again_is_not_asked_in_a_tight_loop(void **state)
{
    enum { ROUNDS = 12 };
    long longest_ms = 0;
    struct liar liar;
    struct fixture f;

    (void)state;
    begin(&liar, &f, GREETED, strlen(GREETED), 4096);
    liar.hangs_up = true;
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
    end(&liar, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bad_greetings_are_survived),
        FIXTURE_TEST(surprises_end_the_connection_only),
        FIXTURE_TEST(wrong_confirmations_end_the_connection_only),
        FIXTURE_TEST(pieces_of_any_size_are_understood),
        FIXTURE_TEST(an_answer_that_never_ends_is_cut),
        FIXTURE_TEST(a_deadline_does_not_pass_while_an_answer_comes),
        FIXTURE_TEST(a_server_that_throws_us_out_again_is_not_asked_in_a_tight_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
