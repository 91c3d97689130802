// Says in the header whether the water is rising. The moon is taken to be punctual.
const place = document.querySelector("[data-tide-clock]");
if (place) {
  const HALF_DAY = 12.4206 * 3600;
  const moment = (Date.now() / 1000) % HALF_DAY;
  const rises = moment < HALF_DAY / 2;
  const minutes = Math.round(((rises ? HALF_DAY / 2 : HALF_DAY) - moment) / 60);
  const state = document.createElement("b");
  state.textContent = rises ? "The tide is rising" : "The tide is falling";
  const wait = `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  place.replaceChildren(state, `: ${rises ? "high" : "low"} water in ${wait}`);
}
