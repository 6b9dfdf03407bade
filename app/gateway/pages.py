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
