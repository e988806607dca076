/* Handshakes, certificates, renegotiation and resumption. The other test_http_*.c run most of their tests over TLS too, in their last
 * group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/macros.h"
#include "common/base/transport.h"
#include "common/http/address_limit.h"
#include "common/http/tls.h"
#include "tests/support/certificates.h"
#include "tests/support/http_fixture.h"

#define H1 "\x08http/1.1"
#define H2 "\x02h2"

enum { DEADLINE_MS = 5000, PATH_SIZE = 96, BIG = 200 * 1000 };

/* -- certificates for one test */

struct folder {
    char path[32], pair[PATH_SIZE], other[PATH_SIZE], authority_file[PATH_SIZE];
    struct authority *authority;
};

static void folder_init(struct folder *folder)
{
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/arkrelay-tls-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->pair, PATH_SIZE, "%s/pair.pem", folder->path);
    (void)snprintf(folder->other, PATH_SIZE, "%s/other.pem", folder->path);
    (void)snprintf(folder->authority_file, PATH_SIZE, "%s/authority.pem", folder->path);
    folder->authority = authority_create("an authority", folder->authority_file);
}

static void folder_deinit(struct folder *folder)
{
    authority_destroy(folder->authority);
    (void)unlink(folder->pair);
    (void)unlink(folder->other);
    (void)unlink(folder->authority_file);
    assert_int_equal(rmdir(folder->path), 0);
}

/* -- handshakes */

struct tls_options {
    int version; /* 0: any */
    const char *protocols, *host;
    bool trusts; /* accepts the fixture's authority */
};

/* The OpenSSL reason code of the failure; 0 on success. */
static int shake_hands(struct http_fixture *fixture, struct http_client *client)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    int answer, reason;

    ERR_clear_error();
    while ((answer = SSL_do_handshake(client->ssl)) != 1 && SSL_get_error(client->ssl, answer) == SSL_ERROR_WANT_READ) {
        http_fixture_turn(fixture, 1);
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
    reason = answer == 1
                 ? 0
                 : ERR_GET_REASON(ERR_peek_error()); /* read it now: the server clears the error queue in its turn */
    http_fixture_turn(fixture, 2);
    return reason;
}

static void dial_as(struct http_fixture *fixture, struct http_client *client, const struct tls_options *options)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    http_client_dial_unseen(fixture, client);
    SSL_free(client->ssl);
    SSL_CTX_set_security_level(context, 0);
    if (options->trusts)
        assert_int_equal(SSL_CTX_load_verify_locations(context, http_fixture_authority(), NULL), 1);
    SSL_CTX_set_verify(context, options->host ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    client->ssl = SSL_new(context);
    SSL_CTX_free(context);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    SSL_set_connect_state(client->ssl);
    if (options->version)
        assert_int_equal(SSL_set_min_proto_version(client->ssl, options->version) &
                             SSL_set_max_proto_version(client->ssl, options->version),
                         1);
    if (options->host)
        assert_int_equal(SSL_set1_host(client->ssl, options->host), 1);
    if (options->protocols)
        assert_int_equal(SSL_set_alpn_protos(client->ssl, (const unsigned char *)options->protocols,
                                             (unsigned)strlen(options->protocols)),
                         0);
}

