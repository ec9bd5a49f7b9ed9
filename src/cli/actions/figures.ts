/** A chart as SVG, from a Vega-Lite specification. */
export async function chart(spec: Readonly<Record<string, unknown>>): Promise<string> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
  const compiled = lite.compile(spec as unknown as Parameters<typeof lite.compile>[0]);
  return new vega.View(vega.parse(compiled.spec), { renderer: 'none' }).toSVG();
}

/** A page that needs nothing but itself. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>body { font: 15px/1.45 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .15rem .6rem; text-align: left; border-bottom: 1px solid #ddd }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .cloud span { margin-right: .6rem; white-space: pre }</style></head><body>
${body}
</body></html>
`;
}

/** Text for HTML. */
export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
