#include "worker/account/bookings.h"

#include <assert.h>
#include <string.h>

#include "worker/account/scope.h"

void bookings_add(struct bookings *bookings, struct scope *scope, int64_t second, int64_t images)
{
    if (!images)
        return;
    for (int i = 0; i < bookings->count; i++) {
        struct booking *booking = &bookings->rows[i];

        if (booking->scope == scope && booking->second == second) {
            booking->images += images;
            return;
        }
    }
    if (bookings->count == BOOKINGS_MAX)
        return;
    bookings->rows[bookings->count++] = (struct booking){scope, second, images};
    scope->users++;
}

void bookings_clear(struct bookings *bookings)
{
    for (int i = 0; i < bookings->count; i++)
        bookings->rows[i].scope->users--;
    bookings->count = 0;
}

void bookings_move(struct bookings *to, struct bookings *from)
{
    assert(!to->count);
    memcpy(to->rows, from->rows, sizeof(to->rows[0]) * (size_t)from->count);
    to->count = from->count;
    from->count = 0;
}

void bookings_repeat(struct bookings *bookings, struct bookings *lost)
{
    for (int i = 0; i < lost->count; i++)
        if (lost->rows[i].images > 0)
            bookings_add(bookings, lost->rows[i].scope, lost->rows[i].second, lost->rows[i].images);
    bookings_clear(lost);
}
