/* Streams, backpressure, pipelining, half-close, aborts and shutdown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/transport.h"
#include "tests/support/http_fixture.h"

enum { PIECE = 32 * 1024, PIECES_MAX = 1000, BIG = 8 * 1024 * 1024 };

struct world {
    struct http_fixture fixture;
    struct http_client client;
};

static void begin(struct world *world)
{
    http_fixture_init(&world->fixture);
    http_fixture_start(&world->fixture);
    http_client_dial(&world->fixture, &world->client);
}

static void end(struct world *world)
{
    http_client_close(&world->client);
    http_fixture_end(&world->fixture);
}

static void ask(struct world *world, const char *request)
{
    int handled = world->fixture.handled;

    http_client_send(&world->client, request);
    http_fixture_wait(&world->fixture, &world->fixture.handled, handled + 1);
}

static void open_stream(struct world *world)
{
    ask(world, GET("/stream"));
    http_client_expect(&world->client, "\r\n\r\n5\r\nfirst\r\n");
}

/* on_closed is called exactly once, and the connection is freed. */
static void expect_closed_once(struct world *world)
{
    http_fixture_wait(&world->fixture, &world->fixture.closed, 1);
    http_fixture_turn(&world->fixture, 5);
    assert_int_equal(world->fixture.closed, 1);
    assert_int_equal(http_server_connections(world->fixture.server), 0);
}

/* -- the bytes of a stream */

static void test_each_write_is_one_chunk_and_the_connection_is_kept_alive(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/stream"));
    http_client_expect_status(&world.client, "200 OK");
    http_client_expect(&world.client, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n");
    http_client_expect(&world.client, "\r\n\r\n5\r\nfirst\r\n");
    http_stream_write(world.fixture.exchange, "0123456789abcdefg", 17);
    http_stream_write(world.fixture.exchange, "", 0); /* an empty chunk would end the stream */
    http_stream_write(world.fixture.exchange, "x", 1);
    http_client_expect_nothing_before(&world.client, "11\r\n0123456789abcdefg\r\n1\r\nx\r\n");
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "0\r\n\r\n");
    http_client_send(&world.client, GET("/"));
    http_client_expect_status(&world.client, "200 OK");
    http_client_expect(&world.client, "hello");
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_an_http_1_0_client_gets_unchunked_bytes_and_then_a_close(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, "GET /stream HTTP/1.0\r\n\r\n");
    http_client_expect(&world.client, "Connection: close\r\n\r\nfirst");
    http_stream_write(world.fixture.exchange, "second", 6);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "second");
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_a_head_request_for_a_stream_gets_only_the_head(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    http_client_expect(&world.client, "Content-Type: text/event-stream\r\n");
    http_client_expect(&world.client, "\r\n\r\n");
    http_fixture_wait(&world.fixture, &world.fixture.closed, 1);
    http_client_send(&world.client, GET("/"));
    http_client_expect_status(&world.client, "200 OK");
    http_client_expect(&world.client, "hello");
    assert_int_equal(world.fixture.closed, 1);
    end(&world);
}

static void test_large_writes_arrive_complete(void **state)
{
    static char piece[PIECE];
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    for (int i = 0; i < 40; i++) { /* more than the kernel takes in one write */
        memset(piece, 'a' + i % 26, sizeof(piece));
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
        http_client_expect_nothing_before(&world.client, "8000\r\n");
        piece[sizeof(piece) - 1] = '\0';
        http_client_expect_nothing_before(&world.client, piece);
        http_client_expect(&world.client, "\r\n");
    }
    assert_int_equal(http_exchange_unsent(world.fixture.exchange), 0);
    end(&world);
}

static void test_an_answer_larger_than_all_buffers_arrives_complete(void **state)
{
    char *body = malloc(BIG + 1);
    struct world world;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < BIG; i++)
        body[i] = (char)('a' + i * 7 / 1000 % 26);
    body[BIG] = '\0';
    begin(&world);
    ask(&world, GET("/later"));
    http_respond(world.fixture.exchange, 200, "text/plain", body, BIG);
    http_client_expect(&world.client, "Content-Length: 8388608\r\n");
    http_client_expect(&world.client, "\r\n\r\n");
    http_client_expect_nothing_before(&world.client, body);
    http_client_send(&world.client, GET("/"));
    http_client_expect_status(&world.client, "200 OK");
    free(body);
    end(&world);
}

