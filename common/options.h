/* options - one table of options per program
 *
 * A row is everything there is to know about an option; reading the command line, the environment, `.env`, `*_FILE` twins,
 * ranges, --help, --print-config and the documentation come from it.
 *
 * Precedence: default < .env in the current directory < environment < command line. A variable that is set but empty counts as
 * absent. For every row with an environment name N, N_FILE names a file whose first line is the value (secrets in
 * containers); giving both N and N_FILE in the same place is an error.
 *
 * Values: durations take a unit (500ms 15s 5m 2h), sizes too (64k 8m), booleans are true/false/1/0/yes/no/on/off.
 * Ownership: string values are the struct's; options_deinit frees them.
 * Errors:    anything wrong is one line on stderr that names the option, the value (never a secret's) and what is allowed.
 */
#ifndef ARKRELAY_OPTIONS_H
#define ARKRELAY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPT_STRING,  /* char *, never NULL; min and max are lengths in bytes */
    OPT_SECRET,  /* as OPT_STRING; never printed */
    OPT_ADDRESS, /* as OPT_STRING: host:port or [v6]:port, or one of the words in `choices` */
    OPT_URL,     /* as OPT_STRING: http:// or https:// and more; may be empty where min is 0 */
    OPT_INT,     /* int64_t */
    OPT_MS,      /* int64_t, milliseconds */
    OPT_BYTES,   /* int64_t */
    OPT_BOOL,    /* bool; as a flag it needs no value: --watermark, --no-watermark */
    OPT_CHOICE,  /* int: index into choices */
    OPT_FLAG,    /* bool; command line only, takes no value */
};

struct option_row {
    const char *flag;        /* "redis-url": --redis-url VALUE or --redis-url=VALUE */
    const char *environment; /* "REDIS_URL"; NULL for OPT_FLAG */
    enum option_type type;
    size_t at;            /* offset in the program's struct */
    const char *fallback; /* the default, as a user would write it; NULL: "" or false */
    int64_t min, max;
    const char *help;    /* one sentence; unit first where there is one */
    const char *choices; /* OPT_CHOICE: "text|json"; OPT_ADDRESS: words that are allowed too, as "auto|off", or NULL */
};

struct option_table {
    const char *program, *version;
    const char *summary; /* one line for --help */
    const struct option_row *rows;
    size_t count;
};

enum options_outcome {
    OPTIONS_RUN,  /* the struct is filled */
    OPTIONS_DONE, /* --help (as text, markdown, man), --version or --print-config was answered: exit 0 */
    OPTIONS_BAD,  /* the message is out: exit with OPTIONS_EXIT_BAD */
};

enum { OPTIONS_EXIT_BAD = 78 }; /* EX_CONFIG of sysexits.h */

/* `values` is zeroed by the caller. After OPTIONS_DONE and OPTIONS_BAD it holds nothing to free. */
enum options_outcome options_load(const struct option_table *table, int argc, char **argv, void *values);
void options_deinit(const struct option_table *table, void *values);

#endif
