/* log - one line per fact, on stderr
 *
 *     2026-01-02T03:04:05.678Z info  runner  claimed task=public.t1 attempt=1
 *     {"time":"2026-01-02T03:04:05.678Z","level":"info","component":"runner","message":"claimed","task":"public.t1",...}
 *
 * error: somebody must act. warn: we coped, and how. info: births and deaths. debug: transitions.
 * Never bodies, keys, passwords, signed URLs.
 *
 * The fields come as a printf format of `key=value` words: log_info("runner", "claimed", "task=%s attempt=%d", id, n).
 * A value that may hold a space, a quote or a control byte goes through log_quote first. Control bytes and broken UTF-8 that come
 * without it show as "?"; fields that are too long are cut with "...".
 *
 * The level and the format belong to the process: log_setup sets them once in main, before any thread starts.
 * Threads: any; a line is one write(2).
 */
#ifndef ARKRELAY_LOG_H
#define ARKRELAY_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_format format);
int log_enabled(enum log_level level);

/* `fields` may be "". */
void log_line(enum log_level level, const char *component, const char *message, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (log_enabled(LOG_DEBUG))                                                                                    \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                                          \
    } while (0)

/* Writes `text` into `out` as a quoted value for a field: a JSON string, whatever the text holds, cut with "..." at the end of
 * the room, which is at least 8 bytes. Returns out. */
const char *log_quote(char *out, size_t size, const char *text);

#endif
