#include "tests/bench/publisher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REQUEST_MAX = 2048, READ_MAX = 16 * 1024 };

struct publisher {
    struct watch watch;
    struct publishers *all;
    struct reader reader;
    bool busy;
};

static void fail(struct publisher *publisher, const char *why, size_t len)
{
    tally_fault(publisher->all->tally, FAULT_REDIS, why, len);
    watch_close(&publisher->watch);
    publisher->busy = false;
}

static enum fault on_answer(void *arg, const struct frame *frame)
{
    struct publisher *publisher = arg;

    (void)frame;
    return publisher->reader.status / 100 == 2 ? FAULT_NONE : FAULT_STATUS;
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct publisher *publisher = (struct publisher *)watch; /* its first member */
    static char bytes[READ_MAX];
    ssize_t len = read(watch->fd, bytes, sizeof(bytes));

    (void)events;
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0 || reader_take(&publisher->reader, bytes, (size_t)len))
        fail(publisher, len > 0 ? bytes : "the publisher's connection ended", len > 0 ? (size_t)len : 32);
    else if (publisher->reader.state == READER_DONE)
        publisher->busy = false;
}

int publishers_init(struct publishers *publishers, struct poll *poll, struct tally *tally, const char *address,
                    size_t count)
{
    *publishers = (struct publishers){.poll = poll, .tally = tally, .count = count};
    publishers->list = calloc(count, sizeof(*publishers->list));
    if (!publishers->list)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct publisher *publisher = &publishers->list[i];

        publisher->watch = (struct watch){.fd = -1, .on_ready = on_ready};
        publisher->all = publishers;
        publisher->reader = (struct reader){.on_frame = on_answer, .arg = publisher};
    }
    return endpoint_parse(address, &publishers->to);
}

void publishers_deinit(struct publishers *publishers)
{
    for (size_t i = 0; publishers->list && i < publishers->count; i++) {
        watch_close(&publishers->list[i].watch);
        reader_deinit(&publishers->list[i].reader);
    }
    free(publishers->list);
    publishers->list = NULL;
}

/* On loopback, connect() completes at once, so the request can follow immediately. */
static bool make_ready(struct publisher *publisher)
{
    if (publisher->watch.fd >= 0)
        return true;
    return !net_connect(&publisher->all->to, NULL, &publisher->watch.fd) &&
           !poll_add(publisher->all->poll, &publisher->watch, EPOLLIN);
}

static void post(struct publisher *publisher, const char *path, const char *body, size_t len)
{
    char request[REQUEST_MAX];
    int size = snprintf(request, sizeof(request),
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%.*s",
                        path, len, (int)len, body);

    publisher->busy = true;
    reader_begin(&publisher->reader);
    if (size <= 0 || (size_t)size >= sizeof(request) || !make_ready(publisher) ||
        send(publisher->watch.fd, request, (size_t)size, MSG_NOSIGNAL) != (ssize_t)size)
        fail(publisher, "the event could not be sent", 27);
}

bool publishers_post(struct publishers *publishers, size_t stream, const char *path, const char *body, size_t len)
{
    struct publisher *publisher = &publishers->list[stream % publishers->count];

    if (publisher->busy)
        return false;
    post(publisher, path, body, len);
    return true;
}
