"""--shard i/n."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seistomo.config import load_config
from seistomo.dataset.shard import Shard
from seistomo.errors import InputError


def config(samples, each):
    return load_config("", [f"dataset.samples={samples}", f"dataset.shard_samples={each}"])


@given(st.integers(1, 500), st.integers(1, 60), st.data())
def test_parts_are_next_to_each_other_and_nearly_equal(samples, each, data):
    blocks = -(-samples // each)
    count = data.draw(st.integers(1, blocks))
    ranges = [Shard(i, count).samples(config(samples, each)) for i in range(1, count + 1)]
    assert [index for part in ranges for index in part] == list(range(samples))
    assert all(part.start % each == 0 for part in ranges)
    lengths = [-(-len(part) // each) for part in ranges]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5", ""])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(InputError, match=r"must be i/n with i from 1 to n"):
        Shard.parse(text)


def test_too_many_parts_are_refused_with_what_would_do():
    with pytest.raises(InputError, match=r"use at most 3 parts, or dataset.shard_samples = 25"):
        Shard(1, 4).samples(config(100, 40))
    assert len(Shard(4, 4).samples(config(100, 25))) == 25
    with pytest.raises(InputError, match="there are only 3 samples"):
        Shard(1, 4).samples(config(3, 1))
    assert str(Shard.parse(" 2/4 ")) == "2/4"
