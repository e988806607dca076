#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "gateway/access/key_command.h"
#include "gateway/access/key_file.h"
#include "gateway/access/key_token.h"

#define ID     "0123456789ab"
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD   ID " shop " DIGEST " 2026-01-02T03:04:05Z "
#define AT     INT64_C(1767323045000) /* 2026-01-02T03:04:05Z */

/* -- one line */

/* clang-format off */
static const struct { const char *name, *line, *why; } bad_lines[] = {
    { "a key id that is too short",     "0123 shop " DIGEST " 2026-01-02 -",            "\"0123\" is not a key id (12 hex digits)" },
    { "capitals in it",                 "0123456789AB shop " DIGEST " 2026-01-02 -",    "\"0123456789AB\" is not a key id (12 hex digits)" },
    { "no client",                      ID,                                             "a client's name ([a-z0-9][a-z0-9_-]{0,31}, not \"public\") is missing" },
    { "the client of those without keys", ID " public " DIGEST " 2026-01-02 -",         "\"public\" is not a client's name ([a-z0-9][a-z0-9_-]{0,31}, not \"public\")" },
    { "half a hash",                    ID " shop 0011 2026-01-02 -",                   "\"0011\" is not a SHA-256 (64 hex digits)" },
    { "no times",                       ID " shop " DIGEST,                             "a time (2026-01-02T03:04:05Z) is missing" },
    { "a time that is none",            ID " shop " DIGEST " yesterday -",              "\"yesterday\" is not a time (2026-01-02T03:04:05Z)" },
    { "a month too many",               ID " shop " DIGEST " 2026-13-02 -",             "\"2026-13-02\" is not a time (2026-01-02T03:04:05Z)" },
    { "a time with more text",          HEAD "2026-01-02T03:04:05Zx",                  "\"2026-01-02T03:04:05Zx\" is not when it expires (2026-01-02T03:04:05Z, or -)" },
    { "no word of an end",              HEAD,                                           "when it expires (2026-01-02T03:04:05Z, or -) is missing" },
    { "an unknown word",                HEAD "- request=5",                             "\"request=5\" is not requests=, queued=, streams=, images=, spend_day=, spend_month=, webhook=, webhook_generation= or revoked" },
    { "a limit without a number",       HEAD "- requests=",                             "requests is a number from 0 to 1000000" },
    { "a negative limit",               HEAD "- streams=-1",                            "streams is a number from 0 to 10000000" },
    { "a limit with a unit",            HEAD "- images=5k",                             "images is a number from 0 to 1000000000" },
    { "a limit that allows nothing",    HEAD "- queued=0",                              "queued is a number from 1 to 10000000" },
    { "a limit above the maximum",      HEAD "- requests=1000001",                      "requests is a number from 0 to 1000000" },
    { "a limit of too many digits",     HEAD "- requests=99999999999999999999",         "requests is a number from 0 to 1000000" },
    { "a limit that is set twice",      HEAD "- images=5 images=6",                     "images is set twice" },
    { "a spending limit without an amount", HEAD "- spend_day=",                        "spend_day is an amount such as 2.50" },
    { "a spending limit in a currency", HEAD "- spend_month=5USD",                      "spend_month is an amount such as 2.50" },
    { "more decimals than are counted", HEAD "- spend_day=0.0000001",                   "spend_day is an amount such as 2.50" },
    { "a webhook that is not a URL",    HEAD "- webhook=example.com",                   "webhook= must begin with http:// or https://" },
    { "a webhook with a user name",     HEAD "- webhook=https://a@example.com",         "webhook= must not contain a user name or password" },
    { "two webhooks",                   HEAD "- webhook=https://a.example webhook=https://b.example", "webhook= is set twice" },
    { "generation 0",                   HEAD "- webhook_generation=0",                  "webhook_generation= is a number from 1 to 1000000, once" },
    { "a key in place of its hash",     ID " shop arkrelay_" ID "_x 2026-01-02 -",      "\"arkrelay_0123456789ab_\" is not a SHA-256 (64 hex digits)" },
};
/* clang-format on */

