/* ark_client - where calls of ARK go, and with which key
 *
 * Without an API key, calls go to the simulator, which accepts any key.
 *
 * Ownership: embedded in the worker and zeroed before it is opened. The endpoint borrows from it.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_ARK_CLIENT_H
#define ARKRELAY_WORKER_ARK_CLIENT_H

#include <stdbool.h>

#include "worker/call/ark_call.h"

struct loop;
struct worker_options;

enum { ARK_URL_SIZE = 1100, ARK_AUTHORIZATION_SIZE = 4200 };

struct ark_client {
    struct ark_endpoint endpoint;
    struct web *web;
    char url[ARK_URL_SIZE], authorization[ARK_AUTHORIZATION_SIZE];
};

bool ark_client_open(struct ark_client *client, struct loop *loop, const struct worker_options *options);
void ark_client_close(struct ark_client *client); /* no call is in flight; accepts a zeroed one; wipes the key */

#endif
