/* api/context - what the endpoints of the API work with
 *
 * Every handler gets a struct api_context as its argument. One per gateway thread, filled in by gateway.c. The folders:
 *
 *     api/            shared by all endpoints: this file, replies of scripts as JSON, query parameters, timestamps
 *     api/native/     the faceflip API, below API_BASE
 *     api/openai/     OpenAI's Images API, below /v1
 *     api/admin/      operators, below /admin/
 *     api/service/    pages, health, metrics, openapi.json
 *
 * To add an endpoint: write its file, declare its handler in the folder's endpoints.h, add a row in gateway/routes.c.
 */
#ifndef ARKRELAY_GATEWAY_API_CONTEXT_H
#define ARKRELAY_GATEWAY_API_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct gateway_metrics;
struct keyring;
struct openai_aliases;
struct orders;
struct redis;
struct storage;
struct storage_check;
struct request_defaults;
struct settler;
struct streams;
struct submitter;
struct uploads;

#define API_BASE "/api/v1/faceflip"

/* Bytes of the body of an upload: the image, and the framing of a form. */
enum { API_UPLOAD_BODY_MAX = (30 << 20) + (64 << 10) };

/* Bytes of the body of a form with several images. More than 45 MB of images are more than ARK takes with one request. */
enum { API_EDIT_BODY_MAX = (45 << 20) + (1 << 20) };

/* Pointers are borrowed. */
struct api_context {
    struct catalogue *catalogue; /* a reference of the gateway's, replaced on a reload between two requests */
    struct redis *commands;
    struct keyring *keyring;
    struct submitter *submitter;
    struct settler *settler;
    struct streams *streams;
    struct storage *storage; /* of pictures; NULL: they are not kept */
    const struct storage_check *storage_check;
    struct orders *orders;
    struct uploads *uploads;               /* NULL: the server takes no uploads */
    const struct gateway_metrics *metrics; /* of the whole process; NULL: nothing is counted */

    /* Connections to Redis, of all threads: how many are up, and how many there are. A client's connection may be accepted by any
     * thread, so the process is ready only if all of them are up. */
    const atomic_size_t *redis_ready;
    size_t redis_connections;

    bool draining;

    /* Options that endpoints need. */
    int max_paid_calls;             /* of a request that does not set it */
    int max_paid_calls_limit;       /* the most that a request may set */
    int64_t spend_day, spend_month; /* of all clients, in micro-units; 0: no limit */
    bool usage;                     /* the ledger counts all tasks */
    const struct request_defaults *defaults;
    bool data_urls; /* accept data: URLs */
    bool task_list; /* new tasks enter the list of their client's tasks */
    int webhooks;   /* enum validate_webhooks */
    int64_t queue_ttl_ms;
    const struct openai_aliases *aliases; /* names of models */
    int openai_format;                    /* enum openai_default_format */
};

#endif
