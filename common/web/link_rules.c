#include "common/web/link_rules.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"

enum { TRUSTED_MAX = 8, URL_MAX_BYTES = 2048 };

/* A URL as libcurl understands it. */
struct parsed {
    char origin[320];           /* scheme://host:port, in lower case */
    char *whole, *path, *query; /* libcurl's; query is NULL if there is none */
};

struct mapping {
    struct parsed public; /* its path does not end in "/" */
    char *internal;       /* as the operator wrote it, without "/" at the end */
};

struct link_rules {
    char trusted[TRUSTED_MAX + LINK_RULES_MAX][320]; /* origins */
    size_t trusted_count;
    struct mapping map[LINK_RULES_MAX];
    size_t map_count;
};

/* -- URLs */

static char *part_of(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;

    return curl_url_get(url, part, &text, flags) ? NULL : text;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = part_of(url, part, 0);

    curl_free(text);
    return text;
}

static bool is_web_scheme(const char *scheme)
{
    return !strcasecmp(scheme, "http") || !strcasecmp(scheme, "https");
}

/* False for other schemes, and for a host that is longer than names are. */
static bool write_origin(CURLU *url, char *out, size_t size)
{
    char *scheme = part_of(url, CURLUPART_SCHEME, 0), *host = part_of(url, CURLUPART_HOST, 0);
    char *port = part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    int len = -1;

    if (scheme && host && port && is_web_scheme(scheme))
        len = snprintf(out, size, "%s://%s:%s", scheme, host, port);
    for (char *c = out; len > 0 && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return len > 0 && len < (int)size;
}

static void parsed_deinit(struct parsed *parsed)
{
    curl_free(parsed->whole);
    curl_free(parsed->path);
    curl_free(parsed->query);
    *parsed = (struct parsed){0};
}

static int take_parts(CURLU *url, const char *text, struct parsed *out)
{
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) || has_part(url, CURLUPART_USER) ||
        has_part(url, CURLUPART_PASSWORD) || !write_origin(url, out->origin, sizeof(out->origin)))
        return ERR_SYNTAX;
    out->whole = part_of(url, CURLUPART_URL, 0);
    out->path = part_of(url, CURLUPART_PATH, 0);
    out->query = part_of(url, CURLUPART_QUERY, 0);
    return out->whole && out->path ? 0 : ERR_NO_MEMORY;
}

/* On success the caller calls parsed_deinit. */
static int parse_link(const char *text, struct parsed *out)
{
    CURLU *url = curl_url();
    int err = !url ? ERR_NO_MEMORY : strlen(text) > URL_MAX_BYTES ? ERR_SYNTAX : take_parts(url, text, out);

    curl_url_cleanup(url);
    if (err)
        parsed_deinit(out);
    return err;
}

/* -- rules */

static int trust(struct link_rules *rules, const char *url)
{
    struct parsed parsed = {0};
    int err = parse_link(url, &parsed);

    if (err)
        return err;
    memcpy(rules->trusted[rules->trusted_count++], parsed.origin, sizeof(parsed.origin));
    parsed_deinit(&parsed);
    return 0;
}

static bool is_trusted(const struct link_rules *rules, const char *origin)
{
    for (size_t i = 0; i < rules->trusted_count; i++)
        if (!strcmp(rules->trusted[i], origin))
            return true;
    return false;
}

static void cut_slashes(char *text)
{
    size_t len = strlen(text);

    while (len && text[len - 1] == '/')
        text[--len] = '\0';
}

/* `entry` is public=internal. The internal host is the operator's choice, so it is trusted. */
static int add_mapping(struct link_rules *rules, const char *entry)
{
    struct mapping *mapping = &rules->map[rules->map_count];
    const char *equals = strchr(entry, '=');
    char *public;
    int err;

    if (!equals || strpbrk(entry, "?#") || strchr(equals + 1, '=') || rules->map_count == LINK_RULES_MAX)
        return ERR_SYNTAX;
    rules->map_count++;
    public = strndup(entry, (size_t)(equals - entry));
    mapping->internal = strdup(equals + 1);
    err = public && mapping->internal ? parse_link(public, &mapping->public) : ERR_NO_MEMORY;
    if (!err) {
        cut_slashes(mapping->public.path);
        cut_slashes(mapping->internal);
        err = trust(rules, equals + 1);
    }
    free(public);
    return err;
}

static int add_map(struct link_rules *rules, const char *map, struct buf *why)
{
    char *copy = strdup(map), *rest = copy, *entry;
    int err = copy ? 0 : ERR_NO_MEMORY;

    while (!err && (entry = strsep(&rest, ", "))) {
        if (!*entry)
            continue;
        err = add_mapping(rules, entry);
        if (err == ERR_SYNTAX)
            buf_addf(why, "\"%s\" must be public=internal, two http or https URLs without query; at most %d of them",
                     entry, LINK_RULES_MAX);
    }
    free(copy);
    return err;
}

int link_rules_create(const char *const *trusted, const char *map, struct link_rules **out, struct buf *why)
{
    struct link_rules *rules = calloc(1, sizeof(*rules));
    int err = rules ? 0 : ERR_NO_MEMORY;

    for (; !err && *trusted; trusted++) {
        err = !**trusted ? 0 : rules->trusted_count == TRUSTED_MAX ? ERR_SYNTAX : trust(rules, *trusted);
        if (err == ERR_SYNTAX)
            buf_addf(why, "\"%s\" is not an http or https URL without user name", *trusted);
    }
    if (!err)
        err = add_map(rules, map, why);
    if (err)
        (void)link_rules_destroy(rules);
    else
        *out = rules;
    return err;
}

struct link_rules *link_rules_destroy(struct link_rules *rules)
{
    if (!rules)
        return NULL;
    for (size_t i = 0; i < rules->map_count; i++) {
        parsed_deinit(&rules->map[i].public);
        free(rules->map[i].internal);
    }
    free(rules);
    return NULL;
}

/* A prefix ends where a part of the path ends: /a is one of /a and /a/b, and not of /ab. */
static bool link_is_below(const struct parsed *link, const struct parsed *prefix)
{
    size_t len = strlen(prefix->path);

    return !strcmp(link->origin, prefix->origin) && !strncmp(link->path, prefix->path, len) &&
           (link->path[len] == '/' || !link->path[len]);
}

/* The longest public prefix wins. */
static const struct mapping *find_mapping(const struct link_rules *rules, const struct parsed *link)
{
    const struct mapping *found = NULL;

    for (size_t i = 0; i < rules->map_count; i++) {
        const struct mapping *each = &rules->map[i];

        if (link_is_below(link, &each->public) && (!found || strlen(each->public.path) > strlen(found->public.path)))
            found = each;
    }
    return found;
}

int link_rules_apply(const struct link_rules *rules, const char *link, struct buf *out, bool *may_be_private)
{
    const struct mapping *mapping;
    struct parsed parsed = {0};
    int err = parse_link(link, &parsed);

    if (err)
        return err;
    mapping = find_mapping(rules, &parsed);
    if (mapping) {
        buf_add_text(out, mapping->internal);
        buf_add_text(out, parsed.path + strlen(mapping->public.path));
        if (parsed.query && *parsed.query)
            buf_addf(out, "?%s", parsed.query);
    } else {
        buf_add_text(out, parsed.whole);
    }
    *may_be_private = mapping || is_trusted(rules, parsed.origin);
    parsed_deinit(&parsed);
    return buf_error(out);
}
