/* Parses .env files and option values of every type. An accepted value is within its range. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/config/env_file.h"
#include "common/config/option_table.h"
#include "common/config/option_value.h"

struct values {
    char *text;
    int64_t number, wait_ms, room;
    bool truth;
    int choice;
};

#define AT(field) offsetof(struct values, field)
/* clang-format off */
static const struct option_row rows[] = {
    { "text",   "TEXT",   OPT_SECRET, AT(text),    NULL, 0,    8,         "", NULL },
    { "number", "NUMBER", OPT_INT,    AT(number),  "0",  -5,   INT64_MAX, "", NULL },
    { "wait",   "WAIT",   OPT_MS,     AT(wait_ms), "0",  0,    600000,    "", NULL },
    { "room",   "ROOM",   OPT_BYTES,  AT(room),    "0",  -500, 1 << 30,   "", NULL },
    { "truth",  "TRUTH",  OPT_BOOL,   AT(truth),   NULL, 0,    0,         "", NULL },
    { "choice", "CHOICE", OPT_CHOICE, AT(choice),  "a",  0,    0,         "", "a|b|ab" },
};
/* clang-format on */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct values *values)
{
    if (values->text && strlen(values->text) > 8)
        abort();
    if (values->number < -5 || values->wait_ms < 0 || values->wait_ms > 600000)
        abort();
    if (values->room < -500 || values->room > 1 << 30 || values->choice < 0 || values->choice > 2)
        abort();
}

static int on_assignment(const char *name, const char *value, void *arg)
{
    struct values *values = arg;

    if (!*name)
        abort();
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct buf why = {.max = 1000};
        int err = option_value_parse(&rows[i], value, values, &why);

        if (!!err != !!why.len)
            abort();
        buf_deinit(&why);
    }
    check(values);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values values = {0};
    char *text = malloc(size + 1);
    size_t line;

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (env_file_parse(text, size, on_assignment, &values, &line) != ERR_SYNTAX && line > size + 1)
        abort();
    free(text);
    free(values.text);
    return 0;
}