static void test_many_writes_in_one_turn_do_not_cut_a_reader_that_keeps_up(void **state)
{
    static char piece[PIECE];
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    memset(piece, 'x', sizeof(piece) - 1);
    for (int i = 0; i < 12; i++) /* more than output_max, less than the kernel takes */
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
    for (int i = 0; i < 12; i++) {
        http_client_expect_nothing_before(&world.client, "8000\r\n");
        http_client_expect_nothing_before(&world.client, piece);
        http_client_expect(&world.client, "\r\n");
    }
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

/* -- backpressure: waiting for room */

static int rooms;

static void count_room(void *arg)
{
    struct http_fixture *fixture = arg;

    rooms++;
    assert_false(http_stream_is_behind(fixture->exchange));
    http_stream_write(fixture->exchange, "room", 4);
}

static void begin_counting_room_calls(struct world *world)
{
    rooms = 0;
    http_fixture_init(&world->fixture);
    world->fixture.config.on_room = count_room;
    http_fixture_start(&world->fixture);
    http_client_dial(&world->fixture, &world->client);
}

static void test_on_room_is_called_once_and_may_write(void **state)
{
    char *body = malloc(BIG + 1);
    struct world world;

    (void)state;
    assert_non_null(body);
    memset(body, 'x', BIG);
    body[BIG] = '\0';
    begin_counting_room_calls(&world);
    open_stream(&world);
    assert_false(http_stream_is_behind(world.fixture.exchange));
    http_stream_write(world.fixture.exchange, body, BIG);
    assert_true(http_stream_is_behind(world.fixture.exchange));
    http_stream_wait_for_room(world.fixture.exchange);
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 0);
    http_client_expect_nothing_before(&world.client, "800000\r\n");
    http_client_expect_nothing_before(&world.client, body);
    http_client_expect_nothing_before(&world.client, "\r\n4\r\nroom\r\n");
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 1);
    assert_int_equal(world.fixture.closed, 0);
    free(body);
    end(&world);
}

static void test_on_room_is_called_on_a_later_turn_if_there_is_room_already(void **state)
{
    struct world world;

    (void)state;
    begin_counting_room_calls(&world);
    open_stream(&world);
    http_stream_wait_for_room(world.fixture.exchange);
    assert_int_equal(rooms, 0);
    http_client_expect_nothing_before(&world.client, "4\r\nroom\r\n");
    end(&world);
}

static void test_on_room_is_not_called_after_the_stream_has_ended(void **state)
{
    struct world world;

    (void)state;
    begin_counting_room_calls(&world);
    open_stream(&world);
    http_stream_wait_for_room(world.fixture.exchange);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "0\r\n\r\n");
    http_client_send(&world.client, GET("/stream"));
    http_client_expect(&world.client, "5\r\nfirst\r\n");
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 0);
    end(&world);
}

/* -- readers that are cut because they are too slow */

static void shrink(struct http_client *client)
{
    int size = 4096;

    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
}

static void test_a_reader_that_is_too_slow_is_cut_after_the_write_returns(void **state)
{
    static char piece[PIECE];
    struct world world;
    int pieces = 0;

    (void)state;
    begin(&world);
    shrink(&world.client);
    ask(&world, GET("/stream"));
    world.fixture.in_call = true;
    while (http_server_connections(world.fixture.server) && pieces < PIECES_MAX) {
        assert_in_range(http_exchange_unsent(world.fixture.exchange), 0, world.fixture.config.output_max + 2 * PIECE);
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
        pieces++;
    }
    assert_in_range(pieces, 9, 100);
    http_stream_write(world.fixture.exchange, piece, sizeof(piece)); /* safe after the cut, and without effect */
    assert_int_equal(world.fixture.closed, 0);
    world.fixture.in_call = false;
    expect_closed_once(&world);
    http_client_expect_reset(&world.client);
    end(&world);
}

