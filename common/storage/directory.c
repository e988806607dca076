#include "common/storage/directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/disk_pool.h"
#include "common/base/macros.h"
#include "common/storage/backend.h"
#include "common/storage/file_io.h"

#define IDENTITY_FILE "arkrelay-storage"
#define IDENTITY_HEAD "arkrelay storage 1 "

enum { DIRECTORY_MODE = 0750 };

struct directory {
    struct storage base;
    char *path;
    int fd;
};

static struct directory *directory_of(const struct storage_call *call)
{
    return container_of(call->storage, struct directory, base);
}

static int root_of(const struct storage_call *call)
{
    return directory_of(call)->fd;
}

/* A call has at most one job at a time. If it is cancelled during a job or a callback, it is freed when that has ended. */
struct call {
    struct storage_call base;
    struct disk_job job;
    bool is_busy;        /* a job waits or runs */
    bool is_in_callback; /* and may be cancelled by it */
    bool is_over;        /* cancelled, or reported: nothing is reported any more */
    int fd;              /* of a get; -1 */
    struct storage_outcome outcome;
    char name[STORAGE_NAME_SIZE];
    void *arg;
    void (*report)(struct call *call);  /* on the loop, after a job */
    void (*release)(struct call *call); /* frees what this kind of call has; NULL: nothing */
};

static struct call *call_of_job(struct disk_job *job)
{
    return container_of(job, struct call, job);
}

static void directory_job_done(struct disk_job *job);

static void follow(struct call *call, void (*run)(struct disk_job *job))
{
    call->job = (struct disk_job){.run = run, .done = directory_job_done};
    call->is_busy = true;
    disk_follow(call->base.storage->disk, &call->job);
}

/* Also a close may wait for the disk: the last one of a deleted file frees its blocks. */
static void call_run_close(struct disk_job *job)
{
    struct call *call = call_of_job(job);

    if (call->fd >= 0)
        close(call->fd);
    call->fd = -1;
}

/* Frees the call, which is over, unless something still needs it. */
static void directory_tidy(struct call *call)
{
    if (call->is_busy || call->is_in_callback)
        return;
    if (call->fd >= 0) {
        follow(call, call_run_close);
        return;
    }
    if (call->release)
        call->release(call);
    free(call);
}

static void directory_job_done(struct disk_job *job)
{
    struct call *call = call_of_job(job);

    call->is_busy = false;
    if (call->is_over) {
        call_run_close(job); /* no-op, unless the job was dropped */
        directory_tidy(call);
        return;
    }
    if (!job->was_run)
        storage_outcome_set(&call->outcome, STORAGE_BUSY, "the program is ending");
    call->report(call);
}

static void directory_cancel(struct storage_call *base)
{
    struct call *call = container_of(base, struct call, base);

    call->is_over = true;
    if (call->is_busy)
        disk_cancel(&call->job);
    directory_tidy(call);
}

static void directory_finish(struct call *call, storage_end_fn *on_end)
{
    call->is_over = true;
    on_end(&call->outcome, call->arg);
    directory_tidy(call);
}

/* `call` is the first member of an object that calloc made. On failure it is freed. */
static int start(struct storage *storage, struct call *call, void (*run)(struct disk_job *job),
                 struct storage_call **out)
{
    int err;

    call->base = (struct storage_call){.storage = storage, .cancel = directory_cancel};
    call->job = (struct disk_job){.run = run, .done = directory_job_done};
    call->fd = -1;
    call->is_busy = true;
    err = disk_start(storage->disk, &call->job);
    if (!err) {
        *out = &call->base;
        return 0;
    }
    call->is_busy = false;
    directory_tidy(call);
    return err;
}

