"""Texts in pictures."""

TEXTS: dict[str, tuple[str, str]] = {
    "picture.source": ("source", "原声"),
    "picture.result": ("result", "结果"),
    "picture.f0.source": ("F0 of the source", "原声的基频"),
    "picture.f0.result": ("F0 of the result", "结果的基频"),
    "picture.first": (", first {seconds:.0f} s", "，前 {seconds:.0f} 秒"),
    "picture.mel": ("mel, 40 Hz – 16 kHz", "梅尔频谱，40 Hz – 16 kHz"),
    "picture.f0": ("F0, Hz", "基频，Hz"),
    "picture.loudness": ("loudness, dB", "响度，dB"),
    "picture.slices": ("time, s; green: slices", "秒；绿色：切片"),
    "picture.seconds": ("seconds", "秒"),
    "picture.share": ("share of the speaker", "说话人占比"),
}