static void test_on_closed_is_not_called_if_the_handler_ends_a_stream_after_the_cut(void **state)
{
    static char piece[PIECE];
    struct world world;

    (void)state;
    begin(&world);
    shrink(&world.client);
    ask(&world, GET("/stream"));
    for (int i = 0; i < PIECES_MAX; i++)
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    http_stream_end(world.fixture.exchange);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_a_reader_that_takes_nothing_is_cut_after_the_write_deadline(void **state)
{
    static char piece[8 * PIECE];
    struct world world;

    (void)state;
    http_fixture_init(&world.fixture);
    world.fixture.config.write_timeout_ms = 100;
    world.fixture.config.output_max = 64 * sizeof(piece);
    http_fixture_start(&world.fixture);
    http_client_dial(&world.fixture, &world.client);
    shrink(&world.client);
    ask(&world, GET("/stream"));
    for (int i = 0; i < 16; i++)
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
    http_fixture_turn(&world.fixture, 2);
    assert_true(http_exchange_unsent(world.fixture.exchange) > 0);
    expect_closed_once(&world);
    end(&world);
}

/* -- clients that leave */

/* close(2) sends only a FIN. The probe that follows it is answered with a reset, which ends the stream. */
static void test_a_client_that_closes_an_open_stream_is_noticed_at_once(void **state)
{
    static void (*const leave[])(struct http_client *) = {http_client_close, http_client_reset};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(leave); i++) {
        struct world world;

        begin(&world);
        open_stream(&world);
        leave[i](&world.client);
        expect_closed_once(&world);
        http_fixture_end(&world.fixture);
    }
}

static void test_a_reset_before_the_answer_is_noticed_at_once(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_client_reset(&world.client);
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 1);
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    http_fixture_end(&world.fixture);
}

static void test_a_reset_after_unread_bytes_is_noticed(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_client_send(&world.client, GET("/") GET("/"));
    http_client_reset(&world.client);
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 1);
    http_fixture_end(&world.fixture);
}

static void test_a_client_that_half_closes_gets_its_answer(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_client_half_close(&world.client);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    http_respond(world.fixture.exchange, 200, "text/plain", "late", 4);
    http_client_expect(&world.client, "\r\n\r\nlate");
    http_client_expect_end(&world.client);
    end(&world);
}

/* -- clients that half-close */

/* No turn of the loop between the bytes and the FIN. */
static void send_and_half_close(struct world *world, const char *request)
{
    size_t len = strlen(request);

    assert_int_equal(send(world->client.fd, request, len, 0), len);
    assert_int_equal(shutdown(world->client.fd, SHUT_WR), 0);
    http_fixture_wait(&world->fixture, &world->fixture.handled, 1);
}

static void test_a_stream_outlives_a_half_close(void **state)
{
    enum { TOGETHER, LATER, BEHIND_UNREAD_BYTES, BEFORE_THE_STREAM, MOMENTS };

    (void)state;
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct world world;

        begin(&world);
        if (moment == TOGETHER)
            send_and_half_close(&world, GET("/stream"));
        else
            ask(&world, moment == BEFORE_THE_STREAM ? GET("/later") : GET("/stream"));
        if (moment == BEFORE_THE_STREAM)
            http_client_half_close(&world.client);
        if (moment == BEFORE_THE_STREAM) {
            http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
            http_stream_write(world.fixture.exchange, "first", 5);
        }
        http_client_expect(&world.client, "\r\n\r\n5\r\nfirst\r\n");
        if (moment == BEHIND_UNREAD_BYTES)
            http_client_send(&world.client, "\r\n");
        http_fixture_turn(&world.fixture, 3);
        if (moment == LATER || moment == BEHIND_UNREAD_BYTES)
            http_client_half_close(&world.client);
        http_client_expect_nothing_before(&world.client, "5\r\nprobe\r\n");
        http_fixture_turn(&world.fixture, 5);
        assert_int_equal(world.fixture.closed, 0);
        http_stream_write(world.fixture.exchange, "second", 6);
        http_client_expect_nothing_before(&world.client, "6\r\nsecond\r\n");
        http_stream_end(world.fixture.exchange);
        http_client_expect_nothing_before(&world.client, "0\r\n\r\n");
        http_client_expect_end(&world.client);
        assert_int_equal(world.fixture.closed, 0);
        assert_int_equal(http_server_connections(world.fixture.server), 0);
        end(&world);
    }
}

