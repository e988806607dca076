/* seeds - the requests of a storm: raw files of a folder, and well-formed API calls
 *
 * Ownership: seeds_create allocates everything; seeds_destroy frees it.
 */
#ifndef ARKRELAY_HOSTILE_SEEDS_H
#define ARKRELAY_HOSTILE_SEEDS_H

#include "common/base/buf.h"
#include "tests/hostile/mutate.h"

struct seeds;

struct seeds *seeds_create(const char *folder);   /* on failure NULL, with the reason on stderr */
struct seeds *seeds_destroy(struct seeds *seeds); /* accepts NULL; returns NULL */

/* Appends one request: a valid API call, an API call with a mutated body, a raw file, or one of these with mutated bytes. */
void seeds_add_request(const struct seeds *seeds, struct chance *chance, struct buf *out);

#endif
