/* image_rules - does ARK take an image of these dimensions?
 *
 * Pure.   Units: pixels.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_IMAGE_RULES_H
#define ARKRELAY_GATEWAY_UPLOADS_IMAGE_RULES_H

#include <stdbool.h>

#include "common/storage/image_header.h"

enum {
    IMAGE_SIDE_MIN = 15,
    IMAGE_RATIO_MAX = 16,
    IMAGE_PIXELS_MAX = 36 * 1000 * 1000,
    IMAGE_RULE_SIZE = 160,
};

/* False: `why` has a sentence for the client. */
bool image_rules_check(const struct image_header *image, char why[IMAGE_RULE_SIZE]);

#endif
