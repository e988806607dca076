#include "common/models/money.h"

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
