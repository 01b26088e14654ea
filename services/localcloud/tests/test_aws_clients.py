"""The AWS CLI and boto3 against localcloud: what its users type must work as on AWS."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
QUEUE_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def _unique(stem: str) -> str:
    return f"{stem}-{uuid.uuid4().hex[:8]}"


# ---- the AWS CLI


def test_cli_s3(aws, tmp_path: Path):
    source, back = tmp_path / "source.bin", tmp_path / "back.bin"
    source.write_bytes(
        bytes(range(256)) * 40_000
    )  # 10 MB: aws s3 cp makes a multipart upload of it
    assert "trainyard" in aws("s3", "ls")
    aws("s3", "cp", str(source), "s3://trainyard/datasets/cli/source.bin")
    assert "source.bin" in aws("s3", "ls", "s3://trainyard/datasets/cli/")
    aws("s3", "cp", "s3://trainyard/datasets/cli/source.bin", str(back))
    assert back.read_bytes() == source.read_bytes()
    aws(
        "s3",
        "mv",
        "s3://trainyard/datasets/cli/source.bin",
        "s3://trainyard/datasets/cli/moved.bin",
    )
    aws("s3", "rm", "--recursive", "s3://trainyard/datasets/cli/")
    assert (
        aws("s3api", "list-objects-v2", "--bucket", "trainyard", "--prefix", "datasets/cli/").get(
            "KeyCount", 0
        )
        == 0
    )


def test_cli_sqs(aws):
    url = aws("sqs", "create-queue", "--queue-name", _unique("cli"))["QueueUrl"]
    aws("sqs", "send-message", "--queue-url", url, "--message-body", "hello")
    message = aws("sqs", "receive-message", "--queue-url", url, "--attribute-names", "All")[
        "Messages"
    ][0]
    assert message["Body"] == "hello"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    counts = aws("sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All")[
        "Attributes"
    ]
    assert (
        counts["ApproximateNumberOfMessages"]
        == counts["ApproximateNumberOfMessagesNotVisible"]
        == "0"
    )
    assert url in aws("sqs", "list-queues")["QueueUrls"]
    aws("sqs", "delete-queue", "--queue-url", url)


def test_cli_sagemaker_and_logs(aws):
    jobs = aws("sagemaker", "list-training-jobs", "--name-contains", "no-such-job")
    assert jobs == {"TrainingJobSummaries": []}
    groups = aws("logs", "describe-log-groups", "--log-group-name-prefix", "/no/such/group")
    assert groups == {"logGroups": []}


def test_cli_bucket_notification(aws):
    configuration = aws("s3api", "get-bucket-notification-configuration", "--bucket", "trainyard")
    (queue,) = configuration["QueueConfigurations"]
    assert queue["QueueArn"] == QUEUE_ARN + "trainyard-uploads"
    assert queue["Events"] == ["s3:ObjectCreated:*"]
    configuration = json.dumps(configuration)
    aws(
        "s3api",
        "put-bucket-notification-configuration",
        "--bucket",
        "trainyard",
        "--notification-configuration",
        configuration,
    )


# ---- boto3


def _train(client, name: str, script: str, **changes: object) -> dict:
    """Runs a script as a training job of an image of one's own, and describes how it ended."""
    sagemaker = client("sagemaker")
    request = {
        "TrainingJobName": name,
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/training",
        "AlgorithmSpecification": {
            "TrainingImage": "own-image:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", "-ec", script],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://trainyard/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    sagemaker.create_training_job(**(request | changes))
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return sagemaker.describe_training_job(TrainingJobName=name)


def _streams(client, name: str) -> dict[str, list[str]]:
    """The log of each host of a job."""
    found = client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=name + "/"
    )
    streams: dict[str, list[str]] = {}
    for event in found["events"]:
        host = event["logStreamName"].removeprefix(name + "/").rsplit("-", 1)[0]
        streams.setdefault(host, []).append(event["message"])
    return streams


def test_pipe_mode_on_two_instances(client):
    s3 = client("s3")
    for key in "abc":
        s3.put_object(Bucket="trainyard", Key=f"datasets/pipe/{key}", Body=key.encode())
    name = _unique("pipe")
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://trainyard/datasets/pipe/",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    job = _train(
        client,
        name,
        "for e in 0 1; do echo $(cat input/data/train_$e); done",
        InputDataConfig=[
            {"ChannelName": "train", "InputMode": "Pipe", "DataSource": {"S3DataSource": source}}
        ],
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert job["TrainingJobStatus"] == "Completed"
    assert _streams(client, name) == {"algo-1": ["ac", "ac"], "algo-2": ["b", "b"]}


