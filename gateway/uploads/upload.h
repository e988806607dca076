/* upload - one image that a client sends: it is checked while it arrives, stored, and recorded in Redis
 *
 *     RECEIVING --whole image--> ASKING --new----------> STORING -> RECORDING --NEW--------------------> ended
 *                                   `--known--> VERIFYING --lost--^    `--known meanwhile, limited--> DROPPING -> ended
 *                                                  `--stored--> ended
 *
 * RECEIVING writes a temporary file and computes its digest, on the threads of the disk. ASKING: has the client uploaded these bytes before?
 * VERIFYING: is their object still there? DROPPING deletes an object that is not needed.
 *
 * What is known of the image comes from its bytes: type and dimensions are those of its header, whatever the request says.
 *
 * Ownership: the caller owns the upload until upload_destroy, which may be called at any time, also from on_end. If all bytes have arrived, the
 *            upload continues without its caller; otherwise nothing of it remains.
 * Callbacks: on the loop, never from inside a function of this file. on_end is called at most once; nothing follows it.
 * Threads:   loop thread only.   Units: bytes.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_UPLOAD_H
#define ARKRELAY_GATEWAY_UPLOADS_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/problem.h"
#include "common/storage/record.h"

struct upload;
struct uploads;

enum { UPLOAD_PIECE_MAX = 32 << 10 }; /* of one upload_write */

/* Valid during on_end. */
struct upload_result {
    enum problem problem;              /* PROBLEM_COUNT: the image is uploaded */
    const char *detail;                /* of the problem; NULL: its own */
    int64_t wait_ms;                   /* of PROBLEM_UPLOADS_PER_DAY: until the next day */
    bool is_new;                       /* the client had not uploaded it before */
    const struct storage_about *about; /* its size, type, dimensions and digest */
    int64_t expires_at_ms;
};

struct upload_events {
    void (*on_room)(void *arg); /* upload_is_full was true, and is not any more */
    void (*on_end)(const struct upload_result *result, void *arg);
    void *arg;
};

/* `client` is copied. ERR_TOO_LONG: too many uploads at once. ERR_NO_MEMORY. */
int upload_start(struct uploads *uploads, const char *client, const struct upload_events *events,
                 struct upload **out) MUST_CHECK;
struct upload *upload_destroy(struct upload *upload); /* accepts NULL; returns NULL */

/* At most UPLOAD_PIECE_MAX bytes, while the upload is not full. */
void upload_write(struct upload *upload, const char *bytes, size_t len);
bool upload_is_full(struct upload *upload); /* true: wait for on_room */
void upload_end(struct upload *upload);     /* no more bytes follow */

#endif