static void test_an_http_1_0_stream_outlives_a_half_close(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    send_and_half_close(&world, "GET /stream HTTP/1.0\r\n\r\n");
    http_client_expect(&world.client, "Connection: close\r\n\r\nfirstprobe");
    http_stream_write(world.fixture.exchange, "second", 6);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "second");
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_a_head_request_for_a_stream_with_a_half_close(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    send_and_half_close(&world, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    http_client_expect(&world.client, "\r\n\r\n");
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.closed, 1);
    end(&world);
}

static void test_the_next_write_notices_that_a_half_closed_client_has_closed(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_client_half_close(&world.client);
    http_client_expect_nothing_before(&world.client, "5\r\nprobe\r\n");
    http_client_close(&world.client);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    http_stream_write(world.fixture.exchange, "x", 1);
    expect_closed_once(&world);
    http_fixture_end(&world.fixture);
}

static void test_a_half_closed_stream_survives_a_drain_until_it_ends(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_client_half_close(&world.client);
    http_client_expect_nothing_before(&world.client, "5\r\nprobe\r\n");
    http_server_drain(world.fixture.server);
    http_fixture_turn(&world.fixture, 5);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "1\r\nx\r\n0\r\n\r\n");
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_without_a_probe_the_next_write_notices_a_close(void **state)
{
    struct world world;

    (void)state;
    http_fixture_init(&world.fixture);
    world.fixture.config.half_close_text = NULL;
    http_fixture_start(&world.fixture);
    http_client_dial(&world.fixture, &world.client);
    open_stream(&world);
    http_client_close(&world.client);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    http_stream_write(world.fixture.exchange, "x", 1);
    expect_closed_once(&world);
    http_fixture_end(&world.fixture);
}

