/* Options: precedence of the sources, values of every type, error messages, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/macros.h"
#include "common/config/options.h"
#include "common/config/options_help.h"
#include "common/config/shared_options.h"

enum { ARGS_MAX = 8, PATH_SIZE = 128 };

struct values {
    char *name, *key, *listen, *link;
    int64_t threads, port, wait_ms, room;
    bool mark, check;
    int format;
};

#define AT(field) offsetof(struct values, field)
/* clang-format off */
static const struct option_row rows[] = {
    { "name",    "T_NAME",    OPT_STRING, AT(name),    "a name",  0,   16,      "the name", NULL },
    { "key",     "T_KEY",     OPT_SECRET, AT(key),     NULL,      0,   16,      "a secret", NULL },
    { "listen",  "T_LISTEN",  OPT_ADDRESS, AT(listen), "off",     3,   24,      "where", "auto|off" },
    { "link",    "T_LINK",    OPT_URL,    AT(link),    "",        0,   24,      "a link", NULL },
    { "threads", "T_THREADS", OPT_INT,    AT(threads), "4",       1,   256,     "threads", NULL },
    { "port",    "T_PORT",    OPT_INT,    AT(port),    "0",      -1,   65535,   "port", NULL },
    { "wait",    "T_WAIT",    OPT_MS,     AT(wait_ms), "15s",     100, 600000,  "how long | how short", NULL },
    { "room",    "T_ROOM",    OPT_BYTES,  AT(room),    "64k",     1024, INT64_MAX, "bytes of room", NULL },
    { "mark",    "T_MARK",    OPT_BOOL,   AT(mark),    "true",    0,   0,       "whether", NULL },
    { "format",  "T_FORMAT",  OPT_CHOICE, AT(format),  "text",    0,   0,       "how", "text|json|long-json" },
    { "check",   NULL,        OPT_FLAG,   AT(check),   NULL,      0,   0,       "only look", NULL },
};
/* clang-format on */

static const struct option_table table = {"prog", "1.2.3", "does things", rows, ARRAY_LENGTH(rows)};

/* One run of a program: its sources and its output. */
struct run {
    const char *args[ARGS_MAX];        /* after the program's name */
    const char *environment[ARGS_MAX]; /* NAME=value */
    const char *env_file;              /* content of .env; NULL: no file */
    const char *out_file;              /* takes the output; NULL: `out` does */
    char *out, *err;
    struct values values;
};

