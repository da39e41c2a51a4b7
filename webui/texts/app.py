"""Texts outside the tabs."""

TEXTS: dict[str, tuple[str, str]] = {
    "tab.convert": ("Convert", "转换"),
    "tab.dataset": ("Dataset", "数据集"),
    "tab.training": ("Training", "训练"),
    "tab.lab": ("Lab", "实验室"),
    "common.upload": ("Upload", "上传"),  # Gradio uses this key but does not define it
    "page.debug": ("Debug", "调试"),
    "page.debug.help": (
        "Show tracebacks of unexpected errors, here and in the server's console, for bug reports.",
        "在页面和服务器控制台显示意外错误出自哪里，便于反馈问题。",
    ),
}
