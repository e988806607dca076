#include "worker/job/ending.h"

#include "common/base/money.h"
#include "common/task/task_event.h"
#include "worker/ark/result.h"
#include "worker/job/payload.h"
#include "worker/job/refusal.h"

enum {
    UNKNOWN_DELAY_MIN_MS = 250, /* an outage shows in several calls at once */
};

bool ending_is_delayed(const struct ending *ending)
{
    return ending->action == VERDICT_RETRY || ending->action == VERDICT_DEFER;
}

bool action_ends_task(enum verdict_action action)
{
    return action == VERDICT_DONE || action == VERDICT_FAIL || action == VERDICT_CANCELLED;
}

/* -- how it ends */

struct ending ending_of_call(const struct verdict *verdict, const struct ark_result *ark)
{
    return (struct ending){.action = verdict->action,
                           .charge = verdict->charge,
                           .problem = verdict->problem,
                           .retryable = verdict->retryable,
                           .delay_ms = verdict->delay_ms,
                           .words = verdict->words,
                           .ark = ark};
}

static enum charge uncalled_charge(const struct attempt *attempt)
{
    return attempt->is_recorded ? CHARGE_VOID : CHARGE_NONE;
}

struct ending ending_refused(const struct attempt *attempt, const struct refusal *refusal)
{
    bool tries_again = refusal->passes && attempt->number < attempt->max;

    return (struct ending){.action = tries_again ? VERDICT_RETRY : VERDICT_FAIL,
                           .charge = uncalled_charge(attempt),
                           .problem = refusal->problem,
                           .retryable = refusal->retryable,
                           .words = refusal->words};
}

struct ending ending_handed_back(const struct attempt *attempt)
{
    return (struct ending){.action = VERDICT_HANDBACK, .charge = uncalled_charge(attempt)};
}

struct ending ending_cancelled(const struct attempt *attempt)
{
    return (struct ending){.action = VERDICT_CANCELLED, .charge = uncalled_charge(attempt)};
}

/* -- its delay and its cost */

/* A task whose trial call failed waits for the longest backoff, so that the next trial is a call for another task. After an unknown outcome the
 * circuit breaker must receive the results of the other calls of all workers before this task is tried again: that call may be paid as well. */
int64_t ending_delay_ms(const struct ending *ending, const struct attempt *attempt, const struct backoff *backoff,
                        double dice)
{
    int tries = ending->action == VERDICT_DEFER ? attempt->deferrals + 1 : attempt->number;
    int64_t delay_ms;

    if (ending->delay_ms)
        return ending->delay_ms;
    if (attempt->is_trial)
        return backoff->max_ms;
    delay_ms = backoff_delay_ms(backoff, tries, dice);
    return ending->charge == CHARGE_UNKNOWN && delay_ms < UNKNOWN_DELAY_MIN_MS ? UNKNOWN_DELAY_MIN_MS : delay_ms;
}

static bool is_charged(enum charge charge)
{
    return charge == CHARGE_KNOWN || charge == CHARGE_UNKNOWN;
}

struct cost ending_cost(const struct ending *ending, const struct bill *bill)
{
    struct cost cost = price_calls(&bill->tariff, ending->charge == CHARGE_UNKNOWN ? 1 : 0);
    struct ark_lost lost;

    if (ending->charge == CHARGE_UNKNOWN)
        cost.estimated = cost.known;
    if (ending->charge != CHARGE_KNOWN)
        return cost;
    lost = ark_result_lost(ending->ark);
    return price_call(&bill->tariff, &bill->images, lost.made, lost.missing);
}

void ending_write_cost(struct buf *out, const struct ending *ending, const struct bill *bill)
{
    const struct cost cost = ending_cost(ending, bill);

    buf_add_text(out, "cost=");
    if (cost.known)
        money_add(out, cost.micros);
    else
        buf_add_char(out, '-');
    buf_addf(out, " currency=%s estimated=%d", cost.known ? bill->tariff.currency : "-", cost.estimated);
}

/* -- the message for FINISH */

static void write_failure(struct buf *out, const struct ending *ending)
{
    payload_write_failure(out, &(struct payload_failure){.problem = ending->problem,
                                                         .retryable = ending->retryable,
                                                         .words = ending->words,
                                                         .ark = ending->ark});
}

static void write_retrying(struct buf *out, const struct ending *ending, const struct attempt *attempt)
{
    payload_write_event(out, attempt->id,
                        (struct task_progress){.stage = STAGE_RETRYING,
                                               .attempt = attempt->number,
                                               .delay_ms = ending->delay_ms,
                                               .code = problem_code(ending->problem),
                                               .message = ending->words});
}

static void write_data(struct buf *out, const struct ending *ending, const struct attempt *attempt)
{
    switch (ending->action) {
    case VERDICT_DONE:
        payload_write_done(out, ending->ark);
        break;
    case VERDICT_FAIL:
        write_failure(out, ending);
        break;
    case VERDICT_RETRY:
    case VERDICT_DEFER:
        write_retrying(out, ending, attempt);
        break;
    case VERDICT_CANCELLED:
        buf_init(out, 1);
        break;
    case VERDICT_HANDBACK:
        payload_write_event(out, attempt->id,
                            (struct task_progress){.stage = STAGE_REQUEUED, .attempt = attempt->number});
        break;
    }
}

int ending_write(struct end_message *out, const struct ending *ending, const struct attempt *attempt,
                 const struct bill *bill)
{
    const struct cost cost = ending_cost(ending, bill);

    write_data(&out->data, ending, attempt);
    buf_init(&out->cost, PRICE_TEXT_MAX);
    if (is_charged(ending->charge))
        price_write(&out->cost, &cost, bill->tariff.currency);
    out->report = (struct report_end){.action = ending->action,
                                      .charge = ending->charge,
                                      .delay_ms = ending_is_delayed(ending) ? ending->delay_ms : 0,
                                      .data = buf_text(&out->data),
                                      .cost = buf_text(&out->cost)};
    return buf_error(&out->data) ? buf_error(&out->data) : buf_error(&out->cost);
}

void end_message_deinit(struct end_message *message)
{
    buf_deinit(&message->data);
    buf_deinit(&message->cost);
}
