#include "common/web/retry_after.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/macros.h"

enum { VALUES_SIZE = 160 };

/* The three formats of RFC 9110 section 5.6.7. False: not a date. */
static bool read_date(const char *text, int64_t now_ms, int64_t *wait_ms)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};

    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        struct tm tm = {0};

        if (!strptime(text, forms[i], &tm))
            continue;
        *wait_ms = (int64_t)timegm(&tm) * 1000 - now_ms;
        return true;
    }
    return false;
}

/* A number of seconds, rounded up. */
static bool read_seconds(const char *text, int64_t max_ms, int64_t *wait_ms)
{
    size_t digits = strspn(text, "0123456789"), rest = digits;
    bool has_fraction = false;
    int64_t seconds = 0;

    for (size_t i = 0; i < digits && seconds < max_ms; i++)
        seconds = seconds * 10 + (text[i] - '0');
    if (digits && text[rest] == '.') {
        has_fraction = text[rest + 1 + strspn(text + rest + 1, "0")];
        rest += 1 + strspn(text + rest + 1, "0123456789");
    }
    rest += strspn(text + rest, " \t");
    if (!digits || text[rest])
        return false;
    *wait_ms = (seconds + has_fraction) * 1000;
    return true;
}

int64_t retry_after_read(const char *values, int64_t now_ms, struct retry_after_bounds bounds)
{
    char copy[VALUES_SIZE], *rest, *line, *part;
    int64_t longest = bounds.min_ms, wait_ms;

    (void)snprintf(copy, sizeof(copy), "%s", values);
    for (line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (read_date(line, now_ms, &wait_ms) && wait_ms > longest)
            longest = wait_ms;
        while ((part = strsep(&line, ",")))
            if (read_seconds(part + strspn(part, " \t"), bounds.max_ms, &wait_ms) && wait_ms > longest)
                longest = wait_ms;
    }
    return longest < bounds.max_ms ? longest : bounds.max_ms;
}
