/* s3_operations - what s3.c does with objects: the functions of struct storage_ops (backend.h) that send requests
 *
 * One file for each kind of call: s3_put.c, s3_get.c, s3_delete.c. See storage.h for what they do.
 */
#ifndef ARKRELAY_STORAGE_S3_OPERATIONS_H
#define ARKRELAY_STORAGE_S3_OPERATIONS_H

#include "common/storage/storage.h"

int s3_put(struct storage *storage, struct spool *spool, const char *name, const char *owner, storage_end_fn *on_end,
           void *arg, struct storage_call **out);
int s3_get(struct storage *storage, const char *name, const struct storage_get_events *events,
           struct storage_call **out);
void s3_get_next(struct storage_call *get);
int s3_remove(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg, struct storage_call **out);
int s3_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
             struct storage_call **out);

#endif
