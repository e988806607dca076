/* Each allocation that a gateway makes for a request fails. The client gets a complete answer or none. A stream ends between two events,
 * and resumes there when the client reconnects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/config/options.h"
#include "common/http/address.h"
#include "common/http/server.h"
#include "common/models/catalogue_file.h"
#include "common/redis/address.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "gateway/access/cors.h"
#include "gateway/access/keyring.h"
#include "gateway/gateway.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/options.h"
#include "gateway/routes.h"
#include "gateway/streams/hub.h"
#include "tests/support/alloc_failure.h"
#include "tests/support/redis_server.h"

#define PREFIX    "arkrelay:{0}:"
#define API       "/api/v1/faceflip"
#define ADMIN_KEY "the-operators-key-of-this-test"

enum { TWICE = 2, SOME = 8, DEADLINE_MS = 5000, ANSWER_MAX = 64 * 1024 };

static struct {
    struct redis_server *server;
    redisContext *inspector; /* blocking, without our client */
    struct redis_address address;
    struct gateway_options options;
    struct cors *cors;
    struct keyring *keyring;
    struct catalogue_file *models;
    struct gateway_metrics *metrics;
    atomic_size_t redis_ready;
    struct gateway *gateway;

    char answer[ANSWER_MAX]; /* the bytes received so far */
    size_t len;
} world;

/* Set, so that each limit is checked, and too high to be reached. */
static const struct client_limits everything_limited = {
    .most = {
             [CLIENT_REQUESTS] = 1000000, [CLIENT_QUEUED] = 10000, [CLIENT_STREAMS] = 10000, [CLIENT_IMAGES] = 1000000000}
};

/* -- changes in Redis, made without the gateway */

static void redis_run(const char *format, ...)
{
    redisReply *reply;
    va_list args;

    alloc_failure_pause(true);
    va_start(args, format);
    reply = redisvCommand(world.inspector, format, args);
    va_end(args);
    alloc_failure_pause(false);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply ? reply->str : world.inspector->errstr);
    freeReplyObject(reply);
}

static void flush_redis(void)
{
    redis_run("FLUSHALL");
    redis_run("SCRIPT FLUSH");
}

static void submit(void)
{
    const struct script *script = &scripts[SCRIPT_SUBMIT];

    flush_redis();
    redis_run("EVAL %b 1 " PREFIX " public.t hash {\"urls\":[\"u\"]} 2 60000 100 60000 100 %s", script->body,
              script->len, "");
}

static void cancel(void)
{
    const struct script *script = &scripts[SCRIPT_CANCEL];

    redis_run("EVAL %b 1 " PREFIX " public.t any", script->body, script->len);
}

static void submit_and_cancel(void)
{
    submit();
    cancel();
}

/* -- the gateway */

static void turn(void)
{
    loop_turn(world.gateway->loop, false);
}

/* A failed allocation may have closed the gateway's connections to Redis. */
static void await_redis(void)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (!redis_is_ready(world.gateway->commands) || !hub_is_ready(world.gateway->hub)) {
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("Redis is not reconnected");
        loop_turn(world.gateway->loop, true);
    }
}

static int set_up(void **state)
{
    char name[] = "test", *argv[] = {name, NULL};
    char listen_on[] = "GATEWAY_LISTEN=127.0.0.1:0", tail_check[] = "GATEWAY_TAIL_CHECK=100ms";
    char admin_key[] = "GATEWAY_ADMIN_KEY=" ADMIN_KEY;
    char *environment[] = {listen_on, tail_check, admin_key, NULL};
    const struct options_world options = {.environment = environment, .env_file = TEST_DATA "/no.env", stdout, stderr};
    const char *why = "";
    struct buf reason;
    char url[128];

    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    world.server = redis_server_create(NULL);
    world.inspector = redisConnectUnix(redis_server_path(world.server));
    snprintf(url, sizeof(url), "unix://%s", redis_server_path(world.server));
    assert_int_equal(redis_address_parse(url, &world.address, &why), 0);
    assert_int_equal(options_load_from(&options, &gateway_option_table, 1, argv, &world.options), OPTIONS_RUN);
    world.cors = cors_create("*");
    world.keyring = keyring_create(&(struct keyring_config){.open = everything_limited});
    world.models = catalogue_file_open("", "test", "test");
    world.metrics = gateway_metrics_create(1, api_routes, api_route_count);
    buf_init(&reason, 1024);
    world.gateway = gateway_create(&(struct gateway_config){.options = &world.options,
                                                            .redis = &world.address,
                                                            .cors = world.cors,
                                                            .metrics = world.metrics,
                                                            .redis_ready = &world.redis_ready,
                                                            .keyring = world.keyring,
                                                            .models = world.models,
                                                            .listen = world.options.listen},
                                   &reason);
    buf_deinit(&reason);
    assert_non_null(world.gateway);
    await_redis();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gateway_destroy(world.gateway);
    gateway_metrics_destroy(world.metrics);
    keyring_destroy(world.keyring);
    catalogue_file_destroy(world.models);
    cors_destroy(world.cors);
    options_deinit(&gateway_option_table, &world.options);
    redis_address_deinit(&world.address);
    redisFree(world.inspector);
    redis_server_destroy(world.server);
    return 0;
}

