"""espeak-ng's library: phones of a text, speech, and the sample at which each phone begins.

The program prints phones without their times, which its library has.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import ClassVar

import numpy as np

_RETRIEVE, _WITH_PHONES = 1, 1 | 2  # in IPA
_RATE, _PITCH, _RANGE = 1, 3, 4
_PHONE_EVENT = 7
_TIED_IPA = 0x02 | 0x80 | ord("^") << 8

# a voice of each language that it speaks well enough
VOICES = {
    "en": "gmw/en-US",
    "es": "roa/es",
    "fr": "roa/fr",
    "it": "roa/it",
    "pt": "roa/pt-BR",
    "hi": "inc/hi",
}


class _Identity(ctypes.Union):
    _fields_: ClassVar = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_: ClassVar = [
        ("kind", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("identity", _Identity),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The synthesizer; one for each process, see :func:`load_espeak`."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.sampling_rate = int(self._library.espeak_Initialize(_RETRIEVE, 0, None, _WITH_PHONES))
        if self.sampling_rate <= 0:
            raise OSError("espeak-ng does not start; install its data: apt-get install espeak-ng")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._samples: list[np.ndarray] = []
        self._phones: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)  # kept: the library stores only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, n_samples: int, events) -> int:  # type: ignore[no-untyped-def]
        if samples and n_samples:
            self._samples.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        index = 0
        while events[index].kind:
            if events[index].kind == _PHONE_EVENT:
                name = bytes(events[index].identity.text).split(b"\0")[0]
                self._phones.append((events[index].sample, name.decode("utf-8", "replace")))
            index += 1
        return 0

    def say(
        self, text: str, voice: str, words_per_minute: int = 160, pitch: int = 50, melody: int = 50
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Speech (T,), float32, and the first sample and IPA of every phone; pauses have none.

        The voice is a file name with variant, such as ``gmw/en-US+f3``; the pitch and its
        range, ``melody``, are 0 to 99.

        Raises:
            OSError: There is no such voice.
        """
        self._choose(voice)
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, melody)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._samples.clear()
        self._phones.clear()
        content = text.encode()
        self._library.espeak_Synth(content, len(content) + 1, 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        if not self._samples:
            raise OSError(f"espeak-ng says nothing with the voice {voice}")
        return np.concatenate(self._samples).astype(np.float32) / 32768, list(self._phones)

    def letters(self, text: str, voice: str) -> str:
        """IPA of a text without punctuation, with stress; ^ ties what is one phone.

        Raises:
            OSError: There is no such voice.
        """
        self._choose(voice)
        rest, found = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:
            found.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), 1, _TIED_IPA).decode())
        return re.sub(r"\([a-z^-]+\)|-", "", " ".join(found))  # (en) begins a foreign word

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise OSError(f"espeak-ng has no voice {voice}")


@cache
def load_espeak() -> Espeak:
    """The synthesizer of this process."""
    return Espeak()
