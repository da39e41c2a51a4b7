"""Names of the tabs, and what belongs to none of them."""

TEXTS: dict[str, tuple[str, str]] = {
    "tab.convert": ("Convert", "转换"),
    "tab.dataset": ("Dataset", "数据集"),
    "tab.training": ("Training", "训练"),
    "tab.lab": ("Lab", "实验室"),
}
