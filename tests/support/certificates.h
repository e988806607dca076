/* certificates - creates keys and certificates for tests, as PEM files
 *
 * Errors: exits with a message if OpenSSL fails.
 */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

struct authority;

/* Writes its certificate to `path`. */
struct authority *authority_create(const char *name, const char *path);
struct authority *authority_destroy(struct authority *authority);

/* Writes a certificate with its key into one file. `names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1".
 * ends_s: when it expires, in seconds from now; may be in the past. */
void authority_sign(struct authority *authority, const char *names, long ends_s, const char *path);

#endif
