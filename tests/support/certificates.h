/* certificates - keys and certificates of a test's own, as PEM files
 *
 * Ends the process with a message when OpenSSL does not play along.
 */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

struct authority;

/* Writes its certificate to `path`. */
struct authority *authority_create(const char *name, const char *path);
struct authority *authority_destroy(struct authority *authority);

/* Writes a certificate with its key into one file. `names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1".
 * ends_s: its end, in seconds from now; may be past. */
void authority_sign(struct authority *authority, const char *names, long ends_s, const char *path);

#endif
