#include "common/ops/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/buf.h"

enum { MICRO = 1000000, MICRO_DIGITS = 6 };

#define UNTOUCHED INT64_MIN /* a sample of a sparse row that was never set */

struct metrics {
    const struct metric_table *table;
    size_t *first; /* the index of each row's first cell */
    _Atomic int64_t cells[];
};

static size_t label_count(const struct metric *row, int i)
{
    return row->labels[i].name ? row->labels[i].count : 1;
}

/* A histogram's cells: one per bucket, not cumulative, and then the sum of the observed values. */
static size_t cell_count(const struct metric *row)
{
    return row->type == METRIC_HISTOGRAM ? row->bound_count + 2 : label_count(row, 0) * label_count(row, 1);
}

static void lay_out(struct metrics *metrics)
{
    size_t next = 0;

    for (size_t i = 0; i < metrics->table->count; i++) {
        const struct metric *row = &metrics->table->rows[i];

        metrics->first[i] = next;
        for (size_t left = cell_count(row); left; left--)
            atomic_init(&metrics->cells[next++], row->sparse ? UNTOUCHED : 0);
    }
}

struct metrics *metrics_create(const struct metric_table *table)
{
    struct metrics *metrics;
    size_t cells = 0;

    for (size_t i = 0; i < table->count; i++)
        cells += cell_count(&table->rows[i]);
    metrics = calloc(1, sizeof(*metrics) + cells * sizeof(metrics->cells[0]));
    if (!metrics)
        return NULL;
    metrics->table = table;
    /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a table has rows */
    metrics->first = calloc(table->count, sizeof(*metrics->first));
    if (!metrics->first)
        return metrics_destroy(metrics);
    lay_out(metrics);
    return metrics;
}

struct metrics *metrics_destroy(struct metrics *metrics)
{
    if (metrics)
        free(metrics->first);
    free(metrics);
    return NULL;
}

/* -- counting
 *
 * Only one thread writes a cell, so a load and a store are enough: they compile to a plain increment. */

static int64_t get_cell(const struct metrics *metrics, size_t cell)
{
    return atomic_load_explicit(&metrics->cells[cell], memory_order_relaxed);
}

static void set_cell(struct metrics *metrics, size_t cell, int64_t value)
{
    atomic_store_explicit(&metrics->cells[cell], value, memory_order_relaxed);
}

static void add_to_cell(struct metrics *metrics, size_t cell, int64_t n)
{
    int64_t value = get_cell(metrics, cell);

    set_cell(metrics, cell, value == UNTOUCHED ? n : value + n);
}

static size_t cell_of(const struct metrics *metrics, struct sample sample)
{
    const struct metric *row = &metrics->table->rows[sample.row];

    assert(sample.first < label_count(row, 0) && sample.second < label_count(row, 1));
    return metrics->first[sample.row] + sample.first * label_count(row, 1) + sample.second;
}

void metrics_add(struct metrics *metrics, struct sample sample, int64_t n)
{
    if (metrics)
        add_to_cell(metrics, cell_of(metrics, sample), n);
}

void metrics_set(struct metrics *metrics, struct sample sample, int64_t value)
{
    if (metrics)
        set_cell(metrics, cell_of(metrics, sample), value);
}

void metrics_observe(struct metrics *metrics, unsigned row_number, int64_t micro, int64_t times)
{
    const struct metric *row;
    size_t first, bucket = 0;

    if (!metrics)
        return;
    row = &metrics->table->rows[row_number];
    first = metrics->first[row_number];
    while (bucket < row->bound_count && micro > row->bounds[bucket])
        bucket++;
    add_to_cell(metrics, first + bucket, times);
    add_to_cell(metrics, first + row->bound_count + 1, micro * times);
}

/* -- reading */

static int64_t sum_cell(const struct metrics *const *all, size_t count, size_t cell)
{
    int64_t sum = UNTOUCHED;

    for (size_t i = 0; i < count; i++) {
        int64_t value = get_cell(all[i], cell);

        if (value != UNTOUCHED)
            sum = sum == UNTOUCHED ? value : sum + value;
    }
    return sum;
}

int64_t metrics_sum(const struct metrics *const *all, size_t count, struct sample sample)
{
    int64_t sum = sum_cell(all, count, cell_of(all[0], sample));

    return sum == UNTOUCHED ? 0 : sum;
}

