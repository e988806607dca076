/* web_world - a loop, a server, a web client, and probes: calls that record their results
 *
 * A test that takes ten seconds fails.
 */
#ifndef TESTS_SUPPORT_FETCH_WORLD_H
#define TESTS_SUPPORT_FETCH_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/web/web.h"
#include "tests/support/stub_server.h"

struct event;

struct web_world {
    struct loop *loop;
    struct stub_server server; /* its behaviour may be set before the start */
    struct web *web;
    struct event *deadline;
    const char *ca_file;
    int64_t first_byte_ms; /* default for calls */
    int open, done;        /* calls; the loop stops when they are equal */
};

/* One call and its result. */
struct web_probe {
    struct web_world *world;
    struct web_call *call;
    int heads, status;
    char content_type[64], retry_after[64], request_id[64], words[256];
    struct buf data; /* the test must deinit it */
    int ends;
    enum web_end end;
    void (*on_head)(struct web_probe *probe);
    void (*on_data)(struct web_probe *probe);
    void (*on_done)(struct web_probe *probe);
    struct web_probe *other; /* for these */
};

/* Options of a call; all zero are the defaults. */
struct web_how {
    const char *scheme; /* NULL: http */
    size_t body_len, answer_max;
    int64_t total_ms;
};

/* Heads of answers, without or with the line about the body's length. */
#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After:  7 \r\nx-request-id: 0217\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

void web_world_start(struct web_world *world);
void web_world_start_with(struct web_world *world, int64_t connect_ms, int64_t first_byte_ms);
void web_world_end(struct web_world *world);

void web_probe_start(struct web_world *world, struct web_probe *probe, const struct web_how *how);
int web_probe_start_at(struct web_world *world, struct web_probe *probe, const char *url,
                       const struct web_how *how) MUST_CHECK; /* like web_start */
void web_probe_ask(struct web_world *world, struct web_probe *probe,
                   const struct web_how *how); /* runs one call to its end */

#endif