struct place {
    char directory[PATH_SIZE], env_file[PATH_SIZE], value_file[PATH_SIZE];
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    (void)snprintf(place->directory, PATH_SIZE, "/tmp/test_options.XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    (void)snprintf(place->env_file, PATH_SIZE, "/tmp/%.40s/.env", place->directory + 5);
    (void)snprintf(place->value_file, PATH_SIZE, "/tmp/%.40s/value", place->directory + 5);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    unlink(place->env_file);
    unlink(place->value_file);
    rmdir(place->directory);
    free(place);
    return 0;
}

static void write_file(const char *path, const char *content, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static enum options_outcome load(const struct place *place, struct run *run)
{
    char *argv[ARGS_MAX + 2] = {(char[]){"prog"}}, *environment[ARGS_MAX + 1] = {NULL};
    size_t out_len, err_len;
    struct options_world world = {.environment = environment, .env_file = place->env_file};
    enum options_outcome outcome;
    int argc = 1;

    unlink(place->env_file);
    if (run->env_file)
        write_file(place->env_file, run->env_file, strlen(run->env_file));
    for (; argc <= ARGS_MAX && run->args[argc - 1]; argc++)
        argv[argc] = strdup(run->args[argc - 1]);
    for (int i = 0; i < ARGS_MAX && run->environment[i]; i++)
        environment[i] = strdup(run->environment[i]);
    world.out = run->out_file ? fopen(run->out_file, "w") : open_memstream(&run->out, &out_len);
    assert_non_null(world.out);
    world.err = open_memstream(&run->err, &err_len);
    outcome = options_load_from(&world, &table, argc, argv, &run->values);
    fclose(world.out);
    fclose(world.err);
    for (int i = 0; i < ARGS_MAX; i++) {
        free(argv[i + 1]);
        free(environment[i]);
    }
    return outcome;
}

static void forget(struct run *run)
{
    options_deinit(&table, &run->values);
    free(run->out);
    free(run->err);
}

static void test_the_defaults(void **state)
{
    struct run run = {0};

    assert_int_equal(load(*state, &run), OPTIONS_RUN);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, "");
    assert_string_equal(run.values.name, "a name");
    assert_string_equal(run.values.key, "");
    assert_int_equal(run.values.threads, 4);
    assert_int_equal(run.values.port, 0);
    assert_int_equal(run.values.wait_ms, 15000);
    assert_int_equal(run.values.room, 65536);
    assert_true(run.values.mark);
    assert_int_equal(run.values.format, 0);
    assert_false(run.values.check);
    forget(&run);
    assert_null(run.values.name);
}

/* -- Precedence */

/* clang-format off */
static const struct { const char *name, *args[3], *environment[3], *env_file; int64_t want; } precedence[] = {
    { "the default alone",                         { NULL },                    { NULL },              NULL,             4 },
    { ".env beats the default",                    { NULL },                    { NULL },              "T_THREADS=5\n",  5 },
    { "the environment beats .env",                { NULL },                    { "T_THREADS=6" },     "T_THREADS=5\n",  6 },
    { "a flag beats the environment",              { "--threads=7" },           { "T_THREADS=6" },     "T_THREADS=5\n",  7 },
    { "a flag's value may be the next argument",   { "--threads", "7" },        { NULL },              NULL,             7 },
    { "the last flag wins",                        { "--threads=7", "--threads=8" }, { NULL },         NULL,             8 },
    { "the last line of .env wins",                { NULL },                    { NULL },              "T_THREADS=5\nT_THREADS=9\n", 9 },
    { "an empty variable counts as absent",        { NULL },                    { "T_THREADS=" },      "T_THREADS=5\n",  5 },
    { "an empty line of .env counts as absent",     { NULL },                    { NULL },              "T_THREADS=\n",   4 },
    { "an empty line removes an earlier one",       { NULL },                    { NULL },              "T_THREADS=5\nT_THREADS=\n", 4 },
    { "variables of other programs are ignored",    { NULL },                    { "T_THREADSX=9", "XT_THREADS=9" }, "OTHER=1\nT_THREADS_X=2\n", 4 },
    { "names are case-sensitive",                  { NULL },                    { "t_threads=9" },     NULL,             4 },
};
/* clang-format on */

static void test_precedence(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(precedence); i++) {
        struct run run = {.env_file = precedence[i].env_file};

        print_message("  %s\n", precedence[i].name);
        memcpy(run.args, precedence[i].args, sizeof(precedence[i].args));
        memcpy(run.environment, precedence[i].environment, sizeof(precedence[i].environment));
        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_string_equal(run.err, "");
        assert_int_equal(run.values.threads, precedence[i].want);
        forget(&run);
    }
}

static void test_boolean_flags(void **state)
{
    struct run on = {
        .args = {"--mark", "--check"},
          .environment = {"T_MARK=no"       }
    };
    struct run off = {.args = {"--no-mark"}};
    struct run off_by_value = {.args = {"--mark=off"}};

    assert_int_equal(load(*state, &on), OPTIONS_RUN);
    assert_true(on.values.mark);
    assert_true(on.values.check);
    forget(&on);
    assert_int_equal(load(*state, &off), OPTIONS_RUN);
    assert_false(off.values.mark);
    forget(&off);
    assert_int_equal(load(*state, &off_by_value), OPTIONS_RUN);
    assert_false(off_by_value.values.mark);
    forget(&off_by_value);
}

static void test_a_flag_may_set_an_empty_text(void **state)
{
    struct run run = {.args = {"--name="}, .environment = {"T_NAME=x"}};

    assert_int_equal(load(*state, &run), OPTIONS_RUN);
    assert_string_equal(run.values.name, "");
    forget(&run);
}

/* -- Values */

/* clang-format off */
static const struct { const char *name, *arg; int64_t want; size_t at; } numbers[] = {
    { "the smallest number",                "--threads=1",      1,          AT(threads) },
    { "the largest number",                 "--threads=256",    256,        AT(threads) },
    { "leading zeros are decimal",          "--threads=010",    10,         AT(threads) },
    { "a negative number",                  "--port=-1",        -1,         AT(port) },
    { "milliseconds",                       "--wait=500ms",     500,        AT(wait_ms) },
    { "seconds",                            "--wait=3s",        3000,       AT(wait_ms) },
    { "minutes",                            "--wait=5m",        300000,     AT(wait_ms) },
    { "a duration at its maximum",          "--wait=10m",       600000,     AT(wait_ms) },
    { "bytes without a unit",               "--room=2000",      2000,       AT(room) },
    { "kibibytes",                          "--room=3k",        3072,       AT(room) },
    { "mebibytes",                          "--room=8m",        8388608,    AT(room) },
    { "gibibytes",                          "--room=4g",        4294967296, AT(room) },
    { "capital units",                      "--room=3K",        3072,       AT(room) },
    { "the largest 64-bit number",          "--room=9223372036854775807", INT64_MAX, AT(room) },
};
/* clang-format on */

