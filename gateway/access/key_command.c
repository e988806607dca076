#include "gateway/access/key_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/config/options.h"
#include "gateway/access/key_file.h"

enum { LIVE_KEYS_MAX = 2, WHY_MAX = 1024, HOUR_S = 3600, LIFETIME_DAYS_MAX = 3650, NUMBER_MAX = 10 };

bool key_command_is_given(const struct key_command *command)
{
    return *command->new_key || *command->revoke_key || command->list_keys;
}

static int complain_about_file(const struct key_command *command, const char *what)
{
    (void)fprintf(stderr, "arkrelay-gateway: %s: %s\n", command->keys_file, what);
    return EXIT_FAILURE;
}

static int refuse_command(const char *what)
{
    (void)fprintf(stderr, "arkrelay-gateway: %s\n", what);
    return OPTIONS_EXIT_BAD;
}

int key_lifetime_parse(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {
        {"m", 60         },
        {"h", HOUR_S     },
        {"d", 24 * HOUR_S},
    };
    size_t digits = strspn(text, "0123456789");
    int64_t count;

    if (!digits || digits > NUMBER_MAX)
        return ERR_SYNTAX;
    count = strtoll(text, NULL, 10);
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        if (count < 1 || count * units[i].seconds > LIFETIME_DAYS_MAX * 24LL * HOUR_S)
            return ERR_RANGE;
        *out = count * units[i].seconds * 1000;
        return 0;
    }
    return ERR_SYNTAX;
}

/* -- a new key */

static const char *live_ids(const struct key_file *file, const struct key_line *line, struct buf *out, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct key_line *key = &file->keys[i];

        if (strcmp(key->client, line->client) == 0 && key_line_is_live(key, line->created_ms))
            buf_addf(out, "%s%s", (*count)++ ? ", " : "", key->id);
    }
    return buf_text(out);
}

static bool has_key_id(const struct key_file *file, const char *id)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->keys[i].id, id) == 0)
            return true;
    return false;
}

/* Copies the client's limits and webhook to the new line, so that revoking the old key does not lose them. */
static void inherit_limits(const struct key_file *file, struct key_line *line)
{
    for (size_t i = file->count; i-- > 0;) {
        const struct key_line *key = &file->keys[i];

        if (key->revoked || strcmp(key->client, line->client) != 0)
            continue;
        for (int limit = 0; limit < CLIENT_LIMIT_COUNT; limit++)
            if (key->limits.most[limit] != KEY_LIMIT_UNSET)
                line->limits.most[limit] = key->limits.most[limit];
        if (key->webhook.url)
            line->webhook = key->webhook; /* valid until the line is written */
        if (key->webhook_generation)
            line->webhook_generation = key->webhook_generation;
    }
}

static int make_token(char token[KEY_TOKEN_SIZE], struct key_line *line)
{
    char secret[2 * KEY_SECRET_BYTES + 1];
    int err;

    random_hex(secret, KEY_SECRET_BYTES);
    err = key_token_make(token, line->id, secret);
    return err ? err : sha256(line->digest, token, KEY_TOKEN_LEN);
}

static int key_command_on_append(const struct key_file *file, struct key_line *line, void *arg, struct buf *why)
{
    struct buf ids;
    size_t count;

    buf_init(&ids, WHY_MAX);
    (void)live_ids(file, line, &ids, &count);
    if (count >= LIVE_KEYS_MAX)
        buf_addf(why, "%s already has %zu valid keys (%s), the maximum; revoke one first: --revoke-key %.*s",
                 line->client, count, buf_text(&ids), KEY_ID_SIZE - 1, buf_text(&ids));
    buf_deinit(&ids);
    if (count >= LIVE_KEYS_MAX)
        return ERR_REFUSED;
    if (file->count >= KEY_FILE_KEYS_MAX) {
        buf_addf(why, "the file has %d keys, the maximum; delete the lines of revoked keys", KEY_FILE_KEYS_MAX);
        return ERR_TOO_LONG;
    }
    do
        random_hex(line->id, KEY_ID_BYTES);
    while (has_key_id(file, line->id));
    inherit_limits(file, line);
    return make_token(arg, line);
}

static void print_details(const struct key_command *command, const struct key_line *line)
{
    char expires[KEY_TIME_SIZE];

    key_time_write(expires, line->expires_ms);
    (void)fprintf(stderr,
                  "arkrelay-gateway: the key above is shown only once; %s stores its hash.\n"
                  "  client %s, key id %s, expires %s\n"
                  "  in requests:  Authorization: Bearer arkrelay_...\n"
                  "  send SIGHUP to running gateways to load it\n",
                  command->keys_file, line->client, line->id, line->expires_ms == INT64_MAX ? "never" : expires);
}

