/* notify - tells a service manager (systemd) how this process is doing
 *
 * A fact is a datagram to the socket that $NOTIFY_SOCKET names: a path, or an abstract socket ("@name"). Without that variable there is
 * no manager: notify_create gives NULL, which everything else accepts and does nothing.
 *
 * Where the manager keeps a watchdog ($WATCHDOG_USEC), the loop tells it at least twice per such time that it turns: a process whose
 * loop stands still falls silent, and is ended and started anew.
 *
 * Ownership: whoever creates it destroys it, before the loop.
 * Threads:   the loop's thread only.
 * Errors:    what cannot be told is logged once; the service goes on.
 */
#ifndef ARKRELAY_NOTIFY_H
#define ARKRELAY_NOTIFY_H

#include <stdbool.h>

struct loop;
struct notify;

enum { NOTIFY_STATUS_SIZE = 128 };

struct notify_config {
    struct loop *loop;
    const char *program;                                       /* for the log */
    void (*describe)(char out[NOTIFY_STATUS_SIZE], void *arg); /* one line for people; asked every few seconds */
    bool (*is_alive)(void *arg); /* asked before each word to the watchdog; NULL: that the loop turns is enough */
    void *arg;
};

struct notify *notify_create(const struct notify_config *config); /* NULL: there is nobody to tell */
struct notify *notify_destroy(struct notify *notify);             /* accepts NULL; returns NULL */

void notify_ready(struct notify *notify);     /* it serves, or does so again after notify_reloading */
void notify_reloading(struct notify *notify); /* it reads its files anew */
void notify_stopping(struct notify *notify);  /* it drains; neither of the above counts from here on */

#endif
