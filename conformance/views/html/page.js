"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { words, states, rows } = read("data");
  const [CHECK, DTYPE, FAMILY, STEM, STATE, CAUSE, HEADROOM, , VERDICTS] = Array(9).keys();
  const PAGE = 200;
  const $ = (id) => document.getElementById(id);
  const word = (place) => (place < 0 ? "" : words[place]);
  const nameOf = (row) => `${word(row[CHECK])}[${word(row[DTYPE])}]`;
  let details = null;

  // A browser would end a line behind the hyphen of 1e-07.
  const whole = (text) => String(text).split(/(\d[\d.]*e-\d+)/).map((part, i) => {
    if (i % 2 === 0) return part;
    const number = document.createElement("span");
    number.className = "word";
    number.textContent = part;
    return number;
  });

  // Text only: whatever an implementation wrote never becomes markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    const present = children.filter((child) => child !== null && child !== undefined);
    element.append(...present.flatMap((child) => (typeof child === "string" && tag !== "option" ? whole(child) : [child])));
    return element;
  };

  const reasonOf = (row) => {
    const worst = row[VERDICTS].find((v) => v[4] >= 0);
    return row[CAUSE] >= 0 ? word(row[CAUSE]) : worst ? word(worst[4]) : "";
  };
  const sought = rows.map((row) =>
    [nameOf(row), reasonOf(row), ...row[VERDICTS].flatMap((v) => [word(v[0]), word(v[4])])].join("\n").toLowerCase());

  const fields = { state: STATE, stem: STEM, family: FAMILY, dtype: DTYPE, cause: CAUSE };
  for (const [name, column] of Object.entries(fields)) {
    const texts = name === "state" ? states : [...new Set(rows.map((row) => word(row[column])))].filter(Boolean).sort();
    $(`f-${name}`).append(...texts.map((text) => make("option", { value: text }, text)));
  }

  const valueOf = (row, name) => (name === "state" ? states[row[STATE]] : word(row[fields[name]]));
  let found = [];
  let drawn = 0;

  const draw = () => {
    const body = $("checks").tBodies[0];
    for (const row of found.slice(drawn, drawn + PAGE)) {
      const state = states[row[STATE]];
      const link = make("a", { href: `#case=${encodeURIComponent(nameOf(row))}` }, word(row[CHECK]));
      body.append(make("tr", {},
        make("td", { class: `state ${state}` }, state), make("td", {}, link), make("td", {}, word(row[DTYPE])),
        make("td", {}, reasonOf(row).slice(0, 240)),
        make("td", { class: "num" }, word(row[HEADROOM]))));
    }
    drawn = Math.min(found.length, drawn + PAGE);
    $("more").hidden = drawn === found.length;
    $("found").textContent = `${found.length} of ${rows.length} checks` + (drawn < found.length ? `, the first ${drawn} shown` : "");
  };

  const filter = () => {
    const text = $("f-q").value.toLowerCase();
    const chosen = Object.keys(fields).map((name) => [name, $(`f-${name}`).value]).filter(([, value]) => value);
    found = rows.filter((row, i) =>
      (!text || sought[i].includes(text)) && chosen.every(([name, value]) => valueOf(row, name) === value));
    drawn = 0;
    $("checks").tBodies[0].replaceChildren();
    draw();
  };

  const remember = () => {
    const kept = new URLSearchParams();
    for (const name of ["q", ...Object.keys(fields)]) if ($(`f-${name}`).value) kept.set(name, $(`f-${name}`).value);
    history.replaceState(null, "", `#${kept}`);
    filter();
  };

  // -- a case's page -------------------------------------------------------------------------------------------------

  const shapeOf = (shape) => (shape.length ? `(${shape.join(", ")})` : "a single number");
  const short = (x) => (typeof x === "number" ? String(Number(x.toPrecision(9))) : x);

  const placeOf = (array, i) => {
    const index = [];
    for (let axis = array.shape.length - 1, rest = i; axis >= 0; axis--) {
      index.unshift(rest % array.shape[axis]);
      rest = Math.floor(rest / array.shape[axis]);
    }
    return index.length ? `[${index.join(", ")}]` : "";
  };

  const heatMap = (array) => {
    const told = new Map(array.told.map(([i, ...numbers]) => [i, numbers]));
    const columns = array.shape.length ? array.shape[array.shape.length - 1] : 1;
    const output = make("p", { class: "told", role: "status", "aria-live": "polite" });
    const table = make("table", { class: "heat", role: "grid", "aria-label": `${array.title}: error of each element` });
    const place = (i) => placeOf(array, i) || "the number:";
    const tell = (i) => {
      const numbers = told.get(i);
      output.replaceChildren(...whole(numbers
        ? `${place(i)} got ${short(numbers[0])}, want ${short(numbers[1])} within ${short(numbers[2])}`
        : `${place(i)} ${array.shades[i] === "0" ? "right" : "wrong"}`));
    };
    const cells = [];
    for (let start = 0; start < array.shades.length; start += columns) {
      const line = make("tr", { role: "row" });
      for (let i = start; i < Math.min(start + columns, array.shades.length); i++) {
        const shade = array.shades[i];
        const cell = make("td", { class: `h${shade}`, role: "gridcell", tabindex: i ? "-1" : "0", "aria-label": `${place(i)} ${shade === "0" ? "right" : "wrong"}` },
          shade === "0" ? "" : shade === "x" ? "!" : "×");
        cell.addEventListener("focus", () => tell(i));
        cell.addEventListener("mouseenter", () => tell(i));
        cells.push(cell);
        line.append(cell);
      }
      table.append(line);
    }
    table.addEventListener("keydown", (event) => {
      const at = cells.indexOf(document.activeElement);
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: cells.length - 1 - at }[event.key];
      if (step === undefined || !cells[at + step]) return;
      event.preventDefault();
      cells[at].tabIndex = -1;
      cells[at + step].tabIndex = 0;
      cells[at + step].focus();
    });
    const first = array.shades.search(/[^0]/);
    if (first >= 0) tell(first);
    return make("div", {}, make("div", { class: "scroll" }, table), output,
      array.size > array.shades.length ? make("p", { class: "note" }, `the first ${array.shades.length} of ${array.size} elements`) : null);
  };

  const arrayPart = (array) => make("section", {},
    make("h3", {}, `${array.title}, ${shapeOf(array.shape)}: ${array.wrong ? `${array.wrong} of ${array.size} wrong` : "right"}`),
    make("p", { class: "note" }, `answered for by ${array.layer}; × is out of bounds, the stronger its colour the farther; ! is no number`),
    heatMap(array));

  // What is wrong in a few words: the first element out of bounds, or the reason where it is no element.
  const brief = (row, detail) => {
    const array = detail && detail.arrays.find((each) => each.wrong);
    const first = array ? array.shades.search(/[^0]/) : -1;
    const numbers = first < 0 ? undefined : array.told.find(([i]) => i === first);
    const pairs = [["loss", word(row[STEM]).replaceAll("_", " ")], ["type", word(row[DTYPE])]];
    if (numbers) {
      const [, got, want, bound] = numbers;
      const over = Math.abs(got - want) / bound;
      pairs.push(["element", `${array.title}${placeOf(array, first)}, of ${array.layer}`], ["got", short(got)], ["want", short(want)],
        ["bound", `${Number(bound).toPrecision(3)}${Number.isFinite(over) ? `, ${over.toPrecision(3)} times over` : ""}`]);
    } else {
      pairs.push(["what", reasonOf(row)]);
    }
    return make("dl", { class: "brief" }, ...pairs.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  };

  const verdictTable = (row) => make("table", {},
    make("thead", {}, make("tr", {}, ...["requirement", "status", "level", "headroom", "side", "reason"].map((t) => make("th", { scope: "col" }, t)))),
    make("tbody", {}, ...row[VERDICTS].map((v) => make("tr", {},
      make("th", { scope: "row", class: "word" }, word(v[0])), make("td", { class: "word" }, word(v[1]).replace("_", " ")), make("td", { class: "word" }, word(v[2])),
      make("td", { class: "num" }, word(v[3])), make("td", {}, word(v[5])), make("td", {}, word(v[4]))))));

  const inputText = ([name, shape, numbers]) =>
    `${name} ${shapeOf(shape)}: ${numbers.map(short).join(", ")}${numbers.length < shape.reduce((a, b) => a * b, 1) ? ", …" : ""}`;

  const detailParts = (detail) => [
    detail.answer ? make("p", { class: "bad" }, detail.answer) : null,
    ...detail.arrays.filter((array) => array.wrong).map(arrayPart),
    detail.formula ? make("h3", {}, "Formula") : null,
    detail.formula ? make("pre", {}, detail.formula) : null,
    make("h3", {}, "Net"), make("pre", {}, detail.net), make("p", { class: "note" }, `passes: ${detail.steps}`),
    make("h3", {}, "Inputs"), make("pre", {}, detail.inputs.map(inputText).join("\n")),
    ...detail.arrays.filter((array) => !array.wrong).map(arrayPart),
  ];

  // For a shell: a name may hold quotes of its own.
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  const showCase = (name) => {
    details = details || read("details");
    const row = rows.find((each) => nameOf(each) === name);
    const back = make("p", {}, make("a", { href: "#" }, "← all checks"));
    const title = make("h2", { id: "case-title", tabindex: "-1" }, row ? name : `no check named ${name}`);
    const parts = [back, title];
    if (row) {
      const detail = Object.hasOwn(details, name) ? details[name] : null;
      if (row[CAUSE] >= 0) {
        parts.push(make("div", { class: "cause" }, make("p", {}, make("strong", {}, "Likely cause: "), word(row[CAUSE])),
          detail && detail.beside ? make("p", { class: "note" }, detail.beside) : null,
          detail && detail.also.length ? make("p", { class: "note" }, `it would also fit: ${detail.also.join("; ")}`) : null));
      }
      if (row[STATE] < states.indexOf("passed")) parts.push(brief(row, detail));
      parts.push(make("div", { class: "scroll" }, verdictTable(row)));
      if (detail) parts.push(...detailParts(detail));
      else if (row[STATE] < states.indexOf("undecided")) {
        parts.push(make("p", { class: "note" }, "The arrays of this case are not in this page: ", make("code", {}, `lossconf explain report.jsonl ${quoted(name)}`), " shows them where the report kept them."));
      }
      parts.push(make("p", { class: "note" }, "To show it to somebody else: ", make("code", {}, `lossconf repro report.jsonl ${quoted(name)} -o repro.py`)));
    }
    $("case").replaceChildren(...parts.filter(Boolean));
    $("overview").hidden = true;
    $("case").hidden = false;
    title.focus();
    scrollTo(0, 0);
  };

  const route = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (asked.has("case")) return showCase(asked.get("case"));
    const from = $("case").hidden ? null : $("case-title").textContent;
    $("overview").hidden = false;
    $("case").hidden = true;
    for (const name of ["q", ...Object.keys(fields)]) $(`f-${name}`).value = asked.get(name) || "";
    filter();
    if ([...asked].length) $("h-checks").scrollIntoView();
    else if (from) $("main").focus();
  };

  $("filter").addEventListener("input", remember);
  $("filter").addEventListener("reset", () => setTimeout(remember));
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", draw);
  addEventListener("hashchange", route);
  route();
})();
