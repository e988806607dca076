/* picture_path - the picture that the path of a request names: /p/{day}/{id} */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_PICTURE_PATH_H
#define ARKRELAY_GATEWAY_API_NATIVE_PICTURE_PATH_H

#include <stdbool.h>

#include "common/storage/name.h"

struct api_context;
struct http_exchange;

struct picture_path {
    int day;
    char id[STORAGE_ID_SIZE];
};

/* False: there is no such path, no storage, or the day has passed; the exchange was answered with 404. */
bool picture_path_read(struct http_exchange *exchange, const struct api_context *context, struct picture_path *out);

#endif
