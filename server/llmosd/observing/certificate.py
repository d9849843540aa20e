"""Until when a certificate holds: asked of the TLS library, which reads it in a handshake."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: one that is over is to be read, too.
_NO_CHECK_TIME = 0x200000


def expiry(certificate: Path, key: Path) -> datetime:
    """When the first certificate of a file in PEM ends.

    A server that has it shakes hands with a client that trusts it, both in memory.

    Raises:
        OSError: a file cannot be read, or is not what it should be (ssl.SSLError).
    """
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client_side.verify_flags = ssl.VerifyFlags(client_side.verify_flags | _NO_CHECK_TIME)
    client_side.load_verify_locations(certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(back, there)
    server = server_side.wrap_bio(there, back, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
