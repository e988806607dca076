#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/notify.h"

enum { TURNS = 5, TURN_US = 20000 };

/* A manager with an abstract socket of its own, and a process that it looks after. */
struct world {
    struct loop *loop;
    struct event *turn;
    int manager, turns;
    bool is_alive;
    const char *status;
};

static void describe(char out[NOTIFY_STATUS_SIZE], void *arg)
{
    const struct world *world = arg;

    (void)snprintf(out, NOTIFY_STATUS_SIZE, "%s", world->status);
}

static bool is_alive(void *arg)
{
    const struct world *world = arg;

    return world->is_alive;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;

    (void)fd;
    (void)what;
    if (++world->turns == TURNS)
        loop_stop(world->loop);
}

static void turn(struct world *world)
{
    world->turns = 0;
    loop_run(world->loop);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "arkrelay-test-notify-%d", (int)getpid());
    char name[sizeof(address.sun_path) + 1];

    world->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(world->manager, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)),
                     0);
    (void)snprintf(name, sizeof(name), "@%s", address.sun_path + 1);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "10000", 1);
    unsetenv("WATCHDOG_PID");
    world->loop = loop_create();
    world->turn = event_new(loop_base(world->loop), -1, EV_PERSIST, on_turn, world);
    assert_int_equal(event_add(world->turn, &(struct timeval){.tv_usec = TURN_US}), 0);
    world->is_alive = true;
    world->status = "fine";
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    event_free(world->turn);
    loop_destroy(world->loop);
    close(world->manager);
    free(world);
    return 0;
}

static struct notify *create(struct world *world)
{
    return notify_create(&(struct notify_config){
        .loop = world->loop, .program = "test", .describe = describe, .is_alive = is_alive, .arg = world});
}

/* The next datagram, "" for none. */
static const char *heard(struct world *world, char out[256])
{
    ssize_t len = recv(world->manager, out, 255, 0);

    out[len > 0 ? len : 0] = '\0';
    return out;
}

static void test_each_fact_is_one_datagram_with_the_status(void **state)
{
    struct notify *notify = create(*state);
    char text[256];

    notify_ready(notify);
    assert_string_equal(heard(*state, text), "READY=1\nSTATUS=fine\n");
    notify_reloading(notify);
    assert_ptr_equal(strstr(heard(*state, text), "RELOADING=1\nMONOTONIC_USEC="), text);
    notify_stopping(notify);
    assert_string_equal(heard(*state, text), "STOPPING=1\nSTATUS=fine\n");
    assert_string_equal(heard(*state, text), "");
    notify_destroy(notify);
}

static void test_after_stopping_nothing_else_is_said(void **state)
{
    struct notify *notify = create(*state);
    char text[256];

    notify_stopping(notify);
    heard(*state, text);
    notify_ready(notify);
    notify_reloading(notify);
    notify_stopping(notify);
    assert_string_equal(heard(*state, text), "");
    notify_destroy(notify);
}

static void test_the_watchdog_hears_of_a_loop_that_turns(void **state)
{
    struct notify *notify = create(*state);
    char text[256];

    turn(*state);
    assert_string_equal(heard(*state, text), "WATCHDOG=1\nSTATUS=fine\n");
    assert_string_equal(heard(*state, text), "WATCHDOG=1\nSTATUS=fine\n");
    notify_destroy(notify);
}

static void test_the_watchdog_hears_nothing_of_what_is_not_alive_but_people_do(void **state)
{
    struct world *world = *state;
    struct notify *notify = create(world);
    char text[256];

    notify_ready(notify);
    heard(world, text);
    world->is_alive = false;
    turn(world);
    assert_string_equal(heard(world, text), "");
    world->status = "stuck";
    turn(world);
    assert_string_equal(heard(world, text), "STATUS=stuck\n");
    assert_string_equal(heard(world, text), "");
    notify_destroy(notify);
}

static void test_what_is_no_watchdog_of_this_process_is_not_told(void **state)
{
    static const struct {
        const char *usec, *pid;
    } cases[] = {
        {NULL,    NULL},
        {"0",     NULL},
        {"-5",    NULL},
        {"soon",  NULL},
        {"10000", "1" }
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct notify *notify;
        char text[256];

        unsetenv("WATCHDOG_USEC");
        if (cases[i].usec)
            setenv("WATCHDOG_USEC", cases[i].usec, 1);
        if (cases[i].pid)
            setenv("WATCHDOG_PID", cases[i].pid, 1);
        notify = create(*state);
        notify_ready(notify);
        heard(*state, text);
        turn(*state);
        assert_string_equal(heard(*state, text), "");
        notify_destroy(notify);
    }
}

static void test_without_a_manager_nothing_happens(void **state)
{
    static const char *const names[] = {NULL, "", "relative/path", "@", "/", "vsock:2:1"};
    char too_long[120] = "/";

    memset(too_long + 1, 'x', sizeof(too_long) - 2);
    for (size_t i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
        const char *name = i ? names[i - 1] : too_long;

        unsetenv("NOTIFY_SOCKET");
        if (name)
            setenv("NOTIFY_SOCKET", name, 1);
        assert_null(create(*state));
    }
    notify_ready(NULL);
    notify_reloading(NULL);
    notify_stopping(NULL);
    assert_null(notify_destroy(NULL));
}

static void test_a_manager_that_does_not_read_holds_nothing_up_and_hears_of_it_later(void **state)
{
    struct notify *notify = create(*state);
    char text[256];

    for (int i = 0; i < 100000; i++) /* more than any socket keeps */
        notify_reloading(notify);
    notify_stopping(notify);
    while (*heard(*state, text))
        assert_ptr_equal(strstr(text, "RELOADING=1\n"), text);
    turn(*state);
    assert_string_equal(heard(*state, text), "STOPPING=1\nSTATUS=fine\n");
    while (*heard(*state, text))
        assert_string_equal(text, "WATCHDOG=1\nSTATUS=fine\n");
    notify_destroy(notify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_fact_is_one_datagram_with_the_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_stopping_nothing_else_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_watchdog_hears_of_a_loop_that_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_watchdog_hears_nothing_of_what_is_not_alive_but_people_do, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_watchdog_of_this_process_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_happens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_manager_that_does_not_read_holds_nothing_up_and_hears_of_it_later,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
