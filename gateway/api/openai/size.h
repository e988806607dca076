/* openai/size - the legal size of an ARK model that is nearest to a size that a client of OpenAI's API asks for
 *
 * Clients ask for "1024x1024", which most of ARK's models refuse as too small. The proportions are kept: exactly where a size of exactly
 * these proportions is near, else up to a pixel. A size above the model's maximum becomes the largest legal one, a size below its
 * minimum the smallest one. Sides are multiples of 8 where that is near enough, as in ARK's own tables.
 *
 * Pure.   Units: pixels.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_SIZE_H
#define ARKRELAY_GATEWAY_API_OPENAI_SIZE_H

#include <stdbool.h>
#include <stdint.h>

enum { OPENAI_SIDE_MAX = 99999, OPENAI_SIZE_SIZE = sizeof("99999x99999") };

struct openai_size {
    int64_t width, height;
};

/* What a model accepts. */
struct openai_size_limits {
    int64_t pixels_min, pixels_max; /* inclusive; pixels_max 0: not known, every size is left as it is */
    int64_t ratio_max;              /* of width to height, and of height to width */
};

/* Reads "1024x1536": sides of 1 to 5 digits without leading zeros. */
bool openai_size_parse(const char *text, struct openai_size *out);

/* False: the model has no size of these proportions. */
bool openai_size_fit(struct openai_size wanted, const struct openai_size_limits *limits, struct openai_size *out);

void openai_size_write(char out[OPENAI_SIZE_SIZE], struct openai_size size);

#endif
