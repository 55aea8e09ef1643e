"use strict";
// Two raters a record. What is in a record or a comment is textContent only.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children.filter((one) => one !== null && one !== undefined));
    return node;
  };
  const API = "/api/v1/validation/";
  const person = $("work").dataset.person;
  let rater = person, record = null, editing = false;

  const query = (more) => "?" + new URLSearchParams({ ...(person ? {} : { rater }), ...more });
  const signed = (body) => (person ? body : { ...body, rater });
  const say = (text) => { $("state").textContent = text; };
  const nameOf = (c) => document.querySelector('template[data-criterion="' + c + '"]').dataset.name;

  function radios(criterion, planned) {
    const box = make("fieldset", "bands", make("legend", "", nameOf(criterion)));
    const line = make("div", "choices");
    for (let band = 1; band <= 5; band++) {
      const input = make("input");
      Object.assign(input, { type: "radio", name: criterion, value: String(band), checked: band === planned, id: criterion + (band === planned ? "-planned" : "-" + band) });
      const label = make("label", band === planned ? "planned" : "", input, make("span", "", String(band)));
      if (band === planned) label.append(make("span", "sr", " (planned)"));
      line.append(label);
    }
    const scale = document.querySelector('template[data-criterion="' + criterion + '"]').content.cloneNode(true);
    box.append(line, make("details", "", make("summary", "", "What the bands mean"), scale));
    return box;
  }

  function turnNode(turn) {
    const text = editing ? make("textarea", "", turn.text) : make("span", "text", turn.text);
    if (editing) { text.rows = Math.max(2, Math.ceil(turn.text.length / 60)); text.dataset.role = turn.role; text.setAttribute("aria-label", turn.role); }
    return make(editing ? "div" : "p", "turn " + turn.role, make("span", "who", turn.role), text);
  }

  function show(given, before) {
    record = given;
    editing = Boolean(before && before.turns);
    const part = document.querySelector('template[data-part="' + given.part + '"]');
    $("part-name").textContent = part ? part.dataset.name : "Part not known";
    $("part-about").textContent = part ? part.content.textContent : "";
    $("criteria").replaceChildren(...Object.entries(given.scores).map(([c, band]) => radios(c, band)));
    draw(before && before.turns ? before.turns : given.turns);
    for (const [c, band] of Object.entries(before ? before.off : {})) $("review").elements[c].value = String(band);
    $("comment").value = before ? before.comment : "";
    $("back").hidden = !before;
    $("record").hidden = false;
    $("finished").hidden = true;
    label();
  }

  function draw(turns) {
    const task = Object.entries(record.context).map(([name, text]) => make("p", "turn examiner",
      make("span", "who", name === "task" ? "task" : name.replace("PHOTO_", "photo ").toLowerCase()), make("span", "text", text)));
    $("turns").replaceChildren(...task, ...turns.map(turnNode));
    $("edit").setAttribute("aria-pressed", String(editing));
    $("edit").textContent = editing ? "Undo the edits" : "Edit the conversation";
    label();
  }

  function off() {
    const found = {};
    for (const [c, planned] of Object.entries(record.scores)) {
      const band = Number($("review").elements[c].value);
      if (band !== planned) found[c] = band;
    }
    return found;
  }

  function turns() {
    if (!editing) return null;
    const found = [...$("turns").querySelectorAll("textarea")].map((node) => ({ role: node.dataset.role, text: node.value }));
    const same = found.length === record.turns.length && found.every((turn, i) => turn.text === record.turns[i].text);
    return same ? null : found;
  }

  const label = () => {
    if (!record || !$("criteria").children.length) return;
    $("send").textContent = editing ? "Send the edits" : Object.keys(off()).length ? "Send what is off" : "It matches";
  };

  async function send() {
    if (!record) return;
    $("send").disabled = true;
    try {
      await service.json(API + "reviews", signed({ record: record.id, off: off(), turns: turns(), comment: $("comment").value }));
      say("");
      await next(true);
    } catch (error) { say(error.message); }
    $("send").disabled = false;
  }

  async function next(focus) {
    try {
      const told = await service.json(API + "next" + query({}));
      $("progress").textContent = told.reviewed + " reviewed, " + told.left + " left, " + told.records + " in the queue";
      if (told.record) {
        show(told.record);
        if (focus) $("part-name").focus();
      } else {
        record = null;
        $("record").hidden = true;
        $("finished").hidden = false;
        $("finished-text").textContent = told.left ? "The records that are left are in other raters' hands just now." : "Thank you.";
        await disputes(told.left);
      }
      await Promise.all([own(), agreement()]);
    } catch (error) { say(error.message); }
  }

  async function disputes(left) {
    $("disputes").replaceChildren();
    if (left) return;
    const found = (await service.json(API + "disputes" + query({}))).disputes;
    if (!found.length) { $("disputes").append(make("p", "hint", "No record is disputed just now.")); return; }
    $("disputes").append(make("h3", "", "To be settled between the two"));
    for (const one of found) {
      const box = make("article", "dispute");
      const planned = Object.entries(one.record.scores).map(([c, band]) => c + " " + band).join(", ");
      box.append(make("p", "", "Planned: " + planned));
      for (const turn of one.record.turns.slice(0, 4)) box.append(turnNode(turn));
      if (one.record.turns.length > 4) box.append(make("details", "", make("summary", "", "the other " + (one.record.turns.length - 4) + " turns"), ...one.record.turns.slice(4).map(turnNode)));
      for (const review of one.reviews) {
        const word = word_of(review);
        const button = make("button", "", "Agreed: " + word);
        button.type = "button";
        button.addEventListener("click", () => settle(one.record.id, review));
        box.append(make("div", "row", make("b", "", review.rater + ":"), make("span", "", word + (review.comment ? " (" + review.comment + ")" : "")), button));
      }
      if (!one.reviews.some((review) => word_of(review) === "as planned")) {
        const button = make("button", "", "Agreed: as planned");
        button.type = "button";
        button.addEventListener("click", () => settle(one.record.id, { off: {}, turns: null }));
        box.append(make("div", "row", button));
      }
      $("disputes").append(box);
    }
  }

  const word_of = (review) => review.turns ? "edited" : Object.keys(review.off).length ? Object.entries(review.off).map(([c, band]) => c + " " + band).join(", ") : "as planned";

  async function settle(id, review) {
    const off = Object.fromEntries(Object.entries(review.off).map(([c, band]) => [c, Math.round(band)]));
    try {
      await service.json(API + "consensus", signed({ record: id, off, turns: review.turns, comment: "" }));
      say("");
      await next(false);
    } catch (error) { say(error.message); }
  }

  async function own() {
    const found = (await service.json(API + "reviews" + query({}))).reviews;
    $("own").replaceChildren(...found.map((review) => {
      const item = make("li", "", make("span", "", word_of(review) + (review.comment ? ": " + review.comment : "")));
      if (review.final) item.append(make("span", "hint", "stands"));
      else {
        const button = make("button", "quiet", "Look again");
        button.type = "button";
        button.addEventListener("click", async () => {
          const told = await service.json(API + "next" + query({ record: review.record }));
          if (told.record) { show(told.record, review); $("part-name").focus(); }
        });
        item.append(button);
      }
      return item;
    }));
    if (!found.length) $("own").append(make("li", "hint", "none yet"));
  }

  async function agreement() {
    const told = await service.json(API + "agreement");
    const percent = (value) => (value === null ? "–" : Math.round(100 * value) + "%"), number = (value) => (value === null ? "–" : value.toFixed(2));
    const rows = Object.entries(told.criteria).map(([c, one]) => [nameOf(c), String(one.n), percent(one.percent), percent(one.adjacent), number(one.weighted_kappa), number(one.alpha), percent(one.planned_band_right)]);
    const head = ["Criterion", "pairs", "same band", "within one", "weighted κ", "α", "planned right"];
    const table = make("table", "stack", make("thead", "", make("tr", "", ...head.map((name) => make("th", "", name)))),
      make("tbody", "", ...rows.map((row) => make("tr", "", ...row.map((cell, i) => { const td = make(i ? "td" : "th", "", cell); if (i) td.dataset.name = head[i]; return td; })))));
    const counts = Object.entries(told.outcomes).map(([name, count]) => count + " " + name).join(", ");
    $("agreement").replaceChildren(make("p", "hint", told.reviewed_twice + " of " + told.records + " records reviewed by two; " + told.raters + " raters; " + counts + "."),
      rows.length ? table : make("p", "hint", "No record has two reviews yet."),
      make("p", "hint", "Weighted κ is Cohen's with squared weights, α is Krippendorff's for ordinal bands; – is undefined, where everybody gave one band, say."));
  }

  function begin() {
    $("work").hidden = false;
    if ($("who")) $("who").hidden = true;
    next(false);
  }

  if ($("who")) $("who").addEventListener("submit", (event) => { event.preventDefault(); rater = $("name").value.trim(); if (rater) begin(); });
  else begin();
  $("review").addEventListener("change", label);
  $("review").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("edit").addEventListener("click", () => { editing = !editing; draw(record.turns); });
  $("back").addEventListener("click", () => next(true));
  $("refresh").addEventListener("click", () => agreement().catch((error) => say(error.message)));
  addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && record) { event.preventDefault(); send(); } });
})();
