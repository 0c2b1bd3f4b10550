// Draws every [data-chart] with uPlot. Its data is JSON in the element that the attribute names, or comes from
// data-src. Fresh data moves the lines of the chart that is there; nothing is drawn anew, so nothing flickers.
"use strict";
{
  const drawn = new Map();

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Canvas knows no light-dark(): let the browser work the colour out on an element.
  function resolved(name) {
    const probe = document.createElement("span");
    probe.style.color = color(name);
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  const faded = (rgb, alpha) => rgb.replace(/^rgb\(([^)]*)\)$/, `rgba($1, ${alpha})`);

  const UNITS = {
    "": (value) => compact(value),
    $: (value) => (value >= 100 ? `$${Math.round(value).toLocaleString("en")}` : `$${+value.toFixed(value < 0.1 ? 4 : 2)}`),
    "%": (value) => `${Math.round(value * 100)} %`,
    ms: (value) => (value < 1000 ? `${Math.round(value)} ms` : `${+(value / 1000).toFixed(1)} s`),
  };

  function compact(value) {
    if (value >= 1e6) return `${+(value / 1e6).toFixed(1)}M`;
    return value >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : String(+value.toFixed(2));
  }

  // What is drawn for what is told: a stacked column stands on those behind it, which are drawn over its foot.
  function columns(kind, data) {
    if (kind !== "stacked") return data;
    const [times, ...parts] = data;
    const heights = parts.map((_, first) => times.map((_, at) => parts.slice(first).reduce((sum, part) => sum + part[at], 0)));
    return [times, ...heights];
  }

  function options(element, told) {
    const { kind, unit = "", colors = "1 2 3 4 5 6" } = element.dataset;
    const numbers = colors.split(" ");
    const quiet = resolved("--quiet");
    const line = resolved("--line");
    const isBars = kind !== "lines";
    const show = UNITS[unit];
    const width = isBars ? uPlot.paths.bars({ size: [0.72, 40], align: 1 }) : undefined;
    const days = told.step === 86400;
    const axis = { stroke: quiet, grid: { show: false }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const original = (index) => (plot, value, series, at) => {
      const exact = at === null ? null : told.data[index + 1][at];
      return exact === null || exact === undefined ? "" : show(exact);
    };
    return {
      width: element.clientWidth,
      height: element.clientHeight - 26,
      padding: [10, 20, 0, 0],
      tzDate: days ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : undefined,
      cursor: { points: { show: !isBars, size: 6 }, y: false, drag: { x: false, y: false } },
      legend: { markers: { width: 0, fill: (plot, index) => plot.series[index]._told } },
      scales: {
        x: { range: isBars ? (plot, low, high) => [low, high + told.step] : told.range ? () => told.range : undefined },
        y: { range: (plot, low, high) => (unit === "%" ? [0, 1] : [0, Math.max(high * 1.08 || 1, unit === "$" ? 0.01 : 4)]) },
      },
      axes: [
        { ...axis, size: 24, gap: 6, space: 56, values: (plot, splits) => ticks(splits, days) },
        { ...axis, size: 46, grid: { stroke: line, width: 1 }, splits: unit === "%" ? () => [0, 0.25, 0.5, 0.75, 1] : undefined,
          space: 34, values: (plot, splits) => splits.map(show) },
      ],
      series: [
        { label: "at", value: (plot, seconds) => (seconds === null ? "" : moment(seconds, days)) },
        ...told.series.map((label, index) => {
          const stroke = resolved(`--series-${numbers[index % numbers.length]}`);
          const one = { label, _told: stroke, value: original(index), paths: width, points: { show: false }, spanGaps: false };
          return isBars ? { ...one, fill: stroke, width: 0 } : { ...one, stroke, fill: faded(stroke, 0.06), width: 1.6 };
        }),
      ],
    };
  }

  // One line: the hour, or the day where a new one begins.
  function ticks(splits, days) {
    const zone = days ? { timeZone: "UTC" } : {};
    const long = splits.length > 1 && splits[1] - splits[0] >= 86400;
    return splits.map((seconds) => {
      const date = new Date(seconds * 1000);
      const isDay = days || long || (date.getHours() === 0 && date.getMinutes() === 0);
      return isDay
        ? date.toLocaleDateString(undefined, { day: "numeric", month: "short", ...zone })
        : date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    });
  }

  function moment(seconds, days) {
    const date = new Date(seconds * 1000);
    if (days) return date.toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
    return date.toLocaleString(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  function draw(element, told) {
    const known = drawn.get(element);
    const data = columns(element.dataset.kind, told.data);
    if (known && known.names === told.series.join("\n")) {
      known.told.data = told.data;
      known.told.range = told.range;
      known.plot.setData(data);
      return;
    }
    if (known) known.plot.destroy();
    const kept = { told, names: told.series.join("\n") };
    kept.plot = new uPlot(options(element, kept.told), data, element);
    drawn.set(element, kept);
  }

  async function read(element) {
    if (element.dataset.src) {
      const answer = await fetch(element.dataset.src, { headers: { accept: "application/json" } });
      return answer.ok ? answer.json() : null;
    }
    const source = document.getElementById(element.dataset.chart);
    return source ? JSON.parse(source.textContent) : null;
  }

  async function update(element) {
    if (!element.clientWidth) return;
    const told = await read(element);
    if (told && element.isConnected) draw(element, told);
  }

  function updateAll() {
    for (const element of [...drawn.keys()]) {
      if (!element.isConnected) drawn.delete(element);
    }
    for (const element of document.querySelectorAll("[data-chart], [data-src]")) {
      if (element.dataset.src) seen.observe(element);
      else update(element);
    }
  }

  // A chart whose data has to be fetched waits until somebody can see it.
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        update(entry.target);
      }
    }
  });

  function redrawAll() {
    for (const [element, { plot, told }] of [...drawn]) {
      plot.destroy();
      drawn.delete(element);
      draw(element, told);
    }
  }

  let width = 0;
  const sizes = new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    for (const [element, { plot }] of drawn) plot.setSize({ width: element.clientWidth, height: element.clientHeight - 26 });
  });

  document.addEventListener("DOMContentLoaded", () => {
    width = document.body.clientWidth;
    sizes.observe(document.body);
    updateAll();
  });
  document.addEventListener("htmx:afterSettle", updateAll);
  document.addEventListener("themechange", redrawAll);
}
