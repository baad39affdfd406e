"""The process that draws models for another one."""

import pickle
import subprocess
import sys

import numpy as np

from seistomo.config import load_config
from seistomo.velocity import draw_model

COMMAND = [sys.executable, "-c", "from seistomo.velocity.service import serve; serve()"]


def test_it_answers_each_message_and_ends_with_its_input():
    config = load_config("", ["velocity.shape=[15, 18]"]).velocity
    messages = [(config.model_dump_json(), 4), [0, 5], [2]]
    sent = b"".join(pickle.dumps(message) for message in messages)
    done = subprocess.run(COMMAND, input=sent, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    answers, place = [], 0
    while place < len(done.stdout):
        answers.append(pickle.loads(done.stdout[place:]))
        place += len(pickle.dumps(answers[-1], pickle.HIGHEST_PROTOCOL))
    assert [len(answer) for answer in answers] == [2, 1]
    np.testing.assert_array_equal(answers[0][1].velocity, draw_model(config, 4, 5).velocity)
    np.testing.assert_array_equal(answers[1][0].velocity, draw_model(config, 4, 2).velocity)
