#include "tests/bench/load_options.h"

#include "common/base/macros.h"

#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(struct load_options, field)

enum { HOUR_MS = 3600000, MANY = 100000000 };

/* clang-format off */
static const struct option_row rows[] = {
    { "scenario", NULL, OPT_CHOICE, AT(scenario), "tasks", 0, 0,
      "tasks: POST /generate/stream, read to the end; submit: POST /generate; calls: ARK calls to a simulator, without a gateway; openai: POST /v1/images/generations; streams: open streams, and events on them; hops: messages that processes pass on, for comparison", "tasks|submit|calls|openai|streams|hops" },
    { "target", NULL, OPT_STRING, AT(target), "127.0.0.1:8000", 3, 64, "address:port of the server", NULL },
    { "base", NULL, OPT_STRING, AT(base), "/api/v1/faceflip", 0, 64, "prefix of its paths", NULL },
    { "prefix", NULL, OPT_STRING, AT(prefix), "bench", 1, 32, "prefix of task ids; a dash and a number follow", NULL },
    { "sources", NULL, OPT_INT, AT(sources), "250", 0, 60000, "source addresses from 127.0.1.1 on; 0: the kernel's choice", NULL },
    { "deadline", NULL, OPT_MS, AT(deadline_ms), "2m", 100, HOUR_MS, "the run ends after this time, even if requests are open", NULL },
    { "processes", NULL, OPT_STRING, AT(processes), "", 0, 1024, "report CPU time and memory of these: name=pid,name=pid", NULL },

    { "clients", NULL, OPT_INT, AT(clients), "64", 1, 20000, "closed-loop clients, one connection each", NULL },
    { "tasks", NULL, OPT_INT, AT(tasks), "0", 0, MANY, "total number of tasks; 0: limited by time only", NULL },
    { "for", NULL, OPT_MS, AT(for_ms), "5s", 100, HOUR_MS, "time in which tasks are begun, or events injected", NULL },
    { "floor", NULL, OPT_MS, AT(floor_ms), "0", 0, HOUR_MS, "minimum time of a task, subtracted from each measured time", NULL },
    { "every", NULL, OPT_MS, AT(every_ms), "0", 0, HOUR_MS, "interval in which each client begins one task, at its own offset; 0: as soon as its last one has ended", NULL },

    { "hops", NULL, OPT_INT, AT(hops), "14", 2, 1000, "how often a message wakes a process", NULL },

    { "streams", NULL, OPT_INT, AT(streams), "100", 1, 20000, "streams to hold open", NULL },
    { "opening", NULL, OPT_INT, AT(opening), "128", 1, 20000, "how many of them are opened at the same time", NULL },
    { "get", NULL, OPT_STRING, AT(get), "", 0, 256, "path to GET, %s is the task's id; empty: POST /generate/stream", NULL },
    { "claim", NULL, OPT_BOOL, AT(claim), "false", 0, 0, "claim the tasks once they are open, as a worker does, so that none stays queued", NULL },
    { "settle", NULL, OPT_MS, AT(settle_ms), "0", 0, HOUR_MS, "pause between the opening of the last stream and the measurement of memory", NULL },
    { "wait", NULL, OPT_BOOL, AT(wait), "false", 0, 0, "once all are open, print a line on stderr and wait for a line on stdin", NULL },
    { "inject", NULL, OPT_CHOICE, AT(inject), "nothing", 0, 0,
      "how events are sent: emit: EMIT, as a worker (needs --claim); append: RPUSH and PUBLISH, as EMIT does; http: POST to --publish", "nothing|emit|append|http" },
    { "redis", NULL, OPT_STRING, AT(redis), "127.0.0.1:6379", 1, 104, "address:port or socket of Redis", NULL },
    { "partition", NULL, OPT_STRING, AT(partition), "arkrelay:{0}:", 1, 64, "prefix of its keys", NULL },
    { "publish", NULL, OPT_STRING, AT(publish), "/pub?id=%s", 1, 128, "path to POST an event to, at the target; %s is the task's id", NULL },
    { "publishers", NULL, OPT_INT, AT(publishers), "16", 1, 1000, "connections for these POSTs, each with one request at a time", NULL },
    { "rate", NULL, OPT_INT, AT(rate), "1000", 0, 10000000, "events per second; 0: as many as arrive, see window", NULL },
    { "drain", NULL, OPT_MS, AT(drain_ms), "5s", 0, HOUR_MS, "how long to wait at the end for events in flight", NULL },
    { "window", NULL, OPT_INT, AT(window), "2000", 1, 1000000, "with rate 0: maximum of events in flight", NULL },
};
/* clang-format on */

const struct option_table load_option_table = {
    .program = "sse_load",
    .version = ARKRELAY_VERSION,
    .summary = "Load for gateways and their peers: tasks, open streams, events. Checks every answer.",
    .rows = rows,
    .count = ARRAY_LENGTH(rows),
};

bool load_options_agree(const struct load_options *options)
{
    if (options->inject == INJECT_EMIT && !options->claim) {
        (void)fputs("sse_load: --inject emit needs --claim: EMIT works only on claimed tasks\n", stderr);
        return false;
    }
    return true;
}
