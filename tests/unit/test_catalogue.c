#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/base/money.h"
#include "tests/support/builtin_catalogue.h"

static const struct {
    const char *name, *id, *family;
} cases[] = {
    {"the Volcengine id",                          "doubao-seedream-4-0-250828",       "seedream-4-0"      },
    {"the BytePlus id",                            "seedream-4-0-250828",              "seedream-4-0"      },
    {"the other BytePlus brand",                   "dola-seedream-5-0-pro-260628",     "seedream-5-0-pro"  },
    {"4.5",                                        "doubao-seedream-4-5-251128",       "seedream-4-5"      },
    {"5.0 lite under its short name",              "doubao-seedream-5-0-260128",       "seedream-5-0-lite" },
    {"5.0 lite under its long name",               "doubao-seedream-5-0-lite-260128",  "seedream-5-0-lite" },
    {"5.0 flash",                                  "doubao-seedream-5-0-flash-260915", "seedream-5-0-flash"},
    {"3.0 text to image",                          "doubao-seedream-3-0-t2i-250415",   "seedream-3-0"      },
    {"SeedEdit",                                   "doubao-seededit-3-0-i2i-250628",   "seededit-3-0"      },
    {"a later date",                               "doubao-seedream-4-5-270101",       "seedream-4-5"      },
    {"no date",                                    "seedream-4-5",                     "seedream-4-5"      },
    {"a gateway's dots",                           "seedream-4.5",                     "seedream-4-5"      },
    {"a gateway's capitals",                       "Doubao-Seedream-5.0-Pro",          "seedream-5-0-pro"  },
    {"an unknown variant is another model",        "doubao-seedream-5-0-mini-270101",  "unlisted"          },
    {"an unknown variant of a variant",            "doubao-seedream-5-0-pro-max",      "unlisted"          },
    {"an unknown variant, as a gateway writes it", "seedream.4.0.turbo",               "unlisted"          },
    {"a name after the date",                      "doubao-seedream-4-0-250828-hd",    "seedream-4-0"      },
    {"no date, and a dash",                        "seedream-4-0-",                    "unlisted"          },
    {"3.0 without its variant",                    "seedream-3.0",                     "seedream-3-0"      },
    {"a family must end where a word ends",        "seedream-4-50",                    "unlisted"          },
    {"an endpoint id",                             "ep-20250828101010-abcde",          "unlisted"          },
    {"a name that is not listed",                  "gpt-image-1",                      "unlisted"          },
    {"a later version",                            "doubao-seedream-6-0-270101",       "unlisted"          },
    {"5.5",                                        "doubao-seedream-5-5-261028",       "seedream-5-5"      },
    {"5.5 as a gateway writes it",                 "seedream-5.5",                     "seedream-5-5"      },
    {"no name",                                    "",                                 "unlisted"          },
    {"only the brand",                             "doubao-",                          "unlisted"          },
};

static void finds_the_row_of_a_family(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("  %s\n", cases[i].name);
        assert_string_equal(catalogue_find(builtin_catalogue(), cases[i].id)->names[0], cases[i].family);
    }
}

