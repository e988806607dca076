#include "common/task/keys.h"

#include <stdint.h>
#include <string.h>

#include "common/base/decimal.h"

#define PREFIX "arkrelay:{"

/* CRC-32 as in zlib, so that other tools can compute a task's partition. No table: ids are short. */
static uint32_t crc32_of(const char *text)
{
    uint32_t crc = UINT32_MAX;

    for (; *text; text++) {
        crc ^= (unsigned char)*text;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

unsigned keys_partition(const char *full_id, unsigned partitions)
{
    return partitions > 1 ? crc32_of(full_id) % partitions : 0;
}

/* Writes `part` at `at`, truncated to `size`; returns the end. */
static size_t append(char *out, size_t size, size_t at, const char *part)
{
    size_t len = strnlen(part, size - 1 - at);

    memcpy(out + at, part, len);
    out[at + len] = '\0';
    return at + len;
}

static size_t add_partition(char *out, size_t size, unsigned partition)
{
    char number[DECIMAL_SIZE];
    size_t at = append(out, size, 0, PREFIX);

    (void)decimal_write(number, partition);
    at = append(out, size, at, number);
    return append(out, size, at, "}:");
}

void keys_prefix(char out[KEYS_PREFIX_SIZE], unsigned partition)
{
    (void)add_partition(out, KEYS_PREFIX_SIZE, partition);
}

void keys_task_prefix(char out[KEYS_PREFIX_SIZE], const char *full_id)
{
    keys_prefix(out, keys_partition(full_id, KEYS_PARTITIONS));
}

void keys_wake(char out[KEYS_PREFIX_SIZE], unsigned partition)
{
    size_t at = add_partition(out, KEYS_PREFIX_SIZE, partition);

    (void)append(out, KEYS_PREFIX_SIZE, at, "wake");
}

void keys_client(char out[KEYS_CLIENT_SIZE], const char *client)
{
    size_t at = append(out, KEYS_CLIENT_SIZE, 0, PREFIX "client:");

    at = append(out, KEYS_CLIENT_SIZE, at, client);
    (void)append(out, KEYS_CLIENT_SIZE, at, "}:");
}

void keys_channel(char out[KEYS_CHANNEL_SIZE], const char *full_id)
{
    size_t at = add_partition(out, KEYS_CHANNEL_SIZE, keys_partition(full_id, KEYS_PARTITIONS));

    at = append(out, KEYS_CHANNEL_SIZE, at, "channel:");
    (void)append(out, KEYS_CHANNEL_SIZE, at, full_id);
}

const char *keys_channel_id(const char *channel)
{
    static const char infix[] = "}:channel:";
    const char *at = channel;
    size_t digits;

    if (strncmp(at, PREFIX, sizeof(PREFIX) - 1) != 0)
        return NULL;
    at += sizeof(PREFIX) - 1;
    digits = strspn(at, "0123456789");
    at += digits;
    if (!digits || strncmp(at, infix, sizeof(infix) - 1) != 0)
        return NULL;
    at += sizeof(infix) - 1;
    return *at ? at : NULL;
}
