#include "gateway/api/usage_report.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/money.h"
#include "common/http/server.h"
#include "common/models/catalogue.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/api/context.h"
#include "gateway/api/period.h"
#include "gateway/api/query.h"
#include "gateway/response/respond.h"

enum {
    RESPONSE_MAX = 64 * 1024 * 1024,
    WORD_SIZE = 16,
    AT_NOW = 1, /* elements of the LEDGER reply */
    AT_CURRENCY,
    AT_DAY,         /* spent, then reserved */
    AT_MONTH = 5,   /* likewise */
    ROW_CLIENT = 0, /* elements of a row of USAGE */
    ROW_MODEL,
    ROW_CURRENCY,
    ROW_TASKS,
    ROW_IMAGES,
    ROW_CALLS,
    ROW_MICROS,
    ROW_ESTIMATED,
};

/* By kind: the default number of periods, and the largest one. Redis keeps 60 days and 25 months. */
static const int64_t default_periods[] = {[PERIOD_DAY] = 30, [PERIOD_MONTH] = 12};
static const int64_t most_periods[] = {[PERIOD_DAY] = 62, [PERIOD_MONTH] = 26};
static const char *const kind_names[] = {[PERIOD_DAY] = "day", [PERIOD_MONTH] = "month"};

struct report {
    struct http_exchange *exchange;
    struct redis *redis;
    struct script_run *run;
    struct buf body;
    char client[TASK_CLIENT_MAX + 1]; /* "": all */
    bool is_csv, is_counted;
    char currency[CATALOGUE_CURRENCY_SIZE]; /* of the limits */
    int64_t day_max, month_max;
    enum period_kind kind;
    char from_text[PERIOD_TEXT_SIZE], to_text[PERIOD_TEXT_SIZE]; /* "": the default */
    int64_t at, to;                                              /* the next period to ask for, and the last one */
    bool has_rows;
};

static void report_destroy(struct report *report)
{
    if (report->run)
        script_cancel(report->run);
    buf_deinit(&report->body);
    free(report);
}

static void report_on_closed(void *arg)
{
    report_destroy(arg);
}

static void report_refuse(struct report *report, enum problem problem, const char *detail)
{
    respond_problem(report->exchange, problem, detail);
    report_destroy(report);
}

/* -- amounts and rows */

static int64_t number_at(const redisReply *row, size_t i)
{
    int64_t value;

    return script_int(row, i, &value) || value < 0 ? 0 : value;
}

/* `*`: what was added up because there were too many rows. */
static const char *name_at(const redisReply *row, size_t i, size_t *len)
{
    const char *name = script_text(row, i, len);

    if (!name || (*len == 1 && *name == '*')) {
        *len = strlen("other");
        return "other";
    }
    return name;
}

static void add_json_name(struct buf *out, const char *member, const redisReply *row, size_t i)
{
    size_t len;
    const char *name = name_at(row, i, &len);

    buf_addf(out, ",\"%s\":", member);
    buf_add_json(out, name, len);
}

static void add_json_row(const struct report *report, struct buf *out, const char *period, const redisReply *row)
{
    size_t len = 0;
    const char *currency = script_text(row, ROW_CURRENCY, &len);

    buf_addf(out, "{\"%s\":\"%s\"", kind_names[report->kind], period);
    if (!report->client[0])
        add_json_name(out, "client", row, ROW_CLIENT);
    add_json_name(out, "model", row, ROW_MODEL);
    buf_add_int_member(out, "tasks", number_at(row, ROW_TASKS));
    buf_add_int_member(out, "images", number_at(row, ROW_IMAGES));
    buf_add_int_member(out, "paid_calls", number_at(row, ROW_CALLS));
    if (currency && len) {
        buf_add_text(out, ",\"cost\":{\"currency\":");
        buf_add_json(out, currency, len);
        buf_add_text(out, ",\"amount\":");
        money_add(out, number_at(row, ROW_MICROS));
        buf_add_text(out, ",\"estimated_amount\":");
        money_add(out, number_at(row, ROW_ESTIMATED));
        buf_add_text(out, "}}");
    } else {
        buf_add_text(out, ",\"cost\":null}");
    }
}

