#include "worker/description.h"

#include "common/base/buf.h"
#include "common/ops/presence.h"
#include "worker/metrics/metrics.h"
#include "worker/options.h"
#include "worker/outbox_role.h"

enum { ARK_MS_MAX = 512 };

int worker_slots(const struct worker_options *options)
{
    return options->roles == ROLES_OUTBOX ? 0 : (int)options->concurrency;
}

/* The settings of calls. Without the role ark, a process need not have them, and may have other ones. */
static void describe_calls(struct presence_entry *entry, const struct worker_facts *facts)
{
    if (!worker_slots(facts->options))
        return;
    presence_add_field(entry, "catalogue", "%s", facts->catalogue);
    presence_add_field(entry, "images_per_minute", "%lld", (long long)facts->options->ark_images_per_minute);
}

/* "0,0,4,9,...": the cumulative counts of the histogram of ARK calls. The last one is the number of calls. */
static void write_ark_ms(struct presence_entry *entry, const struct metrics *metrics)
{
    struct buf counts;

    buf_init(&counts, ARK_MS_MAX);
    for (size_t i = 0; i <= worker_metric_table.rows[METRIC_ARK_SECONDS].bound_count; i++)
        buf_addf(&counts, i ? ",%lld" : "%lld", (long long)metrics_cumulative(&metrics, 1, METRIC_ARK_SECONDS, i));
    if (!buf_error(&counts))
        presence_add_field(entry, "ark_ms", "%s", buf_text(&counts));
    buf_deinit(&counts);
}

static void describe_metrics(struct presence_entry *entry, const struct metrics *metrics)
{
    presence_add_field(entry, "images", "%lld", (long long)metrics_sum(&metrics, 1, SAMPLE(METRIC_IMAGES)));
    presence_add_field(entry, "unknown", "%lld", (long long)metrics_sum(&metrics, 1, SAMPLE(METRIC_UNKNOWN_OUTCOMES)));
    write_ark_ms(entry, metrics);
}

void worker_describe(struct presence_entry *entry, const struct worker_facts *facts)
{
    presence_add_field(entry, "draining", "%d", facts->is_draining);
    presence_add_field(entry, "slots", "%d", worker_slots(facts->options));
    presence_add_field(entry, "busy", "%d", facts->busy);
    describe_calls(entry, facts);
    presence_add_field(entry, "keeps_pictures", "%d", *facts->options->storage.place != '\0');
    outbox_role_describe(facts->outbox, entry);
    if (facts->metrics)
        describe_metrics(entry, facts->metrics);
}