static void test_numbers(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        struct run run = {.args = {numbers[i].arg}};

        print_message("  %s\n", numbers[i].name);
        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_int_equal(*(int64_t *)(void *)((char *)&run.values + numbers[i].at), numbers[i].want);
        forget(&run);
    }
}

static void test_booleans_and_choices(void **state)
{
    static const char *const yes[] = {"T_MARK=true", "T_MARK=1", "T_MARK=yes", "T_MARK=on", "T_MARK=TRUE"};
    static const char *const no[] = {"T_MARK=false", "T_MARK=0", "T_MARK=no", "T_MARK=off", "T_MARK=No"};
    static const char *const formats[] = {"T_FORMAT=text", "T_FORMAT=json", "T_FORMAT=long-json"};

    for (size_t i = 0; i < 5; i++) {
        struct run run = {.environment = {yes[i]}}, other = {.environment = {no[i]}};

        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_true(run.values.mark);
        forget(&run);
        assert_int_equal(load(*state, &other), OPTIONS_RUN);
        assert_false(other.values.mark);
        forget(&other);
    }
    for (int i = 0; i < 3; i++) {
        struct run run = {.environment = {formats[i]}};

        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_int_equal(run.values.format, i);
        forget(&run);
    }
}

static void test_addresses_and_urls(void **state)
{
    static const char *const listens[] = {"127.0.0.1:0", "localhost:65535", "[::1]:8000", ":8000", "off", "auto"};
    static const char *const links[] = {"http://a", "HTTPS://a.example/v3/", "http://[::1]:80"};

    for (size_t i = 0; i < ARRAY_LENGTH(listens); i++) {
        struct run run = {
            .args = {"--listen", listens[i]}
        };

        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_string_equal(run.values.listen, listens[i]);
        forget(&run);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        struct run run = {
            .args = {"--link", links[i]}
        };

        assert_int_equal(load(*state, &run), OPTIONS_RUN);
        assert_string_equal(run.values.link, links[i]);
        forget(&run);
    }
}

/* -- Errors */

