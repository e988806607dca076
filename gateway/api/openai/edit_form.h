/* openai/edit_form - the fields of a form as the JSON object that the field table reads
 *
 * Everything in a form is a text. A text is read as the type that its field has in JSON; one that cannot be is left as it is, so that the
 * field table complains about it as about any other wrong value.
 *
 * Pure.   Ownership: edit_form_deinit frees it.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_EDIT_FORM_H
#define ARKRELAY_GATEWAY_API_OPENAI_EDIT_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/http/multipart.h"
#include "common/task/task_spec.h"
#include "gateway/request/validate.h"

struct json_t;

enum { EDIT_TEXT_MAX = 32 * 1024, EDIT_TEXTS_MAX = 128 * 1024 }; /* bytes of one text, and of all of them */

struct edit_form {
    struct json_t *root;          /* without `image` */
    struct json_t *images;        /* links, and null in the place of a file */
    size_t places[TASK_URLS_MAX]; /* of the files in `images` */
    size_t files;
    struct validate_errors *errors;
    char name[HTTP_MULTIPART_NAME_MAX + 1]; /* of the part that arrives */
    struct buf text;
    size_t total; /* of all texts so far */
    bool no_memory;
};

/* `errors` is borrowed. */
void edit_form_init(struct edit_form *form, struct validate_errors *errors);
void edit_form_deinit(struct edit_form *form);

enum edit_part {
    EDIT_TEXT,    /* edit_form_add_text follows, then edit_form_end_text */
    EDIT_IMAGE,   /* file number form->files - 1, which becomes a reference image by edit_form_set_image */
    EDIT_REFUSED, /* form->errors say why */
};
enum edit_part edit_form_begin_part(struct edit_form *form, const struct http_multipart_part *part);
void edit_form_add_text(struct edit_form *form, const char *bytes, size_t len);
void edit_form_end_text(struct edit_form *form);

/* url: "upload:...". The order of the images is that of their parts. */
void edit_form_set_image(struct edit_form *form, size_t file, const char *url);

/* The whole object, when all files have their URL; complains if there is no image. NULL: out of memory. Borrowed. */
struct json_t *edit_form_finish(struct edit_form *form);

#endif
