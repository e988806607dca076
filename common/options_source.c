/* Where settings come from besides the command line: the table's defaults, `.env`, the environment, and the files that N_FILE names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/env_file.h"
#include "common/options_internal.h"

enum { ENV_FILE_MAX = 1 << 20, VALUE_FILE_MAX = 64 << 10 };

static const char file_suffix[] = "_FILE";

int options_read_defaults(struct options_reading *reading)
{
    for (size_t i = 0; i < reading->table->count; i++) {
        const struct option_row *row = &reading->table->rows[i];
        bool is_bool = row->type == OPT_BOOL || row->type == OPT_FLAG;
        const char *text = row->fallback ? row->fallback : is_bool ? "false" : "";
        int err = option_set(reading, i, ORIGIN_DEFAULT, text);

        if (err)
            return err;
    }
    return 0;
}

/* ERR_SYSTEM leaves errno. */
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

static const char *why_unreadable(int err)
{
    return err == ERR_SYSTEM ? strerror(errno) : err_text(err);
}

/* --- What one source says: a value per row, a file that holds it, or nothing --- */

/* What is empty is absent. */
static int note(struct options_reading *reading, char **found, const char *value)
{
    char *copy = *value ? strdup(value) : NULL;

    if (*value && !copy)
        return options_complain(reading, ERR_NO_MEMORY, "out of memory");
    free(*found);
    *found = copy;
    return 0;
}

static bool is_file_name(const char *name, const char *of)
{
    size_t len = strlen(of);

    return !strncmp(name, of, len) && !strcmp(name + len, file_suffix);
}

static int note_assignment(const char *name, const char *value, void *arg)
{
    struct options_reading *reading = arg;
    int err = 0;

    for (size_t i = 0; i < reading->table->count && !err; i++) {
        const char *environment = reading->table->rows[i].environment;

        if (environment && !strcmp(name, environment))
            err = note(reading, &reading->settings[i].found, value);
        else if (environment && is_file_name(name, environment))
            err = note(reading, &reading->settings[i].found_file, value);
    }
    return err;
}

static int set_from_file(struct options_reading *reading, size_t i, enum option_origin origin)
{
    const char *name = reading->table->rows[i].environment, *path = reading->settings[i].found_file;
    struct buf content;
    size_t line_len;
    int err;

    buf_init(&content, VALUE_FILE_MAX);
    err = read_file(path, &content);
    line_len = strcspn(buf_text(&content), "\r\n");
    if (err)
        (void)options_complain(reading, err, "%s_FILE=%s cannot be read: %s", name, path, why_unreadable(err));
    else if (!line_len)
        err = options_complain(reading, ERR_SYNTAX, "%s_FILE=%s has nothing on its first line", name, path);
    else if (line_len < content.len && !content.data[line_len])
        err = options_complain(reading, ERR_SYNTAX, "%s_FILE=%s is not a text file", name, path);
    if (!err) {
        content.data[line_len] = '\0';
        err = option_set(reading, i, origin, content.data);
    }
    buf_deinit(&content);
    return err;
}

static int adopt(struct options_reading *reading, size_t i, enum option_origin origin)
{
    struct option_setting *setting = &reading->settings[i];
    const char *name = reading->table->rows[i].environment;

    if (setting->found && setting->found_file)
        return options_complain(reading, ERR_SYNTAX, "%s and %s_FILE are both set (%s)", name, name,
                                option_origin_name(origin));
    if (setting->found_file && setting->origin <= origin)
        return set_from_file(reading, i, origin);
    return setting->found ? option_set(reading, i, origin, setting->found) : 0;
}

/* Makes what was noted of one source into settings. */
static int adopt_all(struct options_reading *reading, enum option_origin origin)
{
    int err = 0;

    for (size_t i = 0; i < reading->table->count; i++) {
        struct option_setting *setting = &reading->settings[i];

        if (!err)
            err = adopt(reading, i, origin);
        free(setting->found);
        free(setting->found_file);
        setting->found = setting->found_file = NULL;
    }
    return err;
}

int options_read_env_file(struct options_reading *reading)
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
        (void)options_complain(reading, err, "%s cannot be read: %s", path, why_unreadable(err));
    } else if (content.len) {
        err = env_file_parse(content.data, content.len, note_assignment, reading, &line);
        if (err == ERR_SYNTAX)
            (void)options_complain(reading, err, "%s, line %zu: neither NAME=value nor a comment", path, line);
    }
    buf_deinit(&content);
    return err ? err : adopt_all(reading, ORIGIN_ENV_FILE);
}

static int note_entry(struct options_reading *reading, const char *entry, const char *equals)
{
    char *name = strndup(entry, (size_t)(equals - entry));
    int err =
        name ? note_assignment(name, equals + 1, reading) : options_complain(reading, ERR_NO_MEMORY, "out of memory");

    free(name);
    return err;
}

int options_read_environment(struct options_reading *reading)
{
    for (char *const *entry = reading->world->environment; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        int err = equals ? note_entry(reading, *entry, equals) : 0;

        if (err)
            return err;
    }
    return adopt_all(reading, ORIGIN_ENVIRONMENT);
}
