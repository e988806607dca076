/* Names, days and records of stored pictures. A valid name is a path of two parts without dots, a valid day exists in the calendar, and
 * an accepted record has the same meaning after it is written and read again. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/storage/name.h"
#include "common/storage/record.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *text)
{
    char folder[STORAGE_PART_MAX + 1];
    const char *file;

    if (!storage_name_is_valid(text))
        return;
    must(strlen(text) < STORAGE_NAME_SIZE && !strpbrk(text, ".\\%?#& \n"));
    storage_name_split(text, folder, &file);
    must(*folder && *file && !strchr(folder, '/') && !strchr(file, '/'));
}

static void check_day(const char *text, size_t len)
{
    char again[STORAGE_DAY_SIZE];
    int day;

    if (!storage_day_read(text, len, &day))
        return;
    storage_day_write(again, day);
    must(day >= 0 && len == 8 && !memcmp(again, text, 8));
}

static bool sorts_after(int day, const char *text, size_t len)
{
    char folder[STORAGE_DAY_SIZE + 1];
    int order;

    storage_day_write(folder, day);
    folder[STORAGE_DAY_SIZE - 1] = '/';
    order = memcmp(folder, text, len < STORAGE_DAY_SIZE ? len : STORAGE_DAY_SIZE);
    return order > 0 || (!order && len < STORAGE_DAY_SIZE);
}

static void check_day_after(const char *text, size_t len)
{
    int day = storage_day_after(text, len), last;

    must(storage_day_read("99991231", 8, &last));
    must(day == last || sorts_after(day, text, len));
    must(day == 0 || !sorts_after(day - 1, text, len));
}

static void check_record(const char *text, size_t len)
{
    struct storage_about about = {0};
    char record[RECORD_SIZE], again[RECORD_SIZE];

    memset(record, ' ', sizeof(record));
    memcpy(record, text, len < sizeof(record) ? len : sizeof(record));
    record[RECORD_SIZE - 1] = '\n';
    if (record_read(record, &about))
        return;
    must(storage_owner_is_valid(about.owner, strlen(about.owner)) && about.image.width && about.image.height);
    record_write(again, &about);
    must(!memcmp(record, again, sizeof(record)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    must(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    check_name(text);
    check_day(text, size);
    check_day_after(text, size);
    check_record(text, size);
    free(text);
    return 0;
}
