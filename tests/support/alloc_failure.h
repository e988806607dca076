/* alloc_failure - makes a chosen allocation fail
 *
 * Linking this sends every allocation of our own code through here (the linker's --wrap); alloc_failure_init does the same for libevent,
 * jansson and libcurl, through their hooks. What the C library, OpenSSL and hiredis before 1.0 allocate for themselves is not seen.
 *
 *     alloc_failure_begin(3, ALLOC_FOR_EVER);   the third allocation from here on fails, and all after it
 *     ... the code under test ...
 *     seen = alloc_failure_end();               nothing fails any more
 *
 * Timers of exactly one or two seconds, which is when things are tried again, and backoffs end at once here.
 *
 * Threads: one.
 */
#ifndef TESTS_SUPPORT_ALLOC_FAILURE_H
#define TESTS_SUPPORT_ALLOC_FAILURE_H

#include <limits.h>
#include <stdbool.h>

enum { ALLOC_NONE = 0, ALLOC_ONCE = 1, ALLOC_FOR_EVER = INT_MAX };

void alloc_failure_init(void); /* before the first use of any of the libraries */

/* A transfer under way is beyond what libcurl bears: 7.88 divides by zero where it cannot note a socket. */
void alloc_failure_spare_curl(bool spare);

void alloc_failure_begin(int first, int times); /* ALLOC_NONE: only counts */
int alloc_failure_end(void);                    /* how many allocations were seen since begin */
int alloc_failure_count(void);                  /* how many of them failed */
void alloc_failure_pause(bool pause);           /* for what a test does itself: neither fails nor counts */

long alloc_failure_live(void); /* blocks that were allocated and not freed, since the program began */

/* A piece of work that is whole in itself: it frees what it took. Returns 0 or an ERR_*; asserts on what it left behind. */
struct alloc_scenario {
    const char *name;
    int (*run)(void);
    bool forgives; /* it may succeed although an allocation failed */
};

/* Lets each allocation of the scenario fail, once and with all that follow. It must fail with ERR_NO_MEMORY, lose nothing, and
 * succeed when it is run again. */
void alloc_failure_try_all(const struct alloc_scenario *scenario);

/* As cmocka's teardown: says which allocation a failed test was at. */
int alloc_failure_teardown(void **state);
void alloc_failure_label(const char *scenario, int first,
                         int times); /* what the teardown, or an abort, shows; NULL: nothing */

#endif
