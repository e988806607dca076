#include "common/config/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/config/env_file.h"
#include "common/config/option_value.h"
#include "common/config/options_help.h"

enum { SHOWN_MAX = 100, WHY_MAX = 1024, SUGGESTION_TYPOS = 2, ENV_FILE_MAX = 1 << 20, VALUE_FILE_MAX = 64 << 10 };

enum origin { ORIGIN_DEFAULT, ORIGIN_ENV_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

static const char *const origin_names[] = {
    [ORIGIN_DEFAULT] = "default",
    [ORIGIN_ENV_FILE] = ".env",
    [ORIGIN_ENVIRONMENT] = "environment",
    [ORIGIN_FLAG] = "flag",
};

/* The effective text of one row and its origin. A text replaces another only if its origin does not have a lower precedence, so
 * sources may be read in any order. */
struct setting {
    char *text; /* NULL until a source was read */
    enum origin origin;
    char *found, *found_file; /* N and N_FILE of the source that is being read */
};

struct reading {
    const struct option_table *table;
    const struct options_world *world;
    struct setting *settings; /* one per row */
};

enum request {
    REQUEST_RUN,
    REQUEST_HELP,
    REQUEST_HELP_MARKDOWN,
    REQUEST_HELP_MAN,
    REQUEST_VERSION,
    REQUEST_PRINT_CONFIG
};

/* Writes one line to world->err; returns err. A function below that returns an error has already written its line. */
static int options_error(const struct reading *reading, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int options_error(const struct reading *reading, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(reading->world->err, "%s: ", reading->table->program);
    vfprintf(reading->world->err, format, args);
    fputc('\n', reading->world->err);
    va_end(args);
    return err;
}

static int setting_set(struct reading *reading, size_t row, enum origin origin, const char *text)
{
    struct setting *setting = &reading->settings[row];
    char *copy;

    if (setting->text && setting->origin > origin)
        return 0;
    copy = strdup(text);
    if (!copy)
        return options_error(reading, ERR_NO_MEMORY, "out of memory");
    free(setting->text);
    setting->text = copy;
    setting->origin = origin;
    return 0;
}

/* -- Defaults, .env, the environment, and the files named by N_FILE */

static int options_read_defaults(struct reading *reading)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        const struct option_row *row = &reading->table->rows[i];
        const char *text = row->type == OPT_FLAG ? "false" : option_value_default(row);
        int err = setting_set(reading, i, ORIGIN_DEFAULT, text);

        if (err)
            return err;
    }
    return 0;
}

/* On ERR_SYSTEM, errno says why. */
static int read_file(const char *path, struct buf *out)
{
    char part[4096];
    FILE *file = fopen(path, "re");
    size_t len;
    int err;

    if (!file)
        return ERR_SYSTEM;
    while (!buf_error(out) && (len = fread(part, 1, sizeof(part), file)) > 0)
        buf_add(out, part, len);
    err = ferror(file) ? ERR_SYSTEM : buf_error(out);
    fclose(file);
    return err;
}

static const char *reason_of(int err)
{
    return err == ERR_SYSTEM ? strerror(errno) : err_text(err);
}

/* An empty value counts as absent. */
static int setting_note(struct reading *reading, char **found, const char *value)
{
    char *copy = *value ? strdup(value) : NULL;

    if (*value && !copy)
        return options_error(reading, ERR_NO_MEMORY, "out of memory");
    free(*found);
    *found = copy;
    return 0;
}

static bool is_file_name(const char *name, const char *of)
{
    size_t len = strlen(of);

    return !strncmp(name, of, len) && !strcmp(name + len, "_FILE");
}

static int note_assignment(const char *name, const char *value, void *arg)
{
    struct reading *reading = arg;
    int err = 0;

    for (size_t i = 0; i < reading->table->count && !err; i++) {
        const char *environment = reading->table->rows[i].environment;

        if (environment && !strcmp(name, environment))
            err = setting_note(reading, &reading->settings[i].found, value);
        else if (environment && is_file_name(name, environment))
            err = setting_note(reading, &reading->settings[i].found_file, value);
    }
    return err;
}

static int setting_read_file(struct reading *reading, size_t i, enum origin origin)
{
    const char *name = reading->table->rows[i].environment, *path = reading->settings[i].found_file;
    struct buf content;
    size_t line_len;
    int err;

    buf_init(&content, VALUE_FILE_MAX);
    err = read_file(path, &content);
    line_len = strcspn(buf_text(&content), "\r\n");
    if (err)
        (void)options_error(reading, err, "%s_FILE=%s cannot be read: %s", name, path, reason_of(err));
    else if (!line_len)
        err = options_error(reading, ERR_SYNTAX, "%s_FILE=%s: the first line is empty", name, path);
    else if (line_len < content.len && !content.data[line_len])
        err = options_error(reading, ERR_SYNTAX, "%s_FILE=%s is not a text file", name, path);
    if (!err) {
        content.data[line_len] = '\0';
        err = setting_set(reading, i, origin, content.data);
    }
    buf_deinit(&content);
    return err;
}

