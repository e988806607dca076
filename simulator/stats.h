/* simulator/stats - what happened: counters, and a record of each call
 *
 * The latest records are kept, the oldest are forgotten. A call's number is never used again, not after a reset either: what a
 * call from before the reset does later is not counted.
 *
 * Ownership: the stats own the records; sim_stats_record lends one until the next sim_stats_begin.
 * Units:     ms.
 */
#ifndef ARKRELAY_SIMULATOR_STATS_H
#define ARKRELAY_SIMULATOR_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum { SIM_RECORDS_MAX = 100000, SIM_PROMPT_KEPT = 1024 };

enum sim_outcome { SIM_OPEN, SIM_ANSWERED, SIM_CUT, SIM_DISCONNECTED, SIM_OUTCOMES };

struct sim_record {
    int64_t number, time_ms, duration_ms; /* duration: 0 while open */
    char *request_id, *client_request_id, *model, *prompt, *size, *extras;
    size_t refs;
    int max_images, watermark; /* as sent; 0 and -1: absent */
    bool stream;
    int status; /* 0 while nothing was answered */
    int images, delivered, failed, billed;
    enum sim_outcome outcome;
};

struct sim_stats;

struct sim_stats *sim_stats_create(size_t records_max); /* NULL when out of memory */
struct sim_stats *sim_stats_destroy(struct sim_stats *stats);

/* A call begins. The texts of `facts` are copied (NULL is ""); number and outcome are filled in. Returns the number. */
int64_t sim_stats_begin(struct sim_stats *stats, const struct sim_record *facts);

/* The record of a call, or NULL when it is forgotten. */
struct sim_record *sim_stats_record(struct sim_stats *stats, int64_t number);

void sim_stats_status(struct sim_stats *stats, int64_t number, int status);    /* the answer has begun */
void sim_stats_image(struct sim_stats *stats, int64_t number, bool billed);    /* one picture is made, or failed */
void sim_stats_delivered(struct sim_stats *stats, int64_t number, int images); /* the client has so many now */
void sim_stats_outcome(struct sim_stats *stats, int64_t number, enum sim_outcome outcome); /* the first one stays */
void sim_stats_end(struct sim_stats *stats, int64_t number, int64_t duration_ms);

size_t sim_stats_open(const struct sim_stats *stats);
void sim_stats_reset(struct sim_stats *stats);

/* A JSON object, open for more members (the closing brace is missing); a JSON list, oldest call first. */
void sim_stats_write(const struct sim_stats *stats, struct buf *out);
void sim_stats_write_calls(const struct sim_stats *stats, struct buf *out);

#endif
