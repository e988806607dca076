#include "gateway/uploads/object_name.h"

#include <stdio.h>

void object_name_make(char out[STORAGE_NAME_SIZE], int day)
{
    char folder[STORAGE_DAY_SIZE], id[STORAGE_ID_SIZE];

    storage_day_write(folder, day);
    storage_id_make(id);
    (void)snprintf(out, STORAGE_NAME_SIZE, "%s/upload-%s", folder, id);
}
