#include "common/storage/record.h"

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"

static const char head[] = "\narkrelay/1";

bool storage_owner_is_valid(const char *owner, size_t len)
{
    if (!len || len >= STORAGE_OWNER_SIZE || owner[0] == '_' || owner[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!owner[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", owner[i]))
            return false;
    return true;
}

void record_write_pixels(char out[24], const struct image_header *image)
{
    (void)snprintf(out, 24, "%ux%u", image->width, image->height);
}

void record_write(char out[RECORD_SIZE], const struct storage_about *about)
{
    char pixels[24], line[RECORD_SIZE];
    int len;

    record_write_pixels(pixels, &about->image);
    len = snprintf(line, sizeof(line), "%s sha256=%s type=%s pixels=%s owner=%s", head, about->sha256,
                   image_media_type(about->image.type), pixels, about->owner);
    memset(out, ' ', RECORD_SIZE);
    memcpy(out, line, (size_t)len);
    out[RECORD_SIZE - 1] = '\n';
}

/* -- reading */

static int read_sha256(const char *value, size_t len, struct storage_about *out)
{
    if (len != SHA256_HEX_SIZE - 1)
        return ERR_SYNTAX;
    for (size_t i = 0; i < len; i++)
        if (!value[i] || !strchr("0123456789abcdef", value[i]))
            return ERR_SYNTAX;
    memcpy(out->sha256, value, len);
    out->sha256[len] = '\0';
    return 0;
}

static int read_type(const char *value, size_t len, struct storage_about *out)
{
    for (int type = IMAGE_NONE + 1; type < IMAGE_TYPE_COUNT; type++) {
        const char *name = image_media_type((enum image_type)type);

        if (strlen(name) == len && !memcmp(name, value, len)) {
            out->image.type = (enum image_type)type;
            return 0;
        }
    }
    return ERR_SYNTAX;
}

/* A number without leading zeros, at most UINT32_MAX. Returns the digits, 0 if there is no such number. */
static size_t read_number(const char *text, size_t len, uint32_t *out)
{
    uint64_t number = 0;
    size_t digits = 0;

    while (digits < len && text[digits] >= '0' && text[digits] <= '9' && number <= UINT32_MAX)
        number = number * 10 + (uint64_t)(text[digits++] - '0');
    if (!number || number > UINT32_MAX || text[0] == '0')
        return 0;
    *out = (uint32_t)number;
    return digits;
}

static int read_pixels(const char *value, size_t len, struct storage_about *out)
{
    uint32_t width, height;
    size_t digits = read_number(value, len, &width);

    if (!digits || digits == len || value[digits] != 'x')
        return ERR_SYNTAX;
    value += digits + 1;
    len -= digits + 1;
    if (!len || read_number(value, len, &height) != len)
        return ERR_SYNTAX;
    out->image.width = width;
    out->image.height = height;
    return 0;
}

static int read_owner(const char *value, size_t len, struct storage_about *out)
{
    if (!storage_owner_is_valid(value, len))
        return ERR_SYNTAX;
    memcpy(out->owner, value, len);
    out->owner[len] = '\0';
    return 0;
}

static const struct field {
    const char *name;
    int (*read)(const char *value, size_t len, struct storage_about *out);
} fields[] = {
    {"sha256", read_sha256},
    {"type",   read_type  },
    {"pixels", read_pixels},
    {"owner",  read_owner },
};

int record_read_field(const char *name, size_t name_len, const char *value, size_t value_len, struct storage_about *out)
{
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (strlen(fields[i].name) == name_len && !memcmp(fields[i].name, name, name_len))
            return fields[i].read(value, value_len, out);
    return ERR_NOT_FOUND;
}

/* Writing it again must give the same bytes, so there is one spelling of each record. */
int record_read(const char bytes[RECORD_SIZE], struct storage_about *out)
{
    struct storage_about about = {.size = out->size};
    char line[RECORD_SIZE + 1], again[RECORD_SIZE];
    char *rest = line;

    memcpy(line, bytes, RECORD_SIZE);
    line[RECORD_SIZE] = '\0';
    if (strncmp(line, head, sizeof(head) - 1) != 0)
        return ERR_SYNTAX;
    rest += sizeof(head) - 1;
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        size_t name_len = strlen(fields[i].name), len;

        if (rest[0] != ' ' || strncmp(rest + 1, fields[i].name, name_len) != 0 || rest[1 + name_len] != '=')
            return ERR_SYNTAX;
        rest += 1 + name_len + 1;
        len = strcspn(rest, " \n");
        if (fields[i].read(rest, len, &about))
            return ERR_SYNTAX;
        rest += len;
    }
    record_write(again, &about);
    if (memcmp(again, bytes, RECORD_SIZE) != 0)
        return ERR_SYNTAX;
    *out = about;
    return 0;
}
