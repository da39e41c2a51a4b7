"""What a model file seems to be, by its first bytes or the names of its tensors.

A file in the wrong place is the most common mistake; naming what it is says
what to do. Nothing else depends on this table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_FIRST_BYTES = (
    (rb"\Z", "empty"),
    (rb"\s*<(!doctype|html|\?xml)", "a web page: the download failed; get it again"),
    (rb"version https://git-lfs", "a pointer of git-lfs, not the file itself: get it with git lfs pull"),
    (rb"\x08[\x01-\x20][\x12\x1a\x22\x3a]", "an ONNX file"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "a compressed archive: unpack it first"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"RIFF|fLaC|OggS|ID3", "a recording"),
    (rb"\s*[\[{]", "a JSON file"),
)
# names as the files have them; of several kinds that fit, the first counts
_NAMES = (
    (r"(encoder|decoder)\.blocks\.\d+\.attn\.query\.weight", "a Whisper checkpoint"),
    (r"(model\.)?(encoder|decoder)\.layers\.\d+\.encoder_attn\.q_proj\.weight", "a Whisper checkpoint"),
    (r"encoder\.layers\.\d+\.self_attn\.grep_linear\.weight", "a WavLM checkpoint"),
    (r"(wavlm\.)?encoder\.layers\.\d+\.attention\.gru_rel_pos_linear\.weight", "a WavLM checkpoint"),
    (r"feature_extractor\.dummy_weight", "a DPHuBERT checkpoint"),
    (r"feature_extractor\.conv0\.weight", "a soft HuBERT checkpoint"),
    (r"feature_extractor\.conv_layers\.0\.0\.weight", "a HuBERT or ContentVec checkpoint of fairseq"),
    (r"((hubert|wav2vec2)\.)?feature_extractor\.conv_layers\.0\.conv\.weight", "a HuBERT of transformers"),
    (r"unet\.encoder\.bn\.weight", "an RMVPE checkpoint"),
    (r"cent_table", "an FCPE checkpoint"),
    (r"enc_p\.emb_(phone|pitch)\.\S+", "an RVC voice model"),
    (r"enc_q\.\S+|dec\.\S+", "a so-vits-svc voice model"),
    (r"reference\.pre\.weight", "a Glow-SVC base model, for --reference and train.py --base"),
    (r"flow\.flows\.\S+", "a Glow-SVC voice model"),
    (r"unit_embed\.weight", "a diffusion model"),
    (r"discriminators\.\d+\.\S+|(mpd|msd|mrd)", "a discriminator, which is of use in training only"),
    (r"m_source\.l_linear\.weight", "a checkpoint of an NSF vocoder"),
    (r"cluster_centers_", "a k-means file"),
    (r"param_groups", "the state of an optimizer"),
)


def identify_bytes(head: bytes) -> str | None:
    """What a file with these first bytes seems to be, if not a model; None: unknown."""
    return next((kind for pattern, kind in _FIRST_BYTES if re.match(pattern, head, re.IGNORECASE)), None)


def identify(content: Mapping[str, Any]) -> str | None:
    """What the content of a checkpoint, or only its tensors, seems to be; None: unknown."""
    names = "\n".join(_names(content))
    return next((kind for pattern, kind in _NAMES if re.search(f"^({pattern})$", names, re.MULTILINE)), None)


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        yield str(name).removeprefix("module.")
        if isinstance(value, Mapping):
            yield from (str(inner).removeprefix("module.") for inner in value)
