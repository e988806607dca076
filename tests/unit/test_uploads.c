/* Uploads: which dimensions ARK takes, and for how long an object is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/storage/name.h"
#include "common/task/task_spec.h"
#include "gateway/uploads/image_rules.h"
#include "gateway/uploads/life.h"
#include "gateway/uploads/object_name.h"

#define HOUR_MS (INT64_C(60) * 60 * 1000)
#define DAY_MS  (24 * HOUR_MS)

/* clang-format off */
static const struct { uint32_t width, height; const char *why; } dimensions[] = {
    { 15,         15,         NULL },
    { 14,         15,         "15 pixels" },
    { 15,         14,         "15 pixels" },
    { 1,          1,          "15 pixels" },
    { 6000,       6000,       NULL },
    { 6001,       6000,       "36,000,000 pixels" },
    { 4294967295, 4294967295, "36,000,000 pixels" },
    { 240,        15,         NULL },
    { 241,        15,         "16 times" },
    { 15,         241,        "16 times" },
    { 24000,      1500,       NULL },
    { 24000,      1499,       "16 times" },
};
/* clang-format on */

static void dimensions_that_ark_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(dimensions); i++) {
        const struct image_header image = {IMAGE_PNG, dimensions[i].width, dimensions[i].height};
        char why[IMAGE_RULE_SIZE] = "";

        print_message("  %u x %u\n", image.width, image.height);
        assert_int_equal(image_rules_check(&image, why), !dimensions[i].why);
        assert_true(!dimensions[i].why || strstr(why, dimensions[i].why));
    }
}

/* For every hour of some days, and waits from none to the longest: a fresh object covers the life of its upload and one use. */
static void a_task_finds_its_object_for_as_long_as_it_may_wait(void **state)
{
    static const int64_t waits_ms[] = {1000, HOUR_MS, 25 * HOUR_MS, 30 * DAY_MS};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(waits_ms); i++)
        for (int64_t now_ms = 20000 * DAY_MS; now_ms < 20003 * DAY_MS; now_ms += HOUR_MS) {
            int day = upload_day(now_ms, waits_ms[i]);
            int64_t covers_ms = upload_covers(day, waits_ms[i]);

            assert_true(covers_ms >= now_ms + UPLOAD_LIFE_MS + waits_ms[i]);
            assert_true(covers_ms < now_ms + UPLOAD_LIFE_MS + waits_ms[i] + DAY_MS + HOUR_MS);
            assert_false(storage_day_is_expired(day, storage_day_of(covers_ms + waits_ms[i])));
        }
}

static void objects_have_names_that_are_not_those_of_pictures(void **state)
{
    char first[STORAGE_NAME_SIZE], second[STORAGE_NAME_SIZE], id[STORAGE_ID_SIZE];
    int day;

    (void)state;
    object_name_make(first, 20794);
    object_name_make(second, 20794);
    assert_true(storage_name_is_valid(first));
    assert_string_not_equal(first, second);
    assert_memory_equal(first, "20261207/upload-", 16);
    assert_false(storage_name_read_picture(first, strlen(first), &day, id));
}

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void ids_are_exact(void **state)
{
    static const char *const others[] = {"",
                                         "upload:",
                                         ("upload:" DIGITS "0"),
                                         "Upload:" DIGITS,
                                         "https://example.com",
                                         "upload:0123456789abcdeF0123456789abcdef0123456789abcdef0123456789abcdef"};

    (void)state;
    assert_true(task_url_is_upload("upload:" DIGITS));
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        assert_false(task_url_is_upload(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_that_ark_takes),
        cmocka_unit_test(a_task_finds_its_object_for_as_long_as_it_may_wait),
        cmocka_unit_test(objects_have_names_that_are_not_those_of_pictures),
        cmocka_unit_test(ids_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
