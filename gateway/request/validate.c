#include "gateway/request/validate.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/base/json_text.h"
#include "common/base/macros.h"
#include "common/base/utf8.h"
#include "common/models/plan_check.h"
#include "common/models/size.h"
#include "gateway/request/url_check.h"

enum {
    POINTER_NAME_MAX = 64, /* bytes of an unknown field's name that are repeated in the error */
};

struct reading {
    const struct validate_rules *rules;
    struct validated *out;
    struct validate_errors *errors;
    bool id_seen;      /* the body has a task_id, valid or not */
    bool model_unsure; /* model or urls is invalid, so nothing can be said about what the model can do */
    bool no_memory;
};

void validate_complain(struct validate_errors *errors, const char *pointer, const char *detail, ...)
{
    size_t i = errors->count;
    va_list args;

    if (i == VALIDATE_PROBLEMS_MAX)
        return;
    errors->count++;
    (void)snprintf(errors->pointers[i], sizeof(errors->pointers[i]), "%s", pointer);
    va_start(args, detail);
    if (vsnprintf(errors->details[i], sizeof(errors->details[i]), detail, args) < 0)
        errors->details[i][0] = '\0';
    va_end(args);
    errors->fields[i] = (struct problem_field){errors->pointers[i], errors->details[i]};
}

/* -- one function per field */

static void keep_text(struct reading *in, char **at, const json_t *value)
{
    *at = strdup(json_string_value(value));
    if (!*at)
        in->no_memory = true;
}

static void complain_url(struct reading *in, size_t index, const char *detail)
{
    char pointer[VALIDATE_POINTER_SIZE];

    in->model_unsure = true;
    (void)snprintf(pointer, sizeof(pointer), "/urls/%zu", index);
    validate_complain(in->errors, pointer, "%s", detail);
}

static void read_url(struct reading *in, size_t index, const json_t *value)
{
    struct task_spec *spec = &in->out->spec;
    enum url_flaw flaw;

    if (!json_is_string(value)) {
        complain_url(in, index, "must be a string");
        return;
    }
    flaw = url_check(json_string_value(value), json_string_length(value), in->rules->data_urls);
    if (flaw)
        complain_url(in, index, url_flaw_text(flaw));
    else
        keep_text(in, &spec->urls[spec->url_count++], value);
}

static void read_urls(struct reading *in, const json_t *value)
{
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count > TASK_URLS_MAX) {
        in->model_unsure = true;
        validate_complain(in->errors, "/urls", "must be a list of at most %d links", TASK_URLS_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++)
        read_url(in, i, json_array_get(value, i));
}

#define TASK_ID_GRAMMAR "1 to 128 of A-Z a-z 0-9 . _ : - beginning with a letter or digit"
_Static_assert(TASK_ID_MAX == 128, "the text above has this number");

static void read_task_id(struct reading *in, const json_t *value)
{
    in->id_seen = true;
    if (!json_is_string(value) || !task_id_is_valid(json_string_value(value), json_string_length(value)))
        validate_complain(in->errors, "/task_id", "must be " TASK_ID_GRAMMAR);
    else
        memcpy(in->out->task_id, json_string_value(value), json_string_length(value) + 1);
}

/* Idempotency-Key is an alternative to task_id. Both may be present if they are equal. */
static void choose_task_id(struct reading *in)
{
    const struct validate_rules *rules = in->rules;
    char *task_id = in->out->task_id;

    if (!rules->key) {
        if (!in->id_seen && rules->id_required)
            validate_complain(in->errors, "/task_id", "is required");
    } else if (!task_id_is_valid(rules->key, rules->key_len)) {
        validate_complain(in->errors, "/task_id", "or Idempotency-Key in its place, must be " TASK_ID_GRAMMAR);
    } else if (!in->id_seen) {
        memcpy(task_id, rules->key, rules->key_len);
        task_id[rules->key_len] = '\0';
    } else if (task_id[0] && (strlen(task_id) != rules->key_len || memcmp(task_id, rules->key, rules->key_len) != 0)) {
        validate_complain(in->errors, "/task_id", "must be the same as Idempotency-Key, or absent");
    }
}

