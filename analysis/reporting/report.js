"use strict";
// Draws the charts when they come into view, switches methods, sorts tables, sets two runs side by
// side. All it shows lies in the page.

const content = (id) => JSON.parse(document.getElementById(id).textContent);
const charts = content("charts");
const each = (selector, action, root = document) => root.querySelectorAll(selector).forEach(action);
const dark = matchMedia("(prefers-color-scheme: dark)");
const percent = (share) => (share === "" ? "–" : (100 * share).toFixed(1));
const FEW_LINES = 10; // up to which bands are shown for all of them

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const [ink, soft, line] = ["ink", "soft", "line"].map(of);
  const category = Array.from({ length: 10 }, (_, number) => of(`c${number}`));
  const params = { ink, soft, accent: of("accent"), cold: of("cold"), on_hot: of("on-hot") };
  return {
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: { labelColor: ink, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
            titleFontWeight: "normal" },
    range: { category, heatmap: [of("cold"), of("hot")] },
    params: Object.entries(params).map(([name, value]) => ({ name, value })),
  };
}

// Figures that were drawn -> their views. A figure lies beside its chart until it is shown.
const views = new Map();
const off = new Set();

function bands(figure) {
  const shown = figure.rows.filter((row) => !off.has(row.m)).length;
  return shown > FEW_LINES ? 0 : 0.13;
}

async function draw(element) {
  const figure = (element.figure ??= JSON.parse(element.querySelector("script").textContent));
  const spec = structuredClone(charts[figure.chart]);
  const values = { off: [...off], bands: bands(figure), ...figure.params };
  for (const param of spec.params) if (param.name in values) param.value = values[param.name];
  spec.datasets = { ...spec.datasets, rows: figure.rows };
  if (figure.step) spec.height = { step: figure.step };
  views.get(element)?.finalize();
  const drawn = await vegaEmbed(element, spec, {
    actions: false, renderer: "svg", config: colours(),
    tooltip: { theme: dark.matches ? "dark" : "light" },
  });
  views.set(element, drawn);
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    seen.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "400px" });

each(".chart", (element) => seen.observe(element));
dark.addEventListener("change", () => [...views.keys()].forEach(draw));

// Methods: a box each, which holds for the whole page.

const switching = new Set(["curves", "classes"]); // charts with a line or a row for each method
const boxes = [...document.querySelectorAll(".switches input[type=checkbox]")];

function switched() {
  off.clear();
  for (const box of boxes) if (!box.checked) off.add(Number(box.value));
  document.getElementById("shown").textContent = `${boxes.length - off.size} of ${boxes.length} shown`;
  each("tr[data-method]", (row) => row.classList.toggle("off", off.has(Number(row.dataset.method))));
  for (const [element, { view }] of views) {
    const { chart, params } = element.figure;
    if (params.off || !switching.has(chart)) continue;
    if (chart === "curves") view.signal("bands", bands(element.figure));
    view.signal("off", [...off]).runAsync();
  }
}

function named(text, elements, hide) {
  const wanted = text.toLowerCase();
  for (const one of elements) hide(one, !one.textContent.toLowerCase().includes(wanted));
}

const switches = document.querySelector(".switches");
switches.open = innerWidth > 900;
switches.addEventListener("change", switched);
switches.addEventListener("dblclick", (event) => {
  const only = event.target.closest("label")?.querySelector("input");
  if (!only) return;
  for (const box of boxes) box.checked = box === only;
  switched();
});
each("button", (button) => button.addEventListener("click", () => {
  const chosen = boxes.filter((box) => !box.closest("label").classList.contains("hidden"));
  for (const box of chosen) box.checked = button.value === "all";
  switched();
}), switches);
switches.querySelector("input[type=search]").addEventListener("input", (event) =>
  named(event.target.value, boxes.map((box) => box.closest("label")),
        (label, hidden) => label.classList.toggle("hidden", hidden)));

// Confusion: of the method that is chosen.

each("select", (select) => select.addEventListener("change", () => {
  const element = select.closest("figure").querySelector(".chart");
  const all = (select.all ??= JSON.parse(select.nextElementSibling.textContent));
  element.figure = { ...element.figure, rows: all[select.value] };
  draw(element);
}));

// Tables: a click on a head sorts the rows of each block by the keys of their cells.

