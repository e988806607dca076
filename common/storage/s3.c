#include "common/storage/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/storage/s3_call.h"
#include "common/storage/s3_operations.h"

/* -- links */

static bool is_plain_file_name(const char *name)
{
    size_t len = strlen(name);

    return len && len <= 128 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int s3_link(const struct storage *storage, const char *name, const char *file_name, int64_t wall_ms, int seconds,
                   struct buf *out)
{
    const struct s3 *s3 = container_of(storage, const struct s3, base);
    const struct sigv4_keys keys = s3_keys(s3);
    char disposition[192];
    const struct sigv4_field query = {"response-content-disposition", disposition};
    struct buf path;
    int err;

    if (file_name && !is_plain_file_name(file_name))
        return ERR_SYNTAX;
    (void)snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"", file_name ? file_name : "");
    buf_init(&path, S3_URL_MAX);
    s3_bucket_write_path(&path, &s3->link_bucket, name);
    s3_bucket_write_origin(out, &s3->link_bucket);
    sigv4_write_path(out, buf_text(&path));
    buf_add_char(out, '?');
    err = sigv4_presign(&keys,
                        &(struct sigv4_request){.method = "GET",
                                                .host = s3->link_bucket.host,
                                                .path = buf_text(&path),
                                                .query = &query,
                                                .query_count = file_name != NULL,
                                                .payload = SIGV4_UNSIGNED,
                                                .time_s = wall_ms / 1000},
                        seconds, out);
    buf_deinit(&path);
    return err;
}

/* -- the bucket */

static void s3_destroy(struct storage *storage)
{
    struct s3 *s3 = container_of(storage, struct s3, base);

    spool_dir_close(&storage->spool);
    explicit_bzero(s3->secret_key, sizeof(s3->secret_key));
    free(s3);
}

static const struct storage_ops s3_ops = {
    .destroy = s3_destroy,
    .put = s3_put,
    .get = s3_get,
    .get_next = s3_get_next,
    .link = s3_link,
    .remove = s3_remove,
    .sweep = s3_sweep,
};

static bool copy(char *out, size_t size, const char *text)
{
    return snprintf(out, size, "%s", text) < (int)size;
}

static int copy_setup(struct s3 *s3, const struct s3_setup *setup, struct buf *why)
{
    s3->web = setup->web;
    s3->timeout_ms = setup->timeout_ms;
    s3->transfer_ms = setup->transfer_ms;
    s3->wall_ms = setup->wall_ms;
    s3->bucket = *setup->bucket;
    s3->link_bucket = setup->link_bucket ? *setup->link_bucket : *setup->bucket;
    if (copy(s3->access_key, sizeof(s3->access_key), setup->access_key) &&
        copy(s3->secret_key, sizeof(s3->secret_key), setup->secret_key) &&
        copy(s3->session_token, sizeof(s3->session_token), setup->session_token))
        return 0;
    buf_add_text(why, "a key is too long");
    return ERR_TOO_LONG;
}

int s3_open(const struct s3_setup *setup, struct storage **out, struct buf *why)
{
    struct s3 *s3 = calloc(1, sizeof(*s3));
    int err;

    if (!s3)
        return ERR_NO_MEMORY;
    s3->base = (struct storage){.ops = &s3_ops, .disk = setup->disk, .spool = {.fd = -1}};
    err = copy_setup(s3, setup, why);
    if (!err)
        err = spool_dir_open(&s3->base.spool, setup->spool_path, setup->free_min_percent, why);
    if (err) {
        s3_destroy(&s3->base);
        return err;
    }
    (void)snprintf(s3->base.identity, sizeof(s3->base.identity), "s3 %s %s/%s", s3->bucket.host, s3->bucket.bucket,
                   s3->bucket.prefix);
    *out = &s3->base;
    return 0;
}
