/* The embedded scripts on a real Redis: each compiles and answers; NOSCRIPT is handled; runs can be cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/task/scripts.h"
#include "tests/support/redis_world.h"

#define PREFIX "arkrelay:{0}:"

/* The reply to a script. */
struct outcome {
    struct fixture *fixture;
    int times, err, type;
    char word[64], error[256];
    long long integer;
};

static void on_outcome(const redisReply *reply, int err, void *arg)
{
    struct outcome *outcome = arg;

    outcome->times++;
    outcome->err = err;
    if (!reply)
        return;
    outcome->type = reply->type;
    outcome->integer = reply->integer;
    snprintf(outcome->word, sizeof(outcome->word), "%s", script_answer(reply));
    snprintf(outcome->error, sizeof(outcome->error), "%s", reply->type == REDIS_REPLY_ERROR ? reply->str : "");
}

enum { ARGS = 24 };

static struct outcome run(struct fixture *fixture, enum script_id script, const char *const words[ARGS])
{
    struct outcome outcome = {.fixture = fixture};
    struct script_arg args[ARGS];
    struct script_call call = {.script = &scripts[script], .prefix = PREFIX, .args = args};

    for (; call.count < ARGS && words[call.count]; call.count++)
        args[call.count] = SCRIPT_TEXT(words[call.count]);
    assert_int_equal(script_run(fixture->redis, &call, on_outcome, &outcome, NULL), 0);
    assert_int_equal(outcome.times, 0);
    WAIT_UNTIL(fixture, outcome.times);
    return outcome;
}

