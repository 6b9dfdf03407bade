"""The rules when people change their minds, and when machines go down. `model.py` says what a pass is."""

import pytest

from app.domain import reconcile as rules
from app.domain.lifecycle import Phase, State
from tests.domain.model import Model, phases, up

MINUTE = 60.0


class TestStop:
    def test_it_drains_until_the_gateway_has_let_go(self) -> None:
        model = up(2, acknowledging=False)
        model.wish(wish="stopped")
        model.settle()
        assert {i.phase for i in model.instances} == {Phase.DRAINING}
        model.tick(28)
        assert model.run_pass() is False
        model.acknowledge()
        model.settle()
        assert {i.phase for i in model.instances} == {Phase.BY_USER}
        assert phases(model)[-6:] == ["draining", "draining", "stopping", "stopping", "by_user", "by_user"]
        assert model.alive == []

    def test_it_waits_thirty_seconds_at_most(self) -> None:
        model = up(acknowledging=False)
        model.wish(wish="stopped")
        model.run_pass()
        model.tick(29.9)
        assert model.run_pass() is False
        model.tick(0.1)
        model.settle()
        assert model.alive == []

    def test_now_is_now(self) -> None:
        model = up(acknowledging=False)
        model.wish(wish="stopped", stop_now=True)
        model.settle()
        assert phases(model)[-3:] == ["serving", "stopping", "by_user"]

    def test_now_also_hurries_what_drains_already(self) -> None:
        model = up(acknowledging=False)
        model.wish(wish="stopped")
        model.settle()
        model.wish(wish="stopped", stop_now=True)
        model.settle()
        assert model.alive == []

    def test_a_stop_hurries_what_a_rollout_drains_at_leisure(self) -> None:
        model = up(acknowledging=False)
        model.wish(variant_id="v2")
        model.settle()
        model.tick(3600)
        assert model.run_pass() is False
        model.wish(wish="stopped")
        model.settle()
        model.tick(30)
        model.settle()
        assert model.alive == []

    def test_without_a_gateway_nobody_has_to_let_go(self) -> None:
        model = up(gateway_up=False)
        model.wish(wish="stopped")
        model.settle()
        assert model.alive == []

    def test_while_it_loads_there_is_nothing_to_drain(self) -> None:
        model = Model(steady=False)
        model.settle()
        model.wish(wish="stopped")
        model.settle()
        assert phases(model) == ["allocating", "starting", "by_user"]
        assert model.alive == []

    def test_while_it_is_created_it_ends_stopped(self) -> None:
        model = Model()
        model.take_look()
        model.decide()
        model.wish(wish="stopped")
        assert model.decide() == []
        model.complete()
        model.settle()
        assert model.instances[0].state is State.STOPPED
        assert model.alive == []

    def test_an_engine_that_takes_its_time_is_asked_once(self) -> None:
        model = up()
        model.engine().stubborn = True
        model.wish(wish="stopped", stop_now=True)
        assert model.settle() == 1
        model.tick(9)
        assert model.run_pass() is False
        assert model.instances[0].phase is Phase.STOPPING
        model.engine().stubborn = False
        model.settle()
        assert phases(model)[-1] == "by_user"

    def test_what_waits_for_a_retry_waits_no_more(self) -> None:
        model = up()
        for _ in range(2):
            model.end(model.engine(), "KILLED_EXTERNALLY")
            model.run_pass()
            model.run_pass()
        model.wish(wish="stopped")
        model.settle()
        assert (model.instances[0].phase, model.instances[0].retry_at) == (Phase.BY_USER, None)

    def test_a_stop_is_asked_for_again_by_a_new_server(self) -> None:
        model = up()
        model.wish(wish="stopped", stop_now=True)
        model.take_look()
        model.decide()
        model.complete("lost")
        model.restart_server(lose_calls=True)
        model.take_look()
        assert [a for a in model.decide() if isinstance(a, rules.Stop)] == [rules.Stop("i001", "i001-001")]

    def test_started_again_while_it_drains_it_comes_back(self) -> None:
        model = up(acknowledging=False)
        model.wish(wish="stopped")
        model.settle()
        model.wish(wish="running")
        model.settle()
        model.acknowledge()
        model.settle()
        assert model.alive == ["i001-002"]
        assert len(model.serving) == 1

    def test_what_is_stopped_is_not_let_go_of_before_it_starts_again(self) -> None:
        """A backend may keep what was stopped, and it can be looked at until then."""
        model = up()
        model.wish(wish="stopped")
        model.settle()
        assert set(model.engines) == {"i001-001"}
        model.wish(wish="running")
        model.settle()
        assert set(model.engines) == {"i001-002"}


