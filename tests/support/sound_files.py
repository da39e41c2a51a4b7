"""Sound files put together by hand, whose headers claim anything."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile


def write_wav(
    path: Path,
    data: bytes = bytes(12_000),
    rate: int = 44100,
    channels: int = 1,
    bits: int = 16,
    claimed: int | None = None,
) -> Path:
    """Write a wav of these bytes, whose header claims another length of them."""
    n_bytes = len(data) if claimed is None else claimed
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * width % 2**32, width % 2**16, bits)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", n_bytes)
    path.write_bytes(b"RIFF" + struct.pack("<I", min(len(head) + n_bytes, 2**32 - 1)) + head + data)
    return path


def write_flac(path: Path, audio: np.ndarray, rate: int = 44100, claimed: int | None = None) -> Path:
    """Write a flac, whose header claims another number of samples."""
    soundfile.write(path, audio, rate, "PCM_16", format="FLAC")
    data = bytearray(path.read_bytes())
    if claimed is not None:  # 36 bits of the first block, STREAMINFO
        data[21:26] = ((data[21] >> 4) << 36 | claimed).to_bytes(5, "big")
        path.write_bytes(data)
    return path


def write_mp3(path: Path, audio: np.ndarray, rate: int = 44100, claimed: int | None = None) -> Path:
    """Write an mp3, whose header claims another number of frames."""
    soundfile.write(path, audio, rate, format="MP3")
    data = bytearray(path.read_bytes())
    if claimed is not None:
        place = max(data.find(b"Xing"), data.find(b"Info"))
        data[place + 8 : place + 12] = claimed.to_bytes(4, "big")
        path.write_bytes(data)
    return path