static int setting_adopt(struct reading *reading, size_t i, enum origin origin)
{
    struct setting *setting = &reading->settings[i];
    const char *name = reading->table->rows[i].environment;

    if (setting->found && setting->found_file)
        return options_error(reading, ERR_SYNTAX, "%s and %s_FILE are both set (%s)", name, name, origin_names[origin]);
    if (setting->found_file && setting->origin <= origin)
        return setting_read_file(reading, i, origin);
    return setting->found ? setting_set(reading, i, origin, setting->found) : 0;
}

/* Moves the values found in one source to the settings. */
static int settings_adopt(struct reading *reading, enum origin origin)
{
    int err = 0;

    for (size_t i = 0; i < reading->table->count; i++) {
        struct setting *setting = &reading->settings[i];

        if (!err)
            err = setting_adopt(reading, i, origin);
        free(setting->found);
        free(setting->found_file);
        setting->found = setting->found_file = NULL;
    }
    return err;
}

static int options_read_env_file(struct reading *reading)
{
    const char *path = reading->world->env_file;
    struct buf content;
    size_t line;
    int err;

    buf_init(&content, ENV_FILE_MAX);
    err = read_file(path, &content);
    if (err == ERR_SYSTEM && (errno == ENOENT || errno == ENOTDIR)) {
        err = 0;
    } else if (err) {
        (void)options_error(reading, err, "%s cannot be read: %s", path, reason_of(err));
    } else if (content.len) {
        err = env_file_parse(content.data, content.len, note_assignment, reading, &line);
        if (err == ERR_SYNTAX)
            (void)options_error(reading, err, "%s, line %zu: expected NAME=value or a comment", path, line);
    }
    buf_deinit(&content);
    return err ? err : settings_adopt(reading, ORIGIN_ENV_FILE);
}

static int note_entry(struct reading *reading, const char *entry, const char *equals)
{
    char *name = strndup(entry, (size_t)(equals - entry));
    int err =
        name ? note_assignment(name, equals + 1, reading) : options_error(reading, ERR_NO_MEMORY, "out of memory");

    free(name);
    return err;
}

static int options_read_environment(struct reading *reading)
{
    for (char *const *entry = reading->world->environment; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        int err = equals ? note_entry(reading, *entry, equals) : 0;

        if (err)
            return err;
    }
    return settings_adopt(reading, ORIGIN_ENVIRONMENT);
}

/* -- The command line */

/* One argument, taken apart: --name or --name=value. */
struct argument {
    const char *name;
    size_t name_len;
    const char *value; /* NULL without "=" */
};

static const struct {
    const char *name, *value;
    enum request request;
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

static bool is_request(const struct argument *argument, enum request *out)
{
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        const char *value = requests[i].value;

        if (!is_name(argument, requests[i].name) || !value != !argument->value ||
            (value && strcmp(value, argument->value)))
            continue;
        *out = requests[i].request;
        return true;
    }
    return false;
}

/* The edit distance of two words: min(distance, most + 1). The recursion is at most `most` + 1 deep.
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

static int refuse_unknown(const struct reading *reading, const struct argument *argument)
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
    /* The value is not printed: it may be a secret. */
    if (nearest)
        return options_error(reading, ERR_NOT_FOUND, "unknown option --%.*s; did you mean --%s?",
                             (int)argument->name_len, argument->name, nearest);
    return options_error(reading, ERR_NOT_FOUND, "unknown option --%.*s; see --help", (int)argument->name_len,
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

/* --no-name, for OPT_BOOL rows. */
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

static int set_flag(struct reading *reading, size_t row, const struct argument *argument, char ***rest)
{
    enum option_type type = reading->table->rows[row].type;
    const char *value = argument->value;

    if (type == OPT_FLAG && value)
        return options_error(reading, ERR_SYNTAX, "--%s takes no value", reading->table->rows[row].flag);
    if (!value && (type == OPT_FLAG || type == OPT_BOOL))
        value = "true";
    if (!value && **rest)
        value = *(*rest)++;
    if (!value)
        return options_error(reading, ERR_SYNTAX, "--%s needs a value", reading->table->rows[row].flag);
    return setting_set(reading, row, ORIGIN_FLAG, value);
}

static int read_argument(struct reading *reading, const char *text, char ***rest, enum request *request)
{
    struct argument argument = {.name = text + 2};
    const char *equals;
    size_t row;

    if (strncmp(text, "--", 2) != 0 || !text[2])
        return options_error(reading, ERR_SYNTAX, "unexpected argument: options begin with --; see --help");
    equals = strchr(argument.name, '=');
    argument.name_len = equals ? (size_t)(equals - argument.name) : strlen(argument.name);
    argument.value = equals ? equals + 1 : NULL;
    if (is_request(&argument, request))
        return 0;
    if (find_row(reading->table, &argument, &row))
        return set_flag(reading, row, &argument, rest);
    if (find_negated(reading->table, &argument, &row))
        return setting_set(reading, row, ORIGIN_FLAG, "false");
    return refuse_unknown(reading, &argument);
}

static int options_read_flags(struct reading *reading, int argc, char **argv, enum request *out)
{
    enum request request = REQUEST_RUN;
    char **rest = argc > 0 ? argv + 1 : argv; /* argv is NULL-terminated */

    while (*rest) {
        const char *text = *rest++;
        int err = read_argument(reading, text, &rest, &request);

        if (err)
            return err;
    }
    *out = request;
    return 0;
}

/* -- Text to value */

/* Quotes a text with white space, control characters or more than SHOWN_MAX / 2 bytes; hides a secret. */
static const char *setting_shown(char out[SHOWN_MAX], const struct option_row *row, const char *text)
{
    if (row->type == OPT_SECRET)
        return "***";
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '"' || *c == 0x7f || c - text > SHOWN_MAX / 2)
            return log_quote(out, SHOWN_MAX, text);
    return text;
}