/* clang-format off */
static const struct { const char *name, *args[3], *environment[3], *env_file, *want; } refused[] = {
    { "a number below its range",            { NULL }, { "T_THREADS=0" }, NULL,
      "prog: T_THREADS=0 is out of range (1 to 256)\n" },
    { "a number above its range",            { "--threads=257" }, { NULL }, NULL,
      "prog: --threads=257 is out of range (1 to 256)\n" },
    { "a number from .env",                  { NULL }, { NULL }, "# x\nT_THREADS=-1\n",
      "prog: T_THREADS=-1 in .env is out of range (1 to 256)\n" },
    { "a number above 64 bits",             { "--room=9223372036854775808" }, { NULL }, NULL,
      "prog: --room=9223372036854775808 is out of range (at least 1k)\n" },
    { "a number that its unit makes too large", { "--room=9223372036854775807k" }, { NULL }, NULL,
      "prog: --room=9223372036854775807k is out of range (at least 1k)\n" },
    { "a number that would wrap around into the range", { "--threads=18446744073709551617" }, { NULL }, NULL,
      "prog: --threads=18446744073709551617 is out of range (1 to 256)\n" },
    { "a word instead of a number",          { NULL }, { "T_THREADS=many" }, NULL,
      "prog: T_THREADS=many is not a whole number\n" },
    { "a number with trailing letters",      { NULL }, { "T_THREADS=4x" }, NULL,
      "prog: T_THREADS=4x is not a whole number\n" },
    { "a number with a point",               { NULL }, { "T_THREADS=1.5" }, NULL,
      "prog: T_THREADS=1.5 is not a whole number\n" },
    { "a number in hex",                     { NULL }, { "T_THREADS=0x10" }, NULL,
      "prog: T_THREADS=0x10 is not a whole number\n" },
    { "a number with a plus",                { NULL }, { "T_THREADS=+4" }, NULL,
      "prog: T_THREADS=+4 is not a whole number\n" },
    { "a number with a space",               { NULL }, { "T_THREADS= 4" }, NULL,
      "prog: T_THREADS=\" 4\" is not a whole number\n" },
    { "a minus alone",                       { NULL }, { "T_THREADS=-" }, NULL,
      "prog: T_THREADS=- is not a whole number\n" },
    { "an empty number",                     { "--threads=" }, { NULL }, NULL,
      "prog: --threads= is not a whole number\n" },
    { "a duration without a unit",           { NULL }, { "T_WAIT=15" }, NULL,
      "prog: T_WAIT=15 needs a unit (ms, s, m, h)\n" },
    { "a duration with an unknown unit",     { NULL }, { "T_WAIT=15sec" }, NULL,
      "prog: T_WAIT=15sec is not a number with a unit (ms, s, m, h)\n" },
    { "a duration below its range",          { NULL }, { "T_WAIT=99ms" }, NULL,
      "prog: T_WAIT=99ms is out of range (100ms to 10m)\n" },
    { "zero needs no unit, but must be in range",  { NULL }, { "T_WAIT=0" }, NULL,
      "prog: T_WAIT=0 is out of range (100ms to 10m)\n" },
    { "bytes with an unknown unit",          { NULL }, { "T_ROOM=64kb" }, NULL,
      "prog: T_ROOM=64kb is not a number of bytes (it may end in k, m or g)\n" },
    { "bytes below their range",             { NULL }, { "T_ROOM=1023" }, NULL,
      "prog: T_ROOM=1023 is out of range (at least 1k)\n" },
    { "a word that is not a boolean", { NULL }, { "T_MARK=maybe" }, NULL,
      "prog: T_MARK=maybe is not a boolean (true, false, 1, 0, yes, no, on, off)\n" },
    { "an unknown choice",          { NULL }, { "T_FORMAT=xml" }, NULL,
      "prog: T_FORMAT=xml is not a valid choice (text, json, long-json)\n" },
    { "the beginning of a choice",                       { NULL }, { "T_FORMAT=long" }, NULL,
      "prog: T_FORMAT=long is not a valid choice (text, json, long-json)\n" },
    { "two choices",                         { NULL }, { "T_FORMAT=text|json" }, NULL,
      "prog: T_FORMAT=text|json is not a valid choice (text, json, long-json)\n" },
    { "a text that is too long",             { "--name=12345678901234567" }, { NULL }, NULL,
      "prog: --name=12345678901234567 is too long (at most 16 bytes)\n" },
    { "an address without a port",           { NULL }, { "T_LISTEN=localhost" }, NULL,
      "prog: T_LISTEN=localhost is not an address (host:port, [v6]:port, auto, off)\n" },
    { "a port alone",                        { NULL }, { "T_LISTEN=8000" }, NULL,
      "prog: T_LISTEN=8000 is not an address (host:port, [v6]:port, auto, off)\n" },
    { "a port that is a word",               { NULL }, { "T_LISTEN=127.0.0.1:abc" }, NULL,
      "prog: T_LISTEN=127.0.0.1:abc is not an address (host:port, [v6]:port, auto, off)\n" },
    { "a port that is too large",            { NULL }, { "T_LISTEN=127.0.0.1:65536" }, NULL,
      "prog: T_LISTEN=127.0.0.1:65536 is not an address (host:port, [v6]:port, auto, off)\n" },
    { "an IPv6 address without brackets",    { "--listen=::1:80" }, { NULL }, NULL,
      "prog: --listen=::1:80 is not an address (host:port, [v6]:port, auto, off)\n" },
    { "brackets that are not closed",        { "--listen=[::1:80" }, { NULL }, NULL,
      "prog: --listen=[::1:80 is not an address (host:port, [v6]:port, auto, off)\n" },
    { "an address that is too long",         { "--listen=a-very-long-host.example:80" }, { NULL }, NULL,
      "prog: --listen=a-very-long-host.example:80 is too long (3 to 24 bytes)\n" },
    { "a URL without a scheme",              { NULL }, { "T_LINK=example.com/api" }, NULL,
      "prog: T_LINK=example.com/api is not a URL (http://..., https://...)\n" },
    { "a URL without a host",                { NULL }, { "T_LINK=https:///api" }, NULL,
      "prog: T_LINK=https:///api is not a URL (http://..., https://...)\n" },
    { "a URL of another scheme",             { NULL }, { "T_LINK=ftp://example.com" }, NULL,
      "prog: T_LINK=ftp://example.com is not a URL (http://..., https://...)\n" },
    { "a secret is never shown",             { NULL }, { "T_KEY=sk-1234567890abcdef" }, NULL,
      "prog: T_KEY=*** is too long (at most 16 bytes)\n" },
    { "a value with a line feed is quoted",   { NULL }, { "T_FORMAT=a\nb" }, NULL,
      "prog: T_FORMAT=\"a\\u000ab\" is not a valid choice (text, json, long-json)\n" },
    { "an unknown option",                   { "--nonsense" }, { NULL }, NULL,
      "prog: unknown option --nonsense; see --help\n" },
    { "a mistyped option",                   { "--treads=4" }, { NULL }, NULL,
      "prog: unknown option --treads; did you mean --threads?\n" },
    { "a letter too many",                   { "--threaads=4" }, { NULL }, NULL,
      "prog: unknown option --threaads; did you mean --threads?\n" },
    { "two letters too few",                 { "--treds=4" }, { NULL }, NULL,
      "prog: unknown option --treds; did you mean --threads?\n" },
    { "three letters too few",               { "--tres=4" }, { NULL }, NULL,
      "prog: unknown option --tres; see --help\n" },
    { "an unknown option's value is not shown", { "--secret=sk-1" }, { NULL }, NULL,
      "prog: unknown option --secret; see --help\n" },
    { "a word",                              { "start" }, { NULL }, NULL,
      "prog: unexpected argument: options begin with --; see --help\n" },
    { "an empty argument",                   { "" }, { NULL }, NULL,
      "prog: unexpected argument: options begin with --; see --help\n" },
    { "two dashes",                          { "--" }, { NULL }, NULL,
      "prog: unexpected argument: options begin with --; see --help\n" },
    { "one dash",                            { "-threads=1" }, { NULL }, NULL,
      "prog: unexpected argument: options begin with --; see --help\n" },
    { "an option without its value",         { "--threads" }, { NULL }, NULL,
      "prog: --threads needs a value\n" },
    { "a boolean flag takes no separate value",      { "--mark", "true" }, { NULL }, NULL,
      "prog: unexpected argument: options begin with --; see --help\n" },
    { "a flag with a value",                 { "--check=1" }, { NULL }, NULL,
      "prog: --check takes no value\n" },
    { "no- with an option that is not a boolean", { "--no-threads" }, { NULL }, NULL,
      "prog: unknown option --no-threads; see --help\n" },
    { "no- with a value",                    { "--no-mark=1" }, { NULL }, NULL,
      "prog: unknown option --no-mark; see --help\n" },
    { "a bad line in .env is not shown",     { NULL }, { NULL }, "T_THREADS=5\nsk-secret\n",
      "prog: @, line 2: expected NAME=value or a comment\n" },
    { "N and N_FILE in the environment", { NULL }, { "T_KEY=x", "T_KEY_FILE=/y" }, NULL,
      "prog: T_KEY and T_KEY_FILE are both set (environment)\n" },
    { "N and N_FILE in .env",          { NULL }, { NULL }, "T_KEY=x\nT_KEY_FILE=/y\n",
      "prog: T_KEY and T_KEY_FILE are both set (.env)\n" },
    { "a file that does not exist",            { NULL }, { "T_KEY_FILE=/nowhere/key" }, NULL,
      "prog: T_KEY_FILE=/nowhere/key cannot be read: No such file or directory\n" },
    { "a file that is a directory",          { NULL }, { "T_KEY_FILE=/" }, NULL,
      "prog: T_KEY_FILE=/ cannot be read: Is a directory\n" },
};
/* clang-format on */

