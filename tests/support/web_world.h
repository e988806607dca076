/* web_world - one loop, one server, one fetch, and probes: calls that note what came of them
 *
 * A test fails when it takes ten seconds.
 */
#ifndef TESTS_SUPPORT_FETCH_WORLD_H
#define TESTS_SUPPORT_FETCH_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/web/web.h"
#include "tests/support/stub_server.h"

struct event;

struct web_world {
    struct loop *loop;
    struct stub_server server; /* what it does may be set before the start */
    struct web *web;
    struct event *deadline;
    const char *ca_file;
    int64_t first_byte_ms; /* of calls that do not say */
    int open, done;        /* calls; the loop stops when they are equal */
};

/* One call, and what came of it. */
struct web_probe {
    struct web_world *world;
    struct web_call *call;
    int heads, status;
    char content_type[64], retry_after[64], request_id[64], words[256];
    struct buf data; /* the test's to deinit */
    int ends;
    enum web_end end;
    void (*on_head)(struct web_probe *probe);
    void (*on_data)(struct web_probe *probe);
    void (*on_done)(struct web_probe *probe);
    struct web_probe *other; /* for these */
};

/* A call's particulars; all zero will do. */
struct web_how {
    const char *scheme; /* NULL: http */
    size_t body_len, answer_max;
    int64_t total_ms;
};

/* Heads of answers that lack the line about their body's length, or have it. */
#define HEAD    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After:  7 \r\nx-request-id: 0217\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

void web_world_start(struct web_world *world);
void web_world_start_with(struct web_world *world, int64_t connect_ms, int64_t first_byte_ms);
void web_world_end(struct web_world *world);

void web_probe_start(struct web_world *world, struct web_probe *probe, const struct web_how *how);
int web_probe_start_at(struct web_world *world, struct web_probe *probe, const char *url,
                       const struct web_how *how) MUST_CHECK; /* as web_start */
void web_probe_ask(struct web_world *world, struct web_probe *probe,
                   const struct web_how *how); /* one call to the end */

#endif
