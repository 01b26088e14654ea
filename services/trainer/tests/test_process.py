"""The trainer as a process: exit codes, signals, the failure file, kill -9."""

import re
import signal
import time


def test_a_failure_is_written_for_the_user_and_traced_in_the_log(job, start):
    job.with_data(train=6, validation=6).configure(epoch="3")
    process = start(job)
    assert process.exit_code() == 1
    assert job.failure.read_text().startswith("unknown parameter epoch: remove it")
    assert "Traceback" in process.text()
    assert "oneDNN" not in process.text()


def test_sigterm_ends_the_job_with_the_model_so_far(job, start):
    job.with_data().configure(epochs="1000")
    process = start(job)
    process.wait_for("epoch 1 of 1000")
    process.send(signal.SIGTERM)
    sent = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0, process.text()
    assert time.monotonic() - sent < 110, "SageMaker kills after 120 s"
    assert not job.failure.exists()
    evaluation = job.evaluation()
    assert evaluation["stopped"]
    assert evaluation["examples"] == 48
    assert evaluation["epochs_run"] < 1000
    assert (job.container.model / "model.tflite").exists()


def test_sigterm_before_the_first_step_ends_cleanly(job, start):
    job.with_data().configure(epochs="1000")
    process = start(job)
    process.wait_for_sigterm_handler()
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0, process.text()
    assert "stopped before the first step" in process.text()
    assert not job.failure.exists()
    assert not job.container.model.exists()


def test_a_killed_job_goes_on_from_its_last_epoch(job, start):
    job.with_data().configure(epochs="6")
    (job.base / "checkpoints").mkdir()
    process = start(job)
    process.wait_for("epoch 2 of 6")
    process.wait_for("epoch=3 ")
    process.send(signal.SIGKILL)
    process.exit_code()
    killed = len(process.text())
    process = start(job)
    assert process.exit_code() == 0, process.text()
    again = process.text()[killed:]
    resumed_after = int(re.search(r"resuming after epoch .* of step (\d+)", again)[1])
    assert resumed_after >= 2 * 6
    assert int(re.search(r" step=(\d+)", again)[1]) > resumed_after
    evaluation = job.evaluation()
    assert evaluation["steps"] == 6 * 6
    assert len(evaluation["history"]) == 6