int64_t metrics_cumulative(const struct metrics *const *all, size_t count, unsigned row, size_t i)
{
    int64_t sum = 0;

    for (size_t bucket = 0; bucket <= i; bucket++)
        sum += sum_cell(all, count, all[0]->first[row] + bucket);
    return sum;
}

/* -- writing */

static void add_decimal(struct buf *out, int64_t micro)
{
    uint64_t size = micro < 0 ? -(uint64_t)micro : (uint64_t)micro, rest = size % MICRO;
    int digits = MICRO_DIGITS;

    buf_addf(out, "%s%" PRIu64, micro < 0 ? "-" : "", size / MICRO);
    if (!rest)
        return;
    for (; rest % 10 == 0; rest /= 10)
        digits--;
    buf_addf(out, ".%0*" PRIu64, digits, rest);
}

static void add_value(struct buf *out, const struct metric *row, int64_t value)
{
    buf_add_char(out, ' ');
    if (row->micro)
        add_decimal(out, value);
    else
        buf_add_int(out, value);
    buf_add_char(out, '\n');
}

/* HELP texts and label values are escaped alike, except that quotes are only escaped in label values. */
static void add_exposition_text(struct buf *out, const char *text, bool quoted)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_add_text(out, "\\n");
        else if (*text == '\\' || (quoted && *text == '"'))
            buf_addf(out, "\\%c", *text);
        else
            buf_add_char(out, *text);
    }
}

static void add_label(struct buf *out, const struct metric_label *label, size_t i, char before)
{
    buf_addf(out, "%c%s=\"", before, label->name);
    add_exposition_text(out, label->values[i], true);
    buf_add_char(out, '"');
}

static void add_metric_name(struct buf *out, const struct metric *row)
{
    buf_addf(out, "%s%s", row->name, row->type == METRIC_COUNTER ? "_total" : "");
}

static void write_metric_head(struct buf *out, const struct metric *row)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    buf_add_text(out, "# HELP ");
    add_metric_name(out, row);
    buf_add_char(out, ' ');
    add_exposition_text(out, row->help, false);
    buf_add_text(out, "\n# TYPE ");
    add_metric_name(out, row);
    buf_addf(out, " %s\n", types[row->type]);
}

static void write_samples(struct buf *out, const struct metric *row, const int64_t *values)
{
    size_t inner = label_count(row, 1);
    bool has_head = false;

    for (size_t i = 0; i < label_count(row, 0) * inner; i++) {
        if (values[i] == UNTOUCHED)
            continue;
        if (!has_head)
            write_metric_head(out, row);
        has_head = true;
        add_metric_name(out, row);
        if (row->labels[0].name)
            add_label(out, &row->labels[0], i / inner, '{');
        if (row->labels[1].name)
            add_label(out, &row->labels[1], i % inner, ',');
        if (row->labels[0].name)
            buf_add_char(out, '}');
        add_value(out, row, values[i]);
    }
}

static void write_histogram(struct buf *out, const struct metric *row, const int64_t *values)
{
    int64_t below = 0;

    write_metric_head(out, row);
    for (size_t i = 0; i <= row->bound_count; i++) {
        below += values[i];
        buf_addf(out, "%s_bucket{le=\"", row->name);
        if (i < row->bound_count)
            add_decimal(out, row->bounds[i]);
        else
            buf_add_text(out, "+Inf");
        buf_addf(out, "\"} %" PRId64 "\n", below);
    }
    buf_addf(out, "%s_sum ", row->name);
    add_decimal(out, values[row->bound_count + 1]);
    buf_addf(out, "\n%s_count %" PRId64 "\n", row->name, below);
}

/* Reads each cell once, so that a histogram's count equals its last bucket even while other threads are counting. */
void metrics_write(struct buf *out, const struct metrics *const *all, size_t count)
{
    const struct metric_table *table = all[0]->table;

    for (size_t i = 0; i < table->count; i++) {
        const struct metric *row = &table->rows[i];
        size_t cells = cell_count(row);
        int64_t *values = calloc(cells, sizeof(*values));

        if (!values) {
            buf_fail(out, ERR_NO_MEMORY);
            return;
        }
        for (size_t cell = 0; cell < cells; cell++)
            values[cell] = sum_cell(all, count, all[0]->first[i] + cell);
        (row->type == METRIC_HISTOGRAM ? write_histogram : write_samples)(out, row, values);
        free(values);
    }
}
