"""Texts of the Convert tab."""

from dataclasses import fields

from inference.options import ConvertOptions
from modules.common.precision import DIFFUSION, ENCODER, ENHANCER, GLOW, PREDICTOR, VOCODER
from webui.flags import field_texts

TEXTS: dict[str, tuple[str, str]] = {
    "convert.model": ("1. Voice model", "1. 声音模型"),
    "convert.upload_model": ("Upload a model", "上传模型"),
    "convert.upload_model.help": (
        "G_*.pth with its config.json; for diffusion also model_*.pt with its config.yaml; "
        "kmeans_*.pt or feature_and_index.pkl, which go to Timbre. Up to 2 GB each; their code is never run.",
        "G_*.pth 及其 config.json；使用扩散时再加 model_*.pt 及其 config.yaml；"
        "kmeans_*.pt 或 feature_and_index.pkl 会填入“音色”。"
        "每个最大 2 GB；只读取，不会执行其中的代码。",
    ),
    "convert.instant": ("Instant voice: a recording instead of a model", "即时声音：用一段录音代替模型"),
    "convert.instant.help": (
        "A recording of the target voice, uploaded or from the microphone, without music: 5 s are enough, "
        "20 s better, half a minute is heard. Its voice is loaded without training, and its model kept in "
        "logs/instant/. A trained model sounds more like the voice.",
        "上传或用麦克风录制目标声音（不含伴奏）：5 秒即可，20 秒更好，最多听半分钟。"
        "无需训练即可加载，模型保存在 logs/instant/。训练过的模型更像这个声音。",
    ),
    "convert.instant.recording": ("Recording", "录音"),
    "convert.load": ("Load", "加载"),
    "convert.unload": ("Unload", "卸载"),
    "convert.no_model": (
        "No voice model is loaded yet; converting loads it.",
        "尚未加载声音模型；转换时会自动加载。",
    ),
    "convert.loaded": (
        "{model} is loaded on {device}: {speakers}; encoder {encoder}, vocoder {vocoder}, {rate} Hz.",
        "{model} 已加载到 {device}：{speakers}；编码器 {encoder}，声码器 {vocoder}，{rate} Hz。",
    ),
    "convert.formats": ("Number formats: {formats}.", "数值格式：{formats}。"),
    f"convert.stage.{ENCODER}": (ENCODER, "编码器"),
    f"convert.stage.{PREDICTOR}": (PREDICTOR, "F0 预测器"),
    f"convert.stage.{GLOW}": (GLOW, "Glow 模型"),
    f"convert.stage.{DIFFUSION}": (DIFFUSION, "扩散模型"),
    f"convert.stage.{VOCODER}": (VOCODER, "声码器"),
    f"convert.stage.{ENHANCER}": (ENHANCER, "增强器"),
    "convert.unloaded": ("The model is unloaded and its memory freed.", "模型已卸载，内存已释放。"),
    "convert.songs": ("2. Songs", "2. 歌曲"),
    "convert.upload_songs": ("Songs: dry vocals, one or more files", "歌曲：干声，可同时上传多首"),
    "convert.raw": ("Songs in raw/", "raw/ 中的歌曲"),
    "convert.tts": ("Text to speech", "文字转语音"),
    "convert.tts.text": ("Text", "文字"),
    "convert.tts.program": ("Program", "语音程序"),
    "convert.tts.voice": ("Voice", "发音人"),
    "convert.tts.rate": ("Speed", "语速"),
    "convert.tts.speak": ("Add speech to the songs", "朗读并加入歌曲"),
    "convert.tts.no_edge-tts": (
        "edge-tts is not installed: pip install edge-tts (it needs the network).",
        "未安装 edge-tts：pip install edge-tts（需要联网）。",
    ),
    "convert.tts.no_espeak-ng": (
        "espeak-ng, which needs no network, is not installed: apt install espeak-ng.",
        "未安装可离线使用的 espeak-ng：apt install espeak-ng。",
    ),
    "convert.how": ("3. Options", "3. 选项"),
    "convert.group.pitch": ("Pitch", "音高"),
    "convert.group.timbre": ("Timbre", "音色"),
    "convert.group.diffusion": ("Diffusion", "扩散"),
    "convert.group.loudness": ("Slices and loudness", "切片与响度"),
    "convert.group.mix": ("Speaker mix", "多人混合"),
    "convert.group.output": ("File and precision", "文件与精度"),
    "convert.results": ("4. Results", "4. 结果"),
    "convert.result": ("Result", "结果"),
    "convert.source": ("Source", "原声"),
    "convert.files": ("Download", "下载"),
    "convert.picture": ("Pitch, loudness and slices", "音高、响度与切片"),
    "convert.apply": ("Use the suggested key", "使用建议的变调"),
    "convert.history": ("Earlier results", "历史结果"),
    "convert.history.file": ("File in results/", "results/ 中的文件"),
    "convert.done": ("Done: {count} file(s).", "完成：{count} 个文件。"),
    "convert.fact": (
        "{seconds:.1f} s, real-time factor {factor:.2f}",
        "{seconds:.1f} 秒，实时率 {factor:.2f}",
    ),
    "convert.advice": (
        "In this key, the song's range is {low:.0f}–{high:.0f} Hz, but {speaker} was trained on "
        "{floor:.0f}–{ceiling:.0f} Hz; a key of {key:+d} semitones would fit better.",
        "在此音高下歌曲位于 {low:.0f}–{high:.0f} Hz，而 {speaker} 训练时的音域为 "
        "{floor:.0f}–{ceiling:.0f} Hz；变调 {key:+d} 个半音更合适。",
    ),
    "convert.presets": ("Presets", "预设"),
    "convert.preset": ("Preset", "预设"),
    "convert.preset.help": (
        "all options in configs/presets/<name>.json, as --preset reads them: choose one, or type a name and "
        "save",
        "configs/presets/<名称>.json 中的全部选项，与 --preset 相同：选择一个，或输入名称后保存",
    ),
    "convert.preset.save": ("Save", "保存"),
    "convert.preset.saved": ("Saved as {file}.", "已保存为 {file}。"),
    "convert.auto_key": ("Choose the key", "自动选择音调"),
    "convert.auto_key.help": (
        "from the ranges of song and voice, a whole octave if that fits; the key beside it does not count",
        "根据歌曲和声音的音域选择，合适时移整八度；旁边的变调不起作用",
    ),
    "convert.choice": (
        "Key {key:+d}: the song lies at {low:.0f}–{high:.0f} Hz around {middle:.0f}, {speaker} was trained "
        "on {floor:.0f}–{ceiling:.0f} Hz around {centre:.0f}.",
        "变调 {key:+d}：歌曲位于 {low:.0f}–{high:.0f} Hz，中心 {middle:.0f}；{speaker} 训练时的音域为 "
        "{floor:.0f}–{ceiling:.0f} Hz，中心 {centre:.0f}。",
    ),
    "convert.long": (
        "These songs last {minutes:.0f} minutes; converting them takes a while and can be cancelled.",
        "这些歌曲共 {minutes:.0f} 分钟，需要较长时间；可随时取消。",
    ),
    "option.trans": ("Key, semitones", "变调（半音）"),
    "option.trans.help": ("key change in semitones, one for all songs", "变调的半音数，所有歌曲相同"),
    **field_texts(
        "option",
        {option.name: option.metadata["help"] for option in fields(ConvertOptions)},
        {
            "model_path": ("Model", "模型", "训练好的声音模型"),
            "config_path": ("Configuration", "配置", "与模型保存在一起的配置文件"),
            "onnx": (
                "ONNX model",
                "ONNX 模型",
                "onnx_export.py 导出的模型文件夹：不用 PyTorch 转换，代替模型和配置",
            ),
            "spk_list": ("Speakers", "目标说话人", "目标声音，可多选；只有一个说话人时无需选择"),
            "use_spk_mix": (
                "Mix speakers",
                "混合说话人",
                "由多个说话人演唱，每个时刻的比例由轨道文件决定；目标说话人不起作用",
            ),
            "spk_mix_file": (
                "Speaker mix file",
                "轨道文件",
                "谁在何时演唱：Python 字面量或 JSON，绝不会被执行",
            ),
            "cluster_infer_ratio": (
                "Cluster share",
                "聚类占比",
                "0 到 1：特征向目标声音真实唱过的内容靠拢的程度；越大越像，但咬字越不清。可试 0.3",
            ),
            "cluster_model_path": (
                "Cluster model or index",
                "聚类模型或索引",
                "k-means 模型或检索索引；占比为 0 时不读取（默认：训练脚本生成的文件）",
            ),
            "feature_retrieval": ("Retrieval", "特征检索", "占比大于 0 时用检索索引代替 k-means 模型"),
            "clip": (
                "Slice length, s",
                "强制切片（秒）",
                "强制切片的长度；0 表示只在静音处切。超过 30 秒会在安静处切开",
            ),
            "linear_gradient": (
                "Cross-fade, s",
                "交叉淡化（秒）",
                "两个强制切片的交叉淡化；0 到切片长度。接缝处断字时可试 1",
            ),
            "linear_gradient_retain": (
                "Blended share",
                "混合比例",
                "交叉淡化中真正混合的比例，大于 0，至多 1",
            ),
            "f0_predictor": ("F0 predictor", "F0 预测器", "提取音高的方法"),
            "f0_filter_threshold": (
                "Voicing threshold",
                "浊音阈值",
                "crepe、rmvpe 和 fcpe 的浊音阈值，0 到 1；越高则越少被当作歌声",
            ),
            "auto_predict_f0": ("Automatic pitch", "自动预测音高", "由模型决定音高：只适合说话，唱歌会跑调"),
            "autotune": (
                "Autotune",
                "音高修正",
                "把每个音拉向音阶中最近的音的程度，0 到 1；保留颤音和滑音",
            ),
            "scale": (
                "Scale",
                "音阶",
                "音高修正所用的音，按变调之前的歌曲：C:maj、F#:min 等，或 auto 自动判断",
            ),
            "formant": (
                "Formants, semitones",
                "共振峰（半音）",
                "音高不变，移动共振峰：大于 0 更小更亮的嗓子",
            ),
            "protect": (
                "Protection",
                "保护",
                "呼吸声、清辅音、耳语和气泡音中保留原声的程度，0 到 1",
            ),
            "preview": ("Preview, s", "试听（秒）", "只转换每首歌中唱得最多的若干秒；0 为整首。可试 15"),
            "enhance": (
                "Enhancer",
                "增强器",
                "再经过一次 NSF-HiFiGAN 声码器：对训练数据少的声音有帮助，可能损害好的声音",
            ),
            "enhancer_adaptive_key": (
                "Enhancer key",
                "增强器音域",
                "半音，至多 24：增强器可达到的音高超出自身音域的程度",
            ),
            "mute_unvoiced": (
                "Mute in unvoiced frames",
                "清音处静音",
                "在清音帧让神经声码器的正弦源静音，而不是像其训练时那样用插值的音高继续发声：辅音有嗡声时可试",
            ),
            "shallow_diffusion": ("Shallow diffusion", "浅层扩散", "用扩散模型细化结果：消除金属感；较慢"),
            "diffusion_model_path": ("Diffusion model", "扩散模型", "训练好的扩散模型"),
            "diffusion_config_path": (
                "Diffusion configuration",
                "扩散配置",
                "与扩散模型保存在一起的配置文件",
            ),
            "k_step": (
                "Diffusion steps",
                "扩散步数",
                "浅层扩散重绘 1000 步中的多少步：越多越接近纯扩散模型，也越慢",
            ),
            "only_diffusion": ("Only diffusion", "仅扩散", "只用扩散模型演唱，不加载 Glow 模型"),
            "second_encoding": (
                "Second encoding",
                "二次编码",
                "配合浅层扩散：重新提取 Glow 结果的特征再细化；效果时好时坏",
            ),
            "diffusion_method": ("Sampler", "采样器", "代替配置中的采样器"),
            "diffusion_speedup": (
                "Speed-up",
                "加速倍数",
                "采样器一次跨过的步数，代替配置中的值；1 为逐步，很慢",
            ),
            "slice_db": (
                "Silence, dB",
                "静音阈值（dB）",
                "低于此响度（相对满刻度；轻的歌曲相应降低）视为静音；有噪声用 -30，保留呼吸声用 -50",
            ),
            "pad_seconds": (
                "Context, s",
                "上下文（秒）",
                "每个切片前后多渲染后丢弃的声音，0 到 10；使两端干净",
            ),
            "loudness_envelope_adjustment": (
                "Loudness envelope",
                "响度包络",
                "结果的响度跟随谁：1 为自身，0 为原歌曲",
            ),
            "noise_scale": ("Noise scale", "噪声强度", "发音的变化程度，0 到 2；越低越稳定、越平淡"),
            "precision": (
                "Precision",
                "精度",
                "网络的数值格式：半精度在 GPU 和新 CPU 上更快；auto 只在实测结果不变之处使用半精度",
            ),
            "wav_format": ("Format", "格式", "结果的格式：flac、wav、mp3、ogg 等"),
            "device": ("Device", "设备", "cpu、cuda、cuda:1 或 mps；默认自动选择"),
        },
    ),
}
