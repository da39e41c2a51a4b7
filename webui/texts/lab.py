"""Texts of the Lab tab."""

from webui.flags import flag_texts

TEXTS: dict[str, tuple[str, str]] = {
    "lab.mix": ("Mix models", "静态混合"),
    "lab.mix.intro": (
        "Merge several models into one, whose voice lies between theirs. For models of one speaker each, "
        "with the same architecture. Any of their config.json fits the result; a cluster model does not.",
        "把多个模型混合成一个新的声音。适用于单说话人、结构相同的模型。任意一个来源的 config.json "
        "都适用于结果，聚类模型则不适用。",
    ),
    "lab.models": ("Models", "模型"),
    "lab.models.info": (
        "Two or more, from logs/, trained/ and checkpoints/",
        "两个或更多，来自 logs/、trained/ 和 checkpoints/",
    ),
    "lab.mix.linear": ("Linear", "线性"),
    "lab.mix.linear.info": (
        "Use the ratios as they are, with a sum of 100; otherwise their softmax, which leaves a share of "
        "every voice.",
        "直接使用比例（总和应为 100）；否则使用 softmax，任何声音都不会完全消失。",
    ),
    "lab.mix.shares": ("Shares", "占比"),
    "lab.output.info": (
        "In trained/, logs/, checkpoints/ or the project folder itself; .pth or .safetensors",
        "位于 trained/、logs/、checkpoints/ 或项目文件夹本身；.pth 或 .safetensors",
    ),
    "lab.overwrite": ("Overwrite", "覆盖"),
    "lab.overwrite.info": ("Replace a file of this name", "替换同名文件"),
    "lab.mix.start": ("Mix", "混合"),
    "lab.mixing": ("mixing", "正在混合"),
    "lab.mixed": ("Written: {path}. Its configuration: {config}", "已写入：{path}。配置文件：{config}"),
    "lab.tracks": ("Mix along the song", "动态混合"),
    "lab.tracks.intro": (
        "Share of each speaker along the song. Times are fractions of the song: 0 is its start, 1 its end. "
        "Within a segment the value is interpolated linearly. Save the mix, then choose its file in the "
        "Convert tab.",
        "决定每个说话人何时演唱。时间是歌曲的比例：0 为开头，1 为结尾。每一段内数值线性变化。"
        "保存后在“转换”页选择该文件。",
    ),
    "lab.tracks.model": ("Voice model", "声音模型"),
    "lab.tracks.model.info": ("With several speakers", "多说话人模型"),
    "lab.tracks.table": ("Tracks", "轨道"),
    "lab.column.speaker": ("speaker", "说话人"),
    "lab.column.start": ("start", "开始"),
    "lab.column.end": ("end", "结束"),
    "lab.column.low": ("value at start", "起始值"),
    "lab.column.high": ("value at end", "结束值"),
    "lab.tracks.speaker": ("Speaker", "说话人"),
    "lab.tracks.split": ("Split the last segment", "把最后一段一分为二"),
    "lab.tracks.join": ("Join the last two segments", "合并最后两段"),
    "lab.tracks.even": ("Equal shares", "全部相等"),
    "lab.tracks.fade": ("Cross-fade", "依次过渡"),
    "lab.tracks.seconds": ("Length of the song, s", "歌曲长度（秒）"),
    "lab.tracks.fine": ("This mix is valid.", "可以使用。"),
    "lab.tracks.open": ("Open", "打开"),
    "lab.tracks.file": ("Saved mixes", "已保存的混合"),
    "lab.tracks.name": ("Name", "名称"),
    "lab.tracks.save": ("Save", "保存"),
    "lab.tracks.saved": ("Saved as {path}", "已保存为 {path}"),
    "lab.compress": ("Compress", "压缩模型"),
    "lab.compress.intro": (
        "Remove the training state from a model: a third of the size, the same conversion.",
        "去掉只有训练才需要的内容：大小约为三分之一，转换效果不变。",
    ),
    "lab.model": ("Model", "模型"),
    "lab.compress.start": ("Compress", "压缩"),
    "lab.compress.done": (
        "Written: {path} ({kind}), {before:.1f} MB before, {after:.1f} MB after.",
        "已写入：{path}（{kind}），压缩前 {before:.1f} MB，压缩后 {after:.1f} MB。",
    ),
    "lab.compress.fits": ("It fits {path}.", "与 {path} 相符。"),
    "lab.compress.unknown": (
        "No configuration beside it, so it was not compared with one.",
        "旁边没有配置文件，无法确认是否相符。",
    ),
    "lab.compress.change": (
        "Half precision changes the mel by {mean:.3f} dB, at most {most:.2f} dB; changes below 1 dB are "
        "barely audible.",
        "半精度使梅尔频谱平均改变 {mean:.3f} dB，最多 {most:.2f} dB；约 1 dB 才能听出差别。",
    ),
    "lab.onnx": ("ONNX", "ONNX"),
    "lab.onnx.intro": (
        "Export a voice model to ONNX, for other programs and for conversion without PyTorch. Every file "
        "is compared with PyTorch first.",
        "把声音导出为 ONNX，供其他程序使用，或在没有 PyTorch 时转换。每个文件都会先与 PyTorch 对比。",
    ),
    "lab.onnx.import": ("Import a trained model", "导入训练好的模型"),
    "lab.onnx.import.info": (
        "Copied to `checkpoints/<name>`, with its configuration.",
        "连同配置文件复制到 `checkpoints/<名称>`。",
    ),
    "lab.onnx.copy": ("Copy", "复制"),
    "lab.onnx.copied": ("Copied to {path}", "已复制到 {path}"),
    "lab.onnx.start": ("Export", "导出"),
    "lab.onnx.encoders": ("Speech encoders", "语音编码器"),
    "lab.onnx.encoders.info": ("Need their weights, see Weights", "需要先下载权重，见“权重”"),
    "lab.onnx.start.encoders": ("Export encoders", "导出编码器"),
    "lab.onnx.none": ("choose an encoder first", "请先选择编码器"),
    "lab.weights": ("Weights", "权重"),
    "lab.weights.intro": (
        "Pretrained weights of speech encoders, vocoders and F0 predictors, downloaded from where they were "
        "published, with checksums. mfcc, world, pm, dio and others need none.",
        "语音编码器、声码器和 F0 预测器所需的文件，从发布处下载并校验。mfcc、world、pm、dio 等无需下载。",
    ),
    "lab.weights.table": ("List", "列表"),
    "lab.weights.choose": ("Weights to download", "要下载的内容"),
    "lab.weights.start": ("Download", "下载"),
    "lab.weights.check": ("Verify downloaded files", "校验已有文件"),
    "lab.weights.none": ("choose weights to download first", "请先选择要下载的内容"),
    "lab.weights.present": ("downloaded", "已有"),
    "lab.weights.missing": ("missing", "缺少"),
    "lab.weights.by_hand": ("missing, no automatic download", "缺少，需手动获取"),
    "lab.weights.column.names": ("used by", "用于"),
    "lab.weights.column.state": ("state", "状态"),
    "lab.weights.column.size": ("size", "大小"),
    "lab.weights.column.purpose": ("purpose", "用途"),
    "lab.weights.column.licence": ("licence", "许可证"),
}
TEXTS |= flag_texts(
    "mix_models",
    {
        "copy_config": (
            "Copy configuration",
            "复制配置",
            "把第一个模型的 config.json 放到结果旁边，结果便完整可用",
        )
    },
)
TEXTS |= flag_texts(
    "compress_model",
    {
        "config": ("Configuration", "配置文件", "用于确认相符；留空则使用模型旁边的"),
        "half": ("Half precision", "半精度", "以半精度存储，大小再减半"),
        "output": ("Result", "结果文件", "留空则写到模型旁边"),
    },
)
TEXTS |= flag_texts(
    "onnx_export",
    {
        "name": ("Model", "模型", "checkpoints/ 中的文件夹名"),
        "fuse": ("One file", "单个文件", "把声码器也放进 model.onnx"),
        "auto_predict_f0": ("Pitch prediction", "音高预测", "同时写出 f0.onnx"),
        "check": ("Check", "检查", "在多种长度上与 PyTorch 对比，并给出差异和速度"),
    },
)
