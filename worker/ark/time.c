#include "worker/ark/time.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BEIJING_S = 8 * 3600, ZONE_MAX_H = 14 };

/* One to `most` digits as a number; advances past them. */
static bool read_time_part(const char **text, int most, int *out)
{
    int digits = 0;

    *out = 0;
    for (; digits < most && isdigit((unsigned char)**text); digits++, (*text)++)
        *out = *out * 10 + (**text - '0');
    return digits > 0;
}

static bool read_one_of(const char **text, const char *set)
{
    if (!**text || !strchr(set, **text))
        return false;
    (*text)++;
    return true;
}

/* "+8", "+08", "+0800", "+08:00", in seconds; anything else is Beijing time. */
static int offset_of(const char *text)
{
    int hours, minutes = 0, sign = *text == '-' ? -1 : 1;
    size_t digits;

    if (!read_one_of(&text, "+-"))
        return BEIJING_S;
    digits = strspn(text, "0123456789");
    if (digits > 4 || !read_time_part(&text, 2, &hours))
        return BEIJING_S;
    if ((digits > 2 || read_one_of(&text, ":")) && !read_time_part(&text, 2, &minutes))
        return BEIJING_S;
    if (hours > ZONE_MAX_H || minutes > 59)
        return BEIJING_S;
    return sign * (hours * 3600 + minutes * 60);
}

/* The zone after the time, in seconds east of UTC. */
static int zone_of(const char *text)
{
    text += strspn(text, " (");
    if (toupper((unsigned char)*text) == 'Z' && !isalpha((unsigned char)text[1]))
        return 0;
    if (strncmp(text, "UTC", 3) != 0 && strncmp(text, "GMT", 3) != 0)
        return offset_of(text);
    return text[3] == '+' || text[3] == '-' ? offset_of(text + 3) : 0;
}

/* The length of a fraction of a second; 0 for the dot that ends a sentence. */
static size_t fraction_length(const char *text)
{
    size_t digits = *text == '.' || *text == ',' ? strspn(text + 1, "0123456789") : 0;

    return digits ? 1 + digits : 0;
}

/* Milliseconds since 1970 as if `asked` were UTC; 0 if there is no such time. */
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

/* `YYYY-MM-DD hh:mm`, also with slashes or a T; advances past it. */
static bool read_minute(const char **text, struct tm *tm)
{
    const char separator[] = {(*text)[strspn(*text, "0123456789")], '\0'};

    return strchr("-/", separator[0]) && read_time_part(text, 4, &tm->tm_year) && read_one_of(text, separator) &&
           read_time_part(text, 2, &tm->tm_mon) && read_one_of(text, separator) &&
           read_time_part(text, 2, &tm->tm_mday) && read_one_of(text, " Tt") && read_time_part(text, 2, &tm->tm_hour) &&
           read_one_of(text, ":") && read_time_part(text, 2, &tm->tm_min);
}

static int64_t time_at(const char *text)
{
    struct tm tm = {0};
    int64_t at;

    if (!read_minute(&text, &tm))
        return 0;
    if (*text == ':' && isdigit((unsigned char)text[1])) {
        text++;
        (void)read_time_part(&text, 2, &tm.tm_sec);
        text += fraction_length(text);
    }
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
