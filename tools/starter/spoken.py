"""Sentences and their words in voices that no training hears, as input of evaluate.py --text.

Writes FOLDER/<number>.wav and .txt, by the held-out voices of the language in turn. The
English ones are drawn again from where training has its own; the others are plain
sentences of every day, whose spelling is certain.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.common.cli import entry_point, make_parser
from tools.starter.kokoro import HELD, KokoroVoice, read_styles
from tools.starter.speech.letters import letters
from tools.starter.speech.synthesizer import RATE, load_kokoro
from tools.starter.speech.texts import sentences

SENTENCES = {
    "zh": (
        "今天早上下了一场大雨，路上的人都打着伞。",
        "我们明天下午一起去图书馆看书吧。",
        "这家饭馆的面条又便宜又好吃。",
        "他每天晚上都在公园里跑步。",
        "请你把窗户打开，房间里太热了。",
        "春天来了，院子里的花都开了。",
        "老师说学好一门语言需要很长的时间。",
        "火车马上就要开了，我们快走吧。",
        "妹妹喜欢一边听音乐一边画画。",
        "海边的风很大，船都停在港口里。",
    ),
    "ja": (
        "今日は朝から雨が降っています。",
        "駅前の新しい店でパンを買いました。",
        "明日の午後、図書館で会いましょう。",
        "私は毎晩公園を走っています。",
        "この村の冬はとても寒いです。",
        "先生の話は長いけれど面白いです。",
        "電車が遅れたので、会議に間に合いませんでした。",
        "母は庭に赤い花を植えました。",
        "海の近くに住みたいと思います。",
        "窓を開けると、山がよく見えます。",
    ),
}


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Write; return the exit code."""
    parser = make_parser(__doc__, prog="python -m tools.starter.spoken")
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--styles", type=Path, required=True, help="folder package/voices of kokoro-js")
    parser.add_argument("--language", choices=("en", *SENTENCES), default="en", help="(%(default)s)")
    parser.add_argument("--sentences", type=int, default=10, help="number of sentences (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the English sentences (%(default)s)")
    args = parser.parse_args(argv)
    import soundfile

    from modules.common.files import write_text

    styles, kokoro = read_styles(args.styles), load_kokoro()
    voices = [KokoroVoice.held(styles, name) for name in HELD if name.startswith(f"{args.language}-")]
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(_texts(args.language, args.sentences, args.seed)):
        voice = voices[number % len(voices)]
        said = kokoro.known(letters(text, args.language, voice.british))
        audio = kokoro.say(said, voice.style, kokoro.prosody(said, voice.style))
        soundfile.write(args.folder / f"{number:02d}.wav", audio, RATE)
        write_text(args.folder / f"{number:02d}.txt", text)
    return 0


def _texts(language: str, count: int, seed: int) -> Sequence[str]:
    """Sentences in a language, at most ``count``; the English ones have at least seven words."""
    if language in SENTENCES:
        return SENTENCES[language][:count]
    known = [text for text in sentences(language) if len(text.split()) >= 7]
    drawn = np.random.default_rng(seed + 1_000_000).choice(len(known), count, replace=False)
    return [known[index] for index in drawn]


if __name__ == "__main__":
    sys.exit(main())
