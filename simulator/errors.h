/* simulator/errors - ARK's error codes, and one error as it is told to a client
 *
 * A table: code -> HTTP status, type and the usual message. Codes are dotted: what the table does not know is looked up by
 * what stands before its first dot.
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_ERRORS_H
#define ARKRELAY_SIMULATOR_ERRORS_H

#include <stdbool.h>

struct sim_error_kind {
    int status;
    const char *code, *type, *message;
    bool ends_group; /* as the outcome of one image: no further one is tried */
};

struct sim_error {
    int status;
    char code[96], type[32], param[64];
    char message[1024]; /* without the "Request id: ..." that every answer appends */
};

/* Never NULL: a code that nobody knows is an internal error with that name. */
const struct sim_error_kind *sim_error_kind_of(const char *code);

/* The code that a bare status stands for. */
const struct sim_error_kind *sim_error_kind_of_status(int status);

/* Fills in status, code, type and the usual message. */
void sim_error_init(struct sim_error *error, const char *code);

/* The same, about one field, in words of the caller's. */
void sim_error_about(struct sim_error *error, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
