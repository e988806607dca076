#include "simulator/api.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/http/server.h"
#include "simulator/call.h"
#include "simulator/image_url.h"
#include "simulator/sim_options.h"
#include "simulator/state.h"
#include "simulator/stats.h"

enum {
    BODY_MAX = 64 * 1024 * 1024,
    OUTPUT_MAX = 512 * 1024 * 1024,
    CONNECTIONS_MAX = 60000,
    ANSWER_MAX = 512 * 1024 * 1024,
    ADVANCE_MAX_S = 366 * 86400,
};

static const char generations_path[] = "/api/v3/images/generations";

static void respond_with(struct http_exchange *exchange, const char *type, const struct buf *body)
{
    if (buf_error(body))
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_INTERNAL});
    else
        http_respond(exchange, 200, type, buf_text(body), body->len);
}

static void respond_with_text(struct http_exchange *exchange, const char *type, const char *text)
{
    http_respond(exchange, 200, type, text, strlen(text));
}

static void respond_bad_body(struct http_exchange *exchange, const char *why)
{
    http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_INVALID_JSON, .detail = why});
}

/* -- ARK */

static void on_generations(struct http_exchange *exchange, void *arg)
{
    sim_call_start(arg, exchange);
}

/* ARK answers unknown /api/ paths with 404 and an empty body. */
static void on_request(struct http_exchange *exchange, void *arg)
{
    struct http_text path = http_exchange_request(exchange)->path;

    (void)arg;
    http_add_header(exchange, "server", "istio-envoy");
    if (path.len >= 5 && !memcmp(path.data, "/api/", 5) && !http_text_is(path, generations_path))
        http_respond(exchange, 404, NULL, NULL, 0);
}

/* -- images */

static void respond_from_store(struct http_exchange *exchange, int status, const char *code, const char *message)
{
    struct buf body;

    buf_init(&body, 1024);
    buf_addf(&body,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>"
             "<RequestId>%s</RequestId></Error>\n",
             code, message, http_exchange_request_id(exchange));
    http_respond(exchange, status, "application/xml", buf_text(&body), body.len);
    buf_deinit(&body);
}

static void respond_with_picture(struct http_exchange *exchange, struct sim *sim, enum sim_picture_format format,
                                 int index)
{
    const struct buf *picture = sim_picture(sim, format, index);

    if (picture)
        http_respond(exchange, 200, sim_picture_type(format), picture->data, picture->len);
    else
        respond_from_store(exchange, 500, "InternalError", "The image could not be generated.");
}

static void on_picture(struct http_exchange *exchange, void *arg)
{
    const struct http_request *request = http_exchange_request(exchange);
    struct sim *sim = arg;
    enum sim_picture_format format;
    int index;

    switch (sim_image_url_check(sim->signer, request->path, request->query, sim_now_ms(sim), &index, &format)) {
    case SIM_ACCESS_GRANTED:
        respond_with_picture(exchange, sim, format, index);
        return;
    case SIM_ACCESS_UNKNOWN:
        respond_from_store(exchange, 404, "NoSuchKey", "The specified key does not exist.");
        return;
    case SIM_ACCESS_EXPIRED:
        respond_from_store(exchange, 403, "AccessDenied", "Request has expired.");
        return;
    case SIM_ACCESS_DENIED:
        respond_from_store(exchange, 403, "AccessDenied", "The signature does not match.");
        return;
    }
}

/* -- controls for tests */

static void on_livez(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    respond_with_text(exchange, "text/plain; charset=utf-8", "ok\n");
}

static void on_root(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    respond_with_text(
        exchange, "text/plain; charset=utf-8",
        "arkrelay's simulator of ARK's image API. Calls are free.\n\n"
        "POST /api/v3/images/generations   ARK's API\n"
        "GET  /sim/stats, /sim/calls       counters, and one record per call\n"
        "POST /sim/script                  sets the behaviour of the next calls, one step per call\n"
        "POST /sim/outage                  sets the answer to every call until the outage ends\n"
        "POST /sim/clock                   {\"advance_ms\": n} advances the clock, so that image URLs expire\n"
        "POST /sim/reset                   restores the state after the start\n");
}

static void on_stats(struct http_exchange *exchange, void *arg)
{
    const struct sim *sim = arg;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    sim_stats_write(sim->stats, &body);
    buf_addf(&body, ",\"script_left\":%zu,\"connections\":%zu,\"clock_ms\":%" PRId64 "}",
             sim_scenario_left(&sim->scenario), http_server_connections(sim->server), sim_now_ms(sim));
    respond_with(exchange, "application/json", &body);
    buf_deinit(&body);
}

