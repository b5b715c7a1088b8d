// Gradio ends the stream of its messages once no event is pending. What is asked for at that very moment is answered
// with an id by a server whose stream has just ended, while the page still believes it open: nothing would ever come,
// and the click would be lost. Here such a stream goes on, unseen by the page.
(() => {
  const plain = window.fetch;
  const asked = new Set(); // ids of events that the server has taken and not completed
  const early = new Set(); // ids of events that were completed before the answer to their asking was read

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

  const told = (message) => {
    try {
      return JSON.parse(message.replace(/^data: ?/, ""));
    } catch {
      return {};
    }
  };

  // The messages of a stream, and of one more for each event that its end would have left behind: each is waited for once.
  async function* goingOn(answer, again) {
    while (answer) {
      let next = null;
      for await (const message of messages(answer)) {
        const { msg, event_id } = told(message);
        if (msg === "process_completed" && !asked.delete(event_id)) early.add(event_id);
        if (msg === "close_stream" && asked.size) {
          asked.clear();
          next = await again();
        } else yield message;
      }
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

  window.fetch = async (target, options) => {
    const path = new URL(target?.url ?? target, window.location).pathname;
    if (path.endsWith("/queue/join")) {
      const answer = await plain(target, options);
      const { event_id } = await answer.clone().json().catch(() => ({}));
      if (event_id && !early.delete(event_id)) asked.add(event_id);
      return answer;
    }
    if (path.endsWith("/queue/data")) {
      const again = () => plain(target, options);
      const answer = await again();
      return answer.ok && answer.body ? new Response(streamed(goingOn(answer, again)), answer) : answer;
    }
    return plain(target, options);
  };
})();
