#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { DAY_S = 24 * 60 * 60 };

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
    long serial;
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "certificates: %s\n", what);
    abort();
}

static void extend(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    need(extension && X509_add_ext(certificate, extension, -1), value);
    X509_EXTENSION_free(extension);
}

/* Self-signed if issuer is NULL. */
static X509 *make(EVP_PKEY *key, const char *name, long serial, long ends_s)
{
    X509 *certificate = X509_new();

    need(certificate && X509_set_version(certificate, X509_VERSION_3), "no certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), ends_s);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                               -1, 0);
    return certificate;
}

static FILE *open_file(const char *path)
{
    FILE *file = fopen(path, "w");

    need(file, path);
    return file;
}

struct authority *authority_create(const char *name, const char *path)
{
    struct authority *authority = calloc(1, sizeof(*authority));
    FILE *file = open_file(path);

    need(authority, "no memory");
    authority->key = EVP_EC_gen("P-256");
    need(authority->key, "no key");
    authority->certificate = make(authority->key, name, ++authority->serial, DAY_S);
    X509_set_issuer_name(authority->certificate, X509_get_subject_name(authority->certificate));
    extend(authority->certificate, authority->certificate, NID_basic_constraints, "critical,CA:TRUE");
    extend(authority->certificate, authority->certificate, NID_subject_key_identifier, "hash");
    need(X509_sign(authority->certificate, authority->key, EVP_sha256()), "no signature");
    need(PEM_write_X509(file, authority->certificate), path);
    fclose(file);
    return authority;
}

struct authority *authority_destroy(struct authority *authority)
{
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    free(authority);
    return NULL;
}

void authority_sign(struct authority *authority, const char *names, long ends_s, const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make(key, "test server", ++authority->serial, ends_s);
    FILE *file = open_file(path);

    X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate));
    extend(certificate, authority->certificate, NID_subject_alt_name, names);
    need(X509_sign(certificate, authority->key, EVP_sha256()), "no signature");
    need(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) && PEM_write_X509(file, certificate), path);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
