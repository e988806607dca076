/* The hooks on_request and on_refusal: headers they add, answers they give, requests they hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/base/macros.h"
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
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.on_request = mark;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, GET("/") GET("/no") "PUT / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hooked"));
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "X-Hook: yes\r\n");
    http_client_expect_body(&client, "hello");
    http_client_expect_status(&client, "404 Not Found");
    http_client_expect(&client, "X-Hook: yes\r\n");
    http_client_expect(&client, "}");
    http_client_expect_status(&client, "405 Method Not Allowed");
    http_client_expect(&client, "X-Hook: yes\r\n");
    http_client_expect(&client, "}");
    http_client_expect_status(&client, "204 No Content");
    http_client_expect(&client, "X-Hook: yes\r\n");
    http_fixture_finish(&fixture, &client);
}

static void mark_refusal(struct http_exchange *exchange, struct http_text head, void *arg)
{
    char word[16] = "";

    (void)arg;
    (void)snprintf(word, sizeof(word), "%.*s", (int)http_head_header(head, "X-Word").len,
                   http_head_header(head, "X-Word").data ? http_head_header(head, "X-Word").data : "");
    http_add_header(exchange, "X-Hook", word);
}

static void test_the_refusal_hook_sees_the_head_of_a_refused_request(void **state)
{
    static const char *const requests[] = {
        "BREW / HTTP/1.1\r\nX-Word: hi\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Word: hi\r\n: bad\r\n",
        "GET / HTTP/1.1\r\n: bad\r\nX-Word: hi\r\n",
        GET("/") "POST / HTTP/1.1\r\nHost: a\r\nX-Word: hi\r\nContent-Length: 99999999\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct http_fixture fixture;
        struct http_client client;

        http_fixture_init(&fixture);
        fixture.config.on_refusal = mark_refusal;
        http_fixture_start(&fixture);
        http_client_dial(&fixture, &client);
        http_client_send(&client, requests[i]);
        http_client_expect(&client, "X-Hook: hi\r\n");
        http_client_expect(&client, "}");
        http_client_expect_end(&client);
        http_fixture_finish(&fixture, &client);
    }
}

static void hold(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *fixture = arg;

    assert_null(http_exchange_note(exchange)); /* also for a later request on the same connection */
    http_exchange_set_note(exchange, fixture);
    http_exchange_hold(exchange);
    http_add_header(exchange, "X-Hook", "held");
    fixture->exchange = exchange;
}

static void begin_held(struct http_fixture *fixture, struct http_client *client, const char *requests)
{
    http_fixture_init(fixture);
    fixture->config.on_request = hold;
    http_fixture_start(fixture);
    http_client_dial(fixture, client);
    http_client_send(client, requests);
    while (!fixture->exchange)
        http_fixture_turn(fixture, 1);
}

static void test_a_held_request_waits_for_its_handler(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    static const struct {
        const char *status, *end;
    } answers[] = {
        {"200 OK",        "hello"   },
        {"404 Not Found", "}"       },
        {"403 Forbidden", "\r\n\r\n"},
    };

    (void)state;
    begin_held(&fixture, &client, GET("/") GET("/no") GET("/"));
    for (int i = 0; i < 3; i++) {
        struct http_exchange *exchange = fixture.exchange;

        http_fixture_turn(&fixture, 20);
        assert_int_equal(fixture.handled, i > 0);
        assert_ptr_equal(http_exchange_note(exchange), &fixture);
        if (i == 2)
            http_respond(exchange, 403, NULL, NULL, 0); /* the holder may answer instead of resuming */
        else
            http_exchange_resume(exchange);
        http_client_expect_status(&client, answers[i].status);
        http_client_expect(&client, "X-Hook: held\r\n");
        http_client_expect(&client, answers[i].end);
    }
    assert_int_equal(fixture.handled, 1);
    http_fixture_finish(&fixture, &client);
}

static void on_held_closed(void *arg)
{
    struct http_fixture *fixture = arg;

    fixture->exchange = NULL;
    fixture->closed++;
}

static void test_a_held_request_whose_client_disconnects_reaches_no_handler(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    begin_held(&fixture, &client, GET("/"));
    http_exchange_on_closed(fixture.exchange, on_held_closed, &fixture);
    http_client_reset(&client);
    http_fixture_wait(&fixture, &fixture.closed, 1);
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

/* The handler learns through on_closed that the client is gone, as for any other request. */
static void test_a_held_request_can_be_resumed_after_its_client_left(void **state)
{
    static const char *const requests[] = {GET("/"), GET("/later"), GET("/stream")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct http_fixture fixture;
        struct http_client client;

        begin_held(&fixture, &client, requests[i]);
        http_client_reset(&client);
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
        cmocka_unit_test(test_the_refusal_hook_sees_the_head_of_a_refused_request),
        cmocka_unit_test(test_a_held_request_waits_for_its_handler),
        cmocka_unit_test(test_a_held_request_whose_client_disconnects_reaches_no_handler),
        cmocka_unit_test(test_a_held_request_can_be_resumed_after_its_client_left),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
