#include "simulator/stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_MAX = 600 };

struct counters {
    int64_t calls, by_status[STATUS_MAX];
    int64_t images_billed, images_delivered, images_failed, disconnects, cuts, charged_micros;
};

struct sim_stats {
    struct counters counters;
    size_t open, max_open;
    int64_t last, forgotten; /* call numbers: the latest, and the latest whose record was dropped by a reset */
    size_t max;
    struct sim_record *records; /* a ring buffer: call number n is at n % max */
};

static const char *const outcome_names[SIM_OUTCOMES] = {"open", "answered", "cut", "disconnected"};

struct sim_stats *sim_stats_create(size_t records_max)
{
    struct sim_stats *stats = calloc(1, sizeof(*stats));

    if (!stats)
        return NULL;
    stats->max = records_max;
    stats->records = calloc(records_max, sizeof(*stats->records));
    return stats->records ? stats : sim_stats_destroy(stats);
}

static void forget(struct sim_record *record)
{
    free(record->request_id);
    free(record->client_request_id);
    free(record->model);
    free(record->prompt);
    free(record->extras);
    free(record->size);
    *record = (struct sim_record){0};
}

static void forget_all(struct sim_stats *stats)
{
    for (size_t i = 0; stats->records && i < stats->max; i++)
        forget(&stats->records[i]);
}

struct sim_stats *sim_stats_destroy(struct sim_stats *stats)
{
    if (!stats)
        return NULL;
    forget_all(stats);
    free(stats->records);
    free(stats);
    return NULL;
}

static char *copy(const char *text)
{
    return strndup(text ? text : "", SIM_PROMPT_KEPT);
}

int64_t sim_stats_begin(struct sim_stats *stats, const struct sim_record *facts)
{
    int64_t number = ++stats->last;
    struct sim_record *record = &stats->records[(size_t)number % stats->max];

    forget(record);
    *record = *facts;
    record->number = number;
    record->request_id = copy(facts->request_id);
    record->client_request_id = copy(facts->client_request_id);
    record->model = copy(facts->model);
    record->prompt = copy(facts->prompt);
    record->size = copy(facts->size);
    record->extras = copy(facts->extras);
    record->outcome = SIM_OPEN;
    stats->counters.calls++;
    stats->open++;
    if (stats->open > stats->max_open)
        stats->max_open = stats->open;
    return number;
}

struct sim_record *sim_stats_record(struct sim_stats *stats, int64_t number)
{
    struct sim_record *record = &stats->records[(size_t)number % stats->max];

    return record->number == number ? record : NULL;
}

void sim_stats_status(struct sim_stats *stats, int64_t number, int status)
{
    struct sim_record *record = sim_stats_record(stats, number);

    if (number <= stats->forgotten)
        return;
    stats->counters.by_status[status]++;
    if (record)
        record->status = status;
}

void sim_stats_image(struct sim_stats *stats, int64_t number, bool billed)
{
    struct sim_record *record = sim_stats_record(stats, number);

    if (number <= stats->forgotten)
        return;
    stats->counters.images_billed += billed;
    stats->counters.images_failed += !billed;
    if (record) {
        record->billed += billed;
        record->failed += !billed;
    }
}

void sim_stats_charge(struct sim_stats *stats, int64_t number, int64_t micros)
{
    struct sim_record *record = sim_stats_record(stats, number);

    if (number <= stats->forgotten)
        return;
    stats->counters.charged_micros += micros;
    if (record)
        record->charged_micros += micros;
}

void sim_stats_delivered(struct sim_stats *stats, int64_t number, int images)
{
    struct sim_record *record = sim_stats_record(stats, number);

    if (number <= stats->forgotten)
        return;
    stats->counters.images_delivered += images;
    if (record)
        record->delivered += images;
}

void sim_stats_outcome(struct sim_stats *stats, int64_t number, enum sim_outcome outcome)
{
    struct sim_record *record = sim_stats_record(stats, number);

    if (number <= stats->forgotten)
        return;
    stats->counters.disconnects += outcome == SIM_DISCONNECTED;
    stats->counters.cuts += outcome == SIM_CUT;
    if (record && record->outcome == SIM_OPEN)
        record->outcome = outcome;
}

void sim_stats_end(struct sim_stats *stats, int64_t number, int64_t duration_ms)
{
    struct sim_record *record = sim_stats_record(stats, number);

    stats->open--;
    if (record)
        record->duration_ms = duration_ms;
}

size_t sim_stats_open(const struct sim_stats *stats)
{
    return stats->open;
}

void sim_stats_reset(struct sim_stats *stats)
{
    forget_all(stats);
    stats->counters = (struct counters){0};
    stats->max_open = stats->open;
    stats->forgotten = stats->last;
}

void sim_stats_write(const struct sim_stats *stats, struct buf *out)
{
    const struct counters *counters = &stats->counters;
    const char *comma = "";

    buf_addf(out, "{\"calls\":%" PRId64 ",\"calls_by_status\":{", counters->calls);
    for (int status = 0; status < STATUS_MAX; status++)
        if (counters->by_status[status]) {
            buf_addf(out, "%s\"%d\":%" PRId64, comma, status, counters->by_status[status]);
            comma = ",";
        }
    buf_addf(out, "},\"calls_open\":%zu,\"calls_max_open\":%zu", stats->open, stats->max_open);
    buf_addf(out, ",\"images_billed\":%" PRId64 ",\"images_delivered\":%" PRId64 ",\"images_failed\":%" PRId64,
             counters->images_billed, counters->images_delivered, counters->images_failed);
    buf_addf(out, ",\"charged_micros\":%" PRId64 ",\"disconnects\":%" PRId64 ",\"cuts\":%" PRId64,
             counters->charged_micros, counters->disconnects, counters->cuts);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, text ? text : "", text ? strlen(text) : 0);
}

static void add_record(struct buf *out, const struct sim_record *record)
{
    buf_addf(out, "{\"number\":%" PRId64 ",\"time_ms\":%" PRId64 ",\"duration_ms\":%" PRId64, record->number,
             record->time_ms, record->duration_ms);
    add_text(out, "request_id", record->request_id);
    add_text(out, "client_request_id", record->client_request_id);
    add_text(out, "model", record->model);
    add_text(out, "prompt", record->prompt);
    add_text(out, "size", record->size);
    buf_addf(out, ",\"refs\":%zu,\"max_images\":%d,\"watermark\":%s,\"stream\":%s", record->refs, record->max_images,
             record->watermark < 0 ? "null"
             : record->watermark   ? "true"
                                   : "false",
             record->stream ? "true" : "false");
    buf_addf(out, ",\"extras\":%s", record->extras && *record->extras ? record->extras : "{}");
    buf_addf(out,
             ",\"status\":%d,\"images\":%d,\"delivered\":%d,\"failed\":%d,\"billed\":%d,\"charged_micros\":%" PRId64
             ",\"outcome\":\"%s\"}",
             record->status, record->images, record->delivered, record->failed, record->billed, record->charged_micros,
             outcome_names[record->outcome]);
}

void sim_stats_write_calls(const struct sim_stats *stats, struct buf *out)
{
    int64_t kept = (int64_t)stats->max, from = stats->last > kept ? stats->last - kept + 1 : 1;

    if (from <= stats->forgotten)
        from = stats->forgotten + 1;
    buf_add_char(out, '[');
    for (int64_t number = from; number <= stats->last; number++) {
        if (number > from)
            buf_add_char(out, ',');
        add_record(out, &stats->records[(size_t)number % stats->max]);
    }
    buf_add_char(out, ']');
}