/* ASCII white space, and the ideographic space of Chinese input methods. */
static bool is_blank_text(const char *text)
{
    for (;;) {
        text += strspn(text, " \t\r\n\v\f");
        if (strncmp(text, "\xe3\x80\x80", 3) != 0)
            return !*text;
        text += 3;
    }
}

static void read_prompt(struct reading *in, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || is_blank_text(text) || utf8_count(text, strlen(text)) > TASK_PROMPT_MAX)
        validate_complain(in->errors, "/prompt", "must be a text of 1 to %d characters that is not blank",
                          TASK_PROMPT_MAX);
    else
        keep_text(in, &in->out->spec.prompt, value);
}

/* Which keywords there are, and which sizes in pixels, depends on the model: see plan_check. */
static void read_size(struct reading *in, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || (!size_is_keyword(text) && !size_is_pixels(text)))
        validate_complain(in->errors, "/size", "must be a keyword such as 2K, or <width>x<height> in pixels");
    else
        keep_text(in, &in->out->spec.size, value);
}

/* Model names have the same grammar as a task_id. */
static void read_model(struct reading *in, const json_t *value)
{
    if (json_is_string(value) && task_id_is_valid(json_string_value(value), json_string_length(value))) {
        keep_text(in, &in->out->spec.model, value);
        return;
    }
    in->model_unsure = true;
    validate_complain(in->errors, "/model", "must be the name of a model: " TASK_ID_GRAMMAR);
}

/* False: not an integer from min to max, which was added to the errors. */
static bool read_integer(struct reading *in, const char *pointer, const json_t *value, int64_t min, int64_t max,
                         int64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        validate_complain(in->errors, pointer, "must be an integer from %lld to %lld", (long long)min, (long long)max);
        return false;
    }
    *out = json_integer_value(value);
    return true;
}

static void read_max_images(struct reading *in, const json_t *value)
{
    int64_t count;

    if (read_integer(in, "/max_images", value, 1, TASK_IMAGES_MAX, &count))
        in->out->spec.max_images = (int)count;
}

static void read_max_paid_calls(struct reading *in, const json_t *value)
{
    int64_t count;

    if (read_integer(in, "/max_paid_calls", value, 1, in->rules->max_paid_calls, &count))
        in->out->spec.max_paid_calls = (int)count;
}

static void read_seed(struct reading *in, const json_t *value)
{
    if (read_integer(in, "/seed", value, -1, INT32_MAX, &in->out->spec.seed))
        in->out->spec.seed_given = true;
}

static void read_flag(struct reading *in, const char *pointer, const json_t *value, bool *given, bool *out)
{
    if (!json_is_boolean(value)) {
        validate_complain(in->errors, pointer, "must be true or false");
        return;
    }
    *given = true;
    *out = json_is_true(value);
}

static void read_watermark(struct reading *in, const json_t *value)
{
    read_flag(in, "/watermark", value, &in->out->spec.watermark_given, &in->out->spec.watermark);
}

static void read_web_search(struct reading *in, const json_t *value)
{
    read_flag(in, "/web_search", value, &in->out->spec.web_search_given, &in->out->spec.web_search);
}

static void read_layers(struct reading *in, const json_t *value)
{
    read_flag(in, "/layers", value, &in->out->spec.layers_given, &in->out->spec.layers);
}

/* 0: not one of the two words, which was added to the errors. */
static int read_word(struct reading *in, const char *pointer, const json_t *value, const char *const *words)
{
    int found = json_is_string(value) ? task_word_parse(words, json_string_value(value)) : 0;

    if (!found)
        validate_complain(in->errors, pointer, "must be %s or %s", words[1], words[2]);
    return found;
}

