"""Texts of the Training tab."""

from modules.common.metrics import METRICS
from webui.flags import flag_texts

TEXTS: dict[str, tuple[str, str]] = {
    "training.model": ("Voice model", "声音模型"),
    "training.model.intro": (
        "Step 4. Reads `configs/config.json` and the features from the Dataset tab, and writes to "
        "`logs/<run>`. It keeps running when this page is closed; started again, it resumes.",
        "步骤 4。读取 `configs/config.json` 和“数据集”页的结果，写入 `logs/<名称>`。"
        "关闭本页后训练仍会继续；再次启动时从上次停止的地方继续。",
    ),
    "training.diffusion": ("Diffusion model", "扩散模型"),
    "training.diffusion.intro": (
        "Optional. Refines the output of the voice model. The features must have been computed with "
        "*For diffusion*. Reads `configs/diffusion.yaml`.",
        "可选。用于改善声音模型的结果。提取特征时需勾选“用于扩散模型”。读取 `configs/diffusion.yaml`。",
    ),
    "training.clusters": ("Clusters and index", "聚类与检索"),
    "training.clusters.intro": (
        "Optional. Both move the units of a song towards those in the target speaker's recordings; choose "
        "one of them, see docs/retrieval.md.",
        "可选。两者都能让歌曲的内容特征更接近目标音色，任选其一即可，说明见 docs/retrieval.md。",
    ),
    "training.start": ("Train", "开始训练"),
    "training.start.diffusion": ("Train diffusion", "训练扩散模型"),
    "training.start.clusters": ("Make clusters", "生成聚类"),
    "training.start.index": ("Make index", "生成检索索引"),
    "training.loss": ("Loss", "损失"),
    "training.curve.training": ("training", "训练"),
    "training.curve.validation": ("validation", "验证"),
    "training.nothing": ("No validation yet.", "尚无验证结果。"),
    "training.latest": ("Latest validation", "最近一次验证"),
    "training.metric": ("metric", "指标"),
    "training.value": ("now", "当前"),
    "training.best": ("best (at step)", "最佳（步数）"),
    "training.samples": ("Audio of the validation clips", "验证片段试听"),
    "training.clip": ("Clip", "片段"),
    "training.recorded": ("Recording", "原始录音"),
    "training.generated": ("Generated", "模型当前的结果"),
    "training.listen": ("Load the newest audio", "载入最新的声音"),
    "training.no_audio": (
        "there is no audio yet: every validation writes some, if the vocoder is available",
        "还没有声音：每次验证时生成，且需要声码器",
    ),
    "training.step": ("step", "步数"),
    "training.epoch": ("epoch", "轮数"),
}
TEXTS |= {f"training.metric.{name}": (metric.label, metric.label_zh) for name, metric in METRICS.items()}
_DEVICE = ("Device", "设备", "cpu、cuda、cuda:1、mps；默认自动选择")
_MINUTES = ("Minutes", "分钟数", "总共训练这么久后停止，包括之前的部分；0 表示不限")
_CONFIG = ("Configuration", "配置文件", "由数据集步骤 2 生成")
_GPU = ("On the GPU", "使用 GPU", "用 GPU 计算聚类中心")
TEXTS |= flag_texts(
    "train",
    {
        "model": ("Name of the run", "名称", "写入 logs/<名称>"),
        "max_minutes": _MINUTES,
        "base": (
            "Base model",
            "底模",
            "新的训练从这个模型开始；starter：自带的底模，适合步骤 2 的“小模型”加 ppg-starter2；"
            "auto：适合时用自带的底模",
        ),
        "config": _CONFIG,
        "device": _DEVICE,
    },
)
TEXTS |= flag_texts("train_diff", {"max_minutes": _MINUTES, "config": _CONFIG, "device": _DEVICE})
TEXTS |= flag_texts(
    "cluster.train_cluster",
    {"n_centres": ("Centres", "中心数", "每个说话人的聚类中心数，不会超过帧数"), "gpu": _GPU},
)
TEXTS |= flag_texts(
    "train_index",
    {
        "max_frames": ("Maximum frames", "最多帧数", "帧数更多的说话人会压缩为 10 000 个中心；0 表示不压缩"),
        "recall": ("Recall", "召回率", "在真正的 8 个近邻中应找到的比例"),
        "gpu": _GPU,
    },
)
