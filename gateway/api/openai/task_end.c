#include "gateway/api/openai/task_end.h"

#include <jansson.h>
#include <stdbool.h>

#include "common/base/json_scan.h"

static json_t *images_of(struct json_span span);

static const struct member {
    const char *name;
    json_t *(*read)(struct json_span value);
} end_members[] =
    {
        {"generated_images", images_of     },
        {"usage",            json_span_read},
        {"charged",          json_span_read},
        {"code",             json_span_read},
        {"error",            json_span_read},
        {"retryable",        json_span_read},
        {NULL,               NULL          },
},
  image_members[] = {
      {"index", json_span_read},
      {"url", json_span_read},
      {"size", json_span_read},
      {"stored_url", json_span_read},
      {NULL, NULL},
};

/* The members of the table that the object has. */
static json_t *object_of(struct json_span span, const struct member *members)
{
    json_t *object = json_object();
    struct json_span name, value;
    struct json_cursor cursor;

    json_enter(span, &cursor);
    while (object && json_next(&cursor, &name, &value)) {
        const struct member *member = members;

        while (member->name && !json_span_is(name, member->name))
            member++;
        if (member->name && json_object_set_new(object, member->name, member->read(value))) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

static json_t *images_of(struct json_span span)
{
    json_t *images = json_array();
    struct json_span name, value;
    struct json_cursor cursor;

    json_enter(span, &cursor);
    while (images && json_next(&cursor, &name, &value)) {
        if (json_array_append_new(images, object_of(value, image_members))) {
            json_decref(images);
            images = NULL;
        }
    }
    return images;
}

json_t *openai_task_end(const char *json, size_t len)
{
    struct json_span data = json_member((struct json_span){json, len}, "data");

    return data.len && data.at[0] == '{' ? object_of(data, end_members) : NULL;
}
