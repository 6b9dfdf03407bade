"""One gateway a module, in front of one engine, for the tests that leave no trace behind."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, wait_for
from tests.gateway.store import Store

CONFIG = "[edge]\nqueue_time = 0.4\n"


@dataclass
class Edge:
    """A gateway with its store, an engine behind it, a deployment `demo` and a key for it."""

    store: Store
    gateway: Gateway
    engine: Engine
    deployment: str
    instance: str
    key: str
    client: httpx2.Client

    def post(
        self, path: str = "/v1/chat/completions", headers: dict[str, str] | None = None, **body: Any
    ) -> httpx2.Response:
        """One request with the key of this edge, `demo` and a message unless others are given."""
        content = {"model": "demo", **_CONTENT[path], **body}
        return self.client.post(self.gateway.url + path, json=content, headers=self.headers(headers))

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        """One request with the key of this edge."""
        return self.client.get(self.gateway.url + path, headers=self.headers(headers))

    def headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """The headers of a request."""
        return {"Authorization": f"Bearer {self.key}", **(more or {})}

    def row(self, response: httpx2.Response) -> dict[str, Any]:
        """The one row that the request of `response` left in the store."""
        found = wait_for(lambda: self.store.rows("SELECT * FROM requests WHERE request_id = ?", _id(response)))
        assert len(found) == 1
        return found[0]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry `labels`."""
        lines = self.client.get(self.gateway.url + "/metrics").text.splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [line for line in lines if line.startswith(name + "{") and all(word in line for word in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def settle(self) -> None:
        """Return when the gateway knows what the store holds now: it lists every deployment of the key."""
        generation = self.store.generation()
        marker = self.store.deployment(f"settled-{generation}")
        wait_for(lambda: f"settled-{generation}" in self.get("/v1/models").text)
        self.store.execute("UPDATE deployments SET gone_at = 1 WHERE id = ?", marker)


_MESSAGES = [{"role": "user", "content": "Name ports on the Baltic sea"}]
_CONTENT: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": _MESSAGES},
    "/v1/completions": {"prompt": "Ports on the Baltic sea are"},
    "/v1/embeddings": {"input": "Riga"},
}


def _id(response: httpx2.Response) -> str:
    return str(response.headers["x-request-id"])


def make_edge(root: Path, config: str = CONFIG, seqs: int = 4) -> Edge:
    """A gateway in front of a fresh engine; `close_edge` ends both."""
    engine = Engine()
    store = Store(root).create()
    deployment = store.deployment("demo", seqs=seqs)
    instance = store.instance(deployment, engine.url, secret="engine-key")
    key = store.key()
    gateway = Gateway(store.home, config)
    client = httpx2.Client(timeout=30, limits=httpx2.Limits(max_keepalive_connections=0))
    edge = Edge(store, gateway, engine, deployment, instance, key.text, client)
    wait_for(lambda: edge.get("/v1/models").status_code == 200)
    return edge


def close_edge(edge: Edge) -> None:
    """End the gateway and its engine."""
    edge.client.close()
    edge.gateway.close()
    edge.engine.close()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for the tests of a module."""
    made = make_edge(tmp_path_factory.mktemp("edge"))
    yield made
    close_edge(made)


@pytest.fixture
def own_edge(tmp_path: Path) -> Iterator[Edge]:
    """An edge for one test, which may do with it what it likes."""
    made = make_edge(tmp_path)
    yield made
    close_edge(made)
