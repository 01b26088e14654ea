"""A running localcloud for the tests of this folder, and the clients that AWS's users have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

SERVICES = Path(__file__).resolve().parents[2]
TRAINYARD = SERVICES.parent / "bin" / "trainyard"
REGION = "us-east-1"
TRAINER = f"env PYTHONPATH={SERVICES / 'trainer'} {sys.executable} -m trainyard_trainer train"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "trainyard", "AWS_SECRET_ACCESS_KEY": "trainyard-local"}


def _command(build_dir: Path) -> list[str]:
    """`trainyard localcloud` where it is built, else localcloud's own binary, built here."""
    if TRAINYARD.exists():
        return [str(TRAINYARD), "localcloud"]
    binary = build_dir / "localcloud"
    subprocess.run(
        ["go", "build", "-o", binary, "./localcloud/cmd/localcloud"], cwd=SERVICES, check=True
    )
    return [str(binary)]


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a localcloud with the suite's bucket and queues, one for all tests."""
    data = tmp_path_factory.mktemp("localcloud")
    process = subprocess.Popen(
        [
            *_command(tmp_path_factory.mktemp("bin")),
            "--data",
            str(data),
            "--aws",
            "127.0.0.1:0",
            "--provision",
            "--image",
            "own-image=false",
            "--image",
            f"trainer={TRAINER}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("localcloud ready: aws=http://127.0.0.1:"), line
        assert line.endswith(f" data={data}\n"), line
        yield line.split("aws=")[1].split(" ")[0]
        process.terminate()
        assert process.wait(timeout=5) == 0, "SIGTERM must end it cleanly within 5 seconds"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(endpoint: str) -> Callable[..., object]:
    """Makes a boto3 client of a service."""

    def make(service: str, secret_key: str = "trainyard-local", **config: object) -> object:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="trainyard",
            aws_secret_access_key=secret_key,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    return make


@pytest.fixture
def aws(endpoint: str, tmp_path: Path) -> Callable[..., object]:
    """Runs the AWS CLI and gives its output, as JSON where it is JSON."""
    program = shutil.which(
        "aws", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    assert program, (
        "the AWS CLI is missing: install the requirements of scripts/requirements-dev.txt"
    )
    environment = {
        **os.environ,
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }

    def run(*arguments: str) -> object:
        result = subprocess.run(
            [program, "--endpoint-url", endpoint, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"aws {' '.join(arguments)}: {result.stderr}"
        try:
            return json.loads(result.stdout)
        except json.JSONDecodeError:
            return result.stdout

    return run
