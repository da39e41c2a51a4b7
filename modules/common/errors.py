"""Errors that a user may see, each as a single line.

Scripts turn any of them into one line on stderr and exit code 2; anything else
that escapes is a bug and keeps its traceback.
"""


class GlowSVCError(Exception):
    """Base of every error whose message is meant for the user."""


def sanitize(text: str, longest: int = 80) -> str:
    """Shorten text from a file, which may hold anything, to a piece of one line."""
    letters = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return letters if len(letters) <= longest else letters[:longest] + "..."


class ConfigError(GlowSVCError):
    """A setting, flag or configuration file is wrong."""


class CheckpointError(GlowSVCError):
    """A model file cannot be read, or does not fit the model."""


class AudioError(GlowSVCError):
    """A recording cannot be read, or contains nothing usable."""


class DeviceError(GlowSVCError):
    """A sound device is missing, in use or unplugged."""


class FeatureError(GlowSVCError):
    """A cached feature is missing, broken or made with other settings."""


class TrainingError(GlowSVCError):
    """A training run cannot continue."""


class MissingWeightsError(GlowSVCError):
    """A file that must be downloaded is missing."""
