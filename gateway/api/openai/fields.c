#include "gateway/api/openai/fields.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/api/openai/aliases.h"

struct reading {
    const struct openai_rules *rules;
    struct openai_request *out;
    struct validate_errors *errors;
    json_t *native; /* what the mapped fields make */
    const struct openai_alias *alias;
    const char *model, *size; /* of the body; NULL: absent */
    bool format_given, group, group_options, layers;
    bool no_memory;
};

static void set_native(struct reading *in, const char *name, json_t *value)
{
    if (json_object_set_new(in->native, name, value))
        in->no_memory = true;
}

static void ignore_field(struct reading *in, const char *name)
{
    size_t len = strlen(in->out->ignored);

    (void)snprintf(in->out->ignored + len, sizeof(in->out->ignored) - len, "%s%s", len ? ", " : "", name);
}

/* -- mapped fields */

static void map_model(struct reading *in, const char *name, json_t *value)
{
    const char *model = json_string_value(value);

    in->alias = model ? openai_aliases_find(in->rules->aliases, model) : NULL;
    if (!in->alias) {
        in->model = model;
        set_native(in, name, json_incref(value));
    } else if (in->alias->model[0]) {
        in->model = in->alias->model;
        set_native(in, name, json_string(in->alias->model));
    }
}

static void read_n(struct reading *in, const char *name, json_t *value)
{
    char detail[64];

    if (json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= OPENAI_N_MAX) {
        in->out->n = (int)json_integer_value(value);
        return;
    }
    (void)snprintf(detail, sizeof(detail), "must be an integer from 1 to %d", OPENAI_N_MAX);
    validate_complain_field(in->errors, name, detail);
}

static void map_size(struct reading *in, const char *name, json_t *value)
{
    if (!json_is_string(value))
        validate_complain_field(in->errors, name, "must be auto, <width>x<height> in pixels, or a keyword such as 2K");
    else if (strcmp(json_string_value(value), "auto") != 0)
        in->size = json_string_value(value);
}

static void read_format(struct reading *in, const char *name, json_t *value)
{
    const char *format = json_is_string(value) ? json_string_value(value) : "";

    in->format_given = true;
    if (strcmp(format, "url") == 0)
        in->out->format = OPENAI_URL;
    else if (strcmp(format, "b64_json") == 0)
        in->out->format = OPENAI_B64_JSON;
    else
        validate_complain_field(in->errors, name, "must be url or b64_json");
}

static void read_stream(struct reading *in, const char *name, json_t *value)
{
    if (json_is_boolean(value))
        in->out->stream = json_is_true(value);
    else
        validate_complain_field(in->errors, name, "must be true or false");
}

/* ARK takes a single reference without a list. */
static void read_image(struct reading *in, const char *name, json_t *value)
{
    (void)name;
    set_native(in, "urls", json_is_string(value) ? json_pack("[O]", value) : json_incref(value));
}

static void read_group(struct reading *in, const char *name, json_t *value)
{
    const char *word = json_is_string(value) ? json_string_value(value) : "";

    in->group = strcmp(word, "auto") == 0;
    if (!in->group && strcmp(word, "disabled") != 0)
        validate_complain_field(in->errors, name, "must be auto or disabled");
}

static void read_group_options(struct reading *in, const char *name, json_t *value)
{
    json_t *max = json_object_get(value, "max_images");

    in->group_options = max && !json_is_null(max);
    if (!json_is_object(value) || json_object_size(value) > (max != NULL))
        validate_complain_field(in->errors, name, "must be an object with max_images");
    else if (in->group_options)
        set_native(in, "max_images", json_incref(max));
}

static void read_same(struct reading *in, const char *name, json_t *value)
{
    set_native(in, name, json_incref(value));
}

/* {"mode":"fast"} */
static void map_optimize_options(struct reading *in, const char *name, json_t *value)
{
    json_t *mode = json_object_get(value, "mode");

    if (json_object_size(value) != 1 || !mode)
        validate_complain_field(in->errors, name, "must be an object with mode");
    else
        set_native(in, "optimize_prompt", json_incref(mode));
}

