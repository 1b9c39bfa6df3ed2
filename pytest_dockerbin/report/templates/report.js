"use strict";
(() => {
  const at = (id) => document.getElementById(id);

  // What strangers wrote is put in as text, never as HTML.
  const make = (tag, kind, ...inside) => {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    made.append(...inside);
    return made;
  };
  const bdi = (text) => make("bdi", "", text);
  const box = (text) => {
    const made = make("pre", "", text);
    made.tabIndex = 0;
    return made;
  };

  // -- the details of a cell ----------------------------------------------------------------

  let details;
  const read = () => (details ??= JSON.parse(at("data").textContent));

  const runOf = (run) => {
    const facts = make("dl", "");
    for (const [name, text] of run.facts) {
      facts.append(make("dt", "", name), make("dd", "", name === "command" ? make("code", "", text) : bdi(text)));
    }
    const made = make("div", "run", make("h4", "", bdi(run.title)), facts);
    if (run.hint) made.append(make("p", "hint", "Hint: ", bdi(run.hint)));
    for (const [name, text] of run.streams) made.append(make("h5", "", name), box(text));
    return made;
  };

  const testOf = (test) => {
    const head = make("h3", "", make("span", `pill ${test.state}`, test.word), make("code", "", bdi(test.name)), make("span", "said", test.facts));
    const made = make("section", "one", head);
    if (test.reason) made.append(make("p", "reason", bdi(test.reason)));
    if (test.text && test.text !== test.reason) made.append(box(test.text));
    if (!test.runs.length) made.append(make("p", "empty", "It ran no program."));
    made.append(...test.runs.map(runOf));
    return made;
  };

  const dialog = at("details");
  const open = (number) => {
    const cell = read()[number];
    at("details-title").replaceChildren(bdi(cell.title), make("small", "", cell.platform));
    at("details-body").replaceChildren(...cell.tests.map(testOf));
    dialog.showModal();
    at("details-body").scrollTop = 0;
    at("details-title").focus();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cell]");
    if (button) open(Number(button.dataset.cell));
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  at("close").addEventListener("click", () => dialog.close());

  // -- filters ------------------------------------------------------------------------------

  const matrix = at("matrix");
  if (!matrix) return;
  const rows = [...matrix.querySelectorAll("tr.test")].map((row) => ({
    row,
    group: row.parentElement,
    name: `${row.parentElement.querySelector(".file").textContent}::${row.cells[0].textContent}`.toLowerCase(),
    bad: [...row.cells].map((cell) => cell.classList.contains("bad")),
    ran: [...row.cells].map((cell) => Boolean(cell.querySelector("button"))),
    visible: true,
  }));
  const form = document.querySelector(".filters");
  const find = at("find"), platform = at("platform"), trouble = at("trouble");
  let column = 0;

  const showColumn = (only) => {
    if (only === column) return;
    column = only;
    for (const row of matrix.rows) {
      if (row.classList.contains("file")) continue;
      for (let place = 1; place < row.cells.length; place++) row.cells[place].hidden = only > 0 && place !== only;
    }
  };

  const filter = () => {
    const text = find.value.trim().toLowerCase();
    const only = Number(platform.value);
    const bad = trouble.getAttribute("aria-pressed") === "true";
    const groups = new Map();
    let count = 0;
    showColumn(only);
    for (const each of rows) {
      const visible =
        each.name.includes(text) && (!only || each.ran[only]) && (!bad || (only ? each.bad[only] : each.bad.includes(true)));
      if (visible !== each.visible) each.row.hidden = !(each.visible = visible);
      if (visible) count++;
      groups.set(each.group, groups.get(each.group) || visible);
    }
    for (const [group, visible] of groups) group.hidden = !visible;
    at("nothing").hidden = count > 0;
    at("shown").textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} tests`;
  };

  // -- keys: arrows lead from verdict to verdict, where Tab takes them one after the other --------

  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  matrix.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const from = event.target.closest("td");
    if (!step || !from || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // of the page's scrolling
    const shown = rows.filter((each) => each.visible).map((each) => each.row);
    let at = shown.indexOf(from.parentElement), place = from.cellIndex, cell;
    do {
      at += step[0];
      place += step[1];
      cell = shown[at]?.cells[place];
    } while (cell && (cell.hidden || !cell.querySelector("button")));
    cell?.querySelector("button").focus();
  });

  form.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", filter);
  platform.addEventListener("change", filter);
  trouble.addEventListener("click", () => {
    trouble.setAttribute("aria-pressed", String(trouble.getAttribute("aria-pressed") !== "true"));
    filter();
  });
  form.hidden = false;
  form.reset();
  filter();
})();
