/* Scopes of a worker: the news to report, what is repeated after a lost report, and when a scope is freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/account/scope.h"

static struct scope *begin(struct scope_list *list)
{
    TAILQ_INIT(list);
    assert_non_null(scopes_find(list, ""));
    return scopes_find(list, "m");
}

static void a_name_is_one_scope(void **state)
{
    struct scope_list list;
    struct scope *scope = begin(&list);

    (void)state;
    assert_ptr_equal(scopes_find(&list, "m"), scope);
    assert_ptr_not_equal(scopes_find(&list, "m2"), scope);
    assert_ptr_not_equal(scopes_find(&list, ""), scope);
    scopes_clear(&list);
}

static void the_longest_name_is_kept_whole(void **state)
{
    struct scope_list list;
    char name[SCOPE_NAME_SIZE];

    (void)state;
    (void)begin(&list);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_ptr_equal(scopes_find(&list, name), scopes_find(&list, name));
    scopes_clear(&list);
}

static int count_scopes(struct scope_list *list)
{
    const struct scope *scope;
    int found = 0;

    TAILQ_FOREACH (scope, list, link)
        found++;
    return found;
}

static void unused_scopes_are_freed_except_the_account(void **state)
{
    struct scope_list list;
    struct scope *scope = begin(&list);

    (void)state;
    scope->users = 1;
    scopes_trim(&list);
    assert_int_equal(count_scopes(&list), 2);
    scope->users = 0;
    scope->held = 1;
    scopes_trim(&list);
    assert_int_equal(count_scopes(&list), 2);
    scope->held = 0;
    scope->news.wanted = true;
    scopes_trim(&list);
    assert_int_equal(count_scopes(&list), 2);
    scope->news.wanted = false;
    for (int kept = SCOPE_FREE + 1; kept < SCOPE_STATES; kept++) {
        scope_set_state(scope, (enum scope_state)kept, 1);
        scopes_trim(&list);
        assert_int_equal(count_scopes(&list), 2);
    }
    scope_set_state(scope, SCOPE_FREE, 1);
    scopes_trim(&list);
    assert_int_equal(count_scopes(&list), 1);
    scopes_clear(&list);
}

static void the_blocked_time_starts_when_a_free_scope_is_blocked(void **state)
{
    struct scope_list list;
    struct scope *scope = begin(&list);

    (void)state;
    scope_set_state(scope, SCOPE_LIMITED, 5);
    scope_set_state(scope, SCOPE_OPEN, 10);
    scope_set_state(scope, SCOPE_PROBING, 20);
    scope_set_state(scope, SCOPE_HALF_OPEN, 30);
    assert_int_equal(scope->blocked_since_ms, 10);
    scope_set_state(scope, SCOPE_FREE, 40);
    assert_false(scope_is_blocked(scope));
    scope_set_state(scope, SCOPE_OPEN, 50);
    assert_int_equal(scope->blocked_since_ms, 50);
    scopes_clear(&list);
}

static void state_names_are_parsed(void **state)
{
    (void)state;
    assert_int_equal(scope_state_of("failing"), SCOPE_FAILING);
    assert_int_equal(scope_state_of("limited"), SCOPE_LIMITED);
    assert_int_equal(scope_state_of("open"), SCOPE_OPEN);
    assert_int_equal(scope_state_of("probing"), SCOPE_PROBING);
    assert_int_equal(scope_state_of("half_open"), SCOPE_HALF_OPEN);
    assert_int_equal(scope_state_of("what a later version says"), SCOPE_FREE);
}

static void sending_a_report_clears_the_news(void **state)
{
    struct scope_list list;
    struct scope *scope = begin(&list);

    (void)state;
    scope->news = (struct scope_news){.ok = 2, .run = 1, .why = "w"};
    scope_send(scope);
    assert_false(scope_has_news(scope));
    assert_int_equal(scope->sent.ok, 2);
    scope_sent(scope);
    scope_repeat(scope); /* no-op: the report was answered */
    assert_false(scope_has_news(scope));
    scopes_clear(&list);
}

