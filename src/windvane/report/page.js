"use strict";
// The page's moving parts: the theme button, which evaluations' drawings follow, and the browser of prompts. Text from models reaches
// the page as textContent only.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1) + "%");

  const root = document.documentElement;
  const button = $("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to " + (isDark() ? "light" : "dark") + " colours");
  };
  const night = []; // the drawings' own style rules for dark screens
  for (const host of document.querySelectorAll(".drawing")) {
    for (const sheet of host.shadowRoot ? host.shadowRoot.styleSheets : []) {
      for (const rule of sheet.cssRules) if (rule.media && /prefers-color-scheme:\s*dark/.test(rule.media.mediaText)) night.push(rule);
    }
  }
  const follow = () => { for (const rule of night) rule.media.mediaText = isDark() ? "all" : "not all"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); follow(); });
  system.addEventListener("change", follow);
  addEventListener("beforeprint", () => { for (const rule of night) rule.media.mediaText = "not all"; }); // paper is light
  addEventListener("afterprint", follow);
  follow();
  system.addEventListener("change", label);
  label();

  if (!$("browser")) return;
  const sets = JSON.parse($("data").textContent).sets;
  const list = $("list"), entryPane = $("entry"), search = $("search");
  let shown = [], at = -1;

  const option = (select, value, text) => {
    const node = make("option", "", text);
    node.value = value;
    select.append(node);
  };
  const count = (values) => {
    const found = new Map();
    for (const value of values) found.set(value, (found.get(value) || 0) + 1);
    return found;
  };
  sets.forEach((set, i) => option($("set"), String(i), set.label));
  const training = sets.findIndex((set) => set.key !== "heldout");
  $("set").value = String(Math.max(training, 0));
  const current = () => sets[Number($("set").value)];

  function fillFilters() {
    const set = current();
    for (const [id, all, values] of [
      ["why", "any reason", count(set.entries.flatMap((e) => e.why))],
      ["status", "any outcome", count(set.entries.map((e) => e.status))],
    ]) {
      $(id).replaceChildren();
      option($(id), "", all);
      for (const [value, many] of values) option($(id), value, value + " (" + many + ")");
    }
  }

  const haystacks = new WeakMap();
  function haystack(entry) {
    if (!haystacks.has(entry)) {
      const parts = [entry.id, ...entry.messages.map((m) => m[1]), ...entry.answers.map((a) => a.text)];
      haystacks.set(entry, parts.join("\n").toLowerCase());
    }
    return haystacks.get(entry);
  }

  function refresh() {
    const set = current();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const why = $("why").value, status = $("status").value;
    shown = set.entries.filter((e) => (!why || e.why.includes(why)) && (!status || e.status === status)
      && words.every((word) => haystack(e).includes(word)));
    list.replaceChildren(...shown.map((entry, i) => {
      const item = make("li");
      item.id = "item-" + i;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      const users = entry.messages.filter((m) => m[0] === "user" || m[0] === "question");
      const what = make("span", "what", users.length ? users[users.length - 1][1].slice(0, 160) : entry.id);
      what.dir = "auto";
      const why = entry.why.filter((w) => w !== "seeded sample");
      item.append(what, make("span", "meta", [...(entry.status === "held-out" ? [] : [entry.status]), ...why].join(" · ")));
      item.addEventListener("click", () => select(i, true));
      return item;
    }));
    const total = set.total.toLocaleString("en"), here = set.entries.length.toLocaleString("en");
    const kept = set.entries.length < set.total
      ? here + " of " + total + " shown (a seeded sample and the extremes)" : "all " + total + " shown";
    const filtered = shown.length < set.entries.length;
    $("count").replaceChildren(filtered ? shown.length.toLocaleString("en") + " match; " + kept + ". " : kept[0].toUpperCase() + kept.slice(1) + ". ",
      make("span", "file", set.file));
    at = -1;
    list.scrollTop = 0;
    list.removeAttribute("aria-activedescendant");
    if (shown.length) select(0, false);
    else entryPane.replaceChildren(make("p", "empty", "Nothing matches."));
  }

  function select(i, follow) {
    if (i < 0 || i >= shown.length) return;
    if (at >= 0) list.children[at].setAttribute("aria-selected", "false");
    at = i;
    const item = list.children[i];
    item.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", item.id);
    if (item.offsetTop < list.scrollTop) list.scrollTop = item.offsetTop; // the list is positioned: offsets are its own
    const under = item.offsetTop + item.offsetHeight - list.clientHeight;
    if (under > list.scrollTop) list.scrollTop = under;
    show(shown[i]);
    if (follow && matchMedia("(max-width: 46rem)").matches) entryPane.scrollIntoView({ block: "start" });
  }

  function passage(text, more) {
    const node = make("p", "text", text === "" ? "(empty)" : text);
    node.dir = "auto";
    return more ? [node, make("p", "cut", "… and " + more.toLocaleString("en") + " more characters, in the file.")] : [node];
  }

  function show(entry) {
    if (entry.kind === "question") return showQuestion(entry);
    const held = entry.status === "held-out";
    const parts = [make("h3", "", "Prompt"), ...turns(entry)];
    const facts = ["id " + entry.id];
    if (entry.tokens) facts.push(entry.tokens.toLocaleString("en") + " tokens");
    if (entry.why.length) facts.push("shown as: " + entry.why.join(", "));
    if (!held) {
      facts.push("outcome: " + entry.status);
      const [judged, failed, tied] = entry.pairs;
      facts.push(judged + " comparisons judged, " + failed + " failed, " + tied + " tied");
      if (entry.disagreement !== null) facts.push("order disagreement " + entry.disagreement.toFixed(3));
      facts.push("cyclic triples " + entry.cyclic[0] + " of " + entry.cyclic[1]);
    }
    parts.push(make("p", "facts", facts.join(" · ")), make("h3", "", held ? "Answers, the start and each iteration" : "Answers, best first"));
    const order = entry.answers.map((_, i) => i);
    if (!held) order.sort((a, b) => (entry.answers[b].p_loo ?? -1) - (entry.answers[a].p_loo ?? -1));
    for (const i of order) parts.push(reply(entry.answers[i], held));
    if (!held && entry.p.length > 1) parts.push(make("h3", "", "P(row beats column)"), heat(entry), key());
    entryPane.replaceChildren(...parts);
  }

  function turns(entry) {
    return entry.messages.map(([role, text, more]) => {
      const turn = make("div", "turn");
      turn.append(make("span", "who", role), ...passage(text, more));
      return turn;
    });
  }

  function showQuestion(entry) {
    const [source, tokens] = entry.document;
    const facts = ["document " + source];
    if (tokens) facts.push(tokens.toLocaleString("en") + " tokens");
    if (entry.tokens) facts.push("chunk of " + entry.tokens.toLocaleString("en") + " tokens");
    facts.push("id " + entry.id, "asked " + entry.tries + (entry.tries === 1 ? " time" : " times"));
    if (entry.why.length) facts.push("shown as: " + entry.why.join(", "));
    facts.push("outcome: " + entry.status);
    const none = entry.status === "no question";
    const said = entry.answers.map((answer) => {
      const node = make("div", "reply " + answer.mark), head = make("header");
      head.append(make("b", "", answer.name));
      if (answer.mark) head.append(make("span", "badge", (answer.mark === "chosen" ? "✓ " : "✗ ") + answer.mark));
      if (answer.reason) head.append(make("span", "", answer.reason));
      if (answer.reference !== undefined && answer.reference !== null) head.append(make("span", "", "reference " + answer.reference.toFixed(2) + " nats"));
      if (answer.tokens !== undefined) head.append(make("span", "", answer.tokens.toLocaleString("en") + (answer.tokens === 1 ? " token" : " tokens") + (answer.finish === "length" ? ", cut off" : "")));
      node.append(head, ...passage(answer.text, answer.more));
      return node;
    });
    entryPane.replaceChildren(make("h3", "", none ? "Chunk" : "Chunk and question"), ...turns(entry), make("p", "facts", facts.join(" · ")),
      make("h3", "", none ? "Replies that gave no question" : "Answers"), ...(said.length ? said : [make("p", "empty", "None yet.")]));
  }

  function reply(answer, held) {
    const node = make("div", "reply " + answer.mark), head = make("header");
    head.append(make("b", "", answer.name));
    if (answer.mark) head.append(make("span", "badge", (answer.mark === "chosen" ? "✓ " : "✗ ") + answer.mark));
    if (held && answer.iteration) {
      head.append(make("span", "", "beats the start " + percent(answer.win_start)), make("span", "", "the one before " + percent(answer.win_previous)),
        make("span", "", "proxy " + percent(answer.proxy_start)));
      if (answer.kl !== null) head.append(make("span", "", "KL " + answer.kl.toFixed(2) + " nats"));
    }
    if (!held) {
      const judged = answer.p_loo !== null;
      head.append(make("span", "", judged ? "p_loo " + percent(answer.p_loo) : "not judged"));
      if (judged) head.append(make("span", "", "p_incl " + percent(answer.p_incl)));
    }
    head.append(make("span", "", answer.tokens.toLocaleString("en") + (answer.tokens === 1 ? " token" : " tokens") + (answer.finish === "length" ? ", cut off" : "")));
    if (held && answer.of > 1) head.append(make("span", "", "1 of " + answer.of + " answers" + (answer.iteration ? "; rates are over all" : "")));
    node.append(head, ...passage(answer.text, answer.more));
    return node;
  }

  function heat(entry) {
    const table = make("table", "heat"), top = make("tr");
    table.setAttribute("aria-label", "Probability that the row's answer beats the column's");
    const names = entry.answers.map((a) => a.name.replace("Answer ", ""));
    top.append(make("td", "corner"), ...names.map((name) => { const th = make("th", "", name); th.scope = "col"; return th; }));
    top.firstChild.style.background = "none";
    table.append(top);
    entry.p.forEach((row, i) => {
      const line = make("tr"), head = make("th", "", names[i]);
      head.scope = "row";
      line.append(head, ...row.map((p, j) => {
        const cell = make("td", "", p === null ? (i === j ? "" : "–") : (100 * p).toFixed(0));
        if (p !== null) {
          const hue = p >= 0.5 ? "var(--true)" : "var(--proxy)";
          cell.style.background = "color-mix(in srgb, " + hue + " " + (Math.abs(p - 0.5) * 110).toFixed(0) + "%, var(--faint))";
          cell.title = names[i] + " beats " + names[j] + ": " + percent(p);
        }
        return cell;
      }));
      table.append(line);
    });
    return table;
  }

  function key() {
    const node = make("p", "key");
    node.append("0%", make("i"), "100%");
    return node;
  }

  list.addEventListener("keydown", (event) => {
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: Math.min(at + 8, shown.length - 1), PageUp: Math.max(at - 8, 0), Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(to, false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); }
    if (event.key === "j") select(at + 1, false);
    if (event.key === "k") select(at - 1, false);
  });
  search.addEventListener("input", refresh);
  for (const id of ["why", "status"]) $(id).addEventListener("change", refresh);
  $("set").addEventListener("change", () => { fillFilters(); refresh(); });
  $("browser").hidden = false;
  fillFilters();
  refresh();
})();
