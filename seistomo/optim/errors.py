"""What an optimizer or an objective refuses."""


class OptimizerError(ValueError):
    """An optimizer, one of its options or an objective cannot be used; the message says why."""
