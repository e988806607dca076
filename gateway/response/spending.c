#include "gateway/response/spending.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/http/server.h"

enum { HEADER_MAX = 512, SECOND_MS = 1000, SOON_MS = 60 * 1000 };

const char *const spending_cap_names[CAP_COUNT] = {
    [CAP_CLIENT_DAY] = "client-day",
    [CAP_CLIENT_MONTH] = "client-month",
    [CAP_ALL_DAY] = "all-day",
    [CAP_ALL_MONTH] = "all-month",
};

int64_t spending_left_ms(const struct spending *spending, enum spending_cap cap)
{
    return cap == CAP_CLIENT_DAY || cap == CAP_ALL_DAY ? spending->day_left_ms : spending->month_left_ms;
}

int64_t spending_retry_ms(const struct spending *spending, int64_t micros)
{
    enum spending_cap cap = spending->refused;
    int64_t left_ms = spending_left_ms(spending, cap);
    bool is_only_reserved = spending->spent[cap] + micros <= spending->limit[cap];

    return is_only_reserved && left_ms > SOON_MS ? SOON_MS : left_ms;
}

static void add_amounts(struct buf *out, const struct spending *spending, enum spending_cap cap)
{
    int64_t left = spending->limit[cap] - spending->spent[cap] - spending->reserved[cap];

    buf_addf(out, ";currency=\"%s\";limit=%" PRId64 ";spent=%" PRId64 ";reserved=%" PRId64 ";left=%" PRId64,
             spending->currency, spending->limit[cap], spending->spent[cap], spending->reserved[cap],
             left > 0 ? left : 0);
}

void spending_add_header(struct http_exchange *exchange, const struct spending *spending)
{
    struct buf value;

    buf_init(&value, HEADER_MAX);
    for (enum spending_cap cap = 0; cap < CAP_COUNT; cap++) {
        bool is_own = cap == CAP_CLIENT_DAY || cap == CAP_CLIENT_MONTH;

        if (!spending->limit[cap] || (!is_own && cap != spending->refused))
            continue;
        buf_addf(&value, "%s\"%s\"", value.len ? ", " : "", spending_cap_names[cap]);
        if (is_own)
            add_amounts(&value, spending, cap);
        buf_addf(&value, ";t=%" PRId64, (spending_left_ms(spending, cap) + SECOND_MS - 1) / SECOND_MS);
    }
    if (value.len && !buf_error(&value))
        http_add_header(exchange, "Arkrelay-Spending", buf_text(&value));
    buf_deinit(&value);
}
