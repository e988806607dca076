/* AWS Signature Version 4 against AWS's published examples.
 *
 * general, presigned: the test suite of AWS ("Signature Version 4 Test Suite"; published again in awslabs/aws-c-auth,
 * tests/aws-signing-test-suite/v4). Only requests whose paths are not normalized, because S3 does not normalize paths.
 * s3: "Authenticating Requests (AWS Signature Version 4)" in the API reference of Amazon S3.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/storage/sigv4.h"

enum { GENERAL_TIME = 1440938160 /* 2015-08-30T12:36:00Z */, S3_TIME = 1369353600 /* 2013-05-24T00:00:00Z */ };

static const struct sigv4_keys general_keys = {
    .access_key = "AKIDEXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "service",
};

static const struct sigv4_keys s3_keys = {
    .access_key = "AKIAIOSFODNN7EXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
};

#define ALNUM "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

struct vector {
    const char *name, *method, *path;
    struct sigv4_field query[4], headers[4];
    const char *body, *signed_headers, *signature;
};

/* clang-format off */
static const struct vector general[] = {
    { "get-header-key-duplicate", "GET", "/", {{0}}, {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}, "",
      "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
    { "get-header-value-order", "GET", "/", {{0}}, {{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}}, "",
      "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
    { "get-header-value-trim", "GET", "/", {{0}}, {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}, "",
      "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    { "get-unreserved", "GET", "/" ALNUM, {{0}}, {{0}}, "",
      "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
    { "get-vanilla", "GET", "/", {{0}}, {{0}}, "",
      "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "get-vanilla-empty-query-key", "GET", "/", {{"Param1", "value1"}}, {{0}}, "",
      "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
    { "get-vanilla-query-order-key", "GET", "/", {{"Param1", "value2"}, {"Param1", "Value1"}}, {{0}}, "",
      "host;x-amz-date", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1" },
    { "get-vanilla-query-order-key-case", "GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}, {{0}}, "",
      "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "get-vanilla-query-order-value", "GET", "/", {{"Param1", "value2"}, {"Param1", "value1"}}, {{0}}, "",
      "host;x-amz-date", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694" },
    { "get-vanilla-query-order-encoded", "GET", "/", {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xe1\x88\xb4", "Value1"}}, {{0}}, "",
      "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac" },
    { "get-vanilla-query-unreserved", "GET", "/", {{ALNUM, ALNUM}}, {{0}}, "",
      "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
    { "get-vanilla-utf8-query", "GET", "/", {{"\xe1\x88\xb4", "bar"}}, {{0}}, "",
      "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
    { "get-slashes-unnormalized", "GET", "//example//", {{0}}, {{0}}, "",
      "host;x-amz-date", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5" },
    { "get-space-unnormalized", "GET", "/example space/", {{0}}, {{0}}, "",
      "host;x-amz-date", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
    { "post-header-key-sort", "POST", "/", {{0}}, {{"My-Header1", "value1"}}, "",
      "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
    { "post-header-value-case", "POST", "/", {{0}}, {{"My-Header1", "VALUE1"}}, "",
      "host;my-header1;x-amz-date", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
    { "post-vanilla", "POST", "/", {{0}}, {{0}}, "",
      "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-vanilla-query", "POST", "/", {{"Param1", "value1"}}, {{0}}, "",
      "host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
    { "post-x-www-form-urlencoded", "POST", "/", {{0}}, {{"Content-Type", "application/x-www-form-urlencoded"}}, "Param1=value1",
      "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
    { "post-x-www-form-urlencoded-parameters", "POST", "/", {{0}},
      {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}}, "Param1=value1",
      "content-type;host;x-amz-date", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe" },
};

/* X-Amz-Expires 3600 */
static const struct vector presigned[] = {
    { "get-unreserved", "GET", "/" ALNUM, {{0}}, {{0}}, "", "host", "95968482db1b9e0fadef6efc1bd24689f77c77d9ef56919c96a28cc92e0d6005" },
    { "get-utf8", "GET", "/\xe1\x88\xb4", {{0}}, {{0}}, "", "host", "10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44" },
    { "get-slashes-unnormalized", "GET", "//example//", {{0}}, {{0}}, "", "host", "822a5a9ba28072c5ab2bb4a6307d0c88276d40e49fec6b724c03fb4d4ba60fc2" },
    { "get-vanilla-query-order-key-case", "GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}, {{0}}, "", "host",
      "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5" },
    { "get-vanilla-query-order-encoded", "GET", "/", {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xe1\x88\xb4", "Value1"}}, {{0}}, "", "host",
      "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787" },
    { "get-vanilla-utf8-query", "GET", "/", {{"\xe1\x88\xb4", "bar"}}, {{0}}, "", "host", "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600" },
};

static const struct vector s3[] = {
    { "GET Object", "GET", "/test.txt", {{0}}, {{"Range", "bytes=0-9"}}, "",
      "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { "PUT Object", "PUT", "/test$file.text", {{0}},
      {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3.",
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { "GET Bucket Lifecycle", "GET", "/", {{"lifecycle", ""}}, {{0}}, "",
      "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { "Get Bucket (List Objects)", "GET", "/", {{"max-keys", "2"}, {"prefix", "J"}}, {{0}}, "",
      "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};
/* clang-format on */

static size_t count_of(const struct sigv4_field *fields, size_t max)
{
    size_t count = 0;

    while (count < max && fields[count].name)
        count++;
    return count;
}

static struct sigv4_request request_of(const struct vector *vector, const char *host, int64_t time_s,
                                       char payload[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_SIZE];

    assert_int_equal(sha256(digest, vector->body, strlen(vector->body)), 0);
    sha256_hex(payload, digest);
    return (struct sigv4_request){
        .method = vector->method,
        .host = host,
        .path = vector->path,
        .query = vector->query,
        .query_count = count_of(vector->query, ARRAY_LENGTH(vector->query)),
        .headers = vector->headers,
        .header_count = count_of(vector->headers, ARRAY_LENGTH(vector->headers)),
        .payload = payload,
        .time_s = time_s,
    };
}

static void expect_signature(const struct sigv4_keys *keys, const struct sigv4_request *request,
                             const struct vector *vector, const char *scope, const char *expected_date)
{
    char expected[1024], date[SIGV4_DATE_SIZE];
    struct buf authorization;

    buf_init(&authorization, 4096);
    (void)snprintf(expected, sizeof(expected), "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                   keys->access_key, scope, vector->signed_headers, vector->signature);
    assert_int_equal(sigv4_sign(keys, request, &authorization, date), 0);
    assert_string_equal(buf_text(&authorization), expected);
    assert_string_equal(date, expected_date);
    buf_deinit(&authorization);
}

static void test_the_general_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(general); i++) {
        char payload[SHA256_HEX_SIZE];
        struct sigv4_request request = request_of(&general[i], "example.amazonaws.com", GENERAL_TIME, payload);

        print_message("  %s\n", general[i].name);
        expect_signature(&general_keys, &request, &general[i], "20150830/us-east-1/service/aws4_request",
                         "20150830T123600Z");
    }
}

static void test_the_examples_of_s3(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(s3); i++) {
        char payload[SHA256_HEX_SIZE];
        struct sigv4_field headers[4];
        struct sigv4_request request = request_of(&s3[i], "examplebucket.s3.amazonaws.com", S3_TIME, payload);

        print_message("  %s\n", s3[i].name);
        memcpy(headers, request.headers, request.header_count * sizeof(*headers));
        headers[request.header_count++] = (struct sigv4_field){"x-amz-content-sha256", payload};
        request.headers = headers;
        expect_signature(&s3_keys, &request, &s3[i], "20130524/us-east-1/s3/aws4_request", "20130524T000000Z");
    }
}

static void test_the_general_suite_presigned(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(presigned); i++) {
        char payload[SHA256_HEX_SIZE], expected[128];
        struct sigv4_request request = request_of(&presigned[i], "example.amazonaws.com", GENERAL_TIME, payload);
        struct buf query;

        print_message("  %s\n", presigned[i].name);
        buf_init(&query, 4096);
        (void)snprintf(expected, sizeof(expected), "&X-Amz-Signature=%s", presigned[i].signature);
        assert_int_equal(sigv4_presign(&general_keys, &request, 3600, &query), 0);
        assert_non_null(strstr(buf_text(&query), "X-Amz-SignedHeaders=host"));
        assert_string_equal(strstr(buf_text(&query), "&X-Amz-Signature="), expected);
        buf_deinit(&query);
    }
}

static void test_the_presigned_example_of_s3(void **state)
{
    const struct sigv4_request request = {
        .method = "GET",
        .host = "examplebucket.s3.amazonaws.com",
        .path = "/test.txt",
        .payload = SIGV4_UNSIGNED,
        .time_s = S3_TIME,
    };
    struct buf query;

    (void)state;
    buf_init(&query, 4096);
    assert_int_equal(sigv4_presign(&s3_keys, &request, 86400, &query), 0);
    assert_string_equal(
        buf_text(&query),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_deinit(&query);
}

/* Temporary keys: the token is a signed header, or a signed parameter. */
static void test_a_session_token_is_signed(void **state)
{
    const struct sigv4_request request = {
        .method = "GET", .host = "h", .path = "/", .payload = SIGV4_EMPTY, .time_s = S3_TIME};
    struct sigv4_keys keys = s3_keys;
    char date[SIGV4_DATE_SIZE];
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    keys.session_token = "a/b+c==";
    assert_int_equal(sigv4_sign(&keys, &request, &out, date), 0);
    assert_non_null(strstr(buf_text(&out), "SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    buf_clear(&out);
    assert_int_equal(sigv4_presign(&keys, &request, 1, &out), 0);
    assert_non_null(strstr(buf_text(&out), "&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-SignedHeaders=host&"));
    buf_clear(&out);
    keys.session_token = "";
    assert_int_equal(sigv4_presign(&keys, &request, 1, &out), 0);
    assert_null(strstr(buf_text(&out), "Token"));
    buf_deinit(&out);
}

static void test_paths_and_queries_are_encoded_once(void **state)
{
    static const struct sigv4_field query[] = {
        {"prefix",    "a/b c+d%20"},
        {"a.b",       "1"         },
        {"a",         "3"         },
        {"a",         "2/"        },
        {"a",         "20"        },
        {"list-type", "2"         },
        {"\xff",      "\x01"      },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    sigv4_write_path(&out, "/bucket/a b/%41+\xc3\xa4~.-_");
    assert_string_equal(buf_text(&out), "/bucket/a%20b/%2541%2B%C3%A4~.-_");
    buf_clear(&out);
    assert_int_equal(sigv4_write_query(&out, query, ARRAY_LENGTH(query)), 0);
    assert_string_equal(buf_text(&out), "%FF=%01&a=2%2F&a=20&a=3&a.b=1&list-type=2&prefix=a%2Fb%20c%2Bd%2520");
    buf_deinit(&out);
}

static void test_requests_above_the_limits_are_refused(void **state)
{
    static char long_region[300], long_secret[600], long_path[20000];
    static struct sigv4_field many[SIGV4_FIELDS_MAX + 1];
    struct sigv4_request request = {
        .method = "GET", .host = "h", .path = "/", .payload = SIGV4_EMPTY, .time_s = S3_TIME};
    struct sigv4_keys keys = s3_keys;
    char date[SIGV4_DATE_SIZE];
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    memset(long_region, 'r', sizeof(long_region) - 1);
    memset(long_secret, 's', sizeof(long_secret) - 1);
    memset(long_path, '/', sizeof(long_path) - 1);
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
        many[i] = (struct sigv4_field){"n", "v"};
    keys.region = long_region;
    assert_int_equal(sigv4_sign(&keys, &request, &out, date), ERR_TOO_LONG);
    assert_int_equal(sigv4_presign(&keys, &request, 1, &out), ERR_TOO_LONG);
    keys = s3_keys;
    keys.secret_key = long_secret;
    assert_int_equal(sigv4_sign(&keys, &request, &out, date), ERR_TOO_LONG);
    keys = s3_keys;
    request.path = long_path;
    assert_int_equal(sigv4_sign(&keys, &request, &out, date), ERR_TOO_LONG);
    request.path = "/";
    request.query = many;
    request.query_count = ARRAY_LENGTH(many);
    assert_int_equal(sigv4_sign(&keys, &request, &out, date), ERR_TOO_LONG);
    assert_int_equal(sigv4_write_query(&out, many, ARRAY_LENGTH(many)), ERR_TOO_LONG);
    request.query_count = SIGV4_FIELDS_MAX - 1; /* signing a link adds five */
    assert_int_equal(sigv4_presign(&keys, &request, 1, &out), ERR_TOO_LONG);
    request.query_count = 0;
    assert_int_equal(sigv4_presign(&keys, &request, 0, &out), ERR_RANGE);
    assert_int_equal(sigv4_presign(&keys, &request, SIGV4_LINK_SECONDS_MAX + 1, &out), ERR_RANGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(sigv4_presign(&keys, &request, SIGV4_LINK_SECONDS_MAX, &out), 0);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_general_suite),
        cmocka_unit_test(test_the_examples_of_s3),
        cmocka_unit_test(test_the_general_suite_presigned),
        cmocka_unit_test(test_the_presigned_example_of_s3),
        cmocka_unit_test(test_a_session_token_is_signed),
        cmocka_unit_test(test_paths_and_queries_are_encoded_once),
        cmocka_unit_test(test_requests_above_the_limits_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
