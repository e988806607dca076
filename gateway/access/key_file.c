#include "gateway/access/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/ascii.h"
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/money.h"
#include "common/webhook/signature.h"
#include "gateway/request/url_check.h"

enum {
    FILE_MAX = 8 * 1024 * 1024,
    LINE_MAX_BYTES = 1024 + TASK_URL_MAX,
    ROOM_STEP = 16,
    CREATE_MODE = 0600,
    EXPOSED = 0026, /* permission bits that the file should not have */
    NUMBER_MAX = 12,
    /* Error messages quote at most so much of a word. A key in the wrong column then shows its key id, not its secret. */
    SHOWN_MAX = sizeof(KEY_TOKEN_PREFIX) - 1 + KEY_ID_SIZE,
};

static const char blanks[] = " \t\r";

static const char heading[] =
    "# key id, client, SHA-256 of the key, created, expires (-: never), then what differs from the\n"
    "# defaults: requests= (per minute) queued= streams= images= (per day) spend_day= spend_month= (in\n"
    "# the catalogue's currency) webhook= (URL) webhook_generation=, and `revoked`\n";

/* -- one line */

bool key_line_is_live(const struct key_line *key, int64_t now_ms)
{
    return !key->revoked && now_ms < key->expires_ms;
}

static const struct {
    const char *name;
    int64_t min, max;
    bool is_money;
} limit_rows[CLIENT_LIMIT_COUNT] = {
    [CLIENT_REQUESTS] = {"requests",    0, 1000000,    false},
      [CLIENT_QUEUED] = {"queued",      1, 10000000,   false},
    [CLIENT_STREAMS] = {"streams",     0, 10000000,   false},
      [CLIENT_IMAGES] = {"images",      0, 1000000000, false},
    [CLIENT_SPEND_DAY] = {"spend_day",   0, MONEY_MAX,  true },
      [CLIENT_SPEND_MONTH] = {"spend_month", 0, MONEY_MAX,  true },
};

struct word {
    const char *data;
    size_t len;
};

/* Takes the next word off the line; an empty word at the end. */
static struct word next_word(struct word *rest)
{
    struct word word = {rest->data, 0};
    size_t skipped = 0;

    while (skipped < rest->len && strchr(blanks, rest->data[skipped]))
        skipped++;
    word.data += skipped;
    while (skipped + word.len < rest->len && !strchr(blanks, word.data[word.len]))
        word.len++;
    rest->data = word.data + word.len;
    rest->len -= skipped + word.len;
    return word;
}

static bool is_word(struct word word, const char *text)
{
    return strlen(text) == word.len && memcmp(text, word.data, word.len) == 0;
}

static int reject_word(struct buf *why, struct word word, const char *what)
{
    if (!word.len)
        buf_addf(why, "%s is missing", what);
    else
        buf_addf(why, "\"%.*s\" is not %s", (int)(word.len < SHOWN_MAX ? word.len : SHOWN_MAX), word.data, what);
    return ERR_SYNTAX;
}

static int read_key_id(struct word word, struct key_line *out, struct buf *why)
{
    if (!key_id_is_valid(word.data, word.len))
        return reject_word(why, word, "a key id (12 hex digits)");
    memcpy(out->id, word.data, word.len);
    return 0;
}

static int read_client(struct word word, struct key_line *out, struct buf *why)
{
    if (!client_name_is_valid(word.data, word.len))
        return reject_word(why, word, "a client's name ([a-z0-9][a-z0-9_-]{0,31}, not \"public\")");
    memcpy(out->client, word.data, word.len);
    return 0;
}

static int read_digest(struct word word, struct key_line *out, struct buf *why)
{
    bool good = word.len == 2 * KEY_DIGEST_SIZE;

    for (size_t i = 0; good && i < KEY_DIGEST_SIZE; i++) {
        char high = word.data[2 * i], low = word.data[2 * i + 1];

        good = ascii_is_lower_hex(high) && ascii_is_lower_hex(low);
        out->digest[i] = (unsigned char)(good ? ascii_hex_value(high) << 4 | ascii_hex_value(low) : 0);
    }
    return good ? 0 : reject_word(why, word, "a SHA-256 (64 hex digits)");
}

