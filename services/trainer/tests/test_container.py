import json

import pytest

from trainyard_trainer.container import FAILURE_LIMIT, Container, JobError, describe


def write_config(container, name, content):
    folder = container.base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def container(tmp_path):
    return Container(tmp_path)


def test_base_directory_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("SAGEMAKER_BASE_DIR", raising=False)
    assert str(Container.from_environment().base) == "/opt/ml"
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert Container.from_environment().base == tmp_path


def test_channels_come_from_the_config_or_else_from_the_folders(container):
    (container.base / "input" / "data" / "train").mkdir(parents=True)
    (container.base / "input" / "data" / "checksums.txt").write_text("")
    assert list(container.channels()) == ["train"]
    write_config(container, "inputdataconfig", {"validation": {}, "base": {}})
    assert list(container.channels()) == ["base", "validation"]


def test_pipe_mode_is_refused(container):
    write_config(container, "inputdataconfig", {"train": {"TrainingInputMode": "Pipe"}})
    with pytest.raises(JobError, match=r"channel train is in Pipe mode.* use .*File"):
        container.channels()


def test_several_hosts_are_refused(container):
    container.check_single_host()
    write_config(container, "resourceconfig", {"hosts": ["algo-1", "algo-2"]})
    with pytest.raises(JobError, match=r"2 instances.*instance count to 1"):
        container.check_single_host()


@pytest.mark.parametrize(
    ("local_path", "expected"),
    [
        ("/opt/ml/checkpoints/", "checkpoints"),
        ("/opt/ml/checkpoints/deep", "checkpoints/deep"),
    ],
)
def test_checkpoint_path_lies_under_the_base_directory(container, local_path, expected):
    write_config(container, "checkpointconfig", {"LocalPath": local_path})
    assert container.checkpoints() == container.base / expected


def test_without_checkpoint_config_the_folder_decides(container):
    assert container.checkpoints() is None
    (container.base / "checkpoints").mkdir()
    assert container.checkpoints() == container.base / "checkpoints"


def test_the_failure_file_is_cut_to_what_sagemaker_shows(container):
    container.write_failure("é" * 3000)
    text = (container.base / "output" / "failure").read_text(encoding="utf-8")
    assert len(text) == FAILURE_LIMIT


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (JobError("mend it"), "mend it"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (ValueError("in user code:\n\n  File x\n\n    the reason"), "ValueError: the reason"),
        (RuntimeError("reason\n[[{{node x}}]]"), "RuntimeError: reason"),
        (KeyError(), "KeyError: "),
    ],
)
def test_an_error_becomes_one_line(error, line):
    assert describe(error) == line


def test_broken_config_says_which_file(container):
    write_config(container, "hyperparameters", {})
    (container.base / "input" / "config" / "hyperparameters.json").write_text("{")
    with pytest.raises(JobError, match=r"hyperparameters\.json is not JSON"):
        container.hyperparameters()
