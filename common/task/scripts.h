/* task/scripts - the Lua scripts of arkrelay, embedded in the programs
 *
 * One script per state transition of a task, built from common/task/scripts: each after the files of scripts/shared that it needs.
 * The head of each script describes its arguments and replies. Run them with script_run (common/redis/script.h).
 */
#ifndef ARKRELAY_TASK_SCRIPTS_H
#define ARKRELAY_TASK_SCRIPTS_H

#include "common/redis/script.h"

/* SCRIPT_<name> for each <name>.lua in the list of common/task/CMakeLists.txt. */
enum script_id {
    SCRIPT_SUBMIT,
    SCRIPT_CLAIM,
    SCRIPT_BEGIN,
    SCRIPT_EMIT,
    SCRIPT_RENEW,
    SCRIPT_FINISH,
    SCRIPT_REAP,
    SCRIPT_CANCEL,
    SCRIPT_READ,
    SCRIPT_STATUS,
    SCRIPT_READY,
    SCRIPT_ERASE,
    SCRIPT_AUDIT,
    SCRIPT_PAUSE,
    SCRIPT_PLACES,
    SCRIPT_GOVERN,
    SCRIPT_QUEUE,
    SCRIPT_TASKS,
    SCRIPT_RETRY,
    SCRIPT_STORY,
    SCRIPT_PROCESSES,
    SCRIPT_LIMIT,
    SCRIPT_PRESENCE,
    SCRIPT_TAILS,
    SCRIPT_LEASE,
    SCRIPT_SETTLE,
    SCRIPT_PICTURE,
    SCRIPT_ERASE_PICTURE,
    SCRIPT_IDENTIFY,
    SCRIPT_SUBMIT_ORDER,
    SCRIPT_DELIVERY,
    SCRIPT_MINE,
    SCRIPT_UPLOAD,
    SCRIPT_ERASE_UPLOAD,
    SCRIPT_INPUTS,
    SCRIPT_WEBHOOK,
    SCRIPT_WEBHOOKS,
    SCRIPT_RESEND,
    SCRIPT_WEBHOOK_TEST,
    SCRIPT_RESERVE,
    SCRIPT_CHARGE,
    SCRIPT_DEBTS,
    SCRIPT_HELD,
    SCRIPT_MONEY_AUDIT,
    SCRIPT_LEDGER,
    SCRIPT_USAGE,
    SCRIPT_COUNT,
};

extern const struct script scripts[SCRIPT_COUNT];

#endif
