/* Streams, and every way in which a connection can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/loop.h"
#include "common/transport.h"
#include "tests/support/http_fixture.h"

enum { PIECE = 32 * 1024, PIECES_MAX = 1000, BIG = 8 * 1024 * 1024 };

struct world {
    struct http_fixture fixture;
    struct http_peer peer;
};

static void begin(struct world *world)
{
    http_fixture_init(&world->fixture);
    http_fixture_start(&world->fixture);
    http_peer_dial(&world->fixture, &world->peer);
}

static void end(struct world *world)
{
    http_peer_close(&world->peer);
    http_fixture_end(&world->fixture);
}

static void ask(struct world *world, const char *request)
{
    int handled = world->fixture.handled;

    http_peer_send(&world->peer, request);
    http_fixture_wait(&world->fixture, &world->fixture.handled, handled + 1);
}

static void open_stream(struct world *world)
{
    ask(world, GET("/stream"));
    http_peer_expect(&world->peer, "\r\n\r\n5\r\nfirst\r\n");
}

/* The client has gone: its handler hears of it once, and nothing of the connection is left. */
static void expect_closed_once(struct world *world)
{
    http_fixture_wait(&world->fixture, &world->fixture.closed, 1);
    http_fixture_turn(&world->fixture, 5);
    assert_int_equal(world->fixture.closed, 1);
    assert_int_equal(http_server_connections(world->fixture.server), 0);
}

/* -- the bytes of a stream */

static void test_each_write_is_one_chunk_and_the_connection_goes_on_after_the_last(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/stream"));
    http_peer_expect_status(&world.peer, "200 OK");
    http_peer_expect(&world.peer, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n");
    http_peer_expect(&world.peer, "\r\n\r\n5\r\nfirst\r\n");
    http_stream_write(world.fixture.exchange, "0123456789abcdefg", 17);
    http_stream_write(world.fixture.exchange, "", 0); /* an empty chunk would end the stream */
    http_stream_write(world.fixture.exchange, "x", 1);
    http_peer_expect_nothing_before(&world.peer, "11\r\n0123456789abcdefg\r\n1\r\nx\r\n");
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "0\r\n\r\n");
    http_peer_send(&world.peer, GET("/"));
    http_peer_expect_status(&world.peer, "200 OK");
    http_peer_expect(&world.peer, "hello");
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_an_http_1_0_client_gets_the_plain_bytes_and_then_the_end(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, "GET /stream HTTP/1.0\r\n\r\n");
    http_peer_expect(&world.peer, "Connection: close\r\n\r\nfirst");
    http_stream_write(world.fixture.exchange, "second", 6);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "second");
    http_peer_expect_end(&world.peer);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_head_of_a_stream_ends_it_after_the_head(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    http_peer_expect(&world.peer, "Content-Type: text/event-stream\r\n");
    http_peer_expect(&world.peer, "\r\n\r\n");
    http_fixture_wait(&world.fixture, &world.fixture.closed, 1);
    http_peer_send(&world.peer, GET("/"));
    http_peer_expect_status(&world.peer, "200 OK");
    http_peer_expect(&world.peer, "hello");
    assert_int_equal(world.fixture.closed, 1);
    end(&world);
}

static void test_large_pieces_arrive_whole(void **state)
{
    static char piece[PIECE];
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    for (int i = 0; i < 40; i++) { /* more than the kernel takes at once */
        memset(piece, 'a' + i % 26, sizeof(piece));
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
        http_peer_expect_nothing_before(&world.peer, "8000\r\n");
        piece[sizeof(piece) - 1] = '\0';
        http_peer_expect_nothing_before(&world.peer, piece);
        http_peer_expect(&world.peer, "\r\n");
    }
    assert_int_equal(http_exchange_unsent(world.fixture.exchange), 0);
    end(&world);
}

static void test_an_answer_larger_than_all_buffers_arrives_whole(void **state)
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
    http_peer_expect(&world.peer, "Content-Length: 8388608\r\n");
    http_peer_expect(&world.peer, "\r\n\r\n");
    http_peer_expect_nothing_before(&world.peer, body);
    http_peer_send(&world.peer, GET("/"));
    http_peer_expect_status(&world.peer, "200 OK");
    free(body);
    end(&world);
}

