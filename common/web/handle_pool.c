#include "common/web/handle_pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { IDLE_MAX = 64 /* 5 KiB each */, DAY_S = 24 * 60 * 60, SETTLED_S = 2 };

/* TLS sessions verified against one version of the CA file. libcurl frees a share only when no handle uses it. */
struct sessions {
    LIST_ENTRY(sessions) link;
    CURLSH *share;
};

struct handle_pool {
    const char *ca_file; /* NULL: libcurl was built with a CA directory only */
    struct stat ca_stat;
    int64_t ca_changed_ms; /* when the last change was noticed; initially a day ago */
    struct sessions *sessions;
    LIST_HEAD(retired, sessions) retired; /* of earlier versions of the file, still in use */
    bool resumes;                         /* the call that ended last got an answer */
    CURL *idle[IDLE_MAX];
    size_t idle_count;
};

static struct sessions *sessions_create(void)
{
    struct sessions *sessions = calloc(1, sizeof(*sessions));

    if (!sessions)
        return NULL;
    sessions->share = curl_share_init();
    if (sessions->share && !curl_share_setopt(sessions->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION))
        return sessions;
    if (sessions->share)
        (void)curl_share_cleanup(sessions->share);
    free(sessions);
    return NULL;
}

/* False if a handle still uses them. */
static bool sessions_destroy(struct sessions *sessions)
{
    if (curl_share_cleanup(sessions->share))
        return false;
    free(sessions);
    return true;
}

static void free_retired(struct handle_pool *pool)
{
    struct sessions *next;

    for (struct sessions *each = LIST_FIRST(&pool->retired); each; each = next) {
        next = LIST_NEXT(each, link);
        LIST_REMOVE(each, link);
        if (!sessions_destroy(each))
            LIST_INSERT_HEAD(&pool->retired, each, link);
    }
}

struct handle_pool *handle_pool_create(const char *ca_file)
{
    struct handle_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->ca_file = ca_file && *ca_file ? ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
    if (pool->ca_file)
        (void)stat(pool->ca_file, &pool->ca_stat);
    LIST_INIT(&pool->retired);
    pool->ca_changed_ms = clock_monotonic_ms() - (int64_t)DAY_S * 1000;
    pool->resumes = true;
    pool->sessions = sessions_create();
    return pool->sessions ? pool : handle_pool_destroy(pool);
}

struct handle_pool *handle_pool_destroy(struct handle_pool *pool)
{
    if (!pool)
        return NULL;
    while (pool->idle_count)
        curl_easy_cleanup(pool->idle[--pool->idle_count]);
    if (pool->sessions)
        (void)sessions_destroy(pool->sessions);
    free_retired(pool);
    free(pool);
    return NULL;
}

static bool is_unchanged_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Starts a new set of sessions when the CA file has changed. If the file is missing, its last content stays in use. */
static void follow_ca_file(struct handle_pool *pool)
{
    struct sessions *fresh;
    struct stat now;

    if (!pool->ca_file || stat(pool->ca_file, &now) || is_unchanged_file(&now, &pool->ca_stat))
        return;
    fresh = sessions_create();
    if (!fresh)
        return; /* the next call tries again */
    LIST_INSERT_HEAD(&pool->retired, pool->sessions, link);
    pool->sessions = fresh;
    pool->ca_stat = now;
    pool->ca_changed_ms = clock_monotonic_ms();
    log_info("web", "CA file changed", "file=%s", pool->ca_file);
}

/* The maximum age of libcurl's cached CA certificates in seconds: certificates loaded before the change are too old. At most a day.
 * libcurl counts whole seconds, and 0 would disable the cache. So during the first second after a change, a call may still be
 * verified against the old certificates. */
static long ca_age_max(const struct handle_pool *pool)
{
    int64_t age_s = (clock_monotonic_ms() - pool->ca_changed_ms) / 1000;

    return age_s < 1 ? 1 : age_s < DAY_S ? (long)age_s : DAY_S;
}

/* Sessions of that first second must not be kept: they may have been verified against the old certificates. */
static bool may_resume(const struct handle_pool *pool)
{
    return pool->resumes && ca_age_max(pool) >= SETTLED_S;
}

/* The CA file replaces the system's CA directory. It is also set when it is libcurl's default: a handle that ran out of memory may
 * have lost the default. */
static bool set_tls(const struct handle_pool *pool, CURL *easy)
{
    unsigned failed = curl_easy_setopt(easy, CURLOPT_SHARE, pool->sessions->share);

    failed |= curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, (long)may_resume(pool));
    if (pool->ca_file) {
        failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, pool->ca_file);
        failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        failed |= curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, ca_age_max(pool));
    }
    return !failed;
}

CURL *handle_pool_take(struct handle_pool *pool)
{
    CURL *easy = pool->idle_count ? pool->idle[--pool->idle_count] : curl_easy_init();

    follow_ca_file(pool);
    if (!easy || set_tls(pool, easy))
        return easy;
    curl_easy_cleanup(easy);
    return NULL;
}

void handle_pool_return(struct handle_pool *pool, CURL *easy)
{
    pool->resumes = true;
    if (pool->idle_count < IDLE_MAX) {
        curl_easy_reset(easy);
        pool->idle[pool->idle_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
    free_retired(pool);
}

void handle_pool_discard(struct handle_pool *pool, CURL *easy)
{
    pool->resumes = false;
    curl_easy_cleanup(easy);
    free_retired(pool);
}
