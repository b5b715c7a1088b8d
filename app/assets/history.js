// The history: what is chosen, the keys, the large picture, and what is dropped anywhere on the page. The server makes
// what is seen; every click tells it what this visit looks at.
(() => {
  const LONGEST = 20_000; // milliseconds that an answer is waited for
  const SOON = 3000; // milliseconds after which an answer that has not come is asked for again
  const chosen = new Set(); // ids
  let last = null; // the tile that was chosen last, for a range
  let tell = null; // tells the server
  let view = null; // the element of the tab
  let isStale = false; // the history has changed while nobody looked

  const root = () => view?.querySelector(".history");
  // What this visit looks at: what was asked for last, until the server's answer says the same. A click that comes before
  // the answer to another one so adds to it.
  let awaited = null; // { look, until, isAnswered }
  const isAwaited = () => Boolean(awaited && !awaited.isAnswered && performance.now() < awaited.until);
  const answered = () => JSON.parse(root()?.dataset.look ?? "{}");
  const look = () => ({ ...answered(), ...(isAwaited() ? awaited.look : {}) });
  const tiles = () => [...(view?.querySelectorAll(".tiles > li") ?? [])];
  const idOf = (element) => element?.closest("[data-id]")?.dataset.id;
  const isSeen = () => Boolean(view?.offsetParent);
  const field = (name) => view.querySelector(`.filters [name=${name}]`);

  // What was told stays where the view is only looked at because something has come meanwhile.
  let lastTold = "";
  let isUnasked = false;
  const asked = () => { [lastTold, isUnasked] = ["", false]; };
  const show = (changes = {}) => {
    asked();
    awaited = { look: { ...look(), ...changes }, until: performance.now() + LONGEST, isAnswered: false };
    tellLook();
  };
  // Answers can be lost or overtake each other: where an older one is seen last, what is looked at is asked for again.
  let again = null;
  const tellLook = () => {
    tell("click", { act: "look", look: awaited.look });
    askAgain();
  };
  const askAgain = () => {
    clearTimeout(again);
    if (isAwaited()) again = setTimeout(() => { if (isAwaited()) tellLook(); }, SOON);
  };
  const act = (name, more = {}) => {
    asked();
    const viewing = dialog?.open ? { viewing: more.id ?? idOf(dialog.firstElementChild) } : {};
    tell("click", { act: name, look: look(), ...viewing, ...more });
  };

  const showChosen = () => {
    const here = tiles();
    here.forEach((tile) => {
      const isOne = chosen.has(tile.dataset.id);
      tile.classList.toggle("is-chosen", isOne);
      tile.querySelector(".choose").checked = isOne;
    });
    const count = view.querySelector(".tools .chosen");
    if (!count) return;
    const text = chosen.size === 1 ? count.dataset.one : count.dataset.some.replace("{}", chosen.size);
    count.textContent = chosen.size ? text : "";
    view.querySelectorAll(".tools .for-some").forEach((one) => { one.disabled = !chosen.size; });
    view.querySelectorAll(".tools .for-two").forEach((one) => { one.disabled = chosen.size !== 2; });
  };
  const choose = (tile, isRange) => {
    const id = tile.dataset.id;
    const here = tiles();
    const from = here.findIndex((one) => one.dataset.id === last);
    if (isRange && from >= 0) {
      const ends = [from, here.indexOf(tile)].sort((one, other) => one - other);
      here.slice(ends[0], ends[1] + 1).forEach((one) => chosen.add(one.dataset.id));
    } else if (!chosen.delete(id)) chosen.add(id);
    last = id;
    showChosen();
  };
  const chooseNone = () => { chosen.clear(); showChosen(); };

  // After the server's answer: the fields show what it looked for, except the one that is being typed into.
  const settle = () => {
    if (!root()) return;
    const isSame = (name) => name === "page" || awaited.look[name] === answered()[name]; // there may be fewer pages
    if (awaited) {
      const isOvertaken = awaited.isAnswered; // where what is seen now is not what was asked for
      awaited.isAnswered = Object.keys(awaited.look).every(isSame);
      if (isOvertaken && isAwaited()) tellLook();
    }
    askAgain();
    const told = view.querySelector(".told");
    if (told.innerHTML) lastTold = told.innerHTML;
    else if (isUnasked) told.innerHTML = lastTold;
    const { words, task, model, favourites } = look();
    if (document.activeElement !== field("words")) field("words").value = words;
    Object.assign(field("task"), { value: task });
    Object.assign(field("model"), { value: model });
    field("favourites").checked = favourites;
    const tabbed = tiles().map((tile) => tile.querySelector(".picture"));
    tabbed.forEach((one, place) => { one.tabIndex = place && one !== document.activeElement ? -1 : 0; });
    showChosen();
    const link = view.querySelector(".told a.now");
    if (link && link.href !== settle.fetched) {
      settle.fetched = link.href;
      link.click();
    }
  };

  let typing = null;
  const filter = (wait) => {
    clearTimeout(typing);
    typing = setTimeout(() => show({
      words: field("words").value, task: field("task").value, model: field("model").value,
      favourites: field("favourites").checked, page: 0,
    }), wait);
  };

  const DOES = {
    open: (button, event) => {
      const tile = button.closest("li");
      if (event.shiftKey || event.ctrlKey || event.metaKey) choose(tile, event.shiftKey);
      else open(tile.dataset.id);
    },
    favourite: (button) => act("favourite", { ids: [idOf(button)] }),
    favourites: () => act("favourite", { ids: [...chosen] }),
    delete: (button) => remove(button.closest("dialog") ? [idOf(button)] : [...chosen]),
    restore: (button) => {
      act("restore", { ids: button.closest("dialog") ? [idOf(button)] : [...chosen] });
      if (button.closest("dialog")) dialog.close();
      chooseNone();
    },
    undo: (button) => { act("restore", { ids: button.dataset.ids.split(" ") }); },
    empty: () => act("ask"),
    "empty-now": () => { act("empty"); chooseNone(); },
    zip: () => act("zip", { ids: [...chosen] }),
    project: () => act("project", { ids: [...chosen] }),
    import: () => document.querySelector("#dropped-file input[type=file]")?.click(),
    all: () => { tiles().forEach((tile) => chosen.add(tile.dataset.id)); showChosen(); },
    none: chooseNone,
    compare: () => compare("compare", [...chosen]),
    uncompare: () => tell("compare", { act: "none", ids: [] }),
    before: (button) => { compare("before", [idOf(button)]); dialog.close(); },
    by: (button) => show({ by: button.dataset.by, board: "", page: 0 }),
    board: (button) => show({ board: button.dataset.board, page: 0 }),
    page: (button) => { show({ page: Number(button.dataset.page) }); view.scrollIntoView({ block: "start" }); },
    bin: () => { chooseNone(); show({ binned: !look().binned, board: "", page: 0 }); },
    clear: () => { field("words").value = ""; show({ board: "", words: "", task: "", model: "", favourites: false, page: 0 }); },
    look: () => show(),
    settings: () => tell("go", { act: "settings" }),
    close: () => dialog.close(),
    newer: () => step("newer"),
    older: () => step("older"),
    recall: (button) => { tell("go", { act: "recall", id: idOf(button), part: button.dataset.part }); dialog.close(); },
    send: (button) => {
      tell("go", { act: "send", id: idOf(button), kind: button.dataset.kind, to: button.dataset.to });
      dialog.close();
    },
    vary: (button) => tell("draw", { act: "vary", id: idOf(button), how: button.dataset.how, look: look() }),
    again: (button) => tell("draw", { act: "again", id: idOf(button), look: look() }),
  };
  const compare = (name, ids) => {
    tell("compare", { act: name, ids });
    const end = performance.now() + LONGEST;
    const look = () => {
      const slider = document.getElementById("history-compared");
      if (slider?.offsetHeight) slider.scrollIntoView({ block: "center" });
      else if (performance.now() < end) requestAnimationFrame(look);
    };
    look();
  };
  const remove = (ids) => {
    if (!ids.length || look().binned) return;
    if (dialog?.open) {
      const next = dialog.firstElementChild?.dataset.older || dialog.firstElementChild?.dataset.newer;
      if (next) wanted = next;
      act("delete", { ids, viewing: next || "" });
      if (!next) dialog.close();
    } else act("delete", { ids });
    ids.forEach((id) => chosen.delete(id));
    showChosen();
  };
  const clicked = (event) => {
    const box = event.target.closest(".choose");
    if (box) choose(box.closest("li"), event.shiftKey);
    const button = event.target.closest("button[data-act]");
    if (button && !button.classList.contains("off")) DOES[button.dataset.act]?.(button, event);
  };

  // The large picture is a dialog of the page's own: what the server makes of it is moved in.
  let dialog = null;
  let wanted = null; // the picture that it shall show; none while it is closed
  const open = (id) => {
    wanted = id;
    const made = document.querySelector("#history-picture .viewed");
    if (made?.dataset.id === id) showPicture(made.parentElement); // the server's answer may be the same
    tell("click", { act: "open", id, look: look() });
  };
  const step = (way) => {
    const id = dialog.firstElementChild?.dataset[way];
    if (id) open(id);
  };
  const focusTile = (id) => tiles().find((tile) => tile.dataset.id === id)?.querySelector(".picture").focus();
  const showPicture = (made) => {
    if (wanted === null) return; // it was closed meanwhile
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "history-dialog";
      dialog.addEventListener("click", (event) => {
        if (event.target === dialog) dialog.close();
        else clicked(event);
      });
      dialog.addEventListener("keydown", keyInPicture);
      dialog.addEventListener("close", () => {
        focusTile(wanted);
        wanted = null;
      });
      (document.querySelector(".gradio-container .contain") ?? document.body).append(dialog); // where its style reaches
    }
    const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset : null;
    const isOpen = dialog.querySelector("details")?.open;
    dialog.innerHTML = made.innerHTML;
    if (!dialog.firstElementChild) return dialog.close();
    dialog.setAttribute("aria-label", dialog.querySelector("img").alt);
    if (isOpen) dialog.querySelector("details").open = true;
    if (!dialog.open) dialog.showModal();
    const again = focused && [...dialog.querySelectorAll("button[data-act]")].find((one) =>
      ["act", "how", "part", "kind", "to"].every((name) => one.dataset[name] === focused[name]));
    (again ?? dialog.querySelector("[data-act=close]")).focus();
  };
  const keyInPicture = (event) => {
    event.stopPropagation(); // the keys of the page behind it rest
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const id = idOf(dialog.firstElementChild);
    const keys = {
      ArrowLeft: () => step("newer"),
      ArrowRight: () => step("older"),
      f: () => act("favourite", { ids: [id] }),
      Delete: () => remove([id]),
    };
    const does = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    does();
  };

  // The grid by keys: arrows go, Space chooses, Enter opens, F is a favourite, Delete puts into the bin.
  const keyInView = (event) => {
    const tile = event.target.closest(".tiles > li");
    const isTyping = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (isTyping || event.altKey) return;
    const here = tiles();
    const place = here.indexOf(tile);
    const across = here.filter((one) => one.offsetTop === here[0].offsetTop).length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const ends = { Home: 0, End: here.length - 1 };
    const only = tile && !event.ctrlKey && !event.metaKey;
    let does = null;
    if (only && event.key in by) {
      does = () => move(here[place + by[event.key]], event.shiftKey);
    } else if (only && event.key in ends) does = () => move(here[ends[event.key]], event.shiftKey);
    else if (only && event.key === " ") does = () => choose(tile, event.shiftKey);
    else if (only && event.key.toLowerCase() === "f") does = () => act("favourite", { ids: [tile.dataset.id] });
    else if (only && event.key === "Delete") does = () => remove(chosen.size ? [...chosen] : [tile.dataset.id]);
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) does = DOES.all;
    else if (event.key === "Escape" && chosen.size) does = chooseNone;
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  };
  const move = (to, isRange) => {
    if (!to) return;
    if (isRange) {
      if (!chosen.size) choose(document.activeElement.closest("li"), false);
      choose(to, true);
    }
    tiles().forEach((tile) => { tile.querySelector(".picture").tabIndex = tile === to ? 0 : -1; });
    to.querySelector(".picture").focus();
  };

  // A file that is dropped where no field takes it.
  const TAKES = "input[type=file], [data-testid=block-label], .takes-paste, .image-container, .upload-container, canvas, "
    + "textarea, input, #dropped-file";
  const isField = (target) => Boolean(target.closest?.(TAKES))
    || Boolean(target.closest?.(".block")?.querySelector("input[type=file]"));
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const mark = (isOver) => document.documentElement.classList.toggle("drops", isOver);
  document.addEventListener("dragover", (event) => {
    const isFree = holdsFiles(event) && !isField(event.target);
    mark(isFree);
    if (isFree) event.preventDefault();
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!holdsFiles(event) || isField(event.target) || event.defaultPrevented) return;
    event.preventDefault();
    const input = document.querySelector("#dropped-file input[type=file]");
    if (!input || !event.dataTransfer.files.length) return;
    const files = new DataTransfer();
    files.items.add(event.dataTransfer.files[0]);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  Object.assign((window.blipdiff ??= {}), {
    // What the three elements of the tab run when they are there.
    history(element, trigger, watch) {
      [view, tell] = [element, trigger];
      element.addEventListener("click", clicked);
      element.addEventListener("keydown", keyInView);
      element.addEventListener("input", (event) => { if (event.target.name === "words") filter(250); });
      element.addEventListener("change", (event) => {
        if (["task", "model", "favourites"].includes(event.target.name)) filter(0);
      });
      watch("value", settle);
      new IntersectionObserver(([seen]) => {
        if (!seen.isIntersecting || (root() && !isStale)) return;
        isStale = false;
        show();
      }).observe(element.closest("#history") ?? element);
    },
    viewed: (element, watch) => watch("value", () => showPicture(element)),
    news: (element, watch) => watch("value", () => {
      const count = element.querySelector("[data-changes]")?.dataset.changes;
      if (!root() || count === root().dataset.changes) return;
      if (!isSeen()) isStale = true;
      else {
        isUnasked = true;
        tell("click", { act: "look", look: look() });
      }
    }),
    offered(element, trigger) {
      element.addEventListener("click", (event) => {
        const button = event.target.closest("button[data-act]");
        if (button) trigger("click", { ...button.dataset });
      });
    },
  });
})();
