"""A model hub on loopback: as much of the hub's HTTP interface as `huggingface_hub` asks for, with faults on demand."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_rightTokenOfTheTests0123456789"
_LARGE = (".gguf", ".safetensors")


@dataclass(frozen=True)
class Asked:
    """A request for a file: how, of which, from where on, and with which token."""

    method: str
    file: str
    range: str | None
    token: str | None


@dataclass
class ModelHub:
    """Repositories with their files. `refuse` answers for a repository with a status and the hub's word for it.

    `closed` repositories are shown to everybody and given out to `TOKEN` alone. `cut` breaks every answer after so many
    bytes, `cuts` the next answers with files each after its own; `whole` ignores that only a part was asked for.
    `wrong` sends other bytes than those it has told of. While `held` is clear, answers with files stop after `hold`
    bytes. `sent` counts bytes, `asked` notes requests for files.
    """

    repos: Mapping[str, Mapping[str, bytes]]
    url: str = ""
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    cut: int | None = None
    cuts: list[int] = field(default_factory=list)
    whole: bool = False
    wrong: dict[str, bytes] = field(default_factory=dict)
    hold: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    asked: list[Asked] = field(default_factory=list)

    def ranges(self, file: str) -> list[str | None]:
        """From where on a file was asked for, request by request."""
        return [asked.range for asked in self.asked if asked.file == file and asked.method == "GET"]


def tag(name: str, data: bytes) -> str:
    """What the hub knows a file by: SHA-256 for what it keeps apart, else git's own."""
    if name.endswith(_LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def serving(repos: Mapping[str, Mapping[str, bytes]]) -> Iterator[ModelHub]:
    """A hub that serves `repos`."""
    hub = ModelHub(repos)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            api = re.fullmatch(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?(\?.*)?", self.path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            repo = (api or file or [None, ""])[1] or ""
            if repo in hub.refuse or repo not in hub.repos:
                status, word = hub.refuse.get(repo, (404, "RepoNotFound"))
                self._answer(status, b"", {"X-Error-Code": word})
            elif (api or file or [None, None, None])[2] not in (None, "main", COMMIT):
                self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            elif api:
                self._answer(200, json.dumps(self._facts(repo)).encode(), {"Content-Type": "application/json"})
            elif file:
                self._file(repo, file[3])
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _facts(self, repo: str) -> dict[str, object]:
            entries = []
            for name, data in hub.repos[repo].items():
                entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": tag("", data)}
                if name.endswith(_LARGE):
                    entry["lfs"] = {"size": len(data), "sha256": tag(name, data), "pointerSize": 134}
                entries.append(entry)
            gated = "auto" if repo in hub.closed else False
            facts = {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "gated": gated}
            return {**facts, "siblings": entries, "cardData": {"license": "apache-2.0"}}

        def _file(self, repo: str, name: str) -> None:
            shown = self.headers.get("Authorization")
            hub.asked.append(Asked(self.command, name, self.headers.get("Range"), shown))
            if repo in hub.closed and shown != f"Bearer {TOKEN}":
                self._answer(403 if shown else 401, b"", {"X-Error-Code": "GatedRepo"})
            elif name in hub.repos[repo]:
                self._part(name, hub.wrong.get(name, hub.repos[repo][name]), tag(name, hub.repos[repo][name]))
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _part(self, name: str, data: bytes, known_as: str) -> None:
            facts = {"ETag": f'"{known_as}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if match is None or hub.whole:
                self._answer(200, data, facts, of_file=True)
                return
            start, end = int(match[1]), min(int(match[2] or len(data)) + 1, len(data))
            part = {**facts, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
            self._answer(206, data[start:end], part, of_file=True)

        def _answer(self, status: int, body: bytes, headers: dict[str, str], *, of_file: bool = False) -> None:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            most = hub.cuts.pop(0) if of_file and hub.cuts else hub.cut
            sent = body if most is None else body[:most]
            begin = hub.hold if of_file and hub.hold is not None and not hub.held.is_set() else len(sent)
            try:
                self.wfile.write(sent[:begin])
                if begin < len(sent):
                    hub.held.wait(60)
                    self.wfile.write(sent[begin:])
            except OSError:  # whoever asked is gone
                self.close_connection = True
                return
            hub.sent += len(sent)
            if len(sent) < len(body):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # whoever asked is gone

    server = Server(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
