#include "worker/ark_client.h"

#include <stdio.h>
#include <string.h>

#include "common/web/web.h"
#include "worker/options.h"

static void set_address(struct ark_client *client, const struct worker_options *options)
{
    bool simulated = !*options->ark_api_key;
    const char *base = simulated ? options->ark_sim_url : options->ark_base_url;
    size_t len = strlen(base);

    while (len && base[len - 1] == '/')
        len--;
    (void)snprintf(client->url, sizeof(client->url), "%.*s/images/generations", (int)len, base);
    (void)snprintf(client->authorization, sizeof(client->authorization), "Authorization: Bearer %s",
                   simulated ? "simulator" : options->ark_api_key);
}

bool ark_client_open(struct ark_client *client, struct loop *loop, const struct worker_options *options)
{
    client->web = web_create(&(struct web_setup){.loop = loop,
                                                 .connect_ms = options->ark_connect_timeout_ms,
                                                 .ca_file = options->ark_ca_file,
                                                 .user_agent = "arkrelay-worker/" ARKRELAY_VERSION});
    set_address(client, options);
    client->endpoint = (struct ark_endpoint){.web = client->web,
                                             .url = client->url,
                                             .authorization = client->authorization,
                                             .secret = options->ark_api_key,
                                             .answer_max = (size_t)options->ark_answer_max,
                                             .end_ms = options->ark_end_timeout_ms};
    return client->web;
}

void ark_client_close(struct ark_client *client)
{
    web_destroy(client->web);
    client->web = NULL;
    explicit_bzero(client->authorization, sizeof(client->authorization));
}
