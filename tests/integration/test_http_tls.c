/* What only a listener under TLS can do. Requests, connections, streams and endings over TLS are the last groups of the other
 * test_http_*.c. */
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

#include "common/clock.h"
#include "common/http/peers.h"
#include "common/http/tls.h"
#include "common/transport.h"
#include "tests/support/certificates.h"
#include "tests/support/http_fixture.h"

#define H1 "\x08http/1.1"
#define H2 "\x02h2"

enum { DEADLINE_MS = 5000, PATH_SIZE = 96, BIG = 200 * 1000 };

/* -- certificates of a test's own */

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

struct client {
    int version; /* 0: whatever there is */
    const char *protocols, *host;
    bool trusts; /* the fixture's authority */
};

/* The reason code of what went wrong, 0 when nothing did. */
static int shake_hands(struct http_fixture *fixture, struct http_peer *peer)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    int answer, reason;

    ERR_clear_error();
    while ((answer = SSL_do_handshake(peer->ssl)) != 1 && SSL_get_error(peer->ssl, answer) == SSL_ERROR_WANT_READ) {
        http_fixture_turn(fixture, 1);
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
    reason = answer == 1 ? 0 : ERR_GET_REASON(ERR_peek_error()); /* the server's turn would clear it */
    http_fixture_turn(fixture, 2);
    return reason;
}

static void dial_as(struct http_fixture *fixture, struct http_peer *peer, const struct client *client)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    http_peer_dial_unseen(fixture, peer);
    SSL_free(peer->ssl);
    SSL_CTX_set_security_level(context, 0);
    if (client->trusts)
        assert_int_equal(SSL_CTX_load_verify_locations(context, http_fixture_authority(), NULL), 1);
    SSL_CTX_set_verify(context, client->host ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    peer->ssl = SSL_new(context);
    SSL_CTX_free(context);
    assert_int_equal(SSL_set_fd(peer->ssl, peer->fd), 1);
    SSL_set_connect_state(peer->ssl);
    if (client->version)
        assert_int_equal(SSL_set_min_proto_version(peer->ssl, client->version) &
                             SSL_set_max_proto_version(peer->ssl, client->version),
                         1);
    if (client->host)
        assert_int_equal(SSL_set1_host(peer->ssl, client->host), 1);
    if (client->protocols)
        assert_int_equal(SSL_set_alpn_protos(peer->ssl, (const unsigned char *)client->protocols,
                                             (unsigned)strlen(client->protocols)),
                         0);
}

