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
#include "gateway/request/validate.h"

struct json_t;

enum { EDIT_TEXT_MAX = 32 * 1024, EDIT_TEXTS_MAX = 128 * 1024 }; /* bytes of one text, and of all of them */

struct edit_form {
    struct json_t *root; /* without `image` */
    struct json_t *images;
    struct validate_errors *errors;
    char name[HTTP_MULTIPART_NAME_MAX + 1]; /* of the part that arrives */
    struct buf text;
    size_t total; /* of all texts so far */
    bool no_memory;
};

/* `errors` is borrowed. */
void edit_form_init(struct edit_form *form, struct validate_errors *errors);
void edit_form_deinit(struct edit_form *form);

bool edit_form_is_image(const char *name); /* "image" or "image[]" */

/* A part that is a text. */
void edit_form_begin_text(struct edit_form *form, const char *name);
void edit_form_add_text(struct edit_form *form, const char *bytes, size_t len);
void edit_form_end_text(struct edit_form *form);

void edit_form_complain(struct edit_form *form, const char *name, const char *detail);

/* A reference image: "upload:...". */
void edit_form_add_image(struct edit_form *form, const char *url);

/* The whole object; complains if there is no image. NULL: out of memory. Borrowed. */
struct json_t *edit_form_finish(struct edit_form *form);

#endif