static void test_if_half_close_means_gone_a_fin_ends_a_stream_and_an_answer(void **state)
{
    static const char *const requests[] = {GET("/stream"), GET("/later")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct world world;

        http_fixture_init(&world.fixture);
        world.fixture.config.half_close_is_gone = true;
        http_fixture_start(&world.fixture);
        http_client_dial(&world.fixture, &world.client);
        ask(&world, requests[i]);
        http_client_half_close(&world.client);
        expect_closed_once(&world);
        end(&world);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *rung)
{
    (void)fd;
    (void)what;
    *(bool *)rung = true;
}

/* The number of times the loop wakes up until a timer expires, which counts as one. */
static int count_wakeups(struct http_fixture *fixture)
{
    struct timeval wait = {.tv_usec = 50 * 1000};
    bool rung = false;
    struct event *bell = evtimer_new(loop_base(fixture->loop), on_timer, &rung);
    int turns = 0;

    assert_non_null(bell);
    assert_int_equal(evtimer_add(bell, &wait), 0);
    while (!rung && turns < 1000) {
        loop_turn(fixture->loop, true);
        turns++;
    }
    event_free(bell);
    return turns;
}

/* With level-triggered events, a FIN or unread bytes would wake the loop all the time. */
static void test_a_half_closed_client_does_not_keep_the_loop_busy(void **state)
{
    static const char *const requests[] = {GET("/stream"), GET("/later"), GET("/stream") GET("/"),
                                           GET("/later") GET("/")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct world world;

        begin(&world);
        send_and_half_close(&world, requests[i]);
        http_fixture_turn(&world.fixture, 10);
        assert_in_range(count_wakeups(&world.fixture), 1, 3);
        assert_int_equal(http_server_connections(world.fixture.server), 1);
        end(&world);
    }
}

static void test_a_close_notify_ends_an_open_stream(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    assert_true(transport_close_notify(world.client.ssl)); /* without a FIN */
    expect_closed_once(&world);
    end(&world);
}

static void test_a_stream_begun_after_a_close_notify_closes(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_client_half_close(&world.client);
    http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
    assert_int_equal(world.fixture.closed, 0);
    expect_closed_once(&world);
    end(&world);
}

/* -- requests that arrive before the answer to an earlier one is complete */

static void finish_stream(struct world *world)
{
    http_stream_end(world->fixture.exchange);
    http_client_expect_nothing_before(&world->client, "0\r\n\r\n");
}

/* Sent in one write with the first request, and at several points after it. */
static void test_a_request_on_an_open_stream_is_answered_after_it(void **state)
{
    enum { TOGETHER, HALF_TOGETHER, BEFORE_THE_STREAM, ON_THE_STREAM, MOMENTS };
    static const char *const sent[MOMENTS] = {GET("/stream") GET("/"), GET("/stream") "GET / HT", GET("/later"),
                                              GET("/stream")};

    (void)state;
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct world world;

        begin(&world);
        ask(&world, sent[moment]);
        if (moment == BEFORE_THE_STREAM) {
            http_client_send(&world.client, GET("/"));
            http_fixture_turn(&world.fixture, 3);
            http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
            http_stream_write(world.fixture.exchange, "first", 5);
        }
        http_client_expect(&world.client, "\r\n\r\n5\r\nfirst\r\n");
        if (moment == HALF_TOGETHER)
            http_client_send(&world.client, "TP/1.1\r\nHost: a\r\n\r\n");
        if (moment == ON_THE_STREAM)
            http_client_send(&world.client, GET("/"));
        http_fixture_turn(&world.fixture, 5);
        assert_int_equal(world.fixture.handled, 1);
        http_stream_write(world.fixture.exchange, "more", 4);
        http_client_expect_nothing_before(&world.client, "4\r\nmore\r\n");
        finish_stream(&world);
        http_client_expect_status(&world.client, "200 OK");
        http_client_expect_body(&world.client, "hello");
        http_client_send(&world.client, GET("/")); /* the connection is still usable */
        http_client_expect_status(&world.client, "200 OK");
        http_client_expect_body(&world.client, "hello");
        assert_int_equal(world.fixture.closed, 0);
        end(&world);
    }
}

static void test_pipelined_streams_follow_each_other(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/stream") GET("/stream") "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET("/"));
    for (int i = 1; i <= 2; i++) {
        http_client_expect_status(&world.client, "200 OK");
        http_client_expect(&world.client, "\r\n\r\n5\r\nfirst\r\n");
        assert_int_equal(world.fixture.handled, i);
        finish_stream(&world);
    }
    http_client_expect_status(&world.client, "200 OK");
    http_client_expect_body(&world.client, "HTTP/1.1 200 OK\r\n");
    http_client_expect_body(&world.client, "hello");
    assert_int_equal(world.fixture.closed, 1); /* of HEAD */
    end(&world);
}

static void test_malformed_input_on_an_open_stream_is_refused_after_it(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_client_send(&world.client, "x\r\n");
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 0);
    finish_stream(&world);
    http_client_expect_status(&world.client, "400 Bad Request");
    http_client_expect(&world.client, "}");
    http_client_expect_end(&world.client);
    end(&world);
}

static void test_two_requests_and_a_fin_get_both_answers(void **state)
{
    static const char *const pairs[] = {GET("/stream") GET("/"), GET("/later") GET("/"),
                                        GET("/stream") POST_CHUNKED("/") "5\r\nhello\r\n0\r\n\r\n",
                                        GET("/stream") "\r\n" GET("/")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(pairs); i++) {
        struct world world;

        begin(&world);
        send_and_half_close(&world, pairs[i]);
        http_fixture_turn(&world.fixture, 5);
        if (i == 1)
            http_respond(world.fixture.exchange, 200, NULL, "first", 5);
        else
            http_stream_end(world.fixture.exchange);
        http_client_expect(&world.client, i == 1 ? "first" : "5\r\nfirst\r\n5\r\nprobe\r\n0\r\n\r\n");
        http_client_expect_status(&world.client, "200 OK");
        http_client_expect_body(&world.client, "hello");
        http_client_expect_end(&world.client);
        assert_int_equal(http_server_connections(world.fixture.server), 0);
        end(&world);
    }
}

