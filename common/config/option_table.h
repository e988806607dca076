/* option_table - the options of a program, as a table
 *
 * One row per option. The value's name on the command line and in the environment, its type, default and range, and its help text
 * are all in the row: parsing, --help, --print-config and docs/configuration.md are made from it.
 *
 * Values: durations need a unit (500ms 15s 5m 2h), sizes may have one (64k 8m), booleans are true/false/1/0/yes/no/on/off.
 */
#ifndef ARKRELAY_CONFIG_OPTION_TABLE_H
#define ARKRELAY_CONFIG_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPT_STRING,  /* char *, never NULL; min and max are lengths in bytes */
    OPT_SECRET,  /* as OPT_STRING; never printed */
    OPT_ADDRESS, /* as OPT_STRING: host:port or [v6]:port, or one of the words in `choices` */
    OPT_URL,     /* as OPT_STRING: an http:// or https:// URL; may be empty if min is 0 */
    OPT_INT,     /* int64_t */
    OPT_MS,      /* int64_t, milliseconds */
    OPT_BYTES,   /* int64_t */
    OPT_MONEY,   /* int64_t, micro-units of the catalogue's currency: 2.50 is 2500000 */
    OPT_BOOL,    /* bool; as a flag it needs no value: --watermark, --no-watermark */
    OPT_CHOICE,  /* int: index into choices */
    OPT_FLAG,    /* bool; command line only, takes no value */
};

struct option_row {
    const char *flag;        /* "redis-url": --redis-url VALUE or --redis-url=VALUE */
    const char *environment; /* "REDIS_URL"; NULL for OPT_FLAG */
    enum option_type type;
    size_t at;            /* offset in the program's struct */
    const char *fallback; /* the default, in the syntax of a user; NULL: "" or false */
    int64_t min, max;
    const char *help; /* one sentence; unit first if there is one */
    const char *
        choices; /* OPT_CHOICE: "text|json"; OPT_ADDRESS: words accepted in place of an address, as "auto|off", or NULL */
};

struct option_table {
    const char *program, *version;
    const char *summary; /* one line for --help */
    const struct option_row *rows;
    size_t count;
};

#endif
