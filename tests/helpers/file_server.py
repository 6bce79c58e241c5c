"""A web server of the test's own on 127.0.0.1 that serves files, with ranges, and misbehaves on request."""

import hashlib
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class FileServer:
    """`files`: path -> bytes. `script`: how the next requests are answered, one each; afterwards they are answered well.

    asked: (path, headers) of every request. tags: whether answers carry an ETag, the hash of the file.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.script: list[Answer] = []
        self.asked: list[tuple[str, Message]] = []
        self.tags = True
        self.reached, self.finish = threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers))
                self.close_connection = True
                data = server.files.get(self.path.rpartition("/")[2])
                if data is None:
                    self.send_error(404)
                else:
                    (server.script.pop(0) if server.script else server.well)(self, data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.finish.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def ranges(self) -> list[str | None]:
        """The Range of every request."""
        return [headers.get("Range") for _, headers in self.asked]

    # Answers

    def well(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.wfile.write(self.head(handler, data))

    def head(self, handler: BaseHTTPRequestHandler, data: bytes, *, heed: bool = True, anyway: bool = False) -> bytes:
        """Send the head, and return what the body should be. heed: honour Range; anyway: whatever If-Range says."""
        tag, asked = f'"{hashlib.sha256(data).hexdigest()[:16]}"', handler.headers.get("Range")
        same = anyway or handler.headers.get("If-Range", tag) == tag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and heed and same else 0
        if start > len(data):
            handler.send_error(416)
            return b""
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(len(data) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.tags:
            handler.send_header("ETag", tag)
        handler.end_headers()
        return data[start:]

    def broken(self, share: float) -> Answer:
        """A share of what is left of the file, then the end."""

        def answer(handler: BaseHTTPRequestHandler, data: bytes) -> None:
            body = self.head(handler, data)
            handler.wfile.write(body[: round(share * len(body))])

        return answer

    def ignoring_range(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.wfile.write(self.head(handler, data, heed=False))

    def ignoring_if_range(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.wfile.write(self.head(handler, data, anyway=True))

    def hang(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """Half of what is left, then silence until the test ends."""
        body = self.head(handler, data)
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        self.reached.set()
        self.finish.wait(60)

    def drip(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """A byte now and then."""
        for byte in self.head(handler, data):
            handler.wfile.write(bytes([byte]))
            if self.finish.wait(0.05):
                return

    def chunked(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """The whole file, and no word of its length."""
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i in range(0, len(data), 50_000):
            piece = data[i : i + 50_000]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")


def instead(body: bytes, kind: str = "text/html") -> Answer:
    """Another body, with a good conscience."""

    def answer(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int, **headers: str) -> Answer:
    """An error, or with location=... a redirection."""

    def answer(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer
