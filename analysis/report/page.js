// All the script of our own: it unpacks the libraries, and what is chosen in a list plotly draws.
const unpack = async id => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

// A browser without this shows the page's own words in place of charts, and tables as they are.
if ("DecompressionStream" in self) {
  const { charts, rows } = JSON.parse(await unpack("data"));
  const drawing = unpack("plotly").then(draw), tabling = unpack("datatables").then(tabulate);
  await Promise.all([drawing, tabling]);

  async function draw(library) {
    document.head.append(Object.assign(document.createElement("script"), { textContent: library }));
    const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
    for (const [name, { data, layout }] of Object.entries(charts)) {
      const place = document.getElementById(name);
      place.replaceChildren();
      await Plotly.newPlot(place, data, layout, config);
      performance.mark(`drawn ${name}`);
    }
  }

  // On paper a chart is as wide as a page of A4 or Letter holds, whatever the window's width is.
  const fit = size => document.querySelectorAll(".chart").forEach(place => Plotly.relayout(place, size));
  addEventListener("beforeprint", () => fit({ autosize: false, width: 660 }));
  addEventListener("afterprint", () => fit({ autosize: true, width: null }));

  addEventListener("change", ({ target }) => {
    const chart = charts[target.dataset.chart];
    if (!chart) return;
    const [data, layout] = chart.controls[target.name][target.value];
    const chosen = ([key, value]) => [key, typeof value === "string" ? chart.columns[value] : value];
    Plotly.update(target.dataset.chart, Object.fromEntries(Object.entries(data).map(chosen)), layout);
  });

  async function tabulate(library) {
    const source = `data:text/javascript;charset=utf-8,${encodeURIComponent(library)}`;
    const { default: DataTable, set_or_remove_dark_class } = await import(source);
    set_or_remove_dark_class();
    for (const table of document.querySelectorAll("table.display")) {
      const others = rows[table.id], long = table.tBodies[0].rows.length + others.length > 200;
      const grid = new DataTable(table, {
        paging: long, pageLength: 100, deferRender: true, order: [], autoWidth: false,
        layout: {
          topStart: null, topEnd: "search", bottomStart: "info", bottomEnd: long ? "paging" : null,
        },
        columnControl: [{ target: "thead:1", content: [{ extend: "search", titleAttr: "Search [title]" }] }],
        columnDefs: [{
          targets: "number", className: "number", type: "num",
          // What is not known comes last.
          render: (text, use) => use === "sort" && isNaN(text) ? 1e300 : text,
        }],
      });
      grid.rows.add(others).draw();
    }
    // The library leaves these without a name for those who cannot see them, and its pattern for
    // numbers brings up keys without a decimal point.
    for (const choice of document.querySelectorAll(".dtcc-search select")) choice.ariaLabel = "How to compare";
    for (const input of document.querySelectorAll(".dtcc-search input")) {
      input.ariaLabel = input.title;
      if (input.pattern) Object.assign(input, { inputMode: "decimal", pattern: "" });
    }
  }
}
