#include "tests/support/web_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/loop.h"

static void too_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    fail_msg("nothing happened for ten seconds");
}

void web_world_start_with(struct web_world *world, int64_t connect_ms, int64_t first_byte_ms)
{
    struct timeval limit = {.tv_sec = 10};
    struct web_setup setup = {.connect_ms = connect_ms, .ca_file = world->ca_file, .user_agent = "test/1"};

    world->first_byte_ms = first_byte_ms;
    world->loop = loop_create();
    assert_non_null(world->loop);
    stub_server_start(&world->server, world->loop);
    setup.loop = world->loop;
    world->web = web_create(&setup);
    assert_non_null(world->web);
    world->deadline = evtimer_new(loop_base(world->loop), too_late, NULL);
    assert_non_null(world->deadline);
    assert_int_equal(evtimer_add(world->deadline, &limit), 0);
}

void web_world_start(struct web_world *world)
{
    web_world_start_with(world, 5000, 5000);
}

void web_world_end(struct web_world *world)
{
    assert_null(web_destroy(world->web));
    stub_server_stop(&world->server);
    event_free(world->deadline);
    assert_null(loop_destroy(world->loop));
}

static void on_head(const struct web_head *head, void *arg)
{
    struct web_probe *probe = arg;

    assert_int_equal(probe->ends, 0);
    probe->heads++;
    probe->status = head->status;
    (void)snprintf(probe->content_type, sizeof(probe->content_type), "%s", head->content_type);
    (void)snprintf(probe->retry_after, sizeof(probe->retry_after), "%s", head->retry_after);
    (void)snprintf(probe->request_id, sizeof(probe->request_id), "%s", head->request_id);
    if (probe->on_head)
        probe->on_head(probe);
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    struct web_probe *probe = arg;

    assert_int_equal(probe->heads, 1);
    assert_int_equal(probe->ends, 0);
    buf_add(&probe->data, bytes, len);
    if (probe->on_data)
        probe->on_data(probe);
}

static void on_done(const struct web_outcome *outcome, void *arg)
{
    struct web_probe *probe = arg;

    probe->ends++;
    probe->end = outcome->end;
    (void)snprintf(probe->words, sizeof(probe->words), "%s", outcome->words);
    assert_int_equal(outcome->end == WEB_ANSWERED, !*outcome->words);
    probe->world->done++;
    if (probe->on_done)
        probe->on_done(probe);
    if (probe->world->done == probe->world->open)
        loop_stop(probe->world->loop);
}

int web_probe_start_at(struct web_world *world, struct web_probe *probe, const char *url, const struct web_how *how)
{
    static const char *const headers[] = {"Content-Type: application/json", "Authorization: Bearer secret", NULL};
    struct web_request request = {
        .url = url,
        .headers = headers,
        .body_len = how->body_len ? how->body_len : 4,
        .first_byte_ms = world->first_byte_ms,
        .total_ms = how->total_ms ? how->total_ms : 8000,
        .answer_max = how->answer_max ? how->answer_max : 1 << 20,
        .events = {.on_head = on_head, .on_data = on_data, .on_done = on_done, .arg = probe},
    };
    int err;

    probe->world = world;
    buf_init(&probe->data, 4 << 20);
    request.body = malloc(request.body_len);
    assert_non_null(request.body);
    memset(request.body, 'P', request.body_len);
    err = web_start(world->web, &request, &probe->call);
    if (err)
        free(request.body);
    else
        world->open++;
    return err;
}

void web_probe_start(struct web_world *world, struct web_probe *probe, const struct web_how *how)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/images", how->scheme ? how->scheme : "http",
                   world->server.port);
    assert_int_equal(web_probe_start_at(world, probe, url, how), 0);
}

void web_probe_ask(struct web_world *world, struct web_probe *probe, const struct web_how *how)
{
    web_probe_start(world, probe, how);
    assert_int_equal(probe->heads + probe->ends, 0); /* never called inside web_start */
    loop_run(world->loop);
    assert_int_equal(probe->ends, 1);
    assert_int_equal(web_in_flight(world->web), 0);
}
