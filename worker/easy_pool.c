#include "worker/easy_pool.h"

#include <stdbool.h>
#include <stdlib.h>

enum { IDLE_MAX = 64 }; /* 5 KiB each */

struct easy_pool {
    const char *ca_file; /* NULL: this libcurl knows only a directory */
    CURLSH *sessions;
    bool resumes; /* the call that ended last had an answer */
    CURL *idle[IDLE_MAX];
    size_t idle_count;
};

struct easy_pool *easy_pool_create(const char *ca_file)
{
    struct easy_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->ca_file = ca_file && *ca_file ? ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
    pool->sessions = curl_share_init();
    pool->resumes = true;
    if (!pool->sessions || curl_share_setopt(pool->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION))
        return easy_pool_destroy(pool);
    return pool;
}

struct easy_pool *easy_pool_destroy(struct easy_pool *pool)
{
    if (!pool)
        return NULL;
    while (pool->idle_count)
        curl_easy_cleanup(pool->idle[--pool->idle_count]);
    if (pool->sessions)
        (void)curl_share_cleanup(pool->sessions);
    free(pool);
    return NULL;
}

/* The file stands for all authorities: the system's directory is not trusted as well. It is set also where it is libcurl's own, which
 * a handle may have lost for want of memory. */
static bool set_tls(const struct easy_pool *pool, CURL *easy)
{
    unsigned failed = curl_easy_setopt(easy, CURLOPT_SHARE, pool->sessions);

    failed |= curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, (long)pool->resumes);
    if (pool->ca_file) {
        failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, pool->ca_file);
        failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    return !failed;
}

CURL *easy_pool_take(struct easy_pool *pool)
{
    CURL *easy = pool->idle_count ? pool->idle[--pool->idle_count] : curl_easy_init();

    if (!easy || set_tls(pool, easy))
        return easy;
    curl_easy_cleanup(easy);
    return NULL;
}

void easy_pool_put(struct easy_pool *pool, CURL *easy)
{
    pool->resumes = true;
    if (pool->idle_count == IDLE_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    pool->idle[pool->idle_count++] = easy;
}

void easy_pool_drop(struct easy_pool *pool, CURL *easy)
{
    pool->resumes = false;
    curl_easy_cleanup(easy);
}
