#include "tests/bench/redis_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/net.h"

enum { OUTPUT_MAX = 256 * 1024 * 1024, READ_MAX = 64 * 1024, NS_PER_MS = 1000000, TURN_MS = 2 };

static void break_off(struct redis_link *link)
{
    if (link->watch.fd < 0)
        return;
    watch_close(&link->watch);
    link->awaited = 0;
    link->on_reply(link->arg, NULL);
}

static void take_replies(struct redis_link *link)
{
    void *reply = NULL;

    while (link->watch.fd >= 0) {
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            break_off(link);
            return;
        }
        if (!reply)
            return;
        link->awaited--;
        link->on_reply(link->arg, reply);
        freeReplyObject(reply);
    }
}

static void receive(struct redis_link *link)
{
    static char bytes[READ_MAX];
    ssize_t len = read(link->watch.fd, bytes, sizeof(bytes));

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0 || redisReaderFeed(link->reader, bytes, (size_t)len) != REDIS_OK) {
        break_off(link);
        return;
    }
    take_replies(link);
}

void redis_link_flush(struct redis_link *link)
{
    struct buf *output = &link->output;
    ssize_t sent;

    if (link->watch.fd < 0 || !output->len)
        return;
    sent = send(link->watch.fd, output->data, output->len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) {
        break_off(link);
        return;
    }
    if (sent > 0)
        buf_drop_front(output, (size_t)sent);
    if (poll_change(link->poll, &link->watch, output->len ? EPOLLIN | EPOLLOUT : EPOLLIN))
        break_off(link);
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct redis_link *link = (struct redis_link *)watch; /* its first member */

    if (events & EPOLLOUT)
        redis_link_flush(link);
    if (events & ~(uint32_t)EPOLLOUT && link->watch.fd >= 0)
        receive(link);
}

int redis_link_init(struct redis_link *link, struct poll *poll, const char *address)
{
    struct endpoint to;
    int err = endpoint_parse(address, &to);

    *link = (struct redis_link){
        .watch = {.fd = -1, .on_ready = on_ready},
          .poll = poll
    };
    if (err)
        return err;
    buf_init(&link->output, OUTPUT_MAX);
    link->reader = redisReaderCreate();
    if (!link->reader)
        return ERR_NO_MEMORY;
    err = net_connect(&to, NULL, &link->watch.fd);
    return err ? err : poll_add(poll, &link->watch, EPOLLIN | EPOLLOUT);
}

void redis_link_deinit(struct redis_link *link)
{
    watch_close(&link->watch);
    if (link->reader)
        redisReaderFree(link->reader);
    link->reader = NULL;
    buf_deinit(&link->output);
}

void redis_link_add(struct redis_link *link, size_t count, const char *const *words, const size_t *lens)
{
    buf_addf(&link->output, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        buf_addf(&link->output, "$%zu\r\n", lens[i]);
        buf_add(&link->output, words[i], lens[i]);
        buf_add(&link->output, "\r\n", 2);
    }
    link->awaited++;
}

int redis_link_settle(struct redis_link *link, int64_t timeout_ms)
{
    int64_t until_ns = clock_ns() + timeout_ms * NS_PER_MS;

    redis_link_flush(link);
    while (link->watch.fd >= 0 && link->awaited && clock_ns() < until_ns)
        poll_run(link->poll, clock_ns() + TURN_MS * NS_PER_MS);
    if (link->watch.fd < 0)
        return ERR_LOST;
    return link->awaited ? ERR_TIMEOUT : 0;
}
