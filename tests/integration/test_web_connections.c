/* Names, connections and TLS: each request is sent at most once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/listener.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "tests/support/certificates.h"
#include "tests/support/web_world.h"

/* Exactly one request arrives, however the connection ends. */
static const struct {
    const char *name, *answer;
    enum stub_ending ending;
    int heads;
    const char *data;
} deaths[] = {
    {"closed without a byte",        NULL,                                  THEN_CLOSE, 0, ""     },
    {"reset without a byte",         NULL,                                  THEN_RESET, 0, ""     },
    {"closed inside the head",       "HTTP/1.1 200 OK\r\nContent-Ty",       THEN_CLOSE, 0, ""     },
    {"closed after the head",        HEAD "Content-Length: 9\r\n\r\n",      THEN_CLOSE, 1, ""     },
    {"closed inside the body",       HEAD "Content-Length: 9\r\n\r\nhello", THEN_CLOSE, 1, "hello"},
    {"closed inside a chunk",        HEAD CHUNKED "9\r\nhello",             THEN_CLOSE, 1, "hello"},
    {"closed before the last chunk", HEAD CHUNKED "5\r\nhello\r\n",         THEN_CLOSE, 1, "hello"},
    {"not HTTP",                     "hello, this is no HTTP\r\n\r\n",      THEN_CLOSE, 0, ""     },
};

static void test_a_request_is_not_repeated_when_the_connection_breaks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(deaths); i++) {
        struct web_world world = {
            .server = {.answer = deaths[i].answer, .ending = deaths[i].ending}
        };
        struct web_probe probe = {0};

        print_message("  %s\n", deaths[i].name);
        web_world_start(&world);
        web_probe_ask(&world, &probe, &(struct web_how){0});
        assert_int_equal(probe.end, WEB_BROKEN);
        assert_int_equal(probe.heads, deaths[i].heads);
        assert_string_equal(buf_text(&probe.data), deaths[i].data);
        assert_int_equal(world.server.connections, 1);
        assert_int_equal(world.server.posts, 1);
        buf_deinit(&probe.data);
        web_world_end(&world);
    }
}

/* Only of a large body libcurl's reads show that a part was never sent. */
static void test_a_large_body_that_was_not_sent_whole_is_told_apart(void **state)
{
    static const struct {
        const char *name;
        bool at_once;
        enum stub_ending ending;
        size_t len;
        enum web_end end;
    } rows[] = {
        {"reset before it was sent",      true,  THEN_RESET, 32 << 20, WEB_PARTLY_SENT},
        {"closed before it was sent",     true,  THEN_CLOSE, 32 << 20, WEB_PARTLY_SENT},
        {"closed when all of it is here", false, THEN_CLOSE, 3 << 20,  WEB_BROKEN     },
        {"reset when all of it is here",  false, THEN_RESET, 3 << 20,  WEB_BROKEN     },
        {"a small body",                  true,  THEN_RESET, 60 << 10, WEB_BROKEN     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct web_world world = {
            .server = {.ending = rows[i].ending, .moment = rows[i].at_once ? ON_ACCEPT : AFTER_REQUEST}
        };
        struct web_probe probe = {0};

        print_message("  %s\n", rows[i].name);
        web_world_start(&world);
        web_probe_ask(&world, &probe, &(struct web_how){.body_len = rows[i].len});
        assert_int_equal(probe.end, rows[i].end);
        assert_int_equal(world.server.connections, 1);
        buf_deinit(&probe.data);
        web_world_end(&world);
    }
}

/* libcurl would repeat a POST by itself on a kept-alive connection that the server has closed meanwhile. */
static void let_the_server_close(struct web_probe *probe)
{
    struct stub_server *server = &probe->world->server;

    server->answer = NULL;
    server->ending = THEN_CLOSE;
    web_probe_start(probe->world, probe->other, &(struct web_how){0});
}

static void test_a_connection_is_not_reused(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok"}};
    struct web_probe second = {0};
    struct web_probe first = {.on_done = let_the_server_close, .other = &second};

    (void)state;
    web_world_start(&world);
    web_probe_start(&world, &first, &(struct web_how){0});
    loop_run(world.loop);
    assert_int_equal(first.end, WEB_ANSWERED);
    assert_int_equal(second.end, WEB_BROKEN);
    assert_int_equal(world.server.connections, 2);
    assert_int_equal(world.server.posts, 2);
    buf_deinit(&first.data);
    buf_deinit(&second.data);
    web_world_end(&world);
}

static void test_a_refused_connection_sends_nothing(void **state)
{
    struct web_world world = {0};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    evconnlistener_free(world.server.listener);
    world.server.listener = NULL;
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_NOT_SENT);
    assert_int_equal(probe.heads, 0);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

/* Longer than a label may be, so no name server is asked. */
#define LABEL "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_a_failed_name_lookup_does_not_affect_later_calls(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}};
    struct web_probe lost = {0}, later = {0};

    (void)state;
    web_world_start(&world);
    assert_int_equal(web_probe_start_at(&world, &lost, "http://" LABEL ".test/images", &(struct web_how){0}), 0);
    loop_run(world.loop);
    assert_int_equal(lost.end, WEB_NOT_SENT);
    web_probe_ask(&world, &later, &(struct web_how){0});
    assert_int_equal(later.end, WEB_ANSWERED);
    buf_deinit(&lost.data);
    buf_deinit(&later.data);
    web_world_end(&world);
}

