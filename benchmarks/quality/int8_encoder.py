"""Weights of eight bits in an exported speech encoder: speed, and distance of the units.

    python -m benchmarks.quality.int8_encoder [encoder ...]

Takes the graph of ``onnx_export.py --encoder`` and onnxruntime's two ways: blocks of weights
alone (MatMulNBits), and weights with the products' inputs (dynamic). The baseline
is PyTorch in float32; the starter encoders have their own weights, others random ones.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

from benchmarks.measure import alternate, table, temporary_folder
from benchmarks.workspace import synthetic_song
from export.encoder import export_encoder
from modules.common.cli import configure_logging, make_parser
from modules.dsp.audio import resample
from modules.pretrained.starter import STARTER_ENCODER
from tests.support.published import write_full_encoder
from vencoder import ENCODERS
from vencoder.base import SpeechEncoder
from vencoder.onnx import OnnxEncoder

SECONDS = 8.0
REPEATS = 3


def build_all(name: str, folder: Path) -> dict[str, SpeechEncoder]:
    """The encoder in each form."""
    weights = {} if ENCODERS[name].shipped else {"weights": write_full_encoder(name, folder)}
    plain = ENCODERS.build(name, **weights)
    graph, blocks, dynamic = (folder / f"{name}{kind}.onnx" for kind in ("", ".blocks", ".dynamic"))
    export_encoder(plain, graph)
    quantize_dynamic(graph, dynamic, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(onnx.load(graph), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(blocks))
    return {
        "PyTorch, float32": plain,
        "PyTorch, bfloat16": ENCODERS.build(name, dtype=torch.bfloat16, **weights),
        "graph, float32": OnnxEncoder(name, weights=graph),
        "graph, weights in int8": OnnxEncoder(name, weights=blocks),
        "graph, dynamic int8": OnnxEncoder(name, weights=dynamic),
    }


def main() -> None:
    """Print a row for each encoder and form."""
    parser = make_parser(__doc__)
    parser.add_argument("names", nargs="*", default=[STARTER_ENCODER, "vec768l12"], metavar="encoder")
    wave = torch.from_numpy(resample(synthetic_song(SECONDS, 3), 44100, 16000))
    configure_logging()  # onnxruntime's tools would report every node
    rows = []
    for name in parser.parse_args().names:
        with temporary_folder() as folder:
            works = {form: lambda one=one: one.encode(wave) for form, one in build_all(name, folder).items()}
            times = {form: min(found) for form, found in alternate(works, REPEATS).items()}
            exact, first = next(iter(works.values()))(), next(iter(times.values()))
            for form, work in works.items():
                units, speed = work(), f"{first / times[form]:.2f}×"
                cosine = torch.cosine_similarity(units, exact, dim=0).min()
                distance = f"{(units - exact).norm() / exact.norm():.2%}"
                rows.append([name, form, f"{times[form] / SECONDS:.4f}", speed, distance, f"{cosine:.5f}"])
    table(["encoder", "form", "real-time factor", "speed", "units off by", "smallest cosine"], rows)


if __name__ == "__main__":
    main()
