"""How long the page takes: from the start of the process to its first answer, to a page that can be used, to a picture.

    python benchmarks/page_start.py [--rounds 3] [--cold]

Each round starts `blipdiff ui` in a folder of its own, opens it in a new headless Chromium that is up already, and asks
for one picture of a bundled photo. `--cold` first asks the system to forget the files it has read (Linux, as root).
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu"]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
NAMES = ("first answer", "usable", "model told", "first picture")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def forget_files() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def first_answer(url: str) -> None:
    while True:
        try:
            if httpx.get(url, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)


def round_of(browser: Any, *, is_cold: bool) -> list[float]:
    """Seconds since the process was started, for each of NAMES."""
    port, found = free_port(), []
    with tempfile.TemporaryDirectory() as folder:
        if is_cold:
            forget_files()
        began = time.monotonic()
        command = [sys.executable, "-m", "app", "ui", "--port", str(port), "--folder", folder]
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}/"
            first_answer(url)
            found.append(time.monotonic() - began)
            page = browser.new_context().new_page()
            page.goto(url, wait_until="domcontentloaded")
            page.locator("#generate").wait_for(timeout=120_000)
            page.locator("#examples button").first.click()
            page.locator("#subjects img").wait_for(timeout=120_000)  # a click was answered
            found.append(time.monotonic() - began)
            page.get_by_text("Precision").wait_for(timeout=120_000)
            found.append(time.monotonic() - began)
            page.locator("#generate").click()
            page.locator("#gallery img").first.wait_for(timeout=240_000)
            found.append(time.monotonic() - began)
            page.close()
        finally:
            program.terminate()
            program.wait()
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--cold", action="store_true")
    given = asked.parse_args()
    with sync_playwright() as play:
        path = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = play.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        rounds = [round_of(browser, is_cold=given.cold) for _ in range(given.rounds)]
        browser.close()
    for name, times in zip(NAMES, zip(*rounds, strict=True), strict=True):
        listed = ", ".join(f"{one:.1f}" for one in times)
        print(f"{name:>14}: median {statistics.median(times):5.1f} s  ({listed})")


if __name__ == "__main__":
    main()
