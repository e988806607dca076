/* core_dump - disables core dumps and debuggers for this process
 *
 * The process's memory contains the ARK key, passwords and clients' requests. Without core dumps a crash writes none of it to disk.
 * A process that is not dumpable cannot be traced, or read through /proc, by other processes of the same user (prctl(2)).
 *
 * Threads: call it before any thread starts.
 * Errors:  if the system refuses, a warning is logged.
 */
#ifndef ARKRELAY_BASE_CORE_DUMP_H
#define ARKRELAY_BASE_CORE_DUMP_H

void core_dump_disable(void);

#endif