/* [{"type":"web_search"}] */
static void map_tools(struct reading *in, const char *name, json_t *value)
{
    const json_t *tool = json_array_get(value, 0);
    const char *type = json_string_value(json_object_get(tool, "type"));

    if (json_is_array(value) && !json_array_size(value))
        return;
    if (json_array_size(value) != 1 || json_object_size(tool) != 1 || !type || strcmp(type, "web_search") != 0)
        validate_complain_field(in->errors, name, "must be a list with the tool web_search");
    else
        set_native(in, "web_search", json_true());
}

/* The native API says whether the model makes png. */
static void map_output_format(struct reading *in, const char *name, json_t *value)
{
    const char *format = json_is_string(value) ? json_string_value(value) : "";

    if (strcmp(format, "jpg") == 0)
        set_native(in, name, json_string("jpeg"));
    else if (strcmp(format, "jpeg") == 0 || strcmp(format, "png") == 0)
        set_native(in, name, json_incref(value));
    else
        validate_complain_field(in->errors, name, "must be jpeg or png: ARK has no other formats");
}

static void map_background(struct reading *in, const char *name, json_t *value)
{
    const char *background = json_is_string(value) ? json_string_value(value) : "";

    if (strcmp(background, "opaque") == 0 || strcmp(background, "transparent") == 0)
        set_native(in, name, json_incref(value));
    else if (strcmp(background, "auto") != 0)
        validate_complain_field(in->errors, name, "must be opaque, transparent or auto");
}

static void read_layers(struct reading *in, const char *name, json_t *value)
{
    in->layers = json_is_true(value);
    if (json_is_boolean(value))
        set_native(in, "layers", json_incref(value));
    else
        validate_complain_field(in->errors, name, "must be true or false");
}

/* -- fields without effect, and fields that are refused */

/* "auto", false and 0 ask for nothing. */
static bool asks_for_nothing(const json_t *value)
{
    return json_is_false(value) || (json_is_integer(value) && !json_integer_value(value)) ||
           (json_is_string(value) && strcmp(json_string_value(value), "auto") == 0);
}

static void read_ignored(struct reading *in, const char *name, json_t *value)
{
    if (!asks_for_nothing(value))
        ignore_field(in, name);
}

static void read_refused(struct reading *in, const char *name, json_t *value)
{
    if (!asks_for_nothing(value))
        validate_complain_field(in->errors, name, "is not supported");
}

static const struct {
    const char *name;
    void (*read)(struct reading *in, const char *name, json_t *value);
} fields[] = {
  /* both APIs */
    {"model",                               map_model           },
    {"prompt",                              read_same           },
    {"size",                                map_size            },
    {"response_format",                     read_format         },
    {"output_format",                       map_output_format   },
    {"background",                          map_background      },
    {"stream",                              read_stream         },
 /* OpenAI's */
    {"n",                                   read_n              },
    {"quality",                             read_ignored        },
    {"style",                               read_ignored        },
    {"moderation",                          read_ignored        },
    {"output_compression",                  read_ignored        },
    {"partial_images",                      read_ignored        },
    {"input_fidelity",                      read_ignored        },
    {"complexity",                          read_ignored        },
    {"user",                                read_ignored        },
    {"safety_identifier",                   read_ignored        },
    {"mask",                                read_refused        },
    {"markup",                              read_refused        },
    {"frame_count",                         read_refused        },
    {"frame_duration_ms",                   read_refused        },
    {"svg",                                 read_refused        },
 /* ARK's */
    {"image",                               read_image          },
    {"seed",                                read_same           },
    {"watermark",                           read_same           },
    {"sequential_image_generation",         read_group          },
    {"sequential_image_generation_options", read_group_options  },
    {"guidance_scale",                      read_same           },
    {"optimize_prompt_options",             map_optimize_options},
    {"tools",                               map_tools           },
    {"layer_decomposition",                 read_layers         },
 /* the native API's */
    {"max_paid_calls",                      read_same           },
};

/* -- the whole request */

