/* core_dump - keeps what the process knows out of files and out of others' reach
 *
 * Memory holds the ARK key, passwords and clients' requests. Without a core dump a crash leaves none of it on the disk, and a
 * process that is not dumpable is neither traced nor read through /proc by others of the same user.
 *
 * Threads: call it before they start.   Errors: none; where the system refuses, that is a line of the log.
 */
#ifndef ARKRELAY_CORE_DUMP_H
#define ARKRELAY_CORE_DUMP_H

void core_dump_forbid(void);

#endif