/* "2026-01-02T03:04:05Z", or "2026-01-02" for the start of that day. */
static bool read_time(struct word word, int64_t *out)
{
    char text[KEY_TIME_SIZE] = "";
    struct tm tm = {0};
    const char *end;

    if (word.len >= sizeof(text))
        return false;
    memcpy(text, word.data, word.len);
    end = strptime(text, word.len > strlen("2026-01-02") ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d", &tm);
    if (!end || *end || word.data[0] < '0' || word.data[0] > '9')
        return false;
    *out = (int64_t)timegm(&tm) * 1000;
    return true;
}

static int read_created(struct word word, struct key_line *out, struct buf *why)
{
    return read_time(word, &out->created_ms) ? 0 : reject_word(why, word, "a time (2026-01-02T03:04:05Z)");
}

static int read_expires(struct word word, struct key_line *out, struct buf *why)
{
    out->expires_ms = INT64_MAX;
    if (is_word(word, "-") || (word.len && read_time(word, &out->expires_ms)))
        return 0;
    return reject_word(why, word, "when it expires (2026-01-02T03:04:05Z, or -)");
}

static bool word_to_number(struct word word, int64_t *out)
{
    char text[NUMBER_MAX + 1] = "";

    if (!word.len || word.len > NUMBER_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (!ascii_is_digit(word.data[i]))
            return false;
    memcpy(text, word.data, word.len);
    *out = strtoll(text, NULL, 10);
    return true;
}

static int read_limit(struct word word, enum client_limit limit, struct key_line *out, struct buf *why)
{
    size_t name_len = strlen(limit_rows[limit].name) + 1;
    struct word number = {word.data + name_len, word.len - name_len};
    int64_t value;

    if (out->limits.most[limit] != KEY_LIMIT_UNSET) {
        buf_addf(why, "%s is set twice", limit_rows[limit].name);
        return ERR_SYNTAX;
    }
    if (limit_rows[limit].is_money && !money_read(number.data, number.len, &value)) {
        buf_addf(why, "%s is an amount such as 2.50", limit_rows[limit].name);
        return ERR_SYNTAX;
    }
    if (!limit_rows[limit].is_money &&
        (!word_to_number(number, &value) || value < limit_rows[limit].min || value > limit_rows[limit].max)) {
        buf_addf(why, "%s is a number from %" PRId64 " to %" PRId64, limit_rows[limit].name, limit_rows[limit].min,
                 limit_rows[limit].max);
        return ERR_SYNTAX;
    }
    out->limits.most[limit] = value;
    return 0;
}

/* The part of the word after "name="; false: the word is about something else. */
static bool value_of(struct word word, const char *name, struct word *out)
{
    size_t len = strlen(name);

    if (word.len <= len || memcmp(word.data, name, len) != 0 || word.data[len] != '=')
        return false;
    *out = (struct word){word.data + len + 1, word.len - len - 1};
    return true;
}

/* WEBHOOK_PRIVATE is not known here: the worker refuses private addresses. */
static int read_webhook(struct word value, struct key_line *out, struct buf *why)
{
    enum url_flaw flaw = url_check_webhook(value.data, value.len, true);

    if (flaw || out->webhook.url) {
        buf_addf(why, "webhook= %s", flaw ? url_flaw_text(flaw) : "is set twice");
        return ERR_SYNTAX;
    }
    out->webhook = (struct key_webhook){value.data, value.len};
    return 0;
}

static int read_generation(struct word value, struct key_line *out, struct buf *why)
{
    int64_t number;

    if (out->webhook_generation || !word_to_number(value, &number) || number < 1 || number > WEBHOOK_GENERATION_MAX) {
        buf_addf(why, "webhook_generation= is a number from 1 to %d, once", WEBHOOK_GENERATION_MAX);
        return ERR_SYNTAX;
    }
    out->webhook_generation = (int)number;
    return 0;
}

static int read_more(struct word word, struct key_line *out, struct buf *why)
{
    struct word value;

    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        if (value_of(word, limit_rows[i].name, &value))
            return read_limit(word, (enum client_limit)i, out, why);
    if (value_of(word, "webhook", &value))
        return read_webhook(value, out, why);
    if (value_of(word, "webhook_generation", &value))
        return read_generation(value, out, why);
    if (!is_word(word, "revoked"))
        return reject_word(why, word,
                           "requests=, queued=, streams=, images=, spend_day=, spend_month=, webhook=, "
                           "webhook_generation= or revoked");
    out->revoked = true;
    return 0;
}

int key_line_parse(const char *line, size_t len, struct key_line *out, struct buf *why)
{
    static int (*const readers[])(struct word word, struct key_line * out, struct buf * why) = {
        read_key_id, read_client, read_digest, read_created, read_expires};
    struct word rest = {line, len}, word = next_word(&rest);
    struct key_line key = {0};
    int err = 0;

    if (!word.len || *word.data == '#')
        return ERR_NOT_FOUND;
    if (memchr(line, '\0', len))
        return reject_word(why, (struct word){"NUL", 3}, "text");
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        key.limits.most[i] = KEY_LIMIT_UNSET;
    for (size_t i = 0; !err && i < ARRAY_LENGTH(readers); i++, word = next_word(&rest))
        err = readers[i](word, &key, why);
    for (; !err && word.len; word = next_word(&rest))
        err = read_more(word, &key, why);
    if (!err)
        *out = key;
    return err;
}

void key_time_write(char out[KEY_TIME_SIZE], int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (ms == INT64_MAX || !gmtime_r(&seconds, &tm) || !strftime(out, KEY_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
        (void)snprintf(out, KEY_TIME_SIZE, "-");
}

static void write_limit(struct buf *out, enum client_limit limit, int64_t value)
{
    buf_addf(out, " %s=", limit_rows[limit].name);
    if (limit_rows[limit].is_money)
        money_add(out, value);
    else
        buf_add_int(out, value);
}

void key_line_write(struct buf *out, const struct key_line *key)
{
    char created[KEY_TIME_SIZE], expires[KEY_TIME_SIZE];

    key_time_write(created, key->created_ms);
    key_time_write(expires, key->expires_ms);
    buf_addf(out, "%s %s ", key->id, key->client);
    for (size_t i = 0; i < KEY_DIGEST_SIZE; i++)
        buf_addf(out, "%02x", key->digest[i]);
    buf_addf(out, " %s %s", created, expires);
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        if (key->limits.most[i] != KEY_LIMIT_UNSET)
            write_limit(out, (enum client_limit)i, key->limits.most[i]);
    if (key->webhook.url) {
        buf_add_text(out, " webhook=");
        buf_add(out, key->webhook.url, key->webhook.len);
    }
    if (key->webhook_generation)
        buf_addf(out, " webhook_generation=%d", key->webhook_generation);
    buf_add_text(out, key->revoked ? " revoked\n" : "\n");
}

/* -- the file */

void key_file_deinit(struct key_file *file)
{
    free(file->keys);
    free(file->text);
    *file = (struct key_file){0};
}

static int fail_with_errno(struct buf *why, const char *what)
{
    buf_addf(why, "%s: %s", what, strerror(errno));
    return ERR_SYSTEM;
}

/* -- the lines of a file */

static int add_key(struct key_file *file, const struct key_line *key, struct buf *why)
{
    struct key_line *grown;

    for (size_t i = 0; i < file->count; i++) {
        if (strcmp(file->keys[i].id, key->id) == 0) {
            buf_addf(why, "key id %s is used twice", key->id);
            return ERR_SYNTAX;
        }
    }
    if (file->count == KEY_FILE_KEYS_MAX) {
        buf_addf(why, "more than %d keys", KEY_FILE_KEYS_MAX);
        return ERR_TOO_LONG;
    }
    if (file->count % ROOM_STEP == 0) {
        grown = realloc(file->keys, (file->count + ROOM_STEP) * sizeof(*grown));
        if (!grown) {
            buf_add_text(why, err_text(ERR_NO_MEMORY));
            return ERR_NO_MEMORY;
        }
        file->keys = grown;
    }
    file->keys[file->count++] = *key;
    return 0;
}

static int key_file_take_line(struct key_file *file, const char *line, size_t len, struct buf *why)
{
    struct key_line key;
    int err = key_line_parse(line, len, &key, why);

    if (err == ERR_NOT_FOUND)
        return 0;
    return err ? err : add_key(file, &key, why);
}

static int parse_all(struct key_file *file, const struct buf *text, struct buf *why)
{
    const char *line = buf_text(text), *end = line + text->len;
    struct buf what;
    int err = 0;

    buf_init(&what, LINE_MAX_BYTES);
    for (int number = 1; !err && line < end; number++) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((feed ? feed : end) - line);

        err = key_file_take_line(file, line, len, &what);
        if (err)
            buf_addf(why, "line %d: %s", number, buf_text(&what));
        line += len + (feed != NULL);
    }
    buf_deinit(&what);
    return err;
}

/* -- reading */

static int read_all(int fd, struct buf *out, struct buf *why)
{
    char part[4096];
    ssize_t n;

    while ((n = read(fd, part, sizeof(part))) > 0)
        buf_add(out, part, (size_t)n);
    if (n < 0)
        return fail_with_errno(why, "cannot be read");
    if (buf_error(out))
        buf_add_text(why, err_text(buf_error(out)));
    return buf_error(out);
}

static int read_fd(int fd, struct buf *text, struct key_file *out, struct buf *why)
{
    struct key_file file = {0};
    struct stat stat;
    int err = fstat(fd, &stat) ? fail_with_errno(why, "cannot be read") : read_all(fd, text, why);

    if (!err)
        err = parse_all(&file, text, why);
    if (err) {
        key_file_deinit(&file);
        return err;
    }
    file.exposed = stat.st_mode & EXPOSED;
    *out = file;
    return 0;
}

int key_file_read(const char *path, struct key_file *out, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), err;
    struct buf text;

    if (fd < 0)
        return fail_with_errno(why, "cannot be opened");
    buf_init(&text, FILE_MAX);
    err = read_fd(fd, &text, out, why);
    if (!err) {
        out->text = buf_take(&text);
        if (!out->text) {
            key_file_deinit(out);
            err = ERR_NO_MEMORY;
        }
    }
    buf_deinit(&text);
    close(fd);
    return err;
}

/* -- changing */

static bool is_file_at(int fd, const char *path)
{
    struct stat ours, there;

    return !fstat(fd, &ours) && !stat(path, &there) && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* The lock belongs to the inode. If another process has replaced the file while we waited, open and lock the new file. */
static int open_locked(const char *path, int flags, int *out, struct buf *why)
{
    for (;;) {
        int fd = open(path, flags | O_RDWR | O_CLOEXEC, CREATE_MODE);

        if (fd < 0)
            return fail_with_errno(why, "cannot be opened");
        if (flock(fd, LOCK_EX)) {
            close(fd);
            return fail_with_errno(why, "cannot be locked");
        }
        if (is_file_at(fd, path)) {
            *out = fd;
            return 0;
        }
        close(fd);
    }
}

static int write_all(int fd, const struct buf *bytes, struct buf *why)
{
    size_t sent = 0;

    while (sent < bytes->len) {
        ssize_t n = write(fd, bytes->data + sent, bytes->len - sent);

        if (n < 0)
            return fail_with_errno(why, "cannot be written");
        sent += (size_t)n;
    }
    return fsync(fd) ? fail_with_errno(why, "cannot be written") : 0;
}

static int append_line(int fd, const struct buf *text, const struct key_line *line, struct buf *why)
{
    struct buf out;
    int err;

    buf_init(&out, sizeof(heading) + LINE_MAX_BYTES);
    if (!text->len)
        buf_add_text(&out, heading);
    else if (text->data[text->len - 1] != '\n')
        buf_add_char(&out, '\n');
    key_line_write(&out, line);
    err = buf_error(&out);
    if (err)
        buf_add_text(why, err_text(err));
    else
        err = write_all(fd, &out, why);
    if (err == ERR_SYSTEM && ftruncate(fd, (off_t)text->len)) /* a partial line would make the file invalid */
        buf_add_text(why, "; the file may end with a partial line");
    buf_deinit(&out);
    return err;
}

int key_file_append(const char *path, struct key_line *line, key_file_approve_fn *approve, void *arg, struct buf *why)
{
    struct key_file file = {0};
    struct buf text;
    int fd, err = open_locked(path, O_CREAT | O_APPEND, &fd, why);

    if (err)
        return err;
    buf_init(&text, FILE_MAX);
    err = read_fd(fd, &text, &file, why);
    if (!err)
        err = approve(&file, line, arg, why);
    if (!err)
        err = append_line(fd, &text, line, why);
    key_file_deinit(&file);
    buf_deinit(&text);
    close(fd);
    return err;
}

/* Copies the text and appends "revoked" to the line of this key. */
static bool mark_revoked(const struct buf *text, const char *id, struct buf *out)
{
    const char *line = buf_text(text), *end = line + text->len;
    struct buf unused;
    bool found = false;

    buf_init(&unused, LINE_MAX_BYTES);
    while (line < end) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((feed ? feed : end) - line), kept = len && line[len - 1] == '\r' ? len - 1 : len;
        struct key_line key;
        bool is_it = !key_line_parse(line, len, &key, &unused) && strcmp(key.id, id) == 0;

        buf_add(out, line, is_it ? kept : len);
        if (is_it && !key.revoked)
            buf_add_text(out, " revoked");
        buf_add_char(out, '\n');
        found |= is_it;
        line += len + (feed != NULL);
    }
    buf_deinit(&unused);
    return found;
}

/* Writes a new file and renames it over the old one, with the same owner and permissions. */
static int replace(const char *path, int fd, const struct buf *bytes, struct buf *why)
{
    char *real = realpath(path, NULL); /* replace the target of a symbolic link, not the link */
    struct buf name;
    struct stat old;
    int made = -1, err = 0;

    buf_init(&name, FILENAME_MAX);
    buf_addf(&name, "%s.new", real ? real : path);
    if (!real || fstat(fd, &old) ||
        (made = open(buf_text(&name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, old.st_mode & 0777)) < 0)
        err = fail_with_errno(why, "cannot be replaced");
    if (!err && ((fchown(made, old.st_uid, old.st_gid) && geteuid() == 0) || fchmod(made, old.st_mode & 0777)))
        err = fail_with_errno(why, "cannot keep its owner and permissions");
    if (!err)
        err = write_all(made, bytes, why);
    if (!err && rename(buf_text(&name), real))
        err = fail_with_errno(why, "cannot be replaced");
    if (err && made >= 0)
        (void)unlink(buf_text(&name));
    if (made >= 0)
        close(made);
    buf_deinit(&name);
    free(real);
    return err;
}

int key_file_revoke(const char *path, const char *id, struct buf *why)
{
    struct key_file file = {0};
    struct buf text, marked;
    int fd, err = open_locked(path, 0, &fd, why);

    if (err)
        return err;
    buf_init(&text, FILE_MAX);
    buf_init(&marked, FILE_MAX + LINE_MAX_BYTES);
    err = read_fd(fd, &text, &file, why);
    if (!err && !mark_revoked(&text, id, &marked)) {
        buf_addf(why, "no key with id %s", id);
        err = ERR_NOT_FOUND;
    }
    if (!err && buf_error(&marked)) {
        err = buf_error(&marked);
        buf_add_text(why, err_text(err));
    }
    if (!err)
        err = replace(path, fd, &marked, why);
    key_file_deinit(&file);
    buf_deinit(&marked);
    buf_deinit(&text);
    close(fd);
    return err;
}
