#include "common/models/catalogue_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_read.h"
#include "common/models/models_json.h"

enum { QUOTED_SIZE = 2 * CATALOGUE_WHY_MAX };

struct catalogue_file {
    const char *path;
    pthread_mutex_t lock;
    struct catalogue *current; /* protected by `lock` */
};

struct catalogue_file *catalogue_file_create(const char *path)
{
    struct catalogue_file *file = calloc(1, sizeof(*file));

    if (!file)
        return NULL;
    file->path = path;
    (void)pthread_mutex_init(&file->lock, NULL);
    return file;
}

struct catalogue_file *catalogue_file_destroy(struct catalogue_file *file)
{
    if (!file)
        return NULL;
    catalogue_unref(file->current);
    (void)pthread_mutex_destroy(&file->lock);
    free(file);
    return NULL;
}

static int fail_system(struct buf *why, const char *what)
{
    buf_addf(why, "%s: %s", what, strerror(errno));
    return ERR_SYSTEM;
}

static int read_models_fd(int fd, struct buf *text, struct buf *why)
{
    char part[4096];
    ssize_t len;

    while ((len = read(fd, part, sizeof(part))) > 0)
        buf_add(text, part, (size_t)len);
    if (len < 0)
        return fail_system(why, "cannot be read");
    if (buf_error(text) == ERR_TOO_LONG)
        buf_addf(why, "is larger than %d bytes", CATALOGUE_TEXT_MAX);
    return buf_error(text);
}

/* Opening a FIFO without O_NONBLOCK would block the event loop. */
static int read_models_file(const char *path, struct buf *text, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
    struct stat stat;

    if (fd < 0)
        return fail_system(why, "cannot be opened");
    if (fstat(fd, &stat)) {
        err = fail_system(why, "cannot be read");
    } else if (!S_ISREG(stat.st_mode)) {
        buf_add_text(why, "is not a regular file");
        err = ERR_SYSTEM;
    }
    if (!err)
        err = read_models_fd(fd, text, why);
    close(fd);
    return err;
}

static int read_over(const char *path, const struct catalogue *base, struct catalogue **out, struct buf *why)
{
    struct buf text;
    int err;

    buf_init(&text, CATALOGUE_TEXT_MAX);
    err = read_models_file(path, &text, why);
    if (!err)
        err = catalogue_read(buf_text(&text), text.len, base, out, why);
    buf_deinit(&text);
    return err;
}

static void catalogue_replace(struct catalogue_file *file, struct catalogue *catalogue)
{
    struct catalogue *old;

    (void)pthread_mutex_lock(&file->lock);
    old = file->current;
    file->current = catalogue;
    (void)pthread_mutex_unlock(&file->lock);
    catalogue_unref(old);
}

int catalogue_file_load(struct catalogue_file *file, struct buf *why)
{
    struct catalogue *base = NULL, *extended = NULL;
    int err = catalogue_read(models_json, models_json_len, NULL, &base, why);

    if (!err && *file->path) {
        err = read_over(file->path, base, &extended, why);
        catalogue_unref(base);
        base = extended;
    }
    if (!err)
        catalogue_replace(file, base);
    else if (!why->len)
        buf_add_text(why, err_text(err));
    return err;
}

static void log_loaded(struct catalogue_file *file, const char *component)
{
    char path[QUOTED_SIZE];

    if (*file->path)
        log_info(component, "models file loaded", "file=%s version=%s", log_quote(path, sizeof(path), file->path),
                 catalogue_version(file->current));
}

void catalogue_file_reload(struct catalogue_file *file, const char *component)
{
    char path[QUOTED_SIZE], quoted[QUOTED_SIZE];
    struct buf why;

    if (!*file->path)
        return;
    buf_init(&why, CATALOGUE_WHY_MAX);
    if (catalogue_file_load(file, &why))
        log_error(component, "models file reload failed, keeping the old catalogue", "file=%s why=%s",
                  log_quote(path, sizeof(path), file->path), log_quote(quoted, sizeof(quoted), buf_text(&why)));
    else
        log_loaded(file, component);
    buf_deinit(&why);
}

struct catalogue_file *catalogue_file_open(const char *path, const char *component, const char *program)
{
    struct catalogue_file *file = catalogue_file_create(path);
    struct buf why;

    buf_init(&why, CATALOGUE_WHY_MAX);
    if (!file || catalogue_file_load(file, &why)) {
        (void)fprintf(stderr, "%s: MODELS_FILE %s: %s\n", program, path,
                      why.len ? buf_text(&why) : err_text(ERR_NO_MEMORY));
        file = catalogue_file_destroy(file);
    } else {
        log_loaded(file, component);
    }
    buf_deinit(&why);
    return file;
}

struct catalogue *catalogue_file_take(struct catalogue_file *file)
{
    struct catalogue *catalogue;

    (void)pthread_mutex_lock(&file->lock);
    catalogue = file->current ? catalogue_ref(file->current) : NULL;
    (void)pthread_mutex_unlock(&file->lock);
    return catalogue;
}
