"""Speech encoders that come as ONNX graphs, run by onnxruntime.

The published graphs and the ones that onnx_export.py writes take a wave of any
length and return its units; padding and projections are inside. Graphs from
other exporters differ in names, ranks and layout, so inputs are read from the
graph, and the layout of the output from two short runs. PyTorch is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.common.errors import CheckpointError
from modules.onnx.session import open_session, run
from vencoder.base import ArrayEncoder
from vencoder.batching import windows

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MASKS = {**_FLOATS, "tensor(bool)": np.bool_, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
_PROBES = (1600, 8000)  # samples; 20 units apart
_LONGEST = 2000  # units, 40 s, in one run: the memory of attention grows with the square
_MARGIN = 100  # units, 2 s, that windows overlap


@dataclass(frozen=True)
class _Input:
    """An input of the graph: n samples of a type, with leading axes of 1."""

    name: str
    dtype: Any
    rank: int

    def shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.astype(self.dtype, copy=False).reshape((1,) * (self.rank - 1) + (-1,))


class OnnxEncoder(ArrayEncoder):
    """An encoder whose network is an ONNX graph: [1, 1, T] or [1, T] to [1, U, D] or [1, D, U].

    Clips are encoded one by one: the graphs take no lengths, and padding a clip
    changes its units. The graph runs on the device if onnxruntime supports it;
    otherwise on the CPU, with a log message.

    Raises:
        MissingWeightsError: The published file has not been downloaded.
        CheckpointError: The file is not an ONNX graph, needs other files, or is not a speech encoder.
    """

    def _set_up(self) -> None:
        self._path = self._weights_file()
        self._session = open_session(self._path, self.device, f"the encoder {self.name!r}")
        try:
            self._source, self._mask = self._read_inputs()
            self.ssl_dim, self._transposed = self._probe()
            facts = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError:
            raise CheckpointError(f"{self._path} is damaged: its names are not text") from None
        # files of onnx_export.py state their encoder; others are identified by their width at best
        made_for = facts.get("encoder", self.name)
        if self.weights is None and made_for.removesuffix("-onnx") != self.name.removesuffix("-onnx"):
            raise CheckpointError(f"{self._path} is the encoder {made_for!r}, not {self.name!r}")
        self._check_ssl_dim(self._path)

    def units(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Units (D, U) of ``audio`` (T,), computed in windows if it is longer than 40 s."""
        samples = np.pad(audio, (0, max(0, self.receptive_field - len(audio))))
        cuts = windows((len(samples) - 400) // self.hop_length + 1, _LONGEST, _MARGIN)
        parts = []
        for cut in cuts:
            last = cut is cuts[-1]  # used to its end: graphs that pad return one more unit
            stop = None if last else (cut.stop - 1) * self.hop_length + 400
            part = self._run(samples[cut.start * self.hop_length : stop])[0]
            part = part if self._transposed else part.T
            parts.append(part[:, cut.first - cut.start : None if last else cut.last - cut.start])
        units = np.concatenate(parts, 1, dtype=np.float32)
        if not np.isfinite(units).all():
            raise CheckpointError(
                f"{self._path} gives NaN or infinity for {self._seconds(len(samples))} of audio"
            )
        return np.ascontiguousarray(units)

    def _run(self, samples: NDArray[np.float32]) -> NDArray[Any]:
        """The graph's first output for samples (T,)."""
        feed = {self._source.name: self._source.shaped(samples)}
        if self._mask:
            # "attention_mask" is true for audio, "padding_mask" for padding
            audio = np.full(len(samples), "attention" in self._mask.name.lower())
            feed[self._mask.name] = self._mask.shaped(audio)
        where = f"{self._path} cannot be run on {self._seconds(len(samples))} of audio"
        output: NDArray[Any] = run(self._session, feed, where)[0]
        return output

    def _seconds(self, n_samples: int) -> str:
        return f"{n_samples / self.sampling_rate:.1f} s"

    def _read_inputs(self) -> tuple[_Input, _Input | None]:
        """The inputs for the waveform and, if the graph has one, the mask."""
        inputs = self._session.get_inputs()
        found = ", ".join(f"{node.name} {node.type} {node.shape}" for node in inputs) or "none"
        refusal = CheckpointError(
            f"{self._path} is not a speech encoder: its inputs are: {found}; expected is one waveform "
            "of any length, float [1, 1, samples] or [1, samples], and at most one mask"
        )
        masks = [node for node in inputs if "mask" in node.name.lower()]
        waves = [node for node in inputs if node not in masks]
        if len(waves) != 1 or len(masks) > 1 or waves[0].type not in _FLOATS:
            raise refusal
        if masks and masks[0].type not in _MASKS:
            raise refusal
        for node in inputs:
            *leading, length = node.shape or ["batch", "channel", "samples"]  # no shape: as published
            if (
                len(leading) > 2
                or isinstance(length, int)
                or any(isinstance(n, int) and n != 1 for n in leading)
            ):
                raise refusal
        wave, *mask = [
            _Input(node.name, _MASKS[node.type], len(node.shape) or 3) for node in (waves[0], *masks)
        ]
        return wave, mask[0] if mask else None

    def _probe(self) -> tuple[int, bool]:
        """Channels of the units, and whether the output is [1, D, U], not [1, U, D].

        The axis that grows with the audio is time; shapes in the file are not reliable.
        """
        outputs = self._session.get_outputs()
        if not outputs or outputs[0].type not in _FLOATS:
            found = f"{outputs[0].name} {outputs[0].type}" if outputs else "nothing"
            raise CheckpointError(
                f"{self._path} is not a speech encoder: its output is {found}; "
                "expected is float [1, units, channels]"
            )
        short, long = (self._run(np.zeros(n, np.float32)).shape for n in _PROBES)
        n_units = (_PROBES[1] - _PROBES[0]) // self.hop_length
        if len(short) == len(long) == 3 and short[0] == long[0] == 1:
            more = [b - a for a, b in zip(short[1:], long[1:], strict=True)]
            for time in (0, 1):
                if more[1 - time] == 0 and abs(more[time] - n_units) <= 1:
                    return short[2 - time], time == 1
        raise CheckpointError(
            f"{self._path} is not a speech encoder: {self._seconds(_PROBES[0])} of audio give {list(short)} "
            f"and {self._seconds(_PROBES[1])} give {list(long)}; expected is [1, units, channels] "
            f"with one unit per {self.hop_length} samples"
        )
