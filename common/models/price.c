#include "common/models/price.h"
#include "common/base/money.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/models/size.h"

enum { COUNT_MAX = 10000 }; /* keeps every product far below INT64_MAX, even for a damaged task */

static int64_t bounded(int64_t count)
{
    return count < 0 ? 0 : count > COUNT_MAX ? COUNT_MAX : count;
}

static int64_t highest_price(const struct model_price *price)
{
    int64_t most = 0;

    for (int i = 0; i < price->tier_count; i++)
        most = price->tiers[i].micros > most ? price->tiers[i].micros : most;
    return most;
}

static int64_t tier_of(const struct model_price *price, int64_t pixels)
{
    int i = 0;

    while (i < price->tier_count - 1 && pixels > price->tiers[i].pixels_max)
        i++;
    return price->tiers[i].micros;
}

/* False: `size` is not in pixels. */
static bool price_of_size(const struct model_price *price, const char *size, int64_t *out)
{
    int64_t width, height;

    if (!size || !size_read_pixels(size, &width, &height))
        return false;
    *out = tier_of(price, width * height);
    return true;
}

static int64_t price_of_references(const struct model_price *price, size_t references)
{
    int64_t paid = bounded((int64_t)references) - price->references_free;

    return paid > 0 ? paid * price->reference_micros : 0;
}

/* A keyword does not determine the size: ARK chooses the ratio, and has sent images above the keyword's usual size. */
struct tariff price_tariff(const struct model_price *price, const char *currency, const char *size, int images,
                           size_t references)
{
    struct tariff tariff = {.price = *price};

    if (!price->tier_count)
        return tariff;
    (void)strncat(tariff.currency, currency, sizeof(tariff.currency) - 1);
    tariff.is_exact = price_of_size(price, size, &tariff.image_micros);
    if (!tariff.is_exact) {
        tariff.image_micros = highest_price(price);
        tariff.is_exact = price->tier_count == 1;
    }
    tariff.references_micros = price_of_references(price, references);
    tariff.call_micros = bounded(images) * tariff.image_micros + tariff.references_micros;
    return tariff;
}

struct cost price_calls(const struct tariff *tariff, int64_t calls)
{
    return (struct cost){.known = tariff->price.tier_count > 0, .micros = bounded(calls) * tariff->call_micros};
}

void price_add_image(struct cost *cost, const struct tariff *tariff, const char *size)
{
    int64_t micros = tariff->image_micros;

    if (!tariff->price.tier_count)
        return;
    cost->known = true;
    if (!price_of_size(&tariff->price, size, &micros) && !tariff->is_exact)
        cost->estimated = true;
    cost->micros += micros;
}

struct cost price_call(const struct tariff *tariff, const struct cost *images, int64_t made, int64_t missing)
{
    struct cost cost = *images;

    cost.known = tariff->price.tier_count > 0;
    if (!cost.known)
        return cost;
    cost.micros += (bounded(made) + bounded(missing)) * tariff->image_micros + tariff->references_micros;
    cost.estimated |= missing > 0 || (made > 0 && !tariff->is_exact);
    return cost;
}

void price_write(struct buf *out, const struct cost *cost, const char *currency)
{
    if (!cost->known) {
        buf_add_text(out, "null");
        return;
    }
    buf_addf(out, "{\"currency\":\"%s\",\"amount\":", currency);
    money_add(out, cost->micros);
    buf_addf(out, ",\"estimated\":%s}", cost->estimated ? "true" : "false");
}
