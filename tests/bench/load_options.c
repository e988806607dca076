#include "tests/bench/load_options.h"

#include "common/base/macros.h"

#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(struct load_options, field)

enum { HOUR_MS = 3600000, MANY = 100000000 };

/* clang-format off */
static const struct option_row rows[] = {
    { "scenario", NULL, OPT_CHOICE, AT(scenario), "tasks", 0, 0,
      "tasks: POST /generate/stream, read to the end; submit: POST /generate; calls: an ARK call to a simulator, without anything between; streams: open streams, and events over them", "tasks|submit|calls|streams" },
    { "target", NULL, OPT_STRING, AT(target), "127.0.0.1:8000", 3, 64, "address:port of the server", NULL },
    { "base", NULL, OPT_STRING, AT(base), "/api/v1/faceflip", 0, 64, "what its paths begin with", NULL },
    { "prefix", NULL, OPT_STRING, AT(prefix), "bench", 1, 32, "task ids are this, a dash and a number", NULL },
    { "sources", NULL, OPT_INT, AT(sources), "250", 0, 60000, "source addresses from 127.0.1.1 on; 0: the kernel's choice", NULL },
    { "deadline", NULL, OPT_MS, AT(deadline_ms), "2m", 100, HOUR_MS, "the run is over after this long, whatever is open", NULL },
    { "processes", NULL, OPT_STRING, AT(processes), "", 0, 1024, "whose CPU time and memory is reported: name=pid,name=pid", NULL },

    { "clients", NULL, OPT_INT, AT(clients), "64", 1, 20000, "closed-loop clients, one connection each", NULL },
    { "tasks", NULL, OPT_INT, AT(tasks), "0", 0, MANY, "tasks in all; 0: as many as there is time for", NULL },
    { "for", NULL, OPT_MS, AT(for_ms), "5s", 100, HOUR_MS, "how long new tasks are begun, or events injected", NULL },
    { "floor", NULL, OPT_MS, AT(floor_ms), "0", 0, HOUR_MS, "what a task takes at least: it is taken off every time", NULL },
    { "every", NULL, OPT_MS, AT(every_ms), "0", 0, HOUR_MS, "each client begins a task once in this time, at its own place in it; 0: when its last one is over, and all at once", NULL },

    { "streams", NULL, OPT_INT, AT(streams), "100", 1, 20000, "streams to hold open", NULL },
    { "opening", NULL, OPT_INT, AT(opening), "128", 1, 20000, "of them, how many are being opened at once", NULL },
    { "get", NULL, OPT_STRING, AT(get), "", 0, 256, "path to GET, %s is the task's id; empty: POST /generate/stream", NULL },
    { "claim", NULL, OPT_BOOL, AT(claim), "false", 0, 0, "claim the tasks once they are open, as a worker does: none waits then", NULL },
    { "settle", NULL, OPT_MS, AT(settle_ms), "0", 0, HOUR_MS, "silence between the last stream's opening and the measurement of memory", NULL },
    { "wait", NULL, OPT_BOOL, AT(wait), "false", 0, 0, "once all are open, say so on stderr and wait for a line on stdin", NULL },
    { "inject", NULL, OPT_CHOICE, AT(inject), "nothing", 0, 0,
      "how events come: emit: EMIT, as a worker (needs --claim); append: RPUSH and PUBLISH of what EMIT writes; http: POST to --publish", "nothing|emit|append|http" },
    { "redis", NULL, OPT_STRING, AT(redis), "127.0.0.1:6379", 1, 104, "address:port or socket of Redis", NULL },
    { "partition", NULL, OPT_STRING, AT(partition), "arkrelay:{0}:", 1, 64, "what its keys begin with", NULL },
    { "publish", NULL, OPT_STRING, AT(publish), "/pub?id=%s", 1, 128, "path to POST an event to, at the target; %s is the task's id", NULL },
    { "publishers", NULL, OPT_INT, AT(publishers), "16", 1, 1000, "connections for them, each with one request at a time", NULL },
    { "rate", NULL, OPT_INT, AT(rate), "1000", 0, 10000000, "events per second; 0: as many as come back, see window", NULL },
    { "drain", NULL, OPT_MS, AT(drain_ms), "5s", 0, HOUR_MS, "how long events that are on their way are awaited at the end", NULL },
    { "window", NULL, OPT_INT, AT(window), "2000", 1, 1000000, "with rate 0: events that may be on their way", NULL },
};
/* clang-format on */

const struct option_table load_option_table = {
    .program = "sse_load",
    .version = ARKRELAY_VERSION,
    .summary = "Load for gateways and their peers: tasks, open streams, events; checks all that it receives.",
    .rows = rows,
    .count = ARRAY_LENGTH(rows),
};

bool load_options_agree(const struct load_options *options)
{
    if (options->inject == INJECT_EMIT && !options->claim) {
        (void)fputs("sse_load: --inject emit speaks for tasks that it has claimed: it needs --claim\n", stderr);
        return false;
    }
    return true;
}
