/* storm - many strangers at once: requests made by chance from a seed, cut anywhere, several on a connection, left halfway
 *
 *     hostile_storm <host:port> <folder of raw requests> <requests> <seed> [tls]
 *
 * Prints what came back as one JSON object. Exit status 1 when nobody listens any more, or an answer is not HTTP. What becomes of
 * the gateway is for the caller to see.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "tests/hostile/visitor.h"

enum { AT_ONCE = 256, LOOK_MS = 5 };

struct storm {
    struct door door;
    size_t wanted; /* requests */
    uint64_t seed;
    int epoll;
    struct visitor visitors[AT_ONCE];
    size_t present;
    struct tally tally;
};

static bool parse_address(const char *text, struct sockaddr_in *out)
{
    const char *colon = strrchr(text, ':');
    char host[64];

    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static void watch(struct storm *storm, struct visitor *visitor, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = visitor};

    if (visitor_wants_to_send(visitor))
        event.events |= EPOLLOUT;
    (void)epoll_ctl(storm->epoll, operation, visitor->channel.fd, &event);
}

/* As many as there is room for, until all requests are on their way. */
static void let_in(struct storm *storm)
{
    for (size_t i = 0; i < AT_ONCE && storm->tally.requests < storm->wanted; i++) {
        struct visitor *visitor = &storm->visitors[i];
        uint64_t seed = storm->seed * 1000000007u + storm->tally.visitors;

        if (visitor->channel.fd >= 0)
            continue;
        if (!visitor_arrive(visitor, &storm->door, seed, &storm->tally))
            return;
        storm->present++;
        watch(storm, visitor, EPOLL_CTL_ADD);
    }
}

static void act(struct storm *storm, struct visitor *visitor, bool writable)
{
    bool wanted = visitor_wants_to_send(visitor);

    if (!visitor_act(visitor, writable, clock_monotonic_ms(), &storm->tally)) {
        visitor_leave(visitor);
        storm->present--;
    } else if (wanted != visitor_wants_to_send(visitor)) {
        watch(storm, visitor, EPOLL_CTL_MOD);
    }
}

static void blow(struct storm *storm)
{
    struct epoll_event events[AT_ONCE];
    int64_t looked_ms = clock_monotonic_ms();

    for (let_in(storm); storm->present || storm->tally.requests < storm->wanted; let_in(storm)) {
        int count = epoll_wait(storm->epoll, events, AT_ONCE, LOOK_MS);

        for (int i = 0; i < count; i++)
            act(storm, events[i].data.ptr, events[i].events & EPOLLOUT);
        if (clock_monotonic_ms() - looked_ms < LOOK_MS)
            continue;
        for (size_t i = 0; i < AT_ONCE; i++) /* whose patience is at its end */
            if (storm->visitors[i].channel.fd >= 0)
                act(storm, &storm->visitors[i], false);
        looked_ms = clock_monotonic_ms();
    }
}

static void tell(const struct tally *tally)
{
    const char *comma = "";

    (void)printf("{\"visitors\":%zu,\"requests\":%zu,\"answers\":%zu,\"not_http\":%zu,\"statuses\":{", tally->visitors,
                 tally->requests, tally->answers, tally->not_http);
    for (int i = 0; i < STATUS_MAX; i++) {
        if (!tally->statuses[i])
            continue;
        (void)printf("%s\"%d\":%zu", comma, i, tally->statuses[i]);
        comma = ",";
    }
    (void)printf("}}\n");
}

int main(int argc, char **argv)
{
    static struct storm storm;

    if (argc < 5 || argc > 6 || !parse_address(argv[1], &storm.door.gateway)) {
        (void)fprintf(stderr, "usage: hostile_storm <host:port> <folder of raw requests> <requests> <seed> [tls]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    storm.door.seeds = seeds_create(argv[2]);
    storm.door.tls = argc == 6 ? SSL_CTX_new(TLS_client_method()) : NULL;
    storm.wanted = strtoull(argv[3], NULL, 10);
    storm.seed = strtoull(argv[4], NULL, 10);
    storm.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!storm.door.seeds || storm.epoll < 0 || (argc == 6 && !storm.door.tls))
        return 2;
    for (size_t i = 0; i < AT_ONCE; i++)
        storm.visitors[i].channel.fd = -1;
    blow(&storm);
    tell(&storm.tally);
    SSL_CTX_free(storm.door.tls);
    storm.door.seeds = seeds_destroy(storm.door.seeds);
    return storm.tally.not_http ? 1 : 0;
}
