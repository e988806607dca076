/* arkrelay-ark-sim - a simulator of ARK's image API, for tests and for trying arkrelay without an API key */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/http/healthcheck.h"
#include "common/http/server.h"
#include "simulator/sim.h"
#include "simulator/sim_options.h"

static int healthcheck(const struct sim_options *options)
{
    return http_healthcheck_main("arkrelay-ark-sim", options->listen, HEALTHCHECK_PLAIN, "/livez");
}

/* Each call in flight needs a file descriptor, and the soft limit is usually far below the hard limit. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_warn("ark-sim", "cannot raise the file descriptor limit, continuing", "errno=%d", errno);
}

static void on_signal(void *arg)
{
    log_info("ark-sim", "stopping", "reason=signal");
    loop_stop(arg);
}

static int serve(struct loop *loop, const struct sim_options *options)
{
    const char *why;
    struct sim *sim = sim_create(loop, options, &why);
    char quoted[512];

    if (!sim) {
        log_error("ark-sim", "cannot listen", "address=%s why=%s", options->listen,
                  log_quote(quoted, sizeof(quoted), why));
        return EXIT_FAILURE;
    }
    log_info("ark-sim", "listening", "address=%s", http_server_address(sim->server));
    loop_run(loop);
    sim_destroy(sim);
    return EXIT_SUCCESS;
}

static int run(const struct sim_options *options)
{
    struct loop *loop = loop_create();
    int status = EXIT_FAILURE;

    log_info("ark-sim", "starting", "version=%s image_ms=%lld", ARKRELAY_VERSION, (long long)options->image_ms);
    raise_descriptor_limit();
    if (!loop || loop_on_signals(loop, on_signal, on_signal, loop))
        log_error("ark-sim", "cannot start", "why=%s", "\"no event loop\"");
    else
        status = serve(loop, options);
    loop_destroy(loop);
    return status;
}

int main(int argc, char **argv)
{
    struct sim_options options = {0};
    int status;

    switch (options_load(&sim_option_table, argc, argv, &options)) {
    case OPTIONS_RUN:
        break;
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_BAD:
        return OPTIONS_EXIT_BAD;
    }
    log_setup((enum log_level)options.log_level, (enum log_format)options.log_format);
    status = options.healthcheck ? healthcheck(&options) : run(&options);
    options_deinit(&sim_option_table, &options);
    return status;
}
