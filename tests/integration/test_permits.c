/* A worker's permits and circuit breaker on a real Redis. A request for permits survives a lost connection, and the result of a call is
 * reported unless it is outdated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/redis_world.h"
#include "worker/account/governor.h"
#include "worker/account/probe.h"

enum { NEVER_MS = 3600 * 1000 };

#define GOVERNOR "arkrelay:{account}:governor"

struct permits {
    struct redis_world *world;
    struct governor *governor;
    int answers, granted;
    int confirmed, probes;
    bool first;
    char probed[64];
};

static void on_granted(int granted, int64_t wait_ms, void *arg)
{
    struct permits *permits = arg;

    (void)wait_ms;
    permits->answers++;
    permits->granted = granted;
}

static void on_idle(void *arg)
{
    (void)arg;
}

static void on_probe(const char *model, void *arg)
{
    struct permits *permits = arg;

    permits->probes++;
    (void)snprintf(permits->probed, sizeof(permits->probed), "%s", model);
}

/* A job, reduced to its permit. */
struct holder {
    struct permits *permits;
    struct permit permit;
};

static void on_confirmed(struct permit *permit, bool first)
{
    struct permits *permits = ((struct holder *)(void *)((char *)permit - offsetof(struct holder, permit)))->permits;

    permits->confirmed++;
    permits->first = first;
}

/* A client that is not connected yet, and a governor that does not retry by itself. */
static struct fixture *begin(struct permits *permits, struct redis_world *world)
{
    struct fixture *f = &world->fixture;

    fixture_init(f, redis_world_path_url(world, ""));
    fixture_connect(f);
    *permits = (struct permits){.world = world};
    permits->governor = governor_create(&(struct governor_config){.loop = f->loop,
                                                                  .redis = f->redis,
                                                                  .worker = "w1",
                                                                  .ttl_ms = NEVER_MS,
                                                                  .again_ms = NEVER_MS,
                                                                  .model = "m",
                                                                  .images_per_call = 1,
                                                                  .on_granted = on_granted,
                                                                  .on_idle = on_idle,
                                                                  .on_probe = on_probe,
                                                                  .on_confirmed = on_confirmed,
                                                                  .arg = permits});
    assert_non_null(permits->governor);
    return f;
}

static void end(struct permits *permits)
{
    governor_destroy(permits->governor);
    fixture_deinit(&permits->world->fixture);
}

static void a_request_made_before_redis_is_ready_is_sent_later(void **state)
{
    struct permits permits;
    struct fixture *f = begin(&permits, *state);

    governor_ask(permits.governor, 3);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(permits.answers, 0);
    governor_resume(permits.governor);
    WAIT_UNTIL(f, permits.answers);
    assert_int_equal(permits.granted, 3);
    end(&permits);
}

static void a_request_whose_connection_breaks_is_answered_and_can_be_repeated(void **state)
{
    struct redis_world *world = *state;
    struct permits permits;
    struct fixture *f = begin(&permits, world);

    WAIT_UNTIL(f, f->ready);
    redis_server_stop(world->server);
    governor_ask(permits.governor, 2);
    WAIT_UNTIL(f, permits.answers);
    assert_int_equal(permits.granted, 0);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    governor_ask(permits.governor, 2);
    WAIT_UNTIL(f, permits.answers == 2);
    assert_int_equal(permits.granted, 2);
    end(&permits);
}

static void nothing_is_sent_if_nothing_is_pending(void **state)
{
    struct permits permits;
    struct fixture *f = begin(&permits, *state);

    WAIT_UNTIL(f, f->ready);
    governor_resume(permits.governor);
    assert_true(governor_is_idle(permits.governor));
    end(&permits);
}

/* -- results of calls */

/* Connected, with `count` permits for tasks of the model `m`. */
static struct fixture *begin_holding(struct permits *permits, struct redis_world *world, struct holder *holders,
                                     int count)
{
    struct fixture *f = begin(permits, world);

    WAIT_UNTIL(f, f->ready);
    (void)fixture_ask(f, REDIS_WORDS("FLUSHALL"));
    governor_ask(permits->governor, count);
    WAIT_UNTIL(f, permits->answers);
    assert_int_equal(permits->granted, count);
    for (int i = 0; i < count; i++) {
        holders[i] = (struct holder){.permits = permits};
        governor_take(permits->governor, &holders[i].permit);
        governor_book(permits->governor, &holders[i].permit, "m", 1);
    }
    governor_claimed(permits->governor);
    permits->answers = 0;
    return f;
}