static void test_handshakes(void **state)
{
    static const struct {
        const char *name;
        struct tls_options options;
        int reason; /* 0: success */
        const char *protocol;
    } cases[] = {
        {"TLS 1.3, a client that verifies",           {TLS1_3_VERSION, NULL, "localhost", true}, 0,                                         ""        },
        {"TLS 1.2, a client that verifies",           {TLS1_2_VERSION, NULL, "localhost", true}, 0,                                         ""        },
        {"TLS 1.1",                                   {TLS1_1_VERSION, NULL, NULL, false},       SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,        ""        },
        {"TLS 1.0",                                   {TLS1_VERSION, NULL, NULL, false},         SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,        ""        },
        {"HTTP/1.1 by ALPN",                          {0, H1, NULL, false},                      0,                                         "http/1.1"},
        {"HTTP/2 or HTTP/1.1 by ALPN",                {0, H2 H1, NULL, false},                   0,                                         "http/1.1"},
        {"HTTP/2 alone by ALPN",                      {0, H2, NULL, false},                      SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, ""        },
        {"HTTP/2 alone by ALPN, TLS 1.2",
         {TLS1_2_VERSION, H2, NULL, false},
         SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,                                                                                         ""        },
        {"a client that expects another name",        {0, NULL, "example.com", true},            SSL_R_CERTIFICATE_VERIFY_FAILED,           ""        },
        {"a client that does not know the authority",
         {0, NULL, "localhost", false},
         SSL_R_CERTIFICATE_VERIFY_FAILED,                                                                                                   ""        },
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const unsigned char *protocol = NULL;
        unsigned len = 0;
        struct http_client client;

        print_message("  %s\n", cases[i].name);
        dial_as(&fixture, &client, &cases[i].options);
        assert_int_equal(shake_hands(&fixture, &client), cases[i].reason);
        SSL_get0_alpn_selected(client.ssl, &protocol, &len);
        assert_int_equal(len, strlen(cases[i].protocol));
        assert_memory_equal(protocol ? (const char *)protocol : "", cases[i].protocol, len);
        if (!cases[i].reason) {
            http_client_send(&client, GET("/"));
            http_client_expect(&client, "hello");
        }
        http_client_close(&client);
    }
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_a_client_that_verifies_refuses_an_expired_certificate(void **state)
{
    const struct tls_options options = {0, NULL, "localhost", false};
    struct http_fixture fixture;
    struct http_client client;
    struct folder folder;
    const char *why;

    (void)state;
    folder_init(&folder);
    authority_sign(folder.authority, "DNS:localhost", -60, folder.pair);
    http_fixture_init(&fixture);
    http_tls_destroy(fixture.tls);
    fixture.config.tls = fixture.tls = http_tls_create(folder.pair, folder.pair, &why);
    assert_non_null(fixture.tls);
    http_fixture_start(&fixture);
    dial_as(&fixture, &client, &options);
    assert_int_equal(SSL_CTX_load_verify_locations(SSL_get_SSL_CTX(client.ssl), folder.authority_file, NULL), 1);
    assert_int_equal(shake_hands(&fixture, &client), SSL_R_CERTIFICATE_VERIFY_FAILED);
    assert_int_equal(SSL_get_verify_result(client.ssl), X509_V_ERR_CERT_HAS_EXPIRED);
    http_fixture_finish(&fixture, &client);
    folder_deinit(&folder);
}

/* -- clients that do not speak TLS */

static void dial_plain(struct http_fixture *fixture, struct http_client *client)
{
    http_client_dial_unseen(fixture, client);
    SSL_free(client->ssl);
    client->ssl = NULL;
    http_fixture_turn(fixture, 2);
}

static void test_plain_http_gets_a_400_that_explains_it(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    dial_plain(&fixture, &client);
    http_client_send(&client, GET("/"));
    http_client_expect_status(&client, "400 Bad Request");
    http_client_expect(&client, "Connection: close\r\n");
    http_client_expect(&client, "speaks HTTPS");
    http_client_expect(&client, "}");
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

static void test_a_stalled_handshake_is_cut_at_the_deadline_of_the_head(void **state)
{
    static const char *const sent[] = {"", "\x16\x03\x01\x02\x00\x01"};
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = 50;
    http_fixture_start(&fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(sent); i++) {
        struct http_client client;
        int64_t began_ms = clock_monotonic_ms();

        dial_plain(&fixture, &client);
        http_client_send_bytes(&client, sent[i], i ? 6 : 0);
        http_client_expect_end(&client);
        assert_true(clock_monotonic_ms() - began_ms >= 50);
        http_client_close(&client);
    }
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_a_connection_above_a_limit_is_closed_without_a_handshake(void **state)
{
    struct http_fixture fixture;
    struct http_client first, second;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.address_limit = http_address_limit_create(100, 1);
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &first);
    dial_plain(&fixture, &second);
    http_client_expect_end(&second);
    http_client_close(&second);
    http_client_send(&first, GET("/"));
    http_client_expect(&first, "hello");
    http_client_close(&first);
    http_client_dial(&fixture, &second);
    http_client_send(&second, GET("/"));
    http_client_expect(&second, "hello");
    http_client_close(&second);
    http_fixture_end(&fixture);
    http_address_limit_destroy(fixture.config.address_limit);
}

/* -- records cut anywhere */

/* Sends what the client's session has written, `step` bytes at a time, with a turn of the server after each. */
static void forward_to_server(struct http_fixture *fixture, BIO *from, int fd, size_t step)
{
    char bytes[4096];
    int n;

    assert_true(step <= sizeof(bytes));
    while ((n = BIO_read(from, bytes, (int)step)) > 0) {
        ssize_t sent = 0;

        while (sent < n) {
            ssize_t m = send(fd, bytes + sent, (size_t)(n - sent), MSG_DONTWAIT | MSG_NOSIGNAL);

            sent += m > 0 ? m : 0;
            http_fixture_turn(fixture, 1);
        }
    }
}

static void forward_to_client(int fd, BIO *to)
{
    char bytes[4096];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        assert_int_equal(BIO_write(to, bytes, (int)n), n);
}

static void echo_in_pieces(struct http_fixture *fixture, const char *body, size_t len, size_t step)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    int64_t deadline_ms = clock_monotonic_ms() + 4 * DEADLINE_MS;
    char *got = calloc(1, len + 4096);
    struct http_client client;
    size_t total = 0;
    char head[128];
    char *at = NULL;

    assert_non_null(got);
    http_client_dial_unseen(fixture, &client);
    SSL_set_bio(client.ssl, in, out);
    (void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
    while (SSL_do_handshake(client.ssl) != 1 && clock_monotonic_ms() < deadline_ms) {
        forward_to_server(fixture, out, client.fd, step);
        forward_to_client(client.fd, in);
    }
    assert_int_equal(SSL_write(client.ssl, head, (int)strlen(head)), (int)strlen(head));
    for (size_t sent = 0; sent < len;) {
        int n = SSL_write(client.ssl, body + sent, (int)(len - sent));

        assert_true(n > 0);
        sent += (size_t)n;
    }
    forward_to_server(fixture, out, client.fd, step);
    while ((!at || (size_t)(got + total - at) < len) && clock_monotonic_ms() < deadline_ms) {
        int n;

        http_fixture_turn(fixture, 1);
        forward_to_client(client.fd, in);
        while ((n = SSL_read(client.ssl, got + total, (int)(len + 4096 - total))) > 0)
            total += (size_t)n;
        at = memmem(got, total, "\r\n\r\n", 4);
        at = at ? at + 4 : NULL;
    }
    assert_non_null(at);
    assert_int_equal(got + total - at, len);
    assert_memory_equal(at, body, len);
    free(got);
    http_client_close(&client);
}

static void test_bodies_arrive_complete_in_both_directions_for_any_cut(void **state)
{
    static const struct {
        size_t len, step;
    } cases[] = {
        {1000,  1   },
        {20000, 7   },
        {16384, 333 },
        {16385, 1021},
        {BIG,   4093},
        {BIG,   4096}
    };
    struct http_fixture fixture;
    char *body = malloc(BIG);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < BIG; i++)
        body[i] = (char)(i * 31 + i / 251);
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        echo_in_pieces(&fixture, body, cases[i].len, cases[i].step);
    free(body);
    http_fixture_end(&fixture);
}

/* -- open streams */

static void open_stream(struct http_fixture *fixture, struct http_client *client, const struct tls_options *options)
{
    dial_as(fixture, client, options);
    assert_int_equal(shake_hands(fixture, client), 0);
    http_client_send(client, GET("/stream"));
    http_client_expect(client, "first");
}

static void expect_stream_continues(struct http_fixture *fixture, struct http_client *client)
{
    http_fixture_turn(fixture, 5);
    assert_int_equal(fixture->closed, 0);
    http_stream_write(fixture->exchange, "second", 6);
    http_client_expect(client, "6\r\nsecond\r\n");
    http_stream_end(fixture->exchange);
    http_client_expect(client, "0\r\n\r\n");
}

/* A KeyUpdate is a TLS record without application data. */
static void test_a_key_update_does_not_end_a_stream(void **state)
{
    const struct tls_options options = {.version = TLS1_3_VERSION};
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    open_stream(&fixture, &client, &options);
    assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(client.ssl), 1);
    expect_stream_continues(&fixture, &client);
    http_fixture_finish(&fixture, &client);
}

