"""The rules about GPUs: whose memory it is, what is reserved for ours, what is free, and who takes what."""

from app.domain.gpus import (
    KNOWN_AFTER_US,
    Gpu,
    Holder,
    HostLook,
    Ours,
    Reserve,
    attribute,
    free_vram,
    intrusion,
    reserves,
    shown_command,
    succeed,
)

GIB = 1 << 30


def gpu(*holders: Holder, total: int = 24, used: int = 0) -> Gpu:
    return Gpu(0, "GPU-a", "x", total * GIB, used * GIB, (total - used) * GIB, holders=holders)


def ours(size: int, name: str = "chat", since: int = 10) -> Holder:
    return Holder(7, size * GIB, since=since, deployment=name)


def test_a_process_is_ours_if_it_or_one_above_it_or_its_container_is() -> None:
    inside, beside = Holder(5, container="3f2a9c0d1e4b"), Holder(6, container="000000000000")
    look = HostLook(
        "ok", 1, (gpu(Holder(7), Holder(8, parents=(7, 1)), Holder(9, parents=(1,)), inside, beside), Gpu(1))
    )
    found = attribute(look, Ours({7: "chat"}, {"3f2a9c0d1e4b": "boxed"}))
    assert [h.deployment for h in found.gpus[0].holders or ()] == ["chat", "chat", None, "boxed", None]
    assert found.gpus[1].holders is None


def test_a_look_is_the_same_after_it_was_stored() -> None:
    look = HostLook("ok", 1, (gpu(Holder(8, 5, "ada", "x", None, 3, (7, 1), "chat")), Gpu(1, trouble="lost")), "570")
    assert HostLook.from_json(look.to_json()) == look


def test_a_reserve_is_the_most_that_was_held_and_stays_while_it_is_wanted() -> None:
    found = reserves({}, gpu(ours(6, since=4), ours(10, since=3), ours(1, "gone")), {"chat": "v1"}, now=15)
    assert found == {"chat": Reserve(16 * GIB, 3, "v1")}
    found = reserves(found, gpu(ours(4, since=16)), {"chat": "v1"}, now=17)
    assert found == {"chat": Reserve(16 * GIB, 3, "v1")}
    assert reserves(found, gpu(), {"chat": "v1"}, now=18) == found
    assert reserves(found, gpu(ours(16)), {}, now=19) == {}


def test_what_a_variant_needed_is_forgotten_with_it() -> None:
    before = {"chat": Reserve(40 * GIB, 3, "v1")}
    both = reserves(before, gpu(ours(20), ours(5, since=12)), {"chat": ""}, now=15)
    assert both == {"chat": Reserve(25 * GIB, 10, "")}
    assert reserves(both, gpu(ours(5, since=12)), {"chat": "v2"}, now=16) == {"chat": Reserve(5 * GIB, 12, "v2")}
    assert reserves(before, gpu(), {"chat": "v2"}, now=15) == {}


def test_a_host_that_does_not_answer_keeps_what_it_had() -> None:
    first = succeed(None, "gpu1", HostLook("ok", 10, (gpu(ours(4)),), "570"), {"chat": "v1"})
    assert (first.since, first.answered_at, first.reserves) == (10, 10, {"GPU-a": {"chat": Reserve(4 * GIB, 10, "v1")}})
    again = succeed(first, "gpu1", HostLook("ok", 20, (gpu(),), "570"), {"chat": "v1"})
    assert (again.since, again.answered_at, again.reserves) == (10, 20, first.reserves)
    cut = succeed(again, "gpu1", HostLook("unreachable", 30, code="HOST_UNREACHABLE", detail="x"), {"chat": "v1"})
    assert (cut.since, cut.answered_at, cut.reserves) == (30, 20, first.reserves)
    assert (cut.look.gpus, cut.look.driver, cut.look.detail) == (again.look.gpus, "570", "x")
    down = succeed(again, "gpu1", HostLook("driver_down", 30, code="CUDA_ERROR", detail="x"), {"chat": "v1"})
    assert (down.since, down.look.gpus, down.reserves) == (10, (), first.reserves)
    back = succeed(cut, "gpu1", HostLook("ok", 40, (gpu(),), "571"), {})
    assert (back.since, back.answered_at, back.reserves, back.look.driver) == (40, 40, {}, "571")


def test_free_is_what_the_driver_has_or_what_ours_leave() -> None:
    assert free_vram(gpu(used=4), {}) == 20 * GIB
    assert free_vram(gpu(used=4), {"chat": Reserve(16 * GIB, 1)}) == 8 * GIB
    assert free_vram(gpu(used=20), {"chat": Reserve(16 * GIB, 1)}) == 4 * GIB
    assert free_vram(gpu(), {"chat": Reserve(30 * GIB, 1)}) == 0
    assert free_vram(Gpu(0), {"chat": Reserve(1, 1)}) is None


def test_a_newcomer_that_leaves_less_than_ours_need_is_an_intrusion() -> None:
    reserved, now = {"chat": Reserve(20 * GIB, 10)}, KNOWN_AFTER_US + 100
    train = Holder(9, 6 * GIB, "alice", "python train.py", since=11)
    found = intrusion(gpu(ours(2), train), reserved, now)
    assert found is not None
    assert (found.missing, found.deployments, found.holders) == (2 * GIB, ("chat",), (train,))
    assert intrusion(gpu(ours(2), Holder(9, 4 * GIB, since=11)), reserved, now) is None, "there is room for both"
    assert intrusion(gpu(ours(2), Holder(9, 6 * GIB, since=9)), reserved, now) is None, "it was there before ours"
    assert intrusion(gpu(ours(2), train), reserved, KNOWN_AFTER_US) is None, "it may be one of ours that just began"
    assert intrusion(gpu(train), {}, now) is None, "ours need nothing here"


def test_secrets_on_other_peoples_command_lines_are_not_shown() -> None:
    shown = shown_command(["run", "--api-key", "a1", "--hf-token=b2", "MY_PASSWORD=c3", "--keep", "x"])
    assert shown == "run --api-key *** --hf-token=*** MY_PASSWORD=*** --keep x"
