/* histogram - durations in logarithmic buckets
 *
 * Every power of two has 128 buckets, so the error of a percentile is below one percent. The maximum is exact.
 * The buckets are printed, so that those of several processes can be added.
 *
 * Units: nanoseconds in, microseconds out.
 */
#ifndef ARKRELAY_BENCH_HISTOGRAM_H
#define ARKRELAY_BENCH_HISTOGRAM_H

#include <stdint.h>

struct buf;

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_SUBS = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BUCKETS = (44 - HISTOGRAM_SUB_BITS) * HISTOGRAM_SUBS, /* up to 2^43 ns, more than two hours */
};

struct histogram {
    uint64_t count;
    int64_t max_ns;
    double sum_ns;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t ns); /* below 0 counts as 0 */

/* The lower end of the bucket of this percentile; share is 0 to 1. 0 if the histogram is empty. */
int64_t histogram_at(const struct histogram *histogram, double share);

/* {"count":,"mean_us":,"p50_us":,...,"max_us":,"buckets":[[lower end in ns, count],...]} */
void histogram_write(const struct histogram *histogram, struct buf *out);

#endif
