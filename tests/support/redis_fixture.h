/* redis_fixture - an event loop, a Redis client under test, and a record of its events
 */
#ifndef TESTS_SUPPORT_REDIS_FIXTURE_H
#define TESTS_SUPPORT_REDIS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/redis/address.h"
#include "common/redis/client.h"

struct event;
struct loop;

struct fixture {
    struct loop *loop;
    struct event *deadline;
    struct redis_address address;
    struct redis_config config; /* may be changed before fixture_connect */
    struct redis *redis;

    int ready, lost, subscribed, messages;
    char channel[128], payload[256]; /* of the last message */
    size_t payload_len;
    int answered; /* answered calls so far */
    off_t log_from;
};

/* The result of one call. Pass it as the argument of the callback, with `fixture` set. */
struct answer {
    struct fixture *fixture;
    int times, order; /* order: 1 for the fixture's first answer */
    int err, type;
    char text[256];
    long long integer;
    size_t elements;
};

void fixture_init(struct fixture *fixture, const char *url);
void fixture_deinit(struct fixture *fixture);

/* Register tests with FIXTURE_TEST: a failed test then prints the log. */
int fixture_teardown(void **state);
#define FIXTURE_TEST(name) cmocka_unit_test_teardown(name, fixture_teardown)

void fixture_connect(struct fixture *fixture); /* creates the client; does not wait */
void fixture_turn(struct fixture *fixture);    /* one turn of the loop; fails the test after 30 s */

/* Init, connect, and wait until the client is ready. */
void fixture_begin(struct fixture *fixture, const char *url);

/* Sends a command and waits for its answer. */
struct answer fixture_ask(struct fixture *fixture, const char *const *words);

/* The log lines of this process since fixture_init; valid until the next call. */
const char *fixture_log(struct fixture *fixture);
int fixture_log_count(struct fixture *fixture, const char *text);

redis_reply_fn on_answer; /* arg: struct answer */

/* Runs the loop until the condition is true. */
#define WAIT_UNTIL(fixture, condition)                                                                                 \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            fixture_turn(fixture);                                                                                     \
    } while (0)

#endif