static bool note(struct holder *holder, enum account_news news, int64_t began_ms)
{
    return governor_note(holder->permits->governor, &holder->permit,
                         &(struct call_note){.news = news,
                                             .asks_first = true,
                                             .began_ms = began_ms,
                                             .took_ms = 1,
                                             .problem = PROBLEM_ARK_UNAUTHORIZED,
                                             .why = "why"});
}

static void release(struct holder *holders, int count)
{
    for (int i = 0; i < count; i++)
        governor_release(holders[i].permits->governor, &holders[i].permit);
}

/* Requests a permit, which also updates the worker's view of Redis. Returns the number of permits granted. */
static int ask(struct fixture *f, struct permits *permits)
{
    int answers = permits->answers;

    governor_ask(permits->governor, 1);
    WAIT_UNTIL(f, permits->answers > answers);
    if (permits->granted)
        governor_return(permits->governor, permits->granted);
    return permits->granted;
}

static void set(struct fixture *f, const char *field, const char *value)
{
    (void)fixture_ask(f, REDIS_WORDS("HSET", GOVERNOR, field, value));
}

static const char *get(struct fixture *f, const char *field)
{
    static struct answer answer;

    answer = fixture_ask(f, REDIS_WORDS("HGET", GOVERNOR, field));
    return answer.text;
}

/* Another worker has opened the breaker of this scope. No probe is due. */
static void open_elsewhere(struct fixture *f, const char *scope)
{
    char field[32];
    const char *const fields[] = {"state", "open", "code",     "ark_unauthorized", "why",  "",
                                  "since", "1",    "probe_at", "9999999999999",    "wait", "1000"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i += 2) {
        (void)snprintf(field, sizeof(field), "%s%s", scope, fields[i]);
        set(f, field, fields[i + 1]);
    }
}

static void the_first_call_to_find_the_account_closed_is_confirmed_as_first(void **state)
{
    struct permits permits;
    struct holder holders[2];
    struct fixture *f = begin_holding(&permits, *state, holders, 2);

    assert_true(note(&holders[0], NEWS_ACCOUNT_CLOSED, clock_monotonic_ms()));
    assert_true(governor_is_blocked(permits.governor, "m"));
    assert_false(note(&holders[1], NEWS_ACCOUNT_CLOSED, clock_monotonic_ms())); /* this worker knows it already */
    WAIT_UNTIL(f, permits.confirmed);
    assert_true(permits.first);
    assert_string_equal(get(f, "state"), "open");
    assert_int_equal(ask(f, &permits), 0);
    release(holders, 2);
    end(&permits);
}

/* Redis sent the reply before the report of the closed model arrived. */
static void a_reply_to_an_earlier_report_does_not_reopen_the_model(void **state)
{
    struct permits permits;
    struct holder holders[2];
    struct fixture *f = begin_holding(&permits, *state, holders, 2);

    set(f, "m run", "2");
    governor_ask(permits.governor, 1);
    assert_true(note(&holders[0], NEWS_MODEL_CLOSED, clock_monotonic_ms()));
    WAIT_UNTIL(f, permits.answers);
    governor_return(permits.governor, permits.granted);
    assert_true(governor_is_blocked(permits.governor, "m"));
    assert_false(note(&holders[1], NEWS_MODEL_CLOSED, clock_monotonic_ms()));
    WAIT_UNTIL(f, permits.confirmed);
    assert_true(permits.first);
    release(holders, 2);
    end(&permits);
}

static void a_model_that_another_worker_closed_is_not_confirmed_as_first(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_holding(&permits, *state, &holder, 1);

    open_elsewhere(f, "m ");
    assert_true(note(&holder, NEWS_MODEL_CLOSED, clock_monotonic_ms()));
    WAIT_UNTIL(f, permits.confirmed);
    assert_false(permits.first);
    release(&holder, 1);
    end(&permits);
}

static void a_permit_released_before_the_answer_gets_no_confirmation(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_holding(&permits, *state, &holder, 1);

    assert_true(note(&holder, NEWS_MODEL_CLOSED, clock_monotonic_ms()));
    release(&holder, 1);
    assert_int_equal(ask(f, &permits), 1); /* for other models */
    assert_int_equal(permits.confirmed, 0);
    end(&permits);
}

