// What Gradio's controls leave to the page: where a small screen looks, what was typed, the pad and the boxes.

// On a phone the pictures are above the form: show them when drawing begins, and as they come, where that was too soon.
let asked = null; // the tab's workbench whose pictures are waited for
let hasCome = false; // the first of them
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".draws");
  if (button) [asked, hasCome] = [button.closest(".workbench"), false];
}, true);
const bringIntoSight = (one) => {
  const { top, bottom } = one.getBoundingClientRect();
  if (top > window.innerHeight - 200 || bottom < 200) one.scrollIntoView({ behavior: "smooth", block: "start" });
};
new MutationObserver((changes) => {
  const come = changes.flatMap((change) => (change.type === "attributes" ? [change.target] : [...change.addedNodes]))
    .filter((node) => node.querySelector);
  if (come.some((node) => node.querySelector(".previews .blank") || node.matches(".previews"))) {
    const stage = [...document.querySelectorAll(".stage")].find((one) => one.offsetParent);
    if (stage) bringIntoSight(stage);
  }
  if (!asked) return;
  hasCome ||= come.some((node) => node.closest(".compared, .gallery") && (node.matches("img") || node.querySelector("img")));
  if (!hasCome || asked.querySelector(".stage figure, .stage .welcome")) return; // what is above the pictures still goes
  const drawn = [...asked.querySelectorAll(".compared, .gallery")].find((one) => one.checkVisibility() && one.querySelector("img"));
  if (!drawn) return;
  asked = null;
  if (!document.activeElement?.matches("textarea, input:not([type=checkbox], [type=range])")) bringIntoSight(drawn);
}).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });

// What was said in red of a form is out of date once that has changed; a click on the bar's buttons tells it anew.
const outdate = (event) => {
  const form = event.target.closest?.(".asking");
  if (!form || event.target.closest(".actions")) return;
  if (event.type === "click" && !event.target.closest("button:not([role=tab], .label-wrap)")) return;
  form.querySelectorAll(".status .message.bad").forEach((one) => one.classList.add("outdated"));
};
for (const kind of ["input", "change", "drop", "click"]) document.addEventListener(kind, outdate, true);
document.addEventListener("click", (event) => {
  event.target.closest?.(".actions button")?.closest(".actions").querySelectorAll(".outdated")
    .forEach((one) => one.classList.remove("outdated"));
}, true);

// The last sentence of a run is read aloud; the steps in between are not.
new MutationObserver(() => {
  document.querySelectorAll(".status:not([role])").forEach((status) => status.setAttribute("role", "status"));
}).observe(document.documentElement, { childList: true, subtree: true });

let typedSentence = "";
document.addEventListener("input", ({ target }) => {
  if (target.closest?.("#edit-sentence")) typedSentence = target.value;
}, true);

