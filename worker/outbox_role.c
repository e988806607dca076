#include "worker/outbox_role.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/ops/presence.h"
#include "common/storage/storage.h"
#include "common/task/storage_check.h"
#include "common/web/link_rules.h"
#include "common/web/web.h"
#include "common/webhook/signature.h"
#include "worker/metrics/metrics.h"
#include "worker/options.h"
#include "worker/outbox/outbox.h"
#include "worker/outbox/pictures.h"
#include "worker/outbox/sweep.h"
#include "worker/outbox/webhooks.h"
#include "worker/worker_storage.h"

enum { LINK_RETRY_MS = 5000, WHY_MAX = 512 };

struct outbox_role {
    struct outbox_role_config config;
    struct outbox *outbox;

    /* If pictures are kept; otherwise NULL. */
    struct web *downloads;
    struct link_rules *link_rules;
    struct pictures *pictures;
    struct sweep *sweep;

    /* If webhooks are signed; otherwise NULL. */
    char webhook_key[WEBHOOK_FINGERPRINT_SIZE]; /* for presence: tells different secrets apart */
    struct web *receivers;
    struct webhooks *webhooks;
};

static bool keeps_pictures(const struct worker_options *options)
{
    return *options->storage.place;
}

static bool delivers_webhooks(const struct worker_options *options)
{
    return *options->shared.webhook_secret;
}

bool outbox_role_is_on(const struct worker_options *options)
{
    return options->roles != ROLES_ARK && (keeps_pictures(options) || delivers_webhooks(options));
}

/* -- create and destroy */

static bool create_link_rules(struct outbox_role *role)
{
    const struct worker_options *options = role->config.options;
    const char *const trusted[] = {options->ark_base_url, options->ark_sim_url, NULL};
    struct buf why;
    int err;

    buf_init(&why, WHY_MAX);
    err = link_rules_create(trusted, options->image_url_map, &role->link_rules, &why);
    if (err)
        log_error("worker", "cannot use ARK_IMAGE_URL_MAP", "why=\"%s\"", buf_text(&why));
    buf_deinit(&why);
    return !err;
}

static bool create_pictures(struct outbox_role *role)
{
    const struct worker_options *options = role->config.options;
    struct storage *storage = role->config.storage->location.storage;
    struct loop *loop = role->config.loop;

    if (!create_link_rules(role))
        return false;
    role->downloads = web_create(&(struct web_setup){.loop = loop,
                                                     .connect_ms = options->ark_connect_timeout_ms,
                                                     .ca_file = options->ark_ca_file,
                                                     .user_agent = "arkrelay-worker/" ARKRELAY_VERSION});
    if (!role->downloads)
        return false;
    role->pictures = pictures_create(&(struct pictures_config){.loop = loop,
                                                               .web = role->downloads,
                                                               .storage = storage,
                                                               .rules = role->link_rules,
                                                               .metrics = role->config.metrics,
                                                               .check = role->config.storage->check,
                                                               .concurrency = (int)options->outbox_concurrency,
                                                               .lease_ms = options->outbox_lease_ms,
                                                               .link_retry_ms = LINK_RETRY_MS});
    role->sweep = sweep_create(&(struct sweep_config){
        .loop = loop, .storage = storage, .check = role->config.storage->check, .metrics = role->config.metrics});
    return role->pictures && role->sweep;
}

static bool create_webhooks(struct outbox_role *role)
{
    const struct worker_options *options = role->config.options;

    if (webhook_fingerprint(role->webhook_key, options->shared.webhook_secret))
        return false;
    role->receivers = web_create(&(struct web_setup){.loop = role->config.loop,
                                                     .connect_ms = options->webhook_timeout_ms,
                                                     .ca_file = options->webhook_ca_file,
                                                     .user_agent = "arkrelay-webhook/" ARKRELAY_VERSION});
    if (!role->receivers)
        return false;
    role->webhooks = webhooks_create(&(struct webhooks_config){.web = role->receivers,
                                                               .metrics = role->config.metrics,
                                                               .master = options->shared.webhook_secret,
                                                               .any_host = options->shared.webhook_private,
                                                               .concurrency = (int)options->webhook_concurrency,
                                                               .timeout_ms = options->webhook_timeout_ms});
    return role->webhooks;
}

