/* The hook that sees each request before its handler does: what it adds, answers and holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/support/http_fixture.h"

static void mark(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    http_add_header(exchange, "X-Hook", "yes");
    if (http_text_is(http_exchange_request(exchange)->path, "/hooked"))
        http_respond(exchange, 204, NULL, NULL, 0);
}

static void test_the_hook_sees_every_request_and_may_answer_it(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.on_request = mark;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/") GET("/no") "PUT / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hooked"));
    http_peer_expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_expect_body(&peer, "hello");
    http_peer_expect_status(&peer, "404 Not Found");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_expect(&peer, "}");
    http_peer_expect_status(&peer, "405 Method Not Allowed");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_expect(&peer, "}");
    http_peer_expect_status(&peer, "204 No Content");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_fixture_finish(&fixture, &peer);
}

static void mark_refusal(struct http_exchange *exchange, struct http_text head, void *arg)
{
    char word[16] = "";

    (void)arg;
    (void)snprintf(word, sizeof(word), "%.*s", (int)http_head_header(head, "X-Word").len,
                   http_head_header(head, "X-Word").data ? http_head_header(head, "X-Word").data : "");
    http_add_header(exchange, "X-Hook", word);
}

static void test_the_refusal_hook_sees_the_head_of_what_is_refused(void **state)
{
    static const char *const requests[] = {
        "BREW / HTTP/1.1\r\nX-Word: hi\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Word: hi\r\n: bad\r\n",
        "GET / HTTP/1.1\r\n: bad\r\nX-Word: hi\r\n",
        GET("/") "POST / HTTP/1.1\r\nHost: a\r\nX-Word: hi\r\nContent-Length: 99999999\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct http_fixture fixture;
        struct http_peer peer;

        http_fixture_init(&fixture);
        fixture.config.on_refusal = mark_refusal;
        http_fixture_start(&fixture);
        http_peer_dial(&fixture, &peer);
        http_peer_send(&peer, requests[i]);
        http_peer_expect(&peer, "X-Hook: hi\r\n");
        http_peer_expect(&peer, "}");
        http_peer_expect_end(&peer);
        http_fixture_finish(&fixture, &peer);
    }
}

static void hold(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *fixture = arg;

    assert_null(http_exchange_note(exchange)); /* also of a further request on the same connection */
    http_exchange_set_note(exchange, fixture);
    http_exchange_hold(exchange);
    http_add_header(exchange, "X-Hook", "held");
    fixture->exchange = exchange;
}

static void begin_held(struct http_fixture *fixture, struct http_peer *peer, const char *requests)
{
    http_fixture_init(fixture);
    fixture->config.on_request = hold;
    http_fixture_start(fixture);
    http_peer_dial(fixture, peer);
    http_peer_send(peer, requests);
    while (!fixture->exchange)
        http_fixture_turn(fixture, 1);
}

static void test_a_held_request_waits_for_its_handler(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    static const struct {
        const char *status, *end;
    } answers[] = {
        {"200 OK",        "hello"   },
        {"404 Not Found", "}"       },
        {"403 Forbidden", "\r\n\r\n"},
    };

    (void)state;
    begin_held(&fixture, &peer, GET("/") GET("/no") GET("/"));
    for (int i = 0; i < 3; i++) {
        struct http_exchange *exchange = fixture.exchange;

        http_fixture_turn(&fixture, 20);
        assert_int_equal(fixture.handled, i > 0);
        assert_ptr_equal(http_exchange_note(exchange), &fixture);
        if (i == 2)
            http_respond(exchange, 403, NULL, NULL, 0); /* whoever holds it may answer it */
        else
            http_exchange_resume(exchange);
        http_peer_expect_status(&peer, answers[i].status);
        http_peer_expect(&peer, "X-Hook: held\r\n");
        http_peer_expect(&peer, answers[i].end);
    }
    assert_int_equal(fixture.handled, 1);
    http_fixture_finish(&fixture, &peer);
}

static void on_held_closed(void *arg)
{
    struct http_fixture *fixture = arg;

    fixture->exchange = NULL;
    fixture->closed++;
}

static void test_who_leaves_while_it_is_held_reaches_no_handler(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    begin_held(&fixture, &peer, GET("/"));
    http_exchange_on_closed(fixture.exchange, on_held_closed, &fixture);
    http_peer_reset(&peer);
    http_fixture_wait(&fixture, &fixture.closed, 1);
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

/* Its client may have left already: the handler finds that out as it always does. */
static void test_a_held_request_of_who_has_left_can_go_on(void **state)
{
    static const char *const requests[] = {GET("/"), GET("/later"), GET("/stream")};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct http_fixture fixture;
        struct http_peer peer;

        begin_held(&fixture, &peer, requests[i]);
        http_peer_reset(&peer);
        http_fixture_turn(&fixture, 20);
        http_exchange_resume(fixture.exchange);
        if (i)
            http_fixture_wait(&fixture, &fixture.closed, 1);
        http_fixture_end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_hook_sees_every_request_and_may_answer_it),
        cmocka_unit_test(test_the_refusal_hook_sees_the_head_of_what_is_refused),
        cmocka_unit_test(test_a_held_request_waits_for_its_handler),
        cmocka_unit_test(test_who_leaves_while_it_is_held_reaches_no_handler),
        cmocka_unit_test(test_a_held_request_of_who_has_left_can_go_on),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