static void test_a_renegotiation_is_refused(void **state)
{
    const struct tls_options options = {.version = TLS1_2_VERSION};
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    dial_as(&fixture, &client, &options);
    assert_int_equal(shake_hands(&fixture, &client), 0);
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    assert_int_equal(shake_hands(&fixture, &client), SSL_R_NO_RENEGOTIATION);
    http_fixture_finish(&fixture, &client);
}

/* -- certificate files, reload and resumption */

static void test_certificate_and_key_files(void **state)
{
    struct folder folder;
    struct http_tls *tls;
    const char *why;
    char missing[PATH_SIZE];

    (void)state;
    folder_init(&folder);
    authority_sign(folder.authority, "DNS:localhost", 3600, folder.pair);
    authority_sign(folder.authority, "DNS:localhost", 3600, folder.other);
    (void)snprintf(missing, sizeof(missing), "%s/missing", folder.path);
    {
        const struct {
            const char *cert, *key, *why;
        } cases[] = {
            {folder.pair, folder.pair,           NULL                                                               },
            {missing,     folder.pair,           "No such file or directory"                                        },
            {folder.pair, missing,               "No such file or directory"                                        },
            {folder.path, folder.pair,           "the certificate file holds no certificate in PEM that can be used"},
            {folder.pair, folder.authority_file, "the key file holds no private key in PEM without a passphrase"    },
            {folder.pair, folder.other,          "the key does not belong to the certificate"                       },
        };

        for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
            tls = http_tls_create(cases[i].cert, cases[i].key, &why);
            assert_int_equal(tls == NULL, cases[i].why != NULL);
            if (cases[i].why)
                assert_string_equal(why, cases[i].why);
            http_tls_destroy(tls);
        }
    }
    folder_deinit(&folder);
}