static bool create_outbox(struct outbox_role *role)
{
    const struct outbox_role_config *config = &role->config;
    const struct outbox_kind *kinds[OUTBOX_KINDS_MAX + 1] = {NULL};
    size_t count = 0;

    if (role->pictures) {
        kinds[count++] = pictures_copies(role->pictures);
        kinds[count++] = pictures_deletions(role->pictures);
    }
    if (role->webhooks)
        kinds[count] = webhooks_kind(role->webhooks);
    role->outbox = outbox_create(&(struct outbox_config){.loop = config->loop,
                                                         .redis = config->redis,
                                                         .prefix = config->prefix,
                                                         .kinds = kinds,
                                                         .lease_ms = config->options->outbox_lease_ms,
                                                         .on_idle = config->on_idle,
                                                         .arg = config->arg});
    return role->outbox;
}

struct outbox_role *outbox_role_create(const struct outbox_role_config *config)
{
    struct outbox_role *role = calloc(1, sizeof(*role));

    if (!role)
        return NULL;
    role->config = *config;
    if ((keeps_pictures(config->options) && !create_pictures(role)) ||
        (delivers_webhooks(config->options) && !create_webhooks(role)) || !create_outbox(role))
        return outbox_role_destroy(role);
    return role;
}

struct outbox_role *outbox_role_destroy(struct outbox_role *role)
{
    if (!role)
        return NULL;
    outbox_destroy(role->outbox);
    sweep_destroy(role->sweep);
    pictures_destroy(role->pictures);
    webhooks_destroy(role->webhooks);
    web_destroy(role->receivers);
    web_destroy(role->downloads);
    link_rules_destroy(role->link_rules);
    free(role);
    return NULL;
}

/* -- for the worker */

void outbox_role_resume(struct outbox_role *role)
{
    if (role)
        outbox_resume(role->outbox);
}

bool outbox_role_stop(struct outbox_role *role)
{
    if (!role)
        return true;
    if (role->sweep)
        sweep_stop(role->sweep);
    return outbox_stop(role->outbox);
}

static int64_t copies_waiting(const struct outbox_role *role)
{
    return outbox_waiting(role->outbox, pictures_copies(role->pictures));
}

/* "": none is known. */
static const char *storage_trouble(const struct outbox_role *role)
{
    enum storage_end trouble = pictures_trouble(role->pictures);

    if (storage_check_failed(role->config.storage->check))
        return "other_storage";
    return trouble == STORAGE_DONE ? "" : storage_end_name(trouble);
}

void outbox_role_describe(const struct outbox_role *role, struct presence_entry *entry)
{
    if (role && role->webhooks)
        presence_add_field(entry, "webhook_key", "%s", role->webhook_key);
    if (!role || !role->pictures)
        return;
    presence_add_field(entry, "storage", "%s", storage_identity(role->config.storage->location.storage));
    presence_add_field(entry, "storage_trouble", "%s", storage_trouble(role));
    presence_add_field(entry, "copy_trouble", "%s", pictures_copy_trouble(role->pictures));
    presence_add_field(entry, "copies_given_up", "%lld", (long long)pictures_given_up(role->pictures));
    presence_add_field(entry, "copies_waiting", "%lld", (long long)copies_waiting(role));
}

void outbox_role_fill_metrics(const struct outbox_role *role, struct metrics *metrics)
{
    if (!role || !role->pictures)
        return;
    metrics_set(metrics, SAMPLE(METRIC_COPIES_WAITING), copies_waiting(role));
    metrics_set(metrics, SAMPLE(METRIC_STORAGE_FAILING), *storage_trouble(role) != '\0');
}
