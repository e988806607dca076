#include "common/storage/location.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/disk_pool.h"
#include "common/storage/directory.h"
#include "common/storage/s3.h"
#include "common/storage/storage.h"
#include "common/web/web.h"

enum { CONNECT_MS = 10 * 1000, REQUEST_MS = 30 * 1000, SPOOL_PATH_SIZE = 64 };

static bool is_s3(const struct storage_options *options)
{
    return !strncmp(options->place, "s3:", 3);
}

/* `links`: as clients reach it. */
static int read_bucket(const struct storage_options *options, bool links, struct s3_bucket *out, struct buf *why)
{
    const char *endpoint = links && *options->link_endpoint ? options->link_endpoint : options->endpoint;

    return s3_bucket_read(out, options->place, endpoint, options->region, (enum s3_style)options->style, why);
}

bool location_is_valid(const struct storage_options *options, struct buf *why)
{
    struct s3_bucket bucket;

    if (!*options->place || *options->place == '/')
        return true;
    if (!is_s3(options)) {
        buf_add_text(why, "it must be the absolute path of a directory, or s3://bucket/prefix");
        return false;
    }
    if (!*options->access_key || !*options->secret_key) {
        buf_add_text(why, "s3:// needs STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY");
        return false;
    }
    if (*options->spool && *options->spool != '/') {
        buf_add_text(why, "STORAGE_SPOOL must be an absolute path");
        return false;
    }
    return !read_bucket(options, false, &bucket, why) && !read_bucket(options, true, &bucket, why);
}

static int open_directory(struct location *location, const struct location_setup *setup, struct buf *why)
{
    return directory_open(&(struct directory_setup){.disk = location->disk,
                                                    .path = setup->options->place,
                                                    .free_min_percent = STORAGE_FREE_MIN_PERCENT},
                          &location->storage, why);
}

static int open_s3(struct location *location, const struct location_setup *setup, struct buf *why)
{
    const struct storage_options *options = setup->options;
    struct s3_bucket bucket, links;
    char spool[SPOOL_PATH_SIZE];
    int err = read_bucket(options, false, &bucket, why);

    if (!err)
        err = read_bucket(options, true, &links, why);
    if (err)
        return err;
    location->web = web_create(&(struct web_setup){
        .loop = setup->loop, .connect_ms = CONNECT_MS, .ca_file = options->ca_file, .user_agent = "arkrelay"});
    if (!location->web)
        return ERR_NO_MEMORY;
    (void)snprintf(spool, sizeof(spool), "/var/tmp/arkrelay-%lu", (unsigned long)geteuid());
    return s3_open(&(struct s3_setup){.disk = location->disk,
                                      .web = location->web,
                                      .bucket = &bucket,
                                      .link_bucket = &links,
                                      .access_key = options->access_key,
                                      .secret_key = options->secret_key,
                                      .session_token = options->session_token,
                                      .spool_path = *options->spool ? options->spool : spool,
                                      .free_min_percent = STORAGE_FREE_MIN_PERCENT,
                                      .timeout_ms = options->timeout_ms < REQUEST_MS ? options->timeout_ms : REQUEST_MS,
                                      .transfer_ms = options->timeout_ms,
                                      .wall_ms = clock_wall_ms},
                   &location->storage, why);
}

int location_open(struct location *location, const struct location_setup *setup, struct buf *why)
{
    int err;

    location->disk = disk_create(setup->pool, setup->loop);
    if (!location->disk)
        return ERR_NO_MEMORY;
    err = is_s3(setup->options) ? open_s3(location, setup, why) : open_directory(location, setup, why);
    if (err)
        location_close(location);
    return err;
}

void location_close(struct location *location)
{
    location->disk = disk_destroy(location->disk);
    location->storage = storage_destroy(location->storage);
    location->web = web_destroy(location->web);
}
