/* arkrelay-gateway - accepts tasks over HTTP, queues them in Redis and streams their events to clients
 *
 * main reads the options and the files that they name, then runs the process (process.h), a command for API keys, or the health check.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/buf.h"
#include "common/base/core_dump.h"
#include "common/base/log.h"
#include "common/base/sha256.h"
#include "common/http/address_limit.h"
#include "common/http/healthcheck.h"
#include "common/http/tls.h"
#include "common/models/catalogue_file.h"
#include "common/models/default_warnings.h"
#include "common/redis/address.h"
#include "gateway/access/client.h"
#include "gateway/access/cors.h"
#include "gateway/access/key_command.h"
#include "gateway/access/keyring.h"
#include "gateway/access/webhook_command.h"
#include "gateway/options.h"
#include "gateway/process.h"

enum { REDIS_TEXT_SIZE = 256, WHY_MAX = 1024, OTHER_FILES = 64 };

struct program {
    struct gateway_options options;
    struct redis_address redis;
    struct cors *cors;
    struct keyring *keyring;
    struct catalogue_file *models;
    struct http_tls *tls;                     /* NULL: plain HTTP */
    struct http_address_limit *address_limit; /* NULL: no limit per client address */
};

/* Every stream needs a file descriptor. */
static void raise_file_limit(const struct gateway_options *options)
{
    int64_t files = options->connections_max + (*options->storage.place ? options->uploads_max : 0);
    rlim_t wanted = (rlim_t)(options->threads * files + OTHER_FILES * (options->threads + 1));
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        log_warn("gateway", "open file limit is lower than connections-max needs, continuing", "files=%llu wanted=%llu",
                 (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static void log_options(const struct program *program)
{
    const struct gateway_options *o = &program->options;
    char redis[REDIS_TEXT_SIZE], origins[256];

    redis_address_text(&program->redis, redis, sizeof(redis));
    log_info("gateway", "starting",
             "version=%s listen=%s threads=%lld redis=%s heartbeat_ms=%lld tail_check_ms=%lld hints_ms=%lld "
             "queue_limit=%lld queue_ttl_ms=%lld retention_ms=%lld max_paid_calls=%lld max_paid_calls_limit=%lld "
             "cors_origins=%s body_max=%lld connections_max=%lld output_max=%lld data_urls=%s admin=%s keys=%s "
             "client_requests=%lld client_streams=%lld client_queue_limit=%lld client_images=%lld open=%s tls=%s "
             "connections_per_address=%lld stream_life_ms=%lld",
             ARKRELAY_VERSION, o->listen, (long long)o->threads, redis, (long long)o->heartbeat_ms,
             (long long)o->tail_check_ms, (long long)o->hints_ms, (long long)o->queue_limit, (long long)o->queue_ttl_ms,
             (long long)o->retention_ms, (long long)o->max_paid_calls, (long long)o->max_paid_calls_limit,
             log_quote(origins, sizeof(origins), o->cors_origins), (long long)o->body_max,
             (long long)o->connections_max, (long long)o->output_max, o->data_urls ? "on" : "off",
             *o->admin_key ? "on" : "off", *o->keys_file ? "on" : "off", (long long)o->client_requests,
             (long long)o->client_streams, (long long)o->client_limit, (long long)o->client_images,
             o->open ? "on" : "off", *o->tls_cert ? "on" : "off", (long long)o->connections_per_address,
             (long long)o->stream_life_ms);
}

/* Connections above the maximum, which only get a 503, are not counted per address. */
static int create_address_limit(struct program *program)
{
    const struct gateway_options *options = &program->options;
    int64_t connections_max = options->threads * options->connections_max;

    if (!options->connections_per_address || options->connections_per_address >= connections_max)
        return 0;
    program->address_limit =
        http_address_limit_create((size_t)connections_max, (size_t)options->connections_per_address);
    return program->address_limit ? 0 : ERR_NO_MEMORY;
}

static int load_keys(struct program *program)
{
    const struct gateway_options *o = &program->options;
    bool has_keys = *o->keys_file;
    const struct keyring_config config = {
        .path = has_keys ? o->keys_file : NULL,
        .defaults = {.most = {[CLIENT_REQUESTS] = o->client_requests,
                              [CLIENT_QUEUED] = o->client_limit,
                              [CLIENT_STREAMS] = o->client_streams,
                              [CLIENT_IMAGES] = o->client_images,
                              [CLIENT_SPEND_DAY] = o->client_spend_day,
                              [CLIENT_SPEND_MONTH] = o->client_spend_month}},
        .open = {.most = {[CLIENT_QUEUED] = o->client_limit,
                          [CLIENT_IMAGES] = o->client_images,
                          [CLIENT_SPEND_DAY] = o->client_spend_day,
                          [CLIENT_SPEND_MONTH] = o->client_spend_month}},
    };
    struct buf why;
    int err;

    if (!has_keys)
        log_warn("gateway", "no API keys: everyone who can reach this address can spend the ARK account's money",
                 "listen=%s", o->listen);
    program->keyring = keyring_create(&config);
    buf_init(&why, WHY_MAX);
    err = program->keyring ? keyring_load(program->keyring, &why) : ERR_NO_MEMORY;
    if (err)
        (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_KEYS_FILE %s: %s%s\n", o->keys_file,
                      why.len ? buf_text(&why) : err_text(err),
                      err == ERR_SYSTEM ? "; --new-key creates the file: arkrelay-gateway --new-key NAME" : "");
    buf_deinit(&why);
    return err;
}

/* Load OpenSSL's algorithms at start. Loading them with the first request would crash if memory ran out at that moment. */
static int load_algorithms(void)
{
    unsigned char digest[SHA256_SIZE];

    return sha256(digest, "", 0);
}

static int serve(struct program *program)
{
    static const char *const reasons[] = {
        [PROCESS_DRAINED] = "drained", [PROCESS_STOPPED] = "second-signal", [PROCESS_MISCONFIGURED] = "unfit-redis"};
    static const int statuses[] = {[PROCESS_DRAINED] = EXIT_SUCCESS,
                                   [PROCESS_STOPPED] = EXIT_SUCCESS,
                                   [PROCESS_MISCONFIGURED] = OPTIONS_EXIT_BAD,
                                   [PROCESS_FAILED] = EXIT_FAILURE};
    enum process_end end = PROCESS_FAILED;

    log_setup((enum log_level)program->options.shared.log_level, (enum log_format)program->options.shared.log_format);
    if (!program->options.shared.core_dumps)
        core_dump_disable();
    log_options(program);
    program->models = catalogue_file_open(program->options.shared.models_file, "gateway", "arkrelay-gateway");
    if (!program->models || load_keys(program))
        return OPTIONS_EXIT_BAD;
    default_warnings_log(&program->options.request, program->models, "gateway");
    raise_file_limit(&program->options);
    program->cors = cors_create(program->options.cors_origins);
    if (program->cors && !load_algorithms() && !create_address_limit(program))
        end = process_run(&(struct process_config){.options = &program->options,
                                                   .redis = &program->redis,
                                                   .cors = program->cors,
                                                   .keyring = program->keyring,
                                                   .models = program->models,
                                                   .tls = program->tls,
                                                   .address_limit = program->address_limit});
    if (end != PROCESS_FAILED)
        log_info("gateway", "stopped", "reason=%s", reasons[end]);
    return statuses[end];
}

static int healthcheck(const struct gateway_options *options)
{
    enum http_healthcheck_transport transport = *options->tls_cert ? HEALTHCHECK_TLS : HEALTHCHECK_PLAIN;

    return http_healthcheck_main("arkrelay-gateway", options->listen, transport, "/readyz");
}

static int load_certificate(struct program *program)
{
    const struct gateway_options *options = &program->options;
    const char *why;

    if (!*options->tls_cert)
        return 0;
    program->tls = http_tls_create(options->tls_cert, options->tls_key, &why);
    if (program->tls)
        return 0;
    (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_TLS_CERT %s with GATEWAY_TLS_KEY %s: %s\n", options->tls_cert,
                  options->tls_key, why);
    return OPTIONS_EXIT_BAD;
}

static int parse_redis(struct program *program)
{
    const struct shared_options *shared = &program->options.shared;
    const char *why = "out of memory";

    if (redis_address_parse(shared->redis_url, &program->redis, &why)) {
        (void)fprintf(stderr, "arkrelay-gateway: REDIS_URL: %s\n", why);
        return OPTIONS_EXIT_BAD;
    }
    program->redis.ca_file = shared->redis_ca_file;
    return 0;
}

static struct key_command key_command_of(const struct gateway_options *options)
{
    return (struct key_command){.keys_file = options->keys_file,
                                .new_key = options->new_key,
                                .key_expires = options->key_expires,
                                .revoke_key = options->revoke_key,
                                .list_keys = options->list_keys};
}

int main(int argc, char **argv)
{
    struct program program = {0};
    enum options_outcome outcome = options_load(&gateway_option_table, argc, argv, &program.options);
    struct key_command key_command;
    int status = OPTIONS_EXIT_BAD;

    if (outcome != OPTIONS_RUN)
        return outcome == OPTIONS_DONE ? EXIT_SUCCESS : OPTIONS_EXIT_BAD;
    key_command = key_command_of(&program.options);
    if (program.options.shared.healthcheck) {
        status = healthcheck(&program.options);
    } else if (key_command_is_given(&key_command)) {
        status = key_command_run(&key_command);
    } else if (*program.options.show_webhook_secret) {
        status = webhook_command_run(&(struct webhook_command){.keys_file = program.options.keys_file,
                                                               .master = program.options.shared.webhook_secret,
                                                               .client = program.options.show_webhook_secret});
    } else if (gateway_options_agree(&program.options)) {
        status = parse_redis(&program);
        if (!status)
            status = load_certificate(&program);
        if (!status)
            status = serve(&program);
        http_address_limit_destroy(program.address_limit);
        cors_destroy(program.cors);
        keyring_destroy(program.keyring);
        catalogue_file_destroy(program.models);
        http_tls_destroy(program.tls);
        redis_address_deinit(&program.redis);
    }
    options_deinit(&gateway_option_table, &program.options);
    return status;
}
