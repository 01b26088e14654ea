import hashlib
import json

import pytest

from trainyard_trainer import manifests, recipes
from trainyard_trainer.container import JobError, Stop

MANIFEST = b'{"shards": []}'
DIGEST = hashlib.sha256(MANIFEST).hexdigest()


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(MANIFEST)
    return folder


def test_the_base_that_was_meant_passes(digits):
    manifests.check({"digits": digits, "unpinned": digits.parent}, {"digits": DIGEST})


def test_a_base_published_anew_is_refused(digits):
    (digits / "manifest.json").write_bytes(MANIFEST + b" ")
    with pytest.raises(JobError, match=rf"base dataset digits changed since.*instead of {DIGEST}"):
        manifests.check({"digits": digits}, {"digits": DIGEST})


@pytest.mark.parametrize("place", ["empty", "none", "digits/manifest.json"])
def test_a_directory_without_a_manifest_is_named(digits, place):
    folder = digits.parent / place
    if place == "empty":
        folder.mkdir()
    with pytest.raises(JobError) as refused:
        manifests.check({"digits": folder}, {"digits": DIGEST})
    assert f"No such file or directory: {folder}/manifest.json" in str(refused.value)
    assert "check the directory path" in str(refused.value)


def test_a_channel_that_is_not_there_is_named(digits):
    with pytest.raises(JobError, match="channel letters, which the job doesn't have"):
        manifests.check({"digits": digits}, {"letters": DIGEST})


def test_a_job_looks_before_it_trains(job):
    job.with_data(train=6, validation=6).with_base("digits", ("rows", "columns"), 6)
    job.configure(manifests=json.dumps({"digits": DIGEST}))
    with pytest.raises(JobError, match="check the directory path"):
        recipes.run(job.container, Stop())
