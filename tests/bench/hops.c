/* What the machine's own wake-ups cost: a message that processes pass on over loopback TCP, without any work in between.
 *
 * RELAYS processes are a ring, and each has a connection to the generator. The generator sends a message to the first one. Each process
 * passes it on to the next one, the last hop goes back to the generator. So a message wakes a sleeping process `hops` times, the generator
 * included. RELAYS is four: a task goes through gateway, Redis, worker and ARK. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/macros.h"
#include "tests/bench/run.h"
#include "tests/bench/schedule.h"

enum { RELAYS = 4, MESSAGES_AT_ONCE = 512, LAST_HOP = 1 };

struct message {
    uint32_t client;
    uint32_t left; /* hops, this one included */
};

/* One end of a connection. Messages are read whole: a part of one waits for the rest. */
struct link {
    struct watch watch;
    struct hops *hops; /* of the generator */
    struct message got[MESSAGES_AT_ONCE];
    size_t got_bytes;
};

struct hops {
    struct run *run;
    struct schedule schedule;
    int64_t *began_ns; /* of each client; 0: it has no message on its way */
    size_t busy;
    int64_t stop_ns, last_ns;
    struct link homes[RELAYS]; /* the generator's ends */
    pid_t relays[RELAYS];
};

/* Two ends of a TCP connection over loopback. */
static int connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(address);
    int on = 1, err = ERR_SYSTEM;

    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[1] = -1;
    if (listener >= 0 && ends[0] >= 0 && !bind(listener, (struct sockaddr *)&address, len) && !listen(listener, 1) &&
        !getsockname(listener, (struct sockaddr *)&address, &len) &&
        !connect(ends[0], (struct sockaddr *)&address, len))
        ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (ends[1] >= 0 && !setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) &&
        !setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
        err = 0;
    if (listener >= 0)
        close(listener);
    return err;
}

/* Returns how many whole messages are in link->got, 0 for none yet, -1 at the end of the connection. */
static int link_read(struct link *link)
{
    ssize_t len =
        recv(link->watch.fd, (char *)link->got + link->got_bytes, sizeof(link->got) - link->got_bytes, MSG_DONTWAIT);

    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    link->got_bytes += (size_t)len;
    return len == 0 ? -1 : (int)(link->got_bytes / sizeof(struct message));
}

static void link_drop(struct link *link, size_t count)
{
    link->got_bytes -= count * sizeof(struct message);
    memmove(link->got, link->got + count, link->got_bytes);
}