static void test_after_the_last_answer_a_further_request_gets_a_clean_end(void **state)
{
    static const char *const requests[] = {
        "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/"),
        "GET /stream HTTP/1.0\r\n\r\n" GET("/"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct world world;

        begin(&world);
        ask(&world, requests[i]);
        http_client_send(&world.client, GET("/"));
        http_client_expect(&world.client, i ? "first" : "5\r\nfirst\r\n");
        http_stream_end(world.fixture.exchange);
        if (!i)
            http_client_expect_nothing_before(&world.client, "0\r\n\r\n");
        http_client_expect_end(&world.client);
        assert_int_equal(world.fixture.handled, 1);
        end(&world);
    }
}

static void test_a_drain_ends_a_stream_cleanly_before_further_requests(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/stream") GET("/"));
    http_client_expect(&world.client, "5\r\nfirst\r\n");
    http_server_drain(world.fixture.server);
    http_fixture_turn(&world.fixture, 3);
    finish_stream(&world);
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.handled, 1);
    end(&world);
}

static void test_bytes_on_an_open_stream_stay_in_the_kernel(void **state)
{
    static char junk[64 * 1024];
    struct world world;
    size_t sent = 0;
    ssize_t n;

    (void)state;
    begin(&world);
    open_stream(&world);
    while ((n = send(world.client.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0) {
        sent += (size_t)n;
        http_fixture_turn(&world.fixture, 2);
        assert_true(sent < 64u << 20); /* a server that reads ahead would take them all */
    }
    http_stream_write(world.fixture.exchange, "x", 1);
    http_client_expect_nothing_before(&world.client, "1\r\nx\r\n");
    http_client_reset(&world.client);
    expect_closed_once(&world);
    http_fixture_end(&world.fixture);
}

static void test_a_request_that_arrives_while_another_is_handled_is_answered_after_it(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_client_send(&world.client, GET("/"));
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.handled, 1);
    http_respond(world.fixture.exchange, 200, "text/plain", "late", 4);
    http_client_expect(&world.client, "\r\n\r\nlate");
    http_client_expect(&world.client, "\r\n\r\nhello");
    end(&world);
}

static void test_an_incomplete_request_never_reaches_a_handler(void **state)
{
    static const char *const requests[] = {
        "",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct world world;

        begin(&world);
        http_client_send(&world.client, requests[i]);
        http_client_half_close(&world.client);
        http_client_expect_end(&world.client);
        assert_int_equal(world.fixture.handled, 0);
        end(&world);
    }
}

static void test_answering_a_disconnected_client_is_safe(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/deaf")); /* its handler has no on_closed */
    http_client_reset(&world.client);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    assert_true(http_text_is(http_exchange_request(world.fixture.exchange)->path, "/deaf"));
    http_stream_begin(world.fixture.exchange, 200, NULL);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_fixture_end(&world.fixture);

    begin(&world);
    ask(&world, GET("/deaf"));
    http_client_reset(&world.client);
    http_fixture_turn(&world.fixture, 5);
    http_respond_problem(world.fixture.exchange, &(struct problem_details){.problem = PROBLEM_INTERNAL});
    http_fixture_turn(&world.fixture, 5);
    http_fixture_end(&world.fixture);

    begin(&world);
    ask(&world, GET("/deaf"));
    http_client_reset(&world.client);
    http_fixture_end(&world.fixture); /* the server is destroyed before the handler answers */
}

/* -- abort, drain and destroy */

static void test_abort_with_fin_sends_the_written_bytes(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_stream_write(world.fixture.exchange, "last", 4);
    http_abort(world.fixture.exchange, HTTP_ABORT_FIN);
    http_client_expect_nothing_before(&world.client, "4\r\nlast\r\n");
    http_client_expect_end(&world.client);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_abort_with_rst_is_a_reset(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_abort(world.fixture.exchange, HTTP_ABORT_RST);
    http_client_expect_reset(&world.client);
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 0);
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    end(&world);
}

static void test_abort_without_an_answer(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_abort(world.fixture.exchange, HTTP_ABORT_FIN);
    http_client_expect_end(&world.client);
    end(&world);

    begin(&world);
    ask(&world, GET("/later"));
    http_abort(world.fixture.exchange, HTTP_ABORT_RST);
    http_client_expect_reset(&world.client);
    end(&world);
}

static void test_raw_bytes_are_sent_unchanged(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_raw_write(world.fixture.exchange, "HTTP/1.1 200 OK\r\nContent-Le", 27);
    http_raw_write(world.fixture.exchange, "ngth: 9\r\n\r\nshort", 16);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
    http_client_expect_end(&world.client);
    end(&world);

    begin(&world);
    open_stream(&world);
    http_raw_write(world.fixture.exchange, "zz\r\n", 4);
    http_stream_write(world.fixture.exchange, "a", 1);
    http_client_expect_nothing_before(&world.client, "zz\r\n1\r\na\r\n");
    end(&world);
}

static void test_drain_completes_open_requests_and_accepts_no_others(void **state)
{
    struct world world;
    struct http_client idle, fresh, late;
    struct http_exchange *pending;

    (void)state;
    begin(&world);
    http_client_dial(&world.fixture, &fresh);
    http_client_dial(&world.fixture, &idle);
    http_client_send(&idle, GET("/"));
    http_client_expect(&idle, "hello");
    http_client_dial(&world.fixture, &late);
    http_client_send(&late, GET("/later"));
    http_fixture_wait(&world.fixture, &world.fixture.handled, 2);
    pending = world.fixture.exchange;
    open_stream(&world);
    http_server_drain(world.fixture.server);
    http_client_expect_end(&idle);
    http_client_expect_end(&fresh);
    http_respond(pending, 200, "text/plain", "bye", 3);
    http_client_expect(&late, "Connection: close\r\n\r\nbye");
    http_client_expect_end(&late);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_client_expect_nothing_before(&world.client, "1\r\nx\r\n0\r\n\r\n");
    http_client_expect_end(&world.client);
    http_client_close(&idle);
    http_client_close(&fresh);
    http_client_close(&late);
    end(&world);
}

static void test_drain_serves_requests_and_connections_that_have_arrived(void **state)
{
    struct http_fixture fixture;
    struct http_client sent, waiting;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &sent);
    assert_int_equal(send(sent.fd, GET("/"), strlen(GET("/")), 0), strlen(GET("/")));
    http_client_dial_unseen(&fixture, &waiting);
    assert_int_equal(send(waiting.fd, GET("/"), strlen(GET("/")), 0), strlen(GET("/")));
    http_server_drain(fixture.server);
    http_client_expect(&sent, "Connection: close\r\n\r\nhello");
    http_client_expect_end(&sent);
    http_client_expect(&waiting, "Connection: close\r\n\r\nhello");
    http_client_expect_end(&waiting);
    http_client_close(&sent);
    http_client_close(&waiting);
    http_fixture_end(&fixture);
}

