/* story - what the frames of one stream have told so far, and whether the next one goes with it
 *
 * A task's story: numbers 1, 2, 3 ... of one epoch without a gap, one of four types, JSON that names its type and its task, one
 * final event, nothing behind it. A relay's story has numbers of the relay's own making and no end; there the injected count and
 * the JSON are what is checked.
 */
#ifndef ARKRELAY_BENCH_STORY_H
#define ARKRELAY_BENCH_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/reader.h"

enum story_kind { STORY_TASK, STORY_RELAY };

struct story {
    int64_t epoch;
    uint32_t last;     /* the number of the last event */
    uint32_t injected; /* the count in the last event that carries one */
    bool final;
};

/* What one frame meant. */
struct told {
    bool comment, hint, final;
    int64_t at_ns; /* when it was injected; 0: by somebody else */
};

void story_begin(struct story *story);
enum fault story_take(struct story *story, enum story_kind kind, const char *task_id, const struct frame *frame,
                      struct told *told);

/* An injected event carries two numbers behind these names in its data: its count on this stream, from 1, and the time. */
#define STORY_COUNT "\"injected\":"
#define STORY_TIME  "\"at_ns\":"

#endif
