/* Lets each allocation at start-up fail, once alone and once with all later ones: creation fails and leaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/timeouts.h"
#include "common/config/options.h"
#include "common/http/address.h"
#include "common/http/server.h"
#include "common/models/catalogue_file.h"
#include "common/redis/address.h"
#include "common/redis/client.h"
#include "common/web/web.h"
#include "gateway/access/cors.h"
#include "gateway/access/keyring.h"
#include "gateway/gateway.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/options.h"
#include "gateway/routes.h"
#include "tests/support/alloc_failure.h"
#include "worker/health.h"
#include "worker/options.h"
#include "worker/worker.h"

static struct {
    struct gateway_options gateway;
    struct worker_options worker;
    struct redis_address redis;
    struct cors *cors;
    struct keyring *keyring;
    struct catalogue_file *models;
} given;

static void load(const struct option_table *table, void *values)
{
    char name[] = "test", *argv[] = {name, NULL}, *environment[] = {NULL};
    const struct options_world world = {.environment = environment, .env_file = TEST_DATA "/no.env", stdout, stderr};

    assert_int_equal(options_load_from(&world, table, 1, argv, values), OPTIONS_RUN);
}

static int prepare(void **state)
{
    const char *why = "";

    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    load(&gateway_option_table, &given.gateway);
    load(&worker_option_table, &given.worker);
    given.cors = cors_create("*");
    given.keyring = keyring_create(&(struct keyring_config){.path = NULL});
    given.models = catalogue_file_open("", "test", "test");
    return redis_address_parse("unix:///nowhere/at/all", &given.redis, &why) || !given.cors || !given.keyring ||
           !given.models;
}

static int clean_up(void **state)
{
    (void)state;
    options_deinit(&gateway_option_table, &given.gateway);
    options_deinit(&worker_option_table, &given.worker);
    redis_address_deinit(&given.redis);
    keyring_destroy(given.keyring);
    catalogue_file_destroy(given.models);
    cors_destroy(given.cors);
    return 0;
}

static int make_loop(void)
{
    struct loop *loop = loop_create();

    loop_destroy(loop);
    return loop ? 0 : ERR_NO_MEMORY;
}

static void on_timeout(struct timeout *timeout, void *arg)
{
    (void)timeout;
    (void)arg;
}

static int make_timeouts(void)
{
    struct loop *loop = loop_create();
    struct timeouts *timeouts = loop ? timeouts_create(loop, 1000, on_timeout, NULL) : NULL;

    timeouts_destroy(timeouts);
    loop_destroy(loop);
    return timeouts ? 0 : ERR_NO_MEMORY;
}

/* A server that was created accepts connections. */
static void assert_accepts(struct loop *loop, const struct http_server *server)
{
    struct http_address address;
    const char *why = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(http_address_parse(http_server_address(server), &address, &why), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address.storage, address.len), 0);
    loop_turn(loop, false);
    assert_int_equal(http_server_connections(server), 1);
    close(fd);
}

static int make_server(void)
{
    struct loop *loop = loop_create();
    struct http_server *server = NULL;
    struct http_server_config config;
    const char *why = "";

    http_server_config_init(&config);
    config.listen = "127.0.0.1:0";
    if (loop)
        server = http_server_create(loop, &config, &why);
    (void)alloc_failure_end();
    if (server)
        assert_accepts(loop, server);
    http_server_destroy(server);
    loop_destroy(loop);
    return server ? 0 : ERR_NO_MEMORY;
}

static int make_counters(void)
{
    struct gateway_metrics *counters = gateway_metrics_create(3, api_routes, api_route_count);
    struct metrics *asked = counters ? gateway_metrics_begin_scrape(counters) : NULL;
    struct buf text;
    int err = ERR_NO_MEMORY;

    buf_init(&text, 1024 * 1024);
    if (asked) {
        gateway_metrics_write(&text, counters, asked);
        err = buf_error(&text);
    }
    buf_deinit(&text);
    metrics_destroy(asked);
    gateway_metrics_destroy(counters);
    return err;
}