static void test_destroying_the_server_calls_every_on_closed(void **state)
{
    struct world world;
    struct http_client other;

    (void)state;
    begin(&world);
    http_client_dial(&world.fixture, &other);
    http_client_send(&other, GET("/later"));
    http_fixture_wait(&world.fixture, &world.fixture.handled, 1);
    open_stream(&world);
    world.fixture.server = http_server_destroy(world.fixture.server);
    assert_int_equal(world.fixture.closed, 2);
    http_client_expect_end(&world.client);
    http_client_close(&other);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest plain_only[] = {
        cmocka_unit_test(test_drain_serves_requests_and_connections_that_have_arrived),
        cmocka_unit_test(test_a_stream_outlives_a_half_close),
        cmocka_unit_test(test_an_http_1_0_stream_outlives_a_half_close),
        cmocka_unit_test(test_a_head_request_for_a_stream_with_a_half_close),
        cmocka_unit_test(test_the_next_write_notices_that_a_half_closed_client_has_closed),
        cmocka_unit_test(test_a_half_closed_stream_survives_a_drain_until_it_ends),
        cmocka_unit_test(test_without_a_probe_the_next_write_notices_a_close),
        cmocka_unit_test(test_a_half_closed_client_does_not_keep_the_loop_busy),
        cmocka_unit_test(test_two_requests_and_a_fin_get_both_answers),
        cmocka_unit_test(test_bytes_on_an_open_stream_stay_in_the_kernel),
    };
    const struct CMUnitTest tls_only[] = {
        cmocka_unit_test(test_a_close_notify_ends_an_open_stream),
        cmocka_unit_test(test_a_stream_begun_after_a_close_notify_closes),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_write_is_one_chunk_and_the_connection_is_kept_alive),
        cmocka_unit_test(test_an_http_1_0_client_gets_unchunked_bytes_and_then_a_close),
        cmocka_unit_test(test_a_head_request_for_a_stream_gets_only_the_head),
        cmocka_unit_test(test_large_writes_arrive_complete),
        cmocka_unit_test(test_an_answer_larger_than_all_buffers_arrives_complete),
        cmocka_unit_test(test_many_writes_in_one_turn_do_not_cut_a_reader_that_keeps_up),
        cmocka_unit_test(test_on_room_is_called_once_and_may_write),
        cmocka_unit_test(test_on_room_is_called_on_a_later_turn_if_there_is_room_already),
        cmocka_unit_test(test_on_room_is_not_called_after_the_stream_has_ended),
        cmocka_unit_test(test_a_reader_that_is_too_slow_is_cut_after_the_write_returns),
        cmocka_unit_test(test_on_closed_is_not_called_if_the_handler_ends_a_stream_after_the_cut),
        cmocka_unit_test(test_a_reader_that_takes_nothing_is_cut_after_the_write_deadline),
        cmocka_unit_test(test_a_client_that_closes_an_open_stream_is_noticed_at_once),
        cmocka_unit_test(test_a_reset_before_the_answer_is_noticed_at_once),
        cmocka_unit_test(test_a_reset_after_unread_bytes_is_noticed),
        cmocka_unit_test(test_a_client_that_half_closes_gets_its_answer),
        cmocka_unit_test(test_if_half_close_means_gone_a_fin_ends_a_stream_and_an_answer),
        cmocka_unit_test(test_a_request_on_an_open_stream_is_answered_after_it),
        cmocka_unit_test(test_pipelined_streams_follow_each_other),
        cmocka_unit_test(test_malformed_input_on_an_open_stream_is_refused_after_it),
        cmocka_unit_test(test_after_the_last_answer_a_further_request_gets_a_clean_end),
        cmocka_unit_test(test_a_drain_ends_a_stream_cleanly_before_further_requests),
        cmocka_unit_test(test_a_request_that_arrives_while_another_is_handled_is_answered_after_it),
        cmocka_unit_test(test_an_incomplete_request_never_reaches_a_handler),
        cmocka_unit_test(test_answering_a_disconnected_client_is_safe),
        cmocka_unit_test(test_abort_with_fin_sends_the_written_bytes),
        cmocka_unit_test(test_abort_with_rst_is_a_reset),
        cmocka_unit_test(test_abort_without_an_answer),
        cmocka_unit_test(test_raw_bytes_are_sent_unchanged),
        cmocka_unit_test(test_drain_completes_open_requests_and_accepts_no_others),
        cmocka_unit_test(test_destroying_the_server_calls_every_on_closed),
    };

    return cmocka_run_group_tests_name("plain alone", plain_only, NULL, NULL) +
           cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls) +
           cmocka_run_group_tests_name("over TLS alone", tls_only, http_fixture_begin_tls, http_fixture_end_tls);
}
