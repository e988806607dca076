#include "gateway/access/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "gateway/access/key_line.h"

enum { FILE_MAX = 8 * 1024 * 1024, LINE_MAX_BYTES = 1024, ROOM_STEP = 16, MADE_MODE = 0600, EXPOSED = 0026 };

static const char heading[] =
    "# key id, client, SHA-256 of the key, created, expires (-: never), then what differs from the\n"
    "# defaults: requests= (per minute) queued= streams= images= (per day), and `revoked`\n";

void key_file_deinit(struct key_file *file)
{
    free(file->keys);
    *file = (struct key_file){0};
}

bool key_line_is_live(const struct key_line *key, int64_t now_ms)
{
    return !key->revoked && now_ms < key->expires_ms;
}

static int fail(struct buf *why, const char *what)
{
    buf_addf(why, "%s: %s", what, strerror(errno));
    return ERR_SYSTEM;
}

/* -- from bytes to keys */

static int add_key(struct key_file *file, const struct key_line *key, struct buf *why)
{
    struct key_line *grown;

    for (size_t i = 0; i < file->count; i++) {
        if (strcmp(file->keys[i].id, key->id) == 0) {
            buf_addf(why, "the key id %s stands here twice", key->id);
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

static int parse_line(struct key_file *file, const char *line, size_t len, struct buf *why)
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

        err = parse_line(file, line, len, &what);
        if (err)
            buf_addf(why, "line %d: %s", number, buf_text(&what));
        line += len + (feed != NULL);
    }
    buf_deinit(&what);
    return err;
}

/* -- from a descriptor to bytes */

static int slurp(int fd, struct buf *out, struct buf *why)
{
    char part[4096];
    ssize_t n;

    while ((n = read(fd, part, sizeof(part))) > 0)
        buf_add(out, part, (size_t)n);
    if (n < 0)
        return fail(why, "cannot be read");
    if (buf_error(out))
        buf_add_text(why, err_text(buf_error(out)));
    return buf_error(out);
}

static int read_fd(int fd, struct buf *text, struct key_file *out, struct buf *why)
{
    struct key_file file = {0};
    struct stat stat;
    int err = fstat(fd, &stat) ? fail(why, "cannot be read") : slurp(fd, text, why);

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
        return fail(why, "cannot be opened");
    buf_init(&text, FILE_MAX);
    err = read_fd(fd, &text, out, why);
    buf_deinit(&text);
    close(fd);
    return err;
}

/* -- changes */

static bool is_still(int fd, const char *path)
{
    struct stat ours, there;

    return !fstat(fd, &ours) && !stat(path, &there) && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* The lock is on the file itself, which another change may replace while this one waits: then the new one is locked. */
static int open_locked(const char *path, int flags, int *out, struct buf *why)
{
    for (;;) {
        int fd = open(path, flags | O_RDWR | O_CLOEXEC, MADE_MODE);

        if (fd < 0)
            return fail(why, "cannot be opened");
        if (flock(fd, LOCK_EX)) {
            close(fd);
            return fail(why, "cannot be locked");
        }
        if (is_still(fd, path)) {
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
            return fail(why, "cannot be written");
        sent += (size_t)n;
    }
    return fsync(fd) ? fail(why, "cannot be written") : 0;
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
    if (err == ERR_SYSTEM && ftruncate(fd, (off_t)text->len)) /* half a line would make the file unreadable */
        buf_add_text(why, ", and may end in half a line");
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

/* The text with one word more in the line of this key. */
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

/* A new file takes the place of the old one, with the same owner and permissions. */
static int replace(const char *path, int fd, const struct buf *bytes, struct buf *why)
{
    char *real = realpath(path, NULL); /* a link stays one */
    struct buf name;
    struct stat old;
    int made = -1, err = 0;

    buf_init(&name, FILENAME_MAX);
    buf_addf(&name, "%s.new", real ? real : path);
    if (!real || fstat(fd, &old) ||
        (made = open(buf_text(&name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, old.st_mode & 0777)) < 0)
        err = fail(why, "cannot be replaced");
    if (!err && ((fchown(made, old.st_uid, old.st_gid) && geteuid() == 0) || fchmod(made, old.st_mode & 0777)))
        err = fail(why, "cannot keep its owner and permissions");
    if (!err)
        err = write_all(made, bytes, why);
    if (!err && rename(buf_text(&name), real))
        err = fail(why, "cannot be replaced");
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
        buf_addf(why, "there is no key %s", id);
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
