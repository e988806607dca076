/* Parsing replies: whole, in pieces, over the limits, malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include <stdlib.h>

#include "common/base/macros.h"
#include "common/redis/replies.h"

enum { REPLY_MAX = 8 * 1024 * 1024 };

static const char several[] = "+OK\r\n"
                              ":-42\r\n"
                              "$-1\r\n"
                              "*-1\r\n"
                              "$7\r\na\0\r\nbc\n\r\n"
                              "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n"
                              "*2\r\n*2\r\n:1\r\n$1\r\nx\r\n*0\r\n"
                              "-ERR no\r\n";

static void drop(struct replies *replies, int *count)
{
    redisReply *reply;

    while (assert_int_equal(replies_next(replies, &reply), 0), reply) {
        ++*count;
        freeReplyObject(reply);
    }
}

static void pieces_of_any_size_give_the_same_replies(void **state)
{
    (void)state;
    for (size_t size = 1; size < sizeof(several); size++) {
        struct replies *replies = replies_create(REPLY_MAX);
        int count = 0;

        assert_non_null(replies);
        for (size_t at = 0; at < sizeof(several) - 1; at += size) {
            size_t rest = sizeof(several) - 1 - at;

            assert_int_equal(replies_feed(replies, several + at, rest < size ? rest : size), 0);
            drop(replies, &count);
        }
        assert_int_equal(count, 8);
        replies_destroy(replies);
    }
}

static void a_reply_keeps_its_bytes(void **state)
{
    static const char bulk[] = "$7\r\na\0\r\nbc\n\r\n";
    struct replies *replies = replies_create(REPLY_MAX);
    redisReply *reply;

    (void)state;
    assert_int_equal(replies_feed(replies, bulk, sizeof(bulk) - 1), 0);
    assert_int_equal(replies_next(replies, &reply), 0);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_int_equal(reply->len, 7);
    assert_memory_equal(reply->str, "a\0\r\nbc\n", 7);
    freeReplyObject(reply);
    replies_destroy(replies);
}

static const struct {
    const char *name, *bytes;
    int err;
    const char *why;
} refused[] = {
    {"no type",                                "hello\r\n",                                        ERR_SYNTAX,   "Protocol error"   },
    {"an HTTP answer",                         "HTTP/1.1 400 Bad Request\r\n\r\n",                 ERR_SYNTAX,   "Protocol error"   },
    {"a NUL byte first",                       "\0\r\n",                                           ERR_SYNTAX,   "Protocol error"   },
    {"a length that is a word",                "$abc\r\n",                                         ERR_SYNTAX,   ""                 },
    {"a negative length",                      "$-2\r\n",                                          ERR_SYNTAX,   ""                 },
    {"a count that is a word",                 "*abc\r\n",                                         ERR_SYNTAX,   ""                 },
    {"a negative count",                       "*-2\r\n",                                          ERR_SYNTAX,   ""                 },
    {"a count above 64 bits",                  "*99999999999999999999\r\n",                        ERR_SYNTAX,   ""                 },
    {"more elements than allowed",             "*1048577\r\n",                                     ERR_TOO_LONG, "too many elements"},
    {"the most elements an integer can count", "*2147483647\r\n",                                  ERR_TOO_LONG, "too many elements"},
    {"too many elements in two arrays",        "*2\r\n*1048000\r\n",                               0,            ""                 },
    {"too deep",                               "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", ERR_TOO_LONG, "too deeply"       },
    {"as deep as allowed",                     "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",       0,            ""                 },
};

static void malformed_replies_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        struct replies *replies = replies_create(REPLY_MAX);
        redisReply *reply = NULL;
        size_t len = strlen(refused[i].bytes);

        print_message("  %s\n", refused[i].name);
        assert_int_equal(replies_feed(replies, refused[i].bytes, len ? len : 3), 0);
        assert_int_equal(replies_next(replies, &reply), refused[i].err);
        if (refused[i].err && !strstr(replies_why(replies), refused[i].why))
            fail_msg("why: %s", replies_why(replies));
        assert_null(reply);
        replies_destroy(replies);
    }
}

static void elements_of_all_arrays_count_together(void **state)
{
    struct replies *replies = replies_create(REPLY_MAX);
    redisReply *reply;

    (void)state;
    assert_int_equal(replies_feed(replies, "*2\r\n*524288\r\n", 13), 0);
    assert_int_equal(replies_next(replies, &reply), 0);
    for (int i = 0; i < 524288; i++)
        assert_int_equal(replies_feed(replies, ":1\r\n", 4), 0);
    assert_int_equal(replies_feed(replies, "*524287\r\n", 9), 0);
    assert_int_equal(replies_next(replies, &reply), ERR_TOO_LONG);
    replies_destroy(replies);
}

static void many_replies_do_not_count_together(void **state)
{
    static const char header[] = "*1000000\r\n";
    struct replies *replies = replies_create(REPLY_MAX);
    int count = 0;

    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(replies_feed(replies, header, sizeof(header) - 1), 0);
        for (int i = 0; i < 1000000; i++)
            assert_int_equal(replies_feed(replies, ":1\r\n", 4), 0);
        drop(replies, &count);
    }
    assert_int_equal(count, 2);
    replies_destroy(replies);
}

static void the_parts_of_an_array_count_together(void **state)
{
    enum { LIMIT = 1000, PART = 490 };

    (void)state;
    for (int more = 0; more < 2; more++) {
        struct replies *replies = replies_create(LIMIT);
        int err = 0, count = 0;
        char bytes[2 * LIMIT];
        int len = snprintf(bytes, sizeof(bytes), "*2\r\n$%d\r\n%0*d\r\n$%d\r\n%0*d\r\n", PART, PART, 0, PART + more,
                           PART + more, 0);

        assert_int_equal(len, LIMIT + more);
        for (int at = 0; at < len && !err; at++) {
            err = replies_feed(replies, bytes + at, 1);
            if (!err)
                drop(replies, &count);
        }
        assert_int_equal(err, more ? ERR_TOO_LONG : 0);
        assert_int_equal(count, !more);
        replies_destroy(replies);
    }
}

static void an_endless_reply_is_refused(void **state)
{
    enum { PIECE = 1024 * 1024 };
    struct replies *replies = replies_create(REPLY_MAX);
    char *piece = calloc(1, PIECE);
    size_t fed = 0;
    redisReply *reply;

    (void)state;
    assert_non_null(piece);
    assert_int_equal(replies_feed(replies, "$536870912\r\n", 12), 0);
    while (!replies_feed(replies, piece, PIECE)) {
        assert_int_equal(replies_next(replies, &reply), 0);
        assert_null(reply);
        fed += PIECE;
    }
    assert_in_range(fed, REPLY_MAX - 2 * PIECE, REPLY_MAX);
    assert_string_equal(replies_why(replies), "reply is too long");
    free(piece);
    replies_destroy(replies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same_replies),
        cmocka_unit_test(a_reply_keeps_its_bytes),
        cmocka_unit_test(malformed_replies_are_refused),
        cmocka_unit_test(elements_of_all_arrays_count_together),
        cmocka_unit_test(many_replies_do_not_count_together),
        cmocka_unit_test(the_parts_of_an_array_count_together),
        cmocka_unit_test(an_endless_reply_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
