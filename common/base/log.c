#include "common/base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"

enum {
    TIME_SIZE = 32,
    LEVEL_WIDTH = 5,
    COMPONENT_WIDTH = 7,
    FIELDS_MAX = 2048,
    LINE_MAX_BYTES = 8 * FIELDS_MAX, /* JSON escapes a byte as at most six */
};

/* Set once before any thread starts, read-only afterwards. */
static enum log_level threshold = LOG_INFO;
static enum log_format output = LOG_TEXT;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level level, enum log_format format)
{
    threshold = level;
    output = format;
}

int log_enabled(enum log_level level)
{
    return level <= threshold;
}

/* The time of this thread's last line, formatted up to the second. */
static thread_local struct {
    time_t second;
    char text[TIME_SIZE];
} stamp;

static void add_time(struct buf *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t second = (time_t)(now_ms / 1000);
    int ms = (int)(now_ms % 1000);
    char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z'};
    struct tm tm;

    if (second != stamp.second || !stamp.text[0]) {
        gmtime_r(&second, &tm);
        strftime(stamp.text, sizeof(stamp.text), "%Y-%m-%dT%H:%M:%S", &tm);
        stamp.second = second;
    }
    buf_add_text(line, stamp.text);
    buf_add(line, fraction, sizeof(fraction));
}

/* The end of the field that starts at `text`: the next space outside quotes. */
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

/* The length of the escape sequence at `text`; 0 if it is not a JSON escape. */
static size_t escape_length(const char *text, size_t len)
{
    if (len >= 2 && strchr("\"\\/bfnrt", text[1]))
        return 2;
    if (len < 6 || text[1] != 'u' || strspn(text + 2, "0123456789abcdefABCDEF") < 4)
        return 0;
    return 6;
}

static bool is_json_string(const char *text, size_t len)
{
    size_t at = 1;

    if (len < 2 || text[0] != '"')
        return false;
    while (at < len && text[at] != '"') {
        size_t step = text[at] == '\\' ? escape_length(text + at, len - at) : 1;

        if (!step)
            return false;
        at += step;
    }
    return at == len - 1;
}

/* A value from log_quote is a JSON string already; any other value is turned into one. */
static void add_json_value(struct buf *line, const char *value, size_t len)
{
    if (is_json_string(value, len))
        buf_add(line, value, len);
    else
        buf_add_json(line, value, len);
}

static void add_json_fields(struct buf *line, const char *fields)
{
    while (*fields) {
        const char *end = field_end(fields);
        const char *equals = memchr(fields, '=', (size_t)(end - fields));

        if (equals) {
            buf_add_char(line, ',');
            buf_add_json(line, fields, (size_t)(equals - fields));
            buf_add_char(line, ':');
            add_json_value(line, equals + 1, (size_t)(end - equals - 1));
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

/* Adds `text`, padded to the column's width, and a space. */
static void add_column(struct buf *line, const char *text, size_t width)
{
    size_t len = strlen(text);

    buf_add(line, text, len);
    for (; len < width; len++)
        buf_add_char(line, ' ');
    buf_add_char(line, ' ');
}

static void format_text(struct buf *line, enum log_level level, const char *component, const char *message,
                        const char *fields)
{
    add_time(line);
    buf_add_char(line, ' ');
    add_column(line, level_names[level], LEVEL_WIDTH);
    add_column(line, component, COMPONENT_WIDTH);
    buf_add_text(line, message);
    if (*fields)
        buf_add_char(line, ' ');
    buf_add_text(line, fields);
    buf_add_char(line, '\n');
}

/* Keeps a line one line of valid UTF-8, whatever the fields contain. */
static void replace_unprintable(char *text)
{
    size_t len = strlen(text);

    for (size_t at = 0; at < len;) {
        unsigned char c = (unsigned char)text[at];
        size_t step = utf8_char_len(text + at, len - at);

        if (!step || c < ' ' || c == 0x7f) {
            text[at] = '?';
            step = 1;
        }
        at += step;
    }
}

__attribute__((format(printf, 3, 0))) static void format_fields(char *out, size_t size, const char *format,
                                                                va_list args)
{
    static const char cut[] = "...";
    int len = vsnprintf(out, size, format, args);

    if (len < 0)
        out[0] = '\0';
    else if ((size_t)len >= size)
        memcpy(out + size - sizeof(cut), cut, sizeof(cut));
    replace_unprintable(out);
}

void log_line(enum log_level level, const char *component, const char *message, const char *format, ...)
{
    char fields[FIELDS_MAX];
    struct buf line;
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    format_fields(fields, sizeof(fields), format, args);
    va_end(args);

    buf_init(&line, LINE_MAX_BYTES);
    if (output == LOG_JSON)
        format_json(&line, level, component, message, fields);
    else
        format_text(&line, level, component, message, fields);
    if (!buf_error(&line)) /* there is no place to report a failed write of the log: ignored */
        (void)!write(STDERR_FILENO, line.data, line.len);
    buf_deinit(&line);
}

/* Writes the escaped form of the character at `text`; returns its length in `text`. */
static size_t escape_char(char *out, size_t size, const char *text)
{
    unsigned char c = (unsigned char)*text;
    size_t step = utf8_char_len(text, strnlen(text, 4));

    if (!step)
        (void)snprintf(out, size, "\\ufffd");
    else if (c == '"' || c == '\\')
        (void)snprintf(out, size, "\\%c", c);
    else if (c < ' ' || c == 0x7f)
        (void)snprintf(out, size, "\\u%04x", c);
    else
        (void)snprintf(out, size, "%.*s", (int)step, text);
    return step ? step : 1;
}

const char *log_quote(char *out, size_t size, const char *text)
{
    static const char tail[] = "...\"";
    size_t at = 0;

    assert(size >= 8);
    out[at++] = '"';
    while (*text) {
        char escaped[8];
        size_t len;

        text += escape_char(escaped, sizeof(escaped), text);
        len = strlen(escaped);
        if (at + len + sizeof(tail) > size) {
            memcpy(out + at, tail, sizeof(tail));
            return out;
        }
        memcpy(out + at, escaped, len);
        at += len;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
