"""What every judge promises, and how one says that it cannot judge."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation.conversions import Score, Take

REQUIREMENTS = "requirements-quality.txt"


class Unavailable(Exception):
    """A judge cannot judge; the message says what it takes."""


@dataclass(frozen=True)
class Given:
    """What the judges may know beside the takes.

    Attributes:
        target: Recordings of the voice.
        texts: The words of each song; empty if nobody said.
    """

    target: Sequence[Path] = ()
    texts: Sequence[str] = ()


class Judge(ABC):
    """Gives scores.

    Args:
        given: What it may know beside the takes.

    Raises:
        Unavailable: A package, or something that the user can give, is missing.
    """

    def __init__(self, given: Given) -> None:
        self.given = given

    @abstractmethod
    def judge(self, take: Take) -> Mapping[str, Score]:
        """Return scores by the names of modules/common/metrics.py."""


@contextmanager
def importing(package: str) -> Iterator[None]:
    """Import a judge's package; what it says about its own dependencies is of no use to anyone.

    Raises:
        Unavailable: It, or something that it needs, is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        lacking = f" ({error.name} is missing)" if error.name and error.name != package else ""
        raise Unavailable(
            f"{package} is not installed{lacking}; get it with: python -m pip install -r {REQUIREMENTS}"
        ) from None
