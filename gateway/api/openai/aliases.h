/* openai/aliases - names of OpenAI's models that stand for one of ARK's
 *
 * Clients have names such as "gpt-image-1" built in. The option GATEWAY_OPENAI_MODELS lists them, separated by commas: "name=model", or
 * "name" for the model that the workers use by default. Every other name is a model of ARK.
 *
 * Pure.   Ownership: the caller's; immutable, so any thread may read it.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ALIASES_H
#define ARKRELAY_GATEWAY_API_OPENAI_ALIASES_H

#include <stdbool.h>
#include <stddef.h>

enum { OPENAI_ALIASES_MAX = 64, OPENAI_ALIAS_SIZE = 129 };

#define OPENAI_DEFAULT_ALIASES                                                                                         \
    "gpt-image-1,gpt-image-1-mini,gpt-image-1.5,gpt-image-2,gpt-image-2-2026-04-21,"                                   \
    "gpt-image-2.5-sunburst,gpt-image-2.5-sunburst-2026-09-08,gpt-image-2.5-flare,gpt-image-2.5-flare-2026-09-08,"     \
    "gpt-image-2.6-sunburst,gpt-image-2.6-flare,chatgpt-image-latest,dall-e-2,dall-e-3"

struct openai_alias {
    char name[OPENAI_ALIAS_SIZE];
    char model[OPENAI_ALIAS_SIZE]; /* "": the default model */
};

struct openai_aliases {
    struct openai_alias rows[OPENAI_ALIASES_MAX];
    size_t count;
};

/* False: the list is malformed, too long or has a name twice; *at points into it. */
bool openai_aliases_parse(const char *list, struct openai_aliases *out, const char **at);

/* NULL: the name is no alias. */
const struct openai_alias *openai_aliases_find(const struct openai_aliases *aliases, const char *name);

/* The model is one whose clients expect b64_json where they do not ask for a format. */
bool openai_alias_is_gpt_image(const struct openai_alias *alias);

#endif
