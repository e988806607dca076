/* Pending calls: order of deadlines, errors of a lost connection, callbacks that change the list, bytes of a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/redis/pipeline.h"

static const struct pipeline_events no_events;

static struct redis_call *send_ping(struct pipeline *pipeline, enum call_kind kind, int64_t due_ms)
{
    const char *argv[] = {"PING", "x"};
    const size_t lengths[] = {4, 1};
    struct redis_call *call = NULL;
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(pipeline_send(pipeline, &out, &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths},
                                   kind, due_ms, &call),
                     0);
    buf_deinit(&out);
    return call;
}

static void no_call_is_due_before_an_earlier_one(void **state)
{
    static const int64_t asked[] = {100, 50, 5000, 200, 6000};
    static const int64_t due[] = {100, 100, 5000, 5000, 6000};
    struct pipeline pipeline;

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    assert_int_equal(pipeline_due_ms(&pipeline), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(asked); i++)
        assert_int_equal(send_ping(&pipeline, CALL_COMMAND, asked[i])->due_ms, due[i]);
    assert_int_equal(pipeline_due_ms(&pipeline), 100);
    pipeline_drop(&pipeline);
    assert_int_equal(send_ping(&pipeline, CALL_COMMAND, 10)->due_ms, 10);
    pipeline_drop(&pipeline);
}

static void arriving_bytes_extend_the_deadline(void **state)
{
    struct pipeline pipeline;

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    (void)send_ping(&pipeline, CALL_COMMAND, 100);
    assert_false(pipeline_received(&pipeline, 16 * 1024 - 1));
    assert_true(pipeline_received(&pipeline, 1));
    assert_false(pipeline_received(&pipeline, 1)); /* counts from zero again */
    pipeline_extend(&pipeline, 150);
    assert_int_equal(pipeline_due_ms(&pipeline), 150);
    pipeline_fail(&pipeline, ERR_LOST, ERR_LOST);
    (void)send_ping(&pipeline, CALL_COMMAND, 120); /* of the next connection */
    assert_int_equal(pipeline_due_ms(&pipeline), 120);
    pipeline_drop(&pipeline);
}

static void a_command_that_does_not_fit_leaves_no_bytes(void **state)
{
    const char *argv[] = {"ECHO", "0123456789"};
    const size_t lengths[] = {4, 10};
    struct redis_call *call = NULL;
    struct pipeline pipeline;
    struct buf out;

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    buf_init(&out, 50);
    assert_int_equal(pipeline_send(&pipeline, &out,
                                   &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths}, CALL_COMMAND,
                                   0, &call),
                     0);
    assert_string_equal(buf_text(&out), "*2\r\n$4\r\nECHO\r\n$10\r\n0123456789\r\n");
    assert_int_equal(pipeline_send(&pipeline, &out,
                                   &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths}, CALL_COMMAND,
                                   0, &call),
                     ERR_TOO_LONG);
    assert_string_equal(buf_text(&out), "*2\r\n$4\r\nECHO\r\n$10\r\n0123456789\r\n");
    assert_ptr_equal(TAILQ_FIRST(&pipeline.waiting), TAILQ_LAST(&pipeline.waiting, call_list));
    pipeline_drop(&pipeline);
    buf_deinit(&out);
}

struct record {
    struct pipeline *pipeline;
    char errors[64];
};

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct record *record = arg;
    size_t len = strlen(record->errors);

    assert_null(reply);
    snprintf(record->errors + len, sizeof(record->errors) - len, "%d ", err);
}

static void on_reply_drop(const redisReply *reply, int err, void *arg)
{
    struct record *record = arg;

    on_reply(reply, err, arg);
    pipeline_drop(record->pipeline);
}

static void send_recorded(struct record *record, enum call_kind kind, redis_reply_fn *done)
{
    struct redis_call *call = send_ping(record->pipeline, kind, 0);

    call->done = done;
    call->arg = record;
}

static void the_first_call_fails_with_its_own_error(void **state)
{
    struct pipeline pipeline;
    struct record record = {.pipeline = &pipeline};

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    send_recorded(&record, CALL_COMMAND, on_reply);
    send_recorded(&record, CALL_COMMAND, NULL); /* cancelled */
    send_recorded(&record, CALL_SUBSCRIBE, NULL);
    send_recorded(&record, CALL_COMMAND, on_reply);
    pipeline_fail(&pipeline, ERR_TIMEOUT, ERR_LOST);
    assert_string_equal(record.errors, "-8 -7 ");
    assert_true(TAILQ_EMPTY(&pipeline.waiting));
}

static void a_callback_may_drop_all_other_calls(void **state)
{
    struct pipeline pipeline;
    struct record record = {.pipeline = &pipeline};

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    send_recorded(&record, CALL_COMMAND, on_reply_drop);
    send_recorded(&record, CALL_COMMAND, on_reply);
    pipeline_fail(&pipeline, ERR_LOST, ERR_LOST);
    assert_string_equal(record.errors, "-7 ");
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void dropped_calls_free_their_argument_unless_cancelled(void **state)
{
    struct pipeline pipeline;
    int freed = 0;

    (void)state;
    pipeline_init(&pipeline, &no_events, NULL);
    for (int i = 0; i < 2; i++) {
        struct redis_call *call = send_ping(&pipeline, CALL_COMMAND, 0);

        call->arg = &freed;
        call->drop = count;
        if (i)
            pipeline_cancel(call);
    }
    pipeline_drop(&pipeline);
    assert_int_equal(freed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_is_due_before_an_earlier_one),
        cmocka_unit_test(arriving_bytes_extend_the_deadline),
        cmocka_unit_test(a_command_that_does_not_fit_leaves_no_bytes),
        cmocka_unit_test(the_first_call_fails_with_its_own_error),
        cmocka_unit_test(a_callback_may_drop_all_other_calls),
        cmocka_unit_test(dropped_calls_free_their_argument_unless_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
