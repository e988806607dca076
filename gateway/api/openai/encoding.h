/* openai/encoding - writes stored pictures into an answer as base64, one after another
 *
 *     WAITING --it is stored--> READING --last byte--> the next piece, or idle
 *
 * A piece of the answer is a text, a picture, and a text. The worker copies a picture into the storage after its event, so a picture may
 * not be there yet: the encoding asks Redis until it is. Nothing of a picture is kept: it is read as fast as the client takes it.
 *
 * The text in front of a picture is written when the picture is open. With `gathers`, all pictures must be stored first. Until the first
 * text is written, the answer can still be an error.
 *
 * Ownership: the order owns it; encoding_destroy may be called at any time, also from its callbacks, which are the last use of it then.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ENCODING_H
#define ARKRELAY_GATEWAY_API_OPENAI_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct encoding;
struct encodings;
struct http_exchange;
struct json_t;
struct loop;
struct redis;
struct storage;

/* What the encodings of one loop share. Pointers are borrowed; `storage` is not NULL. NULL: out of memory. */
struct encodings *encodings_create(struct loop *loop, struct redis *commands, struct storage *storage);
struct encodings *encodings_destroy(struct encodings *encodings); /* accepts NULL; returns NULL */

struct encoding_events {
    void (*on_begin)(void *arg); /* of an encoding that gathers: the head of the answer may be sent */
    void (*on_idle)(void *arg);  /* all pieces have been written */

    /* A picture cannot be read; nothing follows. `is_gone`: it never will be; the piece in front of it is complete. */
    void (*on_failed)(bool is_gone, void *arg);
    void *arg;
};

/* Callbacks come from the loop, never from inside a function of this file. NULL: out of memory. */
struct encoding *encoding_create(struct encodings *encodings, struct http_exchange *exchange, bool gathers,
                                 const struct encoding_events *events);
struct encoding *encoding_destroy(struct encoding *encoding); /* accepts NULL; returns NULL */

/* Adds a piece; takes the content of both texts. `image` NULL: the piece is only its texts. ERR_NOT_FOUND: it has no `stored_url`. */
int encoding_add(struct encoding *encoding, struct buf *before, const struct json_t *image,
                 struct buf *after) MUST_CHECK;

/* Of an encoding that gathers: all pieces were added. */
void encoding_start(struct encoding *encoding);

bool encoding_is_busy(const struct encoding *encoding);    /* pieces are left; accepts NULL */
bool encoding_is_writing(const struct encoding *encoding); /* a piece is written in part; accepts NULL */
void encoding_on_room(struct encoding *encoding);          /* http_exchange_on_room; accepts NULL */

#endif
