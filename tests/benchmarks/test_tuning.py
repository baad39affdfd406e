from seistomo.benchmarks.history import EpochEntry, RunResult
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.tuning import tune_learning_rate


class Runner:
    """Gives results that were made up."""

    def __init__(self, accuracies, diverged=()):
        self.accuracies, self.diverged = accuracies, diverged

    def run_all(self, jobs):
        assert {job.split for job in jobs} == {"validation"}
        return [self.result(job.settings.learning_rate) for job in jobs]

    def result(self, rate):
        entry = EpochEntry(1, 60, 2.0, 1.0, 1.0, self.accuracies[rate], rate, 60.0, 0.0)
        return RunResult((entry,), diverged="nan" if rate in self.diverged else "")


BASE = RunSettings("adam", 0.5)


def test_the_best_of_the_papers_set_on_the_validation_split_is_taken():
    accuracies = {1.0: 0.1, 0.1: 0.2, 0.01: 0.973, 0.001: 0.969}
    rate, note = tune_learning_rate(Runner(accuracies), BASE, "Adam")
    assert rate == 0.01
    assert "α = 0.01 was best" in note
    assert "1: 10.00%, 0.1: 20.00%, 0.01: 97.30%, 0.001: 96.90%" in note
    assert "4 runs, 8 s" in note


def test_a_run_that_diverged_is_not_taken():
    accuracies = {1.0: 0.99, 0.1: 0.2, 0.01: 0.1, 0.001: 0.1}
    assert tune_learning_rate(Runner(accuracies, diverged=[1.0]), BASE, "SGD")[0] == 0.1