static void on_calls(struct http_exchange *exchange, void *arg)
{
    const struct sim *sim = arg;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    sim_stats_write_calls(sim->stats, &body);
    respond_with(exchange, "application/json", &body);
    buf_deinit(&body);
}

static void on_reset(struct http_exchange *exchange, void *arg)
{
    struct sim *sim = arg;

    sim_stats_reset(sim->stats);
    sim_scenario_deinit(&sim->scenario);
    sim_outage_deinit(&sim->outage);
    memset(sim->windows, 0, sizeof(sim->windows));
    sim->clock_offset_ms = 0;
    http_respond(exchange, 204, NULL, NULL, 0);
}

static struct http_text body_of(struct http_exchange *exchange)
{
    struct http_text body = http_exchange_request(exchange)->body;

    return body.data ? body : (struct http_text){"", 0};
}

/* `err` and `why` are the result of loading the request's body. */
static void respond_loaded(struct http_exchange *exchange, int err, const char *why)
{
    if (err)
        respond_bad_body(exchange, why);
    else
        http_respond(exchange, 204, NULL, NULL, 0);
}

static void on_script(struct http_exchange *exchange, void *arg)
{
    struct http_text body = body_of(exchange);
    char why[SIM_WHY_SIZE];
    struct sim *sim = arg;

    respond_loaded(exchange, sim_scenario_load(&sim->scenario, body.data, body.len, why), why);
}

static void on_outage(struct http_exchange *exchange, void *arg)
{
    struct http_text body = body_of(exchange);
    char why[SIM_WHY_SIZE];
    struct sim *sim = arg;

    respond_loaded(exchange, sim_outage_load(&sim->outage, body.data, body.len, why), why);
}

static void on_clock(struct http_exchange *exchange, void *arg)
{
    struct http_text body = body_of(exchange);
    json_t *root = json_loadb(body.data, body.len, 0, NULL);
    const json_t *advance = json_object_get(root, "advance_ms");
    int64_t ms = json_integer_value(advance);
    struct sim *sim = arg;

    if (!json_is_integer(advance) || ms < 0 || ms > ADVANCE_MAX_S * 1000LL) {
        respond_bad_body(exchange, "advance_ms must be a number of milliseconds, at most a year");
    } else {
        sim->clock_offset_ms += ms;
        http_respond(exchange, 204, NULL, NULL, 0);
    }
    json_decref(root);
}

/* -- the server: fixed routes, and one route per model for its images */

static const struct http_route fixed_routes[] = {
    {HTTP_POST, generations_path, on_generations},
    {HTTP_GET,  "/",              on_root       },
    {HTTP_GET,  "/livez",         on_livez      },
    {HTTP_GET,  "/sim/stats",     on_stats      },
    {HTTP_GET,  "/sim/calls",     on_calls      },
    {HTTP_POST, "/sim/reset",     on_reset      },
    {HTTP_POST, "/sim/script",    on_script     },
    {HTTP_POST, "/sim/outage",    on_outage     },
    {HTTP_POST, "/sim/clock",     on_clock      },
};

static void fill_routes(struct sim *sim)
{
    const struct sim_model *model;

    for (size_t i = 0; i < ARRAY_LENGTH(fixed_routes); i++)
        sim->routes[sim->route_count++] = fixed_routes[i];
    for (size_t i = 0; i < SIM_MODELS_MAX && (model = sim_model_at(i)); i++) {
        (void)snprintf(sim->picture_paths[i], SIM_PATH_SIZE, "/%s/{id}", model->name);
        sim->routes[sim->route_count++] =
            (struct http_route){.method = HTTP_GET, .path = sim->picture_paths[i], .handler = on_picture};
    }
}

struct http_server *sim_api_listen(struct sim *sim, const char **why)
{
    struct http_server_config config;

    fill_routes(sim);
    http_server_config_init(&config);
    config.listen = sim->options->listen;
    config.routes = sim->routes;
    config.route_count = sim->route_count;
    config.arg = sim;
    config.on_request = on_request;
    config.half_close_is_gone = true;
    config.limits.body_max = BODY_MAX;
    config.connections_max = CONNECTIONS_MAX;
    config.output_max = OUTPUT_MAX;
    return http_server_create(sim->loop, &config, why);
}