/* Loses the report of `sent` after `since` was noted. Returns the merged news. */
static struct scope_news lose(const struct scope_news *sent, const struct scope_news *since)
{
    struct scope_list list;
    struct scope *scope = begin(&list);
    struct scope_news news;

    scope->news = *sent;
    scope_send(scope);
    scope->news = *since;
    scope_repeat(scope);
    assert_true(scope_has_news(scope));
    assert_false(scope->held_told);
    news = scope->news;
    scopes_clear(&list);
    return news;
}

static void a_lost_report_is_merged_with_newer_news(void **state)
{
    struct scope_news news =
        lose(&(struct scope_news){.ok = 2, .ok_ms = 20, .refused = 3, .pause_ms = 700, .wanted = true, .began_ms = 5},
             &(struct scope_news){.ok = 1, .ok_ms = 7, .refused = 1, .pause_ms = 500, .began_ms = 9});

    (void)state;
    assert_int_equal(news.ok, 3);
    assert_int_equal(news.ok_ms, 27);
    assert_int_equal(news.refused, 4);
    assert_int_equal(news.pause_ms, 700);
    assert_int_equal(news.began_ms, 9);
    assert_true(news.wanted);
}

static void failures_of_a_lost_report_count_unless_a_call_was_accepted_since(void **state)
{
    const struct scope_news sent = {
        .run = 2, .closing = true, .problem = PROBLEM_ARK_UNAUTHORIZED, .why = "key", .until_ms = 11, .began_ms = 5};
    struct scope_news news = lose(&sent, &(struct scope_news){.run = 0});

    (void)state;
    assert_int_equal(news.run, 2);
    assert_true(news.closing);
    assert_int_equal(news.problem, PROBLEM_ARK_UNAUTHORIZED);
    assert_string_equal(news.why, "key");
    assert_int_equal(news.until_ms, 11);
    assert_int_equal(news.began_ms, 5);

    news =
        lose(&sent, &(struct scope_news){.run = 1, .problem = PROBLEM_ARK_UNREACHABLE, .why = "route", .began_ms = 9});
    assert_int_equal(news.run, 3);
    assert_string_equal(news.why, "route"); /* the later one */
    assert_int_equal(news.began_ms, 9);

    news = lose(&sent, &(struct scope_news){.ok = 1, .began_ms = 9});
    assert_int_equal(news.run, 0);
    assert_false(news.closing);
    assert_int_equal(news.began_ms, 9);
}

static void the_result_of_a_probe_is_not_lost_with_its_report(void **state)
{
    struct scope_news news =
        lose(&(struct scope_news){.probe = PROBE_BAD, .problem = PROBLEM_ARK_UNREACHABLE, .why = "route"},
             &(struct scope_news){.ok = 0});

    (void)state;
    assert_int_equal(news.probe, PROBE_BAD);
    assert_int_equal(news.problem, PROBLEM_ARK_UNREACHABLE);
    assert_string_equal(news.why, "route");

    news = lose(&(struct scope_news){.probe = PROBE_BAD, .why = "old"}, &(struct scope_news){.probe = PROBE_GOOD});
    assert_int_equal(news.probe, PROBE_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_one_scope),
        cmocka_unit_test(the_longest_name_is_kept_whole),
        cmocka_unit_test(unused_scopes_are_freed_except_the_account),
        cmocka_unit_test(the_blocked_time_starts_when_a_free_scope_is_blocked),
        cmocka_unit_test(state_names_are_parsed),
        cmocka_unit_test(sending_a_report_clears_the_news),
        cmocka_unit_test(a_lost_report_is_merged_with_newer_news),
        cmocka_unit_test(failures_of_a_lost_report_count_unless_a_call_was_accepted_since),
        cmocka_unit_test(the_result_of_a_probe_is_not_lost_with_its_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