static void test_handshakes(void **state)
{
    static const struct {
        const char *name;
        struct client client;
        int reason; /* 0: it succeeds */
        const char *protocol;
    } cases[] = {
        {"TLS 1.3, a client that checks",             {TLS1_3_VERSION, NULL, "localhost", true}, 0,                                         ""        },
        {"TLS 1.2, a client that checks",             {TLS1_2_VERSION, NULL, "localhost", true}, 0,                                         ""        },
        {"TLS 1.1",                                   {TLS1_1_VERSION, NULL, NULL, false},       SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,        ""        },
        {"TLS 1.0",                                   {TLS1_VERSION, NULL, NULL, false},         SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,        ""        },
        {"HTTP/1.1 by ALPN",                          {0, H1, NULL, false},                      0,                                         "http/1.1"},
        {"HTTP/2 or HTTP/1.1 by ALPN",                {0, H2 H1, NULL, false},                   0,                                         "http/1.1"},
        {"HTTP/2 alone by ALPN",                      {0, H2, NULL, false},                      SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, ""        },
        {"HTTP/2 alone by ALPN, TLS 1.2",
         {TLS1_2_VERSION, H2, NULL, false},
         SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,                                                                                         ""        },
        {"a client that wants another name",          {0, NULL, "example.com", true},            SSL_R_CERTIFICATE_VERIFY_FAILED,           ""        },
        {"a client that does not know the authority",
         {0, NULL, "localhost", false},
         SSL_R_CERTIFICATE_VERIFY_FAILED,                                                                                                   ""        },
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned char *protocol = NULL;
        unsigned len = 0;
        struct http_peer peer;

        print_message("  %s\n", cases[i].name);
        dial_as(&fixture, &peer, &cases[i].client);
        assert_int_equal(shake_hands(&fixture, &peer), cases[i].reason);
        SSL_get0_alpn_selected(peer.ssl, &protocol, &len);
        assert_int_equal(len, strlen(cases[i].protocol));
        assert_memory_equal(protocol ? (const char *)protocol : "", cases[i].protocol, len);
        if (!cases[i].reason) {
            http_peer_send(&peer, GET("/"));
            http_peer_expect(&peer, "hello");
        }
        http_peer_close(&peer);
    }
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_a_client_that_checks_refuses_an_expired_certificate(void **state)
{
    const struct client client = {0, NULL, "localhost", false};
    struct http_fixture fixture;
    struct http_peer peer;
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
    dial_as(&fixture, &peer, &client);
    assert_int_equal(SSL_CTX_load_verify_locations(SSL_get_SSL_CTX(peer.ssl), folder.authority_file, NULL), 1);
    assert_int_equal(shake_hands(&fixture, &peer), SSL_R_CERTIFICATE_VERIFY_FAILED);
    assert_int_equal(SSL_get_verify_result(peer.ssl), X509_V_ERR_CERT_HAS_EXPIRED);
    http_fixture_finish(&fixture, &peer);
    folder_deinit(&folder);
}

/* -- what is no TLS */

static void dial_plain(struct http_fixture *fixture, struct http_peer *peer)
{
    http_peer_dial_unseen(fixture, peer);
    SSL_free(peer->ssl);
    peer->ssl = NULL;
    http_fixture_turn(fixture, 2);
}

static void test_plain_http_is_told_so(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    dial_plain(&fixture, &peer);
    http_peer_send(&peer, GET("/"));
    http_peer_expect_status(&peer, "400 Bad Request");
    http_peer_expect(&peer, "Connection: close\r\n");
    http_peer_expect(&peer, "speaks HTTPS");
    http_peer_expect(&peer, "}");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

static void test_a_handshake_that_does_not_go_on_is_cut_at_the_heads_deadline(void **state)
{
    static const char *const sent[] = {"", "\x16\x03\x01\x02\x00\x01"};
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = 50;
    http_fixture_start(&fixture);
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        struct http_peer peer;
        int64_t began_ms = clock_monotonic_ms();

        dial_plain(&fixture, &peer);
        http_peer_send_bytes(&peer, sent[i], i ? 6 : 0);
        http_peer_expect_end(&peer);
        assert_true(clock_monotonic_ms() - began_ms >= 50);
        http_peer_close(&peer);
    }
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_a_connection_too_many_is_closed_without_a_handshake(void **state)
{
    struct http_fixture fixture;
    struct http_peer first, second;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.peers = http_peers_create(100, 1);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &first);
    dial_plain(&fixture, &second);
    http_peer_expect_end(&second);
    http_peer_close(&second);
    http_peer_send(&first, GET("/"));
    http_peer_expect(&first, "hello");
    http_peer_close(&first);
    http_peer_dial(&fixture, &second);
    http_peer_send(&second, GET("/"));
    http_peer_expect(&second, "hello");
    http_peer_close(&second);
    http_fixture_end(&fixture);
    http_peers_destroy(fixture.config.peers);
}

/* -- however the bytes are cut */

/* Moves what the client's session has written into the socket, `step` bytes at a time, the server looking after each. */
static void carry_out(struct http_fixture *fixture, BIO *from, int fd, size_t step)
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

static void carry_in(int fd, BIO *to)
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
    struct http_peer peer;
    size_t total = 0;
    char head[128];
    char *at = NULL;

    assert_non_null(got);
    http_peer_dial_unseen(fixture, &peer);
    SSL_set_bio(peer.ssl, in, out);
    (void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
    while (SSL_do_handshake(peer.ssl) != 1 && clock_monotonic_ms() < deadline_ms) {
        carry_out(fixture, out, peer.fd, step);
        carry_in(peer.fd, in);
    }
    assert_int_equal(SSL_write(peer.ssl, head, (int)strlen(head)), (int)strlen(head));
    for (size_t sent = 0; sent < len;) {
        int n = SSL_write(peer.ssl, body + sent, (int)(len - sent));

        assert_true(n > 0);
        sent += (size_t)n;
    }
    carry_out(fixture, out, peer.fd, step);
    while ((!at || (size_t)(got + total - at) < len) && clock_monotonic_ms() < deadline_ms) {
        int n;

        http_fixture_turn(fixture, 1);
        carry_in(peer.fd, in);
        while ((n = SSL_read(peer.ssl, got + total, (int)(len + 4096 - total))) > 0)
            total += (size_t)n;
        at = memmem(got, total, "\r\n\r\n", 4);
        at = at ? at + 4 : NULL;
    }
    assert_non_null(at);
    assert_int_equal(got + total - at, len);
    assert_memory_equal(at, body, len);
    free(got);
    http_peer_close(&peer);
}

static void test_bodies_arrive_whole_both_ways_however_the_bytes_are_cut(void **state)
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
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        echo_in_pieces(&fixture, body, cases[i].len, cases[i].step);
    free(body);
    http_fixture_end(&fixture);
}

/* -- open streams */

