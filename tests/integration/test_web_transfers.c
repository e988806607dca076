/* Requests other than POST, bodies in pieces, and downloads of links that clients have sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/web/download.h"
#include "tests/support/web_world.h"

enum { LARGE = 3 << 20, PIECE_MAX = 16 << 10 };

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\nX-Amz-Meta-Owner:  shop \r\n\r\n"

/* One call and its result. */
struct transfer {
    struct web_world *world;
    struct web_call *call;
    char fields[512];
    int64_t length;
    bool is_chunked;
    int status, ends, pauses;
    enum web_end end;
    bool not_public;
    char words[128];
    struct buf data;
    bool pauses_often; /* pauses after each piece, resumes from a deferred call */
    struct loop_deferred later;

    size_t upload_left; /* of a body of 'u' */
    int waits;          /* how often read() has nothing */
    bool fails;         /* and then fails */
};

static void on_field(const char *name, size_t name_len, const char *value, size_t value_len, void *arg)
{
    struct transfer *transfer = arg;
    size_t at = strlen(transfer->fields);

    (void)snprintf(transfer->fields + at, sizeof(transfer->fields) - at, "%.*s=%.*s;", (int)name_len, name,
                   (int)value_len, value);
}

static void on_head(const struct web_head *head, void *arg)
{
    struct transfer *transfer = arg;

    transfer->status = head->status;
    transfer->length = head->length;
    transfer->is_chunked = head->is_chunked;
}

static void resume(void *arg)
{
    struct transfer *transfer = arg;

    if (!transfer->ends) /* the end may have come after the last piece */
        web_resume(transfer->call);
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    struct transfer *transfer = arg;

    assert_in_range(len, 1, PIECE_MAX);
    buf_add(&transfer->data, bytes, len);
    if (!transfer->pauses_often)
        return;
    transfer->pauses++;
    web_pause(transfer->call);
    loop_defer(transfer->world->loop, &transfer->later, resume, transfer);
}

static void on_done(const struct web_outcome *outcome, void *arg)
{
    struct transfer *transfer = arg;

    transfer->ends++;
    transfer->end = outcome->end;
    transfer->not_public = outcome->not_public;
    (void)snprintf(transfer->words, sizeof(transfer->words), "%s", outcome->words);
    loop_stop(transfer->world->loop);
}

static size_t read_upload(char *out, size_t room, void *arg)
{
    struct transfer *transfer = arg;
    size_t len = transfer->upload_left < 1000 ? transfer->upload_left : 1000;

    if (transfer->waits) {
        transfer->waits--;
        loop_defer(transfer->world->loop, &transfer->later, resume, transfer);
        return WEB_UPLOAD_WAIT;
    }
    if (transfer->fails)
        return WEB_UPLOAD_FAIL;
    len = len < room ? len : room;
    memset(out, 'u', len);
    transfer->upload_left -= len;
    return len;
}

static void run(struct transfer *transfer, const char *url, struct web_request request)
{
    static const char *const headers[] = {"X-Test: 1", NULL};

    buf_init(&transfer->data, 2 * LARGE);
    request.url = url;
    request.headers = headers;
    request.first_byte_ms = request.total_ms = 8000;
    request.answer_max = request.answer_max ? request.answer_max : 2 * LARGE;
    request.events = (struct web_events){on_head, on_data, on_done, transfer, on_field};
    assert_int_equal(web_start(transfer->world->web, &request, &transfer->call), 0);
    loop_run(transfer->world->loop);
    assert_int_equal(transfer->ends, 1);
}

static const char *url_of(const struct web_world *world)
{
    static char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/a/b?c=d", world->server.port);
    return url;
}