static int make_gateway(void)
{
    const struct gateway_config config = {.options = &given.gateway,
                                          .redis = &given.redis,
                                          .cors = given.cors,
                                          .keyring = given.keyring,
                                          .models = given.models,
                                          .listen = "127.0.0.1:0"};
    struct gateway *gateway;
    struct buf why;

    buf_init(&why, 1024);
    gateway = gateway_create(&config, &why);
    buf_deinit(&why);
    gateway_destroy(gateway);
    return gateway ? 0 : ERR_NO_MEMORY;
}

static void on_drained(void *arg)
{
    (void)arg;
}

static int make_worker(void)
{
    struct loop *loop = loop_create();
    struct worker_config config = {.loop = loop,
                                   .options = &given.worker,
                                   .redis = &given.redis,
                                   .models = given.models,
                                   .name = "w",
                                   .on_drained = on_drained};
    struct worker *worker = loop ? worker_create(&config) : NULL;
    const char *why = "";
    const struct health_config listener = {.listen = "127.0.0.1:0", .worker = worker};
    struct health *health = worker ? health_create(loop, &listener, &why) : NULL;

    health_destroy(health);
    worker_destroy(worker);
    loop_destroy(loop);
    return health ? 0 : ERR_NO_MEMORY;
}

static void on_head(const struct web_head *head, void *arg)
{
    (void)head;
    (void)arg;
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    (void)bytes;
    (void)len;
    (void)arg;
}

static void on_done(const struct web_outcome *outcome, void *arg)
{
    (void)outcome;
    (void)arg;
}

/* A call without one of its options could use a proxy, or trust the wrong server, so it must not start. The caller then still owns the
 * body. */
static int begin_call(void)
{
    static const char *const headers[] = {"Authorization: Bearer key", "Content-Type: application/json", NULL};
    struct loop *loop = loop_create();
    struct web_setup setup = {.loop = loop, .ca_file = TEST_DATA "/no.pem", .user_agent = "t"};
    struct web *web = loop ? web_create(&setup) : NULL;
    struct web_request request = {
        .url = "https://ark.example.com/",
        .headers = headers,
        .first_byte_ms = 1000,
        .total_ms = 1000,
        .answer_max = 1000,
        .events = {.on_head = on_head, .on_data = on_data, .on_done = on_done}
    };
    struct web_call *call;
    int err = ERR_NO_MEMORY;

    if (web)
        request.body = strdup("{}");
    if (request.body)
        err = web_start(web, &request, &call);
    if (err)
        free(request.body);
    web_destroy(web);
    loop_destroy(loop);
    return err;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* A retry must not be lost because its timer found no memory. */
static void test_a_loop_reserves_room_for_timers(void **state)
{
    static const struct timeval later = {60, 0};
    struct loop *loop = loop_create();
    struct event *timers[LOOP_TIMERS];

    (void)state;
    assert_non_null(loop);
    for (int i = 0; i < LOOP_TIMERS; i++)
        timers[i] = evtimer_new(loop_base(loop), on_timer, NULL);
    alloc_failure_begin(1, ALLOC_FOR_EVER);
    for (int i = 0; i < LOOP_TIMERS; i++)
        assert_int_equal(evtimer_add(timers[i], &later), 0);
    assert_int_equal(alloc_failure_end(), 0);
    for (int i = 0; i < LOOP_TIMERS; i++)
        event_free(timers[i]);
    loop_destroy(loop);
}

/* forgives: a listener is enabled twice, so a first failure has no effect. */
static const struct alloc_scenario scenarios[] = {
    {"a loop is made",    make_loop,     false},
    {"timeouts are made", make_timeouts, false},
    {"a call is begun",   begin_call,    false},
    {"a server is made",  make_server,   true },
    {"counters are made", make_counters, false},
    {"a gateway is made", make_gateway,  true },
    {"a worker is made",  make_worker,   true },
};

static void test_scenario(void **state)
{
    alloc_failure_try_all(*state);
}

enum { SCENARIOS = ARRAY_LENGTH(scenarios) };

int main(void)
{
    struct CMUnitTest tests[SCENARIOS + 1] = {cmocka_unit_test(test_a_loop_reserves_room_for_timers)};

    alloc_failure_init();
    for (size_t i = 0; i < SCENARIOS; i++)
        tests[i + 1] = (struct CMUnitTest){.name = scenarios[i].name,
                                           .test_func = test_scenario,
                                           .teardown_func = alloc_failure_teardown,
                                           .initial_state = (void *)(uintptr_t)&scenarios[i]};
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