static void a_confirmation_waits_until_redis_is_back(void **state)
{
    struct redis_world *world = *state;
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_holding(&permits, world, &holder, 1);

    redis_server_stop(world->server);
    assert_true(note(&holder, NEWS_ACCOUNT_CLOSED, clock_monotonic_ms()));
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(permits.confirmed, 0);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    governor_resume(permits.governor);
    WAIT_UNTIL(f, permits.confirmed);
    assert_true(permits.first);
    assert_string_equal(get(f, "state"), "open");
    release(&holder, 1);
    end(&permits);
}

static void calls_begun_before_an_outage_do_not_end_it(void **state)
{
    struct permits permits;
    struct holder holders[3];
    int64_t before = clock_monotonic_ms() - 10;
    struct fixture *f = begin_holding(&permits, *state, holders, 3);

    open_elsewhere(f, "");
    assert_int_equal(ask(f, &permits), 0);
    (void)note(&holders[0], NEWS_ACCEPTED, before);
    (void)note(&holders[1], NEWS_UNREACHABLE, before);
    assert_int_equal(ask(f, &permits), 0);
    assert_string_equal(get(f, "state"), "open");
    (void)note(&holders[2], NEWS_ACCEPTED, clock_monotonic_ms());
    assert_int_equal(ask(f, &permits), 1);
    assert_string_equal(get(f, "state"), "");
    release(holders, 3);
    end(&permits);
}

/* Redis compares the call with the start of the outage, because the worker may not know of the outage yet. */
static void a_success_of_a_worker_unaware_of_the_outage_does_not_end_it(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_holding(&permits, *state, &holder, 1);

    set(f, "m run", "2");
    assert_int_equal(ask(f, &permits), 1); /* from now on successes are reported */
    open_elsewhere(f, "m ");
    set(f, "m since", "9999999999999");
    (void)note(&holder, NEWS_ACCEPTED, clock_monotonic_ms());
    (void)ask(f, &permits);
    assert_string_equal(get(f, "m state"), "open");
    release(&holder, 1);
    end(&permits);
}

static void a_success_resets_the_count_of_failures(void **state)
{
    struct permits permits;
    struct holder holders[4];
    struct fixture *f = begin_holding(&permits, *state, holders, 4);

    (void)note(&holders[0], NEWS_UNKNOWN, clock_monotonic_ms());
    (void)note(&holders[1], NEWS_UNKNOWN, clock_monotonic_ms());
    assert_int_equal(ask(f, &permits), 1);
    assert_string_equal(get(f, "m run"), "2");
    (void)note(&holders[2], NEWS_ACCEPTED, clock_monotonic_ms());
    (void)ask(f, &permits);
    assert_string_equal(get(f, "m run"), "");
    (void)note(&holders[3], NEWS_UNKNOWN, clock_monotonic_ms());
    (void)ask(f, &permits);
    assert_string_equal(get(f, "m run"), "1");
    release(holders, 4);
    end(&permits);
}

static void one_probe_reports_on_the_account_and_on_its_model(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_holding(&permits, *state, &holder, 1);

    open_elsewhere(f, "");
    open_elsewhere(f, "m ");
    set(f, "probe_at", "1");
    set(f, "m probe_at", "1");
    set(f, "m wanted_at", "9999999999999");
    (void)ask(f, &permits);
    assert_int_equal(permits.probes, 2); /* the worker makes one call for both */
    assert_string_equal(permits.probed, "m");
    governor_probed(permits.governor, &(struct probe_outcome){.model = "m",
                                                              .account_good = true,
                                                              .model_good = false,
                                                              .problem = PROBLEM_ARK_MODEL_UNAVAILABLE,
                                                              .why = "not open"});
    (void)ask(f, &permits);
    assert_string_equal(get(f, "state"), "half_open");
    assert_string_equal(get(f, "m state"), "open");
    assert_string_equal(get(f, "m why"), "not open");
    release(&holder, 1);
    end(&permits);
}

/* The model is half open, and this worker gets the one trial call. */
static struct fixture *begin_trial(struct permits *permits, struct redis_world *world, struct holder *holder)
{
    struct fixture *f = begin_holding(permits, world, holder, 1);

    release(holder, 1);
    open_elsewhere(f, "m ");
    set(f, "m state", "half_open");
    governor_ask(permits->governor, 1);
    WAIT_UNTIL(f, permits->answers);
    return f;
}

