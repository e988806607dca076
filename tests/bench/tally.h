/* tally - what a run has counted: tasks, frames, faults by kind, and how long things took */
#ifndef ARKRELAY_BENCH_TALLY_H
#define ARKRELAY_BENCH_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/histogram.h"

/* Everything that can be wrong with an answer, in the words of tally_fault_name. */
enum fault {
    FAULT_NONE,
    FAULT_CONNECT,     /* no connection, or it broke while the request was sent */
    FAULT_STATUS,      /* another HTTP status than the one that was hoped for */
    FAULT_HEAD,        /* no HTTP/1.1 response head, or not the expected type */
    FAULT_CHUNK,       /* bytes that are no chunk */
    FAULT_FRAME,       /* a frame that is not built as the contract says, or too long */
    FAULT_JSON,        /* data that is no JSON, or not in the agreed shape */
    FAULT_TYPE,        /* an event type that is none of the four */
    FAULT_ID,          /* numbers with a gap, a repetition, another epoch, or none */
    FAULT_TASK,        /* the event of another task */
    FAULT_ORDER,       /* an event that was sent after this one came before it, or one is missing between them */
    FAULT_AFTER_FINAL, /* anything behind the final event */
    FAULT_NO_FINAL,    /* the answer ended without one */
    FAULT_TASK_FAILED, /* the task's end is an error, or a result without a picture */
    FAULT_TIMEOUT,     /* not over when the run was */
    FAULT_LOST,        /* an injected event that never arrived */
    FAULT_REDIS,       /* Redis, or the publisher's address, answered something else */
    FAULT_COUNT,
};

struct buf;

struct tally {
    uint64_t connections, tasks, frames, comments, hints, bytes;
    uint64_t faults[FAULT_COUNT];
    char example[512]; /* the first fault, in words */
    struct histogram took;
};

const char *tally_fault_name(enum fault fault);
void tally_fault(struct tally *tally, enum fault fault, const char *bytes, size_t len); /* bytes: what was wrong */
uint64_t tally_faults(const struct tally *tally);                                       /* all of them */

/* "connections":..,...,"errors":{..},"first_error":".." */
void tally_write(const struct tally *tally, struct buf *out);

#endif
