#include "simulator/behaviour.h"

#include "common/base/macros.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct sim_behaviour, field)

enum { WORD_SIZE = 32, VALUE_SIZE = SIM_MESSAGE_SIZE, HOUR_MS = 3600000, COUNT_MAX = SIM_IMAGES_MAX };
static const char opening[] = "[[sim:", closing[] = "]]";

enum directive_type {
    NUMBER, /* int64_t from min to max; without a value: min */
    TEXT,   /* char[max] */
    FLAG,   /* bool */
    CHOICE, /* int: index into choices */
    FAIL,   /* INDEX:CODE, may be given several times */
    VALUE,  /* json_t * of the JSON type `min`; not allowed in a prompt */
};

struct directive {
    const char *name;
    enum directive_type type;
    size_t at;
    int64_t min, max;
    const char *choices;
};

static const struct directive directives[] = {
    {"status",            NUMBER, AT(status),            300,         599,                NULL                                },
    {"code",              TEXT,   AT(code),              0,           SIM_CODE_SIZE,      NULL                                },
    {"message",           TEXT,   AT(message),           0,           SIM_MESSAGE_SIZE,   NULL                                },
    {"retry_after",       NUMBER, AT(retry_after),       0,           86400,              NULL                                },
    {"download_timeout",  NUMBER, AT(download_timeout),  0,           13,                 NULL                                },
    {"body",              CHOICE, AT(body),              0,           0,                  "error|unwrapped|html|empty|garbage"},
    {"latency",           NUMBER, AT(latency),           0,           HOUR_MS,            NULL                                },
    {"first_latency",     NUMBER, AT(first_latency),     0,           HOUR_MS,            NULL                                },
    {"images",            NUMBER, AT(images),            1,           COUNT_MAX,          NULL                                },
    {"big",               NUMBER, AT(big),               1,           32 * 1024 * 1024,   NULL                                },
    {"fail",              FAIL,   AT(fail),              0,           COUNT_MAX - 1,      NULL                                },
    {"zero_images_200",   FLAG,   AT(zero_images_200),   0,           0,                  NULL                                },
    {"cut_after_image",   NUMBER, AT(cut_after_image),   0,           COUNT_MAX,          NULL                                },
    {"cut_at_byte",       NUMBER, AT(cut_at_byte),       0,           1024 * 1024 * 1024, NULL                                },
    {"hang",              NUMBER, AT(hang),              SIM_FOREVER, HOUR_MS,            NULL                                },
    {"hang_after_image",  NUMBER, AT(hang_after_image),  0,           COUNT_MAX,          NULL                                },
    {"chunk",             NUMBER, AT(chunk),             1,           1024 * 1024,        NULL                                },
    {"error_frame",       CHOICE, AT(error_frame),       0,           0,                  "none|event|data|bare"              },
    {"error_after_image", NUMBER, AT(error_after_image), 0,           COUNT_MAX,          NULL                                },
    {"no_completed",      FLAG,   AT(no_completed),      0,           0,                  NULL                                },
    {"no_done",           FLAG,   AT(no_done),           0,           0,                  NULL                                },
    {"rst",               FLAG,   AT(rst),               0,           0,                  NULL                                },
    {"crlf",              FLAG,   AT(crlf),              0,           0,                  NULL                                },
    {"comments",          FLAG,   AT(comments),          0,           0,                  NULL                                },
    {"gzip",              FLAG,   AT(gzip),              0,           0,                  NULL                                },
    {"raw",               VALUE,  AT(raw),               JSON_STRING, 0,                  NULL                                },
    {"headers",           VALUE,  AT(headers),           JSON_ARRAY,  0,                  NULL                                },
    {"type",              TEXT,   AT(type),              0,           SIM_CODE_SIZE,      NULL                                },
    {"stays_open",        FLAG,   AT(stays_open),        0,           0,                  NULL                                },
};

