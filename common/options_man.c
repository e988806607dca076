/* What the table says about itself in a manual page: its section OPTIONS, in the language of man(7). */
#include <string.h>

#include "common/buf.h"
#include "common/options_internal.h"
#include "common/options_value.h"

enum { VALUE_MAX = 1 << 16 };

/* As it stands: roff would take some characters for commands, and typeset others. */
static void write_literal(FILE *out, const char *text)
{
    static const struct {
        char c;
        const char *escape;
    } escapes[] = {
        {'\\', "\\e"  },
        {'-',  "\\-"  },
        {'~',  "\\(ti"},
        {'^',  "\\(ha"},
        {'`',  "\\(ga"},
        {'\'', "\\(aq"}
    };

    if (*text == '.')
        fputs("\\&", out);
    for (; *text; text++) {
        const char *escape = NULL;

        for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
            if (escapes[i].c == *text)
                escape = escapes[i].escape;
        fputs(escape ? escape : (char[]){*text, '\0'}, out);
    }
}

static void write_bold(FILE *out, const char *text)
{
    fputs("\\fB", out);
    write_literal(out, text);
    fputs("\\fR", out);
}

static void write_row(const struct option_row *row, struct buf *cell, FILE *out)
{
    const char *fallback = option_default(row);

    buf_clear(cell);
    option_add_flag(cell, row);
    fputs(".TP\n", out);
    write_bold(out, buf_text(cell));
    if (row->environment) {
        fputs(", environment ", out);
        write_bold(out, row->environment);
    }
    fputc('\n', out);
    write_literal(out, row->help);
    if (row->type != OPT_FLAG) {
        buf_clear(cell);
        option_value_allowed(row, cell);
        fputs("\n.br\nAllowed: ", out);
        write_literal(out, buf_text(cell));
        fputs(". Default: ", out);
        if (*fallback)
            write_bold(out, fallback);
        else
            fputs("none", out);
    }
    fputc('\n', out);
}

void options_write_man(const struct option_table *table, FILE *out)
{
    struct buf cell;

    buf_init(&cell, VALUE_MAX);
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < table->count; i++)
        write_row(&table->rows[i], &cell, out);
    fputs(
        ".TP\n\\fB\\-\\-help\\fR\nAll options in short, and exit; "
        "\\fB\\-\\-help=markdown\\fR and \\fB\\-\\-help=man\\fR: for documents.\n"
        ".TP\n\\fB\\-\\-print\\-config\\fR\nEvery option's value and where it comes from, without secrets, and exit.\n"
        ".TP\n\\fB\\-\\-version\\fR\nName and version, and exit.\n",
        out);
    buf_deinit(&cell);
}
