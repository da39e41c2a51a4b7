from tests.export.conftest import fused_voice, rich_voice  # noqa: F401 - fixtures
