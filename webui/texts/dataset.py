"""Texts of the Dataset tab."""

from modules.dataset.layout import IGNORED
from vdecoder import VOCODERS
from vencoder import ENCODERS
from webui.flags import flag_texts

TEXTS: dict[str, tuple[str, str]] = {
    "dataset.intro": (
        "Put recordings into `dataset_raw/<speaker>/`: dry singing or speech of one person, without "
        "accompaniment, 30 minutes or more. Check them here, then run the three steps one after the other.",
        "把录音放进 `dataset_raw/<说话人>/`：单人、无伴奏、无混响的干声，最好 30 分钟以上。"
        "先在这里检查，再依次运行三个步骤。",
    ),
    "dataset.folder": ("Folder of recordings", "录音文件夹"),
    "dataset.folder.info": (
        "In the project folder, with a subfolder for each speaker.",
        "其中每个说话人一个文件夹；必须位于项目文件夹内。",
    ),
    "dataset.report": ("Report", "检查数据集"),
    "dataset.summary": ("{clips} recordings, {minutes} minutes", "共 {clips} 条录音，{minutes} 分钟"),
    "dataset.fine": (
        "No problems found.",
        "没有发现问题。",
    ),
    "dataset.problems": (
        "Problems: select a row to play the recording",
        "需要注意的录音：点击一行即可试听",
    ),
    "dataset.clip": ("Recording", "录音"),
    "dataset.listen": ("Playback (first minute)", "试听（前一分钟）"),
    "dataset.lengths": ("Lengths of the recordings", "录音时长分布"),
    "dataset.ranges": (
        "F0 of each speaker: 5 %, median, 95 %",
        "各说话人的基频范围：5 %、中位数、95 %",
    ),
    "dataset.column.speaker": ("speaker", "说话人"),
    "dataset.column.clips": ("recordings", "条数"),
    "dataset.column.minutes": ("minutes", "分钟"),
    "dataset.column.seconds": ("shortest / median / longest, s", "最短 / 中位 / 最长（秒）"),
    "dataset.column.f0": ("F0 5 / 50 / 95 %, Hz", "基频 5 / 50 / 95 %（Hz）"),
    "dataset.column.lufs": ("LUFS", "响度 LUFS"),
    "dataset.column.problems": ("problems", "问题"),
    "dataset.column.clip": ("recording", "录音"),
    "dataset.column.problem": ("problem", "问题"),
    "dataset.problem.unreadable": ("unreadable", "无法读取"),
    "dataset.problem.silent": ("silent", "静音"),
    "dataset.problem.clipped": ("clipped", "削波"),
    "dataset.problem.too short": ("too short", "过短"),
    "dataset.problem.too long": ("too long", "过长"),
    "dataset.problem.stereo": ("stereo", "立体声"),
    "dataset.advice.silent": ("will be left out", "将被跳过"),
    "dataset.advice.clipped": ("distorted; record it again at a lower level", "已失真，请降低音量重新录制"),
    "dataset.advice.too short": ("will be left out", "将被跳过"),
    "dataset.advice.too long": ("tick Slice below", "请勾选下方的“切片”"),
    "dataset.advice.stereo": ("becomes the mean of its channels", "将取各声道平均值"),
    "dataset.step1": ("### 1. Resample", "### 1. 重采样"),
    "dataset.step2": ("### 2. List and configure", "### 2. 划分数据集并生成配置"),
    "dataset.step3": ("### 3. Compute features", "### 3. 提取特征"),
    "dataset.run1": ("Run step 1", "运行步骤 1"),
    "dataset.run2": ("Run step 2", "运行步骤 2"),
    "dataset.run3": ("Run step 3", "运行步骤 3"),
}
for _why, _zh in {
    "loose": "不在任何说话人的文件夹中，请移入其中",
    "nested": "录音应直接放在说话人的文件夹中",
    "format": "不支持这种格式，请转换为 wav",
    "name": "文件名不是一行文本，请重命名",
}.items():
    TEXTS[f"dataset.ignored.{_why}"] = (f"ignored: {IGNORED[_why]}", f"被忽略：{_zh}")
TEXTS |= flag_texts(
    "resample",
    {
        "slice": ("Slice", "切片", "把超过 15 秒的录音在静音处切成 5 到 15 秒的片段"),
        "loudnorm": (
            "Loudness",
            "响度匹配",
            "peak：最高峰值对齐满刻度；lufs：响度对齐 -20 LUFS，真峰值不超过 -1 dB，在有爆音或喊叫时更稳定",
        ),
        "skip_loudnorm": ("Keep loudness", "不改变响度", "保持原有响度"),
        "sr2": ("Sampling rate", "采样率", "输出的采样率，单位 Hz"),
        "num_processes": ("Processes", "进程数", "同时处理的录音数量；0 表示每个核心一个"),
    },
)
TEXTS |= flag_texts(
    "preprocess_flist_config",
    {
        "speech_encoder": ("Speech encoder", "语音编码器", ""),
        "vocoder": ("Vocoder", "声码器", ""),
        "vol_aug": ("Loudness embedding", "响度嵌入", "音色跟随歌曲的响度，否则使用数据集的响度"),
        "reflow": ("Rectified flow", "ReFlow", "扩散模型使用 Rectified Flow：采样步数少时效果更好"),
        "tiny": ("Tiny", "小模型", "更小更快的模型，适合数据少或没有 GPU 的情况"),
    },
)
TEXTS |= flag_texts(
    "preprocess_hubert_f0",
    {
        "f0_predictor": ("F0 predictor", "F0 预测器", "默认与已有特征相同，没有特征时用 swift-f0"),
        "use_diff": ("For diffusion", "用于扩散模型", "同时计算 train_diff.py 需要的响度和移调梅尔频谱"),
        "num_processes": ("Processes", "进程数", "同时处理的片段数量；0 表示每个核心一个"),
        "device": ("Device", "设备", "cpu、cuda、cuda:1、mps；默认自动选择"),
    },
)

# the script's help lists the names, which the menu shows
for _name, _table, _what, _what_zh in (
    (
        "speech_encoder",
        ENCODERS,
        "keeps the words of a song, not the voice of its singer",
        "提取歌曲的内容而不含音色",
    ),
    ("vocoder", VOCODERS, "turns a mel into audio", "把梅尔频谱变成声音"),
):
    _free = ", ".join(name for name, spec in _table.items() if spec.weights is None)
    TEXTS[f"preprocess_flist_config.{_name}.help"] = (
        f"{_what}. No download needed: {_free}; for the others see Lab, Weights",
        f"{_what_zh}。{_free} 无需下载，其余请在“实验室 - 权重”下载",
    )
