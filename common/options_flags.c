/* The command line. */
#include <stdlib.h>
#include <string.h>

#include "common/options_internal.h"

enum { SUGGESTION_TYPOS = 2 };

/* One argument, taken apart: --name or --name=value. */
struct argument {
    const char *name;
    size_t name_len;
    const char *value; /* NULL without "=" */
};

static const struct {
    const char *name, *value;
    enum options_request request;
} requests[] = {
    {"help",         NULL,       REQUEST_HELP         },
    {"help",         "markdown", REQUEST_HELP_MARKDOWN},
    {"help",         "man",      REQUEST_HELP_MAN     },
    {"version",      NULL,       REQUEST_VERSION      },
    {"print-config", NULL,       REQUEST_PRINT_CONFIG },
};

static bool is_name(const struct argument *argument, const char *name)
{
    return strlen(name) == argument->name_len && !memcmp(name, argument->name, argument->name_len);
}

static bool is_request(const struct argument *argument, enum options_request *out)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const char *value = requests[i].value;

        if (!is_name(argument, requests[i].name) || !value != !argument->value ||
            (value && strcmp(value, argument->value)))
            continue;
        *out = requests[i].request;
        return true;
    }
    return false;
}

/* How many letters lie between two words, at most `most` + 1, which is also how deep it goes.
 * NOLINTNEXTLINE(misc-no-recursion) */
static int typos(const char *a, const char *b, int most)
{
    int swapped, extra, missing;

    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (!*a && !*b)
        return 0;
    if (!most)
        return 1;
    extra = *a ? typos(a + 1, b, most - 1) : most;
    missing = *b ? typos(a, b + 1, most - 1) : most;
    swapped = *a && *b ? typos(a + 1, b + 1, most - 1) : most;
    if (extra < swapped)
        swapped = extra;
    return 1 + (missing < swapped ? missing : swapped);
}

static int refuse_unknown(const struct options_reading *reading, const struct argument *argument)
{
    char *name = strndup(argument->name, argument->name_len);
    const char *nearest = NULL;
    int best = SUGGESTION_TYPOS + 1;

    for (size_t i = 0; name && i < reading->table->count; i++) {
        int distance = typos(name, reading->table->rows[i].flag, SUGGESTION_TYPOS);

        if (distance < best) {
            best = distance;
            nearest = reading->table->rows[i].flag;
        }
    }
    free(name);
    /* Without its value: that may be a secret. */
    if (nearest)
        return options_complain(reading, ERR_NOT_FOUND, "there is no option --%.*s; did you mean --%s?",
                                (int)argument->name_len, argument->name, nearest);
    return options_complain(reading, ERR_NOT_FOUND, "there is no option --%.*s; see --help", (int)argument->name_len,
                            argument->name);
}

static bool find_row(const struct option_table *table, const struct argument *argument, size_t *out)
{
    for (size_t i = 0; i < table->count; i++) {
        if (is_name(argument, table->rows[i].flag)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* --no-name, for those that are true or false. */
static bool find_negated(const struct option_table *table, const struct argument *argument, size_t *out)
{
    struct argument positive = {.name = argument->name + 3, .name_len = argument->name_len - 3};
    size_t i;

    if (argument->name_len <= 3 || memcmp(argument->name, "no-", 3) != 0 || argument->value)
        return false;
    if (!find_row(table, &positive, &i) || table->rows[i].type != OPT_BOOL)
        return false;
    *out = i;
    return true;
}

static int set_flag(struct options_reading *reading, size_t row, const struct argument *argument, char ***rest)
{
    enum option_type type = reading->table->rows[row].type;
    const char *value = argument->value;

    if (type == OPT_FLAG && value)
        return options_complain(reading, ERR_SYNTAX, "--%s takes no value", reading->table->rows[row].flag);
    if (!value && (type == OPT_FLAG || type == OPT_BOOL))
        value = "true";
    if (!value && **rest)
        value = *(*rest)++;
    if (!value)
        return options_complain(reading, ERR_SYNTAX, "--%s needs a value", reading->table->rows[row].flag);
    return option_set(reading, row, ORIGIN_FLAG, value);
}

static int read_argument(struct options_reading *reading, const char *text, char ***rest, enum options_request *request)
{
    struct argument argument = {.name = text + 2};
    const char *equals;
    size_t row;

    if (strncmp(text, "--", 2) != 0 || !text[2])
        return options_complain(reading, ERR_SYNTAX, "every argument is an option that begins with --; see --help");
    equals = strchr(argument.name, '=');
    argument.name_len = equals ? (size_t)(equals - argument.name) : strlen(argument.name);
    argument.value = equals ? equals + 1 : NULL;
    if (is_request(&argument, request))
        return 0;
    if (find_row(reading->table, &argument, &row))
        return set_flag(reading, row, &argument, rest);
    if (find_negated(reading->table, &argument, &row))
        return option_set(reading, row, ORIGIN_FLAG, "false");
    return refuse_unknown(reading, &argument);
}

int options_read_flags(struct options_reading *reading, int argc, char **argv, enum options_request *out)
{
    enum options_request request = REQUEST_RUN;
    char **rest = argc > 0 ? argv + 1 : argv; /* argv is closed by NULL */

    while (*rest) {
        const char *text = *rest++;
        int err = read_argument(reading, text, &rest, &request);

        if (err)
            return err;
    }
    *out = request;
    return 0;
}
