/* webhook_command - print the secret that signs a client's webhooks, on the command line
 *
 * The secret is printed to stdout, alone on its line, so that scripts can capture it; messages go to stderr.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_WEBHOOK_COMMAND_H
#define ARKRELAY_GATEWAY_ACCESS_WEBHOOK_COMMAND_H

struct webhook_command {
    const char *keys_file; /* "": no keys, and only the client public */
    const char *master;    /* WEBHOOK_SECRET */
    const char *client;    /* --show-webhook-secret NAME */
};

/* Returns the exit status. */
int webhook_command_run(const struct webhook_command *command);

#endif
