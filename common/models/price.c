#include "common/models/price.h"

#include "common/base/buf.h"
#include "common/models/money.h"
#include "common/models/plan.h"
#include "common/models/size.h"

enum { COUNT_MAX = 10000 }; /* keeps every product far below INT64_MAX, whatever a damaged task says */

static int64_t bounded(int64_t count)
{
    return count < 0 ? 0 : count > COUNT_MAX ? COUNT_MAX : count;
}

static int64_t dearest(const struct model_price *price)
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

/* A keyword says little: ARK chooses the ratio, and images above the keyword's usual size were seen. */
static int64_t price_of_planned(const struct plan *plan)
{
    int64_t micros;

    return price_of_size(&plan->price, plan->size, &micros) ? micros : dearest(&plan->price);
}

static int64_t price_of_references(const struct plan *plan, size_t references)
{
    int64_t paid = bounded((int64_t)references) - plan->price.references_free;

    return paid > 0 ? paid * plan->price.reference_micros : 0;
}

static int64_t price_of_call(const struct plan *plan, size_t references)
{
    return bounded(plan->images) * price_of_planned(plan) + price_of_references(plan, references);
}

struct cost price_worst(const struct plan *plan, size_t references, int64_t calls)
{
    struct cost cost = {.known = plan->price.tier_count > 0};

    if (cost.known)
        cost.micros = bounded(calls) * price_of_call(plan, references);
    return cost;
}

static void add_images(struct cost *cost, const struct plan *plan, const struct spent *spent)
{
    for (size_t i = 0; i < spent->images && i < COUNT_MAX; i++) {
        int64_t micros;

        if (!price_of_size(&plan->price, spent->sizes[i], &micros)) {
            micros = price_of_planned(plan);
            cost->estimated = true;
        }
        cost->micros += micros;
    }
}

struct cost price_spent(const struct plan *plan, size_t references, const struct spent *spent)
{
    struct cost cost = {.known = plan->price.tier_count > 0};

    if (!cost.known)
        return cost;
    add_images(&cost, plan, spent);
    cost.micros += bounded(spent->lost_images) * price_of_planned(plan);
    cost.micros += bounded(spent->charged_calls) * price_of_references(plan, references);
    cost.micros += bounded(spent->unknown_calls) * price_of_call(plan, references);
    cost.estimated |= spent->lost_images > 0 || spent->unknown_calls > 0;
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
