/* The plan that was read last is not read again; another one is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "worker/job/plan_cache.h"

#define PLAN(model, members) "{\"catalogue\":\"V\",\"images\":1,\"model\":\"" model "\",\"watermark\":false" members "}"

/* Reads a plan from a copy that is gone afterwards, as a reply of Redis is. */
static int read_plan(struct plan_cache *cache, const char *text, const struct plan **out)
{
    size_t len = strlen(text);
    char *copy = malloc(len);
    int err;

    assert_non_null(copy);
    memcpy(copy, text, len);
    err = plan_cache_read(cache, copy, len, out);
    free(copy);
    return err;
}

static void must_read(struct plan_cache *cache, const char *text, const char *model)
{
    const struct plan *plan = NULL;

    assert_int_equal(read_plan(cache, text, &plan), 0);
    assert_string_equal(plan->model, model);
}

static void an_equal_plan_is_not_read_again(void **state)
{
    struct plan_cache cache = {.text = NULL};
    const void *root;

    (void)state;
    must_read(&cache, PLAN("a", ""), "a");
    root = cache.stored.root;
    must_read(&cache, PLAN("a", ""), "a");
    assert_ptr_equal(cache.stored.root, root);
    plan_cache_deinit(&cache);
}

static void another_plan_is_read(void **state)
{
    static const struct {
        const char *text, *model;
    } plans[] = {
        {PLAN("a", ""),                     "a"},
        {PLAN("b", ""),                     "b"},
        {PLAN("b", ",\"web_search\":true"), "b"},
        {PLAN("a", ""),                     "a"},
    };
    struct plan_cache cache = {.text = NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(plans); i++) {
        must_read(&cache, plans[i].text, plans[i].model);
        assert_int_equal(cache.stored.plan.web_search, i == 2);
    }
    plan_cache_deinit(&cache);
}

static void a_broken_plan_changes_nothing(void **state)
{
    struct plan_cache cache = {.text = NULL};
    const struct plan *plan = NULL;

    (void)state;
    assert_int_equal(read_plan(&cache, "", &plan), ERR_SYNTAX);
    assert_int_equal(read_plan(&cache, "{}", &plan), ERR_SYNTAX);
    must_read(&cache, PLAN("a", ""), "a");
    for (int i = 0; i < 2; i++)
        assert_int_equal(read_plan(&cache, PLAN("a", ",\"style\":1"), &plan), ERR_SYNTAX);
    assert_null(plan);
    must_read(&cache, PLAN("a", ""), "a");
    plan_cache_deinit(&cache);
}

static void a_text_that_is_too_long_is_not_kept(void **state)
{
    static char text[2 * PLAN_TEXT_MAX];
    struct plan_cache cache = {.text = NULL};

    (void)state;
    (void)snprintf(text, sizeof(text), "%s%*s", PLAN("a", ""), PLAN_TEXT_MAX, "");
    for (int i = 0; i < 2; i++) {
        must_read(&cache, text, "a");
        assert_null(cache.text);
    }
    must_read(&cache, PLAN("b", ""), "b");
    plan_cache_deinit(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_equal_plan_is_not_read_again),
        cmocka_unit_test(another_plan_is_read),
        cmocka_unit_test(a_broken_plan_changes_nothing),
        cmocka_unit_test(a_text_that_is_too_long_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
