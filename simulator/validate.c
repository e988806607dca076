#include "simulator/validate.h"

#include "common/base/macros.h"

#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 15, REF_KEPT = 512 };

struct reading {
    struct sim_request *request;
    const json_t *body;
    struct sim_error *error;
};

static int refuse(struct reading *reading, const char *param, const char *detail)
{
    sim_error_about(reading->error, "InvalidParameter", param,
                    "The parameter `%s` specified in the request is not valid: %s.", param, detail);
    return ERR_REFUSED;
}

static int refuse_unsupported(struct reading *reading, const char *param)
{
    return refuse(reading, param, "not supported by the current model");
}

static int refuse_missing(struct reading *reading, const char *param)
{
    sim_error_about(reading->error, "MissingParameter", param,
                    "The request failed because it is missing `%s` parameter.", param);
    return ERR_REFUSED;
}

/* Returns NULL if the field is absent or null. */
static const json_t *field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}

static int keep(char **out, const char *text, size_t max)
{
    *out = strndup(text, max);
    return *out ? 0 : ERR_NO_MEMORY;
}

static int read_model(struct reading *reading)
{
    const json_t *value = field(reading->body, "model");

    if (!value)
        return refuse_missing(reading, "model");
    if (!json_is_string(value))
        return refuse(reading, "model", "must be a string");
    if (keep(&reading->request->asked_model, json_string_value(value), REF_KEPT))
        return ERR_NO_MEMORY;
    reading->request->model = sim_model_find(json_string_value(value));
    if (reading->request->model)
        return 0;
    sim_error_about(reading->error, "InvalidEndpointOrModel.NotFound", "",
                    "The model or endpoint %.128s does not exist or you do not have access to it.",
                    json_string_value(value));
    return ERR_REFUSED;
}

static int read_bool(struct reading *reading, const char *name, int *out)
{
    const json_t *value = field(reading->body, name);

    if (value && !json_is_boolean(value))
        return refuse(reading, name, "must be a boolean");
    *out = value ? json_is_true(value) : -1;
    return 0;
}

/* Before the prompt, which layers do not need. */
static int read_layers(struct reading *reading)
{
    static const char name[] = "layer_decomposition";
    int layers, err = read_bool(reading, name, &layers);

    if (err)
        return err;
    if (layers >= 0 && !reading->request->model->layers_max)
        return refuse_unsupported(reading, name);
    reading->request->layers = layers == 1;
    return 0;
}

static int read_prompt(struct reading *reading)
{
    const json_t *value = field(reading->body, "prompt");

    if (!value && reading->request->layers)
        return keep(&reading->request->prompt, "", 0);
    if (!value || !json_string_length(value))
        return json_is_string(value) || !value ? refuse_missing(reading, "prompt")
                                               : refuse(reading, "prompt", "must be a string");
    return keep(&reading->request->prompt, json_string_value(value), SIZE_MAX);
}

/* -- reference images */

static bool is_base64(const char *text)
{
    size_t len = strlen(text), digits = len;

    while (digits && len - digits < 2 && text[digits - 1] == '=')
        digits--;
    for (size_t i = 0; i < digits; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '+' && text[i] != '/')
            return false;
    return digits && len % 4 == 0;
}

/* Checks data:image/<format>;base64,<data> with a lower-case format. Returns NULL if valid, otherwise an error code. */
static const char *judge_inline_image(const char *ref)
{
    static const char *const formats[] = {"jpeg", "jpg", "png", "webp", "bmp", "tiff", "gif", "heic", "heif"};
    const char *format = ref + strlen("data:image/"), *comma = strstr(format, ";base64,");

    if (!comma)
        return "InvalidImageURL.InvalidFormat";
    if (!comma[strlen(";base64,")])
        return "InvalidImageURL.EmptyURL";
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++)
        if (strlen(formats[i]) == (size_t)(comma - format) && !strncmp(formats[i], format, strlen(formats[i])))
            return is_base64(comma + strlen(";base64,")) ? NULL : "InvalidImageURL.InvalidFormat";
    return "InvalidImageURL.InvalidFormat";
}

