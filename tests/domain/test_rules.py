"""Rules are data: what a valid one is, that a bad one is named, and that each that ships can be reached."""

import re
from typing import Any

import pytest

from app.domain.detector import Detector, Rules
from app.domain.failures import StokerError
from app.domain.rules import parse_rules
from app.domain.verdict import cause
from tests.domain.rules import SHIPPED, verdict


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"id": "a", "code": "NO_SUCH_CODE", "find": ["x"]}, "no such code"),
        ({"id": "a", "code": "BAD_FLAG", "pattern": "("}, "missing )"),
        ({"id": "a", "code": "BAD_FLAG"}, "neither"),
        ({"id": "a", "find": ["x"]}, "no `code`"),
        ({"id": "a", "code": "BAD_FLAG", "find": "x"}, "list of texts"),
        ({"id": "a", "code": "BAD_FLAG", "find": ["x"], "finds": 1}, "unknown field `finds`"),
        ({"id": "a", "kind": "milestone", "stage": "tea", "find": ["x"]}, "no such stage"),
        ({"id": "a", "kind": "opinion", "find": ["x"]}, "no such kind"),
    ],
)
def test_a_bad_rule_is_named(rule: dict[str, Any], what: str) -> None:
    with pytest.raises(StokerError, match=rf"rule a: .*{re.escape(what)}") as caught:
        parse_rules({"rule": [rule]})
    assert caught.value.code == "CONFIG_INVALID"


def test_what_is_no_list_of_tables_is_no_rules() -> None:
    with pytest.raises(StokerError, match="tables"):
        parse_rules({"rule": {"id": "a"}})


def test_ids_are_unique_and_contexts_exist() -> None:
    ids = [rule.id for rule in SHIPPED]
    assert sorted(ids) == sorted(set(ids))
    assert {rule.after for rule in SHIPPED} - {None} <= {rule.id for rule in SHIPPED if rule.kind == "context"}


def test_every_rule_that_ships_has_a_text_to_look_for() -> None:
    assert [rule.id for rule in SHIPPED if not rule.find] == []


def test_ones_own_rule_beats_those_that_ship() -> None:
    line = "E ggml_aligned_malloc: insufficient memory (attempted to allocate 1 MB)"
    own = parse_rules({"rule": [{"id": "mine", "code": "DISK_FULL", "pattern": r"aligned_\w+:"}]}, own=True)
    detector = Detector(Rules((*own, *SHIPPED)))
    assert [f.rule for f in detector.feed(f"quiet\n{line}\n".encode())] == ["mine", "host-allocation"]
    found = cause(detector.standing.values())
    assert found is not None
    assert (found.finding.code, found.finding.line) == ("DISK_FULL", 2)
    assert verdict(line) == "HOST_OOM"
