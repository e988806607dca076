#include "common/config/option_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/ascii.h"
#include "common/base/buf.h"
#include "common/base/host_port.h"
#include "common/base/macros.h"
#include "common/base/money.h"
#include "common/config/option_table.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first; the last row has no name. */
static const struct unit no_units[] = {
    {"",   1},
    {NULL, 0}
};
static const struct unit time_units[] = {
    {"h",  3600000},
    {"m",  60000  },
    {"s",  1000   },
    {"ms", 1      },
    {NULL, 0      }
};
static const struct unit size_units[] = {
    {"g",  1 << 30},
    {"m",  1 << 20},
    {"k",  1 << 10},
    {"",   1      },
    {NULL, 0      }
};

static const struct unit *units_of(enum option_type type)
{
    return type == OPT_MS ? time_units : type == OPT_BYTES ? size_units : no_units;
}

static bool is_text(const struct option_row *row)
{
    return row->type == OPT_STRING || row->type == OPT_SECRET || row->type == OPT_ADDRESS || row->type == OPT_URL;
}

static void *value_place(const struct option_row *row, void *values)
{
    return (char *)values + row->at;
}

const char *option_value_default(const struct option_row *row)
{
    return row->fallback ? row->fallback : row->type == OPT_BOOL ? "false" : "";
}

void option_value_free(const struct option_row *row, void *values)
{
    char **place = value_place(row, values);

    if (!is_text(row))
        return;
    free(*place);
    *place = NULL;
}

/* -- Allowed values */

static void add_with_unit(struct buf *out, enum option_type type, int64_t value)
{
    const struct unit *unit = units_of(type);

    while (value % unit->factor)
        unit++;
    buf_add_int(out, value / unit->factor);
    buf_add_text(out, value ? unit->name : "");
}

static void add_choices(struct buf *out, const char *choices)
{
    for (; *choices; choices++) {
        if (*choices == '|')
            buf_add_text(out, ", ");
        else
            buf_add_char(out, *choices);
    }
}

static void add_range(struct buf *out, const struct option_row *row)
{
    if (row->max == INT64_MAX)
        buf_add_text(out, "at least ");
    add_with_unit(out, row->type, row->min);
    if (row->max == INT64_MAX)
        return;
    buf_add_text(out, " to ");
    add_with_unit(out, row->type, row->max);
}

static void add_length_range(struct buf *out, const struct option_row *row)
{
    if (row->min > 0)
        buf_addf(out, "%" PRId64 " to %" PRId64 " bytes", row->min, row->max);
    else
        buf_addf(out, "at most %" PRId64 " bytes", row->max);
}

void option_value_allowed(const struct option_row *row, struct buf *out)
{
    switch (row->type) {
    case OPT_STRING:
    case OPT_SECRET:
        add_length_range(out, row);
        break;
    case OPT_ADDRESS:
        buf_add_text(out, "host:port, [v6]:port");
        if (row->choices) {
            buf_add_text(out, ", ");
            add_choices(out, row->choices);
        }
        break;
    case OPT_URL:
        buf_add_text(out, "http://..., https://...");
        break;
    case OPT_INT:
    case OPT_MS:
    case OPT_BYTES:
        add_range(out, row);
        break;
    case OPT_MONEY:
        money_add(out, row->min);
        buf_add_text(out, " to ");
        money_add(out, row->max);
        break;
    case OPT_BOOL:
    case OPT_FLAG:
        buf_add_text(out, "true, false");
        break;
    case OPT_CHOICE:
        add_choices(out, row->choices);
        break;
    }
}

/* -- Text to value */

static int refuse_value(const struct option_row *row, int err, const char *what, struct buf *why)
{
    buf_addf(why, "%s (", what);
    option_value_allowed(row, why);
    buf_add_char(why, ')');
    return err;
}

static int parse_text(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    char **place = value_place(row, values);
    int64_t len = (int64_t)strlen(text);
    char *copy;

    if (!len && row->min > 0) {
        buf_add_text(why, "is empty; a value is required");
        return ERR_RANGE;
    }
    if (len < row->min || len > row->max) {
        buf_addf(why, "is too %s (", len < row->min ? "short" : "long");
        add_length_range(why, row);
        buf_add_char(why, ')');
        return ERR_RANGE;
    }
    copy = strdup(text);
    if (!copy)
        return ERR_NO_MEMORY;
    free(*place);
    *place = copy;
    return 0;
}

