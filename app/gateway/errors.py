"""What the edge says when it refuses: a code of the catalogue, in the shape of OpenAI's errors."""

import json

from app.domain.failures import CATALOGUE, StokerError

Header = tuple[bytes, bytes]


class EdgeError(StokerError):
    """A StokerError on its way to an HTTP client.

    `param` names the field at fault. `status` overrides the catalogue's. `retry_after` is in seconds. `close` ends the
    connection after the answer, because the rest of the request is not read. `why` is kept with the request and not
    told to the client: lines about what is ours alone.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        remedy: str = "",
        detail: dict[str, object] | None = None,
        *,
        param: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
        close: bool = False,
        why: tuple[str, ...] = (),
    ) -> None:
        super().__init__(code, message, remedy, detail)
        self.param = param
        self.status = status or CATALOGUE[code].http or 500
        self.retry_after = retry_after
        self.allow = allow
        self.close = close
        self.why = why

    def body(self, request_id: str) -> bytes:
        """The JSON document of DESIGN §5."""
        document = {
            "message": self.message,
            "type": _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error"),
            "code": self.code,
            "param": self.param,
            "request_id": request_id,
            "remedy": self.remedy,
            "detail": self.detail,
        }
        return json.dumps({"error": document}, separators=(",", ":")).encode()

    def headers(self, request_id: str, length: int) -> list[Header]:
        """The headers that go with `body`, `length` bytes long."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(length).encode()),
            (b"x-request-id", request_id.encode()),
        ]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        if self.allow is not None:
            headers.append((b"allow", self.allow.encode()))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers


# The words OpenAI's own API uses for `type`; its clients choose the exception by the status.
_TYPES = {401: "authentication_error", 404: "not_found_error"}