static void test_much_written_on_one_turn_does_not_cut_a_reader_that_keeps_up(void **state)
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
        http_peer_expect_nothing_before(&world.peer, "8000\r\n");
        http_peer_expect_nothing_before(&world.peer, piece);
        http_peer_expect(&world.peer, "\r\n");
    }
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

/* -- readers that are behind */

static int rooms;

static void count_room(void *arg)
{
    struct http_fixture *fixture = arg;

    rooms++;
    assert_false(http_stream_is_behind(fixture->exchange));
    http_stream_write(fixture->exchange, "room", 4);
}

static void begin_counting_rooms(struct world *world)
{
    rooms = 0;
    http_fixture_init(&world->fixture);
    world->fixture.config.on_room = count_room;
    http_fixture_start(&world->fixture);
    http_peer_dial(&world->fixture, &world->peer);
}

static void test_whoever_waits_for_room_is_told_once_and_may_write(void **state)
{
    char *body = malloc(BIG + 1);
    struct world world;

    (void)state;
    assert_non_null(body);
    memset(body, 'x', BIG);
    body[BIG] = '\0';
    begin_counting_rooms(&world);
    open_stream(&world);
    assert_false(http_stream_is_behind(world.fixture.exchange));
    http_stream_write(world.fixture.exchange, body, BIG);
    assert_true(http_stream_is_behind(world.fixture.exchange));
    http_stream_wait_for_room(world.fixture.exchange);
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 0);
    http_peer_expect_nothing_before(&world.peer, "800000\r\n");
    http_peer_expect_nothing_before(&world.peer, body);
    http_peer_expect_nothing_before(&world.peer, "\r\n4\r\nroom\r\n");
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 1);
    assert_int_equal(world.fixture.closed, 0);
    free(body);
    end(&world);
}

static void test_room_that_is_there_already_is_told_on_a_later_turn(void **state)
{
    struct world world;

    (void)state;
    begin_counting_rooms(&world);
    open_stream(&world);
    http_stream_wait_for_room(world.fixture.exchange);
    assert_int_equal(rooms, 0);
    http_peer_expect_nothing_before(&world.peer, "4\r\nroom\r\n");
    end(&world);
}

static void test_a_stream_that_has_ended_is_told_of_no_room(void **state)
{
    struct world world;

    (void)state;
    begin_counting_rooms(&world);
    open_stream(&world);
    http_stream_wait_for_room(world.fixture.exchange);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "0\r\n\r\n");
    http_peer_send(&world.peer, GET("/stream"));
    http_peer_expect(&world.peer, "5\r\nfirst\r\n");
    http_fixture_turn(&world.fixture, 10);
    assert_int_equal(rooms, 0);
    end(&world);
}

/* -- readers that do not keep up */

static void shrink(struct http_peer *peer)
{
    int size = 4096;

    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
}

static void test_a_reader_too_far_behind_is_cut_but_not_inside_the_write(void **state)
{
    static char piece[PIECE];
    struct world world;
    int pieces = 0;

    (void)state;
    begin(&world);
    shrink(&world.peer);
    ask(&world, GET("/stream"));
    world.fixture.in_call = true;
    while (http_server_connections(world.fixture.server) && pieces < PIECES_MAX) {
        assert_in_range(http_exchange_unsent(world.fixture.exchange), 0, world.fixture.config.output_max + 2 * PIECE);
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
        pieces++;
    }
    assert_in_range(pieces, 9, 100);
    http_stream_write(world.fixture.exchange, piece, sizeof(piece)); /* still safe, and without effect */
    assert_int_equal(world.fixture.closed, 0);
    world.fixture.in_call = false;
    expect_closed_once(&world);
    http_peer_expect_reset(&world.peer);
    end(&world);
}

static void test_whoever_ends_a_stream_after_it_was_cut_is_not_told_of_the_cut(void **state)
{
    static char piece[PIECE];
    struct world world;

    (void)state;
    begin(&world);
    shrink(&world.peer);
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
    http_peer_dial(&world.fixture, &world.peer);
    shrink(&world.peer);
    ask(&world, GET("/stream"));
    for (int i = 0; i < 16; i++)
        http_stream_write(world.fixture.exchange, piece, sizeof(piece));
    http_fixture_turn(&world.fixture, 2);
    assert_true(http_exchange_unsent(world.fixture.exchange) > 0);
    expect_closed_once(&world);
    end(&world);
}

