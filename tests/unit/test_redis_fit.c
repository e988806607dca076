/* May a server keep tasks? What it says of its eviction policy, and of the schema of its data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants what stands above it */
#include <cmocka.h>

#include "common/redis/fit.h"
#include "common/redis/replies.h"

#define BULK(length, text) "$" #length "\r\n" text "\r\n"

static const struct {
    const char *name, *answer;
    enum fit fit;
    const char *why;
} evictions[] = {
    {"nothing is evicted",                                                  BULK(52,                                                              "# Memory\r\nused_memory:1\r\nmaxmemory_policy:noeviction"),                                FIT_GOOD,                                                                                                                   ""},
    {"nothing is evicted, said amid",                                                                     BULK(54,                                                                                                           "# Memory\r\nmaxmemory_policy:noeviction\r\nused_memory:1\r\n"),
     FIT_GOOD,                                                                           ""},
    {"the least recently used goes",                                                                   BULK(40,                                                                                                                                       "# Memory\r\nmaxmemory_policy:allkeys-lru\r\n"),                                                                                                                                                                                                    FIT_BAD,
     "maxmemory-policy is allkeys-lru: "},
    {"what has an expiry goes",                                                              BULK(41,                                                                                                         "# Memory\r\nmaxmemory_policy:volatile-ttl\r\n"),                                                                                                                                                                                                   FIT_BAD,
     "is volatile-ttl: "},
    {"a word that begins like a good one",                     BULK(40,"# Memory\r\nmaxmemory_policy:noeviction2\r\n"),                                                                                                                                                                                                                     FIT_BAD,
     "is noeviction2: "},
    {"a word without an end",                                          BULK(67,                                                                                      "\nmaxmemory_policy:0123456789012345678901234567890123456789012345678"),FIT_BAD,
     "is 01234567890123456789012345678901: "},
    {"no word",                                               BULK(20,                                                                   "\nmaxmemory_policy:\r\n"), FIT_BAD,                                                                                                                                                                "is : "},
    {"the field is part of another",                                                                     BULK(40,                                                                                                                                 "# Memory\r\nxmaxmemory_policy:noeviction\r\n"),                                                                                                                                                                      FIT_UNKNOWN,
     "does not tell"},
    {"nothing is said",                                                              BULK(0,                                                                                                                                  ""),                                                                                                                                                                                               FIT_UNKNOWN,                                                                               "does not tell"},
    {"it is forbidden to ask",                                                          "-NOPERM this user has no permissions to run the 'info' command\r\n",                                                                                                                             FIT_UNKNOWN,
     "NOPERM"                                                                                                                                                                                                                                                                                                                                },
    {"another kind of answer",                                                                  ":1\r\n",FIT_UNKNOWN,"does not tell"},
    {"nil","$-1\r\n",FIT_UNKNOWN,                                                                                                                                                                                                                                "does not tell"                         },
};

static const struct {
    const char *name, *answer;
    enum fit fit;
    const char *why;
} schemas[] = {
    {"ours",                        BULK(1,                               "1"),                      FIT_GOOD,             ""},
    {"none yet",                             "$-1\r\n",                                                        FIT_GOOD,                                            ""},
    {"a later one",                             BULK(1,                                                     "2"),                                            FIT_BAD,        "has schema 2, and this"},
    {"one that begins like it",     BULK(2,                                         "10"),                                          FIT_BAD,                                             "has schema 10, and"},
    {"an empty one",                      BULK(0,                                      ""),                      FIT_BAD,"has schema , and"},
    {"it is forbidden to ask",                          "-NOPERM no permissions\r\n",                  FIT_UNKNOWN,    "NOPERM"                                       },
    {"another key is there","-WRONGTYPE Operation\r\n",FIT_UNKNOWN,"WRONGTYPE"},
    {"another kind of answer",                            "*0\r\n",                                                                      FIT_UNKNOWN,                                                                                       "not a text"                                                                                                                                },
};

static void check(const char *name, const char *answer, enum fit (*judge)(const redisReply *, char *, size_t),
                  enum fit fit, const char *words)
{
    struct replies *replies = replies_create(4096);
    redisReply *reply = NULL;
    char why[256] = "";

    print_message("  %s\n", name);
    assert_int_equal(replies_feed(replies, answer, strlen(answer)), 0);
    assert_int_equal(replies_next(replies, &reply), 0);
    assert_non_null(reply);
    assert_int_equal(judge(reply, why, sizeof(why)), fit);
    if (!strstr(why, words))
        fail_msg("it says: %s", why);
    freeReplyObject(reply);
    (void)replies_destroy(replies);
}

static void a_server_that_evicts_keeps_no_tasks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(evictions) / sizeof(evictions[0]); i++)
        check(evictions[i].name, evictions[i].answer, fit_eviction, evictions[i].fit, evictions[i].why);
}

static void data_of_another_schema_is_left_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++)
        check(schemas[i].name, schemas[i].answer, fit_schema, schemas[i].fit, schemas[i].why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_evicts_keeps_no_tasks),
        cmocka_unit_test(data_of_another_schema_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
