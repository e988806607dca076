/* log - writes log lines to stderr, as text or JSON
 *
 *     2026-01-02T03:04:05.678Z info  runner  claimed task=public.t1 attempt=1
 *     {"time":"2026-01-02T03:04:05.678Z","level":"info","component":"runner","message":"claimed","task":"public.t1",...}
 *
 * error: an operator must act. warn: handled, and how. info: start and end of tasks, connections, programs. debug: transitions.
 * Never log bodies, keys, passwords or signed URLs.
 *
 * Fields are a printf format of `key=value` words: log_info("runner", "claimed", "task=%s attempt=%d", id, n).
 * Quote a value with log_quote if it may contain a space, a quote or a control byte. Control bytes and invalid UTF-8 that are not
 * quoted are written as "?". Fields longer than 2 KiB are truncated and end in "...".
 *
 * Threads: any; a line is one write(2). log_setup is called once, in main, before any thread starts.
 * Errors:  a line that cannot be written is dropped.
 */
#ifndef ARKRELAY_BASE_LOG_H
#define ARKRELAY_BASE_LOG_H

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

/* Writes `text` into `out` as a field value: a JSON string, for any input. A text that does not fit is truncated and ends in "...".
 * size is at least 8. Returns out. */
const char *log_quote(char *out, size_t size, const char *text);

#endif