static void has_the_limits_of_each_model(void **state)
{
    const struct catalogue *catalogue = builtin_catalogue();
    const struct model *pro = catalogue_find(catalogue, "doubao-seedream-5-0-pro-260628");
    const struct model *four = catalogue_find(catalogue, "doubao-seedream-4-0-250828");
    const struct model *five_five = catalogue_find(catalogue, "doubao-seedream-5-5-261028");
    const struct model *text_only = catalogue_find(catalogue, "doubao-seedream-3-0-t2i-250415");

    (void)state;
    assert_true(four->group && four->stream && !four->png && !four->web_search && four->optimize_fast);
    assert_true(!pro->group && !pro->stream && pro->png && !pro->web_search);
    assert_true(!five_five->group && !five_five->stream && five_five->png && five_five->listed);
    assert_int_equal(five_five->references_max, 10);
    assert_int_equal(five_five->layers_max, 100);
    assert_int_equal(four->references_max, 14);
    assert_int_equal(pro->references_max, 10);
    assert_int_equal(pro->pixels_max, 4624220);
    assert_int_equal(pro->price.tier_count, 2);
    assert_int_equal(pro->price.tiers[0].micros, 45000);
    assert_int_equal(pro->price.tiers[1].pixels_max, INT64_MAX);
    assert_int_equal(text_only->references_max, 0);
    assert_int_equal(text_only->price.tier_count, 0);
    assert_string_equal(catalogue_currency(catalogue), "USD");
    assert_int_equal(strlen(catalogue_version(catalogue)), CATALOGUE_VERSION_SIZE - 1);
}

/* -- files */

#define ROW(members) "{\"models\":[{\"name\":\"m\",\"sizes\":[\"2K\"]" members "}]}"
#define PRICE(text)  ROW(",\"price\":" text)

