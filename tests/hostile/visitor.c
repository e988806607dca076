#include "tests/hostile/visitor.h"

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
    PATIENCE_MS = 150,
    STUCK_MS = 2000,
    SOURCES = 200,
    SMALL_PIECE_MAX = 40,
    RECEIVE_SIZE = 16384
};

static void write_script(struct visitor *visitor, const struct seeds *seeds, struct tally *tally)
{
    /* few more often than many: behind a request that closes the connection nothing is heard */
    size_t requests = 1 + chance_below(&visitor->chance, 1 + chance_below(&visitor->chance, REQUESTS_MAX));

    buf_init(&visitor->script, SCRIPT_MAX);
    for (size_t i = 0; i < requests; i++)
        seeds_add_request(seeds, &visitor->chance, &visitor->script);
    tally->requests += requests;
    tally->visitors++;
}

static void make_plans(struct visitor *visitor)
{
    static const enum leaving often[] = {LEAVE_WHEN_SILENT,   LEAVE_WHEN_SILENT,    LEAVE_WHEN_SILENT,
                                         LEAVE_BY_HALF_CLOSE, LEAVE_BY_HALF_CLOSE,  LEAVE_BY_HALF_CLOSE,
                                         LEAVE_MIDWAY,        LEAVE_MIDWAY_BY_RESET};
    struct chance *chance = &visitor->chance;

    visitor->leaving = often[chance_below(chance, sizeof(often) / sizeof(often[0]))];
    visitor->stop_at = visitor->script.len;
    if (visitor->leaving >= LEAVE_MIDWAY && chance_below(chance, 2)) /* every other one leaves behind its last byte */
        visitor->stop_at = chance_below(chance, visitor->script.len + 1);
    visitor->piece_max = chance_below(chance, 3) ? visitor->script.len + 1 : 1 + chance_below(chance, SMALL_PIECE_MAX);
}

/* From one of many addresses, whose port is chosen together with the peer's. */
static bool bind_source(int fd, struct chance *chance)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)chance_below(chance, SOURCES));
    return !setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) &&
           !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) &&
           !bind(fd, (struct sockaddr *)&source, sizeof(source));
}

/* At a door with TLS one of eight knows nothing of it, and another one forgets it. */
static enum channel_kind choose_kind(struct chance *chance, const struct door *door)
{
    size_t choice = door->tls ? chance_below(chance, 8) : 0;

    return choice == 0 ? CHANNEL_PLAIN : choice == 1 ? CHANNEL_BROKEN : CHANNEL_TLS;
}

static bool dial(struct visitor *visitor, const struct door *door)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr *gateway = (const struct sockaddr *)&door->gateway;

    visitor->channel.fd = fd;
    if (fd < 0 || !bind_source(fd, &visitor->chance))
        return false;
    if (connect(fd, gateway, sizeof(door->gateway)) && errno != EINPROGRESS)
        return false;
    return channel_open(&visitor->channel, fd, choose_kind(&visitor->chance, door), door->tls);
}

bool visitor_arrive(struct visitor *visitor, const struct door *door, uint64_t seed, struct tally *tally)
{
    *visitor = (struct visitor){.channel.fd = -1, .chance = chance_from(seed)};
    if (!dial(visitor, door)) {
        visitor_leave(visitor);
        return false;
    }
    visitor->is_judged = !door->tls || (visitor->channel.tls && !visitor->channel.broken);
    write_script(visitor, door->seeds, tally);
    make_plans(visitor);
    return true;
}

bool visitor_wants_to_send(const struct visitor *visitor)
{
    return visitor->sent < visitor->stop_at;
}

static void take_answers(struct visitor *visitor, const char *bytes, size_t len, struct tally *tally)
{
    static const char mark[] = "HTTP/1.1 ";
    const char *at = bytes;

    if (visitor->is_judged && !visitor->heard && (len < sizeof(mark) || memcmp(bytes, mark, sizeof(mark) - 1) != 0))
        tally->not_http++;
    visitor->heard = true;
    while ((at = memmem(at, len - (size_t)(at - bytes), mark, sizeof(mark) - 1))) {
        at += sizeof(mark) - 1;
        if (len - (size_t)(at - bytes) >= 3) {
            unsigned long status = strtoul((char[4]){at[0], at[1], at[2]}, NULL, 10);

            tally->statuses[status < STATUS_MAX ? status : 0]++;
            tally->answers++;
        }
    }
}

/* False at the end of what comes. */
static bool receive(struct visitor *visitor, int64_t now_ms, struct tally *tally)
{
    char bytes[RECEIVE_SIZE];
    ssize_t len;

    while ((len = channel_receive(&visitor->channel, bytes, sizeof(bytes))) > 0) {
        visitor->silent_since_ms = now_ms;
        take_answers(visitor, bytes, (size_t)len, tally);
    }
    if (len < 0 && errno == ECONNREFUSED) {
        (void)fprintf(stderr, "nobody listens any more\n");
        exit(1);
    }
    return len < 0 && (errno == EAGAIN || errno == EINTR);
}

/* False when the gateway takes nothing more. */
static bool send_piece(struct visitor *visitor, int64_t now_ms)
{
    size_t most = visitor->stop_at - visitor->sent;
    size_t piece = 1 + chance_below(&visitor->chance, visitor->piece_max);
    ssize_t len;

    len = channel_send(&visitor->channel, visitor->script.data + visitor->sent, piece < most ? piece : most);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    visitor->silent_since_ms = now_ms;
    visitor->sent += (size_t)len;
    if (!visitor_wants_to_send(visitor) && visitor->leaving == LEAVE_BY_HALF_CLOSE)
        channel_finish(&visitor->channel);
    return true;
}

bool visitor_act(struct visitor *visitor, bool writable, int64_t now_ms, struct tally *tally)
{
    if (!visitor->silent_since_ms)
        visitor->silent_since_ms = now_ms;
    if (!receive(visitor, now_ms, tally))
        return false;
    if (visitor_wants_to_send(visitor) && writable)
        return send_piece(visitor, now_ms);
    if (visitor_wants_to_send(visitor)) /* the gateway takes nothing for the time being */
        return now_ms - visitor->silent_since_ms < STUCK_MS;
    return visitor->leaving < LEAVE_MIDWAY && now_ms - visitor->silent_since_ms < PATIENCE_MS;
}

/* But for who leaves midway by FIN, it is by reset: nothing waits in the system's tables then. */
void visitor_leave(struct visitor *visitor)
{
    channel_close(&visitor->channel, visitor->leaving != LEAVE_MIDWAY);
    buf_deinit(&visitor->script);
}
