"""Bad values for every number of a configuration, derived from its declarations."""

import math
from typing import Any, get_args

from modules.config.section import Section
from modules.config.shared import ConfigFile, field_types

WRONG_TYPES = [True, "1", [], {}]


def numbers(settings: type[ConfigFile]) -> list[tuple[type[Section], str]]:
    """Every field that holds a number, or several, with its section."""
    return [
        (section, name)
        for section in field_types(settings).values()
        if isinstance(section, type) and issubclass(section, Section)
        for name, kind in field_types(section).items()
        if {int, float} & {kind, *get_args(kind)}
    ]


def out_of_range(section: type[Section], name: str) -> list[Any]:
    """Values just beyond both bounds and non-finite ones; fails for a number without a range."""
    declared = section.__dataclass_fields__[name]
    allowed = declared.metadata["bounds"]
    low, high = max(allowed.above, allowed.at_least), min(allowed.below, allowed.at_most)
    assert low > -math.inf, f"{section.__name__}.{name} has no lower bound"
    bad = [math.nan, math.inf, -math.inf, low - 1]
    bad += [low] if low == allowed.above else []
    if isinstance(declared.default, int):
        assert high < math.inf, f"{section.__name__}.{name} has no upper bound"
    if high < math.inf:
        bad += [high + 1, 10**20] + ([high] if high == allowed.below else [])
    values = declared.default if isinstance(declared.default, tuple) else ()
    return [[*values[:-1], value] for value in bad] if values else bad
