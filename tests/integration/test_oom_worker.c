/* Every allocation of a worker fails once. In each case: ARK is not called more often than Redis has recorded, the task's log stays
 * complete, every lost image is reported, and the task ends when there is memory again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/models/request_defaults.h"
#include "common/redis/address.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/web/web.h"
#include "tests/support/alloc_failure.h"
#include "tests/support/builtin_catalogue.h"
#include "tests/support/fake_ark.h"
#include "tests/support/redis_server.h"
#include "worker/account/governor.h"
#include "worker/job/job.h"
#include "worker/job/plan_cache.h"
#include "worker/queue/claim.h"
#include "worker/queue/lease.h"

#define PREFIX "arkrelay:{0}:"
#define ID     "public.t"
#define MODEL  "doubao-seedream-4-0-250828"

enum { IMAGES = 3, SOME = 8, DEADLINE_S = 5, LEASE_MS = 30000 };

#define IMAGE(index)                                                                                                   \
    "data: {\"type\":\"image_generation.partial_succeeded\",\"image_index\":" #index                                   \
    ",\"url\":\"https://ark.example.com/" #index ".jpeg?signature=0123456789abcdef\",\"size\":\"2048x2048\"}\n\n"

static const char images[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: 0217\r\nConnection: close\r\n\r\n" IMAGE(0)
        IMAGE(1) IMAGE(2) "data: {\"type\":\"image_generation.completed\",\"usage\":{\"generated_images\":3}}\n\n"
                          "data: [DONE]\n\n";

static const char refusal[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Request-Id: 0217\r\n"
    "Content-Length: 78\r\nConnection: close\r\n\r\n"
    "{\"error\":{\"code\":\"InvalidParameter\",\"message\":\"size\",\"type\":\"BadRequest\"}} ";

static const char too_busy[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
                               "Content-Length: 74\r\nConnection: close\r\n\r\n"
                               "{\"error\":{\"code\":\"RateLimitExceeded.EndpointRPMExceeded\",\"message\":\"m\"}}";

/* ARK's answer, and how the job ends if no allocation fails. */
struct job_case {
    const char *name, *answer;
    struct job *(*start)(const struct job_context *context, const struct claimed_job *claimed);
    const char *state, *code;
    size_t images;
};

static const struct job_case job_cases[] = {
    {"a job",                      images,   job_start,     "done",    "",                    IMAGES},
    {"a job that ARK refuses",     refusal,  job_start,     "failed",  "ark_invalid_request", 0     },
    {"a job that ARK rate limits", too_busy, job_start,     "delayed", "",                    0     },
    {"a job that is handed back",  images,   job_hand_back, "queued",  "",                    0     },
};

static const char request[] = "{\"max_images\":3,\"urls\":[\"https://example.com/a.png\"]}";

struct world {
    struct redis_server *server;
    redisContext *inspector; /* blocking, without our client */
    char ark_url[64];
    int paid; /* recorded paid calls of all tasks so far */

    struct redis_address address;
    struct loop *loop;
    struct event *deadline;
    struct redis *redis, *waiter;
    struct lease_keeper *leases;
    struct governor *governor;
    struct web *web;
    struct claim *claim;
    struct plan_cache plans;
    struct job_context context;

    struct job *job;
    int gone, claimed, lost, room;
    bool late;

    FILE *log;       /* what was logged while stderr was diverted */
    int real_stderr; /* -1: not diverted */
    int report_failures;
};

static struct world world;

/* -- the log */

static void log_divert(void)
{
    rewind(world.log);
    assert_int_equal(ftruncate(fileno(world.log), 0), 0);
    world.real_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(fileno(world.log), STDERR_FILENO), STDERR_FILENO);
}

static void log_restore(void)
{
    if (world.real_stderr < 0)
        return;
    dup2(world.real_stderr, STDERR_FILENO);
    close(world.real_stderr);
    world.real_stderr = -1;
}