static void test_requests_of_every_method(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "DELETE", "PUT"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        struct web_world world = {.server = {.answer = i == 1 ? OK_HEAD : OK_HEAD "hello"}};
        struct transfer transfer = {.world = &world, .upload_left = i == 3 ? 2500 : 0};
        char line[64];

        print_message("  %s\n", methods[i]);
        web_world_start(&world);
        run(&transfer, url_of(&world),
            (struct web_request){
                .method = methods[i], .upload = {i == 3 ? 2500 : 0, i == 3 ? read_upload : NULL}
        });
        (void)snprintf(line, sizeof(line), "%s /a/b?c=d HTTP/1.1\r\n", methods[i]);
        assert_memory_equal(world.server.first_request.data, line, strlen(line));
        assert_null(strstr(world.server.first_request.data, "Expect"));
        assert_int_equal(transfer.end, WEB_ANSWERED);
        assert_int_equal(transfer.status, 200);
        assert_int_equal(transfer.length, 5);
        assert_false(transfer.is_chunked);
        assert_string_equal(buf_text(&transfer.data), i == 1 ? "" : "hello");
        assert_string_equal(transfer.fields, "Content-Length=5;ETag=\"x\";X-Amz-Meta-Owner=shop;");
        assert_int_equal(world.server.posts, 1);
        buf_deinit(&transfer.data);
        web_world_end(&world);
    }
}

static void test_a_body_is_read_in_pieces_and_with_waits(void **state)
{
    struct web_world world = {.server = {.answer = OK_HEAD "hello"}};
    struct transfer transfer = {.world = &world, .upload_left = LARGE, .waits = 3};
    const char *body;

    (void)state;
    web_world_start(&world);
    run(&transfer, url_of(&world),
        (struct web_request){
            .method = "PUT", .upload = {LARGE, read_upload}
    });
    assert_int_equal(transfer.end, WEB_ANSWERED);
    body = strstr(world.server.first_request.data, "\r\n\r\n") + 4;
    assert_int_equal(world.server.first_request.len - (size_t)(body - world.server.first_request.data), LARGE);
    assert_non_null(strstr(world.server.first_request.data, "Content-Length: 3145728\r\n"));
    assert_int_equal(strspn(body, "u"), LARGE);
    buf_deinit(&transfer.data);
    web_world_end(&world);
}

static void test_a_body_that_cannot_be_read_ends_the_call(void **state)
{
    struct web_world world = {.server = {.answer = OK_HEAD "hello"}};
    struct transfer transfer = {.world = &world, .upload_left = LARGE, .waits = 1, .fails = true};

    (void)state;
    web_world_start(&world);
    run(&transfer, url_of(&world),
        (struct web_request){
            .method = "PUT", .upload = {LARGE, read_upload}
    });
    assert_int_equal(transfer.end, WEB_BROKEN);
    assert_string_equal(transfer.words, "the body of the request could not be read");
    assert_int_equal(world.server.posts, 0);
    buf_deinit(&transfer.data);
    web_world_end(&world);
}

static char *large_answer(const char *head)
{
    size_t len = strlen(head);
    char *answer = malloc(len + LARGE + 1);

    assert_non_null(answer);
    memcpy(answer, head, len);
    for (size_t i = 0; i < LARGE; i++)
        answer[len + i] = (char)('a' + i % 23);
    answer[len + LARGE] = '\0';
    return answer;
}

static void test_a_receiver_that_pauses_gets_everything(void **state)
{
    char *answer = large_answer("HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n");
    struct web_world world = {.server = {.answer = answer}};
    struct transfer transfer = {.world = &world, .pauses_often = true};

    (void)state;
    web_world_start(&world);
    run(&transfer, url_of(&world), (struct web_request){.method = "GET", .buffer = PIECE_MAX});
    assert_int_equal(transfer.end, WEB_ANSWERED);
    assert_int_equal(transfer.data.len, LARGE);
    assert_memory_equal(transfer.data.data, strstr(answer, "\r\n\r\n") + 4, LARGE);
    assert_true(transfer.pauses >= LARGE / PIECE_MAX);
    buf_deinit(&transfer.data);
    web_world_end(&world);
    free(answer);
}

/* -- downloads */

struct fetch {
    struct web_world *world;
    struct download *download;
    int64_t size;
    int sizes, ends;
    enum download_end end;
    int status;
    char words[128];
    struct buf data;
    bool pauses_often, cancels;
    struct loop_deferred later;
};

static void fetch_resume(void *arg)
{
    struct fetch *fetch = arg;

    if (!fetch->ends)
        download_resume(fetch->download);
}

static void fetch_on_size(int64_t size, void *arg)
{
    struct fetch *fetch = arg;

    fetch->sizes++;
    fetch->size = size;
}

