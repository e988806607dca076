#include "worker/options.h"

#include "common/base/macros.h"

#define AT(field) offsetof(struct worker_options, field)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define DAY (24LL * HOUR)

/* clang-format off */
static const struct option_row rows[] = {
    { "ark-api-key", "ARK_API_KEY", OPT_SECRET, AT(ark_api_key), "", 0, 4096,
      "API key of the ARK account; required unless ARK_SIM_URL names a simulator", NULL },
    { "ark-base-url", "ARK_BASE_URL", OPT_URL, AT(ark_base_url), "https://ark.cn-beijing.volces.com/api/v3", 8, 1024,
      "base URL of ARK; /images/generations is appended", NULL },
    { "ark-sim-url", "ARK_SIM_URL", OPT_URL, AT(ark_sim_url), "", 0, 1024,
      "base URL of a simulator, used while ARK_API_KEY is not set", NULL },
    { "ark-ca-file", "ARK_CA_FILE", OPT_STRING, AT(ark_ca_file), "", 0, 4096,
      "PEM file with the CA certificates for ARK, loaded once a day and when it changes; empty: the system's", NULL },
    REQUEST_DEFAULT_ROWS(struct worker_options, request),
    { "ark-stream", "ARK_STREAM", OPT_CHOICE, AT(ark_stream), "auto", 0, 0,
      "request a stream, in which ARK delivers each image when it is ready; auto: if the model supports it", "auto|on|off" },
    { "ark-response-format", "ARK_RESPONSE_FORMAT", OPT_CHOICE, AT(ark_response_format), "url", 0, 0,
      "url: links that expire after 24 hours; b64_json: images as data: URLs", "url|b64_json" },
    { "ark-connect-timeout", "ARK_CONNECT_TIMEOUT", OPT_MS, AT(ark_connect_timeout_ms), "10s", 100, 5 * MINUTE,
      "for name lookup, connection and TLS handshake", NULL },
    { "ark-first-byte-timeout", "ARK_FIRST_BYTE_TIMEOUT", OPT_MS, AT(ark_first_byte_timeout_ms), "5m", 100, HOUR,
      "until ARK's answer begins: with a stream when the first image is ready, else when the last one is; at most ARK_TIMEOUT", NULL },
    { "ark-timeout", "ARK_TIMEOUT", OPT_MS, AT(ark_timeout_ms), "6m", 100, HOUR, "for a whole call that asks for one image", NULL },
    { "ark-timeout-per-image", "ARK_TIMEOUT_PER_IMAGE", OPT_MS, AT(ark_timeout_per_image_ms), "40s", 0, HOUR,
      "added for each further image: to the whole call, and without a stream to the first byte", NULL },
    { "ark-end-timeout", "ARK_END_TIMEOUT", OPT_MS, AT(ark_end_timeout_ms), "5s", 10, HOUR,
      "until an answer ends after all its images have arrived; then it counts as complete", NULL },
    { "ark-answer-max", "ARK_ANSWER_MAX", OPT_BYTES, AT(ark_answer_max), "64m", 4096, 80 << 20,
      "maximum size of an answer", NULL },
    { "ark-images-per-minute", "ARK_IMAGES_PER_MINUTE", OPT_INT, AT(ark_images_per_minute), "500", 0, 1000000,
      "images per minute of the account, for all workers together; 0: no limit except ARK's own", NULL },
    { "ark-calls-max", "ARK_CALLS_MAX", OPT_INT, AT(ark_calls_max), "0", 0, 100000,
      "calls of the account in flight, for all workers together; 0: no limit except ARK's own", NULL },
    { "paid-call-durability", "PAID_CALL_DURABILITY", OPT_CHOICE, AT(durability), "none", 0, 0,
      "where the record of a paid call must be before ARK is called: aof: on disk (WAITAOF); replica: at a replica (WAIT)", "none|aof|replica" },
    { "paid-call-durability-timeout", "PAID_CALL_DURABILITY_TIMEOUT", OPT_MS, AT(durability_timeout_ms), "1s", 10, 60000,
      "maximum wait for that; after it, ARK is not called and the task is retried", NULL },
    { "roles", "WORKER_ROLES", OPT_CHOICE, AT(roles), "ark,outbox", 0, 0,
      "ark: call ARK for tasks; outbox: copy pictures into STORAGE, which needs no ARK key", "ark,outbox|ark|outbox" },
    { "public-url", "PUBLIC_URL", OPT_URL, AT(public_url), "", 0, 1024,
      "how clients reach the gateways, https://example.com; stored_url begins with it. Empty: stored_url is a path", NULL },
    { "storage-retention", "STORAGE_RETENTION", OPT_MS, AT(storage_retention_ms), "168h", HOUR, 3650 * DAY,
      "how long pictures are kept in STORAGE; they can be read until the end of that day (UTC), and are deleted a day later", NULL },
    { "storage-replace-url", "STORAGE_REPLACE_URL", OPT_BOOL, AT(storage_replace_url), "false", 0, 0,
      "put stored_url into `url` too, for clients that know only `url`; set PUBLIC_URL with it", NULL },
    { "ark-image-url-map", "ARK_IMAGE_URL_MAP", OPT_STRING, AT(image_url_map), "", 0, 4096,
      "for copies of pictures: public=internal pairs of URL prefixes, separated by commas; links that begin with the first are fetched from the second", NULL },
    { "outbox-concurrency", "OUTBOX_CONCURRENCY", OPT_INT, AT(outbox_concurrency), "16", 1, 1000,
      "pictures that this worker copies at once; each takes up to 256 KiB of memory", NULL },
    { "outbox-lease", "OUTBOX_LEASE", OPT_MS, AT(outbox_lease_ms), "4m", 300, HOUR,
      "after this time another worker copies the picture of a lost one; a download may take half of it", NULL },
    { "concurrency", "WORKER_CONCURRENCY", OPT_INT, AT(concurrency), "16", 1, 20000, "ARK calls in flight at once", NULL },
    { "lease", "WORKER_LEASE", OPT_MS, AT(lease_ms), "30s", 300, 10 * MINUTE,
      "after this time without a renewal, the worker counts as lost; renewed three times per lease", NULL },
    { "max-attempts", "WORKER_MAX_ATTEMPTS", OPT_INT, AT(max_attempts), "5", 1, 100, "maximum number of attempts per task", NULL },
    { "input-memory", "WORKER_INPUT_MEMORY", OPT_BYTES, AT(input_memory), "512m", 128LL << 20, 1LL << 40,
      "bytes of uploaded reference images in memory: further tasks with uploads wait before their call until others are sent", NULL },
    { "backoff-base", "RETRY_BACKOFF_BASE", OPT_MS, AT(backoff_base_ms), "1s", 1, 10 * MINUTE,
      "maximum delay before the second attempt; doubles with each further attempt", NULL },
    { "backoff-max", "RETRY_BACKOFF_MAX", OPT_MS, AT(backoff_max_ms), "60s", 1, HOUR,
      "maximum delay before any attempt", NULL },
    { "listen", "WORKER_LISTEN", OPT_ADDRESS, AT(listen), LISTEN_AUTO, 2, 255,
      "address of /livez, /readyz and /metrics; auto: " LISTEN_DEFAULT ", or a free port of 127.0.0.1 if that is taken; off: no listener",
      LISTEN_AUTO "|" LISTEN_OFF },
    { "name", "WORKER_NAME", OPT_STRING, AT(name), "", 0, 64,
      "name of this worker in Redis and logs; empty: host name and process id", NULL },
    STORAGE_OPTION_ROWS(struct worker_options, storage),
    SHARED_OPTION_ROWS(struct worker_options, shared),
};
/* clang-format on */

const struct option_table worker_option_table = {
    .program = "arkrelay-worker",
    .version = ARKRELAY_VERSION,
    .summary = "takes tasks from Redis and calls ARK for their images",
    .rows = rows,
    .count = ARRAY_LENGTH(rows),
};
