/* visitor - one connection of a storm: what it sends, in which pieces, and how it leaves
 *
 * All of it follows from the seed and the visitor's number. A visitor waits for answers only so long: what it sent may well be half
 * a request.
 *
 * Ownership: the caller owns the struct; visitor_leave closes the socket and frees what it holds.   Units: ms, bytes.
 */
#ifndef ARKRELAY_HOSTILE_VISITOR_H
#define ARKRELAY_HOSTILE_VISITOR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "tests/hostile/channel.h"
#include "tests/hostile/mutate.h"
#include "tests/hostile/seeds.h"

enum { STATUS_MAX = 600 };

/* What a whole storm has seen. */
struct tally {
    size_t visitors, requests, answers,
        not_http; /* not_http: but for visitors whose channel is not what the gateway speaks */
    size_t statuses[STATUS_MAX];
};

enum leaving { LEAVE_WHEN_SILENT, LEAVE_BY_HALF_CLOSE, LEAVE_MIDWAY, LEAVE_MIDWAY_BY_RESET };

struct visitor {
    struct channel channel;
    struct chance chance;
    struct buf script;
    size_t sent, stop_at; /* it sends no further than stop_at */
    size_t piece_max;     /* of one write */
    enum leaving leaving;
    bool heard;     /* an answer has begun */
    bool is_judged; /* what it hears has to be HTTP */
    int64_t silent_since_ms;
};

/* Where they all want to get in. tls: NULL where the gateway speaks plain HTTP. */
struct door {
    struct sockaddr_in gateway;
    SSL_CTX *tls;
    struct seeds *seeds;
};

/* Connects. False: the system has no port or descriptor left at the moment. Ends the process when nobody listens. */
bool visitor_arrive(struct visitor *visitor, const struct door *door, uint64_t seed, struct tally *tally);

/* Sends and receives what can be now. False: it is done, and is to leave. */
bool visitor_act(struct visitor *visitor, bool writable, int64_t now_ms, struct tally *tally);
bool visitor_wants_to_send(const struct visitor *visitor);
void visitor_leave(struct visitor *visitor);

#endif