/* -- clients that leave */

/* A close alone shows in the answer to the probe, which is a reset. */
static void test_a_client_that_leaves_an_open_stream_is_noticed_at_once(void **state)
{
    static void (*const leave[])(struct http_peer *) = {http_peer_close, http_peer_reset};

    (void)state;
    for (size_t i = 0; i < sizeof(leave) / sizeof(leave[0]); i++) {
        struct world world;

        begin(&world);
        open_stream(&world);
        leave[i](&world.peer);
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
    http_peer_reset(&world.peer);
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 1);
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    http_fixture_end(&world.fixture);
}

static void test_a_reset_is_noticed_behind_bytes_that_nobody_reads(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_peer_send(&world.peer, GET("/") GET("/"));
    http_peer_reset(&world.peer);
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 1);
    http_fixture_end(&world.fixture);
}

static void test_a_client_that_has_only_finished_sending_gets_its_answer(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_peer_half_close(&world.peer);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    http_respond(world.fixture.exchange, 200, "text/plain", "late", 4);
    http_peer_expect(&world.peer, "\r\n\r\nlate");
    http_peer_expect_end(&world.peer);
    end(&world);
}

/* -- clients that half-close */

/* Sends without a turn of the loop between the bytes and the FIN. */
static void send_and_half_close(struct world *world, const char *request)
{
    size_t len = strlen(request);

    assert_int_equal(send(world->peer.fd, request, len, 0), len);
    assert_int_equal(shutdown(world->peer.fd, SHUT_WR), 0);
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
            http_peer_half_close(&world.peer);
        if (moment == BEFORE_THE_STREAM) {
            http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
            http_stream_write(world.fixture.exchange, "first", 5);
        }
        http_peer_expect(&world.peer, "\r\n\r\n5\r\nfirst\r\n");
        if (moment == BEHIND_UNREAD_BYTES)
            http_peer_send(&world.peer, "\r\n");
        http_fixture_turn(&world.fixture, 3);
        if (moment == LATER || moment == BEHIND_UNREAD_BYTES)
            http_peer_half_close(&world.peer);
        http_peer_expect_nothing_before(&world.peer, "5\r\nprobe\r\n");
        http_fixture_turn(&world.fixture, 5);
        assert_int_equal(world.fixture.closed, 0);
        http_stream_write(world.fixture.exchange, "second", 6);
        http_peer_expect_nothing_before(&world.peer, "6\r\nsecond\r\n");
        http_stream_end(world.fixture.exchange);
        http_peer_expect_nothing_before(&world.peer, "0\r\n\r\n");
        http_peer_expect_end(&world.peer);
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
    http_peer_expect(&world.peer, "Connection: close\r\n\r\nfirstprobe");
    http_stream_write(world.fixture.exchange, "second", 6);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "second");
    http_peer_expect_end(&world.peer);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_a_head_of_a_stream_and_a_half_close(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    send_and_half_close(&world, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    http_peer_expect(&world.peer, "\r\n\r\n");
    http_peer_expect_end(&world.peer);
    assert_int_equal(world.fixture.closed, 1);
    end(&world);
}

static void test_a_half_closed_client_that_closes_is_noticed_by_the_next_write(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_peer_half_close(&world.peer);
    http_peer_expect_nothing_before(&world.peer, "5\r\nprobe\r\n");
    http_peer_close(&world.peer);
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
    http_peer_half_close(&world.peer);
    http_peer_expect_nothing_before(&world.peer, "5\r\nprobe\r\n");
    http_server_drain(world.fixture.server);
    http_fixture_turn(&world.fixture, 5);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "1\r\nx\r\n0\r\n\r\n");
    http_peer_expect_end(&world.peer);
    assert_int_equal(world.fixture.closed, 0);
    end(&world);
}

static void test_without_a_probe_a_close_is_noticed_by_the_next_write(void **state)
{
    struct world world;

    (void)state;
    http_fixture_init(&world.fixture);
    world.fixture.config.half_close_probe = NULL;
    http_fixture_start(&world.fixture);
    http_peer_dial(&world.fixture, &world.peer);
    open_stream(&world);
    http_peer_close(&world.peer);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(world.fixture.closed, 0);
    http_stream_write(world.fixture.exchange, "x", 1);
    expect_closed_once(&world);
    http_fixture_end(&world.fixture);
}