static void open_stream(struct http_fixture *fixture, struct http_peer *peer, const struct client *client)
{
    dial_as(fixture, peer, client);
    assert_int_equal(shake_hands(fixture, peer), 0);
    http_peer_send(peer, GET("/stream"));
    http_peer_expect(peer, "first");
}

static void expect_stream_goes_on(struct http_fixture *fixture, struct http_peer *peer)
{
    http_fixture_turn(fixture, 5);
    assert_int_equal(fixture->closed, 0);
    http_stream_write(fixture->exchange, "second", 6);
    http_peer_expect(peer, "6\r\nsecond\r\n");
    http_stream_end(fixture->exchange);
    http_peer_expect(peer, "0\r\n\r\n");
}

/* New keys come in records of their own, which are no bytes of the client's. */
static void test_new_keys_do_not_end_a_stream(void **state)
{
    const struct client client = {.version = TLS1_3_VERSION};
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    open_stream(&fixture, &peer, &client);
    assert_int_equal(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(peer.ssl), 1);
    expect_stream_goes_on(&fixture, &peer);
    http_fixture_finish(&fixture, &peer);
}

static void test_a_renegotiation_is_refused(void **state)
{
    const struct client client = {.version = TLS1_2_VERSION};
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    dial_as(&fixture, &peer, &client);
    assert_int_equal(shake_hands(&fixture, &peer), 0);
    assert_int_equal(SSL_renegotiate(peer.ssl), 1);
    assert_int_equal(shake_hands(&fixture, &peer), SSL_R_NO_RENEGOTIATION);
    http_fixture_finish(&fixture, &peer);
}

/* -- another certificate */

static void test_pairs_of_files(void **state)
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

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            tls = http_tls_create(cases[i].cert, cases[i].key, &why);
            assert_int_equal(tls == NULL, cases[i].why != NULL);
            if (cases[i].why)
                assert_string_equal(why, cases[i].why);
            http_tls_destroy(tls);
        }
    }
    folder_deinit(&folder);
}

static long serial_of(const struct http_peer *peer)
{
    X509 *certificate = SSL_get1_peer_certificate(peer->ssl);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));

    X509_free(certificate);
    return serial;
}

static long serial_now(struct http_fixture *fixture)
{
    const struct client client = {0};
    struct http_peer peer;
    long serial;

    dial_as(fixture, &peer, &client);
    assert_int_equal(shake_hands(fixture, &peer), 0);
    serial = serial_of(&peer);
    http_peer_close(&peer);
    return serial;
}

static void test_new_connections_get_the_new_certificate_and_streams_go_on(void **state)
{
    const struct client client = {0};
    struct http_fixture fixture;
    struct http_peer stream;
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
    open_stream(&fixture, &stream, &client);
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
    expect_stream_goes_on(&fixture, &stream);
    http_peer_close(&stream);
    http_fixture_end(&fixture);
    folder_deinit(&folder);
}

/* The session that a client has after an exchange; in TLS 1.3 its ticket comes after the handshake. */
static SSL_SESSION *session_now(struct http_fixture *fixture, SSL_SESSION *offered, bool *resumed)
{
    const struct client client = {.version = TLS1_3_VERSION};
    SSL_SESSION *session;
    struct http_peer peer;

    dial_as(fixture, &peer, &client);
    if (offered)
        assert_int_equal(SSL_set_session(peer.ssl, offered), 1);
    assert_int_equal(shake_hands(fixture, &peer), 0);
    http_peer_send(&peer, GET("/"));
    http_peer_expect(&peer, "hello");
    *resumed = SSL_session_reused(peer.ssl);
    session = SSL_get1_session(peer.ssl);
    assert_true(transport_close_notify(peer.ssl)); /* a session that ends without one may not be resumed */
    http_peer_close(&peer);
    return session;
}

/* A client that resumes is not shown the certificate, so a session must not outlive it. */
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
        cmocka_unit_test(test_a_client_that_checks_refuses_an_expired_certificate),
        cmocka_unit_test(test_plain_http_is_told_so),
        cmocka_unit_test(test_a_handshake_that_does_not_go_on_is_cut_at_the_heads_deadline),
        cmocka_unit_test(test_a_connection_too_many_is_closed_without_a_handshake),
        cmocka_unit_test(test_bodies_arrive_whole_both_ways_however_the_bytes_are_cut),
        cmocka_unit_test(test_new_keys_do_not_end_a_stream),
        cmocka_unit_test(test_a_renegotiation_is_refused),
        cmocka_unit_test(test_pairs_of_files),
        cmocka_unit_test(test_new_connections_get_the_new_certificate_and_streams_go_on),
        cmocka_unit_test(test_a_session_resumes_until_the_certificate_changes),
    };

    return cmocka_run_group_tests(tests, http_fixture_begin_tls, http_fixture_end_tls);
}