static int read_ref(struct reading *reading, const json_t *value)
{
    const char *ref = json_string_value(value), *code = NULL;

    if (!ref)
        return refuse(reading, "image", "must be a string or a list of strings");
    if (!*ref)
        code = "InvalidImageURL.EmptyURL";
    else if (!strncmp(ref, "data:image/", strlen("data:image/")))
        code = judge_inline_image(ref);
    else if (strncasecmp(ref, "http://", 7) && strncasecmp(ref, "https://", 8))
        return refuse(reading, "image", "must be an http(s) address or data:image/<format>;base64,<data>");
    if (code) {
        sim_error_init(reading->error, code);
        memcpy(reading->error->param, "image", sizeof("image"));
        return ERR_REFUSED;
    }
    return keep(&reading->request->refs[reading->request->ref_count++], ref, REF_KEPT);
}

static int read_refs(struct reading *reading)
{
    const json_t *value = field(reading->body, "image"), *item;
    size_t max = reading->request->model->refs_max, index;
    int err = 0;

    if (!value)
        return 0;
    if (!max)
        return refuse_unsupported(reading, "image");
    if (json_array_size(value) > max)
        return refuse(reading, "image",
                      max == 10 ? "number of reference images cannot exceed 10"
                                : "number of reference images cannot exceed 14");
    if (!json_is_array(value))
        return read_ref(reading, value);
    json_array_foreach (value, index, item)
        if (!err)
            err = read_ref(reading, item);
    return err;
}

/* -- size */

static int refuse_size(struct reading *reading, enum sim_size why)
{
    const struct sim_model *model = reading->request->model;
    int64_t pixels = why == SIM_SIZE_TOO_SMALL ? model->pixels_min : model->pixels_max;

    if (why == SIM_SIZE_TOO_NARROW)
        return refuse(reading, "size", "image aspect ratio must be between 1/16 and 16");
    if (why == SIM_SIZE_UNKNOWN)
        return refuse(reading, "size", "must be WxH or a keyword of the current model");
    sim_error_about(reading->error, "InvalidParameter", "size",
                    "The parameter `size` specified in the request is not valid: image size must be at %s %lld pixels.",
                    why == SIM_SIZE_TOO_SMALL ? "least" : "most", (long long)pixels);
    return ERR_REFUSED;
}

static int read_size(struct reading *reading)
{
    struct sim_request *request = reading->request;
    const json_t *value = field(reading->body, "size");
    const char *size = value ? json_string_value(value) : request->model->default_size;
    enum sim_size outcome;
    int err;

    if (!size)
        return refuse(reading, "size", "must be a string");
    err = keep(&request->size, size, REF_KEPT);
    if (err)
        return err;
    if (request->layers && !strcmp(size, "auto"))
        size = "2K";
    outcome = sim_model_size(request->model, size, request->prompt, &request->width, &request->height);
    return outcome == SIM_SIZE_OK ? 0 : refuse_size(reading, outcome);
}

/* -- the other fields */

/* Sets *out if the field is choices[1]. Leaves *out unchanged if the field is absent. */
static int read_choice(struct reading *reading, const char *name, const char *const choices[2], const char *detail,
                       bool *out)
{
    const json_t *value = field(reading->body, name);

    if (!value)
        return 0;
    for (int i = 0; i < 2; i++)
        if (json_is_string(value) && !strcmp(json_string_value(value), choices[i])) {
            *out = i == 1;
            return 0;
        }
    return refuse(reading, name, detail);
}