static const struct {
    const char *name, *answer;
    enum stub_ending ending;
    int64_t connect_ms, first_byte_ms;
} handshakes[] = {
    {"TLS to a server without TLS",                 "HTTP/1.1 400 Bad Request\r\n\r\n", THEN_CLOSE, 5000, 5000},
    {"TLS to a server that closes",                 NULL,                               THEN_CLOSE, 5000, 5000},
    {"TLS to a server that resets",                 NULL,                               THEN_RESET, 5000, 5000},
    {"TLS to a server that says nothing",           NULL,                               THEN_KEEP,  50,   5000},
    {"the same, with less time for the first byte", NULL,                               THEN_KEEP,  5000, 50  },
};

static void test_a_failed_handshake_sends_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(handshakes); i++) {
        struct web_world world = {
            .server = {.moment = ON_ACCEPT, .answer = handshakes[i].answer, .ending = handshakes[i].ending}
        };
        struct web_probe probe = {0};

        print_message("  %s\n", handshakes[i].name);
        web_world_start_with(&world, handshakes[i].connect_ms, handshakes[i].first_byte_ms);
        web_probe_ask(&world, &probe, &(struct web_how){.scheme = "https"});
        assert_int_equal(probe.end, WEB_NOT_SENT);
        assert_int_equal(world.server.posts, 0);
        buf_deinit(&probe.data);
        web_world_end(&world);
    }
}

#define DAY (24 * 3600L)

static const struct {
    const char *name, *names;
    long ends_s;
    bool trusted;
    enum web_end end;
} certificates[] = {
    {"of a trusted CA",    "IP:127.0.0.1",     DAY,  true,  WEB_ANSWERED},
    {"of an untrusted CA", "IP:127.0.0.1",     DAY,  false, WEB_NOT_SENT},
    {"of another server",  "DNS:example.test", DAY,  true,  WEB_NOT_SENT},
    {"expired",            "IP:127.0.0.1",     -DAY, true,  WEB_NOT_SENT},
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
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}, .ca_file = ca_file};
    struct web_probe probe = {0};

    print_message("  a certificate %s\n", certificates[i].name);
    authority_sign(authority, certificates[i].names, certificates[i].ends_s, path);
    world.server.tls = tls_of(path);
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){.scheme = "https"});
    assert_int_equal(probe.end, certificates[i].end);
    assert_int_equal(world.server.posts, certificates[i].end == WEB_ANSWERED);
    assert_string_equal(buf_text(&probe.data), certificates[i].end == WEB_ANSWERED ? "hello" : "");
    buf_deinit(&probe.data);
    web_world_end(&world);
    SSL_CTX_free(world.server.tls);
}

static void test_the_servers_certificate_is_verified(void **state)
{
    char folder[] = "/tmp/test_web.XXXXXX", ours[64], theirs[64], server[64];
    struct authority *trusted, *other;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(ours, sizeof(ours), "%s/ours.pem", folder);
    (void)snprintf(theirs, sizeof(theirs), "%s/theirs.pem", folder);
    (void)snprintf(server, sizeof(server), "%s/server.pem", folder);
    trusted = authority_create("ours", ours);
    other = authority_create("theirs", theirs);
    for (size_t i = 0; i < ARRAY_LENGTH(certificates); i++)
        check_certificate(i, certificates[i].trusted ? trusted : other, ours, server);
    trusted = authority_destroy(trusted);
    other = authority_destroy(other);
    assert_int_equal(unlink(ours) | unlink(theirs) | unlink(server) | rmdir(folder), 0);
}

/* A world over TLS, with its own CA. */
struct tls_world {
    struct web_world world;
    char folder[32], ours[64], server[64];
    struct authority *authority;
};

static void tls_world_start(struct tls_world *tls)
{
    *tls = (struct tls_world){
        .world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}, .ca_file = tls->ours},
        .folder = "/tmp/test_web.XXXXXX"
    };
    assert_non_null(mkdtemp(tls->folder));
    (void)snprintf(tls->ours, sizeof(tls->ours), "%s/ours.pem", tls->folder);
    (void)snprintf(tls->server, sizeof(tls->server), "%s/server.pem", tls->folder);
    tls->authority = authority_create("ours", tls->ours);
    authority_sign(tls->authority, "IP:127.0.0.1", DAY, tls->server);
    tls->world.server.tls = tls_of(tls->server);
    web_world_start(&tls->world);
}

