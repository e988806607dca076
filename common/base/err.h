/* err - error numbers of fallible functions
 *
 * Fallible functions return 0 or one of these, and write their last parameter only on success.
 * An error that is reported to a client is an enum problem (problem.h).
 */
#ifndef ARKRELAY_BASE_ERR_H
#define ARKRELAY_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    ERR_NO_MEMORY = -1,
    ERR_TOO_LONG = -2, /* a maximum would be exceeded */
    ERR_SYNTAX = -3,   /* the bytes do not match the expected grammar */
    ERR_RANGE = -4,    /* the value is outside its allowed range */
    ERR_NOT_FOUND = -5,
    ERR_NOT_READY = -6, /* not connected at the moment */
    ERR_LOST = -7,      /* the connection was lost while waiting for an answer */
    ERR_TIMEOUT = -8,   /* no answer in time */
    ERR_REFUSED = -9,   /* the peer answered with an error */
    ERR_SYSTEM = -10,   /* a system call failed; see errno */
    ERR_CLOSED = -11,   /* the object is closed or being closed */
};

/* A short English phrase for logs; never NULL. */
const char *err_text(int err);

#endif
