"use strict";
// On top of a page that reads without it: charts with tooltips, and a search among the users shown.
const specs = JSON.parse(document.getElementById("specs").textContent);
for (const [id, spec] of Object.entries(specs)) {
  const chart = document.querySelector(`#${id} .chart`);
  const still = chart.innerHTML;
  window.vegaEmbed(chart, spec, { renderer: "svg", actions: false }).catch(() => { chart.innerHTML = still; });
}
for (const users of document.querySelectorAll(".users")) {
  const search = users.querySelector(".search");
  const status = search.querySelector("[role=status]");
  const all = [...users.querySelectorAll("details")];
  search.hidden = false;
  search.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim();
    const exact = all.filter((each) => each.dataset.user === wanted);
    const found = exact.length ? exact : all.filter((each) => each.dataset.user.includes(wanted));
    for (const each of all) {
      each.hidden = !found.includes(each);
      each.open = found.length === 1 && found[0] === each;
    }
    status.textContent = found.length || !wanted
      ? `${found.length} of ${all.length} users`
      : "Not among the users shown here; make the report with --user and this id to add it.";
  });
}