def test_spot_saves_and_goes_on_from_its_checkpoint(client):
    name = _unique("spot")
    job = _train(
        client,
        name,
        "ls checkpoints; touch checkpoints/kept; sleep 3",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        CheckpointConfig={"S3Uri": f"s3://trainyard/checkpoints/{name}"},
        Environment={"LOCALCLOUD_INTERRUPT_AFTER": "500ms", "LOCALCLOUD_INTERRUPT_WAIT": "100ms"},
    )
    phases = [t["Status"] for t in job["SecondaryStatusTransitions"]]
    first, again = ["Starting", "Downloading", "Training"], ["Uploading", "Completed"]
    assert phases == [*first, "Interrupted", *first, *again]
    assert "kept" in _streams(client, name)["algo-1"]
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_upload_reaches_the_queue(client):
    s3, sqs = client("s3"), client("sqs")
    url = sqs.get_queue_url(QueueName="trainyard-uploads")["QueueUrl"]
    key = f"uploads/p/{_unique('d')}/1/a file+ä.zip"
    etag = s3.put_object(Bucket="trainyard", Key=key, Body=b"12345")["ETag"]
    records = []
    while not records:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", []):
            body = json.loads(message["Body"])
            records += [
                r
                for r in body.get("Records", [])
                if urllib.parse.unquote_plus(r["s3"]["object"]["key"]) == key
            ]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    (record,) = records
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["object"]["size"] == 5
    assert record["s3"]["object"]["eTag"] == etag.strip('"')


def test_overlapping_notifications_are_refused(client):
    s3, sqs = client("s3"), client("sqs")
    bucket, queue = _unique("overlap"), _unique("overlap")
    s3.create_bucket(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE_ARN + queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    sqs.create_queue(QueueName=queue, Attributes={"Policy": json.dumps({"Statement": [statement]})})

    def configure(*prefixes: str):
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": QUEUE_ARN + queue,
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
                    }
                    for prefix in prefixes
                ]
            },
        )

    configure("a/", "b/")
    with pytest.raises(
        ClientError, match="overlapping suffixes in two rules if the prefixes are overlapping"
    ) as refused:
        configure("a/", "a/b/")
    assert _code(refused) == "InvalidArgument"
    assert len(s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]) == 2


def test_presigned_url(client):
    # Without this boto3 presigns by Signature Version 2, which newer regions refuse as well.
    s3 = client("s3", signature_version="s3v4")
    put = s3.generate_presigned_url(
        "put_object", Params={"Bucket": "trainyard", "Key": "datasets/presigned"}
    )
    urllib.request.urlopen(urllib.request.Request(put, data=b"0123456789", method="PUT")).close()
    get = s3.generate_presigned_url(
        "get_object", Params={"Bucket": "trainyard", "Key": "datasets/presigned"}
    )
    with urllib.request.urlopen(
        urllib.request.Request(get, headers={"Range": "bytes=2-4"})
    ) as response:
        assert (response.status, response.read()) == (206, b"234")


def test_message_attributes_pass_botos_digest_check(client):
    """botocore checks the MD5 of every body itself; that of the attributes is compared here."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=_unique("attributes"))["QueueUrl"]
    attributes = {
        "kind": {"DataType": "String", "StringValue": "plan ü"},
        "count": {"DataType": "Number.int", "StringValue": "3"},
        "blob": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody="body ü", MessageAttributes=attributes)
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]


def test_batches(client):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=_unique("batches"))["QueueUrl"]
    sent = sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": f"m{i}"} for i in range(10)]
    )
    assert len(sent["Successful"]) == 10
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(m["Body"] for m in messages) == sorted(f"m{i}" for i in range(10))
    entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{**e, "VisibilityTimeout": 60} for e in entries]
    )
    assert len(changed["Successful"]) == 10
    assert len(sqs.delete_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10


def test_dead_letter_queue(client):
    sqs = client("sqs")
    dead_name = _unique("dead")
    dead = sqs.create_queue(QueueName=dead_name)["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": QUEUE_ARN + dead_name, "maxReceiveCount": "1"})
    url = sqs.create_queue(
        QueueName=_unique("source"), Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"}
    )
    url = url["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    (message,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    assert message["Body"] == "poison"
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]


@pytest.mark.parametrize(
    ("operation", "arguments", "code"),
    [
        (
            "get_queue_url",
            {"QueueName": "no-such-queue"},
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
        (
            "create_queue",
            {"QueueName": "q.fifo", "Attributes": {"FifoQueue": "true"}},
            "AWS.SimpleQueueService.UnsupportedOperation",
        ),
        (
            "delete_message",
            {"QueueUrl": "URL", "ReceiptHandle": "nonsense"},
            "ReceiptHandleIsInvalid",
        ),
        (
            "receive_message",
            {"QueueUrl": "URL", "MaxNumberOfMessages": 11},
            "InvalidParameterValue",
        ),
        (
            "send_message_batch",
            {"QueueUrl": "URL", "Entries": []},
            "AWS.SimpleQueueService.EmptyBatchRequest",
        ),
    ],
)
def test_error_codes(client, operation: str, arguments: dict, code: str):
    sqs = client("sqs")
    if arguments.get("QueueUrl") == "URL":
        arguments = {
            **arguments,
            "QueueUrl": sqs.get_queue_url(QueueName="trainyard-tasks")["QueueUrl"],
        }
    with pytest.raises(ClientError) as error:
        getattr(sqs, operation)(**arguments)
    assert _code(error) == code


def test_typed_exception(client):
    sqs = client("sqs")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="no-such-queue")


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
        ("sqs", "list_queues", "SignatureDoesNotMatch"),
        ("sagemaker", "list_training_jobs", "InvalidSignatureException"),
        ("logs", "describe_log_groups", "InvalidSignatureException"),
    ],
)
def test_wrong_secret(client, service: str, operation: str, code: str):
    with pytest.raises(ClientError) as error:
        getattr(client(service, secret_key="wrong"), operation)()
    assert _code(error) == code
