/* From a claimed task to ARK's request, or the error that says why there is none. Uploads are read in tests/integration/test_uploads.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/models/plan.h"
#include "tests/support/builtin_catalogue.h"
#include "worker/job/input_budget.h"
#include "worker/job/plan_cache.h"
#include "worker/job/preparation.h"
#include "worker/queue/claim.h"

#define MODEL  "doubao-seedream-4-0-250828"
#define URL    "\"https://example.com/a.png\""
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UPLOAD "\"upload:" DIGEST "\""
#define PLAN   "{\"catalogue\":\"V\",\"images\":2,\"model\":\"m\",\"watermark\":true}"

static struct plan_cache plans;
static struct input_budget budget;

static struct preparation *create(void)
{
    static const struct request_defaults defaults = {.model = MODEL, .size = "2K", .max_images = 3};
    struct preparation *preparation = preparation_create(&(struct preparation_setup){
        .plans = &plans, .catalogue = builtin_catalogue(), .defaults = &defaults, .budget = &budget});

    assert_non_null(preparation);
    return preparation;
}

static int read_task(struct preparation *preparation, const char *request, const char *plan)
{
    return preparation_read(preparation, &(struct claimed_job){.id = "alice.t",
                                                               .request = request,
                                                               .request_len = strlen(request),
                                                               .plan = plan,
                                                               .plan_len = strlen(plan)});
}

static void the_plan_of_the_task_is_obeyed(void **state)
{
    struct preparation *preparation = create();
    const struct ark_request *request;

    (void)state;
    assert_int_equal(read_task(preparation, "{\"prompt\":\"p\",\"urls\":[" URL "]}", PLAN), 0);
    assert_false(preparation_has_uploads(preparation));
    assert_string_equal(preparation_plan(preparation)->model, "m");
    assert_int_equal(preparation_build(preparation), 0);
    request = preparation_request(preparation);
    assert_int_equal(request->images, 2);
    assert_int_equal(request->len, strlen(request->body));
    assert_non_null(strstr(request->body, "\"model\":\"m\""));
    assert_non_null(strstr(request->body, "\"watermark\":true"));
    assert_non_null(strstr(request->body, URL));
    preparation_destroy(preparation);
}

static void a_task_without_a_plan_is_called_as_the_worker_is_configured(void **state)
{
    struct preparation *preparation = create();

    (void)state;
    assert_int_equal(read_task(preparation, "{\"urls\":[" URL "]}", ""), 0);
    assert_string_equal(preparation_plan(preparation)->model, MODEL);
    assert_int_equal(preparation_build(preparation), 0);
    assert_int_equal(preparation_request(preparation)->images, 3);
    preparation_destroy(preparation);
}

static void the_body_can_be_taken(void **state)
{
    struct preparation *preparation = create();
    char *body;

    (void)state;
    assert_int_equal(read_task(preparation, "{\"urls\":[" URL "]}", PLAN), 0);
    assert_int_equal(preparation_build(preparation), 0);
    body = preparation_request(preparation)->body;
    preparation_request(preparation)->body = NULL;
    preparation_destroy(preparation);
    assert_int_equal(*body, '{');
    free(body);
}

static const struct {
    const char *name, *request, *plan;
    int err;
} unreadable[] = {
    {"a damaged request",                       "{\"urls\":",                                                        PLAN,            ERR_SYNTAX},
    {"an unknown field of the request",         "{\"urls\":[" URL "],\"later\":1}",                                  PLAN,            ERR_SYNTAX},
    {"a damaged plan",                          "{\"urls\":[" URL "]}",                                              "{",             ERR_SYNTAX},
    {"an unknown field of the plan",            "{\"urls\":[" URL "]}",                                              "{\"later\":1}", ERR_SYNTAX},
    {"uploads without a plan",                  "{\"urls\":[" UPLOAD "]}",                                           "",              ERR_SYNTAX},
    {"references that the model does not take", "{\"model\":\"doubao-seedream-3-0-t2i-250415\",\"urls\":[" URL "]}", "",
     ERR_RANGE                                                                                                                                  },
};

static void a_task_that_cannot_be_read_has_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(unreadable); i++) {
        struct preparation *preparation = create();
        int err = read_task(preparation, unreadable[i].request, unreadable[i].plan);

        if (err != unreadable[i].err)
            fail_msg("%s: %s", unreadable[i].name, err_text(err));
        preparation_destroy(preparation);
    }
}

static void on_opened(const struct storage_outcome *outcome, void *arg)
{
    (void)outcome;
    (void)arg;
    fail_msg("nothing was opened");
}

static void assert_not_opened(const char *plan, int err)
{
    struct preparation *preparation = create();

    assert_int_equal(read_task(preparation, "{\"urls\":[" UPLOAD "]}", plan), 0);
    assert_true(preparation_has_uploads(preparation));
    assert_int_equal(preparation_open(preparation, NULL, on_opened, NULL), err);
    preparation_destroy(preparation);
    assert_int_equal(budget.left, INPUTS_MEMORY_MAX);
}

#define PLAN_WITH(name)                                                                                                \
    "{\"catalogue\":\"V\",\"images\":2,\"model\":\"m\",\"uploads\":[\"" name "\"],\"watermark\":true}"

static void uploads_need_names_and_a_storage(void **state)
{
    (void)state;
    assert_not_opened(PLAN, ERR_SYNTAX);
    assert_not_opened(PLAN_WITH("../etc"), ERR_SYNTAX);
    assert_not_opened(PLAN_WITH("u/a"), ERR_NOT_FOUND);
}

static int set_up(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    input_budget_init(&budget, INPUTS_MEMORY_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    plan_cache_deinit(&plans);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_of_the_task_is_obeyed),
        cmocka_unit_test(a_task_without_a_plan_is_called_as_the_worker_is_configured),
        cmocka_unit_test(the_body_can_be_taken),
        cmocka_unit_test(a_task_that_cannot_be_read_has_an_error),
        cmocka_unit_test(uploads_need_names_and_a_storage),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