/* "@" in `want` is replaced by the path of .env. */
static void assert_message(const struct place *place, const char *said, const char *want)
{
    char expected[512];
    const char *at = strchr(want, '@');

    if (at)
        (void)snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(at - want), want, place->env_file, at + 1);
    else
        (void)snprintf(expected, sizeof(expected), "%s", want);
    assert_string_equal(said, expected);
}

static void test_errors(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        struct run run = {.env_file = refused[i].env_file};

        print_message("  %s\n", refused[i].name);
        memcpy(run.args, refused[i].args, sizeof(refused[i].args));
        memcpy(run.environment, refused[i].environment, sizeof(refused[i].environment));
        assert_int_equal(load(*state, &run), OPTIONS_BAD);
        assert_message(*state, run.err, refused[i].want);
        assert_string_equal(run.out, "");
        assert_null(run.values.name); /* nothing is left to free */
        forget(&run);
    }
}

static void test_required_texts(void **state)
{
    static const struct option_row needed[] = {
        {"key", "T_KEY", OPT_SECRET, AT(key), NULL, 4, 16, "a secret", NULL},
    };
    static const struct option_table only = {"prog", "1", "", needed, 1};
    const struct place *place = *state;
    char *argv[] = {(char[]){"prog"}, NULL, NULL};
    char *environment[] = {NULL}, *said;
    size_t len;
    struct values values = {0};
    struct options_world world = {.environment = environment, .env_file = place->env_file, .out = stdout};

    world.err = open_memstream(&said, &len);
    assert_int_equal(options_load_from(&world, &only, 1, argv, &values), OPTIONS_BAD);
    argv[1] = (char[]){"--key=abc"};
    assert_int_equal(options_load_from(&world, &only, 2, argv, &values), OPTIONS_BAD);
    fclose(world.err);
    assert_string_equal(
        said, "prog: T_KEY=*** is empty; a value is required\nprog: --key=*** is too short (4 to 16 bytes)\n");
    free(said);
}

