#include "gateway/streams/latency.h"

#include "common/base/clock.h"
#include "gateway/metrics/gateway_metrics.h"

static void latency_on_turn_end(void *arg)
{
    struct latency *latency = arg;

    latency->is_deferred = false;
    metrics_observe(latency->metrics, METRIC_SSE_LATENCY, clock_monotonic_us() - latency->began_us, latency->frames);
}

void latency_note(struct latency *latency, int64_t began_us, int64_t frames)
{
    if (!frames)
        return;
    if (!latency->is_deferred) {
        latency->is_deferred = true;
        latency->began_us = began_us;
        latency->frames = 0;
        loop_defer(latency->loop, &latency->deferred, latency_on_turn_end, latency);
    }
    latency->frames += frames;
}
