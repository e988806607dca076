/* Rules for image links. The URL to fetch is an http or https URL, the rules do not change it when they are applied again, and only
 * configured hosts may be private. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/web/link_rules.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 16 };

static struct link_rules *create(const char *map)
{
    static const char *const trusted[] = {"http://127.0.0.1:8081/api", NULL};
    struct link_rules *rules = NULL;
    struct buf why;
    int err;

    buf_init(&why, TEXT_MAX);
    err = link_rules_create(trusted, map, &rules, &why);
    must(err ? err == ERR_SYNTAX && why.len && !rules : rules != NULL);
    buf_deinit(&why);
    return rules;
}

static int begins(const char *text, const char *prefix)
{
    return !strncasecmp(text, prefix, strlen(prefix));
}

static int is_at(const char *url, const char *origin)
{
    return begins(url, origin) && strchr("/?#", url[strlen(origin)]);
}

static void check_link(const struct link_rules *rules, const char *link)
{
    bool may_be_private = false, again = false;
    struct buf first, second;

    buf_init(&first, TEXT_MAX);
    buf_init(&second, TEXT_MAX);
    if (!link_rules_apply(rules, link, &first, &may_be_private)) {
        const char *url = buf_text(&first);

        must(begins(url, "http://") || begins(url, "https://"));
        must(!may_be_private || is_at(url, "http://127.0.0.1:8081") || is_at(url, "http://inner:1"));
        must(!link_rules_apply(rules, url, &second, &again) && again == may_be_private);
        must(!strcmp(url, buf_text(&second)));
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct link_rules *rules;
    char *text = malloc(size + 1);

    must(text != NULL);
    if (!rules)
        rules = create("http://outer:2/a=http://inner:1/x");
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    check_link(rules, text);
    (void)link_rules_destroy(create(text));
    free(text);
    return 0;
}
