/* What the table says about itself: --help, --help=markdown, --print-config. */
#include <string.h>

#include "common/buf.h"
#include "common/options_internal.h"
#include "common/options_value.h"
#include "common/utf8.h"

enum { DEFAULT_SHOWN = 28, CELL_MAX = 1 << 16 };

enum column { COLUMN_FLAG, COLUMN_ENVIRONMENT, COLUMN_DEFAULT, COLUMN_COUNT };

void option_add_flag(struct buf *out, const struct option_row *row)
{
    buf_addf(out, "--%s%s", row->type == OPT_BOOL ? "[no-]" : "", row->flag);
}

const char *option_default(const struct option_row *row)
{
    return row->fallback ? row->fallback : row->type == OPT_BOOL ? "false" : "";
}

/* A default that is a whole sentence would push everything else off the screen; --print-config shows it in full. */
static void add_short_default(struct buf *out, const struct option_row *row)
{
    const char *text = option_default(row);
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
        option_add_flag(out, row);
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
    return row->type == OPT_INT || row->type == OPT_MS || row->type == OPT_BYTES || row->type == OPT_CHOICE;
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

void options_write_help(const struct option_table *table, FILE *out)
{
    size_t widths[COLUMN_COUNT];
    struct buf cell;

    buf_init(&cell, CELL_MAX);
    measure(table, &cell, widths);
    fprintf(out, "Usage: %s [--option=value ...]\n\n%s\n\n", table->program, table->summary);
    fputs("An option's value is the first of: its flag, its environment variable, its line in ./.env, its default.\n"
          "NAME_FILE instead of NAME names a file that holds the value.\n\n"
          "Flag, environment variable, default, meaning:\n",
          out);
    for (size_t i = 0; i < table->count; i++)
        write_row(&table->rows[i], &cell, widths, out);
    fputs("\n"
          "  --help           this text; --help=markdown: the options as a table\n"
          "  --print-config   every option's value and where it comes from, without secrets\n"
          "  --version        name and version\n",
          out);
    buf_deinit(&cell);
}

/* --- --help=markdown --- */

static void write_cell(FILE *out, const char *text, const char *quote)
{
    fprintf(out, "| %s", *text ? quote : "");
    for (const char *c = text; *c; c++)
        fprintf(out, "%s%c", *c == '|' ? "\\" : "", *c);
    fprintf(out, "%s%s", *text ? quote : "", *text ? " " : "");
}

void options_write_markdown(const struct option_table *table, FILE *out)
{
    struct buf cell;

    buf_init(&cell, CELL_MAX);
    fputs("| environment | flag | default | allowed | meaning |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];

        write_cell(out, row->environment ? row->environment : "", "`");
        buf_clear(&cell);
        option_add_flag(&cell, row);
        write_cell(out, buf_text(&cell), "`");
        write_cell(out, option_default(row), "`");
        buf_clear(&cell);
        if (row->type != OPT_FLAG)
            option_value_allowed(row, &cell);
        write_cell(out, buf_text(&cell), "");
        write_cell(out, row->help, "");
        fputs("|\n", out);
    }
    buf_deinit(&cell);
}

/* --- --print-config --- */

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f || strchr("#\"'\\", *text))
            return false;
    return true;
}

/* As `.env` reads it back. */
static void write_value(FILE *out, const char *text)
{
    if (is_plain(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputs(*text == '\n' ? "\\n" : (char[]){*text, '\0'}, out);
    }
    fputc('"', out);
}

void options_write_config(const struct options_reading *reading, FILE *out)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        const struct option_row *row = &reading->table->rows[i];
        const struct option_setting *setting = &reading->settings[i];

        if (!row->environment)
            continue;
        fprintf(out, "%s=", row->environment);
        write_value(out, row->type == OPT_SECRET && *setting->text ? "***" : setting->text);
        fprintf(out, " # %s\n", option_origin_name(setting->origin));
    }
}