class TestRemove:
    @pytest.mark.parametrize("prepare", ["serving", "loading", "failed", "stopped", "new"])
    def test_it_ends_with_nothing_left(self, prepare: str) -> None:
        model = Model(2, steady=prepare not in ("loading", "failed"))
        if prepare != "new":
            model.run_pass()
            model.run_pass()
        if prepare == "failed":
            for engine in model.engines.values():
                model.end(engine, "HOST_OOM")
            model.settle()
        if prepare == "stopped":
            model.wish(wish="stopped")
            model.settle()
        model.wish(wish="gone")
        model.settle()
        assert model.finished
        assert model.engines == {}

    def test_it_waits_for_a_backend_that_cannot_be_looked_at(self) -> None:
        model = up()
        model.wish(wish="gone")
        for _ in range(50):
            model.tick(MINUTE)
            assert model.decide(looked=False) == []
        model.settle()
        assert model.finished

    def test_unless_it_is_to_be_forgotten(self) -> None:
        model = up()
        model.wish(wish="gone", forget=True)
        actions = model.decide(looked=False)
        assert actions == [rules.Remove("i001"), rules.Finish("d")]

    def test_a_backend_that_answers_is_not_forgotten(self) -> None:
        model = up()
        model.wish(wish="gone", forget=True)
        model.take_look()
        assert not any(isinstance(a, rules.Remove) for a in model.decide())
        model.settle()
        assert model.finished


class TestRollout:
    def test_a_new_replica_serves_before_an_old_one_goes(self) -> None:
        model = up(2)
        model.wish(variant_id="v2")
        fewest, most = 9, 0
        while model.run_pass():
            fewest, most = min(fewest, len(model.serving)), max(most, len(model.alive))
            model.tick(1)
        assert (fewest, most) == (2, 3)
        assert [i.variant_id for i in model.serving] == ["v2", "v2"]

    def test_without_room_an_old_one_goes_first_and_says_why(self) -> None:
        model = up(2)
        model.no_room = True
        model.wish(variant_id="v2")
        fewest, most, said = 9, 0, set[str]()
        model.take_look()
        while actions := model.decide():
            said |= {a.cause for a in actions if isinstance(a, rules.Change)}
            model.complete()
            model.acknowledge()
            fewest, most = min(fewest, len(model.serving)), max(most, len(model.alive))
            model.take_look()
        assert (fewest, most) == (1, 2)
        assert [i.variant_id for i in model.serving] == ["v2", "v2"]
        assert "replaced by a later variant, stopped first: too little memory" in said

    def test_a_drain_takes_as_long_as_it_takes(self) -> None:
        model = up(acknowledging=False)
        model.wish(variant_id="v2")
        model.settle()
        model.tick(24 * 60 * MINUTE)
        assert model.run_pass() is False
        assert [i.phase for i in model.instances] == [Phase.DRAINING, Phase.SERVING]
        model.acknowledge()
        model.settle()
        assert [i.variant_id for i in model.instances] == ["v2"]

    @pytest.mark.parametrize("no_room", [True, False])
    def test_what_serves_is_not_given_up_for_what_fails(self, no_room: bool) -> None:
        model = up(3)
        model.wish(variant_id="v2")
        model.take_look()
        model.decide()
        model.no_room = no_room
        model.complete("refused")
        model.settle()
        old = [i for i in model.instances if i.variant_id == "v1"]
        assert [i.phase for i in old] == [Phase.SERVING] * 3
        assert [i.state for i in model.instances if i.variant_id == "v2"] == [State.FAILED]

    def test_back_to_the_earlier_variant(self) -> None:
        model = up(2)
        model.wish(variant_id="v2")
        model.run_pass()
        model.wish(variant_id="v1")
        model.settle()
        assert [i.id for i in model.serving] == ["i001", "i002"]
        assert [i.attempt.number for i in model.serving if i.attempt] == [1, 1]

    def test_of_fewer_replicas_what_leaves_already_goes_first(self) -> None:
        model = up(2, acknowledging=False)
        model.no_room = True
        model.wish(variant_id="v2")
        model.run_pass()
        assert [i.phase for i in model.instances] == [Phase.DRAINING, Phase.SERVING]
        model.wish(variant_id="v1", replicas=1)
        model.acknowledging = True
        while model.run_pass():
            assert [i.id for i in model.serving] == ["i002"]
        assert [i.id for i in model.instances] == ["i002"]

    def test_what_never_served_is_replaced_at_once_but_not_before_its_memory_is_free(self) -> None:
        model = Model(2, steady=False)
        model.settle()
        model.wish(variant_id="v2")
        model.steady = True
        model.settle()
        assert [i.variant_id for i in model.serving] == ["v2", "v2"]

    def test_more_replicas_and_fewer(self) -> None:
        model = up(1)
        model.wish(replicas=3)
        model.settle()
        assert len(model.serving) == 3
        model.end(model.engine(0), "HOST_OOM")
        model.settle()
        model.wish(replicas=2)
        model.settle()
        assert [i.id for i in model.instances] == ["i002", "i003"]
        assert len(model.serving) == 2


