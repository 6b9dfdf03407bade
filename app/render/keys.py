"""API keys: what may be shown of them, and the one time that a key is shown whole."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from app.render.cells import Cell, Line, Tone, line, table
from app.render.words import UNKNOWN, ago, moment

_URL = "http://127.0.0.1:8400/v1"
"""Where a gateway listens if nothing else is said."""
_TONES: dict[str, Tone] = {"active": "good", "expiring": "look"}


def document(row: Mapping[str, Any], names: Mapping[str, str], now: int) -> dict[str, Any]:
    """One row of `keys` as `keys ls --json` prints it. `names` maps deployment ids to names."""
    return {
        "id": row["id"],
        "prefix": f"stk_{row['id']}",
        "name": row["name"],
        "scope": scope(row["scope"], names),
        "state": state(row, now),
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "last_used": row["last_used_at"],
    }


def scope(stored: str | None, names: Mapping[str, str]) -> list[str] | None:
    """The names of the deployments that a key may call, None for all. Those that are gone are left out."""
    return None if stored is None else [names[i] for i in json.loads(stored) if i in names]


def state(row: Mapping[str, Any], now: int) -> str:
    """`active`, `revoked`, `expired`, or `expiring` for one that was rotated and still works."""
    if row["revoked_at"] is not None and row["revoked_at"] <= now:
        return "revoked"
    if row["expires_at"] is not None and row["expires_at"] <= now:
        return "expired"
    return "expiring" if row["rotated_to"] is not None else "active"


def state_tone(word: str) -> Tone:
    """The tone of a key's state."""
    return _TONES.get(word, "dim")


def keys_table(documents: Sequence[Mapping[str, Any]], now: int) -> list[Line]:
    """What `stoker keys ls` shows."""
    body = [
        (
            d["id"],
            d["name"] or UNKNOWN,
            "all" if d["scope"] is None else ", ".join(d["scope"]) or UNKNOWN,
            Cell(d["state"], state_tone(d["state"])),
            UNKNOWN if d["expires_at"] is None else moment(d["expires_at"]),
            ago(now, d["last_used"]),
        )
        for d in documents
    ]
    return table(("ID", "NAME", "SCOPE", "STATE", "EXPIRES", "LAST USED"), body)


def shown_once(key: str, url: str | None, model: str | None) -> list[Line]:
    """A new key, with what to type to use it. This is the only time that it is shown."""
    lines = [line("key       ", Cell(key, "accent"), Cell("   shown only now", "dim"))]
    if url is None or model is None:
        return lines
    return [
        line("URL       ", Cell(url, "accent"), f'   model "{model}"'),
        *lines,
        line(),
        *(line(Cell(text, "dim")) for text in (*curl(url, key, model), "", *snippet(url, key, model))),
    ]


def curl(url: str, key: str, model: str) -> list[str]:
    """A chat request for a shell."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    return [
        f"curl {url}/chat/completions \\",
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        f"  -d '{body}'",
    ]


def curl_request(url: str | None, body: Mapping[str, Any]) -> str:
    """A request for a shell, which has the key in `$STOKER_KEY`. Pure ASCII, whatever was said."""
    words = shlex.quote(json.dumps(body))
    return "\n".join(
        (
            f"curl -N {url or _URL}/chat/completions \\",
            "  -H \"Authorization: Bearer $STOKER_KEY\" -H 'Content-Type: application/json' \\",
            f"  -d {words}",
        )
    )


def snippet(url: str, key: str, model: str) -> list[str]:
    """The same with OpenAI's Python client."""
    return [
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{url}", api_key="{key}")',
        f'answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])',
        "print(answer.choices[0].message.content)",
    ]
