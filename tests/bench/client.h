/* client - one connection, its request, and the answer, which is checked while it arrives
 *
 * Ownership: clients are elements of their scenario's array and must not be moved; client_begin reuses a client in place.
 * Callbacks: on_checked for every good frame; on_end once per request, with a fault or FAULT_NONE. on_end may call client_begin.
 */
#ifndef ARKRELAY_BENCH_CLIENT_H
#define ARKRELAY_BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/net.h"
#include "tests/bench/poll.h"
#include "tests/bench/reader.h"
#include "tests/bench/stream_check.h"

enum { CLIENT_REQUEST_MAX = 1024, CLIENT_ID_MAX = 64 };

struct client;

/* Shared by all clients of a run. */
struct client_shared {
    struct poll *poll;
    struct endpoint to;
    struct sources sources;
    struct tally *tally;
    const char *prefix;
    enum stream_kind kind;
    int status;      /* of a good answer */
    bool keep_alive; /* the connection serves the next request too */
    size_t (*write_request)(const struct client *client, char out[CLIENT_REQUEST_MAX]);
    /* Set if the answer must be a body; NULL if it must be an event stream. */
    enum fault (*on_body)(struct client *client, struct text body);
    void (*on_checked)(struct client *client, const struct checked_frame *checked);
    void (*on_end)(struct client *client, enum fault fault);
    void *arg; /* the scenario's */
};

struct client {
    struct watch watch;
    struct client_shared *shared;
    struct reader reader;
    struct stream_check check;
    uint32_t number; /* of its task */
    bool sent, failed;
    bool opened;                /* used by the scenario only */
    int64_t began_ns, final_ns; /* final: arrival of the last event or of the body; 0: not yet */
};

void client_init(struct client *client, struct client_shared *shared);
void client_deinit(struct client *client);
void client_begin(struct client *client, uint32_t number);
bool client_is_open(const struct client *client);
void client_task_id(const struct client *client, char out[CLIENT_ID_MAX]);

#endif
