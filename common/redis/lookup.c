#include "common/redis/lookup.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <stdlib.h>

#include "common/loop.h"

struct lookup {
    struct loop *loop;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request; /* NULL before it starts and once it has ended */
    struct evutil_addrinfo *found;
    int error;       /* EVUTIL_EAI_* */
    lookup_fn *done; /* NULL once it is cancelled */
    void *arg;
    struct loop_deferred conclude;
};

static void conclude(void *arg)
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

/* Also runs from inside evdns_getaddrinfo, and after a cancel: the rest happens on the next turn. */
static void on_found(int error, struct evutil_addrinfo *found, void *arg)
{
    struct lookup *lookup = arg;

    lookup->request = NULL;
    lookup->error = found ? error : error ? error : EVUTIL_EAI_NONAME;
    lookup->found = found;
    loop_defer(lookup->loop, &lookup->conclude, conclude, lookup);
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
    /* Without that file a name server on this host is asked: continuing. */
    (void)evdns_base_resolv_conf_parse(lookup->dns, DNS_OPTIONS_ALL, resolv_conf);
    request = evdns_getaddrinfo(lookup->dns, host, NULL, &hints, on_found, lookup);
    lookup->request = request; /* NULL: on_found has run already */
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
