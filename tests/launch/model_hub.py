"""A model hub on loopback: what it says of a model, and its files in parts."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class ModelHub:
    """Repositories with their files. `refuse` answers for a repository with a status and the hub's word for it.

    `cut` breaks every answer after so many bytes; `whole` ignores that only a part was asked for. `sent` counts bytes.
    """

    repos: Mapping[str, Mapping[str, bytes]]
    url: str = ""
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cut: int | None = None
    whole: bool = False
    sent: int = 0


@contextmanager
def serving(repos: Mapping[str, Mapping[str, bytes]]) -> Iterator[ModelHub]:
    """A hub that serves `repos`."""
    hub = ModelHub(repos)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            api = re.fullmatch(r"/api/models/([^/]+/[^/?]+)(/revision/[^?]+)?(\?.*)?", self.path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
            repo = (api or file or [None, ""])[1] or ""
            if repo in hub.refuse or repo not in hub.repos:
                status, word = hub.refuse.get(repo, (404, "RepoNotFound"))
                self._answer(status, b"", {"X-Error-Code": word})
            elif api:
                entries = [{"rfilename": name, "size": len(data)} for name, data in hub.repos[repo].items()]
                document = {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": entries}
                self._answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
            elif file and file[2] in hub.repos[repo]:
                self._part(hub.repos[repo][file[2]])
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _part(self, data: bytes) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if match is None or hub.whole:
                self._answer(200, data, {})
                return
            start, end = int(match[1]), min(int(match[2]) + 1, len(data))
            self._answer(206, data[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = body if hub.cut is None else body[: hub.cut]
            self.wfile.write(sent)
            hub.sent += len(sent)
            if len(sent) < len(body):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
