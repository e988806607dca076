#include "common/base/money.h"

#include "common/base/ascii.h"
#include "common/base/buf.h"

void money_add(struct buf *out, int64_t micros)
{
    int64_t rest = micros % MONEY_UNIT, digit = MONEY_UNIT / 10;

    buf_add_int(out, micros / MONEY_UNIT);
    if (rest)
        buf_add_char(out, '.');
    for (; rest; rest %= digit, digit /= 10)
        buf_add_char(out, (char)('0' + rest / digit));
}

/* The digits in front of the point. False: there is none, or the amount is above MONEY_MAX. */
static bool read_units(const char **at, const char *end, int64_t *micros)
{
    const char *from = *at;

    for (*micros = 0; *at < end && ascii_is_digit(**at) && *micros <= MONEY_MAX; ++*at)
        *micros = *micros * 10 + (int64_t)(**at - '0') * MONEY_UNIT;
    return *at > from && *micros <= MONEY_MAX;
}

bool money_read(const char *text, size_t len, int64_t *out)
{
    const char *at = text, *end = text + len;
    int64_t micros;

    if (!read_units(&at, end, &micros))
        return false;
    if (at < end && *at == '.' && at + 1 < end)
        for (int64_t digit = MONEY_UNIT / 10; ++at < end && ascii_is_digit(*at) && digit; digit /= 10)
            micros += (*at - '0') * digit;
    if (at != end || micros > MONEY_MAX)
        return false;
    *out = micros;
    return true;
}
