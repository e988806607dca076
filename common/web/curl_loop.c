#include "common/web/curl_loop.h"
#include "common/base/timeval.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/base/loop.h"

struct curl_loop {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    curl_loop_done_fn *on_done;
    void *arg;
};

/* on_done may remove the handle, which frees the message: read it first. */
static void collect(struct curl_loop *curl)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(curl->multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE)
            curl->on_done(easy, code, curl->arg);
    }
}

static void curl_loop_on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct curl_loop *curl = arg;
    int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    (void)curl_multi_socket_action(curl->multi, fd, mask, &running);
    collect(curl);
}

static void curl_loop_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct curl_loop *curl = arg;
    int running;

    (void)fd;
    (void)what;
    (void)curl_multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(curl);
}

/* libcurl calls this from inside its own functions, so a timeout of 0 runs from the loop, in the same turn. */
static int curl_loop_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct curl_loop *curl = arg;
    struct timeval tv = timeval_of_ms(timeout_ms);

    (void)multi;
    if (timeout_ms > 0)
        (void)evtimer_add(curl->timer, &tv);
    else if (timeout_ms == 0)
        event_active(curl->timer, EV_TIMEOUT, 0);
    else
        (void)evtimer_del(curl->timer);
    return 0;
}

/* libcurl calls this before it closes a socket, so an event never outlives its file descriptor. When out of memory for an event, the
 * transfer ends by its timeout. */
static int curl_loop_set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct curl_loop *curl = arg;
    struct event *event = socket_arg;
    short mask = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

    (void)easy;
    if (event)
        event_free(event);
    event = what == CURL_POLL_REMOVE ? NULL : event_new(curl->base, fd, mask, curl_loop_on_socket, curl);
    (void)curl_multi_assign(curl->multi, fd, event);
    if (event)
        (void)event_add(event, NULL);
    return 0;
}

struct curl_loop *curl_loop_create(struct loop *loop, curl_loop_done_fn *on_done, void *arg)
{
    struct curl_loop *curl = calloc(1, sizeof(*curl));

    if (!curl)
        return NULL;
    curl->base = loop_base(loop);
    curl->on_done = on_done;
    curl->arg = arg;
    curl->timer = evtimer_new(curl->base, curl_loop_on_timer, curl);
    curl->multi = curl_multi_init();
    if (!curl->timer || !curl->multi)
        return curl_loop_destroy(curl);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, curl_loop_set_socket);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, curl_loop_set_timer);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, 1L); /* idle connections; these transfers leave none */
    return curl;
}

/* Free the timer last: curl_multi_cleanup may still set it. */
struct curl_loop *curl_loop_destroy(struct curl_loop *curl)
{
    if (!curl)
        return NULL;
    if (curl->multi)
        (void)curl_multi_cleanup(curl->multi);
    if (curl->timer)
        event_free(curl->timer);
    free(curl);
    return NULL;
}

int curl_loop_add(struct curl_loop *curl, CURL *easy)
{
    return curl_multi_add_handle(curl->multi, easy) == CURLM_OK ? 0 : ERR_NO_MEMORY;
}

void curl_loop_remove(struct curl_loop *curl, CURL *easy)
{
    (void)curl_multi_remove_handle(curl->multi, easy);
}