static void test_an_invalid_line_is_refused_with_the_reason(void **state)
{
    struct key_line key = {.id = "untouched"};
    struct buf why;

    (void)state;
    buf_init(&why, 1024);
    for (size_t i = 0; i < ARRAY_LENGTH(bad_lines); i++) {
        print_message("  %s\n", bad_lines[i].name);
        buf_clear(&why);
        assert_int_equal(key_line_parse(bad_lines[i].line, strlen(bad_lines[i].line), &key, &why), ERR_SYNTAX);
        assert_string_equal(buf_text(&why), bad_lines[i].why);
        assert_string_equal(key.id, "untouched");
    }
    buf_deinit(&why);
}

static struct key_line parsed(const char *line)
{
    struct key_line key;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(key_line_parse(line, strlen(line), &key, &why), 0);
    assert_int_equal(why.len, 0);
    return key;
}

static void test_a_line_with_all_settings_is_parsed(void **state)
{
    struct key_line key =
        parsed(HEAD "2026-01-03 requests=600\tqueued=1  streams=0 images=7 spend_day=12.05 revoked \r");

    (void)state;
    assert_string_equal(key.id, ID);
    assert_string_equal(key.client, "shop");
    assert_int_equal(key.digest[1], 0x11);
    assert_int_equal(key.digest[31], 0xff);
    assert_true(key.created_ms == AT);
    assert_true(key.expires_ms == AT - (3 * 3600 + 4 * 60 + 5) * 1000 + 86400000);
    assert_int_equal(key.limits.most[CLIENT_REQUESTS], 600);
    assert_int_equal(key.limits.most[CLIENT_QUEUED], 1);
    assert_int_equal(key.limits.most[CLIENT_STREAMS], 0);
    assert_int_equal(key.limits.most[CLIENT_IMAGES], 7);
    assert_int_equal(key.limits.most[CLIENT_SPEND_DAY], 12050000);
    assert_int_equal(key.limits.most[CLIENT_SPEND_MONTH], KEY_LIMIT_UNSET);
    assert_true(key.revoked);
}

static void test_absent_settings_have_their_defaults(void **state)
{
    struct key_line key = parsed("  " HEAD "-");

    (void)state;
    assert_true(key.expires_ms == INT64_MAX);
    assert_false(key.revoked);
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        assert_int_equal(key.limits.most[i], KEY_LIMIT_UNSET);
}

static void test_empty_lines_and_comments_are_skipped(void **state)
{
    static const char *const lines[] = {"", "   ", "# a comment", "  #", "\r"};
    struct key_line key;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        assert_int_equal(key_line_parse(lines[i], strlen(lines[i]), &key, NULL), ERR_NOT_FOUND);
}

static void test_a_parsed_line_is_written_unchanged(void **state)
{
    static const char *const lines[] = {HEAD "-\n", HEAD "2027-01-02T03:04:05Z requests=0 images=12\n",
                                        HEAD "- images=1 webhook=https://a.example/?x=1 webhook_generation=2\n",
                                        HEAD "- spend_day=2.5 spend_month=0.000001\n",
                                        HEAD "- queued=5 streams=3 revoked\n"};
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct key_line key;

        buf_clear(&out);
        assert_int_equal(key_line_parse(lines[i], strlen(lines[i]) - 1, &key, &out), 0);
        key_line_write(&out, &key);
        assert_string_equal(buf_text(&out), lines[i]);
    }
    buf_deinit(&out);
}

static void test_a_key_is_live_until_it_expires_or_is_revoked(void **state)
{
    struct key_line key = parsed(HEAD "2026-01-02T03:04:06Z");

    (void)state;
    assert_true(key_line_is_live(&key, AT));
    assert_true(key_line_is_live(&key, AT + 999));
    assert_false(key_line_is_live(&key, AT + 1000));
    key.revoked = true;
    assert_false(key_line_is_live(&key, AT));
    key = parsed(HEAD "-");
    assert_true(key_line_is_live(&key, INT64_MAX - 1));
}

/* -- the file */

struct scratch {
    char folder[32], path[64];
};

static int set_up(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));

    (void)snprintf(scratch->folder, sizeof(scratch->folder), "/tmp/arkrelay-keys-XXXXXX");
    assert_non_null(mkdtemp(scratch->folder));
    (void)snprintf(scratch->path, sizeof(scratch->path), "%s/keys", scratch->folder);
    *state = scratch;
    return 0;
}

