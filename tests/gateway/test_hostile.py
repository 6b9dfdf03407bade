"""Raw bytes on a socket: what no well-meaning client sends, and what the edge says to it."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.gateway.conftest import CONFIG, Edge, close_edge, make_edge
from tests.gateway.process import wait_for

SHORT = CONFIG + "header_timeout = 0.3\nbody_idle = 0.3\nkeep_alive = 0.3\nconnections = 40\n"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge that is impatient, and lets few clients in."""
    made = make_edge(tmp_path_factory.mktemp("edge"), SHORT)
    yield made
    close_edge(made)


def connect(edge: Edge) -> socket.socket:
    host, _, port = edge.gateway.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.settimeout(30)
    return connection


def answer(connection: socket.socket) -> bytes:
    """Everything until the gateway closes."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def ask(edge: Edge, raw: bytes) -> bytes:
    """The answer to bytes that must end the connection."""
    with closing(connect(edge)) as connection:
        connection.sendall(raw)
        return answer(connection)


def post(edge: Edge, *headers: str, body: bytes = b"", key: bool = True) -> bytes:
    """A POST to the chat endpoint, with the key unless told otherwise."""
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: x", "Connection: close", *headers]
    if key:
        lines.append(f"Authorization: Bearer {edge.key}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def check(raw: bytes, status: int, code: str) -> dict[str, object]:
    """One response in `raw`, of this status and code, with exactly one request id, the one in the body."""
    assert raw.count(b"HTTP/1.1 ") == 1, raw
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), raw
    error: dict[str, object] = json.loads(body)["error"]
    assert error["code"] == code
    assert re.findall(rb"(?i)\r\nx-request-id: ([^\r]+)", head) == [str(error["request_id"]).encode()]
    return error


BODY = b'{"model":"demo","messages":[{"role":"user","content":"x"}]}'
CHUNKED = b"%x\r\n%s\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Transfer-Encoding: \x0bchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: +5",),
        ("Content-Length: 0x5",),
        ("Content-Length: 1_0",),
        ("Content-Length: -1",),
        ("Content-Length: 99999999999999999999999",),
        ("X: a\x00b",),
        (" folded: yes",),
        ("bad header",),
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(edge: Edge, headers: tuple[str, ...]) -> None:
    before = edge.engine.seen["requests"]
    smuggled = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    check(ask(edge, post(edge, *headers, body=smuggled)), 400, "INVALID_REQUEST")
    assert edge.engine.seen["requests"] == before


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/9.9", b"get /healthz HTTP/1.1", b"GARBAGE", b"\x16\x03\x01\x02\x00", b"GET  HTTP"]
)
def test_what_is_not_http_is_told_so(edge: Edge, line: bytes) -> None:
    check(ask(edge, line + b"\r\nHost: x\r\n\r\n"), 400, "INVALID_REQUEST")


def test_a_key_in_a_trailer_is_no_key(edge: Edge) -> None:
    trailer = f"0\r\nAuthorization: Bearer {edge.key}\r\n\r\n".encode()
    raw = post(edge, "Transfer-Encoding: chunked", body=CHUNKED + trailer, key=False)
    check(ask(edge, raw), 401, "AUTH_MISSING_TOKEN")


def test_a_trailer_changes_nothing(edge: Edge) -> None:
    raw = post(edge, "Transfer-Encoding: chunked", body=CHUNKED + b"0\r\nX-Request-Id: other\r\n\r\n")
    received = ask(edge, raw)
    assert received.startswith(b"HTTP/1.1 200 ") and b"other" not in received


def test_a_declared_length_of_gigabytes_is_refused_without_reading(edge: Edge) -> None:
    raw = post(edge, "Content-Length: 8589934592", "Expect: 100-continue")
    error = check(ask(edge, raw), 413, "BODY_TOO_LARGE")
    assert error["detail"] == {"limit": 10_000_000, "size": 8_589_934_592}


def test_an_expected_body_is_asked_for(edge: Edge) -> None:
    with closing(connect(edge)) as connection:
        connection.sendall(post(edge, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "headers",
    ["X: " + "a" * 20_000, "\r\n".join(f"X-{i}: 1" for i in range(150)), "X" * 20_000 + ": 1", "X: " + "a" * 900_000],
)
def test_too_many_headers_are_refused(edge: Edge, headers: str) -> None:
    check(ask(edge, post(edge, headers, "Content-Length: 0")), 431, "INVALID_REQUEST")


def test_a_line_without_end_is_refused(edge: Edge) -> None:
    check(ask(edge, b"GET /" + b"a" * 20_000), 431, "INVALID_REQUEST")


@pytest.mark.parametrize("endless", [b"5;" + b"x" * 900_000, CHUNKED + b"0\r\nX: " + b"a" * 900_000])
def test_chunk_extensions_and_trailers_are_bounded(edge: Edge, endless: bytes) -> None:
    raw = ask(edge, post(edge, "Transfer-Encoding: chunked", body=endless))
    check(raw, 400, "INVALID_REQUEST")


def test_a_head_that_does_not_come_is_not_waited_for(edge: Edge) -> None:
    check(ask(edge, b"GET /healthz HTTP/1.1\r\nHost:"), 408, "INVALID_REQUEST")
    with closing(connect(edge)) as silent:
        assert answer(silent) == b""


def test_a_body_that_does_not_come_is_not_waited_for(edge: Edge) -> None:
    check(ask(edge, post(edge, "Content-Length: 100", body=b"{")), 408, "INVALID_REQUEST")


def test_a_client_that_only_sends_line_ends_is_not_kept(edge: Edge) -> None:
    with closing(connect(edge)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1_000).endswith(b'{"status":"ok"}')
        connection.sendall(b"\r\n")
        check(answer(connection), 408, "INVALID_REQUEST")


@pytest.mark.parametrize("body", ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"])
def test_what_was_refused_before_its_body_came_is_not_answered_twice(edge: Edge, body: str) -> None:
    check(ask(edge, f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{body}".encode()), 401, "AUTH_MISSING_TOKEN")


def test_an_idle_connection_is_closed(edge: Edge) -> None:
    with closing(connect(edge)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection).endswith(b'{"status":"ok"}')


def test_more_clients_than_allowed_are_turned_away(edge: Edge) -> None:
    held = [connect(edge) for _ in range(40)]
    try:

        def turned_away() -> bytes:
            with closing(connect(edge)) as late:
                late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return answer(late)

        raw = turned_away()
        check(raw, 503, "NO_CAPACITY")
        assert b"retry-after: " in raw
    finally:
        for connection in held:
            connection.close()
    wait_for(lambda: turned_away().startswith(b"HTTP/1.1 200 "))


def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    first = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.key}\r\n\r\n".encode()
    raw = ask(edge, first + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert raw.index(b'"object":"list"') < raw.index(b'{"status":"ok"}')


def test_garbage_after_a_request_ends_the_connection_and_nothing_else(edge: Edge) -> None:
    with closing(connect(edge)) as connection:
        body = b'{"model":"demo","user":"drip","stream":true,"messages":[{"role":"user","content":"x"}]}'
        connection.sendall(post(edge, f"Content-Length: {len(body)}", body=body).replace(b"Connection: close\r\n", b""))
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\x00\x01\x02\r\n\r\n")
        with suppress(ConnectionResetError):
            answer(connection)
    wait_for(lambda: edge.engine.seen["active"] == 0)
    wait_for(lambda: edge.metric("stoker_in_flight") == 0)


def test_a_client_that_offers_another_protocol_is_answered_in_http(edge: Edge) -> None:
    raw = ask(
        edge,
        post(edge, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"Content-Length: {len(BODY)}", body=BODY),
    )
    assert raw.startswith(b"HTTP/1.1 200 ")


def test_refusals_of_the_parser_are_kept_too(edge: Edge) -> None:
    raw = ask(edge, b"GARBAGE\r\n\r\n")
    request_id = check(raw, 400, "INVALID_REQUEST")["request_id"]
    (row,) = wait_for(lambda: edge.store.rows("SELECT * FROM requests WHERE request_id = ?", request_id))
    assert (row["status"], row["code"], row["attempt_id"]) == (400, "INVALID_REQUEST", None)
