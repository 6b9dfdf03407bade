"""The rules, one story each. `model.py` says what a pass is, and asserts at every decision what must always hold."""

import pytest

from app.domain import reconcile as rules
from app.domain.facts import Weights
from app.domain.lifecycle import Phase, State
from tests.domain.model import Model, S, phases, up

MINUTE = 60.0


class TestLaunch:
    @pytest.mark.parametrize("replicas", [1, 3])
    def test_it_serves_after_two_passes_and_the_third_does_nothing(self, replicas: int) -> None:
        model = Model(replicas)
        assert model.settle() == 2
        assert len(model.serving) == len(model.alive) == replicas
        assert model.run_pass() is False

    def test_a_quick_engine_still_passes_through_every_phase(self) -> None:
        assert phases(up()) == ["allocating", "starting", "loading", "serving"]

    def test_also_if_its_log_never_spoke_of_loading(self) -> None:
        model = Model(steady=False)
        model.settle()
        model.engine().ready = True
        model.settle()
        assert phases(model) == ["allocating", "starting", "loading", "serving"]

    def test_a_slow_engine_is_waited_for(self) -> None:
        model = Model(steady=False)
        model.settle()
        assert phases(model)[-1] == "starting"
        model.engine().loading = True
        model.settle()
        model.tick(15 * MINUTE)
        assert model.run_pass() is False
        assert phases(model)[-1] == "loading"
        model.engine().ready = True
        model.settle()
        assert len(model.serving) == 1

    def test_a_start_that_stands_still_is_given_up_and_has_failed_once_it_ended(self) -> None:
        model = Model(steady=False)
        model.settle()
        model.engine().loading, model.engine().moved_at = True, model.now
        model.tick(299)
        assert model.run_pass() is True  # the engine is reading the weights
        assert phases(model)[-1] == "loading"
        model.tick(2)
        model.settle()
        (instance,) = model.instances
        assert (instance.state, instance.failure_code, instance.retry_at) == (State.FAILED, "STARTUP_TIMEOUT", None)
        assert instance.failure_evidence is not None
        assert "no memory taken for 301 s, since 00:16:42 UTC; the last it was seen at: weights 40 %" in (
            instance.failure_evidence
        )
        model.wish(wish="running")
        model.settle()
        assert len(model.alive) == 1

    def test_also_one_that_moves_but_comes_to_no_end(self) -> None:
        model = Model(steady=False)
        model.settle()
        for _ in range(19):
            model.engine().moved_at = model.now
            model.tick(MINUTE)
            model.settle()
        assert phases(model)[-1] == "starting"
        model.engine().moved_at = model.now
        model.tick(MINUTE)
        model.settle()
        (instance,) = model.instances
        assert (instance.state, instance.failure_code) == (State.FAILED, "STARTUP_TIMEOUT")
        assert "s after its start at 00:16:40 UTC; the last it was seen at: weights 40 %" in (
            instance.failure_evidence or ""
        )

    def test_what_has_served_is_not_given_up_for_standing_still(self) -> None:
        model = up()
        model.engine().moved_at = model.now
        model.steady, model.engine().lost = False, True
        model.tick(60 * MINUTE)
        model.settle()
        assert phases(model)[-1] == "loading"

    def test_a_stop_of_what_was_given_up_leaves_it_stopped(self) -> None:
        model = Model(steady=False)
        model.settle()
        model.tick(20 * MINUTE)
        model.take_look()
        model.wish(wish="stopped")
        model.settle()
        assert model.instances[0].state is State.STOPPED

    def test_what_the_engine_reported_is_noted(self) -> None:
        model = up()
        instance, engine = model.instances[0], model.engine()
        assert instance.attempt is not None
        assert (instance.pid, instance.endpoint) == (7, f"http://{instance.attempt.id}")
        assert instance.attempt.started_at == engine.started_at
        assert instance.ready_at == instance.attempt.ready_at
        model.end(engine, "HOST_OOM")
        model.settle()
        (instance,) = model.instances
        assert (instance.pid, instance.endpoint, instance.ready_at) == (None, None, None)

    def test_a_call_under_way_is_not_made_again(self) -> None:
        model = Model()
        model.take_look()
        assert any(isinstance(a, rules.Create) for a in model.decide())
        for _ in range(3):
            model.take_look()
            assert model.decide() == []

    @pytest.mark.parametrize("outcome", ["done", "late", "refused but done"])
    def test_a_create_that_did_more_than_it_said_is_adopted(self, outcome: str) -> None:
        model = Model()
        model.take_look()
        model.decide()
        model.complete(outcome)  # type: ignore[arg-type] # an Outcome
        model.settle()
        assert model.alive == ["i001-001"]

    def test_a_create_that_got_lost_is_made_again_with_the_same_key(self) -> None:
        model = Model()
        for _ in range(3):
            model.take_look()
            assert [a for a in model.decide() if isinstance(a, rules.Create)] == [rules.Create("i001", "i001-001")]
            model.complete("lost")
        model.settle()
        assert model.alive == ["i001-001"]

    def test_a_refused_create_is_a_failure_with_its_own_words(self) -> None:
        model = Model()
        model.take_look()
        model.decide()
        model.complete("refused")
        model.settle()
        (instance,) = model.instances
        assert (instance.failure_code, instance.failure_evidence) == ("ENTRYPOINT_MISSING", "no such file")
        assert instance.retry_at is None