static int tear_down(void **state)
{
    struct scratch *scratch = *state;

    (void)unlink(scratch->path);
    assert_int_equal(rmdir(scratch->folder), 0); /* fails if another file was left in it */
    free(scratch);
    return 0;
}

static void write_content(const struct scratch *scratch, const char *text)
{
    FILE *file = fopen(scratch->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(scratch->path, 0600), 0);
}

static void assert_content(const struct scratch *scratch, const char *text)
{
    char content[4096] = "";
    FILE *file = fopen(scratch->path, "r");

    assert_non_null(file);
    assert_true(fread(content, 1, sizeof(content) - 1, file) < sizeof(content) - 1);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(content, text);
}

static int approve_all(const struct key_file *file, struct key_line *line, void *arg, struct buf *why)
{
    (void)why;
    assert_int_equal(file->count, *(size_t *)arg);
    (void)snprintf(line->id, sizeof(line->id), "%012zx", *(size_t *)arg);
    return 0;
}

static int approve_none(const struct key_file *file, struct key_line *line, void *arg, struct buf *why)
{
    (void)file;
    (void)line;
    (void)arg;
    buf_add_text(why, "no");
    return ERR_REFUSED;
}

static int append(const struct scratch *scratch, size_t expected, key_file_approve_fn *approve)
{
    struct key_line line = parsed(HEAD "-");
    struct buf why;
    int err;

    buf_init(&why, 1024);
    err = key_file_append(scratch->path, &line, approve, &expected, &why);
    if (!err)
        assert_string_equal(buf_text(&why), "");
    buf_deinit(&why);
    return err;
}

static void test_the_first_key_creates_a_file_that_only_the_owner_can_read(void **state)
{
    const struct scratch *scratch = *state;
    struct stat stat;
    struct key_file file;
    struct buf why;

    (void)umask(0);
    assert_int_equal(append(scratch, 0, approve_all), 0);
    assert_int_equal(append(scratch, 1, approve_all), 0);
    assert_int_equal(lstat(scratch->path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    buf_init(&why, 1024);
    assert_int_equal(key_file_read(scratch->path, &file, &why), 0);
    assert_int_equal(file.count, 2);
    assert_false(file.exposed);
    assert_string_equal(file.keys[1].id, "000000000001");
    key_file_deinit(&file);
}

static void test_a_missing_final_newline_is_added(void **state)
{
    const struct scratch *scratch = *state;

    write_content(scratch, "# mine\n" HEAD "-");
    assert_int_equal(append(scratch, 1, approve_all), 0);
    assert_content(scratch, "# mine\n" HEAD "-\n000000000001 shop " DIGEST " 2026-01-02T03:04:05Z -\n");
}

static void test_a_refused_append_does_not_change_the_file(void **state)
{
    const struct scratch *scratch = *state;

    write_content(scratch, "# mine\n");
    assert_int_equal(append(scratch, 0, approve_none), ERR_REFUSED);
    assert_content(scratch, "# mine\n");
}

static void test_no_key_is_appended_to_an_invalid_file(void **state)
{
    const struct scratch *scratch = *state;

    write_content(scratch, "\n# x\nnonsense\n");
    assert_int_equal(append(scratch, 0, approve_all), ERR_SYNTAX);
    assert_content(scratch, "\n# x\nnonsense\n");
}

static void test_an_error_names_the_line_number(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"# x\n\nnonsense\n",      "line 3: \"nonsense\" is not a key id (12 hex digits)"           },
        {HEAD "-\n" HEAD "-\n",    "line 2: key id 0123456789ab is used twice"                      },
        {HEAD "- queued=1\n" HEAD, "line 2: when it expires (2026-01-02T03:04:05Z, or -) is missing"},
    };
    const struct scratch *scratch = *state;
    struct key_file file = {.count = 77};
    struct buf why;

    buf_init(&why, 1024);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        write_content(scratch, rows[i].text);
        buf_clear(&why);
        assert_int_equal(key_file_read(scratch->path, &file, &why), ERR_SYNTAX);
        assert_string_equal(buf_text(&why), rows[i].why);
        assert_int_equal(file.count, 77);
    }
    buf_deinit(&why);
}

