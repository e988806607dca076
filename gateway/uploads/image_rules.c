#include "gateway/uploads/image_rules.h"

#include <inttypes.h>
#include <stdio.h>

bool image_rules_check(const struct image_header *image, char why[IMAGE_RULE_SIZE])
{
    uint64_t width = image->width, height = image->height;
    const char *rule = NULL;

    if (width < IMAGE_SIDE_MIN || height < IMAGE_SIDE_MIN)
        rule = "each side must have at least 15 pixels";
    else if (width * height > IMAGE_PIXELS_MAX)
        rule = "it may have at most 36,000,000 pixels";
    else if (width > IMAGE_RATIO_MAX * height || height > IMAGE_RATIO_MAX * width)
        rule = "no side may be longer than 16 times the other one";
    if (rule)
        (void)snprintf(why, IMAGE_RULE_SIZE, "The image has %" PRIu64 " x %" PRIu64 " pixels: %s.", width, height,
                       rule);
    return !rule;
}