static long serial_of(const struct http_client *client)
{
    X509 *certificate = SSL_get1_peer_certificate(client->ssl);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));

    X509_free(certificate);
    return serial;
}

static long serial_now(struct http_fixture *fixture)
{
    const struct tls_options options = {0};
    struct http_client client;
    long serial;

    dial_as(fixture, &client, &options);
    assert_int_equal(shake_hands(fixture, &client), 0);
    serial = serial_of(&client);
    http_client_close(&client);
    return serial;
}

static void test_a_reload_serves_the_new_certificate_and_keeps_open_streams(void **state)
{
    const struct tls_options options = {0};
    struct http_fixture fixture;
    struct http_client stream;
    struct folder folder;
    const char *why;
    FILE *file;
    long old;

    (void)state;
    folder_init(&folder);
    authority_sign(folder.authority, "DNS:localhost", 3600, folder.pair);
    http_fixture_init(&fixture);
    http_tls_destroy(fixture.tls);
    fixture.config.tls = fixture.tls = http_tls_create(folder.pair, folder.pair, &why);
    http_fixture_start(&fixture);
    open_stream(&fixture, &stream, &options);
    old = serial_of(&stream);

    file = fopen(folder.pair, "w");
    assert_non_null(file);
    (void)fputs("half written", file);
    (void)fclose(file);
    assert_true(http_tls_reload(fixture.tls, &why) != 0);
    assert_string_equal(why, "the certificate file holds no certificate in PEM that can be used");
    assert_int_equal(serial_now(&fixture), old);

    authority_sign(folder.authority, "DNS:localhost", 3600, folder.pair);
    assert_int_equal(http_tls_reload(fixture.tls, &why), 0);
    assert_int_not_equal(serial_now(&fixture), old);
    expect_stream_continues(&fixture, &stream);
    http_client_close(&stream);
    http_fixture_end(&fixture);
    folder_deinit(&folder);
}