static void map_fields(struct reading *in, json_t *root)
{
    json_t *value;
    const char *name;

    json_object_foreach (root, name, value) {
        size_t i = 0;

        if (json_is_null(value))
            continue;
        while (i < ARRAY_LENGTH(fields) && strcmp(fields[i].name, name) != 0)
            i++;
        if (i == ARRAY_LENGTH(fields))
            validate_complain_field(in->errors, name, "is not a field of this request");
        else
            fields[i].read(in, name, value);
    }
}

static void choose_format(struct reading *in)
{
    bool is_gpt_image = in->alias && openai_alias_is_gpt_image(in->alias);

    if (!in->format_given)
        in->out->format = in->rules->default_format == OPENAI_DEFAULT_B64_JSON ||
                                  (in->rules->default_format == OPENAI_DEFAULT_AUTO && is_gpt_image)
                              ? OPENAI_B64_JSON
                              : OPENAI_URL;
    if (in->out->format == OPENAI_B64_JSON && !in->rules->has_b64)
        validate_complain_field(
            in->errors, "response_format",
            in->format_given
                ? "b64_json needs a storage on the server, and none is configured: use url"
                : "is b64_json by default for this model, which needs a storage on the server, and none is "
                  "configured: send url");
}

/* A size in pixels becomes one that the model has. Keywords are ARK's own. */
static void choose_size(struct reading *in)
{
    const struct openai_rules *rules = in->rules;
    struct openai_size size;
    char text[OPENAI_SIZE_SIZE];

    if (!in->size)
        return;
    if (rules->size_limits && openai_size_parse(in->size, &size)) {
        struct openai_size_limits limits = rules->size_limits(in->model ? in->model : "", rules->arg);

        if (!openai_size_fit(size, &limits, &size)) {
            validate_complain_field(in->errors, "size", "has proportions that the model does not support");
            return;
        }
        openai_size_write(text, size);
        set_native(in, "size", json_string(text));
        return;
    }
    set_native(in, "size", json_string(in->size));
}

/* Without ARK's own fields every task makes one image, whatever the server's default is. */
static void choose_group(struct reading *in)
{
    if (in->layers && in->out->n > 1)
        validate_complain_field(in->errors, "n", "must be 1 with layer_decomposition");
    if (in->layers)
        return;
    if (!in->group) {
        if (in->group_options)
            ignore_field(in, "sequential_image_generation_options");
        set_native(in, "max_images", json_integer(1));
    } else if (in->out->n > 1) {
        validate_complain_field(in->errors, "n", "must be 1 with sequential_image_generation");
    }
}

/* The native API would ask for links instead, which it takes without a prompt. ARK needs none for layers. */
static void require_prompt(struct reading *in)
{
    if (json_object_get(in->native, "prompt") || in->layers)
        return;
    validate_complain_field(in->errors, "prompt", "is required");
    set_native(in, "prompt", json_string("-"));
}

static int check_native(struct reading *in)
{
    struct validate_rules rules = *in->rules->native;

    rules.id_required = rules.for_stream = false;
    rules.key = NULL; /* names the order, not the task */
    return validate_object(in->native, &rules, &in->out->task, in->errors);
}

int openai_request_read(json_t *root, const struct openai_rules *rules, struct openai_request *out,
                        struct validate_errors *errors)
{
    struct openai_request request = {.n = 1};
    struct reading in = {.rules = rules, .out = &request, .errors = errors, .native = json_object()};
    int err;

    if (!in.native)
        return ERR_NO_MEMORY;
    map_fields(&in, root);
    require_prompt(&in);
    choose_format(&in);
    choose_size(&in);
    choose_group(&in);
    err = in.no_memory ? ERR_NO_MEMORY : check_native(&in);
    json_decref(in.native);
    if (!err)
        *out = request;
    return err;
}

void openai_request_deinit(struct openai_request *request)
{
    task_spec_deinit(&request->task.spec);
}

int64_t openai_request_seed(const struct openai_request *request, int index)
{
    int64_t seed = request->task.spec.seed;

    return seed < 0 ? seed : (seed + index) % ((int64_t)INT32_MAX + 1);
}
