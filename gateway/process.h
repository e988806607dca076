/* process - the gateways of one process: a thread for each, and what all of them are told
 *
 * The main thread creates one gateway per thread, runs the first of them and hears the signals; the others run on threads of
 * their own and are told by a wake-up to look at the process.
 *
 * SIGTERM or SIGINT drains, a second one stops, SIGHUP reads keys and certificate anew. The service manager hears of all that, and,
 * as long as every thread turns, that the process lives.
 *
 * Threads: the main thread.
 */
#ifndef ARKRELAY_GATEWAY_PROCESS_H
#define ARKRELAY_GATEWAY_PROCESS_H

struct cors;
struct gateway_options;
struct http_address_limit;
struct http_tls;
struct keyring;
struct redis_address;

/* All borrowed. */
struct process_config {
    const struct gateway_options *options;
    const struct redis_address *redis;
    const struct cors *cors;
    struct keyring *keyring;
    struct http_tls *tls;                     /* NULL: plain HTTP */
    struct http_address_limit *address_limit; /* NULL: no maximum per address */
};

enum process_end {
    PROCESS_DRAINED,
    PROCESS_STOPPED, /* by a second signal */
    PROCESS_UNFIT,   /* Redis must not keep tasks, which was logged */
    PROCESS_FAILED,  /* it could not start, which was logged */
};

/* Serves until a signal ends it. */
enum process_end process_run(const struct process_config *config);

#endif
