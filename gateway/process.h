/* process - the threads of the gateway process, signals and the service manager
 *
 * The main thread creates one gateway per thread, runs the first one and handles signals. The others run on their own threads. To
 * tell them something, the main thread changes the state of the process and wakes up their loops.
 *
 * SIGTERM or SIGINT drains, a second one stops at once, SIGHUP reloads API keys and certificate. systemd is notified of each step,
 * and of the watchdog as long as every thread's loop is turning.
 *
 * Threads: the main thread.
 */
#ifndef ARKRELAY_GATEWAY_PROCESS_H
#define ARKRELAY_GATEWAY_PROCESS_H

struct catalogue_file;
struct cors;
struct gateway_options;
struct http_address_limit;
struct http_tls;
struct keyring;
struct redis_address;

/* Pointers are borrowed. */
struct process_config {
    const struct gateway_options *options;
    const struct redis_address *redis;
    const struct cors *cors;
    struct keyring *keyring;
    struct catalogue_file *models;            /* loaded */
    struct http_tls *tls;                     /* NULL: plain HTTP */
    struct http_address_limit *address_limit; /* NULL: no limit per client address */
};

enum process_end {
    PROCESS_DRAINED,
    PROCESS_STOPPED,       /* by a second signal */
    PROCESS_MISCONFIGURED, /* Redis is misconfigured; the reason was logged */
    PROCESS_FAILED,        /* it could not start; the reason was logged */
};

/* Serves until it is stopped. */
enum process_end process_run(const struct process_config *config);

#endif
