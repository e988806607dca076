#include "common/options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/options_internal.h"
#include "common/options_value.h"

enum { SHOWN_MAX = 100, WHY_MAX = 1024 };

int options_complain(const struct options_reading *reading, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(reading->world->err, "%s: ", reading->table->program);
    vfprintf(reading->world->err, format, args);
    fputc('\n', reading->world->err);
    va_end(args);
    return err;
}

const char *option_origin_name(enum option_origin origin)
{
    static const char *const names[] = {"default", ".env", "environment", "flag"};

    return names[origin];
}

int option_set(struct options_reading *reading, size_t row, enum option_origin origin, const char *text)
{
    struct option_setting *setting = &reading->settings[row];
    char *copy;

    if (setting->text && setting->origin > origin)
        return 0;
    copy = strdup(text);
    if (!copy)
        return options_complain(reading, ERR_NO_MEMORY, "out of memory");
    free(setting->text);
    setting->text = copy;
    setting->origin = origin;
    return 0;
}

/* Quoted where it would not read as one word of one line. */
static const char *shown(char out[SHOWN_MAX], const struct option_row *row, const char *text)
{
    if (row->type == OPT_SECRET)
        return "***";
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '"' || *c == 0x7f || c - text > SHOWN_MAX / 2)
            return log_quote(out, SHOWN_MAX, text);
    return text;
}

static int convert(const struct options_reading *reading, size_t i, void *values)
{
    const struct option_row *row = &reading->table->rows[i];
    const struct option_setting *setting = &reading->settings[i];
    bool by_flag = setting->origin == ORIGIN_FLAG || !row->environment;
    char text[SHOWN_MAX];
    struct buf why;
    int err;

    buf_init(&why, WHY_MAX);
    err = option_value_parse(row, setting->text, values, &why);
    if (err == ERR_NO_MEMORY)
        (void)options_complain(reading, err, "out of memory");
    else if (err)
        (void)options_complain(reading, err, "%s%s=%s%s %s", by_flag ? "--" : "",
                               by_flag ? row->flag : row->environment, shown(text, row, setting->text),
                               setting->origin == ORIGIN_ENV_FILE ? " in .env" : "", buf_text(&why));
    buf_deinit(&why);
    return err;
}

static int convert_all(const struct options_reading *reading, void *values)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        int err = convert(reading, i, values);

        if (err)
            return err;
    }
    return 0;
}

static int read_sources(struct options_reading *reading, void *values)
{
    int err = options_read_defaults(reading);

    if (!err)
        err = options_read_env_file(reading);
    if (!err)
        err = options_read_environment(reading);
    return err ? err : convert_all(reading, values);
}

/* Help answers even where the configuration is broken, so it does not read one. */
static enum options_outcome serve(struct options_reading *reading, enum options_request request, void *values)
{
    FILE *out = reading->world->out;

    switch (request) {
    case REQUEST_HELP:
        options_write_help(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_HELP_MARKDOWN:
        options_write_markdown(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_HELP_MAN:
        options_write_man(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_VERSION:
        fprintf(out, "%s %s\n", reading->table->program, reading->table->version);
        return OPTIONS_DONE;
    case REQUEST_PRINT_CONFIG:
    case REQUEST_RUN:
        break;
    }
    if (read_sources(reading, values))
        return OPTIONS_BAD;
    if (request == REQUEST_RUN)
        return OPTIONS_RUN;
    options_write_config(reading, out);
    return OPTIONS_DONE;
}

static void free_settings(struct options_reading *reading)
{
    for (size_t i = 0; reading->settings && i < reading->table->count; i++) {
        free(reading->settings[i].text);
        free(reading->settings[i].found);
        free(reading->settings[i].found_file);
    }
    free(reading->settings);
}

enum options_outcome options_load_from(const struct options_world *world, const struct option_table *table, int argc,
                                       char **argv, void *values)
{
    struct options_reading reading = {.table = table, .world = world};
    enum options_outcome outcome = OPTIONS_BAD;
    enum options_request request;

    reading.settings = calloc(table->count, sizeof(*reading.settings));
    if (!reading.settings)
        (void)options_complain(&reading, ERR_NO_MEMORY, "out of memory");
    else if (!options_read_flags(&reading, argc, argv, &request))
        outcome = serve(&reading, request, values);
    if (outcome != OPTIONS_RUN)
        options_deinit(table, values);
    free_settings(&reading);
    return outcome;
}

enum options_outcome options_load(const struct option_table *table, int argc, char **argv, void *values)
{
    struct options_world world = {.environment = environ, .env_file = ".env", .out = stdout, .err = stderr};

    return options_load_from(&world, table, argc, argv, values);
}

void options_deinit(const struct option_table *table, void *values)
{
    for (size_t i = 0; i < table->count; i++) {
        char **place = (char **)(void *)((char *)values + table->rows[i].at);

        if (option_is_text(&table->rows[i])) {
            free(*place);
            *place = NULL;
        }
    }
}
