/* storm - many hostile clients at once: random requests, cut anywhere, several on a connection, some abandoned midway
 *
 *     hostile_storm <host:port> <folder of raw requests> <requests> <seed> [tls]
 *
 * The same seed gives the same requests. Prints the answers, counted by status, as one JSON object. Exit status 1 if the gateway
 * refuses connections or an answer is not HTTP. The caller checks the gateway itself.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/base/clock.h"
#include "tests/hostile/storm_client.h"

enum { AT_ONCE = 256, TIMEOUT_CHECK_MS = 5 };

struct storm {
    struct storm_target target;
    size_t wanted; /* requests */
    uint64_t seed;
    int epoll;
    struct storm_client clients[AT_ONCE];
    size_t connected;
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

static void watch(struct storm *storm, struct storm_client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    if (storm_client_wants_to_send(client))
        event.events |= EPOLLOUT;
    (void)epoll_ctl(storm->epoll, operation, client->channel.fd, &event);
}

/* Keeps up to AT_ONCE clients connected until all requests are assigned. */
static void connect_clients(struct storm *storm)
{
    for (size_t i = 0; i < AT_ONCE && storm->tally.requests < storm->wanted; i++) {
        struct storm_client *client = &storm->clients[i];
        uint64_t seed = storm->seed * 1000000007u + storm->tally.clients;

        if (client->channel.fd >= 0)
            continue;
        if (!storm_client_connect(client, &storm->target, seed, &storm->tally))
            return;
        storm->connected++;
        watch(storm, client, EPOLL_CTL_ADD);
    }
}

static void step_client(struct storm *storm, struct storm_client *client, bool writable)
{
    bool wanted = storm_client_wants_to_send(client);

    if (!storm_client_step(client, writable, clock_monotonic_ms(), &storm->tally)) {
        storm_client_close(client);
        storm->connected--;
    } else if (wanted != storm_client_wants_to_send(client)) {
        watch(storm, client, EPOLL_CTL_MOD);
    }
}

static void run_storm(struct storm *storm)
{
    struct epoll_event events[AT_ONCE];
    int64_t checked_ms = clock_monotonic_ms();

    for (connect_clients(storm); storm->connected || storm->tally.requests < storm->wanted; connect_clients(storm)) {
        int count = epoll_wait(storm->epoll, events, AT_ONCE, TIMEOUT_CHECK_MS);

        for (int i = 0; i < count; i++)
            step_client(storm, events[i].data.ptr, events[i].events & EPOLLOUT);
        if (clock_monotonic_ms() - checked_ms < TIMEOUT_CHECK_MS)
            continue;
        for (size_t i = 0; i < AT_ONCE; i++) /* for their timeouts */
            if (storm->clients[i].channel.fd >= 0)
                step_client(storm, &storm->clients[i], false);
        checked_ms = clock_monotonic_ms();
    }
}

static void print_tally(const struct tally *tally)
{
    const char *comma = "";

    (void)printf("{\"clients\":%zu,\"requests\":%zu,\"answers\":%zu,\"not_http\":%zu,\"statuses\":{", tally->clients,
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

    if (argc < 5 || argc > 6 || !parse_address(argv[1], &storm.target.gateway)) {
        (void)fprintf(stderr, "usage: hostile_storm <host:port> <folder of raw requests> <requests> <seed> [tls]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    storm.target.seeds = seeds_create(argv[2]);
    storm.target.tls = argc == 6 ? SSL_CTX_new(TLS_client_method()) : NULL;
    storm.wanted = strtoull(argv[3], NULL, 10);
    storm.seed = strtoull(argv[4], NULL, 10);
    storm.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!storm.target.seeds || storm.epoll < 0 || (argc == 6 && !storm.target.tls))
        return 2;
    for (size_t i = 0; i < AT_ONCE; i++)
        storm.clients[i].channel.fd = -1;
    run_storm(&storm);
    print_tally(&storm.tally);
    SSL_CTX_free(storm.target.tls);
    storm.target.seeds = seeds_destroy(storm.target.seeds);
    return storm.tally.not_http ? 1 : 0;
}