/* clang-format off */
static const struct { const char *name, *text, *why; } broken[] = {
    { "no JSON",                      "{",                                      "line 1, column 1: string or '}' expected near end of file" },
    { "a list",                       "[]",                                     "must be an object with models" },
    { "nothing",                      "{}",                                     "models: must be a list" },
    { "a field of the file",          "{\"model\":[]}",                         "model is not a field of it" },
    { "a currency in small letters",  "{\"currency\":\"usd\",\"models\":[]}",   "currency: must be three capital letters, such as USD" },
    { "a row that is a number",       "{\"models\":[1]}",                       "models[0]: row: must be an object" },
    { "a row without a name",         "{\"models\":[{\"sizes\":[\"2K\"]}]}",    "models[0]: name: is required" },
    { "a name that is a number",      "{\"models\":[{\"name\":1}]}",            "models[0]: name: must be the beginning of model ids: 1 to 63 of A-Z a-z 0-9 . _ : -" },
    { "a name with a space",          "{\"models\":[{\"name\":\"a b\"}]}",      "models[0] (a b): name: must be the beginning of model ids: 1 to 63 of A-Z a-z 0-9 . _ : -" },
    { "only a brand",                 "{\"models\":[{\"name\":\"doubao-\"}]}",  "models[0] (doubao-): name: must be the beginning of model ids: 1 to 63 of A-Z a-z 0-9 . _ : -" },
    { "the second row",               "{\"models\":[{\"name\":\"a\",\"sizes\":[\"2K\"]},{\"name\":\"b\",\"group\":1}]}", "models[1] (b): group: must be true or false" },
    { "neither sizes nor pixels",     "{\"models\":[{\"name\":\"m\"}]}",        "models[0] (m): sizes: or pixels is required" },
    { "an unknown field",             ROW(",\"refs\":1"),                       "models[0] (m): row: refs is not a field of a model" },
    { "too many references",          ROW(",\"references\":15"),                "models[0] (m): references: must be an integer from 0 to 14" },
    { "more references than it takes", ROW(",\"references\":1,\"references_min\":2"), "models[0] (m): references_min: must not be above references" },
    { "references as a text",         ROW(",\"references\":\"1\""),             "models[0] (m): references: must be an integer from 0 to 14" },
    { "a size in pixels",             "{\"models\":[{\"name\":\"m\",\"sizes\":[\"1x1\"]}]}", "models[0] (m): sizes[0]: must be a keyword such as \"2K\", of at most 15 letters, digits and points" },
    { "pixels as a list",             ROW(",\"pixels\":[1,2]"),                 "models[0] (m): pixels: must be an object with min and max, or null" },
    { "pixels without a maximum",     ROW(",\"pixels\":{\"min\":1}"),           "models[0] (m): pixels.max: must be an integer from 1 to 1073741824" },
    { "a maximum below the minimum",  ROW(",\"pixels\":{\"min\":9,\"max\":8}"), "models[0] (m): pixels.max: must be an integer from 9 to 1073741824" },
    { "a format that is unknown",     ROW(",\"formats\":[\"jpeg\",\"gif\"]"),   "models[0] (m): formats: must be a list of: jpeg, png" },
    { "no jpeg",                      ROW(",\"formats\":[\"png\"]"),            "models[0] (m): formats: must have jpeg, which is ARK's default" },
    { "a mode that is unknown",       ROW(",\"optimize_prompt\":[\"slow\"]"),   "models[0] (m): optimize_prompt: must be a list of: standard, fast" },
    { "an id of another row",         ROW(",\"id\":\"doubao-seedream-4-0-1\""), "models[0] (m): id: doubao-seedream-4-0-1 does not begin with a name of this row" },
    { "a name of another row",        ROW(",\"names\":[\"seedream-5.0\"]"),     "models[0] (m): names: seedream-5-0 is also a name of the row seedream-5-0-lite" },
    { "two rows of one name",         "{\"models\":[{\"name\":\"m\",\"sizes\":[\"2K\"]},{\"name\":\"doubao-M\",\"sizes\":[\"4K\"]}]}",
      "models[1] (doubao-M): name: m is also the name of a row above" },
    { "a built-in row twice",         "{\"models\":[{\"name\":\"seedream-4-0\",\"sizes\":[\"2K\"]},{\"name\":\"seedream-4.0\",\"sizes\":[\"4K\"]}]}",
      "models[1] (seedream-4.0): name: seedream-4-0 is also the name of a row above" },
    { "like a row that is not there", "{\"models\":[{\"name\":\"m\",\"like\":\"x\"}]}", "models[0] (m): like: must be the name of a row that is in the catalogue or above" },
    { "a price as a number",          PRICE("0.03"),                            "models[0] (m): price: must be an object with images and references, or null" },
    { "a price without images",       PRICE("{}"),                              "models[0] (m): price.images: must be a list of 1 to 4 prices" },
    { "a price with a fraction",      PRICE("{\"images\":[{\"micros\":0.5}]}"), "models[0] (m): price.images[0].micros: must be an integer from 0 to 1000000000" },
    { "a negative price",             PRICE("{\"images\":[{\"micros\":-1}]}"),  "models[0] (m): price.images[0].micros: must be an integer from 0 to 1000000000" },
    { "a price per pixel",            PRICE("{\"images\":[{\"pixels\":1,\"micros\":1}]}"), "models[0] (m): price.images[0].pixels_max: pixels is not a field of a price" },
    { "a limit in the last tier",     PRICE("{\"images\":[{\"pixels_max\":1,\"micros\":1}]}"), "models[0] (m): price.images[0].pixels_max: must be set in all entries but the last" },
    { "tiers out of order",           PRICE("{\"images\":[{\"pixels_max\":9,\"micros\":1},{\"pixels_max\":9,\"micros\":1},{\"micros\":2}]}"),
                                      "models[0] (m): price.images[1].pixels_max: must be an integer from 10 to 1073741824" },
    { "references as a number",       PRICE("{\"images\":[{\"micros\":1}],\"references\":1}"), "models[0] (m): price.references: must be an object with free and micros" },
    { "references without a price",   PRICE("{\"images\":[{\"micros\":1}],\"references\":{}}"), "models[0] (m): price.references.micros: must be an integer from 0 to 1000000000" },
};
/* clang-format on */

static void explains_a_broken_file(void **state)
{
    struct buf why;

    (void)state;
    buf_init(&why, CATALOGUE_WHY_MAX);
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct catalogue *out = NULL;

        print_message("  %s\n", broken[i].name);
        buf_clear(&why);
        assert_int_equal(catalogue_read(broken[i].text, strlen(broken[i].text), builtin_catalogue(), &out, &why),
                         ERR_SYNTAX);
        assert_string_equal(buf_text(&why), broken[i].why);
        assert_null(out);
    }
    buf_deinit(&why);
}

