#include "gateway/request/trace.h"

#include <string.h>

static const struct part {
    size_t at, len;
} version = {0, 2}, trace_id = {3, 32}, parent_id = {36, 16}, flags = {53, 2};

static bool is_hex(const char *text, struct part part)
{
    for (size_t i = part.at; i < part.at + part.len; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

static bool is_zero(const char *text, struct part part)
{
    for (size_t i = part.at; i < part.at + part.len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

static bool is_valid(const char *text)
{
    return is_hex(text, version) && is_hex(text, trace_id) && is_hex(text, parent_id) && is_hex(text, flags) &&
           text[2] == '-' && text[35] == '-' && text[52] == '-' && memcmp(text, "ff", 2) != 0 &&
           !is_zero(text, trace_id) && !is_zero(text, parent_id);
}

void trace_read(char out[TRACE_SIZE], const char *text, size_t len)
{
    out[0] = '\0';
    /* Later versions may be longer, but begin with the fields of version 00. */
    if (len < TRACE_LEN || (len > TRACE_LEN && (text[TRACE_LEN] != '-' || memcmp(text, "00", 2) == 0)))
        return;
    if (!is_valid(text))
        return;
    memcpy(out, text, TRACE_LEN);
    out[TRACE_LEN] = '\0';
}