/* Opens the folder of a name; -1: errno. */
static int open_folder(int root, const char *folder)
{
    return openat(root, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* -- the directory of a job: it may be removed while programs use it */

/* ERR_NOT_FOUND: there is no such file. ERR_SYSTEM: errno. ERR_SYNTAX: it is damaged. */
static int read_identity(int root, char out[STORAGE_IDENTITY_SIZE])
{
    char text[sizeof(IDENTITY_HEAD) + STORAGE_ID_SIZE + 1];
    size_t head = sizeof(IDENTITY_HEAD) - 1, whole = head + STORAGE_ID_SIZE;
    int fd = openat(root, IDENTITY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));

    if (fd >= 0)
        close(fd);
    if (len < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    if ((size_t)len != whole || memcmp(text, IDENTITY_HEAD, head) != 0 ||
        !storage_id_is_valid(text + head, STORAGE_ID_SIZE - 1) || text[whole - 1] != '\n')
        return ERR_SYNTAX;
    (void)snprintf(out, STORAGE_IDENTITY_SIZE, "directory %.*s", STORAGE_ID_SIZE - 1, text + head);
    return 0;
}

/* A directory that was removed has no links. NFS has no handle for it any more. */
static bool is_removed(int root)
{
    struct stat stat;

    return fstat(root, &stat) ? errno == ESTALE : !stat.st_nlink;
}

/* The directory with our identity that is under the path now, for example restored from a backup, takes the place of the one that was removed,
 * under the same descriptor, which jobs on other threads use. */
static bool reopen_root(const struct directory *directory)
{
    char identity[STORAGE_IDENTITY_SIZE];
    int fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_ours = fd >= 0 && !read_identity(fd, identity) && !strcmp(identity, directory->base.identity) &&
                   dup3(fd, directory->fd, O_CLOEXEC) >= 0;

    if (fd >= 0)
        close(fd);
    return is_ours;
}

/* Without it nothing is known about any picture: it must not count as missing. False: the outcome says so. */
static bool has_root(struct call *call)
{
    const struct directory *directory = directory_of(&call->base);

    if (!is_removed(directory->fd) || reopen_root(directory))
        return true;
    storage_outcome_set(&call->outcome, STORAGE_FAILED,
                        "the directory was removed: restore it with its file " IDENTITY_FILE ", or restart");
    return false;
}

/* -- put */

struct put {
    struct call call;
    struct spool *spool; /* referenced */
    char owner[STORAGE_OWNER_SIZE];
    storage_end_fn *on_end;
};

static struct put *directory_put_of(struct call *call)
{
    return container_of(call, struct put, call);
}

/* A put that is repeated overwrites the record of the first attempt. */
static bool append_record(struct put *put)
{
    struct storage_about about = *spool_about(put->spool);
    char record[RECORD_SIZE];

    memcpy(about.owner, put->owner, sizeof(about.owner));
    record_write(record, &about);
    return file_write(spool_fd(put->spool), about.size, record, sizeof(record)) &&
           !ftruncate(spool_fd(put->spool), about.size + RECORD_SIZE) && !fsync(spool_fd(put->spool));
}

/* The new folder's own name must be on disk before a name in it counts. */
static int make_folder(int root, const char *folder)
{
    if (!mkdirat(root, folder, DIRECTORY_MODE)) {
        if (fsync(root))
            return -1;
    } else if (errno != EEXIST) {
        return -1;
    }
    return open_folder(root, folder);
}

static const char *place_file(struct put *put, int root)
{
    char folder[STORAGE_PART_MAX + 1];
    const char *file, *failed = NULL;
    int fd;

    storage_name_split(put->call.name, folder, &file);
    fd = make_folder(root, folder);
    if (fd < 0)
        return "create a folder";
    if (renameat(spool_dir_fd(put->spool), spool_name(put->spool), fd, file))
        failed = "rename a file";
    else
        spool_set_moved(put->spool);
    if (!failed && fsync(fd))
        failed = "sync a folder";
    if (failed) {
        int number = errno;

        close(fd);
        errno = number;
        return failed;
    }
    close(fd);
    return NULL;
}

static void put_run(struct disk_job *job)
{
    struct call *call = call_of_job(job);
    struct put *put = directory_put_of(call);
    const char *failed;

    if (!has_root(call))
        return;
    failed = append_record(put) ? place_file(put, root_of(&call->base)) : "write a record";

    if (failed)
        storage_outcome_set_errno(&call->outcome, failed, errno);
    if (call->outcome.end == STORAGE_MISSING)
        call->outcome.end = STORAGE_FAILED; /* another program has removed the temporary file or the directory */
}

static void put_report(struct call *call)
{
    directory_finish(call, directory_put_of(call)->on_end);
}

static void directory_put_release(struct call *call)
{
    spool_unref(directory_put_of(call)->spool);
}

static int directory_put(struct storage *storage, struct spool *spool, const char *name, const char *owner,
                         storage_end_fn *on_end, void *arg, struct storage_call **out)
{
    struct put *put = calloc(1, sizeof(*put));

    if (!put)
        return ERR_NO_MEMORY;
    put->call = (struct call){.arg = arg, .report = put_report, .release = directory_put_release};
    put->spool = spool_ref(spool);
    put->on_end = on_end;
    (void)snprintf(put->call.name, sizeof(put->call.name), "%s", name);
    (void)snprintf(put->owner, sizeof(put->owner), "%s", owner);
    return start(storage, &put->call, put_run, out);
}

/* -- get */

struct get {
    struct call call;
    struct storage_get_events events;
    struct storage_about about;
    struct storage_range range; /* the bytes that are not read yet */
    bool is_open;               /* on_open was called */
    size_t len;
    char *bytes; /* of one read; NULL between reads */
};

static struct get *directory_get_of(struct call *call)
{
    return container_of(call, struct get, call);
}

static int open_file(int root, const char *name)
{
    char folder[STORAGE_PART_MAX + 1];
    const char *file;
    int folder_fd, fd, number;

    storage_name_split(name, folder, &file);
    folder_fd = open_folder(root, folder);
    if (folder_fd < 0)
        return -1;
    fd = openat(folder_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    number = errno;
    close(folder_fd);
    errno = number;
    return fd;
}

/* Anything but a file with a record is not a stored picture. */
static bool read_about(int fd, struct storage_about *out)
{
    char record[RECORD_SIZE];
    struct stat stat;

    if (fstat(fd, &stat) || !S_ISREG(stat.st_mode) || stat.st_size < RECORD_SIZE)
        return false;
    out->size = stat.st_size - RECORD_SIZE;
    return file_read(fd, out->size, record, sizeof(record)) && !record_read(record, out);
}

static void get_run_open(struct disk_job *job)
{
    struct call *call = call_of_job(job);

    if (!has_root(call))
        return;
    call->fd = open_file(root_of(&call->base), call->name);
    if (call->fd < 0)
        storage_outcome_set_errno(&call->outcome, "open a file", errno == ENOTDIR || errno == ELOOP ? ENOENT : errno);
    else if (!read_about(call->fd, &directory_get_of(call)->about))
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "the file has no record");
}

static void get_run_read(struct disk_job *job)
{
    struct call *call = call_of_job(job);
    struct get *get = directory_get_of(call);

    if (!file_read(call->fd, get->range.at, get->bytes, get->len))
        storage_outcome_set_errno(&call->outcome, "read a file", errno);
    if ((int64_t)get->len == get->range.len)
        call_run_close(job);
}

static void directory_get_open(struct get *get)
{
    int64_t size = get->about.size;

    get->is_open = true;
    get->range = (struct storage_range){.len = size};
    get->events.on_open(&get->about, &get->range, get->events.arg);
    assert(get->range.at >= 0 && get->range.len >= 0 && get->range.at <= size &&
           get->range.len <= size - get->range.at);
}

static void get_give(struct get *get)
{
    char *bytes = get->bytes;

    get->bytes = NULL;
    get->range.at += (int64_t)get->len;
    get->range.len -= (int64_t)get->len;
    get->events.on_bytes(bytes, get->len, get->events.arg);
    free(bytes);
}

/* A callback may cancel the get, or ask for the next bytes. */
static void get_report(struct call *call)
{
    struct get *get = directory_get_of(call);

    call->is_in_callback = true;
    if (call->outcome.end == STORAGE_DONE) {
        if (get->is_open)
            get_give(get);
        else
            directory_get_open(get);
    }
    call->is_in_callback = false;
    if (call->is_over)
        directory_tidy(call);
    else if (call->outcome.end != STORAGE_DONE || !get->range.len)
        directory_finish(call, get->events.on_end);
}

static void get_release(struct call *call)
{
    free(directory_get_of(call)->bytes);
}

static int directory_get(struct storage *storage, const char *name, const struct storage_get_events *events,
                         struct storage_call **out)
{
    struct get *get = calloc(1, sizeof(*get));

    if (!get)
        return ERR_NO_MEMORY;
    get->call = (struct call){.arg = events->arg, .report = get_report, .release = get_release};
    get->events = *events;
    (void)snprintf(get->call.name, sizeof(get->call.name), "%s", name);
    return start(storage, &get->call, get_run_open, out);
}

/* Without memory, the read fails on its thread: a callback must not run from inside. */
static void get_run_no_memory(struct disk_job *job)
{
    storage_outcome_set(&call_of_job(job)->outcome, STORAGE_BUSY, "out of memory");
}

static void directory_get_next(struct storage_call *base)
{
    struct call *call = container_of(base, struct call, base);
    struct get *get = directory_get_of(call);

    if (call->is_over || call->is_busy || !get->range.len)
        return;
    get->len = get->range.len < STORAGE_READ_MAX ? (size_t)get->range.len : STORAGE_READ_MAX;
    get->bytes = malloc(get->len);
    follow(call, get->bytes ? get_run_read : get_run_no_memory);
}

/* -- delete */

struct removal {
    struct call call;
    storage_end_fn *on_end;
};

/* The folder is synced: a picture that was deleted must not be back after a power failure. */
static void removal_run(struct disk_job *job)
{
    struct call *call = call_of_job(job);
    char folder[STORAGE_PART_MAX + 1];
    const char *file;
    int fd;

    if (!has_root(call))
        return;
    storage_name_split(call->name, folder, &file);
    fd = open_folder(root_of(&call->base), folder);
    if (fd < 0 || unlinkat(fd, file, 0) || fsync(fd))
        storage_outcome_set_errno(&call->outcome, "delete a file", errno == ENOTDIR ? ENOENT : errno);
    if (fd >= 0)
        close(fd);
}

static void removal_report(struct call *call)
{
    directory_finish(call, container_of(call, struct removal, call)->on_end);
}

static int directory_remove(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg,
                            struct storage_call **out)
{
    struct removal *removal = calloc(1, sizeof(*removal));

    if (!removal)
        return ERR_NO_MEMORY;
    removal->call = (struct call){.arg = arg, .report = removal_report};
    removal->on_end = on_end;
    (void)snprintf(removal->call.name, sizeof(removal->call.name), "%s", name);
    return start(storage, &removal->call, removal_run, out);
}

/* -- sweep */

struct sweep {
    struct call call;
    storage_swept_fn *on_end;
    int today, max, deleted;
    bool has_more;
};

static struct sweep *directory_sweep_of(struct call *call)
{
    return container_of(call, struct sweep, call);
}

/* What cannot be deleted is kept, and must not keep the rest: the first reason is reported in the end. Another process may sweep the same folder:
 * that a file is gone is no failure. */
static void note_failure(struct sweep *sweep, const char *doing)
{
    struct storage_outcome *outcome = &sweep->call.outcome;

    if (errno != ENOENT && outcome->end == STORAGE_DONE)
        storage_outcome_set_errno(outcome, doing, errno);
}

/* The oldest swept day after `last` that has a folder; -1: none. */
static int find_oldest(struct sweep *sweep, int root, int last)
{
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), oldest = -1, day;
    DIR *folders = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *folder;

    if (!folders)
        note_failure(sweep, "list the days");
    if (!folders && fd >= 0)
        close(fd);
    while (folders && (folder = readdir(folders)))
        if (storage_day_read(folder->d_name, strlen(folder->d_name), &day) && storage_day_is_swept(day, sweep->today) &&
            day > last && (oldest < 0 || day < oldest))
            oldest = day;
    if (folders)
        closedir(folders);
    return oldest;
}

/* Cameras name folders like days: a directory that was not meant for pictures must not lose its files. */
static bool can_be_ours(const char *folder, const char *file)
{
    char name[STORAGE_NAME_SIZE];

    return snprintf(name, sizeof(name), "%s/%s", folder, file) < (int)sizeof(name) && storage_name_is_valid(name);
}

/* Deletes files of a folder. Returns false if the sweep's maximum leaves some. */
static bool empty_folder(struct sweep *sweep, const char *folder, int fd)
{
    DIR *files = fdopendir(fd);
    bool is_at_max = false;
    struct dirent *file;

    if (!files) {
        note_failure(sweep, "list the files of a day");
        close(fd);
        return true;
    }
    while (!is_at_max && (file = readdir(files))) {
        if (!can_be_ours(folder, file->d_name))
            continue;
        is_at_max = sweep->deleted == sweep->max;
        if (is_at_max)
            continue;
        if (unlinkat(fd, file->d_name, 0))
            note_failure(sweep, "delete a file of a day");
        else
            sweep->deleted++;
    }
    closedir(files);
    return !is_at_max;
}

/* Returns false if the sweep's maximum leaves files. */
static bool sweep_folder(struct sweep *sweep, int root, int day)
{
    char folder[STORAGE_DAY_SIZE];
    int fd;

    storage_day_write(folder, day);
    fd = open_folder(root, folder);
    if (fd < 0)
        note_failure(sweep, "open the folder of a day");
    else if (!empty_folder(sweep, folder, fd))
        return false;
    else if (unlinkat(root, folder, AT_REMOVEDIR))
        note_failure(sweep, "delete the folder of a day");
    return true;
}

static void sweep_run(struct disk_job *job)
{
    struct call *call = call_of_job(job);
    struct sweep *sweep = directory_sweep_of(call);
    int root = root_of(&call->base), day = -1;

    if (!has_root(call))
        return;
    (void)spool_dir_clean(&call->base.storage->spool, SPOOL_CLEAN_MAX);
    while (!sweep->has_more && (day = find_oldest(sweep, root, day)) >= 0)
        sweep->has_more = !sweep_folder(sweep, root, day);
}

static void sweep_report(struct call *call)
{
    struct sweep *sweep = directory_sweep_of(call);

    call->is_over = true;
    sweep->on_end(&call->outcome, sweep->deleted, sweep->has_more, call->arg);
    directory_tidy(call);
}

static int directory_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
                           struct storage_call **out)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));

    if (!sweep)
        return ERR_NO_MEMORY;
    sweep->call = (struct call){.arg = arg, .report = sweep_report};
    sweep->on_end = on_end;
    sweep->today = today;
    sweep->max = max;
    return start(storage, &sweep->call, sweep_run, out);
}

