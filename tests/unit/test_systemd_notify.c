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

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/ops/systemd_notify.h"

enum { TURNS = 5, TURN_US = 20000 };

/* A fake systemd on an abstract socket, and the program that it watches. */
struct world {
    struct loop *loop;
    struct event *turn;
    int manager, turns;
    bool is_alive;
    const char *status;
};

static void describe(char out[SYSTEMD_STATUS_SIZE], void *arg)
{
    const struct world *world = arg;

    (void)snprintf(out, SYSTEMD_STATUS_SIZE, "%s", world->status);
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

static struct systemd_notify *create(struct world *world)
{
    return systemd_notify_create(&(struct systemd_notify_config){
        .loop = world->loop, .program = "test", .describe = describe, .is_alive = is_alive, .arg = world});
}

/* The next datagram; "" if there is none. */
static const char *receive(struct world *world, char out[256])
{
    ssize_t len = recv(world->manager, out, 255, 0);

    out[len > 0 ? len : 0] = '\0';
    return out;
}

static void test_each_message_is_one_datagram_with_the_status(void **state)
{
    struct systemd_notify *notify = create(*state);
    char text[256];

    systemd_notify_ready(notify);
    assert_string_equal(receive(*state, text), "READY=1\nSTATUS=fine\n");
    systemd_notify_reloading(notify);
    assert_ptr_equal(strstr(receive(*state, text), "RELOADING=1\nMONOTONIC_USEC="), text);
    systemd_notify_stopping(notify);
    assert_string_equal(receive(*state, text), "STOPPING=1\nSTATUS=fine\n");
    assert_string_equal(receive(*state, text), "");
    systemd_notify_destroy(notify);
}

static void test_nothing_is_sent_after_stopping(void **state)
{
    struct systemd_notify *notify = create(*state);
    char text[256];

    systemd_notify_stopping(notify);
    receive(*state, text);
    systemd_notify_ready(notify);
    systemd_notify_reloading(notify);
    systemd_notify_stopping(notify);
    assert_string_equal(receive(*state, text), "");
    systemd_notify_destroy(notify);
}

static void test_a_running_loop_reports_to_the_watchdog(void **state)
{
    struct systemd_notify *notify = create(*state);
    char text[256];

    turn(*state);
    assert_string_equal(receive(*state, text), "WATCHDOG=1\nSTATUS=fine\n");
    assert_string_equal(receive(*state, text), "WATCHDOG=1\nSTATUS=fine\n");
    systemd_notify_destroy(notify);
}

static void test_a_program_that_is_not_alive_reports_its_status_but_no_watchdog(void **state)
{
    struct world *world = *state;
    struct systemd_notify *notify = create(world);
    char text[256];

    systemd_notify_ready(notify);
    receive(world, text);
    world->is_alive = false;
    turn(world);
    assert_string_equal(receive(world, text), "");
    world->status = "stuck";
    turn(world);
    assert_string_equal(receive(world, text), "STATUS=stuck\n");
    assert_string_equal(receive(world, text), "");
    systemd_notify_destroy(notify);
}

static void test_no_report_without_a_watchdog_for_this_process(void **state)
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

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct systemd_notify *notify;
        char text[256];

        unsetenv("WATCHDOG_USEC");
        if (cases[i].usec)
            setenv("WATCHDOG_USEC", cases[i].usec, 1);
        if (cases[i].pid)
            setenv("WATCHDOG_PID", cases[i].pid, 1);
        notify = create(*state);
        systemd_notify_ready(notify);
        receive(*state, text);
        turn(*state);
        assert_string_equal(receive(*state, text), "");
        systemd_notify_destroy(notify);
    }
}

static void test_without_a_service_manager_all_functions_are_no_ops(void **state)
{
    static const char *const names[] = {NULL, "", "relative/path", "@", "/", "vsock:2:1"};
    char too_long[120] = "/";

    memset(too_long + 1, 'x', sizeof(too_long) - 2);
    for (size_t i = 0; i <= ARRAY_LENGTH(names); i++) {
        const char *name = i ? names[i - 1] : too_long;

        unsetenv("NOTIFY_SOCKET");
        if (name)
            setenv("NOTIFY_SOCKET", name, 1);
        assert_null(create(*state));
    }
    systemd_notify_ready(NULL);
    systemd_notify_reloading(NULL);
    systemd_notify_stopping(NULL);
    assert_null(systemd_notify_destroy(NULL));
}

static void test_a_service_manager_that_does_not_read_gets_the_last_state_later(void **state)
{
    struct systemd_notify *notify = create(*state);
    char text[256];

    for (int i = 0; i < 100000; i++) /* more than the socket buffers */
        systemd_notify_reloading(notify);
    systemd_notify_stopping(notify);
    while (*receive(*state, text))
        assert_ptr_equal(strstr(text, "RELOADING=1\n"), text);
    turn(*state);
    assert_string_equal(receive(*state, text), "STOPPING=1\nSTATUS=fine\n");
    while (*receive(*state, text))
        assert_string_equal(text, "WATCHDOG=1\nSTATUS=fine\n");
    systemd_notify_destroy(notify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_message_is_one_datagram_with_the_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_sent_after_stopping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_running_loop_reports_to_the_watchdog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_program_that_is_not_alive_reports_its_status_but_no_watchdog, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_report_without_a_watchdog_for_this_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_service_manager_all_functions_are_no_ops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_service_manager_that_does_not_read_gets_the_last_state_later, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
