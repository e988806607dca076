#include "common/storage/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/disk_pool.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/storage/file_io.h"

#define PREFIX "arkrelay-"
#define SUFFIX ".tmp"

enum {
    RANDOM_BYTES = 16,
    CLEAN_AT_START = 1 << 20,
    WHY_MAX = 8192,
    UNLOCKABLE_AGE_S = 24 * 60 * 60, /* without locks, an older file counts as abandoned */
};

/* A spool has at most one job at a time:
 *
 *     OPENING -> IDLE <-> WRITING -> CHECKING -> READY        any -> FAILED        all -> CLOSING -> freed
 */
enum spool_state { SPOOL_OPENING, SPOOL_IDLE, SPOOL_WRITING, SPOOL_CHECKING, SPOOL_READY, SPOOL_FAILED, SPOOL_CLOSING };

struct spool {
    struct spool_setup setup;
    enum spool_state state;
    int references;
    bool is_owned; /* spool_destroy was not called: events may be reported */
    bool has_end;  /* spool_end was called */
    bool wants_room;
    struct disk_job job;
    struct storage_outcome outcome; /* of the first failure */

    int fd; /* -1 until it is open. The jobs' own, as `moved`, `hash`, `magic` and `about` */
    bool moved;
    char name[SPOOL_NAME_SIZE];
    struct sha256_stream *hash;
    char magic[IMAGE_MAGIC_SIZE];
    struct storage_about about;

    size_t head, len, writing; /* of the ring: its first byte, its bytes, and how many of them a job writes */
    char *ring;                /* freed with the end of writing */
};

/* -- the directory */

int spool_dir_free(const struct spool_dir *dir)
{
    struct statvfs stat;
    uint64_t blocks, files = 100;

    if (fstatvfs(dir->fd, &stat))
        return -1;
    blocks = stat.f_blocks ? (uint64_t)stat.f_bavail * 100 / stat.f_blocks : 100;
    if (stat.f_files) /* some file systems do not count them */
        files = (uint64_t)stat.f_favail * 100 / stat.f_files;
    return (int)(files < blocks ? files : blocks);
}

static bool is_spool_name(const char *name)
{
    size_t prefix = sizeof(PREFIX) - 1, digits = sizeof(PREFIX) - 1 + (size_t)2 * RANDOM_BYTES;

    return !strncmp(name, PREFIX, prefix) && strspn(name + prefix, "0123456789abcdef") == (size_t)2 * RANDOM_BYTES &&
           !strcmp(name + digits, SUFFIX);
}

/* The process that writes a file holds its lock. Where there are no locks, the age decides. */
static bool is_abandoned(int fd)
{
    struct stat stat;

    if (!flock(fd, LOCK_EX | LOCK_NB))
        return true;
    return errno != EWOULDBLOCK && !fstat(fd, &stat) && time(NULL) - stat.st_mtime > UNLOCKABLE_AGE_S;
}

static bool clean_file(const struct spool_dir *dir, const char *name)
{
    int fd = is_spool_name(name) ? openat(dir->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) : -1;
    bool removed;

    if (fd < 0)
        return false;
    removed = is_abandoned(fd) && !unlinkat(dir->fd, name, 0);
    close(fd);
    return removed;
}

int spool_dir_clean(const struct spool_dir *dir, int max)
{
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
    DIR *files = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *file;

    if (!files) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while (count < max && (file = readdir(files)))
        count += clean_file(dir, file->d_name);
    closedir(files);
    return count;
}

/* A process that cleans up may take the lock first: then it removes the file, or has done so. Any other failure means that the file system has
 * no locks: see is_abandoned. */
static bool lock_in_time(int fd)
{
    struct stat stat;

    if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return false;
    return !fstat(fd, &stat) && stat.st_nlink > 0;
}

int spool_dir_create(const struct spool_dir *dir, char name[SPOOL_NAME_SIZE])
{
    char random[2 * RANDOM_BYTES + 1];
    int fd;

    for (;;) {
        random_hex(random, RANDOM_BYTES);
        (void)snprintf(name, SPOOL_NAME_SIZE, PREFIX "%s" SUFFIX, random);
        fd = openat(dir->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0 || lock_in_time(fd))
            return fd;
        close(fd);
    }
}