/* A field of RFC 4180. Clients choose names of models, and a table calculation would run a text that begins with one of these signs. */
static void add_csv_name(struct buf *out, const redisReply *row, size_t i)
{
    size_t len;
    const char *name = name_at(row, i, &len);

    buf_add_text(out, ",\"");
    if (len && strchr("=+-@\t\r", name[0]))
        buf_add_char(out, '\'');
    for (size_t at = 0; at < len; at++) {
        if (name[at] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, name[at]);
    }
    buf_add_char(out, '"');
}

static void add_csv_row(const struct report *report, struct buf *out, const char *period, const redisReply *row)
{
    size_t len = 0;
    const char *currency = script_text(row, ROW_CURRENCY, &len);

    buf_add_text(out, period);
    if (!report->client[0])
        add_csv_name(out, row, ROW_CLIENT);
    add_csv_name(out, row, ROW_MODEL);
    for (size_t i = ROW_TASKS; i <= ROW_CALLS; i++) {
        buf_add_char(out, ',');
        buf_add_int(out, number_at(row, i));
    }
    buf_add_char(out, ',');
    if (currency && len) {
        buf_add(out, currency, len);
        buf_add_char(out, ',');
        money_add(out, number_at(row, ROW_MICROS));
        buf_add_char(out, ',');
        money_add(out, number_at(row, ROW_ESTIMATED));
    } else {
        buf_add_text(out, ",,");
    }
    buf_add_text(out, "\r\n");
}

static void add_rows(struct report *report, const char *period, const redisReply *reply)
{
    const redisReply *row;

    for (size_t i = 1; (row = script_array(reply, i)); i++) {
        if (report->is_csv) {
            add_csv_row(report, &report->body, period, row);
            continue;
        }
        if (report->has_rows)
            buf_add_char(&report->body, ',');
        report->has_rows = true;
        add_json_row(report, &report->body, period, row);
    }
}

/* -- the end */

static void report_respond(struct report *report)
{
    struct buf *body = &report->body;

    if (report->is_csv && !buf_error(body)) {
        http_add_header(report->exchange, "Cache-Control", "no-store");
        http_respond(report->exchange, 200, "text/csv; charset=utf-8", body->data, body->len);
    } else {
        buf_add_text(body, "]}");
        respond_json(report->exchange, 200, body);
    }
    report_destroy(report);
}

/* -- one call per period */

static void ask_next_period(struct report *report);