/* -- Values in files */

/* clang-format off */
static const struct { const char *name, *content; size_t len; const char *want; } files[] = {
    { "one line",                        "secret\n",        7,  "secret" },
    { "no line end",                     "secret",          6,  "secret" },
    { "CRLF",                            "secret\r\n",      8,  "secret" },
    { "only the first line counts",      "secret\nmore\n",  12, "secret" },
    { "spaces are part of the value",             " a b \n",         6,  " a b " },
    { "an empty file",                   "",                0,  NULL },
    { "an empty first line",             "\nsecret\n",      8,  NULL },
    { "a NUL byte",                      "sec\0ret\n",      8,  NULL },
};
/* clang-format on */

static void test_values_in_files(void **state)
{
    const struct place *place = *state;
    char variable[PATH_SIZE + 16];

    (void)snprintf(variable, sizeof(variable), "T_KEY_FILE=%s", place->value_file);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        struct run by_environment = {.environment = {variable}}, by_env_file = {.env_file = variable};
        enum options_outcome want = files[i].want ? OPTIONS_RUN : OPTIONS_BAD;

        print_message("  %s\n", files[i].name);
        write_file(place->value_file, files[i].content, files[i].len);
        assert_int_equal(load(place, &by_environment), want);
        assert_int_equal(load(place, &by_env_file), want);
        if (files[i].want) {
            assert_string_equal(by_environment.values.key, files[i].want);
            assert_string_equal(by_env_file.values.key, files[i].want);
        } else {
            assert_non_null(strstr(by_environment.err, "prog: T_KEY_FILE=/tmp/test_options."));
        }
        forget(&by_environment);
        forget(&by_env_file);
    }
}

static void test_a_file_overrides_a_lower_source(void **state)
{
    const struct place *place = *state;
    struct run run = {.environment = {"T_KEY=mine"}, .env_file = "T_KEY_FILE=/nowhere\n"};
    struct run flagged = {.args = {"--key=flag"}, .environment = {"T_KEY_FILE=/nowhere"}};
    char variable[PATH_SIZE + 16];
    struct run filed = {.environment = {variable}, .env_file = "T_KEY=other\n"};

    (void)snprintf(variable, sizeof(variable), "T_KEY_FILE=%s", place->value_file);
    write_file(place->value_file, "filed\n", 6);
    assert_int_equal(load(place, &filed), OPTIONS_RUN);
    assert_string_equal(filed.values.key, "filed");
    forget(&filed);
    assert_int_equal(load(place, &flagged), OPTIONS_RUN); /* a file that a flag overrides is not read */
    assert_string_equal(flagged.values.key, "flag");
    forget(&flagged);
    assert_int_equal(load(place, &run), OPTIONS_BAD); /* an overridden lower source must still be valid */
    forget(&run);
}

static void test_a_file_that_is_too_long(void **state)
{
    const struct place *place = *state;
    char variable[PATH_SIZE + 16], *content = malloc(70000);
    struct run run = {.environment = {variable}};

    memset(content, 'x', 70000);
    (void)snprintf(variable, sizeof(variable), "T_KEY_FILE=%s", place->value_file);
    write_file(place->value_file, content, 70000);
    assert_int_equal(load(place, &run), OPTIONS_BAD);
    assert_non_null(strstr(run.err, "cannot be read: too long"));
    forget(&run);
    free(content);
}

static void test_an_env_file_that_is_a_directory(void **state)
{
    struct place place = *(struct place *)*state;
    struct run run = {0};

    (void)snprintf(place.env_file, PATH_SIZE, "/");
    assert_int_equal(load(&place, &run), OPTIONS_BAD);
    assert_string_equal(run.err, "prog: / cannot be read: Is a directory\n");
    forget(&run);
}

/* -- Help */

static void test_help(void **state)
{
    struct run run = {.args = {"--help"}, .env_file = "broken\n"}; /* works with a broken configuration */

    assert_int_equal(load(*state, &run), OPTIONS_DONE);
    assert_string_equal(run.err, "");
    assert_ptr_equal(strstr(run.out, "Usage: prog [--option=value ...]\n\ndoes things\n\n"), run.out);
    assert_non_null(strstr(run.out, "  --threads    T_THREADS  4       threads (1 to 256)\n"));
    assert_non_null(strstr(run.out, "  --wait       T_WAIT     15s     how long | how short (100ms to 10m)\n"));
    assert_non_null(strstr(run.out, "  --room       T_ROOM     64k     bytes of room (at least 1k)\n"));
    assert_non_null(strstr(run.out, "  --[no-]mark  T_MARK     true    whether\n"));
    assert_non_null(strstr(run.out, "  --format     T_FORMAT   text    how (text, json, long-json)\n"));
    assert_non_null(strstr(run.out, "  --check                         only look\n"));
    assert_non_null(strstr(run.out, "  --key        T_KEY              a secret\n"));
    assert_null(run.values.name);
    forget(&run);
}