static void an_unused_trial_is_returned(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_trial(&permits, *state, &holder);
    struct model_limit limit;

    assert_int_equal(governor_limits(permits.governor, &limit, 1), 1);
    assert_true(limit.trial);
    assert_string_not_equal(get(f, "m trial_until"), "");
    governor_claimed(permits.governor);
    governor_return(permits.governor, permits.granted);
    governor_resume(permits.governor);
    WAIT_UNTIL(f, governor_is_idle(permits.governor));
    assert_string_equal(get(f, "m trial_until"), "");
    end(&permits);
}

static void reports_of_other_calls_do_not_end_a_trial(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_trial(&permits, *state, &holder);
    struct model_limit limit;

    governor_probed(permits.governor,
                    &(struct probe_outcome){.model = "other", .why = ""}); /* a report that requests no permit */
    (void)fixture_ask(f, REDIS_WORDS("PING"));
    (void)fixture_ask(f, REDIS_WORDS("PING"));
    assert_int_equal(governor_limits(permits.governor, &limit, 1), 1);
    assert_true(limit.trial);
    governor_take(permits.governor, &holder.permit);
    governor_book(permits.governor, &holder.permit, "m", 1);
    assert_true(holder.permit.trial);
    governor_claimed(permits.governor);
    (void)note(&holder, NEWS_ACCEPTED, clock_monotonic_ms());
    assert_int_equal(ask(f, &permits), 1);
    assert_string_equal(get(f, "m state"), "");
    release(&holder, 1);
    end(&permits);
}

static void a_trial_without_a_result_is_returned_with_its_permit(void **state)
{
    struct permits permits;
    struct holder holder;
    struct fixture *f = begin_trial(&permits, *state, &holder);

    governor_take(permits.governor, &holder.permit);
    governor_book(permits.governor, &holder.permit, "m", 1);
    governor_claimed(permits.governor);
    assert_false(note(&holder, NEWS_NONE, clock_monotonic_ms()));
    release(&holder, 1);
    governor_resume(permits.governor);
    WAIT_UNTIL(f, governor_is_idle(permits.governor));
    assert_string_equal(get(f, "m trial_until"), "");
    assert_string_equal(get(f, "m state"), "half_open");
    end(&permits);
}

/* -- permits */

static void the_first_report_drops_permits_of_an_earlier_worker_of_this_name(void **state)
{
    struct permits permits;
    struct fixture *f = begin(&permits, *state);

    WAIT_UNTIL(f, f->ready);
    (void)fixture_ask(f, REDIS_WORDS("FLUSHALL"));
    (void)fixture_ask(f, REDIS_WORDS("HSET", "arkrelay:{account}:holders", "w1\tother", "7"));
    (void)fixture_ask(f, REDIS_WORDS("ZADD", "arkrelay:{account}:seen", "9999999999999", "w1"));
    (void)ask(f, &permits);
    assert_string_equal(fixture_ask(f, REDIS_WORDS("HGET", "arkrelay:{account}:holders", "w1\tother")).text, "");
    end(&permits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_request_made_before_redis_is_ready_is_sent_later),
        FIXTURE_TEST(a_request_whose_connection_breaks_is_answered_and_can_be_repeated),
        FIXTURE_TEST(nothing_is_sent_if_nothing_is_pending),
        FIXTURE_TEST(the_first_call_to_find_the_account_closed_is_confirmed_as_first),
        FIXTURE_TEST(a_reply_to_an_earlier_report_does_not_reopen_the_model),
        FIXTURE_TEST(a_model_that_another_worker_closed_is_not_confirmed_as_first),
        FIXTURE_TEST(a_permit_released_before_the_answer_gets_no_confirmation),
        FIXTURE_TEST(a_confirmation_waits_until_redis_is_back),
        FIXTURE_TEST(calls_begun_before_an_outage_do_not_end_it),
        FIXTURE_TEST(a_success_of_a_worker_unaware_of_the_outage_does_not_end_it),
        FIXTURE_TEST(a_success_resets_the_count_of_failures),
        FIXTURE_TEST(one_probe_reports_on_the_account_and_on_its_model),
        FIXTURE_TEST(an_unused_trial_is_returned),
        FIXTURE_TEST(reports_of_other_calls_do_not_end_a_trial),
        FIXTURE_TEST(a_trial_without_a_result_is_returned_with_its_permit),
        FIXTURE_TEST(the_first_report_drops_permits_of_an_earlier_worker_of_this_name),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
