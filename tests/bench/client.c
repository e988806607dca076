#include "tests/bench/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { READ_MAX = 64 * 1024 };

void client_task_id(const struct client *client, char out[CLIENT_ID_MAX])
{
    (void)snprintf(out, CLIENT_ID_MAX, "%s-%u", client->shared->prefix, client->number);
}

bool client_is_open(const struct client *client)
{
    return client->watch.fd >= 0;
}

static void end(struct client *client, enum fault fault, const char *bytes, size_t len)
{
    tally_fault(client->shared->tally, fault, bytes, len);
    if (fault || !client->shared->keep_alive)
        watch_close(&client->watch);
    client->shared->on_end(client, fault);
}

static enum fault take_event(struct client *client, const struct frame *frame)
{
    struct tally *tally = client->shared->tally;
    char task_id[CLIENT_ID_MAX];
    struct checked_frame checked;
    enum fault fault;

    client_task_id(client, task_id);
    tally->frames++;
    fault = stream_check_frame(&client->check, client->shared->kind, task_id, frame, &checked);
    if (fault) {
        tally_fault(tally, fault, frame->whole.at, frame->whole.len);
        if (fault != FAULT_TASK_FAILED)
            return fault;
        client->failed = true; /* a fault of the task, not of the stream: read on to the end */
    }
    tally->comments += checked.comment;
    tally->hints += checked.hint;
    if (checked.final)
        client->final_ns = clock_ns();
    client->shared->on_checked(client, &checked);
    return FAULT_NONE;
}

static enum fault on_frame(void *arg, const struct frame *frame)
{
    struct client *client = arg;

    if (client->reader.status != client->shared->status)
        return FAULT_STATUS;
    if (client->reader.events)
        return client->shared->on_body ? FAULT_HEAD : take_event(client, frame);
    client->final_ns = clock_ns();
    return client->shared->on_body ? client->shared->on_body(client, frame->data) : FAULT_HEAD;
}

/* A wrong event was already counted in take_event, with its bytes. */
static void end_with_fault(struct client *client, enum fault fault, const char *bytes, size_t len)
{
    bool checked = fault >= FAULT_JSON && fault <= FAULT_AFTER_FINAL && client->reader.events;

    if (!checked) {
        end(client, fault, bytes, len);
        return;
    }
    watch_close(&client->watch);
    client->shared->on_end(client, fault);
}

static void on_answer_over(struct client *client)
{
    bool over = client->final_ns != 0;

    end(client, over ? FAULT_NONE : FAULT_NO_FINAL, NULL, 0);
}

static void on_closed(struct client *client)
{
    if (!client->sent || client->reader.state == READER_HEAD)
        end(client, FAULT_CONNECT, "closed before an answer", 23);
    else if (!reader_may_end(&client->reader))
        end(client, client->final_ns ? FAULT_CHUNK : FAULT_NO_FINAL, "the connection ended", 20);
    else
        on_answer_over(client);
}

static void receive(struct client *client)
{
    static char bytes[READ_MAX]; /* static: there is one loop, and no byte is kept here */
    ssize_t len = read(client->watch.fd, bytes, sizeof(bytes) - 1);
    enum fault fault;

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        on_closed(client);
        return;
    }
    bytes[len] = '\0'; /* strtoll reads numbers in place */
    client->shared->tally->bytes += (uint64_t)len;
    fault = reader_take(&client->reader, bytes, (size_t)len);
    if (fault)
        end_with_fault(client, fault, bytes, (size_t)len);
    else if (client->reader.state == READER_DONE)
        on_answer_over(client);
}

/* A request fits into an empty socket buffer, so a partial write is an error. */
static void send_request(struct client *client)
{
    char request[CLIENT_REQUEST_MAX];
    size_t len = client->shared->write_request(client, request);
    ssize_t sent = send(client->watch.fd, request, len, MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN))
        return; /* not connected yet */
    client->sent = sent == (ssize_t)len;
    if (!client->sent || poll_change(client->shared->poll, &client->watch, EPOLLIN))
        end(client, FAULT_CONNECT, strerror(errno), strlen(strerror(errno)));
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct client *client = (struct client *)watch; /* its first member */

    (void)events;
    if (client->sent)
        receive(client);
    else
        send_request(client);
}

void client_init(struct client *client, struct client_shared *shared)
{
    *client = (struct client){
        .watch = {.fd = -1,             .on_ready = on_ready},
          .shared = shared, .reader = {.on_frame = on_frame, .arg = client       }
    };
}

void client_deinit(struct client *client)
{
    watch_close(&client->watch);
    reader_deinit(&client->reader);
}

static int open_connection(struct client *client)
{
    struct client_shared *shared = client->shared;
    int err = net_connect(&shared->to, &shared->sources, &client->watch.fd);

    if (err)
        return err;
    shared->tally->connections++;
    return poll_add(shared->poll, &client->watch, EPOLLOUT);
}

void client_begin(struct client *client, uint32_t number)
{
    reader_begin(&client->reader);
    stream_check_begin(&client->check);
    client->number = number;
    client->sent = client->failed = false;
    client->final_ns = 0;
    client->began_ns = clock_ns();
    if (!client_is_open(client) && open_connection(client)) {
        end(client, FAULT_CONNECT, strerror(errno), strlen(strerror(errno)));
        return;
    }
    send_request(client); /* on loopback, connect() has already completed */
}
