#include "worker/ark/document.h"

#include <jansson.h>
#include <string.h>

#include "worker/ark/collect.h"

void ark_document_init(struct ark_document *document, size_t max_bytes, struct ark_collect *collect)
{
    *document = (struct ark_document){.collect = collect};
    buf_init(&document->text, max_bytes);
}

void ark_document_deinit(struct ark_document *document)
{
    buf_deinit(&document->text);
}

/* Some API gateways do not close the connection after the document, so its end is found by its brackets. */
static void follow_brackets(struct ark_document *document, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && !document->closed; i++) {
        char c = bytes[i];

        if (document->in_escape) {
            document->in_escape = false;
        } else if (document->in_string) {
            document->in_escape = c == '\\';
            document->in_string = c != '"';
        } else if (c == '"') {
            document->in_string = true;
        } else {
            document->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            document->closed = document->depth <= 0;
        }
    }
}

int ark_document_feed(struct ark_document *document, const char *bytes, size_t len)
{
    follow_brackets(document, bytes, len);
    buf_add(&document->text, bytes, len);
    return buf_error(&document->text);
}

/* -- a complete document */

/* Some API gateways send the only slot without the array, or a job. */
static bool read_only_slot(struct ark_collect *collect, const json_t *data)
{
    bool is_slot = json_object_get(data, "url") || json_object_get(data, "b64_json");

    if (is_slot)
        ark_collect_slot(collect, 0, ARK_SLOT_PLAIN, data);
    else
        ark_collect_job(collect, data);
    return is_slot;
}

static bool read_slots(struct ark_collect *collect, const json_t *data)
{
    size_t i;
    const json_t *item;

    if (!json_is_array(data))
        return read_only_slot(collect, data);
    for (i = 0; (item = json_array_get(data, i)); i++)
        ark_collect_slot(collect, (json_int_t)i, ARK_SLOT_PLAIN, item);
    return true;
}

static bool read_whole(struct ark_collect *collect, const json_t *root)
{
    const json_t *code = json_object_get(root, "code");
    bool has_data = read_slots(collect, json_object_get(root, "data"));
    bool has_usage = ark_collect_usage(collect, json_object_get(root, "usage"));
    bool has_error = ark_collect_error(collect, json_object_get(root, "error"));

    if (!has_data && !has_error && json_is_string(code))
        has_error = ark_collect_error(collect, root);
    if (has_error && !*collect->result.request_id && json_is_string(json_object_get(root, "request_id")))
        ark_copy_text(collect->result.request_id, sizeof(collect->result.request_id),
                      json_string_value(json_object_get(root, "request_id")));
    if (!has_error)
        ark_collect_job(collect, root);
    return has_data || has_usage || has_error;
}

/* -- the front part of an incomplete document */

/* Finds the complete objects in the "data" array. */
struct scan {
    struct ark_collect *collect;
    const char *text;
    size_t at;
    int depth;           /* open brackets of both kinds */
    bool in_data;        /* inside {"data":[ */
    json_int_t index;    /* of the current slot: the number of commas before it */
    size_t key, key_len; /* the last string directly in the outer object */
    size_t item;         /* where the current slot begins */
};

/* From a quote to the closing one, or to the end of the text. */
static void skip_string(struct scan *scan, size_t len)
{
    size_t from = ++scan->at;

    while (scan->at < len && scan->text[scan->at] != '"')
        scan->at += scan->text[scan->at] == '\\' ? 2 : 1;
    if (scan->depth == 1 && scan->at < len) {
        scan->key = from;
        scan->key_len = scan->at - from;
    }
}

static void open_bracket(struct scan *scan, char bracket)
{
    if (scan->depth == 1) {
        scan->index = 0;
        scan->in_data = bracket == '[' && scan->key_len == 4 && !memcmp(scan->text + scan->key, "data", 4);
    }
    if (scan->depth == 2)
        scan->item = scan->at;
    scan->depth++;
}

static void close_bracket(struct scan *scan)
{
    json_t *item;

    scan->depth--;
    if (scan->depth != 2 || !scan->in_data)
        return;
    item = ark_collect_read(scan->collect, scan->text + scan->item, scan->at + 1 - scan->item, 0);
    if (item)
        ark_collect_slot(scan->collect, scan->index, ARK_SLOT_PLAIN, item);
    json_decref(item);
}

static void read_front(struct ark_collect *collect, const char *text, size_t len)
{
    struct scan scan = {.collect = collect, .text = text};

    for (; scan.at < len; scan.at++) {
        char c = text[scan.at];

        if (c == '"')
            skip_string(&scan, len);
        else if (c == '{' || c == '[')
            open_bracket(&scan, c);
        else if ((c == '}' || c == ']') && scan.depth)
            close_bracket(&scan);
        else if (c == ',' && scan.depth == 2)
            scan.index++;
    }
}

bool ark_document_end(struct ark_document *document)
{
    const char *text = buf_text(&document->text);
    json_t *root = ark_collect_read(document->collect, text, document->text.len, JSON_DISABLE_EOF_CHECK);
    bool is_complete = root && read_whole(document->collect, root);

    if (!root)
        read_front(document->collect, text, document->text.len);
    json_decref(root);
    return is_complete;
}
