import json
import platform

import torch

from seistomo.benchmarks.machine import describe_machine, machine_line


def test_says_what_it_ran_on_but_not_where():
    facts = describe_machine(torch.device("cpu"))
    assert facts["processor"]
    assert facts["cores"] >= 1
    assert facts["threads"] == torch.get_num_threads()
    assert facts["torch"] == torch.__version__
    text = json.dumps(facts) + machine_line(facts)
    assert len(platform.node()) < 4 or platform.node() not in text
    assert "gpu" not in facts
    assert machine_line({**facts, "gpu": "a GPU"}).startswith("a GPU; ")
    line = machine_line({**facts, "cores": 1, "threads": 1})
    assert ", 1 core, 1 thread; " in line
    assert ", 1 thread; " in machine_line({**facts, "cores": None, "threads": 1})
