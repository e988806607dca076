/* seeds - the requests that a storm is made of: raw files of a folder, and well-formed calls of the API
 *
 * Ownership: seeds_create allocates everything; seeds_destroy frees it.
 */
#ifndef ARKRELAY_HOSTILE_SEEDS_H
#define ARKRELAY_HOSTILE_SEEDS_H

#include "common/buf.h"
#include "tests/hostile/mutate.h"

struct seeds;

struct seeds *seeds_create(const char *folder);   /* NULL, and why is told on stderr */
struct seeds *seeds_destroy(struct seeds *seeds); /* accepts NULL; returns NULL */

/* Adds one request: a call of the API as it should be, one whose body is changed, a raw file, or either with changed bytes. */
void seeds_add_request(const struct seeds *seeds, struct chance *chance, struct buf *out);

#endif
