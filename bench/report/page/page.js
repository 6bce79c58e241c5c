"use strict";
// The page is whole without this script. It adds sorting, search, pickers, and numbers that tell what is behind them.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = document.querySelector(".tools");
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const pickers = all("select", form);
  const tables = all("main table");
  const picked = all("[data-task], [data-metric], [data-family], [data-method]", document.querySelector("main"));
  const methods = new Set(picked.map((element) => element.dataset.method).filter(Boolean));
  const names = new Map(all("[data-picks=task] option", form).map((option) => [option.value, option.textContent]));

  // ---- search and pickers

  const chosen = (element, words) => {
    const { method } = element.dataset;
    if (words && method !== undefined && !method.toLowerCase().includes(words)) return false;
    return pickers.every((picker) => {
      const own = element.dataset[picker.dataset.picks];
      return !picker.value || own === undefined || own === picker.value;
    });
  };

  const apply = () => {
    const words = search.value.trim().toLowerCase();
    const left = new Set();
    for (const element of picked) {
      element.hidden = !chosen(element, words);
      if (!element.hidden && element.dataset.method) left.add(element.dataset.method);
    }
    tables.forEach(settle);
    groups.forEach(draw);
    count.value = `${left.size} of ${methods.size} methods`;
    hide();
  };

  /** Families without a row left, and those of a sorted table, lose their heading; one number a table can be tabbed to. */
  const settle = (table) => {
    const sorted = table.querySelector('[aria-sort="ascending"], [aria-sort="descending"]') !== null;
    let heading = null;
    for (const row of table.tBodies[0].rows) {
      if (row.className === "family") {
        heading = row;
        heading.hidden = true;
      } else if (heading !== null && !row.hidden && !sorted) {
        heading.hidden = false;
      }
    }
    const numbers = all(".v", table);
    const first = numbers.find(visible);
    for (const number of numbers) number.tabIndex = number === first ? 0 : -1;
  };

  const visible = (number) => !number.closest("td").hidden && !number.closest("tr").hidden;

  // ---- figures of several outcomes: one at a time on the screen; on paper all, or those of the outcome picked

  const shelf = (box) => {
    const [bar, note] = ["div", "p"].map((name) => document.createElement(name));
    const tasks = [...new Set(all("figure[data-task]", box).map((figure) => figure.dataset.task))];
    const group = { box, bar, note, tasks, task: tasks[0] };
    for (const task of tasks) {
      const chip = document.createElement("button");
      Object.assign(chip, { type: "button", value: task, textContent: names.get(task) ?? task });
      chip.addEventListener("click", () => draw(Object.assign(group, { task })));
      bar.append(chip);
    }
    note.className = "about";
    note.textContent = "Not drawn for this outcome.";
    bar.className = "chips";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Outcome of the figures");
    box.before(bar, note);
    return group;
  };

  const draw = ({ box, bar, note, tasks, task }) => {
    const asked = form.querySelector("[data-picks=task]").value;
    note.hidden = all("figure:not([hidden])", box).length > 0;
    bar.hidden = asked !== "" || tasks.length < 2;
    for (const chip of bar.children) chip.setAttribute("aria-pressed", chip.value === task);
    for (const figure of all("figure[data-task]", box)) {
      figure.classList.toggle("aside", figure.dataset.task !== (asked || task));
    }
  };

  const groups = all(".figures").map(shelf);

  // ---- sorting: down, up, as it was (words: up, down, as it was)

  const value = (row, column) =>
    column === 0 ? row.cells[0].textContent.toLowerCase() : (row.cells[column]?.dataset.key ?? "");

  const numeric = (keys) => keys.every((key) => key === "" || Number.isFinite(Number(key)));

  const compare = (numbers, sign) => (a, b) => {
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === ""); // nothing comes last, either way
    return sign * (numbers ? a.key - b.key : a.key.localeCompare(b.key));
  };

  const sort = (table, original, head) => {
    const column = head.cellIndex;
    const rows = original.filter((row) => row.className !== "family");
    const keyed = rows.map((row) => ({ row, key: value(row, column) }));
    const numbers = column > 0 && numeric(keyed.map(({ key }) => key));
    const cycle = numbers ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
    const next = cycle[(cycle.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", next);
    const body = table.tBodies[0];
    if (next === "none") {
      body.append(...original);
    } else {
      keyed.sort(compare(numbers, next === "ascending" ? 1 : -1));
      body.append(...keyed.map(({ row }) => row), ...original.filter((row) => row.className === "family"));
    }
    settle(table);
    hide();
  };

  for (const table of tables) {
    const original = [...table.tBodies[0].rows];
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, original, head));
      head.append(button);
      head.setAttribute("aria-sort", "none");
    }
  }

  // ---- what is behind a number: on hover, focus and touch, gone with Escape

  let open = null; // the number whose tip is shown

  const tipOf = (number) => document.getElementById(number.getAttribute("aria-describedby"));

  const place = () => {
    const tip = tipOf(open);
    const at = open.getBoundingClientRect();
    const left = Math.min(at.left, innerWidth - tip.offsetWidth - 8);
    const below = at.bottom + 6;
    const top = below + tip.offsetHeight > innerHeight - 8 ? at.top - tip.offsetHeight - 6 : below;
    Object.assign(tip.style, { left: `${Math.max(8, left)}px`, top: `${Math.max(8, top)}px`, bottom: "auto" });
  };

  const show = (number) => {
    hide();
    open = number;
    tipOf(open).classList.add("on");
    place();
  };

  const hide = () => {
    if (open !== null) tipOf(open).classList.remove("on");
    open = null;
  };

  const numberAt = (event) => (event.target instanceof Element ? event.target.closest(".v") : null);

  for (const kind of ["pointerover", "focusin", "click"]) {
    document.addEventListener(kind, (event) => {
      const number = numberAt(event);
      if (number !== null) show(number);
      else if (kind === "click") hide();
    });
  }
  document.addEventListener("pointerout", (event) => {
    const onTip = event.relatedTarget instanceof Element && event.relatedTarget.closest(".tip");
    if (!onTip && open !== null && open !== document.activeElement) hide();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", () => open !== null && place(), true);

  // ---- arrow keys go from number to number

  const beside = (number, key) => {
    const cell = number.closest("td");
    const forward = key === "ArrowRight" || key === "ArrowDown";
    const step = (element) => (forward ? element.nextElementSibling : element.previousElementSibling);
    const along = key === "ArrowLeft" || key === "ArrowRight";
    let at = along ? cell : cell.parentElement;
    while ((at = step(at)) !== null) {
      const found = (along ? at : at.cells[cell.cellIndex])?.querySelector(".v");
      if (found && visible(found)) return found;
    }
    return null;
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const number = numberAt(event);
    if (number === null || !/^Arrow(Left|Right|Up|Down)$/.test(event.key)) return undefined;
    event.preventDefault();
    const next = beside(number, event.key);
    if (next !== null) {
      number.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
    return undefined;
  });

  // ---- a table that fits needs no box to scroll in: its heading stays in sight below the pickers

  const fit = new ResizeObserver(() => {
    const sticky = getComputedStyle(form).position === "sticky";
    document.documentElement.style.setProperty("--top", `${sticky ? form.offsetHeight : 0}px`);
    for (const box of all("section > .box")) {
      const [scroll] = box.children;
      const fits = scroll.firstElementChild.offsetWidth <= box.clientWidth;
      scroll.classList.toggle("fits", fits);
      scroll.tabIndex = fits ? -1 : 0;
    }
  });
  all("section > .box").forEach((box) => fit.observe(box));
  all("section > .box table").forEach((table) => fit.observe(table));

  // ---- on paper what is folded is open, also in browsers whose style sheets cannot open it

  let closed = [];
  addEventListener("beforeprint", () => (closed = all(".fold:not([open])")).forEach((fold) => (fold.open = true)));
  addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));

  // ---- contents: where the reader is

  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) links.get(target.id).setAttribute("aria-current", "true");
        else links.get(target.id).removeAttribute("aria-current");
      }
    },
    { rootMargin: "-15% 0px -80% 0px" },
  );
  all("main > section").forEach((section) => watch.observe(section));
  if (matchMedia("(max-width: 47.99rem)").matches) document.querySelector("nav details").open = false;

  search.addEventListener("input", apply);
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  document.documentElement.classList.add("js");
  form.hidden = false;
  apply();
})();
