#include "common/redis/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/redis/address.h"

static bool tls_is_number(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static SSL_CTX *tls_create_context(const char *ca_file, const char **why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    bool own = ca_file && *ca_file;

    *why = "out of memory";
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION))
        goto failed;
    *why =
        own ? "the certificate authorities file cannot be read" : "the system's certificate authorities cannot be read";
    if (!(own ? SSL_CTX_load_verify_locations(context, ca_file, NULL) : SSL_CTX_set_default_verify_paths(context)))
        goto failed;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF); /* Redis closes without a close_notify */
    return context;

failed:
    SSL_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

/* SNI is for host names only, not for IP addresses (RFC 6066, section 3). */
static bool tls_expect_host(SSL *ssl, const char *host)
{
    if (tls_is_number(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

SSL *tls_create(const struct redis_address *address, const char **why)
{
    SSL_CTX *context = tls_create_context(address->ca_file, why);
    SSL *ssl = NULL;

    if (context) {
        *why = "out of memory";
        ssl = SSL_new(context);
    }
    SSL_CTX_free(context); /* the SSL has its own reference */
    if (ssl && !tls_expect_host(ssl, address->host)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

bool tls_explain(const SSL *ssl, char *out, size_t size)
{
    long result = SSL_get_verify_result(ssl);
    unsigned long error = ERR_peek_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    if (result != X509_V_OK)
        snprintf(out, size, "certificate refused: %s", X509_verify_cert_error_string(result));
    else if (reason)
        snprintf(out, size, "TLS: %s", reason);
    return result != X509_V_OK;
}