function sort(head) {
  const table = head.closest("table");
  const column = [...head.parentNode.children].indexOf(head);
  const keys = (row) => row.children[column]?.dataset.key ?? "";
  const rows = [...table.querySelectorAll("tbody tr")];
  const numeric = rows.every((row) => keys(row) === "" || !Number.isNaN(Number(keys(row))));
  const down = head.ariaSort ? head.ariaSort === "ascending" : numeric;
  each("th", (other) => other.removeAttribute("aria-sort"), table);
  head.ariaSort = down ? "descending" : "ascending";
  const compare = (one, other) => {
    const [a, b] = [keys(one), keys(other)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return (down ? -1 : 1) * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  };
  each("tbody", (body) => body.append(...[...body.children].sort(compare)), table);
}

each("table.sortable thead tr:last-child th", (head) => {
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => event.key === "Enter" && sort(head));
});

// Two runs side by side: those of the two boxes that were ticked last.

function element(name, text, ...inside) {
  const made = document.createElement(name);
  made.append(text, ...inside);
  return made;
}

function beside(card, first, second) {
  const { facts, curves } = (card.runs ??= JSON.parse(card.lastElementChild.textContent));
  const place = card.querySelector(".beside");
  const heads = [...card.querySelectorAll(".list th")].map((head) => head.textContent);
  const numbers = [first, second].map((box) => Number(box.value));
  const told = [first, second].map((box) => Object.fromEntries(
    [...box.closest("tr").children].map((cell, column) => [heads[column], cell.dataset.key])));
  const names = told.map(({ method, noise, seed }) => `${method} ${noise} s${seed}`);
  const line = (...texts) => element("tr", "", ...texts.map((text) => element("td", text)));
  const lines = Object.entries(facts)
    .map(([name, [texts, of]]) => [name, ...numbers.map((number) => texts[of[number]])])
    .filter(([, one, other]) => one !== other)
    .map((texts) => line(...texts, ""));
  for (const rule of heads.slice(heads.indexOf("status") + 1, -1)) {
    const [one, other] = told.map((own) => own[rule]);
    const less = one && other ? (100 * (one - other)).toFixed(1) : "";
    lines.push(line(`test accuracy, ${rule}`, percent(one), percent(other), less));
  }
  const titles = ["", ...names, "first less second"].map((name) => element("th", name));
  const table = element("table", "", element("thead", "", element("tr", "", ...titles)),
                        element("tbody", "", ...lines));
  const grid = element("div", "");
  grid.className = "grid";
  const [epochs, of] = curves.epoch;
  const drawn = [];
  for (const [column, title] of content("panels")) {
    const rows = numbers.map((number, m) => ({
      m, method: names[m], epoch: epochs[of[number]], std: epochs[of[number]].map(() => null),
      mean: curves[column][number].map((value) => (value === null ? null : value / 1000)),
    }));
    if (!rows.some((row) => row.mean.some((value) => value !== null))) continue;
    const chart = element("div", "");
    chart.className = "chart";
    chart.figure = { chart: "curves", rows, params: { off: [] } };
    grid.append(element("figure", "", element("h4", title), chart));
    drawn.push(chart);
  }
  const command = `uv run python analysis/runs.py diff ${told[0].key} ${told[1].key}`;
  const scroll = element("div", "", table);
  scroll.className = "scroll";
  for (const chart of place.querySelectorAll(".chart")) {
    views.get(chart)?.finalize();
    views.delete(chart);
  }
  place.replaceChildren(element("h3", `${names[0]} and ${names[1]}`), scroll, grid,
                        element("p", "All of it: ", element("code", command)));
  drawn.forEach(draw);
  place.scrollIntoView({ block: "nearest" });
}

each(".runs", (card) => {
  let ticked = [];
  card.addEventListener("change", (event) => {
    const box = event.target;
    if (box.type !== "checkbox") return;
    ticked = ticked.filter((one) => one !== box);
    if (box.checked) ticked.push(box);
    if (ticked.length > 2) ticked.shift().checked = false;
    if (ticked.length === 2) beside(card, ...ticked);
  });
  card.querySelector("input[type=search]").addEventListener("input", (event) =>
    named(event.target.value, card.querySelectorAll(".list tbody tr"),
          (row, hidden) => row.classList.toggle("hidden", hidden)));
});
