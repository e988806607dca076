/* simulator/errors - ARK's error codes, and one error of a response
 *
 * A table maps a code to its HTTP status, type and usual message. A dotted code that is not in the table is looked up by the
 * part before its first dot.
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_ERRORS_H
#define ARKRELAY_SIMULATOR_ERRORS_H

#include <stdbool.h>

struct sim_error_kind {
    int status;
    const char *code, *type, *message;
    bool ends_group; /* if one image fails with this code, ARK skips the rest of the group */
};

struct sim_error {
    int status;
    char code[96], type[32], param[64];
    char message[1024]; /* without the "Request id: ..." that is appended to every response */
};

/* Never NULL: an unknown code is treated as an internal error. */
const struct sim_error_kind *sim_error_kind_of(const char *code);

/* The default code of a status. */
const struct sim_error_kind *sim_error_kind_of_status(int status);

/* Fills in status, code, type and the usual message. */
void sim_error_init(struct sim_error *error, const char *code);

/* The same for an error in one request field, with the caller's message. */
void sim_error_about(struct sim_error *error, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