static void test_a_missing_file_is_an_error(void **state)
{
    const struct scratch *scratch = *state;
    struct key_file file;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(key_file_read(scratch->path, &file, &why), ERR_SYSTEM);
    assert_string_equal(buf_text(&why), "cannot be opened: No such file or directory");
    buf_clear(&why);
    assert_int_equal(key_file_revoke(scratch->path, ID, &why), ERR_SYSTEM);
    buf_deinit(&why);
}

static void test_a_file_that_others_can_read_or_write_is_exposed(void **state)
{
    static const struct {
        mode_t mode;
        bool exposed;
    } rows[] = {
        {0600, false},
        {0400, false},
        {0640, false},
        {0644, true },
        {0604, true },
        {0602, true },
        {0660, true }
    };
    const struct scratch *scratch = *state;
    struct key_file file;
    struct buf why;

    buf_init(&why, 1024);
    write_content(scratch, "");
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        assert_int_equal(chmod(scratch->path, rows[i].mode), 0);
        assert_int_equal(key_file_read(scratch->path, &file, &why), 0);
        assert_int_equal(file.exposed, rows[i].exposed);
        key_file_deinit(&file);
    }
}

static void test_revoking_a_key_changes_only_its_line(void **state)
{
    const struct scratch *scratch = *state;
    struct buf why;
    struct stat stat;

    buf_init(&why, 1024);
    write_content(scratch, "# mine\r\n\n  111111111111 a " DIGEST " 2026-01-02   -   images=5\n" HEAD "-\r\n# end");
    assert_int_equal(chmod(scratch->path, 0640), 0);
    (void)umask(0077);
    assert_int_equal(key_file_revoke(scratch->path, ID, &why), 0);
    assert_int_equal(key_file_revoke(scratch->path, ID, &why), 0);
    assert_content(scratch,
                   "# mine\r\n\n  111111111111 a " DIGEST " 2026-01-02   -   images=5\n" HEAD "- revoked\n# end\n");
    assert_int_equal(lstat(scratch->path, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0640);
    assert_int_equal(key_file_revoke(scratch->path, "222222222222", &why), ERR_NOT_FOUND);
    assert_string_equal(buf_text(&why), "no key with id 222222222222");
    buf_deinit(&why);
}

static int approve_any(const struct key_file *file, struct key_line *line, void *arg, struct buf *why)
{
    (void)arg;
    (void)why;
    (void)snprintf(line->id, sizeof(line->id), "%012zx", file->count);
    return 0;
}

enum { WRITERS = 4, EACH = 10 };

/* Processes append and revoke keys at the same time. No change is lost or applied twice. */
static void test_concurrent_changes_of_many_processes_are_not_lost(void **state)
{
    const struct scratch *scratch = *state;
    struct key_file file;
    struct buf why;
    size_t revoked = 0;

    write_content(scratch, HEAD "-\n");
    for (int i = 0; i < WRITERS; i++) {
        if (fork())
            continue;
        buf_init(&why, 1024);
        for (int n = 0; n < EACH; n++)
            if (i % 2 ? append(scratch, 0, approve_any) : key_file_revoke(scratch->path, n ? "000000000001" : ID, &why))
                why.len = 0; /* 000000000001 may not be there yet */
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_true(wait(NULL) > 0);
    buf_init(&why, 1024);
    assert_int_equal(key_file_read(scratch->path, &file, &why), 0);
    assert_int_equal(file.count, 1 + WRITERS / 2 * EACH);
    for (size_t i = 0; i < file.count; i++)
        revoked += file.keys[i].revoked;
    assert_true(file.keys[0].revoked);
    assert_in_range(revoked, 1, 2);
    key_file_deinit(&file);
    buf_deinit(&why);
}

/* -- the key itself */

#define SECRET DIGEST

static void test_a_token_has_its_id_and_secret(void **state)
{
    char token[KEY_TOKEN_SIZE], id[KEY_ID_SIZE], again[KEY_TOKEN_SIZE];

    (void)state;
    assert_int_equal(key_token_make(token, ID, SECRET), 0);
    assert_int_equal(strlen(token), KEY_TOKEN_LEN);
    assert_memory_equal(token, "arkrelay_" ID "_" SECRET, KEY_TOKEN_LEN - KEY_CHECK_CHARS);
    assert_int_equal(key_token_make(again, ID, SECRET), 0);
    assert_string_equal(token, again);
    key_token_id(id, token, strlen(token));
    assert_string_equal(id, ID);
    assert_false(key_token_has_typo(token));
}

static void test_every_single_typo_is_detected(void **state)
{
    char token[KEY_TOKEN_SIZE];

    (void)state;
    assert_int_equal(key_token_make(token, ID, SECRET), 0);
    for (size_t i = 9; i < KEY_TOKEN_LEN; i++) {
        char kept = token[i];

        if (kept == '_')
            continue;
        token[i] = kept == '0' ? '1' : '0';
        assert_true(key_token_has_typo(token));
        token[i] = kept;
    }
    assert_false(key_token_has_typo("x"));
}

static void test_an_invalid_token_has_no_id(void **state)
{
    char token[KEY_TOKEN_SIZE + 1], id[KEY_ID_SIZE];

    (void)state;
    assert_int_equal(key_token_make(token, ID, SECRET), 0);
    for (size_t len = 0; len < KEY_TOKEN_LEN; len++) {
        key_token_id(id, token, len);
        assert_string_equal(id, "");
    }
    token[KEY_TOKEN_LEN] = '0';
    key_token_id(id, token, KEY_TOKEN_LEN + 1);
    assert_string_equal(id, "");
    for (size_t i = 0; i < KEY_TOKEN_LEN; i++) {
        char kept = token[i];

        token[i] = 'G';
        key_token_id(id, token, KEY_TOKEN_LEN);
        assert_string_equal(id, "");
        token[i] = kept;
    }
}

static void test_key_lifetimes_are_parsed(void **state)
{
    static const struct {
        const char *name, *text;
        int err;
        int64_t ms;
    } rows[] = {
        {"days",              "90d",          0,          INT64_C(90) * 86400000  },
        {"hours",             "12h",          0,          INT64_C(12) * 3600000   },
        {"minutes",           "1m",           0,          60000                   },
        {"ten years",         "3650d",        0,          INT64_C(3650) * 86400000},
        {"more than that",    "3651d",        ERR_RANGE,  0                       },
        {"no time",           "0d",           ERR_RANGE,  0                       },
        {"no unit",           "90",           ERR_SYNTAX, 0                       },
        {"another unit",      "90y",          ERR_SYNTAX, 0                       },
        {"no number",         "d",            ERR_SYNTAX, 0                       },
        {"a negative number", "-1d",          ERR_SYNTAX, 0                       },
        {"too many digits",   "99999999999d", ERR_SYNTAX, 0                       },
    };
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        print_message("  %s\n", rows[i].name);
        ms = 0;
        assert_int_equal(key_lifetime_parse(rows[i].text, &ms), rows[i].err);
        assert_true(ms == rows[i].ms);
    }
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_invalid_line_is_refused_with_the_reason),
        cmocka_unit_test(test_a_line_with_all_settings_is_parsed),
        cmocka_unit_test(test_absent_settings_have_their_defaults),
        cmocka_unit_test(test_empty_lines_and_comments_are_skipped),
        cmocka_unit_test(test_a_parsed_line_is_written_unchanged),
        cmocka_unit_test(test_a_key_is_live_until_it_expires_or_is_revoked),
        WITH_PLACE(test_the_first_key_creates_a_file_that_only_the_owner_can_read),
        WITH_PLACE(test_a_missing_final_newline_is_added),
        WITH_PLACE(test_a_refused_append_does_not_change_the_file),
        WITH_PLACE(test_no_key_is_appended_to_an_invalid_file),
        WITH_PLACE(test_an_error_names_the_line_number),
        WITH_PLACE(test_a_missing_file_is_an_error),
        WITH_PLACE(test_a_file_that_others_can_read_or_write_is_exposed),
        WITH_PLACE(test_revoking_a_key_changes_only_its_line),
        WITH_PLACE(test_concurrent_changes_of_many_processes_are_not_lost),
        cmocka_unit_test(test_a_token_has_its_id_and_secret),
        cmocka_unit_test(test_every_single_typo_is_detected),
        cmocka_unit_test(test_an_invalid_token_has_no_id),
        cmocka_unit_test(test_key_lifetimes_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
