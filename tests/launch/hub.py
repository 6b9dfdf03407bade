"""A model hub on loopback: as much of the hub's HTTP interface as fetching one file takes."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.launch.models import Published

TINY = Published("someone/tiny", "0123456789abcdef0123456789abcdef01234567", "tiny.gguf", 0, "")


@dataclass
class Hub:
    """What the hub serves and how. `cut_after` ends the first answer after so many bytes; `status` refuses.

    `tokens` and `ranges` note the headers of requests for the file.
    """

    content: bytes
    file: Published = TINY
    url: str = ""
    status: int = 200
    cut_after: int | None = None
    tokens: list[str | None] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)

    def published(self, content: bytes | None = None) -> Published:
        """A description of `content`, which is what the hub serves unless it is damaged."""
        wanted = self.content if content is None else content
        return replace(self.file, size=len(wanted), sha256=hashlib.sha256(wanted).hexdigest())


@contextmanager
def serving(content: bytes, file: Published = TINY) -> Iterator[Hub]:
    """A hub that serves `content` as `file` of its repository."""
    hub = Hub(content, file)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            found = self.path == f"/{file.repo}/resolve/{file.revision}/{file.file}"
            if found:
                hub.tokens.append(self.headers.get("Authorization"))
            status = hub.status if found else 404
            if status != 200:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 404:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return
            self._send(with_body)

        def _send(self, with_body: bool) -> None:
            wanted = self.headers.get("Range") if with_body else None
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            body = hub.content[start:]
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", file.revision)
            self.end_headers()
            if not with_body:
                return
            hub.ranges.append(wanted)
            if hub.cut_after is not None:
                body, hub.cut_after = body[: hub.cut_after], None
                self.close_connection = True
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
