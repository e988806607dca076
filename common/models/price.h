/* price - what a call by a plan costs
 *
 * ARK charges for the images that it generates, and for references; an image that it refuses or fails to make is free. A call whose outcome is
 * not known, and an image of which it is not known whether it was generated, count in full and make the cost an estimate.
 *
 * Pure.   Units: micro-units (1/1,000,000) of the currency.
 */
#ifndef ARKRELAY_MODELS_PRICE_H
#define ARKRELAY_MODELS_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/models/model.h"

enum { PRICE_TEXT_MAX = 96 }; /* bytes of a cost as JSON, at most */

struct buf;

struct cost {
    bool known; /* false: the model has no price; the other members are 0 */
    bool estimated;
    int64_t micros;
};

/* The price of the model, applied to one plan. */
struct tariff {
    struct model_price price; /* tier_count 0: not known; the other members are 0 then */
    char currency[CATALOGUE_CURRENCY_SIZE];
    bool is_exact;             /* every image costs image_micros: one price, or a size in pixels */
    int64_t image_micros;      /* the most that an image can cost */
    int64_t references_micros; /* of all references, once per call */
    int64_t call_micros;       /* the most that a call can cost */
};

/* size: NULL or a keyword counts as the most expensive size. */
struct tariff price_tariff(const struct model_price *price, const char *currency, const char *size, int images,
                           size_t references);

/* The maximum cost of this number of calls. */
struct cost price_calls(const struct tariff *tariff, int64_t calls);

/* Adds an image that arrived. size: as ARK names it, "2048x1536", or NULL. *cost may be zeroed before. */
void price_add_image(struct cost *cost, const struct tariff *tariff, const char *size);

/* The cost of a call that generated at least one image. `images` is the cost of the images that arrived.
 * made: further images that ARK counts; missing: slots with an unknown outcome. */
struct cost price_call(const struct tariff *tariff, const struct cost *images, int64_t made, int64_t missing);

/* {"currency":"USD","amount":0.09,"estimated":false}, or null. */
void price_write(struct buf *out, const struct cost *cost, const char *currency);

#endif
