"""What ``train.py`` refuses, and that a run that did not begin leaves nothing behind."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch as th
import yaml
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_mario.game import roms
from sb3_mario.training.arguments import FIXED_ON_RESUME, parse_arguments
from sb3_mario.training.prepare import prepare
from tests.conftest import FREE_GAME
from tests.processes import folders_of, is_alive
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    STEPS,
    TINY,
    WHOLE_RUN,
    snapshot,
    train,
    trainer,
)


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 2) -> str:
    """Return the error that ``train.py`` prints, and nothing else."""
    assert train(*words) == status
    printed = capsys.readouterr()
    assert printed.err.startswith("train.py: error: ")
    return printed.err


@pytest.mark.real_rom
@pytest.mark.parametrize("steps", [(), ("-n", "150"), ("-n", str(STEPS))])
def test_a_run_that_is_done_is_not_touched(
    copy: Path, capsys: pytest.CaptureFixture[str], steps: tuple[str, ...]
) -> None:
    before = snapshot(copy)
    wanted = steps[1] if steps else str(STEPS)
    message = refused(capsys, "-i", copy, *steps)
    assert f"-n/--n-timesteps: the run has done {STEPS} of {wanted} steps already" in message
    assert "give a larger number" in message
    assert snapshot(copy) == before


CHANGED: dict[str, tuple[str, ...]] = {
    "algo": ("dqn",),
    "env": ("1-2",),
    "log_folder": ("elsewhere",),
    "tensorboard_log": ("curves",),
    "seed": ("2",),
    "n_envs": ("2",),
    "vec_env": ("subproc",),
    "eval_episodes": ("3",),
    "n_eval_envs": ("2",),
    "hyperparams": ("gamma:0.5",),
    "conf_file": ("mine.yml",),
    "env_kwargs": ("frame_skip:2",),
}


@pytest.mark.real_rom
@pytest.mark.parametrize("name", FIXED_ON_RESUME)
def test_what_would_make_it_another_run_cannot_be_changed(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = snapshot(copy)
    flag = "--" + name.replace("_", "-")
    message = refused(capsys, "-i", copy, "-n", "1000", flag, *CHANGED[name])
    assert f"{flag}: a resumed run keeps its " in message
    assert CHANGED[name][0] in message and "leave it out" in message
    assert snapshot(copy) == before


@pytest.mark.real_rom
def test_the_same_settings_may_be_given_again(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_folder = yaml.safe_load((copy / "args.yml").read_text())["log_folder"]
    message = refused(capsys, "-f", log_folder, "-i", copy, "--env", "1-1", *WHOLE_RUN)
    assert "steps already" in message, "nothing but that was wrong"


@pytest.mark.real_rom
def test_another_game_is_refused(
    copy: Path, rom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.nes"
    data = bytearray(rom.read_bytes())
    data[1000] ^= 1
    other.write_bytes(data)
    with pytest.warns(UserWarning, match="no known dump"):
        message = refused(capsys, "-i", copy, "-n", "300", "--rom", other)
    assert f"--rom: {other} is another game than the one this run was started on" in message


def test_a_game_that_is_gone_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rom = tmp_path / "game.nes"
    shutil.copy(FREE_GAME, rom)
    words = ["-f", str(tmp_path / "logs"), "--rom", str(rom), *TINY]
    run = prepare(parse_arguments(words), ["train.py", *words])
    run.folder.write(run.settings.plain, run.options, run.command)
    rom.unlink()
    message = refused(capsys, "-i", run.folder.path)
    assert f"the game that this run was started on is gone: there is no {rom}." in message
    assert "Give it with --rom PATH" in message
    other = tmp_path / "other.nes"
    message = refused(capsys, "-i", run.folder.path, "--rom", other)
    assert f"argument: there is no file {other}" in message


@pytest.mark.real_rom
def test_a_model_that_does_not_fit_is_refused_and_leaves_no_folder(
    plain_dqn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "-f", tmp_path / "logs", *TINY, "-i", plain_dqn / f"{ENV_NAME}.zip")
    assert f"{ENV_NAME}.zip is no model that fits" in message
    (tmp_path / "model.zip").write_bytes(b"PK nonsense")
    message = refused(capsys, "-f", tmp_path / "logs", *TINY, "-i", tmp_path / "model.zip")
    assert "model.zip is no model that fits" in message
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


@pytest.mark.real_rom
def test_a_damaged_checkpoint_that_was_named_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "rl_model_200_steps.zip"
    path.write_bytes(path.read_bytes()[:-1000])
    before = snapshot(copy)
    message = refused(capsys, "-i", path)
    assert f"{path} cannot be loaded" in message and "resume from the folder" in message
    assert snapshot(copy) == before


def test_there_must_be_something_to_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    message = refused(capsys, "-f", logs, "-i", tmp_path / "nothing")
    assert f"-i/--trained-agent: there is no {tmp_path / 'nothing'}" in message
    (tmp_path / "folder").mkdir()
    message = refused(capsys, "-f", logs, "-i", tmp_path / "folder")
    assert "is no run's folder: it has no args.yml" in message
    assert not logs.exists()


# A run that did not begin leaves nothing behind


def no_rom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: None)
    monkeypatch.setattr(roms, "_homebrew_folders", lambda: iter([]))


def test_without_any_rom_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_rom(monkeypatch)
    message = refused(capsys, "-f", tmp_path / "logs", *TINY)
    assert "there is no ROM of Super Mario Bros. Looked at:" in message
    assert "--rom PATH" in message and "gym-super-mario-bros" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, "there is no file"), (b"nonsense", "not an iNES file"), (b"NES\x1a\x02", "truncated")],
)
def test_a_missing_or_corrupt_rom_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None, message: str
) -> None:
    rom = tmp_path / "game.nes"
    if data is not None:
        rom.write_bytes(data)
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--rom", rom)
    assert message in error and str(rom) in error
    assert not (tmp_path / "logs").exists()


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_a_missing_fceux_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    vec_env: str,
) -> None:
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/nowhere/fceux")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--vec-env", vec_env, status=1)
    assert "FCEUX is missing: no program SB3_MARIO_FCEUX=/nowhere/fceux" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_an_fceux_that_does_not_start_is_quoted(tmp_path: Path, vec_env: str) -> None:
    program = tmp_path / "fceux"
    program.write_text("#!/bin/sh\necho cannot draw\nexit 3\n")
    program.chmod(0o755)
    words = (*TINY, "-tb", str(tmp_path / "curves"), "--vec-env", vec_env)
    with trainer(tmp_path, *words, SB3_MARIO_FCEUX=str(program)) as run:
        assert run.wait() == 1
        assert folders_of("*", run.temp) == []
    assert "fceux does not run: it ended with code 3 and printed: cannot draw" in run.output()
    assert not (tmp_path / "logs").exists() and not (tmp_path / "curves").exists()


@pytest.mark.real_rom
@pytest.mark.filterwarnings("ignore:.*is no known dump")
def test_another_game_is_found_out_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    game = tmp_path / "game.nes"
    game.write_bytes(b"NES\x1a\x02\x01\x01\x00" + bytes(8 + 40 * 1024))
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--rom", game, status=1)
    assert "does this game have that level?" in error
    assert [path.name for path in tmp_path.iterdir()] == ["game.nes"]


@pytest.mark.real_rom
def test_verbose_2_shows_where_it_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/nowhere/fceux")
    assert train("-f", tmp_path / "logs", *TINY, "--verbose", "2") == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and "\ntrain.py: error: FCEUX is missing" in error


@pytest.mark.real_rom
def test_a_stop_before_the_first_step_leaves_nothing(tmp_path: Path) -> None:
    with trainer(tmp_path, *TINY, *NO_EVALUATION) as run:
        run.wait_for(run.emulators)
        emulators = run.emulators()
        run.process.terminate()
        assert run.wait() == 143, run.output()
        assert not any(is_alive(pid) for pid in emulators)
        assert folders_of("*", run.temp) == []
    assert "Stopped before training began." in run.output()
    assert not (tmp_path / "logs").exists()


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--algo", "dqn", "--env", "9-9"), "--env: there is no environment '9-9'"),
        (("-params", "gama:0.9"), "no hyperparameter 'gama'; did you mean gamma?"),
        (("-params", "gamma"), "-params/--hyperparams: expected key:value, got 'gamma'"),
        (("--env-kwargs", "max_step:2"), "did you mean max_steps?"),
        (("--env-kwargs", "frame_skip:0"), "env_kwargs: frame_skip must be from 1 to 60, got 0"),
        (("--env-kwargs", "actions:walk"), "env_kwargs: there is no action set 'walk'"),
        (("--env-kwargs", "actions:5"), "env_kwargs: "),
        (("--env-kwargs", "reward_weights.deth:1"), "env_kwargs: .*'deth'"),
        (("-params", "policy_kwargs.net_arch:wide"), "the hyperparameters make no model: "),
        (("-params", "n_steps:1", "optimize_memory_usage:true"), "optimize_memory_usage"),
        (("-conf", "/nowhere/mine.yml"), "/nowhere/mine.yml cannot be read"),
        (("--device", "warp"), "--device: 'warp' cannot be used"),
        (("-params", "buffer_size:1e12"), "buffer_size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_setting_ends_with_status_2_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    error = refused(capsys, "-f", tmp_path / "logs", "--num-threads", "1", *words)
    assert re.search(message, error), error
    assert list(tmp_path.iterdir()) == []


class StrangeReplayBuffer(ReplayBuffer):
    """Might hold more than is saved of SB3's."""


def test_a_replay_buffer_that_cannot_be_saved_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = f"replay_buffer_class:{__name__}.StrangeReplayBuffer"
    words = ("--algo", "dqn", "-f", tmp_path / "logs", "--rom", FREE_GAME, *TINY, strange)
    message = refused(capsys, *words, "--verbose", "0", "--save-replay-buffer")
    assert "--save-replay-buffer: a StrangeReplayBuffer cannot be saved" in message
    assert "leave save_replay_buffer (--save-replay-buffer) out" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
def test_cuda_without_cuda_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if th.cuda.is_available():
        pytest.skip("there is CUDA here")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--device", "cuda")
    assert "--device: 'cuda' cannot be used: torch finds no CUDA here" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
def test_a_log_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY)
    assert f"-f/--log-folder: no folder can be made in {tmp_path / 'logs'}" in error