/* Valid arguments only; test_scripts_*.py test what the replies mean. NULL: any reply except an error. */
/* clang-format off */
static const struct {
    const char *name;
    enum script_id script;
    const char *args[ARGS];
    const char *word;
} cases[] = {
    { "SUBMIT takes a new task", SCRIPT_SUBMIT, {"public.new", "hash", "{\"urls\":[]}", "2", "60000", "10", "60000", "10", ""}, "NEW" },
    { "SUBMIT recognises it", SCRIPT_SUBMIT, {"public.new", "hash", "{\"urls\":[]}", "2", "60000", "10", "60000", "10", ""}, "SAME" },
    { "BEGIN of an unknown task is lost", SCRIPT_BEGIN, {"public.none", "1.a.1", "call", "1", "30000", "{}"}, "LOST" },
    { "EMIT of an unknown task is lost", SCRIPT_EMIT, {"public.none", "1.a.1", "1", "{}", ""}, "LOST" },
    { "RENEW of an unknown task is lost", SCRIPT_RENEW, {"30000", "public.none", "1.a.1"}, "LOST" },
    { "FINISH of an unknown task is lost", SCRIPT_FINISH, {"public.none", "1.a.1", "done", "known", "0", ""}, "LOST" },
    { "CANCEL of an unknown task finds none", SCRIPT_CANCEL, {"public.none", "any"}, "NONE" },
    { "READ of an unknown task finds none", SCRIPT_READ, {"public.none", "1"}, "NONE" },
    { "STATUS of an unknown task finds none", SCRIPT_STATUS, {"public.none"}, "NONE" },
    { "ERASE of an unknown task finds none", SCRIPT_ERASE, {"public.none"}, "NONE" },
    { "CANCEL ends a task that waits", SCRIPT_CANCEL, {"public.new", "any"}, "CANCELLED"},
    { "CLAIM of an empty queue has no job", SCRIPT_CLAIM, {"worker", "30000", "4", "nonce", "3", "m"}, NULL },
    { "REAP of no lease counts", SCRIPT_REAP, {"2000", "32", "0"}, NULL },
    { "PLACES of an unknown task counts", SCRIPT_PLACES, {"1", "public.none"}, NULL },
    { "AUDIT of an empty index is over", SCRIPT_AUDIT, {"worker", "60000", "10"}, NULL },
    { "PAUSE undone says so", SCRIPT_PAUSE, {"0"}, "RESUMED" },
    { "GOVERN without limits grants", SCRIPT_GOVERN, {"worker", "1000", "1", "1", "m", "0", "0", "1", "0"}, NULL },
    { "QUEUE of an empty queue counts", SCRIPT_QUEUE, {NULL}, NULL },
    { "TASKS lists tasks", SCRIPT_TASKS, {"ended", "", "10", ""}, "TASKS" },
    { "RETRY of an unknown task finds none", SCRIPT_RETRY, {"public.none", "60000"}, "NONE" },
    { "STORY of an unknown task finds none", SCRIPT_STORY, {"public.none"}, "NONE" },
    { "PROCESSES lists none", SCRIPT_PROCESSES, {NULL}, "PROCESSES"},
    { "LIMIT lets a new client pass", SCRIPT_LIMIT, {"600"}, "OK" },
    { "PRESENCE removes a process", SCRIPT_PRESENCE, {"host:1", "0"}, "OK" },
    { "TAILS names an unknown task", SCRIPT_TAILS, {"public.none", "1", "0"}, NULL },
    { "SUBMIT_ORDER takes the tasks of an order", SCRIPT_SUBMIT_ORDER, {"o", "2", "60000", "10", "60000", "10", "", "1", "0", "", "", "0", "public.body", "", "0", "1000", "60000", "public.o.0", "hash", "{\"urls\":[]}", "", ""}, "ACCEPTED" },
    { "MINE lists tasks", SCRIPT_MINE, {"public", "all", "", "10"}, "MINE" },
    { "DELIVERY is noted", SCRIPT_DELIVERY, {"public.body", "o", "unanswered", "1000"}, "OK" },
    { "LEASE of an empty queue has no entry", SCRIPT_LEASE, {"copies", "10", "4", "60000", "nonce"}, NULL },
    { "SETTLE of an unknown picture says so", SCRIPT_SETTLE, {"copies", "00", "nonce.1", "host"}, "ERASED" },
    { "UPLOAD may begin", SCRIPT_UPLOAD, {"", "0", "10", "1000", "60000", "", "", "", "", "", ""}, "OK" },
    { "UPLOAD of a stored image is new", SCRIPT_UPLOAD, {"ab", "5", "0", "0", "60000", "20261207/x", "9999999999999", "image/png", "15", "15", ""}, "NEW" },
    { "ERASE_UPLOAD names the object first", SCRIPT_ERASE_UPLOAD, {"ab", ""}, "NAMES" },
    { "INPUTS finds some", SCRIPT_INPUTS, {"60000", "ab", "none"}, "OK" },
    { "PICTURE of an unknown one finds none", SCRIPT_PICTURE, {"00", "20261207"}, "NONE" },
    { "ERASE_PICTURE of an unknown one says so", SCRIPT_ERASE_PICTURE, {"00", "20261207", "public"}, "UNKNOWN" },
    { "IDENTIFY takes the first storage", SCRIPT_IDENTIFY, {"directory x", "directory"}, "SAME" },
    { "LEASE of webhooks has no entry", SCRIPT_LEASE, {"webhooks", "10", "4", "60000", "nonce"}, NULL },
    { "SETTLE of an unknown webhook says so", SCRIPT_SETTLE, {"webhooks", "00", "nonce.1", "delivered", "0", "0", "200", "5", "delivered"}, "ERASED" },
    { "WEBHOOK of an unknown task finds none", SCRIPT_WEBHOOK, {"public.none"}, "NONE" },
    { "WEBHOOKS lists none", SCRIPT_WEBHOOKS, {"10", "10"}, NULL },
    { "RESEND of an unknown task finds none", SCRIPT_RESEND, {"public.none", "0"}, "NONE" },
    { "RESEND of all failed ones counts", SCRIPT_RESEND, {"", "10"}, "RESENT" },
    { "WEBHOOK_TEST owes a sample", SCRIPT_WEBHOOK_TEST, {"public.t", "https://a.example/", "1", "{}"}, "OK" },
    { "RESERVE without limits reserves", SCRIPT_RESERVE, {"5000", "c", "USD", "5", "0", "0", "0", "0", "1", "r", "c.t"}, "OK" },
    { "CHARGE frees a reservation", SCRIPT_CHARGE, {"r", ""}, "OK" },
    { "DEBTS without debts returns none", SCRIPT_DEBTS, {"100"}, "OK" },
    { "HELD of an unknown task answers", SCRIPT_HELD, {"c.t", "r"}, "HELD" },
    { "MONEY_AUDIT without reservations is over", SCRIPT_MONEY_AUDIT, {"0", "100"}, "OK" },
    { "LEDGER of an unknown client answers", SCRIPT_LEDGER, {"", "c"}, "LEDGER" },
    { "USAGE of a day without tasks answers", SCRIPT_USAGE, {"20261122", ""}, "USAGE" },
    { "READY says so", SCRIPT_READY, {NULL}, "READY" },
};
/* clang-format on */

static void every_script_compiles_and_answers(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    bool seen[SCRIPT_COUNT] = {false};

    (void)fixture_ask(f, REDIS_WORDS("FLUSHALL"));
    (void)fixture_ask(f, REDIS_WORDS("SCRIPT", "FLUSH"));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct outcome outcome = run(f, cases[i].script, cases[i].args);

        print_message("  %s\n", cases[i].name);
        assert_int_equal(outcome.err, 0);
        assert_string_equal(outcome.error, "");
        if (cases[i].word)
            assert_string_equal(outcome.word, cases[i].word);
        seen[cases[i].script] = true;
    }
    for (int i = 0; i < SCRIPT_COUNT; i++)
        assert_true(seen[i]);
    fixture_deinit(f);
}

