/* metrics - what a process counts, for whoever asks on /metrics
 *
 * A program describes its metrics in a table of rows. Each thread has values of its own: an array of numbers that only it writes, so
 * counting is a plain increment without a lock, and that any thread may read, so an answer adds up the values of all. Labels are
 * closed sets: a sample is a row and the places of its label values. What nobody knows before it is asked for (the queue, the
 * process's memory) goes into a set of values made for one answer.
 *
 * Values are whole numbers; those of a row with `micro` count millionths, which are written as decimals. All is in base units:
 * seconds, bytes.
 *
 * Ownership: the table outlives its values.
 * Threads:   metrics_add, metrics_set and metrics_observe on the owner's thread only; the others on any.
 * Errors:    functions that count accept NULL for the values, and count nothing.
 */
#ifndef ARKRELAY_METRICS_H
#define ARKRELAY_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct metrics;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_LABELS_MAX = 2 };

struct metric_label {
    const char *name;
    const char *const *values;
    size_t count;
};

struct metric {
    const char *name; /* without "_total" and "_bucket", which the writer adds where the format wants them */
    enum metric_type type;
    const char *help;
    bool micro;  /* counted in millionths; always so in a histogram */
    bool sparse; /* a sample that was never touched is not written, and neither is a row without samples */
    struct metric_label labels[METRIC_LABELS_MAX]; /* a histogram has none */
    const int64_t *bounds;                         /* of a histogram, in millionths, rising; "+Inf" comes by itself */
    size_t bound_count;
};

struct metric_table {
    const struct metric *rows;
    size_t count;
};

struct metrics *metrics_create(const struct metric_table *table); /* NULL when out of memory */
struct metrics *metrics_destroy(struct metrics *metrics);         /* accepts NULL; returns NULL */

/* The sample of a row: `first` and `second` are the places of its label values, 0 where there is no such label. */
struct sample {
    unsigned row, first, second;
};
#define SAMPLE(...) ((struct sample){.row = __VA_ARGS__})

void metrics_add(struct metrics *metrics, struct sample sample, int64_t n);
void metrics_set(struct metrics *metrics, struct sample sample, int64_t value);

/* `times` observations of the same value, in millionths. */
void metrics_observe(struct metrics *metrics, unsigned row, int64_t micro, int64_t times);

/* Over the values of all threads. */
int64_t metrics_sum(const struct metrics *const *all, size_t count, struct sample sample);

/* Observations up to bound `i` of a histogram and, where i is its bound_count, all of them. */
int64_t metrics_cumulative(const struct metrics *const *all, size_t count, unsigned row, size_t i);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Prometheus' text format, sums over all of these, which have the same table. There is at least one. */
void metrics_write(struct buf *out, const struct metrics *const *all, size_t count);

#endif
