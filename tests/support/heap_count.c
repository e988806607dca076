/* heap_count - counts a program's heap usage while it runs
 *
 * Preloaded (LD_PRELOAD) into an unchanged program. The file $HEAP_COUNT_FILE starts with two numbers that are always up to date: the
 * usable bytes of all live blocks, and the number of live blocks. Needs glibc: it calls __libc_malloc and its relatives.
 *
 * Ownership: the program's parent creates the file; it stays mapped.
 * Threads:   any.   Units: bytes, blocks; 64 bits each.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

struct counts {
    _Atomic int64_t bytes, blocks;
};

static struct counts before_the_file;
static struct counts *counts = &before_the_file;

/* Runs before main, with one thread. */
__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("HEAP_COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct counts *mapped;

    if (fd < 0)
        return;
    mapped = mmap(NULL, sizeof(*mapped), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return;
    mapped->bytes = before_the_file.bytes;
    mapped->blocks = before_the_file.blocks;
    counts = mapped;
}

static void *count_in(void *block)
{
    if (block) {
        counts->bytes += (int64_t)malloc_usable_size(block);
        counts->blocks++;
    }
    return block;
}

static void count_out(void *block)
{
    if (block) {
        counts->bytes -= (int64_t)malloc_usable_size(block);
        counts->blocks--;
    }
}

void *malloc(size_t size)
{
    return count_in(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return count_in(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    int64_t held = (int64_t)malloc_usable_size(block);
    void *moved = __libc_realloc(block, size);

    if (block && (moved || !size)) { /* otherwise the old block is still live */
        counts->bytes -= held;
        counts->blocks--;
    }
    return count_in(moved);
}

void *memalign(size_t alignment, size_t size)
{
    return count_in(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);

    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

void free(void *block)
{
    count_out(block);
    __libc_free(block);
}
