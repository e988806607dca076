/* Keys. A token finds a client only if it is byte for byte the right one. A line of the keys file is refused with a reason, or has the
 * same meaning after it is written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/sha256.h"
#include "gateway/access/client.h"
#include "gateway/access/key_file.h"
#include "gateway/access/key_token.h"
#include "gateway/access/keyring.h"
#include "tests/fuzz/must.h"

enum { LINE_TEXT_MAX = 4096 };

static const char id[] = "0123456789ab";
static const char secret[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/* One client with one key, for the whole run. */
struct fixture {
    struct clients *clients;
    struct keyset *set;
    char token[KEY_TOKEN_SIZE];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(struct fixture *fixture)
{
    static const struct client_limits defaults = {
        .most = {1, 1, 1, 1}
    };
    struct key_line key = {.client = "shop", .expires_ms = INT64_MAX, .limits = defaults};
    const struct key_file file = {.keys = &key, .count = 1};

    must(!key_token_make(fixture->token, id, secret));
    memcpy(key.id, id, sizeof(id));
    must(!sha256(key.digest, fixture->token, KEY_TOKEN_LEN));
    fixture->clients = clients_create();
    must(fixture->clients != NULL);
    fixture->set = keyset_create(&file, fixture->clients, &defaults);
    must(fixture->set != NULL);
    must(keyset_find(fixture->set, (struct http_text){fixture->token, KEY_TOKEN_LEN}, 0) != NULL);
}

static void check_token(const struct fixture *fixture, const char *text, size_t len)
{
    bool right = len == KEY_TOKEN_LEN && !memcmp(text, fixture->token, len);
    char found[KEY_ID_SIZE];

    must(right == (keyset_find(fixture->set, (struct http_text){text, len}, 0) != NULL));
    key_token_id(found, text, len);
    must(!*found || key_id_is_valid(found, strlen(found)));
}

static void check_line(const char *line, size_t len)
{
    struct key_line first = {0}, second = {0};
    struct buf why, written, again;
    int err;

    buf_init(&why, LINE_TEXT_MAX);
    buf_init(&written, LINE_TEXT_MAX);
    buf_init(&again, LINE_TEXT_MAX);
    err = key_line_parse(line, len, &first, &why);
    must(!err || err == ERR_NOT_FOUND || (err == ERR_SYNTAX && why.len));
    if (!err) {
        key_line_write(&written, &first);
        must(!buf_error(&written) && written.data[written.len - 1] == '\n');
        must(!key_line_parse(written.data, written.len - 1, &second, &why));
        key_line_write(&again, &second);
        must(!strcmp(buf_text(&written), buf_text(&again)));
        must(client_name_is_valid(first.client, strlen(first.client)));
    }
    buf_deinit(&why);
    buf_deinit(&written);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fixture fixture;
    char *text = malloc(size + !size); /* exact, not NUL-terminated */

    must(text != NULL);
    if (!fixture.set)
        build(&fixture);
    if (size)
        memcpy(text, data, size);
    check_token(&fixture, text, size);
    check_line(text, size);
    free(text);
    return 0;
}
