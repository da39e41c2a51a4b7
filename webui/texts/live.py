"""Texts of the Live tab, also those that its script in the browser shows."""

from dataclasses import fields

from inference.realtime.settings import RealtimeSettings
from webui.flags import field_texts

MICROPHONE = ("denied", "none", "busy", "insecure")  # why there is none
WORDS = ("input", "output", "connecting", "status", "slow", "ended")  # for the browser

TEXTS: dict[str, tuple[str, str]] = {
    "live.intro": (
        "Sing into the microphone and hear the voice a moment later. **Use headphones**: from a loudspeaker, "
        "the microphone hears the result again. Sound goes to this server and back; other conversions wait "
        "meanwhile.",
        "对着麦克风唱歌，片刻之后就能听到转换后的声音。**请戴耳机**：如果用音箱外放，麦克风会再次收到结果。"
        "声音会发送到本服务器再传回；期间其他转换需要等待。",
    ),
    "live.model": ("Voice model", "声音模型"),
    "live.speaker": ("Speaker", "目标说话人"),
    "live.record": ("Record", "录音"),
    "live.record.help": ("Keep what is heard, as a file in results/", "把听到的声音保存到 results/"),
    "live.recording": ("Recording", "录音文件"),
    "live.start": ("Start", "开始"),
    "live.stop": ("Stop", "停止"),
    "live.input": ("Microphone", "麦克风"),
    "live.output": ("Result", "结果"),
    "live.connecting": ("Connecting …", "正在连接……"),
    "live.status": (
        "{seconds} s · latency {latency} ms, measured; {algorithmic} ms of it are block and look-ahead · "
        "load {load} % · {underruns} underruns · {skipped} blocks skipped",
        "{seconds} 秒 · 实测延迟 {latency} 毫秒，其中块长与前瞻 {algorithmic} 毫秒 · 负载 {load}% · "
        "断音 {underruns} 次 · 跳过 {skipped} 块",
    ),
    "live.slow": (
        "This machine is too slow for these settings: a block of {block} ms would bring the load to 70 %.",
        "这台机器跟不上当前设置：把块长改为 {block} 毫秒可使负载降到 70%。",
    ),
    "live.ended": ("Ended.", "已结束。"),
    "live.microphone.denied": (
        "The browser may not use the microphone; allow it beside the address of this page, then press Start.",
        "浏览器未获准使用麦克风；请在地址栏旁允许本页面使用，然后再按“开始”。",
    ),
    "live.microphone.none": (
        "The browser finds no microphone; connect one, then press Start.",
        "浏览器找不到麦克风；请连接后再按“开始”。",
    ),
    "live.microphone.busy": (
        "The microphone cannot be opened; another program may be using it.",
        "无法打开麦克风；可能有其他程序正在使用。",
    ),
    "live.microphone.insecure": (
        "Browsers give the microphone only to pages over https or of this machine: open the page as "
        "http://localhost, through https, or with --share.",
        "浏览器只允许 https 页面或本机页面使用麦克风：请用 http://localhost、https 或 --share 打开本页面。",
    ),
    "live.no_websockets": (
        "The page needs wsproto for this: pip install -r requirements.txt, then start the page again.",
        "在页面上实时转换需要 wsproto：请运行 pip install -r requirements.txt，然后重新启动页面。",
    ),
    **field_texts(
        "live.time",
        {setting.name: setting.metadata["help"] for setting in fields(RealtimeSettings)},
        {
            "block": ("Block, ms", "块长（毫秒）", "每次转换的长度；越长计算越少，延迟越大"),
            "look_ahead": ("Look-ahead, ms", "前瞻（毫秒）", "转换前先听一段之后的声音，音高和字音需要它"),
            "crossfade": ("Cross-fade, ms", "交叉淡化（毫秒）", "相邻两块之间的过渡"),
            "context": ("Context, ms", "上文（毫秒）", "声音模型看到的此前长度；增加计算，不增加延迟"),
            "unit_context": (
                "Encoder context, ms",
                "编码器上文（毫秒）",
                "语音编码器听到的此前长度；增加计算，不增加延迟",
            ),
        },
    ),
}
