/* Host names: from a name server of the test, from /etc/hosts, unknown, cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/redis/lookup.h"

struct world {
    struct loop *loop;
    struct evdns_server_port *server;
    char resolv_conf[64];
    int found, failed, v4, v6;
    char why[128];
};

/* "both.test" has an IPv4 and an IPv6 address, "silent.test" gets no answer, all other names do not exist. */
static void on_request(struct evdns_server_request *request, void *arg)
{
    static struct in_addr v4 = {0x0100007f};
    static struct in6_addr v6 = IN6ADDR_LOOPBACK_INIT;
    const char *name = request->questions[0]->name;
    int error = 0;

    (void)arg;
    /* the client randomises the case of the name and expects the same case in the answer */
    if (!strcasecmp(name, "silent.test")) {
        evdns_server_request_drop(request);
        return;
    }
    if (strcasecmp(name, "both.test"))
        error = DNS_ERR_NOTEXIST;
    else if (request->questions[0]->type == EVDNS_TYPE_A)
        evdns_server_request_add_a_reply(request, name, 1, &v4, 60);
    else
        evdns_server_request_add_aaaa_reply(request, name, 1, &v6, 60);
    evdns_server_request_respond(request, error);
}

static int start(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct world *world = calloc(1, sizeof(*world));
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int file;

    if (!world || bind(fd, (struct sockaddr *)&address, len) || getsockname(fd, (struct sockaddr *)&address, &len))
        return -1;
    world->loop = loop_create();
    world->server = evdns_add_server_port_with_base(loop_base(world->loop), fd, 0, on_request, NULL);
    snprintf(world->resolv_conf, sizeof(world->resolv_conf), "/tmp/test_redis_lookup.XXXXXX");
    file = mkstemp(world->resolv_conf);
    dprintf(file, "nameserver 127.0.0.1:%d\n", ntohs(address.sin_port));
    close(file);
    *state = world;
    return 0;
}

static int stop(void **state)
{
    struct world *world = *state;

    evdns_close_server_port(world->server);
    loop_destroy(world->loop);
    unlink(world->resolv_conf);
    free(world);
    return 0;
}

static void on_found(const struct evutil_addrinfo *found, const char *why, void *arg)
{
    struct world *world = arg;

    if (found)
        world->found++;
    else
        world->failed++;
    snprintf(world->why, sizeof(world->why), "%s", why ? why : "");
    for (; found; found = found->ai_next) {
        world->v4 += found->ai_family == AF_INET;
        world->v6 += found->ai_family == AF_INET6;
    }
}

static void ask(struct world *world, const char *resolv_conf, const char *host)
{
    assert_non_null(lookup_start(world->loop, resolv_conf, host, on_found, world));
    assert_int_equal(world->found + world->failed, 0); /* never inside lookup_start */
    while (!world->found && !world->failed)
        loop_turn(world->loop, true);
}

static void a_name_has_both_addresses(void **state)
{
    struct world *world = *state;

    ask(world, world->resolv_conf, "both.test");
    assert_int_equal(world->found, 1);
    assert_int_equal(world->v4, 1);
    assert_int_equal(world->v6, 1);
    assert_string_equal(world->why, "");
}

static void an_unknown_name_is_an_error(void **state)
{
    struct world *world = *state;

    ask(world, world->resolv_conf, "none.test");
    assert_int_equal(world->failed, 1);
    assert_string_not_equal(world->why, "");
}

static void the_hosts_file_is_read(void **state)
{
    struct world *world = *state;

    ask(world, "/nonexistent", "localhost");
    assert_int_equal(world->found, 1);
    assert_true(world->v4 + world->v6 > 0);
}

static void a_lookup_can_be_cancelled_at_any_time(void **state)
{
    struct world *world = *state;

    for (int turns = 0; turns < 6; turns++) {
        static const char *const hosts[] = {"both.test", "silent.test", "localhost"};

        for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
            struct lookup *lookup = lookup_start(world->loop, world->resolv_conf, hosts[i], on_found, world);

            world->found = 0;
            for (int turn = 0; turn < turns && !world->found; turn++)
                loop_turn(world->loop, false);
            if (!world->found)
                lookup_cancel(lookup);
            world->found = 0;
            for (int turn = 0; turn < 10; turn++)
                loop_turn(world->loop, false);
            assert_int_equal(world->found + world->failed, 0);
        }
    }
}

/* For the leak checker. */
static void a_lookup_may_be_cancelled_before_its_loop_is_destroyed(void **state)
{
    struct world *world = *state;

    lookup_cancel(lookup_start(world->loop, world->resolv_conf, "silent.test", on_found, world));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_has_both_addresses, start, stop),
        cmocka_unit_test_setup_teardown(an_unknown_name_is_an_error, start, stop),
        cmocka_unit_test_setup_teardown(the_hosts_file_is_read, start, stop),
        cmocka_unit_test_setup_teardown(a_lookup_can_be_cancelled_at_any_time, start, stop),
        cmocka_unit_test_setup_teardown(a_lookup_may_be_cancelled_before_its_loop_is_destroyed, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
