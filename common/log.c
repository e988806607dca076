#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

enum { LINE_MAX_BYTES = 4096 };

/* The process's own: set once before threads start, read-only afterwards. */
static enum log_level threshold = LOG_INFO;
static enum log_format output = LOG_TEXT;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_setup(enum log_level level, enum log_format format)
{
    threshold = level;
    output = format;
}

int log_enabled(enum log_level level)
{
    return level <= threshold;
}

static void add_time(struct buf *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_addf(line, "%s.%03dZ", text, (int)(now_ms % 1000));
}

/* The end of the field that starts at `text`: at a space outside of quotes. */
static const char *field_end(const char *text)
{
    bool quoted = false;

    for (; *text && (quoted || *text != ' '); text++) {
        if (quoted && *text == '\\' && text[1])
            text++;
        else if (*text == '"')
            quoted = !quoted;
    }
    return text;
}

/* A quoted value is a JSON string already (log_quote), anything else becomes one. */
static void add_json_fields(struct buf *line, const char *fields)
{
    while (*fields) {
        const char *end = field_end(fields);
        const char *equals = memchr(fields, '=', (size_t)(end - fields));

        if (equals) {
            buf_add_char(line, ',');
            buf_add_json(line, fields, (size_t)(equals - fields));
            buf_add_char(line, ':');
            if (equals[1] == '"')
                buf_add(line, equals + 1, (size_t)(end - equals - 1));
            else
                buf_add_json(line, equals + 1, (size_t)(end - equals - 1));
        }
        fields = *end ? end + 1 : end;
    }
}

static void format_json(struct buf *line, enum log_level level, const char *component, const char *message,
                        const char *fields)
{
    buf_add_text(line, "{\"time\":\"");
    add_time(line);
    buf_addf(line, "\",\"level\":\"%s\",\"component\":\"%s\",\"message\":", level_names[level], component);
    buf_add_json(line, message, strlen(message));
    add_json_fields(line, fields);
    buf_add_text(line, "}\n");
}

static void format_text(struct buf *line, enum log_level level, const char *component, const char *message,
                        const char *fields)
{
    add_time(line);
    buf_addf(line, " %-5s %-7s %s%s%s\n", level_names[level], component, message, *fields ? " " : "", fields);
}

void log_line(enum log_level level, const char *component, const char *message, const char *format, ...)
{
    char fields[LINE_MAX_BYTES / 2];
    struct buf line;
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    if (vsnprintf(fields, sizeof(fields), format, args) < 0)
        fields[0] = '\0';
    va_end(args);

    buf_init(&line, LINE_MAX_BYTES * 4);
    if (output == LOG_JSON)
        format_json(&line, level, component, message, fields);
    else
        format_text(&line, level, component, message, fields);
    /* A log that cannot be written has nowhere to report that: continuing. */
    if (!buf_error(&line))
        (void)!write(STDERR_FILENO, line.data, line.len);
    buf_deinit(&line);
}

const char *log_quote(char *out, size_t size, const char *text)
{
    static const char tail[] = "...\"";
    size_t at = 0;

    out[at++] = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[8];
        int len;

        if (c == '"' || c == '\\')
            len = snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            len = snprintf(escaped, sizeof(escaped), "\\u%04x", c);
        else
            len = snprintf(escaped, sizeof(escaped), "%c", c);
        if (at + (size_t)len + sizeof(tail) > size) {
            memcpy(out + at, tail, sizeof(tail));
            return out;
        }
        memcpy(out + at, escaped, (size_t)len);
        at += (size_t)len;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
