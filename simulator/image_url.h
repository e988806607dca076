/* simulator/image_url - signed image URLs, in the form that ARK's object store issues
 *
 *     <public url>/<model name>/<request id>_<index>.<extension>?X-Tos-Algorithm=...&X-Tos-Signature=...&X-Tos-SignedHeaders=host
 *
 * No image is stored: a URL with a valid signature names an image that can be drawn again. The signature covers path and
 * query, so the query of a request must match byte for byte. The secret is fixed, so URLs stay valid after a restart.
 *
 * Pure, except for the signer, which keeps an HMAC context initialised with the secret.
 */
#ifndef ARKRELAY_SIMULATOR_IMAGE_URL_H
#define ARKRELAY_SIMULATOR_IMAGE_URL_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/http/request.h"
#include "simulator/picture.h"

enum { SIM_URL_LIFETIME_S = 86400, SIM_URL_MAX = 2048 };

struct sim_image_name {
    const char *model;      /* the model's name, without the date */
    const char *request_id; /* of the call that made the image */
    int index;
    enum sim_picture_format format;
};

struct sim_signer;

struct sim_signer *sim_signer_create(void);                       /* NULL when out of memory */
struct sim_signer *sim_signer_destroy(struct sim_signer *signer); /* accepts NULL; returns NULL */

void sim_image_url_write(struct buf *out, const struct sim_signer *signer, const char *public_url,
                         const struct sim_image_name *name, int64_t now_ms);

enum sim_access { SIM_ACCESS_GRANTED, SIM_ACCESS_UNKNOWN, SIM_ACCESS_DENIED, SIM_ACCESS_EXPIRED };

/* Checks GET <path>?<query>. If access is granted, *index and *format identify the image. */
enum sim_access sim_image_url_check(const struct sim_signer *signer, struct http_text path, struct http_text query,
                                    int64_t now_ms, int *index, enum sim_picture_format *format);

#endif