/* -- a client that allocates nothing */

static int dial(void)
{
    struct http_address address;
    const char *why = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(http_address_parse(http_server_address(world.gateway->server), &address, &why), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address.storage, address.len), 0);
    return fd;
}

/* False once the connection has ended, for any reason. */
static bool receive(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLIN};
    ssize_t n;

    turn();
    (void)poll(&socket, 1, 1);
    n = recv(fd, world.answer + world.len, ANSWER_MAX - 1 - world.len, MSG_DONTWAIT);
    if (n > 0)
        world.len += (size_t)n;
    world.answer[world.len] = '\0';
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Sends a request and reads to the end. `on_event` may be NULL; it is called once, after the first event. */
static void ask(const char *request, void (*on_event)(void))
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    int fd = dial();

    world.len = 0;
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while (receive(fd)) {
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("timeout after \"%s\"", world.answer);
        if (on_event && strstr(world.answer, "\nid: ")) {
            on_event();
            on_event = NULL;
        }
    }
    close(fd);
    turn();
}

/* -- requests and their answers */

struct request {
    const char *name;
    void (*before)(void); /* prepares Redis for the request */
    const char *text;
    int status;         /* of the answer if no allocation fails */
    const char *header; /* expected in that answer */
};

#define HEAD(line)               line " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Request-Id: from-the-client\r\n"
#define ADMIN(line)              HEAD(line) "Authorization: Bearer " ADMIN_KEY "\r\n"
#define JSON_HEADER              "\nContent-Type: application/json\r\n"
#define BODY(line, length, json) HEAD(line) "Content-Type: application/json\r\nContent-Length: " length "\r\n\r\n" json

