import { readFileSync } from 'node:fs';

const folder = new URL('../', import.meta.url);
const files = new Map<string, string>();

/** The text of one WGSL file under `src/gpu`. */
export function readWgsl(file: string): string {
  let text = files.get(file);
  if (text === undefined) {
    text = readFileSync(new URL(file, folder), 'utf8');
    files.set(file, text);
  }
  return text;
}

/**
 * A kernel with everything it uses: its own text first (directives must lead), then each file that a header line
 * `// @uses lib/x.wgsl` names, once. Declarations are free of order in WGSL, so joining whole files is all it takes.
 */
export function linkWgsl(file: string, read: (file: string) => string = readWgsl): string {
  const seen = new Set<string>([file]);
  const parts = [read(file)];
  for (let i = 0; i < parts.length; i++) {
    for (const [, used = ''] of parts[i]!.matchAll(/^\/\/ @uses (\S+)$/gm)) {
      if (!seen.has(used)) {
        seen.add(used);
        parts.push(read(used));
      }
    }
  }
  return parts.join('\n');
}
