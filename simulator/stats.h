/* simulator/stats - counters, and a record of each call
 *
 * When the table is full, the oldest record is dropped. A call's number is never reused, not even after a reset, so calls that
 * began before a reset are no longer counted.
 *
 * Ownership: the stats own the records; a record returned by sim_stats_record is valid until the next sim_stats_begin.
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
    int max_images, watermark; /* as sent; absent: 0 and -1 */
    bool stream;
    int status; /* 0 until the response begins */
    int images, delivered, failed, billed;
    int64_t charged_micros; /* for the billed images, and their references */
    enum sim_outcome outcome;
};

struct sim_stats;

struct sim_stats *sim_stats_create(size_t records_max); /* NULL when out of memory */
struct sim_stats *sim_stats_destroy(struct sim_stats *stats);

/* Adds the record of a new call and returns its number. Copies the strings of `facts` (NULL is stored as ""); sets number and
 * outcome. */
int64_t sim_stats_begin(struct sim_stats *stats, const struct sim_record *facts);

/* The record of a call; NULL if it was dropped. */
struct sim_record *sim_stats_record(struct sim_stats *stats, int64_t number);

void sim_stats_status(struct sim_stats *stats, int64_t number, int status); /* the response has begun */
void sim_stats_image(struct sim_stats *stats, int64_t number, bool billed); /* one image is complete or failed */
void sim_stats_charge(struct sim_stats *stats, int64_t number, int64_t micros);
void sim_stats_delivered(struct sim_stats *stats, int64_t number,
                         int images); /* `images` more were sent to the client */
void sim_stats_outcome(struct sim_stats *stats, int64_t number,
                       enum sim_outcome outcome); /* the record keeps the first one */
void sim_stats_end(struct sim_stats *stats, int64_t number, int64_t duration_ms);

size_t sim_stats_open(const struct sim_stats *stats);
void sim_stats_reset(struct sim_stats *stats);

/* sim_stats_write writes a JSON object without the closing brace, so that the caller can add members. sim_stats_write_calls writes
 * a JSON list, oldest call first. */
void sim_stats_write(const struct sim_stats *stats, struct buf *out);
void sim_stats_write_calls(const struct sim_stats *stats, struct buf *out);

#endif
