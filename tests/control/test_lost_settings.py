"""What a deployment was launched with and is no longer there: an engine's preset, the values of its variables."""

from importlib import resources
from pathlib import Path

from app.launch.environment import keep_environment
from app.settings import Home
from app.store import wishes
from tests.control.servers import server, without_gateway
from tests.control.support import bundled_spec, engines, launch, new_home, see, status, wait_for, wish


def test_a_preset_that_is_gone_keeps_nobody_from_serving_but_the_next_start(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    own = home.config / "engines.toml"
    own.write_text(own_preset())
    launch(home, "plain")
    launch(home, "special", engine="mine")
    with server(home, without_gateway):
        wait_for(lambda: status(home, "special") == status(home, "plain") == "DEPLOYED", "both launches")
    own.rename(tmp_path / "kept.toml")
    before = engines(home)
    with server(home, without_gateway):
        wish(home, wishes.restart, "special", "test")
        wait_for(lambda: status(home, "special") == "FAILED", "the restart to fail")
        assert failure(home, "special") == ("CONFIG_INVALID", "There is no engine `mine` any more.")
        assert status(home, "plain") == "DEPLOYED"
        assert len(engines(home)) == 1 and engines(home).items() <= before.items()
    (tmp_path / "kept.toml").rename(own)
    with server(home, without_gateway):
        wish(home, wishes.start, "special", "test")
        wait_for(lambda: status(home, "special") == "DEPLOYED", "the start with the preset back")
        clear(home, "plain", "special")


def test_values_that_are_lost_are_said_to_be(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    spec = keep_environment(home, bundled_spec(), {"SOME": "value"})
    wish(home, wishes.launch, "demo", spec, 1, "test")
    (home.keys / f"env-{spec.env_file}.json").unlink()
    with server(home, without_gateway):
        wait_for(lambda: status(home) == "FAILED", "the launch to fail")
        code, evidence = failure(home, "demo")
        assert code == "CONFIG_INVALID" and evidence.startswith("The values of SOME are lost")
        clear(home, "demo")


def own_preset() -> str:
    """The preset of llama.cpp under a name of the user's own."""
    shipped = (resources.files("assets") / "engines.toml").read_text("utf-8")
    return shipped.replace('["llama.cpp"', "[mine")


def failure(home: Home, name: str) -> tuple[str | None, str]:
    found = see(home, name)
    assert found is not None
    return found.instances[0].failure_code, found.instances[0].failure_evidence or ""


def clear(home: Home, *names: str) -> None:
    for name in names:
        wish(home, wishes.remove, name, "test")
    wait_for(lambda: all(status(home, name) == "GONE" for name in names), "the removal")
