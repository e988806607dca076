/* Bucket URLs, and the error and list responses of an S3 server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/storage/s3_answer.h"
#include "common/storage/s3_bucket.h"

/* clang-format off */
static const struct {
    const char *name, *url, *endpoint, *region;
    enum s3_style style;
    const char *object; /* the URL of the key `d/i` */
} good[] = {
    { "AWS",                          "s3://pictures",             "",                               "",           S3_STYLE_AUTO,    "https://pictures.s3.us-east-1.amazonaws.com/d/i" },
    { "AWS in a region",              "s3://pictures/a/b",         "",                               "eu-west-1",  S3_STYLE_AUTO,    "https://pictures.s3.eu-west-1.amazonaws.com/a/b/d/i" },
    { "AWS by path",                  "s3://my.pictures/a/",       "",                               "eu-west-1",  S3_STYLE_PATH,    "https://s3.eu-west-1.amazonaws.com/my.pictures/a/d/i" },
    { "TOS",                          "s3://pictures",             "https://tos-s3-cn-beijing.volces.com", "cn-beijing", S3_STYLE_AUTO, "https://pictures.tos-s3-cn-beijing.volces.com/d/i" },
    { "TOS from inside",              "s3://pictures",             "http://tos-s3-cn-beijing.ivolces.com", "cn-beijing", S3_STYLE_AUTO, "http://pictures.tos-s3-cn-beijing.ivolces.com/d/i" },
    { "R2",                           "s3://pictures",             "https://0123.r2.cloudflarestorage.com", "auto",   S3_STYLE_AUTO,    "https://0123.r2.cloudflarestorage.com/pictures/d/i" },
    { "MinIO",                        "s3://pictures/x~y.z_-",     "http://minio:9000/",             "",           S3_STYLE_AUTO,    "http://minio:9000/pictures/x~y.z_-/d/i" },
    { "an address",                   "s3://pictures",             "http://10.0.0.7:9000",           "",           S3_STYLE_AUTO,    "http://10.0.0.7:9000/pictures/d/i" },
    { "an IPv6 address",              "s3://pictures",             "http://[fd00::7]:9000",          "",           S3_STYLE_AUTO,    "http://[fd00::7]:9000/pictures/d/i" },
    { "the scheme's own port",        "s3://pictures",             "https://s3.example.com:443",     "",           S3_STYLE_AUTO,    "https://s3.example.com/pictures/d/i" },
    { "the other scheme's port",      "s3://pictures",             "https://s3.example.com:80",      "",           S3_STYLE_VIRTUAL, "https://pictures.s3.example.com:80/d/i" },
    { "a host that ends like AWS",    "s3://pictures",             "https://notamazonaws.com",       "",           S3_STYLE_AUTO,    "https://notamazonaws.com/pictures/d/i" },
    { "a dot in the bucket, no TLS",  "s3://my.pictures",          "http://s3.example.com",          "",           S3_STYLE_VIRTUAL, "http://my.pictures.s3.example.com/d/i" },
    { "a host that begins with a digit", "s3://pictures",          "https://3.example.com",          "",           S3_STYLE_VIRTUAL, "https://pictures.3.example.com/d/i" },
};