static int read_max_images(struct reading *reading)
{
    static const char name[] = "sequential_image_generation_options";
    const json_t *options = field(reading->body, name), *value = field(options, "max_images");

    if (options && !reading->request->model->group)
        return refuse_unsupported(reading, name);
    if (options && !json_is_object(options))
        return refuse(reading, name, "must be an object");
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > GROUP_MAX)
        return refuse(reading, "sequential_image_generation_options.max_images", "must be an integer from 1 to 15");
    reading->request->max_images = (int)json_integer_value(value);
    return 0;
}

/* References and results together are at most 15. ARK silently reduces the number of images to fit. */
static int read_group(struct reading *reading)
{
    static const char name[] = "sequential_image_generation";
    static const char *const choices[] = {"disabled", "auto"};
    struct sim_request *request = reading->request;
    int room = GROUP_MAX - (int)request->ref_count;
    int err;

    if (field(reading->body, name) && !request->model->group)
        return refuse_unsupported(reading, name);
    err = read_choice(reading, name, choices, "must be one of: auto, disabled", &request->group);
    if (!err)
        err = read_max_images(reading);
    request->images = request->max_images ? request->max_images : GROUP_MAX;
    request->images = !request->group ? 1 : request->images < room ? request->images : room;
    return err;
}

static int read_stream(struct reading *reading)
{
    int stream, err = read_bool(reading, "stream", &stream);

    if (err)
        return err;
    if (stream == 1 && !reading->request->model->stream)
        return refuse_unsupported(reading, "stream");
    reading->request->stream = stream == 1;
    return 0;
}

static int read_output(struct reading *reading)
{
    static const char *const formats[] = {"jpeg", "png"}, *const ways[] = {"url", "b64_json"};
    struct sim_request *request = reading->request;
    int err = read_choice(reading, "response_format", ways, "must be one of: url, b64_json", &request->b64);

    if (err)
        return err;
    if (field(reading->body, "output_format") && !request->model->output_format)
        return refuse_unsupported(reading, "output_format");
    err = read_choice(reading, "output_format", formats, "must be one of: jpeg, png", &request->png);
    return err ? err : read_bool(reading, "watermark", &request->watermark);
}

static int read_optimize_prompt(struct reading *reading)
{
    static const char name[] = "optimize_prompt_options", mode_name[] = "optimize_prompt_options.mode";
    const json_t *options = field(reading->body, name), *mode = field(options, "mode");

    if (!options)
        return 0;
    if (!reading->request->model->optimize_prompt)
        return refuse_unsupported(reading, name);
    if (!json_is_object(options) || (mode && !json_is_string(mode)))
        return refuse(reading, name, "must be an object with a mode");
    if (!mode || !strcmp(json_string_value(mode), "standard"))
        return 0;
    if (!reading->request->model->fast)
        return refuse(reading, mode_name, "optimize_prompt_options.mode must be 'standard'");
    return strcmp(json_string_value(mode), "fast") ? refuse(reading, mode_name, "must be one of: standard, fast") : 0;
}

static int read_tools(struct reading *reading)
{
    const json_t *tools = field(reading->body, "tools"), *tool;
    size_t index;

    if (!tools)
        return 0;
    if (!reading->request->model->web_search)
        return refuse_unsupported(reading, "tools");
    if (!json_is_array(tools))
        return refuse(reading, "tools", "must be a list");
    json_array_foreach (tools, index, tool) {
        const char *type = json_string_value(json_object_get(tool, "type"));

        if (!type || strcmp(type, "web_search"))
            return refuse(reading, "tools", "type must be one of: web_search");
        reading->request->web_search = true;
    }
    return 0;
}

static int read_number(struct reading *reading, const char *name, double min, double max, bool whole)
{
    const json_t *value = field(reading->body, name);

    if (!value)
        return 0;
    if (!(whole ? json_is_integer(value) : json_is_number(value)) || json_number_value(value) < min ||
        json_number_value(value) > max)
        return refuse(reading, name, "out of range");
    return 0;
}