static void fetch_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct fetch *fetch = arg;

    assert_int_equal(fetch->sizes, 1);
    assert_in_range(len, 1, DOWNLOAD_PIECE_MAX);
    buf_add(&fetch->data, bytes, len);
    if (fetch->cancels) {
        download_cancel(fetch->download);
        loop_stop(fetch->world->loop);
    } else if (fetch->pauses_often) {
        download_pause(fetch->download);
        loop_defer(fetch->world->loop, &fetch->later, fetch_resume, fetch);
    }
}

static void fetch_on_done(const struct download_outcome *outcome, void *arg)
{
    struct fetch *fetch = arg;

    fetch->ends++;
    fetch->end = outcome->end;
    fetch->status = outcome->status;
    (void)snprintf(fetch->words, sizeof(fetch->words), "%s", outcome->words);
    loop_stop(fetch->world->loop);
}

static void fetch_run(struct fetch *fetch, const char *url, bool may_be_private, int64_t size_max)
{
    const struct download_setup setup = {
        .url = url,
        .may_be_private = may_be_private,
        .size_max = size_max,
        .first_byte_ms = 5000,
        .total_ms = 8000,
        .events = {fetch_on_size, fetch_on_bytes, fetch_on_done, fetch},
    };

    buf_init(&fetch->data, 2 * LARGE);
    assert_int_equal(download_start(fetch->world->web, &setup, &fetch->download), 0);
    assert_int_equal(fetch->ends, 0);
    loop_run(fetch->world->loop);
    assert_int_equal(fetch->ends, !fetch->cancels);
}

