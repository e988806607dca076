/* Checks of a server's replies: eviction policy, schema, role, errors that end the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/redis/replies.h"
#include "common/redis/server_check.h"
#include "common/task/keys.h"
#include "common/task/schema.h"

#define BULK(length, text) "$" #length "\r\n" text "\r\n"

struct check_row {
    const char *name, *reply;
    enum server_check verdict;
    const char *why;
};

/* clang-format off */
static const struct check_row evictions[] = {
    { "the required policy",       BULK(52, "# Memory\r\nused_memory:1\r\nmaxmemory_policy:noeviction"), SERVER_OK, "" },
    { "among other fields",        BULK(54, "# Memory\r\nmaxmemory_policy:noeviction\r\nused_memory:1\r\n"), SERVER_OK, "" },
    { "least recently used",       BULK(40, "# Memory\r\nmaxmemory_policy:allkeys-lru\r\n"), SERVER_MISCONFIGURED,
      "maxmemory-policy is allkeys-lru, noeviction is required" },
    { "keys with an expiry",       BULK(41, "# Memory\r\nmaxmemory_policy:volatile-ttl\r\n"), SERVER_MISCONFIGURED,
      "is volatile-ttl, " },
    { "a longer word",             BULK(40, "# Memory\r\nmaxmemory_policy:noeviction2\r\n"), SERVER_MISCONFIGURED,
      "is noeviction2, " },
    { "a very long word",          BULK(67, "\nmaxmemory_policy:0123456789012345678901234567890123456789012345678"),
      SERVER_MISCONFIGURED, "is 01234567890123456789012345678901, " },
    { "an empty word",             BULK(20, "\nmaxmemory_policy:\r\n"), SERVER_MISCONFIGURED, "is , " },
    { "part of another field",     BULK(40, "# Memory\r\nxmaxmemory_policy:noeviction\r\n"), SERVER_UNKNOWN,
      "has no maxmemory_policy" },
    { "an empty reply",            BULK(0, ""), SERVER_UNKNOWN, "has no maxmemory_policy" },
    { "INFO is forbidden",         "-NOPERM this user has no permissions to run the 'info' command\r\n", SERVER_UNKNOWN, "NOPERM" },
    { "another type",              ":1\r\n", SERVER_UNKNOWN, "has no maxmemory_policy" },
    { "nil",                       "$-1\r\n", SERVER_UNKNOWN, "has no maxmemory_policy" },
};

static const struct check_row schemas[] = {
    { "the required schema",       BULK(1, "2"), SERVER_OK, "" },
    { "no schema yet",             "$-1\r\n", SERVER_OK, "" },
    { "an earlier schema",         BULK(1, "1"), SERVER_MISCONFIGURED, "has schema 1, schema 2 is required" },
    { "a longer number",           BULK(2, "20"), SERVER_MISCONFIGURED, "has schema 20, " },
    { "an empty schema",           BULK(0, ""), SERVER_MISCONFIGURED, "has schema , " },
    { "HGET is forbidden",         "-NOPERM no permissions\r\n", SERVER_UNKNOWN, "NOPERM" },
    { "a key of another type",     "-WRONGTYPE Operation\r\n", SERVER_UNKNOWN, "WRONGTYPE" },
    { "another type of reply",     "*0\r\n", SERVER_UNKNOWN, "not a string" },
};

static const struct { const char *name, *reply; bool master; } roles[] = {
    { "a master",                  "*2\r\n" BULK(6, "master") ":0\r\n", true },
    { "a replica",                 "*2\r\n" BULK(5, "slave") ":0\r\n", false },
    { "a longer word",             "*1\r\n" BULK(7, "masters"), false },
    { "no word",                   "*0\r\n", false },
    { "an integer",                "*1\r\n:1\r\n", false },
    { "ROLE is forbidden",         "-NOPERM no permissions\r\n", true },
};

static const struct { const char *name, *reply; bool has_sentinels, unusable; enum log_level level; } errors[] = {
    { "loading",                   "-LOADING Redis is loading\r\n", false, true, LOG_WARN },
    { "a replica",                 "-READONLY You can't write\r\n", false, true, LOG_WARN },
    { "no password",               "-NOAUTH Authentication required.\r\n", false, true, LOG_ERROR },
    { "too many clients",          "-ERR max number of clients reached\r\n", false, true, LOG_WARN },
    { "another error",             "-ERR unknown command\r\n", false, false, LOG_DEBUG },
    { "too few replicas",          "-NOREPLICAS Not enough good replicas\r\n", false, false, LOG_DEBUG },
    { "too few, with sentinels",   "-NOREPLICAS Not enough good replicas\r\n", true, true, LOG_WARN },
    { "the text of an error",      "+LOADING\r\n", false, false, LOG_DEBUG },
};
/* clang-format on */

static redisReply *parse(const char *bytes)
{
    struct replies *replies = replies_create(4096);
    redisReply *reply = NULL;

    assert_int_equal(replies_feed(replies, bytes, strlen(bytes)), 0);
    assert_int_equal(replies_next(replies, &reply), 0);
    assert_non_null(reply);
    (void)replies_destroy(replies);
    return reply;
}

typedef enum server_check check_fn(const struct server_requirements *requirements, const redisReply *reply, char *why,
                                   size_t size);

static void check_all(const struct check_row *rows, size_t count, check_fn *check)
{
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = parse(rows[i].reply);
        char why[256] = "";

        print_message("  %s\n", rows[i].name);
        assert_int_equal(check(&schema_requirements, reply, why, sizeof(why)), rows[i].verdict);
        if (!strstr(why, rows[i].why))
            fail_msg("why: %s", why);
        freeReplyObject(reply);
    }
}

static void a_server_that_evicts_is_misconfigured(void **state)
{
    (void)state;
    check_all(evictions, ARRAY_LENGTH(evictions), server_check_eviction);
}

static void data_of_another_schema_is_refused(void **state)
{
    (void)state;
    check_all(schemas, ARRAY_LENGTH(schemas), server_check_schema);
}

static void the_schema_key_is_in_the_first_partition(void **state)
{
    char prefix[KEYS_PREFIX_SIZE], key[KEYS_PREFIX_SIZE + 8];

    (void)state;
    keys_prefix(prefix, 0);
    (void)snprintf(key, sizeof(key), "%smeta", prefix);
    assert_string_equal(schema_requirements.schema_key, key);
}

static void a_role_other_than_master_is_detected(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(roles); i++) {
        redisReply *reply = parse(roles[i].reply);

        print_message("  %s\n", roles[i].name);
        assert_int_equal(server_is_master(reply), roles[i].master);
        freeReplyObject(reply);
    }
}

static void errors_that_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        redisReply *reply = parse(errors[i].reply);
        enum log_level level = LOG_DEBUG;

        print_message("  %s\n", errors[i].name);
        assert_int_equal(server_is_unusable(reply, errors[i].has_sentinels, &level), errors[i].unusable);
        assert_int_equal(level, errors[i].level);
        freeReplyObject(reply);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_evicts_is_misconfigured),
        cmocka_unit_test(data_of_another_schema_is_refused),
        cmocka_unit_test(the_schema_key_is_in_the_first_partition),
        cmocka_unit_test(a_role_other_than_master_is_detected),
        cmocka_unit_test(errors_that_end_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
