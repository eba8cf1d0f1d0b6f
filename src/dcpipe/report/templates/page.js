"use strict";
(() => {
  const root = document.documentElement, themes = ["auto", "light", "dark"], button = document.getElementById("theme");
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("dcpipe-theme");
      localStorage.setItem("dcpipe-theme", value);
    } catch { /* a page opened from a file may not be allowed to remember */ }
    return value;
  };
  const wear = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  wear(theme);
  button.hidden = false;
  button.onclick = () => { theme = themes[(themes.indexOf(theme) + 1) % themes.length]; wear(theme); remembered(theme); };

  const valueOf = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent.trim();
  };
  const missing = (value) => ["-", "not measured", "not here"].includes(value);
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  document.querySelectorAll("table.long").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, index) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.textContent = head.textContent;
      head.replaceChildren(sorter);
      sorter.onclick = () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [valueOf(row, index), row]);
        // missing values come last in both directions
        rows.sort(([a], [b]) => missing(a) - missing(b) || direction * compare(a, b));
        body.append(...rows.map(([, row]) => row));
      };
    });
  });

  const filter = document.querySelector(".filter"), rows = [...document.querySelectorAll("#cells tbody tr")];
  filter.hidden = false;
  filter.querySelector("input").oninput = (event) => {
    const terms = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !terms.every((term) => row.textContent.toLowerCase().includes(term)); });
    const left = rows.filter((row) => !row.hidden).length;
    filter.querySelector("output").textContent = terms.length ? `${left} of ${rows.length} rows` : "";
  };

  const zoom = document.getElementById("zoom");
  document.querySelectorAll(".strips button").forEach((strip) => {
    strip.onclick = () => {
      const count = Number(strip.dataset.n), source = strip.querySelector("img").src;
      zoom.querySelector("p").textContent = strip.dataset.title;
      zoom.querySelector("div").replaceChildren(...Array.from({ length: count }, (_, index) => {
        const tile = document.createElement("i");
        tile.style.backgroundImage = `url("${source}")`;
        tile.style.backgroundSize = `${100 * count}% 100%`;
        tile.style.backgroundPosition = `${count > 1 ? (100 * index) / (count - 1) : 0}% 0`;
        return tile;
      }));
      zoom.showModal();
    };
  });
  zoom.onclick = (event) => { if (event.target === zoom) zoom.close(); };
})();
