"""`python -I -m backends.mlx --model FOLDER …`: mlx-lm's server for one model, in a process of its own.

Flags are those of `mlx_lm.server`. What differs from it: the port is free to choose unless one is given, the base URL
is written to the file named by STOKER_ENDPOINT_FILE once the model is loaded, the key in MLX_API_KEY is asked for,
whatever a request calls its model it is served by this one, and a model that cannot be loaded ends the process (with
status 1) instead of leaving a server that answers nothing.
"""

import hmac
import os
import sys
import threading
import time
import traceback
from http.server import ThreadingHTTPServer
from typing import Any

from backends.llamacpp import announce

OPEN = "/health"
"""What is answered without a key."""
_PORT = ("--port", "0")


class Server(ThreadingHTTPServer):
    """Says where it listens, once `loaded` is set."""

    daemon_threads = True
    loaded = threading.Event()
    _told = False

    def service_actions(self) -> None:
        super().service_actions()
        if not self._told and self.loaded.is_set():
            host, port = self.server_address[:2]
            announce(f"http://{host!s}:{port}")
            _say(f"server is listening on http://{host!s}:{port}")
            self._told = True


def handler(base: type[Any], key: str | None) -> type[Any]:
    """The handler of requests `base`, for those who show `key`."""
    wanted = f"Bearer {key}".encode()

    class Guarded(base):  # type: ignore[misc] # mlx-lm is only known where it runs
        """Refuses whoever does not have the key."""

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            shown = self.headers.get("Authorization", "").encode()
            if key is None or self.path == OPEN or hmac.compare_digest(shown, wanted):
                return True
            self.send_error(401, "Invalid API Key")
            return False

    return Guarded


def provider(base: type[Any]) -> type[Any]:
    """The provider of models `base`, with a single one that is loaded or the end."""

    class OneModel(base):  # type: ignore[misc] # mlx-lm is only known where it runs
        """Never loads what a request names."""

        def load(self, *_: Any) -> Any:
            return super().load("default_model", None, "default_model")

        def load_default(self) -> None:
            _say(f"Starting to load model {self.cli_args.model}")
            began = time.monotonic()
            try:
                super().load_default()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)  # this is not the main thread, which would go on to serve
            _say(f"Loading weights took {time.monotonic() - began:.2f} seconds")
            Server.loaded.set()

    return OneModel


def _say(text: str) -> None:
    """Tell how far it is, which mlx-lm does not, in words that other engines have for it."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Serve until ended by a signal; the exit status."""
    key = os.environ.pop("MLX_API_KEY", None)
    from mlx_lm import server

    if "--port" not in sys.argv:
        sys.argv += _PORT
    serve, guarded = server._run_http_server, handler(server.APIHandler, key)
    server._run_http_server = lambda host, port, generator: serve(host, port, generator, Server, guarded)
    server.ModelProvider = provider(server.ModelProvider)
    server.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
