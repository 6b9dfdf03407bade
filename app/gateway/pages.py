"""What the edge answers by itself: the models that a key may call."""

import json
from typing import Any

from app.domain.facts import Deployment
from app.domain.text import safe
from app.gateway.errors import EdgeError
from app.gateway.router import Router
from app.gateway.snapshot import Key, Snapshot

ANY = "default"
"""The model name that stands for the only deployment a key may call."""


def find_variant(snapshot: Snapshot, key: Key, model: str) -> tuple[Deployment, str | None]:
    """The deployment that `model` names, and the id of the variant if it names one that runs, as `demo@3` may.

    Raises MODEL_UNKNOWN, and INVALID_REQUEST for a variant of which there is no replica.
    """
    name, at, number = model.partition("@")
    deployment = find_deployment(snapshot, key, name)
    if not at:
        return deployment, None
    running = {str(snapshot.numbers[i.variant_id]): i.variant_id for i in deployment.instances}
    if number not in running:
        there = f"it runs {' and '.join(sorted(running, key=int))}" if running else "it runs none"
        message = f"`{deployment.name}` runs no variant {safe(number, 20)} now; {there}."
        raise EdgeError("INVALID_REQUEST", message, f"Name one that runs, or only `{deployment.name}`.", param="model")
    return deployment, running[number]


def find_deployment(snapshot: Snapshot, key: Key, model: str) -> Deployment:
    """The deployment that `model` names. Raises MODEL_UNKNOWN, alike for what is not there and not the key's."""
    deployment = snapshot.deployments.get(model)
    if deployment is not None and key.covers(deployment):
        return deployment
    if model == ANY:
        allowed = snapshot.callable_by(key)
        if len(allowed) == 1:
            return allowed[0]
        if allowed:
            raise EdgeError("MODEL_UNKNOWN", f"`{ANY}` is not clear: this key may call several models.", param="model")
    raise EdgeError("MODEL_UNKNOWN", f"There is no model `{safe(model, 100)}` for this key.", param="model")


def models(snapshot: Snapshot, key: Key, router: Router, name: str) -> bytes:
    """The list of models for `key`, or the one called `name`, with each deployment's status and context."""
    if name:
        document = _model(find_deployment(snapshot, key, name), snapshot, router)
    else:
        listed = [_model(deployment, snapshot, router) for deployment in snapshot.callable_by(key)]
        document = {"object": "list", "data": listed}
    return json.dumps(document, separators=(",", ":")).encode()


def _model(deployment: Deployment, snapshot: Snapshot, router: Router) -> dict[str, Any]:
    status, detail = router.status(deployment)
    return {
        "id": deployment.name,
        "object": "model",
        "created": deployment.created_at // 1_000_000,
        "owned_by": "stoker",
        "max_model_len": snapshot.specs[deployment.variant_id].context,
        "status": status,
        "detail": detail,
    }
