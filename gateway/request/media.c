#include "gateway/request/media.h"

#include <string.h>
#include <strings.h>

struct span {
    const char *data;
    size_t len;
};

static struct span trim(struct span text)
{
    while (text.len && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes the text up to `separator` off the front, trimmed. */
static struct span cut(struct span *text, char separator)
{
    const char *end = text->len ? memchr(text->data, separator, text->len) : NULL;
    struct span first = {text->data, end ? (size_t)(end - text->data) : text->len};
    size_t used = first.len + (end != NULL);

    *text = (struct span){text->data + used, text->len - used};
    return trim(first);
}

static bool is(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

/* "utf8" is not a registered name, but common. */
static bool is_utf8(struct span charset)
{
    if (charset.len >= 2 && charset.data[0] == '"' && charset.data[charset.len - 1] == '"')
        charset = (struct span){charset.data + 1, charset.len - 2};
    return is(charset, "utf-8") || is(charset, "utf8");
}

bool media_is_json(const char *content_type, size_t len)
{
    struct span rest = {content_type, len};

    if (!is(cut(&rest, ';'), "application/json"))
        return false;
    while (rest.len) {
        struct span value = cut(&rest, ';');
        struct span name = cut(&value, '=');

        if (is(name, "charset") && !is_utf8(value))
            return false;
    }
    return true;
}

static bool is_all_of(struct span text, const char *letters)
{
    for (size_t i = 0; i < text.len; i++)
        if (!text.data[i] || !strchr(letters, text.data[i]))
            return false;
    return true;
}

/* "0", "0." and "0.000" exclude; any other value includes. */
static bool has_zero_quality(struct span parameters)
{
    while (parameters.len) {
        struct span value = cut(&parameters, ';');
        struct span name = cut(&value, '=');

        if (is(name, "q") && value.len && value.data[0] == '0')
            return is_all_of(value, "0.");
    }
    return false;
}

/* How specifically the range matches type/subtype: 0 not at all, 1 by "*" for both, 2 by type, 3 by type and subtype. */
static int precision(struct span range, const char *type, const char *subtype)
{
    struct span first = cut(&range, '/');

    range = trim(range);
    if (is(first, "*") && is(range, "*"))
        return 1;
    if (!is(first, type))
        return 0;
    return is(range, "*") ? 2 : is(range, subtype) ? 3 : 0;
}

bool media_is_accepted(const char *accept, size_t len, const char *type, const char *subtype)
{
    struct span rest = {accept, len};
    bool accepted = false;
    int best = 0;

    while (rest.len) {
        struct span parameters = cut(&rest, ',');
        int fit = precision(cut(&parameters, ';'), type, subtype);

        if (fit > best) {
            best = fit;
            accepted = !has_zero_quality(parameters);
        }
    }
    return accepted;
}
