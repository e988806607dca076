"""Creates certificates for a test.

    pair = Pair(folder)                     # self-signed, for localhost; or for other names: Pair(folder, "ark.test")
    world.gateway(**pair.options())
    fetch(address, "GET", "/livez", tls=pair.trust())
    pair.renew()                            # another certificate in the same files
"""

import os
import ssl
import subprocess


class Pair:
    def __init__(self, folder, *names):
        self._names = names or ("localhost",)
        self.cert = os.path.join(folder, "cert.pem")
        self.key = os.path.join(folder, "key.pem")
        self.renew()

    def renew(self):
        """Replaces both files, each atomically."""
        cert, key = self.cert + ".new", self.key + ".new"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", f"/CN={self._names[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in self._names), "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        os.replace(cert, self.cert)
        os.replace(key, self.key)

    def options(self):
        return {"GATEWAY_TLS_CERT": self.cert, "GATEWAY_TLS_KEY": self.key}

    def trust(self):
        """A client's context that trusts only this certificate."""
        return ssl.create_default_context(cafile=self.cert)

    def der(self):
        with open(self.cert, encoding="ascii") as file:
            return ssl.PEM_cert_to_DER_cert(file.read())