/* -- the directory itself */

static void directory_destroy(struct storage *storage)
{
    struct directory *directory = container_of(storage, struct directory, base);

    spool_dir_close(&storage->spool);
    if (directory->fd >= 0)
        close(directory->fd);
    free(directory->path);
    free(directory);
}

static const struct storage_ops directory_ops = {
    .destroy = directory_destroy,
    .put = directory_put,
    .get = directory_get,
    .get_next = directory_get_next,
    .remove = directory_remove,
    .sweep = directory_sweep,
};

/* Writes a whole file under a temporary name and links it: of several processes that start at once, one wins. */
static bool create_identity(const struct directory *directory)
{
    char id[STORAGE_ID_SIZE], text[sizeof(IDENTITY_HEAD) + STORAGE_ID_SIZE], name[SPOOL_NAME_SIZE];
    const struct spool_dir *dir = &directory->base.spool;
    int fd = spool_dir_create(dir, name), len;
    bool created;

    if (fd < 0)
        return false;
    storage_id_make(id);
    len = snprintf(text, sizeof(text), IDENTITY_HEAD "%s\n", id);
    created = file_write(fd, 0, text, (size_t)len) && !fsync(fd) &&
              (!linkat(dir->fd, name, directory->fd, IDENTITY_FILE, 0) || errno == EEXIST) && !fsync(directory->fd);
    (void)unlinkat(dir->fd, name, 0);
    close(fd);
    return created;
}

