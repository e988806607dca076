/* catalogue_file - the catalogue of a process: models.json and MODELS_FILE, reloaded on SIGHUP
 *
 * Each load starts from models.json. A load that succeeds replaces the catalogue as a whole; a load that fails changes nothing.
 *
 * Threads: catalogue_file_take on any thread; everything else on the main thread.
 */
#ifndef ARKRELAY_MODELS_CATALOGUE_FILE_H
#define ARKRELAY_MODELS_CATALOGUE_FILE_H

#include "common/base/err.h"

struct buf;
struct catalogue;
struct catalogue_file;

/* Borrows the path; "": only models.json. NULL: out of memory. */
struct catalogue_file *catalogue_file_create(const char *path);
struct catalogue_file *catalogue_file_destroy(struct catalogue_file *file); /* accepts NULL; returns NULL */

/* On error `why` gets the reason. */
int catalogue_file_load(struct catalogue_file *file, struct buf *why) MUST_CHECK;

/* The current catalogue, with a reference for the caller. NULL before the first successful load. */
struct catalogue *catalogue_file_take(struct catalogue_file *file);

/* For SIGHUP: loads, and logs the outcome under this component. No-op without a path. */
void catalogue_file_reload(struct catalogue_file *file, const char *component);

/* At the start: creates and loads. NULL: the reason is on stderr, after the program's name. */
struct catalogue_file *catalogue_file_open(const char *path, const char *component, const char *program);

#endif