/* Shorthands for common combinations. */
static const struct {
    const char *name;
    struct {
        const char *name, *value;
    } means[2];
} shorthands[] = {
    {"html_502",        {{"status", "502"}, {"body", "html"}} },
    {"empty_404",       {{"status", "404"}, {"body", "empty"}}},
    {"unwrapped_error", {{"body", "unwrapped"}, {NULL, NULL}} },
    {"body_garbage",    {{"body", "garbage"}, {NULL, NULL}}   },
};

void sim_behaviour_init(struct sim_behaviour *behaviour)
{
    *behaviour = (struct sim_behaviour){0};
    for (size_t i = 0; i < ARRAY_LENGTH(directives); i++)
        if (directives[i].type == NUMBER)
            *(int64_t *)(void *)((char *)behaviour + directives[i].at) = SIM_UNSET;
}

void sim_behaviour_copy(struct sim_behaviour *out, const struct sim_behaviour *behaviour)
{
    *out = *behaviour;
    json_incref(out->raw);
    json_incref(out->headers);
}

void sim_behaviour_deinit(struct sim_behaviour *behaviour)
{
    json_decref(behaviour->raw);
    json_decref(behaviour->headers);
    behaviour->raw = behaviour->headers = NULL;
}

static bool read_number(const struct directive *directive, const char *value, int64_t *out)
{
    char *end;
    long long number;

    if (!value) {
        *out = directive->min;
        return true;
    }
    errno = 0;
    number = strtoll(value, &end, 10);
    if (end == value || *end || errno || number < directive->min || number > directive->max)
        return false;
    *out = number;
    return true;
}

static bool read_flag(const char *value, bool *out)
{
    if (value && strcmp(value, "0") && strcmp(value, "1"))
        return false;
    *out = !value || value[0] == '1';
    return true;
}

static bool read_text(const struct directive *directive, const char *value, char *out)
{
    if (!value || !*value || strlen(value) >= (size_t)directive->max)
        return false;
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool read_choice(const struct directive *directive, const char *value, int *out)
{
    const char *choice = directive->choices;

    for (int i = 0; value; i++) {
        size_t len = strcspn(choice, "|");

        if (strlen(value) == len && !memcmp(choice, value, len)) {
            *out = i;
            return true;
        }
        if (!choice[len])
            return false;
        choice += len + 1;
    }
    return false;
}

static bool read_fail(const struct directive *directive, const char *value, char fail[][SIM_CODE_SIZE])
{
    char *code = NULL;
    long index = value ? strtol(value, &code, 10) : -1;
    size_t len;

    if (index < directive->min || index > directive->max || code == value || *code != ':')
        return false;
    len = strlen(++code);
    if (!len || len >= SIM_CODE_SIZE)
        return false;
    memcpy(fail[index], code, len + 1);
    return true;
}

static bool set_directive(struct sim_behaviour *behaviour, const struct directive *directive, const char *value)
{
    void *at = (char *)behaviour + directive->at;

    switch (directive->type) {
    case NUMBER:
        return read_number(directive, value, at);
    case TEXT:
        return read_text(directive, value, at);
    case FLAG:
        return read_flag(value, at);
    case CHOICE:
        return read_choice(directive, value, at);
    case FAIL:
        return read_fail(directive, value, at);
    case VALUE:
        break;
    }
    return false;
}

static const struct directive *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(directives); i++)
        if (!strcmp(directives[i].name, name))
            return &directives[i];
    return NULL;
}

static bool set_shorthand(struct sim_behaviour *behaviour, const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(shorthands); i++) {
        if (strcmp(shorthands[i].name, name))
            continue;
        for (size_t k = 0; k < ARRAY_LENGTH(shorthands[i].means) && shorthands[i].means[k].name; k++)
            if (!set_directive(behaviour, find(shorthands[i].means[k].name), shorthands[i].means[k].value))
                return false;
        return true;
    }
    return false;
}

/* `value` is NULL if only the name was given. */
static int set(struct sim_behaviour *behaviour, const char *name, const char *value, char why[SIM_WHY_SIZE])
{
    const struct directive *directive = find(name);

    if (directive ? set_directive(behaviour, directive, value) : set_shorthand(behaviour, name))
        return 0;
    (void)snprintf(why, SIM_WHY_SIZE, "directive %.40s does not take %.60s", name, value ? value : "no value");
    return ERR_SYNTAX;
}

