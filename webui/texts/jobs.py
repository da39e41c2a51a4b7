"""Texts on running scripts and jobs."""

TEXTS: dict[str, tuple[str, str]] = {
    "job.running": ("running", "运行中"),
    "job.paused": ("paused", "已暂停"),
    "job.stopping": ("stopping; finished work is kept", "正在停止，已完成的部分会保留"),
    "job.done": ("done", "已完成"),
    "job.stopped": ("stopped; start it again to continue", "已停止，再次启动即可继续"),
    "job.failed": ("failed", "失败"),
    "job.ended": ("ended", "已结束"),
    "job.stage.waiting": ("waiting for {before} other job(s)", "等待前面的 {before} 个任务"),
    "job.stage.loading": ("loading {title}", "正在加载 {title}"),
    "job.stage.converting": ("converting {title}", "正在转换 {title}"),
    "job.stage.analysing": ("analysing {title}", "正在分析 {title}"),
    "job.left": ("left", "剩余"),
    "job.pause": ("Pause", "暂停"),
    "job.resume": ("Resume", "继续"),
    "job.stop": ("Stop (saves first)", "停止（先保存）"),
    "job.kill": ("Kill", "立即结束"),
    "job.output": ("Output", "输出"),
}