static int directory_identify(struct directory *directory, struct buf *why)
{
    int err = read_identity(directory->fd, directory->base.identity);

    if (err == ERR_NOT_FOUND && create_identity(directory))
        err = read_identity(directory->fd, directory->base.identity);
    if (err == ERR_SYNTAX)
        buf_add_text(why, "the file " IDENTITY_FILE " in it is damaged");
    else if (err)
        buf_addf(why, "cannot create the file " IDENTITY_FILE " in it: %s", strerror(errno));
    return err ? ERR_SYSTEM : 0;
}

static int open_root(struct directory *directory, const char *path, struct buf *why)
{
    if (path[0] != '/') {
        buf_add_text(why, "its path must begin with /");
        return ERR_SYSTEM;
    }
    directory->path = strdup(path);
    if (!directory->path)
        return ERR_NO_MEMORY;
    if (!mkdir(path, DIRECTORY_MODE) || errno == EEXIST)
        directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd >= 0)
        return 0;
    buf_addf(why, "cannot open %s: %s", path, strerror(errno));
    return ERR_SYSTEM;
}

static int open_spool(struct directory *directory, int free_min_percent, struct buf *why)
{
    struct buf path;
    int err;

    buf_init(&path, PATH_MAX);
    buf_addf(&path, "%s/tmp", directory->path);
    err = buf_error(&path);
    if (!err)
        err = spool_dir_open(&directory->base.spool, buf_text(&path), free_min_percent, why);
    buf_deinit(&path);
    return err;
}

int directory_open(const struct directory_setup *setup, struct storage **out, struct buf *why)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    int err;

    if (!directory)
        return ERR_NO_MEMORY;
    directory->base = (struct storage){.ops = &directory_ops, .disk = setup->disk, .spool = {.fd = -1}};
    directory->fd = -1;
    err = open_root(directory, setup->path, why);
    if (!err)
        err = open_spool(directory, setup->free_min_percent, why);
    if (!err)
        err = directory_identify(directory, why);
    if (err)
        directory_destroy(&directory->base);
    else
        *out = &directory->base;
    return err;
}
