/* alloc_failure - makes a chosen allocation fail
 *
 * Linked with --wrap, it intercepts every allocation of this project's code; alloc_failure_init does the same for libevent, jansson and
 * libcurl through their hooks. Allocations inside the C library, OpenSSL and hiredis before 1.0 are not intercepted.
 *
 *     alloc_failure_begin(3, ALLOC_FOR_EVER);   the third allocation from now on fails, and all later ones
 *     ... the code under test ...
 *     seen = alloc_failure_end();               no allocation fails any more
 *
 * Timers of exactly one or two seconds (retries) and backoffs fire at once.
 *
 * Threads: one.
 */
#ifndef TESTS_SUPPORT_ALLOC_FAILURE_H
#define TESTS_SUPPORT_ALLOC_FAILURE_H

#include <limits.h>
#include <stdbool.h>

enum { ALLOC_NONE = 0, ALLOC_ONCE = 1, ALLOC_FOR_EVER = INT_MAX };

void alloc_failure_init(void); /* call it before using any of the libraries */

/* Do not let allocations fail during a transfer: libcurl 7.88 divides by zero if it cannot store a socket. */
void alloc_failure_spare_curl(bool spare);

void alloc_failure_begin(int first, int times); /* ALLOC_NONE: only counts */
int alloc_failure_end(void);                    /* the number of allocations since begin */
int alloc_failure_count(void);                  /* the number of failed ones */
void alloc_failure_pause(bool pause);           /* for the test's own allocations: they neither fail nor count */

long alloc_failure_live(void); /* live blocks since the start of the program */

/* Work that frees everything it allocates. Returns 0 or an ERR_*; asserts about its results. */
struct alloc_scenario {
    const char *name;
    int (*run)(void);
    bool forgives; /* it may succeed although an allocation failed */
};

/* Runs the scenario for each of its allocations, which fails alone and then with all later ones. The scenario must return ERR_NO_MEMORY,
 * leak nothing, and succeed when it is run again. */
void alloc_failure_try_all(const struct alloc_scenario *scenario);

/* For cmocka's teardown: prints which allocation a failed test had reached. */
int alloc_failure_teardown(void **state);
void alloc_failure_label(const char *scenario, int first,
                         int times); /* what the teardown, or an abort, shows; NULL: nothing */

#endif
