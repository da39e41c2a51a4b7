"""Texts of the Cover tab, also those that its script in the browser shows."""

from webui.flags import flag_texts

TEXTS: dict[str, tuple[str, str]] = {
    "cover.intro": (
        "A whole song in another voice: the vocals are taken out, converted, and mixed with the instruments "
        "again. What has not changed since the last time is not computed again. Needs "
        "`pip install -r requirements-cover.txt`.",
        "给整首歌换一个声音：先分离人声，转换后再与伴奏混合。与上次相同的部分不会重算。"
        "需要先运行 `pip install -r requirements-cover.txt`。",
    ),
    "cover.song": ("Song, with its instruments", "歌曲（含伴奏）"),
    "cover.raw": ("or from raw/", "或 raw/ 中的歌曲"),
    "cover.model": ("Voice model", "声音模型"),
    "cover.speaker": ("Speaker", "目标说话人"),
    "cover.key.help": (
        "Of the voice alone: octaves (12, -12) stay in key with the instruments",
        "只移动人声：八度（12、-12）才与伴奏合调",
    ),
    "cover.auto_key.help": (
        "the octave that suits the ranges of song and voice; the key beside it does not count",
        "按歌曲和声音的音域选择合适的八度；旁边的变调不起作用",
    ),
    "cover.start": ("Make the cover", "制作翻唱"),
    "cover.results": ("Listen and mix", "试听与混音"),
    "cover.chosen": ("Cover", "翻唱"),
    "cover.vocal_level": ("New voice, dB", "新的人声，dB"),
    "cover.backing_level": ("Backing voices, dB", "和声，dB"),
    "cover.instrumental_level": ("Instruments, dB", "伴奏，dB"),
    "cover.play": ("Play the mix", "播放混音"),
    "cover.pause": ("Pause", "暂停"),
    "cover.part.cover": ("Cover, as written", "翻唱（已写入的文件）"),
    "cover.part.acappella": ("New voice", "新的人声"),
    "cover.part.backing": ("Backing voices", "和声"),
    "cover.part.instrumental": ("Instruments", "伴奏"),
    "cover.part.lead": ("Lead of the original", "原唱的主唱"),
    "cover.part.vocals": ("Vocals of the original", "原唱的全部人声"),
    **flag_texts(
        "cover",
        {
            "separator": (
                "Separator",
                "分离器",
                "用什么分离人声；none：这首歌只有人声。demucs 和 audio-separator 更好，需下载",
            ),
            "backing": ("Backing voices", "和声", "保留原来的、静音，或一并转换"),
            "instrumental_key": ("Key of everything", "整首移调", "人声和伴奏一起移动的半音数，-12 到 12"),
            "dry": ("Dry", "无混响", "不给新的人声加上原唱的混响"),
        },
    ),
}
