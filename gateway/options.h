/* options - the options of arkrelay-gateway; the rows are in options.c */
#ifndef ARKRELAY_GATEWAY_OPTIONS_H
#define ARKRELAY_GATEWAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/options.h"
#include "common/config/shared_options.h"
#include "common/models/request_defaults.h"
#include "common/storage/location.h"

struct gateway_options {
    char *listen;
    int64_t threads;
    int64_t heartbeat_ms, tail_check_ms, hints_ms;
    int64_t queue_limit, client_limit, queue_ttl_ms, retention_ms;
    int64_t max_paid_calls, max_paid_calls_limit;
    char *cors_origins;
    char *admin_key;
    char *keys_file;
    char *new_key, *key_expires, *revoke_key; /* run a command instead of serving */
    bool list_keys;
    char *show_webhook_secret;                              /* likewise */
    int64_t client_requests, client_streams, client_images; /* 0: no limit */
    int64_t client_uploads, client_upload_bytes;            /* 0: no limit */
    int64_t uploads_max, upload_timeout_ms;
    int64_t client_spend_day, client_spend_month, spend_day, spend_month; /* micro-units; 0: no cap */
    bool usage;
    int64_t body_max, connections_max, connections_per_address, output_max;
    int64_t head_max, headers_max;
    int64_t head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    int64_t stream_life_ms;
    char *tls_cert, *tls_key;
    bool data_urls, open, share_port;
    int task_list; /* enum task_list */
    char *openai_models;
    int openai_format; /* enum openai_default_format */
    int64_t openai_hold_ms;
    int64_t openai_retry_window_ms;
    struct request_defaults request; /* use the same values as for the workers */
    struct shared_options shared;
    struct storage_options storage;
};

/* In the order of the choices of the option GATEWAY_TASK_LIST. AUTO: with a keys file. */
enum task_list { TASK_LIST_AUTO, TASK_LIST_ON, TASK_LIST_OFF };

extern const struct option_table gateway_option_table;

/* Whether new tasks enter the list of their client's tasks. */
bool gateway_options_list_tasks(const struct gateway_options *options);

/* Checks rules that a single row cannot express, such as options that contradict each other. False: the reason is on stderr. */
bool gateway_options_agree(const struct gateway_options *options);

/* True if this "host:port" is a loopback address. */
bool listen_is_loopback(const char *listen);

#endif
