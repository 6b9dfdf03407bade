"""The table of actions: ids and keys are unique where they meet, every action is done by somebody, keymaps apply."""

from importlib import import_module
from itertools import pairwise

import pytest

from app import console
from app.actions import ACTIONS, EVERYWHERE, complete_command, find_command, for_screen, with_keymap
from app.domain.failures import StokerError

SCREENS = sorted({a.where for a in ACTIONS} - {EVERYWHERE})


def test_ids_and_commands_are_unique() -> None:
    ids = [a.id for a in ACTIONS]
    assert len(ids) == len(set(ids))
    for screen in SCREENS:
        commands = [a.command for a in for_screen(screen) if a.command]
        assert len(commands) == len(set(commands)), screen


@pytest.mark.parametrize("screen", SCREENS)
def test_a_key_does_one_thing_on_a_screen(screen: str) -> None:
    keys = sorted(key for a in for_screen(screen) for key in a.keys)
    assert not [one for one, other in pairwise(keys) if one == other]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.id)
def test_every_action_is_done_by_its_screen_or_by_the_app(action: object) -> None:
    where, name = action.where, action.name  # type: ignore[attr-defined]  # parametrised by the table itself
    owners: list[object] = [console.Console]
    if where != EVERYWHERE:
        module, _, attribute = console._SCREENS[where].partition(":")
        owners.append(getattr(import_module(module), attribute))
    assert any(hasattr(owner, f"do_{name}") for owner in owners)


def test_a_keymap_replaces_keys_by_id_and_refuses_what_it_does_not_know() -> None:
    table = with_keymap({"fleet.stop": "t, ctrl+t"})
    assert next(a for a in table if a.id == "fleet.stop").keys == ("t", "ctrl+t")
    with pytest.raises(StokerError) as caught:
        with_keymap({"fleet.stap": "t"})
    assert caught.value.code == "CONFIG_INVALID"
    assert "fleet.stop" in caught.value.remedy


def test_commands_complete_to_words_and_then_to_names() -> None:
    assert complete_command("st", ()) == ["stop", "start"]
    assert complete_command("stop c", ("chat", "coder", "embed")) == ["stop chat", "stop coder"]
    assert complete_command("theme a", ()) == ["theme ash", "theme ansi"]
    action, argument = find_command("stop chat")
    assert (action.id, argument) == ("fleet.stop", "chat")
    with pytest.raises(StokerError, match="Did you mean `:stop`"):
        find_command("stpo")
