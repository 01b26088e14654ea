"""The loop, on a model of one weight whose value says which step it is of."""

import keras
import numpy as np
import pytest

from trainyard_trainer.checkpoint import Checkpoints
from trainyard_trainer.container import JobError, Stop
from trainyard_trainer.evaluation import Tally
from trainyard_trainer.training import Loop, Plan


class CountingTask:
    def __init__(self, losses, during_step=None):
        inputs = keras.Input((1,))
        self.model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
        self.model.set_weights([np.zeros((1, 1))])
        self.optimizer = keras.optimizers.SGD(0.1)
        self.optimizer.build(self.model.trainable_variables)
        self._losses = losses
        self._during_step = during_step

    @property
    def weight(self):
        return float(self.model.get_weights()[0][0, 0])

    def step(self, batch):
        self.model.set_weights([np.array([[self.weight + 1]])])
        if self._during_step:
            self._during_step(self.weight)
        return batch, 1, 2

    def evaluate(self, enough):  # noqa: ARG002 (the loop's interface)
        return Tally(np.array([[1, 0], [0, 0]]), self._losses[int(self.weight)])


def run(task, plan, folder=None, stop=None, batches=None):
    loop = Loop(task, plan, Checkpoints(folder, {"job": 1}), stop or Stop())
    return loop.run(batches or iter(lambda: 0.5, None))


def test_the_best_epoch_is_kept():
    task = CountingTask({2: 3.0, 4: 1.0, 6: 2.0})
    outcome = run(task, Plan(epochs=3, steps_per_epoch=2, patience=0))
    assert task.weight == 4
    assert outcome.evaluation.loss == 1.0
    assert outcome.progress.best_epoch == 2
    assert [epoch["validation_loss"] for epoch in outcome.progress.history] == [3.0, 1.0, 2.0]
    assert not outcome.progress.stopped_early


def test_early_stop_waits_for_patience_and_restores_the_best():
    task = CountingTask({1: 3.0, 2: 1.0, 3: 1.5, 4: 1.2, 5: 0.1})
    outcome = run(task, Plan(epochs=9, steps_per_epoch=1, patience=2))
    assert outcome.progress.step == 4
    assert outcome.progress.stopped_early
    assert task.weight == 2


def test_a_loss_that_is_no_number_ends_the_job():
    with pytest.raises(JobError, match=r"loss became nan in step 1.*learning_rate"):
        run(CountingTask({}), Plan(1, 4, 0), batches=iter([float("nan")]))


def test_stopped_within_an_epoch_keeps_what_there_is(tmp_path, capsys):
    stop = Stop()
    task = CountingTask({3: 0.7}, lambda step: step == 3 and stop._on_sigterm(15, None))
    outcome = run(task, Plan(2, 10, 0), tmp_path, stop)
    assert outcome.progress.step == 3
    assert outcome.evaluation.loss == 0.7
    resumed = CountingTask({10: 0.5, 20: 0.4})
    assert run(resumed, Plan(2, 10, 0), tmp_path).progress.step == 20
    assert "resuming after epoch 0 and 3 of 10 steps of the next" in capsys.readouterr().out
    assert resumed.weight == 20


def test_stopped_before_the_first_step_there_is_nothing():
    stop = Stop()
    stop._on_sigterm(15, None)
    assert run(CountingTask({}), Plan(1, 1, 0), stop=stop) is None


def test_a_killed_training_goes_on_after_its_last_epoch(tmp_path):
    def die(step):
        if step == 5:
            raise KeyboardInterrupt

    losses = {2: 1.0, 4: 2.0, 6: 3.0}
    plan = Plan(3, 2, 0)
    with pytest.raises(KeyboardInterrupt):
        run(CountingTask(losses, die), plan, tmp_path)
    task = CountingTask(losses)
    loop = Loop(task, plan, Checkpoints(tmp_path, {"job": 1}), Stop())
    assert task.weight == loop.progress.step == 4
    outcome = loop.run(iter(lambda: 0.5, None))
    assert outcome.progress.step == 6
    assert task.weight == 2, "the best epoch was before the kill"
    assert len(outcome.progress.history) == 3


def test_a_finished_training_that_comes_again_only_hands_over(tmp_path):
    plan = Plan(2, 2, 0)
    run(CountingTask({2: 1.0, 4: 0.5}), plan, tmp_path)
    task = CountingTask({})
    assert run(task, plan, tmp_path, batches=iter(())).evaluation.loss == 0.5
    assert task.weight == 4


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_checkpoint_that_cannot_be_read_is_not_used(tmp_path, damage, capsys):
    run(CountingTask({1: 1.0}), Plan(1, 1, 0), tmp_path)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-30] if damage == "cut" else b"garbage")
    assert Checkpoints(tmp_path, {"job": 1}).restore() is None
    assert "starting from the beginning" in capsys.readouterr().out


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    mine = {"classes": ("a", "b"), "batch_size": 16, "seed": 1, "mix": 0.5}
    Checkpoints(tmp_path, mine).save({}, {})
    assert Checkpoints(tmp_path, mine).restore() is not None
    other = {"classes": ("a", "c"), "batch_size": 32, "seed": 1}
    with pytest.raises(JobError) as refused:
        Checkpoints(tmp_path, other).restore()
    text = str(refused.value)
    assert 'classes is ["a", "c"] here and ["a", "b"] there' in text
    assert "batch_size is 32 here and 16 there" in text
    assert "mix is not set here and 0.5 there" in text
    assert "seed" not in text
    assert "empty checkpoint location" in text


def test_more_epochs_go_on_after_the_last_one(tmp_path, capsys):
    losses = {2: 3.0, 4: 2.0, 6: 1.0, 8: 0.5}
    run(CountingTask(losses), Plan(2, 2, 0), tmp_path)
    capsys.readouterr()
    outcome = run(CountingTask(losses), Plan(4, 2, 0), tmp_path)
    printed = capsys.readouterr().out
    assert "resuming after epoch 2, from the checkpoint of step 4" in printed
    assert [epoch["epoch"] for epoch in outcome.progress.history] == [1, 2, 3, 4]
    assert "[metric] epoch=3 step=5" in printed
    assert "epoch=2 " not in printed
    assert outcome.progress.best_epoch == 4


def test_fewer_epochs_than_are_done_only_hand_over(tmp_path, capsys):
    run(CountingTask({1: 3.0, 2: 1.0, 3: 2.0}), Plan(3, 1, 0), tmp_path)
    outcome = run(CountingTask({}), Plan(2, 1, 0), tmp_path, batches=iter(()))
    assert outcome.evaluation.loss == 1.0
    assert "all 2 epochs are done already" in capsys.readouterr().out


def test_a_greater_patience_undoes_an_early_stop(tmp_path):
    losses = {1: 1.0, 2: 2.0, 3: 2.0, 4: 0.5}
    assert run(CountingTask(losses), Plan(4, 1, 1), tmp_path).progress.stopped_early
    outcome = run(CountingTask(losses), Plan(4, 1, 3), tmp_path)
    assert outcome.progress.step == 4
    assert not outcome.progress.stopped_early
