#include "tests/bench/histogram.h"

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/macros.h"

static size_t bucket_of(uint64_t ns)
{
    unsigned octave, shift;
    size_t bucket;

    if (ns < HISTOGRAM_SUBS)
        return (size_t)ns;
    octave = 63 - (unsigned)__builtin_clzll(ns);
    shift = octave - HISTOGRAM_SUB_BITS;
    bucket = (size_t)(shift + 1) * HISTOGRAM_SUBS + (size_t)((ns >> shift) - HISTOGRAM_SUBS);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static int64_t lower_end(size_t bucket)
{
    size_t octave = bucket / HISTOGRAM_SUBS, sub = bucket % HISTOGRAM_SUBS;

    return octave == 0 ? (int64_t)sub : (int64_t)((uint64_t)(HISTOGRAM_SUBS + sub) << (octave - 1));
}

void histogram_add(struct histogram *histogram, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    histogram->buckets[bucket_of((uint64_t)ns)]++;
    histogram->count++;
    histogram->sum_ns += (double)ns;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

int64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t seen = 0, rank = (uint64_t)((double)histogram->count * share);

    if (histogram->count == 0)
        return 0;
    if (rank >= histogram->count)
        rank = histogram->count - 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > rank)
            return lower_end(i);
    }
    return histogram->max_ns;
}

static void write_percentiles(const struct histogram *histogram, struct buf *out)
{
    static const struct {
        const char *name;
        double share;
    } rows[] = {
        {"p50_us",   0.5  },
        {"p90_us",   0.9  },
        {"p99_us",   0.99 },
        {"p99.9_us", 0.999}
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        buf_addf(out, ",\"%s\":%.1f", rows[i].name, (double)histogram_at(histogram, rows[i].share) / 1e3);
}

void histogram_write(const struct histogram *histogram, struct buf *out)
{
    double mean_ns = histogram->count ? histogram->sum_ns / (double)histogram->count : 0;
    bool first = true;

    buf_addf(out, "{\"count\":%llu,\"mean_us\":%.1f", (unsigned long long)histogram->count, mean_ns / 1e3);
    write_percentiles(histogram, out);
    buf_addf(out, ",\"max_us\":%.1f,\"buckets\":[", (double)histogram->max_ns / 1e3);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!histogram->buckets[i])
            continue;
        buf_addf(out, "%s[%lld,%u]", first ? "" : ",", (long long)lower_end(i), histogram->buckets[i]);
        first = false;
    }
    buf_add_text(out, "]}");
}
