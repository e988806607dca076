/* systemd_notify - reports readiness, status and watchdog to systemd
 *
 * Protocol: sd_notify(3). Each message is one datagram to the socket named by $NOTIFY_SOCKET, a path or an abstract socket
 * ("@name"). If the variable is unset, systemd_notify_create returns NULL, and the other functions are no-ops.
 *
 * If systemd runs a watchdog for this process ($WATCHDOG_USEC), the loop reports at least twice per watchdog period. A process
 * whose loop is blocked stops reporting, and systemd restarts it.
 *
 * Ownership: destroy it before the loop.
 * Threads:   loop thread only.
 * Errors:    the first message that cannot be sent is logged; the program continues. A state change that was not sent is sent
 *            again with the next tick.
 */
#ifndef ARKRELAY_OPS_SYSTEMD_NOTIFY_H
#define ARKRELAY_OPS_SYSTEMD_NOTIFY_H

#include <stdbool.h>

struct loop;
struct systemd_notify;

enum { SYSTEMD_STATUS_SIZE = 128 };

struct systemd_notify_config {
    struct loop *loop;
    const char *program; /* for the log */
    void (*describe)(char out[SYSTEMD_STATUS_SIZE],
                     void *arg); /* one line for `systemctl status`; called every 2 s or less */
    bool (*is_alive)(void *arg); /* false: skip this watchdog report. NULL: a running loop is enough */
    void *arg;
};

struct systemd_notify *systemd_notify_create(const struct systemd_notify_config *config); /* NULL: no service manager */
struct systemd_notify *systemd_notify_destroy(struct systemd_notify *notify); /* accepts NULL; returns NULL */

void systemd_notify_ready(struct systemd_notify *notify);     /* the program serves, at start or after a reload */
void systemd_notify_reloading(struct systemd_notify *notify); /* it reloads its files */
void systemd_notify_stopping(struct systemd_notify *notify);  /* it drains; the two above are no-ops from now on */

#endif