static struct catalogue *extend(const char *text)
{
    struct catalogue *out = NULL;
    struct buf why;
    int err;

    buf_init(&why, CATALOGUE_WHY_MAX);
    err = catalogue_read(text, strlen(text), builtin_catalogue(), &out, &why);
    if (err)
        fail_msg("%s", buf_text(&why));
    buf_deinit(&why);
    return out;
}

static void adds_and_replaces_rows(void **state)
{
    struct catalogue *all = extend("{\"models\":[{\"name\":\"ep-20260101-abcde\",\"like\":\"seedream-5-0-pro\","
                                   "\"title\":\"Ours\",\"layers\":0},"
                                   "{\"name\":\"seedream-4.0\",\"sizes\":[\"2K\"],\"references\":3}]}");
    const struct model *endpoint = catalogue_find(all, "ep-20260101-abcde");
    const struct model *four = catalogue_find(all, "doubao-seedream-4-0-250828");
    size_t count = 0;

    (void)state;
    assert_true(endpoint->listed && endpoint->png);
    assert_string_equal(endpoint->title, "Ours");
    assert_string_equal(endpoint->id, "ep-20260101-abcde");
    assert_int_equal(endpoint->layers_max, 0);
    assert_int_equal(endpoint->price.tier_count, 2);
    assert_int_equal(four->references_max, 3);
    assert_false(four->group);
    assert_int_equal(four->price.tier_count, 0);
    while (catalogue_at(all, count))
        count++;
    assert_int_equal(count, 9);
    assert_string_equal(catalogue_currency(all), "USD");
    assert_string_not_equal(catalogue_version(all), catalogue_version(builtin_catalogue()));
    assert_non_null(strstr(catalogue_json(all), "\"amount\":0.045"));
    catalogue_unref(all);
}

static void changes_a_price_and_nothing_else(void **state)
{
    struct catalogue *all = extend("{\"models\":[{\"name\":\"seedream-4-0\",\"like\":\"seedream-4-0\","
                                   "\"id\":\"doubao-seedream-4-0-250828\",\"price\":{\"images\":[{\"micros\":1}]}}]}");
    const struct model *four = catalogue_find(all, "seedream-4-0");

    (void)state;
    assert_true(four->group && four->stream);
    assert_int_equal(four->price.tiers[0].micros, 1);
    catalogue_unref(all);
}

static void another_currency_drops_the_built_in_prices(void **state)
{
    struct catalogue *all =
        extend("{\"currency\":\"CNY\",\"models\":[{\"name\":\"seedream-4-5\",\"like\":\"seedream-4-5\","
               "\"price\":{\"images\":[{\"micros\":250000}]}}]}");

    (void)state;
    assert_string_equal(catalogue_currency(all), "CNY");
    assert_int_equal(catalogue_find(all, "seedream-4-0")->price.tier_count, 0);
    assert_int_equal(catalogue_find(all, "seedream-4-5")->price.tiers[0].micros, 250000);
    catalogue_unref(all);
}

static void an_id_belongs_to_the_row_with_the_longest_name(void **state)
{
    struct catalogue *all = extend("{\"models\":[{\"name\":\"seedream-4-0-250828\",\"sizes\":[\"2K\"],"
                                   "\"id\":\"doubao-seedream-4-0-250828\"}]}");

    (void)state;
    assert_string_equal(catalogue_find(all, "doubao-seedream-4-0-250828")->names[0], "seedream-4-0-250828");
    assert_string_equal(catalogue_find(all, "doubao-seedream-4-0-260101")->names[0], "seedream-4-0");
    assert_null(strstr(catalogue_json(all),
                       "[\"seedream-4-0\"]")); /* clients would take its limits and prices for those of the id */
    assert_non_null(strstr(catalogue_json(all), "[\"seedream-4-0-250828\"]"));
    for (size_t i = 0; catalogue_at(all, i); i++)
        assert_string_not_equal(catalogue_at(all, i)->names[0], "seedream-4-0");
    catalogue_unref(all);
}

