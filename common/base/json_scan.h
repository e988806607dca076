/* json_scan - finds the values of a JSON text without parsing them
 *
 *     json_enter(text, &cursor);                       text is an object or an array
 *     while (json_next(&cursor, &name, &value))        each member, or each element
 *
 * For texts of which a program needs a part: jansson takes about 160 instructions for each byte of a string.
 *
 * The text is expected to be valid JSON. In another text, the loop ends early or finds wrong parts of it, but always inside the text. Names are
 * as they are written, with their escapes.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_JSON_SCAN_H
#define ARKRELAY_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct json_t;

/* A part of a text; len 0: nothing. */
struct json_span {
    const char *at;
    size_t len;
};

bool json_span_is(struct json_span span, const char *text);

struct json_cursor {
    const char *at, *end; /* at: in front of the next member; NULL: there is none */
    bool is_object;
};

void json_enter(struct json_span text, struct json_cursor *cursor);

/* False: there is no further one. name: without its quotes; of an element: nothing. value: without white space around it. */
bool json_next(struct json_cursor *cursor, struct json_span *name, struct json_span *value);

/* The first member of this name; nothing if there is none. */
struct json_span json_member(struct json_span object, const char *name);

/* Parses a value. NULL: it is not JSON, or there is no memory. */
struct json_t *json_span_read(struct json_span value);

#endif
