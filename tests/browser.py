"""A headless Chromium, driven by chromedriver over plain HTTP: what the tests of the HTML report click in."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Browser", "missing"]

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_PATIENCE = 30.0
KEYS = {"Enter": "\ue007", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Tab": "\ue004"}


def missing() -> str | None:
    """What of a browser is not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        return "no Chromium is installed (apt-get install chromium)"
    return None if shutil.which("chromedriver") else "no chromedriver is installed (apt-get install chromium-driver)"


_ARRIVED = """
const goal = arguments[0], end = Date.now() + 5000;
return new Promise((done) => {
    const arrived = () => !goal || location.hash === goal || Date.now() > end;
    const look = () => (arrived() ? setTimeout(() => setTimeout(done, 20)) : setTimeout(look, 5));
    look();
});
"""


class Browser:
    """One window; use as a context manager. ``dark`` asks pages for their dark colours."""

    def __init__(self, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._root = f"http://127.0.0.1:{port}"
        flags = [*_FLAGS, f"--user-data-dir={self._folder.name}", f"--window-size={width},{height}"]
        flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
        wanted = {"goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
        self._wait_until_ready()
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{session['sessionId']}"

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns in the page."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def click(self, selector: str) -> None:
        """Click, and where that follows a link within the page, wait until the page has taken it in."""
        goal = self.run("return document.querySelector(arguments[0]).closest('a')?.hash ?? ''", selector)
        self._call("POST", f"/element/{self._find(selector)}/click", {})
        self.run(_ARRIVED, goal)

    def type(self, selector: str, text: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": KEYS.get(text, text)})

    def press(self, key: str) -> None:
        """A key where the focus is."""
        element = self._call("GET", "/element/active")[_ELEMENT]
        self._call("POST", f"/element/{element}/value", {"text": KEYS[key]})

    def complaints(self) -> list[str]:
        """What the console holds above information."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(_PATIENCE)
            self._folder.cleanup()

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise TimeoutError("chromedriver does not get ready")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            if error.code >= 400:
                raise RuntimeError(json.load(error)["value"]["message"]) from None
            raise
