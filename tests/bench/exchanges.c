/* Closed-loop clients: each begins its next task when its last one has ended, or at a fixed interval with its own offset. */
#include <stdio.h>
#include <string.h>

#include "tests/bench/json_check.h"
#include "tests/bench/run.h"
#include "tests/bench/schedule.h"

enum { HTTP_OK = 200, HTTP_ACCEPTED = 202, FAULTS_MAX = 10000 };

struct exchanges {
    struct run *run;
    uint64_t begun;
    size_t busy;
    struct schedule schedule;
    bool idle;                      /* a client waits for its next turn */
    int64_t stop_ns, last_final_ns; /* stop: no task begins later; last_final: end of the last task */
};

static bool may_begin(const struct exchanges *exchanges)
{
    const struct load_options *options = exchanges->run->options;

    if (options->tasks)
        return exchanges->begun < (uint64_t)options->tasks;
    return exchanges->run->poll.now_ns < exchanges->stop_ns;
}

static void begin(struct exchanges *exchanges, struct client *client)
{
    client->opened = true;
    exchanges->busy++;
    client_begin(client, (uint32_t)exchanges->begun++);
}

static void count(struct exchanges *exchanges, const struct client *client)
{
    struct tally *tally = &exchanges->run->tally;

    if (client->failed)
        return;
    tally->tasks++;
    exchanges->last_final_ns = client->final_ns;
    histogram_add(&tally->took, client->final_ns - client->began_ns - exchanges->run->options->floor_ms * NS_PER_MS);
}

static void begin_due_tasks(struct exchanges *exchanges)
{
    struct run *run = exchanges->run;

    exchanges->idle = false;
    run->poll.wake_ns = 0;
    for (size_t i = 0; i < run->client_count && may_begin(exchanges); i++) {
        int64_t due_ns = exchanges->schedule.due_ns[i];

        if (run->clients[i].opened)
            continue;
        if (due_ns <= run->poll.now_ns)
            begin(exchanges, &run->clients[i]);
        else if (!run->poll.wake_ns || due_ns < run->poll.wake_ns)
            run->poll.wake_ns = due_ns;
    }
}

static void on_end(struct client *client, enum fault fault)
{
    struct exchanges *exchanges = client->shared->arg;

    exchanges->busy--;
    client->opened = false;
    if (!fault)
        count(exchanges, client);
    /* After a fault, retry on a later turn: client_begin fails synchronously, so a retry here could recurse without end. */
    if (!fault)
        schedule_next(&exchanges->schedule, (size_t)(client - exchanges->run->clients), exchanges->run->poll.now_ns);
    if (fault || exchanges->run->options->every_ms)
        exchanges->idle = true;
    else if (may_begin(exchanges))
        begin(exchanges, client);
}

static void on_turn(void *arg)
{
    struct exchanges *exchanges = arg;

    run_look(exchanges->run);
    if (tally_faults(&exchanges->run->tally) > FAULTS_MAX)
        exchanges->run->poll.stopped = true;
    else if (exchanges->idle || exchanges->run->poll.wake_ns)
        begin_due_tasks(exchanges);
    if (!exchanges->busy && !may_begin(exchanges))
        exchanges->run->poll.stopped = true;
}

static void on_checked(struct client *client, const struct checked_frame *checked)
{
    (void)client;
    (void)checked;
}

static enum fault on_accepted(struct client *client, struct text body)
{
    char task_id[CLIENT_ID_MAX], member[CLIENT_ID_MAX + 16];

    client_task_id(client, task_id);
    (void)snprintf(member, sizeof(member), "\"task_id\":\"%s\"", task_id);
    if (!json_check(body.at, body.len))
        return FAULT_JSON;
    return memmem(body.at, body.len, member, strlen(member)) ? FAULT_NONE : FAULT_TASK;
}

static enum fault on_pictures(struct client *client, struct text body)
{
    static const char member[] = "\"data\":[{";

