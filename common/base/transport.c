#include "common/base/transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_MAX = 16 * 1024 };

/* Translates the result of a failed SSL call into errno and a return value like those of recv(2) and send(2). */
static ssize_t tls_failure(SSL *ssl, int answer)
{
    int system = errno, error = SSL_get_error(ssl, answer);
    bool is_plain =
        ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;

    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (error == SSL_ERROR_SYSCALL && system && system != EAGAIN)
        errno = system;
    else
        errno = is_plain ? EPROTOTYPE : EPROTO;
    return -1;
}

/* The error queue is cleared before each call: SSL_get_error would report an error that an earlier call on this thread left. */
static ssize_t recv_tls(SSL *ssl, void *out, size_t size)
{
    size_t got = 0;
    int answer;

    ERR_clear_error();
    answer = SSL_read_ex(ssl, out, size, &got);
    return answer > 0 ? (ssize_t)got : tls_failure(ssl, answer);
}

static ssize_t send_tls(SSL *ssl, const void *bytes, size_t len)
{
    size_t sent = 0;
    ssize_t failed;
    int answer;

    ERR_clear_error();
    answer = SSL_write_ex(ssl, bytes, len < RECORD_MAX ? len : RECORD_MAX, &sent);
    if (answer > 0)
        return (ssize_t)sent;
    failed = tls_failure(ssl, answer);
    if (!failed)
        errno = EPIPE;
    return -1;
}

ssize_t transport_peek(struct ssl_st *ssl)
{
    size_t got = 0;
    char byte;
    int answer;

    ERR_clear_error();
    answer = SSL_peek_ex(ssl, &byte, 1, &got);
    return answer > 0 ? (ssize_t)got : tls_failure(ssl, answer);
}

ssize_t transport_recv(int fd, struct ssl_st *ssl, void *out, size_t size)
{
    return ssl ? recv_tls(ssl, out, size) : TEMP_FAILURE_RETRY(recv(fd, out, size, 0));
}

ssize_t transport_send(int fd, struct ssl_st *ssl, const void *bytes, size_t len)
{
    return ssl ? send_tls(ssl, bytes, len) : TEMP_FAILURE_RETRY(send(fd, bytes, len, MSG_NOSIGNAL));
}

/* One call of SSL_shutdown does not wait for the peer's close_notify. During the handshake, or after a failure, it sends nothing. */
bool transport_close_notify(struct ssl_st *ssl)
{
    int answer;
    bool again;

    ERR_clear_error();
    answer = SSL_shutdown(ssl);
    again = answer < 0 && SSL_get_error(ssl, answer) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return !again;
}