static void test_help_as_markdown(void **state)
{
    struct run run = {.args = {"--help=markdown"}};

    assert_int_equal(load(*state, &run), OPTIONS_DONE);
    assert_string_equal(run.out, "| environment | flag | default | allowed | meaning |\n"
                                 "|---|---|---|---|---|\n"
                                 "| `T_NAME` | `--name` | `a name` | at most 16 bytes | the name |\n"
                                 "| `T_KEY` | `--key` | | at most 16 bytes | a secret |\n"
                                 "| `T_LISTEN` | `--listen` | `off` | host:port, [v6]:port, auto, off | where |\n"
                                 "| `T_LINK` | `--link` | | http://..., https://... | a link |\n"
                                 "| `T_THREADS` | `--threads` | `4` | 1 to 256 | threads |\n"
                                 "| `T_PORT` | `--port` | `0` | -1 to 65535 | port |\n"
                                 "| `T_WAIT` | `--wait` | `15s` | 100ms to 10m | how long \\| how short |\n"
                                 "| `T_ROOM` | `--room` | `64k` | at least 1k | bytes of room |\n"
                                 "| `T_MARK` | `--[no-]mark` | `true` | true, false | whether |\n"
                                 "| `T_FORMAT` | `--format` | `text` | text, json, long-json | how |\n"
                                 "| | `--check` | | | only look |\n");
    forget(&run);
}

static void test_help_as_a_manual_page(void **state)
{
    struct run run = {.args = {"--help=man"}};

    assert_int_equal(load(*state, &run), OPTIONS_DONE);
    assert_ptr_equal(strstr(run.out, ".SH OPTIONS\n"
                                     ".TP\n\\fB\\-\\-name\\fR, environment \\fBT_NAME\\fR\n"
                                     "the name\n.br\nAllowed: at most 16 bytes. Default: \\fBa name\\fR\n"
                                     ".TP\n\\fB\\-\\-key\\fR, environment \\fBT_KEY\\fR\n"
                                     "a secret\n.br\nAllowed: at most 16 bytes. Default: none\n"),
                     run.out);
    assert_non_null(strstr(run.out, "Allowed: \\-1 to 65535. Default: \\fB0\\fR\n"));
    assert_non_null(strstr(run.out, ".TP\n\\fB\\-\\-[no\\-]mark\\fR, environment"));
    assert_non_null(strstr(run.out, ".TP\n\\fB\\-\\-check\\fR\nonly look\n.TP\n"));
    assert_non_null(strstr(run.out, ".TP\n\\fB\\-\\-version\\fR\n"));
    forget(&run);
}

static void test_the_manual_page_escapes_roff_commands(void **state)
{
    static const struct option_row odd_row[] = {
        {"odd", "T_ODD", OPT_STRING, AT(name), "a\\b~'c'", 0, 9, ".dots `and` ^hats", NULL},
    };
    static const struct option_table only = {"prog", "1", "", odd_row, 1};
    char *said;
    size_t len;
    FILE *out = open_memstream(&said, &len);

    (void)state;
    options_help_man(&only, out);
    fclose(out);
    assert_non_null(strstr(said, "\n\\&.dots \\(gaand\\(ga \\(hahats\n"));
    assert_non_null(strstr(said, "\\fBa\\eb\\(ti\\(aqc\\(aq\\fR\n"));
    free(said);
}

static void test_a_long_default_is_cut_in_the_help(void **state)
{
    static const struct option_row long_row[] = {
        {"prompt", "T_PROMPT", OPT_STRING, AT(name), "图一二三四五六七八九图一二三四五六七八九图一二三四五六七八九", 0,
         999, "words", NULL},
    };
    static const struct option_table only = {"prog", "1", "", long_row, 1};
    char *said;
    size_t len;
    FILE *out = open_memstream(&said, &len);

    (void)state;
    options_help_text(&only, out);
    fclose(out);
    assert_non_null(
        strstr(said, "  --prompt  T_PROMPT  图一二三四五六七八九图一二三四五六七八九图一二三四...  words\n"));
    free(said);
}

static void test_version(void **state)
{
    struct run run = {.args = {"--version"}, .environment = {"T_THREADS=bad"}};

    assert_int_equal(load(*state, &run), OPTIONS_DONE);
    assert_string_equal(run.out, "prog 1.2.3\n");
    forget(&run);
}