// What was typed outlives a reload. The browser keeps it and brings it back by itself: an answer of the server
// could come late, over what is being typed.
Object.assign((window.blipdiff ??= {}), {
  named: (names, values) => Object.fromEntries(names.map((name, place) => [name, values[place]])),

  // Kept values that a form of this version can still hold; `choices` lists what a choice may be.
  restored: (names, choices, kept, current) => names.map((name, place) => {
    const value = kept?.[name];
    const fits = typeof value === typeof current[place] && (!choices[name] || choices[name].includes(value));
    return fits ? value : current[place];
  }),

  // The sentence's words to be clicked on, split as Python does; clicks stay on words that stand where they stood.
  // A sentence that nobody typed came with its words and clicks: from a job that is recalled, or an example.
  words: (sentence, clicked) => {
    if (sentence !== typedSentence) return { __type__: "update" };
    const before = [...document.querySelectorAll("#edit-words label")].map((one) => one.textContent.trim());
    const words = sentence.split(/[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/).filter(Boolean);
    const value = clicked.filter((place) => words[place] !== undefined && words[place] === before[place]);
    return { __type__: "update", choices: words.map((word, place) => [word, place]), value };
  },
});

// What the pad and the canvas say is typed into a field of the form that nobody sees.
const say = (id, text) => {
  const field = document.querySelector(`#${id} textarea, #${id} input`);
  if (field && field.value !== text) {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
};
const within = (value, low, high) => Math.min(Math.max(value, low), high);
const share = (event, element) => {
  const frame = element.getBoundingClientRect();
  return [within((event.clientX - frame.left) / frame.width, 0, 1), within((event.clientY - frame.top) / frame.height, 0, 1)];
};
const STEPS = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };

// The pad of the blend: a dot between four corners.
const moveDot = (pad, x, y) => {
  const dot = pad.querySelector(".dot");
  [pad.dataset.x, pad.dataset.y] = [x, y];
  dot.style.left = `${100 * x}%`;
  dot.style.top = `${100 * y}%`;
};
const sayDot = (pad) => say("blend-xy", `${(+pad.dataset.x).toFixed(3)},${(+pad.dataset.y).toFixed(3)}`);

// The boxes of a scene: left, top, right, bottom in fractions of the canvas, one for each subject.
const SMALLEST = 0.1;
const boxesOf = () => {
  const canvas = document.querySelector("#scene-canvas");
  canvas.boxes ??= [[0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]];
  return canvas.boxes;
};
const showBoxes = (tell) => {
  const canvas = document.querySelector("#scene-canvas");
  if (!canvas) return;
  const words = [...document.querySelectorAll("[id^=scene-word-] textarea, [id^=scene-word-] input")].map((one) => one.value.trim());
  const prompt = (document.querySelector("#scene-prompt textarea, #scene-prompt input")?.value ?? "").toLowerCase();
  canvas.querySelectorAll(".box").forEach((box, place) => {
    const [left, top, right, bottom] = boxesOf()[place];
    Object.assign(box.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
    box.hidden = !words[place] || !prompt.includes(`{${words[place].toLowerCase()}}`);
    box.firstChild.textContent = `${"ABCD"[place]} ${words[place] ?? ""}`;
  });
  const [width, height] = ["width", "height"].map((side) => +document.querySelector(`#scene-${side} textarea, #scene-${side} input`)?.value);
  if (width > 0 && height > 0) canvas.style.aspectRatio = `${width} / ${height}`;
  if (tell) say("scene-boxes", JSON.stringify(boxesOf().map((box) => box.map((side) => +side.toFixed(3)))));
};
const moveBox = (place, dx, dy) => {
  const [left, top, right, bottom] = boxesOf()[place];
  [dx, dy] = [within(dx, -left, 1 - right), within(dy, -top, 1 - bottom)];
  boxesOf()[place] = [left + dx, top + dy, right + dx, bottom + dy];
};
const growBox = (place, dx, dy) => {
  const [left, top, right, bottom] = boxesOf()[place];
  boxesOf()[place] = [left, top, within(right + dx, left + SMALLEST, 1), within(bottom + dy, top + SMALLEST, 1)];
};

let held = null;
document.addEventListener("pointerdown", (event) => {
  const pad = event.target.closest?.("#blend-pad");
  const box = event.target.closest?.("#scene-canvas .box");
  if (pad) {
    held = { move: (at) => moveDot(pad, ...share(at, pad)), end: () => sayDot(pad) };
    held.move(event);
  } else if (box) {
    const canvas = box.parentElement;
    const change = event.target.matches(".grip") ? growBox : moveBox;
    let last = share(event, canvas);
    const move = (at) => {
      const now = share(at, canvas);
      change(+box.dataset.place, now[0] - last[0], now[1] - last[1]);
      last = now;
      showBoxes(false);
    };
    held = { move, end: () => showBoxes(true) };
  } else return;
  event.preventDefault();
  (pad ?? box).focus();
});
document.addEventListener("pointermove", (event) => held?.move(event));
document.addEventListener("pointerup", () => { held?.end(); held = null; });
document.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  const pad = event.target.closest?.("#blend-pad");
  const box = event.target.closest?.("#scene-canvas .box");
  if (!step || !(pad || box)) return;
  event.preventDefault();
  if (pad) {
    moveDot(pad, within(+(pad.dataset.x ?? 0.5) + step[0], 0, 1), within(+(pad.dataset.y ?? 0) + step[1], 0, 1));
    sayDot(pad);
  } else {
    (event.shiftKey ? growBox : moveBox)(+box.dataset.place, ...step);
    showBoxes(true);
  }
});
document.addEventListener("input", (event) => {
  if (event.target.closest?.("[id^=scene-word-], #scene-prompt, #scene-width, #scene-height")) showBoxes(false);
});
let isDue = false; // a tab's pieces come one by one when it is opened first
new MutationObserver(() => {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; showBoxes(false); });
}).observe(document.documentElement, { childList: true, subtree: true });

// A browser gives itself a name, by which the page finds its jobs and pictures again. It is sent to this server alone.
Object.assign(blipdiff, {
  browserName: (known) => known || [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
});
