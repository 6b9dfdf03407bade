"""A tag that has moved is told once for each digest, in the timeline of what runs by the old one."""

import time
from contextlib import closing
from pathlib import Path

from app.control.apply import note_moved
from app.store import read
from app.store.sqlite import connect_reader
from app.store.write import Store
from tests.gateway.store import Store as Rows


def test_a_move_is_told_once_for_each_digest(tmp_path: Path) -> None:
    rows = Rows(tmp_path).create()
    deployment = rows.deployment("demo")
    instance = rows.instance(deployment, None)
    with closing(Store(rows.home.store)) as store:
        for text in ("`x:1` has moved to sha256:b", "`x:1` has moved to sha256:b", "`x:1` has moved to sha256:c"):
            with store.write() as session:
                note_moved(session, instance, text, time.time_ns() // 1_000)
    with closing(connect_reader(rows.home.store)) as connection:
        told = [(e["cause"], e["detail"]) for e in read.events(connection, deployment)]
    assert [detail[-8:] for _, detail in told] == ["sha256:b", "sha256:c"]
    assert {cause for cause, _ in told} == {"the tag of its image has moved"}
