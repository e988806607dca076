#include "common/http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROTOCOLS "\x08http/1.1"
#define CIPHERS   "ECDHE+AESGCM:ECDHE+CHACHA20" /* for TLS 1.2; all ciphers of TLS 1.3 are of this kind */

struct http_tls {
    char *cert_file, *key_file;
    pthread_mutex_t lock; /* protects `context` */
    SSL_CTX *context;
};

/* Called only if the client sends ALPN; without it the protocol is HTTP/1.1. */
static int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                       unsigned offered_len, void *unused)
{
    static const unsigned char ours[] = PROTOCOLS;
    unsigned char *chosen;

    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Without this OpenSSL would ask on the terminal. NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type */
static int tls_on_passphrase(char *out, int size, int writing, void *unused)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

static bool configure_context(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    /* A write is retried with the same bytes, but the output buffer may have moved in memory because it grew. */
    SSL_CTX_set_mode(context,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, tls_on_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(context, tls_on_passphrase);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) && SSL_CTX_set_cipher_list(context, CIPHERS) &&
           SSL_CTX_set_num_tickets(context, 1);
}

/* NULL if the file is readable. */
static const char *why_no_access(const char *file)
{
    return access(file, R_OK) ? strerror(errno) : NULL;
}

static const char *load_pair(SSL_CTX *context, const char *cert_file, const char *key_file)
{
    if (why_no_access(cert_file))
        return why_no_access(cert_file);
    if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
        return "the certificate file holds no certificate in PEM that can be used";
    if (why_no_access(key_file))
        return why_no_access(key_file);
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1)
        return NULL;
    if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH ||
        ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_TYPE_MISMATCH)
        return "the key does not belong to the certificate";
    return "the key file holds no private key in PEM without a passphrase";
}

static SSL_CTX *create_context(const char *cert_file, const char *key_file, const char **why)
{
    SSL_CTX *context;

    ERR_clear_error();
    context = SSL_CTX_new(TLS_server_method());
    *why = context && configure_context(context) ? load_pair(context, cert_file, key_file) : "out of memory";
    ERR_clear_error();
    if (!*why)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

struct http_tls *http_tls_create(const char *cert_file, const char *key_file, const char **why)
{
    struct http_tls *tls = calloc(1, sizeof(*tls));

    *why = "out of memory";
    if (!tls)
        return NULL;
    (void)pthread_mutex_init(&tls->lock, NULL);
    tls->cert_file = strdup(cert_file);
    tls->key_file = strdup(key_file);
    if (tls->cert_file && tls->key_file)
        tls->context = create_context(cert_file, key_file, why);
    return tls->context ? tls : http_tls_destroy(tls);
}

struct http_tls *http_tls_destroy(struct http_tls *tls)
{
    if (!tls)
        return NULL;
    SSL_CTX_free(tls->context);
    (void)pthread_mutex_destroy(&tls->lock);
    free(tls->cert_file);
    free(tls->key_file);
    free(tls);
    return NULL;
}

static SSL_CTX *swap_context(struct http_tls *tls, SSL_CTX *context)
{
    SSL_CTX *old;

    (void)pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = context;
    (void)pthread_mutex_unlock(&tls->lock);
    return old;
}

int http_tls_reload(struct http_tls *tls, const char **why)
{
    SSL_CTX *context = create_context(tls->cert_file, tls->key_file, why);

    if (!context)
        return ERR_SYSTEM;
    SSL_CTX_free(swap_context(tls, context)); /* open sessions have their own reference */
    return 0;
}

struct ssl_st *http_tls_session(struct http_tls *tls, int fd)
{
    SSL *ssl;

    (void)pthread_mutex_lock(&tls->lock);
    ssl = SSL_new(tls->context);
    (void)pthread_mutex_unlock(&tls->lock);
    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}