class TestWeights:
    def test_they_are_fetched_once_and_before_anything_starts(self) -> None:
        model = Model()
        model.weights["v1"] = Weights(present=False)
        model.take_look()
        fetches = [a for a in model.decide() if isinstance(a, rules.Fetch)]
        assert fetches == [rules.Fetch("i001", "v1")]
        assert model.instances[0].phase is Phase.COPYING_FILES
        assert model.decide() == []
        model.settle()
        assert phases(model) == ["allocating", "copying_files", "starting", "loading", "serving"]

    def test_a_network_that_comes_back_is_tried_again(self) -> None:
        model = Model()
        model.weights["v1"] = Weights(present=False)
        model.take_look()
        model.decide()
        model.weights["v1"] = Weights(present=False, code="OFFLINE", evidence="no route")
        model.decide()
        assert model.instances[0].failure_evidence == "no route"
        model.settle()
        assert len(model.serving) == 1

    def test_weights_that_are_not_to_be_had_are_final(self) -> None:
        model = Model()
        model.weights["v1"] = Weights(present=False)
        model.take_look()
        model.decide()
        model.weights["v1"] = Weights(present=False, code="MUST_REDOWNLOAD", evidence="it was there")
        model.settle()
        assert (model.instances[0].state, model.instances[0].retry_at) == (State.FAILED, None)


