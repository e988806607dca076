/* storm_client - one connection of a storm: what it sends, in which pieces, and how it closes
 *
 * All of this is derived from the seed. A client waits for answers for a limited time, because it may have sent an incomplete request.
 *
 * Ownership: the caller owns the struct; storm_client_close closes the socket and frees its buffers.   Units: ms, bytes.
 */
#ifndef ARKRELAY_HOSTILE_STORM_CLIENT_H
#define ARKRELAY_HOSTILE_STORM_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/hostile/channel.h"
#include "tests/hostile/mutate.h"
#include "tests/hostile/seeds.h"

enum { STATUS_MAX = 600 };

/* Totals of a storm. */
struct tally {
    size_t clients, requests, answers, not_http; /* not_http: only counted for clients with `must_get_http` */
    size_t statuses[STATUS_MAX];
};

enum leaving { LEAVE_WHEN_SILENT, LEAVE_BY_HALF_CLOSE, LEAVE_MIDWAY, LEAVE_MIDWAY_BY_RESET };

struct storm_client {
    struct channel channel;
    struct chance chance;
    struct buf script;
    size_t sent, stop_at; /* bytes of `script`; it stops at stop_at */
    size_t piece_max;     /* of one write */
    enum leaving leaving;
    bool heard;         /* a byte was received */
    bool must_get_http; /* it uses the gateway's protocol (TLS or plain), so an answer must be HTTP */
    int64_t silent_since_ms;
};

/* Shared by all clients of a storm. tls: NULL if the gateway serves plain HTTP. */
struct storm_target {
    struct sockaddr_in gateway;
    SSL_CTX *tls;
    struct seeds *seeds;
};

/* False if the system has no free port or descriptor; try again later. */
bool storm_client_connect(struct storm_client *client, const struct storm_target *target, uint64_t seed,
                          struct tally *tally);

/* Sends and receives without blocking. False: the client is done, close it. Exits with status 1 if the connection was refused. */
bool storm_client_step(struct storm_client *client, bool writable, int64_t now_ms, struct tally *tally);
bool storm_client_wants_to_send(const struct storm_client *client);
void storm_client_close(struct storm_client *client);

#endif
