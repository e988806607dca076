#include "common/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "arkrelay:{"

/* CRC-32 as zlib and Ethernet have it, so that any tool can tell a task's partition. Bit by bit: ids are short. */
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

void keys_prefix(char out[KEYS_PREFIX_SIZE], unsigned partition)
{
    (void)snprintf(out, KEYS_PREFIX_SIZE, PREFIX "%u}:", partition);
}

void keys_wake(char out[KEYS_PREFIX_SIZE], unsigned partition)
{
    (void)snprintf(out, KEYS_PREFIX_SIZE, PREFIX "%u}:wake", partition);
}

void keys_client(char out[KEYS_CLIENT_SIZE], const char *client)
{
    (void)snprintf(out, KEYS_CLIENT_SIZE, PREFIX "client:%s}:", client);
}

void keys_channel(char out[KEYS_CHANNEL_SIZE], const char *full_id, unsigned partition)
{
    (void)snprintf(out, KEYS_CHANNEL_SIZE, PREFIX "%u}:channel:%s", partition, full_id);
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
