"""The page in Chinese, from a photo to pictures, and in English again."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.settings import LANGUAGE_COOKIE

pytestmark = pytest.mark.browser

# texts that are seen, and what is told to readers of screens
TOLD = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (data.trim() && !parentElement.closest("script, style")) found.push(data.trim());
  }
  for (const one of document.querySelectorAll("[aria-label], [title]")) {
    found.push(one.getAttribute("aria-label") ?? "", one.getAttribute("title") ?? "");
  }
  return found;
}"""
SPOKEN = re.compile(r"[a-z]+ [a-z]+ [a-z]+")  # three words in a row
CHINESE = re.compile(r"[\u4e00-\u9fff]")
BOTH = {"Language / 语言", "简体中文"}
UNTOLD = re.compile(r"common\.|upload_text\.|__i18n__|\bShare\b")  # names of Gradio's words, and what leads nowhere


def test_a_chinese_browser_is_spoken_to_in_chinese_until_it_chooses_english(
    open_page: Callable[..., Any], dog: Path
) -> None:
    page = open_page(locale="zh-CN")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.locator("#subject").get_by_text("将文件拖放到此处").wait_for()  # Gradio's own words
    page.locator("#subject input[type=file]").set_input_files(dog)
    page.locator("#subjects img").wait_for()
    page.locator("#field-category textarea, #field-category input").first.fill("dog")
    page.locator("#field-prompt textarea").fill("beach")
    page.locator("#generate").filter(has_text="生成").click()
    page.locator("#status").get_by_text(re.compile(r"用时 .*秒，完成 4 张图片")).wait_for()
    page.get_by_role("tab", name="编辑").first.click()
    page.locator("#edit-draw").click()
    page.locator("#edit-status").get_by_text("还没有照片；请添加一张").wait_for()
    said = page.evaluate(TOLD)
    assert [text for text in said if UNTOLD.search(text)] == []
    assert [text for text in said if SPOKEN.search(text) and not CHINESE.search(text)] == []

    page.get_by_role("tab", name="设置").first.click()
    page.locator("#setting-language label").filter(has_text="English").click()
    page.get_by_role("tab", name="Create").first.wait_for()
    page.locator("#subject").get_by_text("Drop File Here").wait_for()
    page.locator("#gallery img").first.wait_for()  # what was drawn is there in any language
    page.get_by_role("tab", name="Settings").first.click()
    page.locator("#setting-language input[value=en]:checked").wait_for()
    said = page.evaluate(TOLD)
    assert [text for text in said if UNTOLD.search(text)] == []
    assert {text for text in said if CHINESE.search(text)} <= BOTH
    [cookie] = [one for one in page.context.cookies() if one["name"] == LANGUAGE_COOKIE]
    assert (cookie["value"], cookie["sameSite"]) == ("en", "Strict")
