/* stream_check - checks each frame of an event stream against the frames before it
 *
 * The stream of a task has numbers 1, 2, 3 ... of one epoch without a gap. Each event has one of four types, and JSON that names its type
 * and its task. There is one final event, and no event after it. The stream of a relay has the relay's own numbers and no end, so only
 * the injected count and the JSON are checked.
 */
#ifndef ARKRELAY_BENCH_STREAM_CHECK_H
#define ARKRELAY_BENCH_STREAM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/reader.h"

enum stream_kind { STREAM_OF_TASK, STREAM_OF_RELAY };

struct stream_check {
    int64_t epoch;
    uint32_t last;     /* the number of the last event */
    uint32_t injected; /* the count in the last event that carries one */
    bool final;
};

/* The meaning of one frame. */
struct checked_frame {
    bool comment, hint, final;
    int64_t at_ns; /* when it was injected; 0: not injected by this program */
};

void stream_check_begin(struct stream_check *check);
enum fault stream_check_frame(struct stream_check *check, enum stream_kind kind, const char *task_id,
                              const struct frame *frame, struct checked_frame *checked);

/* Members in the data of an injected event: its count on this stream, from 1, and the time. */
#define INJECTED_COUNT "\"injected\":"
#define INJECTED_TIME  "\"at_ns\":"

#endif
