"""A real browser on the review page."""

import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Long, for a machine that is busy: a condition is waited for, and a test that fails is the only one to wait so long.
PATIENCE_MS = 30_000


@contextmanager
def browser():
    """A browser; the test is skipped where none is installed."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a Chromium browser, which is not here")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page_at(opened, address, *, width=1280, height=800, scheme="light"):
    """The page at an address, ready; an error in it fails the test."""
    context = opened.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda request: errors.append(request.url) if not request.url.startswith(origin(address)) else None
    )
    page.goto(address)
    ready(page)
    try:
        yield page
    finally:
        context.close()
    assert not errors, errors


def origin(address):
    return "/".join(address.split("/")[:3]) + "/"


def ready(page):
    page.wait_for_selector("html[data-ready]", state="attached")


def settled(page):
    """Until all pictures in view are there and nothing is asked for any more."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => [...document.images].every((image) => image.complete || image.loading === 'lazy')")


# What a reader of screens and a person with weak eyes need: a name for every control, an alt on every picture, no id
# twice, and text that stands out from what is behind it (WCAG 2.2: 4.5 to 1, large text 3 to 1).
AUDIT = r"""
() => {
  const wrong = [];
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const where = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.className}`;
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`twice: ${id}`);
  for (const image of document.images) if (!image.hasAttribute("alt")) wrong.push(`no alt: ${where(image)}`);
  for (const control of document.querySelectorAll("button, input, select, summary, dialog[open], [role]")) {
    if (!seen(control) || ["presentation", "status", "alert"].includes(control.getAttribute("role"))) continue;
    const by = control.getAttribute("aria-labelledby");
    const name = control.getAttribute("aria-label") || (by && document.getElementById(by)?.textContent)
      || (control.labels?.length && control.labels[0].textContent) || control.textContent;
    if (!name?.trim()) wrong.push(`no name: ${where(control)}`);
  }
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const own = colour(getComputedStyle(at).backgroundColor);
      layers.push(own);
      if (own[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !seen(element) || element.closest("noscript, option, .away, button:disabled")) continue;
    texts++;
    const style = getComputedStyle(element), back = behind(element), front = over(colour(style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), pixels = parseFloat(style.fontSize);
    const large = pixels >= 24 || (pixels >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`${ratio.toFixed(2)}: ${where(element)} «${text}»`);
  }
  return { wrong, texts };
}
"""