static void report_on_usage(const redisReply *reply, int err, void *arg)
{
    struct report *report = arg;
    char text[PERIOD_TEXT_SIZE];

    report->run = NULL;
    if (err || strcmp(script_answer(reply), "USAGE") != 0) {
        report_refuse(report, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    period_text(report->kind, report->at, text);
    add_rows(report, text, reply);
    report->at++;
    ask_next_period(report);
}

static void ask_next_period(struct report *report)
{
    char key[PERIOD_TEXT_SIZE];
    const struct script_arg args[] = {SCRIPT_TEXT((period_key(report->kind, report->at, key), key)),
                                      SCRIPT_TEXT(report->client)};

    if (report->at > report->to)
        report_respond(report);
    else if (script_run(
                 report->redis,
                 &(struct script_call){
                     .script = &scripts[SCRIPT_USAGE], .prefix = KEYS_MONEY, .args = args, .count = ARRAY_LENGTH(args)},
                 report_on_usage, report, &report->run))
        report_refuse(report, PROBLEM_STORE_UNAVAILABLE, NULL);
}

/* -- the head: the spending limits, and the sums of today and this month */

/* at: of the amounts in the reply. 0: they are in another currency, and RESERVE will start at 0. */
static void add_spending(struct buf *out, const char *name, int64_t limit, const redisReply *reply, size_t at)
{
    buf_addf(out, ",\"%s\":{\"limit\":", name);
    if (limit)
        money_add(out, limit);
    else
        buf_add_text(out, "null");
    buf_add_text(out, ",\"spent\":");
    money_add(out, at ? number_at(reply, at) : 0);
    buf_add_text(out, ",\"reserved\":");
    money_add(out, at ? number_at(reply, at + 1) : 0);
    buf_add_char(out, '}');
}

static void add_head(struct report *report, const redisReply *reply)
{
    struct buf *out = &report->body;
    char from[PERIOD_TEXT_SIZE], to[PERIOD_TEXT_SIZE];
    size_t len = 0;
    const char *currency = script_text(reply, AT_CURRENCY, &len);
    bool has_record = currency && len, is_other = has_record && strcmp(currency, report->currency) != 0;

    if (report->is_csv) {
        buf_addf(out, "%s%s,model,tasks,images,paid_calls,currency,amount,estimated_amount\r\n",
                 kind_names[report->kind], report->client[0] ? "" : ",client");
        return;
    }
    period_text(report->kind, report->at, from);
    period_text(report->kind, report->to, to);
    buf_addf(out, "{\"by\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"counted\":%s,\"spending\":{\"currency\":",
             kind_names[report->kind], from, to, report->is_counted ? "true" : "false");
    if (has_record || report->day_max || report->month_max)
        buf_add_json(out, report->currency, strlen(report->currency));
    else
        buf_add_text(out, "null");
    add_spending(out, "day", report->day_max, reply, is_other ? 0 : AT_DAY);
    add_spending(out, "month", report->month_max, reply, is_other ? 0 : AT_MONTH);
    buf_add_text(out, "},\"rows\":[");
}

/* False: the range is not valid. */
static bool set_range(struct report *report, int64_t now_ms)
{
    report->to = period_of(report->kind, now_ms);
    if (report->to_text[0] && !period_read(report->kind, report->to_text, &report->to))
        return false;
    report->at = report->to - default_periods[report->kind] + 1;
    if (report->at < 0) /* before 1970 */
        report->at = 0;
    if (report->from_text[0] && !period_read(report->kind, report->from_text, &report->at))
        return false;
    return report->at <= report->to && report->to - report->at < most_periods[report->kind];
}

static void report_on_ledger(const redisReply *reply, int err, void *arg)
{
    struct report *report = arg;
    int64_t now_ms;

    report->run = NULL;
    if (err || script_int(reply, AT_NOW, &now_ms)) {
        report_refuse(report, PROBLEM_STORE_UNAVAILABLE, NULL);
    } else if (!set_range(report, now_ms)) {
        report_refuse(
            report, PROBLEM_INVALID_QUERY,
            "from, to: days such as 2026-11-30, at most 62, or with by=month months such as 2026-11, at most 26; from is not after to.");
    } else {
        add_head(report, reply);
        ask_next_period(report);
    }
}

static int ask_ledger(struct report *report)
{
    const struct script_arg args[] = {SCRIPT_TEXT(report->client)};

    return script_run(
        report->redis,
        &(struct script_call){.script = &scripts[SCRIPT_LEDGER], .prefix = KEYS_MONEY, .args = args, .count = 1},
        report_on_ledger, report, &report->run);
}

/* -- the request */

/* False: one of the words is not valid, and the exchange was answered. */
static bool read_query(struct report *report)
{
    char by[WORD_SIZE] = "day", format[WORD_SIZE] = "json";
    const struct query_parameter parameters[] = {
        {"by",     by,                sizeof(by)               },
        {"from",   report->from_text, sizeof(report->from_text)},
        {"to",     report->to_text,   sizeof(report->to_text)  },
        {"format", format,            sizeof(format)           },
    };

    if (!query_read(report->exchange, parameters, ARRAY_LENGTH(parameters)))
        return false;
    report->kind = strcmp(by, "month") == 0 ? PERIOD_MONTH : PERIOD_DAY;
    report->is_csv = strcmp(format, "csv") == 0;
    if (strcmp(by, kind_names[report->kind]) != 0) {
        respond_problem(report->exchange, PROBLEM_INVALID_QUERY, "by: day or month.");
        return false;
    }
    if (!report->is_csv && strcmp(format, "json") != 0) {
        respond_problem(report->exchange, PROBLEM_INVALID_QUERY, "format: json or csv.");
        return false;
    }
    return true;
}

void usage_report(const struct api_context *context, struct http_exchange *exchange,
                  const struct usage_request *request)
{
    struct report *report = calloc(1, sizeof(*report));

    if (!report) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    report->exchange = exchange;
    report->redis = context->commands;
    report->is_counted = request->is_counted;
    (void)strncat(report->currency, catalogue_currency(context->catalogue), sizeof(report->currency) - 1);
    report->day_max = request->day_max;
    report->month_max = request->month_max;
    (void)strncat(report->client, request->client ? request->client : "", TASK_CLIENT_MAX);
    buf_init(&report->body, RESPONSE_MAX);
    if (!read_query(report))
        report_destroy(report);
    else if (ask_ledger(report))
        report_refuse(report, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        http_exchange_on_closed(exchange, report_on_closed, report);
}
