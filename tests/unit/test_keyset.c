#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/sha256.h"
#include "gateway/access/client.h"
#include "gateway/access/key_file.h"
#include "gateway/access/key_token.h"
#include "gateway/access/keyring.h"

enum { KEYS = 40, ENDS_MS = 5000 };

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct client_limits defaults = {
    .most = {600, 10000, 1000, 0}
};

static struct key_line lines[KEYS];
static char tokens[KEYS][KEY_TOKEN_SIZE];

/* The key ids are unsorted. Each client has two keys. */
static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct key_line *line = &lines[i];

        *line = (struct key_line){.expires_ms = INT64_MAX, .limits = {.most = {-1, -1, -1, -1}}};
        (void)snprintf(line->id, sizeof(line->id), "%012x", i * 17 % KEYS);
        (void)snprintf(line->client, sizeof(line->client), "c%d", i / 2);
        assert_int_equal(key_token_make(tokens[i], line->id, SECRET), 0);
        assert_int_equal(sha256(line->digest, tokens[i], strlen(tokens[i])), 0);
    }
    return 0;
}

static struct client *find(const struct keyset *set, const char *token, int64_t now_ms)
{
    return keyset_find(set, (struct http_text){token, strlen(token)}, now_ms);
}

static struct keyset *make(struct clients *clients)
{
    const struct key_file file = {.keys = lines, .count = KEYS};
    struct keyset *set = keyset_create(&file, clients, &defaults);

    assert_non_null(set);
    return set;
}

static void test_each_key_finds_its_client(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *set = make(clients);

    (void)state;
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(find(set, tokens[i], 0), clients_get(clients, lines[i].client));
    assert_int_equal(keyset_live_count(set, 0), KEYS);
    keyset_unref(set);
    clients_destroy(clients);
}

static void test_a_changed_or_truncated_token_finds_no_client(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *set = make(clients);
    char token[KEY_TOKEN_SIZE];

    (void)state;
    for (size_t i = 0; i < KEY_TOKEN_LEN; i++) {
        memcpy(token, tokens[7], sizeof(token));
        token[i] = token[i] == '0' ? '1' : '0';
        assert_null(find(set, token, 0));
    }
    for (size_t len = 0; len < KEY_TOKEN_LEN; len++)
        assert_null(keyset_find(set, (struct http_text){tokens[7], len}, 0));
    assert_null(keyset_find(set, (struct http_text){0}, 0));
    keyset_unref(set);
    clients_destroy(clients);
}

static void test_expired_and_revoked_keys_find_no_client(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *set;

    (void)state;
    lines[3].expires_ms = ENDS_MS;
    lines[4].revoked = true;
    set = make(clients);
    assert_non_null(find(set, tokens[3], ENDS_MS - 1));
    assert_null(find(set, tokens[3], ENDS_MS));
    assert_null(find(set, tokens[4], 0));
    assert_non_null(find(set, tokens[5], ENDS_MS));
    assert_int_equal(keyset_live_count(set, ENDS_MS), KEYS - 2);
    keyset_unref(set);
    clients_destroy(clients);
}

static void test_the_first_line_that_is_not_revoked_sets_a_limit(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *set;
    const struct client *client;

    (void)state;
    lines[0].limits = (struct client_limits){
        .most = {1, 2, -1, -1}
    };
    lines[1].limits = (struct client_limits){
        .most = {5, -1, 7, 0}
    };
    lines[2].limits = (struct client_limits){
        .most = {9, 9, 9, 9}
    };
    lines[2].revoked = true;
    set = make(clients);
    client = clients_get(clients, "c0");
    assert_int_equal(client_limit(client, CLIENT_REQUESTS), 1);
    assert_int_equal(client_limit(client, CLIENT_QUEUED), 2);
    assert_int_equal(client_limit(client, CLIENT_STREAMS), 7);
    assert_int_equal(client_limit(client, CLIENT_IMAGES), 0);
    client = clients_get(clients, "c1");
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        assert_int_equal(client_limit(client, (enum client_limit)i), defaults.most[i]);
    keyset_unref(set);
    clients_destroy(clients);
}

static void test_clients_and_their_streams_outlive_a_keyset(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *old = make(clients), *held = keyset_ref(old), *new;
    struct client *client = find(old, tokens[0], 0);

    (void)state;
    assert_true(client_enter_stream(client));
    new = make(clients);
    keyset_unref(old);
    assert_ptr_equal(find(held, tokens[0], 0), client);
    keyset_unref(held);
    assert_ptr_equal(find(new, tokens[0], 0), client);
    assert_int_equal(client->streams, 1);
    keyset_unref(new);
    keyset_unref(NULL);
    clients_destroy(clients);
}

static void test_an_empty_keyset_finds_no_client(void **state)
{
    struct clients *clients = clients_create();
    struct keyset *set = keyset_create(&(struct key_file){0}, clients, &defaults);

    (void)state;
    assert_null(find(set, tokens[0], 0));
    assert_int_equal(keyset_live_count(set, 0), 0);
    keyset_unref(set);
    clients_destroy(clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_key_finds_its_client, set_up),
        cmocka_unit_test_setup(test_a_changed_or_truncated_token_finds_no_client, set_up),
        cmocka_unit_test_setup(test_expired_and_revoked_keys_find_no_client, set_up),
        cmocka_unit_test_setup(test_the_first_line_that_is_not_revoked_sets_a_limit, set_up),
        cmocka_unit_test_setup(test_clients_and_their_streams_outlive_a_keyset, set_up),
        cmocka_unit_test_setup(test_an_empty_keyset_finds_no_client, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
