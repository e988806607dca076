#include "tests/bench/tally.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"

static const char *const names[FAULT_COUNT] = {
    [FAULT_NONE] = "none",
    [FAULT_CONNECT] = "connect",
    [FAULT_STATUS] = "status",
    [FAULT_HEAD] = "head",
    [FAULT_CHUNK] = "chunk",
    [FAULT_FRAME] = "frame",
    [FAULT_JSON] = "json",
    [FAULT_TYPE] = "type",
    [FAULT_ID] = "id",
    [FAULT_TASK] = "task",
    [FAULT_ORDER] = "order",
    [FAULT_AFTER_FINAL] = "after_final",
    [FAULT_NO_FINAL] = "no_final",
    [FAULT_TASK_FAILED] = "task_failed",
    [FAULT_TIMEOUT] = "timeout",
    [FAULT_LOST] = "lost",
    [FAULT_REDIS] = "redis",
};

const char *tally_fault_name(enum fault fault)
{
    return names[fault];
}

void tally_fault(struct tally *tally, enum fault fault, const char *bytes, size_t len)
{
    if (fault != FAULT_NONE && tally->example[0] == '\0')
        (void)snprintf(tally->example, sizeof(tally->example), "%s: %.*s", names[fault], len > 400 ? 400 : (int)len,
                       bytes ? bytes : "");
    if (fault != FAULT_NONE)
        tally->faults[fault]++;
}

uint64_t tally_faults(const struct tally *tally)
{
    uint64_t sum = 0;

    for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++)
        sum += tally->faults[i];
    return sum;
}

void tally_write(const struct tally *tally, struct buf *out)
{
    const char *comma = "";

    buf_addf(out, "\"connections\":%llu,\"tasks\":%llu,\"frames\":%llu,\"comments\":%llu,\"hints\":%llu,\"bytes\":%llu",
             (unsigned long long)tally->connections, (unsigned long long)tally->tasks,
             (unsigned long long)tally->frames, (unsigned long long)tally->comments, (unsigned long long)tally->hints,
             (unsigned long long)tally->bytes);
    buf_add_text(out, ",\"errors\":{");
    for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        if (!tally->faults[i])
            continue;
        buf_addf(out, "%s\"%s\":%llu", comma, names[i], (unsigned long long)tally->faults[i]);
        comma = ",";
    }
    buf_add_text(out, "}");
    if (tally->example[0]) {
        buf_add_text(out, ",\"first_error\":");
        buf_add_json(out, tally->example, strlen(tally->example));
    }
}