static void read_output_format(struct reading *in, const json_t *value)
{
    in->out->spec.output_format = (enum task_format)read_word(in, "/output_format", value, task_format_words);
}

static void read_optimize_prompt(struct reading *in, const json_t *value)
{
    in->out->spec.optimize_prompt = (enum task_optimize)read_word(in, "/optimize_prompt", value, task_optimize_words);
}

static void read_background(struct reading *in, const json_t *value)
{
    in->out->spec.background = (enum task_background)read_word(in, "/background", value, task_background_words);
}

static void read_guidance_scale(struct reading *in, const json_t *value)
{
    if (task_guidance_read(value, &in->out->spec.guidance_scale))
        validate_complain(in->errors, "/guidance_scale", "must be a number from 1 to 10 with at most two decimals");
}

static void read_webhook(struct reading *in, const json_t *value)
{
    enum validate_webhooks webhooks = in->rules->webhooks;
    enum url_flaw flaw;

    if (webhooks == WEBHOOKS_OFF) {
        validate_complain(in->errors, "/webhook", "is not available: this server has no WEBHOOK_SECRET");
        return;
    }
    if (!json_is_string(value)) {
        validate_complain(in->errors, "/webhook", "must be a string");
        return;
    }
    flaw = url_check_webhook(json_string_value(value), json_string_length(value), webhooks == WEBHOOKS_ANY_HOST);
    if (flaw)
        validate_complain(in->errors, "/webhook", "%s", url_flaw_text(flaw));
    else
        keep_text(in, &in->out->spec.webhook, value);
}

/* The bits of the list's words; 0: it is not a list of different words. */
static unsigned read_event_words(const json_t *value)
{
    unsigned events = 0;

    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *word = json_string_value(json_array_get(value, i));
        unsigned event = word ? task_events_parse(word) : 0;

        if (!event || events & event)
            return 0;
        events |= event;
    }
    return events;
}

static void read_webhook_events(struct reading *in, const json_t *value)
{
    unsigned events = json_is_array(value) ? read_event_words(value) : 0;

    if (!events)
        validate_complain(in->errors, "/webhook_events",
                          "must be a list of one or more of start, image and final, each once");
    in->out->spec.webhook_events = events;
}

/* A list of events without a receiver would have no effect. */
static void require_receiver(struct reading *in, const json_t *webhook, const json_t *events)
{
    if (events && !webhook && !(in->rules->webhooks && in->rules->has_default_webhook))
        validate_complain(in->errors, "/webhook_events", "needs webhook");
}

static bool parse_on_disconnect(const char *name, enum on_disconnect *out)
{
    static const char *const names[ON_DISCONNECT_COUNT] = {
        [ON_DISCONNECT_FINISH] = "finish",
        [ON_DISCONNECT_CANCEL_IF_QUEUED] = "cancel_if_queued",
        [ON_DISCONNECT_CANCEL] = "cancel",
    };

    for (int i = 0; i < ON_DISCONNECT_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum on_disconnect)i;
            return true;
        }
    }
    return false;
}

static void read_on_disconnect(struct reading *in, const json_t *value)
{
    if (!in->rules->for_stream)
        validate_complain(in->errors, "/on_disconnect", "is only for /generate/stream");
    else if (!json_is_string(value) || !parse_on_disconnect(json_string_value(value), &in->out->on_disconnect))
        validate_complain(in->errors, "/on_disconnect", "must be finish, cancel_if_queued or cancel");
}

static const struct {
    const char *name;
    void (*read)(struct reading *in, const json_t *value);
} fields[] = {
    {"urls",            read_urls           },
    {"task_id",         read_task_id        },
    {"prompt",          read_prompt         },
    {"size",            read_size           },
    {"max_images",      read_max_images     },
    {"watermark",       read_watermark      },
    {"model",           read_model          },
    {"seed",            read_seed           },
    {"output_format",   read_output_format  },
    {"optimize_prompt", read_optimize_prompt},
    {"web_search",      read_web_search     },
    {"guidance_scale",  read_guidance_scale },
    {"background",      read_background     },
    {"layers",          read_layers         },
    {"max_paid_calls",  read_max_paid_calls },
    {"on_disconnect",   read_on_disconnect  },
    {"webhook",         read_webhook        },
    {"webhook_events",  read_webhook_events },
};
enum { FIELDS = ARRAY_LENGTH(fields) };

