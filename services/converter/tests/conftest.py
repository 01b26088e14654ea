import os
import pathlib
import subprocess

# It loads pandas anew, which breaks what was loaded before, so it comes before all that use pandas.
import datumaro  # noqa: F401
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SERVICES = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def converter(tmp_path_factory) -> pathlib.Path:
    """The Go command that converts a file to a folder."""
    program = tmp_path_factory.mktemp("bin") / "convert-local"
    subprocess.run(
        ["go", "build", "-o", program, "./converter/cmd/convert-local"], cwd=SERVICES, check=True
    )
    return program
