#include "worker/ark/time.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BEIJING_S = 8 * 3600, ZONE_MAX_H = 14 };

/* The zone after the time, in seconds east of UTC. */
static int zone_of(const char *text)
{
    int hours, minutes = 0, len = 0, sign;

    text += strspn(text, " (");
    if (*text == 'Z')
        return 0;
    if (strncmp(text, "UTC", 3) == 0 || strncmp(text, "GMT", 3) == 0) {
        text += 3;
        if (*text != '+' && *text != '-')
            return 0;
    } else if (*text == '.') { /* a fraction of a second */
        return zone_of(text + 1 + strspn(text + 1, "0123456789"));
    }
    sign = *text == '-' ? -1 : 1;
    if ((*text != '+' && *text != '-') || !isdigit((unsigned char)text[1]) ||
        sscanf(text + 1, "%2d%n:%2d", &hours, &len, &minutes) < 1)
        return BEIJING_S;
    if (text[1 + len] != ':' && isdigit((unsigned char)text[1 + len]) && sscanf(text + 1 + len, "%2d", &minutes) != 1)
        return BEIJING_S;
    if (hours > ZONE_MAX_H || minutes > 59)
        return BEIJING_S;
    return sign * (hours * 3600 + minutes * 60);
}

static int64_t time_at(const char *text)
{
    struct tm tm = {0};
    int len = 0, seconds_len = 0;
    char separator;

    if (sscanf(text, "%4d-%2d-%2d%c%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &separator, &tm.tm_hour,
               &tm.tm_min, &len) < 6 ||
        !strchr(" T", separator))
        return 0;
    if (sscanf(text + len, ":%2d%n", &tm.tm_sec, &seconds_len) < 1)
        seconds_len = 0;
    if (tm.tm_year < 2000 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return ((int64_t)timegm(&tm) - zone_of(text + len + seconds_len)) * 1000;
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
