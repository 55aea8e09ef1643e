"use strict";
// Talking to the service: JSON there and back, and answers that arrive piece by piece. Whatever goes wrong is an Error with one line.
const service = (() => {
  async function ask(path, body, method) {
    const options = { method: method || (body === undefined ? "GET" : "POST"), headers: {} };
    if (body instanceof FormData) options.body = body;
    else if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    let reply;
    try { reply = await fetch(path, options); } catch { throw new Error("The service does not answer. Is it still running?"); }
    if (reply.status === 401) { location.assign("/sign-in?next=" + encodeURIComponent(location.pathname)); throw new Error("Signed out."); }
    if (!reply.ok) {
      let line = "The service refused (" + reply.status + ").";
      try { line = (await reply.json()).error || line; } catch { /* no JSON */ }
      throw new Error(line);
    }
    return reply;
  }

  async function json(path, body, method) {
    const reply = await ask(path, body, method);
    return reply.status === 204 ? null : reply.json();
  }

  // Calls `each` with every event; returns the last.
  async function stream(path, body, each) {
    const reply = await ask(path, body === undefined ? {} : body, "POST");
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", last = null;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (!block.startsWith("data: ")) continue;
        last = JSON.parse(block.slice(6));
        if (last.error) throw new Error(last.error);
        each(last);
      }
    }
    if (!last || !last.done) throw new Error("The answer broke off.");
    return last;
  }
  return { json, stream };
})();
