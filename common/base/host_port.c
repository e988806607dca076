#include "common/base/host_port.h"

#include <stdlib.h>
#include <string.h>

/* getaddrinfo truncates a port above 65535 instead of rejecting it. */
static bool is_port_text(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= 5 && strspn(text, "0123456789") == len && strtol(text, NULL, 10) <= 65535;
}

bool host_port_split(char *text, struct host_port *out)
{
    char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[';

    if (!colon || !is_port_text(colon + 1))
        return false;
    if (bracketed ? colon[-1] != ']' : memchr(text, ':', (size_t)(colon - text)) != NULL)
        return false;
    colon[bracketed ? -1 : 0] = '\0';
    *out = (struct host_port){.host = text + bracketed, .port = colon + 1};
    return true;
}
