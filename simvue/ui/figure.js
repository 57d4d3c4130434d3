/*
 * Figure: draws with plotly what the page around this frame hands over; see server/figures.py.
 *
 * A plain script, for a frame without an origin: modules would be asked for across origins.
 */

addEventListener("message", ({ source, data: content }) => {
  if (source !== parent) return;
  const { Plotly } = /** @type {any} */ (globalThis);
  try {
    const { data, layout } = JSON.parse(content);
    const size = { width: undefined, height: undefined, autosize: true };
    Plotly.newPlot(document.body, data, { ...layout, ...size }, { responsive: true, displaylogo: false });
  } catch (error) {
    document.body.textContent = `This figure cannot be drawn: ${error instanceof Error ? error.message : error}`;
  }
}, { once: true });
