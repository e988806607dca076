#include "common/redis/lookup.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <stdlib.h>

#include "common/base/loop.h"

struct lookup {
    struct loop *loop;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request; /* NULL before it starts and after it ended */
    struct evutil_addrinfo *found;
    int error;       /* EVUTIL_EAI_* */
    lookup_fn *done; /* NULL once cancelled */
    void *arg;
    struct loop_deferred finish;
};

static void lookup_finish(void *arg)
{
    struct lookup *lookup = arg;

    if (lookup->done)
        lookup->done(lookup->found, lookup->found ? NULL : evutil_gai_strerror(lookup->error), lookup->arg);
    if (lookup->found)
        evutil_freeaddrinfo(lookup->found);
    if (lookup->dns)
        evdns_base_free(lookup->dns, 0);
    free(lookup);
}

/* libevent may call this inside evdns_getaddrinfo, and calls it after a cancel; so finish on the next turn. */
static void lookup_on_found(int error, struct evutil_addrinfo *found, void *arg)
{
    struct lookup *lookup = arg;

    lookup->request = NULL;
    lookup->error = found ? error : error ? error : EVUTIL_EAI_NONAME;
    lookup->found = found;
    loop_defer(lookup->loop, &lookup->finish, lookup_finish, lookup);
}

struct lookup *lookup_start(struct loop *loop, const char *resolv_conf, const char *host, lookup_fn *done, void *arg)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    struct evdns_getaddrinfo_request *request;

    if (!lookup)
        return NULL;
    *lookup = (struct lookup){.loop = loop, .done = done, .arg = arg};
    lookup->dns = evdns_base_new(loop_base(loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!lookup->dns) {
        free(lookup);
        return NULL;
    }
    /* Without the file, libevent asks a name server on this host. */
    (void)evdns_base_resolv_conf_parse(lookup->dns, DNS_OPTIONS_ALL, resolv_conf);
    request = evdns_getaddrinfo(lookup->dns, host, NULL, &hints, lookup_on_found, lookup);
    lookup->request = request; /* NULL: lookup_on_found has already run */
    return lookup;
}

void lookup_cancel(struct lookup *lookup)
{
    if (!lookup)
        return;
    lookup->done = NULL;
    if (lookup->request)
        evdns_getaddrinfo_cancel(lookup->request);
}
