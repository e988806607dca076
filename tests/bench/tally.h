/* tally - the counters of a run: tasks, frames, faults by kind, and durations */
#ifndef ARKRELAY_BENCH_TALLY_H
#define ARKRELAY_BENCH_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/histogram.h"

/* The faults of an answer. tally_fault_name has their names in the report. */
enum fault {
    FAULT_NONE,
    FAULT_CONNECT,     /* no connection, or it was lost while the request was sent */
    FAULT_STATUS,      /* not the expected HTTP status */
    FAULT_HEAD,        /* not a response head, or not the expected content type */
    FAULT_CHUNK,       /* an invalid chunk */
    FAULT_FRAME,       /* a frame that violates the contract, or is too long */
    FAULT_JSON,        /* data that is not JSON, or has the wrong members */
    FAULT_TYPE,        /* not one of the four event types */
    FAULT_ID,          /* a gap, a repetition, another epoch, or no number */
    FAULT_TASK,        /* an event of another task */
    FAULT_ORDER,       /* an injected event is missing or out of order */
    FAULT_AFTER_FINAL, /* an event after the final event */
    FAULT_NO_FINAL,    /* the answer ended without a final event */
    FAULT_TASK_FAILED, /* the task ended with an error, or without a picture */
    FAULT_TIMEOUT,     /* not ended at the end of the run */
    FAULT_LOST,        /* an injected event that never arrived */
    FAULT_REDIS,       /* an unexpected answer of Redis or of the publish address */
    FAULT_COUNT,
};

struct buf;

struct tally {
    uint64_t connections, tasks, frames, comments, hints, bytes;
    uint64_t faults[FAULT_COUNT];
    char example[512]; /* a description of the first fault */
    struct histogram took;
};

const char *tally_fault_name(enum fault fault);
void tally_fault(struct tally *tally, enum fault fault, const char *bytes,
                 size_t len);                     /* bytes: the wrong part of the answer */
uint64_t tally_faults(const struct tally *tally); /* all of them */

/* "connections":..,...,"errors":{..},"first_error":".." */
void tally_write(const struct tally *tally, struct buf *out);

#endif
