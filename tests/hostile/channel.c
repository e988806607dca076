#include "tests/hostile/channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

bool channel_open(struct channel *channel, int fd, enum channel_kind kind, SSL_CTX *tls)
{
    *channel = (struct channel){.fd = fd, .broken = kind == CHANNEL_BROKEN};
    if (kind == CHANNEL_PLAIN)
        return true;
    channel->tls = SSL_new(tls);
    if (!channel->tls || !SSL_set_fd(channel->tls, fd))
        return false;
    SSL_set_connect_state(channel->tls);
    SSL_set_mode(channel->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return true;
}

static ssize_t result(const struct channel *channel, int done)
{
    int why;

    if (done > 0)
        return done;
    why = SSL_get_error(channel->tls, done);
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL || !errno)
        errno = EPROTO;
    ERR_clear_error();
    return -1;
}

static bool is_plain(const struct channel *channel)
{
    return !channel->tls || (channel->broken && SSL_is_init_finished(channel->tls));
}

ssize_t channel_receive(struct channel *channel, void *bytes, size_t size)
{
    if (is_plain(channel))
        return recv(channel->fd, bytes, size, 0);
    errno = 0;
    return result(channel, SSL_read(channel->tls, bytes, (int)size));
}

ssize_t channel_send(struct channel *channel, const void *bytes, size_t len)
{
    if (is_plain(channel))
        return send(channel->fd, bytes, len, MSG_NOSIGNAL);
    errno = 0;
    return result(channel, SSL_write(channel->tls, bytes, (int)len));
}

void channel_finish(struct channel *channel)
{
    if (!is_plain(channel) && SSL_is_init_finished(channel->tls))
        (void)SSL_shutdown(channel->tls);
    ERR_clear_error();
    (void)shutdown(channel->fd, SHUT_WR);
}

void channel_close(struct channel *channel, bool by_reset)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    SSL_free(channel->tls);
    if (channel->fd >= 0 && by_reset)
        (void)setsockopt(channel->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (channel->fd >= 0)
        (void)close(channel->fd);
    *channel = (struct channel){.fd = -1};
}
