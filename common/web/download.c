#include "common/web/download.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/web/web.h"

enum { BUFFER = 32 << 10 };

struct download {
    struct web_call *call;
    struct download_events events;
    int64_t size_max;
    int status;
};

static void download_conclude(struct download *download, enum download_end end, const char *words)
{
    const struct download_outcome outcome = {.end = end, .status = download->status, .words = words};

    download->events.on_done(&outcome, download->events.arg);
    free(download);
}

/* The rest of the answer is of no interest. */
static void hang_up(struct download *download, enum download_end end, const char *words)
{
    web_cancel(download->call);
    download_conclude(download, end, words);
}

static enum download_end download_end_of_status(int status)
{
    bool is_passing = status == 408 || status == 425 || status == 429;

    return status >= 400 && status < 500 && !is_passing ? DOWNLOAD_GONE : DOWNLOAD_FAILED;
}

static void download_on_head(const struct web_head *head, void *arg)
{
    struct download *download = arg;
    char words[64];

    download->status = head->status;
    (void)snprintf(words, sizeof(words), "the server answered with status %d", head->status);
    if (head->status != 200)
        hang_up(download, download_end_of_status(head->status), words);
    else if (head->length < 0 && !head->is_chunked)
        hang_up(download, DOWNLOAD_FAILED, "the answer does not say how long it is");
    else if (head->length > download->size_max)
        hang_up(download, DOWNLOAD_TOO_LARGE, "the file is too large");
    else
        download->events.on_size(head->is_chunked ? -1 : head->length, download->events.arg);
}

static void download_on_data(const char *bytes, size_t len, void *arg)
{
    struct download *download = arg;

    if ((int64_t)len > download->size_max) {
        hang_up(download, DOWNLOAD_TOO_LARGE, "the file is too large");
        return;
    }
    download->size_max -= (int64_t)len;
    download->events.on_bytes(bytes, len, download->events.arg);
}

static void download_on_done(const struct web_outcome *outcome, void *arg)
{
    struct download *download = arg;

    if (outcome->end == WEB_ANSWERED)
        download_conclude(download, DOWNLOAD_DONE, "");
    else
        download_conclude(download, outcome->not_public ? DOWNLOAD_FORBIDDEN : DOWNLOAD_FAILED, outcome->words);
}

int download_start(struct web *web, const struct download_setup *setup, struct download **out)
{
    static const char *const headers[] = {"Accept: image/*", NULL};
    struct download *download = calloc(1, sizeof(*download));
    int err;

    if (!download)
        return ERR_NO_MEMORY;
    download->events = setup->events;
    download->size_max = setup->size_max;
    err = web_start(web,
                    &(struct web_request){
                        .url = setup->url,
                        .method = "GET",
                        .headers = headers,
                        .public_only = !setup->may_be_private,
                        .is_raw = true,
                        .buffer = BUFFER,
                        .first_byte_ms = setup->first_byte_ms,
                        .total_ms = setup->total_ms,
                        .answer_max = SIZE_MAX, /* size_max is checked here */
                        .events = {.on_head = download_on_head,
                                   .on_data = download_on_data,
                                   .on_done = download_on_done,
                                   .arg = download},
    },
                    &download->call);
    if (err)
        free(download);
    else
        *out = download;
    return err;
}

void download_cancel(struct download *download)
{
    web_cancel(download->call);
    free(download);
}

void download_pause(struct download *download)
{
    web_pause(download->call);
}

void download_resume(struct download *download)
{
    web_resume(download->call);
}
