#include "worker/ark/time.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BEIJING_S = 8 * 3600, ZONE_MAX_H = 14 };

/* "+8", "+08", "+0800", "+08:00"; anything else is Beijing time. */
static int offset_of(const char *text)
{
    int hours, minutes = 0, sign = *text == '-' ? -1 : 1;
    size_t digits;

    if (*text != '+' && *text != '-')
        return BEIJING_S;
    digits = strspn(text + 1, "0123456789");
    if (!digits || digits > 4 || sscanf(text + 1, "%2d", &hours) != 1)
        return BEIJING_S;
    if (digits > 2 && sscanf(text + 3, "%2d", &minutes) != 1)
        return BEIJING_S;
    if (digits <= 2 && text[1 + digits] == ':' && sscanf(text + 2 + digits, "%2d", &minutes) != 1)
        return BEIJING_S;
    if (hours > ZONE_MAX_H || minutes < 0 || minutes > 59)
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

static int64_t time_at(const char *text)
{
    struct tm tm = {0};
    char first, second, separator;
    int len = 0, more = 0;
    int64_t at;

    if (sscanf(text, "%4d%c%2d%c%2d%c%2d:%2d%n", &tm.tm_year, &first, &tm.tm_mon, &second, &tm.tm_mday, &separator,
               &tm.tm_hour, &tm.tm_min, &len) < 8)
        return 0;
    if (first != second || !strchr("-/", first) || !strchr(" Tt", separator))
        return 0;
    text += len;
    if (*text == ':' && isdigit((unsigned char)text[1]) && sscanf(text, ":%2d%n", &tm.tm_sec, &more) == 1)
        text += more + (int)fraction_length(text + more);
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