/* -- the object */

/* FIELDS: there is no such field. */
static size_t field_index(const char *name)
{
    size_t i = 0;

    while (i < FIELDS && strcmp(name, fields[i].name) != 0)
        i++;
    return i;
}

/* Writes one character of a name to `out`, 1 to 4 bytes: two for an escape, a question mark for a byte that is not UTF-8. */
static size_t write_pointer_char(char *out, const char *name, size_t len)
{
    if (*name == '~' || *name == '/') {
        out[0] = '~';
        out[1] = *name == '~' ? '0' : '1';
        return 2;
    }
    if (!len) {
        *out = '?';
        return 1;
    }
    memcpy(out, name, len);
    return len;
}

void validate_pointer(char out[VALIDATE_POINTER_SIZE], const char *name)
{
    size_t at = 0, rest = strlen(name);

    out[at++] = '/';
    while (rest && at < POINTER_NAME_MAX) {
        size_t len = utf8_char_len(name, rest), step = len ? len : 1;

        at += write_pointer_char(out + at, name, len);
        name += step;
        rest -= step;
    }
    (void)snprintf(out + at, VALIDATE_POINTER_SIZE - at, "%s", rest ? "..." : "");
}

void validate_complain_field(struct validate_errors *errors, const char *name, const char *detail)
{
    char pointer[VALIDATE_POINTER_SIZE];

    validate_pointer(pointer, name);
    validate_complain(errors, pointer, "%s", detail);
}

static void complain_unknown_fields(struct reading *in, json_t *root)
{
    const char *name;
    json_t *value;

    json_object_foreach (root, name, value)
        if (field_index(name) == FIELDS)
            validate_complain_field(in->errors, name, "is not a field of this request");
}

static void on_complaint(const char *pointer, const char *detail, void *arg)
{
    validate_complain(arg, pointer, "%s", detail);
}

static void make_plan(struct reading *in)
{
    struct validated *out = in->out;
    const struct model *row = plan_make(&out->plan, in->rules->defaults, in->rules->catalogue, &out->spec);

    if (!in->model_unsure)
        plan_check(&out->plan, row, &out->spec, on_complaint, in->errors);
}

/* Text to image: a request without links needs a prompt of its own. The server's default prompt is about the links. */
static void require_subject(struct reading *in, json_t *root)
{
    const json_t *urls = json_object_get(root, "urls");

    if (json_object_get(root, "prompt") || (urls && !(json_is_array(urls) && !json_array_size(urls))))
        return;
    in->model_unsure = true;
    validate_complain(in->errors, "/urls", "is required without a prompt: a list of 1 to %d links", TASK_URLS_MAX);
}

static void read_object(struct reading *in, json_t *root)
{
    const struct task_spec *spec = &in->out->spec;
    const json_t *values[FIELDS + 1] = {0};
    const char *name;
    json_t *value;

    json_object_foreach (root, name, value)
        values[field_index(name)] = value;
    for (size_t i = 0; i < FIELDS; i++) {
        if (values[i])
            fields[i].read(in, values[i]);
    }
    require_subject(in, root);
    if (values[FIELDS])
        complain_unknown_fields(in, root);
    choose_task_id(in);
    require_receiver(in, json_object_get(root, "webhook"), json_object_get(root, "webhook_events"));
    if (spec->max_images && spec->url_count + (size_t)spec->max_images > TASK_IMAGES_MAX)
        validate_complain(in->errors, "/max_images", "urls and max_images together must be at most %d",
                          TASK_IMAGES_MAX);
    if (!in->no_memory)
        make_plan(in);
}

