"""What TensorBoard's file has of evaluations, read back: video, histograms, heat map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from PIL import ImageSequence
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger, configure
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from sb3_mario.callbacks import EpisodeCSVCallback, EvaluationCallback
from sb3_mario.plotting import heat_map
from sb3_mario.plotting.heat_map import Ends
from sb3_mario.training.logger import make_logger
from tests.callbacks.event_file import filled, histogram, image, read, steps
from tests.callbacks.toy_mario import MakeModel, ToyMario

IMAGES = {"eval/episode", "eval/ends"}
HISTOGRAMS = {"eval/actions", "eval/q_values", "eval/max_q"}


class Filmed(ToyMario):
    """Shows 6x20 pixels: red for the steps of the episode, of 20, and gray for the episode."""

    render_mode = "rgb_array"
    rendered = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.episode = seed % 3 - 1  # the same episodes at each evaluation
        return super().reset(seed=seed)

    def render(self) -> np.ndarray:
        Filmed.rendered += 1
        picture = np.full((6, 20, 3), 40 * (self.episode % 6), np.uint8)
        picture[:, : 2 * self.steps] = (255, 0, 0)
        return picture


class Breaking(Filmed):
    """Loses the ninth step of all, as if its emulator broke."""

    made = 0

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        Breaking.made += 1
        if Breaking.made == 9:
            return self._observation(), 0.0, False, True, {"step_lost": True}
        return super().step(action)


class FilmedDict(Filmed):
    """Its observations are dicts."""

    observation_space = spaces.Dict(numbers=spaces.Box(-1, 1, (4,), np.float32))

    def _observation(self) -> Any:
        return {"numbers": super()._observation()}


class Torn(Filmed):
    """Cannot be rendered."""

    def render(self) -> np.ndarray:
        raise RuntimeError("no picture")


class Unknown(Filmed):
    """Its infos have nothing."""

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return (*super().step(action)[:4], {})


@pytest.fixture(autouse=True)
def _counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filmed, "rendered", 0)
    monkeypatch.setattr(Breaking, "made", 0)


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Logger]:
    logger = make_logger(tmp_path, 0, table=True)
    yield logger
    logger.close()


def make(
    folder: Path, env: Callable[[], Any] = Filmed, episodes: int = 4, n_envs: int = 1, **kwargs: Any
) -> EvaluationCallback:
    return EvaluationCallback(
        make_vec_env(env, n_envs=n_envs), 10, folder, episodes, verbose=0, **kwargs
    )


def lengths(folder: Path) -> np.ndarray:
    with np.load(folder / "evaluations.npz") as archive:
        return np.array(archive["ep_lengths"])


# What is in the file


def test_each_evaluation_has_its_images_and_histograms_at_its_step(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    model = make_model()
    model.set_logger(logger)
    model.learn(30, callback=make(tmp_path))
    assert steps(tmp_path) == {tag: [10, 20, 30] for tag in IMAGES | HISTOGRAMS}
    assert [e.step for e in read(tmp_path).Scalars("eval/mean_reward")] == [10, 20, 30]


@pytest.mark.parametrize(("n_envs", "episode"), [(1, 0), (3, 2)])
def test_the_video_is_of_the_first_episode_of_the_last_environment_a_picture_a_step(
    make_model: MakeModel, logger: Logger, tmp_path: Path, n_envs: int, episode: int
) -> None:
    model = make_model()
    model.set_logger(logger)
    # Two episodes leave nothing to the first of three environments.
    model.learn(20, callback=make(tmp_path, n_envs=n_envs, episodes=2))
    frames = [
        np.array(frame.convert("RGB")).astype(int)
        for frame in ImageSequence.all_frames(image(tmp_path, "eval/episode"))
    ]
    assert frames[0].shape == (3, 10, 3)
    red = [int((frame[1] == (255, 0, 0)).all(axis=1).sum()) for frame in frames]
    assert red == list(range(1, 5 + episode)), "but of the step that ends it"
    assert all(abs(frame[1, -1, 0] - 40 * episode) < 8 for frame in frames), "nothing of the next"
    assert Filmed.rendered == 2 * len(frames), "only what is shown is rendered"


def test_actions_and_q_values_are_those_of_all_steps_of_all_episodes(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    model = make_model(learning_starts=1000)
    with th.no_grad():
        *_, last = model.q_net.q_net
        last.weight.zero_()
        last.bias.copy_(th.tensor([1.0, 5.0, 2.0]))
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, n_envs=3, episodes=5))
    played = lengths(tmp_path).sum()
    actions = histogram(tmp_path, "eval/actions")
    assert filled(actions) == {(0.5, 1.5): played} and actions.num == played
    q_values = histogram(tmp_path, "eval/q_values")
    assert (q_values.num, q_values.min, q_values.max) == (3 * played, 1, 5)
    assert q_values.sum == pytest.approx(8 * played)
    assert len(filled(q_values)) == 3 and set(filled(q_values).values()) == {played}
    best = histogram(tmp_path, "eval/max_q")
    assert (best.num, best.min, best.max) == (played, 5, 5)


def test_q_values_are_those_of_the_environment_that_the_step_is_of(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    model = make_model(learning_starts=1000)
    model.set_logger(logger)
    seen: list[np.ndarray] = []  # (n_envs, n_actions) each
    model.q_net.register_forward_hook(lambda module, args, q: seen.append(q.detach().numpy()))
    # The seeds make the one episode of each environment 5, 6 and 7 steps long.
    model.learn(10, callback=make(tmp_path, n_envs=3, episodes=3))
    played = np.array(seen)
    counted = np.concatenate([played[: 5 + env, env] for env in range(3)])
    assert histogram(tmp_path, "eval/q_values").sum == pytest.approx(counted.sum(), abs=1e-4)
    best = histogram(tmp_path, "eval/max_q")
    assert (best.num, best.sum) == (18, pytest.approx(counted.max(axis=1).sum(), abs=1e-4))


def test_each_action_has_a_bin(
    make_model: MakeModel, logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = iter([0, 2, 2, 1, 2] * 100)
    monkeypatch.setattr(
        DQN, "predict", lambda self, observation, **kwargs: (np.array([next(played)]), None)
    )
    model = make_model(learning_starts=1000)
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, episodes=1))
    actions = filled(histogram(tmp_path, "eval/actions"))
    assert actions == {(-0.5, 0.5): 1, (0.5, 1.5): 1, (1.5, 2.5): 3}
    assert set(steps(tmp_path)) == {"eval/actions", *IMAGES}, "no network, no Q-values"


def test_an_evaluation_that_is_played_again_is_recorded_anew(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    model = make_model()
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, Breaking))
    assert Breaking.made > 9
    assert histogram(tmp_path, "eval/actions").num == lengths(tmp_path).sum()
    frames = ImageSequence.all_frames(image(tmp_path, "eval/episode"))
    assert len(frames) == lengths(tmp_path)[0, 0] - 1


# The heat map


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Ends, Ends]]:
    """What heat maps were drawn of: evaluations, training."""
    calls: list[tuple[Ends, Ends]] = []
    draw = heat_map.ends_heat_map

    def watched(evaluations: Ends, training: Ends) -> Any:
        calls.append((evaluations, training))
        return draw(evaluations, training)

    monkeypatch.setattr(heat_map, "ends_heat_map", watched)
    return calls


def test_the_heat_map_is_of_all_evaluations_and_of_the_episodes_in_the_csv(
    make_model: MakeModel, logger: Logger, tmp_path: Path, drawn: list[tuple[Ends, Ends]]
) -> None:
    path = tmp_path / "episodes.csv"
    model = make_model()
    model.set_logger(logger)
    evaluation = make(tmp_path, episodes=3, episodes_csv=path)
    model.learn(20, callback=[EpisodeCSVCallback(path), evaluation])
    evaluations, training = drawn[-1]
    assert evaluations.steps.tolist() == [10, 10, 10, 20, 20, 20]
    assert evaluations.x.tolist() == [50, 60, 70] * 2
    assert evaluations.causes.tolist() == ["pit", "pit", "flag"] * 2
    assert training.steps.tolist() == [5, 11, 18]
    assert training.x.tolist() == [50, 60, 70]
    assert training.causes.tolist() == ["pit", "pit", "flag"]
    assert image(tmp_path, "eval/ends", 0).size == (900, 600)


def test_a_resumed_runs_heat_map_goes_on_where_the_model_is(
    make_model: MakeModel, logger: Logger, tmp_path: Path, drawn: list[tuple[Ends, Ends]]
) -> None:
    model = make_model()
    model.set_logger(logger)
    model.learn(30, callback=make(tmp_path, episodes=3))
    resumed = make_model()
    resumed.num_timesteps = 20  # as a checkpoint of that step
    resumed.set_logger(logger)
    resumed.learn(10, callback=make(tmp_path, episodes=3), reset_num_timesteps=False)
    assert drawn[-1][0].steps.tolist() == [10] * 3 + [20] * 3 + [30] * 3
    assert drawn[-1][0].causes.tolist() == ["pit", "pit", "flag"] * 3


def test_evaluations_of_a_file_that_does_not_know_their_ends_are_left_out(
    make_model: MakeModel, logger: Logger, tmp_path: Path, drawn: list[tuple[Ends, Ends]]
) -> None:
    model = make_model()
    model.learn(10, callback=make(tmp_path, episodes=3))
    path = tmp_path / "evaluations.npz"
    with np.load(path) as archive:
        of_sb3 = {name: archive[name] for name in ("timesteps", "results", "ep_lengths")}
        np.savez(path, **of_sb3, successes=archive["successes"])
    for _ in range(2):
        model.set_logger(logger)
        model.learn(10, callback=make(tmp_path, episodes=3), reset_num_timesteps=False)
    assert [set(evaluations.steps) for evaluations, _ in drawn] == [{20}, {20, 30}]
    with np.load(path) as archive:
        assert archive["max_x"].shape == archive["end_causes"].shape == (3, 3)
        assert np.isnan(archive["max_x"][0]).all() and archive["end_causes"][0].tolist() == [""] * 3


# What is left out


def test_dicts_are_no_matter(make_model: MakeModel, logger: Logger, tmp_path: Path) -> None:
    env = make_vec_env(FilmedDict)
    model = DQN("MultiInputPolicy", env, buffer_size=100, learning_starts=1000, device="cpu")
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, FilmedDict))
    assert set(steps(tmp_path)) == IMAGES | HISTOGRAMS


@pytest.mark.parametrize(("env", "missing"), [(ToyMario, "eval/episode"), (Unknown, "eval/ends")])
def test_what_there_is_nothing_of_is_left_out_quietly(
    make_model: MakeModel, logger: Logger, tmp_path: Path, env: type[ToyMario], missing: str
) -> None:
    model = make_model()
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, env))
    assert set(steps(tmp_path)) == (IMAGES | HISTOGRAMS) - {missing}


def test_without_tensorboard_nothing_is_recorded(
    make_model: MakeModel, tmp_path: Path, drawn: list[tuple[Ends, Ends]]
) -> None:
    hooks: list[int] = []
    model = make_model()
    callback = make(tmp_path, on_step=lambda: hooks.append(len(model.q_net._forward_hooks)))
    with closing(configure(str(tmp_path), ["csv", "json", "log"])) as logger:
        model.set_logger(logger)
        model.learn(20, callback=callback)
    assert hooks and not any(hooks)
    assert Filmed.rendered == 0 and not drawn
    assert list(tmp_path.glob("events*")) == []


def test_sb3s_own_loggers_take_it(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    with closing(
        configure(str(tmp_path), ["stdout", "csv", "json", "log", "tensorboard"])
    ) as logger:
        model.set_logger(logger)
        model.learn(20, callback=make(tmp_path))
    assert set(steps(tmp_path)) == IMAGES | HISTOGRAMS


# What must not suffer


def test_it_changes_nothing_in_the_training(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    plain = make_model().learn(60)
    watched = make_model()
    watched.set_logger(logger)
    watched.learn(60, callback=make(tmp_path))
    for a, b in zip(plain.q_net.parameters(), watched.q_net.parameters(), strict=True):
        assert th.equal(a, b)


def test_the_hook_is_off_the_network_after_an_evaluation_and_one_that_was_given_up(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    hooks: list[int] = []

    def on_step() -> None:
        hooks.append(len(model.q_net._forward_hooks))
        if model.num_timesteps == 20:
            raise KeyboardInterrupt

    model = make_model()
    model.set_logger(logger)
    model.learn(10, callback=make(tmp_path, on_step=on_step))
    assert set(hooks) == {1} and not model.q_net._forward_hooks
    with pytest.raises(KeyboardInterrupt):
        model.learn(10, callback=make(tmp_path, on_step=on_step), reset_num_timesteps=False)
    assert not model.q_net._forward_hooks


def test_an_error_while_recording_is_a_warning_and_figures_are_written(
    make_model: MakeModel, logger: Logger, tmp_path: Path
) -> None:
    model = make_model()
    model.set_logger(logger)
    with pytest.warns(UserWarning, match=r"not recorded for TensorBoard: .*no picture") as caught:
        model.learn(10, callback=make(tmp_path, Torn))
    assert len(caught) == 1, "one for an evaluation, not for each step"
    assert lengths(tmp_path).shape == (1, 4) and set(steps(tmp_path)) == set()
    assert len(read(tmp_path).Scalars("eval/mean_reward")) == 1


def test_an_error_while_drawing_is_a_warning_and_the_rest_is_written(
    make_model: MakeModel, logger: Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(evaluations: Ends, training: Ends) -> None:
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr(heat_map, "ends_heat_map", broken)
    model = make_model()
    model.set_logger(logger)
    with pytest.warns(UserWarning, match=r"no eval/ends in TensorBoard at step 10: .*no ink"):
        model.learn(10, callback=make(tmp_path))
    assert set(steps(tmp_path)) == {"eval/episode", *HISTOGRAMS}


@pytest.mark.parametrize("call", ["flush", "add_event"])
def test_a_full_disk_is_a_warning_and_the_next_evaluation_is_written(
    make_model: MakeModel,
    logger: Logger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    model = make_model()
    real = getattr(EventFileWriter, call)

    def full_at_step_20(self: EventFileWriter, *args: Any) -> None:
        if model.num_timesteps == 20:
            raise OSError(28, "No space left on device")
        real(self, *args)

    monkeypatch.setattr(EventFileWriter, call, full_at_step_20)
    model.set_logger(logger)
    with pytest.warns(UserWarning, match="TensorBoard.*No space left on device|28"):
        model.learn(30, callback=make(tmp_path))
    written = steps(tmp_path)
    assert all({10, 30} <= set(written[tag]) for tag in IMAGES | HISTOGRAMS)
