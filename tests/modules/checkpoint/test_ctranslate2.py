"""Files of CTranslate2: what they hold, and what is refused."""

import struct

import numpy as np
import pytest
import torch

from modules.checkpoint.allowlist import DamagedError
from modules.checkpoint.ctranslate2 import Ctranslate2Content
from tests.modules.checkpoint.ctranslate2_files import ctranslate2_bytes

TENSORS: dict[str, np.ndarray] = {
    "odd": np.arange(3, dtype=np.int8),  # so that what follows is not aligned
    "layer/weight": np.arange(12, dtype=np.float16).reshape(3, 4),
    "bias": np.ones(3, np.float32),
    "heads": np.array(8, np.int16),
}
WHOLE = ctranslate2_bytes("SomeSpec", TENSORS, {"other/weight": "layer/weight"})


def test_tensors_have_their_names_shapes_and_types():
    content = Ctranslate2Content(WHOLE)
    assert content.kind == "SomeSpec" and content.aliases == {"other/weight": "layer/weight"}
    assert list(content.tensors) == list(TENSORS)
    for name, values in TENSORS.items():
        assert torch.equal(content.tensors[name], torch.from_numpy(values.copy())), name


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_file_that_is_cut_short_is_refused(length):
    with pytest.raises(DamagedError, match="cut short"):
        Ctranslate2Content(WHOLE[:length])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE + b"\0", "1 bytes after its end"),
        (ctranslate2_bytes("A", TENSORS, version=7), "of version 6, but of 7"),
        (ctranslate2_bytes("A", TENSORS, {"b": "nothing"}), "unknown tensors: nothing"),
        (ctranslate2_bytes("A\n", TENSORS), "a name that is none"),
        (WHOLE.replace(b"bias\0", b"bias "), "a name that is none"),
        (WHOLE.replace(b"heads\0\0\2", b"heads\0\0\x09"), "unknown type 9"),
        (WHOLE.replace(b"odd\0\1", b"odd\0\x09"), "9 axes"),
        (WHOLE.replace(struct.pack("<II", 3, 4), struct.pack("<II", 3, 5)), "24 bytes are not a tensor"),
        (WHOLE.replace(b"bias", b"odd").replace(b"\5\0odd", b"\4\0odd"), "two tensors odd"),
    ],
)
def test_what_makes_no_sense_is_refused(content, message):
    with pytest.raises(DamagedError, match=message):
        Ctranslate2Content(content)
