/* task_spec - a task's request: reads, writes and hashes its canonical JSON
 *
 * The gateway validates a request body into a spec and stores the spec as canonical JSON: only the fields that the client sent, keys
 * sorted, no white space. Equal requests therefore have equal bytes and equal hashes. The worker uses its defaults for absent
 * fields. task_id is not included: it names the task and is not part of its content.
 *
 * To add a field, change:
 *
 *     common/task/task_spec.*         the member, task_spec_deinit, to_json (in the order of names), the table `fields`
 *     gateway/request/validate.c      its row in `fields`; a limit over several fields goes into `read_object`
 *     common/models/plan.*            the resolved value; plan_text.c stores it in the plan; request_defaults.h if it has a default
 *     common/models/plan_check.c      if only some models support it; model.h, models.json, catalogue*.c for the row of a model
 *     worker/ark/request.c            ARK's field
 *     gateway/api/openai/fields.c     if ARK's own request body may contain it
 *     simulator/{validate,models}.c   if ARK's field is new: the simulator refuses unknown fields
 *     docs/openapi.json, docs/api.md, docs/api.zh-CN.md, README*.md, docs/models.md
 *     cli/arkctl_lib/cli.py, watch.py and docs/arkctl.md; gateway/pages/playground*
 *     tests/fuzz/corpus/{task_spec,validate}, tests/fuzz/dict
 *
 * The scripts and the wire add four rules:
 *
 *     `urls` is the only list. `urls_of` (scripts/shared/ending.lua) copies it out of the text without decoding the JSON. The list
 *     webhook_events is therefore stored as words.
 *     Fields whose names sort before `model` are short. SUBMIT searches `model` in the first 1024 bytes (scripts/submit.lua).
 *     An absent field is not written. Otherwise a repeated request gets another hash, and its task_id a conflict.
 *     A worker fails a task with a field that it does not know (`invalid_task`). Upgrade workers before gateways.
 *
 * Pure.   Ownership: the spec owns its texts; task_spec_deinit frees them. A zeroed spec is valid and empty.
 */
#ifndef ARKRELAY_TASK_TASK_SPEC_H
#define ARKRELAY_TASK_TASK_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct buf;
struct json_t;

enum {
    TASK_URLS_MAX = 14,       /* ARK's limit of reference images */
    TASK_IMAGES_MAX = 15,     /* ARK's limit of reference images plus results */
    TASK_URL_MAX = 2048,      /* bytes */
    TASK_PROMPT_MAX = 4000,   /* code points */
    TASK_NAME_MAX = 128,      /* code points of `size` and of `model` */
    TASK_GUIDANCE_UNIT = 100, /* guidance_scale is in hundredths */
    TASK_GUIDANCE_MIN = 1 * TASK_GUIDANCE_UNIT,
    TASK_GUIDANCE_MAX = 10 * TASK_GUIDANCE_UNIT,
    TASK_HASH_SIZE = 44, /* a SHA-256 in base64url without padding, and the NUL */
};

/* Events of which a webhook tells, as bits. */
enum { TASK_ON_START = 1, TASK_ON_IMAGE = 2, TASK_ON_FINAL = 4, TASK_EVENTS_ALL = 7 };

/* The bit of "start", "image" or "final"; 0: another word. */
unsigned task_events_parse(const char *word);
void task_events_write(struct buf *out, unsigned events); /* the words, in that order, separated by spaces */

/* The values of a field that is one of some words; UNSET: absent. */
enum task_format { TASK_FORMAT_UNSET, TASK_JPEG, TASK_PNG };
enum task_optimize { TASK_OPTIMIZE_UNSET, TASK_STANDARD, TASK_FAST };
enum task_background { TASK_BACKGROUND_UNSET, TASK_OPAQUE, TASK_TRANSPARENT };

/* The words of one such field, in the order of its enum, and a NULL. */
extern const char *const task_format_words[], *const task_optimize_words[], *const task_background_words[];

/* The name of an upload in `urls`: "upload:" and the SHA-256 of its bytes, in lower-case hex digits. */
#define TASK_UPLOAD_PREFIX "upload:"
bool task_url_is_upload(const char *url);

/* A JSON number from 1 to 10 with at most two decimals. ERR_RANGE: `value` is something else; it may be NULL. */
int task_guidance_read(const struct json_t *value, int *out) MUST_CHECK;

/* The JSON number, without trailing zeros: 7 and 7.0 are the same. */
void task_guidance_write(struct buf *out, int hundredths);

/* The value of a word; 0: it is none of the words. */
int task_word_parse(const char *const *words, const char *word);

struct task_spec {
    char *urls[TASK_URLS_MAX];
    size_t url_count;            /* 0: text to image */
    char *prompt, *size, *model; /* NULL: absent */
    int max_images;              /* 0: absent */
    int max_paid_calls;          /* 0: absent */
    bool watermark_given, watermark;
    bool seed_given;
    int64_t seed;
    enum task_format output_format;
    enum task_optimize optimize_prompt;
    enum task_background background;
    int guidance_scale; /* 0: absent */
    bool web_search_given, web_search;
    bool layers_given, layers;
    char *webhook;           /* NULL: absent */
    unsigned webhook_events; /* bits; 0: absent */
};

void task_spec_deinit(struct task_spec *spec);

/* Writes canonical JSON, which the caller frees with free(). ERR_SYNTAX: a text is not UTF-8. ERR_NO_MEMORY. */
int task_spec_write(const struct task_spec *spec, char **out) MUST_CHECK;

/* Reads canonical JSON from Redis, which may be damaged. ERR_SYNTAX unless it has a URL or a prompt, only known fields, and values
 * within the limits above. TASK_URL_MAX does not apply to data: URLs. */
int task_spec_read(const char *json, size_t len, struct task_spec *out) MUST_CHECK;

/* The SHA-256 of the canonical JSON. After ERR_NO_MEMORY do not use `out`: a wrong hash could attach a client to another task. */
int task_spec_hash(char out[TASK_HASH_SIZE], const char *json) MUST_CHECK;

#endif