static const struct { const char *name, *url, *endpoint, *region; enum s3_style style; const char *why; } bad[] = {
    { "no scheme",             "pictures",                "",                         "",    S3_STYLE_AUTO,    "must be s3://" },
    { "no bucket",             "s3://",                   "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "no bucket, a prefix",   "s3:///a",                 "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "two characters",        "s3://ab",                 "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "64 characters",         "s3://0123456789012345678901234567890123456789012345678901234567890123", "", "", S3_STYLE_AUTO, "the bucket" },
    { "capitals",              "s3://Pictures",           "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "two dots",              "s3://a..b",               "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "a dot at the end",      "s3://pictures.",          "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "a hyphen first",        "s3://-pictures",          "",                         "",    S3_STYLE_AUTO,    "the bucket" },
    { "a user",                "s3://key:secret@pictures", "",                        "",    S3_STYLE_AUTO,    "the bucket" },
    { "a way up",              "s3://pictures/a/../b",    "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "a dot as a part",       "s3://pictures/./b",       "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "three dots as a part",  "s3://pictures/.../b",     "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "two slashes",           "s3://pictures/a//b",      "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "a slash first",         "s3://pictures//b",        "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "a space",               "s3://pictures/a b",       "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "a query",               "s3://pictures/a?b",       "",                         "",    S3_STYLE_AUTO,    "the prefix" },
    { "Chinese",               "s3://pictures/\xe5\x9b\xbe", "",                      "",    S3_STYLE_AUTO,    "the prefix" },
    { "a long prefix",         "s3://pictures/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", "", "", S3_STYLE_AUTO, "the prefix must have at most 128" },
    { "a region with a dot",   "s3://pictures",           "",                         "a.b", S3_STYLE_AUTO,    "the region" },
    { "a region with a slash", "s3://pictures",           "",                         "a/b", S3_STYLE_AUTO,    "the region" },
    { "an endpoint without a scheme", "s3://pictures",    "minio:9000",               "",    S3_STYLE_AUTO,    "the endpoint" },
    { "another scheme",        "s3://pictures",           "ftp://minio",              "",    S3_STYLE_AUTO,    "the endpoint" },
    { "an endpoint without a host", "s3://pictures",      "http://",                  "",    S3_STYLE_AUTO,    "the endpoint" },
    { "a path",                "s3://pictures",           "http://minio/x",           "",    S3_STYLE_AUTO,    "the endpoint" },
    { "a query of an endpoint", "s3://pictures",          "http://minio?x",           "",    S3_STYLE_AUTO,    "the endpoint" },
    { "a user of an endpoint", "s3://pictures",           "http://u:p@minio",         "",    S3_STYLE_AUTO,    "the endpoint" },
    { "an empty port",         "s3://pictures",           "http://minio:",            "",    S3_STYLE_AUTO,    "the endpoint" },
    { "a port of letters",     "s3://pictures",           "http://minio:http",        "",    S3_STYLE_AUTO,    "the endpoint" },
    { "a long port",           "s3://pictures",           "http://minio:900000",      "",    S3_STYLE_AUTO,    "the endpoint" },
    { "an open bracket",       "s3://pictures",           "http://[fd00::7",          "",    S3_STYLE_AUTO,    "the endpoint" },
    { "an address as virtual host", "s3://pictures",      "http://10.0.0.7:9000",     "",    S3_STYLE_VIRTUAL, "an IP address" },
    { "an IPv6 address as virtual host", "s3://pictures", "http://[fd00::7]",         "",    S3_STYLE_VIRTUAL, "an IP address" },
    { "a dot in the bucket, TLS", "s3://my.pictures",     "",                         "",    S3_STYLE_AUTO,    "a dot in its name" },
};
/* clang-format on */

static void test_bucket_urls_give_the_object_url(void **state)
{
    struct s3_bucket bucket;
    struct buf text;

    (void)state;
    buf_init(&text, 1000);
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        print_message("  %s\n", good[i].name);
        assert_int_equal(s3_bucket_read(&bucket, good[i].url, good[i].endpoint, good[i].region, good[i].style, &text),
                         0);
        assert_string_equal(buf_text(&text), "");
        s3_bucket_write_origin(&text, &bucket);
        s3_bucket_write_path(&text, &bucket, "d/i");
        assert_string_equal(buf_text(&text), good[i].object);
        buf_clear(&text);
    }
    s3_bucket_write_path(&text, &bucket, "");
    assert_string_equal(buf_text(&text), "/");
    buf_deinit(&text);
}

static void test_invalid_bucket_urls_are_refused(void **state)
{
    struct s3_bucket bucket = {.bucket = "untouched"};
    struct buf why;

    (void)state;
    buf_init(&why, 1000);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        print_message("  %s\n", bad[i].name);
        assert_int_equal(s3_bucket_read(&bucket, bad[i].url, bad[i].endpoint, bad[i].region, bad[i].style, &why),
                         ERR_SYNTAX);
        assert_non_null(strstr(buf_text(&why), bad[i].why));
        assert_string_equal(bucket.bucket, "untouched");
        buf_clear(&why);
    }
    buf_deinit(&why);
}

static const struct {
    const char *body, *code;
} errors[] = {
    {"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>", "NoSuchKey"},
    {"<Error><Code>A</Code><Code>B</Code></Error>",                                      "A"        },
    {"<Error><Code></Code></Error>",                                                     ""         },
    {"<Error><Code>No Such Key</Code></Error>",                                          ""         },
    {"<Error><Code>a&lt;b</Code></Error>",                                               ""         },
    {"<Error><Code>NoSuchKey",                                                           ""         },
    {"<Error><Code>0123456789012345678901234567890123456789012345678</Code></Error>",    ""         },
    {"{\"Code\":\"NoSuchKey\"}",                                                         ""         },
    {"",                                                                                 ""         },
};

static void test_error_codes(void **state)
{
    char code[S3_CODE_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        s3_error_code(code, errors[i].body, strlen(errors[i].body));
        assert_string_equal(code, errors[i].code);
    }
}

static void test_an_error_is_no_success_whatever_its_status(void **state)
{
    static const char page[] = "<html></html>";

    (void)state;
    assert_int_equal(s3_end_of(200, ""), STORAGE_DONE);
    assert_int_equal(s3_end_of(204, ""), STORAGE_DONE);
    assert_int_equal(s3_end_of(200, "InternalError"), STORAGE_FAILED);
    assert_int_equal(s3_end_of(200, "SlowDown"), STORAGE_BUSY);
    assert_int_equal(s3_end_of(200, "AnythingElse"), STORAGE_FAILED);
    assert_true(s3_is_done(200, "", 0));
    assert_true(s3_is_done(204, "", 0));
    assert_true(s3_is_done(201, "\r\n", 2));
    assert_false(s3_is_done(202, "", 0)); /* it is not done yet */
    assert_false(s3_is_done(200, page, sizeof(page) - 1));
    assert_false(s3_is_list(page, sizeof(page) - 1));
    assert_false(s3_is_list("", 0));
}

static void test_lists(void **state)
{
    static const char body[] = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a/b</Key></Contents>"
                               "<Contents><Key></Key></Contents><Contents><Key>c</Key></Contents><Contents><Key>cut";
    struct s3_key key;
    size_t at = 0;

    (void)state;
    assert_true(s3_is_list(body, sizeof(body) - 1));
    assert_true(s3_list_is_truncated(body, sizeof(body) - 1));
    assert_false(s3_list_is_truncated("", 0));
    assert_true(s3_next_key(body, sizeof(body) - 1, &at, &key));
    assert_int_equal(key.len, 3);
    assert_memory_equal(key.text, "a/b", 3);
    assert_true(s3_next_key(body, sizeof(body) - 1, &at, &key));
    assert_int_equal(key.len, 0);
    assert_true(s3_next_key(body, sizeof(body) - 1, &at, &key));
    assert_int_equal(key.len, 1);
    assert_false(s3_next_key(body, sizeof(body) - 1, &at, &key));
    assert_false(s3_next_key("", 0, &at, &key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_urls_give_the_object_url),
        cmocka_unit_test(test_invalid_bucket_urls_are_refused),
        cmocka_unit_test(test_error_codes),
        cmocka_unit_test(test_an_error_is_no_success_whatever_its_status),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
