/* govern - the arguments and the reply of the script GOVERN
 *
 * common/task/scripts/govern.lua describes both. A report has a head, the corrections of bookings, and one row per scope with news.
 * The reply has a head and one row per restricted scope.
 *
 * Ownership: a report borrows its texts until it is sent; a row of the reply points into the reply.
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_GOVERN_H
#define ARKRELAY_WORKER_ACCOUNT_GOVERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/decimal.h"
#include "common/base/err.h"
#include "common/redis/script.h"
#include "worker/account/bookings.h"
#include "worker/account/scope.h"

/* -- the report */

enum {
    GOVERN_SCOPES_MAX = 32, /* in one report */
    GOVERN_HEAD_ARGS = 9,
    GOVERN_BOOKING_ARGS = 3,
    GOVERN_SCOPE_ARGS = 14,
    GOVERN_ARGS_MAX = GOVERN_HEAD_ARGS + BOOKINGS_MAX * GOVERN_BOOKING_ARGS + GOVERN_SCOPES_MAX * GOVERN_SCOPE_ARGS,
};

/* Which permits the rows of a report name. If it names all, Redis drops what it counts beyond them. */
enum govern_coverage {
    GOVERN_CHANGES,        /* only those of scopes with news */
    GOVERN_ALL,            /* all permits that this worker holds */
    GOVERN_ALL_AFTER_LOSS, /* all; an answer that granted permits may have been lost, or the worker has just started */
};

struct govern_head {
    const char *worker;
    int64_t ttl_ms; /* without a report for this long, the worker counts as lost */
    int want;       /* permits asked for */
    int images_per_call;
    const char *model; /* of the permits asked for */
    int calls_max, images_per_minute;
    enum govern_coverage coverage;
};

struct govern_report {
    struct script_arg args[GOVERN_ARGS_MAX];
    char numbers[GOVERN_ARGS_MAX][DECIMAL_SIZE];
    size_t count;
};

void govern_report_begin(struct govern_report *report, const struct govern_head *head, const struct bookings *bookings);

/* Writes what scope_send has moved to scope->sent. At most GOVERN_SCOPES_MAX times. now_ms: monotonic. */
void govern_report_add(struct govern_report *report, const struct scope *scope, int64_t now_ms);

/* -- the reply */

struct govern_reply {
    int granted;
    int64_t wait_ms; /* when to ask again if nothing was granted */
    int64_t second;  /* of the bookings of these permits */
};

/* A restricted scope. */
struct govern_row {
    const char *name; /* "": the account */
    enum scope_state state;
    const char *code; /* why it is restricted */
    int calls;        /* that may begin */
    bool probe;       /* this worker is to probe */
    int64_t opened;   /* not 0: a call of this worker was the first to find it closed */
};

/* ERR_SYNTAX if the reply is an error or has no numbers. */
int govern_reply_read(const redisReply *reply, struct govern_reply *out) MUST_CHECK;

/* How many rows the reply has, and row i. False: its elements are not those of a row; skip it. */
size_t govern_reply_rows(const redisReply *reply);
bool govern_reply_row(const redisReply *reply, size_t i, struct govern_row *out);

#endif
