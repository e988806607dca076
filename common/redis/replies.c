#include "common/redis/replies.h"

#include <stdlib.h>

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

struct replies {
    redisReader *reader;
    redisReplyObjectFunctions limited;                           /* hiredis's functions, with our createArray */
    void *(*create_array)(const redisReadTask *, element_count); /* that of hiredis */
    size_t bytes_max;
    size_t bytes, elements; /* of the current reply */
    const char *limit;      /* the exceeded limit, in words; NULL: none */
};

static int replies_depth(const redisReadTask *task)
{
    int levels = 1;

    while ((task = task->parent))
        levels++;
    return levels;
}

/* On NULL the reader stops and reports "out of memory"; `limit` distinguishes the two. */
static void *replies_create_array(const redisReadTask *task, element_count count)
{
    struct replies *replies = task->privdata;

    if (!task->parent)
        replies->elements = 0;
    if (replies_depth(task) > REPLY_DEPTH_MAX)
        replies->limit = "reply is nested too deeply";
    else if ((size_t)count > REPLY_ELEMENTS_MAX - replies->elements)
        replies->limit = "reply has too many elements";
    if (replies->limit)
        return NULL;
    replies->elements += (size_t)count;
    return replies->create_array(task, count);
}

struct replies *replies_create(size_t bytes_max)
{
    struct replies *replies = calloc(1, sizeof(*replies));

    if (!replies)
        return NULL;
    replies->bytes_max = bytes_max;
    replies->reader = redisReaderCreate();
    if (!replies->reader)
        return replies_destroy(replies);
    replies->limited = *replies->reader->fn;
    replies->create_array = replies->limited.createArray;
    replies->limited.createArray = replies_create_array;
    replies->reader->fn = &replies->limited;
    replies->reader->privdata = replies;
    return replies;
}

struct replies *replies_destroy(struct replies *replies)
{
    if (!replies)
        return NULL;
    if (replies->reader)
        redisReaderFree(replies->reader);
    free(replies);
    return NULL;
}

static int replies_error(const struct replies *replies)
{
    if (replies->limit)
        return ERR_TOO_LONG;
    return replies->reader->err == REDIS_ERR_OOM ? ERR_NO_MEMORY : ERR_SYNTAX;
}

int replies_feed(struct replies *replies, const void *data, size_t len)
{
    if (len > replies->bytes_max - replies->bytes) {
        replies->limit = "reply is too long";
        return ERR_TOO_LONG;
    }
    replies->bytes += len;
    return redisReaderFeed(replies->reader, data, len) == REDIS_OK ? 0 : replies_error(replies);
}

int replies_next(struct replies *replies, redisReply **out)
{
    void *reply = NULL;

    if (redisReaderGetReply(replies->reader, &reply) != REDIS_OK)
        return replies_error(replies);
    if (reply)
        replies->bytes = replies->reader->len - replies->reader->pos;
    *out = reply;
    return 0;
}

const char *replies_why(const struct replies *replies)
{
    return replies->limit ? replies->limit : replies->reader->errstr;
}
