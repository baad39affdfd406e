"""Choose samples or shots by number, list or slice."""

from collections.abc import Sequence

from seistomo.errors import InputError

Selection = str | Sequence[int] | None


def select(wanted: str | Sequence[int], count: int, name: str) -> list[int]:
    """Return the numbers that ``wanted`` names among 0 to ``count - 1``.

    Numbers, or text: numbers and Python slices, with commas between ("0,3,7", "0:36"). ``name``
    is what messages call it.
    """
    parts = wanted.split(",") if isinstance(wanted, str) else [str(part) for part in wanted]
    numbers: list[int] = []
    for part in parts:
        try:
            ends = [int(end) if end.strip() else None for end in part.split(":")]
            if len(ends) == 1:
                numbers.append(int(part))
            else:
                numbers.extend(range(*slice(*ends).indices(count)))
        except (TypeError, ValueError):
            raise InputError(
                f"{name} = {wanted}: must be numbers or slices, such as 0,3,7 or 0:36"
            ) from None
    for number in numbers:
        if not 0 <= number < count:
            raise InputError(f"{name} = {number}: there are {count}, 0 to {count - 1}")
    if not numbers:
        raise InputError(f"{name} = {wanted}: names none of the {count} there are")
    return numbers