static void test_where_a_half_close_means_gone_it_ends_a_stream_and_an_answer(void **state)
{
    static const char *const requests[] = {GET("/stream"), GET("/later")};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct world world;

        http_fixture_init(&world.fixture);
        world.fixture.config.half_close_is_gone = true;
        http_fixture_start(&world.fixture);
        http_peer_dial(&world.fixture, &world.peer);
        ask(&world, requests[i]);
        http_peer_half_close(&world.peer);
        expect_closed_once(&world);
        end(&world);
    }
}

static void on_bell(evutil_socket_t fd, short what, void *rung)
{
    (void)fd;
    (void)what;
    *(bool *)rung = true;
}

/* How often the loop wakes up until a timer rings, the timer included. */
static int count_wakeups(struct http_fixture *fixture)
{
    struct timeval wait = {.tv_usec = 50 * 1000};
    bool rung = false;
    struct event *bell = evtimer_new(loop_base(fixture->loop), on_bell, &rung);
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

/* A FIN stays readable for ever, and so do bytes that the server leaves in the kernel. */
static void test_a_half_closed_client_does_not_keep_the_loop_busy(void **state)
{
    static const char *const requests[] = {GET("/stream"), GET("/later"), GET("/stream") GET("/"),
                                           GET("/later") GET("/")};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
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
    assert_true(transport_close_notify(world.peer.ssl)); /* without a FIN */
    expect_closed_once(&world);
    end(&world);
}

static void test_a_stream_to_a_client_that_had_said_goodbye_closes(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_peer_half_close(&world.peer);
    http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
    assert_int_equal(world.fixture.closed, 0);
    expect_closed_once(&world);
    end(&world);
}

/* -- requests that come before the answer to another is complete */

static void finish_stream(struct world *world)
{
    http_stream_end(world->fixture.exchange);
    http_peer_expect_nothing_before(&world->peer, "0\r\n\r\n");
}

/* In one write with the request, and at several moments after it. */
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
            http_peer_send(&world.peer, GET("/"));
            http_fixture_turn(&world.fixture, 3);
            http_stream_begin(world.fixture.exchange, 200, "text/event-stream");
            http_stream_write(world.fixture.exchange, "first", 5);
        }
        http_peer_expect(&world.peer, "\r\n\r\n5\r\nfirst\r\n");
        if (moment == HALF_TOGETHER)
            http_peer_send(&world.peer, "TP/1.1\r\nHost: a\r\n\r\n");
        if (moment == ON_THE_STREAM)
            http_peer_send(&world.peer, GET("/"));
        http_fixture_turn(&world.fixture, 5);
        assert_int_equal(world.fixture.handled, 1);
        http_stream_write(world.fixture.exchange, "more", 4);
        http_peer_expect_nothing_before(&world.peer, "4\r\nmore\r\n");
        finish_stream(&world);
        http_peer_expect_status(&world.peer, "200 OK");
        http_peer_expect_body(&world.peer, "hello");
        http_peer_send(&world.peer, GET("/")); /* and the connection is as good as before */
        http_peer_expect_status(&world.peer, "200 OK");
        http_peer_expect_body(&world.peer, "hello");
        assert_int_equal(world.fixture.closed, 0);
        end(&world);
    }
}

static void test_streams_behind_streams(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/stream") GET("/stream") "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET("/"));
    for (int i = 1; i <= 2; i++) {
        http_peer_expect_status(&world.peer, "200 OK");
        http_peer_expect(&world.peer, "\r\n\r\n5\r\nfirst\r\n");
        assert_int_equal(world.fixture.handled, i);
        finish_stream(&world);
    }
    http_peer_expect_status(&world.peer, "200 OK");
    http_peer_expect_body(&world.peer, "HTTP/1.1 200 OK\r\n");
    http_peer_expect_body(&world.peer, "hello");
    assert_int_equal(world.fixture.closed, 1); /* of HEAD */
    end(&world);
}