static void the_version_covers_rows_that_are_not_listed(void **state)
{
    struct catalogue *first =
        extend("{\"models\":[{\"name\":\"m-1\",\"sizes\":[\"2K\"]},{\"name\":\"m\",\"id\":\"m\",\"sizes\":[\"2K\"]}]}");
    struct catalogue *same = extend(
        "{\"models\":[{\"name\":\"m\",\"id\":\"m-1\",\"sizes\":[\"2K\"]},{\"name\":\"m-1\",\"sizes\":[\"2K\"]}]}");
    struct catalogue *other = extend(
        "{\"models\":[{\"name\":\"m\",\"id\":\"m-1\",\"sizes\":[\"4K\"]},{\"name\":\"m-1\",\"sizes\":[\"2K\"]}]}");

    (void)state;
    assert_string_equal(catalogue_json(same), catalogue_json(other));
    assert_string_not_equal(catalogue_version(same), catalogue_version(other));
    assert_string_not_equal(catalogue_version(same), catalogue_version(first));
    catalogue_unref(first);
    catalogue_unref(same);
    catalogue_unref(other);
}

static void an_empty_file_changes_nothing(void **state)
{
    struct catalogue *all = extend("{\"models\":[]}");

    (void)state;
    assert_string_equal(catalogue_version(all), catalogue_version(builtin_catalogue()));
    catalogue_unref(all);
}

static void has_room_for_64_models(void **state)
{
    struct catalogue *out = NULL;
    struct buf text, why;

    (void)state;
    buf_init(&text, CATALOGUE_TEXT_MAX);
    buf_init(&why, CATALOGUE_WHY_MAX);
    buf_add_text(&text, "{\"models\":[");
    for (int i = 0; i < CATALOGUE_MODELS_MAX + 1; i++)
        buf_addf(&text, "%s{\"name\":\"m%d\",\"sizes\":[\"2K\"]}", i ? "," : "", i);
    buf_add_text(&text, "]}");
    assert_int_equal(catalogue_read(buf_text(&text), text.len, NULL, &out, &why), ERR_SYNTAX);
    assert_string_equal(buf_text(&why), "models[64] (m64): row: the catalogue has room for 64 models");
    buf_deinit(&text);
    buf_deinit(&why);
}

static void writes_amounts_without_trailing_zeros(void **state)
{
    static const struct {
        int64_t micros;
        const char *text;
    } amounts[] = {
        {0,        "0"        },
        {1,        "0.000001" },
        {45000,    "0.045"    },
        {90000,    "0.09"     },
        {1000000,  "1"        },
        {12345678, "12.345678"},
        {10100000, "10.1"     },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 64);
    for (size_t i = 0; i < ARRAY_LENGTH(amounts); i++) {
        buf_clear(&out);
        money_add(&out, amounts[i].micros);
        assert_string_equal(buf_text(&out), amounts[i].text);
    }
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_row_of_a_family),
        cmocka_unit_test(has_the_limits_of_each_model),
        cmocka_unit_test(explains_a_broken_file),
        cmocka_unit_test(adds_and_replaces_rows),
        cmocka_unit_test(changes_a_price_and_nothing_else),
        cmocka_unit_test(another_currency_drops_the_built_in_prices),
        cmocka_unit_test(an_id_belongs_to_the_row_with_the_longest_name),
        cmocka_unit_test(the_version_covers_rows_that_are_not_listed),
        cmocka_unit_test(an_empty_file_changes_nothing),
        cmocka_unit_test(has_room_for_64_models),
        cmocka_unit_test(writes_amounts_without_trailing_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
