// Writes the table of chapters in docs/README.md from the contracts; with --check, fails if it is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { contracts } from '../src/core/ops/index.ts';

const path = fileURLToPath(new URL('../docs/README.md', import.meta.url));
const text = readFileSync(path, 'utf8');
// The formatter pads the columns.
const head = text.slice(0, text.search(/^\| chapter /m));
const chapters = contracts.filter((c) =>
  existsSync(new URL(`../src/core/ops/${c.name}.ts`, import.meta.url)),
);
const rows = chapters.map(({ name, summary }) => {
  const files = [
    ['contract', `src/core/ops/${name}.ts`],
    ['reference', `src/ref/${name}.ts`],
    ['kernel', `src/gpu/${name}.wgsl`],
    ['host', `src/gpu/${name}.ts`],
    ['bound', `src/core/bounds/${name}.ts`],
    ['spec', `spec/${name}.spec.ts`],
    ['vectors', `spec/vectors/${name}.json`],
    ['bench', `bench/${name}.bench.ts`],
  ] as const;
  const links = files
    .filter(([, file]) => existsSync(new URL(`../${file}`, import.meta.url)))
    .map(([title, file]) => `[${title}](../${file})`);
  return `| [${name}](${name}.md): ${summary} | ${links.join(', ')} |`;
});
const wanted = `${head}| chapter | its files |\n|---|---|\n${rows.join('\n')}\n`;
if (process.argv.includes('--check')) {
  const plain = (t: string): string => t.replaceAll(/[ -]+/g, ' ');
  if (plain(wanted) !== plain(text)) {
    console.error('docs/README.md is stale; run: npm run docs');
    process.exit(1);
  }
} else writeFileSync(path, wanted);
