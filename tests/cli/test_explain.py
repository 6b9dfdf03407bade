"""`explain`: one word or all of them, with what a phase usually takes here."""

from app.store import tables
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import launch

KEYS = {"word", "kind", "group", "meaning", "remedy", "then", "usual_us"}


def test_one_word_and_all_of_them(stoker: Stoker) -> None:
    document = stoker.json("explain", "BAD_FLAG")
    assert set(document) == KEYS
    assert (document["word"], document["kind"], document["group"]) == ("BAD_FLAG", "code", "launch")
    assert "change something first" in document["then"]
    assert [each["kind"] for each in stoker.json("explain", "failed")] == ["status", "phase"]
    everything = stoker.json("explain")
    assert {each["kind"] for each in everything} == {"code", "status", "phase"}
    text = stoker("explain").out
    assert all(f"\n{group}\n" in f"\n{text}" for group in ("auth", "launch", "runtime", "host", "commands", "status"))
    assert all(each["word"] in text for each in everything)
    assert stoker("explain", "nonsense", "--json").error["code"] == "NOT_FOUND"


def test_what_a_phase_takes_here(stoker: Stoker, store: Store) -> None:
    assert stoker.json("explain", "loading")["usual_us"] is None
    deployment = launch(store)
    for n, took in enumerate((2_000_000, 4_000_000, 60_000_000)):
        at = 1_000_000_000 * (n + 1)
        steps = [("pending/starting", at), ("pending/loading", at + 500_000), ("running/serving", at + 500_000 + took)]
        # A start that failed while loading says nothing of how long loading takes.
        steps += [("failed/failed", at + 90_000_000), ("pending/loading", at + 100_000_000)]
        steps += [("failed/failed", at + 101_000_000)]
        before = "pending/allocating"
        with store.write() as session:
            for state, moment in steps:
                session.add(
                    tables.Event(
                        at=moment, deployment_id=deployment.id, subject="demo-a", from_state=before, to_state=state,
                        cause="", actor="server",
                    )
                )  # fmt: skip
                session.flush()
                before = state
    assert stoker.json("explain", "loading")["usual_us"] == 4_000_000
    assert stoker.json("explain", "starting")["usual_us"] == 500_000
    assert "4.0 s here, usually" in stoker("explain", "loading").out
