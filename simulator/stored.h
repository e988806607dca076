/* simulator/stored - checksums, and deflate without compression: sufficient for PNG and gzip without zlib
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_STORED_H
#define ARKRELAY_SIMULATOR_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

uint32_t sim_crc32(const void *data, size_t len);
uint32_t sim_adler32(const void *data, size_t len);

void sim_deflate_stored(struct buf *out, const void *data, size_t len);
void sim_gzip_stored(struct buf *out, const void *data, size_t len);

void sim_add_big_endian(struct buf *out, uint32_t value, int bytes);

#endif
