"""The trainer on localcloud: what a stopped or interrupted job has learnt is not paid for twice."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
import uuid
from pathlib import Path

import pytest

BUCKET = "trainyard"
GROUP = "/aws/sagemaker/TrainingJobs"
PATIENCE_SECONDS = 180


def _shard(path: Path, count: int) -> bytes:
    """Dark and bright images in turn, as TFRecords."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(count):
            pixels = tf.fill([8, 8, 1], tf.cast(i % 2 * 150 + i % 50, tf.uint8))
            image = tf.train.BytesList(value=[tf.io.encode_png(pixels).numpy()])
            feature = {
                "image": tf.train.Feature(bytes_list=image),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 2])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return path.read_bytes()


class Trainer:
    """Jobs of the trainer that share a dataset and a checkpoint prefix."""

    def __init__(self, client, folder: Path) -> None:
        self.sagemaker, self.logs, self.s3 = client("sagemaker"), client("logs"), client("s3")
        self.prefix = f"resume-{uuid.uuid4().hex[:8]}"
        for split, count in (("train", 320), ("validation", 16)):
            key = f"datasets/{self.prefix}/shades-{split}.tfrecord-00000-of-00001"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=_shard(folder / split, count))

    def start(self, number: int, parameters: dict[str, str], **changes: object) -> str:
        name = f"{self.prefix}-{number}"
        given = {"labels": '["dark", "bright"]', "batch_size": "16", **parameters}
        request = {
            "TrainingJobName": name,
            "RoleArn": "arn:aws:iam::000000000000:role/training",
            "AlgorithmSpecification": {"TrainingImage": "trainer", "TrainingInputMode": "File"},
            "HyperParameters": given,
            "InputDataConfig": [self._channel(split) for split in ("train", "validation")],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
            "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/{self.prefix}"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }
        self.sagemaker.create_training_job(**(request | changes))
        return name

    def _channel(self, split: str) -> dict:
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": f"s3://{BUCKET}/datasets/{self.prefix}/shades-{split}.tfrecord",
        }
        return {"ChannelName": split, "DataSource": {"S3DataSource": source}}

    def log(self, name: str) -> str:
        pages = self.logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP, logStreamNamePrefix=name + "/"
        )
        return "\n".join(event["message"] for page in pages for event in page["events"])

    def wait_for_log(self, name: str, pattern: str) -> None:
        def log() -> str:
            try:
                return self.log(name)
            except self.logs.exceptions.ResourceNotFoundException:
                return ""  # The first job of all has not begun to write.

        expected = re.compile(pattern, re.DOTALL)
        self._wait(lambda: expected.search(log()), lambda: f"no {pattern!r} in:\n{log()}")

    def stop(self, name: str) -> dict:
        self.sagemaker.stop_training_job(TrainingJobName=name)
        return self.end(name)

    def end(self, name: str) -> dict:
        def job() -> dict:
            return self.sagemaker.describe_training_job(TrainingJobName=name)

        ended = ("Completed", "Failed", "Stopped")
        self._wait(lambda: job()["TrainingJobStatus"] in ended, lambda: self.log(name))
        return job()

    def _wait(self, condition, what) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, what()
            time.sleep(0.2)

    def evaluation(self, job: dict) -> dict:
        key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
        body = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as model:
            return json.load(model.extractfile("evaluation.json"))


@pytest.fixture
def trainer(client, tmp_path: Path) -> Trainer:
    return Trainer(client, tmp_path)


def _metric_epochs(log: str) -> list[int]:
    return [int(epoch) for epoch in re.findall(r"\[metric\] epoch=(\d+) ", log)]


def test_a_stopped_job_is_resumed_by_another(trainer: Trainer):
    first = trainer.start(1, {"epochs": "1000"})
    trainer.wait_for_log(first, "epoch 2 of 1000")
    assert trainer.stop(first)["TrainingJobStatus"] == "Stopped"
    reached = _metric_epochs(trainer.log(first))[-1]

    second = trainer.start(2, {"epochs": str(reached + 2)})
    job = trainer.end(second)
    assert job["TrainingJobStatus"] == "Completed", job
    log = trainer.log(second)
    found = re.search(r"resuming after epoch (\d+)", log)
    assert found, f"{trainer.log(first)}\n---- second\n{log}"
    resumed = int(found[1])
    assert resumed in (reached - 1, reached)
    assert _metric_epochs(log)[0] == resumed + 1
    assert _metric_epochs(log)[-1] == reached + 2
    evaluation = trainer.evaluation(job)
    assert evaluation["epochs_run"] == reached + 2
    assert evaluation["accuracy"] == 1

    # All is done already: the model comes without a further step.
    third = trainer.start(3, {"epochs": str(reached + 2)})
    job = trainer.end(third)
    assert job["TrainingJobStatus"] == "Completed", job
    assert _metric_epochs(trainer.log(third)) == []
    assert trainer.evaluation(job)["history"] == evaluation["history"]

    refused = trainer.end(trainer.start(4, {"epochs": str(reached + 2), "batch_size": "8"}))
    assert refused["TrainingJobStatus"] == "Failed"
    assert "is of another training (batch_size is 8 here and 16 there)" in refused["FailureReason"]


def test_an_interrupted_spot_job_goes_on(trainer: Trainer):
    interruptions = {
        "LOCALCLOUD_INTERRUPT_AFTER": "20s",
        "LOCALCLOUD_INTERRUPT_WAIT": "100ms",
        "LOCALCLOUD_INTERRUPT_TIMES": "5",  # The first may come before there is a checkpoint.
    }
    name = trainer.start(
        1,
        {"epochs": "1000"},
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
        Environment=interruptions,
    )
    trainer.wait_for_log(name, r"resuming after epoch.*\[metric\]")
    job = trainer.stop(name)
    assert job["TrainingJobStatus"] == "Stopped"
    phases = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in phases
    assert phases[-3:] == ["Stopping", "Uploading", "Stopped"]
    before, after = trainer.log(name).split("resuming after epoch ", 1)
    reached = int(re.match(r"\d+", after)[0])
    assert reached + 1 >= _metric_epochs(before)[-1]
    assert _metric_epochs(after)[0] == reached + 1
    assert job["BillableTimeInSeconds"] < 0.4 * job["TrainingTimeInSeconds"]
    history = trainer.evaluation(job)["history"]
    whole = [epoch["epoch"] for epoch in history if epoch["epoch"] == int(epoch["epoch"])]
    assert whole == list(range(1, len(whole) + 1))
    assert len(whole) >= reached
