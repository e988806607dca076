#include "gateway/api/openai/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { STEP = 8, DIGITS_MAX = 5 };

#define NEAR 1.1 /* a size of exactly these proportions may have this many times the pixels of the nearest one */

/* Moves past the digits; 0: there is no valid number. */
static int64_t parse_side(const char **text)
{
    int64_t side = 0;
    int digits = 0;

    if (**text == '0')
        return 0;
    for (; **text >= '0' && **text <= '9' && digits < DIGITS_MAX; ++*text, digits++)
        side = side * 10 + (**text - '0');
    return side;
}

bool openai_size_parse(const char *text, struct openai_size *out)
{
    struct openai_size size = {.width = parse_side(&text)};

    if (!size.width || *text++ != 'x')
        return false;
    size.height = parse_side(&text);
    if (!size.height || *text)
        return false;
    *out = size;
    return true;
}

void openai_size_write(char out[OPENAI_SIZE_SIZE], struct openai_size size)
{
    (void)snprintf(out, OPENAI_SIZE_SIZE, "%" PRId64 "x%" PRId64, size.width, size.height);
}

static int64_t pixels(struct openai_size size)
{
    return size.width * size.height;
}

static bool has_legal_ratio(struct openai_size size, const struct openai_size_limits *limits)
{
    return size.width <= size.height * limits->ratio_max && size.height <= size.width * limits->ratio_max;
}

static bool is_legal(struct openai_size size, const struct openai_size_limits *limits)
{
    return size.width > 0 && size.height > 0 && size.width <= OPENAI_SIDE_MAX && size.height <= OPENAI_SIDE_MAX &&
           pixels(size) >= limits->pixels_min && pixels(size) <= limits->pixels_max && has_legal_ratio(size, limits);
}

static int64_t divisor_of(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static struct openai_size times(struct openai_size size, int64_t factor)
{
    return (struct openai_size){size.width * factor, size.height * factor};
}

/* The whole multiple of the proportions that is nearest to the limit, or, if it is near enough, of eight times the proportions. */
static bool fit_exactly(struct openai_size wanted, const struct openai_size_limits *limits, struct openai_size *out)
{
    int64_t divisor = divisor_of(wanted.width, wanted.height);
    struct openai_size unit = {wanted.width / divisor, wanted.height / divisor};
    bool grows = pixels(wanted) < limits->pixels_min;
    double target = (double)(grows ? limits->pixels_min : limits->pixels_max);

    for (int64_t step = STEP; step; step = step > 1 ? 1 : 0) {
        double factor = sqrt(target / (double)pixels(unit)) / (double)step;
        struct openai_size size = times(unit, step * (int64_t)(grows ? floor(factor) + 1 : floor(factor)));
        double excess = (double)pixels(size) / target;

        if (is_legal(size, limits) && excess <= NEAR && excess >= 1 / NEAR) {
            *out = size;
            return true;
        }
    }
    return false;
}

static int64_t scaled(int64_t side, double factor, bool grows)
{
    double exact = (double)side * factor;

    return (int64_t)(grows ? ceil(exact) : floor(exact));
}

/* For proportions of almost ratio_max, which rounding has made illegal. */
static void restore_ratio(struct openai_size *size, int64_t ratio_max, bool grows)
{
    bool is_wide = size->width > size->height;
    int64_t *longer = is_wide ? &size->width : &size->height, *shorter = is_wide ? &size->height : &size->width;

    if (grows)
        *shorter = (*longer + ratio_max - 1) / ratio_max;
    else
        *longer = *shorter * ratio_max;
}

static bool fit_roughly(struct openai_size wanted, const struct openai_size_limits *limits, struct openai_size *out)
{
    bool grows = pixels(wanted) < limits->pixels_min;
    double factor = sqrt((double)(grows ? limits->pixels_min : limits->pixels_max) / (double)pixels(wanted));
    struct openai_size size = {scaled(wanted.width, factor, grows), scaled(wanted.height, factor, grows)};

    if (!has_legal_ratio(size, limits))
        restore_ratio(&size, limits->ratio_max, grows);
    *out = size;
    return is_legal(size, limits);
}

bool openai_size_fit(struct openai_size wanted, const struct openai_size_limits *limits, struct openai_size *out)
{
    if (!limits->pixels_max || is_legal(wanted, limits)) {
        *out = wanted;
        return true;
    }
    return has_legal_ratio(wanted, limits) && (fit_exactly(wanted, limits, out) || fit_roughly(wanted, limits, out));
}
