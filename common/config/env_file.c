#include "common/config/env_file.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/ascii.h"

static char *skip_blanks(char *at)
{
    while (ascii_is_blank(*at))
        at++;
    return at;
}

static bool is_end_or_comment(char *rest)
{
    char *at = skip_blanks(rest);

    return !*at || (*at == '#' && at > rest);
}

static size_t name_length(const char *at)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char later[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";

    return strspn(at, letters) ? strspn(at, later) : 0;
}

/* Each read_ function converts the text at `at` to the value, in place. False: the syntax is wrong. */

static bool read_literal(char *at)
{
    char *end = strchr(at, '\'');

    if (!end || !is_end_or_comment(end + 1))
        return false;
    *end = '\0';
    return true;
}

static bool read_escaped(char *at)
{
    char *to = at;

    for (; *at != '"'; at++) {
        if (*at == '\\') {
            at++;
            if (*at != 'n' && *at != '"' && *at != '\\')
                return false;
            *to++ = *at == 'n' ? '\n' : *at;
        } else if (*at) {
            *to++ = *at;
        } else {
            return false;
        }
    }
    if (!is_end_or_comment(at + 1))
        return false;
    *to = '\0';
    return true;
}

static bool read_plain(char *at)
{
    char *end = at;

    for (char *c = at; *c && !(*c == '#' && c > at && ascii_is_blank(c[-1])); c++)
        if (!ascii_is_blank(*c))
            end = c + 1;
    *end = '\0';
    return true;
}

/* The value after NAME= and blanks. The value may be empty, with a comment: `NAME= # not set`. */
static bool read_value(char *at, bool after_blank, char **value)
{
    bool quoted = *at == '\'' || *at == '"';

    *value = at + quoted;
    if (*at == '\'')
        return read_literal(*value);
    if (*at == '"')
        return read_escaped(*value);
    if (*at == '#' && after_blank)
        *at = '\0';
    return read_plain(at);
}

static int parse_variable(char *line, env_file_fn *fn, void *arg)
{
    static const char export[] = "export";
    char *name = skip_blanks(line), *equals, *start, *value;
    size_t len;

    if (!*name || *name == '#')
        return 0;
    if (!strncmp(name, export, sizeof(export) - 1) && ascii_is_blank(name[sizeof(export) - 1]))
        name = skip_blanks(name + sizeof(export) - 1);
    len = name_length(name);
    equals = skip_blanks(name + len);
    if (!len || *equals != '=')
        return ERR_SYNTAX;
    start = skip_blanks(equals + 1);
    if (!read_value(start, start > equals + 1, &value))
        return ERR_SYNTAX;
    name[len] = '\0';
    return fn(name, value, arg);
}

int env_file_parse(char *text, size_t len, env_file_fn *fn, void *arg, size_t *line)
{
    static const char bom[] = "\xef\xbb\xbf";
    char *at = text, *end = text + len;

    if (len >= sizeof(bom) - 1 && !memcmp(at, bom, sizeof(bom) - 1))
        at += sizeof(bom) - 1;
    for (*line = 1; at < end; ++*line) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *stop = newline ? newline : end;
        int err;

        if (memchr(at, '\0', (size_t)(stop - at)))
            return ERR_SYNTAX;
        *stop = '\0';
        if (stop > at && stop[-1] == '\r')
            stop[-1] = '\0';
        err = parse_variable(at, fn, arg);
        if (err)
            return err;
        at = newline ? newline + 1 : end;
    }
    return 0;
}
