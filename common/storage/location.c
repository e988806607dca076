#include "common/storage/location.h"

#include "common/storage/directory.h"
#include "common/storage/storage.h"

bool location_is_valid(const char *location)
{
    return location[0] == '/';
}

int location_open(const char *location, struct disk *disk, struct storage **out, struct buf *why)
{
    const struct directory_setup setup = {.disk = disk, .path = location, .free_min_percent = STORAGE_FREE_MIN_PERCENT};

    return directory_open(&setup, out, why);
}
