"""Nothing on the page that keeps somebody out: axe's rules on every tab, light and dark, wide and narrow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

# What Gradio's own parts do: the rule, what stands in their HTML, and why it is left.
GRADIO = {
    ("aria-prohibited-attr", 'aria-label="Empty value"'): "an empty picture's place, a div without a role",
    ("aria-prohibited-attr", 'aria-label="Click to upload or drop files"'): "likewise, of a canvas",
    ("color-contrast", "select the draw tool to start"): "what a canvas says before its brush is taken",
}
LOOKS = ((1280, "light"), (390, "dark"), (390, "light"), (1280, "dark"))  # which the tabs take in turns
TABS = "[...document.querySelectorAll('#tabs > .tab-wrapper [role=tab]')].map((one) => one.dataset.tabId)"
IS_OPEN = """(name) => document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${name}"]`)?.ariaSelected === "true"
  && [...document.querySelectorAll(".asking, #settings, #history")].some((one) => one.checkVisibility())"""
UNFOLD = """() => {  // what no tab before has unfolded: the others have the same controls in it
  const known = (window.unfolded ??= new Set());
  const folded = [...document.querySelectorAll(".label-wrap:not(.open)")].filter((one) => one.checkVisibility());
  for (const one of folded.filter(({ textContent }) => !known.has(textContent))) {
    known.add(one.textContent);
    one.click();
  }
}"""
AXE = """async (excepted) => {
  const found = await axe.run(document, { resultTypes: ["violations"], preload: false });
  const severe = found.violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return severe.flatMap(({ id, nodes }) => nodes
    .filter(({ html }) => !excepted.some(([rule, text]) => rule === id && html.includes(text)))
    .map((node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary.slice(0, 160)}`));
}"""


def test_axe_finds_nothing_severe_on_any_tab(open_page: Callable[..., Any]) -> None:
    carried = pytest.importorskip("axe_playwright_python", reason="pip install axe-playwright-python")
    page = open_page(before=(Path(carried.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    names, found = list(dict.fromkeys(page.evaluate(TABS))), list[str]()
    assert len(names) > 5
    for place, name in enumerate(names):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.locator(f'#tabs > .tab-wrapper [data-tab-id="{name}"]').locator("visible=true").first.click()
        page.wait_for_function(IS_OPEN, arg=name)
        page.evaluate(UNFOLD)
        width, scheme = LOOKS[place % len(LOOKS)]
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("(is_dark) => { document.body.classList.toggle('dark', is_dark); }", scheme == "dark")
        found += [f"{name} {scheme} {width}: {one}" for one in page.evaluate(AXE, list(GRADIO))]
    assert found == []
