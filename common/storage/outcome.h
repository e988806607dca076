/* outcome - how an operation on a storage ends
 *
 * The caller decides by `end`. `words` are for logs: they name files and error texts, and never contain keys or signed links.
 *
 * Pure.
 */
#ifndef ARKRELAY_STORAGE_OUTCOME_H
#define ARKRELAY_STORAGE_OUTCOME_H

#include <stdarg.h>
#include <stdbool.h>

enum storage_end {
    STORAGE_DONE,
    STORAGE_MISSING, /* there is no such object */
    STORAGE_INVALID, /* the bytes are not a whole image of a known type, or too many; a repetition ends the same */
    STORAGE_FULL,    /* too little of the disk is free, or the bucket's quota is used up; an operator must act */
    STORAGE_DENIED,  /* keys or permissions; an operator must act */
    STORAGE_BUSY,    /* too many operations at the moment; repeat it later */
    STORAGE_FAILED,  /* an error of the disk, the network or the server; repeat it later */
    STORAGE_END_COUNT,
};

struct storage_outcome {
    enum storage_end end;
    char words[192]; /* "" when done */
};

const char *storage_end_name(enum storage_end end); /* "done", "missing", ...: stable words for logs and metrics */
bool storage_end_is_passing(enum storage_end end);  /* a repetition may succeed without an operator's help */

void storage_outcome_set(struct storage_outcome *outcome, enum storage_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `doing` names the failed step: "write". The end follows from the errno, the words have its text. */
void storage_outcome_set_errno(struct storage_outcome *outcome, const char *doing, int number);

#endif
