/* bookings - corrections of booked images that Redis does not know yet
 *
 * A permit is booked with a number of images, for the model and the second of its call. When the call turns out to be of another model or
 * number, the difference is added here, and the next report takes it to Redis. Corrections of the same model and second are merged.
 *
 * Ownership: borrows the scopes; each correction counts as a user of its scope.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_BOOKINGS_H
#define ARKRELAY_WORKER_ACCOUNT_BOOKINGS_H

#include <stdint.h>

enum { BOOKINGS_MAX = 512 };

struct scope;

/* Images above or below what was booked for the calls of one model that began in one second. */
struct booking {
    struct scope *scope;
    int64_t second; /* by Redis's clock */
    int64_t images;
};

struct bookings { /* zeroed: empty */
    struct booking rows[BOOKINGS_MAX];
    int count;
};

/* If the table is full, the correction is dropped. The account then uses slightly less than its limit. */
void bookings_add(struct bookings *bookings, struct scope *scope, int64_t second, int64_t images);

void bookings_clear(struct bookings *bookings);
void bookings_move(struct bookings *to, struct bookings *from); /* `to` must be empty; `from` is empty afterwards */

/* Adds the corrections of `lost`, which Redis may or may not have counted, and clears it. Negative ones are not repeated: giving back images
 * twice would exceed the account's limit. Booking images twice only wastes some. */
void bookings_repeat(struct bookings *bookings, struct bookings *lost);

#endif
