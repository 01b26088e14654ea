import pathlib
import subprocess

import pytest

SERVICES = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def converter(tmp_path_factory) -> pathlib.Path:
    """The Go command that converts a file to a folder."""
    program = tmp_path_factory.mktemp("bin") / "convert-local"
    subprocess.run(
        ["go", "build", "-o", program, "./converter/cmd/convert-local"], cwd=SERVICES, check=True
    )
    return program
