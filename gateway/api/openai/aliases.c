#include "gateway/api/openai/aliases.h"

#include <string.h>

#include "common/base/macros.h"
#include "common/task/task.h"

struct span {
    const char *data;
    size_t len;
};

static struct span trim_entry(const char *data, size_t len)
{
    while (len && strchr(" \t", data[0])) {
        data++;
        len--;
    }
    while (len && strchr(" \t", data[len - 1]))
        len--;
    return (struct span){data, len};
}

/* Names of models have the grammar of a task_id. */
static bool copy_alias_name(char out[OPENAI_ALIAS_SIZE], struct span name)
{
    if (name.len >= OPENAI_ALIAS_SIZE || !task_id_is_valid(name.data, name.len))
        return false;
    memcpy(out, name.data, name.len);
    out[name.len] = '\0';
    return true;
}

static bool read_item(struct span item, struct openai_alias *out)
{
    const char *equals = item.len ? memchr(item.data, '=', item.len) : NULL;
    size_t name_len = equals ? (size_t)(equals - item.data) : item.len;

    return copy_alias_name(out->name, trim_entry(item.data, name_len)) &&
           (!equals || copy_alias_name(out->model, trim_entry(equals + 1, item.len - name_len - 1)));
}

bool openai_aliases_parse(const char *list, struct openai_aliases *out, const char **at)
{
    *out = (struct openai_aliases){0};
    while (*list) {
        size_t len = strcspn(list, ",");
        struct span item = trim_entry(list, len);
        struct openai_alias alias = {0};

        *at = item.data;
        if (item.len) {
            if (out->count == OPENAI_ALIASES_MAX || !read_item(item, &alias) || openai_aliases_find(out, alias.name))
                return false;
            out->rows[out->count++] = alias;
        }
        list += len + (list[len] == ',');
    }
    return true;
}

const struct openai_alias *openai_aliases_find(const struct openai_aliases *aliases, const char *name)
{
    for (size_t i = 0; i < aliases->count; i++)
        if (strcmp(aliases->rows[i].name, name) == 0)
            return &aliases->rows[i];
    return NULL;
}

bool openai_alias_is_gpt_image(const struct openai_alias *alias)
{
    static const char *const families[] = {"gpt-image-", "chatgpt-image-"};

    for (size_t i = 0; i < ARRAY_LENGTH(families); i++)
        if (strncmp(alias->name, families[i], strlen(families[i])) == 0)
            return true;
    return false;
}
