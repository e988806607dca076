#include "common/task/schema.h"

#include "common/task/keys.h"

const struct server_requirements schema_requirements = {
    .eviction_policy = "noeviction",
    .schema_key = KEYS_META,
    .schema_field = "schema",
    .schema = "2",
    .schema_advice =
        "this is version " ARKRELAY_VERSION
        "; run the version of the data, or set REDIS_URL to another Redis or database (docs/operations.md, Upgrades)",
};
