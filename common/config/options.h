/* options - reads a program's options from all sources
 *
 * Precedence: default < .env in the current directory < environment < command line. A variable that is set but empty counts as
 * absent. For a row with the environment name N, the variable N_FILE is the path of a file whose first line is the value (for
 * secrets in containers). Setting both N and N_FILE in the same source is an error.
 *
 * Ownership: string values belong to the caller's struct; options_deinit frees them.
 * Errors:    one line on stderr names the option, the value (never that of a secret) and the allowed values.
 */
#ifndef ARKRELAY_CONFIG_OPTIONS_H
#define ARKRELAY_CONFIG_OPTIONS_H

#include <stdio.h>

#include "common/config/option_table.h"

enum options_outcome {
    OPTIONS_RUN,  /* the struct is filled */
    OPTIONS_DONE, /* --help (text, markdown or man), --version or --print-config was answered: exit 0 */
    OPTIONS_BAD,  /* the error is printed: exit with OPTIONS_EXIT_BAD */
};

enum { OPTIONS_EXIT_BAD = 78 }; /* EX_CONFIG of sysexits.h */

/* `values` is zeroed by the caller. After OPTIONS_DONE and OPTIONS_BAD it contains nothing to free. */
enum options_outcome options_load(const struct option_table *table, int argc, char **argv, void *values);
void options_deinit(const struct option_table *table, void *values);

/* The sources and outputs of options_load, as parameters. For tests. */
struct options_world {
    char *const *environment; /* NAME=value, NULL-terminated */
    const char *env_file;     /* a path; the file may be absent */
    FILE *out, *err;
};

enum options_outcome options_load_from(const struct options_world *world, const struct option_table *table, int argc,
                                       char **argv, void *values);

#endif
