/* metrics - counters, gauges and histograms in Prometheus' text format
 *
 * A program describes its metrics in a table of rows. A `struct metrics` holds one set of values for the table. Every thread has its
 * own set: only that thread writes it, so counting is an increment without a lock. Any thread may read it; /metrics writes the sum of
 * all sets. Values that are only read for an answer (the queue, the process's memory) are put into a set created for that answer.
 *
 * Label values are fixed lists in the table. A sample is named by its row and the indexes of its label values.
 *
 * Format:    Prometheus exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
 * Ownership: borrows the table.
 * Threads:   metrics_add, metrics_set and metrics_observe on the set's own thread only; the other functions on any thread.
 * Units:     seconds and bytes. Values are integers; a `micro` row counts millionths, which are written as decimals.
 * Errors:    metrics_add, metrics_set and metrics_observe are no-ops if `metrics` is NULL.
 */
#ifndef ARKRELAY_OPS_METRICS_H
#define ARKRELAY_OPS_METRICS_H

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
    const char *name; /* without the suffixes "_total" and "_bucket", which the writer adds */
    enum metric_type type;
    const char *help;
    bool micro;                                    /* values are in millionths; histograms always are */
    bool sparse;                                   /* omit samples that were never set, and the row if it has none */
    struct metric_label labels[METRIC_LABELS_MAX]; /* not for histograms */
    const int64_t *bounds;                         /* a histogram's, in millionths, ascending, without "+Inf" */
    size_t bound_count;
};

struct metric_table {
    const struct metric *rows;
    size_t count;
};

struct metrics *metrics_create(const struct metric_table *table); /* NULL when out of memory */
struct metrics *metrics_destroy(struct metrics *metrics);         /* accepts NULL; returns NULL */

/* A sample of a row. `first` and `second` are the indexes of its label values, 0 for a label that the row does not have. */
struct sample {
    unsigned row, first, second;
};
#define SAMPLE(...) ((struct sample){.row = __VA_ARGS__})

void metrics_add(struct metrics *metrics, struct sample sample, int64_t n);
void metrics_set(struct metrics *metrics, struct sample sample, int64_t value);

/* `times` observations of the same value, in millionths. */
void metrics_observe(struct metrics *metrics, unsigned row, int64_t micro, int64_t times);

/* The sum over all sets. */
int64_t metrics_sum(const struct metrics *const *all, size_t count, struct sample sample);

/* A histogram's observations up to bound `i`, or all of them if i is bound_count. */
int64_t metrics_cumulative(const struct metrics *const *all, size_t count, unsigned row, size_t i);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Writes the sums over all sets. They must have the same table, and count must be at least 1. */
void metrics_write(struct buf *out, const struct metrics *const *all, size_t count);

#endif