/* Nothing takes the lease away in these tests, so no line may say that it was lost. */
static void check_log_lines(void)
{
    char line[4096];

    rewind(world.log);
    while (fgets(line, sizeof(line), world.log)) {
        if (strstr(line, "lease lost"))
            fail_msg("the lease was not lost: %s", line);
        world.report_failures += strstr(line, "cannot report to Redis") != NULL;
    }
}

static int job_teardown(void **state)
{
    log_restore();
    return alloc_failure_teardown(state);
}

/* -- Redis, without our client */

static redisReply *redis_ask(const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(world.inspector, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    return reply;
}

#define redis_run(...) freeReplyObject(redis_ask(__VA_ARGS__))

static void read_field(char *out, size_t size, const char *field)
{
    redisReply *reply = redis_ask("HGET " PREFIX "task:" ID " %s", field);

    snprintf(out, size, "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
}

static int read_number(const char *field)
{
    char text[32];

    read_field(text, sizeof(text), field);
    return (int)strtol(text, NULL, 10);
}

static void submit(void)
{
    const struct script *script = &scripts[SCRIPT_SUBMIT];

    redis_run("FLUSHALL");
    redis_run("SCRIPT FLUSH");
    redis_run("EVAL %b 1 " PREFIX " " ID " hash %s 2 60000 100 60000 100 %s", script->body, script->len, request, "");
}

/* The lease expires, as for a lost worker, and REAP decides. */
static void reap(void)
{
    const struct script *script = &scripts[SCRIPT_REAP];

    redis_run("ZADD " PREFIX "leased XX 1 " ID);
    redis_run("EVAL %b 1 " PREFIX " 0 32 0", script->body, script->len);
}

/* -- the worker */

static void on_ready(void *arg)
{
    (void)arg;
    if (world.job)
        job_resume(world.job);
    if (world.claim && !world.claimed)
        reap(); /* puts back a job whose CLAIM was answered on a lost connection */
    if (world.claim)
        claim_more(world.claim);
}

static void on_gone(struct job *job, void *arg)
{
    (void)arg;
    job_destroy(job);
    world.job = NULL;
    world.gone++;
}

static void on_lease_lost(struct lease_entry *entry, void *arg)
{
    (void)entry;
    (void)arg;
    world.lost++;
}

static void on_granted(int granted, int64_t wait_ms, void *arg)
{
    (void)arg;
    claim_granted(world.claim, granted, wait_ms);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    world.late = true;
}

/* Each wait has its own deadline. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        static const struct timeval limit = {DEADLINE_S, 0};                                                           \
        world.late = false;                                                                                            \
        evtimer_add(world.deadline, &limit);                                                                           \
        while (!(condition)) {                                                                                         \
            loop_turn(world.loop, true);                                                                               \
            if (world.late)                                                                                            \
                fail_msg("nothing more happens");                                                                      \
        }                                                                                                              \
    } while (0)

static struct redis *connect_redis(const char *name)
{
    const struct redis_config config = {
        .address = &world.address,
        .name = name,
        .connect_timeout_ms = 5000,
        .command_timeout_ms = 5000,
        .reconnect = {.base_ms = 1, .max_ms = 5},
        .output_max = 1 << 20,
        .events = {.on_ready = on_ready           },
    };

    return redis_create(world.loop, &config);
}

/* A new governor for each run, because an open circuit breaker would affect the next run. */
static void start_governor(void)
{
    governor_destroy(world.governor);
    world.governor = governor_create(&(struct governor_config){.loop = world.loop,
                                                               .redis = world.redis,
                                                               .worker = "w",
                                                               .again_ms = 1000,
                                                               .ttl_ms = LEASE_MS,
                                                               .images_per_call = IMAGES,
                                                               .model = MODEL,
                                                               .on_granted = on_granted,
                                                               .on_idle = on_nothing,
                                                               .on_confirmed = job_confirm});
    assert_non_null(world.governor);
    world.context.governor = world.governor;
}

static void make_context(void)
{
    const struct ark_endpoint endpoint = {.web = world.web,
                                          .url = world.ark_url,
                                          .authorization = "Authorization: Bearer key",
                                          .answer_max = 1 << 20,
                                          .end_ms = 100};

    static const struct request_defaults defaults = {.model = MODEL, .size = "2K", .max_images = IMAGES};

    world.context = (struct job_context){
        .loop = world.loop,
        .redis = world.redis,
        .paid = world.redis,
        .governor = world.governor,
        .endpoint = endpoint,
        .leases = world.leases,
        .prefix = PREFIX,
        .lease_ms = LEASE_MS,
        .max_attempts = 3,
        .backoff = {.base_ms = 1, .max_ms = 1},
        .plans = &world.plans,
        .catalogue = builtin_catalogue(),
        .defaults = &defaults,
        .ark_first_byte_ms = 250,
        .ark_timeout_ms = 300,
        .on_gone = on_gone,
    };
}

static int set_up(void **state)
{
    char url[128];
    const char *why = "";

    (void)state;
    log_setup(LOG_WARN, LOG_TEXT);
    world.log = tmpfile();
    world.real_stderr = -1;
    assert_non_null(world.log);
    signal(SIGPIPE, SIG_IGN);
    world.server = redis_server_create(NULL);
    world.inspector = redisConnectUnix(redis_server_path(world.server));
    snprintf(url, sizeof(url), "unix://%s", redis_server_path(world.server));
    assert_int_equal(redis_address_parse(url, &world.address, &why), 0);
    world.loop = loop_create();
    world.deadline = evtimer_new(loop_base(world.loop), on_deadline, NULL);
    world.redis = connect_redis("test");
    world.waiter = connect_redis("test-wait");
    world.leases = lease_keeper_create(&(struct lease_config){
        .loop = world.loop,
        .redis = world.redis,
        .prefix = PREFIX,
        .lease_ms = LEASE_MS,
        .events = {.on_cancelled = on_lease_lost, .on_lease_lost = on_lease_lost}
    });
    start_governor();
    world.web = web_create(&(struct web_setup){.loop = world.loop, .connect_ms = 250, .user_agent = "t"});
    assert_true(world.leases && world.web && world.redis && world.waiter);
    make_context();
    WAIT_UNTIL(redis_is_ready(world.redis) && redis_is_ready(world.waiter));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    claim_destroy(world.claim); /* left over if a test failed, like the job */
    job_destroy(world.job);
    plan_cache_deinit(&world.plans);
    web_destroy(world.web);
    governor_destroy(world.governor);
    lease_keeper_destroy(world.leases);
    redis_destroy(world.waiter);
    redis_destroy(world.redis);
    event_free(world.deadline);
    loop_destroy(world.loop);
    redis_address_deinit(&world.address);
    redisFree(world.inspector);
    redis_server_destroy(world.server);
    fclose(world.log);
    return 0;
}

/* -- a job */

static size_t count_stage(const json_t *event, const char *stage)
{
    const char *text = json_string_value(json_object_get(json_object_get(event, "data"), "stage"));

    return text && !strcmp(text, stage);
}

/* The answer of READ. Its elements are the log, as clients get it. */
static redisReply *read_log(const redisReply **elements)
{
    const struct script *script = &scripts[SCRIPT_READ];
    redisReply *reply = redis_ask("EVAL %b 1 " PREFIX " " ID " 1", script->body, script->len);

    assert_true(reply->elements > 4);
    *elements = reply->element[4];
    return reply;
}

/* The log must have events without gaps, each of them JSON. Returns the number of images. */
static size_t check_event_log(void)
{
    const redisReply *log;
    redisReply *reply = read_log(&log);
    size_t count = 0;

    for (size_t i = 0; i < log->elements; i++) {
        const char *text = log->element[i]->str, *brace = strchr(text, '{');
        json_t *event = brace ? json_loads(brace, 0, NULL) : NULL;

        if (!event || strtoul(text, NULL, 10) != i + 1)
            fail_msg("event %zu is broken: %s", i + 1, text);
        count += count_stage(event, "image");
        json_decref(event);
    }
    freeReplyObject(reply);
    return count;
}

/* The result must have every image, or the reason why it is missing. Returns the number of images. */
static size_t check_result(void)
{
    const redisReply *log;
    redisReply *reply = read_log(&log);
    const char *last = log->elements ? log->element[log->elements - 1]->str : "", *brace = strchr(last, '{');
    json_t *event = brace ? json_loads(brace, 0, NULL) : NULL, *result = json_object_get(event, "data");
    size_t count = json_array_size(json_object_get(result, "generated_images"));

    if (!result || count + json_array_size(json_object_get(result, "failed_images")) != IMAGES)
        fail_msg("images are missing: %s", last);
    json_decref(event);
    freeReplyObject(reply);
    return count;
}

static void check_task(const struct job_case *which, bool had_memory)
{
    char state[16], code[64];
    size_t count;

    read_field(state, sizeof(state), "state");
    if (!strcmp(state, "running")) {
        reap();
        read_field(state, sizeof(state), "state");
    }
    read_field(code, sizeof(code), "code");
    count = check_event_log();
    world.paid += read_number("paid_calls");
    if (!strcmp(state, "done"))
        assert_int_equal(check_result(), count);
    else if (!strcmp(state, "failed"))
        assert_true(!strcmp(code, "outcome_unknown") || !strcmp(code, which->code));
    else
        assert_true(!strcmp(state, "queued") || !strcmp(state, "delayed"));
    if (!had_memory)
        return;
    assert_string_equal(state, which->state);
    assert_string_equal(code, which->code);
    assert_int_equal(count, which->images);
}

/* Returns the number of allocations. */
static int run_job(const struct job_case *which, int first, int times)
{
    const struct script *script = &scripts[SCRIPT_CLAIM];
    struct claimed_job claimed = {.id = ID, .fence = "1.nonce.1", .trace = "", .request = request, .attempt = 1};
    int seen;

    alloc_failure_label(which->name, first, times);
    submit();
    start_governor();
    redis_run("EVAL %b 1 " PREFIX " w 30000 1 nonce 3", script->body, script->len);
    claimed.request_len = strlen(request);
    claimed.max_paid_calls = 2;
    world.gone = 0;
    log_divert();
    alloc_failure_begin(first, times);
    world.job = which->start(&world.context, &claimed);
    WAIT_UNTIL(!world.job && redis_is_ready(world.redis) && !web_in_flight(world.web));
    seen = alloc_failure_end();
    log_restore();
    check_log_lines();
    check_task(which, !alloc_failure_count());
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

/* ARK accepts one connection at a time, so when the last one ends, all calls are counted. */
static void test_a_job(void **state)
{
    const struct job_case *which = *state;
    struct fake_ark *ark = fake_ark_create(which->answer);
    int count;

    snprintf(world.ark_url, sizeof(world.ark_url), "http://127.0.0.1:%d/images", fake_ark_port(ark));
    world.paid = world.report_failures = 0;
    (void)run_job(which, 0, ALLOC_NONE);
    assert_int_equal(world.report_failures, 0);
    count = run_job(which, 0, ALLOC_NONE);
    for (int n = 1; n <= count; n++) {
        (void)run_job(which, n, ALLOC_ONCE);
        (void)run_job(which, n, SOME);
    }
    (void)run_job(which, 0, ALLOC_NONE);
    assert_true(world.report_failures > 0);
    if (which->images) {
        assert_true(fake_ark_posts(ark) >= 3);
        assert_true(fake_ark_posts(ark) <= world.paid); /* the other answers are not charged */
    }
    fake_ark_destroy(ark);
}

/* -- claiming */

static int room(void *arg)
{
    (void)arg;
    return world.room;
}

static void on_job(const struct claimed_job *job, void *arg)
{
    struct permit permit;

    (void)arg;
    assert_string_equal(job->id, ID);
    world.claimed++;
    world.room = 0;
    governor_take(world.governor, &permit);
    governor_release(world.governor, &permit);
}

/* The task is due in 20 ms, so an idle worker waits for it first. */
static int run_claim(int first, int times)
{
    int seen;

    alloc_failure_label("a claim", first, times);
    submit();
    redis_run("ZREM " PREFIX "pending " ID);
    redis_run("HSET " PREFIX "task:" ID " state delayed");
    redis_run("EVAL %s 0",
              "local t = redis.call('TIME') "
              "redis.call('ZADD', '" PREFIX "delayed', t[1] * 1000 + math.floor(t[2] / 1000) + 20, '" ID "')");
    world.claimed = 0;
    world.room = 2;
    world.claim = claim_create(&(struct claim_config){.loop = world.loop,
                                                      .redis = world.redis,
                                                      .waiter = world.waiter,
                                                      .governor = world.governor,
                                                      .prefix = PREFIX,
                                                      .wake = PREFIX "wake",
                                                      .worker = "w",
                                                      .model = "m",
                                                      .lease_ms = LEASE_MS,
                                                      .max_attempts = 3,
                                                      .room = room,
                                                      .on_job = on_job,
                                                      .on_stopped = on_nothing});
    assert_non_null(world.claim);
    alloc_failure_begin(first, times);
    claim_more(world.claim);
    WAIT_UNTIL(world.claimed && redis_is_ready(world.redis) && redis_is_ready(world.waiter));
    seen = alloc_failure_end();
    assert_int_equal(world.claimed, 1);
    world.claim = claim_destroy(world.claim);
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

static void test_a_claim(void **state)
{
    int count;

    (void)state;
    (void)run_claim(0, ALLOC_NONE);
    count = run_claim(0, ALLOC_NONE);
    for (int n = 1; n <= count; n++) {
        (void)run_claim(n, ALLOC_ONCE);
        (void)run_claim(n, SOME);
    }
}

/* -- leases */

/* No task has this lease, so the first answer is LOST. */
static int run_lease(int first, int times)
{
    struct lease_entry entry = {.id = "public.none", .fence = "1.x.1"};
    int seen;

    alloc_failure_label("a lease", first, times);
    redis_run("SCRIPT FLUSH");
    world.lost = 0;
    lease_add(world.leases, &entry);
    alloc_failure_begin(first, times);
    lease_renew_now(world.leases);
    WAIT_UNTIL(!entry.renewal && redis_is_ready(world.redis));
    seen = alloc_failure_end();
    if (!world.lost)
        lease_renew_now(world.leases);
    WAIT_UNTIL(world.lost);
    lease_remove(world.leases, &entry);
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

static void test_a_lease(void **state)
{
    int count = run_lease(0, ALLOC_NONE);

    (void)state;
    for (int n = 1; n <= count; n++) {
        (void)run_lease(n, ALLOC_ONCE);
        (void)run_lease(n, SOME);
    }
}

enum { JOB_CASES = ARRAY_LENGTH(job_cases) };

int main(void)
{
    struct CMUnitTest tests[JOB_CASES + 2] = {
        cmocka_unit_test_teardown(test_a_lease, alloc_failure_teardown),
        cmocka_unit_test_teardown(test_a_claim, alloc_failure_teardown),
    };

    for (size_t i = 0; i < JOB_CASES; i++)
        tests[i + 2] = (struct CMUnitTest){.name = job_cases[i].name,
                                           .test_func = test_a_job,
                                           .teardown_func = job_teardown,
                                           .initial_state = (void *)(uintptr_t)&job_cases[i]};
    alloc_failure_init();
    builtin_catalogue();
    alloc_failure_spare_curl(true);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
