/* The outcomes of a call: complete, incomplete and late answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/loop.h"
#include "tests/support/web_world.h"

static void test_a_complete_answer(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}};
    struct web_probe probe = {0};
    const char *request;

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
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
    web_world_end(&world);
}

static void test_all_retry_after_headers_are_reported(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "X-Other: 1\r\nretry-after: 9\r\nContent-Length: 0\r\n\r\n"}};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_string_equal(probe.retry_after, "7\n9");
    assert_string_equal(probe.request_id, "0217");
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void end_soon(struct web_probe *probe)
{
    web_end_within(probe->call, 50);
    web_end_within(probe->call, 60000); /* no effect: called before */
}

static void test_an_answer_that_does_not_end_counts_as_complete(void **state)
{
    struct web_world world = {
        .server = {.answer = HEAD "Content-Length: 10\r\n\r\nhello", .ending = THEN_KEEP}
    };
    struct web_probe probe = {.on_data = end_soon};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_string_equal(probe.words, "");
    assert_string_equal(buf_text(&probe.data), "hello");
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_a_large_body_is_sent_at_once(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 0\r\n\r\n"}};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){.body_len = 2 << 20});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(probe.heads, 1);
    assert_null(strcasestr(buf_text(&world.server.first_request), "\nExpect:"));
    assert_int_equal(strspn(strstr(buf_text(&world.server.first_request), "\r\n\r\n") + 4, "P"), 2 << 20);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_interim_responses_and_trailers_are_ignored(void **state)
{
    struct web_world world = {.server = {.answer = "HTTP/1.1 103 Early Hints\r\nx-request-id: early\r\n\r\n" HEAD
                                                   "Transfer-Encoding: chunked\r\nTrailer: x-request-id\r\n\r\n"
                                                   "5\r\nhello\r\n0\r\nx-request-id: late\r\n\r\n"}};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(probe.heads, 1);
    assert_int_equal(probe.status, 200);
    assert_string_equal(probe.request_id, "0217");
    assert_string_equal(buf_text(&probe.data), "hello");
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_a_redirect_is_an_answer(void **state)
{
    struct web_world world = {
        .server = {.answer = "HTTP/1.1 307 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"}};
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(probe.status, 307);
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_a_late_first_byte_ends_the_call(void **state)
{
    struct web_world world = {.server = {.ending = THEN_KEEP}};
    struct web_probe probe = {0};

    (void)state;
    web_world_start_with(&world, 5000, 100);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_BROKEN);
    assert_non_null(strstr(probe.words, "first byte"));
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_the_total_time_counts_after_the_first_byte(void **state)
{
    struct web_world world = {
        .server = {.answer = HEAD "Content-Length: 10\r\n\r\nhello", .ending = THEN_KEEP}
    };
    struct web_probe probe = {0};

    (void)state;
    web_world_start_with(&world, 5000, 150);
    web_probe_ask(&world, &probe, &(struct web_how){.total_ms = 400});
    assert_int_equal(probe.end, WEB_BROKEN);
    assert_null(strstr(probe.words, "first byte"));
    assert_string_equal(buf_text(&probe.data), "hello");
    assert_int_equal(world.server.posts, 1);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

static void test_an_answer_above_the_maximum_ends_the_call(void **state)
{
    struct web_world world = {
        .server = {.answer = HEAD "\r\n0123456789abcdef", .ending = THEN_KEEP}
    };
    struct web_probe probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){.answer_max = 10});
    assert_int_equal(probe.end, WEB_BROKEN);
    assert_non_null(strstr(probe.words, "larger"));
    assert_true(probe.data.len <= 10);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

/* Both ends are in this process: two descriptors per call. */
static void test_a_thousand_at_once(void **state)
{
    enum { CALLS = 1000 };
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 5\r\n\r\nhello"}};
    struct web_probe *probes = calloc(CALLS, sizeof(*probes));
    struct rlimit limit;

    (void)state;
    assert_non_null(probes);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    web_world_start(&world);
    for (int i = 0; i < CALLS; i++)
        web_probe_start(&world, &probes[i], &(struct web_how){0});
    assert_int_equal(web_in_flight(world.web), CALLS);
    loop_run(world.loop);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(probes[i].end, WEB_ANSWERED);
        assert_int_equal(probes[i].ends, 1);
        assert_string_equal(buf_text(&probes[i].data), "hello");
        buf_deinit(&probes[i].data);
    }
    assert_int_equal(world.server.connections, CALLS);
    assert_int_equal(world.server.posts, CALLS);
    free(probes);
    web_world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_complete_answer),
        cmocka_unit_test(test_all_retry_after_headers_are_reported),
        cmocka_unit_test(test_an_answer_that_does_not_end_counts_as_complete),
        cmocka_unit_test(test_a_large_body_is_sent_at_once),
        cmocka_unit_test(test_interim_responses_and_trailers_are_ignored),
        cmocka_unit_test(test_a_redirect_is_an_answer),
        cmocka_unit_test(test_a_late_first_byte_ends_the_call),
        cmocka_unit_test(test_the_total_time_counts_after_the_first_byte),
        cmocka_unit_test(test_an_answer_above_the_maximum_ends_the_call),
        cmocka_unit_test(test_a_thousand_at_once),
    };

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