static int setting_convert(const struct reading *reading, size_t i, void *values)
{
    const struct option_row *row = &reading->table->rows[i];
    const struct setting *setting = &reading->settings[i];
    bool by_flag = setting->origin == ORIGIN_FLAG || !row->environment;
    char text[SHOWN_MAX];
    struct buf why;
    int err;

    buf_init(&why, WHY_MAX);
    err = option_value_parse(row, setting->text, values, &why);
    if (err == ERR_NO_MEMORY)
        (void)options_error(reading, err, "out of memory");
    else if (err)
        (void)options_error(reading, err, "%s%s=%s%s %s", by_flag ? "--" : "", by_flag ? row->flag : row->environment,
                            setting_shown(text, row, setting->text),
                            setting->origin == ORIGIN_ENV_FILE ? " in .env" : "", buf_text(&why));
    buf_deinit(&why);
    return err;
}

static int settings_convert(const struct reading *reading, void *values)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        int err = setting_convert(reading, i, values);

        if (err)
            return err;
    }
    return 0;
}

static int options_read_sources(struct reading *reading, void *values)
{
    int err = options_read_defaults(reading);

    if (!err)
        err = options_read_env_file(reading);
    if (!err)
        err = options_read_environment(reading);
    return err ? err : settings_convert(reading, values);
}

/* -- --print-config */

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f || strchr("#\"'\\", *text))
            return false;
    return true;
}

/* In the syntax of .env, so that the output is a valid .env file. */
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

static void options_print_config(const struct reading *reading, FILE *out)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        const struct option_row *row = &reading->table->rows[i];
        const struct setting *setting = &reading->settings[i];

        if (!row->environment)
            continue;
        fprintf(out, "%s=", row->environment);
        write_value(out, row->type == OPT_SECRET && *setting->text ? "***" : setting->text);
        fprintf(out, " # %s\n", origin_names[setting->origin]);
    }
}

/* -- Loading */

/* --help and --version must work with a broken configuration, so they do not read it. */
static enum options_outcome options_answer(struct reading *reading, enum request request, void *values)
{
    FILE *out = reading->world->out;

    switch (request) {
    case REQUEST_HELP:
        options_help_text(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_HELP_MARKDOWN:
        options_help_markdown(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_HELP_MAN:
        options_help_man(reading->table, out);
        return OPTIONS_DONE;
    case REQUEST_VERSION:
        fprintf(out, "%s %s\n", reading->table->program, reading->table->version);
        return OPTIONS_DONE;
    case REQUEST_PRINT_CONFIG:
    case REQUEST_RUN:
        break;
    }
    if (options_read_sources(reading, values))
        return OPTIONS_BAD;
    if (request == REQUEST_RUN)
        return OPTIONS_RUN;
    options_print_config(reading, out);
    return OPTIONS_DONE;
}

static void settings_free(struct reading *reading)
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
    struct reading reading = {.table = table, .world = world};
    enum options_outcome outcome = OPTIONS_BAD;
    enum request request;

    reading.settings = calloc(table->count, sizeof(*reading.settings));
    if (!reading.settings)
        (void)options_error(&reading, ERR_NO_MEMORY, "out of memory");
    else if (!options_read_flags(&reading, argc, argv, &request))
        outcome = options_answer(&reading, request, values);
    if (outcome == OPTIONS_DONE && (fflush(world->out) || ferror(world->out))) {
        (void)options_error(&reading, ERR_SYSTEM, "cannot write the output");
        outcome = OPTIONS_BAD;
    }
    if (outcome != OPTIONS_RUN)
        options_deinit(table, values);
    settings_free(&reading);
    return outcome;
}

enum options_outcome options_load(const struct option_table *table, int argc, char **argv, void *values)
{
    struct options_world world = {.environment = environ, .env_file = ".env", .out = stdout, .err = stderr};

    return options_load_from(&world, table, argc, argv, values);
}

void options_deinit(const struct option_table *table, void *values)
{
    for (size_t i = 0; i < table->count; i++)
        option_value_free(&table->rows[i], values);
}