static int new_key(const struct key_command *command)
{
    struct key_line line = {.created_ms = clock_wall_ms() / 1000 * 1000, .expires_ms = INT64_MAX};
    char token[KEY_TOKEN_SIZE] = "";
    int64_t lifetime_ms;
    struct buf why;
    int err;

    if (!client_name_is_valid(command->new_key, strlen(command->new_key)))
        return refuse_command(
            "--new-key: a client name has 1 to 32 characters of a-z 0-9 _ -, begins with a letter or digit, and is not public");
    if (*command->key_expires) {
        if (key_lifetime_parse(command->key_expires, &lifetime_ms))
            return refuse_command(
                "--key-expires must be a number of days, hours or minutes, such as 90d, up to ten years");
        line.expires_ms = line.created_ms + lifetime_ms;
    }
    (void)strncat(line.client, command->new_key, TASK_CLIENT_MAX);
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        line.limits.most[i] = KEY_LIMIT_UNSET;
    buf_init(&why, WHY_MAX);
    err = key_file_append(command->keys_file, &line, key_command_on_append, token, &why);
    if (err)
        (void)complain_about_file(command, why.len ? buf_text(&why) : err_text(err));
    buf_deinit(&why);
    if (err)
        return EXIT_FAILURE;
    if (puts(token) < 0 || fflush(stdout))
        return complain_about_file(command,
                                   "the key was created but could not be printed: revoke it and create another");
    print_details(command, &line);
    return EXIT_SUCCESS;
}

/* -- revoke and list */

/* Accepts a key id or a whole key: an operator who revokes a leaked key may have only the key itself. */
static int revoke_key(const struct key_command *command)
{
    const char *given = command->revoke_key;
    char id[KEY_ID_SIZE];
    struct buf why;
    int err;

    key_token_id(id, given, strlen(given));
    if (*id && key_token_has_typo(given))
        return refuse_command("--revoke-key: wrong checksum, the key has a typo");
    if (!*id && !key_id_is_valid(given, strlen(given)))
        return refuse_command("--revoke-key: expected a key id of 12 hex digits, see --list-keys");
    if (!*id)
        (void)strncat(id, given, KEY_ID_SIZE - 1);
    buf_init(&why, WHY_MAX);
    err = key_file_revoke(command->keys_file, id, &why);
    if (err)
        (void)complain_about_file(command, why.len ? buf_text(&why) : err_text(err));
    else
        (void)fprintf(stderr, "arkrelay-gateway: %s is revoked; send SIGHUP to running gateways to apply it\n", id);
    buf_deinit(&why);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void show_key(const struct key_line *key, int64_t now_ms)
{
    char created[KEY_TIME_SIZE], expires[KEY_TIME_SIZE];
    const char *state = key->revoked ? "revoked" : key_line_is_live(key, now_ms) ? "live" : "expired";

    key_time_write(created, key->created_ms);
    key_time_write(expires, key->expires_ms);
    (void)printf("%s  %-32s  %s  %-20s  %s\n", key->id, key->client, created, expires, state);
}

static int list_keys(const struct key_command *command)
{
    struct key_file file;
    struct buf why;
    int err;

    buf_init(&why, WHY_MAX);
    err = key_file_read(command->keys_file, &file, &why);
    if (err)
        (void)complain_about_file(command, why.len ? buf_text(&why) : err_text(err));
    buf_deinit(&why);
    if (err)
        return EXIT_FAILURE;
    for (size_t i = 0; i < file.count; i++)
        show_key(&file.keys[i], clock_wall_ms());
    key_file_deinit(&file);
    if (fflush(stdout) || ferror(stdout))
        return complain_about_file(command, "the list could not be printed");
    return EXIT_SUCCESS;
}

int key_command_run(const struct key_command *command)
{
    if (!*command->keys_file)
        return refuse_command("no keys file: set --keys-file FILE or GATEWAY_KEYS_FILE");
    if ((*command->new_key != 0) + (*command->revoke_key != 0) + command->list_keys > 1)
        return refuse_command("use only one of --new-key, --revoke-key and --list-keys");
    if (*command->new_key)
        return new_key(command);
    return *command->revoke_key ? revoke_key(command) : list_keys(command);
}
