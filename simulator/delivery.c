#include "simulator/delivery.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/http/server.h"
#include "simulator/stored.h"

enum { FLUSH_LOOK_US = 1000, FLUSH_LOOKS_MAX = 10000, PACKED_MAX = 512 * 1024 * 1024 };

struct sim_delivery {
    struct http_exchange *exchange; /* NULL if the response is complete or the client has disconnected */
    struct event *flush;            /* polls whether the bytes before a cut have been sent */
    sim_gone_fn *on_gone;
    void *arg;
    int64_t cut_at_byte, chunk, sent;
    int looks;
    bool rst, gzip, is_cut, is_released;
};

static void destroy(struct sim_delivery *delivery)
{
    event_free(delivery->flush);
    free(delivery);
}

/* Called when the exchange ends: complete, cut or disconnected. */
static void leave_exchange(struct sim_delivery *delivery)
{
    delivery->exchange = NULL;
    event_del(delivery->flush);
    if (delivery->is_released)
        destroy(delivery);
}

static void on_closed(void *arg)
{
    struct sim_delivery *delivery = arg;
    bool tell = !delivery->is_released && !delivery->is_cut;
    sim_gone_fn *on_gone = delivery->on_gone;
    void *gone_arg = delivery->arg;

    leave_exchange(delivery);
    if (tell)
        on_gone(gone_arg);
}

static void look_again(struct sim_delivery *delivery)
{
    struct timeval soon = {.tv_usec = FLUSH_LOOK_US};

    evtimer_add(delivery->flush, &soon);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct sim_delivery *delivery = arg;

    (void)fd;
    (void)what;
    if (http_exchange_unsent(delivery->exchange) && ++delivery->looks < FLUSH_LOOKS_MAX) {
        look_again(delivery);
        return;
    }
    http_abort(delivery->exchange, delivery->rst ? HTTP_ABORT_RST : HTTP_ABORT_FIN);
    leave_exchange(delivery);
}

struct sim_delivery *sim_delivery_create(struct loop *loop, struct http_exchange *exchange,
                                         const struct sim_behaviour *behaviour, sim_gone_fn *on_gone, void *arg)
{
    struct sim_delivery *delivery = calloc(1, sizeof(*delivery));

    if (!delivery)
        return NULL;
    *delivery = (struct sim_delivery){.exchange = exchange,
                                      .on_gone = on_gone,
                                      .arg = arg,
                                      .cut_at_byte = behaviour->cut_at_byte,
                                      .chunk = behaviour->chunk,
                                      .rst = behaviour->rst,
                                      .gzip = behaviour->gzip};
    delivery->flush = evtimer_new(loop_base(loop), on_flush, delivery);
    if (!delivery->flush) {
        free(delivery);
        return NULL;
    }
    http_exchange_on_closed(exchange, on_closed, delivery);
    return delivery;
}

/* If the exchange still exists, a cut is pending or the server is about to close; leave_exchange then frees the delivery. */
void sim_delivery_release(struct sim_delivery *delivery)
{
    delivery->is_released = true;
    if (!delivery->exchange)
        destroy(delivery);
}

bool sim_delivery_is_open(const struct sim_delivery *delivery)
{
    return delivery->exchange && !delivery->is_cut;
}

bool sim_delivery_was_cut(const struct sim_delivery *delivery)
{
    return delivery->is_cut;
}

void sim_delivery_add_header(struct sim_delivery *delivery, const char *name, const char *value)
{
    if (sim_delivery_is_open(delivery))
        http_add_header(delivery->exchange, name, value);
}

static void respond_as_it_is(struct sim_delivery *delivery, int status, const char *type, const char *body, size_t len)
{
    if (delivery->chunk == SIM_UNSET && delivery->cut_at_byte == SIM_UNSET) {
        http_respond(delivery->exchange, status, type, body, len);
        leave_exchange(delivery);
        return;
    }
    sim_delivery_begin(delivery, status, type);
    sim_delivery_write(delivery, body, len);
    sim_delivery_end(delivery);
}

void sim_delivery_respond(struct sim_delivery *delivery, int status, const char *type, const char *body, size_t len)
{
    struct buf packed;

    if (!sim_delivery_is_open(delivery))
        return;
    if (!delivery->gzip) {
        respond_as_it_is(delivery, status, type, body, len);
        return;
    }
    buf_init(&packed, PACKED_MAX);
    sim_gzip_stored(&packed, body, len);
    http_add_header(delivery->exchange, "content-encoding", "gzip");
    http_add_header(delivery->exchange, "vary", "Accept-Encoding");
    respond_as_it_is(delivery, status, type, buf_text(&packed), packed.len);
    buf_deinit(&packed);
}

void sim_delivery_begin(struct sim_delivery *delivery, int status, const char *type)
{
    if (!sim_delivery_is_open(delivery))
        return;
    http_stream_begin(delivery->exchange, status, type);
    if (delivery->cut_at_byte == 0)
        sim_delivery_cut(delivery);
}

static void write_pieces(struct sim_delivery *delivery, const char *bytes, size_t len)
{
    size_t piece = delivery->chunk == SIM_UNSET ? len : (size_t)delivery->chunk;

    for (size_t at = 0; at < len; at += piece)
        http_stream_write(delivery->exchange, bytes + at, piece < len - at ? piece : len - at);
    delivery->sent += (int64_t)len;
}

void sim_delivery_write(struct sim_delivery *delivery, const char *bytes, size_t len)
{
    int64_t room = delivery->cut_at_byte == SIM_UNSET ? INT64_MAX : delivery->cut_at_byte - delivery->sent;

    if (!sim_delivery_is_open(delivery))
        return;
    write_pieces(delivery, bytes, (int64_t)len < room ? len : (size_t)room);
    if ((int64_t)len >= room)
        sim_delivery_cut(delivery);
}

void sim_delivery_end(struct sim_delivery *delivery)
{
    if (!sim_delivery_is_open(delivery))
        return;
    http_stream_end(delivery->exchange);
    leave_exchange(delivery);
}

void sim_delivery_cut(struct sim_delivery *delivery)
{
    if (!sim_delivery_is_open(delivery))
        return;
    delivery->is_cut = true;
    look_again(delivery);
}
