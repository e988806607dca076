/* client - one connection, the request on it, and the answer, checked as it comes
 *
 * Ownership: clients lie in their scenario's array and stay there; they begin again in place.
 * Callbacks: on_told for every good frame; on_end once per request, with a fault or none. From inside on_end the client may begin again.
 */
#ifndef ARKRELAY_BENCH_CLIENT_H
#define ARKRELAY_BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/net.h"
#include "tests/bench/poll.h"
#include "tests/bench/reader.h"
#include "tests/bench/story.h"

enum { CLIENT_REQUEST_MAX = 1024, CLIENT_ID_MAX = 64 };

struct client;

/* What all clients of a run have in common. */
struct client_shared {
    struct poll *poll;
    struct endpoint to;
    struct sources sources;
    struct tally *tally;
    const char *prefix;
    enum story_kind kind;
    int status;      /* of a good answer */
    bool keep_alive; /* the connection serves the next request too */
    size_t (*write_request)(const struct client *client, char out[CLIENT_REQUEST_MAX]);
    /* Where a body is what is asked for, and an event stream is wrong; NULL: the other way round. */
    enum fault (*on_body)(struct client *client, struct text body);
    void (*on_told)(struct client *client, const struct told *told);
    void (*on_end)(struct client *client, enum fault fault);
    void *arg; /* the scenario's */
};

struct client {
    struct watch watch;
    struct client_shared *shared;
    struct reader reader;
    struct story story;
    uint32_t number; /* of its task */
    bool sent, failed;
    bool opened;                /* the scenario's own mark: nothing here looks at it */
    int64_t began_ns, final_ns; /* final: when the last event, or the body, came; 0: not yet */
};

void client_init(struct client *client, struct client_shared *shared);
void client_deinit(struct client *client);
void client_begin(struct client *client, uint32_t number);
bool client_is_open(const struct client *client);
void client_task_id(const struct client *client, char out[CLIENT_ID_MAX]);

#endif
