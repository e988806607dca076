#include "tests/hostile/storm_client.h"

#include "common/base/macros.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    REQUESTS_MAX = 6,
    SCRIPT_MAX = 1 << 20,
    ANSWER_TIMEOUT_MS = 150,
    SEND_TIMEOUT_MS = 2000,
    SOURCES = 200,
    SMALL_PIECE_MAX = 40,
    RECEIVE_SIZE = 16384
};

static void write_script(struct storm_client *client, const struct seeds *seeds, struct tally *tally)
{
    /* few more often than many, because requests after one that closes the connection get no answer */
    size_t requests = 1 + chance_below(&client->chance, 1 + chance_below(&client->chance, REQUESTS_MAX));

    buf_init(&client->script, SCRIPT_MAX);
    for (size_t i = 0; i < requests; i++)
        seeds_add_request(seeds, &client->chance, &client->script);
    tally->requests += requests;
    tally->clients++;
}

static void choose_behaviour(struct storm_client *client)
{
    static const enum leaving often[] = {LEAVE_WHEN_SILENT,   LEAVE_WHEN_SILENT,    LEAVE_WHEN_SILENT,
                                         LEAVE_BY_HALF_CLOSE, LEAVE_BY_HALF_CLOSE,  LEAVE_BY_HALF_CLOSE,
                                         LEAVE_MIDWAY,        LEAVE_MIDWAY_BY_RESET};
    struct chance *chance = &client->chance;

    client->leaving = often[chance_below(chance, ARRAY_LENGTH(often))];
    client->stop_at = client->script.len;
    if (client->leaving >= LEAVE_MIDWAY && chance_below(chance, 2)) /* the other half closes after its last byte */
        client->stop_at = chance_below(chance, client->script.len + 1);
    client->piece_max = chance_below(chance, 3) ? client->script.len + 1 : 1 + chance_below(chance, SMALL_PIECE_MAX);
}

/* One of many loopback addresses, because one address would run out of ports. The kernel chooses the port in connect(2). */
static bool bind_source(int fd, struct chance *chance)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)chance_below(chance, SOURCES));
    return !setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) &&
           !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) &&
           !bind(fd, (struct sockaddr *)&source, sizeof(source));
}

/* With TLS, one of eight clients speaks plain HTTP, and one of eight breaks the session after the handshake. */
static enum channel_kind choose_kind(struct chance *chance, const struct storm_target *target)
{
    size_t choice = target->tls ? chance_below(chance, 8) : 0;

    return choice == 0 ? CHANNEL_PLAIN : choice == 1 ? CHANNEL_BROKEN : CHANNEL_TLS;
}

static bool dial(struct storm_client *client, const struct storm_target *target)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr *gateway = (const struct sockaddr *)&target->gateway;

    client->channel.fd = fd;
    if (fd < 0 || !bind_source(fd, &client->chance))
        return false;
    if (connect(fd, gateway, sizeof(target->gateway)) && errno != EINPROGRESS)
        return false;
    return channel_open(&client->channel, fd, choose_kind(&client->chance, target), target->tls);
}

bool storm_client_connect(struct storm_client *client, const struct storm_target *target, uint64_t seed,
                          struct tally *tally)
{
    *client = (struct storm_client){.channel.fd = -1, .chance = chance_from(seed)};
    if (!dial(client, target)) {
        storm_client_close(client);
        return false;
    }
    client->must_get_http = !target->tls || (client->channel.tls && !client->channel.broken);
    write_script(client, target->seeds, tally);
    choose_behaviour(client);
    return true;
}

bool storm_client_wants_to_send(const struct storm_client *client)
{
    return client->sent < client->stop_at;
}

static void count_answers(struct storm_client *client, const char *bytes, size_t len, struct tally *tally)
{
    static const char mark[] = "HTTP/1.1 ";
    const char *at = bytes;

    if (client->must_get_http && !client->heard && (len < sizeof(mark) || memcmp(bytes, mark, sizeof(mark) - 1) != 0))
        tally->not_http++;
    client->heard = true;
    while ((at = memmem(at, len - (size_t)(at - bytes), mark, sizeof(mark) - 1))) {
        at += sizeof(mark) - 1;
        if (len - (size_t)(at - bytes) >= 3) {
            unsigned long status = strtoul((char[4]){at[0], at[1], at[2]}, NULL, 10);

            tally->statuses[status < STATUS_MAX ? status : 0]++;
            tally->answers++;
        }
    }
}

/* False when the gateway has closed the connection. */
static bool receive(struct storm_client *client, int64_t now_ms, struct tally *tally)
{
    char bytes[RECEIVE_SIZE];
    ssize_t len;

    while ((len = channel_receive(&client->channel, bytes, sizeof(bytes))) > 0) {
        client->silent_since_ms = now_ms;
        count_answers(client, bytes, (size_t)len, tally);
    }
    if (len < 0 && errno == ECONNREFUSED) {
        (void)fprintf(stderr, "connection refused: the gateway does not listen\n");
        exit(1);
    }
    return len < 0 && (errno == EAGAIN || errno == EINTR);
}

/* False when the connection is broken. */
static bool send_piece(struct storm_client *client, int64_t now_ms)
{
    size_t most = client->stop_at - client->sent;
    size_t piece = 1 + chance_below(&client->chance, client->piece_max);
    ssize_t len;

    len = channel_send(&client->channel, client->script.data + client->sent, piece < most ? piece : most);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    client->silent_since_ms = now_ms;
    client->sent += (size_t)len;
    if (!storm_client_wants_to_send(client) && client->leaving == LEAVE_BY_HALF_CLOSE)
        channel_finish(&client->channel);
    return true;
}

bool storm_client_step(struct storm_client *client, bool writable, int64_t now_ms, struct tally *tally)
{
    if (!client->silent_since_ms)
        client->silent_since_ms = now_ms;
    if (!receive(client, now_ms, tally))
        return false;
    if (storm_client_wants_to_send(client) && writable)
        return send_piece(client, now_ms);
    if (storm_client_wants_to_send(client)) /* the socket is full */
        return now_ms - client->silent_since_ms < SEND_TIMEOUT_MS;
    return client->leaving < LEAVE_MIDWAY && now_ms - client->silent_since_ms < ANSWER_TIMEOUT_MS;
}

/* By reset where possible: a FIN would leave sockets in TIME_WAIT, and the storm would run out of ports. */
void storm_client_close(struct storm_client *client)
{
    channel_close(&client->channel, client->leaving != LEAVE_MIDWAY);
    buf_deinit(&client->script);
}
