// What the keys of the page do. Which key does it, and what the list says of it, stands in app/ui/keys.py.
(() => {
  const isThere = (one) => Boolean(one?.checkVisibility());
  const first = (selector) => [...document.querySelectorAll(selector)].find(isThere);
  const list = () => document.querySelector("#keys dialog");
  let rolled = null; // the button whose seed is being rolled

  const seen = () => first(".gallery .preview"); // the picture of the open tab that is shown large
  const turn = (by) => {
    if (!seen()) {
      const small = [...(first(".gallery")?.querySelectorAll(".grid-container .thumbnail-item") ?? [])];
      small.at(by > 0 ? 0 : -1)?.click();
      return small.length > 0;
    }
    const small = [...seen().querySelectorAll(".thumbnails .thumbnail-item")];
    const place = small.findIndex((one) => one.classList.contains("selected"));
    small.at((place + by) % small.length)?.click();
    return true;
  };

  // Each says whether there was something to do.
  const ACTS = {
    draw: () => { const button = first(".draws"); button?.click(); return Boolean(button); },
    roll: () => {
      const button = first(".draws");
      if (!button || !list().dataset.rolls.split(" ").includes(button.id)) return false;
      rolled = button;
      list().dispatchEvent(new CustomEvent("roll", { detail: button.id, bubbles: true }));
      return true;
    },
    close: () => {
      if (list().open) return list().close() ?? true;
      const close = seen()?.querySelector(".icon-button-wrapper > button:last-of-type") ?? first(".actions .stop");
      close?.click();
      return Boolean(close);
    },
    before: () => turn(-1),
    after: () => turn(1),
    list: () => (list().open ? list().close() : list().showModal()) ?? true,
  };

  Object.assign((window.blipdiff ??= {}), {
    // The new seed is in its field: draws with it.
    drawRolled: () => { rolled?.click(); rolled = null; },
  });

  const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable=true], [role=listbox]";
  const MOVED = "input, [role=tab], [role=slider], [role=application], .box, canvas, .preview"; // which arrows belong to
  const nameOf = (event) => ["Control", "Meta"].filter((one) => event[{ Control: "ctrlKey", Meta: "metaKey" }[one]])
    .concat(event.key.length === 1 ? event.key.toLowerCase() : event.key).join("+");
  const actOf = (event) => [...(list()?.querySelectorAll("[data-act]") ?? [])]
    .find((row) => row.dataset.pressed.split("|").includes(nameOf(event)))?.dataset.act;

  document.addEventListener("keydown", (event) => {
    const act = actOf(event);
    if (!act || event.defaultPrevented || event.altKey || event.isComposing) return;
    const target = event.target.closest ? event.target : document.body;
    if (act !== "draw") {
      if (event.repeat && act === "roll") return;
      if (target.closest(TYPED)) return; // which belongs to who types there
      if (event.key.startsWith("Arrow") && target.closest(MOVED)) return;
      if (act === "close" && target.closest(".gallery .preview")) return; // Gradio closes it
    }
    if (list().open && !["close", "list"].includes(act)) return;
    if (document.querySelector("dialog[open]:not(.keys)")) return; // which has keys of its own
    // What is on a tab may take a key for itself: it listens for this, and prevents what is usual.
    const asked = new CustomEvent("page-key", { detail: act, bubbles: true, cancelable: true });
    if (!target.dispatchEvent(asked) || ACTS[act]()) event.preventDefault();
  });
  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-keys]")) ACTS.list(); });
})();
