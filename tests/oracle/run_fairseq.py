"""Runs in fairseq's own environment: fairseq's HuBERT on some waves.

    python run_fairseq.py CHECKPOINT WAVES.npz UNITS.npz LAYER PROJECTED

LAYER 0 is the whole network.
"""

import functools
import sys

import numpy as np
import torch

# fairseq is older than torch's refusal to unpickle objects; the file is one of our own
torch.load = functools.partial(torch.load, weights_only=False)

from fairseq import checkpoint_utils  # noqa: E402 - it must find the line above done


def main(checkpoint: str, waves: str, units: str, layer: str, projected: str) -> None:
    torch.set_num_threads(1)
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([checkpoint], suffix="")
    model.eval()
    results = {}
    with np.load(waves) as archive, torch.no_grad():
        for name, wave in archive.items():
            source = torch.from_numpy(wave)[None]
            padding = torch.zeros_like(source, dtype=torch.bool)
            hidden, _ = model.extract_features(source, padding, mask=False, output_layer=int(layer) or None)
            results[name] = (model.final_proj(hidden) if int(projected) else hidden)[0].T.numpy()
    np.savez(units, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
