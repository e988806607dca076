#include "worker/account/govern.h"

#include <assert.h>
#include <string.h>

#include "common/base/problem.h"

/* -- the report */

static void add_report_text(struct govern_report *report, const char *text)
{
    assert(report->count < GOVERN_ARGS_MAX);
    report->args[report->count++] = SCRIPT_TEXT(text);
}

static void add_report_int(struct govern_report *report, int64_t value)
{
    char *digits = report->numbers[report->count];

    (void)decimal_write(digits, value);
    add_report_text(report, digits);
}

void govern_report_begin(struct govern_report *report, const struct govern_head *head, const struct bookings *bookings)
{
    static const char *const coverages[] = {[GOVERN_CHANGES] = "", [GOVERN_ALL] = "1", [GOVERN_ALL_AFTER_LOSS] = "2"};

    report->count = 0;
    add_report_text(report, head->worker);
    add_report_int(report, head->ttl_ms);
    add_report_int(report, head->want);
    add_report_int(report, head->images_per_call);
    add_report_text(report, head->model);
    add_report_int(report, head->calls_max);
    add_report_int(report, head->images_per_minute);
    add_report_text(report, coverages[head->coverage]);
    add_report_int(report, bookings->count);
    for (int i = 0; i < bookings->count; i++) {
        add_report_int(report, bookings->rows[i].second);
        add_report_text(report, bookings->rows[i].scope->name);
        add_report_int(report, bookings->rows[i].images);
    }
}

void govern_report_add(struct govern_report *report, const struct scope *scope, int64_t now_ms)
{
    static const char *const probes[] = {
        [PROBE_NOTHING] = "", [PROBE_UNUSED] = "none", [PROBE_GOOD] = "good", [PROBE_BAD] = "bad"};
    const struct scope_news *news = &scope->sent;
    bool failed = news->run || news->probe == PROBE_BAD;

    add_report_text(report, scope->name);
    add_report_int(report, scope->held);
    add_report_int(report, news->ok);
    add_report_int(report, news->ok_ms);
    add_report_int(report, news->refused);
    add_report_int(report, news->pause_ms);
    add_report_int(report, news->run);
    add_report_int(report, news->began_ms ? now_ms - news->began_ms : 0);
    add_report_text(report, news->closing ? "1" : "");
    add_report_text(report, failed ? problem_code(news->problem) : "");
    add_report_text(report, failed ? news->why : "");
    add_report_int(report, news->until_ms);
    add_report_text(report, probes[news->probe]);
    add_report_text(report, news->wanted ? "1" : "");
}

/* -- the reply */

enum { REPLY_HEAD = 4, REPLY_ROW = 7 };

int govern_reply_read(const redisReply *reply, struct govern_reply *out)
{
    int64_t granted, wait_ms, second;

    if (script_int(reply, 0, &granted) || script_int(reply, 1, &wait_ms) || script_int(reply, 3, &second))
        return ERR_SYNTAX;
    *out = (struct govern_reply){(int)granted, wait_ms, second};
    return 0;
}

size_t govern_reply_rows(const redisReply *reply)
{
    return reply->elements < REPLY_HEAD ? 0 : (reply->elements - REPLY_HEAD) / REPLY_ROW;
}

bool govern_reply_row(const redisReply *reply, size_t i, struct govern_row *out)
{
    size_t at = REPLY_HEAD + i * REPLY_ROW;
    const char *name = script_text(reply, at, NULL), *state = script_text(reply, at + 1, NULL);
    const char *code = script_text(reply, at + 2, NULL);
    int64_t calls, probe, opened;

    if (!name || !state || !code || script_int(reply, at + 3, &calls) || script_int(reply, at + 5, &probe) ||
        script_int(reply, at + 6, &opened))
        return false;
    *out = (struct govern_row){name, scope_state_of(state), code, (int)calls, probe != 0, opened};
    return true;
}
