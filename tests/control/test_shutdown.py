"""`down --all` as the server does it: every instance stops, no wish changes, and nothing comes back by itself."""

from pathlib import Path

from app.settings import Home
from app.store import jobs, read, wishes
from tests.control.servers import server, without_gateway
from tests.control.support import engines, launch, new_home, status, wait_for, wish

MINUTE_US = 60_000_000


def test_what_was_shut_down_rests_even_where_it_would_resume_after_a_reboot(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    (home.config / "config.toml").write_text("[server]\nresume_after_reboot = true\n")
    launch(home)
    with server(home, without_gateway):
        wait_for(lambda: status(home) == "DEPLOYED", "the launch")
        wish(home, jobs.submit, "shutdown", {}, MINUTE_US)
        wait_for(lambda: state_of_job(home) == "done", "everything to stop")
        launch(home, "other")
        wait_for(lambda: status(home, "other") == "DEPLOYED", "another launch, which takes the server some passes")
        assert status(home) == "STOPPED"
        assert len(engines(home)) == 1
        wish(home, wishes.start, "demo", "test")
        wait_for(lambda: status(home) == "DEPLOYED", "what was asked to start again")
        wish(home, jobs.submit, "shutdown", {}, MINUTE_US)
        wait_for(lambda: state_of_job(home) == "done" and not engines(home), "everything to stop again")
    with server(home, without_gateway):
        wait_for(lambda: status(home) == status(home, "other") == "DEPLOYED", "the next server to resume both")
        for name in ("demo", "other"):
            wish(home, wishes.remove, name, "test")
        wait_for(lambda: status(home) == status(home, "other") == "GONE", "the removal")


def state_of_job(home: Home) -> str:
    """The state of the newest job."""
    with read.reading(home.store) as connection:
        row = connection.execute("SELECT state FROM jobs ORDER BY id DESC LIMIT 1").fetchone()
    return str(row["state"])
