/* spending - the state of the spending limits that apply to a request, and the response header that tells it
 *
 *     Arkrelay-Spending: "client-day";currency="USD";limit=5000000;spent=4200000;reserved=700000;left=100000;t=35021
 *
 * Amounts are in micro-units. `t` is the number of seconds until the UTC day or month ends. The amounts of the limits for all clients together
 * are not told to a client: such a limit is only named, and only when it refuses a task.
 *
 * Pure, except for spending_add_header.   Units: micro-units, ms.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_SPENDING_H
#define ARKRELAY_GATEWAY_RESPONSE_SPENDING_H

#include <stdbool.h>
#include <stdint.h>

struct http_exchange;

enum spending_cap { CAP_CLIENT_DAY, CAP_CLIENT_MONTH, CAP_ALL_DAY, CAP_ALL_MONTH, CAP_COUNT };

enum { SPENDING_CURRENCY_SIZE = 4 };

struct spending {
    char currency[SPENDING_CURRENCY_SIZE];
    int64_t limit[CAP_COUNT]; /* 0: none */
    int64_t spent[CAP_COUNT], reserved[CAP_COUNT];
    int64_t day_left_ms, month_left_ms;
    enum spending_cap refused; /* the cap that has no room; CAP_COUNT: none */
};

extern const char *const spending_cap_names[CAP_COUNT]; /* "client-day" ... */

int64_t spending_left_ms(const struct spending *spending,
                         enum spending_cap cap); /* until the cap's day or month ends */

/* After a refusal: when a task that may cost `micros` may fit. Money that is only reserved is often free again as soon as tasks end. */
int64_t spending_retry_ms(const struct spending *spending, int64_t micros);

void spending_add_header(struct http_exchange *exchange, const struct spending *spending);

#endif
