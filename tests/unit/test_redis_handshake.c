/* The handshake: the commands for an address and its requirements, and the verdict on the replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/redis/address.h"
#include "common/redis/handshake.h"
#include "common/redis/replies.h"
#include "common/redis/server_check.h"

static const struct server_requirements requirements = {
    .eviction_policy = "noeviction", .schema_key = "k", .schema_field = "f", .schema = "1", .schema_advice = "upgrade"};

/* clang-format off */
static const struct { const char *name, *url; bool with_requirements; const char *commands; } sent[] = {
    { "the minimum",               "redis://h",                        false, "CLIENT SETNAME n, PING" },
    { "a password and a database", "redis://:p@h/7",                   false, "AUTH p, SELECT 7, CLIENT SETNAME n, PING" },
    { "a user",                    "redis://u:p@h",                    false, "AUTH u p, CLIENT SETNAME n, PING" },
    { "sentinels",                 "redis+sentinel://u:p@h/master/1",  false, "AUTH u p, SELECT 1, CLIENT SETNAME n, ROLE, PING" },
    { "requirements",              "unix:///s",                        true,
      "CLIENT SETNAME n, INFO memory, HSETNX k f 1, HGET k f, PING" },
    { "everything",                "redis+sentinel://u:p@h/master/1",  true,
      "AUTH u p, SELECT 1, CLIENT SETNAME n, ROLE, INFO memory, HSETNX k f 1, HGET k f, PING" },
};

/* Replies to AUTH u p, SELECT 1, CLIENT SETNAME n, ROLE, INFO memory, HSETNX, HGET, PING; the verdict is that of the last one. */
#define OK3     "+OK\r\n+OK\r\n+OK\r\n"
#define MASTER  "*1\r\n$6\r\nmaster\r\n"
#define MEMORY  "$30\r\n#\r\nmaxmemory_policy:noeviction\r\n"
#define SCHEMA  ":1\r\n$1\r\n1\r\n"
static const struct { const char *name, *replies; enum handshake_progress verdict; enum log_level level; const char *why; } verdicts[] = {
    { "the server is ready",               OK3 MASTER MEMORY SCHEMA "+PONG\r\n", HANDSHAKE_COMPLETE, LOG_DEBUG, "" },
    { "PING is forbidden",                 OK3 MASTER MEMORY SCHEMA "-NOPERM\r\n", HANDSHAKE_COMPLETE, LOG_DEBUG, "" },
    { "AUTH fails",                        "-ERR invalid password\r\n", HANDSHAKE_FAILED, LOG_ERROR, "ERR invalid password" },
    { "the server repeats the password",   "-ERR unknown command 'AUTH', with args beginning with: 'p'\r\n", HANDSHAKE_FAILED,
      LOG_ERROR, "ERR unknown command 'AUTH'" },
    { "SELECT fails",                      "+OK\r\n-ERR DB index is out of range\r\n", HANDSHAKE_FAILED, LOG_ERROR,
      "ERR DB index is out of range" },
    { "SETNAME is forbidden",              "+OK\r\n+OK\r\n-NOPERM\r\n", HANDSHAKE_CONTINUES, LOG_DEBUG, "" },
    { "a replica",                         OK3 "*1\r\n$5\r\nslave\r\n", HANDSHAKE_FAILED, LOG_WARN,
      "the sentinels name this server as the master, but its role is another" },
    { "ROLE is forbidden",                 OK3 "-NOPERM\r\n", HANDSHAKE_CONTINUES, LOG_DEBUG, "" },
    { "INFO is forbidden",                 OK3 MASTER "-NOPERM\r\n", HANDSHAKE_UNVERIFIED, LOG_DEBUG, "NOPERM" },
    { "HSETNX fails",                      OK3 MASTER MEMORY "-OOM\r\n", HANDSHAKE_CONTINUES, LOG_DEBUG, "" },
    { "another schema",                    OK3 MASTER MEMORY ":0\r\n$1\r\n2\r\n", HANDSHAKE_MISCONFIGURED, LOG_DEBUG,
      "the data has schema 2, schema 1 is required: upgrade" },
};
/* clang-format on */

static void begin(struct handshake *handshake, struct redis_address *address, const char *url, bool with_requirements)
{
    const char *why;

    assert_int_equal(redis_address_parse(url, address, &why), 0);
    handshake_init(handshake, address, "n", with_requirements ? &requirements : NULL);
}

static void the_commands_follow_from_the_address_and_the_requirements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(sent); i++) {
        const char *words[HANDSHAKE_WORDS_MAX];
        struct redis_address address;
        struct handshake handshake;
        char commands[256] = "";

        print_message("  %s\n", sent[i].name);
        begin(&handshake, &address, sent[i].url, sent[i].with_requirements);
        while (handshake_next(&handshake, words)) {
            size_t len = strlen(commands);

            for (size_t word = 0; words[word]; word++)
                len += (size_t)snprintf(commands + len, sizeof(commands) - len, "%s%s",
                                        word  ? " "
                                        : len ? ", "
                                              : "",
                                        words[word]);
        }
        assert_string_equal(commands, sent[i].commands);
        redis_address_deinit(&address);
    }
}

static void the_last_reply_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(verdicts); i++) {
        struct handshake_result result = {.level = LOG_DEBUG};
        enum handshake_progress verdict = HANDSHAKE_CONTINUES;
        struct replies *replies = replies_create(4096);
        const char *words[HANDSHAKE_WORDS_MAX];
        struct redis_address address;
        struct handshake handshake;
        redisReply *reply = NULL;

        print_message("  %s\n", verdicts[i].name);
        begin(&handshake, &address, "redis+sentinel://u:p@h/master/1", true);
        while (handshake_next(&handshake, words))
            ;
        assert_int_equal(replies_feed(replies, verdicts[i].replies, strlen(verdicts[i].replies)), 0);
        while (assert_int_equal(replies_next(replies, &reply), 0), reply) {
            assert_int_equal(verdict, HANDSHAKE_CONTINUES);
            result = (struct handshake_result){.level = LOG_DEBUG};
            verdict = handshake_reply(&handshake, reply, &result);
            freeReplyObject(reply);
        }
        assert_int_equal(verdict, verdicts[i].verdict);
        assert_int_equal(result.level, verdicts[i].level);
        assert_string_equal(result.why, verdicts[i].why);
        replies_destroy(replies);
        redis_address_deinit(&address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_commands_follow_from_the_address_and_the_requirements),
        cmocka_unit_test(the_last_reply_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