static void tls_world_end(struct tls_world *tls)
{
    web_world_end(&tls->world);
    SSL_CTX_free(tls->world.server.tls);
    tls->authority = authority_destroy(tls->authority);
    (void)unlink(tls->ours);
    assert_int_equal(unlink(tls->server) | rmdir(tls->folder), 0);
}

static enum web_end tls_world_try(struct tls_world *tls)
{
    struct web_probe probe = {0};

    web_probe_ask(&tls->world, &probe, &(struct web_how){.scheme = "https"});
    buf_deinit(&probe.data);
    return probe.end;
}

static void tls_world_ask(struct tls_world *tls, enum web_end end)
{
    assert_int_equal(tls_world_try(tls), end);
}

/* Each call has its own connection, but the slow parts are done once. */
static void test_the_ca_file_is_loaded_once_and_sessions_are_resumed(void **state)
{
    struct tls_world tls;

    (void)state;
    tls_world_start(&tls);
    tls_world_ask(&tls, WEB_ANSWERED);
    assert_int_equal(unlink(tls.ours), 0);
    tls_world_ask(&tls, WEB_ANSWERED);
    tls_world_ask(&tls, WEB_ANSWERED);
    assert_int_equal(tls.world.server.connections, 3);
    assert_int_equal(tls.world.server.resumed, 2);
    tls_world_end(&tls);
}

/* With another CA in the file, the server's certificate is rejected, although a session could be resumed. libcurl counts the age of its
 * cache in whole seconds, so this may take a second. */
static void test_a_changed_ca_file_ends_the_sessions(void **state)
{
    int64_t deadline_ms = clock_monotonic_ms() + 10000;
    struct authority *other;
    struct tls_world tls;

    (void)state;
    tls_world_start(&tls);
    tls_world_ask(&tls, WEB_ANSWERED);
    assert_int_equal(unlink(tls.ours), 0);
    other = authority_create("theirs", tls.ours);
    while (tls_world_try(&tls) == WEB_ANSWERED)
        assert_true(clock_monotonic_ms() < deadline_ms);
    tls_world_ask(&tls, WEB_NOT_SENT);
    assert_int_equal(tls.world.server.resumed, 0);
    other = authority_destroy(other);
    tls_world_end(&tls);
}

/* Closes the connection if the client offers a session. */
static int hang_up_on_a_session(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *session;
    size_t len;

    (void)alert;
    (void)arg;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &session, &len))
        return SSL_CLIENT_HELLO_SUCCESS;
    assert_int_equal(shutdown(SSL_get_fd(ssl), SHUT_WR), 0);
    return SSL_CLIENT_HELLO_ERROR;
}

static void test_a_session_is_not_offered_after_a_call_without_an_answer(void **state)
{
    struct tls_world tls;

    (void)state;
    tls_world_start(&tls);
    SSL_CTX_set_client_hello_cb(tls.world.server.tls, hang_up_on_a_session, NULL);
    tls_world_ask(&tls, WEB_ANSWERED);
    tls_world_ask(&tls, WEB_NOT_SENT);
    tls_world_ask(&tls, WEB_ANSWERED);
    tls_world_end(&tls);
}

static void test_other_urls_are_refused(void **state)
{
    static const char *const urls[] = {"ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", ""};
    struct web_world world = {0};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++)
        assert_int_equal(web_probe_start_at(&world, &probe, urls[i], &(struct web_how){0}), ERR_SYNTAX);
    assert_int_equal(web_in_flight(world.web), 0);
    web_world_end(&world);
}

static void test_a_proxy_in_the_environment_is_ignored(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct web_probe probe = {0};

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_not_repeated_when_the_connection_breaks),
        cmocka_unit_test(test_a_large_body_that_was_not_sent_whole_is_told_apart),
        cmocka_unit_test(test_a_connection_is_not_reused),
        cmocka_unit_test(test_a_refused_connection_sends_nothing),
        cmocka_unit_test(test_a_failed_name_lookup_does_not_affect_later_calls),
        cmocka_unit_test(test_a_failed_handshake_sends_nothing),
        cmocka_unit_test(test_the_servers_certificate_is_verified),
        cmocka_unit_test(test_the_ca_file_is_loaded_once_and_sessions_are_resumed),
        cmocka_unit_test(test_a_changed_ca_file_ends_the_sessions),
        cmocka_unit_test(test_a_session_is_not_offered_after_a_call_without_an_answer),
        cmocka_unit_test(test_other_urls_are_refused),
        cmocka_unit_test(test_a_proxy_in_the_environment_is_ignored),
    };

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
