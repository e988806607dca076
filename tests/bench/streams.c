/* Opens many streams, which are idle first and then get events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/bench/injector.h"
#include "tests/bench/run.h"

enum {
    HTTP_OK = 200,
    TICK_MIN_NS = 200000, /* at shorter intervals, several events are sent at once */
    NS_PER_S = 1000000000,
};

enum streams_state { STREAMS_OPENING, STREAMS_IDLE, STREAMS_INJECTING, STREAMS_DRAINING };

struct streams {
    struct run *run;
    struct injector injector;
    enum streams_state state;
    size_t begun, open, lost; /* lost: ended or never opened */
    size_t next;              /* the stream that gets the next event */
    uint64_t sent, received, received_in_time;
    int64_t opened_ns, from_ns, to_ns;
    struct watch timer, input;
    struct histogram late; /* delay of the generator against its own schedule */
};

/* -- opening */

static bool all_settled(const struct streams *streams)
{
    return streams->open + streams->lost >= streams->run->client_count;
}

static void open_more(struct streams *streams)
{
    struct run *run = streams->run;
    size_t settled = streams->open + streams->lost;

    while (streams->begun < run->client_count && streams->begun - settled < (size_t)run->options->opening) {
        size_t i = streams->begun++;

        client_begin(&run->clients[i], (uint32_t)i);
        settled = streams->open + streams->lost;
    }
    if (all_settled(streams))
        run->poll.stopped = true;
}

static void note_open(struct streams *streams, struct client *client, const struct checked_frame *checked)
{
    if (client->opened || (checked->comment && client->shared->kind == STREAM_OF_TASK))
        return;
    client->opened = true;
    streams->open++;
}

static void note_injected(struct streams *streams, const struct checked_frame *checked)
{
    int64_t now_ns = clock_ns();

    streams->received++;
    if (now_ns < streams->to_ns)
        streams->received_in_time++;
    histogram_add(&streams->run->tally.took, now_ns - checked->at_ns);
}

static void on_checked(struct client *client, const struct checked_frame *checked)
{
    struct streams *streams = client->shared->arg;

    note_open(streams, client, checked);
    if (checked->at_ns)
        note_injected(streams, checked);
}

/* A stream that ends is lost, even by a final event: no task is expected to end. */
static void on_end(struct client *client, enum fault fault)
{
    struct streams *streams = client->shared->arg;

    (void)fault;
    if (client->opened)
        streams->open--;
    client->opened = false;
    streams->lost++;
}

/* -- events */

static bool inject(struct streams *streams)
{
    struct run *run = streams->run;
    struct client *client = &run->clients[streams->next];

    for (size_t tries = 0; !client->opened && tries < run->client_count; tries++) {
        streams->next = (streams->next + 1) % run->client_count;
        client = &run->clients[streams->next];
    }
    /* The injector needs the number at the opening, so the events injected since then are subtracted. */
    if (!client->opened ||
        !injector_send(&streams->injector, streams->next, client->check.last - client->check.injected))
        return false;
    streams->next = (streams->next + 1) % run->client_count;
    streams->sent++;
    return true;
}

static void inject_due(struct streams *streams, int64_t now_ns)
{
    double rate = (double)streams->run->options->rate;
    uint64_t due = (uint64_t)((double)(now_ns - streams->from_ns) * rate / 1e9);

    while (streams->sent < due) {
        int64_t planned_ns = streams->from_ns + (int64_t)((double)(streams->sent + 1) * 1e9 / rate);

        if (!inject(streams))
            break;
        histogram_add(&streams->late, now_ns - planned_ns);
    }
}

static void inject_window(struct streams *streams)
{
    while (streams->sent - streams->received < (uint64_t)streams->run->options->window && inject(streams))
        ;
}

static void on_turn(void *arg)
{
    struct streams *streams = arg;
    struct run *run = streams->run;

    run_look(run);
    if (streams->state == STREAMS_OPENING)
        open_more(streams);
    if (streams->state == STREAMS_INJECTING && run->options->rate == 0)
        inject_window(streams);
    if (streams->state == STREAMS_DRAINING && streams->received >= streams->sent)
        run->poll.stopped = true;
    injector_flush(&streams->injector);
}

static void on_timer(struct watch *watch, uint32_t events)
{
    struct streams *streams = (struct streams *)((char *)watch - offsetof(struct streams, timer));
    uint64_t ticks;

    (void)events;
    if (read(watch->fd, &ticks, sizeof(ticks)) == sizeof(ticks))
        inject_due(streams, clock_ns());
}

static int start_timer(struct streams *streams)
{
    int64_t rate = streams->run->options->rate;
    int64_t every_ns = NS_PER_S / rate < TICK_MIN_NS ? TICK_MIN_NS : NS_PER_S / rate;
    struct timespec every = {.tv_sec = every_ns / NS_PER_S, .tv_nsec = every_ns % NS_PER_S};
    struct itimerspec times = {.it_interval = every, .it_value = every};

    streams->timer = (struct watch){.on_ready = on_timer};
    streams->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (streams->timer.fd < 0 || timerfd_settime(streams->timer.fd, 0, &times, NULL))
        return ERR_SYSTEM;
    return poll_add(&streams->run->poll, &streams->timer, EPOLLIN);
}

/* -- the phases of a run */

static void run_for(struct streams *streams, enum streams_state state, int64_t ms)
{
    struct poll *poll = &streams->run->poll;
    int64_t until_ns = clock_ns() + ms * NS_PER_MS, deadline_ns = streams->run->deadline_ns;

    streams->state = state;
    poll->stopped = false;
    poll_run(poll, until_ns < deadline_ns ? until_ns : deadline_ns);
}