static void test_what_is_no_request_on_an_open_stream_is_refused_after_it(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_peer_send(&world.peer, "x\r\n");
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.closed, 0);
    finish_stream(&world);
    http_peer_expect_status(&world.peer, "400 Bad Request");
    http_peer_expect(&world.peer, "}");
    http_peer_expect_end(&world.peer);
    end(&world);
}

static void test_a_fin_after_two_requests_answers_both(void **state)
{
    static const char *const pairs[] = {GET("/stream") GET("/"), GET("/later") GET("/"),
                                        GET("/stream") POST_CHUNKED("/") "5\r\nhello\r\n0\r\n\r\n",
                                        GET("/stream") "\r\n" GET("/")};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct world world;

        begin(&world);
        send_and_half_close(&world, pairs[i]);
        http_fixture_turn(&world.fixture, 5);
        if (i == 1)
            http_respond(world.fixture.exchange, 200, NULL, "first", 5);
        else
            http_stream_end(world.fixture.exchange);
        http_peer_expect(&world.peer, i == 1 ? "first" : "5\r\nfirst\r\n5\r\nprobe\r\n0\r\n\r\n");
        http_peer_expect_status(&world.peer, "200 OK");
        http_peer_expect_body(&world.peer, "hello");
        http_peer_expect_end(&world.peer);
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
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct world world;

        begin(&world);
        ask(&world, requests[i]);
        http_peer_send(&world.peer, GET("/"));
        http_peer_expect(&world.peer, i ? "first" : "5\r\nfirst\r\n");
        http_stream_end(world.fixture.exchange);
        if (!i)
            http_peer_expect_nothing_before(&world.peer, "0\r\n\r\n");
        http_peer_expect_end(&world.peer);
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
    http_peer_expect(&world.peer, "5\r\nfirst\r\n");
    http_server_drain(world.fixture.server);
    http_fixture_turn(&world.fixture, 3);
    finish_stream(&world);
    http_peer_expect_end(&world.peer);
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
    while ((n = send(world.peer.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0) {
        sent += (size_t)n;
        http_fixture_turn(&world.fixture, 2);
        assert_true(sent < 64u << 20); /* a server that reads on would take them all */
    }
    http_stream_write(world.fixture.exchange, "x", 1);
    http_peer_expect_nothing_before(&world.peer, "1\r\nx\r\n");
    http_peer_reset(&world.peer);
    expect_closed_once(&world);
    http_fixture_end(&world.fixture);
}

static void test_a_request_that_came_while_another_was_handled_is_answered_after_it(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_peer_send(&world.peer, GET("/"));
    http_fixture_turn(&world.fixture, 3);
    assert_int_equal(world.fixture.handled, 1);
    http_respond(world.fixture.exchange, 200, "text/plain", "late", 4);
    http_peer_expect(&world.peer, "\r\n\r\nlate");
    http_peer_expect(&world.peer, "\r\n\r\nhello");
    end(&world);
}

static void test_a_cut_request_never_reaches_a_handler(void **state)
{
    static const char *const requests[] = {
        "",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct world world;

        begin(&world);
        http_peer_send(&world.peer, requests[i]);
        http_peer_half_close(&world.peer);
        http_peer_expect_end(&world.peer);
        assert_int_equal(world.fixture.handled, 0);
        end(&world);
    }
}

static void test_answering_a_client_that_has_gone_is_safe(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/deaf")); /* its handler did not ask to be told */
    http_peer_reset(&world.peer);
    http_fixture_turn(&world.fixture, 5);
    assert_int_equal(http_server_connections(world.fixture.server), 0);
    assert_true(http_text_is(http_exchange_request(world.fixture.exchange)->path, "/deaf"));
    http_stream_begin(world.fixture.exchange, 200, NULL);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_fixture_end(&world.fixture);

    begin(&world);
    ask(&world, GET("/deaf"));
    http_peer_reset(&world.peer);
    http_fixture_turn(&world.fixture, 5);
    http_respond_problem(world.fixture.exchange, &(struct problem_report){.problem = PROBLEM_INTERNAL});
    http_fixture_turn(&world.fixture, 5);
    http_fixture_end(&world.fixture);

    begin(&world);
    ask(&world, GET("/deaf"));
    http_peer_reset(&world.peer);
    http_fixture_end(&world.fixture); /* the server goes before the handler comes back */
}

/* -- endings that the server chooses */

static void test_abort_with_fin_ends_what_was_written_cleanly(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    open_stream(&world);
    http_stream_write(world.fixture.exchange, "last", 4);
    http_abort(world.fixture.exchange, HTTP_ABORT_FIN);
    http_peer_expect_nothing_before(&world.peer, "4\r\nlast\r\n");
    http_peer_expect_end(&world.peer);
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
    http_peer_expect_reset(&world.peer);
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
    http_peer_expect_end(&world.peer);
    end(&world);

    begin(&world);
    ask(&world, GET("/later"));
    http_abort(world.fixture.exchange, HTTP_ABORT_RST);
    http_peer_expect_reset(&world.peer);
    end(&world);
}

static void test_raw_bytes_pass_as_they_are(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    ask(&world, GET("/later"));
    http_raw_write(world.fixture.exchange, "HTTP/1.1 200 OK\r\nContent-Le", 27);
    http_raw_write(world.fixture.exchange, "ngth: 9\r\n\r\nshort", 16);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
    http_peer_expect_end(&world.peer);
    end(&world);

    begin(&world);
    open_stream(&world);
    http_raw_write(world.fixture.exchange, "zz\r\n", 4);
    http_stream_write(world.fixture.exchange, "a", 1);
    http_peer_expect_nothing_before(&world.peer, "zz\r\n1\r\na\r\n");
    end(&world);
}

static void test_drain_lets_open_requests_end_and_takes_no_others(void **state)
{
    struct world world;
    struct http_peer idle, fresh, late;
    struct http_exchange *pending;

    (void)state;
    begin(&world);
    http_peer_dial(&world.fixture, &fresh);
    http_peer_dial(&world.fixture, &idle);
    http_peer_send(&idle, GET("/"));
    http_peer_expect(&idle, "hello");
    http_peer_dial(&world.fixture, &late);
    http_peer_send(&late, GET("/later"));
    http_fixture_wait(&world.fixture, &world.fixture.handled, 2);
    pending = world.fixture.exchange;
    open_stream(&world);
    http_server_drain(world.fixture.server);
    http_peer_expect_end(&idle);
    http_peer_expect_end(&fresh);
    http_respond(pending, 200, "text/plain", "bye", 3);
    http_peer_expect(&late, "Connection: close\r\n\r\nbye");
    http_peer_expect_end(&late);
    http_stream_write(world.fixture.exchange, "x", 1);
    http_stream_end(world.fixture.exchange);
    http_peer_expect_nothing_before(&world.peer, "1\r\nx\r\n0\r\n\r\n");
    http_peer_expect_end(&world.peer);
    http_peer_close(&idle);
    http_peer_close(&fresh);
    http_peer_close(&late);
    end(&world);
}

static void test_drain_serves_requests_that_have_come_and_connections_that_wait(void **state)
{
    struct http_fixture fixture;
    struct http_peer sent, waiting;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &sent);
    assert_int_equal(send(sent.fd, GET("/"), strlen(GET("/")), 0), strlen(GET("/")));
    http_peer_dial_unseen(&fixture, &waiting);
    assert_int_equal(send(waiting.fd, GET("/"), strlen(GET("/")), 0), strlen(GET("/")));
    http_server_drain(fixture.server);
    http_peer_expect(&sent, "Connection: close\r\n\r\nhello");
    http_peer_expect_end(&sent);
    http_peer_expect(&waiting, "Connection: close\r\n\r\nhello");
    http_peer_expect_end(&waiting);
    http_peer_close(&sent);
    http_peer_close(&waiting);
    http_fixture_end(&fixture);
}

static void test_destroying_the_server_tells_every_handler(void **state)
{
    struct world world;
    struct http_peer other;

    (void)state;
    begin(&world);
    http_peer_dial(&world.fixture, &other);
    http_peer_send(&other, GET("/later"));
    http_fixture_wait(&world.fixture, &world.fixture.handled, 1);
    open_stream(&world);
    world.fixture.server = http_server_destroy(world.fixture.server);
    assert_int_equal(world.fixture.closed, 2);
    http_peer_expect_end(&world.peer);
    http_peer_close(&other);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest plain_only[] = {
        cmocka_unit_test(test_drain_serves_requests_that_have_come_and_connections_that_wait),
        cmocka_unit_test(test_a_stream_outlives_a_half_close),
        cmocka_unit_test(test_an_http_1_0_stream_outlives_a_half_close),
        cmocka_unit_test(test_a_head_of_a_stream_and_a_half_close),
        cmocka_unit_test(test_a_half_closed_client_that_closes_is_noticed_by_the_next_write),
        cmocka_unit_test(test_a_half_closed_stream_survives_a_drain_until_it_ends),
        cmocka_unit_test(test_without_a_probe_a_close_is_noticed_by_the_next_write),
        cmocka_unit_test(test_a_half_closed_client_does_not_keep_the_loop_busy),
        cmocka_unit_test(test_a_fin_after_two_requests_answers_both),
        cmocka_unit_test(test_bytes_on_an_open_stream_stay_in_the_kernel),
    };
    const struct CMUnitTest tls_only[] = {
        cmocka_unit_test(test_a_close_notify_ends_an_open_stream),
        cmocka_unit_test(test_a_stream_to_a_client_that_had_said_goodbye_closes),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_write_is_one_chunk_and_the_connection_goes_on_after_the_last),
        cmocka_unit_test(test_an_http_1_0_client_gets_the_plain_bytes_and_then_the_end),
        cmocka_unit_test(test_head_of_a_stream_ends_it_after_the_head),
        cmocka_unit_test(test_large_pieces_arrive_whole),
        cmocka_unit_test(test_an_answer_larger_than_all_buffers_arrives_whole),
        cmocka_unit_test(test_much_written_on_one_turn_does_not_cut_a_reader_that_keeps_up),
        cmocka_unit_test(test_whoever_waits_for_room_is_told_once_and_may_write),
        cmocka_unit_test(test_room_that_is_there_already_is_told_on_a_later_turn),
        cmocka_unit_test(test_a_stream_that_has_ended_is_told_of_no_room),
        cmocka_unit_test(test_a_reader_too_far_behind_is_cut_but_not_inside_the_write),
        cmocka_unit_test(test_whoever_ends_a_stream_after_it_was_cut_is_not_told_of_the_cut),
        cmocka_unit_test(test_a_reader_that_takes_nothing_is_cut_after_the_write_deadline),
        cmocka_unit_test(test_a_client_that_leaves_an_open_stream_is_noticed_at_once),
        cmocka_unit_test(test_a_reset_before_the_answer_is_noticed_at_once),
        cmocka_unit_test(test_a_reset_is_noticed_behind_bytes_that_nobody_reads),
        cmocka_unit_test(test_a_client_that_has_only_finished_sending_gets_its_answer),
        cmocka_unit_test(test_where_a_half_close_means_gone_it_ends_a_stream_and_an_answer),
        cmocka_unit_test(test_a_request_on_an_open_stream_is_answered_after_it),
        cmocka_unit_test(test_streams_behind_streams),
        cmocka_unit_test(test_what_is_no_request_on_an_open_stream_is_refused_after_it),
        cmocka_unit_test(test_after_the_last_answer_a_further_request_gets_a_clean_end),
        cmocka_unit_test(test_a_drain_ends_a_stream_cleanly_before_further_requests),
        cmocka_unit_test(test_a_request_that_came_while_another_was_handled_is_answered_after_it),
        cmocka_unit_test(test_a_cut_request_never_reaches_a_handler),
        cmocka_unit_test(test_answering_a_client_that_has_gone_is_safe),
        cmocka_unit_test(test_abort_with_fin_ends_what_was_written_cleanly),
        cmocka_unit_test(test_abort_with_rst_is_a_reset),
        cmocka_unit_test(test_abort_without_an_answer),
        cmocka_unit_test(test_raw_bytes_pass_as_they_are),
        cmocka_unit_test(test_drain_lets_open_requests_end_and_takes_no_others),
        cmocka_unit_test(test_destroying_the_server_tells_every_handler),
    };

    return cmocka_run_group_tests_name("plain alone", plain_only, NULL, NULL) +
           cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls) +
           cmocka_run_group_tests_name("over TLS alone", tls_only, http_fixture_begin_tls, http_fixture_end_tls);
}