static int read_tuning(struct reading *reading)
{
    if (field(reading->body, "guidance_scale") && !reading->request->model->guidance_scale)
        return refuse_unsupported(reading, "guidance_scale");
    if (read_number(reading, "guidance_scale", 1, 10, false))
        return ERR_REFUSED;
    return read_number(reading, "seed", -1, INT32_MAX, true);
}

/* A reference that is a data: URL of another format. The format of a linked image is not checked. */
static bool has_other_format(const struct sim_request *request, const char *const formats[2])
{
    static const char scheme[] = "data:image/";
    const char *format = request->refs[0] + strlen(scheme);

    if (strncmp(request->refs[0], scheme, strlen(scheme)) != 0)
        return false;
    for (int i = 0; i < 2; i++)
        if (formats[i] && !strncmp(format, formats[i], strlen(formats[i])) && format[strlen(formats[i])] == ';')
            return false;
    return true;
}

static int read_background(struct reading *reading)
{
    static const char *const choices[] = {"opaque", "transparent"}, *const formats[] = {"png", NULL};
    const struct sim_request *request = reading->request;
    bool transparent = false;
    int err;

    if (field(reading->body, "background") && !request->model->background)
        return refuse_unsupported(reading, "background");
    err = read_choice(reading, "background", choices, "must be one of: opaque, transparent", &transparent);
    if (err || !transparent)
        return err;
    if (request->ref_count != 1 || has_other_format(request, formats))
        return refuse(reading, "background", "transparent needs exactly one png reference image");
    return request->png ? 0 : refuse(reading, "background", "transparent needs output_format png");
}

/* ARK decides on the number of layers: the simulator makes a base and three, unless a directive sets another number. */
static int check_layers(struct reading *reading)
{
    static const char *const formats[] = {"png", "jpeg"};
    struct sim_request *request = reading->request;

    if (!request->layers)
        return 0;
    if (request->ref_count != 1 || has_other_format(request, formats))
        return refuse(reading, "layer_decomposition", "needs exactly one png or jpeg reference image");
    if (strpbrk(request->size, "x*"))
        return refuse(reading, "size", "must be a keyword or auto with layer_decomposition");
    request->images = request->model->layers_max;
    request->png = true;
    return 0;
}

/* For the records, as they were sent. */
static int keep_extras(struct reading *reading)
{
    static const char *const names[] = {"output_format", "optimize_prompt_options", "tools", "seed", "guidance_scale",
                                        "background",    "layer_decomposition"};
    json_t *extras = json_object();

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        json_t *value = json_object_get(reading->body, names[i]);

        if (value && json_object_set(extras, names[i], value))
            break;
    }
    reading->request->extras = json_dumps(extras, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(extras);
    return reading->request->extras ? 0 : ERR_NO_MEMORY;
}

int sim_request_read(struct sim_request *out, const char *body, size_t len, struct sim_error *error)
{
    static int (*const steps[])(struct reading *) = {
        read_model,  read_layers, read_prompt,          read_refs,   read_size,       read_group,  read_stream,
        read_output, read_tools,  read_optimize_prompt, read_tuning, read_background, check_layers};
    json_t *root = json_loadb(body, len, 0, NULL);
    struct reading reading = {.request = out, .body = root, .error = error};
    int err = 0;

    out->watermark = -1;
    if (!json_is_object(root)) {
        sim_error_about(error, "InvalidParameter", "", "The request body is not a JSON object.");
        err = ERR_REFUSED;
    }
    if (!err)
        err = keep_extras(&reading);
    for (size_t i = 0; !err && i < ARRAY_LENGTH(steps); i++)
        err = steps[i](&reading);
    if (err == ERR_NO_MEMORY)
        sim_error_init(error, "InternalServiceError");
    json_decref(root);
    return err;
}

void sim_request_deinit(struct sim_request *request)
{
    free(request->asked_model);
    free(request->prompt);
    free(request->size);
    free(request->extras);
    for (size_t i = 0; i < request->ref_count; i++)
        free(request->refs[i]);
    *request = (struct sim_request){0};
}
