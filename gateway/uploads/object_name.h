/* object_name - the names of uploads in the storage: `<day>/upload-<32 hex digits>`
 *
 * They are not names of pictures, so GET /p/ does not serve them.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_OBJECT_NAME_H
#define ARKRELAY_GATEWAY_UPLOADS_OBJECT_NAME_H

#include "common/storage/name.h"

/* A new random name. */
void object_name_make(char out[STORAGE_NAME_SIZE], int day);

#endif
