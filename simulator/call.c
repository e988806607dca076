#include "simulator/call.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/random.h"
#include "common/base/timeval.h"
#include "common/http/server.h"
#include "simulator/call_answer.h"
#include "simulator/delivery.h"
#include "simulator/sim_options.h"
#include "simulator/state.h"
#include "simulator/stats.h"

enum { RANDOM_BYTES = 19, LAYERS_USUAL = 4 };

#define BIT(n) (1u << (n))
/* clang-format off */
static const struct {
    const char *name;
    unsigned next; /* allowed transitions; any other one fails an assertion */
} states[CALL_STATE_COUNT] = {
    [CALL_NEW]        = { "new",        BIT(CALL_REFUSING) | BIT(CALL_GENERATING) | BIT(CALL_STALLED) | BIT(CALL_GONE) },
    [CALL_REFUSING]   = { "refusing",   BIT(CALL_STALLED) | BIT(CALL_GONE) },
    [CALL_GENERATING] = { "generating", BIT(CALL_GENERATING) | BIT(CALL_STALLED) | BIT(CALL_GONE) },
    [CALL_STALLED]    = { "stalled",    BIT(CALL_GONE) },
    [CALL_GONE]       = { "gone",       0 },
};
/* clang-format on */

static void enter(struct sim_call *call, enum sim_call_state next, const char *why)
{
    assert(states[call->state].next & BIT(next));
    log_debug("call", "transition", "request=%s from=%s to=%s why=%s", call->request_id, states[call->state].name,
              states[next].name, why);
    call->state = next;
}

void sim_call_destroy(struct sim_call *call)
{
    if (!call)
        return;
    TAILQ_REMOVE(&call->sim->calls, call, link);
    if (call->delivery)
        sim_delivery_release(call->delivery);
    if (call->timer)
        event_free(call->timer);
    sim_request_deinit(&call->request);
    sim_behaviour_deinit(&call->behaviour);
    buf_deinit(&call->out);
    free(call);
}

static void end(struct sim_call *call, const char *why)
{
    struct sim_stats *stats = call->sim->stats;

    enter(call, CALL_GONE, why);
    if (sim_delivery_was_cut(call->delivery))
        sim_stats_outcome(stats, call->number, SIM_CUT);
    else
        sim_stats_outcome(stats, call->number, SIM_ANSWERED);
    sim_stats_end(stats, call->number, clock_monotonic_ms() - call->started_ms);
    sim_call_destroy(call);
}

static void arm(struct sim_call *call, int64_t delay_ms)
{
    struct timeval tv = timeval_of_ms(delay_ms);

    evtimer_add(call->timer, &tv);
}

static void wait_ms(struct sim_call *call, int64_t delay_ms)
{
    call->due_ms = clock_monotonic_ms() + delay_ms;
    arm(call, delay_ms);
}

/* -- errors instead of pictures */

static bool times_out_downloading(const struct sim_call *call)
{
    return call->behaviour.download_timeout != SIM_UNSET &&
           (size_t)call->behaviour.download_timeout < call->request.ref_count;
}

static bool is_refused_by_script(const struct sim_call *call)
{
    const struct sim_behaviour *behaviour = &call->behaviour;

    return behaviour->raw || times_out_downloading(call) || behaviour->status != SIM_UNSET ||
           (*behaviour->code && behaviour->error_frame == SIM_FRAME_NONE);
}

static void refuse(struct sim_call *call, const struct sim_error *error)
{
    sim_call_answer_error(call, error);
    end(call, error->code);
}

static void stall(struct sim_call *call)
{
    enter(call, CALL_STALLED, "scripted");
    if (!sim_delivery_is_open(call->delivery))
        end(call, "client-left");
}

static void answer_raw(struct sim_call *call)
{
    sim_call_answer_raw(call);
    if (call->behaviour.stays_open)
        stall(call);
    else
        end(call, "raw");
}

static void refuse_by_script(struct sim_call *call)
{
    struct sim_error error;

    if (call->behaviour.raw) {
        answer_raw(call);
        return;
    }
    if (times_out_downloading(call)) {
        sim_error_about(&error, "InvalidParameter", "", "Timeout while downloading url=%s.",
                        call->request.refs[call->behaviour.download_timeout]);
        error.type[0] = '\0';
    } else {
        sim_call_scripted_error(call, &error);
    }
    refuse(call, &error);
}

static void start_refusing(struct sim_call *call)
{
    enter(call, CALL_REFUSING, "scripted");
    if (call->behaviour.latency == SIM_UNSET)
        refuse_by_script(call);
    else
        wait_ms(call, call->behaviour.latency);
}

/* -- the steps of a generation */

