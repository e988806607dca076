/* erasure - erases an upload of a client: first its objects, then its record (script ERASE_UPLOAD)
 *
 *     ASKING --names--> DELETING each --> ASKING --the same names--> ended      other names: a renewal was faster, delete these too
 *
 * If the objects cannot be deleted the record remains, so the client can repeat its request.
 *
 * Ownership: an erasure belongs to the uploads, and frees itself; it continues without its caller.
 * Callbacks: on_end once, from the loop, never from inside erasure_start; none after erasure_forget_caller.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_ERASURE_H
#define ARKRELAY_GATEWAY_UPLOADS_ERASURE_H

#include "common/base/err.h"
#include "common/base/problem.h"

struct erasure;
struct uploads;

/* PROBLEM_COUNT: it is erased. */
typedef void erasure_end_fn(enum problem problem, void *arg);

/* ERR_NO_MEMORY, and as script_run. */
int erasure_start(struct uploads *uploads, const char *client, const char *sha256, erasure_end_fn *on_end, void *arg,
                  struct erasure **out) MUST_CHECK;
void erasure_forget_caller(struct erasure *erasure);

#endif
