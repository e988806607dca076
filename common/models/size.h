/* size - the two forms of a size: a keyword of the model, such as "2K", or pixels, such as "2048x1536"
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_SIZE_H
#define ARKRELAY_MODELS_SIZE_H

#include <stdbool.h>
#include <stdint.h>

struct model;

/* 1 to 15 letters, digits and points that do not look like pixels. Which keywords there are depends on the model. */
bool size_is_keyword(const char *text);

/* Two sides of 1 to 5 digits without leading zeros. False: `text` has another form. */
bool size_read_pixels(const char *text, int64_t *width, int64_t *height);

bool size_is_pixels(const char *text);

enum size_fit { SIZE_FITS, SIZE_ONLY_KEYWORDS, SIZE_OUT_OF_RANGE, SIZE_TOO_NARROW };

/* Whether the model takes this size in pixels, or why not. */
enum size_fit size_fit(const struct model *row, int64_t width, int64_t height);

#endif
