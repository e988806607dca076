#include "gateway/api/period.h"

#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 60 * 60, YEAR_MONTHS = 12, SECOND_MS = 1000, TM_YEAR = 1900, EPOCH_YEAR = 1970 };

static struct tm date_of_day(int64_t day)
{
    time_t seconds = (time_t)(day * DAY_S);
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    return tm;
}

static int64_t month_of(const struct tm *tm)
{
    return (int64_t)(tm->tm_year + TM_YEAR - EPOCH_YEAR) * YEAR_MONTHS + tm->tm_mon;
}

int64_t period_of(enum period_kind kind, int64_t ms)
{
    int64_t day = ms / SECOND_MS / DAY_S;
    struct tm tm = date_of_day(day);

    return kind == PERIOD_DAY ? day : month_of(&tm);
}

/* Written again it must be the same text: strptime accepts more, and timegm accepts a 31 February. */
bool period_read(enum period_kind kind, const char *text, int64_t *out)
{
    struct tm tm = {.tm_mday = 1};
    char again[PERIOD_TEXT_SIZE];
    const char *end = strptime(text, kind == PERIOD_DAY ? "%Y-%m-%d" : "%Y-%m", &tm);
    int64_t period;

    if (!end || *end || tm.tm_year < EPOCH_YEAR - TM_YEAR)
        return false;
    period = kind == PERIOD_DAY ? (int64_t)timegm(&tm) / DAY_S : month_of(&tm);
    period_text(kind, period, again);
    if (strcmp(again, text) != 0)
        return false;
    *out = period;
    return true;
}

static struct tm date_of(enum period_kind kind, int64_t period)
{
    if (kind == PERIOD_DAY)
        return date_of_day(period);
    return (struct tm){.tm_year = (int)(period / YEAR_MONTHS) + EPOCH_YEAR - TM_YEAR,
                       .tm_mon = (int)(period % YEAR_MONTHS)};
}

void period_text(enum period_kind kind, int64_t period, char out[PERIOD_TEXT_SIZE])
{
    struct tm tm = date_of(kind, period);

    out[0] = '\0';
    if (kind == PERIOD_DAY)
        (void)strftime(out, PERIOD_TEXT_SIZE, "%Y-%m-%d", &tm);
    else
        (void)strftime(out, PERIOD_TEXT_SIZE, "%Y-%m", &tm);
}

/* The text without its dashes. */
void period_key(enum period_kind kind, int64_t period, char out[PERIOD_TEXT_SIZE])
{
    char text[PERIOD_TEXT_SIZE];
    size_t len = 0;

    period_text(kind, period, text);
    for (const char *c = text; *c; c++)
        if (*c != '-')
            out[len++] = *c;
    out[len] = '\0';
}
