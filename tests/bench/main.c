/* sse_load - load for gateways and their peers
 *
 * Runs closed-loop tasks, or open streams with events, and checks every answer. Prints one JSON document on stdout
 * (docs/benchmarks/README.md). Exit status 1 if an answer was wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/run.h"

enum { REPORT_MAX = 8 * 1024 * 1024, LOOK_NS = 1000 * NS_PER_MS, SPARE_DESCRIPTORS = 64 };

void run_look(struct run *run)
{
    if (run->poll.now_ns - run->looked_ns < LOOK_NS)
        return;
    run->looked_ns = run->poll.now_ns;
    processes_look_again(&run->processes);
}

size_t run_write_post(const struct client *client, const char *path, char out[CLIENT_REQUEST_MAX])
{
    const struct run *run = (const struct run *)((const char *)client->shared - offsetof(struct run, shared));
    char task_id[CLIENT_ID_MAX], body[256];
    int len, total;

    client_task_id(client, task_id);
    len = snprintf(body, sizeof(body), "{\"urls\":[\"https://example.com/1.jpg\"],\"task_id\":\"%s\",\"max_images\":1}",
                   task_id);
    total = snprintf(out, CLIENT_REQUEST_MAX,
                     "POST %s%s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n\r\n%s",
                     run->options->base, path, len, body);
    return total > 0 && total < CLIENT_REQUEST_MAX ? (size_t)total : 0;
}

void run_report_times(struct run *run, int64_t last_ns)
{
    double seconds = (double)(last_ns - run->began_ns) / 1e9;
    double tasks = (double)run->tally.tasks;

    buf_addf(&run->report, ",\"seconds\":%.3f,\"per_second\":%.1f", tasks > 0 ? seconds : 0.0,
             tasks > 0 ? tasks / seconds : 0.0);
    buf_add_text(&run->report, ",\"took\":");
    histogram_write(&run->tally.took, &run->report);
}

static int prepare(struct run *run)
{
    const struct load_options *options = run->options;
    bool streams = options->scenario == SCENARIO_STREAMS;

    run->client_count = (size_t)(streams ? options->streams : options->clients);
    if (net_raise_descriptor_limit() < run->client_count + SPARE_DESCRIPTORS)
        (void)fprintf(stderr, "sse_load: not enough descriptors for %zu connections, continuing\n", run->client_count);
    run->clients = calloc(run->client_count, sizeof(*run->clients));
    if (!run->clients)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < run->client_count; i++)
        client_init(&run->clients[i], &run->shared);
    run->shared = (struct client_shared){.poll = &run->poll,
                                         .sources = {.count = (uint32_t)options->sources},
                                         .tally = &run->tally,
                                         .prefix = options->prefix};
    if (endpoint_parse(options->target, &run->shared.to) || processes_parse(options->processes, &run->processes))
        return ERR_SYNTAX;
    buf_init(&run->report, REPORT_MAX);
    return poll_init(&run->poll);
}

static void finish(struct run *run)
{
    for (size_t i = 0; run->clients && i < run->client_count; i++)
        client_deinit(&run->clients[i]);
    free(run->clients);
    buf_deinit(&run->report);
    poll_deinit(&run->poll);
}

static bool print(struct run *run)
{
    static const char *const names[] = {"tasks", "submit", "calls", "openai", "streams", "hops"};
    uint64_t work = run->options->scenario == SCENARIO_STREAMS ? run->tally.took.count : run->tally.tasks;
    struct buf out;
    bool good;

    buf_init(&out, REPORT_MAX);
    buf_addf(&out, "{\"scenario\":\"%s\",", names[run->options->scenario]);
    tally_write(&run->tally, &out);
    buf_add(&out, run->report.data ? run->report.data : "", run->report.len);
    buf_add_text(&out, ",\"processes\":");
    processes_write(&run->processes, work, &out);
    buf_add_text(&out, "}\n");
    good = !buf_error(&out) && !buf_error(&run->report) && fputs(buf_text(&out), stdout) >= 0;
    buf_deinit(&out);
    return good;
}

static int run_scenario(struct run *run)
{
    switch (run->options->scenario) {
    case SCENARIO_STREAMS:
        return streams_run(run);
    case SCENARIO_HOPS:
        return hops_run(run);
    default:
        return exchanges_run(run);
    }
}

static int load(const struct load_options *options)
{
    struct run *run = calloc(1, sizeof(*run));
    int err = ERR_NO_MEMORY;
    bool printed = false;

    if (run) {
        run->options = options;
        run->poll.fd = -1;
        err = prepare(run);
    }
    if (!err) {
        run->began_ns = run->looked_ns = clock_ns();
        run->poll.now_ns = run->began_ns;
        run->deadline_ns = run->began_ns + options->deadline_ms * NS_PER_MS;
        err = run_scenario(run);
        printed = print(run);
    } else {
        (void)fprintf(stderr, "sse_load: %s\n", err_text(err));
    }
    if (run && !err && (!printed || tally_faults(&run->tally)))
        err = ERR_REFUSED;
    if (run)
        finish(run);
    free(run);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct load_options options = {0};
    int status;

    switch (options_load(&load_option_table, argc, argv, &options)) {
    case OPTIONS_RUN:
        break;
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_BAD:
        return OPTIONS_EXIT_BAD;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    status = load_options_agree(&options) ? load(&options) : OPTIONS_EXIT_BAD;
    options_deinit(&load_option_table, &options);
    return status;
}