static void the_sha1_matches_the_embedded_text(void **state)
{
    struct fixture *f = redis_world_begin(*state);

    for (int i = 0; i < SCRIPT_COUNT; i++) {
        struct answer answer = {.fixture = f};

        assert_int_equal(strlen(scripts[i].body), scripts[i].len);
        assert_int_equal(
            redis_send_words(f->redis, REDIS_WORDS("SCRIPT", "LOAD", scripts[i].body), on_answer, &answer, NULL), 0);
        WAIT_UNTIL(f, answer.times);
        assert_string_equal(answer.text, scripts[i].sha1);
    }
    fixture_deinit(f);
}

static void unknown_scripts_are_sent_again(void **state)
{
    static const char *const no_args[ARGS] = {NULL};
    struct fixture *f = redis_world_begin(*state);

    assert_string_equal(run(f, SCRIPT_READY, no_args).word, "READY");
    (void)fixture_ask(f, REDIS_WORDS("SCRIPT", "FLUSH"));
    assert_string_equal(run(f, SCRIPT_READY, no_args).word, "READY");
    fixture_deinit(f);
}

static void arguments_may_contain_any_byte(void **state)
{
    static const char odd[] = "public.\0 \r\n\xff";
    const struct script_arg args[] = {
        {odd, sizeof(odd) - 1},
        {"",  0              }
    };
    struct script_call call = {.script = &scripts[SCRIPT_STATUS], .prefix = PREFIX, .args = args, .count = 2};
    struct fixture *f = redis_world_begin(*state);
    struct outcome outcome = {.fixture = f};

    (void)fixture_ask(f, REDIS_WORDS("SCRIPT", "FLUSH"));
    assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, NULL), 0);
    WAIT_UNTIL(f, outcome.times);
    assert_string_equal(outcome.word, "NONE");
    fixture_deinit(f);
}

static void too_many_arguments_are_refused(void **state)
{
    struct script_call call = {.script = &scripts[SCRIPT_RENEW], .prefix = PREFIX, .count = SCRIPT_ARGS_MAX + 1};
    struct fixture *f = redis_world_begin(*state);

    assert_int_equal(script_run(f->redis, &call, on_outcome, NULL, NULL), ERR_TOO_LONG);
    fixture_deinit(f);
}

static void a_run_can_be_cancelled_before_and_after_noscript(void **state)
{
    struct script_call call = {.script = &scripts[SCRIPT_READY], .prefix = PREFIX};
    struct fixture *f = redis_world_begin(*state);
    struct outcome outcome = {.fixture = f};

    (void)fixture_ask(f, REDIS_WORDS("SCRIPT", "FLUSH"));
    for (int turns = 0; turns < 6; turns++) {
        struct answer next = {.fixture = f};
        struct script_run *handle;

        outcome.times = 0;
        assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, &handle), 0);
        for (int i = 0; i < turns && !outcome.times; i++)
            fixture_turn(f);
        if (!outcome.times)
            script_cancel(handle);
        outcome.times = 0;
        assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("SCRIPT", "FLUSH"), on_answer, &next, NULL), 0);
        WAIT_UNTIL(f, next.times);
        assert_int_equal(outcome.times, 0);
    }
    fixture_deinit(f);
}

static void destroying_the_client_frees_its_runs(void **state)
{
    struct script_call call = {.script = &scripts[SCRIPT_READY], .prefix = PREFIX};
    struct fixture *f = redis_world_begin(*state);
    struct outcome outcome = {.fixture = f};
    struct script_run *cancelled;

    assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, NULL), 0);
    assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, &cancelled), 0);
    script_cancel(cancelled);
    f->redis = redis_destroy(f->redis);
    fixture_deinit(f);
    assert_int_equal(outcome.times, 0); /* the leak checker checks the rest */
}

static void a_lost_connection_ends_a_run(void **state)
{
    struct script_call call = {.script = &scripts[SCRIPT_READY], .prefix = PREFIX};
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);
    struct outcome outcome = {.fixture = f};

    redis_server_stop(world->server);
    assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, NULL), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(outcome.err, ERR_LOST);
    assert_int_equal(outcome.times, 1);
    assert_int_equal(script_run(f->redis, &call, on_outcome, &outcome, NULL), ERR_NOT_READY);
    redis_server_start(world->server);
    fixture_deinit(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_script_compiles_and_answers),
        FIXTURE_TEST(the_sha1_matches_the_embedded_text),
        FIXTURE_TEST(unknown_scripts_are_sent_again),
        FIXTURE_TEST(arguments_may_contain_any_byte),
        FIXTURE_TEST(too_many_arguments_are_refused),
        FIXTURE_TEST(a_run_can_be_cancelled_before_and_after_noscript),
        FIXTURE_TEST(destroying_the_client_frees_its_runs),
        FIXTURE_TEST(a_lost_connection_ends_a_run),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
