/* shared_options - the option rows that gateway and worker have in common
 *
 * A program embeds struct shared_options in its own options and adds SHARED_OPTION_ROWS(its struct, the member) to its table.
 */
#ifndef ARKRELAY_CONFIG_SHARED_OPTIONS_H
#define ARKRELAY_CONFIG_SHARED_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/options.h"

struct shared_options {
    char *redis_url;
    char *redis_ca_file;
    int64_t redis_timeout_ms;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
    int64_t presence_ms, audit_ms;
    char *models_file;
    bool core_dumps;
    char *webhook_secret;
    bool webhook_private;
    bool healthcheck;
};

/* clang-format off */
#define SHARED_OPTION_ROWS(type, member)                                                                               \
    { "redis-url", "REDIS_URL", OPT_SECRET, offsetof(type, member.redis_url),                                          \
      "redis://127.0.0.1:6379", 1, 1024,                                                                               \
      "address of Redis: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, unix:///path[?db=n], "         \
      "redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/db]", NULL },                      \
    { "redis-ca-file", "REDIS_CA_FILE", OPT_STRING, offsetof(type, member.redis_ca_file),                              \
      "", 0, 4096,                                                                                                     \
      "PEM file of the certificate authorities for rediss://; empty: the system's", NULL },                            \
    { "redis-timeout", "REDIS_TIMEOUT", OPT_MS, offsetof(type, member.redis_timeout_ms),                               \
      "2s", 10, 60000,                                                                                                 \
      "timeout of one Redis command", NULL },                                                                          \
    { "log-level", "LOG_LEVEL", OPT_CHOICE, offsetof(type, member.log_level),                                          \
      "info", 0, 0,                                                                                                    \
      "least severe level that is logged", "error|warn|info|debug" },                                                  \
    { "log-format", "LOG_FORMAT", OPT_CHOICE, offsetof(type, member.log_format),                                       \
      "text", 0, 0,                                                                                                    \
      "log as text, or as one JSON object per line", "text|json" },                                                    \
    { "presence-interval", "PRESENCE_INTERVAL", OPT_MS, offsetof(type, member.presence_ms),                            \
      "5s", 0, 60000,                                                                                                  \
      "how often this process reports itself to Redis, for the operators' pages; 0: never", NULL },                    \
    { "audit-interval", "AUDIT_INTERVAL", OPT_MS, offsetof(type, member.audit_ms),                                     \
      "1m", 100, 3600000,                                                                                              \
      "how often one of all processes checks the live tasks: it repairs misplaced ones and expires those "             \
      "that wait longer than GATEWAY_QUEUE_TTL", NULL },                                                               \
    { "models-file", "MODELS_FILE", OPT_STRING, offsetof(type, member.models_file),                                    \
      "", 0, 4096,                                                                                                     \
      "JSON file that extends or replaces the built-in catalogue of models, reloaded on SIGHUP; use the same one "     \
      "for gateways and workers", NULL },                                                                              \
    { "core-dumps", "CORE_DUMPS", OPT_BOOL, offsetof(type, member.core_dumps),                                         \
      "false", 0, 0,                                                                                                   \
      "allow debuggers to attach and crashes to write core files, which may contain keys", NULL },                     \
    { "webhook-secret", "WEBHOOK_SECRET", OPT_SECRET, offsetof(type, member.webhook_secret),                           \
      "", 0, 4096,                                                                                                     \
      "secret from which the clients' secrets for signing webhooks are derived, at least 32 bytes; use the same one "  \
      "for gateways and workers; empty: no webhooks", NULL },                                                          \
    { "webhook-private", "WEBHOOK_PRIVATE", OPT_BOOL, offsetof(type, member.webhook_private),                          \
      "off", 0, 0,                                                                                                     \
      "allow webhooks to hosts that are not on the public internet", NULL },                                           \
    { "healthcheck", NULL, OPT_FLAG, offsetof(type, member.healthcheck), NULL, 0, 0,                                   \
      "ask the running program on this machine whether it is ready; exit 0 or 1", NULL }
/* clang-format on */

#endif