/* True if a fault requested "after the n-th image" is due. After 0 means before the first image. */
static bool is_due(const struct sim_call *call, int64_t after_image)
{
    return after_image != SIM_UNSET && after_image <= call->usage.images;
}

static int64_t picture_ms(const struct sim_call *call)
{
    const struct sim_options *options = call->sim->options;
    const struct sim_behaviour *behaviour = &call->behaviour;

    if (!call->next && behaviour->first_latency != SIM_UNSET)
        return behaviour->first_latency;
    if (behaviour->latency != SIM_UNSET)
        return behaviour->latency;
    return call->next || options->first_image_ms < 0 ? options->image_ms : options->first_image_ms;
}

/* True once per call: when the requested silence is due. */
static bool stalls_now(struct sim_call *call)
{
    int64_t after_image = call->behaviour.hang_after_image;

    if (after_image == SIM_UNSET && call->behaviour.hang != SIM_UNSET)
        after_image = 0;
    if (call->has_stalled || !is_due(call, after_image))
        return false;
    call->has_stalled = true;
    return true;
}

static void next_turn(struct sim_call *call)
{
    int64_t delay_ms = call->next < call->planned ? picture_ms(call) : 0;

    if (stalls_now(call)) {
        if (call->behaviour.hang <= SIM_FOREVER) {
            stall(call);
            return;
        }
        delay_ms += call->behaviour.hang;
    } else if (call->next >= call->planned) {
        sim_call_answer_rest(call);
        end(call, "complete");
        return;
    }
    enter(call, CALL_GENERATING, "next");
    wait_ms(call, delay_ms);
}

/* Applies a requested cut or error frame if it is due. Returns true if the call has ended. After a cut the call continues
 * without a client. */
static bool break_off(struct sim_call *call)
{
    const struct sim_behaviour *behaviour = &call->behaviour;

    if (is_due(call, behaviour->cut_after_image))
        sim_delivery_cut(call->delivery);
    if (behaviour->error_frame == SIM_FRAME_NONE || !call->request.stream)
        return false;
    if (!is_due(call, behaviour->error_after_image == SIM_UNSET ? 0 : behaviour->error_after_image))
        return false;
    sim_call_answer_error_frame(call);
    end(call, "error-frame");
    return true;
}

static void generate(struct sim_call *call)
{
    if (break_off(call))
        return;
    if (call->next < call->planned) {
        sim_call_make_picture(call);
        if (break_off(call))
            return;
    }
    next_turn(call);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sim_call *call = arg;
    int64_t early_ms = call->due_ms - clock_monotonic_ms();

    (void)fd;
    (void)what;
    if (early_ms > 0) /* libevent measures the delay from the start of the loop iteration, so a timer can fire early */
        arm(call, early_ms);
    else if (call->state == CALL_REFUSING)
        refuse_by_script(call);
    else
        generate(call);
}

/* The call continues without its client, unless it was only waiting. */
static void on_gone(void *arg)
{
    struct sim_call *call = arg;

    sim_stats_outcome(call->sim->stats, call->number, SIM_DISCONNECTED);
    if (call->state == CALL_STALLED || call->state == CALL_REFUSING)
        end(call, "client-left");
}

/* -- the start of a call */

static bool is_authorized(const struct sim_call *call, const struct http_request *request)
{
    static const char scheme[] = "Bearer ";
    struct http_text value = http_request_header(request, "Authorization");
    const char *key = call->sim->options->key;
    size_t len = strlen(scheme);

    if (!value.data || value.len <= len || strncasecmp(value.data, scheme, len))
        return false;
    return !*key || http_text_is((struct http_text){value.data + len, value.len - len}, key);
}

/* Returns ERR_REFUSED with the reason in *error. */
static int read_request(struct sim_call *call, const struct http_request *request, struct sim_error *error)
{
    char why[SIM_WHY_SIZE];
    int err;

    if (!is_authorized(call, request)) {
        sim_error_init(error, "AuthenticationError");
        return ERR_REFUSED;
    }
    err = sim_request_read(&call->request, request->body.data ? request->body.data : "", request->body.len, error);
    if (!err)
        sim_scenario_next(&call->sim->scenario, &call->behaviour);
    if (call->request.prompt && sim_behaviour_read_prompt(&call->behaviour, call->request.prompt, why) && !err) {
        sim_error_about(error, "InvalidParameter", "prompt", "%s", why);
        err = ERR_REFUSED;
    }
    return err;
}