static void open_all(struct streams *streams)
{
    struct run *run = streams->run;

    open_more(streams);
    run_for(streams, STREAMS_OPENING, run->options->deadline_ms);
    for (size_t settled = streams->open + streams->lost; settled < run->client_count; settled++)
        tally_fault(&run->tally, FAULT_TIMEOUT, "a stream was not opened in time", 31);
    streams->opened_ns = clock_ns();
}

static void on_input(struct watch *watch, uint32_t events)
{
    struct streams *streams = (struct streams *)((char *)watch - offsetof(struct streams, input));
    char line[16];

    (void)events;
    (void)!read(watch->fd, line, sizeof(line));
    watch_close(watch);
    streams->run->poll.stopped = true;
}

/* Waits for a line on stdin, and reads heartbeats meanwhile. Returns at once if stdin cannot be polled. */
static void wait_for_line(struct streams *streams)
{
    struct run *run = streams->run;

    (void)fprintf(stderr, "open %zu of %zu\n", streams->open, run->client_count);
    streams->input = (struct watch){.fd = STDIN_FILENO, .on_ready = on_input};
    if (poll_add(&run->poll, &streams->input, EPOLLIN))
        return;
    run_for(streams, STREAMS_IDLE, run->options->deadline_ms);
}

static void drain(struct streams *streams)
{
    struct tally *tally = &streams->run->tally;

    run_for(streams, STREAMS_DRAINING, streams->run->options->drain_ms);
    tally->faults[FAULT_LOST] += streams->sent - streams->received;
}

static int hold(struct streams *streams)
{
    struct run *run = streams->run;
    const struct load_options *options = run->options;

    if (options->inject == INJECT_NOTHING) {
        run_for(streams, STREAMS_IDLE, options->for_ms);
        return 0;
    }
    streams->from_ns = clock_ns();
    streams->to_ns = streams->from_ns + options->for_ms * NS_PER_MS;
    if (options->rate && start_timer(streams))
        return ERR_SYSTEM;
    if (!options->rate)
        inject_window(streams);
    injector_flush(&streams->injector);
    run_for(streams, STREAMS_INJECTING, options->for_ms);
    watch_close(&streams->timer);
    drain(streams);
    return 0;
}

static int run_phases(struct streams *streams)
{
    struct run *run = streams->run;
    int err;

    processes_look(&run->processes, PROCESS_BEGIN);
    open_all(streams);
    streams->state = STREAMS_IDLE;
    run->poll.stopped = false;
    err = run->options->claim ? injector_claim(&streams->injector) : 0;
    if (err) {
        (void)fprintf(stderr, "sse_load: claimed %zu of %zu tasks: %s\n", streams->injector.claimed, run->client_count,
                      err_text(err));
        return err;
    }
    if (run->options->settle_ms)
        run_for(streams, STREAMS_IDLE, run->options->settle_ms);
    if (run->options->wait)
        wait_for_line(streams);
    processes_look(&run->processes, PROCESS_READY);
    err = hold(streams);
    processes_look(&run->processes, PROCESS_END);
    return err;
}

static void report(const struct streams *streams)
{
    struct run *run = streams->run;
    double seconds = (double)(streams->to_ns - streams->from_ns) / 1e9;

    buf_addf(&run->report, ",\"streams\":%zu,\"open\":%zu,\"ended\":%zu,\"opening_seconds\":%.3f", run->client_count,
             streams->open, streams->lost, (double)(streams->opened_ns - run->began_ns) / 1e9);
    if (!streams->to_ns)
        return;
    buf_addf(&run->report, ",\"seconds\":%.3f,\"injected\":%llu,\"received\":%llu,\"per_second\":%.1f", seconds,
             (unsigned long long)streams->sent, (unsigned long long)streams->received,
             (double)streams->received_in_time / seconds);
    buf_add_text(&run->report, ",\"took\":");
    histogram_write(&run->tally.took, &run->report);
    buf_add_text(&run->report, ",\"late\":");
    histogram_write(&streams->late, &run->report);
}

static size_t write_request(const struct client *client, char out[CLIENT_REQUEST_MAX])
{
    const struct streams *streams = client->shared->arg;
    const char *path = streams->run->options->get, *mark = strstr(path, "%s");
    char task_id[CLIENT_ID_MAX];
    int len;

    if (!path[0])
        return run_write_post(client, "/generate/stream", out);
    client_task_id(client, task_id);
    len = snprintf(out, CLIENT_REQUEST_MAX, "GET %.*s%s%s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n",
                   mark ? (int)(mark - path) : (int)strlen(path), path, mark ? task_id : "", mark ? mark + 2 : "");
    return len > 0 && len < CLIENT_REQUEST_MAX ? (size_t)len : 0;
}

int streams_run(struct run *run)
{
    struct streams *streams = calloc(1, sizeof(*streams));
    int err = streams ? injector_init(&streams->injector, run->options, &run->poll, &run->tally) : ERR_NO_MEMORY;

    if (err) {
        (void)fprintf(stderr, "sse_load: Redis at %s: %s\n", run->options->redis, err_text(err));
        goto out;
    }
    streams->run = run;
    streams->timer.fd = streams->input.fd = -1;
    run->shared.status = HTTP_OK;
    run->shared.kind = run->options->inject == INJECT_HTTP ? STREAM_OF_RELAY : STREAM_OF_TASK;
    run->shared.write_request = write_request;
    run->shared.on_checked = on_checked;
    run->shared.on_end = on_end;
    run->shared.arg = streams;
    run->poll.on_turn = on_turn;
    run->poll.arg = streams;
    err = run_phases(streams);
    report(streams);
out:
    if (streams)
        injector_deinit(&streams->injector);
    free(streams);
    return err;
}
