// What moves in a report: the cursor in all plots, the part of the run that is seen, the pictures over time. Follows plot.js.
const find = (id) => document.getElementById(id);

const plots = data.plots.map((spec, i) => new Plot(document.querySelector(`[data-plot="${i}"]`), spec));
const drawAll = () => plots.forEach((plot) => plot.draw());

function setCursor(kimg) {
  view.cursor = kimg;
  plots.forEach((plot) => plot.point());
}

function setRange(from, to) {
  const all = data.last - data.first || 1, least = all / 1000;
  view.from = clamp(from, data.first, data.first + all - least);
  view.to = clamp(Math.max(to, view.from + least), view.from + least, data.first + all);
  find("from").value = (view.from - data.first) / all * 1000;
  find("to").value = (view.to - data.first) / all * 1000;
  find("span").textContent = `${words(view.from, 5)} to ${words(view.to, 5)} kimg`;
  drawAll();
}

// Pictures over time: one slider, each run shows its newest sheet of that moment.
const moments = [...new Set(data.runs.flatMap((run) => run.frames.map((frame) => frame.kimg)))].sort((a, b) => a - b);
const hasStart = data.runs.some((run) => run.frames.filter((frame) => frame.kimg === 0).length > 1); // one from before training
const stops = hasStart ? [-1, ...moments] : moments;
const images = data.runs.map((run, i) => document.querySelector(`.fakes[data-run="${i}"]`));
data.runs.forEach((run, i) => {
  if (run.frames.length) run.frames[run.frames.length - 1].source = images[i].querySelector("img").src;
});

function showStop(place) {
  const kimg = stops[place];
  data.runs.forEach((run, i) => {
    if (!run.frames.length) return;
    const before = run.frames.filter((frame) => frame.kimg <= kimg);
    const frame = before.length ? before[before.length - 1] : run.frames[0];
    images[i].querySelector("img").src = frame.source;
    images[i].querySelector(".at").textContent = frame.label;
  });
  find("time").value = place;
  find("when").textContent = kimg < 0 ? "before training" : `kimg ${words(kimg, 6)}`;
  find("time").setAttribute("aria-valuetext", find("when").textContent);
  view.moment = place === stops.length - 1 ? null : Math.max(kimg, 0);
  plots.forEach((plot) => plot.point());
}

function showMoment(kimg) {
  if (stops.length > 1) showStop(nearest(stops, kimg));
}

let timer = null;
function play() {
  const button = find("play");
  if (timer !== null) { clearInterval(timer); timer = null; button.textContent = "▶"; return; }
  let place = Number(find("time").value) === stops.length - 1 ? 0 : Number(find("time").value);
  showStop(place);
  button.textContent = "❚❚";
  timer = setInterval(() => {
    if (++place >= stops.length) { play(); return; }
    showStop(place);
  }, 250);
}

if (plots.length) {
  const part = (id) => data.first + Number(find(id).value) / 1000 * (data.last - data.first);
  find("from").addEventListener("input", () => setRange(Math.min(part("from"), view.to), view.to));
  find("to").addEventListener("input", () => setRange(view.from, Math.max(part("to"), view.from)));
  find("whole").addEventListener("click", () => setRange(data.first, data.last));
  find("calm").addEventListener("change", (event) => { view.calm = event.target.checked; drawAll(); });
  document.querySelectorAll(".run").forEach((box) => box.addEventListener("change", () => {
    if (box.checked) view.hidden.delete(Number(box.value)); else view.hidden.add(Number(box.value));
    drawAll();
  }));
  document.querySelector(".controls").hidden = false;
  let width = 0;
  new ResizeObserver(() => {
    if (width !== (width = document.querySelector(".plots").clientWidth)) drawAll();
  }).observe(document.querySelector(".plots"));
  setRange(data.first, data.last);
}
if (stops.length > 1) {
  find("time").max = stops.length - 1;
  find("time").closest(".slider").hidden = false;
  find("time").addEventListener("input", (event) => showStop(Number(event.target.value)));
  find("play").addEventListener("click", play);
  showStop(stops.length - 1);
}
