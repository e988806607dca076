/* worker_options - the options of arkrelay-worker; the table is in options.c */
#ifndef ARKRELAY_WORKER_OPTIONS_H
#define ARKRELAY_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/options.h"
#include "common/config/shared_options.h"
#include "common/models/request_defaults.h"
#include "common/storage/location.h"

/* Of WORKER_LISTEN. The default port is not in Prometheus's list of exporter ports, which takes up 9100 to 9999. */
#define LISTEN_AUTO    "auto" /* LISTEN_DEFAULT, or a free port if that is taken */
#define LISTEN_OFF     "off"
#define LISTEN_DEFAULT "127.0.0.1:8930"

/* Of WORKER_ROLES. */
enum worker_roles { ROLES_BOTH, ROLES_ARK, ROLES_OUTBOX };

struct worker_options {
    struct shared_options shared;
    struct storage_options storage;
    char *listen, *name;
    int64_t concurrency, max_attempts;
    int64_t ark_images_per_minute, ark_calls_max; /* of the account */
    int durability;                               /* enum durability */
    int64_t durability_timeout_ms;
    int64_t input_memory;
    int64_t lease_ms, backoff_base_ms, backoff_max_ms;

    char *ark_api_key, *ark_base_url, *ark_sim_url, *ark_ca_file;
    struct request_defaults request;
    int ark_stream, ark_response_format; /* enum ark_stream_mode, enum ark_response_format */
    int64_t ark_connect_timeout_ms, ark_first_byte_timeout_ms, ark_timeout_ms, ark_timeout_per_image_ms,
        ark_end_timeout_ms;
    int64_t ark_answer_max;

    int roles; /* enum worker_roles */
    char *public_url, *image_url_map;
    bool storage_replace_url;
    int64_t storage_retention_ms, outbox_concurrency, outbox_lease_ms;
    int64_t webhook_timeout_ms, webhook_concurrency;
    char *webhook_ca_file;
};

extern const struct option_table worker_option_table;

#endif
