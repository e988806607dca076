/* The memory for inputs: shares, waiting in order, and callbacks that release other shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/job/input_budget.h"

struct holder {
    struct input_share share;
    int granted;
    struct holder *releases; /* in its callback; may be itself */
};

static void on_granted(void *arg)
{
    struct holder *holder = arg;

    holder->granted++;
    if (holder->releases)
        input_share_release(&holder->releases->share);
}

static bool take(struct holder *holder, struct input_budget *budget, int64_t bytes)
{
    return input_share_take(&holder->share, budget, bytes, on_granted, holder);
}

static void shares_wait_in_their_order(void **state)
{
    struct input_budget budget;
    struct holder a = {.granted = 0}, b = {.granted = 0}, c = {.granted = 0}, d = {.granted = 0};

    (void)state;
    input_budget_init(&budget, 100);
    assert_true(take(&a, &budget, 60));
    assert_false(take(&b, &budget, 60));
    assert_false(take(&c, &budget, 10)); /* there would be room, but b comes first */
    assert_false(take(&d, &budget, 100));
    input_share_shrink(&a.share, 70);
    assert_int_equal(b.granted, 0);
    input_share_shrink(&a.share, 40);
    assert_int_equal(b.granted, 1);
    assert_int_equal(c.granted, 0);
    input_share_release(&a.share);
    assert_int_equal(c.granted, 1);
    input_share_release(&a.share);
    input_share_release(&b.share);
    assert_int_equal(d.granted, 0);
    input_share_release(&c.share);
    assert_int_equal(d.granted, 1);
    assert_int_equal(budget.left, 0);
    input_share_release(&d.share);
    assert_int_equal(budget.left, 100);
}

static void a_share_that_waits_can_be_released(void **state)
{
    struct input_budget budget;
    struct holder a = {.granted = 0}, b = {.granted = 0}, c = {.granted = 0};

    (void)state;
    input_budget_init(&budget, 100);
    assert_true(take(&a, &budget, 50));
    assert_false(take(&b, &budget, 60));
    assert_false(take(&c, &budget, 50));
    input_share_shrink(&b.share, 0); /* nothing to give back yet */
    input_share_release(&b.share);
    assert_int_equal(b.granted, 0);
    assert_int_equal(c.granted, 1);
    input_share_release(&a.share);
    input_share_release(&c.share);
    assert_int_equal(budget.left, 100);
}

static void callbacks_may_release(void **state)
{
    struct input_budget budget;
    struct holder a = {.granted = 0}, b = {.granted = 0}, c = {.granted = 0}, d = {.granted = 0};

    (void)state;
    input_budget_init(&budget, 100);
    assert_true(take(&a, &budget, 100));
    assert_false(take(&b, &budget, 100));
    assert_false(take(&c, &budget, 100));
    assert_false(take(&d, &budget, 100));
    b.releases = &b; /* it fails at once */
    c.releases = &d; /* it ends another job, which waits */
    input_share_release(&a.share);
    assert_int_equal(b.granted, 1);
    assert_int_equal(c.granted, 1);
    assert_int_equal(d.granted, 0);
    input_share_release(&c.share);
    assert_int_equal(budget.left, 100);
    assert_true(TAILQ_EMPTY(&budget.waiting));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_wait_in_their_order),
        cmocka_unit_test(a_share_that_waits_can_be_released),
        cmocka_unit_test(callbacks_may_release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