/* clang-format off */
static const struct request requests[] = {
    { "a task is submitted", flush_redis,
      BODY("POST " API "/generate", "54", "{\"urls\":[\"https://example.com/a.png\"],\"task_id\":\"t\"}  "), 202, "\nLocation: " API "/tasks/t\r\n" },
    { "a task is submitted in chunks", flush_redis,
      HEAD("POST " API "/generate") "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      "1e\r\n{\"urls\":[\"https://example.com/\r\n16;a=b\r\na.png\"],\"task_id\":\"t\"}\r\n0\r\nA: b\r\n\r\n", 202, "\nLocation: " API "/tasks/t\r\n" },
    { "a request with mistakes is refused", flush_redis,
      BODY("POST " API "/generate", "34", "{\"urls\":[\"nothing\",1],\"prompt\":\"\"}"), 422, "\nCache-Control: no-store\r\n" },
    { "a task is read", submit, HEAD("GET " API "/tasks/t") "\r\n", 200, JSON_HEADER },
    { "a missing task is read", flush_redis, HEAD("GET " API "/tasks/t") "\r\n", 404, "\nCache-Control: no-store\r\n" },
    { "a task is cancelled", submit, HEAD("POST " API "/tasks/t/cancel") "Content-Length: 0\r\n\r\n", 200, JSON_HEADER },
    { "a CORS preflight", flush_redis,
      HEAD("OPTIONS " API "/generate") "Origin: https://example.com\r\n\r\n", 204, "\nAllow: POST, OPTIONS\r\n" },
    { "a wrong method is refused", flush_redis, HEAD("PUT " API "/generate") "Content-Length: 0\r\n\r\n", 405, "\nAllow: POST, OPTIONS\r\n" },
    { "an unknown path is refused", flush_redis, HEAD("GET /nowhere") "\r\n", 404, "\nContent-Type: application/problem+json\r\n" },
    { "readiness is checked", flush_redis, HEAD("GET /readyz") "\r\n", 200, JSON_HEADER },
    { "the events of a task that has ended", submit_and_cancel,
      HEAD("GET " API "/tasks/t/stream") "Accept: text/event-stream\r\n\r\n", 200, "\nTransfer-Encoding: chunked\r\n" },
    { "the admin overview", submit, ADMIN("GET /admin/overview") "\r\n", 200, JSON_HEADER },
    { "the admin list of tasks", submit, ADMIN("GET /admin/tasks?state=live&q=t") "\r\n", 200, JSON_HEADER },
    { "the admin view of a task", submit_and_cancel, ADMIN("GET /admin/tasks/public.t") "\r\n", 200, JSON_HEADER },
    { "an admin retries a task", submit_and_cancel, ADMIN("POST /admin/tasks/public.t/retry") "Content-Length: 0\r\n\r\n", 202, JSON_HEADER },
    { "metrics are read", submit, ADMIN("GET /metrics") "\r\n", 200, "\nContent-Type: text/plain" },
    { "the queue is read", submit, HEAD("GET " API "/queue") "\r\n", 200, JSON_HEADER },
};
/* clang-format on */

static bool is_stream(const char *answer)
{
    return strstr(answer, "\nContent-Type: text/event-stream") != NULL;
}

/* The body has the length that the head says. It is JSON unless it is plain text. */
static void check_body(const char *body)
{
    const char *length = strstr(world.answer, "\nContent-Length: ");
    json_t *json;

    assert_non_null(length);
    assert_int_equal(strtoul(length + strlen("\nContent-Length: "), NULL, 10), strlen(body));
    if (strstr(world.answer, "\nContent-Type: text/plain"))
        return;
    json = json_loads(body, 0, NULL);
    if (!json)
        fail_msg("broken: %s", body);
    json_decref(json);
}

/* Returns the status; 0 if there was no answer. */
static int check_answer(const struct request *request)
{
    const char *body = strstr(world.answer, "\r\n\r\n");
    int status;

    if (!world.len)
        return 0;
    assert_non_null(body);
    status = (int)strtol(world.answer + strlen("HTTP/1.1 "), NULL, 10);
    assert_true(status == request->status || status == 500 || status == 503);
    assert_non_null(strstr(world.answer, "\nAccess-Control-Allow-Origin: *\r\n"));
    if (status == request->status && !strstr(world.answer, request->header))
        fail_msg("a header is missing: %s", world.answer);
    if (status != 204 && !is_stream(world.answer))
        check_body(body + 4);
    return status;
}

static int run_request(const struct request *request, int first, int times)
{
    int status, seen;

    alloc_failure_label(request->name, first, times);
    request->before();
    await_redis();
    alloc_failure_begin(first, times);
    ask(request->text, NULL);
    seen = alloc_failure_end();
    status = check_answer(request);
    if (!alloc_failure_count())
        assert_int_equal(status, request->status);
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

static void test_request(void **state)
{
    const struct request *request = *state;
    int count;

    (void)run_request(request, 0, ALLOC_NONE);
    count = run_request(request, 0, ALLOC_NONE);
    for (int n = 1; n <= count; n++) {
        (void)run_request(request, n, ALLOC_ONCE);
        (void)run_request(request, n, TWICE);
        (void)run_request(request, n, SOME);
    }
    (void)run_request(request, 0, ALLOC_NONE);
}

/* -- a stream from the first to the last event of its task */

/* The received events are complete and follow `last` without a gap. Returns the number of the last one. */
static long check_events(long last)
{
    for (const char *at = world.answer; (at = strstr(at, "\nid: ")); at++) {
        const char *data = strstr(at, "\ndata: "), *end = data ? strstr(data, "\n\n") : NULL;
        json_t *event = end ? json_loadb(data + 7, (size_t)(end - data) - 7, 0, NULL) : NULL;

        if (!event || strtol(strchr(at + 5, '-') + 1, NULL, 10) != last + 1)
            fail_msg("broken after event %ld: %s", last, world.answer);
        json_decref(event);
        last++;
    }
    return last;
}

static void resume(long last)
{
    const char *id = strstr(world.answer, "\nid: ");
    char request[512];

    snprintf(request, sizeof(request), "%sAccept: text/event-stream\r\nLast-Event-ID: %.*s%ld\r\n\r\n",
             HEAD("GET " API "/tasks/t/stream"), id ? (int)(strchr(id, '-') + 1 - (id + 5)) : 0, id ? id + 5 : "",
             last);
    ask(request, NULL);
}

enum { EVENTS = 2 }; /* start, and the error of a cancelled task */

static int run_stream(int first, int times)
{
    static const char text[] =
        BODY("POST " API "/generate/stream", "54", "{\"urls\":[\"https://example.com/a.png\"],\"task_id\":\"t\"}  ");
    long last;
    int seen;

    alloc_failure_label("a stream", first, times);
    flush_redis();
    await_redis();
    alloc_failure_begin(first, times);
    ask(text, cancel);
    seen = alloc_failure_end();
    last = check_events(0);
    if (!alloc_failure_count())
        assert_int_equal(last, EVENTS);
    await_redis();
    if (last == 0) {
        ask(text, cancel); /* the request was refused or never handled */
        last = check_events(0);
    } else if (last < EVENTS) {
        resume(last);
        last = check_events(last);
    }
    assert_int_equal(last, EVENTS);
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

static void test_a_stream(void **state)
{
    int count;

    (void)state;
    (void)run_stream(0, ALLOC_NONE);
    count = run_stream(0, ALLOC_NONE);
    for (int n = 1; n <= count; n++) {
        (void)run_stream(n, ALLOC_ONCE);
        (void)run_stream(n, TWICE);
        (void)run_stream(n, SOME);
    }
    (void)run_stream(0, ALLOC_NONE);
}

static int first_after_flush, times_after_flush;

/* Allocations fail only from here on: the stream is open, and the next tail check finds no task. */
static void flush_and_begin(void)
{
    flush_redis();
    alloc_failure_begin(first_after_flush, times_after_flush);
}

/* Redis loses the task of an open stream. The client gets a complete `reset` event, or the stream just ends. */
static int run_lost_task(int first, int times)
{
    static const char text[] = HEAD("GET " API "/tasks/t/stream") "\r\n";
    const char *reset;
    int seen;

    alloc_failure_label("a task lost during its stream", first, times);
    submit();
    await_redis();
    first_after_flush = first;
    times_after_flush = times;
    ask(text, flush_and_begin);
    seen = alloc_failure_end();
    reset = strstr(world.answer, "event: reset\n");
    if (!alloc_failure_count())
        assert_non_null(reset);
    if (reset)
        assert_non_null(strstr(reset, "\ndata: {\"event\":\"reset\",\"data\":{\"task_id\":\"t\""));
    await_redis();
    alloc_failure_label(NULL, 0, 0);
    return seen;
}

static void test_a_task_lost_during_its_stream(void **state)
{
    int count = run_lost_task(0, ALLOC_NONE);

    (void)state;
    for (int n = 1; n <= count; n++) {
        (void)run_lost_task(n, ALLOC_ONCE);
        (void)run_lost_task(n, TWICE);
    }
}

enum { REQUESTS = ARRAY_LENGTH(requests) };

int main(void)
{
    struct CMUnitTest tests[REQUESTS + 2] = {
        cmocka_unit_test_teardown(test_a_stream, alloc_failure_teardown),
        cmocka_unit_test_teardown(test_a_task_lost_during_its_stream, alloc_failure_teardown),
    };

    alloc_failure_init();
    for (size_t i = 0; i < REQUESTS; i++)
        tests[i + 2] = (struct CMUnitTest){.name = requests[i].name,
                                           .test_func = test_request,
                                           .teardown_func = alloc_failure_teardown,
                                           .initial_state = (void *)(uintptr_t)&requests[i]};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