/* Checked only when a call starts. Calls that are already in flight can still exceed the limit of their model. */
static int check_limits(struct sim_call *call, struct sim_error *error)
{
    const struct sim_options *options = call->sim->options;
    int64_t made = sim_window_count(sim_window_of(call->sim, call->request.model), sim_now_ms(call->sim));

    if (options->images_per_minute && made >= options->images_per_minute) {
        sim_error_init(error, "ModelAccountIpmRateLimitExceeded");
        return ERR_REFUSED;
    }
    if (options->calls_max && (int64_t)sim_stats_open(call->sim->stats) > options->calls_max) {
        sim_error_init(error, "InflightBatchsizeExceeded");
        return ERR_REFUSED;
    }
    return 0;
}

static void keep_record(struct sim_call *call)
{
    const struct sim_request *request = &call->request;
    struct sim_record facts = {.time_ms = sim_now_ms(call->sim),
                               .request_id = call->request_id,
                               .client_request_id = call->client_request_id,
                               .model = request->asked_model,
                               .prompt = request->prompt,
                               .size = request->size,
                               .extras = request->extras,
                               .refs = request->ref_count,
                               .max_images = request->max_images,
                               .watermark = request->watermark,
                               .stream = request->stream,
                               .images = request->images};

    call->number = sim_stats_begin(call->sim->stats, &facts);
}

/* One layer that fails ends the request without an image. */
static void fail_all_layers(struct sim_call *call)
{
    for (int i = 0; i < call->planned; i++)
        if (*call->behaviour.fail[i]) {
            call->last_failure = call->behaviour.fail[i];
            call->planned = 0;
        }
}

static void plan(struct sim_call *call)
{
    struct sim_behaviour *behaviour = &call->behaviour;

    call->planned = call->request.images;
    if (call->request.layers && behaviour->images == SIM_UNSET)
        behaviour->images = LAYERS_USUAL;
    if (behaviour->images != SIM_UNSET && behaviour->images < call->planned)
        call->planned = (int)behaviour->images;
    if (behaviour->rst && behaviour->cut_after_image == SIM_UNSET && behaviour->cut_at_byte == SIM_UNSET)
        behaviour->cut_after_image = 0;
    call->usage.web_search = call->request.web_search;
    if (call->request.layers)
        fail_all_layers(call);
}

static struct sim_call *create(struct sim *sim, const struct http_request *request)
{
    struct sim_call *call = calloc(1, sizeof(*call));
    struct http_text client_id = http_request_header(request, "X-Client-Request-Id");
    char random[2 * RANDOM_BYTES + 1];

    if (!call)
        return NULL;
    TAILQ_INSERT_TAIL(&sim->calls, call, link);
    call->sim = sim;
    call->started_ms = clock_monotonic_ms();
    call->request.watermark = -1;
    random_hex(random, RANDOM_BYTES);
    sim_request_id(call->request_id, sim_now_ms(sim), random);
    if (client_id.data && client_id.len < SIM_CLIENT_ID_SIZE)
        memcpy(call->client_request_id, client_id.data, client_id.len);
    buf_init(&call->out, SIM_OUT_MAX);
    sim_behaviour_init(&call->behaviour);
    call->timer = evtimer_new(loop_base(sim->loop), on_timer, call);
    return call;
}

/* If an outage applies, replaces the directives of the script and the prompt with those of the outage. */
static void apply_outage(struct sim_call *call, int err)
{
    const struct sim_outage *outage = &call->sim->outage;

    if (!outage->is_on || (err && outage->accepted_only))
        return;
    call->in_outage = true;
    sim_behaviour_deinit(&call->behaviour);
    sim_behaviour_copy(&call->behaviour, &outage->behaviour);
}

/* Answers without making an image. */
static void answer_in_outage(struct sim_call *call)
{
    if (is_refused_by_script(call)) {
        start_refusing(call);
    } else if (call->behaviour.hang != SIM_UNSET) {
        stall(call);
    } else {
        sim_delivery_cut(call->delivery);
        end(call, "outage");
    }
}

/* `err` and *error are the result of reading the request. */
static void begin(struct sim_call *call, int err, struct sim_error *error)
{
    keep_record(call);
    if (call->in_outage) {
        answer_in_outage(call);
        return;
    }
    if (!err && !is_refused_by_script(call))
        err = check_limits(call, error);
    if (err) {
        refuse(call, error);
    } else if (is_refused_by_script(call)) {
        start_refusing(call);
    } else {
        plan(call);
        next_turn(call);
    }
}

void sim_call_start(struct sim *sim, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    struct sim_call *call = create(sim, request);
    struct sim_error error;
    int err = 0;

    if (call && call->timer) {
        err = read_request(call, request, &error);
        apply_outage(call, err);
        call->delivery = sim_delivery_create(sim->loop, exchange, &call->behaviour, on_gone, call);
    }
    if (call && call->delivery) {
        begin(call, err, &error);
        return;
    }
    sim_call_destroy(call);
    http_respond(exchange, 500, NULL, NULL, 0);
}