/* Creates the directory if it is missing. Returns its descriptor; -1: `why` says what failed. */
static int open_dir(const char *path, struct buf *why)
{
    int fd;

    if (mkdir(path, 0750) && errno != EEXIST) {
        buf_addf(why, "cannot create the directory %s: %s", path, strerror(errno));
        return -1;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && !faccessat(fd, ".", W_OK | X_OK, 0))
        return fd;
    buf_addf(why, "cannot write into the directory %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int spool_dir_open(struct spool_dir *dir, const char *path, int free_min_percent, struct buf *why)
{
    char *copy = strdup(path);
    int fd = copy ? open_dir(path, why) : -1, removed;

    if (fd < 0) {
        free(copy);
        return copy ? ERR_SYSTEM : ERR_NO_MEMORY;
    }
    *dir = (struct spool_dir){.fd = fd, .path = copy, .free_min_percent = free_min_percent};
    removed = spool_dir_clean(dir, CLEAN_AT_START);
    if (removed)
        log_info("storage", "removed unfinished files of processes that have ended", "count=%d", removed);
    return 0;
}

void spool_dir_close(struct spool_dir *dir)
{
    if (dir->fd > 0)
        close(dir->fd);
    dir->fd = -1;
    free(dir->path);
    dir->path = NULL;
}

/* Puts a new directory in the place of one that was removed, under the same descriptor, which jobs on other threads use. */
static bool renew_dir(const struct spool_dir *dir)
{
    struct buf why;
    bool is_renewed;
    int fd;

    buf_init(&why, WHY_MAX);
    fd = open_dir(dir->path, &why);
    buf_deinit(&why);
    is_renewed = fd >= 0 && dup3(fd, dir->fd, O_CLOEXEC) >= 0;
    if (fd >= 0)
        close(fd);
    return is_renewed;
}

/* -- the jobs. `outcome` is theirs while they run. */

static struct spool *spool_of(struct disk_job *job)
{
    return container_of(job, struct spool, job);
}

static bool has_failed(const struct spool *spool)
{
    return spool->outcome.end != STORAGE_DONE;
}

static int create_file(struct spool *spool)
{
    int fd = spool_dir_create(spool->setup.dir, spool->name);

    return fd < 0 && errno == ENOENT && renew_dir(spool->setup.dir) ? spool_dir_create(spool->setup.dir, spool->name)
                                                                    : fd;
}

static void spool_run_open(struct disk_job *job)
{
    struct spool *spool = spool_of(job);
    int percent = spool_dir_free(spool->setup.dir);

    if (percent < 0)
        storage_outcome_set_errno(&spool->outcome, "look at the free space", errno);
    else if (percent < spool->setup.dir->free_min_percent)
        storage_outcome_set(&spool->outcome, STORAGE_FULL, "%d %% of the disk is free, %d %% is the minimum", percent,
                            spool->setup.dir->free_min_percent);
    else if ((spool->fd = create_file(spool)) < 0)
        storage_outcome_set_errno(&spool->outcome, "create a temporary file", errno);
    if (spool->outcome.end == STORAGE_MISSING)
        spool->outcome.end = STORAGE_FAILED; /* what contains the directory has been removed too */
}

/* False if the bytes so far cannot be an image. The first piece may be shorter than the magic bytes. */
static bool check_magic(struct spool *spool, const char *bytes, size_t len)
{
    int64_t at = spool->about.size;

    if (at >= IMAGE_MAGIC_SIZE)
        return true;
    if (len > (size_t)(IMAGE_MAGIC_SIZE - at))
        len = (size_t)(IMAGE_MAGIC_SIZE - at);
    memcpy(spool->magic + at, bytes, len);
    return at + (int64_t)len < IMAGE_MAGIC_SIZE || image_type_of(spool->magic, IMAGE_MAGIC_SIZE) != IMAGE_NONE;
}

static void spool_run_write(struct disk_job *job)
{
    struct spool *spool = spool_of(job);
    const char *bytes = spool->ring + spool->head;
    size_t len = spool->writing;

    if (!check_magic(spool, bytes, len))
        storage_outcome_set(&spool->outcome, STORAGE_INVALID, "the first bytes are not those of an image");
    else if ((int64_t)len > spool->setup.size_max - spool->about.size)
        storage_outcome_set(&spool->outcome, STORAGE_INVALID, "more than %lld bytes", (long long)spool->setup.size_max);
    else if (sha256_stream_add(spool->hash, bytes, len))
        storage_outcome_set(&spool->outcome, STORAGE_BUSY, "out of memory");
    else if (!file_write(spool->fd, spool->about.size, bytes, len))
        storage_outcome_set_errno(&spool->outcome, "write a temporary file", errno);
    else
        spool->about.size += (int64_t)len;
}

static int spool_read_file(void *arg, int64_t at, void *out, size_t len)
{
    const struct spool *spool = arg;

    return file_read(spool->fd, at, out, len) ? 0 : ERR_SYSTEM;
}

static void spool_run_check(struct disk_job *job)
{
    struct spool *spool = spool_of(job);
    const struct image_source source = {.size = spool->about.size, .read = spool_read_file, .arg = spool};
    unsigned char digest[SHA256_SIZE];
    int err = image_header_read(&source, &spool->about.image);

    if (spool->setup.size >= 0 && spool->about.size != spool->setup.size)
        storage_outcome_set(&spool->outcome, STORAGE_INVALID, "%lld bytes arrived instead of %lld",
                            (long long)spool->about.size, (long long)spool->setup.size);
    else if (err == ERR_SYNTAX)
        storage_outcome_set(&spool->outcome, STORAGE_INVALID, "the file is not a whole image");
    else if (err)
        storage_outcome_set_errno(&spool->outcome, "read a temporary file", errno);
    else if (sha256_stream_end(spool->hash, digest))
        storage_outcome_set(&spool->outcome, STORAGE_BUSY, "out of memory");
    else
        sha256_hex(spool->about.sha256, digest);
}

static void spool_run_close(struct disk_job *job)
{
    struct spool *spool = spool_of(job);

    if (spool->fd < 0)
        return;
    if (!spool->moved)
        (void)unlinkat(spool->setup.dir->fd, spool->name, 0); /* what stays is cleaned up at the next start */
    close(spool->fd);
    spool->fd = -1;
}

/* -- the states */

static void enter(struct spool *spool, enum spool_state next);

static void (*const runs[])(struct disk_job *job) = {
    [SPOOL_OPENING] = spool_run_open,
    [SPOOL_WRITING] = spool_run_write,
    [SPOOL_CHECKING] = spool_run_check,
    [SPOOL_CLOSING] = spool_run_close,
};

/* Takes the written bytes out of the ring. */
static void advance(struct spool *spool)
{
    spool->head = (spool->head + spool->writing) % SPOOL_BUFFER;
    spool->len -= spool->writing;
    spool->writing = 0;
}

static void give_room(struct spool *spool)
{
    bool takes_bytes = spool->state == SPOOL_IDLE || spool->state == SPOOL_WRITING;

    if (!spool->wants_room || !spool->is_owned || !takes_bytes || spool_room(spool) < SPOOL_BUFFER / 2)
        return;
    spool->wants_room = false;
    spool->setup.events.on_room(spool->setup.events.arg);
}

/* What to do next where no job runs. */
static void go_on(struct spool *spool)
{
    if (spool->len)
        enter(spool, SPOOL_WRITING);
    else if (spool->has_end)
        enter(spool, SPOOL_CHECKING);
    else
        spool->state = SPOOL_IDLE;
}

static void free_spool(struct spool *spool)
{
    (void)sha256_stream_destroy(spool->hash);
    free(spool->ring);
    free(spool);
}

static void report(struct spool *spool)
{
    spool->len = spool->writing = 0;
    free(spool->ring);
    spool->ring = NULL;
    spool->setup.events.on_end(&spool->outcome, spool->setup.events.arg);
}

/* The reference of the job keeps the spool valid while callbacks destroy it. */
static void spool_job_done(struct disk_job *job)
{
    struct spool *spool = spool_of(job);

    if (spool->state == SPOOL_CLOSING) {
        spool_run_close(job); /* no-op, unless the job was dropped */
        free_spool(spool);
        return;
    }
    if (!job->was_run)
        storage_outcome_set(&spool->outcome, STORAGE_BUSY, "the program is ending");
    advance(spool);
    if (!spool->is_owned)
        spool->state = SPOOL_FAILED;
    else if (has_failed(spool))
        enter(spool, SPOOL_FAILED);
    else if (spool->state == SPOOL_CHECKING)
        enter(spool, SPOOL_READY);
    else
        go_on(spool);
    give_room(spool);
    spool_unref(spool);
}

/* The one door to every state. */
static void enter(struct spool *spool, enum spool_state next)
{
    spool->state = next;
    if (next == SPOOL_WRITING) {
        size_t contiguous = SPOOL_BUFFER - spool->head;

        spool->writing = spool->len < contiguous ? spool->len : contiguous;
    }
    if (runs[next]) {
        spool->references += next != SPOOL_CLOSING;
        spool->job = (struct disk_job){.run = runs[next], .done = spool_job_done};
        disk_follow(spool->setup.disk, &spool->job);
    } else if (next == SPOOL_READY || next == SPOOL_FAILED) {
        report(spool);
    }
}

/* -- for the owner */

int spool_start(const struct spool_setup *setup, struct spool **out)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    int err;

    if (!spool)
        return ERR_NO_MEMORY;
    spool->setup = *setup;
    spool->fd = -1;
    spool->is_owned = true;
    spool->hash = sha256_stream_create();
    spool->ring = malloc(SPOOL_BUFFER);
    if (!spool->hash || !spool->ring) {
        free_spool(spool);
        return ERR_NO_MEMORY;
    }
    spool->references = 2; /* the owner's, and the first job's */
    spool->job = (struct disk_job){.run = spool_run_open, .done = spool_job_done};
    err = disk_start(setup->disk, &spool->job);
    if (err)
        free_spool(spool);
    else
        *out = spool;
    return err;
}

struct spool *spool_destroy(struct spool *spool)
{
    if (!spool)
        return NULL;
    spool->is_owned = false;
    spool_unref(spool);
    return NULL;
}

size_t spool_room(const struct spool *spool)
{
    return SPOOL_BUFFER - spool->len;
}

static void spool_append(struct spool *spool, const char *bytes, size_t len)
{
    size_t tail = (spool->head + spool->len) % SPOOL_BUFFER, contiguous = SPOOL_BUFFER - tail;
    size_t first = len < contiguous ? len : contiguous;

    memcpy(spool->ring + tail, bytes, first);
    memcpy(spool->ring, bytes + first, len - first);
    spool->len += len;
}

size_t spool_write(struct spool *spool, const void *bytes, size_t len)
{
    size_t room = spool_room(spool), taken = len < room ? len : room;

    if (spool->state == SPOOL_FAILED)
        return len;
    spool->wants_room |= taken < len;
    spool_append(spool, bytes, taken);
    if (spool->state == SPOOL_IDLE && spool->len)
        enter(spool, SPOOL_WRITING);
    return taken;
}

/* Less than half is free, so there are bytes to be written, and a job runs: its end calls give_room. */
void spool_wait_for_room(struct spool *spool)
{
    spool->wants_room = true;
}

void spool_end(struct spool *spool)
{
    spool->has_end = true;
    if (spool->state == SPOOL_IDLE)
        go_on(spool);
}

const struct storage_about *spool_about(const struct spool *spool)
{
    return &spool->about;
}

/* -- for storages */

struct spool *spool_ref(struct spool *spool)
{
    spool->references++;
    return spool;
}

void spool_unref(struct spool *spool)
{
    if (--spool->references == 0)
        enter(spool, SPOOL_CLOSING);
}

int spool_fd(const struct spool *spool)
{
    return spool->fd;
}

int spool_dir_fd(const struct spool *spool)
{
    return spool->setup.dir->fd;
}

const char *spool_name(const struct spool *spool)
{
    return spool->name;
}

void spool_set_moved(struct spool *spool)
{
    spool->moved = true;
}
