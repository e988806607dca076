#include "gateway/access/webhook_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/config/options.h"
#include "common/task/task.h"
#include "common/webhook/signature.h"
#include "gateway/access/key_file.h"

enum { WHY_MAX = 1024 };

static int refuse(const char *what)
{
    (void)fprintf(stderr, "arkrelay-gateway: --show-webhook-secret: %s\n", what);
    return OPTIONS_EXIT_BAD;
}

/* Of the first line of the client that sets it. 0: the file has no line of the client that is not revoked. */
static int generation_in(const struct key_file *file, const char *client)
{
    int generation = 0;

    for (size_t i = file->count; i-- > 0;) {
        const struct key_line *line = &file->keys[i];

        if (line->revoked || strcmp(line->client, client) != 0)
            continue;
        if (line->webhook_generation)
            generation = line->webhook_generation;
        else if (!generation)
            generation = 1;
    }
    return generation;
}

/* An exit status; *generation is set on EXIT_SUCCESS. */
static int find_generation(const struct webhook_command *command, int *generation)
{
    struct key_file file;
    struct buf why;
    int err;

    *generation = 1;
    if (!*command->keys_file)
        return strcmp(command->client, TASK_CLIENT_PUBLIC) ? refuse("without a keys file, the only client is public")
                                                           : EXIT_SUCCESS;
    buf_init(&why, WHY_MAX);
    err = key_file_read(command->keys_file, &file, &why);
    if (err)
        (void)fprintf(stderr, "arkrelay-gateway: %s: %s\n", command->keys_file,
                      why.len ? buf_text(&why) : err_text(err));
    buf_deinit(&why);
    if (err)
        return EXIT_FAILURE;
    *generation = generation_in(&file, command->client);
    key_file_deinit(&file);
    return *generation ? EXIT_SUCCESS : refuse("the keys file has no valid key of this client");
}

static int print_secret(const struct webhook_command *command, int generation)
{
    char secret[WEBHOOK_SECRET_SIZE];
    struct webhook_key key;
    int err = webhook_key_derive(&key, command->master, command->client, generation);

    if (err)
        return refuse(err_text(err));
    webhook_secret_write(secret, &key);
    if (puts(secret) < 0 || fflush(stdout))
        return EXIT_FAILURE;
    (void)fprintf(
        stderr,
        "arkrelay-gateway: the secret above verifies the webhooks of the client %s, generation %d\n"
        "  webhooks are signed with it%s\n"
        "  to change it, set webhook_generation=%d at the client's first line in the keys file, and send SIGHUP\n",
        command->client, generation, generation > 1 ? ", and with the secret of the generation before it" : "",
        generation + 1);
    return EXIT_SUCCESS;
}

int webhook_command_run(const struct webhook_command *command)
{
    int generation, status;

    if (strlen(command->master) < WEBHOOK_MASTER_MIN)
        return refuse("WEBHOOK_SECRET is not set");
    status = find_generation(command, &generation);
    return status ? status : print_secret(command, generation);
}
