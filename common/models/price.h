/* price - what a plan can cost, and what a task has cost
 *
 * ARK charges for the images that it generates; an image that it refuses or fails to make is free. A call whose outcome is not known, and
 * an image of which only the number is known, count in full and make the cost an estimate.
 *
 * Pure.   Units: millionths of the plan's currency.
 */
#ifndef ARKRELAY_MODELS_PRICE_H
#define ARKRELAY_MODELS_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct plan;

struct cost {
    bool known; /* false: the model has no price; the other members are 0 */
    bool estimated;
    int64_t micros;
};

/* The most that so many calls by this plan can cost: every image in its dearest size, and the references of every call. */
struct cost price_worst(const struct plan *plan, size_t references, int64_t calls);

/* The images and charges of a task's calls, as far as they are known. */
struct spent {
    const char *const *sizes; /* of the images that arrived, as ARK names them: "2048x1536"; an entry may be NULL */
    size_t images;
    int64_t lost_images;   /* generated, or possibly generated, but not delivered, in calls with a known outcome */
    int64_t charged_calls; /* calls with a known outcome that generated at least one image */
    int64_t unknown_calls; /* calls with an unknown outcome */
};

struct cost price_spent(const struct plan *plan, size_t references, const struct spent *spent);

/* {"currency":"USD","amount":0.09,"estimated":false}, or null. */
void price_write(struct buf *out, const struct cost *cost, const char *currency);

#endif