class TestRestart:
    @pytest.mark.parametrize("replicas", [1, 2, 3])
    def test_every_attempt_is_replaced_one_at_a_time(self, replicas: int) -> None:
        model = up(replicas)
        model.restart()
        fewest = replicas
        while model.run_pass():
            fewest = min(fewest, len(model.serving))
            model.tick(1)
        assert fewest == replicas - 1
        assert [i.attempt.number for i in model.serving if i.attempt] == [2] * replicas

    def test_what_failed_is_tried_again(self) -> None:
        model = up(2)
        model.end(model.engine(1), "HOST_OOM")
        model.settle()
        model.restart()
        model.settle()
        assert [i.attempt.number for i in model.serving if i.attempt] == [2, 2]

    def test_it_waits_for_replicas_that_are_yet_to_come(self) -> None:
        model = up(1)
        model.wish(replicas=2)
        model.restart()
        while model.run_pass():
            assert model.serving
        assert [i.attempt.number for i in model.serving if i.attempt] == [2, 1]

    def test_if_the_first_does_not_come_back_the_others_stay(self) -> None:
        model = up(2)
        model.steady = False
        model.restart()
        while model.instances[0].state is not State.PENDING:
            model.run_pass()
        model.end(model.engine(0), "HOST_OOM")
        model.settle()
        assert [i.phase for i in model.instances] == [Phase.FAILED, Phase.SERVING]


class TestReboot:
    def test_nothing_starts_again_unless_asked(self) -> None:
        model = up(2)
        model.reboot()
        model.settle()
        assert {i.phase for i in model.instances} == {Phase.BY_SHUTDOWN}
        model.tick(24 * 60 * MINUTE)
        assert model.run_pass() is False
        model.wish(wish="running")
        model.settle()
        assert len(model.serving) == 2

    def test_asked_before_anybody_noticed_is_asked(self) -> None:
        model = up(2)
        model.reboot()
        model.tick(MINUTE)
        model.wish(wish="running")
        model.tick(MINUTE)
        model.settle()
        assert len(model.serving) == 2

    def test_or_unless_it_is_to_resume(self) -> None:
        model = up(2, resume=True)
        model.reboot()
        model.settle()
        assert [i.attempt.number for i in model.serving if i.attempt] == [2, 2]

    def test_nobody_failed(self) -> None:
        model = up()
        model.reboot()
        model.settle()
        assert (model.instances[0].failure_code, model.instances[0].failure_count) == (None, 0)

    def test_a_restart_or_a_rollout_under_way_does_not_go_on_in_silence(self) -> None:
        for ask in (Model.restart, lambda model: model.wish(variant_id="v2")):
            model = up(2, acknowledging=False)
            model.run_pass()
            ask(model)
            model.run_pass()
            model.run_pass()
            model.tick(1)
            model.reboot()
            model.settle()
            assert model.alive == []
            assert {i.phase for i in model.instances} == {Phase.BY_SHUTDOWN}
            model.wish(wish="running")
            model.acknowledging = True
            model.settle()
            assert [i.variant_id for i in model.serving] == [model.deployment.variant_id] * 2

    def test_nor_does_a_start_that_had_not_begun(self) -> None:
        model = up(2)
        model.end(model.engine(0), "KILLED_EXTERNALLY")
        model.run_pass()
        model.take_look()
        model.decide()
        assert model.instances[0].phase is Phase.ALLOCATING
        model.tick(1)
        model.end(model.engine(1), "KILLED_EXTERNALLY", rebooted=True)
        model.restart_server(lose_calls=True)
        model.take_look()
        assert not any(isinstance(a, rules.Create) for a in model.decide())
        model.settle()
        assert {i.phase for i in model.instances} == {Phase.BY_SHUTDOWN}

    def test_nor_does_a_retry(self) -> None:
        model = up(2)
        for _ in range(2):
            model.end(model.engine(0), "KILLED_EXTERNALLY")
            model.run_pass()
            model.run_pass()
        assert model.instances[0].retry_at is not None
        model.tick(1)
        model.reboot()
        model.tick(MINUTE)
        model.settle()
        assert {(i.phase, i.retry_at) for i in model.instances} == {(Phase.BY_SHUTDOWN, None)}
        model.wish(wish="running")
        model.settle()
        assert len(model.serving) == 2

    def test_taken_down_before_it_began(self) -> None:
        model = Model()
        model.decide(looked=False)
        assert [i.state for i in model.instances] == [State.NON_BOOTSTRAP]
        model.tick(1)
        model.shutting_down = True
        model.settle()
        model.shutting_down = False
        assert model.run_pass() is False
        assert [i.phase for i in model.instances] == [Phase.BY_SHUTDOWN]

    def test_taken_down_with_everything_it_comes_back_when_asked(self) -> None:
        model = up(2)
        model.tick(1)
        model.shutting_down = True
        model.settle()
        assert model.alive == []
        model.shutting_down = False
        assert model.run_pass() is False
        assert {i.phase for i in model.instances} == {Phase.BY_SHUTDOWN}
        model.wish(wish="running")
        model.settle()
        assert len(model.serving) == 2
