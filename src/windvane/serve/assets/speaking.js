"use strict";
// The page that scores transcripts: one at a time, or a file behind a progress bar.
(() => {
  const $ = (id) => document.getElementById(id);
  let last = null, batch = null;

  const state = (text, bad) => {
    $("one-state").textContent = text;
    $("one-state").classList.toggle("bad", Boolean(bad));
  };

  async function score() {
    const text = $("text").value;
    if (!text.trim()) return;
    $("score").disabled = true;
    state("Scoring …");
    try {
      const part = $("part").value ? Number($("part").value) : null;
      last = await service.json("/api/v1/score", { text, part, explain: true });
      const label = $("label").value.trim();
      const shown = last.sheets.map((sheet) => sheets.show(sheet, label, last));
      for (const one of last.unread) shown.push(sheets.make("p", "alert", "Line " + one.line + ": " + one.reason));
      if (last.whole_test) shown.push(sheets.whole(last.whole_test, last.criteria));
      $("result").replaceChildren(...shown);
      $("tools").hidden = !last.sheets.length;
      state("");
      if (shown.length) {
        $("result").firstChild.tabIndex = -1;
        $("result").firstChild.focus({ preventScroll: true });
        $("result").scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      } else state("No transcript was found in the text.", true);
    } catch (error) { state(error.message, true); }
    $("score").disabled = false;
  }

  function told(now) {
    $("batch-view").hidden = false;
    $("batch-bar").max = Math.max(1, now.to_score);
    $("batch-bar").value = now.done;
    $("batch-state").textContent = now.problem || now.name + ": " + now.state + ", " + now.done + " of " + now.to_score;
    $("batch-state").classList.toggle("bad", Boolean(now.problem));
    const facts = [["scored", now.scored], ["not scored", now.abstained], ["no valid answer", now.invalid], ["rows not read", now.not_read], ["for a person to look at", now.review], ["transcripts an hour", now.transcripts_per_hour]];
    $("batch-facts").replaceChildren(...facts.filter(([, n]) => n).map(([name, n]) => sheets.make("div", "", sheets.make("dt", "", name), sheets.make("dd", "", n.toLocaleString("en")))));
    $("batch-links").hidden = now.state !== "done";
    $("batch-whole").hidden = !now.candidates;
    $("batch-candidates").href = "/api/v1/batches/" + now.batch + "/candidates.csv";
    for (const kind of ["csv", "jsonl"]) $("batch-" + kind).href = "/api/v1/batches/" + now.batch + "/scores." + kind;
  }

  async function send() {
    const form = new FormData(), file = $("batch-file").files[0];
    if (!file) return;
    form.append("file", file);
    if ($("batch-part").value) form.append("part", $("batch-part").value);
    try {
      let now = await service.json("/api/v1/batches", form);
      batch = now.batch;
      $("batch-stop").hidden = false;
      while (batch === now.batch) {
        told(now);
        if (!["waiting", "scoring"].includes(now.state)) break;
        await new Promise((done) => setTimeout(done, 700));
        now = await service.json("/api/v1/batches/" + now.batch);
      }
    } catch (error) {
      $("batch-view").hidden = false;
      $("batch-state").textContent = error.message;
      $("batch-state").classList.add("bad");
    }
  }

  $("one").addEventListener("submit", (event) => { event.preventDefault(); score(); });
  $("text").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); score(); } });
  $("example").addEventListener("change", () => {
    const template = document.querySelector('template[data-example="' + $("example").value + '"]');
    if (template) { $("text").value = template.content.textContent; $("part").value = ""; if ($("example").value === "1") $("part").value = "1"; }
  });
  $("file").addEventListener("change", async () => { if ($("file").files[0]) $("text").value = await $("file").files[0].text(); });
  $("batch").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("batch-stop").addEventListener("click", async () => {
    const key = batch;
    batch = null;
    $("batch-stop").hidden = true;
    try { await service.json("/api/v1/batches/" + key, undefined, "DELETE"); } catch { /* gone already */ }
    $("batch-view").hidden = true;
  });
  $("print").addEventListener("click", () => print());
  $("json").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(last, null, 1)], { type: "application/json" }));
    link.download = "scores.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
