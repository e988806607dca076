/* err - what can go wrong, as numbers
 *
 * Fallible functions return 0 or one of these negative numbers, and write their last parameter only on success.
 * An outcome that a client hears about is an enum problem (problem.h), not one of these.
 */
#ifndef ARKRELAY_ERR_H
#define ARKRELAY_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    ERR_NO_MEMORY = -1,
    ERR_TOO_LONG = -2, /* a maximum would be passed */
    ERR_SYNTAX = -3,   /* bytes that do not follow their grammar */
    ERR_RANGE = -4,    /* a value outside of what is allowed */
    ERR_NOT_FOUND = -5,
    ERR_NOT_READY = -6, /* no connection at the moment */
    ERR_LOST = -7,      /* the connection broke while an answer was awaited */
    ERR_TIMEOUT = -8,   /* no answer within its time */
    ERR_REFUSED = -9,   /* the other side answered with an error */
    ERR_SYSTEM = -10,   /* the operating system said no; errno tells */
    ERR_CLOSED = -11,   /* the object is going or gone */
};

/* A short English phrase for logs; never NULL. */
const char *err_text(int err);

#endif
