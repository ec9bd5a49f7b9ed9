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
  return filesOf(file, read).map(read).join('\n');
}

/** A kernel's file, and all that it uses. */
export function filesOf(file: string, read: (file: string) => string = readWgsl): string[] {
  const files = [file];
  for (let i = 0; i < files.length; i++) {
    for (const [, used = ''] of read(files[i]!).matchAll(/^\/\/ @uses (\S+)$/gm)) {
      if (!files.includes(used)) files.push(used);
    }
  }
  return files;
}
