#include "simulator/sim_options.h"

#include "common/base/macros.h"

#include <stddef.h>

#define AT(field) offsetof(struct sim_options, field)

enum { HOUR_MS = 3600000 };

/* clang-format off */
static const struct option_row rows[] = {
    { "listen", "ARK_SIM_LISTEN", OPT_ADDRESS, AT(listen), "127.0.0.1:8900", 2, 255,
      "host:port to listen on; port 0 picks a free one", NULL },
    { "public-url", "ARK_SIM_PUBLIC_URL", OPT_URL, AT(public_url), "", 0, 512,
      "prefix of image URLs; empty: http:// and the listen address", NULL },
    { "key", "ARK_SIM_KEY", OPT_SECRET, AT(key), "", 0, 512,
      "the only API key that is accepted; empty: any key", NULL },
    { "image-ms", "ARK_SIM_IMAGE_MS", OPT_INT, AT(image_ms), "3000", 0, HOUR_MS,
      "time per image, in milliseconds", NULL },
    { "first-image-ms", "ARK_SIM_FIRST_IMAGE_MS", OPT_INT, AT(first_image_ms), "-1", -1, HOUR_MS,
      "time of a call's first image, in milliseconds; -1: the same as the others", NULL },
    { "images-per-minute", "ARK_SIM_IMAGES_PER_MINUTE", OPT_INT, AT(images_per_minute), "0", 0, 1000000,
      "images per model in 60 s; further calls get 429; 0: no limit", NULL },
    { "calls-max", "ARK_SIM_CALLS_MAX", OPT_INT, AT(calls_max), "0", 0, 1000000,
      "calls in flight; further calls get 429; 0: no limit", NULL },
    { "log-level", "LOG_LEVEL", OPT_CHOICE, AT(log_level), "info", 0, 0,
      "least severe level that is logged", "error|warn|info|debug" },
    { "log-format", "LOG_FORMAT", OPT_CHOICE, AT(log_format), "text", 0, 0,
      "log as text, or as one JSON object per line", "text|json" },
    { "healthcheck", NULL, OPT_FLAG, AT(healthcheck), NULL, 0, 0,
      "check the process running on this machine, then exit with 0 or 1", NULL },
};
/* clang-format on */

const struct option_table sim_option_table = {
    .program = "arkrelay-ark-sim",
    .version = ARKRELAY_VERSION,
    .summary = "A simulator of ARK's image API: no key, no cost, faults on demand.",
    .rows = rows,
    .count = ARRAY_LENGTH(rows),
};