static bool send_all(int fd, const struct message *messages, size_t count)
{
    size_t len = count * sizeof(*messages);

    return !count || send(fd, messages, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* -- a process of the ring */

static bool pass_on(struct link *from, int next, int home)
{
    struct message onward[MESSAGES_AT_ONCE], back[MESSAGES_AT_ONCE];
    size_t onward_count = 0, back_count = 0;
    int count = link_read(from);

    for (int i = 0; i < count; i++) {
        struct message message = {.client = from->got[i].client, .left = from->got[i].left - 1};

        if (message.left > LAST_HOP)
            onward[onward_count++] = message;
        else
            back[back_count++] = message;
    }
    if (count > 0)
        link_drop(from, (size_t)count);
    return count >= 0 && send_all(next, onward, onward_count) && send_all(home, back, back_count);
}

/* Ends when the generator closes its connection, or another process of the ring has ended. */
static _Noreturn void relay(int before, int next, int home)
{
    static struct link from[2];
    struct pollfd ready[2] = {
        {.fd = before, .events = POLLIN},
        {.fd = home,   .events = POLLIN}
    };
    bool is_open = true;

    from[0].watch.fd = before;
    from[1].watch.fd = home;
    while (is_open && (poll(ready, ARRAY_LENGTH(ready), -1) > 0 || errno == EINTR))
        for (size_t i = 0; i < ARRAY_LENGTH(ready); i++)
            is_open = is_open && (!ready[i].revents || pass_on(&from[i], next, home));
    _exit(EXIT_SUCCESS);
}

/* ring: the connection n leads from relay n to the next one. The relay keeps only its own ends open, so that every end of a process shows. */
static void start_relay(struct hops *hops, size_t n, int ring[RELAYS][2], int homes[RELAYS][2])
{
    size_t before = (n + RELAYS - 1) % RELAYS;

    hops->relays[n] = fork();
    if (hops->relays[n])
        return;
    for (size_t i = 0; i < RELAYS; i++) {
        if (i != n)
            close(ring[i][0]);
        if (i != before)
            close(ring[i][1]);
        if (i != n)
            close(homes[i][1]);
        close(homes[i][0]);
    }
    relay(ring[before][1], ring[n][0], homes[n][1]);
}

static int start_relays(struct hops *hops, int ring[RELAYS][2], int homes[RELAYS][2])
{
    int err = 0;

    for (size_t i = 0; i < RELAYS && !err; i++)
        err = connect_pair(ring[i]) || connect_pair(homes[i]) ? ERR_SYSTEM : 0;
    for (size_t i = 0; i < RELAYS && !err; i++) {
        start_relay(hops, i, ring, homes);
        err = hops->relays[i] < 0 ? ERR_SYSTEM : 0;
    }
    for (size_t i = 0; i < RELAYS; i++) {
        close(ring[i][0]);
        close(ring[i][1]);
        close(homes[i][1]);
        hops->homes[i].watch.fd = homes[i][0];
    }
    return err;
}

/* -- the generator */

static void hops_begin(struct hops *hops, size_t client)
{
    struct message message = {.client = (uint32_t)client, .left = (uint32_t)hops->run->options->hops};

    hops->began_ns[client] = clock_ns();
    hops->busy++;
    if (!send_all(hops->homes[0].watch.fd, &message, 1))
        tally_fault(&hops->run->tally, FAULT_CONNECT, NULL, 0);
}

static void hops_count(struct hops *hops, struct message message)
{
    struct run *run = hops->run;
    int64_t *began_ns = &hops->began_ns[message.client < run->client_count ? message.client : 0];

    if (message.client >= run->client_count || message.left != LAST_HOP || !*began_ns) {
        tally_fault(&run->tally, FAULT_ORDER, NULL, 0);
        return;
    }
    hops->last_ns = clock_ns();
    histogram_add(&run->tally.took, hops->last_ns - *began_ns);
    run->tally.tasks++;
    *began_ns = 0;
    hops->busy--;
    schedule_next(&hops->schedule, message.client, hops->last_ns);
}

static void hops_on_ready(struct watch *watch, uint32_t events)
{
    struct link *link = container_of(watch, struct link, watch);
    int count = link_read(link);

    (void)events;
    for (int i = 0; i < count; i++)
        hops_count(link->hops, link->got[i]);
    if (count > 0)
        link_drop(link, (size_t)count);
    if (count < 0)
        link->hops->run->poll.stopped = true;
}

static void hops_on_turn(void *arg)
{
    struct hops *hops = arg;
    struct run *run = hops->run;
    bool may_begin = run->poll.now_ns < hops->stop_ns;

    run->poll.wake_ns = 0;
    for (size_t i = 0; may_begin && i < run->client_count; i++) {
        int64_t due_ns = hops->schedule.due_ns[i];

        if (hops->began_ns[i])
            continue;
        if (due_ns <= run->poll.now_ns)
            hops_begin(hops, i);
        else if (!run->poll.wake_ns || due_ns < run->poll.wake_ns)
            run->poll.wake_ns = due_ns;
    }
    if (!may_begin && !hops->busy)
        run->poll.stopped = true;
}

static int hops_prepare(struct hops *hops)
{
    int ring[RELAYS][2], homes[RELAYS][2];
    struct run *run = hops->run;
    int err;

    memset(ring, -1, sizeof(ring)); /* closed, where start_relays fails before it opens them */
    memset(homes, -1, sizeof(homes));
    err = start_relays(hops, ring, homes);

    for (size_t i = 0; i < RELAYS && !err; i++) {
        hops->homes[i].hops = hops;
        hops->homes[i].watch.on_ready = hops_on_ready;
        err = poll_add(&run->poll, &hops->homes[i].watch, EPOLLIN);
    }
    hops->began_ns = calloc(run->client_count, sizeof(*hops->began_ns));
    if (!err && !hops->began_ns)
        err = ERR_NO_MEMORY;
    return err ? err
               : schedule_init(&hops->schedule, run->client_count, run->options->every_ms * NS_PER_MS, clock_ns());
}

static void hops_finish(struct hops *hops)
{
    for (size_t i = 0; i < RELAYS; i++)
        watch_close(&hops->homes[i].watch);
    for (size_t i = 0; i < RELAYS; i++)
        if (hops->relays[i] > 0)
            (void)waitpid(hops->relays[i], NULL, 0);
    schedule_deinit(&hops->schedule);
    free(hops->began_ns);
    free(hops);
}

int hops_run(struct run *run)
{
    struct hops *hops = calloc(1, sizeof(*hops));
    int err = ERR_NO_MEMORY;

    if (!hops)
        return err;
    hops->run = run;
    hops->stop_ns = run->began_ns + run->options->for_ms * NS_PER_MS;
    err = hops_prepare(hops);
    if (!err) {
        run->poll.on_turn = hops_on_turn;
        run->poll.arg = hops;
        hops_on_turn(hops);
        poll_run(&run->poll, run->deadline_ns);
        for (; hops->busy; hops->busy--)
            tally_fault(&run->tally, FAULT_TIMEOUT, NULL, 0);
        run_report_times(run, hops->last_ns);
    }
    hops_finish(hops);
    return err;
}