class TestRetry:
    def crash(self, model: Model, codes: list[str], served: bool) -> list[int | None]:
        """Let every start end with the next of `codes`; seconds from each end to the next start, None for never."""
        waits: list[int | None] = []
        for code in codes:
            if served:
                model.engine().loading = model.engine().ready = True
                model.run_pass()
            model.end(model.engine(), code)
            attempt, failed_at = model.instances[0].attempt, model.now
            for _ in range(400):
                model.run_pass()
                if model.instances[0].attempt != attempt and model.instances[0].state is State.PENDING:
                    break
                model.tick(1)
            else:
                return [*waits, None]
            waits.append((model.now - failed_at) // S // 2 * 2)  # letting go and starting take a pass each
        return waits

    def started(self) -> Model:
        model = Model(steady=False)
        model.run_pass()
        return model

    @pytest.mark.parametrize("served", [True, False])
    @pytest.mark.parametrize("code", ["KILLED_EXTERNALLY", "OFFLINE"])
    def test_back_off(self, code: str, served: bool) -> None:
        model = self.started()
        assert self.crash(model, [code] * 9, served) == [0, 10, 20, 40, None]
        assert (model.instances[0].failure_count, model.instances[0].retry_at) == (5, None)

    @pytest.mark.parametrize("code", ["CONTAINER_EXITED", "RUNTIME_ERROR"])
    def test_once_until_it_has_served(self, code: str) -> None:
        assert self.crash(self.started(), [code] * 9, served=False) == [0, None]
        assert self.crash(self.started(), [code] * 9, served=True) == [0, 10, 20, 40, None]

    @pytest.mark.parametrize("code", ["HOST_OOM", "OOM_KILLED", "BAD_FLAG", "MODEL_LOAD_ERROR", "DISK_FULL"])
    def test_never(self, code: str) -> None:
        assert self.crash(self.started(), [code] * 9, served=True) == [None]

    def test_failing_in_two_ways_by_turns_is_failing(self) -> None:
        """Counted for each way alone, it would be started for ever, and at once."""
        codes = ["KILLED_EXTERNALLY", "RUNTIME_ERROR"] * 5
        assert self.crash(self.started(), codes, served=True) == [0, 10, 20, 40, None]

    def test_ten_minutes_of_serving_are_forgiveness(self) -> None:
        model = self.started()
        assert self.crash(model, ["KILLED_EXTERNALLY"] * 4, served=True) == [0, 10, 20, 40]
        model.steady = True
        model.settle()
        model.tick(10 * MINUTE)
        model.settle()
        assert model.instances[0].failure_count == 0
        model.steady = False
        assert self.crash(model, ["KILLED_EXTERNALLY"] * 5, served=True) == [0, 10, 20, 40, None]

    @pytest.mark.parametrize(("seconds", "count"), [(599, 5), (600, 1)])
    def test_also_if_nobody_looked_meanwhile(self, seconds: float, count: int) -> None:
        model = self.started()
        self.crash(model, ["KILLED_EXTERNALLY"] * 4, served=True)
        model.steady = True
        model.settle()
        model.steady = False
        served_from = model.instances[0].ready_at
        assert served_from is not None
        model.now = served_from + int(seconds * S)
        model.end(model.engine(), "KILLED_EXTERNALLY")
        model.tick(3 * 60 * MINUTE)
        model.run_pass()
        assert model.instances[0].failure_count == count

    def test_asking_is_forgiveness(self) -> None:
        model = self.started()
        self.crash(model, ["KILLED_EXTERNALLY"] * 5, served=True)
        model.tick(3600)
        assert model.run_pass() is False
        model.wish(wish="running")
        assert self.crash(model, [], served=True) == []
        model.run_pass()
        model.run_pass()
        assert (model.instances[0].state, model.instances[0].failure_count) == (State.PENDING, 0)

    def test_the_clock_of_a_failure_starts_when_it_is_noticed(self) -> None:
        model = self.started()
        self.crash(model, ["KILLED_EXTERNALLY"], served=True)
        model.end(model.engine(), "KILLED_EXTERNALLY")
        model.tick(3600)
        model.run_pass()
        assert model.instances[0].retry_at == model.now + 10 * S

    def test_one_replica_that_fails_leaves_the_others_alone(self) -> None:
        model = up(3)
        attempts = [i.attempt and i.attempt.id for i in model.instances]
        model.end(model.engine(1), "HOST_OOM")
        model.settle()
        assert [i.phase for i in model.instances] == [Phase.SERVING, Phase.FAILED, Phase.SERVING]
        assert [i.attempt and i.attempt.id for i in model.instances] == attempts


class TestReadiness:
    def test_lost_and_found(self) -> None:
        model = up()
        model.steady = False
        model.tick(MINUTE)
        first = model.instances[0].ready_at
        model.engine().lost = True
        model.settle()
        assert (model.instances[0].state, model.instances[0].ready_at) == (State.PENDING, None)
        model.engine().lost = False
        model.tick(MINUTE)
        model.settle()
        (instance,) = model.instances
        assert instance.phase is Phase.SERVING
        assert instance.attempt is not None
        assert instance.attempt.ready_at == first  # what is billed begins once
        assert instance.ready_at is not None
        assert first is not None
        assert instance.ready_at > first + MINUTE * S  # what is forgiven begins anew
        assert model.alive == ["i001-001"]

    def test_a_backend_that_cannot_be_looked_at_changes_nothing(self) -> None:
        model = up(2)
        before = model.deployment
        model.end(model.engine(0), "KILLED_EXTERNALLY")
        for _ in range(100):
            model.tick(MINUTE)
            assert model.decide(looked=False) == []
        assert model.deployment == before
        model.settle()
        assert [i.attempt.number for i in model.instances if i.attempt] == [2, 1]

    def test_what_a_successful_look_lacks_is_gone(self) -> None:
        model = up()
        model.engines.clear()
        model.run_pass()
        assert model.instances[0].failure_code == "KILLED_EXTERNALLY"
        model.settle()
        assert model.alive == ["i001-002"]

    def test_an_engine_that_came_too_late_is_stopped_before_another_is_started(self) -> None:
        """The row says it ended: it was given up after a create that nobody heard of again, and then it came up."""
        model = Model()
        model.take_look()
        model.decide()
        model.complete("late")
        model.wish(wish="stopped")
        model.run_pass()
        assert model.instances[0].state is State.STOPPED
        model.wish(wish="running")
        model.settle()
        assert model.alive == ["i001-002"]