/* The place of `text` in "one|two"; -1 if it is none of them. */
static int find_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);

    for (int i = 0;; i++) {
        size_t choice_len = strcspn(choices, "|");

        if (choice_len == len && !memcmp(choices, text, len))
            return i;
        choices += choice_len;
        if (!*choices++)
            return -1;
    }
}

static bool is_address(const struct option_row *row, const char *text)
{
    struct host_port parts;
    char *copy;
    bool found;

    if (row->choices && find_choice(row->choices, text) >= 0)
        return true;
    copy = strdup(text);
    found = copy && host_port_split(copy, &parts);
    free(copy);
    return found;
}

static bool is_url(const struct option_row *row, const char *text)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        size_t len = strlen(schemes[i]);

        if (!strncasecmp(text, schemes[i], len) && text[len] && text[len] != '/')
            return true;
    }
    return !*text && !row->min;
}

static bool find_factor(const struct option_row *row, int64_t number, const char *name, int64_t *factor)
{
    for (const struct unit *unit = units_of(row->type); unit->name; unit++) {
        if (!strcasecmp(unit->name, name)) {
            *factor = unit->factor;
            return true;
        }
    }
    *factor = 1;
    return !*name && !number; /* 0 needs no unit */
}

static int refuse_spelling(const struct option_row *row, bool lacks_unit, struct buf *why)
{
    if (row->type == OPT_MS)
        buf_add_text(why, lacks_unit ? "needs a unit (ms, s, m, h)" : "is not a number with a unit (ms, s, m, h)");
    else if (row->type == OPT_BYTES)
        buf_add_text(why, "is not a number of bytes (it may end in k, m or g)");
    else
        buf_add_text(why, "is not a whole number");
    return ERR_SYNTAX;
}

static int parse_number(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    const char *digits = text + (*text == '-');
    bool is_number = ascii_is_digit(*digits); /* strtoll would also accept white space and a plus */
    int64_t number, factor, value;
    char *end;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (!is_number || !find_factor(row, number, end, &factor))
        return refuse_spelling(row, is_number && !*end, why);
    if (errno || __builtin_mul_overflow(number, factor, &value) || value < row->min || value > row->max)
        return refuse_value(row, ERR_RANGE, "is out of range", why);
    *(int64_t *)value_place(row, values) = value;
    return 0;
}

static int parse_money(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    int64_t micros;

    if (!money_read(text, strlen(text), &micros) || micros < row->min || micros > row->max)
        return refuse_value(row, ERR_RANGE, "is not an amount with at most six decimals", why);
    *(int64_t *)value_place(row, values) = micros;
    return 0;
}

static int parse_bool(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"}; /* odd indexes are true */

    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        if (!strcasecmp(words[i], text)) {
            *(bool *)value_place(row, values) = i % 2;
            return 0;
        }
    }
    buf_add_text(why, "is not a boolean (true, false, 1, 0, yes, no, on, off)");
    return ERR_SYNTAX;
}

static int parse_choice(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    int choice = find_choice(row->choices, text);

    if (choice < 0)
        return refuse_value(row, ERR_RANGE, "is not a valid choice", why);
    *(int *)value_place(row, values) = choice;
    return 0;
}

int option_value_parse(const struct option_row *row, const char *text, void *values, struct buf *why)
{
    switch (row->type) {
    case OPT_STRING:
    case OPT_SECRET:
        return parse_text(row, text, values, why);
    case OPT_ADDRESS:
        return is_address(row, text) ? parse_text(row, text, values, why)
                                     : refuse_value(row, ERR_SYNTAX, "is not an address", why);
    case OPT_URL:
        return is_url(row, text) ? parse_text(row, text, values, why)
                                 : refuse_value(row, ERR_SYNTAX, "is not a URL", why);
    case OPT_INT:
    case OPT_MS:
    case OPT_BYTES:
        return parse_number(row, text, values, why);
    case OPT_MONEY:
        return parse_money(row, text, values, why);
    case OPT_BOOL:
    case OPT_FLAG:
        return parse_bool(row, text, values, why);
    case OPT_CHOICE:
        return parse_choice(row, text, values, why);
    }
    return ERR_SYNTAX;
}