/* The client's session after an exchange. In TLS 1.3 the ticket arrives after the handshake. */
static SSL_SESSION *session_now(struct http_fixture *fixture, SSL_SESSION *offered, bool *resumed)
{
    const struct tls_options options = {.version = TLS1_3_VERSION};
    SSL_SESSION *session;
    struct http_client client;

    dial_as(fixture, &client, &options);
    if (offered)
        assert_int_equal(SSL_set_session(client.ssl, offered), 1);
    assert_int_equal(shake_hands(fixture, &client), 0);
    http_client_send(&client, GET("/"));
    http_client_expect(&client, "hello");
    *resumed = SSL_session_reused(client.ssl);
    session = SSL_get1_session(client.ssl);
    assert_true(
        transport_close_notify(client.ssl)); /* OpenSSL does not resume a session that ended without close_notify */
    http_client_close(&client);
    return session;
}

/* A resumed session does not verify the certificate again, so sessions must end when the certificate changes. */
static void test_a_session_resumes_until_the_certificate_changes(void **state)
{
    struct http_fixture fixture;
    struct folder folder;
    SSL_SESSION *first, *second, *third;
    const char *why;
    bool resumed;

    (void)state;
    folder_init(&folder);
    authority_sign(folder.authority, "DNS:localhost", 3600, folder.pair);
    http_fixture_init(&fixture);
    http_tls_destroy(fixture.tls);
    fixture.config.tls = fixture.tls = http_tls_create(folder.pair, folder.pair, &why);
    http_fixture_start(&fixture);
    first = session_now(&fixture, NULL, &resumed);
    assert_false(resumed);
    second = session_now(&fixture, first, &resumed);
    assert_true(resumed);
    authority_sign(folder.authority, "DNS:localhost", 3600, folder.pair);
    assert_int_equal(http_tls_reload(fixture.tls, &why), 0);
    third = session_now(&fixture, second, &resumed);
    assert_false(resumed);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_SESSION_free(third);
    http_fixture_end(&fixture);
    folder_deinit(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_a_client_that_verifies_refuses_an_expired_certificate),
        cmocka_unit_test(test_plain_http_gets_a_400_that_explains_it),
        cmocka_unit_test(test_a_stalled_handshake_is_cut_at_the_deadline_of_the_head),
        cmocka_unit_test(test_a_connection_above_a_limit_is_closed_without_a_handshake),
        cmocka_unit_test(test_bodies_arrive_complete_in_both_directions_for_any_cut),
        cmocka_unit_test(test_a_key_update_does_not_end_a_stream),
        cmocka_unit_test(test_a_renegotiation_is_refused),
        cmocka_unit_test(test_certificate_and_key_files),
        cmocka_unit_test(test_a_reload_serves_the_new_certificate_and_keeps_open_streams),
        cmocka_unit_test(test_a_session_resumes_until_the_certificate_changes),
    };

    return cmocka_run_group_tests(tests, http_fixture_begin_tls, http_fixture_end_tls);
}
