import re
from pathlib import Path

from benchmarks.__main__ import BENCHMARKS, MACHINE, renewed

PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"


def test_a_run_renews_its_tables_and_nothing_else():
    page = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n"
    found = renewed(page, {"one": "| new \\1 |\n", "three": "not shown"})
    assert found == page.replace("old", "\n| new \\1 |\n")
    assert renewed(found, {"one": "| new \\1 |\n"}) == found


def test_what_the_page_shows_is_a_benchmark():
    names = re.findall(r"<!-- (?!end)(.+?) -->", PAGE.read_text(encoding="utf-8"))
    assert len(names) == len(set(names)) == PAGE.read_text(encoding="utf-8").count("<!-- end -->")
    assert set(names) <= {*BENCHMARKS, MACHINE}
