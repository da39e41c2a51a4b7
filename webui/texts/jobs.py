"""What a page says of a script that runs."""

TEXTS: dict[str, tuple[str, str]] = {
    "job.none": ("Nothing has been started yet.", "尚未启动任何任务。"),
    "job.running": ("running", "运行中"),
    "job.paused": ("paused", "已暂停"),
    "job.stopping": ("stopping, what is finished will be kept", "正在停止，已完成的部分会保留"),
    "job.done": ("done", "已完成"),
    "job.stopped": ("stopped; start it again to continue", "已停止，再次启动即可继续"),
    "job.failed": ("failed", "失败"),
    "job.ended": ("has ended", "已结束"),
    "job.left": ("left", "剩余"),
    "job.pause": ("Pause", "暂停"),
    "job.resume": ("Resume", "继续"),
    "job.stop": ("Stop (saves first)", "停止（先保存）"),
    "job.kill": ("End at once", "立即结束"),
    "job.output": ("Output", "输出"),
}
