// Fields of the form on a slow network. A click waits for what is on its way to the fields that it reads, and carries
// what stood in them when it was made: what is changed while it waits is left to the next one. An answer that was asked
// for before a field was changed by hand leaves this field as it is, and a tab that was opened meanwhile open.
(() => {
  const PAUSE = 30; // milliseconds
  const REACHING = 90; // milliseconds within which what has arrived reaches its field, and what follows is asked for
  const LONGEST = 60_000; // milliseconds that a click waits at most
  const STARTING = 1_000; // milliseconds within which a chosen file begins to be sent

  let count = 0; // of what happened so far: a time without a clock
  let sending = 0; // uploads
  let reading = 0; // uploads of what canvases show
  let chosen = -Infinity; // when a file was chosen last that is not yet being sent
  const touched = new Map(); // field -> when it was changed by hand
  const written = new Map(); // event and field -> when the answer was asked for that the field shows
  const arrived = new Map(); // field -> the time at which its last answer came
  const pending = new Set(); // events that are asked for and not over: { fn, at }
  const lines = new Map(); // button -> its clicks that are not asked for yet, the first one first
  const pressed = new Map(); // button -> when it was clicked last
  const presses = new Map(); // button -> its clicks whose values are still being read: { at, sent }
  const filled = new Set(); // fields that files were chosen for

  const events = () => window.gradio_config.dependencies;
  const eventOf = (record) => events().find((event) => event.id === record?.fn);
  const isLong = (event) => Boolean(event?.types?.generator); // a run: it tells how far it is, and changes no field
  const nameOf = (id) => window.gradio_config.components.find((one) => one.id === id)?.props.elem_id || `component-${id}`;

  let fields = null; // the name of its element -> a field that events read
  let buttons = null; // likewise
  const named = (ids) => new Map(ids.map((id) => [nameOf(id), id]));
  const around = (element, names) => {
    const found = element?.closest?.([...names.keys()].map((name) => `#${CSS.escape(name)}`).join());
    return found ? names.get(found.id) : undefined;
  };
  const fieldOf = (element) => around(element, (fields ??= named(events().flatMap((event) => event.inputs))));
  let tabs = null; // the name of its element -> what holds tabs
  const tabsOf = (element) => {
    const tab = element.closest?.("[role=tab]");
    tabs ??= named(window.gradio_config.components.filter((one) => one.type === "tabs").map((one) => one.id));
    return tab ? around(tab, tabs) : undefined;
  };
  const touch = (event) => {
    const field = tabsOf(event.target) ?? fieldOf(event.target);
    if (field !== undefined) touched.set(field, ++count);
  };
  const waitsForItsFields = (button) => events().some((event) => event.targets[0]?.[0] === button && /settled/.test(event.js));
  const showWaiting = (button) => {
    const isReading = isSendingFiles() && presses.get(button)?.length > 0; // Gradio waits for the files as it reads
    const element = document.getElementById(nameOf(button));
    if (isReading || lines.get(button)?.some((click) => !click.isReady)) element?.setAttribute("aria-busy", "true");
    else element?.removeAttribute("aria-busy");
  };
  const press = (event) => {
    const clicked = events().flatMap((one) => one.targets).filter(([, kind]) => kind === "click");
    const button = around(event.target, (buttons ??= named(clicked.map(([id]) => id))));
    if (button === undefined) return;
    pressed.set(button, ++count);
    if (!waitsForItsFields(button)) return;
    const press = { at: count, sent: new Set(isSendingFiles() ? filled : []) };
    presses.set(button, [...(presses.get(button) ?? []), press]);
    showWaiting(button);
  };
  const holdsFiles = (event) => (event.target.files ?? event.dataTransfer?.files ?? event.clipboardData?.files)?.length > 0;
  const isSendingFiles = () => sending > 0 || performance.now() - chosen < STARTING;
  const choose = (event) => {
    if (!isSendingFiles()) filled.clear();
    filled.add(fieldOf(event.target));
    chosen = performance.now();
  };
  for (const kind of ["input", "change", "drop", "paste"]) {
    document.addEventListener(kind, (event) => {
      touch(event);
      if (kind !== "input" && holdsFiles(event)) choose(event);
    }, true);
  }
  document.addEventListener("pointerdown", (event) => { if (event.target.closest?.("canvas, [role=option]")) touch(event); }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("button")) touch(event);
    press(event);
  }, true);

  const isOnItsWay = (inputs) => {
    if (isSendingFiles()) return true;
    return [...pending].map(eventOf).some((event) => !isLong(event) && event?.outputs.some((id) => inputs.includes(id)));
  };
  const isNothing = (value) => value?.__type__ === "update" && Object.keys(value).length === 1;
  const withoutValue = (value) => { // of a field; of tabs, which one is open
    const { value: _, selected: __, ...rest } = value?.__type__ === "update" ? value : { __type__: "update" };
    return rest;
  };

  // What was changed by hand after a moment, with all that follows from it: the outputs of the events that this began.
  const changedSince = (at) => {
    const changed = new Set([...touched, ...pressed].filter(([, when]) => when > at).map(([id]) => id));
    const begun = new Set();
    for (let known = -1; known < begun.size;) {
      known = begun.size;
      for (const event of events()) {
        const isBegun = begun.has(event.trigger_after) || event.targets.some(([id]) => changed.has(id));
        if (!isBegun || begun.has(event.id) || isLong(event)) continue;
        begun.add(event.id);
        event.outputs.forEach((id) => changed.add(id));
      }
    }
    return changed;
  };
  const isSame = (one, other) => JSON.stringify([...one.values]) === JSON.stringify([...other.values]);
  const leave = (line, click) => line.splice(0, line.indexOf(click) + 1);

  Object.assign((window.blipdiff ??= {}), {
    // Returns when nothing is on its way to the inputs; `values` are what the fields `read` hold at the click. While one
    // waits, a second one of the same values is the same one; another one takes its place, or stands in line behind it.
    async settled(button, inputs, read, values, isLastAlone) {
      const line = lines.get(button) ?? lines.set(button, []).get(button);
      const press = presses.get(button)?.shift() ?? { at: ++count, sent: new Set() };
      const click = { ...press, values: new Map(read.map((id, place) => [id, values[place]])), isReady: false };
      const last = line.findLast((one) => !one.isReady);
      if (last && isLastAlone) Object.assign(last, click);
      if (last && (isLastAlone || isSame(last, click))) throw new Error("This click waits already.");
      line.push(click);
      showWaiting(button);
      const end = performance.now() + LONGEST;
      while ((line[0] !== click || isOnItsWay(inputs)) && performance.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
      click.isReady = true;
      line.splice(0, line.indexOf(click)); // should one before it not have been asked for in all the time
      setTimeout(() => click.isAsked || leave(line, click), STARTING); // should it never be asked for
      showWaiting(button);
    },

    // What an event is asked for with: for a click, what stood in the fields when it was made. The next one in line waits
    // until this one is taken (`record.leave`), or it could overtake it on its way to the server.
    carried(record, values) {
      const event = eventOf(record);
      const button = eventOf({ fn: event?.trigger_after })?.targets[0]?.[0];
      const click = lines.get(button)?.find((one) => one.isReady && !one.isAsked);
      if (!click) return values;
      click.isAsked = true;
      record.leave = () => leave(lines.get(button), click);
      const changed = changedSince(click.at);
      return values.map((value, place) => {
        const field = event.inputs[place];
        return changed.has(field) && click.values.has(field) && !click.sent.has(field) ? click.values.get(field) : value;
      });
    },

    // What messages.js tells of the network: an event is asked for, and over; files are sent.
    asking(fn) {
      const record = { fn, at: ++count };
      pending.add(record);
      return record;
    },
    over: (record) => setTimeout(() => pending.delete(record), REACHING),
    // Whenever an event tells how far it is, Gradio sends what a canvas shows, and writes it back when it has arrived: a
    // stroke that was painted meanwhile would be gone. So nothing is painted meanwhile.
    async sendingCanvas(answer) {
      reading += 1;
      document.documentElement.classList.add("canvases-wait");
      try {
        return await blipdiff.sendingFiles(answer);
      } finally {
        setTimeout(() => {
          reading -= 1;
          if (!reading) document.documentElement.classList.remove("canvases-wait");
        }, REACHING);
      }
    },
    async sendingFiles(answer) {
      chosen = -Infinity;
      sending += 1;
      try {
        return await answer;
      } finally {
        setTimeout(() => {
          sending -= 1;
          [...presses.keys()].forEach(showWaiting);
        }, REACHING);
      }
    },

    // Returns when what has come for the fields of an event has reached them: two answers for one field that come at the
    // same time can be shown in the wrong order.
    async reached(record) {
      const fields = eventOf(record)?.outputs ?? [];
      const wait = Math.max(...fields.map((field) => arrived.get(field) ?? -Infinity)) + REACHING - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    },

    // The answer's values, without those for fields that were changed, or answered anew, after it was asked for.
    stillWanted(record, values) {
      const event = eventOf(record);
      if (!event || isLong(event)) return values;
      return values.map((value, place) => {
        const field = event.outputs[place];
        const key = `${record.fn}/${field}`;
        if (isNothing(value)) return value;
        if ((written.get(key) ?? 0) > record.at) return { __type__: "update" };
        written.set(key, record.at);
        arrived.set(field, performance.now());
        return (touched.get(field) ?? 0) > record.at ? withoutValue(value) : value;
      });
    },
  });
})();
