// Gradio ends the stream of its messages once no event is pending. What is asked for at that very moment is answered
// with an id by a server whose stream has just ended, while the page still believes it open: nothing would ever come,
// and the click would be lost. Here such a stream goes on, unseen by the page; fields.js hears of what is on its way.
(() => {
  const plain = window.fetch;
  const open = new Map(); // id -> the record of an event that the server has taken and not completed
  const joining = new Set(); // events whose id is not known yet

  async function* messages(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const whole = (text + part.value).split("\n\n");
      text = whole.pop();
      yield* whole;
    }
    if (text) yield text;
  }

  // The same, also of a stream that breaks off.
  async function* heard(answer) {
    try {
      yield* messages(answer);
    } catch (error) {
      if (open.size) lost();
      throw error;
    }
  }

  const told = (message) => {
    try {
      return JSON.parse(message.replace(/^data: ?/, ""));
    } catch {
      return {};
    }
  };

  // A message can be here before the answer that tells whose it is.
  const known = async (id) => {
    while (id && !open.has(id) && joining.size) await Promise.race(joining);
  };

  const completed = async (message, content) => {
    const record = open.get(content.event_id);
    await blipdiff.reached(record);
    open.delete(content.event_id);
    blipdiff.over(record);
    if (!Array.isArray(content.output?.data)) return message;
    content.output.data = blipdiff.stillWanted(record, content.output.data);
    return `data: ${JSON.stringify(content)}`;
  };

  // The server has ended, or cannot be reached: the page says so, and is loaded anew when there is one again. What was
  // typed is kept by the browser, and what was asked for by the server.
  const PAUSE = 1_000; // milliseconds
  let isLeft = false;
  let isLost = false;
  addEventListener("beforeunload", () => { isLeft = true; });
  const lost = async () => {
    if (isLost || isLeft) return;
    isLost = true;
    const told = document.createElement("p");
    told.className = "lost";
    told.setAttribute("role", "alert");
    told.textContent = blipdiff.said("The server has ended, or cannot be reached. This page goes on when it is back.");
    document.body.append(told);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      if (await plain("/", { method: "HEAD", cache: "no-store" }).then(() => true, () => false)) break;
    }
    window.location.reload();
  };

  // The messages of a stream, and of one more for each event that its end would have left behind: each is waited for once.
  async function* goingOn(answer, again) {
    while (answer) {
      let next = null;
      let isWhole = false; // whether it was ended by the server's word
      for await (const message of heard(answer)) {
        const content = told(message);
        await known(content.event_id);
        isWhole ||= content.msg === "close_stream";
        const left = [...open.values()].filter((record) => !record.isWaitedFor);
        if (content.msg === "close_stream" && left.length) {
          left.forEach((record) => { record.isWaitedFor = true; });
          next = await again();
        } else yield content.msg === "process_completed" ? await completed(message, content) : message;
      }
      if (!isWhole && open.size) lost();
      answer = next;
    }
  }

  const streamed = (found) => {
    const encoder = new TextEncoder();
    return new ReadableStream({
      async pull(controller) {
        const { value, done } = await found.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(`${value}\n\n`));
      },
    });
  };

  const join = async (target, options) => {
    const asked = told(String(options?.body));
    const record = blipdiff.asking(asked.fn_index);
    let id;
    try {
      if (Array.isArray(asked.data)) asked.data = blipdiff.carried(record, asked.data);
      const answer = await plain(target, asked.data ? { ...options, body: JSON.stringify(asked) } : options);
      ({ event_id: id } = await answer.clone().json().catch(() => ({})));
      return answer;
    } finally {
      if (id) open.set(id, record);
      else blipdiff.over(record);
      record.leave?.();
    }
  };

  window.fetch = async (target, options) => {
    const { pathname: path, searchParams } = new URL(target?.url ?? target, window.location);
    if (path.endsWith("/upload")) { // a file that was chosen has a name for its progress; what a canvas shows has none
      const answer = plain(target, options);
      return searchParams.has("upload_id") ? blipdiff.sendingFiles(answer) : blipdiff.sendingCanvas(answer);
    }
    if (path.endsWith("/queue/join")) {
      const joined = join(target, options);
      const settled = joined.catch(() => null);
      joining.add(settled);
      settled.then(() => joining.delete(settled));
      return joined;
    }
    if (path.endsWith("/queue/data")) {
      const again = () => plain(target, options);
      const answer = await again();
      return answer.ok && answer.body ? new Response(streamed(goingOn(answer, again)), answer) : answer;
    }
    return plain(target, options);
  };
})();
