#include "tests/support/alloc_failure.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <search.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "common/base/backoff.h"
#include "common/base/err.h"

/* The linker's names of the original functions (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void __real_free(void *block);
int __real_event_add(struct event *event, const struct timeval *timeout);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void __wrap_free(void *block);
int __wrap_event_add(struct event *event, const struct timeval *timeout);
int64_t __wrap_backoff_delay_ms(const struct backoff *backoff, int attempt, double dice);

/* Global: the tests have one process and one thread. */
static struct {
    bool armed, paused, spare_curl;
    int first, times, seen, failed;
    long live;
    char label[160];
} plan;

static bool is_due(void)
{
    if (!plan.armed || plan.paused)
        return false;
    plan.seen++;
    if (!plan.first || plan.seen < plan.first || plan.failed >= plan.times)
        return false;
    plan.failed++;
    return true;
}

static void *note(void *block)
{
    plan.live += block != NULL;
    return block;
}

void *__wrap_malloc(size_t size)
{
    return is_due() ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_due() ? NULL : note(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    void *block = is_due() ? NULL : __real_realloc(old, size);

    plan.live += block && !old;
    return block;
}

char *__wrap_strdup(const char *text)
{
    return is_due() ? NULL : note(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
    return is_due() ? NULL : note(__real_strndup(text, len));
}

/* The C library allocates and frees a tree's nodes, so they are not counted. */
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
    return is_due() ? NULL : __real_tsearch(key, root, compare);
}

void __wrap_free(void *block)
{
    plan.live -= block != NULL;
    __real_free(block);
}

/* libcurl's allocator. A block that may not fail is counted too, because it is freed like the others. */
static bool pause_for_curl(void)
{
    bool armed = plan.armed;

    plan.armed = armed && !plan.spare_curl;
    return armed;
}

static void *curl_malloc(size_t size)
{
    bool armed = pause_for_curl();
    void *block = __wrap_malloc(size);

    plan.armed = armed;
    return block;
}

static void *curl_calloc(size_t count, size_t size)
{
    bool armed = pause_for_curl();
    void *block = __wrap_calloc(count, size);

    plan.armed = armed;
    return block;
}

static void *curl_realloc(void *old, size_t size)
{
    bool armed = pause_for_curl();
    void *block = __wrap_realloc(old, size);

    plan.armed = armed;
    return block;
}

static char *curl_strdup(const char *text)
{
    bool armed = pause_for_curl();
    char *block = __wrap_strdup(text);

    plan.armed = armed;
    return block;
}

void alloc_failure_spare_curl(bool spare)
{
    plan.spare_curl = spare;
}

static void on_abort(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, plan.label, strlen(plan.label));
}

/* Code that found no memory retries after one or two seconds, or reconnects after a backoff. Tests skip these delays. */
int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
    static const struct timeval soon = {.tv_usec = 1000};
    bool tries_again = timeout && (timeout->tv_sec == 1 || timeout->tv_sec == 2) && !timeout->tv_usec;

    return __real_event_add(event, tries_again ? &soon : timeout);
}

int64_t __wrap_backoff_delay_ms(const struct backoff *backoff, int attempt, double dice)
{
    (void)backoff;
    (void)attempt;
    (void)dice;
    return 1;
}

static void ignore(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

void alloc_failure_init(void)
{
    event_set_log_callback(ignore);
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, __wrap_free, curl_realloc, curl_strdup, curl_calloc))
        _exit(1);
#if HIREDIS_MAJOR >= 1
    hiredisSetAllocators(&(hiredisAllocFuncs){
        .mallocFn = __wrap_malloc,
        .callocFn = __wrap_calloc,
        .reallocFn = __wrap_realloc,
        .strdupFn = __wrap_strdup,
        .freeFn = __wrap_free,
    });
#endif
    signal(SIGABRT, on_abort);
}

void alloc_failure_begin(int first, int times)
{
    plan.armed = true;
    plan.first = times == ALLOC_NONE ? 0 : first;
    plan.times = times;
    plan.seen = plan.failed = 0;
}

int alloc_failure_end(void)
{
    plan.armed = false;
    return plan.seen;
}

void alloc_failure_pause(bool pause)
{
    plan.paused = pause;
}

int alloc_failure_count(void)
{
    return plan.failed;
}

long alloc_failure_live(void)
{
    return plan.live;
}

void alloc_failure_label(const char *scenario, int first, int times)
{
    plan.label[0] = '\0';
    if (scenario)
        snprintf(plan.label, sizeof(plan.label), "in \"%s\", allocation %d failing %s\n", scenario, first,
                 times == ALLOC_NONE       ? "never"
                 : times == ALLOC_ONCE     ? "once"
                 : times == ALLOC_FOR_EVER ? "and all after it"
                                           : "and some after it");
}

int alloc_failure_teardown(void **state)
{
    (void)state;
    (void)alloc_failure_end();
    print_error("%s", plan.label);
    plan.label[0] = '\0';
    return 0;
}

/* Returns the number of allocations. */
static int run_once(const struct alloc_scenario *scenario, int first, int times)
{
    long live = alloc_failure_live();
    int err, seen;

    alloc_failure_label(scenario->name, first, times);
    alloc_failure_begin(first, times);
    err = scenario->run();
    seen = alloc_failure_end();
    if (alloc_failure_live() != live)
        fail_msg("%ld blocks are left", alloc_failure_live() - live);
    if (!alloc_failure_count())
        assert_int_equal(err, 0);
    else if (err || !scenario->forgives)
        assert_int_equal(err, ERR_NO_MEMORY);
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

void alloc_failure_try_all(const struct alloc_scenario *scenario)
{
    int count = run_once(scenario, 0, ALLOC_NONE);

    assert_true(count > 0);
    for (int n = 1; n <= count; n++) {
        run_once(scenario, n, ALLOC_ONCE);
        assert_int_equal(alloc_failure_count(), 1);
        run_once(scenario, n, ALLOC_FOR_EVER);
    }
    assert_int_equal(run_once(scenario, 0, ALLOC_NONE), count);
}