static void test_print_config(void **state)
{
    struct run run = {
        .args = {"--threads=7", "--print-config", "--no-mark"},
        .environment = {"T_KEY=sk-1",             "T_WAIT=20s"                 },
        .env_file = "T_NAME='a \"b\" #\\'\nT_PORT=\n",
    };
    struct run bad = {
        .args = {"--print-config", "--threads=0"}
    };

    assert_int_equal(load(*state, &run), OPTIONS_DONE);
    assert_string_equal(run.out, "T_NAME=\"a \\\"b\\\" #\\\\\" # .env\n"
                                 "T_KEY=*** # environment\n"
                                 "T_LISTEN=off # default\n"
                                 "T_LINK= # default\n"
                                 "T_THREADS=7 # flag\n"
                                 "T_PORT=0 # default\n"
                                 "T_WAIT=20s # environment\n"
                                 "T_ROOM=64k # default\n"
                                 "T_MARK=false # flag\n"
                                 "T_FORMAT=text # default\n");
    assert_null(run.values.name);
    forget(&run);
    assert_int_equal(load(*state, &bad), OPTIONS_BAD);
    assert_string_equal(bad.out, "");
    forget(&bad);
}

static void test_output_that_cannot_be_written(void **state)
{
    const char *const flags[] = {"--help", "--help=man", "--version", "--print-config"};

    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++) {
        struct run run = {
            .args = {flags[i]},
            .out_file = "/dev/full",
        };

        assert_int_equal(load(*state, &run), OPTIONS_BAD);
        assert_string_equal(run.err, "prog: cannot write the output\n");
        forget(&run);
    }
}

/* --print-config > .env results in the same configuration, except for secrets. */
static void test_a_printed_configuration_reads_back(void **state)
{
    static const char *const names[] = {"plain", "two words", " x ",         "a#b",    "a # b",
                                        "'",     "\"x\"",     "back\\slash", "l1\nl2", "图"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char variable[64];
        struct run first = {.args = {"--print-config"}, .environment = {variable}}, second = {0};

        (void)snprintf(variable, sizeof(variable), "T_NAME=%s", names[i]);
        assert_int_equal(load(*state, &first), OPTIONS_DONE);
        second.env_file = first.out;
        assert_int_equal(load(*state, &second), OPTIONS_RUN);
        assert_string_equal(second.values.name, names[i]);
        forget(&first);
        forget(&second);
    }
}

static void test_shared_rows(void **state)
{
    struct program {
        int64_t before;
        struct shared_options shared;
    };
    static const struct option_row shared_rows[] = {SHARED_OPTION_ROWS(struct program, shared)};
    static const struct option_table shared_table = {"prog", "1", "", shared_rows, ARRAY_LENGTH(shared_rows)};
    const struct place *place = *state;
    char *argv[] = {(char[]){"prog"}, NULL}, *environment[] = {NULL};
    struct program program = {.before = 42};
    struct options_world world = {environment, place->env_file, stdout, stderr};

    assert_int_equal(options_load_from(&world, &shared_table, 1, argv, &program), OPTIONS_RUN);
    assert_string_equal(program.shared.redis_url, "redis://127.0.0.1:6379");
    assert_int_equal(program.shared.redis_timeout_ms, 2000);
    assert_int_equal(program.shared.log_level, 2);
    assert_int_equal(program.shared.log_format, 0);
    assert_false(program.shared.healthcheck);
    assert_int_equal(program.before, 42);
    options_deinit(&shared_table, &program);
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_the_defaults),
        WITH_PLACE(test_precedence),
        WITH_PLACE(test_boolean_flags),
        WITH_PLACE(test_a_flag_may_set_an_empty_text),
        WITH_PLACE(test_numbers),
        WITH_PLACE(test_booleans_and_choices),
        WITH_PLACE(test_addresses_and_urls),
        WITH_PLACE(test_errors),
        WITH_PLACE(test_required_texts),
        WITH_PLACE(test_values_in_files),
        WITH_PLACE(test_a_file_overrides_a_lower_source),
        WITH_PLACE(test_a_file_that_is_too_long),
        WITH_PLACE(test_an_env_file_that_is_a_directory),
        WITH_PLACE(test_help),
        WITH_PLACE(test_help_as_markdown),
        WITH_PLACE(test_help_as_a_manual_page),
        cmocka_unit_test(test_the_manual_page_escapes_roff_commands),
        WITH_PLACE(test_a_long_default_is_cut_in_the_help),
        WITH_PLACE(test_version),
        WITH_PLACE(test_print_config),
        WITH_PLACE(test_output_that_cannot_be_written),
        WITH_PLACE(test_a_printed_configuration_reads_back),
        WITH_PLACE(test_shared_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
