// A box above each long table that narrows it to the rows that contain what is typed.
for (const table of document.querySelectorAll("table[data-filter]")) {
  const rows = [...table.tBodies[0].rows];
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  label.append("Find in this table", input);
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    const sought = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(sought);
  });
}