/* -- in a prompt: [[sim: name name=value name="a value with spaces"]] */

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t\r\n,");
}

static bool take(const char **text, size_t len, char *out, size_t size)
{
    if (!len || len >= size)
        return false;
    memcpy(out, *text, len);
    out[len] = '\0';
    *text += len;
    return true;
}

static bool take_value(const char **text, char *out, size_t size)
{
    if (**text != '"')
        return take(text, strcspn(*text, " \t\r\n,]"), out, size);
    ++*text;
    return take(text, strcspn(*text, "\""), out, size) && *(*text)++ == '"';
}

/* Reads one directive and advances *text past it. */
static int read_directive(struct sim_behaviour *behaviour, const char **text, char why[SIM_WHY_SIZE])
{
    char name[WORD_SIZE], value[VALUE_SIZE];
    const char *given = NULL;

    (void)snprintf(why, SIM_WHY_SIZE, "directives cannot be read from: %.40s", *text);
    if (!take(text, strcspn(*text, " \t\r\n,]="), name, sizeof(name)))
        return ERR_SYNTAX;
    if (**text == '=') {
        ++*text;
        if (!take_value(text, value, sizeof(value)))
            return ERR_SYNTAX;
        given = value;
    }
    return set(behaviour, name, given, why);
}

int sim_behaviour_read_prompt(struct sim_behaviour *behaviour, const char *prompt, char why[SIM_WHY_SIZE])
{
    for (const char *at = strstr(prompt, opening); at; at = strstr(at, opening)) {
        at = skip_spaces(at + strlen(opening));
        while (strncmp(at, closing, strlen(closing))) {
            int err = read_directive(behaviour, &at, why);

            if (err)
                return err;
            at = skip_spaces(at);
        }
    }
    return 0;
}

/* -- in JSON: {"name":true,"name":7,"name":"text","fail":["1:Code","2:Code"]} */

static bool is_value(const char *name)
{
    const struct directive *directive = find(name);

    return directive && directive->type == VALUE;
}

static int set_value(struct sim_behaviour *behaviour, const char *name, json_t *value, char why[SIM_WHY_SIZE])
{
    const struct directive *directive = find(name);
    json_t **at = (json_t **)(void *)((char *)behaviour + directive->at);

    if (json_typeof(value) != (json_type)directive->min) {
        (void)snprintf(why, SIM_WHY_SIZE, "directive %.40s has a value of a wrong type", name);
        return ERR_SYNTAX;
    }
    json_decref(*at);
    *at = json_incref(value);
    return 0;
}

static int set_json(struct sim_behaviour *behaviour, const char *name, const json_t *value, char why[SIM_WHY_SIZE])
{
    char number[24];

    switch (json_typeof(value)) {
    case JSON_STRING:
        return set(behaviour, name, json_string_value(value), why);
    case JSON_INTEGER:
        (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return set(behaviour, name, number, why);
    case JSON_TRUE:
        return set(behaviour, name, NULL, why);
    case JSON_NULL:
    case JSON_FALSE:
        return 0;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_REAL:
        break;
    }
    (void)snprintf(why, SIM_WHY_SIZE, "directive %.40s has a value of a wrong type", name);
    return ERR_SYNTAX;
}

int sim_behaviour_read_json(struct sim_behaviour *behaviour, const json_t *object, char why[SIM_WHY_SIZE])
{
    const char *name;
    json_t *value, *item;
    size_t index;
    int err = 0;

    if (!json_is_object(object)) {
        (void)snprintf(why, SIM_WHY_SIZE, "a step must be an object");
        return ERR_SYNTAX;
    }
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): removes the const, because jansson's macro takes no const */
    json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
        if (is_value(name))
            err = set_value(behaviour, name, value, why);
        else if (!json_is_array(value))
            err = set_json(behaviour, name, value, why);
        else
            json_array_foreach (value, index, item)
                if (!err)
                    err = set_json(behaviour, name, item, why);
        if (err)
            return err;
    }
    return 0;
}
