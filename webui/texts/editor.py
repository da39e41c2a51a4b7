"""Texts of the pitch editor, which its script in the browser shows."""

_WORDS: dict[str, tuple[str, str]] = {
    "tools": ("Tools", "工具"),
    "select": ("Select", "选择"),
    "draw": ("Draw", "绘制"),
    "erase": ("Erase", "擦除"),
    "hand": ("Scroll", "移动视图"),
    "sound": ("Sound", "声音"),
    "play": ("Play", "播放"),
    "stop": ("Stop", "停止"),
    "space": ("space", "空格"),
    "shown": ("Shown and played", "显示与播放"),
    "source": ("Source", "原声"),
    "result": ("Result", "结果"),
    "render": ("Render", "渲染"),
    "save": ("Save", "保存"),
    "history": ("History", "历史"),
    "undo": ("Undo", "撤销"),
    "redo": ("Redo", "重做"),
    "move": ("Move by semitones", "按半音移动"),
    "tuning": ("Notes", "音符"),
    "scale": ("Scale of the result", "结果的音阶"),
    "snap": ("Snap", "对齐音阶"),
    "octaves": ("Mend octaves", "修正八度"),
    "voicing": ("Voicing", "清浊"),
    "voice": ("Voiced", "设为浊音"),
    "unvoice": ("Unvoiced", "设为清音"),
    "reset": ("As tracked", "恢复原音高"),
    "shape": ("Shape", "形状"),
    "vibrato": ("Vibrato", "颤音"),
    "drift": ("Drift", "漂移"),
    "zoom": ("Zoom", "缩放"),
    "wider": ("Zoom in", "放大"),
    "narrower": ("Zoom out", "缩小"),
    "file": ("Pitch file", "音高文件"),
    "export": ("Export", "导出"),
    "import": ("Import", "导入"),
    "canvas": (
        "Pitch of the song. Left and right choose notes, up and down move them; 1 to 4 choose a tool; space "
        "plays, R renders, S snaps, O mends octaves, V and U set the voicing.",
        "歌曲的音高。左右键选择音符，上下键移动；数字 1 到 4 选择工具；空格播放，R 渲染，S 对齐音阶，"
        "O 修正八度，V 和 U 设置清浊。",
    ),
    "hint": (
        "Blue is the song's pitch, yellow the result's. Click a note and drag it, or draw; a button is for "
        "what is selected, else for the whole song. Ctrl and the wheel, or two fingers, zoom.",
        "蓝线是歌曲的音高，黄线是结果的音高。点击并拖动音符，或直接绘制；按钮作用于选中的部分，"
        "没有选择时作用于整首歌。Ctrl 加滚轮或双指可缩放。",
    ),
    "stale": ("Slices to be rendered: {count}.", "待渲染的片段：{count}。"),
    "unchanged": ("That changes nothing here.", "没有变化。"),
    "rendering": ("Rendering: {share} %", "正在渲染：{share}%"),
    "rendered": ("Slices rendered: {count}, in {seconds} s.", "已渲染的片段：{count}，用时 {seconds} 秒。"),
    "saved": ("Saved as results/{file}.", "已保存为 results/{file}。"),
    "cancelled": ("Cancelled.", "已取消。"),
    "note": ("Note {pitch} at {start} s", "音符 {pitch}，{start} 秒"),
}
WORDS = tuple(_WORDS)  # for the browser

TEXTS: dict[str, tuple[str, str]] = {
    **{f"editor.{name}": text for name, text in _WORDS.items()},
    "editor.open": ("Edit the pitch", "编辑音高"),
}