/* clang-format off */
static const struct {
    const char *name, *answer;
    enum stub_ending ending;
    enum download_end end;
    int64_t size; /* that is announced; -2: none */
    const char *data;
} answers[] = {
    { "a length",                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",                THEN_KEEP,  DOWNLOAD_DONE,      5,  "hello" },
    { "chunks",                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", THEN_KEEP, DOWNLOAD_DONE, -1, "hello" },
    { "nothing",                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",                     THEN_KEEP,  DOWNLOAD_DONE,      0,  "" },
    { "no length",                 "HTTP/1.1 200 OK\r\n\r\nhello",                                     THEN_CLOSE, DOWNLOAD_FAILED,    -2, "" },
    { "a length that is not kept", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",                THEN_CLOSE, DOWNLOAD_FAILED,    9,  "hello" },
    { "a cut chunk",               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",  THEN_CLOSE, DOWNLOAD_FAILED,    -1, "hello" },
    { "no last chunk",             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", THEN_CLOSE, DOWNLOAD_FAILED, -1, "hello" },
    { "a reset",                   "HTTP/1.1 200 OK\r\nContent-Len",                                   THEN_RESET, DOWNLOAD_FAILED,    -2, "" },
    { "exactly the maximum",       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",          THEN_KEEP,  DOWNLOAD_DONE,      10, "0123456789" },
    { "a length above it",         "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890",         THEN_KEEP,  DOWNLOAD_TOO_LARGE, -2, "" },
    { "chunks above it",           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", THEN_KEEP, DOWNLOAD_TOO_LARGE, -1, "" },
    { "compressed bytes",          "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", THEN_KEEP, DOWNLOAD_DONE, 5, "hello" },
    { "a redirect",                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:6379/\r\nContent-Length: 0\r\n\r\n", THEN_KEEP, DOWNLOAD_FAILED, -2, "" },
    { "a part",                    "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello",           THEN_KEEP,  DOWNLOAD_FAILED,    -2, "" },
    { "an expired link",           "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello",         THEN_KEEP,  DOWNLOAD_GONE,      -2, "" },
    { "no such file",              "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",         THEN_KEEP,  DOWNLOAD_GONE,      -2, "" },
    { "too many requests",         "HTTP/1.1 429 Slow\r\nContent-Length: 5\r\n\r\nhello",              THEN_KEEP,  DOWNLOAD_FAILED,    -2, "" },
    { "an error",                  "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nhello",              THEN_KEEP,  DOWNLOAD_FAILED,    -2, "" },
    { "an interim answer",         "HTTP/1.1 103 Early Hints\r\nContent-Length: 99\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", THEN_KEEP, DOWNLOAD_DONE, 5, "hello" },
};
/* clang-format on */

static void test_answers_to_a_download(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct web_world world = {
            .server = {.answer = answers[i].answer, .ending = answers[i].ending}
        };
        struct fetch fetch = {.world = &world, .size = -2};

        print_message("  %s\n", answers[i].name);
        web_world_start(&world);
        fetch_run(&fetch, url_of(&world), true, 10);
        assert_int_equal(fetch.end, answers[i].end);
        assert_int_equal(fetch.size, answers[i].size);
        assert_string_equal(buf_text(&fetch.data), answers[i].data);
        assert_int_equal(fetch.end == DOWNLOAD_DONE, !*fetch.words);
        assert_int_equal(world.server.connections, 1);
        assert_null(strstr(buf_text(&world.server.first_request), "Accept-Encoding"));
        buf_deinit(&fetch.data);
        web_world_end(&world);
    }
}

static void test_a_large_download_with_pauses(void **state)
{
    char *answer = large_answer("HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n");
    struct web_world world = {.server = {.answer = answer}};
    struct fetch fetch = {.world = &world, .pauses_often = true};

    (void)state;
    web_world_start(&world);
    fetch_run(&fetch, url_of(&world), true, LARGE);
    assert_int_equal(fetch.end, DOWNLOAD_DONE);
    assert_int_equal(fetch.data.len, LARGE);
    assert_memory_equal(fetch.data.data, strstr(answer, "\r\n\r\n") + 4, LARGE);
    buf_deinit(&fetch.data);
    web_world_end(&world);
    free(answer);
}

static void test_a_download_is_cancelled_from_its_callback(void **state)
{
    struct web_world world = {.server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"}};
    struct fetch fetch = {.world = &world, .cancels = true};

    (void)state;
    web_world_start(&world);
    fetch_run(&fetch, url_of(&world), true, 10);
    assert_int_equal(web_in_flight(world.web), 0);
    buf_deinit(&fetch.data);
    web_world_end(&world);
}

/* Every spelling of an address of this machine, and a name that resolves to one. The server must see no connection. */
static void test_addresses_that_are_not_public_are_not_connected_to(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1", "127.1", "2130706433",         "0x7f.1",          "017700000001",         "0",
        "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[::]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        struct web_world world = {.server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}};
        struct fetch fetch = {.world = &world};
        char url[128];

        print_message("  %s\n", hosts[i]);
        web_world_start(&world);
        (void)snprintf(url, sizeof(url), "http://%s:%d/", hosts[i], world.server.port);
        fetch_run(&fetch, url, false, 10);
        assert_int_equal(fetch.end, DOWNLOAD_FORBIDDEN);
        assert_string_equal(fetch.words, "the address of the host is not public");
        assert_int_equal(fetch.sizes, 0);
        assert_int_equal(world.server.connections, 0);
        buf_deinit(&fetch.data);
        web_world_end(&world);
    }
}

/* A proxy would connect to any address, so none is used. */
static void test_a_proxy_of_the_environment_is_not_used(void **state)
{
    struct web_world world = {.server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}};
    struct fetch fetch = {.world = &world};
    char proxy[64];

    (void)state;
    web_world_start(&world);
    (void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", world.server.port);
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    assert_int_equal(setenv("ALL_PROXY", proxy, 1), 0);
    fetch_run(&fetch, "http://10.255.255.1/", false, 10);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    assert_int_equal(fetch.end, DOWNLOAD_FORBIDDEN);
    assert_int_equal(world.server.connections, 0);
    buf_deinit(&fetch.data);
    web_world_end(&world);
}

static void test_only_web_links_are_fetched(void **state)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "127.0.0.1",
                                       ""};
    struct web_world world = {0};

    (void)state;
    web_world_start(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++) {
        struct download *download;

        assert_int_equal(download_start(world.web, &(struct download_setup){.url = urls[i]}, &download), ERR_SYNTAX);
    }
    web_world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_of_every_method),
        cmocka_unit_test(test_a_body_is_read_in_pieces_and_with_waits),
        cmocka_unit_test(test_a_body_that_cannot_be_read_ends_the_call),
        cmocka_unit_test(test_a_receiver_that_pauses_gets_everything),
        cmocka_unit_test(test_answers_to_a_download),
        cmocka_unit_test(test_a_large_download_with_pauses),
        cmocka_unit_test(test_a_download_is_cancelled_from_its_callback),
        cmocka_unit_test(test_addresses_that_are_not_public_are_not_connected_to),
        cmocka_unit_test(test_a_proxy_of_the_environment_is_not_used),
        cmocka_unit_test(test_only_web_links_are_fetched),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
