#include "tests/bench/json_check.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

struct scan {
    const char *at, *end;
    int depth;
};

static bool value(struct scan *scan);

static void space(struct scan *scan)
{
    while (scan->at < scan->end && memchr(" \t\n\r", *scan->at, 4))
        scan->at++;
}

static bool take(struct scan *scan, char c)
{
    space(scan);
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool word(struct scan *scan, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, text, len) != 0)
        return false;
    scan->at += len;
    return true;
}

/* After a backslash. */
static bool escape(struct scan *scan)
{
    if (scan->at == scan->end)
        return false;
    if (*scan->at != 'u')
        return memchr("\"\\/bfnrt", *scan->at++, 8) != NULL;
    scan->at++;
    for (int i = 0; i < 4; i++) {
        if (scan->at == scan->end || !isxdigit((unsigned char)*scan->at++))
            return false;
    }
    return true;
}

static bool string(struct scan *scan)
{
    if (!take(scan, '"'))
        return false;
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at++;

        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !escape(scan)))
            return false;
    }
    return false;
}

static bool digits(struct scan *scan)
{
    const char *from = scan->at;

    while (scan->at < scan->end && isdigit((unsigned char)*scan->at))
        scan->at++;
    return scan->at > from;
}

static bool number(struct scan *scan)
{
    (void)word(scan, "-");
    if (!word(scan, "0") && !digits(scan))
        return false;
    if (word(scan, ".") && !digits(scan))
        return false;
    if (word(scan, "e") || word(scan, "E")) {
        if (!word(scan, "+"))
            (void)word(scan, "-");
        return digits(scan);
    }
    return true;
}

static bool members(struct scan *scan, char close, bool named)
{
    if (take(scan, close))
        return true;
    do {
        if (named && (!string(scan) || !take(scan, ':')))
            return false;
        if (!value(scan))
            return false;
    } while (take(scan, ','));
    return take(scan, close);
}

static bool nested(struct scan *scan, char close)
{
    bool good;

    scan->at++;
    if (++scan->depth > DEPTH_MAX)
        return false;
    good = members(scan, close, close == '}');
    scan->depth--;
    return good;
}

static bool value(struct scan *scan)
{
    space(scan);
    if (scan->at == scan->end)
        return false;
    switch (*scan->at) {
    case '{':
        return nested(scan, '}');
    case '[':
        return nested(scan, ']');
    case '"':
        return string(scan);
    case 't':
        return word(scan, "true");
    case 'f':
        return word(scan, "false");
    case 'n':
        return word(scan, "null");
    default:
        return number(scan);
    }
}

bool json_check(const char *text, size_t len)
{
    struct scan scan = {.at = text, .end = text + len};

    if (!value(&scan))
        return false;
    space(&scan);
    return scan.at == scan.end;
}
