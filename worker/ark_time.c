#include "worker/ark_time.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { BEIJING_S = 8 * 3600, ZONE_MAX_H = 14 };

/* The number at *text, of `least` to `most` digits, and steps over it; -1 where there is none. */
static int number(const char **text, size_t least, size_t most)
{
    size_t len = strspn(*text, "0123456789");
    int value = 0;

    if (len < least)
        return -1;
    for (size_t i = 0; i < len && i < most; i++)
        value = 10 * value + *(*text)++ - '0';
    return value;
}

static bool step_over(const char **text, const char *any_of)
{
    if (!**text || !strchr(any_of, **text))
        return false;
    (*text)++;
    return true;
}

/* "+8", "+08", "+0800", "+08:00"; Beijing's for anything else. */
static int offset_of(const char *text)
{
    int hours, minutes = 0, sign = *text == '-' ? -1 : 1;

    if (!step_over(&text, "+-") || strspn(text, "0123456789") > 4)
        return BEIJING_S;
    hours = number(&text, 1, 2);
    if (isdigit((unsigned char)*text) || (*text == ':' && isdigit((unsigned char)text[1]))) {
        (void)step_over(&text, ":");
        minutes = number(&text, 1, 2);
    }
    return hours < 0 || hours > ZONE_MAX_H || minutes > 59 ? BEIJING_S : sign * (hours * 3600 + minutes * 60);
}

/* After the time: its zone in seconds east of UTC. */
static int zone_of(const char *text)
{
    text += strspn(text, " (");
    if (toupper((unsigned char)*text) == 'Z' && !isalpha((unsigned char)text[1]))
        return 0;
    if (strncmp(text, "UTC", 3) != 0 && strncmp(text, "GMT", 3) != 0)
        return offset_of(text);
    return text[3] == '+' || text[3] == '-' ? offset_of(text + 3) : 0;
}

/* The length of a fraction of a second; a dot that ends a sentence is none. */
static size_t fraction_length(const char *text)
{
    size_t digits = *text == '.' || *text == ',' ? strspn(text + 1, "0123456789") : 0;

    return digits ? 1 + digits : 0;
}

/* ms since 1970 as if `tm` were UTC; 0 where there is no such time. */
static int64_t ms_of(const struct tm *asked)
{
    struct tm tm = *asked;
    int64_t seconds;

    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || tm.tm_year < 2000)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    seconds = (int64_t)timegm(&tm); /* the 31st of February becomes a day of March */
    return tm.tm_mon + 1 == asked->tm_mon && (tm.tm_mday == asked->tm_mday || asked->tm_sec == 60) ? seconds * 1000 : 0;
}

/* `YYYY-MM-DD`, and steps over it. */
static bool read_day(const char **text, struct tm *tm)
{
    char separators[] = {0, 0};

    tm->tm_year = number(text, 4, 4);
    separators[0] = **text;
    if (tm->tm_year < 0 || !step_over(text, "-/"))
        return false;
    tm->tm_mon = number(text, 1, 2);
    if (tm->tm_mon < 0 || !step_over(text, separators))
        return false;
    tm->tm_mday = number(text, 1, 2);
    return tm->tm_mday >= 0;
}

/* `hh:mm[:ss[.fraction]]`, and steps over it. */
static bool read_hours(const char **text, struct tm *tm)
{
    tm->tm_hour = number(text, 1, 2);
    if (tm->tm_hour < 0 || !step_over(text, ":"))
        return false;
    tm->tm_min = number(text, 1, 2);
    if (**text == ':' && isdigit((unsigned char)(*text)[1])) {
        (*text)++;
        tm->tm_sec = number(text, 1, 2);
        *text += fraction_length(*text);
    }
    return tm->tm_min >= 0;
}

static int64_t time_at(const char *text)
{
    struct tm tm = {0};
    int64_t at;

    if (!read_day(&text, &tm) || !step_over(&text, " Tt") || !read_hours(&text, &tm))
        return 0;
    at = ms_of(&tm);
    return at ? at - INT64_C(1000) * zone_of(text) : 0;
}

int64_t ark_time_find(const char *text)
{
    for (; *text; text++) {
        int64_t at = isdigit((unsigned char)*text) ? time_at(text) : 0;

        if (at > 0)
            return at;
    }
    return 0;
}
