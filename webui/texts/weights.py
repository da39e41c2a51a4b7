"""Purposes of the pretrained weights, by their key; the English ones are in the table of weights."""

from modules.pretrained.weights import WEIGHTS

_CHINESE = {
    "contentvec": "ContentVec，默认语音编码器：保留歌词，很少带有歌手本人的音色",
    "hubertsoft": "Soft HuBERT，256 维的语音编码器",
    "whisper-medium": "Whisper medium，其编码器部分可作多语言语音编码器",
    "whisper-large-v2": "Whisper large-v2，同上，更大也更慢",
    "cnhubertlarge": "用中文语音训练的 HuBERT large",
    "dphubert": "DPHuBERT，语音编码器：剪枝到四分之一大小的 HuBERT",
    "wavlmbase+": "WavLM-Base+，用 94 000 小时各类语音训练的语音编码器",
    "vec256l9-onnx": "ContentVec 第 9 层及其投影，用于 onnxruntime",
    "vec256l12-onnx": "ContentVec 第 12 层及其投影，用于 onnxruntime",
    "vec768l9-onnx": "ContentVec 第 9 层，用于 onnxruntime",
    "vec768l12-onnx": "ContentVec 第 12 层，用于 onnxruntime",
    "hubertsoft-onnx": "Soft HuBERT，用于 onnxruntime",
    "nsf-hifigan": "NSF-HiFiGAN，默认声码器：由梅尔谱和 F0 得到声音",
    "nsf-snake-hifigan": "使用 snake 激活函数的 NSF-HiFiGAN，so-vits-svc 在声音模型内训练的声码器",
    "rmvpe": "RMVPE，适用于带伴奏人声的 F0 预测器",
    "htdemucs": "Hybrid Transformer Demucs，人声与伴奏分离",
    "mdx-voc-ft": "Ultimate Vocal Remover 的 MDX-Net 人声模型，人声与伴奏分离",
}
TEXTS: dict[str, tuple[str, str]] = {
    f"weights.{key}": (entry.purpose, _CHINESE.get(key, entry.purpose)) for key, entry in WEIGHTS.items()
}