/* The position of the quotation mark that ends the string, or after the body if none does. */
static size_t string_end(const char *body, size_t len, size_t at)
{
    while (at < len && body[at] != '"')
        at += body[at] == '\\' ? 2 : 1;
    return at;
}

/* Counts brackets outside of strings before parsing: nesting costs the parser stack space. */
static bool is_too_deep(const char *body, size_t len)
{
    int depth = 0;

    for (size_t i = 0; i < len && depth <= VALIDATE_DEPTH_MAX; i++) {
        if (body[i] == '"')
            i = string_end(body, len, i + 1);
        else if (body[i] == '{' || body[i] == '[')
            depth++;
        else if (body[i] == '}' || body[i] == ']')
            depth--;
    }
    return depth > VALIDATE_DEPTH_MAX;
}

static const char *why_not_json(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return "The body has a name twice in one object";
    case json_error_numeric_overflow:
        return "The body has a number that is out of range";
    case json_error_invalid_utf8:
        return "The body is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "The body has a NUL character";
    default: /* other codes of jansson do not help a client */
        return "The body is not valid JSON";
    }
}

/* jansson counts characters, not bytes, in a line; both counts start at 1. It does not know the place of every error. */
static void explain_syntax(struct validate_errors *errors, const json_error_t *error)
{
    if (error->line > 0 && error->column > 0)
        (void)snprintf(errors->syntax, sizeof(errors->syntax), "%s: line %d, column %d.", why_not_json(error),
                       error->line, error->column);
    else
        (void)snprintf(errors->syntax, sizeof(errors->syntax), "%s.", why_not_json(error));
}

static int parse(const char *body, size_t len, json_t **out, struct validate_errors *errors)
{
    json_error_t error;
    json_t *root;
    int err;

    if (is_too_deep(body, len)) {
        (void)snprintf(errors->syntax, sizeof(errors->syntax), "The body is nested more than %d levels deep.",
                       VALIDATE_DEPTH_MAX);
        return ERR_SYNTAX;
    }
    err = json_text_read(body, len, JSON_REJECT_DUPLICATES, &root, &error);
    if (err) {
        if (err == ERR_SYNTAX)
            explain_syntax(errors, &error);
        return err;
    }
    if (!json_is_object(root)) {
        (void)snprintf(errors->syntax, sizeof(errors->syntax), "The body is JSON, but not an object.");
        json_decref(root);
        return ERR_SYNTAX;
    }
    *out = root;
    return 0;
}

static void skip_byte_order_mark(const char **body, size_t *len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t mark_len = sizeof(mark) - 1;

    if (*len >= mark_len && !memcmp(*body, mark, mark_len)) {
        *body += mark_len;
        *len -= mark_len;
    }
}

void validate_begin(struct validate_errors *errors)
{
    errors->count = 0;
    errors->syntax[0] = '\0';
}

int validate_parse(const char *body, size_t len, json_t **out, struct validate_errors *errors)
{
    skip_byte_order_mark(&body, &len);
    return parse(body, len, out, errors);
}

int validate_object(json_t *root, const struct validate_rules *rules, struct validated *out,
                    struct validate_errors *errors)
{
    struct validated result = {0};
    struct reading in = {.rules = rules, .out = &result, .errors = errors};
    int err;

    read_object(&in, root);
    err = in.no_memory ? ERR_NO_MEMORY : errors->count ? ERR_RANGE : 0;
    if (err)
        task_spec_deinit(&result.spec);
    else
        *out = result;
    return err;
}

int validate_body(const char *body, size_t len, const struct validate_rules *rules, struct validated *out,
                  struct validate_errors *errors)
{
    json_t *root;
    int err;

    validate_begin(errors);
    err = validate_parse(body, len, &root, errors);
    if (err)
        return err;
    err = validate_object(root, rules, out, errors);
    json_decref(root);
    return err;
}
