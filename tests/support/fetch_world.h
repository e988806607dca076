/* fetch_world - a loop, a server, a fetch, and probes: calls that record their results
 *
 * A test that takes ten seconds fails.
 */
#ifndef TESTS_SUPPORT_FETCH_WORLD_H
#define TESTS_SUPPORT_FETCH_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "tests/support/stub_server.h"
#include "worker/fetch.h"

struct event;

struct fetch_world {
    struct loop *loop;
    struct stub_server server; /* its behaviour may be set before the start */
    struct fetch *fetch;
    struct event *deadline;
    const char *ca_file;
    int64_t first_byte_ms; /* default for calls */
    int open, done;        /* calls; the loop stops when they are equal */
};

/* One call and its result. */
struct fetch_probe {
    struct fetch_world *world;
    struct fetch_call *call;
    int heads, status;
    char content_type[64], retry_after[64], request_id[64], words[256];
    struct buf data; /* the test must deinit it */
    int ends;
    enum fetch_end end;
    void (*on_head)(struct fetch_probe *probe);
    void (*on_data)(struct fetch_probe *probe);
    void (*on_done)(struct fetch_probe *probe);
    struct fetch_probe *other; /* for these */
};

/* Options of a call; all zero are the defaults. */
struct fetch_how {
    const char *scheme; /* NULL: http */
    size_t body_len, answer_max;
    int64_t total_ms;
};

/* Heads of answers, without or with the line about the body's length. */
#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After:  7 \r\nx-request-id: 0217\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

void fetch_world_start(struct fetch_world *world);
void fetch_world_start_with(struct fetch_world *world, int64_t connect_ms, int64_t first_byte_ms);
void fetch_world_end(struct fetch_world *world);

void fetch_probe_start(struct fetch_world *world, struct fetch_probe *probe, const struct fetch_how *how);
int fetch_probe_start_at(struct fetch_world *world, struct fetch_probe *probe, const char *url,
                         const struct fetch_how *how) MUST_CHECK; /* like fetch_start */
void fetch_probe_ask(struct fetch_world *world, struct fetch_probe *probe,
                     const struct fetch_how *how); /* runs one call to its end */

#endif
