/* directory - pictures in a directory of this machine, or of a file server
 *
 *     <directory>/arkrelay-storage      names the directory: "arkrelay storage 1 <32 hex digits>"
 *     <directory>/tmp/                  unfinished files (spool.h)
 *     <directory>/20261207/<id>         a picture, and its record as the last bytes (record.h)
 *
 * A put appends the record, syncs the file, renames it to its place and syncs the directories: after its on_end the picture survives a
 * power failure, and before it the name does not exist.
 *
 * The identity file distinguishes directories: a gateway on another machine that has a directory of its own would find no picture. The
 * first process creates it.
 *
 * See storage.h for ownership, threads and errors. directory_open blocks: call it before the loop runs.
 */
#ifndef ARKRELAY_STORAGE_DIRECTORY_H
#define ARKRELAY_STORAGE_DIRECTORY_H

#include "common/base/buf.h"
#include "common/base/err.h"

struct disk;
struct storage;

struct directory_setup {
    struct disk *disk; /* borrowed */
    const char *path;  /* absolute; created if it is missing, but not its parents */
    int free_min_percent;
};

/* ERR_NO_MEMORY; ERR_SYSTEM: `why` has a sentence about what is wrong. */
int directory_open(const struct directory_setup *setup, struct storage **out, struct buf *why) MUST_CHECK;

#endif