    (void)client;
    if (!json_check(body.at, body.len))
        return FAULT_JSON;
    return memmem(body.at, body.len, member, sizeof(member) - 1) ? FAULT_NONE : FAULT_TASK_FAILED;
}

static size_t write_generate(const struct client *client, char out[CLIENT_REQUEST_MAX])
{
    return run_write_post(client, "/generate/stream", out);
}

static size_t write_submit(const struct client *client, char out[CLIENT_REQUEST_MAX])
{
    return run_write_post(client, "/generate", out);
}

static size_t write_call(const struct client *client, char out[CLIENT_REQUEST_MAX])
{
    static const char body[] = "{\"model\":\"doubao-seedream-4-0-250828\",\"prompt\":\"a picture\"}";
    int len = snprintf(out, CLIENT_REQUEST_MAX,
                       "POST /api/v3/images/generations HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer bench\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       sizeof(body) - 1, body);

    (void)client;
    return len > 0 && len < CLIENT_REQUEST_MAX ? (size_t)len : 0;
}

/* Each body is another one: equal requests could be repetitions. */
static size_t write_openai(const struct client *client, char out[CLIENT_REQUEST_MAX])
{
    char task_id[CLIENT_ID_MAX], body[256];
    int len, total;

    client_task_id(client, task_id);
    len = snprintf(body, sizeof(body),
                   "{\"prompt\":\"a picture %s\",\"image\":\"https://example.com/1.jpg\",\"response_format\":\"url\"}",
                   task_id);
    total = snprintf(out, CLIENT_REQUEST_MAX,
                     "POST /v1/images/generations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n\r\n%s",
                     len, body);
    return total > 0 && total < CLIENT_REQUEST_MAX ? (size_t)total : 0;
}

/* The request of a scenario, and its good answer. on_body NULL: an event stream. */
static const struct {
    int status;
    bool keep_alive;
    size_t (*write_request)(const struct client *client, char out[CLIENT_REQUEST_MAX]);
    enum fault (*on_body)(struct client *client, struct text body);
} kinds[] = {
    [SCENARIO_TASKS] = {HTTP_OK,       false, write_generate, NULL       },
    [SCENARIO_SUBMIT] = {HTTP_ACCEPTED, true,  write_submit,   on_accepted},
    [SCENARIO_CALLS] = {HTTP_OK,       false, write_call,     on_pictures},
    [SCENARIO_OPENAI] = {HTTP_OK,       false, write_openai,   on_pictures},
};

static void settle_unfinished(struct run *run)
{
    for (size_t i = 0; i < run->client_count; i++) {
        if (run->clients[i].opened)
            tally_fault(&run->tally, FAULT_TIMEOUT, NULL, 0);
    }
}

int exchanges_run(struct run *run)
{
    int kind = run->options->scenario;
    struct exchanges exchanges = {.run = run, .stop_ns = run->began_ns + run->options->for_ms * NS_PER_MS};

    if (schedule_init(&exchanges.schedule, run->client_count, run->options->every_ms * NS_PER_MS, run->began_ns))
        return ERR_NO_MEMORY;

    run->shared.status = kinds[kind].status;
    run->shared.keep_alive = kinds[kind].keep_alive;
    run->shared.write_request = kinds[kind].write_request;
    run->shared.on_body = kinds[kind].on_body;
    run->shared.on_checked = on_checked;
    run->shared.on_end = on_end;
    run->shared.arg = &exchanges;
    run->poll.on_turn = on_turn;
    run->poll.arg = &exchanges;

    processes_look(&run->processes, PROCESS_BEGIN);
    processes_look(&run->processes, PROCESS_READY);
    begin_due_tasks(&exchanges);
    poll_run(&run->poll, run->deadline_ns);
    settle_unfinished(run);
    processes_look(&run->processes, PROCESS_END);
    run_report_times(run, exchanges.last_final_ns);
    schedule_deinit(&exchanges.schedule);
    return 0;
}
