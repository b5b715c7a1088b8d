"""How the page looks: a plain theme with the system's fonts, readable in light and dark."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

_ASSETS = Path(str(files("app"))) / "assets"
_SCRIPTS = ("texts.js", "fields.js", "canvas.js", "messages.js", "page.js", "paste.js", "keys.js", "history.js")


def looks() -> dict[str, Any]:
    """What `Blocks.launch` takes for the look: theme, style sheet and scripts, all from this machine."""
    scripts = ((_ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    head = "".join(f"<script>{script}</script>" for script in scripts)
    return {"theme": _theme(), "css_paths": [_ASSETS / "page.css", _ASSETS / "history.css"], "head": head}


def _theme() -> Any:
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_background_fill="white",
        input_border_width="1px",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_500",
        link_text_color="*primary_800",
        link_text_color_hover="*primary_900",
        link_text_color_visited="*primary_800",
        link_text_color_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited_dark="*primary_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        button_cancel_background_fill="#b42318",
        button_cancel_background_fill_hover="#912018",
        button_cancel_background_fill_dark="#b42318",
        button_cancel_text_color="white",
        slider_color="*primary_700",
        slider_color_dark="*primary_400",
    )
