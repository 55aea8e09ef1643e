"use strict";
// A scored transcript as a page that can be printed. All text is textContent.
const sheets = (() => {
  const make = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children.filter((one) => one !== null && one !== undefined));
    return node;
  };
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);
  const percent = (value) => Math.round(100 * value) + "%";
  const size = (one) => Math.max(0, ...Object.values(one.change).map(Math.abs));
  const lead = (one) => Object.values(one.change).reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  const LEVELS = ["A1", "A2", "B1", "B2", "C1", "C2"];

  // Five bars, one a band; the most likely is told in words too.
  function bars(band) {
    const shares = Object.entries(band.probabilities);
    const list = make("ol", "bars");
    list.setAttribute("aria-label", "How likely each band is");
    for (const [name, share] of shares) {
      const bar = make("span", "bar-fill");
      bar.style.blockSize = Math.max(2, 100 * share) + "%";
      const item = make("li", Number(name) === band.band ? "on" : "", make("span", "bar-room", bar), make("span", "", name));
      item.title = "band " + name + ": " + percent(share);
      item.append(make("span", "sr", ": " + percent(share)));
      list.append(item);
    }
    return shares.length ? list : null;
  }

  function gauge(band) {
    const card = make("article", "gauge");
    card.append(make("h3", "", band.name));
    const sure = band.probability === null ? "the scorer tells no probability" : percent(band.probability) + " sure";
    card.append(make("p", "big", make("b", "", String(band.band)), make("span", "", "expected " + band.expected.toFixed(2) + " · " + sure)));
    card.append(bars(band) || "");
    if (band.because.length) {
      const list = make("ul", "because");
      for (const [what, value] of band.because.slice(0, 4)) list.append(make("li", value < 0 ? "down" : "up", what));
      card.append(make("details", "", make("summary", "", "What counted most"), list));
    }
    return card;
  }

  // Cuts a turn where sentences and words begin and end, so that both kinds of marks can overlap.
  function marked(text, sentences, words, most, start) {
    const cuts = new Set([0, text.length]);
    for (const one of [...sentences, ...words]) { cuts.add(one.start); cuts.add(one.end); }
    const places = [...cuts].filter((at) => at >= 0 && at <= text.length).sort((a, b) => a - b);
    const line = make("span", "text");
    let sentenceNode = null, current = null;
    for (let i = 0; i + 1 < places.length; i++) {
      const [from, to] = [places[i], places[i + 1]];
      const piece = document.createTextNode(text.slice(from, to));
      const word = words.find((one) => one.start <= from && to <= one.end);
      let node = piece;
      if (word) {
        node = make("span", "level level-" + word.level, piece);
        node.title = "CEFR " + word.level;
        if (to === word.end) node.dataset.level = word.level;
      }
      const sentence = sentences.find((one) => one.start <= from && to <= one.end);
      if (sentence !== current) { current = sentence; sentenceNode = null; }
      if (sentence && most > 0 && size(sentence) > 0.02) {
        if (!sentenceNode) {
          const change = lead(sentence), strength = Math.min(3, Math.ceil((3 * size(sentence)) / most));
          sentenceNode = make("mark", (change < 0 ? "holds" : "drags") + " weight-" + strength);
          sentenceNode.title = "left out: " + Object.entries(sentence.change).map(([c, v]) => c + " " + signed(v)).join(", ");
          line.append(sentenceNode);
        }
        sentenceNode.append(node);
      } else line.append(node);
    }
    return line;
  }

  function transcript(sheet) {
    const box = make("section", "spoken");
    const sentences = sheet.sentences || [], words = sheet.levels || [];
    const most = Math.max(0, ...sentences.map(size));
    box.append(make("h3", "", "Transcript"));
    if (sentences.length || words.length) {
      const key = make("p", "legend");
      if (sentences.length) key.append(make("mark", "holds weight-2", "holds the band up"), " ", make("mark", "drags weight-2", "pulls it down"), " ");
      for (const level of LEVELS) {
        const count = words.filter((one) => one.level === level).length;
        if (count) key.append(make("span", "level level-" + level, level), " " + count + "  ");
      }
      box.append(key);
    }
    for (const [name, text] of Object.entries(sheet.context)) {
      const shown = name === "task" ? "task" : name.replace("PHOTO_", "photo ").toLowerCase();
      box.append(make("p", "turn examiner", make("span", "who", shown), make("span", "text", text)));
    }
    sheet.turns.forEach((turn, i) => {
      const own = turn.role === "candidate";
      box.append(make("p", "turn " + turn.role, make("span", "who", turn.role),
        own ? marked(turn.text, sentences.filter((one) => one.turn === i), words.filter((one) => one.turn === i), most) : make("span", "text", turn.text)));
    });
    return box;
  }

  function weighed(sheet) {
    const found = [...(sheet.sentences || [])].filter((one) => size(one) > 0.005).sort((a, b) => size(b) - size(a)).slice(0, 6);
    if (!found.length) return null;
    const box = make("section", "weighed", make("h3", "", "What weighed most"),
      make("p", "hint", "How the expected band changes when one sentence is left out: below 0, the sentence held the band up. It is what this scorer does, not why" +
        " a person speaks well; leaving a sentence out also makes the answer shorter." + (sheet.left_out ? " Looked at: " + sheet.left_out + "." : "")));
    const criteria = sheet.bands.map((band) => band.criterion);
    const head = make("tr", "", ...criteria.map((c) => { const th = make("th", "", c); th.scope = "col"; return th; }), make("th", "words", "Sentence"));
    const rows = found.map((one) => make("tr", "", ...criteria.map((c) => make("td", one.change[c] < -0.02 ? "holds" : one.change[c] > 0.02 ? "drags" : "", signed(one.change[c] || 0))), make("td", "words text", one.text.trim())));
    box.append(make("table", "", make("thead", "", head), make("tbody", "", ...rows)));
    return box;
  }

  function show(sheet, label, about) {
    const box = make("article", "sheet card");
    const names = { 1: "Part 1 · Interview", 2: "Part 2 · Long turn", 3: "Part 3 · Collaborative task", 4: "Part 4 · Discussion" };
    box.append(make("header", "", make("h2", "", (label ? label + " · " : "") + (names[sheet.part] || "Part not known")), make("p", "hint", sheet.words + " words by the candidate")));
    if (sheet.status !== "scored") {
      box.append(make("p", "alert", (sheet.status === "abstained" ? "Not scored: " : "No band: ") + sheet.reason));
    } else {
      for (const line of sheet.review) box.append(make("p", "review", "Look at this one yourself: " + line + "."));
      box.append(make("div", "gauges", ...sheet.bands.map(gauge)));
      if (sheet.notes.length) box.append(make("p", "hint", "Set aside before scoring: " + sheet.notes.join("; ") + "."));
      const heavy = weighed(sheet);
      if (heavy) box.append(heavy);
    }
    box.append(transcript(sheet));
    const marked = sheet.levels.length ? " Levels of words: " + about.levels + "." : "";
    box.append(make("p", "small", about.limits + " Scorer: " + about.scorer + "." + marked));
    return box;
  }

  function whole(test, criteria) {
    const parts = Object.keys(test.bands).map((c) => criteria[c] + " " + test.bands[c]);
    return make("section", "card sheet", make("h2", "", "The whole test"), make("p", "", parts.join(" · ") + " (parts " + test.parts.join(", ") + ", to the half band)"),
      make("p", "hint", test.text_only === null ? "Missing: " + test.missing.join("; ") + "." : "Text alone: " + test.text_only + " of 30. The real test has pronunciation and a global mark too."));
  }
  return { show, whole, make };
})();
