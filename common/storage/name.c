#include "common/storage/name.h"

#include <stdio.h>
#include <string.h>

#include "common/base/random.h"

enum { MS_PER_DAY = 24 * 60 * 60 * 1000, LAST_DAY = 2932896 /* 9999-12-31 */ };

static const char part_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

void storage_id_make(char out[STORAGE_ID_SIZE])
{
    random_hex(out, (STORAGE_ID_SIZE - 1) / 2);
}

bool storage_id_is_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return len == STORAGE_ID_SIZE - 1;
}

/* -- days. The arithmetic counts years from March, so that the leap day is the last one. */

struct date {
    int year, month, day;
};

static int days_of(struct date date)
{
    int year = date.year - (date.month <= 2), era = year / 400, of_era = year - era * 400;
    int of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_of(int day)
{
    int shifted = day + 719468, era = shifted / 146097, of_era = shifted - era * 146097;
    int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    struct date date = {.day = of_year - (153 * month + 2) / 5 + 1, .month = month < 10 ? month + 3 : month - 9};

    date.year = year + era * 400 + (date.month <= 2);
    return date;
}

int storage_day_of(int64_t wall_ms)
{
    int64_t day = wall_ms / MS_PER_DAY;

    return wall_ms < 0 ? 0 : day > LAST_DAY ? LAST_DAY : (int)day;
}

void storage_day_write(char out[STORAGE_DAY_SIZE], int day)
{
    struct date date = date_of(day < 0 ? 0 : day > LAST_DAY ? LAST_DAY : day);
    unsigned number = (unsigned)(date.year * 10000 + date.month * 100 + date.day);

    for (int i = STORAGE_DAY_SIZE - 2; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
    out[STORAGE_DAY_SIZE - 1] = '\0';
}

bool storage_day_read(const char *text, size_t len, int *out)
{
    char again[STORAGE_DAY_SIZE];
    struct date date;
    int number = 0, day;

    if (len != STORAGE_DAY_SIZE - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (text[i] - '0');
    }
    date = (struct date){.year = number / 10000, .month = number / 100 % 100, .day = number % 100};
    if (date.year < 1970 || date.month < 1 || date.month > 12)
        return false;
    day = days_of(date);
    storage_day_write(again, day);
    if (memcmp(again, text, len) != 0) /* the 31st of April is the 1st of May */
        return false;
    *out = day;
    return true;
}

/* The texts of days sort as the days do. */
int storage_day_after(const char *text, size_t len)
{
    int low = 0, high = LAST_DAY;

    while (low < high) {
        char folder[STORAGE_DAY_SIZE + 1];
        int middle = low + (high - low) / 2, order;

        storage_day_write(folder, middle);
        folder[STORAGE_DAY_SIZE - 1] = '/';
        order = memcmp(folder, text, len < STORAGE_DAY_SIZE ? len : STORAGE_DAY_SIZE);
        if (order > 0 || (order == 0 && len < STORAGE_DAY_SIZE))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool storage_day_is_expired(int day, int today)
{
    return day < today;
}

bool storage_day_is_swept(int day, int today)
{
    return day < today - 1;
}

/* -- names */

bool storage_name_is_valid(const char *name)
{
    size_t folder = strspn(name, part_chars), file;

    if (!folder || folder > STORAGE_PART_MAX || name[folder] != '/')
        return false;
    file = strspn(name + folder + 1, part_chars);
    return file && file <= STORAGE_PART_MAX && !name[folder + 1 + file];
}

void storage_name_of_picture(char out[STORAGE_NAME_SIZE], int day, const char *id)
{
    char text[STORAGE_DAY_SIZE];

    storage_day_write(text, day);
    (void)snprintf(out, STORAGE_NAME_SIZE, "%s/%s", text, id);
}

void storage_name_split(const char *name, char folder[STORAGE_PART_MAX + 1], const char **file)
{
    size_t len = strcspn(name, "/");

    memcpy(folder, name, len);
    folder[len] = '\0';
    *file = name + len + 1;
}

bool storage_name_read_picture(const char *text, size_t len, int *day, char id[STORAGE_ID_SIZE])
{
    const size_t day_len = STORAGE_DAY_SIZE - 1, id_len = STORAGE_ID_SIZE - 1;

    if (len != day_len + 1 + id_len || text[day_len] != '/' || !storage_day_read(text, day_len, day) ||
        !storage_id_is_valid(text + day_len + 1, id_len))
        return false;
    memcpy(id, text + day_len + 1, id_len);
    id[id_len] = '\0';
    return true;
}
