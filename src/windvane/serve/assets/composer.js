"use strict";
// The composer: values, the system message as it is written, two answers side by side, a vote. What models write is textContent only.
(() => {
  const $ = (id) => document.getElementById(id);
  const selects = [...document.querySelectorAll("#values select")];
  const sides = ["left", "right"];
  let history = [], turn = null, busy = false;

  const say = (text, bad) => {
    $("state").textContent = text;
    $("state").classList.toggle("bad", Boolean(bad));
  };

  function follow(select) {
    const box = select.closest("fieldset"), chosen = select.selectedOptions[0];
    const told = box.querySelector(".told"), own = box.querySelector(".own");
    own.hidden = select.value !== "own";
    told.textContent = chosen.dataset.description || "";
    told.hidden = !told.textContent;
  }

  function chosen() {
    const found = [];
    for (const select of selects) {
      const option = select.selectedOptions[0], own = select.closest("fieldset").querySelector(".own");
      if (select.value === "own" && own.value.trim()) found.push({ dimension: select.dataset.dimension, preference: own.value.trim() });
      else if (select.value && select.value !== "own") {
        found.push({
          dimension: select.dataset.dimension, subdimension: option.dataset.subdimension,
          preference: select.value, description: option.dataset.description,
        });
      }
    }
    return found;
  }

  async function write() {
    const values = chosen(), note = $("system-note");
    if (!values.length) { note.textContent = "Choose at least one value first."; note.classList.add("bad"); return; }
    note.classList.remove("bad");
    note.textContent = "Being written …";
    $("write").disabled = true;
    $("system").value = "";
    try {
      const last = await service.stream("/api/v1/composer/system", { values, topic: $("question").value }, (event) => {
        if (event.whole !== undefined) $("system").value = event.whole;
        if (event.text) $("system").value += event.text;
        $("system").scrollTop = $("system").scrollHeight;
      });
      $("system").value = last.message;
      note.textContent = last.remark ? "Written, but it would not pass the collection's checks: " + last.remark + "." : "Written. You can change every word of it.";
    } catch (error) { note.textContent = error.message; note.classList.add("bad"); }
    $("write").disabled = false;
  }

  function show() {
    $("history").replaceChildren(...history.map((one) => {
      const node = document.createElement("p");
      node.className = "said " + one.role;
      node.textContent = one.content;
      return node;
    }));
    $("history").scrollTop = $("history").scrollHeight;
  }

  async function answer(side) {
    const place = $(side);
    place.textContent = "";
    place.setAttribute("aria-busy", "true");
    try {
      const last = await service.stream("/api/v1/composer/turns/" + turn + "/" + side + "/answer", undefined, (event) => {
        if (event.whole !== undefined) place.textContent = event.whole;
        if (event.text) place.textContent += event.text;
      });
      if (last.finish === "length") place.dataset.cut = "cut at the longest answer";
      if (last.empty) place.dataset.cut = "an empty answer";
    } finally { place.setAttribute("aria-busy", "false"); }
  }

  async function send() {
    const text = $("question").value.trim();
    if (!text || busy || turn) return;
    busy = true;
    $("send").disabled = true;
    for (const side of sides) {
      $(side + "-name").textContent = side === "left" ? "Left" : "Right";
      delete $(side).dataset.cut;
      $(side).closest(".side").classList.remove("best");
    }
    say("Both are answering …");
    try {
      const messages = [...history, { role: "user", content: text }];
      const begun = await service.json("/api/v1/composer/turns", { system: $("system").value, messages, values: chosen() });
      turn = begun.turn;
      const results = await Promise.allSettled(sides.map(answer));
      const failed = results.find((one) => one.status === "rejected");
      if (failed) throw failed.reason;
      history = messages;
      $("question").value = "";
      show();
      $("votes").hidden = false;
      $("again").hidden = false;
      say("Which is better?");
      $("votes").querySelector("button").focus();
    } catch (error) { turn = null; say(error.message, true); $("send").disabled = false; }
    busy = false;
  }

  async function vote(choice) {
    if (!turn || busy) return;
    busy = true;
    try {
      const told = await service.json("/api/v1/composer/turns/" + turn + "/vote", { vote: choice });
      for (const side of sides) $(side + "-name").textContent = (side === "left" ? "Left: " : "Right: ") + told.models[side];
      if (sides.includes(choice)) $(choice).closest(".side").classList.add("best");
      if (told.answer.trim()) history.push({ role: "assistant", content: told.answer });
      else history.pop(); // an empty answer cannot be gone on from: the question is asked anew
      $("tally").textContent = Object.entries(told.votes).map(([name, count]) => count + " " + name).join(", ");
      say("Kept. " + (told.pair ? "It is a training pair too." : "No training pair: neither was preferred, or the answers are the same."));
      $("votes").hidden = true;
      turn = null;
      $("send").disabled = false;
      $("question").focus();
    } catch (error) { say(error.message, true); }
    busy = false;
  }

  function anew() {
    history = [];
    turn = null;
    show();
    for (const side of sides) { $(side).textContent = ""; delete $(side).dataset.cut; $(side + "-name").textContent = side === "left" ? "Left" : "Right"; $(side).closest(".side").classList.remove("best"); }
    $("votes").hidden = true;
    $("again").hidden = true;
    $("send").disabled = false;
    say("");
    $("question").focus();
  }

  for (const select of selects) { select.addEventListener("change", () => follow(select)); follow(select); }
  $("draw").addEventListener("click", () => {
    for (const select of selects) {
      const options = [...select.options].filter((one) => one.value && one.value !== "own");
      select.value = options[Math.floor(Math.random() * options.length)].value;
      follow(select);
    }
  });
  $("values").addEventListener("submit", (event) => { event.preventDefault(); write(); });
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  });
  $("votes").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) vote(button.dataset.vote);
  });
  $("again").addEventListener("click", anew);
  addEventListener("keydown", (event) => {
    if ($("votes").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    const button = $("votes").querySelectorAll("button")[Number(event.key) - 1];
    if (button) { event.preventDefault(); vote(button.dataset.vote); }
  });
})();
