/* options_internal - what the files of options.c share
 *
 * Each row has a setting: the text in force and where it comes from. Sources may be read in any order, because a setting only
 * gives way to an origin that is not below its own. Nothing but options*.c and their tests includes this.
 */
#ifndef ARKRELAY_OPTIONS_INTERNAL_H
#define ARKRELAY_OPTIONS_INTERNAL_H

#include <stdio.h>

#include "common/err.h"
#include "common/options.h"

struct buf;

enum option_origin { ORIGIN_DEFAULT, ORIGIN_ENV_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct option_setting {
    char *text; /* NULL until a source was read */
    enum option_origin origin;
    char *found, *found_file; /* what the source that is being read says: N and N_FILE */
};

/* The world that options_load sees, so that tests can bring their own. */
struct options_world {
    char *const *environment; /* NAME=value, closed by NULL */
    const char *env_file;     /* a path; the file may be absent */
    FILE *out, *err;
};

struct options_reading {
    const struct option_table *table;
    const struct options_world *world;
    struct option_setting *settings; /* one per row */
};

enum options_request {
    REQUEST_RUN,
    REQUEST_HELP,
    REQUEST_HELP_MARKDOWN,
    REQUEST_HELP_MAN,
    REQUEST_VERSION,
    REQUEST_PRINT_CONFIG
};

enum options_outcome options_load_from(const struct options_world *world, const struct option_table *table, int argc,
                                       char **argv, void *values);

/* Of these, whoever returns an error has said why on world->err. */
int options_read_defaults(struct options_reading *reading) MUST_CHECK;
int options_read_env_file(struct options_reading *reading) MUST_CHECK;
int options_read_environment(struct options_reading *reading) MUST_CHECK;
int options_read_flags(struct options_reading *reading, int argc, char **argv, enum options_request *out) MUST_CHECK;

int option_set(struct options_reading *reading, size_t row, enum option_origin origin, const char *text) MUST_CHECK;
const char *option_origin_name(enum option_origin origin);
int options_complain(const struct options_reading *reading, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* one line; returns err */

/* Of a row: "--[no-]name"; its default as a user would write it, "" for none. */
void option_add_flag(struct buf *out, const struct option_row *row);
const char *option_default(const struct option_row *row);

void options_write_help(const struct option_table *table, FILE *out);
void options_write_markdown(const struct option_table *table, FILE *out);
void options_write_man(const struct option_table *table, FILE *out);
void options_write_config(const struct options_reading *reading, FILE *out);

#endif
