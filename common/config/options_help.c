#include "common/config/options_help.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/utf8.h"
#include "common/config/option_table.h"
#include "common/config/option_value.h"

enum { DEFAULT_SHOWN = 28, CELL_MAX = 1 << 16 };

enum column { COLUMN_FLAG, COLUMN_ENVIRONMENT, COLUMN_DEFAULT, COLUMN_COUNT };

static void add_flag(struct buf *out, const struct option_row *row)
{
    buf_addf(out, "--%s%s", row->type == OPT_BOOL ? "[no-]" : "", row->flag);
}

/* A long default would widen the column for all rows, so it is cut; --print-config shows it in full. */
static void add_short_default(struct buf *out, const struct option_row *row)
{
    const char *text = option_value_default(row);
    size_t len = strlen(text), at = 0;

    if (utf8_count(text, len) <= DEFAULT_SHOWN) {
        buf_add_text(out, text);
        return;
    }
    for (int i = 0; i < DEFAULT_SHOWN - 3; i++) {
        size_t step = utf8_char_len(text + at, len - at);

        at += step ? step : 1;
    }
    buf_add(out, text, at);
    buf_add_text(out, "...");
}

static void add_cell(struct buf *out, const struct option_row *row, enum column column)
{
    switch (column) {
    case COLUMN_FLAG:
        add_flag(out, row);
        break;
    case COLUMN_ENVIRONMENT:
        buf_add_text(out, row->environment ? row->environment : "");
        break;
    case COLUMN_DEFAULT:
        add_short_default(out, row);
        break;
    case COLUMN_COUNT:
        break;
    }
}

static size_t cell_width(struct buf *cell, const struct option_row *row, enum column column)
{
    buf_clear(cell);
    add_cell(cell, row, column);
    return utf8_count(buf_text(cell), cell->len);
}

static void measure(const struct option_table *table, struct buf *cell, size_t widths[COLUMN_COUNT])
{
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        widths[column] = 0;
        for (size_t i = 0; i < table->count; i++) {
            size_t width = cell_width(cell, &table->rows[i], column);

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
}

static bool has_range(const struct option_row *row)
{
    return row->type == OPT_INT || row->type == OPT_MS || row->type == OPT_BYTES || row->type == OPT_MONEY ||
           row->type == OPT_CHOICE;
}

static void write_row(const struct option_row *row, struct buf *cell, const size_t widths[COLUMN_COUNT], FILE *out)
{
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        size_t width = cell_width(cell, row, column);

        fprintf(out, "  %s%*s", buf_text(cell), (int)(widths[column] - width), "");
    }
    fprintf(out, "  %s", row->help);
    if (has_range(row)) {
        buf_clear(cell);
        option_value_allowed(row, cell);
        fprintf(out, " (%s)", buf_text(cell));
    }
    fputc('\n', out);
}

void options_help_text(const struct option_table *table, FILE *out)
{
    size_t widths[COLUMN_COUNT];
    struct buf cell;

    buf_init(&cell, CELL_MAX);
    measure(table, &cell, widths);
    fprintf(out, "Usage: %s [--option=value ...]\n\n%s\n\n", table->program, table->summary);
    fputs("Precedence: flag, environment variable, line in ./.env, default.\n"
          "To read a value from the first line of a file, set NAME_FILE to its path instead of NAME.\n\n"
          "Flag, environment variable, default, description:\n",
          out);
    for (size_t i = 0; i < table->count; i++)
        write_row(&table->rows[i], &cell, widths, out);
    fputs("\n"
          "  --help           show this help; --help=markdown, --help=man: the options for documents\n"
          "  --print-config   show the value and the source of every option, without secrets\n"
          "  --version        show name and version\n",
          out);
    buf_deinit(&cell);
}

/* -- --help=markdown */

static void write_table_cell(FILE *out, const char *text, const char *quote)
{
    fprintf(out, "| %s", *text ? quote : "");
    for (const char *c = text; *c; c++)
        fprintf(out, "%s%c", *c == '|' ? "\\" : "", *c);
    fprintf(out, "%s%s", *text ? quote : "", *text ? " " : "");
}

void options_help_markdown(const struct option_table *table, FILE *out)
{
    struct buf cell;

    buf_init(&cell, CELL_MAX);
    fputs("| environment | flag | default | allowed | meaning |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        write_table_cell(out, row->environment ? row->environment : "", "`");
        buf_clear(&cell);
        add_flag(&cell, row);
        write_table_cell(out, buf_text(&cell), "`");
        write_table_cell(out, option_value_default(row), "`");
        buf_clear(&cell);
        if (row->type != OPT_FLAG)
            option_value_allowed(row, &cell);
        write_table_cell(out, buf_text(&cell), "");
        write_table_cell(out, row->help, "");
        fputs("|\n", out);
    }
    buf_deinit(&cell);
}

/* -- --help=man: the section OPTIONS of a manual page, in the language of man(7) */

/* Escapes the characters that roff interprets as commands or typesets differently. */
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

        for (size_t i = 0; i < ARRAY_LENGTH(escapes); i++)
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

static void write_man_row(const struct option_row *row, struct buf *cell, FILE *out)
{
    const char *fallback = option_value_default(row);

    buf_clear(cell);
    add_flag(cell, row);
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

void options_help_man(const struct option_table *table, FILE *out)
{
    struct buf cell;

    buf_init(&cell, CELL_MAX);
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < table->count; i++)
        write_man_row(&table->rows[i], &cell, out);
    fputs(
        ".TP\n\\fB\\-\\-help\\fR\nShow all options and exit; "
        "\\fB\\-\\-help=markdown\\fR and \\fB\\-\\-help=man\\fR: the options for documents.\n"
        ".TP\n\\fB\\-\\-print\\-config\\fR\nShow the value and the source of every option, without secrets, and exit.\n"
        ".TP\n\\fB\\-\\-version\\fR\nShow name and version, and exit.\n",
        out);
    buf_deinit(&cell);
}
