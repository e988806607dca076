/* renewal - copies the object of an upload to a name of a later day, because the upload is still used
 *
 *     READING -> STORING -> RECORDING --NEW-----------------> ended        a failure ends it: the next use of the upload tries again
 *                               `--known meanwhile, gone--> DROPPING -> ended
 *
 * The old object stays until its day has passed: tasks have its name.
 *
 * Ownership: a renewal belongs to the uploads, and frees itself.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_RENEWAL_H
#define ARKRELAY_GATEWAY_UPLOADS_RENEWAL_H

struct uploads;

/* No-op if the upload is being renewed, or if many others are. */
void renewal_start(struct uploads *uploads, const char *client, const char *sha256, const char *name);

#endif
