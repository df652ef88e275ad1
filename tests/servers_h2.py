"""An HTTP/2 server with TLS on loopback, and the certificate that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """Files of a self-signed certificate for a host name, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


class H2Server:
    """Answers every request with one body. connections, requests: counts; names: authorities that were asked for."""

    def __init__(self, body: bytes, cert: str, key: str) -> None:
        self.body = body
        self.connections = 0
        self.requests = 0
        self.names: set[str] = set()
        self.port = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._context.set_alpn_protocols(["h2"])

    async def serve(self, ready: threading.Event) -> None:
        ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(ending.set)
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ending.wait()
        server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        state = H2Connection(H2Configuration(client_side=False))
        state.initiate_connection()
        try:
            while True:
                writer.write(state.data_to_send())
                await writer.drain()
                data = await reader.read(65536)
                if not data:
                    break
                for event in state.receive_data(data):
                    if isinstance(event, RequestReceived):
                        self._answer(state, event)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def _answer(self, state: H2Connection, event: RequestReceived) -> None:
        self.requests += 1
        self.names.add(dict(event.headers)[b":authority"].decode())
        state.send_headers(event.stream_id, [(":status", "200"), ("content-type", "image/png")])
        state.send_data(event.stream_id, self.body, end_stream=True)


@contextlib.contextmanager
def http2(body: bytes, cert: str, key: str) -> Iterator[H2Server]:
    server = H2Server(body, cert, key)
    ready = threading.Event()
    # What is still open when `serve` ends is cancelled by asyncio.run.
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(ready)))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        server.stop()
        thread.join()
