/* openai/order_state - an order from the inside, for the files that it is made of
 *
 *     order.c          its states: opening, HELD, OPEN, and every way in which it ends
 *     order_submit.c   ASKING: submits the tasks, or those of the order that the request repeats
 *     order_part.c     one task of the order: what its log and its events say
 *     order_json.c     the answer as one JSON object
 *     order_stream.c   the answer as events
 *     orders.c         all orders of a loop; orders_config.h
 *
 * Functions that may close the order say so. Afterwards only its state may be read, until the end of the turn.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ORDER_STATE_H
#define ARKRELAY_GATEWAY_API_OPENAI_ORDER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/loop.h"
#include "common/base/problem.h"
#include "common/base/timeouts.h"
#include "gateway/api/openai/error.h"
#include "gateway/api/openai/fields.h"
#include "gateway/api/openai/orders_config.h"
#include "gateway/api/openai/repeats.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/streams/watch.h"
#include "gateway/tasks/submit.h"

struct buf;
struct client;
struct encoding;
struct encodings;
struct event_log;
struct http_exchange;
struct json_t;
struct openai_answer;

enum { ORDER_ANSWER_MAX = 256 * 1024 * 1024 }; /* bytes; images may be in it */

enum order_state { ORDER_ASKING, ORDER_HELD, ORDER_OPEN, ORDER_CLOSED };

/* One task of the order. */
struct part {
    struct viewer viewer;
    struct order *order;
    struct submission *submission;
    bool ended, has_image;
    unsigned sent;         /* bits of the images that the stream has */
    struct json_t *done;   /* of its done event, see task_end.h */
    struct json_t *failed; /* of its error event */
};

struct order {
    TAILQ_ENTRY(order) link; /* in orders->all */
    struct orders *orders;
    struct client *client;
    struct http_exchange *exchange; /* NULL once it is answered or closed */
    struct timeout timer;           /* ASKING: answers; HELD: opens; OPEN: heartbeats */
    enum order_state state;
    enum openai_format format;
    bool stream, transparent, png, http_1_0;
    enum openai_endpoint endpoint;
    struct order_identity identity;
    struct submit_call *submitting; /* ASKING: SUBMIT_ORDER has not answered */
    bool has_tasks;                 /* they exist, or may exist, and what becomes of the answer is not yet reported */
    int64_t created_ms;             /* of the first task */
    struct encoding *encoding;      /* NULL unless the format is b64_json */
    bool is_encoded;                /* the encoding has the whole answer */
    struct loop_deferred deferred;
    size_t count;
    struct part parts[];
};

TAILQ_HEAD(all_orders, order);

struct orders {
    struct loop *loop;
    struct orders_config config;
    struct timeouts *answers, *holds, *heartbeats;
    struct encodings *encodings; /* NULL without a storage */
    struct repeats repeats;
    struct all_orders all;
    bool draining;
};

/* -- order.c */

void order_close(struct order *order,
                 enum openai_outcome outcome); /* the exchange was answered, or its client is gone */
void order_refuse(struct order *order, enum problem problem, int64_t wait_ms); /* answers, and closes the order */
void order_cut(struct order *order); /* ends the connection so that no client takes it for the end; closes the order */

bool order_opens_early(const struct order *order);              /* at the first image */
bool order_on_image(struct order *order);                       /* a task has an image; true: it is to be shown now */
void order_begin_answer(struct order *order);                   /* sends the head */
bool order_write(struct order *order, const struct buf *bytes); /* false: the order is closed */
void order_end_answer(struct order *order, enum openai_outcome outcome); /* the last byte of a body; closes the order */
void order_report_answered(struct order *order);                         /* in front of any other answer to it */

/* Around the base64 of a picture; takes the content of both texts. False: the order is closed. */
bool order_encode(struct order *order, struct buf *before, const struct json_t *image, struct buf *after);

bool order_has_ended(const struct order *order);              /* all its tasks have */
enum openai_outcome order_outcome(const struct order *order); /* of one whose tasks have ended */
void order_check_ended(struct order *order);                  /* answers if all tasks have ended; may close the order */

void order_on_answer_timeout(struct timeout *timer, void *unused);
void order_on_hold_timeout(struct timeout *timer, void *unused);
void order_on_heartbeat(struct timeout *timer, void *unused);

/* -- order_submit.c */

void order_submit(struct order *order); /* subscribes to the tasks, and submits them; may close the order */

/* -- order_part.c */

void part_init(struct part *part, struct order *order, struct submission *submission); /* takes the submission over */
void part_deinit(struct part *part);
void part_take_log(struct part *part, const struct event_log *log); /* the log so far, of an order in ASKING */
void part_leave(struct part *part);                                 /* no further event comes */
struct openai_failure part_failure(const struct part *part);        /* why it has no images */

/* -- order_json.c; closes the order, unless pictures must be read for it */

void order_json_finish(struct order *order, const struct openai_answer *answer);

/* -- order_stream.c, of an order in OPEN */

void order_stream_images(struct part *part, const struct json_t *images); /* those not sent yet; may close the order */
void order_stream_event(struct part *part, const struct json_t *data);    /* `data` of an event with one; likewise */
void order_stream_finish(struct order *order);                            /* closes the order */
void order_stream_fail(struct order *order, const struct openai_failure *failure); /* closes the order */

#endif
