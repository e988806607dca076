/* shared_options - the rows that every program of arkrelay has
 *
 * A program embeds struct shared_options in its own options and puts SHARED_OPTION_ROWS(its struct, the member) into its table.
 */
#ifndef ARKRELAY_SHARED_OPTIONS_H
#define ARKRELAY_SHARED_OPTIONS_H

#include <stddef.h>

#include "common/options.h"

struct shared_options {
    char *redis_url;
    char *redis_ca_file;
    int64_t redis_timeout_ms;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
    int64_t presence_ms, audit_ms;
    bool core_dumps;
    bool healthcheck;
};

#define SHARED_OPTION_ROWS(type, member)                                                                               \
    {"redis-url",                                                                                                      \
     "REDIS_URL",                                                                                                      \
     OPT_SECRET,                                                                                                       \
     offsetof(type, member.redis_url),                                                                                 \
     "redis://127.0.0.1:6379",                                                                                         \
     1,                                                                                                                \
     1024,                                                                                                             \
     "where Redis is: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, unix:///path[?db=n], "            \
     "redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/db]",                               \
     NULL},                                                                                                            \
        {"redis-ca-file",                                                                                              \
         "REDIS_CA_FILE",                                                                                              \
         OPT_STRING,                                                                                                   \
         offsetof(type, member.redis_ca_file),                                                                         \
         "",                                                                                                           \
         0,                                                                                                            \
         4096,                                                                                                         \
         "PEM file with the authorities that rediss:// trusts; empty: the system's",                                   \
         NULL},                                                                                                        \
        {"redis-timeout",                                                                                              \
         "REDIS_TIMEOUT",                                                                                              \
         OPT_MS,                                                                                                       \
         offsetof(type, member.redis_timeout_ms),                                                                      \
         "2s",                                                                                                         \
         10,                                                                                                           \
         60000,                                                                                                        \
         "how long one Redis command may take",                                                                        \
         NULL},                                                                                                        \
        {"log-level",                                                                                                  \
         "LOG_LEVEL",                                                                                                  \
         OPT_CHOICE,                                                                                                   \
         offsetof(type, member.log_level),                                                                             \
         "info",                                                                                                       \
         0,                                                                                                            \
         0,                                                                                                            \
         "what is worth a line",                                                                                       \
         "error|warn|info|debug"},                                                                                     \
        {"log-format",                                                                                                 \
         "LOG_FORMAT",                                                                                                 \
         OPT_CHOICE,                                                                                                   \
         offsetof(type, member.log_format),                                                                            \
         "text",                                                                                                       \
         0,                                                                                                            \
         0,                                                                                                            \
         "lines for people, or one JSON object per line",                                                              \
         "text|json"},                                                                                                 \
        {"presence-interval",                                                                                          \
         "PRESENCE_INTERVAL",                                                                                          \
         OPT_MS,                                                                                                       \
         offsetof(type, member.presence_ms),                                                                           \
         "5s",                                                                                                         \
         0,                                                                                                            \
         60000,                                                                                                        \
         "how often this process tells Redis that it is there, for the operators' pages; 0: never",                    \
         NULL},                                                                                                        \
        {"audit-interval",                                                                                             \
         "AUDIT_INTERVAL",                                                                                             \
         OPT_MS,                                                                                                       \
         offsetof(type, member.audit_ms),                                                                              \
         "1m",                                                                                                         \
         100,                                                                                                          \
         3600000,                                                                                                      \
         "how often one of all processes looks through the live tasks: misplaced ones are put right, and those that "  \
         "wait past GATEWAY_QUEUE_TTL expire",                                                                         \
         NULL},                                                                                                        \
        {"core-dumps",                                                                                                 \
         "CORE_DUMPS",                                                                                                 \
         OPT_BOOL,                                                                                                     \
         offsetof(type, member.core_dumps),                                                                            \
         "false",                                                                                                      \
         0,                                                                                                            \
         0,                                                                                                            \
         "debuggers may attach, and a crash may leave memory, keys in it, in a file",                                  \
         NULL},                                                                                                        \
    {                                                                                                                  \
        "healthcheck", NULL, OPT_FLAG, offsetof(type, member.healthcheck), NULL, 0, 0,                                 \
            "ask the running program on this machine whether it is ready; exit 0 or 1", NULL                           \
    }

#endif
