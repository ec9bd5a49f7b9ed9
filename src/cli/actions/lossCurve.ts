/** One line of metrics.jsonl. */
export interface Metric {
  readonly step: number;
  /** Mean cross entropy in nats per token. */
  readonly loss: number;
  readonly bitsPerByte: number;
}

/** The loss over the steps as an SVG, and as a page that needs nothing but itself. */
export async function lossCurve(metrics: readonly Metric[]): Promise<{ svg: string; html: string }> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
  // At most some 600 points: the mean of neighbours beyond that.
  const size = Math.ceil(metrics.length / 600);
  const values = [];
  for (let i = 0; i < metrics.length; i += size) {
    const part = metrics.slice(i, i + size);
    const mean = part.reduce((sum, m) => sum + m.bitsPerByte, 0) / part.length;
    values.push({ step: part.at(-1)!.step, bitsPerByte: mean });
  }
  const { spec } = lite.compile({
    width: 640,
    height: 300,
    data: { values },
    mark: { type: 'line', strokeWidth: 1.5 },
    encoding: {
      x: { field: 'step', type: 'quantitative' },
      y: { field: 'bitsPerByte', type: 'quantitative', title: 'bits per byte', scale: { zero: false } },
    },
  });
  const svg = await new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
  const data = JSON.stringify(metrics).replaceAll('<', '\\u003c');
  const last = metrics.at(-1)!;
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>subvocab samout train</title>
<style>body { font: 15px/1.45 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem }</style></head><body>
<h1>Training loss</h1>
<p>Step ${last.step}: loss ${last.loss.toFixed(4)} nats per token, ${last.bitsPerByte.toFixed(3)} bits per byte.</p>
${svg}
<script type="application/json" id="metrics">${data}</script>
</body></html>
`;
  return { svg, html };
}
